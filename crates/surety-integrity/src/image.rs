//! Images by digest: pulled from a registry, every blob hashed by us before it is used.
//!
//! [`Puller::pull`] resolves the plan's digest (an index, or one platform's manifest) to an [`Image`], whose identity is
//! the digest of the platform's manifest. [`Image::tree`] is the file system that its layers make, and
//! [`archive`] is what an engine is given: the bytes that were checked.

pub mod archive;
mod cache;
mod digest;
mod error;
mod manifest;
mod registry;
pub mod signature;
pub mod tree;

use std::{path::PathBuf, sync::Arc};

pub use cache::Cache;
pub use digest::{Digest, NotADigest};
pub use error::Error;
pub use manifest::{Configuration, Health, Packing, RunConfiguration};
pub use registry::{Credentials, Options};
use surety_protocol::manifest::container::{Container, Image as Reference, Platform};
pub use tree::FileTree;

use manifest::Document;
use registry::Registry;

/// Most bytes of a manifest, an index, or a signature's manifest: what registries allow.
const MAX_MANIFEST: u64 = 4 << 20;
/// Most bytes of a configuration.
const MAX_CONFIG: u64 = 4 << 20;
/// Most layers: what overlay file systems can stack.
const MAX_LAYERS: usize = 128;

/// A layer of an image, in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// of the blob, as it travels
    pub digest: Digest,
    /// bytes of the blob
    pub size: u64,
    /// of the archive in it
    pub diff_id: Digest,
    /// how it travels
    pub packing: Packing,
    /// where the blob is; hashed when it was put there, or when it was found there
    pub path: PathBuf,
}

/// An image whose every byte has been checked against the digest that was asked for.
#[derive(Debug, Clone)]
pub struct Image {
    /// where it came from; its digest is the one asked for
    pub reference: Reference,
    /// digest of the platform's manifest: the image's identity
    pub digest: Digest,
    /// media type of the platform's manifest
    pub media_type: String,
    /// the platform's manifest
    pub manifest: Arc<[u8]>,
    /// digest of the configuration
    pub config_digest: Digest,
    /// the configuration as bytes
    pub config: Arc<[u8]>,
    /// the configuration as read
    pub configuration: Configuration,
    /// base first
    pub layers: Vec<Layer>,
    cache: Cache,
}

impl Image {
    /// The file system that the layers make. The first time, unpacks all layers and checks their DiffIDs (seconds for
    /// hundreds of megabytes); later, reads what was kept.
    ///
    /// # Errors
    /// [`Error::Digest`] if an archive is not what the configuration says, [`Error::Tree`] if the layers make no file
    /// system or one beyond [`tree::Limits`], [`Error::Cache`].
    pub async fn tree(&self) -> Result<Arc<FileTree>, Error> {
        if let Some(tree) = self.cache.tree(self.digest).await? {
            return Ok(Arc::new(tree));
        }
        let layers = self.layers.clone();
        let tree = tokio::task::spawn_blocking(move || tree::build(&layers, tree::Limits::default()))
            .await
            .map_err(|error| Error::Tree(error.to_string()))??;
        self.cache.put_tree(self.digest, &tree).await?;
        Ok(Arc::new(tree))
    }
}

/// Pulls images through a cache.
#[derive(Debug, Clone)]
pub struct Puller {
    cache: Cache,
    options: Options,
}

impl Puller {
    /// With this cache, and told how to speak to registries.
    pub fn new(cache: Cache, options: Options) -> Self {
        Self { cache, options }
    }

    /// Pulls the plan's image for the plan's platform. If the plan names a key, the image must be signed by it.
    ///
    /// # Errors
    /// [`Error`]; [`Error::retryable`] says whether the same may succeed later.
    pub async fn pull(&self, plan: &Container) -> Result<Image, Error> {
        self.pull_signed(&plan.image, &plan.platform, plan.signed_by.as_deref())
            .await
    }

    /// Pulls an image; `key` is the PEM of a key that must have signed it, if any.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub async fn pull_signed(
        &self,
        reference: &Reference,
        platform: &Platform,
        key: Option<&str>,
    ) -> Result<Image, Error> {
        let registry = Registry::new(reference, &self.options)?;
        let asked = Digest(reference.digest.0);
        let (digest, bytes, document) = match self.manifest(&registry, asked).await? {
            (bytes, Document::Manifest(manifest)) => (asked, bytes, manifest),
            (_, Document::Index(index)) => {
                let chosen = index.choose(platform)?;
                match self.manifest(&registry, chosen).await? {
                    (bytes, Document::Manifest(manifest)) => (chosen, bytes, manifest),
                    (_, Document::Index(_)) => {
                        return Err(Error::Format(format!(
                            "{chosen}: found an index within an index; expected a manifest"
                        )));
                    }
                }
            }
        };
        if let Some(key) = key {
            // The index is signed, or the platform's manifest.
            signature::check(&registry, &self.cache, reference, &[asked, digest], key).await?;
        }
        if document.layers.len() > MAX_LAYERS {
            return Err(Error::TooLarge {
                what: "layers".into(),
                limit: MAX_LAYERS as u64,
            });
        }
        let total = document
            .layers
            .iter()
            .fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        if total > self.options.max_image {
            return Err(Error::TooLarge {
                what: format!("the layers of {digest}"),
                limit: self.options.max_image,
            });
        }
        if document.config.size > MAX_CONFIG {
            return Err(Error::TooLarge {
                what: format!("the configuration of {digest}"),
                limit: MAX_CONFIG,
            });
        }
        let config = self
            .cache
            .blob(&registry, document.config.digest, document.config.size)
            .await?;
        let config = self.cache.read(&config, document.config.digest, MAX_CONFIG).await?;
        let configuration = Configuration::read(&config)?;
        configuration.expect(platform)?;
        if configuration.diff_ids.len() != document.layers.len() {
            return Err(Error::Format(format!(
                "the configuration lists {} layers; expected the manifest's {}",
                configuration.diff_ids.len(),
                document.layers.len()
            )));
        }
        let mut layers = Vec::with_capacity(document.layers.len());
        for (layer, diff_id) in document.layers.iter().zip(&configuration.diff_ids) {
            let path = self.cache.blob(&registry, layer.digest, layer.size).await?;
            layers.push(Layer {
                digest: layer.digest,
                size: layer.size,
                diff_id: *diff_id,
                packing: Packing::of(&layer.media_type)?,
                path,
            });
        }
        self.cache
            .trim(layers.iter().map(|layer| layer.digest).chain([document.config.digest]))
            .await?;
        Ok(Image {
            reference: reference.clone(),
            digest,
            media_type: document.media_type.clone(),
            manifest: bytes,
            config_digest: document.config.digest,
            config,
            configuration,
            layers,
            cache: self.cache.clone(),
        })
    }

    /// A manifest or index, from the cache or the registry, hashed.
    async fn manifest(&self, registry: &Registry, digest: Digest) -> Result<(Arc<[u8]>, Document), Error> {
        let bytes = match self.cache.find(digest, MAX_MANIFEST).await? {
            Some(bytes) => bytes,
            None => {
                let bytes = registry.manifest(&digest.to_string(), MAX_MANIFEST).await?;
                digest.expect("manifest", &bytes)?;
                self.cache.put(digest, &bytes).await?;
                bytes.into()
            }
        };
        let document = Document::read(&bytes)?;
        Ok((bytes, document))
    }
}
