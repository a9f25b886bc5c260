//! `node.toml`: what an operator decides. Strict: an unknown key, a value out of bounds or a missing file name is an
//! error that says which key, what was found and what is accepted.
//!
//! The documented example is [`EXAMPLE`]; a test keeps it equal to the defaults.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{integrity::config::IntegrityConfig, network::config::NetworkConfig};

/// A complete, documented `node.toml`.
pub const EXAMPLE: &str = include_str!("node.example.toml");

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}; give the path of a node.toml")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not the TOML that is expected.
    #[error("{path} is not a valid configuration: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what, from the parser.
        message: String,
    },
    /// A value is out of its bounds.
    #[error("{key} = {found} is out of bounds: {expected}")]
    Bounds {
        /// Dotted path of the key.
        key: String,
        /// The value found.
        found: String,
        /// What is accepted.
        expected: String,
    },
}

/// The whole of `node.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the store and the caches live. Relative paths are relative to the file.
    pub data_dir: PathBuf,
    /// Directories searched for program ELFs. Files are known by the program hash that follows from their content;
    /// names are free.
    pub program_dirs: Vec<PathBuf>,
    /// Who signs.
    pub operator: OperatorConfig,
    /// The L1 and the contracts.
    pub chain: ChainConfig,
    /// The services whose requests this node answers.
    #[serde(rename = "service", default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceConfig>,
    /// The network of events and tasks; absent: no part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkConfig>,
    /// Containers that are monitored and attested; absent: no part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<IntegrityConfig>,
    /// Where preimages come from.
    #[serde(default)]
    pub preimages: PreimageConfig,
    /// Bounds of everything.
    #[serde(default)]
    pub limits: Limits,
    /// The dispute player.
    #[serde(default)]
    pub player: PlayerConfig,
    /// How programs are run.
    #[serde(default)]
    pub engine: EngineConfig,
    /// Requests made on-chain.
    #[serde(default)]
    pub forced: ForcedConfig,
    /// Prometheus endpoint; absent: none.
    #[serde(default)]
    pub metrics: Option<MetricsConfig>,
}

/// Operator key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorConfig {
    /// Encrypted keystore (Web3 Secret Storage v3), as written by `cast wallet` or `surety operator`.
    pub keystore: PathBuf,
    /// File that holds the password, one line. If absent, the environment variable `SURETY_PASSWORD_FILE` names it.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// L1 endpoint and contracts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// L1 JSON-RPC, http or https.
    pub rpc: String,
    /// The deployment file: chain id, addresses of the contracts, the block they were deployed in. `surety dev` writes
    /// one.
    pub deployment: PathBuf,
    /// Milliseconds between two looks at the chain (100 to 60000).
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
}

fn default_poll_ms() -> u64 {
    1_000
}

/// One service that is provided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// The service's contract.
    pub address: Address,
    /// Where its JSON-RPC listens. One endpoint a service, for `eth_chainId` names the service.
    pub listen: SocketAddr,
    /// `Access-Control-Allow-Origin`: `["*"]` for all (the default), or a list of origins.
    #[serde(default = "default_cors")]
    pub cors_origins: Vec<String>,
}

fn default_cors() -> Vec<String> {
    vec!["*".into()]
}

/// Preimage sources, asked in this order: memory, store, disk cache, directories, Ethereum (by hint), peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreimageConfig {
    /// Directories of `*.bin` (one preimage each) and `*.pack` (repeated big-endian u32 length and bytes) files.
    pub directories: Vec<PathBuf>,
    /// Ethereum JSON-RPC endpoints that serve `header`, `account`, `storage` and `receipts` hints.
    pub ethereum: Vec<String>,
    /// JSON-RPC endpoints of other providers, asked with `surety_getPreimage`.
    pub peers: Vec<String>,
    /// Milliseconds one fetch may take (100 to 60000).
    pub timeout_ms: u64,
    /// Bytes one fetched answer may have (1 MiB to 1 GiB).
    pub max_answer_bytes: u64,
    /// Bytes of the disk cache of fetched preimages (0: no cache).
    pub cache_bytes: u64,
    /// Preimages indexed in `directories`, at most.
    pub max_indexed: u64,
}

impl Default for PreimageConfig {
    fn default() -> Self {
        Self {
            directories: vec![],
            ethereum: vec![],
            peers: vec![],
            timeout_ms: 10_000,
            max_answer_bytes: 64 << 20,
            cache_bytes: 1 << 30,
            max_indexed: 1_000_000,
        }
    }
}

impl PreimageConfig {
    /// Time one fetch may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Bounds. Every queue, body, run and table has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a JSON-RPC body.
    pub body_bytes: u32,
    /// Bytes of a JSON-RPC answer.
    pub answer_bytes: u32,
    /// Calls in a JSON-RPC batch.
    pub batch: u32,
    /// Open connections per service.
    pub connections: u32,
    /// Seconds a JSON-RPC request may take, waiting in the queue included.
    pub request_seconds: u64,
    /// Threads that run programs.
    pub workers: u32,
    /// Runs waiting for a thread; more are answered "busy".
    pub queue: u32,
    /// Steps a signed request may ask for.
    pub budget: u64,
    /// Steps an unsigned `eth_call` or `eth_estimateGas` may take.
    pub call_budget: u64,
    /// Seconds one run may take; then it is given up, unsigned.
    pub program_seconds: u64,
    /// Bytes of data memory a program may declare.
    pub program_memory: u64,
    /// Bytes a run may write as output.
    pub output_bytes: u64,
    /// Bytes of preimages one run may use.
    pub run_preimage_bytes: u64,
    /// Bytes of the store. Answers are never dropped, since they can be disputed as long as the operator is bonded;
    /// when the store is full the node refuses new requests and goes on answering old ones.
    pub store_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 256 << 10,
            answer_bytes: 16 << 20,
            batch: 32,
            connections: 256,
            request_seconds: 60,
            workers: 2,
            queue: 64,
            budget: 1 << 36,
            call_budget: 1 << 32,
            program_seconds: 50,
            program_memory: 256 << 20,
            output_bytes: 1 << 20,
            run_preimage_bytes: 64 << 20,
            store_bytes: 64 << 30,
        }
    }
}

impl Limits {
    /// Wall-clock time one run may take.
    pub fn program_time(&self) -> Duration {
        Duration::from_secs(self.program_seconds)
    }
}

/// What the dispute player does by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlayerConfig {
    /// Defend our own claims. Off only for tests of silence.
    pub defend: bool,
    /// Join disputes about our services with whose claims we disagree.
    pub join: bool,
    /// Expire silent opponents and settle finished disputes we take part in.
    pub settle: bool,
    /// Seconds between two attempts when a transaction or the L1 endpoint fails, at most (backoff doubles from 1).
    pub max_backoff_seconds: u64,
    /// Seconds (of the chain's time) after which something that had no effect is done again.
    pub resend_seconds: u64,
    /// Seconds to leave to others what others are paid or bound to do.
    pub grace_seconds: u64,
    /// Bytes of machine checkpoints kept, about, over all disputes; at least two checkpoints of the one played last are.
    pub checkpoint_bytes: u64,
}

impl Default for PlayerConfig {
    fn default() -> Self {
        Self {
            defend: true,
            join: true,
            settle: true,
            max_backoff_seconds: 30,
            resend_seconds: 30,
            grace_seconds: 15,
            checkpoint_bytes: 4 << 30,
        }
    }
}

impl PlayerConfig {
    /// These settings with pauses that suit a deployment's clock, in seconds: what is done again is done again often
    /// enough within what a party has in a match.
    #[must_use]
    pub fn fitted(&self, clock: u64) -> Self {
        let mut fitted = self.clone();
        if self.resend_seconds.saturating_add(self.max_backoff_seconds) > clock / 4 {
            let most = (clock / 8).max(1);
            fitted.resend_seconds = self.resend_seconds.min(most);
            fitted.max_backoff_seconds = self.max_backoff_seconds.min(most);
        }
        fitted
    }
}

/// How programs are run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// `translated`, `interpreter`, or `check`: both, compared; no answer is signed where they differ.
    #[serde(with = "engine_kind")]
    pub kind: surety_engine::Kind,
    /// Keep translations in `data_dir`, so that the node starts faster.
    pub cache: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            kind: surety_engine::Kind::default(),
            cache: true,
        }
    }
}

impl EngineConfig {
    /// The translations of a node with this configuration.
    pub fn codes(&self, data_dir: &Path) -> Arc<surety_engine::Codes> {
        let directory = self.cache.then(|| data_dir.join("engine"));
        Arc::new(surety_engine::Codes::new(self.kind, directory))
    }
}

/// An engine by its name.
mod engine_kind {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use surety_engine::Kind;

    pub(super) fn serialize<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Requests made on-chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForcedConfig {
    /// Answer them. Off: nothing is posted, and whoever the service obliges to answer may be punished for it.
    pub enabled: bool,
    /// Wei the operator's account keeps for moves in disputes: with less, no answer is posted.
    pub reserve_wei: u64,
}

impl Default for ForcedConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            // 0.05 ether.
            reserve_wei: 50_000_000_000_000_000,
        }
    }
}

/// Prometheus text endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Where `GET /metrics` and `GET /health` listen.
    pub listen: SocketAddr,
}

impl Config {
    /// Reads and checks a `node.toml`. Relative paths become relative to the file's directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut config = Self::parse(&text).map_err(|e| match e {
            ConfigError::Parse { message, .. } => ConfigError::Parse {
                path: path.to_owned(),
                message,
            },
            e => e,
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.anchor(base);
        Ok(config)
    }

    /// Parses and checks the text of a `node.toml`.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| ConfigError::Parse {
            path: "node.toml".into(),
            message: e.to_string(),
        })?;
        config.check()?;
        Ok(config)
    }

    /// The text of this configuration.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string_pretty(self).map_err(|e| ConfigError::Parse {
            path: "node.toml".into(),
            message: e.to_string(),
        })
    }

    fn anchor(&mut self, base: &Path) {
        let join = |p: &mut PathBuf| {
            if p.is_relative() {
                *p = base.join(&*p);
            }
        };
        join(&mut self.data_dir);
        self.program_dirs.iter_mut().for_each(join);
        join(&mut self.operator.keystore);
        join(&mut self.chain.deployment);
        if let Some(p) = &mut self.operator.password_file {
            join(p);
        }
        self.preimages.directories.iter_mut().for_each(join);
        if let Some(network) = &mut self.network {
            join(&mut network.connector_token);
            network.services.iter_mut().for_each(|s| join(&mut s.manifest));
        }
        if let Some(integrity) = &mut self.integrity {
            join(&mut integrity.image_cache);
            integrity.ssh_key.iter_mut().for_each(join);
            integrity.local_engines.iter_mut().for_each(join);
            integrity.services.iter_mut().for_each(|s| join(&mut s.manifest));
        }
    }

    /// Checks every bound.
    pub fn check(&self) -> Result<(), ConfigError> {
        let l = &self.limits;
        let p = &self.preimages;
        let rows: [(&str, u64, u64, u64); 24] = [
            ("chain.poll_ms", self.chain.poll_ms, 100, 60_000),
            ("preimages.timeout_ms", p.timeout_ms, 100, 60_000),
            ("preimages.max_answer_bytes", p.max_answer_bytes, 1 << 20, 1 << 30),
            ("preimages.cache_bytes", p.cache_bytes, 0, 1 << 40),
            ("preimages.max_indexed", p.max_indexed, 0, 100_000_000),
            ("limits.body_bytes", l.body_bytes.into(), 1 << 10, 64 << 20),
            ("limits.answer_bytes", l.answer_bytes.into(), 64 << 10, 1 << 30),
            ("limits.batch", l.batch.into(), 1, 1_000),
            ("limits.connections", l.connections.into(), 1, 65_536),
            ("limits.request_seconds", l.request_seconds, 1, 3_600),
            ("limits.workers", l.workers.into(), 1, 1_024),
            ("limits.queue", l.queue.into(), 0, 65_536),
            // 2^45 is the longest trace a dispute can cover (docs/spec/dispute.md, section 3).
            ("limits.budget", l.budget, 1_000, 1 << 45),
            ("limits.call_budget", l.call_budget, 1_000, 1 << 45),
            ("limits.program_seconds", l.program_seconds, 1, 86_400),
            ("limits.program_memory", l.program_memory, 64 << 10, 4 << 30),
            ("limits.output_bytes", l.output_bytes, 32, 1 << 30),
            ("limits.run_preimage_bytes", l.run_preimage_bytes, 96 << 10, 1 << 36),
            ("limits.store_bytes", l.store_bytes, 1 << 20, 1 << 50),
            ("player.max_backoff_seconds", self.player.max_backoff_seconds, 1, 3_600),
            ("player.resend_seconds", self.player.resend_seconds, 1, 86_400),
            ("player.grace_seconds", self.player.grace_seconds, 0, 86_400),
            ("player.checkpoint_bytes", self.player.checkpoint_bytes, 0, 1 << 40),
            ("forced.reserve_wei", self.forced.reserve_wei, 0, i64::MAX as u64),
        ];
        let network = self.network.iter().flat_map(NetworkConfig::rows);
        let integrity = self.integrity.iter().flat_map(IntegrityConfig::rows);
        for (key, found, low, high) in rows.into_iter().chain(network).chain(integrity) {
            if !(low..=high).contains(&found) {
                return Err(bounds(key, found, format!("{low} to {high}")));
            }
        }
        let idle = self.services.is_empty() && self.network.as_ref().is_none_or(|n| n.services.is_empty());
        if idle && self.integrity.is_none() {
            return Err(bounds(
                "service",
                "none",
                "at least one [[service]] or [[network.service]], or the section [integrity]".into(),
            ));
        }
        if let Some(integrity) = &self.integrity {
            if self.network.is_none() {
                return Err(bounds(
                    "integrity",
                    "set without network",
                    "the section [network] too: monitors vote over it".into(),
                ));
            }
            for (i, s) in integrity.services.iter().enumerate() {
                if integrity.services.iter().take(i).any(|t| t.address == s.address) {
                    return Err(bounds(
                        "integrity.service.address",
                        s.address,
                        "each service once".into(),
                    ));
                }
            }
        }
        if let Some(network) = &self.network {
            for (i, s) in network.services.iter().enumerate() {
                if network.services.iter().take(i).any(|t| t.address == s.address) {
                    return Err(bounds("network.service.address", s.address, "each service once".into()));
                }
            }
            if !network.connectors.ip().is_loopback() {
                return Err(bounds(
                    "network.connectors",
                    network.connectors,
                    "a loopback address: connectors run beside their node".into(),
                ));
            }
        }
        for (i, s) in self.services.iter().enumerate() {
            if self.services.iter().take(i).any(|t| t.address == s.address) {
                return Err(bounds("service.address", s.address, "each service once".into()));
            }
            if s.listen.port() != 0 && self.services.iter().take(i).any(|t| t.listen == s.listen) {
                return Err(bounds(
                    "service.listen",
                    s.listen,
                    "a port of its own for each service".into(),
                ));
            }
        }
        let urls = std::iter::once(("chain.rpc", &self.chain.rpc))
            .chain(p.ethereum.iter().map(|u| ("preimages.ethereum", u)))
            .chain(p.peers.iter().map(|u| ("preimages.peers", u)));
        for (key, url) in urls {
            let ok = reqwest::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https"));
            if !ok {
                return Err(bounds(key, url, "an http:// or https:// URL".into()));
            }
        }
        Ok(())
    }
}

fn bounds(key: &str, found: impl ToString, expected: String) -> ConfigError {
    ConfigError::Bounds {
        key: key.into(),
        found: found.to_string(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_valid_and_shows_the_defaults() {
        let c = Config::parse(EXAMPLE).expect("the example must parse");
        assert_eq!(c.limits, Limits::default());
        assert_eq!(c.player, PlayerConfig::default());
        assert_eq!(c.forced, ForcedConfig::default());
        let d = PreimageConfig::default();
        assert_eq!(
            (
                c.preimages.timeout_ms,
                c.preimages.max_answer_bytes,
                c.preimages.cache_bytes,
                c.preimages.max_indexed
            ),
            (d.timeout_ms, d.max_answer_bytes, d.cache_bytes, d.max_indexed)
        );
        assert_eq!(Config::parse(&c.to_toml().expect("writes")).expect("reads"), c);
    }

    #[test]
    fn pauses_suit_the_clock() {
        let of = |c: PlayerConfig| (c.resend_seconds, c.max_backoff_seconds);
        let player = PlayerConfig::default();
        assert_eq!(of(player.fitted(259_200)), (30, 30));
        assert_eq!(of(player.fitted(240)), (30, 30));
        assert_eq!(of(player.fitted(120)), (15, 15));
        assert_eq!(of(player.fitted(8)), (1, 1));
        assert_eq!(of(player.fitted(0)), (1, 1));
    }

    #[test]
    fn what_is_commented_out_in_the_example_is_valid_too() {
        let text: String = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                // A comment begins with a space, a key does not.
                Some(key) if !key.starts_with(' ') => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let c = Config::parse(&text).expect("the example with everything switched on must parse");
        let integrity = c.integrity.as_ref().expect("has the section");
        let defaults: IntegrityConfig =
            toml::from_str("listen = \"127.0.0.1:1\"\nimage_cache = \"images\"").expect("the least there can be");
        assert_eq!(integrity.rows(), defaults.rows());
        assert_eq!(integrity.services.len(), 1);
        let e = Config::parse(&text.replace("answer_ms = 4000", "answer_ms = 1")).expect_err("out of bounds");
        assert!(e.to_string().contains("integrity.answer_ms = 1"), "{e}");
        let alone = EXAMPLE.replace(
            "#[integrity]",
            "[integrity]\nlisten = \"127.0.0.1:1\"\nimage_cache = \"i\"",
        );
        let e = Config::parse(&alone).expect_err("without the network");
        assert!(e.to_string().contains("[network]"), "{e}");
    }

    #[test]
    fn unknown_keys_and_values_out_of_bounds_are_refused_by_name() {
        let e = Config::parse(&EXAMPLE.replace("[limits]", "[limits]\nquue = 3")).expect_err("unknown key");
        assert!(e.to_string().contains("quue"), "{e}");
        let e = Config::parse(&EXAMPLE.replace("workers = 2", "workers = 0")).expect_err("out of bounds");
        assert!(e.to_string().contains("limits.workers = 0"), "{e}");
        let e = Config::parse(&EXAMPLE.replace("http://127.0.0.1:8545", "ftp://x")).expect_err("not http");
        assert!(e.to_string().contains("chain.rpc"), "{e}");
        let e = Config::load(Path::new("no-such-file.toml")).expect_err("no file");
        assert!(e.to_string().contains("no-such-file.toml"), "{e}");
    }
}
