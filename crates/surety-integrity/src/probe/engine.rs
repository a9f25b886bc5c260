//! What engine and kernel both know must be the same: who hides a container's change from the engine, or lets the
//! engine tell another story, contradicts the other.

use super::{Context, Inspect, is_below};
use crate::{
    agent::measure::{Kernel, MountPoint},
    finding::{Finding, Kind},
};

/// The capabilities that engines give to containers, as bits.
const DEFAULT: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];
/// All of the kernel's, by number.
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
/// Mounts that every container has, besides what is told apart below.
const OWN: &[(&str, &[&str])] = &[
    ("/proc", &["proc"]),
    ("/dev", &["tmpfs"]),
    ("/dev/pts", &["devpts"]),
    ("/dev/shm", &["tmpfs"]),
    ("/dev/mqueue", &["mqueue"]),
    ("/dev/console", &["devpts"]),
    ("/sys", &["sysfs"]),
    ("/sys/fs/cgroup", &["tmpfs", "cgroup2"]),
];
/// Files that the engine writes, and where its own copies are.
const FILES: &[(&str, &str)] = &[
    ("/etc/hosts", "HostsPath"),
    ("/etc/hostname", "HostnamePath"),
    ("/etc/resolv.conf", "ResolvConfPath"),
];

/// The capabilities that processes of the container may have at most, as the engine was told.
pub(super) fn bounding(inspect: &Inspect<'_>) -> u64 {
    if inspect.flag("HostConfig.Privileged") {
        return u64::MAX;
    }
    let set = |names: Vec<String>| {
        names.iter().fold(0, |set, name| {
            let name = name.to_ascii_uppercase();
            match name.trim_start_matches("CAP_") {
                "ALL" => u64::MAX,
                name => set | NAMES.iter().position(|it| *it == name).map_or(0, |bit| 1 << bit),
            }
        })
    };
    let add = set(inspect.texts("HostConfig.CapAdd"));
    let drop = inspect.texts("HostConfig.CapDrop");
    let default = set(DEFAULT.iter().map(|name| (*name).to_owned()).collect());
    if add == u64::MAX {
        // All but those dropped.
        return !set(drop);
    }
    let base = if set(drop.clone()) == u64::MAX {
        0
    } else {
        default & !set(drop)
    };
    base | add
}

/// Findings of kind `engine`.
pub fn look(context: &Context<'_>) -> Vec<Finding> {
    let Some(kernel) = context.kernel() else {
        return Vec::new();
    };
    let it = &context.inspect;
    let mut findings = Vec::new();
    let mut find = |subject: &str, expected: String, found: String| {
        findings.push(Finding::new(Kind::Engine, subject, expected, found));
    };
    let id = it.text("Id");
    if id.is_empty() || !kernel.cgroups.iter().any(|line| line.contains(id)) {
        find(
            "cgroup",
            "the container's".into(),
            "the first process is in another".into(),
        );
    }
    let mut arguments = it.texts("Config.Entrypoint");
    arguments.extend(it.texts("Config.Cmd"));
    let mut run = vec![it.text("Path").to_owned()];
    run.extend(it.texts("Args"));
    if arguments != run {
        find("command", format!("{arguments:?}"), format!("{run:?}"));
    }
    for (namespace, field) in [
        ("net", "NetworkMode"),
        ("pid", "PidMode"),
        ("ipc", "IpcMode"),
        ("uts", "UTSMode"),
    ] {
        let told = it.text(&format!("HostConfig.{field}")) == "host";
        // With the host's network the engine gives the host's name too.
        let told = told || (namespace == "uts" && it.text("HostConfig.NetworkMode") == "host");
        let is = kernel.host_namespaces.iter().any(|name| name == namespace);
        if is && !told || told && !is && namespace != "uts" {
            let say = |host: bool| if host { "the host's" } else { "its own" }.to_owned();
            find(&format!("namespace.{namespace}"), say(told), say(is));
        }
    }
    if kernel.host_namespaces.iter().any(|name| name == "mnt") {
        find("namespace.mnt", "its own".into(), "the host's".into());
    }
    if let Some(first) = kernel.processes.first() {
        let configured = it.text("Config.User").split(':').next().unwrap_or_default();
        // Who begins as root may become another; nobody becomes root.
        if configured.parse::<u32>().is_ok_and(|uid| uid != 0) && first.uid == 0 {
            find("user", configured.to_owned(), "0".into());
        }
        if !it.text("HostConfig.PidMode").starts_with("host") && first.inner != 1 {
            find("pid", "first process of its namespace".into(), "another".into());
        }
    }
    if kernel.frozen == Some(true) && !it.flag("State.Paused") {
        find("state", "running".into(), "frozen".into());
    }
    mounts(it, kernel, &mut find);
    findings
}

fn mounts(it: &Inspect<'_>, kernel: &Kernel, find: &mut impl FnMut(&str, String, String)) {
    let roots: Vec<&MountPoint> = kernel.mounts.iter().filter(|mount| mount.target == "/").collect();
    match roots.as_slice() {
        [root] => {
            let (told, is) = (it.flag("HostConfig.ReadonlyRootfs"), has(&root.options, "ro"));
            if told != is {
                let say = |read_only: bool| if read_only { "read-only" } else { "writable" }.to_owned();
                find("mounts./", say(told), say(is));
            }
            let upper = it.text("GraphDriver.Data.UpperDir");
            if !upper.is_empty() && root.kind == "overlay" && !has(&root.filesystem, &format!("upperdir={upper}")) {
                find("mounts./", "the engine's upper folder".into(), "another".into());
            }
        }
        _ => find("mounts./", "one root".into(), format!("{}", roots.len())),
    }
    let mut told: Vec<(String, String, &str, Option<bool>)> = Vec::new();
    for mount in it.list("Mounts") {
        let target = mount.text("Destination").to_owned();
        told.push((
            target,
            mount.text("Source").to_owned(),
            mount.text("Type"),
            Some(!mount.flag("RW")),
        ));
    }
    for target in it.names("HostConfig.Tmpfs") {
        told.push((target, String::new(), "tmpfs", None));
    }
    for (target, source, kind, read_only) in &told {
        let here: Vec<&MountPoint> = kernel.mounts.iter().filter(|mount| mount.target == *target).collect();
        let subject = format!("mounts.{target}");
        let [mount] = here.as_slice() else {
            find(&subject, "one mount".into(), here.len().to_string());
            continue;
        };
        let fits = match *kind {
            "tmpfs" => mount.kind == "tmpfs",
            // What is mounted is told from the root of its file system, which may itself be mounted anywhere.
            "bind" | "volume" => {
                mount.root == "/" || source.ends_with(&mount.root) || mount.root.ends_with(source.as_str())
            }
            _ => true,
        };
        if !fits {
            find(
                &subject,
                format!("{kind} {source}"),
                format!("{} {}", mount.kind, mount.root),
            );
        }
        if read_only.is_some_and(|read_only| read_only != has(&mount.options, "ro")) {
            find(
                &subject,
                "writable or read-only as the engine says".into(),
                mount.options.clone(),
            );
        }
    }
    let hidden: Vec<String> = ["HostConfig.MaskedPaths", "HostConfig.ReadonlyPaths"]
        .iter()
        .flat_map(|path| it.texts(path))
        .collect();
    let devices: Vec<String> = it
        .list("HostConfig.Devices")
        .iter()
        .map(|device| device.text("PathInContainer").to_owned())
        .collect();
    let privileged = it.flag("HostConfig.Privileged");
    let mut seen = Vec::new();
    for mount in kernel.mounts.iter().filter(|mount| mount.target != "/") {
        let target = mount.target.as_str();
        let own = OWN.iter().any(|(name, kinds)| *name == target && kinds.contains(&mount.kind.as_str()))
            || (target.starts_with("/sys/fs/cgroup/") && mount.kind.starts_with("cgroup"))
            || (target.starts_with("/sys/") && privileged)
            // What an engine masks is under an empty tmpfs or a null device, and what it lets nobody write is itself.
            || hidden.iter().any(|path| path == target) && (mount.kind == "tmpfs" || mount.kind == "proc" || mount.kind == "sysfs" || mount.root == "/null")
            || devices.iter().any(|path| path == target)
            || FILES.iter().any(|(name, field)| {
                let path = it.text(field);
                *name == target && !path.is_empty() && (path.ends_with(&mount.root) || mount.root.ends_with(path))
            })
            || told.iter().any(|(name, ..)| name == target);
        // Twice at one place: the upper one hides the other.
        let twice = seen.contains(&target) && !is_below(target, "/sys/fs/cgroup");
        seen.push(target);
        if !own || twice {
            find(
                &format!("mounts.{target}"),
                "no mount".into(),
                format!("{} {}", mount.kind, mount.root),
            );
        }
    }
}

fn has(options: &str, option: &str) -> bool {
    options.split(',').any(|one| one == option)
}
