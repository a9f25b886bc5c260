//! Where preimages come from. Sources are plug-ins asked in order, and never believed: whatever one returns is kept
//! under the hash it really has.
//!
//! Order: what the run already used, the store (preimages of signed runs, for ever), the memory and disk caches,
//! directories; then, over the network, what the program's hints name (Ethereum), and peers by hash. A hint is only
//! followed when a hash is missing, so a program that hints generously costs nothing where the data is at hand.

mod cache;
mod directory;
mod ethereum;
mod hint;
mod peer;
mod run;

pub use cache::DiskCache;
pub use directory::{Directory, DirectoryError};
pub use ethereum::Ethereum;
pub use hint::{Hint, MAX_HINT};
pub use peer::Peer;
pub use run::{Lookup, RunPreimages};

use std::{path::Path, sync::Arc, time::Duration};

use alloy::primitives::{B256, Bytes, keccak256};
use async_trait::async_trait;

use crate::{config::PreimageConfig, json_rpc::CallError, store::Store};

/// Longest preimage, bytes: what one transaction can show on-chain (docs/spec/machine.md, section 6).
pub const MAX_PREIMAGE: usize = 98_304;

/// Preimages one hint may bring, at most.
const MAX_PER_HINT: usize = 100_000;

/// A source over the network.
#[async_trait]
pub trait RemoteSource: Send + Sync {
    /// For logs.
    fn name(&self) -> &str;

    /// The preimage of a hash, for sources that know preimages by hash.
    async fn by_hash(&self, hash: B256) -> Result<Option<Bytes>, CallError>;

    /// What a hint names, for sources that understand it. Nothing need be checked: the caller hashes all of it.
    async fn by_hint(&self, hint: &Hint) -> Result<Vec<Bytes>, CallError>;
}

/// All sources of a node.
pub struct Sources {
    store: Arc<Store>,
    memory: cache::MemoryCache,
    disk: Option<DiskCache>,
    directories: Vec<Directory>,
    remote: Vec<Box<dyn RemoteSource>>,
    timeout: Duration,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let remote: Vec<_> = self.remote.iter().map(|r| r.name()).collect();
        f.debug_struct("Sources")
            .field("directories", &self.directories)
            .field("remote", &remote)
            .finish_non_exhaustive()
    }
}

/// Why the sources could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// A directory could not be indexed.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// An endpoint's client could not be made.
    #[error(transparent)]
    Endpoint(#[from] CallError),
    /// The cache directory could not be made.
    #[error("cannot use the preimage cache {path}: {source}")]
    Cache {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Sources {
    /// Sets up what `config` names. Indexes the directories, which reads every file in them.
    pub fn open(config: &PreimageConfig, data_dir: &Path, store: Arc<Store>) -> Result<Self, SourcesError> {
        let disk = if config.cache_bytes > 0 {
            let path = data_dir.join("preimages");
            let cache =
                DiskCache::open(&path, config.cache_bytes).map_err(|source| SourcesError::Cache { path, source })?;
            Some(cache)
        } else {
            None
        };
        let mut left = config.max_indexed;
        let mut directories = Vec::new();
        for path in &config.directories {
            let directory = Directory::index(path, left)?;
            left = left.saturating_sub(directory.len() as u64);
            directories.push(directory);
        }
        let mut remote: Vec<Box<dyn RemoteSource>> = Vec::new();
        for url in &config.ethereum {
            remote.push(Box::new(Ethereum::new(url, config.timeout(), config.max_answer_bytes)?));
        }
        for url in &config.peers {
            remote.push(Box::new(Peer::new(url, config.timeout())?));
        }
        Ok(Self {
            store,
            memory: cache::MemoryCache::new(64 << 20),
            disk,
            directories,
            remote,
            timeout: config.timeout(),
        })
    }

    /// A preimage that is on this machine.
    pub fn local(&self, hash: B256) -> Option<Bytes> {
        if let Some(bytes) = self.memory.get(hash) {
            return Some(bytes);
        }
        let stored = self.store.preimage(hash).unwrap_or_else(|error| {
            tracing::error!(%error, "the store could not be read for a preimage");
            None
        });
        let found = stored
            .or_else(|| self.disk.as_ref().and_then(|d| d.get(hash)))
            .or_else(|| self.directories.iter().find_map(|d| d.get(hash)))?;
        // Files can be changed under our feet, and disks rot.
        if keccak256(&found) != hash {
            tracing::warn!(%hash, "a stored preimage does not have its hash any more");
            return None;
        }
        self.memory.put(hash, found.clone());
        Some(found)
    }

    /// Looks for `hash` over the network: what the hints name, newest first, then by hash. Hints that were followed
    /// are taken out of the list.
    pub async fn remote(&self, hash: B256, hints: &mut Vec<Hint>) -> Option<Bytes> {
        while let Some(hint) = hints.pop() {
            for source in &self.remote {
                match tokio::time::timeout(self.timeout, source.by_hint(&hint)).await {
                    Ok(Ok(found)) => {
                        tracing::debug!(source = source.name(), ?hint, count = found.len(), "followed a hint");
                        for bytes in found.into_iter().take(MAX_PER_HINT) {
                            self.keep(bytes);
                        }
                    }
                    Ok(Err(error)) => tracing::warn!(%error, ?hint, "a hint could not be followed"),
                    Err(_) => tracing::warn!(source = source.name(), ?hint, "a hint took too long"),
                }
                if let Some(bytes) = self.local(hash) {
                    return Some(bytes);
                }
            }
        }
        for source in &self.remote {
            match tokio::time::timeout(self.timeout, source.by_hash(hash)).await {
                Ok(Ok(Some(bytes))) if bytes.len() <= MAX_PREIMAGE && keccak256(&bytes) == hash => {
                    self.keep(bytes.clone());
                    return Some(bytes);
                }
                Ok(Ok(Some(_))) => tracing::warn!(source = source.name(), %hash, "a source returned a wrong preimage"),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a source did not answer"),
                Err(_) => tracing::warn!(source = source.name(), %hash, "a source took too long"),
            }
        }
        None
    }

    fn keep(&self, bytes: Bytes) {
        if bytes.len() > MAX_PREIMAGE {
            return;
        }
        let hash = keccak256(&bytes);
        if let Some(disk) = &self.disk {
            disk.put(hash, &bytes);
        }
        self.memory.put(hash, bytes);
    }
}
