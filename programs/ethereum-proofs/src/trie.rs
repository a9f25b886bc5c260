//! Looking a key up in a modified Merkle Patricia trie. Source: Yellow Paper, appendices C and D.

use alloc::vec::Vec;
use core::fmt;

use crate::rlp::{Item, Items, RlpError};

/// keccak-256 of the empty string's RLP: the root of a trie without keys.
pub const EMPTY_ROOT: [u8; 32] = [
    0x56, 0xe8, 0x1f, 0x17, 0x1b, 0xcc, 0x55, 0xa6, 0xff, 0x83, 0x45, 0xe6, 0x92, 0xc0, 0xf8, 0x6e, 0x5b, 0x48, 0xe0,
    0x1b, 0x99, 0x6c, 0xad, 0xc0, 0x01, 0x62, 0x2f, 0xb5, 0xe3, 0x63, 0xb4, 0x21,
];

/// Why a lookup has no answer. `E` is what fetching a node can fail with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrieError<E> {
    /// The node could not be had.
    Fetch(E),
    /// A node that is not RLP, or not the RLP of a node.
    Rlp(RlpError),
    /// A list of other than 2 or 17 items.
    Shape,
    /// A path that hex-prefix encoding does not produce, or an extension without a path.
    Path,
    /// A child that is neither absent, nor a hash, nor a node of less than 32 bytes in place.
    Child,
    /// A node of less than 32 bytes behind a hash: it would lie in its parent.
    ShortNode,
    /// An extension that leads to something other than a branch.
    Extension,
    /// A leaf without a value.
    Value,
}

impl<E: fmt::Display> fmt::Display for TrieError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => write!(f, "{error}"),
            Self::Rlp(error) => write!(f, "trie node: {error}"),
            Self::Shape => f.write_str("trie node is a list of neither 2 nor 17 items"),
            Self::Path => f.write_str("trie node has a malformed path"),
            Self::Child => f.write_str("trie node has a malformed child"),
            Self::ShortNode => f.write_str("trie node of less than 32 bytes behind a hash"),
            Self::Extension => f.write_str("trie extension does not lead to a branch"),
            Self::Value => f.write_str("trie leaf has no value"),
        }
    }
}

impl<E> From<RlpError> for TrieError<E> {
    fn from(error: RlpError) -> Self {
        Self::Rlp(error)
    }
}

/// One step down the trie.
enum Next {
    /// The node with this hash is next.
    Hash([u8; 32]),
    /// The key ends here, with this value.
    Found(Vec<u8>),
    /// No such key: the trie has something else, or nothing, where it would be.
    Absent,
}

/// The value of `key` in the trie with this root, or `None` where the trie shows that it has no such key.
///
/// `fetch` returns the node with a hash; it answers for the bytes having that hash.
///
/// # Errors
/// [`TrieError`] when `fetch` fails, or a node on the way is malformed.
pub fn get<E>(
    root: &[u8; 32],
    key: &[u8],
    mut fetch: impl FnMut(&[u8; 32]) -> Result<Vec<u8>, E>,
) -> Result<Option<Vec<u8>>, TrieError<E>> {
    if *root == EMPTY_ROOT {
        return Ok(None);
    }
    let mut path = Path { key, at: 0 };
    let mut hash = *root;
    let mut is_root = true;
    let mut wants_branch = false;
    // Every node but the root takes at least one nibble of the key, so this ends.
    loop {
        let node = fetch(&hash).map_err(TrieError::Fetch)?;
        if node.len() < 32 && !is_root {
            return Err(TrieError::ShortNode);
        }
        match descend(Item::only(&node)?.list()?, &mut path, &mut wants_branch)? {
            Next::Hash(next) => hash = next,
            Next::Found(value) => return Ok(Some(value)),
            Next::Absent => return Ok(None),
        }
        is_root = false;
    }
}

/// Goes down from a node, through nodes that lie in it, until another one has to be fetched.
fn descend<E>(mut node: Items<'_>, path: &mut Path<'_>, wants_branch: &mut bool) -> Result<Next, TrieError<E>> {
    loop {
        let child = match node.count()? {
            17 => {
                *wants_branch = false;
                let children: [Item<'_>; 17] = node.exactly()?;
                for child in children.iter().take(16) {
                    check_child(child)?;
                }
                let [.., value] = children;
                match path.next() {
                    Some(nibble) => *children.get(usize::from(nibble)).ok_or(TrieError::Shape)?,
                    None => {
                        let value = value.string()?;
                        return Ok(if value.is_empty() {
                            Next::Absent
                        } else {
                            Next::Found(value.to_vec())
                        });
                    }
                }
            }
            2 => {
                if *wants_branch {
                    return Err(TrieError::Extension);
                }
                let [prefix, target] = node.exactly()?;
                let (is_leaf, nibbles) = hex_prefix(prefix.string()?)?;
                if is_leaf {
                    let value = target.string()?;
                    if value.is_empty() {
                        return Err(TrieError::Value);
                    }
                    let found = path.take(nibbles) && path.next().is_none();
                    return Ok(if found {
                        Next::Found(value.to_vec())
                    } else {
                        Next::Absent
                    });
                }
                if nibbles.clone().next().is_none() {
                    return Err(TrieError::Path);
                }
                check_child(&target)?;
                if target == Item::String(&[]) {
                    return Err(TrieError::Child);
                }
                if !path.take(nibbles) {
                    return Ok(Next::Absent);
                }
                *wants_branch = true;
                target
            }
            _ => return Err(TrieError::Shape),
        };
        match child {
            Item::String([]) => return Ok(Next::Absent),
            Item::String(_) => return Ok(Next::Hash(*child.array()?)),
            Item::List(inner) => node = inner,
        }
    }
}

/// A child is nothing, a hash, or a node whose encoding takes less than 32 bytes.
fn check_child<E>(child: &Item<'_>) -> Result<(), TrieError<E>> {
    match child {
        Item::String(bytes) if matches!(bytes.len(), 0 | 32) => Ok(()),
        // One byte of header before a payload of up to 55.
        Item::List(items) if items.payload().len() < 31 => Ok(()),
        _ => Err(TrieError::Child),
    }
}

/// Splits a hex-prefix encoded path into its flag and its nibbles.
fn hex_prefix<E>(bytes: &[u8]) -> Result<(bool, impl Iterator<Item = u8> + Clone + '_), TrieError<E>> {
    let (&first, rest) = bytes.split_first().ok_or(TrieError::Path)?;
    let (is_leaf, odd) = match (first >> 4, first & 0x0f) {
        (0, 0) => (false, None),
        (1, nibble) => (false, Some(nibble)),
        (2, 0) => (true, None),
        (3, nibble) => (true, Some(nibble)),
        _ => return Err(TrieError::Path),
    };
    Ok((
        is_leaf,
        odd.into_iter()
            .chain(rest.iter().flat_map(|byte| [byte >> 4, byte & 0x0f])),
    ))
}

/// A key, nibble by nibble.
struct Path<'a> {
    key: &'a [u8],
    /// In nibbles.
    at: usize,
}

impl Path<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.key.get(self.at >> 1)?;
        let nibble = if self.at & 1 == 0 { byte >> 4 } else { byte & 0x0f };
        self.at = self.at.saturating_add(1);
        Some(nibble)
    }

    /// Goes along `nibbles`; false where the key leads elsewhere.
    fn take(&mut self, mut nibbles: impl Iterator<Item = u8>) -> bool {
        nibbles.all(|nibble| self.next() == Some(nibble))
    }
}
