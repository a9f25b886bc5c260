//! The preimages of one run: what the machine reads, what it used (to be kept with the answer), and what was missing.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Instant,
};

use alloy::primitives::{B256, Bytes};
use surety_machine::{Hash, Preimages};
use tokio::runtime::Handle;

use super::{Hint, Sources};

/// Hints kept per run, at most; the oldest are dropped.
const MAX_HINTS: usize = 256;
/// Hashes looked for over the network per run, at most.
const MAX_FETCHES: usize = 4_096;

/// Whether a run may look for preimages over the network.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Only on this machine.
    Local,
    /// Over the network too, on this runtime, until a time.
    Network {
        /// Runtime the fetches run on. The run itself must not be on one of its threads.
        runtime: Handle,
        /// When to give up.
        until: Option<Instant>,
    },
}

/// The preimages of one run.
pub struct RunPreimages {
    sources: Arc<Sources>,
    lookup: Lookup,
    used: BTreeMap<B256, Arc<[u8]>>,
    hints: Vec<Hint>,
    followed: HashSet<Hint>,
    fetches: usize,
    bytes: u64,
    max_bytes: u64,
    exceeded: bool,
}

impl std::fmt::Debug for RunPreimages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunPreimages")
            .field("used", &self.used.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl RunPreimages {
    /// Starts with the request's input. `max_bytes` bounds all that the run may use.
    pub fn new(sources: Arc<Sources>, input_hash: B256, input: &[u8], max_bytes: u64, lookup: Lookup) -> Self {
        Self {
            sources,
            lookup,
            used: BTreeMap::from([(input_hash, Arc::from(input))]),
            hints: vec![],
            followed: HashSet::new(),
            fetches: 0,
            bytes: input.len() as u64,
            max_bytes,
            exceeded: false,
        }
    }

    /// Whether the run wanted more bytes than it may use.
    pub fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// Bytes the run may use.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// What was used, the input included.
    pub fn into_used(self) -> Vec<(B256, Bytes)> {
        self.used
            .into_iter()
            .map(|(hash, bytes)| (hash, Bytes::copy_from_slice(&bytes)))
            .collect()
    }

    fn find(&mut self, hash: B256) -> Option<Bytes> {
        if let Some(bytes) = self.sources.local(hash) {
            return Some(bytes);
        }
        let Lookup::Network { runtime, until } = &self.lookup else {
            return None;
        };
        if self.fetches >= MAX_FETCHES {
            return None;
        }
        self.fetches += 1;
        self.followed.extend(self.hints.iter().copied());
        let search = self.sources.remote(hash, &mut self.hints);
        match until {
            None => runtime.block_on(search),
            Some(until) => {
                let until = tokio::time::Instant::from_std(*until);
                runtime.block_on(async { tokio::time::timeout_at(until, search).await.ok().flatten() })
            }
        }
    }
}

impl Preimages for RunPreimages {
    fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        let hash = B256::from(*hash);
        if let Some(bytes) = self.used.get(&hash) {
            return Some(bytes.clone());
        }
        let found = self.find(hash)?;
        let total = self.bytes.saturating_add(found.len() as u64);
        if total > self.max_bytes {
            self.exceeded = true;
            return None;
        }
        self.bytes = total;
        let found: Arc<[u8]> = Arc::from(found.as_ref());
        self.used.insert(hash, found.clone());
        Some(found)
    }

    fn hint(&mut self, hint: &str) {
        if let Some(hint) = Hint::parse(hint.as_bytes())
            && !self.followed.contains(&hint)
            && !self.hints.contains(&hint)
        {
            if self.hints.len() >= MAX_HINTS {
                self.hints.remove(0);
            }
            self.hints.push(hint);
        }
    }
}
