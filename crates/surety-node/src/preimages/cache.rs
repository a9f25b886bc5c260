//! Two bounded caches of fetched preimages: in memory, and on disk, where one file is one preimage. Both drop the
//! oldest first. What signed runs used is in the store, not only here.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Mutex,
};

use alloy::primitives::{B256, Bytes};

/// Bytes an entry is taken to cost beside its content.
const OVERHEAD: u64 = 128;

/// In memory.
pub(super) struct MemoryCache {
    max: u64,
    state: Mutex<MemoryState>,
}

#[derive(Default)]
struct MemoryState {
    entries: HashMap<B256, Bytes>,
    order: VecDeque<B256>,
    bytes: u64,
}

impl MemoryCache {
    pub(super) fn new(max: u64) -> Self {
        Self {
            max,
            state: Mutex::default(),
        }
    }

    pub(super) fn get(&self, hash: B256) -> Option<Bytes> {
        self.state.lock().ok()?.entries.get(&hash).cloned()
    }

    pub(super) fn put(&self, hash: B256, bytes: Bytes) {
        let Ok(mut state) = self.state.lock() else { return };
        let cost = OVERHEAD.saturating_add(bytes.len() as u64);
        if cost > self.max || state.entries.contains_key(&hash) {
            return;
        }
        state.bytes = state.bytes.saturating_add(cost);
        state.entries.insert(hash, bytes);
        state.order.push_back(hash);
        while state.bytes > self.max {
            let Some(oldest) = state.order.pop_front() else { break };
            if let Some(gone) = state.entries.remove(&oldest) {
                state.bytes = state.bytes.saturating_sub(OVERHEAD.saturating_add(gone.len() as u64));
            }
        }
    }
}

/// On disk.
pub struct DiskCache {
    path: PathBuf,
    max: u64,
    state: Mutex<DiskState>,
}

impl std::fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskCache")
            .field("path", &self.path)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct DiskState {
    entries: HashMap<B256, u64>,
    order: VecDeque<B256>,
    bytes: u64,
}

impl DiskCache {
    /// Opens or makes the cache in `path`, holding at most `max` bytes. Foreign and half-written files are removed.
    pub fn open(path: &Path, max: u64) -> std::io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let hash = entry.file_name().to_str().and_then(|n| n.parse::<B256>().ok());
            let meta = entry.metadata()?;
            match hash {
                Some(hash) if meta.is_file() => found.push((meta.modified().ok(), hash, meta.len())),
                _ if meta.is_file() => std::fs::remove_file(entry.path())?,
                _ => {}
            }
        }
        found.sort();
        let this = Self {
            path: path.to_owned(),
            max,
            state: Mutex::default(),
        };
        if let Ok(mut state) = this.state.lock() {
            for (_, hash, length) in found {
                this.account(&mut state, hash, length);
            }
        }
        Ok(this)
    }

    /// A cached preimage. The caller checks its hash.
    pub fn get(&self, hash: B256) -> Option<Bytes> {
        if !self.state.lock().ok()?.entries.contains_key(&hash) {
            return None;
        }
        std::fs::read(self.file(hash)).ok().map(Bytes::from)
    }

    /// Keeps a preimage. Failing to is no error: it is a cache.
    pub fn put(&self, hash: B256, bytes: &Bytes) {
        let Ok(mut state) = self.state.lock() else { return };
        let cost = OVERHEAD.saturating_add(bytes.len() as u64);
        if cost > self.max || state.entries.contains_key(&hash) {
            return;
        }
        // Written beside and renamed, so that a crash leaves no half preimage under a hash.
        let partial = self.path.join("partial");
        let written = std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, self.file(hash)));
        match written {
            Ok(()) => self.account(&mut state, hash, bytes.len() as u64),
            Err(error) => tracing::warn!(%error, "a preimage could not be cached"),
        }
    }

    fn account(&self, state: &mut DiskState, hash: B256, length: u64) {
        let cost = OVERHEAD.saturating_add(length);
        state.bytes = state.bytes.saturating_add(cost);
        state.entries.insert(hash, cost);
        state.order.push_back(hash);
        while state.bytes > self.max {
            let Some(oldest) = state.order.pop_front() else { break };
            if let Some(cost) = state.entries.remove(&oldest) {
                state.bytes = state.bytes.saturating_sub(cost);
                if let Err(error) = std::fs::remove_file(self.file(oldest)) {
                    tracing::warn!(%error, "a cached preimage could not be removed");
                }
            }
        }
    }

    fn file(&self, hash: B256) -> PathBuf {
        self.path.join(format!("{hash}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::keccak256;

    #[test]
    fn caches_stay_within_their_bounds_and_survive_restarts() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let memory = MemoryCache::new(10_000);
        let open = || DiskCache::open(dir.path(), 10_000).expect("opens");
        let disk = open();
        for i in 0..100u8 {
            let bytes = Bytes::from(vec![i; 1_000]);
            memory.put(keccak256(&bytes), bytes.clone());
            disk.put(keccak256(&bytes), &bytes);
        }
        let hash = |i: u8| keccak256(vec![i; 1_000]);
        for get in [&|h| memory.get(h) as Option<Bytes>, &|h| disk.get(h)] as [&dyn Fn(B256) -> Option<Bytes>; 2] {
            assert!(get(hash(99)).is_some() && get(hash(0)).is_none());
        }
        let files = || std::fs::read_dir(dir.path()).expect("reads").count();
        assert_eq!(files(), 8);
        std::fs::write(dir.path().join("partial"), b"half").expect("write");
        let again = open();
        assert_eq!(files(), 8, "a half-written file is removed");
        assert_eq!(again.get(hash(99)).expect("kept"), Bytes::from(vec![99; 1_000]));
    }
}
