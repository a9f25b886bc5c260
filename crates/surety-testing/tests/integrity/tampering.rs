//! Somebody with root on the host does something to the container.

use std::process::Command;

use alloy::primitives::U256;
use anyhow::{Result, ensure};
use surety_chain::integrity::Status;
use surety_primitives::measurement::{DeploymentId, Verdict};
use surety_testing::{
    images,
    integrity::{IntegrityDevnet, IntegrityDevnetConfig},
};

/// Ten tokens.
pub(crate) fn escrow() -> U256 {
    U256::from(10).pow(U256::from(19))
}

/// The engine's command line.
pub(crate) fn docker(net: &IntegrityDevnet, arguments: &[&str]) -> Result<String> {
    let socket = format!("unix://{}", net.engine.socket().display());
    let output = Command::new("docker")
        .args(["--host", &socket])
        .args(arguments)
        .output()?;
    ensure!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A shell in the container.
pub(crate) fn shell(net: &IntegrityDevnet, id: DeploymentId) -> Result<()> {
    docker(net, &["exec", &net.name(id), "sh", "-c", "true"]).map(drop)
}

/// A deployment by the drawn monitor over SSH; three epochs intact; then a shell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_shell_is_recorded_with_its_evidence_and_the_host_is_slashed() -> Result<()> {
    let mut net = IntegrityDevnet::start(IntegrityDevnetConfig::new(images::busybox()?)).await?;
    net.start_nodes().await?;
    let id = net.deploy(escrow()).await?;
    let baseline = net.running(id).await?.state.baseline;
    ensure!(!baseline.is_zero());
    net.intact(id, 3).await?;

    shell(&net, id)?;

    let info = net.drifted(id).await?;
    ensure!(!info.state.evidence.is_zero());
    let epochs = net.net.contracts().epochs(id).await?;
    ensure!(epochs.iter().filter(|epoch| epoch.verdict == Verdict::Drifted).count() == 1);

    // The attestation says what was found, and how to check it.
    let deadline = std::time::Instant::now() + surety_testing::integrity::PATIENCE;
    let answer = loop {
        // A node acts on blocks that others are on top of, so it says so a little later than the chain.
        let answer = net.attested(0, &format!("/v1/deployments/{id}")).await?;
        if answer["state"] == "drifted" {
            break answer;
        }
        ensure!(std::time::Instant::now() < deadline, "{answer}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    ensure!(
        answer["drift"]["evidence"] == info.state.evidence.to_string(),
        "{answer}"
    );
    ensure!(answer["drift"]["finding"]["kind"] == "exec", "{answer}");
    ensure!(answer["verify"].is_string(), "{answer}");
    let proof = net.attested(0, &format!("/v1/deployments/{id}/proof")).await?;
    let shown = surety_chain::integrity::verify_deployment_proof(
        proof["blockHash"].as_str().unwrap_or_default().parse()?,
        &serde_json::from_value(proof["proof"].clone())?,
        net.net.deployment.integrity,
        id,
    )?;
    ensure!(shown.state.status == Status::Drifted);

    // The host's bond is slashed by whoever is first.
    let (service, host) = (net.service, net.host.address());
    let contracts = net.net.contracts();
    let deadline = std::time::Instant::now() + surety_testing::integrity::PATIENCE;
    loop {
        let left = contracts.operator(service, host).await?.bond;
        if left < net.net.bond {
            break;
        }
        ensure!(std::time::Instant::now() < deadline, "the host was not slashed");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Ok(())
}

/// The container is replaced by one of the same name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_another_container_of_the_same_name_is_not_it() -> Result<()> {
    let mut config = IntegrityDevnetConfig::new(images::busybox()?);
    config.ssh = false;
    let mut net = IntegrityDevnet::start(config).await?;
    net.start_nodes().await?;
    let id = net.deploy(escrow()).await?;
    net.running(id).await?;
    net.intact(id, 1).await?;
    let name = net.name(id);
    let image = docker(&net, &["inspect", "--format", "{{.Image}}", &name])?;
    docker(&net, &["rename", &name, "old"])?;
    docker(&net, &["run", "--detach", "--network", "none", "--name", &name, &image])?;
    net.drifted(id).await?;
    Ok(())
}
