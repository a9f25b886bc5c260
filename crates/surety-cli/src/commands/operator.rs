//! `surety operator`: keys, bonds, standing.

use std::path::PathBuf;

use alloy::{
    primitives::{Address, U256},
    signers::local::PrivateKeySigner,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use surety_chain::{OperatorInfo, keys};
use surety_client::{Limits, ProviderRpc};

use crate::{
    context::{ChainArgs, KeyArgs},
    exit::{Failure, code},
    ui::Ui,
    values::{amount, show_amount},
};

/// Most operators listed.
const MAX_LISTED: usize = 1_000;

/// Serve services and put up bonds.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new key in an encrypted keystore.
    Key(Key),
    /// Register (if needed) and deposit a bond for a service.
    Join(Join),
    /// Start leaving a service; the bond is free after the delay.
    Leave(Of),
    /// Take bond and reward out, after leaving and the delay.
    Withdraw(Of),
    /// Change the URL of the operator's JSON-RPC.
    Endpoint(Endpoint),
    /// Show the operators of a service, or one of them.
    Status(Status),
}

/// Arguments of `surety operator key`.
#[derive(Debug, Args)]
pub struct Key {
    /// The keystore file to write; must not exist.
    #[arg(long, value_name = "FILE")]
    keystore: PathBuf,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE", env = "SURETY_PASSWORD_FILE")]
    password_file: PathBuf,
}

/// Arguments of `surety operator join`.
#[derive(Debug, Args)]
pub struct Join {
    /// The service: its address, or its name.
    service: String,
    /// URL at which clients reach the operator's node.
    #[arg(long, value_name = "URL")]
    endpoint: String,
    /// Bond to reach, in tokens (32.5) or wei (123wei); the service's minimum if not given.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    bond: Option<U256>,
    #[command(flatten)]
    key: KeyArgs,
    /// Keystore of the key that signs answers, if it is another than the one that pays and owns the bond.
    #[arg(long, value_name = "FILE")]
    operator_keystore: Option<PathBuf>,
    /// Password file of that keystore.
    #[arg(long, value_name = "FILE", requires = "operator_keystore")]
    operator_password_file: Option<PathBuf>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety operator leave` and `withdraw`.
#[derive(Debug, Args)]
pub struct Of {
    /// The service: its address, or its name.
    service: String,
    /// The operator; the keystore's own address if not given.
    #[arg(long, value_name = "ADDRESS")]
    operator: Option<Address>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety operator endpoint`.
#[derive(Debug, Args)]
pub struct Endpoint {
    /// The new URL.
    url: String,
    /// The operator; the keystore's own address if not given.
    #[arg(long, value_name = "ADDRESS")]
    operator: Option<Address>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety operator status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The service: its address, or its name.
    service: String,
    /// Only this operator; exit code 14 if its answers cannot be trusted.
    #[arg(long, value_name = "ADDRESS")]
    operator: Option<Address>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Does what was asked.
pub async fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::Key(args) => key(&args, ui),
        Command::Join(args) => join(args, ui).await,
        Command::Leave(args) => leave(args, ui).await,
        Command::Withdraw(args) => withdraw(args, ui).await,
        Command::Endpoint(args) => endpoint(args, ui).await,
        Command::Status(args) => status(args, ui).await,
    }
}

fn key(args: &Key, ui: Ui) -> Result<(), Failure> {
    let password = std::fs::read_to_string(&args.password_file).map_err(|e| {
        Failure::new(
            format!("the password file {} cannot be read: {e}", args.password_file.display()),
            "write a password into a file only you can read, and name it",
        )
    })?;
    let password = password.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::new(
            "the password is empty",
            "write a password into the first line of the file",
        ));
    }
    let signer = PrivateKeySigner::random();
    keys::create(&args.keystore, &signer, password)?;
    ui.result(
        &format!("{} in {}", signer.address(), args.keystore.display()),
        &json!({"address": signer.address(), "keystore": args.keystore}),
    );
    Ok(())
}

async fn join(args: Join, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let info = contracts.service(service).await?.ok_or_else(|| {
        Failure::new(
            format!("service {service} is not registered"),
            "check the address, or `surety service register`",
        )
    })?;
    let operator_key = match &args.operator_keystore {
        None => args.key.open()?,
        Some(keystore) => {
            let password_file = args.operator_password_file.clone().or(args.key.password_file.clone());
            KeyArgs {
                keystore: Some(keystore.clone()),
                password_file,
            }
            .open()?
        }
    };
    let operator = operator_key.address();
    let mut transactions = Vec::new();
    match contracts.operator_of(operator).await? {
        None => {
            ui.note(&format!("registering operator {operator}"));
            transactions.push(actions.register_operator(&operator_key, &args.endpoint).await?.hash);
        }
        Some((owner, _)) if owner != actions.sender().account() => {
            return Err(Failure::new(
                format!(
                    "operator {operator} is owned by {owner}, not by {}",
                    actions.sender().account()
                ),
                "use the owner's keystore",
            ));
        }
        Some((_, endpoint)) if endpoint != args.endpoint => {
            ui.note(&format!("changing the endpoint from {endpoint}"));
            transactions.push(actions.set_endpoint(operator, &args.endpoint).await?.hash);
        }
        Some(_) => {}
    }
    let now = contracts.operator(service, operator).await?;
    let wanted = args.bond.unwrap_or(info.min_bond);
    let missing = wanted.saturating_sub(now.bond);
    if !missing.is_zero() {
        ui.note(&format!("depositing {}", show_amount(missing)));
        let held = contracts.token_balance(actions.sender().account()).await?;
        if held < missing {
            return Err(Failure::new(
                format!(
                    "{} holds {} of the bond token, needs {}",
                    actions.sender().account(),
                    show_amount(held),
                    show_amount(missing)
                ),
                format!(
                    "get some of the token {}; on a development network anybody can mint it",
                    contracts.deployment().token
                ),
            ));
        }
        transactions.push(actions.deposit(service, operator, missing).await?.hash);
    } else if now.leaving_until.is_some() {
        return Err(Failure::new(
            format!("operator {operator} is leaving; only a further deposit makes it stay"),
            "give a --bond above the present one",
        ));
    }
    let after = contracts.operator(service, operator).await?;
    let mut value = operator_json(&after);
    if let Some(object) = value.as_object_mut() {
        object.insert("transactions".to_owned(), json!(transactions));
    }
    ui.result(&operator_line(&after), &value);
    Ok(())
}

async fn leave(args: Of, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let actions = args.chain.actions(&args.key).await?;
    let operator = args.operator.unwrap_or(actions.sender().account());
    actions.leave(service, operator).await?;
    let after = args.chain.contracts().await?.operator(service, operator).await?;
    ui.result(&operator_line(&after), &operator_json(&after));
    Ok(())
}

async fn withdraw(args: Of, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let actions = args.chain.actions(&args.key).await?;
    let operator = args.operator.unwrap_or(actions.sender().account());
    let contracts = args.chain.contracts().await?;
    let before = contracts.token_balance(actions.sender().account()).await?;
    let sent = actions.withdraw_bond(service, operator).await?;
    let paid = contracts
        .token_balance(actions.sender().account())
        .await?
        .saturating_sub(before);
    ui.result(
        &format!("{} paid to {}", show_amount(paid), actions.sender().account()),
        &json!({"paid": paid.to_string(), "to": actions.sender().account(), "transaction": sent.hash}),
    );
    Ok(())
}

async fn endpoint(args: Endpoint, ui: Ui) -> Result<(), Failure> {
    let actions = args.chain.actions(&args.key).await?;
    let operator = args.operator.unwrap_or(actions.sender().account());
    let sent = actions.set_endpoint(operator, &args.url).await?;
    ui.result(
        &format!("{operator} is at {}", args.url),
        &json!({"operator": operator, "endpoint": args.url, "transaction": sent.hash}),
    );
    Ok(())
}

async fn status(args: Status, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let contracts = args.chain.contracts().await?;
    if contracts.service(service).await?.is_none() {
        return Err(Failure::new(
            format!("service {service} is not registered"),
            "check the address and --deployment",
        ));
    }
    let operators = match args.operator {
        Some(operator) => vec![contracts.operator(service, operator).await?],
        None => contracts.operators(service, MAX_LISTED).await?,
    };
    let limits = Limits {
        timeout: std::time::Duration::from_secs(5),
        ..Limits::default()
    };
    let mut lines = Vec::new();
    let mut values = Vec::new();
    for operator in &operators {
        let node = match ProviderRpc::new(&operator.endpoint, limits.clone()) {
            Ok(rpc) => rpc.status().await.map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        let up = if node.is_ok() { "up" } else { "down" };
        lines.push(format!("{}  {up}", operator_line(operator)));
        let mut value = operator_json(operator);
        if let Some(object) = value.as_object_mut() {
            object.insert("up".to_owned(), json!(node.is_ok()));
            match node {
                Ok(status) => object.insert("node".to_owned(), status),
                Err(e) => object.insert("node_error".to_owned(), json!(e)),
            };
        }
        values.push(value);
    }
    if lines.is_empty() {
        lines.push("no operators".to_owned());
    }
    ui.result(&lines.join("\n"), &json!({"service": service, "operators": values}));
    match (args.operator, operators.first()) {
        (Some(operator), Some(info)) if !info.bonded => Err(Failure::new(
            format!("operator {operator} is not bonded for {service}, or is leaving"),
            "do not trust its answers; `surety operator join` adds a bond",
        )
        .with_code(code::NOT_BONDED)),
        _ => Ok(()),
    }
}

fn operator_line(o: &OperatorInfo) -> String {
    let standing = match (o.bonded, o.leaving_until) {
        (_, Some(until)) => format!("leaving, bond free at {until}"),
        (true, None) => "bonded".to_owned(),
        (false, None) => "NOT bonded".to_owned(),
    };
    let locks = if o.locks > 0 {
        format!(", in {} disputes", o.locks)
    } else {
        String::new()
    };
    format!(
        "{}  {}  bond {}  reward {}  {standing}{locks}",
        o.operator,
        if o.endpoint.is_empty() {
            "(no endpoint)"
        } else {
            &o.endpoint
        },
        show_amount(o.bond),
        show_amount(o.reward)
    )
}

/// An operator as JSON; amounts in wei, as decimal strings.
pub fn operator_json(o: &OperatorInfo) -> Value {
    json!({
        "operator": o.operator, "owner": o.owner, "endpoint": o.endpoint, "bond": o.bond.to_string(),
        "reward": o.reward.to_string(), "leaving_until": o.leaving_until, "locks": o.locks, "bonded": o.bonded,
    })
}
