//! What a program has written, and the commitment to it.

use crate::OutputRoot;
use alloc::{borrow::Cow, vec::Vec};
use alloy_primitives::Keccak256;

/// Most bytes of output that are carried in one response: 1 MiB. A provider declines a run that writes more.
pub const MAX_OUTPUT_BYTES: usize = 1 << 20;

/// Longest chunk of output, bytes: one memory leaf.
const CHUNK: usize = 32;

/// A program's output and how it was cut into chunks of 1 to 32 bytes (`docs/spec/machine.md`, section 6, `WRITE`).
///
/// The chunking is *canonical* when every chunk has 32 bytes but the last, which may be shorter; then its lengths
/// are not kept. One output has one representation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Output {
    bytes: Vec<u8>,
    /// Chunk lengths; `None` when canonical.
    chunks: Option<Vec<u8>>,
}

/// Bytes and chunk lengths that no run can have produced, or too many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// Above [`MAX_OUTPUT_BYTES`].
    #[error("output of {found} bytes is above the limit of {MAX_OUTPUT_BYTES}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// A chunk's length is not 1 to 32.
    #[error("chunk {index} has length {found}, expected 1 to 32")]
    ChunkLength {
        /// Which chunk, from 0.
        index: usize,
        /// Its length.
        found: u64,
    },
    /// The lengths do not add up to the output's.
    #[error("chunk lengths add up to {found}, expected the output's {expected} bytes")]
    Total {
        /// Sum of the lengths.
        found: usize,
        /// Bytes of output.
        expected: usize,
    },
    /// Lengths were given although they are the canonical ones.
    #[error("chunk lengths are given but canonical: expected none")]
    CanonicalGiven,
}

impl OutputRoot {
    /// The root after the program wrote one more chunk: keccak256(root ‖ chunk). Starts from 32 zero bytes.
    #[must_use]
    pub fn absorb(&self, chunk: &[u8]) -> Self {
        let mut hasher = Keccak256::new();
        hasher.update(self.as_slice());
        hasher.update(chunk);
        hasher.finalize().into()
    }
}

impl Output {
    /// Output with the canonical chunking.
    pub fn canonical(bytes: Vec<u8>) -> Result<Self, OutputError> {
        check_total(bytes.len())?;
        Ok(Self { bytes, chunks: None })
    }

    /// Output cut into chunks of the given lengths, which may be the canonical ones.
    pub fn with_chunks(bytes: Vec<u8>, lengths: impl IntoIterator<Item = u64>) -> Result<Self, OutputError> {
        check_total(bytes.len())?;
        let mut chunks = Vec::new();
        let mut total = 0usize;
        for (index, found) in lengths.into_iter().enumerate() {
            let length = u8::try_from(found).ok().filter(|n| (1..=CHUNK as u8).contains(n));
            let length = length.ok_or(OutputError::ChunkLength { index, found })?;
            total += usize::from(length);
            // Lengths are at least 1, so this also bounds how many are kept.
            if total > bytes.len() {
                return Err(OutputError::Total {
                    found: total,
                    expected: bytes.len(),
                });
            }
            chunks.push(length);
        }
        if total != bytes.len() {
            return Err(OutputError::Total {
                found: total,
                expected: bytes.len(),
            });
        }
        let chunks = if is_canonical(&chunks) { None } else { Some(chunks) };
        Ok(Self { bytes, chunks })
    }

    /// Adds one chunk, as a `WRITE` step does.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), OutputError> {
        let length = match chunk.len() {
            n @ 1..=CHUNK => n as u8,
            n => {
                return Err(OutputError::ChunkLength {
                    index: self.chunk_lengths().count(),
                    found: n as u64,
                });
            }
        };
        let total = self.bytes.len().saturating_add(chunk.len());
        check_total(total)?;
        match &mut self.chunks {
            Some(chunks) => chunks.push(length),
            // Still canonical as long as the last chunk so far is a whole one.
            None if self.bytes.len().is_multiple_of(CHUNK) => {}
            None => {
                let mut chunks: Vec<u8> = self.chunk_lengths().collect();
                chunks.push(length);
                self.chunks = Some(chunks);
            }
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// The bytes written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Chunk lengths, where they are not canonical.
    pub fn chunks(&self) -> Option<&[u8]> {
        self.chunks.as_deref()
    }

    /// All chunk lengths, canonical or not.
    pub fn chunk_lengths(&self) -> impl Iterator<Item = u8> + '_ {
        let lengths = match &self.chunks {
            Some(chunks) => Cow::Borrowed(chunks.as_slice()),
            None => Cow::Owned(self.bytes.chunks(CHUNK).map(|chunk| chunk.len() as u8).collect()),
        };
        (0..lengths.len()).filter_map(move |i| lengths.get(i).copied())
    }

    /// The commitment to this output: every chunk absorbed, from 32 zero bytes.
    pub fn root(&self) -> OutputRoot {
        let mut root = OutputRoot::ZERO;
        let mut rest = self.bytes.as_slice();
        for length in self.chunk_lengths() {
            // The constructors keep the sum of the lengths equal to the number of bytes.
            let (chunk, tail) = rest.split_at(usize::from(length).min(rest.len()));
            root = root.absorb(chunk);
            rest = tail;
        }
        root
    }
}

fn check_total(found: usize) -> Result<(), OutputError> {
    if found > MAX_OUTPUT_BYTES {
        Err(OutputError::TooLong { found })
    } else {
        Ok(())
    }
}

fn is_canonical(chunks: &[u8]) -> bool {
    match chunks.split_last() {
        Some((_, whole)) => whole.iter().all(|n| usize::from(*n) == CHUNK),
        None => true,
    }
}
