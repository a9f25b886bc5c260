//! The root file system as the container's first process sees it: every entry that no mount hides, with mode, owner,
//! and the hash of its content.
//!
//! The kernel's view is walked, through `/proc/PID/root`, and not the engine's list of changes: it shows changes of
//! the layers below too, and needs no knowledge of the storage driver.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    FilesRequest,
    hashes::{Hashes, Sha},
};

/// Most entries of a root file system.
pub(crate) const MAX_ENTRIES: usize = 400_000;
/// Most bytes of their paths and data together: more than that could not be told.
const MAX_TEXT: usize = 64 << 20;
/// Deepest directory.
const MAX_DEPTH: usize = 128;

/// Hash of a listing: SHA-256 of its entries in order.
pub type TreeDigest = Sha;

/// One entry of a file system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// absolute; bytes that are not UTF-8 as `0x…` of the whole path
    pub path: String,
    /// `f` file, `d` directory, `l` link, `c` `b` `p` `s` special
    pub kind: char,
    /// permissions, set-user-id and the like: the low twelve bits
    pub mode: u32,
    /// owner
    pub uid: u32,
    /// group
    pub gid: u32,
    /// SHA-256 of a file's content in hexadecimal, a link's target, a device's number; empty of others
    pub data: String,
}

/// The files, or what has changed of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// of the listing as it is now
    pub digest: TreeDigest,
    /// how it differs from the one that the monitor has
    pub listing: Listing,
}

/// A listing, or how it differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// it is the one known
    Same,
    /// all of it, by path
    Full(Vec<Entry>),
    /// these differ from the known one's, or are new; and these are not there any more
    Delta {
        /// changed or new
        changed: Vec<Entry>,
        /// paths
        gone: Vec<String>,
    },
}

/// What was walked last.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    digest: TreeDigest,
    entries: Arc<Vec<Entry>>,
}

impl Walked {
    /// Entries, and one for the tree itself.
    pub(super) fn len(&self) -> usize {
        self.entries.len().saturating_add(1)
    }
}

/// Digest of a listing, as host and monitor compute it.
pub(crate) fn digest<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> TreeDigest {
    let mut hash = Sha256::new();
    let mut line = Vec::new();
    for entry in entries {
        line.clear();
        // Lengths before texts, so that no two listings give the same bytes.
        for text in [entry.path.as_bytes(), entry.data.as_bytes()] {
            line.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            line.extend_from_slice(text);
        }
        for number in [u32::from(entry.kind), entry.mode, entry.uid, entry.gid] {
            line.extend_from_slice(&number.to_be_bytes());
        }
        hash.update(&line);
    }
    Sha(hash.finalize().into())
}

/// Bytes of a path as text.
pub(crate) fn text(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(path) => path.to_owned(),
        Err(_) => format!("0x{}", hex::encode(path)),
    }
}

/// Walks below `root`, leaving out `except` and what is mounted.
pub(super) fn look(
    root: &OwnedFd,
    mounted: impl IntoIterator<Item = String>,
    request: &FilesRequest,
    hashes: &Hashes,
    last: Option<&Walked>,
) -> Result<(Tree, Walked), String> {
    let except: BTreeSet<Vec<u8>> = mounted
        .into_iter()
        .chain(request.except.iter().cloned())
        .map(|path| path.trim_end_matches('/').as_bytes().to_vec())
        .collect();
    let mut walk = Walk {
        except,
        hashes,
        again: request.again,
        entries: Vec::new(),
        random: random(),
        path: Vec::new(),
        text: 0,
    };
    walk.directory(root, 0)?;
    let mut entries = walk.entries;
    entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    if let Some(last) = last
        && *last.entries == entries
    {
        let listing = if request.known == Some(last.digest) {
            Listing::Same
        } else {
            Listing::Full(entries)
        };
        return Ok((
            Tree {
                digest: last.digest,
                listing,
            },
            last.clone(),
        ));
    }
    let digest = digest(&entries);
    let entries = Arc::new(entries);
    let listing = match last.filter(|last| request.known == Some(last.digest)) {
        _ if request.known == Some(digest) => Listing::Same,
        Some(last) => difference(&last.entries, &entries),
        None => Listing::Full(entries.to_vec()),
    };
    Ok((Tree { digest, listing }, Walked { digest, entries }))
}

fn difference(before: &[Entry], now: &[Entry]) -> Listing {
    let known: BTreeMap<&str, &Entry> = before.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    let here: BTreeSet<&str> = now.iter().map(|entry| entry.path.as_str()).collect();
    Listing::Delta {
        changed: now
            .iter()
            .filter(|entry| known.get(entry.path.as_str()) != Some(entry))
            .cloned()
            .collect(),
        gone: before
            .iter()
            .filter(|entry| !here.contains(entry.path.as_str()))
            .map(|entry| entry.path.clone())
            .collect(),
    }
}

fn random() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1u8) | 1
}

struct Walk<'a> {
    except: BTreeSet<Vec<u8>>,
    hashes: &'a Hashes,
    again: u32,
    entries: Vec<Entry>,
    /// State of a xorshift generator: which files are read again must not be known beforehand, no more.
    random: u64,
    path: Vec<u8>,
    text: usize,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &OwnedFd, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("directories deeper than {MAX_DEPTH} levels"));
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(|error| error.to_string())? {
            let Ok(entry) = entry else { break };
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        for name in names {
            let length = self.path.len();
            self.path.push(b'/');
            self.path.extend_from_slice(&name);
            let done = if self.except.contains(&self.path) {
                Ok(())
            } else {
                self.entry(directory, &name, depth)
            };
            self.path.truncate(length);
            done?;
        }
        Ok(())
    }

    fn entry(&mut self, directory: &OwnedFd, name: &[u8], depth: usize) -> Result<(), String> {
        if self.entries.len() >= MAX_ENTRIES {
            return Err(format!("more than {MAX_ENTRIES} files"));
        }
        // What is gone by now is gone; what cannot be read is told, since that it cannot is strange for root.
        let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return Err(format!("{}: {error}", text(&self.path))),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let (letter, data) = match kind {
            FileType::RegularFile => match self.content(directory, name, &stat) {
                Ok(Some(sha)) => ('f', sha.to_string()),
                Ok(None) => return Ok(()),
                Err(error) => return Err(format!("{}: {error}", text(&self.path))),
            },
            FileType::Directory => ('d', String::new()),
            FileType::Symlink => match rustix::fs::readlinkat(directory, name, Vec::new()) {
                Ok(target) => ('l', text(target.as_bytes())),
                Err(_) => return Ok(()),
            },
            FileType::CharacterDevice => ('c', stat.st_rdev.to_string()),
            FileType::BlockDevice => ('b', stat.st_rdev.to_string()),
            FileType::Fifo => ('p', String::new()),
            FileType::Socket | FileType::Unknown => ('s', String::new()),
        };
        self.text = self.text.saturating_add(self.path.len()).saturating_add(data.len());
        if self.text > MAX_TEXT {
            return Err(format!("more than {MAX_TEXT} bytes of paths"));
        }
        self.entries.push(Entry {
            path: text(&self.path),
            kind: letter,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            data,
        });
        if letter == 'd' {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(directory.as_fd(), name, flags, Mode::empty()) {
                Ok(below) => self.directory(&below, depth.saturating_add(1))?,
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(format!("{}: {error}", text(&self.path))),
            }
        }
        Ok(())
    }

    /// `None`: gone.
    fn content(&mut self, directory: &OwnedFd, name: &[u8], stat: &Stat) -> std::io::Result<Option<Sha>> {
        let again = self.draw();
        if !again && let Some(sha) = self.hashes.known(stat) {
            return Ok(Some(sha));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        match rustix::fs::openat(directory.as_fd(), name, flags, Mode::empty()) {
            Ok(file) => self.hashes.of(&File::from(file), again).map(Some),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn draw(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.checked_rem(self.again.into()) == Some(0)
    }
}
