//! Reading `[container]`: everything wrong is collected with its place.

use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use alloy_primitives::{B256, hex};
use toml::de::DeValue;

use super::{
    Capabilities, ClientPolicy, Container, ExecPolicy, FilePolicy, Image, MAX_EPOCH, MAX_MONITORS, MAX_UNREACHABLE,
    MIN_EPOCH, MemoryPolicy, Mount, MountKind, NetworkMode, Platform, Policy, Port, ProcessPolicy, Protocol,
    REWARD_BITS, REWARD_UNIT, Resources, Restart, RestartPolicy, Watch,
};
use crate::manifest::{
    Problems,
    parse::{At, Reader, Table, decimal, read, short, what},
};

const KEYS: &[&str] = &[
    "image",
    "platform",
    "entrypoint",
    "command",
    "user",
    "working_dir",
    "network",
    "restart",
    "read_only",
    "writable",
    "ports",
    "signed_by",
    "environment",
    "mount",
    "resources",
    "capabilities",
    "policy",
    "watch",
];

/// Longest name of an environment variable.
const MAX_VARIABLE: usize = 256;
/// Longest texts of the environment together: within what a kernel takes.
const MAX_ENVIRONMENT: usize = 65_536;
/// Most times a container is started again after failures.
const MAX_RESTARTS: u32 = 1_000_000;

pub(super) fn container(text: &str) -> Result<Option<Container>, Problems> {
    read(text, |reader, top| {
        let found = top.get("container")?;
        let table = reader.table(found, "container")?;
        Some(reader.deployed(&table))
    })
}

impl Reader<'_> {
    fn deployed(&mut self, table: &Table<'_, '_>) -> Container {
        self.keys(table, KEYS);
        let image = self.wanted(table, "image", IMAGE, image).unwrap_or_else(|| Image {
            registry: String::new(),
            repository: String::new(),
            digest: B256::ZERO,
        });
        if table.get("image").is_none() {
            self.say(&table.span, &table.below("image"), format!("missing; expected {IMAGE}"));
        }
        let network = self
            .wanted(table, "network", "\"none\", \"bridge\" or \"host\"", NetworkMode::named)
            .unwrap_or_default();
        let ports = sorted(self.list(table, "ports", |reader, found, path| {
            reader.fit(
                found,
                path,
                "a port such as \"8080/tcp\", or the host's first: \"80:8080/tcp\"",
                port,
            )
        }));
        if let (Some(found), true) = (table.get("ports"), network != NetworkMode::Bridge && !ports.is_empty()) {
            self.say(
                &found.span(),
                &table.below("ports"),
                format!("found ports with network \"{network}\", expected them with \"bridge\" only"),
            );
        }
        for pair in ports.windows(2) {
            if let ([one, other], Some(found)) = (pair, table.get("ports"))
                && (one.container, one.protocol) == (other.container, other.protocol)
            {
                self.say(
                    &found.span(),
                    &table.below("ports"),
                    format!("port {}/{} is published twice", one.container, one.protocol),
                );
            }
        }
        Container {
            image,
            platform: self
                .wanted(
                    table,
                    "platform",
                    "a platform such as \"linux/amd64\" or \"linux/arm/v7\"",
                    platform,
                )
                .unwrap_or_default(),
            entrypoint: self.arguments(table, "entrypoint"),
            command: self.arguments(table, "command"),
            user: self.wanted(table, "user", "a user such as \"10001\" or \"app:app\"", user),
            working_dir: self.wanted(table, "working_dir", "an absolute path without `..`", path),
            network,
            restart: self
                .wanted(
                    table,
                    "restart",
                    "\"no\", \"on-failure\", \"on-failure:N\", \"always\" or \"unless-stopped\"",
                    restart,
                )
                .unwrap_or_default(),
            read_only: self.flag(table, "read_only"),
            writable: sorted(self.list(table, "writable", |reader, found, place| {
                reader.fit(found, place, "the absolute path of a directory, not the root", |text| {
                    path(text).filter(|path| path != "/")
                })
            })),
            ports,
            signed_by: self.wanted(
                table,
                "signed_by",
                "a public key in PEM: -----BEGIN PUBLIC KEY----- and so on",
                public_key,
            ),
            environment: self.environment(table),
            mounts: self.mounts(table),
            resources: self.resources(table),
            capabilities: self.capabilities(table),
            policy: self.policy(table),
            watch: self.watch(table),
        }
    }

    /// A text that `fit` makes something of.
    fn fit<T>(
        &mut self,
        found: At<'_, '_>,
        path: &str,
        expected: &str,
        fit: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(found, path, expected)?;
        let fitting = fit(&text);
        if fitting.is_none() {
            self.say(
                &found.span(),
                path,
                format!("found \"{}\", expected {expected}", short(&text)),
            );
        }
        fitting
    }

    /// As [`Self::fit`], of a key that may be left out.
    fn wanted<T>(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        expected: &str,
        fit: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let found = table.get(key)?;
        self.fit(found, &table.below(key), expected, fit)
    }

    fn arguments(&mut self, table: &Table<'_, '_>, key: &str) -> Option<Vec<String>> {
        table.get(key)?;
        let read =
            |reader: &mut Self, found: At<'_, '_>, path: &str| reader.text(found, path, "the program or an argument");
        Some(self.list(table, key, read))
    }

    fn part<'a, 'i>(&mut self, table: &Table<'a, 'i>, key: &str, keys: &[&str]) -> Option<Table<'a, 'i>> {
        let part = self.table(table.get(key)?, &table.below(key))?;
        self.keys(&part, keys);
        Some(part)
    }

    fn number(&mut self, table: &Table<'_, '_>, key: &str, least: u32, most: u32) -> Option<u32> {
        let found = table.get(key)?;
        let number = self.integer(found, &table.below(key), least.into(), most.into())?;
        u32::try_from(number).ok()
    }

    fn environment(&mut self, table: &Table<'_, '_>) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        let Some(found) = table.get("environment") else {
            return environment;
        };
        let Some(entries) = self.table(found, &table.below("environment")) else {
            return environment;
        };
        let mut length = 0usize;
        for (name, value) in entries.entries {
            let path = entries.below(name.get_ref());
            let text: &str = name.get_ref();
            if text.is_empty() || text.len() > MAX_VARIABLE || text.chars().any(|c| c == '=' || c.is_control()) {
                self.say(
                    &name.span(),
                    &path,
                    format!(
                        "found the name \"{}\", expected 1 to {MAX_VARIABLE} bytes without `=`",
                        short(text)
                    ),
                );
            }
            if let Some(value) = self.text(value, &path, "a text") {
                length = length.saturating_add(text.len()).saturating_add(value.len());
                environment.insert(text.to_owned(), value);
            }
        }
        if length > MAX_ENVIRONMENT {
            self.say(
                &entries.span,
                &entries.path,
                format!("found {length} bytes, expected at most {MAX_ENVIRONMENT}"),
            );
        }
        environment
    }

    fn mounts(&mut self, table: &Table<'_, '_>) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = Vec::new();
        self.list(table, "mount", |reader, found, path| {
            let entry = reader.table(found, path)?;
            let mount = reader.mount(&entry)?;
            if mounts.iter().any(|other| other.target == mount.target) {
                reader.say(
                    &found.span(),
                    &entry.below("target"),
                    format!("\"{}\" is mounted twice", short(&mount.target)),
                );
            }
            mounts.push(mount);
            Some(())
        });
        mounts.sort();
        mounts
    }

    fn mount(&mut self, table: &Table<'_, '_>) -> Option<Mount> {
        self.keys(table, &["target", "kind", "source", "read_only"]);
        for key in ["target", "kind"] {
            if table.get(key).is_none() {
                self.say(&table.span, &table.below(key), "missing".to_owned());
            }
        }
        let target = self.wanted(table, "target", "an absolute path without `..`, not the root", |text| {
            path(text).filter(|path| path != "/")
        });
        let kind = self.wanted(table, "kind", "\"volume\", \"tmpfs\" or \"bind\"", MountKind::named);
        let read_only = self.flag(table, "read_only");
        let kind = kind?;
        let source = match (kind, table.get("source")) {
            (MountKind::Tmpfs, None) => Some(String::new()),
            (MountKind::Tmpfs, Some(found)) => {
                self.say(
                    &found.span(),
                    &table.below("source"),
                    "found a source, expected none: a tmpfs is memory".to_owned(),
                );
                None
            }
            (_, None) => {
                self.say(
                    &table.span,
                    &table.below("source"),
                    format!("missing; a {kind} has one"),
                );
                None
            }
            (MountKind::Volume, Some(found)) => self.fit(
                found,
                &table.below("source"),
                "a volume's name: letters, digits, `_`, `.`, `-`, first a letter or digit",
                volume,
            ),
            (MountKind::Bind, Some(found)) => self.fit(
                found,
                &table.below("source"),
                "an absolute path of the host without `..`",
                path,
            ),
        };
        Some(Mount {
            target: target?,
            kind,
            source: source?,
            read_only,
        })
    }

    fn resources(&mut self, table: &Table<'_, '_>) -> Resources {
        let Some(part) = self.part(table, "resources", &["memory_mib", "cpus", "pids"]) else {
            return Resources::default();
        };
        let cpus_milli = part.get("cpus").and_then(|found| {
            let text = match found.get_ref() {
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                DeValue::String(text) => text.to_string(),
                _ => String::new(),
            };
            let milli = decimal(&text, 3).and_then(|milli| u32::try_from(milli).ok());
            let milli = milli.filter(|milli| (1..=1_024_000).contains(milli));
            if milli.is_none() {
                self.say(
                    &found.span(),
                    &part.below("cpus"),
                    format!("found {}, expected CPUs such as 0.5 or 2, at most 1024", what(found)),
                );
            }
            milli
        });
        Resources {
            memory_mib: self.number(&part, "memory_mib", 6, 1 << 24),
            cpus_milli,
            pids: self.number(&part, "pids", 1, 1 << 22),
        }
    }

    fn capabilities(&mut self, table: &Table<'_, '_>) -> Capabilities {
        let Some(part) = self.part(table, "capabilities", &["add", "drop"]) else {
            return Capabilities::default();
        };
        let mut names = |key: &str| {
            sorted(self.list(&part, key, |reader, found, path| {
                reader.fit(
                    found,
                    path,
                    "a capability such as \"NET_ADMIN\", or \"ALL\"",
                    capability,
                )
            }))
        };
        Capabilities {
            add: names("add"),
            drop: names("drop"),
        }
    }

    fn policy(&mut self, table: &Table<'_, '_>) -> Policy {
        let keys = ["exec", "processes", "memory", "files", "restarts", "clients"];
        let Some(part) = self.part(table, "policy", &keys) else {
            return Policy::default();
        };
        Policy {
            exec: self.switch(&part, "exec", ExecPolicy::NAMES, ExecPolicy::named),
            processes: self.switch(&part, "processes", ProcessPolicy::NAMES, ProcessPolicy::named),
            memory: self.switch(&part, "memory", MemoryPolicy::NAMES, MemoryPolicy::named),
            files: self.switch(&part, "files", FilePolicy::NAMES, FilePolicy::named),
            restarts: self.switch(&part, "restarts", RestartPolicy::NAMES, RestartPolicy::named),
            clients: self.switch(&part, "clients", ClientPolicy::NAMES, ClientPolicy::named),
        }
    }

    fn switch<T: Default>(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        names: &[&str],
        named: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let expected = format!("one of {}", names.join(", "));
        self.wanted(table, key, &expected, named).unwrap_or_default()
    }

    fn watch(&mut self, table: &Table<'_, '_>) -> Watch {
        let keys = [
            "period",
            "epoch",
            "monitors",
            "unreachable_after",
            "reward",
            "host_reward",
        ];
        let default = Watch::default();
        let Some(part) = self.part(table, "watch", &keys) else {
            return default;
        };
        let epoch = self
            .number(&part, "epoch", MIN_EPOCH, MAX_EPOCH)
            .unwrap_or(default.epoch);
        let given = self.number(&part, "period", 1, MAX_EPOCH);
        let period = given.unwrap_or(default.period.min(epoch));
        if let (true, Some(found)) = (period > epoch, part.get("period")) {
            self.say(
                &found.span(),
                &part.below("period"),
                format!("found {period} s, expected at most an epoch, {epoch} s"),
            );
        }
        let small = |number: Option<u32>| number.and_then(|number| u16::try_from(number).ok());
        let monitors = self.number(&part, "monitors", 1, MAX_MONITORS.into());
        let unreachable = self.number(&part, "unreachable_after", 1, MAX_UNREACHABLE.into());
        let mut wei = |key: &str| {
            self.wanted(
                &part,
                key,
                "tokens as text with at most 9 decimals, such as \"0.25\", less than 2^48 * 10^9 wei",
                |text| {
                    let units = decimal(text, 9).filter(|units| units.checked_shr(REWARD_BITS) == Some(0))?;
                    units.checked_mul(REWARD_UNIT)
                },
            )
            .unwrap_or_default()
        };
        Watch {
            period,
            epoch,
            monitors: monitors
                .and_then(|number| u8::try_from(number).ok())
                .unwrap_or(default.monitors),
            unreachable_after: small(unreachable).unwrap_or(default.unreachable_after),
            reward: wei("reward"),
            host_reward: wei("host_reward"),
        }
    }
}

const IMAGE: &str = "an image by digest with its registry: REGISTRY/NAME@sha256: and 64 lower-case hex digits, no tag";

fn image(text: &str) -> Option<Image> {
    let (name, digest) = text.split_once("@sha256:")?;
    let (registry, repository) = name.split_once('/')?;
    // As a reference's grammar tells a registry from a name's first part.
    let is_registry = registry.contains(['.', ':']) || registry == "localhost" || registry.starts_with('[');
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.chars().all(|c| plain(c) || matches!(c, '.' | '_' | '-'))
            && part.starts_with(plain)
            && part.ends_with(plain)
            && !part.contains("..")
    };
    let good = is_registry
        && registry.chars().all(host)
        && registry.len() <= 255
        && repository.len() <= 255
        && repository.split('/').all(part);
    if !good || digest.len() != 64 || digest.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    Some(Image {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        digest: B256::from_slice(&hex::decode(digest).ok()?),
    })
}

fn platform(text: &str) -> Option<Platform> {
    let mut parts = text.split('/');
    let part = |part: &str| {
        let good = !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        good.then(|| part.to_owned())
    };
    let found = Platform {
        os: part(parts.next()?)?,
        architecture: part(parts.next()?)?,
        variant: match parts.next() {
            Some(variant) => Some(part(variant)?),
            None => None,
        },
    };
    parts.next().is_none().then_some(found)
}

fn user(text: &str) -> Option<String> {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    let good = match text.split_once(':') {
        Some((user, group)) => part(user) && part(group),
        None => part(text),
    };
    good.then(|| text.to_owned())
}

/// An absolute path, without empty parts, `.` and `..`.
fn path(text: &str) -> Option<String> {
    if text == "/" {
        return Some(text.to_owned());
    }
    let good = text
        .strip_prefix('/')?
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control));
    good.then(|| text.to_owned())
}

fn restart(text: &str) -> Option<Restart> {
    match text {
        "no" => Some(Restart::No),
        "on-failure" => Some(Restart::OnFailure(None)),
        "always" => Some(Restart::Always),
        "unless-stopped" => Some(Restart::UnlessStopped),
        _ => {
            let times = text.strip_prefix("on-failure:")?;
            let times = times
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| times.parse().ok())??;
            (1..=MAX_RESTARTS)
                .contains(&times)
                .then_some(Restart::OnFailure(Some(times)))
        }
    }
}

fn port(text: &str) -> Option<Port> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok())?.filter(|number| *number > 0)
    };
    let (host, container) = numbers.split_once(':').unwrap_or((numbers, numbers));
    Some(Port {
        container: number(container)?,
        host: number(host)?,
        protocol: Protocol::named(protocol)?,
    })
}

fn public_key(text: &str) -> Option<String> {
    let text = text.trim();
    let good = text.starts_with("-----BEGIN PUBLIC KEY-----") && text.ends_with("-----END PUBLIC KEY-----");
    good.then(|| text.to_owned())
}

fn volume(text: &str) -> Option<String> {
    let good = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 128
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    good.then(|| text.to_owned())
}

fn capability(text: &str) -> Option<String> {
    let name = text.strip_prefix("CAP_").unwrap_or(text);
    let good = !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    good.then(|| name.to_owned())
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}
