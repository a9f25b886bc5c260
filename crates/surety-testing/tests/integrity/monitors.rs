//! Monitors that are killed, and one that is paid to lie.

use anyhow::{Result, ensure};
use surety_chain::integrity::Status;
use surety_testing::{
    images,
    integrity::{IntegrityDevnet, IntegrityDevnetConfig, PATIENCE},
};

use crate::tampering::{escrow, shell};

fn config() -> Result<IntegrityDevnetConfig> {
    let mut config = IntegrityDevnetConfig::new(images::busybox()?);
    config.ssh = false;
    Ok(config)
}

/// Each is killed and started again; what they say stays one thing, and epochs go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_monitors_that_are_killed_go_on_and_contradict_nobody() -> Result<()> {
    let mut net = IntegrityDevnet::start(config()?).await?;
    net.start_nodes().await?;
    let id = net.deploy(escrow()).await?;
    net.running(id).await?;
    net.intact(id, 1).await?;
    for index in 0..net.net.operators.len() {
        net.net.operators[index].kill();
        let before = net.intact(id, 0).await?.len();
        net.intact(id, before + 1).await?;
        net.net.start_node(index).await?;
    }
    // All at once, in the middle of an epoch.
    for operator in &mut net.net.operators {
        operator.kill();
    }
    net.start_nodes().await?;
    let before = net.intact(id, 0).await?.len();
    net.intact(id, before + 2).await?;
    for operator in &net.net.operators {
        let bond = net
            .net
            .contracts()
            .operator(net.service, operator.address())
            .await?
            .bond;
        ensure!(bond == net.net.bond, "an honest monitor was slashed");
    }
    Ok(())
}

/// It signs that all is well, whatever it sees; the quorum says otherwise, and `Faults` slashes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_monitor_that_is_paid_to_lie_is_slashed() -> Result<()> {
    const LIAR: usize = 3;
    let mut net = IntegrityDevnet::start(config()?).await?;
    for index in 0..LIAR {
        net.net.start_node(index).await?;
    }
    let home = net.net.operators[LIAR].home.join("node.toml");
    net.net
        .start_beside(LIAR, "liar", "lying-monitor", &[&home.to_string_lossy()])?;
    net.net.connected(&[0, 1, 2], 2).await?;
    let id = net.deploy(escrow()).await?;
    net.running(id).await?;
    net.intact(id, 2).await?;
    shell(&net, id)?;
    net.drifted(id).await?;
    let liar = net.net.operators[LIAR].address();
    let deadline = std::time::Instant::now() + PATIENCE;
    while net.net.contracts().operator(net.service, liar).await?.bond >= net.net.bond {
        ensure!(
            std::time::Instant::now() < deadline,
            "the liar was not slashed:\n{}",
            net.net.operators[0].log("node")
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    for operator in net.net.operators.iter().take(LIAR) {
        let bond = net
            .net
            .contracts()
            .operator(net.service, operator.address())
            .await?
            .bond;
        ensure!(bond == net.net.bond, "an honest monitor was slashed");
    }
    Ok(())
}

/// It retires the deployment, and is seen to have changed it after that: what leads to a change began before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_host_that_retires_before_it_is_found_out_is_slashed_all_the_same() -> Result<()> {
    let mut net = IntegrityDevnet::start(config()?).await?;
    net.start_nodes().await?;
    let id = net.deploy(escrow()).await?;
    net.running(id).await?;
    net.intact(id, 1).await?;
    let host = net.net.actions(&net.host.clone()).await?;
    host.retire_deployment(id).await?;
    net.until("retiring", id, |info| info.state.status == Status::Retiring)
        .await?;
    // Until every node knows.
    for index in 0..net.net.operators.len() {
        loop {
            let answer = net.attested(index, &format!("/v1/deployments/{id}")).await?;
            if answer["state"] == "retiring" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    shell(&net, id)?;
    net.drifted(id).await?;
    let deadline = std::time::Instant::now() + PATIENCE;
    let contracts = net.net.contracts();
    while contracts.operator(net.service, net.host.address()).await?.bond >= net.net.bond {
        ensure!(std::time::Instant::now() < deadline, "the host was not slashed");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Ok(())
}

/// A host that no longer answers ends its deployment, and loses no bond.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_answer_is_unreachable_in_the_end() -> Result<()> {
    let mut net = IntegrityDevnet::start(IntegrityDevnetConfig::new(images::busybox()?)).await?;
    net.start_nodes().await?;
    let id = net.deploy(escrow()).await?;
    net.running(id).await?;
    net.intact(id, 1).await?;
    net.sshd = None;
    let info = net
        .until("unreachable", id, |info| info.state.status == Status::Unreachable)
        .await?;
    ensure!(info.state.unreachable >= 2, "{info:?}");
    let bond = net
        .net
        .contracts()
        .operator(net.service, net.host.address())
        .await?
        .bond;
    ensure!(bond == net.net.bond, "nobody can prove whose network failed");
    Ok(())
}
