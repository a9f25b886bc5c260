//! What is paid is what was put in.

use alloy::primitives::U256;
use anyhow::{Result, ensure};
use surety_chain::integrity::Status;
use surety_testing::{
    images,
    integrity::{IntegrityDevnet, IntegrityDevnetConfig},
};

use crate::tampering::escrow;

/// Escrow, what monitors and host earned, and the contract's balance are one sum; a new deployment has a new baseline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_rewards_balance_to_the_wei_and_an_upgrade_has_a_new_baseline() -> Result<()> {
    let mut config = IntegrityDevnetConfig::new(images::busybox()?);
    config.ssh = false;
    let mut net = IntegrityDevnet::start(config).await?;
    net.start_nodes().await?;
    let id = net.deploy(escrow()).await?;
    let first = net.running(id).await?.state.baseline;
    net.intact(id, 3).await?;
    for operator in &mut net.net.operators {
        operator.kill();
    }
    let contracts = net.net.contracts();
    let info = net.info(id).await?;
    let set = u64::from(info.state.set);
    let mut owed = U256::from(info.state.escrow) + contracts.uncollected_host(id).await?;
    for seat in 0..net.net.operators.len() {
        owed += contracts.uncollected_monitor(id, set, u8::try_from(seat)?).await?;
    }
    ensure!(contracts.token_balance(net.net.deployment.integrity).await? == owed);
    ensure!(owed == escrow(), "{owed} of {}", escrow());

    let owner = net.net.actions(&net.net.owner).await?;
    owner.retire_deployment(id).await?;
    net.start_nodes().await?;
    let second = net.deploy(escrow()).await?;
    let other = net.running(second).await?.state.baseline;
    ensure!(first != other, "a new container has a new baseline");
    ensure!(net.info(id).await?.state.status == Status::Retiring);
    net.intact(second, 1).await?;
    Ok(())
}
