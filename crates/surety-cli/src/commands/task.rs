//! `surety task`: ask for one task, follow it, take back what it did not cost.

use std::{path::PathBuf, time::Duration};

use alloy::primitives::{Address, B256, U256, aliases::U96, keccak256};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use surety_chain::{
    Contracts,
    bindings::{ITasks, Step},
};
use surety_client::network::{self, Draw, NodeApi, PrivateInputs, RunRecord};
use surety_primitives::{keys::encryption_secret, sealed::SecretKey, selection, value::Value};
use surety_protocol::manifest::{DEFAULT_VALIDATORS, DEFAULT_WINDOW, Network};

use super::flow::{run_json, run_lines};
use crate::{
    commands::network::{network_failure, node_failure, unregistered},
    context::{ChainArgs, KeyArgs, NodeArgs},
    exit::{Failure, code},
    ui::Ui,
    values::{amount, show_amount},
};

/// Longest inputs that are read.
const MAX_INPUTS: u64 = 6 << 20;

/// Ask for one task, and follow it.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask for a task and wait for its result.
    Request(Box<Request>),
    /// Show a run, of a request or of a flow: who does what, results, payments. From the chain.
    Show(Show),
    /// Return what a run holds to its owner, when it is done or out of time. Anyone may.
    Close(Close),
}

/// Arguments of `surety task request`.
#[derive(Debug, Args)]
pub struct Request {
    /// The service: its address, or its name.
    service: String,
    /// The task's name.
    task: String,
    /// The inputs: an object as JSON, a file with one, or - for standard input.
    #[arg(long, value_name = "FILE|JSON")]
    inputs: String,
    /// How many validate, 0 to 31; what the manifest says, or 3, if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=31))]
    validators: Option<u8>,
    /// Seconds an executor has; what the manifest says, or 60, if not given.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86400))]
    window: Option<u32>,
    /// Only these operators may execute and validate.
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',')]
    nodes: Vec<Address>,
    /// Only those who are drawn can read the inputs.
    #[arg(long)]
    private: bool,
    /// Most that is paid, in tokens (32.5) or wei (123wei); if not given, what the task asks for its whole window and
    /// 16 kB of output.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    most: Option<U256>,
    /// The service's manifest: gives the defaults, and the inputs are checked against it. It must be the registered one.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Do not wait for the result. Private inputs are still sealed and handed over first.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety task show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The run.
    run: B256,
    /// Also ask this node what it knows, and for the outputs.
    #[arg(long, value_name = "URL", env = "SURETY_NODE")]
    node: Option<String>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety task close`.
#[derive(Debug, Args)]
pub struct Close {
    /// The run.
    run: B256,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Does what was asked.
pub async fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::Request(args) => request(*args, ui).await,
        Command::Show(args) => show(args, ui).await,
        Command::Close(args) => close(args, ui).await,
    }
}

fn inputs(text: &str) -> Result<Value, Failure> {
    use std::io::Read;
    let next = "give an object as JSON, such as '{\"visitor\": \"Ada\"}', a file with one, or - for standard input";
    let bounded = |reader: &mut dyn Read| {
        let mut text = String::new();
        reader.take(MAX_INPUTS + 1).read_to_string(&mut text).map(|_| text)
    };
    let json = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else if text == "-" {
        bounded(&mut std::io::stdin().lock())
            .map_err(|e| Failure::new(format!("standard input cannot be read: {e}"), next))?
    } else {
        std::fs::File::open(text)
            .and_then(|mut file| bounded(&mut file))
            .map_err(|e| Failure::new(format!("the inputs {text} cannot be read: {e}"), next))?
    };
    let value: Value = json
        .parse()
        .map_err(|e| Failure::usage(format!("the inputs: {e}"), next))?;
    if value.as_object().is_none() {
        return Err(Failure::usage(
            format!("the inputs are {}, expected an object", value.kind()),
            next,
        ));
    }
    Ok(value)
}

/// The manifest, if one is named: it must be the registered one.
async fn manifest(path: Option<&PathBuf>, contracts: &Contracts, service: Address) -> Result<Option<Network>, Failure> {
    let registered = contracts.service(service).await?.ok_or_else(|| unregistered(service))?;
    let Some(path) = path else { return Ok(None) };
    let (path, text) = crate::manifest::text(path)?;
    let found = keccak256(&text);
    if found != registered.manifest {
        return Err(Failure::new(
            format!(
                "{} has the hash {found}, the registered manifest of {service} has {}",
                path.display(),
                registered.manifest
            ),
            "get the manifest that is registered, or leave --manifest out",
        )
        .with_code(code::MISMATCH));
    }
    Network::parse(&text, Network::PROGRAM_KEYS)
        .map(Some)
        .map_err(|problems| {
            Failure::new(
                crate::manifest::listed(&path, &problems).join("\n"),
                "`surety service validate` checks a manifest",
            )
        })
}

async fn request(args: Request, ui: Ui) -> Result<(), Failure> {
    let value = inputs(&args.inputs)?;
    let service = args.chain.service(&args.service)?.address;
    let contracts = args.chain.contracts().await?;
    let declared = manifest(args.manifest.as_ref(), &contracts, service).await?;
    let (mut validators, mut window) = (DEFAULT_VALIDATORS, DEFAULT_WINDOW);
    if let Some(network) = &declared {
        let next = "correct the task's name or the inputs: the manifest says what it takes";
        network
            .check_inputs(&args.task, &value)
            .map_err(|e| Failure::new(e, next))?;
        if let Some(task) = network.tasks.get(&args.task) {
            (validators, window) = (task.validators, task.window);
        }
    }
    let (validators, window) = (args.validators.unwrap_or(validators), args.window.unwrap_or(window));
    let task = keccak256(&args.task);
    let price = contracts.price_of(service, task).await?;
    let length = value.encode().map_err(|e| Failure::new(e, "shorten the inputs"))?.len();
    let most = args.most.unwrap_or_else(|| network::price_for(&price, window, length));
    if most.bit_len() > 96 {
        return Err(Failure::usage(
            format!("at most {most} wei would be paid, expected less than 2^96"),
            "give a smaller --most",
        ));
    }
    if contracts.set_count(service).await? == 0 {
        return Err(Failure::new(
            format!("service {service} has no set yet: nobody can be drawn"),
            format!("surety network fix {} fixes the first one", args.service),
        ));
    }
    let actions = args.chain.actions(&args.key).await?;
    let account = actions.sender().account();
    let held = contracts.application_deposit(account).await?;
    if held < most {
        return Err(Failure::new(
            format!(
                "the deposit of {account} has {}, the task may cost {}",
                show_amount(held),
                show_amount(most)
            ),
            format!("surety flow deposit {}", show_amount(most.saturating_sub(held))),
        ));
    }
    let api = args.node.api()?;
    // The account's own secret, so that nothing besides the keystore is needed to read the output.
    let secret = encryption_secret(&args.key.open()?.to_bytes().0);
    let private = if args.private {
        let reply = secret.public_key();
        Some(PrivateInputs::new(value.clone(), account, reply, &mut rand::rng()).map_err(network_failure)?)
    } else {
        None
    };
    let hash = match &private {
        Some(private) => private.hash(),
        // The members fetch the inputs from the node by this hash: before the chain tells them of it.
        None => api.put_value(&value).await.map_err(network_failure)?,
    };
    if !args.nodes.is_empty() {
        api.put_nodes(&args.nodes).await.map_err(network_failure)?;
    }
    let step = Step {
        service,
        task,
        validators,
        window,
        most: most.saturating_to::<U96>(),
        nodes: network::nodes_hash(&args.nodes),
    };
    let (run, sent) = actions.request_task(step, hash).await?;
    ui.note(&format!("run {run}, recorded in block {}", sent.block));
    let mut asked = Asked {
        contracts,
        api,
        service,
        run,
        validators,
        window,
        nodes: args.nodes.clone(),
        block: sent.block,
        draw: None,
        private,
    };
    if asked.private.is_some() || !args.no_wait {
        asked.drawn(ui).await?;
    }
    asked.hand_over().await?;
    let mut value = json!({"run": run, "service": service, "task": args.task, "inputs": hash,
        "validators": validators, "window": window, "most": most.to_string(), "block": sent.block,
        "transaction": sent.hash, "private": args.private});
    if let (Some(object), Some(draw)) = (value.as_object_mut(), &asked.draw) {
        object.insert("executor".to_owned(), json!(draw.executor(0)));
        object.insert("committee".to_owned(), json!(draw.committee()));
    }
    if args.no_wait {
        ui.result(&run.to_string(), &value);
        ui.note(&format!("next: surety task show {run}"));
        return Ok(());
    }
    let done = asked.wait(ui).await?;
    let reader = args.private.then_some((account, &secret));
    let found = outputs(&asked.contracts, Some(&asked.api), &done, reader).await?;
    let output = found.first();
    if let Some(object) = value.as_object_mut() {
        object.extend(run_json(&done).as_object().cloned().unwrap_or_default());
        object.insert("output_hash".to_owned(), json!(output.map(|o| o.hash)));
        object.insert("output".to_owned(), json!(output.and_then(|o| o.value.clone())));
    }
    let text = match output.and_then(|o| o.value.as_ref()) {
        Some(value) => value.to_string(),
        None => match output {
            Some(output) => format!("output {}", output.hash),
            None => "settled".to_owned(),
        },
    };
    for line in run_lines(&done, 1) {
        ui.note(&line);
    }
    ui.result(&text, &value);
    Ok(())
}

/// A request on its way.
struct Asked {
    contracts: Contracts,
    api: NodeApi,
    service: Address,
    run: B256,
    validators: u8,
    window: u32,
    nodes: Vec<Address>,
    block: u64,
    draw: Option<Draw>,
    private: Option<PrivateInputs>,
}

impl Asked {
    /// Waits for the block that decides who is drawn.
    async fn drawn(&mut self, ui: Ui) -> Result<(), Failure> {
        let mut progress = ui.progress();
        loop {
            let drawn = network::draw(
                &self.contracts,
                self.service,
                self.run,
                0,
                self.validators,
                &self.nodes,
                self.block,
            )
            .await
            .map_err(network_failure)?;
            if let Some(draw) = drawn {
                self.draw = Some(draw);
                return Ok(());
            }
            let block = self.block.saturating_add(1);
            progress.show(|| format!("waiting for block {block}, which decides who is drawn"));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Private inputs go to those who are drawn, and to nobody else.
    async fn hand_over(&mut self) -> Result<(), Failure> {
        let (Some(private), Some(draw)) = (&self.private, &self.draw) else {
            return Ok(());
        };
        let sealing = private
            .seal(&self.contracts, draw, &mut rand::rng())
            .await
            .map_err(network_failure)?;
        let taken = self
            .api
            .put_sealed(private.hash(), &sealing.sealed)
            .await
            .map_err(node_failure)?;
        if !taken {
            return Err(Failure::new(
                format!("{} did not take the sealed inputs", self.api.endpoint()),
                format!(
                    "give another node with --node; `surety task close {}` returns the money later",
                    self.run
                ),
            ));
        }
        Ok(())
    }

    /// Waits until the request is settled or over.
    async fn wait(&mut self, ui: Ui) -> Result<RunRecord, Failure> {
        let mut progress = ui.progress();
        let tasks = self.contracts.deployment().tasks;
        let closable = self
            .contracts
            .rpc()
            .call(tasks, ITasks::closableAtCall { run: self.run })
            .await?;
        loop {
            let state = network::task_run(&self.contracts, self.run)
                .await
                .map_err(network_failure)?;
            if state.closed || state.settled != 0 {
                let run = network::run(&self.contracts, self.run).await.map_err(network_failure)?;
                // The endpoint may show the state before the logs.
                if let Some(run) = run.filter(|run| !run.settled.is_empty()) {
                    return Ok(run);
                }
                if state.closed {
                    return Err(Failure::new(
                        format!("run {} was closed without a result", self.run),
                        "ask again; `surety network sets` shows who could have done it",
                    ));
                }
            }
            let now = self.contracts.rpc().latest().await?.header.timestamp;
            if U256::from(now) >= closable {
                return Err(Failure::new(
                    format!("nobody settled run {} in time", self.run),
                    format!("surety task close {} returns the money", self.run),
                ));
            }
            let attempt = now.saturating_sub(state.time) / u64::from(self.window.max(1));
            let attempt = u8::try_from(attempt)
                .unwrap_or(u8::MAX)
                .min(selection::ATTEMPTS.saturating_sub(1));
            let executor = self
                .draw
                .as_ref()
                .and_then(|draw| draw.executor(attempt))
                .unwrap_or_default();
            progress.show(|| format!("waiting for {executor}, attempt {attempt}"));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

/// What a settled step returned.
struct Output {
    step: u8,
    /// its hash, from the chain
    hash: B256,
    seconds: u32,
    bytes: u32,
    /// the value, checked by its hash, where a node has it
    value: Option<Json>,
}

async fn outputs(
    contracts: &Contracts,
    api: Option<&NodeApi>,
    run: &RunRecord,
    reader: Option<(Address, &SecretKey)>,
) -> Result<Vec<Output>, Failure> {
    let mut found = Vec::new();
    for settled in &run.settled {
        let result = network::output(contracts, run.run, settled)
            .await
            .map_err(network_failure)?;
        let Some(result) = result else { continue };
        let value = match (api, reader) {
            (Some(api), Some((account, secret))) => api.private_value(result.output, account, secret).await,
            (Some(api), None) => api.value(result.output).await,
            (None, _) => Ok(None),
        };
        let value = value.map_err(network_failure)?;
        found.push(Output {
            step: settled.step,
            hash: result.output,
            seconds: result.seconds,
            bytes: result.bytes,
            value: value.and_then(|value| serde_json::from_str(&value.to_string()).ok()),
        });
    }
    Ok(found)
}

async fn show(args: Show, ui: Ui) -> Result<(), Failure> {
    let contracts = args.chain.contracts().await?;
    let run = network::run(&contracts, args.run).await.map_err(network_failure)?;
    let Some(run) = run else {
        return Err(Failure::new(
            format!("there is no run {}", args.run),
            "`surety flow show FLOW` lists a flow's runs; check --deployment",
        ));
    };
    let state = network::task_run(&contracts, args.run).await.map_err(network_failure)?;
    let steps = match &run.request {
        Some(step) => vec![step.clone()],
        None => network::flow(&contracts, run.flow)
            .await
            .map_err(network_failure)?
            .map(|flow| flow.steps)
            .unwrap_or_default(),
    };
    let api = match &args.node {
        Some(node) => Some(NodeArgs { node: node.clone() }.api()?),
        None => None,
    };
    let outputs = outputs(&contracts, api.as_ref(), &run, None).await?;
    let told = match &api {
        Some(api) => api.run(args.run).await.map_err(node_failure)?,
        None => None,
    };
    let mut text = run_lines(&run, steps.len());
    text.push(format!("reserved {}", show_amount(U256::from(state.reserved))));
    let mut drawn = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        // Named nodes are known on-chain by their hash only.
        let Ok(number) = u8::try_from(index) else { continue };
        if !step.nodes.is_zero() {
            drawn.push(json!({"step": number, "nodes": step.nodes}));
            text.push(format!("step {number}: among nodes that its owner named"));
            continue;
        }
        let draw = network::draw(
            &contracts,
            step.service,
            run.run,
            number,
            step.validators,
            &[],
            run.block,
        )
        .await;
        match draw.map_err(network_failure)? {
            Some(draw) => {
                let executors: Vec<_> = (0..selection::ATTEMPTS).filter_map(|a| draw.executor(a)).collect();
                text.push(format!(
                    "step {number}: executor {}, committee {}",
                    executors.first().copied().unwrap_or_default(),
                    draw.committee()
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(" ")
                ));
                drawn.push(json!({"step": number, "set": draw.set.number(), "executors": executors,
                    "committee": draw.committee(), "task": draw.task}));
            }
            None => text.push(format!("step {number}: drawn with the next block")),
        }
    }
    for output in &outputs {
        let value = output
            .value
            .as_ref()
            .map_or(output.hash.to_string(), ToString::to_string);
        text.push(format!(
            "output {}: {value}  ({} s, {} bytes)",
            output.step, output.seconds, output.bytes
        ));
    }
    let mut value = run_json(&run);
    if let Some(object) = value.as_object_mut() {
        object.insert("reserved".to_owned(), json!(state.reserved.to_string()));
        object.insert("time".to_owned(), json!(state.time));
        object.insert("request".to_owned(), json!(run.request.is_some()));
        object.insert("steps".to_owned(), json!(steps.len()));
        object.insert("drawn".to_owned(), json!(drawn));
        let listed = outputs.iter().map(|o| {
            json!({"step": o.step, "output_hash": o.hash, "output": o.value, "seconds": o.seconds, "bytes": o.bytes})
        });
        object.insert("outputs".to_owned(), json!(listed.collect::<Vec<_>>()));
        object.insert("node".to_owned(), json!(told));
    }
    ui.result(&text.join("\n"), &value);
    Ok(())
}

async fn close(args: Close, ui: Ui) -> Result<(), Failure> {
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let sent = actions.close_run(args.run).await.map_err(|e| {
        if e.to_string().contains("RunIsOpen") {
            Failure::new(
                e,
                "wait until the time the contract names (Unix seconds), then close it",
            )
        } else {
            e.into()
        }
    })?;
    let run = network::run(&contracts, args.run).await.map_err(network_failure)?;
    let returned = run.and_then(|run| run.closed).unwrap_or_default();
    ui.result(
        &format!("{} returned to the owner's deposit", show_amount(returned)),
        &json!({"run": args.run, "returned": returned.to_string(), "transaction": sent.hash}),
    );
    Ok(())
}
