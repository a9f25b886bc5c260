//! `surety integrity`: plans, hosts and deployments of containers, and what is paid for watching them.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, U256};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use surety_chain::{
    Contracts, Error, Sent,
    integrity::{DeploymentInfo, DeploymentState, Plan, Status},
};
use surety_primitives::measurement::DeploymentId;

use super::measure;
use crate::ui::Ui;
use crate::{
    context::{ChainArgs, KeyArgs},
    exit::Failure,
    manifest::{self, FILE},
    values::{amount, show_amount},
};

/// Have containers run by hosts, and measured by monitors.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What a service deploys: its image, how it is watched, what is paid.
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Ask for a deployment of the service's plan to a host. By the service's owner.
    Deploy(Deploy),
    /// Add to what a deployment pays from. Anyone may.
    Fund(Fund),
    /// End a deployment. By the service's owner, or the host's.
    Retire(Of),
    /// Give what is left of a deployment that is over back to the service's owner. Anyone may.
    Settle(Of),
    /// Slash the host of a deployment that drifted. Anyone may.
    Punish(Of),
    /// Credit monitors and hosts of a deployment with what they earned, and take out the credit of the key's account.
    Collect(Of),
    /// Show a deployment and the epochs recorded of it; without one, all of the service.
    Show(Show),
    /// Measure a container once, and say what is not as it should be.
    Measure(measure::Measure),
    /// Write down what a plan is for an engine: a host's owner gives it to its agent, which deploys nothing else.
    Specification(measure::SpecificationArgs),
    /// Answer monitors on standard input and output: the one command of their SSH keys.
    Agent(measure::Serve),
}

/// Plans.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Set it from the `[container]` part of a manifest: the plan, and how many monitors are drawn. By the service's
    /// owner.
    Set(PlanSet),
    /// Show it.
    Show(PlanShow),
}

/// Arguments of `surety integrity plan set`.
#[derive(Debug, Args)]
pub struct PlanSet {
    /// The service: its address, or its name.
    service: String,
    /// The service's directory, with service.toml.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety integrity plan show`.
#[derive(Debug, Args)]
pub struct PlanShow {
    /// The service: its address, or its name.
    service: String,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety integrity deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// The service: its address, or its name.
    service: String,
    /// The host: an operator that registered for it (`surety operator set-host`).
    host: Address,
    /// Tokens to pay from, given at once.
    #[arg(long, value_name = "TOKENS")]
    fund: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety integrity fund`.
#[derive(Debug, Args)]
pub struct Fund {
    /// The service: its address, or its name.
    service: String,
    /// Which of its deployments.
    number: u64,
    /// How many tokens, with at most 9 decimals.
    tokens: String,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of what is done to a deployment.
#[derive(Debug, Args)]
pub struct Of {
    /// The service: its address, or its name.
    service: String,
    /// Which of its deployments; the last one if not given.
    number: Option<u64>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety integrity show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The service: its address, or its name.
    service: String,
    /// Which of its deployments.
    number: Option<u64>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Arguments of `surety operator set-host`.
#[derive(Debug, Args)]
pub struct SetHost {
    /// The operator: address of its key.
    operator: Address,
    /// The service: its address, or its name.
    service: String,
    /// Where its container engine is: ssh://user@host:port, or unix: and a path.
    endpoint: String,
    /// Fingerprint of the SSH host key, as `ssh-keygen -l` shows it: SHA256:…; or 0x and 64 hex digits.
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    host_key: Option<B256>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Does what was asked.
pub async fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::Plan(PlanCommand::Set(args)) => plan_set(args, ui).await,
        Command::Plan(PlanCommand::Show(args)) => plan_show(args, ui).await,
        Command::Deploy(args) => deploy(args, ui).await,
        Command::Fund(args) => fund(args, ui).await,
        Command::Retire(args) => retire(args, ui).await,
        Command::Settle(args) => settle(args, ui).await,
        Command::Punish(args) => punish(args, ui).await,
        Command::Collect(args) => collect(args, ui).await,
        Command::Show(args) => show(args, ui).await,
        Command::Measure(args) => measure::measure(args, ui).await,
        Command::Specification(args) => measure::specification(args, ui).await,
        Command::Agent(args) => measure::agent(args).await,
    }
}

/// `SHA256:` and base64 without padding, or hexadecimal.
fn fingerprint(text: &str) -> Result<B256, String> {
    let expected = "expected SHA256: and 43 characters of base64, or 0x and 64 hex digits";
    let Some(encoded) = text.strip_prefix("SHA256:") else {
        return text.parse().map_err(|_| expected.to_owned());
    };
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    // 43 digits of 6 bits: 256 bits and two zeros.
    let digits: Option<Vec<u8>> = encoded.trim_end_matches('=').bytes().map(digit).collect();
    let digits = digits.filter(|digits| digits.len() == 43).ok_or(expected)?;
    let (last, rest) = digits.split_last().ok_or(expected)?;
    let number = rest
        .iter()
        .fold(U256::ZERO, |number, digit| (number << 6) | U256::from(*digit));
    if last & 3 != 0 {
        return Err(expected.to_owned());
    }
    Ok(B256::from((number << 4) | U256::from(last >> 2)))
}

/// Registers where an operator hosts.
pub async fn set_host(args: SetHost, ui: Ui) -> Result<(), Failure> {
    let good = args.endpoint.starts_with("ssh://") || args.endpoint.starts_with("unix:");
    if !good || args.endpoint.len() > 256 {
        return Err(Failure::usage(
            format!("the endpoint is `{}`", args.endpoint),
            "give ssh://user@host:port, or unix: and a path, at most 256 bytes",
        ));
    }
    if args.endpoint.starts_with("ssh://") && args.host_key.is_none() {
        return Err(Failure::usage(
            "no fingerprint of the SSH host key",
            "give --host-key SHA256:…; `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` shows it on the host",
        ));
    }
    let service = args.chain.service(&args.service)?.address;
    let actions = args.chain.actions(&args.key).await?;
    let key = args.host_key.unwrap_or_default();
    let sent = actions.set_host(service, args.operator, &args.endpoint, key).await?;
    ui.result(
        &format!(
            "{} hosts for {service} at {}; it will not be drawn as a monitor of it any more",
            args.operator, args.endpoint
        ),
        &json!({"operator": args.operator, "service": service, "endpoint": args.endpoint, "host_key": key,
            "transaction": sent.hash, "gas": sent.gas}),
    );
    Ok(())
}

async fn plan_set(args: PlanSet, ui: Ui) -> Result<(), Failure> {
    let (manifest, _) = manifest::read(&args.dir)?;
    let Some(container) = manifest.container else {
        return Err(Failure::new(
            format!("{} has no [container]", args.dir.join(FILE).display()),
            "describe what hosts run: docs/spec/integrity.md, section 2",
        ));
    };
    let specification = container
        .specification_hash()
        .map_err(|e| Failure::new(format!("the container's specification: {e}"), "shorten it"))?;
    let plan = Plan {
        image: container.image.digest,
        specification,
        epoch: container.watch.epoch,
        unreachable_after: container.watch.unreachable_after,
        reward: container.watch.reward,
        host_reward: container.watch.host_reward,
    };
    let service = args.chain.service(&args.service)?.address;
    let actions = args.chain.actions(&args.key).await?;
    let contracts = args.chain.contracts().await?;
    let mut transactions = Vec::new();
    if contracts.plan(service).await? != Some(plan) {
        transactions.push(actions.set_plan(service, &plan).await?.hash);
    }
    let monitors = container.watch.monitors;
    if contracts.set_size(service).await? != monitors {
        transactions.push(actions.set_set_size(service, monitors).await?.hash);
    }
    let mut value = plan_json(service, &plan, monitors);
    extend(&mut value, json!({"transactions": transactions}));
    ui.result(&plan_text(&plan, monitors), &value);
    Ok(())
}

async fn plan_show(args: PlanShow, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let contracts = args.chain.contracts().await?;
    let plan = contracts.plan(service).await?.ok_or_else(|| {
        Failure::new(
            format!("{service} has no plan"),
            format!("surety integrity plan set {}", args.service),
        )
    })?;
    let monitors = contracts.set_size(service).await?;
    ui.result(&plan_text(&plan, monitors), &plan_json(service, &plan, monitors));
    Ok(())
}

fn plan_text(plan: &Plan, monitors: u8) -> String {
    [
        format!("image          sha256:{}", alloy::hex::encode(plan.image)),
        format!("specification  {}", plan.specification),
        format!(
            "epoch          {} s, unreachable after {}",
            plan.epoch, plan.unreachable_after
        ),
        format!("monitors       {monitors} at most"),
        format!(
            "rewards        {} to the monitors, {} to the host, for each epoch",
            show_amount(U256::from(plan.reward)),
            show_amount(U256::from(plan.host_reward))
        ),
    ]
    .join("\n")
}

fn plan_json(service: Address, plan: &Plan, monitors: u8) -> Value {
    json!({"service": service, "image": format!("sha256:{}", alloy::hex::encode(plan.image)),
        "specification": plan.specification, "epoch": plan.epoch, "unreachable_after": plan.unreachable_after,
        "monitors": monitors, "reward": plan.reward.to_string(), "host_reward": plan.host_reward.to_string()})
}

async fn deploy(args: Deploy, ui: Ui) -> Result<(), Failure> {
    let fund = args.fund.as_deref().map(tokens).transpose()?;
    let service = args.chain.service(&args.service)?.address;
    let actions = args.chain.actions(&args.key).await?;
    let (id, sent) = actions
        .deploy_container(service, args.host)
        .await
        .map_err(|e| advised(e, &args.service))?;
    let mut transactions = vec![sent.hash];
    if let Some(wei) = fund {
        transactions.push(actions.fund_deployment(id, wei).await?.hash);
    }
    let number = id.number().unwrap_or_default();
    ui.result(
        &format!("deployment {number} to {} is asked for: {id}", args.host),
        &json!({"deployment": id.to_string(), "number": number, "service": service, "host": args.host,
            "funded": fund.unwrap_or_default().to_string(), "transactions": transactions}),
    );
    Ok(())
}

/// What to do about a refusal.
fn advised(error: Error, service: &str) -> Failure {
    let text = error.to_string();
    let next = if text.contains("NoPlan") {
        format!("surety integrity plan set {service}")
    } else if text.contains("NotAHost") {
        format!("its owner registers it: surety operator set-host OPERATOR {service} ENDPOINT")
    } else if text.contains("HostIsMember") {
        format!("it was drawn as a monitor before it was a host: `surety network fix {service}` draws others")
    } else if text.contains("HostNotBonded") {
        "its owner bonds it: surety operator join".to_owned()
    } else if text.contains("NoSet") {
        format!("there are no monitors yet: surety network fix {service}")
    } else {
        return error.into();
    };
    Failure::new(text, next)
}

fn tokens(text: &str) -> Result<U256, Failure> {
    let next = "give tokens with at most 9 decimals, such as 12.5";
    let wei = amount(text).map_err(|e| Failure::usage(format!("`{text}`: {e}"), next))?;
    if wei.is_zero() || !(wei % U256::from(1_000_000_000)).is_zero() {
        return Err(Failure::usage(format!("`{text}` tokens"), next));
    }
    Ok(wei)
}

async fn fund(args: Fund, ui: Ui) -> Result<(), Failure> {
    let wei = tokens(&args.tokens)?;
    let id = DeploymentId::new(args.chain.service(&args.service)?.address, args.number);
    let actions = args.chain.actions(&args.key).await?;
    let sent = actions.fund_deployment(id, wei).await?;
    done(
        ui,
        &args.chain.contracts().await?,
        id,
        &sent,
        format!("deployment {} got {}", args.number, show_amount(wei)),
    )
    .await
}

/// The deployment meant.
pub(crate) async fn find(
    contracts: &Contracts,
    service: Address,
    number: Option<u64>,
) -> Result<DeploymentId, Failure> {
    let count = contracts.deployment_count(service).await?;
    let number = number.unwrap_or(count);
    if number == 0 || number > count {
        return Err(Failure::new(
            format!("{service} has {count} deployments, none with the number {number}"),
            "surety integrity deploy asks for one; surety integrity show lists them",
        ));
    }
    Ok(DeploymentId::new(service, number))
}

impl Of {
    async fn find(&self) -> Result<(Contracts, DeploymentId), Failure> {
        let service = self.chain.service(&self.service)?.address;
        let contracts = self.chain.contracts().await?;
        let id = find(&contracts, service, self.number).await?;
        Ok((contracts, id))
    }
}

/// Shows what became of the deployment.
async fn done(ui: Ui, contracts: &Contracts, id: DeploymentId, sent: &Sent, text: String) -> Result<(), Failure> {
    let info = known(contracts, id).await?;
    let mut value = state_json(&info);
    extend(&mut value, json!({"transaction": sent.hash, "gas": sent.gas}));
    ui.result(&text, &value);
    Ok(())
}

async fn known(contracts: &Contracts, id: DeploymentId) -> Result<DeploymentInfo, Failure> {
    contracts.deployed(id).await?.ok_or_else(|| {
        Failure::new(
            format!("there is no deployment {id}"),
            "surety integrity show lists those of a service",
        )
    })
}

async fn retire(args: Of, ui: Ui) -> Result<(), Failure> {
    let (contracts, id) = args.find().await?;
    let sent = args.chain.actions(&args.key).await?.retire_deployment(id).await?;
    let number = id.number().unwrap_or_default();
    if known(&contracts, id).await?.state.status == Status::Retiring {
        ui.note(&format!(
            "next: leave the container running until it is settled, since drift is still recorded; then, after a while: \
                 surety integrity settle {} {number}",
            args.service
        ));
    }
    done(ui, &contracts, id, &sent, format!("deployment {number} is retired")).await
}

async fn settle(args: Of, ui: Ui) -> Result<(), Failure> {
    let (contracts, id) = args.find().await?;
    let sent = args.chain.actions(&args.key).await?.settle_deployment(id).await?;
    let number = id.number().unwrap_or_default();
    done(ui, &contracts, id, &sent, format!("deployment {number} is settled")).await
}

async fn punish(args: Of, ui: Ui) -> Result<(), Failure> {
    let (contracts, id) = args.find().await?;
    let sent = args.chain.actions(&args.key).await?.punish_host(id).await?;
    let number = id.number().unwrap_or_default();
    done(
        ui,
        &contracts,
        id,
        &sent,
        format!("the host of deployment {number} is slashed"),
    )
    .await
}

/// Collects for everybody who has something to collect, and pays out what the key's account has then.
async fn collect(args: Of, ui: Ui) -> Result<(), Failure> {
    let (contracts, id) = args.find().await?;
    let actions = args.chain.actions(&args.key).await?;
    let mut transactions = Vec::new();
    let mut seats = Vec::new();
    let mut sets: Vec<u32> = contracts.epochs(id).await?.iter().map(|record| record.set).collect();
    sets.sort_unstable();
    sets.dedup();
    for set in sets {
        let members = contracts.set_members(id.service(), set.into()).await?;
        for seat in 0..members {
            let wei = contracts.uncollected_monitor(id, set.into(), seat).await?;
            if wei.is_zero() {
                continue;
            }
            transactions.push(actions.collect_monitor(id, set.into(), seat).await?.hash);
            seats.push(json!({"set": set, "seat": seat, "amount": wei.to_string()}));
        }
    }
    let host = contracts.uncollected_host(id).await?;
    if !host.is_zero() {
        transactions.push(actions.collect_host(id).await?.hash);
    }
    let credit = contracts.integrity_credit(actions.sender().account()).await?;
    if !credit.is_zero() {
        transactions.push(actions.withdraw_from_integrity().await?.hash);
    }
    ui.result(
        &format!(
            "collected for {} monitors and {} for the host; {} paid out",
            seats.len(),
            show_amount(host),
            show_amount(credit)
        ),
        &json!({"deployment": id.to_string(), "monitors": seats, "host": host.to_string(), "paid": credit.to_string(),
            "transactions": transactions}),
    );
    Ok(())
}

async fn show(args: Show, ui: Ui) -> Result<(), Failure> {
    let service = args.chain.service(&args.service)?.address;
    let contracts = args.chain.contracts().await?;
    let count = contracts.deployment_count(service).await?;
    let Some(number) = args.number else {
        let (mut text, mut values) = (Vec::new(), Vec::new());
        for number in 1..=count {
            let info = known(&contracts, DeploymentId::new(service, number)).await?;
            text.push(line(number, &info.state));
            values.push(state_json(&info));
        }
        let text = if text.is_empty() {
            "no deployments".to_owned()
        } else {
            text.join("\n")
        };
        ui.result(&text, &json!({"service": service, "deployments": values}));
        return Ok(());
    };
    let id = find(&contracts, service, Some(number)).await?;
    let info = known(&contracts, id).await?;
    let epochs = contracts.epochs(id).await?;
    let mut text = vec![line(number, &info.state)];
    text.push(format!("baseline  {}", info.state.baseline));
    if !info.state.evidence.is_zero() {
        text.push(format!("evidence  {}", info.state.evidence));
    }
    for record in &epochs {
        text.push(format!(
            "epoch {}  {}  set {}, {} signers{}  block {}",
            record.epoch,
            record.verdict,
            record.set,
            record.signers.count_ones(),
            if record.paid { "" } else { ", not paid" },
            record.block
        ));
    }
    let mut value = state_json(&info);
    extend(
        &mut value,
        json!({"epochs": epochs.iter().map(|record| json!({
            "epoch": record.epoch, "verdict": record.verdict.name(), "set": record.set,
            "signers": format!("{:#x}", record.signers), "paid": record.paid, "block": record.block,
            "transaction": record.transaction})).collect::<Vec<_>>()}),
    );
    ui.result(&text.join("\n"), &value);
    Ok(())
}

fn line(number: u64, state: &DeploymentState) -> String {
    format!(
        "deployment {number}  {}  host {}  last epoch {}  escrow {}",
        name(state.status),
        state.host,
        state.last_epoch,
        show_amount(U256::from(state.escrow))
    )
}

/// A status, in a word.
pub(crate) fn name(status: Status) -> &'static str {
    match status {
        Status::None => "none",
        Status::Requested => "requested",
        Status::Running => "running",
        Status::Drifted => "drifted",
        Status::Unreachable => "unreachable",
        Status::Retiring => "retiring",
        Status::Retired => "retired",
    }
}

fn state_json(info: &DeploymentInfo) -> Value {
    let mut value =
        json!({"deployment": info.id.to_string(), "number": info.id.number(), "service": info.id.service()});
    extend(&mut value, fields(&info.state));
    extend(&mut value, json!({"reporter": info.reporter}));
    value
}

/// A state's fields.
pub(crate) fn fields(state: &DeploymentState) -> Value {
    serde_json::to_value(state).unwrap_or_default()
}

fn extend(value: &mut Value, more: Value) {
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn fingerprints_are_those_of_ssh() {
        let zeros = format!("SHA256:{}", "A".repeat(43));
        assert_eq!(fingerprint(&zeros), Ok(Default::default()));
        let ones = format!("SHA256:{}8", "/".repeat(42));
        assert_eq!(fingerprint(&ones), Ok(alloy::primitives::B256::repeat_byte(0xff)));
        for bad in ["SHA256:AAAA", "MD5:00", "", &format!("SHA256:{}", "/".repeat(43))] {
            assert!(fingerprint(bad).is_err(), "{bad}");
        }
    }
}
