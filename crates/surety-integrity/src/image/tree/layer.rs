//! One layer, read as a stream and laid over what is below it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    ops::Bound,
};

use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType, Header};

use super::{FileTree, Kind, Limits, Node, prefix};
use crate::image::{Digest, Error, Packing};

/// Longest extended header.
const MAX_EXTENSION: u64 = 1 << 20;
/// Marks what is deleted.
const WHITEOUT: &[u8] = b".wh.";
/// Marks a directory whose lower content is hidden; other names that begin so are of the file system that had them first.
const OPAQUE: &[u8] = b".wh..wh..opq";
const RESERVED: &[u8] = b".wh..wh.";

/// Lays a layer over `tree`; gives the size of its archive.
pub(super) fn apply(
    tree: &mut FileTree,
    blob: impl Read,
    packing: Packing,
    diff_id: Digest,
    left: u64,
    text: &mut u64,
    limits: Limits,
) -> Result<u64, Error> {
    let unpacked: Box<dyn Read + '_> = match packing {
        Packing::Plain => Box::new(blob),
        Packing::Gzip => Box::new(MultiGzDecoder::new(blob)),
    };
    let mut counted = Counted {
        inner: unpacked,
        hash: Sha256::new(),
        read: 0,
        limit: left,
    };
    let result = Changes {
        tree,
        limits,
        made: BTreeSet::new(),
        hidden: Vec::new(),
        text,
    }
    .read(&mut counted);
    // What follows the archive's end is part of what the DiffID is of.
    let rest = result.and_then(|()| io::copy(&mut counted, &mut io::sink()).map(drop).map_err(tree_error));
    if counted.read > left {
        return Err(Error::TooLarge {
            what: "the unpacked layers".into(),
            limit: limits.bytes,
        });
    }
    rest?;
    let found = Digest(counted.hash.finalize().into());
    if found != diff_id {
        return Err(Error::Digest {
            what: "unpacked layer".into(),
            expected: diff_id,
            found,
        });
    }
    Ok(counted.read)
}

fn tree_error(error: io::Error) -> Error {
    Error::Tree(error.to_string())
}

/// Hashes and counts what is read; ends with an error beyond its limit.
struct Counted<R> {
    inner: R,
    hash: Sha256,
    read: u64,
    limit: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.read = self.read.saturating_add(count as u64);
        if self.read > self.limit {
            return Err(io::Error::other("more than the limit"));
        }
        Ok(count)
    }
}

/// What extended headers say of the next entry.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    xattrs: BTreeMap<String, Vec<u8>>,
}

struct Changes<'a> {
    tree: &'a mut FileTree,
    limits: Limits,
    /// names that this layer made: whiteouts do not hide them, whatever the order
    made: BTreeSet<Vec<u8>>,
    /// what it hides: a path, and whether only what is below it
    hidden: Vec<(Vec<u8>, bool)>,
    /// bytes of paths, targets and attributes that all layers may still have
    text: &'a mut u64,
}

impl Changes<'_> {
    fn read(mut self, stream: impl Read) -> Result<(), Error> {
        let mut archive = Archive::new(stream);
        let mut extension = Extension::default();
        // Raw: long names are read here, with a limit.
        for entry in archive.entries().map_err(tree_error)?.raw(true) {
            let mut entry = entry.map_err(tree_error)?;
            let header = entry.header().clone();
            let size = header.entry_size().map_err(tree_error)?;
            if matches!(
                header.entry_type(),
                EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
            ) {
                self.take(usize::try_from(size).unwrap_or(usize::MAX))?;
            }
            match header.entry_type() {
                EntryType::XHeader => extension.pax(&extended(&mut entry, size)?)?,
                EntryType::XGlobalHeader => drop(extended(&mut entry, size)?),
                EntryType::GNULongName => extension.path = Some(terminated(extended(&mut entry, size)?)),
                EntryType::GNULongLink => extension.link = Some(terminated(extended(&mut entry, size)?)),
                _ => {
                    let extension = std::mem::take(&mut extension);
                    if extension.size.is_some_and(|found| found != size) {
                        return Err(Error::Tree("an entry with two sizes".into()));
                    }
                    self.entry(&header, extension, size, &mut entry)?;
                }
            }
        }
        self.hide();
        Ok(())
    }

    fn entry(
        &mut self,
        header: &Header,
        extension: Extension,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), Error> {
        let path = self.normal(&extension.path.unwrap_or_else(|| header.path_bytes().into_owned()))?;
        self.take(path.len())?;
        let (parent, name) = split(&path);
        if name.starts_with(WHITEOUT) {
            if name == OPAQUE {
                self.hidden.push((parent.to_vec(), true));
            } else if !name.starts_with(RESERVED) {
                let (parent, name) = (parent.to_vec(), name.get(WHITEOUT.len()..).unwrap_or_default());
                if name.is_empty() || name == b"." || name == b".." {
                    return Err(Error::Tree(format!("a whiteout of {}", show(&path))));
                }
                self.hidden.push((join(&parent, name), false));
            }
            return Ok(());
        }
        let number = |value: io::Result<u64>| -> Result<u32, Error> {
            u32::try_from(value.map_err(tree_error)?).map_err(|_| Error::Tree(format!("{}: owner", show(&path))))
        };
        let uid = extension.uid.map_or_else(|| number(header.uid()), Ok)?;
        let gid = extension.gid.map_or_else(|| number(header.gid()), Ok)?;
        let mode = header.mode().map_err(tree_error)? & 0o7777;
        let device = || -> Result<(u32, u32), Error> {
            let major = header.device_major().map_err(tree_error)?.unwrap_or_default();
            let minor = header.device_minor().map_err(tree_error)?.unwrap_or_default();
            Ok((major, minor))
        };
        let target = || {
            extension
                .link
                .or_else(|| header.link_name_bytes().map(|name| name.into_owned()))
                .unwrap_or_default()
        };
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                let (found, sha256) = hash(content)?;
                if found != size {
                    return Err(Error::Tree(format!(
                        "{}: found {found} bytes; expected {size}",
                        show(&path)
                    )));
                }
                Kind::File { size, sha256 }
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => {
                let target = target();
                self.take(target.len())?;
                if target.len() > self.limits.path {
                    return Err(Error::TooLarge {
                        what: show(&path),
                        limit: self.limits.path as u64,
                    });
                }
                Kind::Symlink(target)
            }
            EntryType::Char => device().map(|(major, minor)| Kind::Character(major, minor))?,
            EntryType::Block => device().map(|(major, minor)| Kind::Block(major, minor))?,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Link => {
                let target = self.normal(&target())?;
                return self.link(&path, &target, mode, uid, gid);
            }
            other => {
                return Err(Error::Tree(format!(
                    "{}: found an entry of type {other:?}",
                    show(&path)
                )));
            }
        };
        self.put(
            &path,
            Node {
                kind,
                mode,
                uid,
                gid,
                xattrs: extension.xattrs,
                implied: false,
            },
        )
    }

    /// A layer of zeros packs into next to nothing; what is remembered of it must not.
    fn take(&mut self, bytes: usize) -> Result<(), Error> {
        // What is around each: an entry of nothing is not free.
        let bytes = (bytes as u64).saturating_add(64);
        *self.text = self.text.checked_sub(bytes).ok_or_else(|| Error::TooLarge {
            what: "paths, links and attributes of the image".into(),
            limit: self.limits.text,
        })?;
        Ok(())
    }

    /// Another name of a file; engines set its owner and mode again from this entry.
    fn link(&mut self, path: &[u8], target: &[u8], mode: u32, uid: u32, gid: u32) -> Result<(), Error> {
        let wrong = || {
            Error::Tree(format!(
                "{}: found a link to {}; expected a file of the image",
                show(path),
                show(target)
            ))
        };
        let number = *self.tree.names.get(target).ok_or_else(wrong)?;
        if path == target {
            return Ok(());
        }
        let node = self
            .tree
            .nodes
            .get_mut(number)
            .filter(|node| !node.is_directory())
            .ok_or_else(wrong)?;
        (node.uid, node.gid) = (uid, gid);
        if !matches!(node.kind, Kind::Symlink(_)) {
            node.mode = mode;
        }
        self.parents(path)?;
        self.remove(path);
        self.name(path, number)
    }

    fn put(&mut self, path: &[u8], node: Node) -> Result<(), Error> {
        if path == b"/" {
            if !node.is_directory() {
                return Err(Error::Tree("the root is no directory".into()));
            }
        } else {
            self.parents(path)?;
        }
        match self
            .tree
            .names
            .get(path)
            .and_then(|number| self.tree.nodes.get_mut(*number))
        {
            // A directory over a directory keeps what is in it.
            Some(found) if found.is_directory() && node.is_directory() => {
                *found = node;
                self.made.insert(path.to_vec());
                return Ok(());
            }
            Some(_) => self.remove(path),
            None => {}
        }
        self.tree.nodes.push(node);
        // A layer that replaces a file again and again makes nodes without names.
        if self.tree.nodes.len() > self.limits.entries.saturating_mul(2) {
            return Err(Error::TooLarge {
                what: "entries of the layers".into(),
                limit: self.limits.entries as u64,
            });
        }
        self.name(path, self.tree.nodes.len() - 1)
    }

    /// Makes what is missing above `path`.
    fn parents(&mut self, path: &[u8]) -> Result<(), Error> {
        let ends = path
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, byte)| **byte == b'/')
            .map(|(end, _)| end);
        for end in ends {
            let parent = path.get(..end).unwrap_or_default();
            match self.tree.get(parent) {
                Some(found) if found.is_directory() => {}
                Some(_) => {
                    let (path, parent) = (show(path), show(parent));
                    return Err(Error::Tree(format!(
                        "{path}: found {parent}, which is no directory, above it"
                    )));
                }
                None => {
                    self.tree.nodes.push(Node::implied());
                    self.name(parent, self.tree.nodes.len() - 1)?;
                }
            }
        }
        Ok(())
    }

    fn name(&mut self, path: &[u8], node: usize) -> Result<(), Error> {
        self.tree.names.insert(path.to_vec(), node);
        self.made.insert(path.to_vec());
        if self.tree.names.len() > self.limits.entries {
            return Err(Error::TooLarge {
                what: "names of the image".into(),
                limit: self.limits.entries as u64,
            });
        }
        Ok(())
    }

    /// Takes a name away, and all below it.
    fn remove(&mut self, path: &[u8]) {
        for path in self.below(path).into_iter().chain([path.to_vec()]) {
            self.tree.names.remove(&path);
            self.made.remove(&path);
        }
    }

    fn below(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let prefix = prefix(path);
        self.tree
            .names
            .range::<[u8], _>((Bound::Excluded(prefix.as_slice()), Bound::Unbounded))
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .cloned()
            .collect()
    }

    /// Whiteouts hide what is of lower layers; what this layer made stays, with the directories it is in.
    fn hide(&mut self) {
        for (path, only_below) in std::mem::take(&mut self.hidden) {
            let mut kept = false;
            // Deepest first: a directory goes if nothing in it stays.
            for found in self.below(&path).into_iter().rev() {
                if self.made.contains(&found) {
                    kept = true;
                } else if !self
                    .made
                    .range::<[u8], _>((Bound::Excluded(prefix(&found).as_slice()), Bound::Unbounded))
                    .next()
                    .is_some_and(|made| made.starts_with(&prefix(&found)))
                {
                    self.tree.names.remove(&found);
                }
            }
            if !only_below && !kept && !self.made.contains(&path) && path != b"/" {
                self.tree.names.remove(&path);
            }
        }
    }

    /// Absolute, without `.` and slashes that mean nothing.
    fn normal(&self, path: &[u8]) -> Result<Vec<u8>, Error> {
        if path.len() > self.limits.path {
            return Err(Error::TooLarge {
                what: "a path".into(),
                limit: self.limits.path as u64,
            });
        }
        let mut normal = Vec::with_capacity(path.len() + 1);
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(Error::Tree(format!("found .. in {}", show(path)))),
                part if part.contains(&0) => return Err(Error::Tree(format!("found a zero in {}", show(path)))),
                part => {
                    normal.push(b'/');
                    normal.extend_from_slice(part);
                }
            }
        }
        if normal.is_empty() {
            normal.push(b'/');
        }
        Ok(normal)
    }
}

impl Extension {
    fn pax(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let wrong = |what: &str| Error::Tree(format!("extended header: {what}"));
        let mut rest = bytes;
        // `LENGTH name=value\n`, the length that of the whole record: values may hold anything.
        while !rest.is_empty() {
            let space = rest
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(|| wrong("no length"))?;
            let length: usize = number(rest.get(..space).unwrap_or_default()).ok_or_else(|| wrong("no length"))?;
            let record = rest.get(space + 1..length).ok_or_else(|| wrong("its length"))?;
            let record = record.strip_suffix(b"\n").ok_or_else(|| wrong("no end"))?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(|| wrong("no name"))?;
            let (name, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            let whole = || number(value).ok_or_else(|| wrong("no number"));
            match std::str::from_utf8(name).map_err(|_| wrong("a name"))? {
                "path" => self.path = Some(value.to_vec()),
                "linkpath" => self.link = Some(value.to_vec()),
                "size" => self.size = Some(whole()? as u64),
                "uid" => self.uid = Some(u32::try_from(whole()?).map_err(|_| wrong("an owner"))?),
                "gid" => self.gid = Some(u32::try_from(whole()?).map_err(|_| wrong("a group"))?),
                name if name.starts_with("GNU.sparse") => return Err(wrong("found a sparse file")),
                name => {
                    if let Some(name) = name.strip_prefix("SCHILY.xattr.") {
                        self.xattrs.insert(name.to_owned(), value.to_vec());
                    }
                }
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(())
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn extended(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, Error> {
    if size > MAX_EXTENSION {
        return Err(Error::TooLarge {
            what: "an extended header".into(),
            limit: MAX_EXTENSION,
        });
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(tree_error)?;
    Ok(bytes)
}

/// Without the zero at its end.
fn terminated(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn hash(content: &mut impl Read) -> Result<(u64, [u8; 32]), Error> {
    let mut hash = Sha256::new();
    let mut size = 0_u64;
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = content.read(&mut piece).map_err(tree_error)?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        hash.update(read);
        size = size.saturating_add(count as u64);
    }
    Ok((size, hash.finalize().into()))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let (parent, name) = path.split_at(slash);
    (
        if parent.is_empty() { b"/" } else { parent },
        name.get(1..).unwrap_or_default(),
    )
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = prefix(parent);
    path.extend_from_slice(name);
    path
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(256).collect()
}
