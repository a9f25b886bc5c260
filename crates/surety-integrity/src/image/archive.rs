//! What an engine is given: one archive that is Docker's own and OCI's layout at once, as `docker save` makes it, with
//! the very bytes that were checked, and without any name: a load cannot change what a name on the host stands for.

use std::{collections::BTreeSet, io};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::Header;

use super::{Digest, Error, Image};

/// A blob by digest and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// of its bytes
    pub digest: Digest,
    /// bytes
    pub size: u64,
}

/// What an image's archive is made of. Its content is what [`Contents::order`] says, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// the platform's manifest
    pub manifest: Blob,
    /// its media type
    pub media_type: String,
    /// the configuration
    pub config: Blob,
    /// the layers as they travel, base first
    pub layers: Vec<Blob>,
}

impl Image {
    /// What its archive is made of.
    pub fn contents(&self) -> Contents {
        Contents {
            manifest: Blob {
                digest: self.digest,
                size: self.manifest.len() as u64,
            },
            media_type: self.media_type.clone(),
            config: Blob {
                digest: self.config_digest,
                size: self.config.len() as u64,
            },
            layers: self
                .layers
                .iter()
                .map(|layer| Blob {
                    digest: layer.digest,
                    size: layer.size,
                })
                .collect(),
        }
    }
}

impl Contents {
    /// Its blobs in the order in which they are in the archive, each once.
    pub fn order(&self) -> Vec<Blob> {
        let mut seen = BTreeSet::new();
        [self.manifest, self.config]
            .iter()
            .chain(&self.layers)
            .filter(|blob| seen.insert(blob.digest))
            .copied()
            .collect()
    }

    /// Bytes of its blobs.
    pub fn size(&self) -> u64 {
        self.order().iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// The archive before its blobs.
    ///
    /// # Errors
    /// If a name is too long for an archive, which none is.
    pub fn head(&self) -> io::Result<Vec<u8>> {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": self.media_type, "digest": self.manifest.digest, "size": self.manifest.size,
            }],
        });
        let layers: Vec<String> = self.layers.iter().map(|layer| name(layer.digest)).collect();
        let docker = json!([{ "Config": name(self.config.digest), "RepoTags": null, "Layers": layers }]);
        let mut archive = Vec::new();
        for (name, content) in [
            ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
            ("index.json", index),
            ("manifest.json", docker),
        ] {
            let content = content.to_string().into_bytes();
            archive.extend_from_slice(&entry(name, content.len() as u64)?);
            archive.extend_from_slice(&content);
            archive.resize(archive.len().next_multiple_of(512), 0);
        }
        Ok(archive)
    }

    /// What ends the archive.
    pub fn end() -> Vec<u8> {
        vec![0; 1024]
    }
}

impl Blob {
    /// What is before its bytes in the archive.
    ///
    /// # Errors
    /// As [`Contents::head`].
    pub fn head(&self) -> io::Result<Vec<u8>> {
        entry(&name(self.digest), self.size)
    }

    /// What is after its bytes.
    pub fn padding(&self) -> Vec<u8> {
        let padding = self.size.next_multiple_of(512).saturating_sub(self.size);
        vec![0; usize::try_from(padding).unwrap_or_default()]
    }
}

/// Checks a blob that passes by in pieces: the last piece goes on only when all is right.
#[derive(Debug)]
pub struct Check {
    blob: Blob,
    hash: Sha256,
    left: u64,
}

impl Check {
    /// Of this blob.
    pub fn new(blob: Blob) -> Self {
        Self {
            blob,
            hash: Sha256::new(),
            left: blob.size,
        }
    }

    /// Bytes that are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Takes the next piece, of at most [`Self::left`] bytes.
    ///
    /// # Errors
    /// [`Error::Size`] if it is longer, [`Error::Digest`] if it is the last and the blob is another.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), Error> {
        let size = piece.len() as u64;
        let what = || "blob on its way to the engine".to_owned();
        self.left = self.left.checked_sub(size).ok_or_else(|| Error::Size {
            what: what(),
            expected: self.blob.size,
            found: self.blob.size.saturating_sub(self.left).saturating_add(size),
        })?;
        self.hash.update(piece);
        if self.left == 0 {
            let found = Digest(self.hash.clone().finalize().into());
            if found != self.blob.digest {
                return Err(Error::Digest {
                    what: what(),
                    expected: self.blob.digest,
                    found,
                });
            }
        }
        Ok(())
    }
}

fn name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn entry(name: &str, size: u64) -> io::Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_path(name)?;
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}
