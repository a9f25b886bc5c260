//! Networks that fall apart.

use std::time::Duration;

use anyhow::{Result, ensure};
use surety_testing::{
    cables::{self, Cables},
    network::NetworkDevnetConfig,
};

use crate::support::{play, with};

/// One of five is cut off: the others go on. Three and two: nobody certifies anything. Healed: what was seen meanwhile
/// is certified, by all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_divided_network_certifies_nothing_without_a_quorum_and_all_of_it_when_it_heals() -> Result<()> {
    let cables = Cables::lay(5)?;
    let config = NetworkDevnetConfig {
        host: cables::peer_address,
        api_host: cables::chain_address,
        chain_host: cables::chain(),
        ..with(5)
    };
    play(config, |lab| {
        Box::pin(async move {
            for index in 0..5 {
                lab.net.place(index, &cables.space(index.try_into()?));
            }
            lab.start_everything().await?;
            let all = lab.all();
            (1..=5).try_for_each(|number| lab.emit(number, "whole"))?;
            lab.certified(&all, 1..=5, "whole").await?;
            lab.tell("five events are certified by five");

            cables.plug(4, "b")?;
            (6..=10).try_for_each(|number| lab.emit(number, "four"))?;
            lab.certified(&all[..4], 6..=10, "four").await?;
            for number in 6..=10 {
                ensure!(
                    lab.certificate(4, number, "four").await?.is_none(),
                    "a certificate came through a cut cable"
                );
            }
            lab.tell("one is cut off, four go on");

            cables.plug(3, "b")?;
            (11..=15).try_for_each(|number| lab.emit(number, "divided"))?;
            tokio::time::sleep(Duration::from_secs(6)).await;
            for node in &all {
                for number in 11..=15 {
                    let found = lab.certificate(*node, number, "divided").await?;
                    ensure!(found.is_none(), "three or two of five certified event {number}");
                }
            }
            lab.tell("three and two: nothing is certified");

            cables.plug(3, "a")?;
            cables.plug(4, "a")?;
            lab.certified(&all, 11..=15, "divided").await?;
            lab.certified(&all, 6..=10, "four").await?;
            lab.tell("healed: everything is certified everywhere");
            lab.only_guilty(&[]).await
        })
    })
    .await
}
