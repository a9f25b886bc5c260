//! `surety network`: nodes, sets, certified events.

use alloy::primitives::Address;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use surety_client::{
    RpcError,
    network::{self, NetworkError},
};
use surety_primitives::{set::Set, vote::VoteKind};

use crate::{
    context::{ChainArgs, KeyArgs, NodeArgs},
    exit::{Failure, code},
    ui::Ui,
};

/// Look into the network: nodes, sets of members, certified events.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What a node says about itself: peers, services, sets.
    Status(Status),
    /// List the sets of a service, and the members of one of them: power, weight, keys. From the chain.
    Sets(Sets),
    /// Fix a service's next set. Anyone may, once in a period.
    Fix(Fix),
    /// List the events of a service that a node has seen certified lately.
    Events(Events),
}

/// Arguments of `surety network status`.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    node: NodeArgs,
}

/// Arguments of `surety network sets`.
#[derive(Debug, Args)]
pub struct Sets {
    /// The service: its address, or its name.
    service: String,
    /// The set whose members are listed; the newest if not given.
    #[arg(long, value_name = "NUMBER")]
    set: Option<u64>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety network fix`.
#[derive(Debug, Args)]
pub struct Fix {
    /// The service: its address, or its name.
    service: String,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety network events`.
#[derive(Debug, Args)]
pub struct Events {
    /// The service: its address, or its name.
    service: String,
    /// Most events listed.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Also fetch each certificate and verify it against the chain; exit code 18 if one does not verify.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Does what was asked.
pub async fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::Status(args) => status(args, ui).await,
        Command::Sets(args) => sets(args, ui).await,
        Command::Fix(args) => fix(args, ui).await,
        Command::Events(args) => events(args, ui).await,
    }
}

async fn status(args: Status, ui: Ui) -> Result<(), Failure> {
    let status = args.node.api()?.status().await.map_err(node_failure)?;
    let peers = match &status.peers {
        Value::Array(list) => list.len().to_string(),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    };
    let head = match &status.head {
        Value::Object(head) => head.get("block").or(head.get("number")).unwrap_or(&Value::Null),
        other => other,
    };
    let mut text = vec![
        format!("operator  {}", status.operator),
        format!("peer id   {}", status.peer_id),
        format!("listens   {}", status.listen.join(", ")),
        format!("peers     {peers}"),
        format!("head      {head}"),
    ];
    let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
    for service in &status.services {
        text.push(format!(
            "service   {} {}  set {} of {} members, index {}, {} pending, {} certified",
            service.service,
            service.name.as_deref().unwrap_or_default(),
            number(service.set),
            number(service.members),
            number(service.index),
            number(service.pending),
            number(service.certified)
        ));
    }
    let value = serde_json::to_value(&status).unwrap_or_default();
    ui.result(&text.join("\n"), &value);
    Ok(())
}

async fn sets(args: Sets, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let contracts = args.chain.contracts().await?;
    if contracts.service(service).await?.is_none() {
        return Err(unregistered(service));
    }
    let all = contracts.sets(service, contracts.deployment().from_block).await?;
    let Some(newest) = all.last().map(|(number, _, _)| *number) else {
        ui.result("no sets", &json!({"service": service, "sets": [], "set": null}));
        ui.note(&format!(
            "next: surety network fix {} fixes the first one",
            args.service
        ));
        return Ok(());
    };
    let shown = network::set(&contracts, service, args.set.unwrap_or(newest))
        .await
        .map_err(network_failure)?;
    let quorum = contracts.quorum_at(service, shown.number()).await?;
    let mut text: Vec<String> = all
        .iter()
        .map(|(number, block, _)| format!("set {number}  fixed at block {block}"))
        .collect();
    text.push(format!(
        "members of set {} (quorum {quorum}/10000 of power {}):",
        shown.number(),
        shown.power()
    ));
    for (index, member) in shown.members().iter().enumerate() {
        let share = u128::from(member.power).saturating_mul(10_000) / shown.power().max(1);
        text.push(format!(
            "{index:>3}  {}  power {} ({}.{:02} %)  weight {}",
            member.operator,
            member.power,
            share / 100,
            share % 100,
            member.weight
        ));
    }
    ui.result(
        &text.join("\n"),
        &json!({"service": service,
            "sets": all.iter().map(|(number, block, pages)| json!({"set": number, "fixed_at": block, "pages": pages}))
                .collect::<Vec<_>>(),
            "set": set_json(&shown, quorum)}),
    );
    Ok(())
}

fn set_json(set: &Set, quorum: u16) -> Value {
    json!({"set": set.number(), "fixed_at": set.fixed_at(), "power": set.power().to_string(), "quorum": quorum,
        "members": set.members().iter().enumerate().map(|(index, m)| json!({
            "index": index, "operator": m.operator, "power": m.power, "weight": m.weight,
            "bls_key": alloy::hex::encode_prefixed(m.key.to_eip2537()),
        })).collect::<Vec<_>>()})
}

async fn fix(args: Fix, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let sent = actions.fix_set(service).await.map_err(|e| {
        let text = e.to_string();
        let next = if text.contains("TooEarly") {
            "wait until the block the contract names; a set is fixed at most once in a period"
        } else if text.contains("NoMembers") {
            "operators are members when they are bonded (`surety operator join`) and have keys (`surety operator set-keys`)"
        } else {
            return e.into();
        };
        Failure::new(e, next)
    })?;
    let set = network::newest_set(&contracts, service)
        .await
        .map_err(network_failure)?;
    let Some(set) = set else {
        return Err(Failure::new(
            format!("transaction {} fixed no set", sent.hash),
            "check the endpoint: it does not show what was just written",
        ));
    };
    let quorum = contracts.quorum_at(service, set.number()).await?;
    let mut value = set_json(&set, quorum);
    if let Some(object) = value.as_object_mut() {
        object.insert("service".to_owned(), json!(service));
        object.insert("transaction".to_owned(), json!(sent.hash));
        object.insert("gas".to_owned(), json!(sent.gas));
    }
    ui.result(
        &format!("set {} of {service}: {} members", set.number(), set.members().len()),
        &value,
    );
    Ok(())
}

async fn events(args: Events, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let api = args.node.api()?;
    let events = api.events(service, args.limit).await.map_err(node_failure)?;
    let contracts = if args.verify {
        Some(args.chain.contracts().await?)
    } else {
        None
    };
    let (mut text, mut values) = (Vec::new(), Vec::new());
    let mut bad = None;
    for event in &events {
        let mut value = serde_json::to_value(event).unwrap_or_default();
        let mut verdict = "";
        if let Some(contracts) = &contracts {
            let verified = match api
                .certified(service, VoteKind::Event, event.key, Some(event.set))
                .await
            {
                Ok(Some(proven)) if proven.vote.value == event.value => {
                    network::check_event(contracts, proven, service, event.key)
                        .await
                        .map(|_| true)
                }
                Ok(_) => Ok(false),
                Err(e) => Err(e),
            };
            let good = matches!(verified, Ok(true));
            verdict = if good { "  verified" } else { "  NOT VERIFIED" };
            if !good && bad.is_none() {
                bad = Some(match verified {
                    Err(e) => e.to_string(),
                    Ok(_) => "the node has no certificate with this value".to_owned(),
                });
            }
            if let Some(object) = value.as_object_mut() {
                object.insert("verified".to_owned(), json!(good));
            }
        }
        text.push(format!(
            "{}  {}  value {}  set {}{verdict}",
            event.key,
            event.name.as_deref().unwrap_or_default(),
            event.value,
            event.set
        ));
        values.push(value);
    }
    if text.is_empty() {
        text.push("no events".to_owned());
    }
    let how = format!("surety certificate show {} KEY --node {}", args.service, api.endpoint());
    ui.result(
        &text.join("\n"),
        &json!({"service": service, "events": values, "verify": how}),
    );
    if !args.verify {
        ui.note(&format!("note: what the node says; {how} verifies one, --verify all"));
    }
    match bad {
        Some(cause) => Err(Failure::new(
            format!("an event's certificate does not verify: {cause}"),
            "do not use what this node says; ask another one",
        )
        .with_code(code::CERTIFICATE)),
        None => Ok(()),
    }
}

/// A service nobody registered.
pub fn unregistered(service: Address) -> Failure {
    Failure::new(
        format!("service {service} is not registered"),
        "check the address and --deployment, or `surety service register`",
    )
}

/// A node that does not answer, or declines.
pub fn node_failure(error: RpcError) -> Failure {
    let next = match &error {
        RpcError::Unreachable { .. } | RpcError::Timeout { .. } => {
            "check --node: the URL of `network.api` in the node's configuration, and that the node runs"
        }
        RpcError::Declined { code: -32601, .. } | RpcError::Malformed { .. } | RpcError::TooLong { .. } => {
            "check --node: it must be `network.api` of a node, not the port that answers requests"
        }
        RpcError::Declined { .. } => "read the node's message; another node may do it (--node)",
    };
    Failure::new(error, next)
}

/// What went wrong between here, a node and the chain.
pub fn network_failure(error: NetworkError) -> Failure {
    use NetworkError as E;
    let next = match error {
        E::Chain(e) => return e.into(),
        E::Node(e) => return node_failure(e),
        E::UnknownSet { .. } | E::NoSet { .. } => {
            "`surety network sets` lists the sets; `surety network fix` fixes one"
        }
        E::Roll { .. } | E::Quorum { .. } => "check --deployment: this is not what the contracts write",
        E::Certificate(_) | E::AnotherSubject { .. } | E::AnotherValue { .. } | E::Json(_) => {
            return Failure::new(error, "do not use it; ask another node (--node)").with_code(code::CERTIFICATE);
        }
        E::Value(_) => "correct the value: at most 16 levels and 1 MiB",
        E::Sealed(_) | E::NoEncryptionKey(_) => {
            "the operator must register its keys (`surety operator set-keys`); name other nodes with --nodes"
        }
        E::NobodyDrawn { .. } => "name nodes that are in the service's set: `surety network sets`",
    };
    Failure::new(error, next)
}
