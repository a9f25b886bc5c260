//! What the engine was told to run: the measurement's `identity`, and what plan and image say that it should be.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use surety_primitives::value::{Number, Value};
use surety_protocol::manifest::container::{Container, ExecPolicy, MountKind, Restart};

use super::{Context, Inspect, Reference};
use crate::{
    finding::{Finding, Kind},
    measurement::VERSION,
};

/// Paths that an engine hides from containers, and paths that it lets them only read: fewer of them is a privilege.
const MASKED: &[&str] = &["/proc/kcore", "/proc/keys", "/sys/firmware"];
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Deepest JSON that is taken over as it is.
const MAX_DEPTH: usize = 6;

/// Findings of kind `identity`.
pub fn look(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let (Some(plan), Some(image)) = (context.plan, context.image) {
        let found = identity(context);
        differences("", &expected(context, plan, image, &found), &found, &mut findings);
    }
    if let (Some(image), Some(copy)) = (context.image, &context.facts.image) {
        let found = Inspect(copy).texts("RootFS.Layers");
        if found != image.layers {
            let text = |layers: &[String]| Value::list(layers.iter().map(String::as_str)).to_string();
            findings.push(Finding::new(
                Kind::Identity,
                "image.layers",
                text(&image.layers),
                text(&found),
            ));
        }
    }
    findings
}

/// The identity of a container.
pub fn identity(context: &Context<'_>) -> Value {
    let it = &context.inspect;
    let image = match context.image {
        Some(image) => Value::object([
            ("manifest", Value::from(image.manifest.as_str())),
            ("config", image.config.as_str().into()),
            ("layers", texts(&image.layers)),
        ]),
        // What an operator sees who has nothing to compare with.
        None => Value::object([
            ("manifest", Value::Null),
            ("config", it.text("Image").into()),
            (
                "layers",
                context
                    .facts
                    .image
                    .as_ref()
                    .map_or(Value::Null, |copy| texts(&Inspect(copy).texts("RootFS.Layers"))),
            ),
        ]),
    };
    Value::object([
        ("version", Value::from(VERSION)),
        ("container", it.text("Id").into()),
        ("image", image),
        ("process", process(it)),
        ("mounts", mounts(it)),
        ("security", security(it)),
        ("ports", ports(it)),
        ("restart", restart(it).into()),
        ("resources", resources(it)),
        ("health", health(it.at("Config.Healthcheck"))),
    ])
}

fn process(it: &Inspect<'_>) -> Value {
    Value::object([
        ("entrypoint", texts(&it.texts("Config.Entrypoint"))),
        ("command", texts(&it.texts("Config.Cmd"))),
        ("environment", sorted(it.texts("Config.Env"))),
        ("user", it.text("Config.User").into()),
        ("working_dir", it.text("Config.WorkingDir").into()),
        ("open_stdin", it.flag("Config.OpenStdin").into()),
        ("tty", it.flag("Config.Tty").into()),
    ])
}

fn mounts(it: &Inspect<'_>) -> Value {
    let mut list: BTreeMap<String, Value> = BTreeMap::new();
    for mount in it.list("Mounts") {
        let kind = mount.text("Type");
        let source = match kind {
            "volume" => mount.text("Name"),
            "tmpfs" => "",
            _ => mount.text("Source"),
        };
        let target = mount.text("Destination");
        list.insert(target.to_owned(), a_mount(target, kind, source, !mount.flag("RW")));
    }
    for target in it.names("HostConfig.Tmpfs") {
        let read_only = it
            .at("HostConfig.Tmpfs")
            .and_then(|all| all.get(&target))
            .and_then(Json::as_str);
        let read_only = read_only.unwrap_or_default().split(',').any(|option| option == "ro");
        list.entry(target.clone())
            .or_insert_with(|| a_mount(&target, "tmpfs", "", read_only));
    }
    Value::List(list.into_values().collect())
}

fn a_mount(target: &str, kind: &str, source: &str, read_only: bool) -> Value {
    Value::object([
        ("target", Value::from(target)),
        ("kind", kind.into()),
        ("source", source.into()),
        ("read_only", read_only.into()),
    ])
}

fn security(it: &Inspect<'_>) -> Value {
    let host = |name: &str| format!("HostConfig.{name}");
    let mode = |name: &str| Value::from(it.text(&host(name)));
    let network = match it.text("HostConfig.NetworkMode") {
        "default" => "bridge",
        other => other,
    };
    let devices = it
        .list("HostConfig.Devices")
        .iter()
        .map(|device| device.text("PathOnHost").to_owned())
        .collect();
    let ulimits = it.list("HostConfig.Ulimits");
    let ulimits = ulimits
        .iter()
        .map(|one| format!("{}={}:{}", one.text("Name"), one.signed("Soft"), one.signed("Hard")))
        .collect();
    Value::object([
        ("privileged", Value::from(it.flag("HostConfig.Privileged"))),
        ("capabilities_added", capabilities(it.texts("HostConfig.CapAdd"))),
        ("capabilities_dropped", capabilities(it.texts("HostConfig.CapDrop"))),
        ("options", sorted(it.texts("HostConfig.SecurityOpt"))),
        ("read_only", it.flag("HostConfig.ReadonlyRootfs").into()),
        ("devices", sorted(devices)),
        ("device_rules", sorted(it.texts("HostConfig.DeviceCgroupRules"))),
        ("device_requests", json(it.at("HostConfig.DeviceRequests"), MAX_DEPTH)),
        ("network", network.into()),
        ("networks", sorted(it.names("NetworkSettings.Networks"))),
        ("pid", mode("PidMode")),
        ("ipc", mode("IpcMode")),
        ("uts", mode("UTSMode")),
        ("user_namespace", mode("UsernsMode")),
        ("cgroup_parent", mode("CgroupParent")),
        ("sysctls", json(it.at("HostConfig.Sysctls"), MAX_DEPTH)),
        ("runtime", mode("Runtime")),
        ("ulimits", sorted(ulimits)),
        ("groups", sorted(it.texts("HostConfig.GroupAdd"))),
        ("hosts", sorted(it.texts("HostConfig.ExtraHosts"))),
        ("dns", sorted(it.texts("HostConfig.Dns"))),
        ("volumes_from", sorted(it.texts("HostConfig.VolumesFrom"))),
        ("links", sorted(it.texts("HostConfig.Links"))),
        ("init", it.flag("HostConfig.Init").into()),
        ("masked_paths", sorted(it.texts("HostConfig.MaskedPaths"))),
        ("read_only_paths", sorted(it.texts("HostConfig.ReadonlyPaths"))),
    ])
}

fn ports(it: &Inspect<'_>) -> Value {
    let mut list = Vec::new();
    for port in it.names("HostConfig.PortBindings") {
        let bindings = it.at("HostConfig.PortBindings").and_then(|all| all.get(&port));
        for binding in bindings.and_then(Json::as_array).into_iter().flatten().map(Inspect) {
            let address = match binding.text("HostIp") {
                "" | "0.0.0.0" => String::new(),
                other => format!("{other}:"),
            };
            list.push(format!("{address}{}:{port}", binding.text("HostPort")));
        }
    }
    sorted(list)
}

fn restart(it: &Inspect<'_>) -> String {
    match (
        it.text("HostConfig.RestartPolicy.Name"),
        it.number("HostConfig.RestartPolicy.MaximumRetryCount"),
    ) {
        ("", _) => "no".into(),
        ("on-failure", 0) => "on-failure".into(),
        ("on-failure", most) => format!("on-failure:{most}"),
        (name, _) => name.into(),
    }
}

fn resources(it: &Inspect<'_>) -> Value {
    let number = |name: &str| {
        // -1 and 0 are both "no limit".
        let number = it.signed(&format!("HostConfig.{name}")).max(0);
        Value::from(number.to_string())
    };
    Value::object([
        ("memory", number("Memory")),
        ("nano_cpus", number("NanoCpus")),
        ("pids", number("PidsLimit")),
        ("cpu_shares", number("CpuShares")),
        ("cpu_period", number("CpuPeriod")),
        ("cpu_quota", number("CpuQuota")),
        ("cpuset", it.text("HostConfig.CpusetCpus").into()),
    ])
}

/// `null` if there is none, or it is switched off; fields that are zero are left out, as engines do or do not.
fn health(check: Option<&Json>) -> Value {
    let Some(check) = check.and_then(Json::as_object) else {
        return Value::Null;
    };
    let test = check.get("Test").and_then(Json::as_array);
    match test.and_then(|test| test.first()).and_then(Json::as_str) {
        None | Some("NONE") => return Value::Null,
        Some(_) => {}
    }
    Value::Object(
        check
            .iter()
            .filter(|(_, value)| !value.is_null() && value.as_i64() != Some(0))
            .map(|(name, value)| (name.clone(), json(Some(value), MAX_DEPTH)))
            .collect(),
    )
}

/// The identity as it should be: the one found, with all that plan and image have a say in.
fn expected(context: &Context<'_>, plan: &Container, image: &Reference, found: &Value) -> Value {
    let says = image.says();
    let mut out = found.clone();
    let or_image = |given: Option<&String>, name: &str| given.map_or_else(|| says.text(name).to_owned(), Clone::clone);
    let command = match (&plan.command, &plan.entrypoint) {
        (Some(command), _) => command.clone(),
        (None, Some(_)) => Vec::new(),
        (None, None) => says.texts("Cmd"),
    };
    let mut environment: BTreeMap<String, String> = says.texts("Env").iter().map(|entry| variable(entry)).collect();
    environment.extend(
        plan.environment
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let environment = environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    set(
        &mut out,
        "process",
        &[
            (
                "entrypoint",
                texts(&plan.entrypoint.clone().unwrap_or_else(|| says.texts("Entrypoint"))),
            ),
            ("command", texts(&command)),
            ("user", or_image(plan.user.as_ref(), "User").into()),
            ("working_dir", or_image(plan.working_dir.as_ref(), "WorkingDir").into()),
            ("open_stdin", false.into()),
            ("tty", false.into()),
        ],
    );
    // The engine gives a PATH to an image that has none, on the container and not in the image.
    let environment = sorted(environment);
    if found.field("process").and_then(|process| process.field("environment")) != Some(&environment) {
        set(&mut out, "process", &[("environment", environment)]);
    }
    let security = found.field("security");
    let one_of = |field: &str, allowed: &[&str]| {
        let it = security
            .and_then(|security| security.field(field))
            .and_then(Value::as_str)
            .unwrap_or_default();
        Value::from(if allowed.contains(&it) {
            it
        } else {
            allowed.first().copied().unwrap_or_default()
        })
    };
    let options = security
        .and_then(|security| security.field("options"))
        .and_then(Value::as_list)
        .unwrap_or_default();
    let harmless = |option: &&Value| {
        option
            .as_str()
            .is_some_and(|option| option.starts_with("no-new-privileges") && !option.ends_with("false"))
    };
    let options = Value::List(options.iter().filter(harmless).cloned().collect());
    let network = plan.network.name();
    set(
        &mut out,
        "security",
        &[
            ("privileged", false.into()),
            ("capabilities_added", capabilities(plan.capabilities.add.clone())),
            ("capabilities_dropped", capabilities(plan.capabilities.drop.clone())),
            ("options", options),
            ("read_only", plan.read_only.into()),
            ("devices", Value::List(Vec::new())),
            ("device_rules", Value::List(Vec::new())),
            ("device_requests", Value::Null),
            ("network", network.into()),
            ("networks", Value::list([network])),
            ("pid", "".into()),
            ("ipc", one_of("ipc", &["private", "shareable", "none", ""])),
            (
                "uts",
                one_of("uts", if network == "host" { &["", "host"] } else { &[""] }),
            ),
            ("user_namespace", "".into()),
            ("cgroup_parent", "".into()),
            ("sysctls", Value::Null),
            ("runtime", one_of("runtime", &["runc", "io.containerd.runc.v2", "crun"])),
            ("ulimits", Value::List(Vec::new())),
            ("groups", Value::List(Vec::new())),
            ("hosts", Value::List(Vec::new())),
            ("dns", Value::List(Vec::new())),
            ("volumes_from", Value::List(Vec::new())),
            ("links", Value::List(Vec::new())),
            ("init", false.into()),
            (
                "masked_paths",
                at_least(security.and_then(|it| it.field("masked_paths")), MASKED),
            ),
            (
                "read_only_paths",
                at_least(security.and_then(|it| it.field("read_only_paths")), READ_ONLY),
            ),
        ],
    );
    let number = |number: Option<u64>| Value::from(number.unwrap_or_default().to_string());
    set(
        &mut out,
        "resources",
        &[
            (
                "memory",
                number(plan.resources.memory_mib.map(|it| u64::from(it) << 20)),
            ),
            (
                "nano_cpus",
                number(
                    plan.resources
                        .cpus_milli
                        .map(|it| u64::from(it).saturating_mul(1_000_000)),
                ),
            ),
            ("pids", number(plan.resources.pids.map(u64::from))),
            ("cpu_shares", "0".into()),
            ("cpu_period", "0".into()),
            ("cpu_quota", "0".into()),
            ("cpuset", "".into()),
        ],
    );
    let Value::Object(fields) = &mut out else { return out };
    fields.insert("mounts".into(), expected_mounts(context, plan, &says));
    let ports = plan
        .ports
        .iter()
        .map(|port| format!("{}:{}/{}", port.host, port.container, port.protocol))
        .collect();
    fields.insert("ports".into(), sorted(ports));
    fields.insert("restart".into(), plan.restart.to_string().into());
    let check = match plan.policy.exec {
        // A health check is an exec session: where none may be, it is switched off.
        ExecPolicy::Forbid => Value::Null,
        _ => health(says.at("Healthcheck")),
    };
    fields.insert("health".into(), check);
    out
}

/// The plan's, and the anonymous volumes that an image asks for.
fn expected_mounts(context: &Context<'_>, plan: &Container, says: &Inspect<'_>) -> Value {
    let mut list: BTreeMap<String, Value> = BTreeMap::new();
    let found = context.inspect.list("Mounts");
    for target in says.names("Volumes") {
        let anonymous = found.iter().find(|mount| {
            let name = mount.text("Name");
            mount.text("Destination") == target
                && mount.text("Type") == "volume"
                && name.len() == 64
                && name.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let name = anonymous.map_or("", |mount| mount.text("Name"));
        list.insert(target.clone(), a_mount(&target, "volume", name, false));
    }
    for mount in &plan.mounts {
        let source = if mount.kind == MountKind::Tmpfs {
            ""
        } else {
            mount.source.as_str()
        };
        list.insert(
            mount.target.clone(),
            a_mount(&mount.target, mount.kind.name(), source, mount.read_only),
        );
    }
    Value::List(list.into_values().collect())
}

/// How often a policy lets a container be started again; `None`: without limit.
pub(super) const fn most_restarts(restart: Restart) -> Option<u64> {
    match restart {
        Restart::No => Some(0),
        Restart::OnFailure(Some(most)) => Some(most as u64),
        Restart::OnFailure(None) | Restart::Always | Restart::UnlessStopped => None,
    }
}

/// The same if it has all of these, else with them.
fn at_least(found: Option<&Value>, all: &[&str]) -> Value {
    let mut list: Vec<String> = found
        .and_then(Value::as_list)
        .into_iter()
        .flatten()
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect();
    for path in all {
        if !list.iter().any(|it| it == path) {
            list.push((*path).to_owned());
        }
    }
    sorted(list)
}

fn set(value: &mut Value, part: &str, fields: &[(&str, Value)]) {
    if let Value::Object(all) = value
        && let Some(Value::Object(part)) = all.get_mut(part)
    {
        for (name, value) in fields {
            part.insert((*name).to_owned(), value.clone());
        }
    }
}

fn differences(path: &str, expected: &Value, found: &Value, findings: &mut Vec<Finding>) {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let null = Value::Null;
                differences(
                    &below,
                    one.get(key).unwrap_or(&null),
                    other.get(key).unwrap_or(&null),
                    findings,
                );
            }
        }
        _ if expected == found => {}
        _ => findings.push(Finding::new(
            Kind::Identity,
            path,
            expected.to_string(),
            found.to_string(),
        )),
    }
}

/// `NAME=value`.
pub(super) fn variable(entry: &str) -> (String, String) {
    let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
    (name.to_owned(), value.to_owned())
}

fn capabilities(list: Vec<String>) -> Value {
    sorted(
        list.iter()
            .map(|name| name.to_ascii_uppercase())
            .map(|name| name.trim_start_matches("CAP_").to_owned())
            .collect(),
    )
}

fn sorted(mut list: Vec<String>) -> Value {
    list.sort();
    texts(&list)
}

fn texts(list: &[String]) -> Value {
    Value::list(list.iter().map(String::as_str))
}

/// JSON of the engine as a value; empty lists and objects are `null`, as engines use both; numbers as decimal text.
fn json(value: Option<&Json>, levels: usize) -> Value {
    let Some(below) = levels.checked_sub(1) else {
        return Value::Null;
    };
    match value {
        None | Some(Json::Null) => Value::Null,
        Some(Json::Bool(it)) => (*it).into(),
        Some(Json::Number(it)) => {
            let exact = it.as_i64().and_then(|it| Number::from_integer(it.into()));
            exact.map_or_else(|| it.to_string().into(), Value::Number)
        }
        Some(Json::String(it)) => it.as_str().into(),
        Some(Json::Array(list)) if list.is_empty() => Value::Null,
        Some(Json::Object(fields)) if fields.is_empty() => Value::Null,
        Some(Json::Array(list)) => Value::List(list.iter().map(|it| json(Some(it), below)).collect()),
        Some(Json::Object(fields)) => Value::Object(
            fields
                .iter()
                .map(|(name, it)| (name.clone(), json(Some(it), below)))
                .collect(),
        ),
    }
}
