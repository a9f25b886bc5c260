//! The file system that an image's layers make, by OCI's rules: what a container should see before it writes anything.
//!
//! Where engines disagree about what a layer means (an entry below a symbolic link, a name with `..`, sparse files),
//! the image is refused rather than guessed at.

mod layer;

use std::{collections::BTreeMap, ops::Bound};

use serde::{Deserialize, Serialize};

use super::{Error, Layer};

/// Most symbolic links that are followed for a path: the kernel's number.
const MAX_LINKS: usize = 40;

/// What a file system may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// names
    pub entries: usize,
    /// bytes of all layers, unpacked
    pub bytes: u64,
    /// bytes of a path, and of a link's target
    pub path: usize,
    /// bytes of all entries' paths, links and attributes, and 64 for each entry
    pub text: u64,
}

impl Default for Limits {
    /// 400,000 names, 32 GiB, paths of 4,096 bytes, 512 MiB of names and attributes.
    fn default() -> Self {
        Self {
            entries: 400_000,
            bytes: 32 << 30,
            path: 4_096,
            text: 512 << 20,
        }
    }
}

/// A file, directory, link or device: what all of its names share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// what it is
    pub kind: Kind,
    /// the low twelve bits of its mode
    pub mode: u32,
    /// owner
    pub uid: u32,
    /// group
    pub gid: u32,
    /// extended attributes (capabilities are `security.capability`), by name
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// no layer has it: a directory that must be there since something is in it. Engines differ in its mode
    #[serde(default)]
    pub implied: bool,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// a regular file
    File {
        /// bytes
        size: u64,
        /// SHA-256 of its content
        #[serde(with = "hex::serde")]
        sha256: [u8; 32],
    },
    /// a directory
    Directory,
    /// a symbolic link, and its target's bytes
    Symlink(#[serde(with = "hex::serde")] Vec<u8>),
    /// a character device: major and minor number
    Character(u32, u32),
    /// a block device: major and minor number
    Block(u32, u32),
    /// a named pipe
    Fifo,
}

/// A merged file system. Paths are absolute, without `.`, `..` and a slash at the end; the root is `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTree {
    names: BTreeMap<Vec<u8>, usize>,
    nodes: Vec<Node>,
}

/// As it is kept: paths in hexadecimal, since they are bytes.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    names: Vec<(String, usize)>,
    nodes: Vec<Node>,
}

/// Of [`Kept`]; another version is made again.
const VERSION: u32 = 1;

impl Serialize for FileTree {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Kept {
            version: VERSION,
            names: self
                .names
                .iter()
                .map(|(path, node)| (hex::encode(path), *node))
                .collect(),
            nodes: self.nodes.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FileTree {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let kept = Kept::deserialize(deserializer)?;
        if kept.version != VERSION {
            return Err(D::Error::custom(format!(
                "found version {}; expected {VERSION}",
                kept.version
            )));
        }
        let mut names = BTreeMap::new();
        for (path, node) in kept.names {
            if node >= kept.nodes.len() {
                return Err(D::Error::custom(format!("found node {node} of {}", kept.nodes.len())));
            }
            names.insert(hex::decode(path).map_err(D::Error::custom)?, node);
        }
        Ok(Self {
            names,
            nodes: kept.nodes,
        })
    }
}

impl FileTree {
    /// Root alone.
    fn empty() -> Self {
        let root = Node::implied();
        Self {
            names: BTreeMap::from([(b"/".to_vec(), 0)]),
            nodes: vec![root],
        }
    }

    /// What is at exactly this path; links are not followed.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Node> {
        self.names.get(path.as_ref()).and_then(|node| self.nodes.get(*node))
    }

    /// Every path and what is there, in the order of the paths' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.names
            .iter()
            .filter_map(|(path, node)| Some((path.as_slice(), self.nodes.get(*node)?)))
    }

    /// Number of paths.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is nothing, not even a root: never.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Every path below `path` (not itself), and what is there.
    pub fn below<'a>(&'a self, path: &[u8]) -> impl Iterator<Item = (&'a [u8], &'a Node)> + use<'a> {
        let prefix = prefix(path);
        self.names
            .range::<[u8], _>((Bound::Excluded(prefix.as_slice()), Bound::Unbounded))
            .take_while({
                let prefix = prefix.clone();
                move |(path, _)| path.starts_with(&prefix)
            })
            .filter_map(|(path, node)| Some((path.as_slice(), self.nodes.get(*node)?)))
    }

    /// Follows symbolic links, all of them within the root, as the kernel does for a process in the container. Gives
    /// the path without links, and what is there. `None` if there is nothing, or the links do not end.
    pub fn resolve(&self, path: impl AsRef<[u8]>) -> Option<(Vec<u8>, &Node)> {
        let mut done: Vec<u8> = Vec::new();
        let mut left: Vec<Vec<u8>> = parts(path.as_ref());
        let mut links = 0;
        while let Some(part) = left.pop() {
            match part.as_slice() {
                b"." => {}
                b".." => {
                    let end = done.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    done.truncate(end);
                }
                name => {
                    let mut next = done.clone();
                    next.push(b'/');
                    next.extend_from_slice(name);
                    match &self.get(&next)?.kind {
                        Kind::Symlink(target) => {
                            links += 1;
                            if links > MAX_LINKS {
                                return None;
                            }
                            if target.starts_with(b"/") {
                                done.clear();
                            }
                            left.extend(parts(target));
                        }
                        Kind::Directory => done = next,
                        _ if left.is_empty() => done = next,
                        _ => return None,
                    }
                }
            }
        }
        if done.is_empty() {
            done.push(b'/');
        }
        let node = self.get(&done)?;
        Some((done, node))
    }

    /// Bytes of all files, each counted once whatever its names.
    pub fn size(&self) -> u64 {
        self.nodes
            .iter()
            .map(|node| {
                if let Kind::File { size, .. } = node.kind {
                    size
                } else {
                    0
                }
            })
            .fold(0, u64::saturating_add)
    }

    /// Leaves out nodes that have no name any more.
    fn compact(&mut self) {
        let mut moved: BTreeMap<usize, usize> = BTreeMap::new();
        let mut nodes = Vec::new();
        for node in self.names.values_mut() {
            if let Some(found) = self.nodes.get(*node) {
                *node = *moved.entry(*node).or_insert_with(|| {
                    nodes.push(found.clone());
                    nodes.len() - 1
                });
            }
        }
        self.nodes = nodes;
    }
}

impl Node {
    fn implied() -> Self {
        Self {
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            xattrs: BTreeMap::new(),
            implied: true,
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// Components in reverse, so that the next is the last.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

/// What every path below `path` begins with.
fn prefix(path: &[u8]) -> Vec<u8> {
    let mut prefix = path.to_vec();
    if !prefix.ends_with(b"/") {
        prefix.push(b'/');
    }
    prefix
}

/// Unpacks layers, base first, each streamed and hashed.
///
/// # Errors
/// [`Error::Digest`] if an archive is not the one its DiffID says; [`Error::Tree`] if a layer is no archive, or has what
/// is refused; [`Error::TooLarge`] beyond `limits`; [`Error::Cache`] if a file cannot be read.
pub fn build(layers: &[Layer], limits: Limits) -> Result<FileTree, Error> {
    let mut tree = FileTree::empty();
    let (mut left, mut text) = (limits.bytes, limits.text);
    for layer in layers {
        let file = std::fs::File::open(&layer.path)?;
        let unpacked = layer::apply(&mut tree, file, layer.packing, layer.diff_id, left, &mut text, limits)?;
        left = left.saturating_sub(unpacked);
    }
    tree.compact();
    Ok(tree)
}
