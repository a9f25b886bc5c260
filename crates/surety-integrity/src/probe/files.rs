//! The root file system against the layers: by kind, content, permissions and owner. Times are not looked at, so a
//! touched file is no finding, and an exchanged one with its old times is one.

use std::collections::BTreeMap;

use super::{Context, is_below};
use crate::{
    agent::measure::{Entry, MountPoint},
    finding::{Finding, Kind},
};

/// What an engine makes in a root file system besides mounts: path, kind, content.
const ENGINE: &[(&str, char, &str)] = &[
    // SHA-256 of nothing.
    (
        "/.dockerenv",
        'f',
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    ("/etc/mtab", 'l', "/proc/mounts"),
];
/// Folders that it makes, and gives these permissions.
const FOLDERS: &[&str] = &["/dev", "/etc", "/proc", "/sys", "/dev/pts", "/dev/shm"];

/// Findings of kind `file`; the listing is of all but what is mounted and the plan's `writable`.
pub fn compare(context: &Context<'_>, listing: &BTreeMap<String, Entry>) -> Vec<Finding> {
    let (Some(image), Some(kernel)) = (context.image, context.kernel()) else {
        return Vec::new();
    };
    let owners = kernel.host_namespaces.iter().any(|name| name == "user");
    let seen = |path: &str| !hidden(&kernel.mounts, path) && !context.is_writable(path);
    let mut findings = Vec::new();
    for (path, found) in listing {
        if !seen(path) {
            continue;
        }
        let expected = image.files.get(path);
        let implied = found.kind == 'd' && image.implied.contains(path);
        if implied
            || expected.is_some_and(|expected| same(expected, found, owners))
            || by_engine(context, &kernel.mounts, found)
        {
            continue;
        }
        findings.push(Finding::new(
            Kind::File,
            path,
            expected.map(|it| describe(it, owners)).unwrap_or_default(),
            describe(found, owners),
        ));
    }
    for (path, expected) in &image.files {
        if !listing.contains_key(path) && path != "/" && seen(path) {
            findings.push(Finding::new(Kind::File, path, describe(expected, owners), ""));
        }
    }
    findings
}

fn hidden(mounts: &[MountPoint], path: &str) -> bool {
    mounts
        .iter()
        .any(|mount| mount.target != "/" && is_below(path, &mount.target))
}

fn same(expected: &Entry, found: &Entry, owners: bool) -> bool {
    (expected.kind, expected.mode, expected.data.as_str()) == (found.kind, found.mode, found.data.as_str())
        && (!owners || (expected.uid, expected.gid) == (found.uid, found.gid))
}

/// Whether the engine makes it: its own files, and folders for mounts and for the working directory.
fn by_engine(context: &Context<'_>, mounts: &[MountPoint], found: &Entry) -> bool {
    let path = found.path.as_str();
    if ENGINE
        .iter()
        .any(|(name, kind, data)| *name == path && *kind == found.kind && *data == found.data)
    {
        return true;
    }
    if path == "/dev/console" && found.kind == 'f' {
        return true;
    }
    if found.kind != 'd' || found.mode != 0o755 || (found.uid, found.gid) != (0, 0) {
        return false;
    }
    // Of a folder that the image has, the engine changes only the few that it always makes.
    let made = FOLDERS.contains(&path);
    let missing = context.image.is_some_and(|image| !image.files.contains_key(path));
    made || missing
        && (mounts.iter().any(|mount| is_below(&mount.target, path))
            || is_below(context.inspect.text("Config.WorkingDir"), path))
}

fn describe(entry: &Entry, owners: bool) -> String {
    let Entry {
        kind,
        mode,
        uid,
        gid,
        data,
        ..
    } = entry;
    let owner = if owners { format!(" {uid}:{gid}") } else { String::new() };
    let data = match kind {
        'f' => format!(" sha256:{data}"),
        _ if data.is_empty() => String::new(),
        _ => format!(" {data}"),
    };
    format!("{kind} {mode:04o}{owner}{data}")
}
