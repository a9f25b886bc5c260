//! Networks that fall apart, by network namespaces: each operator has a machine's network of its own, with one cable to
//! the chain and one to the other peers, and the second can be plugged elsewhere.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Result, ensure};
use surety_testing::network::NetworkDevnetConfig;

use crate::support::{play, system, with};

/// Cables, switches and namespaces; gone when dropped.
struct Cables {
    nodes: u32,
}

/// A part of the addresses, so that two tests on one machine do not meet.
fn place(network: u8, host: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(10, 64 + network * 64 + high % 64, low, host)
}

fn operator(index: u32) -> u8 {
    u8::try_from(index).map_or(u8::MAX, |index| index.saturating_add(1))
}

fn chain_address(index: u32) -> Ipv4Addr {
    place(0, operator(index))
}

fn peer_address(index: u32) -> Ipv4Addr {
    place(1, operator(index))
}

/// Names of interfaces have at most 15 characters.
fn name(what: &str) -> String {
    format!("sy{}{what}", std::process::id())
}

fn ip(line: &str) -> Result<()> {
    system("ip", &line.split_whitespace().collect::<Vec<_>>())
}

impl Cables {
    fn lay(nodes: u32) -> Result<Self> {
        let cables = Self { nodes };
        for switch in ["c", "a", "b"] {
            ip(&format!("link add {} type bridge", name(switch)))?;
            ip(&format!("link set {} up", name(switch)))?;
        }
        ip(&format!("addr add {}/24 dev {}", place(0, 254), name("c")))?;
        for index in 0..nodes {
            let space = cables.space(index);
            ip(&format!("netns add {space}"))?;
            ip(&format!("-n {space} link set lo up"))?;
            for (cable, switch, address) in [("c", "c", chain_address(index)), ("p", "a", peer_address(index))] {
                let (outside, inside) = (name(&format!("{cable}{index}")), format!("{cable}0"));
                ip(&format!(
                    "link add {outside} type veth peer name {inside} netns {space}"
                ))?;
                ip(&format!("link set {outside} master {} up", name(switch)))?;
                ip(&format!("-n {space} addr add {address}/24 dev {inside}"))?;
                ip(&format!("-n {space} link set {inside} up"))?;
            }
        }
        Ok(cables)
    }

    fn space(&self, index: u32) -> String {
        name(&format!("n{index}"))
    }

    /// Plugs an operator into one of the peers' two switches. No connection is told: packets stop, that is all.
    fn plug(&self, index: u32, switch: &str) -> Result<()> {
        ip(&format!(
            "link set {} master {}",
            name(&format!("p{index}")),
            name(switch)
        ))
    }
}

impl Drop for Cables {
    fn drop(&mut self) {
        // As far as it was laid.
        for index in 0..self.nodes {
            for cable in ["c", "p"] {
                let _not_laid = ip(&format!("link del {}", name(&format!("{cable}{index}"))));
            }
            let _not_laid = ip(&format!("netns del {}", self.space(index)));
        }
        for switch in ["c", "a", "b"] {
            let _not_laid = ip(&format!("link del {}", name(switch)));
        }
    }
}

/// One of five is cut off: the others go on. Three and two: nobody certifies anything. Healed: what was seen meanwhile
/// is certified, by all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_divided_network_certifies_nothing_without_a_quorum_and_all_of_it_when_it_heals() -> Result<()> {
    let cables = Cables::lay(5)?;
    let config = NetworkDevnetConfig {
        host: peer_address,
        api_host: chain_address,
        chain_host: place(0, 254),
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
