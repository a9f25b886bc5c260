//! `surety service`: make, build, register and show services.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use alloy::primitives::{Address, B256};
use clap::{Args, Subcommand};
use serde_json::json;
use surety_chain::{Contracts, ServiceRegistration, bindings::IService, deploy};

use crate::{
    abi,
    context::{ChainArgs, KeyArgs, KnownService, services_file},
    exit::{Failure, code},
    manifest::{self, FILE},
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

/// Make, build, register and show services.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a directory with a service to begin with: manifest, program, contract.
    Init(Init),
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
    for (name, text) in TEMPLATE {
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
        &json!({"dir": dir, "files": TEMPLATE.iter().map(|(n, _)| n).collect::<Vec<_>>()}),
    );
    ui.note(&format!("next: cd {} && surety service build", dir.display()));
    Ok(())
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
                min_bond: loaded.min_bond,
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
