//! `surety flow`: applications' graphs of events and tasks, and what pays for them.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, U256};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use surety_chain::Contracts;
use surety_client::network::{self, FlowRecord, RunRecord};
use surety_protocol::{
    manifest::{Network, Problems},
    network::flow::Flow,
};

use crate::{
    commands::network::{network_failure, node_failure, unregistered},
    context::{ChainArgs, KeyArgs, NodeArgs},
    exit::Failure,
    ui::Ui,
    values::{amount, show_amount},
};

/// Most log lines asked for at once.
const LOG_PAGE: u64 = 500;

/// Connect events to tasks: create flows, follow their runs, pay for them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a `flow.toml`: all that is wrong with it, each with file, line and column.
    Validate(Validate),
    /// Create a flow from a `flow.toml`.
    Create(Create),
    /// List flows, from the chain.
    List(List),
    /// Show a flow: definition, runs, what was paid. From the chain.
    Show(Show),
    /// Show a node's log of a flow.
    Logs(Logs),
    /// Delete a flow: no run of it starts any more; those that run go on.
    Delete(Delete),
    /// Add to the deposit that pays for flows and requests.
    Deposit(Deposit),
    /// Take out of the deposit what is not reserved by runs.
    Withdraw(Withdraw),
}

/// Arguments of `surety flow validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The file.
    #[arg(default_value = "flow.toml")]
    file: PathBuf,
    /// Manifest of a service that the flow uses: its events and tasks must be there. May be repeated.
    #[arg(long, value_name = "FILE")]
    manifest: Vec<PathBuf>,
    /// Deployment file; names of services are kept beside it.
    #[arg(
        long,
        value_name = "FILE",
        env = "SURETY_DEPLOYMENT",
        default_value = "surety-dev/deployment.json"
    )]
    deployment: PathBuf,
}

/// Arguments of `surety flow create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The file.
    #[arg(default_value = "flow.toml")]
    file: PathBuf,
    /// Bring the deposit to this amount first, in tokens (32.5) or wei (123wei).
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    deposit: Option<U256>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety flow list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only this account's flows.
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<Address>,
    /// Deleted ones too.
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety flow show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The flow's number.
    flow: U256,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety flow logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The flow's number.
    flow: U256,
    /// First line.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    from: u64,
    /// Go on as lines are written, until Ctrl-C.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// Arguments of `surety flow delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The flow's number.
    flow: U256,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety flow deposit`.
#[derive(Debug, Args)]
pub struct Deposit {
    /// What to add, in tokens (32.5) or wei (123wei).
    #[arg(value_name = "AMOUNT", value_parser = amount)]
    amount: U256,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety flow withdraw`.
#[derive(Debug, Args)]
pub struct Withdraw {
    /// What to take out, in tokens (32.5) or wei (123wei); all if not given.
    #[arg(value_name = "AMOUNT", value_parser = amount)]
    amount: Option<U256>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Does what was asked.
pub async fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::Validate(args) => validate(&args, ui),
        Command::Create(args) => create(args, ui).await,
        Command::List(args) => list(args, ui).await,
        Command::Show(args) => show(args, ui).await,
        Command::Logs(args) => logs(args, ui).await,
        Command::Delete(args) => delete(args, ui).await,
        Command::Deposit(args) => deposit(args, ui).await,
        Command::Withdraw(args) => withdraw(args, ui).await,
    }
}

/// Reads and checks a file; the problems if it is wrong.
fn read(file: &std::path::Path, deployment: &std::path::Path) -> Result<Result<Flow, Problems>, Failure> {
    let next = "name a flow.toml; `surety service init NAME --network` writes an example";
    let cannot = |e: &dyn std::fmt::Display| Failure::new(format!("{} cannot be read: {e}", file.display()), next);
    let length = std::fs::metadata(file).map_err(|e| cannot(&e))?.len();
    if usize::try_from(length).is_ok_and(|length| length > network::MAX_FLOW_FILE) {
        return Err(cannot(&format!(
            "has {length} bytes, expected at most {}",
            network::MAX_FLOW_FILE
        )));
    }
    let text = std::fs::read_to_string(file).map_err(|e| cannot(&e))?;
    let known = crate::context::known_services(deployment);
    Ok(network::parse_flow(&text, |name| known.get(name).map(|s| s.address)))
}

fn wrong(file: &std::path::Path, problems: &Problems) -> Failure {
    Failure::new(
        crate::manifest::listed(file, problems).join("\n"),
        "correct it; `surety flow validate` checks it, docs/guides/flows.md explains it",
    )
}

fn validate(args: &Validate, ui: Ui) -> Result<(), Failure> {
    let flow = match read(&args.file, &args.deployment)? {
        Ok(flow) => flow,
        Err(problems) => {
            let values: Vec<_> = problems
                .0
                .iter()
                .map(|p| json!({"line": p.line, "column": p.column, "path": p.path, "message": p.message}))
                .collect();
            ui.result(
                &crate::manifest::listed(&args.file, &problems).join("\n"),
                &json!({"valid": false, "file": args.file, "problems": values}),
            );
            return Err(Failure::new(
                format!("{} has {} problem(s)", args.file.display(), problems.0.len()),
                "correct them; docs/guides/flows.md explains the file, services.json holds the known names",
            ));
        }
    };
    let unknown = against_manifests(&flow, &args.manifest, &args.deployment)?;
    if !unknown.is_empty() {
        let values: Vec<_> = unknown.iter().map(|message| json!({"message": message})).collect();
        let listed: Vec<_> = unknown
            .iter()
            .map(|m| format!("{}: {m}", args.file.display()))
            .collect();
        ui.result(
            &listed.join("\n"),
            &json!({"valid": false, "file": args.file, "problems": values}),
        );
        return Err(Failure::new(
            format!("{} has {} problem(s)", args.file.display(), unknown.len()),
            "correct the names in the flow, or name the manifest that has them with --manifest",
        ));
    }
    let (trigger, steps) = on_chain(&flow)?;
    let cost = network::cost_of_run(&trigger, &steps);
    let mut text = vec![
        format!("{} is a good flow", args.file.display()),
        format!("name        {}", flow.name()),
        format!("nodes       {}", flow.nodes().len()),
        format!("tasks       {}", steps.len()),
        format!("a run costs {} at most", show_amount(cost)),
    ];
    if let Some(start) = flow.start() {
        text.push(format!("starts on   {} of {}", start.event_name(), start.service()));
    }
    ui.result(
        &text.join("\n"),
        &json!({"valid": true, "file": args.file, "name": flow.name(), "nodes": flow.nodes().len(),
            "tasks": steps.len(), "most": cost.to_string(), "problems": [],
            "definition": serde_json::from_str::<Value>(flow.to_json()).ok()}),
    );
    Ok(())
}

/// What the flow uses and the manifests at hand do not have. A manifest is that of the known service with its name.
fn against_manifests(flow: &Flow, manifests: &[PathBuf], deployment: &std::path::Path) -> Result<Vec<String>, Failure> {
    use surety_protocol::network::flow::{Start, Work};
    let known = crate::context::known_services(deployment);
    let mut services = Vec::new();
    for path in manifests {
        let (path, text) = crate::manifest::text(path)?;
        let found = Network::parse(&text, Network::PROGRAM_KEYS).map_err(|problems| {
            Failure::new(
                crate::manifest::listed(&path, &problems).join("\n"),
                "`surety service validate` checks a manifest",
            )
        })?;
        let Some(service) = known.get(&found.name) else {
            return Err(Failure::new(
                format!("{}: service {} is not known by this name", path.display(), found.name),
                "register it first (`surety service register` keeps its name beside the deployment file)",
            ));
        };
        services.push((service.address, found));
    }
    let of = |service: Address| {
        services
            .iter()
            .find(|(address, _)| *address == service)
            .map(|(_, found)| found)
    };
    let mut problems = Vec::new();
    for node in flow.nodes() {
        let (service, event, task) = match &node.work {
            Work::Start(Start::Event { service, event, .. }) => (*service, Some(event), None),
            Work::Start(Start::Result { service, task, .. }) => (*service, None, Some(task)),
            Work::Task { step, .. } => (step.service, None, Some(&step.task)),
            Work::Map(_) | Work::Filter(_) => continue,
        };
        let Some(manifest) = of(service) else { continue };
        let names = |keys: Vec<&String>| keys.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(event) = event.filter(|event| !manifest.events.contains_key(*event)) {
            let has = names(manifest.events.keys().collect());
            problems.push(format!(
                "node `{}`: {} has no event `{event}`, it has {has}",
                node.key, manifest.name
            ));
        }
        if let Some(task) = task.filter(|task| !manifest.tasks.contains_key(*task)) {
            let has = names(manifest.tasks.keys().collect());
            problems.push(format!(
                "node `{}`: {} has no task `{task}`, it has {has}",
                node.key, manifest.name
            ));
        }
    }
    Ok(problems)
}

fn on_chain(flow: &Flow) -> Result<(surety_chain::bindings::Trigger, Vec<surety_chain::bindings::Step>), Failure> {
    let trigger = network::trigger_of(flow)
        .ok_or_else(|| Failure::new("nothing starts the flow", "add a node of type event or result"))?;
    Ok((trigger, network::steps_of(flow)))
}

async fn create(args: Create, ui: Ui) -> Result<(), Failure> {
    let flow = read(&args.file, &args.chain.deployment)?.map_err(|problems| wrong(&args.file, &problems))?;
    let (trigger, steps) = on_chain(&flow)?;
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let owner = actions.sender().account();
    for service in steps.iter().map(|s| s.service).chain([trigger.service]) {
        if contracts.service(service).await?.is_none() {
            return Err(unregistered(service));
        }
    }
    let mut transactions = Vec::new();
    if let Some(wanted) = args.deposit {
        let missing = wanted.saturating_sub(contracts.application_deposit(owner).await?);
        if !missing.is_zero() {
            ui.note(&format!("depositing {}", show_amount(missing)));
            transactions.push(pay_in(&actions, &contracts, missing).await?);
        }
    }
    let cost = network::cost_of_run(&trigger, &steps);
    let definition = flow.to_json().as_bytes().to_vec();
    let (number, sent) = actions.create_flow(definition.into(), trigger, steps).await?;
    transactions.push(sent.hash);
    let held = contracts.application_deposit(owner).await?;
    ui.result(
        &format!("flow {number}: {}", flow.name()),
        &json!({"flow": number, "name": flow.name(), "owner": owner, "most": cost.to_string(),
            "deposit": held.to_string(), "transactions": transactions, "gas": sent.gas}),
    );
    if held < cost {
        ui.note(&format!(
            "note: the deposit is {}, a run may need {}: no run starts without it; next: surety flow deposit {}",
            show_amount(held),
            show_amount(cost),
            show_amount(cost.saturating_sub(held))
        ));
    }
    Ok(())
}

/// The name in a definition.
fn name_of(flow: &FlowRecord) -> String {
    definition(flow)
        .get("name")
        .and_then(Value::as_str)
        .map_or("(no name)".to_owned(), ToOwned::to_owned)
}

/// The definition, whoever wrote it; null if it is no JSON.
fn definition(flow: &FlowRecord) -> Value {
    serde_json::from_slice(&flow.definition).unwrap_or_default()
}

async fn list(args: List, ui: Ui) -> Result<(), Failure> {
    let contracts = args.chain.contracts().await?;
    let mut flows = network::flows(&contracts, args.owner).await.map_err(network_failure)?;
    flows.retain(|flow| flow.active || args.deleted);
    let deposit = match args.owner {
        Some(owner) => Some(contracts.application_deposit(owner).await?),
        None => None,
    };
    let mut text: Vec<String> = flows
        .iter()
        .map(|flow| {
            let deleted = if flow.active { "" } else { "  deleted" };
            format!(
                "{}  {}  {} tasks  owner {}{deleted}",
                flow.flow,
                name_of(flow),
                flow.steps.len(),
                flow.owner
            )
        })
        .collect();
    if text.is_empty() {
        text.push("no flows".to_owned());
    }
    if let Some(deposit) = deposit {
        text.push(format!("deposit {}", show_amount(deposit)));
    }
    ui.result(
        &text.join("\n"),
        &json!({"deposit": deposit.map(|d| d.to_string()), "flows": flows.iter().map(|flow| json!({
            "flow": flow.flow, "name": name_of(flow), "owner": flow.owner, "active": flow.active,
            "steps": flow.steps.len(), "block": flow.block})).collect::<Vec<_>>()}),
    );
    Ok(())
}

async fn existing(contracts: &Contracts, number: U256) -> Result<FlowRecord, Failure> {
    network::flow(contracts, number)
        .await
        .map_err(network_failure)?
        .ok_or_else(|| {
            Failure::new(
                format!("there is no flow {number}"),
                "`surety flow list` lists them; check --deployment",
            )
        })
}

async fn show(args: Show, ui: Ui) -> Result<(), Failure> {
    let contracts = args.chain.contracts().await?;
    let flow = existing(&contracts, args.flow).await?;
    let runs = network::runs(&contracts, args.flow).await.map_err(network_failure)?;
    let deposit = contracts.application_deposit(flow.owner).await?;
    let known = args.chain.services();
    let called = |address: Address| {
        known
            .iter()
            .find(|(_, s)| s.address == address)
            .map_or(address.to_string(), |(name, _)| format!("{name} {address}"))
    };
    let cost = network::cost_of_run(&flow.trigger, &flow.steps);
    let written = definition(&flow);
    let mut text = vec![
        format!("flow        {}", flow.flow),
        format!("name        {}", name_of(&flow)),
        format!("state       {}", if flow.active { "active" } else { "deleted" }),
        format!("owner       {}  deposit {}", flow.owner, show_amount(deposit)),
        format!("created     block {}", flow.block),
        format!(
            "starts on   {}  fee {}",
            called(flow.trigger.service),
            show_amount(U256::from(flow.trigger.fee))
        ),
        format!("a run costs {} at most", show_amount(cost)),
    ];
    let nodes = written
        .get("node")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let tasks: Vec<&Value> = nodes.iter().filter(|n| n.get("type") == Some(&json!("task"))).collect();
    for (index, step) in flow.steps.iter().enumerate() {
        let word = |key: &str| {
            tasks
                .get(index)
                .and_then(|task| task.get(key))
                .and_then(Value::as_str)
                .unwrap_or("?")
        };
        text.push(format!(
            "step {index}      {} ({})  {}  {} validators  {} s  most {}",
            word("key"),
            word("task"),
            called(step.service),
            step.validators,
            step.window,
            show_amount(U256::from(step.most))
        ));
    }
    text.extend(runs.iter().flat_map(|run| run_lines(run, flow.steps.len())));
    if runs.is_empty() {
        text.push("no runs".to_owned());
    }
    ui.result(
        &text.join("\n"),
        &json!({"flow": flow.flow, "name": name_of(&flow), "owner": flow.owner, "active": flow.active,
            "deposit": deposit.to_string(), "block": flow.block, "most": cost.to_string(), "definition": written,
            "trigger": {"service": flow.trigger.service, "event_name_hash": flow.trigger.eventName,
                "fee": flow.trigger.fee.to_string()},
            "steps": flow.steps.iter().map(|s| json!({"service": s.service, "task_hash": s.task,
                "validators": s.validators, "window": s.window, "most": s.most.to_string(), "nodes": s.nodes}))
                .collect::<Vec<_>>(),
            "runs": runs.iter().map(run_json).collect::<Vec<_>>()}),
    );
    Ok(())
}

/// A run as people read it.
pub fn run_lines(run: &RunRecord, steps: usize) -> Vec<String> {
    let state = match (run.closed, run.settled.len() >= steps) {
        (Some(returned), _) => format!("closed, {} returned", show_amount(returned)),
        (None, true) => "done".to_owned(),
        (None, false) => format!("running, {} of {steps} settled", run.settled.len()),
    };
    let mut lines = vec![format!("run {}  block {}  {state}", run.run, run.block)];
    for step in &run.settled {
        lines.push(format!(
            "    step {}  attempt {}  executor {}  paid {}  result {}",
            step.step,
            step.attempt,
            step.executor,
            show_amount(step.paid),
            step.result
        ));
    }
    lines
}

/// A run as JSON; amounts in wei, as decimal strings.
pub fn run_json(run: &RunRecord) -> Value {
    json!({"run": run.run, "flow": run.flow, "key": run.key, "value": run.value, "block": run.block,
        "returned": run.closed.map(|r| r.to_string()), "closed": run.closed.is_some(),
        "settled": run.settled.iter().map(|s| json!({"step": s.step, "attempt": s.attempt, "executor": s.executor,
            "result": s.result, "paid": s.paid.to_string(), "transaction": s.transaction, "block": s.block}))
            .collect::<Vec<_>>()})
}

async fn logs(args: Logs, ui: Ui) -> Result<(), Failure> {
    let api = args.node.api()?;
    let mut next = args.from;
    let mut all = Vec::new();
    let mut stop = crate::commands::dev::Stop::new()?;
    loop {
        let page = api.logs(args.flow, next, LOG_PAGE).await.map_err(node_failure)?;
        let more = !page.is_empty();
        for line in page {
            next = next.max(line.number.saturating_add(1));
            if args.follow {
                // One document a line, as they come.
                ui.line(&log_text(&line), &json!({"number": line.number, "line": line.line}));
            } else {
                all.push(line);
            }
        }
        if more {
            continue;
        }
        if !args.follow {
            break;
        }
        tokio::select! {
            () = stop.wait() => return Ok(()),
            () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {}
        }
    }
    let mut text: Vec<String> = all.iter().map(log_text).collect();
    if text.is_empty() {
        text.push("no lines".to_owned());
    }
    ui.result(
        &text.join("\n"),
        &json!({"flow": args.flow, "next": next,
            "lines": all.iter().map(|l| json!({"number": l.number, "line": l.line})).collect::<Vec<_>>(),
            "verify": format!("surety flow show {} reads runs and payments from the chain", args.flow)}),
    );
    Ok(())
}

/// `key value` of each field, in the order of their names.
fn log_text(line: &network::LogLine) -> String {
    let fields = match &line.line {
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| match value {
                Value::String(text) => format!("{key} {text}"),
                other => format!("{key} {other}"),
            };
            fields.iter().map(field).collect::<Vec<_>>().join("  ")
        }
        other => other.to_string(),
    };
    format!("{:>6}  {fields}", line.number)
}

async fn delete(args: Delete, ui: Ui) -> Result<(), Failure> {
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let flow = existing(&contracts, args.flow).await?;
    if flow.owner != actions.sender().account() {
        return Err(Failure::new(
            format!(
                "flow {} belongs to {}, not to {}",
                flow.flow,
                flow.owner,
                actions.sender().account()
            ),
            "use the owner's keystore",
        ));
    }
    let transaction = if flow.active {
        Some(actions.delete_flow(args.flow).await?.hash)
    } else {
        None
    };
    ui.result(
        &format!("flow {} is deleted", args.flow),
        &json!({"flow": args.flow, "active": false, "transaction": transaction}),
    );
    Ok(())
}

/// Adds to the deposit, if the account has that much.
async fn pay_in(actions: &surety_chain::Actions, contracts: &Contracts, wei: U256) -> Result<B256, Failure> {
    let account = actions.sender().account();
    let held = contracts.token_balance(account).await?;
    if held < wei {
        return Err(Failure::new(
            format!(
                "{account} holds {} of the token, needs {}",
                show_amount(held),
                show_amount(wei)
            ),
            format!(
                "get some of the token {}; on a development network anybody can mint it",
                contracts.deployment().token
            ),
        ));
    }
    Ok(actions.fund_tasks(wei).await?.hash)
}

async fn deposit(args: Deposit, ui: Ui) -> Result<(), Failure> {
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let account = actions.sender().account();
    let transaction = pay_in(&actions, &contracts, args.amount).await?;
    let held = contracts.application_deposit(account).await?;
    ui.result(
        &format!("the deposit of {account} is {}", show_amount(held)),
        &json!({"account": account, "deposit": held.to_string(), "transaction": transaction}),
    );
    Ok(())
}

async fn withdraw(args: Withdraw, ui: Ui) -> Result<(), Failure> {
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let account = actions.sender().account();
    let before = contracts.application_deposit(account).await?;
    let wanted = args.amount.unwrap_or(before);
    if wanted > before || wanted.is_zero() {
        return Err(Failure::new(
            format!(
                "the deposit of {account} has {} that no run reserves, asked for {}",
                show_amount(before),
                show_amount(wanted)
            ),
            "ask for less; what runs reserve comes back when they end (`surety task close RUN`)",
        ));
    }
    let sent = actions.withdraw_from_tasks(wanted).await?;
    let held = contracts.application_deposit(account).await?;
    ui.result(
        &format!(
            "{} paid to {account}, the deposit is {}",
            show_amount(wanted),
            show_amount(held)
        ),
        &json!({"account": account, "paid": wanted.to_string(), "deposit": held.to_string(),
            "transaction": sent.hash}),
    );
    Ok(())
}
