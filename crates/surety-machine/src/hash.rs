//! keccak-256, the machine's only hash function.

use tiny_keccak::{Hasher, Keccak};

/// A keccak-256 digest.
pub type Hash = [u8; 32];

/// 32 zero bytes: an empty leaf, and the output root of a program that has written nothing.
pub const ZERO: Hash = [0; 32];

/// keccak-256 of `data`.
///
/// ```
/// assert_eq!(surety_machine::keccak256(b"")[..4], [0xc5, 0xd2, 0x46, 0x01]);
/// ```
#[must_use]
pub fn keccak256(data: &[u8]) -> Hash {
    keccak(&[data])
}

/// keccak-256 of the parts, one after the other.
#[must_use]
pub(crate) fn keccak(parts: &[&[u8]]) -> Hash {
    let mut hasher = Keccak::v256();
    for part in parts {
        hasher.update(part);
    }
    let mut digest = ZERO;
    hasher.finalize(&mut digest);
    digest
}

/// The parent of two nodes of a tree.
#[must_use]
pub(crate) fn parent(left: &Hash, right: &Hash) -> Hash {
    keccak(&[left, right])
}
