//! `surety operator`: keys, bonds, standing.

use std::path::PathBuf;

use alloy::{
    primitives::{Address, U256},
    signers::local::PrivateKeySigner,
    sol_types::SolEvent,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use surety_chain::{
    OperatorInfo,
    bindings::{IIssuance, ITasks},
    keys,
};
use surety_client::{Limits, ProviderRpc, network};
use surety_p2p::{Identity, Multiaddr};
use surety_primitives::keys::KeysRegistration;

use crate::{
    commands::network::network_failure,
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
    /// Register the keys for votes and private payloads, which follow from the operator's key, and where its peer is.
    SetKeys(SetKeys),
    /// Register where an operator hosts containers of a service; it is never drawn as a monitor of that service from then on.
    SetHost(super::integrity::SetHost),
    /// Show an operator: owner, endpoint, keys, peer.
    Show(Show),
    /// Collect what the operator's signatures earned, and take out all it earned for a service.
    Claim(Claim),
    /// Count what was claimed for the running epoch of issuance, and mint what is due of earlier ones.
    Mint(Mint),
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
    #[command(flatten)]
    operator: OperatorKeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// The operator's own key, where it is not the owner's.
#[derive(Debug, Clone, Args)]
pub struct OperatorKeyArgs {
    /// Keystore of the key that signs answers and votes, if it is another than the one that pays and owns the bond.
    #[arg(long, value_name = "FILE")]
    operator_keystore: Option<PathBuf>,
    /// Password file of that keystore.
    #[arg(long, value_name = "FILE", requires = "operator_keystore")]
    operator_password_file: Option<PathBuf>,
}

impl OperatorKeyArgs {
    /// The operator's key; `owner` is the other one.
    fn open(&self, owner: &KeyArgs) -> Result<PrivateKeySigner, Failure> {
        let Some(keystore) = &self.operator_keystore else {
            return owner.open();
        };
        let password_file = self.operator_password_file.clone().or(owner.password_file.clone());
        KeyArgs {
            keystore: Some(keystore.clone()),
            password_file,
        }
        .open()
    }
}

/// Arguments of `surety operator set-keys`.
#[derive(Debug, Args)]
pub struct SetKeys {
    /// Multiaddress at which peers find the operator's node, without the `/p2p` part: `/ip4/203.0.113.7/tcp/9610`.
    #[arg(long, value_name = "MULTIADDRESS")]
    peer_address: String,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    operator: OperatorKeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety operator show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The operator; the keystore's own address if not given.
    operator: Option<Address>,
    /// Also show its bond, seats and earnings for this service: its address, or its name.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety operator claim`.
#[derive(Debug, Args)]
pub struct Claim {
    /// The service: its address, or its name.
    #[arg(long, value_name = "SERVICE")]
    service: String,
    /// The operator; the keystore's own address if not given.
    #[arg(long, value_name = "ADDRESS")]
    operator: Option<Address>,
    /// First set whose seats are collected; earlier ones were, or are left.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    from_set: u64,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety operator mint`.
#[derive(Debug, Args)]
pub struct Mint {
    /// The service: its address, or its name.
    #[arg(long, value_name = "SERVICE")]
    service: String,
    /// The operator; the keystore's own address if not given.
    #[arg(long, value_name = "ADDRESS")]
    operator: Option<Address>,
    /// How many epochs back are looked at.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1000))]
    epochs: u64,
    #[command(flatten)]
    key: KeyArgs,
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
        Command::SetKeys(args) => set_keys(args, ui).await,
        Command::SetHost(args) => super::integrity::set_host(args, ui).await,
        Command::Show(args) => show(args, ui).await,
        Command::Claim(args) => claim(args, ui).await,
        Command::Mint(args) => mint(args, ui).await,
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
    let operator_key = args.operator.open(&args.key)?;
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

async fn set_keys(args: SetKeys, ui: Ui) -> Result<(), Failure> {
    let next = "write it as /ip4/203.0.113.7/tcp/9610 or /dns/node.example.org/tcp/9610: where others can connect to";
    let address: Multiaddr = args
        .peer_address
        .parse()
        .map_err(|e| Failure::usage(format!("`{}` is no multiaddress: {e}", args.peer_address), next))?;
    if args.peer_address.contains("/p2p/") || address.is_empty() {
        return Err(Failure::usage(
            format!("`{}` is not an address without the peer id", args.peer_address),
            next,
        ));
    }
    let operator_key = args.operator.open(&args.key)?;
    let operator = operator_key.address();
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let owner = actions.sender().account();
    match contracts.operator_of(operator).await? {
        None => return Err(unknown(operator)),
        Some((found, _)) if found != owner => {
            return Err(Failure::new(
                format!("operator {operator} is owned by {found}, not by {owner}"),
                "use the owner's keystore with --keystore, the operator's with --operator-keystore",
            ));
        }
        Some(_) => {}
    }
    let secret = operator_key.to_bytes().0;
    let domain = contracts.deployment().registration_domain();
    let keys = KeysRegistration::derive(&domain, operator, &secret, args.peer_address.clone())
        .map_err(|e| Failure::new(e, "give a shorter --peer-address"))?;
    let peer = peer_id(&operator_key)?;
    let bls = keys.key.to_eip2537();
    let now = contracts.network_keys(operator).await?;
    let same =
        now.bls.as_ref() == bls && now.encryption == keys.encryption_key && now.peer_address == args.peer_address;
    let transaction = if same {
        ui.note("these keys are registered already");
        None
    } else {
        let proof = keys.proof.to_eip2537().to_vec();
        let sent = actions
            .set_keys(
                operator,
                bls.to_vec().into(),
                proof.into(),
                keys.encryption_key,
                &args.peer_address,
            )
            .await?;
        Some(sent.hash)
    };
    ui.result(
        &format!(
            "{operator} votes and receives private payloads; its peer is {}/p2p/{peer}",
            args.peer_address
        ),
        &json!({"operator": operator, "peer_id": peer, "peer_address": args.peer_address,
            "bls_key": alloy::hex::encode_prefixed(bls), "encryption_key": keys.encryption_key,
            "transaction": transaction}),
    );
    ui.note("next: it is a member of the sets fixed from now on (`surety network fix SERVICE`)");
    Ok(())
}

/// The peer id of an operator: the same secp256k1 key.
fn peer_id(key: &PrivateKeySigner) -> Result<String, Failure> {
    let identity =
        Identity::new(key.to_bytes().0).map_err(|e| Failure::new(e, "make another key with `surety operator key`"))?;
    Ok(identity.peer().to_string())
}

fn unknown(operator: Address) -> Failure {
    Failure::new(
        format!("operator {operator} is not registered"),
        "`surety operator join SERVICE --endpoint URL` registers it",
    )
}

async fn show(args: Show, ui: Ui) -> Result<(), Failure> {
    let own = args.key.open_if_given()?;
    let operator = match (args.operator, &own) {
        (Some(operator), _) => operator,
        (None, Some(key)) => key.address(),
        (None, None) => {
            return Err(Failure::usage(
                "no operator",
                "give an operator's address, or --keystore",
            ));
        }
    };
    let contracts = args.chain.contracts().await?;
    let Some((owner, endpoint)) = contracts.operator_of(operator).await? else {
        return Err(unknown(operator));
    };
    let keys = contracts.network_keys(operator).await?;
    // The id contains the public key, which an address does not: only the key itself gives it.
    let peer = match own.filter(|key| key.address() == operator) {
        Some(key) => Some(peer_id(&key)?),
        None => None,
    };
    let or = |text: &str, other: &str| {
        if text.is_empty() {
            other.to_owned()
        } else {
            text.to_owned()
        }
    };
    let bls = alloy::hex::encode_prefixed(&keys.bls);
    let mut text = vec![
        format!("operator        {operator}"),
        format!("owner           {owner}"),
        format!("endpoint        {}", or(&endpoint, "(none)")),
    ];
    if keys.bls.is_empty() {
        text.push("keys            none: it is in no set (`surety operator set-keys`)".to_owned());
    } else {
        text.push(format!("peer address    {}", or(&keys.peer_address, "(none)")));
        text.push(format!(
            "peer id         {}",
            peer.as_deref().unwrap_or("(shown with its --keystore)")
        ));
        text.push(format!("encryption key  {}", keys.encryption));
        text.push(format!("BLS key         {bls}"));
    }
    let mut value = json!({"operator": operator, "owner": owner, "endpoint": endpoint, "peer_id": peer,
        "peer_address": keys.peer_address, "encryption_key": keys.encryption,
        "bls_key": (!keys.bls.is_empty()).then_some(bls)});
    if let Some(service) = &args.service {
        let service = args.chain.service(service)?.address;
        let info = contracts.operator(service, operator).await?;
        let seats = network::seats(&contracts, service, operator, 1)
            .await
            .map_err(network_failure)?;
        let earned = contracts.earned(service, operator).await?;
        let waiting = seats
            .iter()
            .fold(U256::ZERO, |sum, seat| sum.saturating_add(seat.uncollected));
        text.push(operator_line(&info));
        let sets: Vec<_> = seats
            .iter()
            .map(|seat| format!("{}#{}", seat.set, seat.index))
            .collect();
        text.push(format!("seats           {}", or(&sets.join(" "), "(none)")));
        text.push(format!(
            "earned          {} and {} to collect",
            show_amount(earned),
            show_amount(waiting)
        ));
        if let Some(object) = value.as_object_mut() {
            object.insert("service".to_owned(), operator_json(&info));
            object.insert("earned".to_owned(), json!(earned.to_string()));
            let seats = seats
                .iter()
                .map(|seat| json!({"set": seat.set, "index": seat.index, "uncollected": seat.uncollected.to_string()}));
            object.insert("seats".to_owned(), json!(seats.collect::<Vec<_>>()));
        }
    }
    ui.result(&text.join("\n"), &value);
    Ok(())
}

async fn claim(args: Claim, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let account = actions.sender().account();
    let operator = args.operator.unwrap_or(account);
    match contracts.operator_of(operator).await? {
        None => return Err(unknown(operator)),
        Some((owner, _)) if owner != account => {
            return Err(Failure::new(
                format!("operator {operator} is owned by {owner}, not by {account}"),
                "use the owner's keystore: what is earned goes to the owner",
            ));
        }
        Some(_) => {}
    }
    let seats = network::seats(&contracts, service, operator, args.from_set)
        .await
        .map_err(network_failure)?;
    let mut transactions = Vec::new();
    for seat in seats.iter().filter(|seat| !seat.uncollected.is_zero()) {
        ui.note(&format!(
            "collecting {} of set {}",
            show_amount(seat.uncollected),
            seat.set
        ));
        transactions.push(actions.collect(service, seat.set, seat.index).await?.hash);
    }
    let earned = contracts.earned(service, operator).await?;
    if earned.is_zero() {
        ui.result(
            "nothing to claim",
            &json!({"operator": operator, "service": service, "earned": "0", "paid": "0", "transactions": transactions}),
        );
        return Ok(());
    }
    let before = contracts.token_balance(account).await?;
    transactions.push(actions.claim(service, operator).await?.hash);
    let paid = contracts.token_balance(account).await?.saturating_sub(before);
    ui.result(
        &format!(
            "{} earned, {} paid to {account}, the rest is burnt",
            show_amount(earned),
            show_amount(paid)
        ),
        &json!({"operator": operator, "service": service, "earned": earned.to_string(), "paid": paid.to_string(),
            "to": account, "transactions": transactions}),
    );
    Ok(())
}

async fn mint(args: Mint, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let account = actions.sender().account();
    let operator = args.operator.unwrap_or(account);
    let issuance = contracts.deployment().issuance;
    let rpc = contracts.rpc();
    let mut transactions = Vec::new();
    let claimed = ITasks::claimedOfCall { service, operator };
    let claimed = rpc.call(contracts.deployment().tasks, claimed).await?;
    let counted = rpc
        .call(issuance, IIssuance::countedOfCall { service, operator })
        .await?;
    let current = rpc.call(issuance, IIssuance::currentCall {}).await?;
    let mut minted = Vec::new();
    let mut epoch = current.saturating_sub(U256::from(args.epochs));
    while epoch < current {
        let points = rpc
            .call(
                issuance,
                IIssuance::pointsOfCall {
                    epoch,
                    service,
                    operator,
                },
            )
            .await?;
        if !points.is_zero() {
            let sent = actions
                .sender()
                .send(
                    issuance,
                    &IIssuance::mintCall {
                        epoch,
                        service,
                        operator,
                    },
                )
                .await?;
            let amount = sent
                .receipt
                .inner
                .logs()
                .iter()
                .find_map(|log| IIssuance::Minted::decode_log(&log.inner).ok())
                .map(|event| event.amount);
            transactions.push(sent.hash);
            minted.push((epoch, amount.unwrap_or_default()));
        }
        epoch = epoch.saturating_add(U256::from(1_u64));
    }
    let recorded = claimed.saturating_sub(counted);
    if !recorded.is_zero() {
        let call = IIssuance::recordCall { service, operator };
        transactions.push(actions.sender().send(issuance, &call).await?.hash);
    }
    let sum = minted
        .iter()
        .fold(U256::ZERO, |sum, (_, amount)| sum.saturating_add(*amount));
    ui.result(
        &format!(
            "{} minted for {} epochs; {} counted for epoch {current}, which can be minted when it is over",
            show_amount(sum),
            minted.len(),
            show_amount(recorded)
        ),
        &json!({"operator": operator, "service": service, "minted": sum.to_string(), "epoch": current.to_string(),
            "counted": recorded.to_string(), "transactions": transactions,
            "epochs": minted.iter().map(|(epoch, amount)| json!({"epoch": epoch.to_string(),
                "minted": amount.to_string()})).collect::<Vec<_>>()}),
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
