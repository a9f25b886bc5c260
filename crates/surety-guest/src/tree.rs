//! Data larger than one preimage, as a tree of preimages of at most 96 KiB.
//!
//! The **tree root** is the keccak-256 of a node. A node is a preimage:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 16 | `surety data tree`, ASCII |
//! | 16 | 8 | zero |
//! | 24 | 8 | `length`: bytes of data below this node, big-endian |
//! | 32 | 32·n | hashes of its n children |
//!
//! A chunk is 98,304 bytes of the data; only the last of all may be shorter. Where `length` is at most
//! 3,071 chunks (287 MiB), the children are the chunks. Otherwise they are nodes, each but the last over as many
//! chunks as a whole subtree of the next lower height holds (3,071, 3,071², …). No data is one node without children. The shape
//! follows from the length, so equal data has one root.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::{PREIMAGE_MAX, keccak256};

/// The first bytes of every node.
const MAGIC: &[u8; 16] = b"surety data tree";
const HEAD: usize = 32;
const HASH: usize = 32;

/// The most children a node has.
pub const FANOUT: usize = (PREIMAGE_MAX - HEAD) / HASH;

/// Where preimages come from: the machine's READ, or a map in a test.
pub trait Source {
    /// Copies the preimage of `hash` from byte `offset` on into `into`; returns how many bytes that were.
    fn read(&mut self, hash: &[u8; 32], offset: usize, into: &mut [u8]) -> usize;
}

/// A tree that is not what this module builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// A node without the magic, or cut short.
    NotANode {
        /// Its hash.
        hash: [u8; 32],
    },
    /// A node over another number of bytes than its place in the tree says.
    Length {
        /// The node's hash.
        hash: [u8; 32],
        /// What its place asks for.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// A chunk with fewer bytes than its place in the tree says.
    ShortChunk {
        /// Its hash.
        hash: [u8; 32],
    },
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotANode { hash } | Self::Length { hash, .. } | Self::ShortChunk { hash }) = self;
        f.write_str("preimage 0x")?;
        hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        match self {
            Self::NotANode { .. } => f.write_str(" is not a node of a data tree"),
            Self::Length { expected, found, .. } => {
                write!(f, " is a node over {found} bytes, expected {expected}")
            }
            Self::ShortChunk { .. } => f.write_str(" is a chunk with fewer bytes than its place in the tree says"),
        }
    }
}

impl core::error::Error for TreeError {}

/// How many bytes each child of a node over `length` bytes covers (the last may cover fewer), and whether the
/// children are chunks.
fn child_span(length: u64) -> (u64, bool) {
    let mut span = PREIMAGE_MAX as u64;
    while span.saturating_mul(FANOUT as u64) < length {
        span = span.saturating_mul(FANOUT as u64);
    }
    (span, span == PREIMAGE_MAX as u64)
}

fn node_length(source: &mut impl Source, hash: &[u8; 32]) -> Result<u64, TreeError> {
    let mut head = [0; HEAD];
    let read = source.read(hash, 0, &mut head);
    match (head.split_first_chunk::<16>(), head.last_chunk::<8>()) {
        (Some((magic, rest)), Some(length)) if read == HEAD && magic == MAGIC && rest[..8] == [0; 8] => {
            Ok(u64::from_be_bytes(*length))
        }
        _ => Err(TreeError::NotANode { hash: *hash }),
    }
}

/// The length of the data under a root, in bytes.
///
/// # Errors
/// [`TreeError::NotANode`] when the root is no node.
pub fn length(source: &mut impl Source, root: &[u8; 32]) -> Result<u64, TreeError> {
    node_length(source, root)
}

/// Copies the data under `root` from byte `offset` on into `into`; returns how many bytes that were, fewer than asked
/// only where the data ends. Reads the nodes on the way and no other data.
///
/// # Errors
/// [`TreeError`] when what it reads is no such tree.
pub fn read(source: &mut impl Source, root: &[u8; 32], offset: u64, into: &mut [u8]) -> Result<usize, TreeError> {
    let length = node_length(source, root)?;
    let available = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
    let wanted = into.len().min(available);
    let Some(into) = into.get_mut(..wanted) else {
        return Ok(0);
    };
    read_node(source, root, length, offset, into)?;
    Ok(wanted)
}

/// Fills `into` from a node known to be over `length` bytes, all of `into` lying within.
fn read_node(
    source: &mut impl Source,
    node: &[u8; 32],
    length: u64,
    mut offset: u64,
    mut into: &mut [u8],
) -> Result<(), TreeError> {
    let (span, children_are_chunks) = child_span(length);
    while !into.is_empty() {
        let index = offset / span;
        let within = offset % span;
        let child_length = span.min(length - index * span);
        let part = usize::try_from(child_length - within)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let (now, later) = into.split_at_mut(part);

        let mut child = [0; HASH];
        // FANOUT children at most, so the index is small.
        if source.read(node, HEAD + HASH * index as usize, &mut child) != HASH {
            return Err(TreeError::NotANode { hash: *node });
        }
        if children_are_chunks {
            if source.read(&child, within as usize, now) != part {
                return Err(TreeError::ShortChunk { hash: child });
            }
        } else {
            let found = node_length(source, &child)?;
            if found != child_length {
                return Err(TreeError::Length {
                    hash: child,
                    expected: child_length,
                    found,
                });
            }
            read_node(source, &child, child_length, within, now)?;
        }
        offset += part as u64;
        into = later;
    }
    Ok(())
}

/// A tree made from data: its root, and every preimage a reader may ask for (the chunks, then the nodes, root last).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The keccak-256 of the root node.
    pub root: [u8; 32],
    /// The preimages.
    pub preimages: Vec<Vec<u8>>,
}

/// Splits data into a tree.
pub fn build(data: &[u8]) -> Tree {
    let mut preimages: Vec<Vec<u8>> = data.chunks(PREIMAGE_MAX).map(<[u8]>::to_vec).collect();
    // Hash and length of what will become children.
    let mut level: Vec<([u8; 32], u64)> = preimages
        .iter()
        .map(|chunk| (keccak256(chunk), chunk.len() as u64))
        .collect();
    loop {
        let groups = if level.is_empty() {
            vec![&[][..]]
        } else {
            level.chunks(FANOUT).collect()
        };
        let mut parents = Vec::with_capacity(groups.len());
        for children in groups {
            let length = children.iter().map(|(_, length)| length).sum::<u64>();
            let mut node = Vec::with_capacity(HEAD + HASH * children.len());
            node.extend_from_slice(MAGIC);
            node.extend_from_slice(&[0; 8]);
            node.extend_from_slice(&length.to_be_bytes());
            for (hash, _) in children {
                node.extend_from_slice(hash);
            }
            parents.push((keccak256(&node), length));
            preimages.push(node);
        }
        if let [(root, _)] = parents[..] {
            return Tree { root, preimages };
        }
        level = parents;
    }
}
