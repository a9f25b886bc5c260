//! The `[container]` part of `service.toml`: what a host runs, how monitors watch it, and what is paid
//! (`docs/spec/integrity.md`, section 2).
//!
//! [`Container::parse`] reads it and tells everything that is wrong at once, with line, column and path;
//! [`Container::to_value`] is the specification that a plan commits to by its hash.

mod read;

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use alloy_primitives::{B256, hex};
use surety_primitives::value::{Value, ValueError};

use super::Problems;

/// Shortest epoch, seconds.
pub const MIN_EPOCH: u32 = 4;
/// Longest epoch, seconds: a day.
pub const MAX_EPOCH: u32 = 86_400;
/// Most epochs without an answer before a deployment ends.
pub const MAX_UNREACHABLE: u16 = 1_000;
/// Most monitors of a set.
pub const MAX_MONITORS: u8 = 128;
/// Rewards are multiples of so many wei of the token.
pub const REWARD_UNIT: u128 = 1_000_000_000;
/// Bits of a reward in that unit.
pub const REWARD_BITS: u32 = 48;

/// What runs, how it is watched, and what is paid. Lists whose order means nothing are sorted and without doubles, so
/// that equal specifications have equal hashes however they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// the image, by digest
    pub image: Image,
    /// for what it is built
    pub platform: Platform,
    /// program and first arguments; the image's if `None`
    pub entrypoint: Option<Vec<String>>,
    /// further arguments; the image's if `None` (and if an entry point is given, none)
    pub command: Option<Vec<String>>,
    /// user, and after a colon group, by name or number; the image's if `None`
    pub user: Option<String>,
    /// absolute path; the image's if `None`
    pub working_dir: Option<String>,
    /// which network it sees
    pub network: NetworkMode,
    /// when the engine starts it again
    pub restart: Restart,
    /// whether its root file system is read-only
    pub read_only: bool,
    /// absolute paths of directories in which files may be made and changed; nothing there may be executed. Sorted
    pub writable: Vec<String>,
    /// published ports, sorted
    pub ports: Vec<Port>,
    /// public key, PEM, that must have signed the image's digest (cosign's format), if any
    pub signed_by: Option<String>,
    /// environment, besides what the image sets; a name that the image sets too has this value
    pub environment: BTreeMap<String, String>,
    /// what is mounted, sorted by target
    pub mounts: Vec<Mount>,
    /// what it may use
    pub resources: Resources,
    /// capabilities, besides the engine's defaults
    pub capabilities: Capabilities,
    /// which probes report what
    pub policy: Policy,
    /// how it is watched, and what is paid for that
    pub watch: Watch,
}

/// An image in a registry, by digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image {
    /// host, with a port after a colon if it is not the default: `registry.example:5000`
    pub registry: String,
    /// its name there: `team/sequencer`
    pub repository: String,
    /// SHA-256 of the platform's manifest, or of an index that names it
    pub digest: B256,
}

/// Operating system, architecture, and variant, as an index names them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// `linux`
    pub os: String,
    /// `amd64`, `arm64`, ...
    pub architecture: String,
    /// `v7`, `v8`, ...
    pub variant: Option<String>,
}

/// Which network a container sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkMode {
    /// loopback only
    None,
    /// the engine's own; ports are published
    #[default]
    Bridge,
    /// the host's
    Host,
}

/// When the engine starts a container again that has stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Restart {
    /// never
    #[default]
    No,
    /// after an exit other than 0; `None`: without limit
    OnFailure(Option<u32>),
    /// always, also when the engine starts
    Always,
    /// always, unless somebody stopped it
    UnlessStopped,
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// in the container
    pub container: u16,
    /// on the host; the same unless the manifest says otherwise
    pub host: u16,
    /// of the transport
    pub protocol: Protocol,
}

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// Something mounted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mount {
    /// absolute path in the container
    pub target: String,
    /// what kind of thing
    pub kind: MountKind,
    /// a volume's name, a bind's absolute path on the host; empty of a tmpfs
    pub source: String,
    /// whether the container may only read it
    pub read_only: bool,
}

/// Kinds of mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MountKind {
    /// a named volume
    Volume,
    /// memory
    Tmpfs,
    /// a path of the host
    Bind,
}

/// What a container may use; no limit where `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// MiB
    pub memory_mib: Option<u32>,
    /// thousandths of a CPU
    pub cpus_milli: Option<u32>,
    /// processes and threads
    pub pids: Option<u32>,
}

/// Capabilities, as names without `CAP_`, or `ALL`; sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// given besides the engine's defaults
    pub add: Vec<String>,
    /// taken from them
    pub drop: Vec<String>,
}

/// Which probes report what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// exec sessions
    pub exec: ExecPolicy,
    /// processes
    pub processes: ProcessPolicy,
    /// executable memory
    pub memory: MemoryPolicy,
    /// the root file system
    pub files: FilePolicy,
    /// starts
    pub restarts: RestartPolicy,
    /// files put into the container through the engine
    pub clients: ClientPolicy,
}

/// Which exec sessions there may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExecPolicy {
    /// none; not even the image's health check
    #[default]
    Forbid,
    /// the image's health check only
    Health,
    /// any
    Allow,
}

/// Which processes there may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessPolicy {
    /// those whose file is the image's
    #[default]
    Image,
    /// any
    Any,
}

/// Which executable memory there may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemoryPolicy {
    /// that of files of the image, unchanged
    #[default]
    Strict,
    /// anonymous executable memory too
    Jit,
    /// any
    Off,
}

/// Which files of the root file system may change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilePolicy {
    /// those below [`Container::writable`], and nothing there may be executed
    #[default]
    Strict,
    /// those below [`Container::writable`]
    Writable,
    /// any
    Off,
}

/// Which starts there may be after the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RestartPolicy {
    /// those that [`Container::restart`] accounts for
    #[default]
    Policy,
    /// none
    None,
    /// any
    Any,
}

/// Whether files may be put into the container through the engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientPolicy {
    /// they may not
    #[default]
    Forbid,
    /// they may
    Allow,
}

/// How a container is watched, and what is paid for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// seconds between a monitor's measurements; at most an epoch
    pub period: u32,
    /// seconds; a verdict is recorded for each. [`MIN_EPOCH`] to [`MAX_EPOCH`]
    pub epoch: u32,
    /// size of the sets of monitors; at most [`MAX_MONITORS`]
    pub monitors: u8,
    /// epochs in a row without an answer that end the deployment; 1 to [`MAX_UNREACHABLE`]
    pub unreachable_after: u16,
    /// wei of the token to all monitors together, for each epoch recorded
    pub reward: u128,
    /// wei of the token to the host, for each epoch recorded as intact
    pub host_reward: u128,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            period: 2,
            epoch: 12,
            monitors: 16,
            unreachable_after: 5,
            reward: 0,
            host_reward: 0,
        }
    }
}

impl Default for Platform {
    /// `linux/amd64`.
    fn default() -> Self {
        Self {
            os: "linux".into(),
            architecture: "amd64".into(),
            variant: None,
        }
    }
}

/// Names of an enumeration's variants in the manifest, both ways.
macro_rules! names {
    ($($type:ident { $($variant:ident = $name:literal),+ $(,)? })+) => {$(
        impl $type {
            /// Its names in a manifest.
            pub const NAMES: &[&str] = &[$($name),+];

            /// By its name in a manifest.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Its name in a manifest.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    )+};
}

names! {
    NetworkMode { None = "none", Bridge = "bridge", Host = "host" }
    Protocol { Tcp = "tcp", Udp = "udp" }
    MountKind { Volume = "volume", Tmpfs = "tmpfs", Bind = "bind" }
    ExecPolicy { Forbid = "forbid", Health = "health", Allow = "allow" }
    ProcessPolicy { Image = "image", Any = "any" }
    MemoryPolicy { Strict = "strict", Jit = "jit", Off = "off" }
    FilePolicy { Strict = "strict", Writable = "writable", Off = "off" }
    RestartPolicy { Policy = "policy", None = "none", Any = "any" }
    ClientPolicy { Forbid = "forbid", Allow = "allow" }
}

impl Container {
    /// Reads the `[container]` part of a whole `service.toml`; `None` if it has none. Its other parts are not looked at.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the text.
    pub fn parse(text: &str) -> Result<Option<Self>, Problems> {
        read::container(text)
    }

    /// The specification: every field is there, `null` where the image decides, amounts of wei as decimal text.
    pub fn to_value(&self) -> Value {
        object([
            ("image", text(&self.image)),
            ("platform", text(&self.platform)),
            ("entrypoint", optional(self.entrypoint.as_ref(), texts)),
            ("command", optional(self.command.as_ref(), texts)),
            ("user", optional(self.user.as_ref(), text)),
            ("working_dir", optional(self.working_dir.as_ref(), text)),
            ("network", text(&self.network)),
            ("restart", text(&self.restart)),
            ("read_only", self.read_only.into()),
            ("writable", texts(&self.writable)),
            ("ports", Value::List(self.ports.iter().map(text).collect())),
            ("signed_by", optional(self.signed_by.as_ref(), text)),
            (
                "environment",
                Value::Object(
                    self.environment
                        .iter()
                        .map(|(name, value)| (name.clone(), text(value)))
                        .collect(),
                ),
            ),
            ("mount", Value::List(self.mounts.iter().map(Mount::to_value).collect())),
            ("resources", self.resources.to_value()),
            (
                "capabilities",
                object([
                    ("add", texts(&self.capabilities.add)),
                    ("drop", texts(&self.capabilities.drop)),
                ]),
            ),
            ("policy", self.policy.to_value()),
            ("watch", self.watch.to_value()),
        ])
    }

    /// Value hash of [`Self::to_value`]: what a plan commits to.
    ///
    /// # Errors
    /// The specification is longer than a value may be; not of one that was parsed.
    pub fn specification_hash(&self) -> Result<B256, ValueError> {
        self.to_value().hash()
    }
}

impl Mount {
    fn to_value(&self) -> Value {
        object([
            ("target", text(&self.target)),
            ("kind", text(&self.kind)),
            ("source", text(&self.source)),
            ("read_only", self.read_only.into()),
        ])
    }
}

impl Resources {
    fn to_value(self) -> Value {
        let number = |limit: &u32| Value::from(*limit);
        object([
            ("memory_mib", optional(self.memory_mib.as_ref(), number)),
            ("cpus_milli", optional(self.cpus_milli.as_ref(), number)),
            ("pids", optional(self.pids.as_ref(), number)),
        ])
    }
}

impl Policy {
    fn to_value(self) -> Value {
        object([
            ("exec", text(&self.exec)),
            ("processes", text(&self.processes)),
            ("memory", text(&self.memory)),
            ("files", text(&self.files)),
            ("restarts", text(&self.restarts)),
            ("clients", text(&self.clients)),
        ])
    }
}

impl Watch {
    fn to_value(self) -> Value {
        object([
            ("period", self.period.into()),
            ("epoch", self.epoch.into()),
            ("monitors", self.monitors.into()),
            ("unreachable_after", self.unreachable_after.into()),
            ("reward", text(&self.reward)),
            ("host_reward", text(&self.host_reward)),
        ])
    }
}

impl fmt::Display for Image {
    /// As in a manifest: `registry/repository@sha256:…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = hex::encode(self.digest);
        write!(f, "{}/{}@sha256:{digest}", self.registry, self.repository)
    }
}

impl fmt::Display for Platform {
    /// As in a manifest: `linux/arm/v7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Restart {
    /// As in a manifest: `on-failure:3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::OnFailure(None) => f.write_str("on-failure"),
            Self::OnFailure(Some(times)) => write!(f, "on-failure:{times}"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

impl fmt::Display for Port {
    /// With the host's port first: `80:8080/tcp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.container, self.protocol)
    }
}

fn text(it: &impl fmt::Display) -> Value {
    Value::String(format!("{it}"))
}

#[allow(clippy::ptr_arg, reason = "what `optional` hands on")]
fn texts(list: &Vec<String>) -> Value {
    Value::List(list.iter().map(text).collect())
}

fn optional<T>(it: Option<&T>, value: impl FnOnce(&T) -> Value) -> Value {
    it.map_or(Value::Null, value)
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .collect(),
    )
}
