//! Transactions on disk before they are anywhere else: a task has one nonce for ever, so that of all the versions that
//! were ever sent for it at most one gets into the chain.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, B256, Bytes, hex};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A task's transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) chain: u64,
    pub(super) account: Address,
    pub(super) nonce: u64,
    pub(super) contract: Address,
    pub(super) input: Bytes,
    /// signed versions, each with higher fees than the one before
    pub(super) versions: Vec<Version>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) hash: B256,
    pub(super) raw: Bytes,
    pub(super) max_fee: u128,
    pub(super) priority_fee: u128,
    pub(super) gas: u64,
}

#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    entries: BTreeMap<B256, Entry>,
}

impl Journal {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("the journal {}", folder.display()))?;
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(folder).with_context(|| format!("the journal {}", folder.display()))? {
            let path = file?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            let task: B256 = name
                .parse()
                .with_context(|| format!("{} is not named after a task", path.display()))?;
            let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
            let entry = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
            entries.insert(task, entry);
        }
        Ok(Self {
            folder: folder.to_owned(),
            entries,
        })
    }

    pub(super) fn get(&self, task: &B256) -> Option<&Entry> {
        self.entries.get(task)
    }

    /// The nonce after the highest that was given out.
    pub(super) fn next_nonce(&self, chain: u64, account: Address) -> u64 {
        let mine = self
            .entries
            .values()
            .filter(|entry| entry.chain == chain && entry.account == account);
        mine.map(|entry| entry.nonce.saturating_add(1)).max().unwrap_or(0)
    }

    /// Returns once the entry is on disk for good.
    pub(super) fn put(&mut self, task: B256, entry: Entry) -> Result<()> {
        let path = self.folder.join(format!("{}.json", hex::encode_prefixed(task)));
        let fresh = path.with_extension("new");
        let text = serde_json::to_string(&entry)?;
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        write().with_context(|| format!("{}", path.display()))?;
        self.entries.insert(task, entry);
        Ok(())
    }
}
