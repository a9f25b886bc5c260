//! `[integrity]` of `node.toml`: containers that this node monitors, and where it attests them.

use std::{net::SocketAddr, path::PathBuf};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

/// The integrity part of a node. It needs the network part: monitors vote over it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegrityConfig {
    /// Where anybody asks how deployments are (REST).
    pub listen: SocketAddr,
    /// Browsers' origins that may ask; `*` for all.
    #[serde(default)]
    pub cors_origins: Vec<String>,
    /// Where images are kept that were pulled and checked.
    pub image_cache: PathBuf,
    /// Bytes of images kept (64 MiB to 16 TiB); those that no deployment needs give way.
    #[serde(default = "default_image_cache_bytes")]
    pub image_cache_bytes: u64,
    /// Private key (OpenSSH format, not encrypted) with which hosts are reached over SSH; absent: only those behind
    /// `local_engines` are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<PathBuf>,
    /// Sockets of engines of this machine that hosts may name as theirs (`unix:` endpoints). None by default: a host is
    /// anybody, and what it names is asked, and told to run the service's container, with this node's rights.
    #[serde(default)]
    pub local_engines: Vec<PathBuf>,
    /// Registries (`host:port`) that are spoken to without TLS. What they serve is hashed all the same.
    #[serde(default)]
    pub plain_registries: Vec<String>,
    /// Whether quotes under the simulated roots, which anybody can make, are shown as verified (and as simulated). For
    /// development and tests.
    #[serde(default)]
    pub simulated_quotes: bool,
    /// Longest a host may take for one measurement, milliseconds (100 to 60,000). After that it did not answer.
    #[serde(default = "default_answer_ms")]
    pub answer_ms: u64,
    /// Longest a deployment may take: pulling, checking, creating (10 to 3,600 seconds).
    #[serde(default = "default_deploy_seconds")]
    pub deploy_seconds: u64,
    /// Deployments monitored at once (1 to 4,096), the same part of them for each service; more are left to the other
    /// monitors.
    #[serde(default = "default_deployments")]
    pub deployments: u32,
    /// The services whose hosts this node monitors.
    #[serde(rename = "service", default)]
    pub services: Vec<IntegrityServiceConfig>,
}

/// A service whose hosts are monitored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegrityServiceConfig {
    /// The service's contract.
    pub address: Address,
    /// Its `service.toml`; must be the one whose hash is in the `Registry`.
    pub manifest: PathBuf,
}

fn default_image_cache_bytes() -> u64 {
    64 << 30
}

fn default_answer_ms() -> u64 {
    4_000
}

fn default_deploy_seconds() -> u64 {
    300
}

fn default_deployments() -> u32 {
    256
}

impl IntegrityConfig {
    /// The numbers with their bounds.
    pub(crate) fn rows(&self) -> [(&'static str, u64, u64, u64); 4] {
        [
            ("integrity.image_cache_bytes", self.image_cache_bytes, 64 << 20, 1 << 44),
            ("integrity.answer_ms", self.answer_ms, 100, 60_000),
            ("integrity.deploy_seconds", self.deploy_seconds, 10, 3_600),
            ("integrity.deployments", self.deployments.into(), 1, 4_096),
        ]
    }
}
