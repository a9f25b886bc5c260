//! `surety service`: make, check, build, register and show services.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use alloy::primitives::{Address, B256, U256};
use clap::{Args, Subcommand};
use serde_json::json;
use surety_chain::{Contracts, ServiceRegistration, bindings::IService, deploy};
use surety_client::network;
use surety_protocol::manifest::Fields;

use crate::{
    abi,
    commands::network::network_failure,
    context::{ChainArgs, KeyArgs, KnownService, services_file},
    exit::{Failure, code},
    manifest::{self, FILE, Outcome},
    ui::Ui,
    values::show_amount,
};

/// What `init` writes.
const TEMPLATE: &[(&str, &str)] = &[
    (FILE, include_str!("../template/service.toml")),
    ("program.c", include_str!("../template/program.c")),
    ("contract.sol", include_str!("../template/contract.sol")),
    (
        "surety/surety.h",
        include_str!("../../../surety-guest/include/surety.h"),
    ),
    ("surety/surety.c", include_str!("../../../surety-guest/c/surety.c")),
    ("surety/surety.ld", include_str!("../../../surety-guest/surety.ld")),
];

/// What `init --network` writes.
const NETWORK_TEMPLATE: &[(&str, &str)] = &[
    (FILE, include_str!("../template/network/service.toml")),
    ("flow.toml", include_str!("../template/network/flow.toml")),
];

/// Make, check, build, register and show services.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a directory with a service to begin with: manifest, program, contract.
    Init(Init),
    /// Check a manifest as a whole: all that is wrong with it, each with file, line and column.
    Validate(Validate),
    /// Build the programs and print their hashes.
    Build(Build),
    /// Deploy the service's contract (if needed) and register the service.
    Register(Register),
    /// Show a registered service.
    Show(Show),
}

/// Arguments of `surety service init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The service's name: letters, digits, - and _.
    name: String,
    /// The directory to make; the name if not given.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A service of the network, with an event, a task and a flow, instead of one with a program.
    #[arg(long)]
    network: bool,
}

/// Arguments of `surety service validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The service's directory, or its manifest.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Arguments of `surety service build`.
#[derive(Debug, Args)]
pub struct Build {
    /// The service's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Arguments of `surety service register`.
#[derive(Debug, Args)]
pub struct Register {
    /// The service's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The service's contract, if it is deployed already.
    #[arg(long, value_name = "ADDRESS")]
    contract: Option<Address>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety service show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The service: its address, or its name.
    service: String,
    /// Also check that this directory's programs are the registered ones; exit code 17 if not.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Does what was asked.
pub async fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init(&args, ui),
        Command::Validate(args) => validate(&args, ui),
        Command::Build(args) => build(&args, ui).await,
        Command::Register(args) => register(args, ui).await,
        Command::Show(args) => show(args, ui).await,
    }
}

fn init(args: &Init, ui: Ui) -> Result<(), Failure> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if args.name.is_empty() || args.name.len() > 64 || !args.name.chars().all(good) {
        return Err(Failure::usage(
            format!("`{}` is no name for a service", args.name),
            "use 1 to 64 letters, digits, - and _",
        ));
    }
    let dir = args.dir.clone().unwrap_or_else(|| args.name.clone().into());
    if dir.join(FILE).exists() {
        return Err(Failure::new(
            format!("{} is a service already", dir.display()),
            "choose another --dir",
        ));
    }
    let contract: String = args
        .name
        .split(['-', '_'])
        .flat_map(|part| {
            let (first, rest) = part.split_at(part.len().min(1));
            [first.to_ascii_uppercase(), rest.to_owned()]
        })
        .collect();
    // A contract's name cannot begin with a digit.
    let contract = if contract.starts_with(|c: char| c.is_ascii_digit()) {
        format!("S{contract}")
    } else {
        contract
    };
    let template = if args.network { NETWORK_TEMPLATE } else { TEMPLATE };
    for (name, text) in template {
        let path = dir.join(name);
        let text = if name.starts_with("surety/") {
            (*text).to_owned()
        } else {
            text.replace("{name}", &args.name).replace("{contract}", &contract)
        };
        write(&path, &text)?;
    }
    ui.result(
        &format!("{}", dir.display()),
        &json!({"dir": dir, "files": template.iter().map(|(n, _)| n).collect::<Vec<_>>()}),
    );
    let next = if args.network { "validate" } else { "build" };
    ui.note(&format!("next: cd {} && surety service {next}", dir.display()));
    Ok(())
}

/// The manifest as people read it is the result; what is wrong with it too, with exit code 1.
fn validate(args: &Validate, ui: Ui) -> Result<(), Failure> {
    let (path, text) = manifest::text(&args.dir)?;
    let found = match manifest::parse(&text) {
        Outcome::Good(found) => found,
        Outcome::Bad(problems) => {
            let count = problems.0.len();
            let listed_json: Vec<_> = problems
                .0
                .iter()
                .map(|p| json!({"line": p.line, "column": p.column, "path": p.path, "message": p.message}))
                .collect();
            ui.result(
                &manifest::listed(&path, &problems).join("\n"),
                &json!({"valid": false, "file": path, "problems": listed_json}),
            );
            let what = if count == 1 { "problem" } else { "problems" };
            return Err(Failure::new(
                format!("{} has {count} {what}", path.display()),
                "correct them; `surety service init --network` and docs/guides/network.md show a good manifest",
            ));
        }
    };
    let hash = alloy::primitives::keccak256(&text);
    let network = &found.network;
    let mut lines = vec![
        format!("{} is a good manifest", path.display()),
        format!("name        {}", found.name),
        format!("hash        {hash}"),
        format!("min bond    {}", show_amount(found.min_bond)),
    ];
    let dir = path.parent().unwrap_or(Path::new("."));
    for program in &found.programs {
        let elf = dir.join(&program.elf);
        let built = if elf.is_file() { "" } else { "  (not built)" };
        lines.push(format!(
            "program     {}{built}  {}",
            program.elf.display(),
            program.methods.join(", ")
        ));
    }
    if !network.is_empty() {
        lines.push(format!("quorum      {}", percent(network.quorum)));
    }
    for (name, event) in &network.events {
        let id: Vec<_> = event.id.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "event       {name}({})  id {}  window {} s",
            fields(&event.data),
            id.join(", "),
            event.window
        ));
    }
    for (name, task) in &network.tasks {
        lines.push(format!(
            "task        {name}({}) -> ({})  verification {}  validators {}  window {} s  price {}",
            fields(&task.inputs),
            fields(&task.outputs),
            task.verification,
            task.validators,
            task.window,
            price(&task.price)
        ));
    }
    let specification = match &found.container {
        Some(container) => {
            let hash = container
                .specification_hash()
                .map_err(|e| Failure::new(format!("the container's specification: {e}"), "shorten it"))?;
            lines.push(format!("container   {}  {}", container.image, container.platform));
            lines.push(format!("            specification {hash}"));
            Some(json!({"image": container.image.to_string(), "specification_hash": hash,
                "specification": container.to_value()}))
        }
        None => None,
    };
    ui.result(
        &lines.join("\n"),
        &json!({"valid": true, "file": path, "name": found.name, "hash": hash, "min_bond": found.min_bond.to_string(),
            "max_budget": found.max_budget, "quorum": network.quorum, "problems": [],
            "container": specification, "programs": found.programs.iter().map(|p| json!({"elf": p.elf, "methods": p.methods})).collect::<Vec<_>>(),
            "events": network.events.iter().map(|(name, e)| json!({"name": name, "data": e.data.keys().collect::<Vec<_>>(),
                "id": e.id.iter().map(ToString::to_string).collect::<Vec<_>>(), "window": e.window})).collect::<Vec<_>>(),
            "tasks": network.tasks.iter().map(|(name, t)| json!({"name": name,
                "inputs": t.inputs.keys().collect::<Vec<_>>(), "outputs": t.outputs.keys().collect::<Vec<_>>(),
                "verification": t.verification.to_string(), "validators": t.validators, "window": t.window,
                "price": {"per_call": t.price.per_call.to_string(), "per_second": t.price.per_second.to_string(),
                    "per_kilobyte": t.price.per_kilobyte.to_string()}})).collect::<Vec<_>>()}),
    );
    Ok(())
}

fn fields(fields: &Fields) -> String {
    let field = |(name, typed): (&String, &surety_protocol::manifest::Type)| {
        let optional = if typed.optional { "?" } else { "" };
        format!("{name}{optional}: {typed}")
    };
    fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

fn price(price: &surety_protocol::manifest::Price) -> String {
    let show = |wei: u128| show_amount(U256::from(wei));
    format!(
        "{} + {}/s + {}/kB",
        show(price.per_call),
        show(price.per_second),
        show(price.per_kilobyte)
    )
}

/// Basis points as people read them.
fn percent(points: u16) -> String {
    format!("{}.{:02} %", points / 100, points % 100)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let fail = |e: std::io::Error| {
        Failure::new(
            format!("{} cannot be written: {e}", path.display()),
            "choose another --dir",
        )
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fail)?;
    }
    std::fs::write(path, text).map_err(fail)
}

async fn build(args: &Build, ui: Ui) -> Result<(), Failure> {
    let (found, _) = manifest::read(&args.dir)?;
    if let Some(command) = &found.build.command {
        ui.note(&format!("running {command}"));
        let status = tokio::process::Command::new("sh")
            .args(["-c", command])
            .current_dir(&args.dir)
            .stdin(Stdio::null())
            // Results only are on stdout.
            .stdout(std::io::stderr())
            .status()
            .await
            .map_err(|e| Failure::new(format!("the build command cannot be run: {e}"), "correct [build] command"))?;
        if !status.success() {
            return Err(Failure::new(
                format!("the build command ended with {status}"),
                "read its messages; C programs need Debian's gcc-riscv64-unknown-elf",
            ));
        }
    }
    let loaded = manifest::load(&args.dir)?;
    let mut text = vec![format!("manifest {}", loaded.hash)];
    for (hash, elf, methods) in &loaded.programs {
        text.push(format!("program  {hash}  {}", elf.display()));
        for method in methods {
            text.push(format!("         {}  {}", method.selector(), method.signature()));
        }
    }
    ui.result(
        &text.join("\n"),
        &json!({"name": loaded.manifest.name, "manifest": loaded.hash,
            "programs": loaded.programs.iter().map(|(hash, elf, methods)| json!({
                "program_hash": hash, "elf": elf,
                "methods": methods.iter().map(|m| json!({"signature": m.signature(), "selector": m.selector()})).collect::<Vec<_>>(),
            })).collect::<Vec<_>>()}),
    );
    Ok(())
}

async fn register(args: Register, ui: Ui) -> Result<(), Failure> {
    let loaded = manifest::load(&args.dir)?;
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let owner = actions.sender().account();
    let named = args.contract.or(loaded.manifest.contract.address);
    let known = match named {
        Some(_) => None,
        None => earlier(&args.chain, &contracts, &loaded, owner).await?,
    };
    let service = match named.or(known.as_ref().map(|k| k.address)) {
        Some(address) => address,
        None => {
            let deployment = contracts.deployment();
            let deployed = match &loaded.manifest.contract.artifact {
                Some(artifact) => {
                    let code = manifest::creation_code(&args.dir.join(artifact))?;
                    ui.note("deploying the service's contract");
                    deploy::deploy_service(actions.sender(), deployment, &code, owner).await?
                }
                None => {
                    ui.note("deploying a plain contract for the service");
                    deploy::deploy_plain_service(actions.sender(), deployment, owner).await?
                }
            };
            deployed.0
        }
    };
    let methods: Vec<([u8; 4], B256)> = loaded
        .programs
        .iter()
        .flat_map(|(hash, _, methods)| methods.iter().map(|m| (m.selector().0, *hash)))
        .collect();
    // What was registered under this name before, and is in the manifest no more.
    let dropped: Vec<[u8; 4]> = known
        .iter()
        .flat_map(|k| &k.methods)
        .filter_map(|signature| Some(abi::method(signature).ok()?.selector().0))
        .filter(|selector| methods.iter().all(|(s, _)| s != selector))
        .collect();
    let mut transactions = Vec::new();
    match contracts.service(service).await? {
        None => {
            ui.note(&format!("registering {service}"));
            let registration = ServiceRegistration {
                service,
                manifest: loaded.hash,
                methods,
                min_bond: loaded.manifest.min_bond,
                max_budget: loaded.manifest.max_budget,
                verdict: loaded.manifest.verdict,
            };
            transactions.push(actions.register_service(&registration).await?.hash);
        }
        Some(info) => {
            ui.note(&format!(
                "{service} is registered; bringing manifest and programs up to date"
            ));
            for (selector, program) in methods {
                if contracts.program_of(service, selector).await? != Some(program) {
                    transactions.push(actions.set_program(service, selector, program).await?.hash);
                }
            }
            for selector in dropped {
                if contracts.program_of(service, selector).await?.is_some() {
                    transactions.push(actions.set_program(service, selector, B256::ZERO).await?.hash);
                }
            }
            if info.manifest != loaded.hash {
                transactions.push(actions.set_manifest(service, loaded.hash).await?.hash);
            }
        }
    }
    transactions.extend(
        network::set_terms(&actions, &contracts, service, &loaded.manifest.network)
            .await
            .map_err(network_failure)?,
    );
    remember(&args.chain, &loaded, service, ui);
    let chain_id = surety_primitives::service_chain_id(contracts.deployment().chain_id, service);
    ui.result(
        &format!("{} is {service}, chain id {chain_id}", loaded.manifest.name),
        &json!({"name": loaded.manifest.name, "service": service, "chain_id": chain_id, "manifest": loaded.hash,
            "transactions": transactions}),
    );
    Ok(())
}

/// The contract that this owner registered under this name before, so that registering again changes that service
/// instead of making another.
async fn earlier(
    chain: &ChainArgs,
    contracts: &Contracts,
    loaded: &manifest::Loaded,
    owner: Address,
) -> Result<Option<KnownService>, Failure> {
    let Some(known) = chain.services().remove(&loaded.manifest.name) else {
        return Ok(None);
    };
    // A file of another chain's, or another account's service of this name, says nothing about ours.
    if contracts.service(known.address).await?.is_none() {
        return Ok(None);
    }
    let registered = contracts.rpc().call(known.address, IService::ownerCall {}).await?;
    if registered == owner {
        Ok(Some(known))
    } else {
        Err(Failure::new(
            format!(
                "the name {} is taken by {}, which {registered} owns",
                loaded.manifest.name, known.address
            ),
            format!(
                "choose another name in {FILE}, or take it out of {}",
                services_file(&chain.deployment).display()
            ),
        ))
    }
}

/// Keeps the name beside the deployment file, so that `surety call NAME` works. A convenience: not being able to is
/// no failure.
fn remember(chain: &ChainArgs, loaded: &manifest::Loaded, service: Address, ui: Ui) {
    let mut known = chain.services();
    let methods = loaded
        .manifest
        .programs
        .iter()
        .flat_map(|p| p.methods.clone())
        .collect();
    known.insert(
        loaded.manifest.name.clone(),
        KnownService {
            address: service,
            methods,
        },
    );
    let path = services_file(&chain.deployment);
    let text = serde_json::to_string_pretty(&known).unwrap_or_default();
    if let Err(e) = std::fs::write(&path, text + "\n") {
        ui.note(&format!(
            "note: the name was not kept in {} ({e}); use the address",
            path.display()
        ));
    }
}

async fn show(args: Show, ui: Ui) -> Result<(), Failure> {
    let known = args.chain.service(&args.service)?;
    let contracts = args.chain.contracts().await?;
    let service = known.address;
    let info = contracts.service(service).await?.ok_or_else(|| {
        Failure::new(
            format!("service {service} is not registered"),
            "check the address and --deployment",
        )
    })?;
    let mut methods = Vec::new();
    for signature in &known.methods {
        let method = abi::method(signature)?;
        methods.push((
            signature.clone(),
            contracts.program_of(service, method.selector().0).await?,
        ));
    }
    let operators = contracts.operators(service, 1_000).await?;
    let bonded = operators.iter().filter(|o| o.bonded).count();
    let mut text = vec![
        format!("service     {service}"),
        format!("chain id    {}", info.chain_id),
        format!("manifest    {}", info.manifest),
        format!("min bond    {}", show_amount(info.min_bond)),
        format!("max budget  {} steps (on-chain requests)", info.max_budget),
        format!("operators   {bonded} bonded of {}", operators.len()),
    ];
    for (signature, program) in &methods {
        text.push(format!(
            "method      {signature}  {}",
            program.map(|p| p.to_string()).unwrap_or("none".to_owned())
        ));
    }
    let mut differences = Vec::new();
    if let Some(dir) = &args.dir {
        let loaded = manifest::load(dir)?;
        for (hash, _, local) in &loaded.programs {
            for method in local {
                let registered = contracts.program_of(service, method.selector().0).await?;
                if registered != Some(*hash) {
                    differences.push(format!(
                        "{}: registered {}, here {hash}",
                        method.signature(),
                        registered.map(|p| p.to_string()).unwrap_or("none".to_owned())
                    ));
                }
            }
        }
    }
    ui.result(
        &text.join("\n"),
        &json!({"service": service, "chain_id": info.chain_id, "manifest": info.manifest,
            "min_bond": info.min_bond.to_string(), "max_budget": info.max_budget, "verdict": info.verdict,
            "operators": operators.len(), "bonded": bonded, "differences": differences,
            "methods": methods.iter().map(|(s, p)| json!({"signature": s, "program": p})).collect::<Vec<_>>()}),
    );
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("programs differ from the registered ones: {}", differences.join("; ")),
        "build the registered source, or `surety service register` the new one",
    )
    .with_code(code::MISMATCH))
}
