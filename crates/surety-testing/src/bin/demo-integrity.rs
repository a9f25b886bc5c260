//! `make demo-integrity`: a sequencer's image, deployed over SSH by the monitor that was drawn, watched by five of whom one
//! is paid to lie; then somebody with root on the host changes it, in five ways, each time on a fresh deployment. Tells
//! every stage in a line, writes the figures to `target/demo-integrity.json`, and fails if anything came out otherwise.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program's purpose is to tell a story on standard output"
)]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{U256, utils::format_ether},
    providers::Provider,
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use surety_chain::{Actions, Sender, integrity::Status};
use surety_primitives::measurement::{DeploymentId, Verdict};
use surety_testing::{
    devnet::{binary, repository},
    images,
    integrity::{IntegrityDevnet, IntegrityDevnetConfig, PATIENCE},
};

/// The monitor that signs whatever it is paid for.
const LIAR: usize = 4;
/// Seconds of an epoch.
const EPOCH: u32 = 6;

/// What an insider does.
#[derive(Clone, Copy)]
enum Tampering {
    Shell,
    Environment,
    Binary,
    Memory,
    Replacement,
}

impl Tampering {
    const ALL: [Self; 5] = [
        Self::Shell,
        Self::Environment,
        Self::Binary,
        Self::Memory,
        Self::Replacement,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Shell => "exec",
            Self::Environment => "environment",
            Self::Binary => "binary",
            Self::Memory => "memory",
            Self::Replacement => "replacement",
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Shell => "executes a shell in the container",
            Self::Environment => "changes a variable in the engine's files, and restarts",
            Self::Binary => "swaps the sequencer's file behind the engine's back, with its times",
            Self::Memory => "patches eight bytes of the running code with a debugger",
            Self::Replacement => "runs another container under the same name",
        }
    }

    /// Does it; since when.
    fn commit(self, net: &mut IntegrityDevnet, id: DeploymentId) -> Result<Instant> {
        let name = net.name(id);
        let mut begun = Instant::now();
        match self {
            Self::Shell => {
                docker(net, &["exec", &name, "/bin/sh", "-c", "true"])?;
            }
            Self::Environment => {
                let container = docker(net, &["inspect", "--format", "{{.Id}}", &name])?;
                let path = net
                    .engine
                    .data_root()
                    .join("containers")
                    .join(&container)
                    .join("config.v2.json");
                let before = fs::read_to_string(&path)?;
                let after = before.replace("SEQUENCER_LOG=/data/log", "SEQUENCER_LOG=/data/gol");
                ensure!(before != after, "the engine keeps the variable elsewhere");
                fs::write(&path, &after)?;
                // Killed, so that it reads what it did not write.
                net.engine.kill()?;
                // At once: it is changed from when the new one runs, not while the old one is given time to end.
                docker(net, &["restart", "--time", "0", &name])?;
                begun = Instant::now();
            }
            Self::Binary => {
                let with = binary("integrity-agent")?;
                let with = with.to_str().context("a path")?;
                tamper(net, &name, "swap", &["--path", "/sequencer", "--with", with])?;
            }
            Self::Memory => tamper(net, &name, "patch", &["--how", "ptrace"])?,
            Self::Replacement => {
                let image = docker(net, &["inspect", "--format", "{{.Image}}", &name])?;
                docker(net, &["rename", &name, "the-old-one"])?;
                let fresh = ["run", "--detach", "--network", "none", "--name", &name, &image];
                docker(net, &fresh)?;
                docker(net, &["rm", "--force", "the-old-one"])?;
            }
        }
        Ok(begun)
    }
}

struct Story {
    start: Instant,
    stage: u32,
}

impl Story {
    fn tell(&mut self, line: &str) {
        self.stage += 1;
        println!(
            "{:>2}. [{:>5.1} s] {line}",
            self.stage,
            self.start.elapsed().as_secs_f64()
        );
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(std::env::var("RUST_LOG").unwrap_or_else(|_| "error".into()))
        .with_writer(std::io::stderr)
        .init();
    let mut story = Story {
        start: Instant::now(),
        stage: 0,
    };
    let image = images::sequencer()?.layer(images::busybox_layer()?).build();
    let mut config = IntegrityDevnetConfig::new(image);
    config.monitors = 5;
    config.epoch = EPOCH;
    config.container = "restart = \"always\"\nwritable = [\"/data\", \"/tmp\"]\n".into();
    let mut net = IntegrityDevnet::start(config).await?;
    let outcome = play(&mut story, &mut net).await;
    if outcome.is_err() {
        eprintln!("{}", net.net.logs());
    }
    outcome
}

async fn play(story: &mut Story, net: &mut IntegrityDevnet) -> Result<()> {
    story.tell(&format!(
        "Running here: a chain, an OCI registry with a sequencer's image, and a host with a container engine behind SSH. \
         Five monitors, A to E, have bonded {} tokens each, and so has the host. E is paid to say that all is well.",
        amount(net.net.bond)
    ));
    for index in 0..LIAR {
        net.net.start_node(index).await?;
    }
    let config = net.net.operators[LIAR].home.join("node.toml");
    net.net
        .start_beside(LIAR, "liar", "lying-monitor", &[&config.to_string_lossy()])?;
    net.net.connected(&[0, 1, 2, 3], 3).await?;
    let liar = net.net.operators[LIAR].address();

    let mut told = Vec::new();
    let mut false_alarms = 0;
    let mut gas = Vec::new();
    for (number, tampering) in Tampering::ALL.into_iter().enumerate() {
        bond_host(net).await?;
        let asked = Instant::now();
        let id = net.deploy(tokens(10)).await?;
        let info = net.running(id).await?;
        let deployed = asked.elapsed();
        let epochs = if number == 0 { 3 } else { 1 };
        let intact = net.intact(id, epochs).await?;
        for epoch in &intact {
            let receipt = net
                .net
                .rpc
                .provider()
                .get_transaction_receipt(epoch.transaction)
                .await?
                .context("a receipt")?;
            gas.push(receipt.gas_used);
        }
        if number == 0 {
            story.tell(&format!(
                "The owner asks for a deployment. The monitor that is drawn pulls the image by its digest, hashes every blob, starts it \
                 over SSH; the others measure it too, and sign: baseline {} on-chain after {:.1} s.",
                info.state.baseline,
                deployed.as_secs_f64()
            ));
            story.tell(&format!(
                "{} epochs of {EPOCH} s recorded as intact, {} gas the last.",
                intact.len(),
                gas.last().copied().unwrap_or_default()
            ));
        }

        let before = net.net.rpc.latest().await?.header.number;
        let begun = tampering.commit(net, id)?;
        let changed_at = SystemTime::now()
            .duration_since(UNIX_EPOCH)?
            .saturating_sub(begun.elapsed())
            .as_secs();
        let (info, seconds) = (net.drifted(id).await?, begun.elapsed().as_secs_f64());
        let all = net.net.contracts().epochs(id).await?;
        let Some(drift) = all.iter().find(|epoch| epoch.verdict == Verdict::Drifted) else {
            bail!("drifted without a record");
        };
        let block = net.net.rpc.block(drift.block.into()).await?.context("the block")?;
        let epoch_of = |time: u64| 1 + time.saturating_sub(info.state.start) / u64::from(EPOCH);
        let alarms = all.iter().filter(|epoch| epoch.verdict != Verdict::Intact);
        false_alarms += alarms.filter(|epoch| epoch.block <= before).count();
        // Epochs by the chain's time, which is this machine's here.
        let (changed, recorded) = (epoch_of(changed_at), epoch_of(block.header.timestamp));
        let finding = finding(net, id).await?;
        ensure!(
            seconds <= f64::from(EPOCH) && recorded <= changed + 1 && u64::from(drift.epoch) <= changed + 1,
            "changed in epoch {changed}, recorded for epoch {}, in epoch {recorded}, after {seconds} s",
            drift.epoch
        );
        story.tell(&format!(
            "An insider {}. Recorded as drifted {seconds:.1} s later, in block {}: {finding}.",
            tampering.told(),
            drift.block
        ));
        told.push(json!({
            "kind": tampering.name(),
            "seconds": seconds,
            "block": drift.block,
            "changed_in_epoch": changed,
            "recorded_for_epoch": drift.epoch,
            "recorded_in_epoch": recorded,
            "finding": finding,
            "evidence": info.state.evidence,
        }));
        slashed(net, net.host.address(), "the host").await?;
        if number == 0 {
            let lost = slashed(net, liar, "the liar").await?;
            story.tell(&format!(
                "The host loses its bond. E has signed that it was intact, and the quorum says otherwise: it loses {} tokens.",
                amount(lost)
            ));
        }
    }

    // Nobody else lost anything.
    let mut honest_slashed = false;
    for operator in net.net.operators.iter().take(LIAR) {
        honest_slashed |= bond_of(net, operator.address()).await? < net.net.bond;
    }
    let liar_slashed = bond_of(net, liar).await? < net.net.bond;
    let median = {
        gas.sort_unstable();
        gas.get(gas.len() / 2).copied().context("no report")?
    };
    let report = json!({
        "tamperings": told,
        "false_alarms": false_alarms,
        "liar_slashed": liar_slashed,
        "honest_slashed": honest_slashed,
        "report_gas": median,
        "epoch_seconds": EPOCH,
        "epochs_intact": gas.len(),
        "seconds": story.start.elapsed().as_secs_f64(),
    });
    let path = repository().join("target/demo-integrity.json");
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")?;
    ensure!(
        liar_slashed && !honest_slashed && false_alarms == 0,
        "came out otherwise: {report}"
    );
    story.tell("Nobody honest lost anything. The figures are in target/demo-integrity.json.");
    Ok(())
}

/// A host that lost its bond needs another one for the next deployment.
async fn bond_host(net: &IntegrityDevnet) -> Result<()> {
    let bond = bond_of(net, net.host.address()).await?;
    let missing = net.net.bond.saturating_sub(bond);
    if missing.is_zero() {
        return Ok(());
    }
    let sender = Sender::new(net.net.rpc.clone(), net.host.clone()).await?;
    let actions = Actions::new(sender, net.net.deployment.clone());
    actions.mint(net.host.address(), missing).await?;
    actions.deposit(net.service, net.host.address(), missing).await?;
    Ok(())
}

async fn bond_of(net: &IntegrityDevnet, operator: alloy::primitives::Address) -> Result<U256> {
    Ok(net.net.contracts().operator(net.service, operator).await?.bond)
}

/// Waits until the bond is less than it was; by how much.
async fn slashed(net: &IntegrityDevnet, operator: alloy::primitives::Address, who: &str) -> Result<U256> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let left = bond_of(net, operator).await?;
        if left < net.net.bond {
            return Ok(net.net.bond - left);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("{who} was not slashed")
}

/// What was found, as a monitor's attestation tells it.
async fn finding(net: &IntegrityDevnet, id: DeploymentId) -> Result<String> {
    let info = net.info(id).await?;
    ensure!(info.state.status == Status::Drifted, "{:?}", info.state.status);
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let answer = net.attested(0, &format!("/v1/deployments/{id}")).await?;
        let found = &answer["drift"]["finding"];
        if let (Some(kind), Some(subject)) = (found["kind"].as_str(), found["subject"].as_str()) {
            return Ok(format!("{kind} {subject}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("no monitor says what was found")
}

/// The engine's own command line, on the host.
fn docker(net: &IntegrityDevnet, arguments: &[&str]) -> Result<String> {
    let socket = format!("unix://{}", net.engine.socket().display());
    let output = Command::new("docker")
        .args(["--host", &socket])
        .args(arguments)
        .output()
        .context("starting docker")?;
    ensure!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// `tamper COMMAND --pid PID …`: somebody with root on the host.
fn tamper(net: &IntegrityDevnet, container: &str, command: &str, arguments: &[&str]) -> Result<()> {
    let pid = docker(net, &["inspect", "--format", "{{.State.Pid}}", container])?;
    let status = Command::new(binary("tamper")?)
        .args([command, "--pid", &pid])
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .status()?;
    ensure!(status.success(), "tamper {command}: {status}");
    Ok(())
}

/// Tokens, without zeros that say nothing.
fn amount(wei: U256) -> String {
    let text = format_ether(wei);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn tokens(amount: u64) -> U256 {
    U256::from(amount) * U256::from(10).pow(U256::from(18))
}
