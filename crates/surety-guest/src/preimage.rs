//! Data known by its hash.

use alloc::vec::Vec;
use core::fmt;

use crate::{PREIMAGE_MAX, hash, sys, tree};

/// The preimage of a keccak-256 hash, whole.
///
/// The machine vouches for it: an engine that hands out other bytes loses the dispute. A program that wants to see
/// for itself calls [`read_preimage_checked`]. A preimage that nobody can find ends the run without an answer.
pub fn read_preimage(hash: &[u8; 32]) -> Vec<u8> {
    // The length shows only when a read comes back short, so the buffer doubles until one does. It is the last
    // allocation, so that growing it moves nothing.
    let mut bytes = Vec::new();
    let mut room = 1024;
    loop {
        let before = bytes.len();
        let wanted = room - before;
        bytes.reserve_exact(wanted);
        if read_append(hash, before, wanted, &mut bytes) < wanted || bytes.len() >= PREIMAGE_MAX {
            bytes.shrink_to_fit();
            return bytes;
        }
        room *= 2;
    }
}

/// At most `length` bytes of a preimage from byte `offset` on; fewer where it ends.
pub fn read_preimage_at(hash: &[u8; 32], offset: usize, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length.min(PREIMAGE_MAX));
    read_append(hash, offset, length.min(PREIMAGE_MAX), &mut bytes);
    bytes
}

/// [`read_preimage`], hashed again by the program itself.
///
/// # Errors
/// [`Mismatch`] when the bytes do not have the hash.
pub fn read_preimage_checked(hash: &[u8; 32]) -> Result<Vec<u8>, Mismatch> {
    let bytes = read_preimage(hash);
    let found = hash::keccak256(&bytes);
    if found == *hash {
        Ok(bytes)
    } else {
        Err(Mismatch { expected: *hash, found })
    }
}

/// Reads at most `length` bytes from `offset` on to the end of `bytes`; returns how many came.
pub(crate) fn read_append(hash: &[u8; 32], offset: usize, length: usize, bytes: &mut Vec<u8>) -> usize {
    let Ok(offset) = u32::try_from(offset) else { return 0 };
    bytes.reserve(length);
    let before = bytes.len();
    // SAFETY: `reserve` left room for `length` bytes after the first `before`; READ initialises those it counts.
    unsafe {
        let copied = sys::read_raw(hash, offset, bytes.as_mut_ptr().add(before), length);
        bytes.set_len(before + copied);
        copied
    }
}

/// Bytes that do not have the hash they were asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The hash asked for.
    pub expected: [u8; 32],
    /// The hash of what came.
    pub found: [u8; 32],
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("preimage has the hash 0x")?;
        self.found.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(", expected 0x")?;
        self.expected.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::error::Error for Mismatch {}

/// The machine's preimages, as a source for [`tree::read`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Preimages;

impl tree::Source for Preimages {
    fn read(&mut self, hash: &[u8; 32], offset: usize, into: &mut [u8]) -> usize {
        u32::try_from(offset).map_or(0, |offset| sys::read(hash, offset, into))
    }
}
