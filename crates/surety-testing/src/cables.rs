//! Networks that can fall apart, by network namespaces: each operator has a machine's network of its own, with one cable
//! to the chain and one to the other peers, and the second can be plugged elsewhere. Needs root.

use std::{net::Ipv4Addr, process::Command};

use anyhow::{Context, Result, ensure};

/// Cables, switches and namespaces; gone when dropped.
#[derive(Debug)]
pub struct Cables {
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

/// Where the chain is, for all of them.
pub fn chain() -> Ipv4Addr {
    place(0, 254)
}

/// An operator's address towards the chain and its users.
pub fn chain_address(index: u32) -> Ipv4Addr {
    place(0, operator(index))
}

/// An operator's address towards the other peers.
pub fn peer_address(index: u32) -> Ipv4Addr {
    place(1, operator(index))
}

/// Names of interfaces have at most 15 characters.
fn name(what: &str) -> String {
    format!("sy{}{what}", std::process::id())
}

fn ip(line: &str) -> Result<()> {
    let output = Command::new("ip")
        .args(line.split_whitespace())
        .output()
        .context("starting ip")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {line}: {said}");
    Ok(())
}

impl Cables {
    /// Lays them for so many operators, all plugged into the switch `a`.
    ///
    /// # Errors
    /// If this is not root, or `ip` is not installed.
    pub fn lay(nodes: u32) -> Result<Self> {
        let cables = Self { nodes };
        for switch in ["c", "a", "b"] {
            ip(&format!("link add {} type bridge", name(switch)))?;
            ip(&format!("link set {} up", name(switch)))?;
        }
        ip(&format!("addr add {}/24 dev {}", chain(), name("c")))?;
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

    /// The namespace of an operator.
    pub fn space(&self, index: u32) -> String {
        name(&format!("n{index}"))
    }

    /// Plugs an operator into one of the peers' two switches, `a` and `b`. No connection is told: packets stop, that is
    /// all.
    ///
    /// # Errors
    /// If there is no such cable.
    pub fn plug(&self, index: u32, switch: &str) -> Result<()> {
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
