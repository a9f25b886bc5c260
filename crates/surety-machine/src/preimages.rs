//! Where `READ` and `INPUT` get their data.

use crate::hash::{Hash, keccak256};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The longest preimage, bytes: 96 KiB, so that one transaction can show one on-chain.
pub const MAX_PREIMAGE_BYTES: usize = 98_304;

/// A source of preimages for a running machine.
///
/// The machine checks what it gets by hash and length, so an implementation may pass on what a stranger sent.
pub trait Preimages {
    /// The data whose keccak-256 is `hash`, if it can be found.
    fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>>;

    /// What the program says it will read; see `HINT` in the specification. A hint comes again when steps are run again.
    fn hint(&mut self, _hint: &str) {}
}

/// Preimages held in memory.
///
/// ```
/// use surety_machine::{MemoryPreimages, Preimages};
/// let mut preimages = MemoryPreimages::default();
/// let hash = preimages.insert(b"data");
/// assert_eq!(preimages.get(&hash).as_deref(), Some(&b"data"[..]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryPreimages(BTreeMap<Hash, Arc<[u8]>>);

impl MemoryPreimages {
    /// Adds data and gives back its hash.
    pub fn insert(&mut self, data: &[u8]) -> Hash {
        let hash = keccak256(data);
        self.0.insert(hash, data.into());
        hash
    }

    /// The hashes held, in order.
    pub fn hashes(&self) -> impl Iterator<Item = &Hash> {
        self.0.keys()
    }
}

impl Preimages for MemoryPreimages {
    fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        self.0.get(hash).cloned()
    }
}

/// The request's input, in front of another source.
pub struct WithInput<'a> {
    hash: Hash,
    input: Arc<[u8]>,
    rest: &'a mut dyn Preimages,
}

impl<'a> WithInput<'a> {
    /// Adds `input` to `rest`.
    pub fn new(input: &[u8], rest: &'a mut dyn Preimages) -> Self {
        WithInput {
            hash: keccak256(input),
            input: input.into(),
            rest,
        }
    }
}

impl Preimages for WithInput<'_> {
    fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        if *hash == self.hash {
            Some(self.input.clone())
        } else {
            self.rest.get(hash)
        }
    }

    fn hint(&mut self, hint: &str) {
        self.rest.hint(hint);
    }
}

/// The last few preimages a machine used, already checked, so that a long `READ` asks for its preimage once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(Vec<(Hash, Arc<[u8]>)>);

const RECENT: usize = 32;

impl Recent {
    pub(crate) fn get(&mut self, hash: &Hash, source: &mut dyn Preimages) -> Result<Arc<[u8]>, PreimageError> {
        if let Some((_, data)) = self.0.iter().rev().find(|(known, _)| known == hash) {
            return Ok(data.clone());
        }
        let data = source.get(hash).ok_or(PreimageError::Missing(*hash))?;
        if data.len() > MAX_PREIMAGE_BYTES {
            return Err(PreimageError::TooLong {
                hash: *hash,
                length: data.len(),
            });
        }
        let found = keccak256(&data);
        if found != *hash {
            return Err(PreimageError::Wrong { hash: *hash, found });
        }
        if self.0.len() >= RECENT {
            self.0.remove(0);
        }
        self.0.push((*hash, data.clone()));
        Ok(data)
    }
}

/// Why a preimage could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PreimageError {
    Missing(Hash),
    TooLong { hash: Hash, length: usize },
    Wrong { hash: Hash, found: Hash },
}
