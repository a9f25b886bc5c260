//! A directory of preimages, indexed by hash once, at start. `*.bin`: one preimage a file. `*.pack`: any number,
//! each a big-endian u32 length and that many bytes. Contents stay on disk and are read when asked for.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use alloy::primitives::{B256, Bytes, keccak256};

use super::MAX_PREIMAGE;

/// Why a directory was refused.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A preimage is too long.
    #[error("{path}: the preimage at byte {offset} has {found} bytes, at most {MAX_PREIMAGE} expected")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Its length.
        found: u64,
    },
    /// A pack ends in the middle of a preimage.
    #[error("{path}: ends in the middle of the preimage at byte {offset}")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// There are more preimages than allowed.
    #[error("{path}: more than {max} preimages; raise preimages.max_indexed")]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// The bound.
        max: u64,
    },
}

#[derive(Clone, Copy)]
struct Place {
    file: u32,
    offset: u64,
    length: u32,
}

/// An indexed directory.
pub struct Directory {
    path: PathBuf,
    files: Vec<PathBuf>,
    index: HashMap<B256, Place>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} preimages)", self.path.display(), self.index.len())
    }
}

impl Directory {
    /// Reads every `*.bin` and `*.pack` in `path` (not below it) and keeps where each preimage is.
    pub fn index(path: &Path, max: u64) -> Result<Self, DirectoryError> {
        let read = |p: &Path| {
            let p = p.to_owned();
            move |source| DirectoryError::Read { path: p, source }
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(read(path))? {
            let file = entry.map_err(read(path))?.path();
            if matches!(file.extension().and_then(|e| e.to_str()), Some("bin" | "pack")) {
                names.push(file);
            }
        }
        names.sort();
        let mut this = Self {
            path: path.to_owned(),
            files: vec![],
            index: HashMap::new(),
        };
        for name in names {
            let file = u32::try_from(this.files.len()).unwrap_or(u32::MAX);
            if name.extension().is_some_and(|e| e == "pack") {
                this.index_pack(&name, file, max)?;
            } else {
                let length = std::fs::metadata(&name).map_err(read(&name))?.len();
                if length > MAX_PREIMAGE as u64 {
                    return Err(DirectoryError::TooLong {
                        path: name,
                        offset: 0,
                        found: length,
                    });
                }
                let bytes = std::fs::read(&name).map_err(read(&name))?;
                this.add(
                    &bytes,
                    Place {
                        file,
                        offset: 0,
                        length: bytes.len() as u32,
                    },
                    max,
                )?;
            }
            this.files.push(name);
        }
        Ok(this)
    }

    fn index_pack(&mut self, name: &Path, file: u32, max: u64) -> Result<(), DirectoryError> {
        let read = |source| DirectoryError::Read {
            path: name.to_owned(),
            source,
        };
        let mut input = BufReader::new(File::open(name).map_err(read)?);
        let mut offset = 0u64;
        let mut buffer = vec![0; MAX_PREIMAGE];
        loop {
            let mut head = [0; 4];
            match fill(&mut input, &mut head).map_err(read)? {
                0 => return Ok(()),
                4 => {}
                _ => {
                    return Err(DirectoryError::Truncated {
                        path: name.to_owned(),
                        offset,
                    });
                }
            }
            let length = u32::from_be_bytes(head);
            let Some(body) = buffer.get_mut(..length as usize) else {
                return Err(DirectoryError::TooLong {
                    path: name.to_owned(),
                    offset,
                    found: length.into(),
                });
            };
            if fill(&mut input, body).map_err(read)? != length as usize {
                return Err(DirectoryError::Truncated {
                    path: name.to_owned(),
                    offset,
                });
            }
            let start = offset.saturating_add(4);
            let place = Place {
                file,
                offset: start,
                length,
            };
            let hash = keccak256(&*body);
            self.place(hash, place, max)?;
            offset = start.saturating_add(length.into());
        }
    }

    fn add(&mut self, bytes: &[u8], place: Place, max: u64) -> Result<(), DirectoryError> {
        self.place(keccak256(bytes), place, max)
    }

    fn place(&mut self, hash: B256, place: Place, max: u64) -> Result<(), DirectoryError> {
        if self.index.len() as u64 >= max && !self.index.contains_key(&hash) {
            return Err(DirectoryError::TooMany {
                path: self.path.clone(),
                max,
            });
        }
        self.index.insert(hash, place);
        Ok(())
    }

    /// Preimages indexed.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The preimage of `hash`, read now. The caller checks the hash again.
    pub fn get(&self, hash: B256) -> Option<Bytes> {
        let place = self.index.get(&hash)?;
        let name = self.files.get(place.file as usize)?;
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(name)?;
            file.seek(SeekFrom::Start(place.offset))?;
            let mut bytes = vec![0; place.length as usize];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Some(bytes.into()),
            Err(error) => {
                tracing::warn!(%error, file = %name.display(), "an indexed preimage cannot be read any more");
                None
            }
        }
    }
}

/// Reads until `buffer` is full or the file ends; returns how much.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|r| !r.is_empty()) {
        match input.read(rest)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_preimages_in_files_and_packs() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join("one.bin"), b"one").expect("write");
        std::fs::write(dir.path().join("ignored.txt"), b"x").expect("write");
        let pack = [
            &3u32.to_be_bytes()[..],
            b"two",
            &0u32.to_be_bytes(),
            &5u32.to_be_bytes(),
            b"three",
        ]
        .concat();
        std::fs::write(dir.path().join("more.pack"), &pack).expect("write");
        let d = Directory::index(dir.path(), 100).expect("indexes");
        assert_eq!(d.len(), 4);
        for text in ["one", "two", "", "three"] {
            assert_eq!(
                d.get(keccak256(text)),
                Some(Bytes::from_static(text.as_bytes())),
                "{text:?}"
            );
        }
        assert_eq!(d.get(keccak256("x")), None);
        assert!(matches!(
            Directory::index(dir.path(), 3),
            Err(DirectoryError::TooMany { .. })
        ));

        for cut in [1, 5, pack.len() - 1] {
            std::fs::write(dir.path().join("more.pack"), &pack[..cut]).expect("write");
            assert!(
                matches!(Directory::index(dir.path(), 9), Err(DirectoryError::Truncated { .. })),
                "{cut}"
            );
        }
        std::fs::write(dir.path().join("more.pack"), u32::MAX.to_be_bytes()).expect("write");
        assert!(matches!(
            Directory::index(dir.path(), 9),
            Err(DirectoryError::TooLong { .. })
        ));
        assert!(matches!(
            Directory::index(&dir.path().join("absent"), 9),
            Err(DirectoryError::Read { .. })
        ));
    }
}
