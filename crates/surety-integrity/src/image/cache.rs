//! A folder of blobs by digest, and of file systems by manifest.
//!
//! What is in it is not believed: a blob is hashed when it is put there, and again when it is first found there by this
//! process. Files appear whole or not at all.

use std::{
    collections::{BTreeSet, HashSet},
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use futures::{StreamExt, pin_mut};
use sha2::{Digest as _, Sha256};
use tokio::{fs, io::AsyncWriteExt, task::spawn_blocking};

use super::{
    Digest, Error, FileTree,
    registry::{self, Registry},
};

/// Most bytes of a file system's listing.
const MAX_TREE: u64 = 512 << 20;

/// A cache. Clones share it.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: Arc<Path>,
    limit: u64,
    /// blobs that this process has hashed
    known: Arc<Mutex<HashSet<Digest>>>,
}

impl Cache {
    /// In a folder, which is made if it is not there; at most `limit` bytes, besides those of the image being pulled.
    ///
    /// # Errors
    /// [`Error::Cache`] if the folder cannot be made.
    pub fn open(folder: &Path, limit: u64) -> Result<Self, Error> {
        for name in ["blobs", "trees"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        Ok(Self {
            folder: folder.into(),
            limit,
            known: Arc::default(),
        })
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.hex())
    }

    fn remember(&self, digest: Digest) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    fn knows(&self, digest: Digest) -> bool {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&digest)
    }

    /// A small blob that is here, hashed; what is here with other bytes is removed.
    pub(super) async fn find(&self, digest: Digest, limit: u64) -> Result<Option<Arc<[u8]>>, Error> {
        match fs::metadata(self.path(digest)).await {
            Ok(found) if found.len() <= limit => {}
            _ => return Ok(None),
        }
        let path = self.path(digest);
        match self.read(&path, digest, limit).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Digest { .. }) => {
                fs::remove_file(&path).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A small blob's bytes, hashed.
    pub(super) async fn read(&self, path: &Path, digest: Digest, limit: u64) -> Result<Arc<[u8]>, Error> {
        let bytes = fs::read(path).await?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge {
                what: digest.to_string(),
                limit,
            });
        }
        digest.expect("blob in the cache", &bytes)?;
        touch(path);
        Ok(bytes.into())
    }

    /// Keeps a small blob whose hash was checked.
    pub(super) async fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        self.write(&self.path(digest), bytes).await
    }

    async fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let part = part(path);
        fs::write(&part, bytes).await?;
        fs::rename(&part, path).await?;
        Ok(())
    }

    /// Where a blob is: found here and hashed, or fetched and hashed.
    pub(super) async fn blob(&self, registry: &Registry, digest: Digest, size: u64) -> Result<PathBuf, Error> {
        let path = self.path(digest);
        if let Ok(found) = fs::metadata(&path).await {
            let right = found.len() == size
                && (self.knows(digest) || {
                    let path = path.clone();
                    spawn_blocking(move || hash(&path))
                        .await
                        .map_err(std::io::Error::other)??
                        == digest
                });
            if right {
                self.remember(digest);
                touch(&path);
                return Ok(path);
            }
            fs::remove_file(&path).await?;
        }
        let mut attempt = 0;
        loop {
            match self.fetch(registry, digest, size, &path).await {
                Ok(()) => break,
                Err(error) if error.retryable() && registry::again(attempt) => registry::pause(&mut attempt).await,
                Err(error) => return Err(error),
            }
        }
        self.remember(digest);
        Ok(path)
    }

    async fn fetch(&self, registry: &Registry, digest: Digest, size: u64, path: &Path) -> Result<(), Error> {
        let part = part(path);
        let result = async {
            let pieces = registry.blob(digest, size).await?;
            pin_mut!(pieces);
            let mut file = fs::File::create(&part).await?;
            let mut hash = Sha256::new();
            let mut found = 0_u64;
            while let Some(piece) = pieces.next().await {
                let piece = piece?;
                found = found.saturating_add(piece.len() as u64);
                if found > size {
                    return Err(Error::Size {
                        what: digest.to_string(),
                        expected: size,
                        found,
                    });
                }
                hash.update(&piece);
                file.write_all(&piece).await?;
            }
            if found != size {
                return Err(Error::Size {
                    what: digest.to_string(),
                    expected: size,
                    found,
                });
            }
            let found = Digest(hash.finalize().into());
            if found != digest {
                return Err(Error::Digest {
                    what: "blob".into(),
                    expected: digest,
                    found,
                });
            }
            file.flush().await?;
            fs::rename(&part, path).await?;
            Ok(())
        }
        .await;
        if result.is_err() {
            drop(fs::remove_file(&part).await);
        }
        result
    }

    /// The file system of a manifest, if it was kept whole.
    pub(super) async fn tree(&self, manifest: Digest) -> Result<Option<FileTree>, Error> {
        let path = self.folder.join("trees").join(manifest.hex());
        let read = move || -> std::io::Result<Option<FileTree>> {
            match std::fs::metadata(&path) {
                Ok(found) if found.len() <= MAX_TREE => {}
                _ => return Ok(None),
            }
            let bytes = std::fs::read(&path)?;
            touch(&path);
            let Some((sum, body)) = bytes.split_at_checked(32) else {
                return Ok(None);
            };
            // Another version's listing, or a damaged one, is made again.
            Ok((Digest::of(body).0 == sum)
                .then(|| serde_json::from_slice(body).ok())
                .flatten())
        };
        Ok(spawn_blocking(read).await.map_err(std::io::Error::other)??)
    }

    /// Keeps the file system of a manifest.
    pub(super) async fn put_tree(&self, manifest: Digest, tree: &FileTree) -> Result<(), Error> {
        let body = serde_json::to_vec(tree).map_err(std::io::Error::other)?;
        let path = self.folder.join("trees").join(manifest.hex());
        self.write(&path, &[Digest::of(&body).0.as_slice(), &body].concat())
            .await
    }

    /// Removes what was used longest ago until the rest fits, except `keep`.
    pub(super) async fn trim(&self, keep: impl Iterator<Item = Digest>) -> Result<(), Error> {
        let keep: BTreeSet<PathBuf> = keep.map(|digest| self.path(digest)).collect();
        let (folder, limit) = (self.folder.clone(), self.limit);
        let trim = move || -> std::io::Result<()> {
            let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
            for name in ["blobs", "trees"] {
                for entry in std::fs::read_dir(folder.join(name))? {
                    let entry = entry?;
                    let found = entry.metadata()?;
                    files.push((found.modified()?, found.len(), entry.path()));
                }
            }
            files.sort();
            let mut total = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.1));
            for (_, size, path) in files {
                if total <= limit {
                    break;
                }
                if !keep.contains(&path) {
                    std::fs::remove_file(&path)?;
                    total = total.saturating_sub(size);
                }
            }
            Ok(())
        };
        Ok(spawn_blocking(trim).await.map_err(std::io::Error::other)??)
    }
}

/// A name beside `path` that no other writer has.
fn part(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{number}.part", std::process::id()))
}

/// Marks as used. Failing to only makes it go earlier.
fn touch(path: &Path) {
    drop(std::fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now())));
}

fn hash(path: &Path) -> std::io::Result<Digest> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut piece)?;
        let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else {
            break;
        };
        hash.update(read);
    }
    Ok(Digest(hash.finalize().into()))
}
