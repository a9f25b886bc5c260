//! `surety doctor`: short checks, each with the command that mends it.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::json;
use surety_chain::{
    Contracts, Deployment, anvil,
    bindings::{IDisputes, IStaking},
};
use surety_client::{Limits, ProviderRpc};
use surety_node::Config;

use crate::{
    context::{ChainArgs, KeyArgs},
    exit::{Failure, code},
    ui::Ui,
};

/// Check this machine, the chain, the contracts, the operators and, if given, a node's configuration.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// Also check this `node.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// One check.
struct Check {
    name: String,
    outcome: Result<String, (String, String)>,
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn passed(&mut self, name: impl Into<String>, detail: impl ToString) {
        self.0.push(Check {
            name: name.into(),
            outcome: Ok(detail.to_string()),
        });
    }

    fn failed(&mut self, name: impl Into<String>, found: impl ToString, fix: impl Into<String>) {
        self.0.push(Check {
            name: name.into(),
            outcome: Err((found.to_string(), fix.into())),
        });
    }
}

/// Runs the checks; exit code 17 if one failed.
pub async fn run(args: Command, ui: Ui) -> Result<(), Failure> {
    let mut checks = Checks::default();
    match anvil::find() {
        Some(path) => match anvil::version(&path) {
            Some(version) => checks.passed("anvil", version),
            None => checks.failed("anvil", format!("{} does not run", path.display()), "npm install"),
        },
        None => checks.failed("anvil", "not found (only `surety dev` needs it)", "npm install"),
    }
    chain(&args, &mut checks).await;
    key(&args, &mut checks).await;
    if let Some(path) = &args.config {
        match Config::load(path) {
            Err(e) => checks.failed("node.toml", e, "surety node --example"),
            Ok(config) => {
                checks.passed("node.toml", path.display());
                for folder in &config.program_dirs {
                    programs(folder, &mut checks);
                }
                match surety_node::keystore::open(&config.operator) {
                    Ok(signer) => checks.passed("operator key", signer.address()),
                    Err(e) => checks.failed("operator key", e, "correct [operator] in node.toml"),
                }
            }
        }
    }

    let failed = checks.0.iter().filter(|c| c.outcome.is_err()).count();
    let mut text = Vec::new();
    let mut values = Vec::new();
    for check in &checks.0 {
        match &check.outcome {
            Ok(detail) => {
                text.push(format!("PASSED  {}: {detail}", check.name));
                values.push(json!({"name": check.name, "passed": true, "detail": detail}));
            }
            Err((found, fix)) => {
                text.push(format!("FAILED  {}: {found}\n        fix: {fix}", check.name));
                values.push(json!({"name": check.name, "passed": false, "detail": found, "fix": fix}));
            }
        }
    }
    ui.result(&text.join("\n"), &json!({"passed": failed == 0, "checks": values}));
    if failed > 0 {
        return Err(Failure::new(
            format!("{failed} of {} checks failed", checks.0.len()),
            "run the fix of the first failed check, then `surety doctor` again",
        )
        .with_code(code::MISMATCH));
    }
    Ok(())
}

async fn chain(args: &Command, checks: &mut Checks) {
    let deployment = match Deployment::load(&args.chain.deployment) {
        Ok(d) => d,
        Err(e) => return checks.failed("deployment file", e, "surety dev"),
    };
    checks.passed("deployment file", args.chain.deployment.display());
    let rpc = match args.chain.rpc() {
        Ok(rpc) => rpc,
        Err(e) => return checks.failed("L1 endpoint", e, "surety doctor --l1 http://HOST:PORT"),
    };
    match rpc.expect_chain(deployment.chain_id).await {
        Ok(()) => checks.passed(
            "L1 endpoint",
            format!("{} serves chain {}", rpc.url(), deployment.chain_id),
        ),
        Err(e) => return checks.failed("L1 endpoint", e, "surety dev, or --l1 with the right endpoint"),
    }
    for (name, address) in deployment.contracts() {
        match rpc.code(address).await {
            Ok(code) if !code.is_empty() => checks.passed(name, address),
            Ok(_) => checks.failed(
                name,
                format!("no code at {address}"),
                "surety dev, then use its deployment.json",
            ),
            Err(e) => checks.failed(name, e, "check the endpoint"),
        }
    }
    let wired = async {
        let disputes = deployment.disputes;
        let staking = rpc.call(disputes, IDisputes::stakingCall {}).await?;
        let machine = rpc.call(disputes, IDisputes::machineCall {}).await?;
        let token = rpc.call(deployment.staking, IStaking::tokenCall {}).await?;
        let module = rpc
            .call(deployment.staking, IStaking::isModuleCall { account: disputes })
            .await?;
        Ok::<_, surety_chain::Error>(
            (staking, machine, token, module) == (deployment.staking, deployment.machine, deployment.token, true),
        )
    };
    match wired.await {
        Ok(true) => checks.passed("contracts", "name each other as the file does"),
        Ok(false) => checks.failed(
            "contracts",
            "do not name each other as the file does",
            "use the deployer's own deployment.json",
        ),
        Err(e) => checks.failed("contracts", e, "use the deployer's own deployment.json"),
    }
    let contracts = Contracts::new(rpc, deployment);
    let services = match contracts.services(100).await {
        Ok(services) => services,
        Err(e) => return checks.failed("services", e, "check the endpoint"),
    };
    checks.passed("services", format!("{} registered", services.len()));
    let limits = Limits {
        timeout: Duration::from_secs(5),
        ..Limits::default()
    };
    for service in services {
        let (Ok(operators), Ok(Some(info))) = (
            contracts.operators(service, 100).await,
            contracts.service(service).await,
        ) else {
            checks.failed(format!("service {service}"), "cannot be read", "check the endpoint");
            continue;
        };
        for operator in operators.into_iter().filter(|o| o.bonded) {
            let name = format!("operator {}", operator.operator);
            let found = match ProviderRpc::new(&operator.endpoint, limits.clone()) {
                Ok(rpc) => rpc.chain_id().await,
                Err(e) => Err(e),
            };
            match found {
                Ok(id) if id == info.chain_id => checks.passed(name, &operator.endpoint),
                Ok(id) => checks.failed(
                    name,
                    format!(
                        "{} serves chain id {id}, expected the service's, {}",
                        operator.endpoint, info.chain_id
                    ),
                    "its operator: surety operator endpoint URL",
                ),
                Err(e) => checks.failed(name, e, "its operator: surety node --config node.toml"),
            }
        }
    }
}

async fn key(args: &Command, checks: &mut Checks) {
    match args.key.open_if_given() {
        Ok(None) => {}
        Err(e) => checks.failed("keystore", &e, e.next.clone()),
        Ok(Some(signer)) => {
            checks.passed("keystore", signer.address());
            let Ok(rpc) = args.chain.rpc() else { return };
            match rpc.balance(signer.address()).await {
                Ok(wei) if wei.is_zero() => {
                    checks.failed(
                        "ether",
                        "the account has none",
                        format!("send ether to {}", signer.address()),
                    );
                }
                Ok(wei) => checks.passed("ether", crate::values::show_amount(wei)),
                Err(e) => checks.failed("ether", e, "check --l1"),
            }
        }
    }
}

fn programs(folder: &std::path::Path, checks: &mut Checks) {
    let name = format!("programs in {}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => {
            return checks.failed(
                name,
                e,
                format!("mkdir -p {} and copy the ELF files there", folder.display()),
            );
        }
    };
    let loaded = entries
        .flatten()
        .filter(|e| e.path().is_file())
        .filter(|e| super::machine::load(&e.path()).is_ok())
        .count();
    if loaded == 0 {
        checks.failed(name, "no program", "copy the service's ELF file there");
    } else {
        checks.passed(name, format!("{loaded}"));
    }
}
