//! What an engine is given: one archive that is Docker's own and OCI's layout at once, as `docker save` makes it, with
//! the very bytes that were checked, and without any name.

use std::{io, path::PathBuf};

use serde_json::json;
use tar::Header;
use tokio::io::AsyncReadExt;

use super::{Digest, Error, Image, Layer};

/// A piece of the archive.
enum Piece {
    Bytes(Vec<u8>),
    /// A layer's blob, which is hashed again as it goes out: the file could have been changed since it was checked.
    Blob(PathBuf, Digest, u64),
}

/// An archive that is made while it is read.
pub struct Archive {
    pieces: Vec<Piece>,
    size: u64,
}

impl Image {
    /// The archive.
    ///
    /// # Errors
    /// [`Error::Cache`] if memory cannot be written to, which does not happen.
    pub fn archive(&self) -> Result<Archive, Error> {
        let blob = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
        let mut pieces = Vec::new();
        let mut written = std::collections::BTreeSet::new();
        let mut file = |name: &str, content: &[u8]| -> Result<(), Error> {
            let mut bytes = head(name, content.len() as u64)?;
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            pieces.push(Piece::Bytes(bytes));
            Ok(())
        };
        file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": self.media_type, "digest": self.digest, "size": self.manifest.len(),
            }],
        });
        file("index.json", index.to_string().as_bytes())?;
        let layers: Vec<String> = self.layers.iter().map(|layer| blob(layer.digest)).collect();
        let docker = json!([{ "Config": blob(self.config_digest), "RepoTags": null, "Layers": layers }]);
        file("manifest.json", docker.to_string().as_bytes())?;
        file(&blob(self.digest), &self.manifest)?;
        file(&blob(self.config_digest), &self.config)?;
        for Layer { digest, size, path, .. } in &self.layers {
            if written.insert(*digest) {
                pieces.push(Piece::Bytes(head(&blob(*digest), *size)?));
                pieces.push(Piece::Blob(path.clone(), *digest, *size));
                let padding = size.next_multiple_of(512).saturating_sub(*size);
                pieces.push(Piece::Bytes(vec![0; usize::try_from(padding).unwrap_or_default()]));
            }
        }
        pieces.push(Piece::Bytes(vec![0; 1024]));
        let size = pieces.iter().fold(0_u64, |sum, piece| {
            sum.saturating_add(match piece {
                Piece::Bytes(bytes) => bytes.len() as u64,
                Piece::Blob(.., size) => *size,
            })
        });
        Ok(Archive { pieces, size })
    }
}

impl Archive {
    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Gives it piece by piece to `send`, which waits while its receiver is busy.
    ///
    /// # Errors
    /// Of `send`; [`Error::Digest`] if a blob is not what it was, [`Error::Cache`] if it cannot be read. What was given
    /// then ends in the middle, and no engine takes it.
    pub async fn send<F, E>(self, mut send: impl FnMut(Vec<u8>) -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
        E: From<Error>,
    {
        for piece in self.pieces {
            match piece {
                Piece::Bytes(bytes) if bytes.is_empty() => {}
                Piece::Bytes(bytes) => send(bytes).await?,
                Piece::Blob(path, digest, size) => {
                    use sha2::Digest as _;
                    let mut file = tokio::fs::File::open(&path).await.map_err(Error::from)?.take(size);
                    let mut hash = sha2::Sha256::new();
                    let mut held = Vec::new();
                    loop {
                        let mut next = vec![0; 128 << 10];
                        let count = file.read(&mut next).await.map_err(Error::from)?;
                        next.truncate(count);
                        hash.update(&next);
                        // The last piece is held back until the hash is known.
                        let last = std::mem::replace(&mut held, next);
                        if held.is_empty() {
                            let found = Digest(hash.finalize().into());
                            if found != digest {
                                return Err(Error::Digest {
                                    what: "blob in the cache".into(),
                                    expected: digest,
                                    found,
                                }
                                .into());
                            }
                            if !last.is_empty() {
                                send(last).await?;
                            }
                            break;
                        }
                        if !last.is_empty() {
                            send(last).await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn head(name: &str, size: u64) -> io::Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_path(name)?;
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}
