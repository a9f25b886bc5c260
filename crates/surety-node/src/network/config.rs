//! `[network]` of `node.toml`: peers, connectors, and the services this node takes part in.

use std::{net::SocketAddr, path::PathBuf};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

/// The network part of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Multiaddresses to listen on for peers, such as `/ip4/0.0.0.0/tcp/9610`.
    pub listen: Vec<String>,
    /// Addresses others can reach this node at, if they differ from those it listens on.
    #[serde(default)]
    pub external: Vec<String>,
    /// Multiaddresses of peers to begin with, `/p2p/…` included. Members are found in the `Registry` too.
    #[serde(default)]
    pub bootstrap: Vec<String>,
    /// Where connectors connect (gRPC); a loopback address.
    pub connectors: SocketAddr,
    /// File with the token that connectors show; made if it is not there.
    pub connector_token: PathBuf,
    /// Where applications and the command line ask (JSON-RPC).
    pub api: SocketAddr,
    /// The services this node takes part in.
    #[serde(rename = "service", default)]
    pub services: Vec<NetworkServiceConfig>,
    /// Bytes of event data, inputs and outputs kept (1 MiB to 1 TiB); the oldest give way.
    #[serde(default = "default_value_bytes")]
    pub value_bytes: u64,
    /// Longest message between peers, bytes (64 KiB to 16 MiB).
    #[serde(default = "default_message_bytes")]
    pub message_bytes: u32,
    /// Events waiting for their certificate, for each service (1 to 131,072); more are refused as busy.
    #[serde(default = "default_pending")]
    pub pending_events: u32,
    /// Blocks on top of one before this node acts on it (0 to 1,000). What it signs about a block that a reorganisation
    /// drops can be a fault: choose what makes one next to impossible.
    #[serde(default = "default_confirmations")]
    pub confirmations: u64,
    /// Seconds that a transaction anybody may send is left to those before this node in the order (0 to 600).
    #[serde(default = "default_relay_pause")]
    pub relay_pause_seconds: u64,
}

/// A service of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkServiceConfig {
    /// The service's contract.
    pub address: Address,
    /// Its `service.toml`; must be the one whose hash is in the `Registry`.
    pub manifest: PathBuf,
}

fn default_value_bytes() -> u64 {
    4 << 30
}

fn default_message_bytes() -> u32 {
    1 << 20
}

fn default_pending() -> u32 {
    65_536
}

fn default_confirmations() -> u64 {
    12
}

fn default_relay_pause() -> u64 {
    4
}

impl NetworkConfig {
    /// The numbers with their bounds.
    pub(crate) fn rows(&self) -> [(&'static str, u64, u64, u64); 5] {
        [
            ("network.value_bytes", self.value_bytes, 1 << 20, 1 << 40),
            ("network.message_bytes", self.message_bytes.into(), 64 << 10, 16 << 20),
            ("network.pending_events", self.pending_events.into(), 1, 1 << 17),
            ("network.confirmations", self.confirmations, 0, 1_000),
            ("network.relay_pause_seconds", self.relay_pause_seconds, 0, 600),
        ]
    }
}
