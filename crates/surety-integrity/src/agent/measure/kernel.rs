//! What the kernel says of a container: which processes there are, what they run, what is mounted, what is mapped.
//!
//! Processes are found by namespace, by control group and by root directory, in all of `/proc`, and not by the engine's
//! list: whoever enters a container without its engine is in one of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::{
    MeasureError, Request,
    hashes::{Hashes, Sha},
    maps::{self, Mapping},
    tree::{self, Tree, Walked, text},
};

/// Most processes of a container.
pub(super) const MAX_PROCESSES: usize = 4_096;
/// Most executable mappings of all its processes.
pub(super) const MAX_MAPPINGS: usize = 1 << 16;
/// Most mounts that it sees.
pub(super) const MAX_MOUNTS: usize = 1_024;
/// Most variables of its first process.
pub(super) const MAX_VARIABLES: usize = 1 << 16;
/// Most lines of its control groups.
pub(super) const MAX_CGROUPS: usize = 64;
/// Longest file of `/proc` that is read: a process's environment may have some megabytes.
const MAX_TEXT: u64 = 8 << 20;
/// How often, all processes together, and how far apart, one is looked at again that is the runtime's own on its way into
/// the container.
const RUNTIME_TRIES: u32 = 40;
const RUNTIME_PAUSE: Duration = Duration::from_millis(50);
/// Most entries of all trees that are remembered, one for each container and set of exceptions.
const MAX_REMEMBERED: usize = 2_000_000;

/// What the kernel says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// control groups of the first process, as in `/proc/PID/cgroup`
    pub cgroups: Vec<String>,
    /// mounts that the first process sees
    pub mounts: Vec<MountPoint>,
    /// environment of the first process as it was started, unless it has changed it; bytes that are not UTF-8 as `0x…`
    pub environment: Vec<String>,
    /// which of its namespaces are the host's own: `net`, `pid`, `ipc`, `uts`, `mnt`, `user`
    pub host_namespaces: Vec<String>,
    /// whether it is frozen by the control group, if that can be told
    pub frozen: Option<bool>,
    /// the first process, and all others
    pub processes: Vec<Process>,
    /// the files, if they were asked for
    pub tree: Option<Tree>,
}

/// A mount, as in `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountPoint {
    /// what of the file system is mounted
    pub root: String,
    /// where
    pub target: String,
    /// options of the mount, with commas
    pub options: String,
    /// type of the file system
    pub kind: String,
    /// device or name
    pub source: String,
    /// options of the file system, with commas
    pub filesystem: String,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// in the host's numbering
    pub pid: u32,
    /// its parent, in the host's numbering
    pub parent: u32,
    /// its number in its innermost namespace
    pub inner: u32,
    /// name of its program, at most fifteen bytes
    pub name: String,
    /// path of its program in the container, with ` (deleted)` if it has none any more
    pub program: String,
    /// SHA-256 of that file; `None`: not readable
    pub file: Option<Sha>,
    /// who traces it, in the host's numbering; 0: nobody
    pub tracer: u32,
    /// real user
    pub uid: u32,
    /// bounding set of capabilities
    pub bounding: u64,
    /// 0: no filter of system calls
    pub seccomp: u32,
    /// whether it is in the container's pid namespace
    pub in_pid_namespace: bool,
    /// whether it is in the container's mount namespace
    pub in_mount_namespace: bool,
    /// whether it is in the container's control group
    pub in_cgroup: bool,
    /// its executable memory, if that was asked for
    pub mappings: Vec<Mapping>,
}

struct Namespaces {
    pid: u64,
    mount: u64,
    root: (u64, u64),
    cgroup: BTreeSet<u32>,
}

fn proc(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn read(path: impl AsRef<Path>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn look(
    id: &str,
    first: u32,
    request: &Request,
    hashes: &Hashes,
    trees: &Mutex<BTreeMap<String, Walked>>,
) -> Result<Option<Kernel>, MeasureError> {
    let directory = proc(first);
    let Some(began) = started(&directory) else {
        return Ok(None);
    };
    let gone = || started(&directory) != Some(began);
    let facts = || -> std::io::Result<Result<Kernel, String>> {
        let cgroups = text_lines(&read(directory.join("cgroup"))?);
        let mounts: Vec<MountPoint> = read(directory.join("mountinfo"))?
            .split(|byte| *byte == b'\n')
            .filter_map(mount)
            .collect();
        if mounts.len() > MAX_MOUNTS {
            return Ok(Err(format!("more than {MAX_MOUNTS} mounts")));
        }
        let environment = read(directory.join("environ"))?;
        let environment = environment
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty())
            .take(MAX_VARIABLES)
            .map(text)
            .collect();
        let host_namespaces = ["ipc", "mnt", "net", "pid", "user", "uts"]
            .into_iter()
            .filter(|name| {
                let own = fs::metadata(format!("/proc/1/ns/{name}"))
                    .or_else(|_| fs::metadata(format!("/proc/self/ns/{name}")));
                let its = fs::metadata(directory.join("ns").join(name));
                matches!((own, its), (Ok(own), Ok(its)) if own.ino() == its.ino() && own.dev() == its.dev())
            })
            .map(str::to_owned)
            .collect();
        let processes = match processes(first, &cgroups, request.memory, hashes) {
            Ok(processes) => processes,
            Err(why) => return Ok(Err(why)),
        };
        let tree = match files(id, &directory, &mounts, request, hashes, trees) {
            Ok(tree) => tree,
            Err(why) => return Ok(Err(why)),
        };
        // What was left out must not look as if it could not be read.
        if hashes.is_late() {
            return Ok(Err("its files take too long to read".into()));
        }
        let frozen = frozen(&cgroups);
        Ok(Ok(Kernel {
            cgroups,
            mounts,
            environment,
            host_namespaces,
            frozen,
            processes,
            tree,
        }))
    };
    match facts() {
        // Its first process ended meanwhile: there is nothing to see, and that is for the engine to explain.
        _ if gone() => Ok(None),
        Ok(Ok(kernel)) => Ok(Some(kernel)),
        Ok(Err(why)) => Err(MeasureError::Kernel(why)),
        Err(error) => Err(MeasureError::Kernel(format!("/proc of the first process: {error}"))),
    }
}

fn files(
    id: &str,
    directory: &Path,
    mounts: &[MountPoint],
    request: &Request,
    hashes: &Hashes,
    trees: &Mutex<BTreeMap<String, Walked>>,
) -> Result<Option<Tree>, String> {
    let Some(wish) = &request.files else { return Ok(None) };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        rustix::fs::open(directory.join("root"), flags, Mode::empty()).map_err(|error| format!("its root: {error}"))?;
    let key = format!("{id} {:?}", wish.except);
    let last = trees.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    let mounted = mounts
        .iter()
        .map(|mount| mount.target.clone())
        .filter(|target| target != "/");
    let (tree, walked) = tree::look(&root, mounted, wish, hashes, last.as_ref())?;
    let mut trees = trees.lock().unwrap_or_else(PoisonError::into_inner);
    trees.insert(key, walked);
    // Who asks with other exceptions every time gets no more than this.
    let entries = |trees: &BTreeMap<String, Walked>| trees.values().map(Walked::len).fold(0, usize::saturating_add);
    if trees.len() > 1 && entries(&trees) > MAX_REMEMBERED {
        trees.clear();
    }
    Ok(Some(tree))
}

fn processes(first: u32, cgroups: &[String], memory: bool, hashes: &Hashes) -> Result<Vec<Process>, String> {
    let inode = |path: PathBuf| fs::metadata(path).map(|meta| meta.ino()).unwrap_or_default();
    let directory = proc(first);
    let root = |directory: &Path| {
        fs::metadata(directory.join("root"))
            .map(|meta| (meta.dev(), meta.ino()))
            .unwrap_or_default()
    };
    let own = Namespaces {
        pid: inode(directory.join("ns/pid")),
        mount: inode(directory.join("ns/mnt")),
        root: root(&directory),
        cgroup: members(cgroups),
    };
    let (host_pid, host_mount) = (inode("/proc/self/ns/pid".into()), inode("/proc/self/ns/mnt".into()));
    let mut found: Vec<Process> = Vec::new();
    let (mut tries, mut mapped) = (RUNTIME_TRIES, 0_usize);
    for entry in fs::read_dir("/proc").map_err(|error| error.to_string())? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let directory = proc(pid);
        let (pid_namespace, mount_namespace) = (link(&directory, "ns/pid"), link(&directory, "ns/mnt"));
        // A container in the host's own namespaces is told from the host by the others.
        let in_pid_namespace = pid_namespace == own.pid;
        let in_mount_namespace = mount_namespace == own.mount;
        let in_cgroup = own.cgroup.contains(&pid);
        let belongs = (in_pid_namespace && own.pid != host_pid)
            || (in_mount_namespace && own.mount != host_mount)
            || in_cgroup
            || pid == first
            || (own.root != (0, 0) && own.mount != host_mount && root(&directory) == own.root);
        if !belongs {
            continue;
        }
        if found.len() >= MAX_PROCESSES {
            return Err(format!("more than {MAX_PROCESSES} processes"));
        }
        let mut process = process(pid, memory, hashes);
        // The runtime enters with its own program, and becomes the container's a moment later. Anything may be called so.
        while tries > 0 && process.as_ref().is_some_and(runtime) {
            tries -= 1;
            std::thread::sleep(RUNTIME_PAUSE);
            process = self::process(pid, memory, hashes);
        }
        if let Some(process) = process {
            mapped = mapped.saturating_add(process.mappings.len());
            if mapped > MAX_MAPPINGS {
                return Err(format!("more than {MAX_MAPPINGS} executable mappings"));
            }
            // The runtime may have moved it meanwhile.
            let in_mount_namespace = link(&directory, "ns/mnt") == own.mount || in_mount_namespace;
            let in_cgroup = in_cgroup || members(cgroups).contains(&pid);
            found.push(Process {
                in_pid_namespace,
                in_mount_namespace,
                in_cgroup,
                ..process
            });
        }
    }
    found.sort_by_key(|process| (process.pid != first, process.pid));
    Ok(found)
}

fn runtime(process: &Process) -> bool {
    process.name.starts_with("runc") || process.program.contains("runc")
}

/// `pid:[4026531836]`.
fn link(directory: &Path, name: &str) -> u64 {
    let number = |target: PathBuf| {
        let target = target.to_str()?;
        target
            .get(target.find('[')?.checked_add(1)?..target.len().checked_sub(1)?)?
            .parse()
            .ok()
    };
    fs::read_link(directory.join(name))
        .ok()
        .and_then(number)
        .unwrap_or_default()
}

/// Seconds do not matter here: ticks since the start of the machine, which no clock changes.
fn started(directory: &Path) -> Option<u64> {
    stat(directory).map(|stat| stat.started)
}

struct Stat {
    name: String,
    state: u8,
    parent: u32,
    started: u64,
}

fn stat(directory: &Path) -> Option<Stat> {
    let bytes = read(directory.join("stat")).ok()?;
    // pid (name) state ppid …: the name may hold anything, also parentheses.
    let (open, close) = (
        bytes.iter().position(|byte| *byte == b'(')?,
        bytes.iter().rposition(|byte| *byte == b')')?,
    );
    let name = text(bytes.get(open.checked_add(1)?..close)?);
    let rest = std::str::from_utf8(bytes.get(close.checked_add(2)?..)?).ok()?;
    let mut fields = rest.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        name,
        state,
        parent,
        started,
    })
}

/// `None`: gone, or ended and not yet waited for.
fn process(pid: u32, memory: bool, hashes: &Hashes) -> Option<Process> {
    let directory = proc(pid);
    let before = stat(&directory)?;
    if matches!(before.state, b'Z' | b'X') {
        return None;
    }
    let status = String::from_utf8_lossy(&read(directory.join("status")).ok()?).into_owned();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':').map(str::trim)
    };
    let number = |name: &str| field(name)?.split_whitespace().next()?.parse().ok();
    let link = || fs::read_link(directory.join("exe")).ok();
    let mut program = link();
    let mut file = None;
    for _ in 0..8 {
        file = fs::File::open(directory.join("exe"))
            .ok()
            .and_then(|file| hashes.of(&file, false).ok());
        // Another program since: the name of one and the content of the other is neither.
        let now = link();
        if now == program {
            break;
        }
        program = now;
    }
    let program = match program {
        Some(program) => text(std::os::unix::ffi::OsStrExt::as_bytes(program.as_os_str())),
        // Neither gone nor a program: a thread of the kernel, or ending right now.
        None if stat(&directory)
            .is_none_or(|now| now.started != before.started || matches!(now.state, b'Z' | b'X')) =>
        {
            return None;
        }
        None => String::new(),
    };
    let mappings = if memory {
        maps::look(&directory, hashes, false)?
    } else {
        Vec::new()
    };
    let found = Process {
        pid,
        parent: before.parent,
        inner: field("NSpid")
            .and_then(|line| line.split_whitespace().last())
            .and_then(|inner| inner.parse().ok())
            .unwrap_or(pid),
        name: before.name,
        program,
        file,
        tracer: number("TracerPid").unwrap_or_default(),
        uid: number("Uid").unwrap_or_default(),
        bounding: field("CapBnd")
            .and_then(|set| u64::from_str_radix(set, 16).ok())
            .unwrap_or_default(),
        seccomp: number("Seccomp").unwrap_or_default(),
        in_pid_namespace: false,
        in_mount_namespace: false,
        in_cgroup: false,
        mappings,
    };
    let after = stat(&directory)?;
    (after.started == before.started && !matches!(after.state, b'Z' | b'X')).then_some(found)
}

fn text_lines(bytes: &[u8]) -> Vec<String> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .take(MAX_CGROUPS)
        .map(text)
        .collect()
}

/// `36 35 98:0 /root /target options - type source super`: between options and the dash there may be more.
fn mount(line: &[u8]) -> Option<MountPoint> {
    let line = std::str::from_utf8(line).ok()?;
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let mut after = after.splitn(3, ' ');
    Some(MountPoint {
        root: unescaped(before.next()?),
        target: unescaped(before.next()?),
        options: before.next()?.to_owned(),
        kind: after.next()?.to_owned(),
        source: unescaped(after.next()?),
        filesystem: after.next().unwrap_or_default().to_owned(),
    })
}

/// `\040` and the like.
fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let code = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (byte, code) {
            (b'\\', Some(code)) => {
                out.push(code);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    self::text(&out)
}

/// Hierarchies of control groups: where each is mounted on this host, by controllers (none: the unified one).
fn hierarchies() -> Vec<(String, PathBuf)> {
    let own: Vec<MountPoint> = read("/proc/self/mountinfo")
        .unwrap_or_default()
        .split(|byte| *byte == b'\n')
        .filter_map(mount)
        .collect();
    own.into_iter()
        .filter(|mount| mount.root == "/")
        .filter_map(|mount| match mount.kind.as_str() {
            "cgroup2" => Some((String::new(), mount.target.into())),
            "cgroup" => Some((mount.filesystem, mount.target.into())),
            _ => None,
        })
        .collect()
}

/// The folder of a line of `/proc/PID/cgroup`.
fn folder(line: &str, hierarchies: &[(String, PathBuf)]) -> Option<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let path = path.trim_start_matches('/');
    // The root of a hierarchy is not a container's.
    if path.is_empty() || path.contains("..") {
        return None;
    }
    hierarchies
        .iter()
        .find(|(of, _)| {
            if controllers.is_empty() {
                of.is_empty()
            } else {
                controllers
                    .split(',')
                    .all(|one| of.split(',').any(|other| other == one))
            }
        })
        .map(|(_, mounted)| mounted.join(path))
}

/// Processes in the container's control group and those below it, in the hierarchies that every container is in.
fn members(cgroups: &[String]) -> BTreeSet<u32> {
    let hierarchies = hierarchies();
    let mut found = BTreeSet::new();
    let wanted = |line: &&String| {
        let controllers = line.split(':').nth(1).unwrap_or_default();
        controllers.is_empty() || controllers.contains("pids") || controllers.contains("devices")
    };
    for line in cgroups.iter().filter(wanted) {
        if let Some(folder) = folder(line, &hierarchies) {
            below(&folder, 0, &mut found);
        }
    }
    found
}

fn below(folder: &Path, depth: usize, found: &mut BTreeSet<u32>) {
    let list = read(folder.join("cgroup.procs")).unwrap_or_default();
    found.extend(
        String::from_utf8_lossy(&list)
            .lines()
            .filter_map(|line| line.parse::<u32>().ok())
            .take(MAX_PROCESSES),
    );
    if depth >= 8 {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(1_024) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&entry.path(), depth.saturating_add(1), found);
        }
    }
}

fn frozen(cgroups: &[String]) -> Option<bool> {
    let hierarchies = hierarchies();
    let line = cgroups.iter().find(|line| line.contains(":freezer:"));
    if let Some(folder) = line.and_then(|line| folder(line, &hierarchies)) {
        return read(folder.join("freezer.state"))
            .ok()
            .map(|state| !state.starts_with(b"THAWED"));
    }
    let folder = cgroups
        .iter()
        .find(|line| line.starts_with("0::"))
        .and_then(|line| folder(line, &hierarchies))?;
    let events = read(folder.join("cgroup.events")).ok()?;
    Some(String::from_utf8_lossy(&events).lines().any(|line| line == "frozen 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_of_mountinfo() {
        let line = b"74 49 0:39 / /a\\040b rw,relatime master:3 - overlay overlay rw,lowerdir=/x:/y,upperdir=/z";
        let mount = mount(line).expect("a mount");
        assert_eq!(
            (mount.target.as_str(), mount.kind.as_str(), mount.options.as_str()),
            ("/a b", "overlay", "rw,relatime")
        );
        assert_eq!(mount.filesystem, "rw,lowerdir=/x:/y,upperdir=/z");
        assert!(super::mount(b"nonsense").is_none());
    }

    #[test]
    fn looks_at_a_process() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().expect("starts");
        let found = (0..100).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            process(child.id(), true, &Hashes::default()).filter(|found| found.name == "sleep")
        });
        child.kill().expect("kills");
        child.wait().expect("waits");
        let found = found.expect("it runs");
        assert_eq!(
            (found.parent, found.tracer, found.inner),
            (std::process::id(), 0, child.id())
        );
        assert!(found.program.ends_with("sleep") && found.file.is_some());
        assert!(
            found
                .mappings
                .iter()
                .any(|mapping| mapping.name == found.program && mapping.file == found.file)
        );
        assert!(process(child.id(), true, &Hashes::default()).is_none());
    }
}
