//! Keccak-256.

use tiny_keccak::{Hasher, Keccak};

/// Keccak-256 of `data`, as Ethereum uses it (the padding of the original Keccak submission, not of SHA-3).
///
/// About 13,000 steps for every 136 bytes.
pub fn keccak256(data: &[u8]) -> [u8; 32] {
    let mut hasher = Keccak::v256();
    hasher.update(data);
    let mut hash = [0; 32];
    hasher.finalize(&mut hash);
    hash
}
