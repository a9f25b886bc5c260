//! Monitors that do not hear each other.

use std::time::Duration;

use anyhow::{Result, ensure};
use surety_testing::{
    cables::{self, Cables},
    images,
    integrity::{IntegrityDevnet, IntegrityDevnetConfig},
    network::NetworkDevnetConfig,
};

use crate::tampering::{escrow, shell};

/// One of five is cut off: the others go on. Three and two: nothing is recorded, not even of a container that was
/// changed meanwhile. Healed: the change is recorded, and nobody has contradicted anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_divided_monitors_record_nothing_without_a_quorum_and_what_they_saw_when_they_meet() -> Result<()> {
    let laid = Cables::lay(5)?;
    let mut config = IntegrityDevnetConfig::new(images::busybox()?);
    config.ssh = false;
    config.monitors = 5;
    config.network = NetworkDevnetConfig {
        host: cables::peer_address,
        api_host: cables::chain_address,
        chain_host: cables::chain(),
        ..config.network
    };
    let mut net = IntegrityDevnet::start(config).await?;
    for index in 0..5 {
        net.net.place(index, &laid.space(index.try_into()?));
    }
    net.pull_for_all().await?;
    net.start_nodes().await?;
    let outcome = divided(&mut net, &laid).await;
    if outcome.is_err() {
        eprintln!("{}", net.net.logs());
    }
    outcome
}

async fn divided(net: &mut IntegrityDevnet, laid: &Cables) -> Result<()> {
    let id = net.deploy(escrow()).await?;
    net.running(id).await?;
    net.intact(id, 1).await?;

    laid.plug(4, "b")?;
    let before = net.intact(id, 0).await?.len();
    net.intact(id, before + 2).await?;

    laid.plug(3, "b")?;
    // What was signed before the cable was pulled may still be on its way.
    let epoch = Duration::from_secs(u64::from(net.info(id).await?.state.epoch));
    tokio::time::sleep(2 * epoch).await;
    let before = net.info(id).await?.state.last_epoch;
    shell(net, id)?;
    tokio::time::sleep(2 * epoch).await;
    let info = net.info(id).await?;
    ensure!(
        info.state.last_epoch == before && info.state.status == surety_chain::integrity::Status::Running,
        "three or two of five recorded something: {info:?}"
    );

    laid.plug(3, "a")?;
    laid.plug(4, "a")?;
    net.drifted(id).await?;
    for operator in &net.net.operators {
        let contracts = net.net.contracts();
        let bond = contracts.operator(net.service, operator.address()).await?.bond;
        ensure!(bond == net.net.bond, "an honest monitor was slashed");
    }
    Ok(())
}
