//! Indexes, manifests and configurations, of OCI and of Docker (schema 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use surety_protocol::manifest::container::Platform;

use super::{Digest, Error};

const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Every media type that [`Document::read`] understands, for the `Accept` header.
pub(super) fn accepted() -> String {
    [MANIFESTS, INDEXES].concat().join(", ")
}

/// What names a blob.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) size: u64,
    pub(super) digest: Digest,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    platform: Option<DescriptorPlatform>,
}

#[derive(Debug, Clone, Deserialize)]
struct DescriptorPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

/// A manifest of one platform.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// The manifests of several platforms.
#[derive(Debug, Clone)]
pub(super) struct Index(Vec<Descriptor>);

/// What a digest may stand for.
#[derive(Debug, Clone)]
pub(super) enum Document {
    Manifest(Manifest),
    Index(Index),
}

impl Document {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Any {
            schema_version: u32,
            media_type: Option<String>,
            config: Option<Descriptor>,
            layers: Option<Vec<Descriptor>>,
            manifests: Option<Vec<Descriptor>>,
        }
        let any: Any = serde_json::from_slice(bytes).map_err(|error| Error::Format(format!("manifest: {error}")))?;
        if any.schema_version != 2 {
            return Err(Error::Format(format!(
                "manifest: found schema version {}; expected 2",
                any.schema_version
            )));
        }
        // OCI allows that the media type is left out; a document that could be read as both is refused
        // (CVE-2021-41190).
        match (any.config, any.layers, any.manifests) {
            (Some(config), Some(layers), None) => {
                let media_type = any.media_type.unwrap_or_else(|| MANIFESTS[0].into());
                known(
                    &media_type,
                    &MANIFESTS,
                    "an OCI image manifest, or Docker's of schema 2",
                )?;
                Ok(Self::Manifest(Manifest {
                    media_type,
                    config,
                    layers,
                }))
            }
            (None, None, Some(manifests)) => {
                let media_type = any.media_type.unwrap_or_else(|| INDEXES[0].into());
                known(&media_type, &INDEXES, "an OCI image index, or Docker's manifest list")?;
                Ok(Self::Index(Index(manifests)))
            }
            _ => Err(Error::Format(
                "manifest: expected either config and layers, or manifests".into(),
            )),
        }
    }
}

fn known(found: &str, all: &[&str], expected: &'static str) -> Result<(), Error> {
    if all.contains(&found) {
        Ok(())
    } else {
        Err(Error::MediaType {
            found: found.into(),
            expected,
        })
    }
}

impl Index {
    /// The one manifest for a platform: the same operating system and architecture, and the same variant if the plan
    /// names one. Several that fit are refused, since monitors must not choose differently.
    pub(super) fn choose(&self, platform: &Platform) -> Result<Digest, Error> {
        let fitting: Vec<Digest> = self
            .0
            .iter()
            .filter(|entry| entry.platform.as_ref().is_some_and(|found| found.is(platform)))
            .map(|entry| entry.digest)
            .collect();
        match fitting.as_slice() {
            [one] => Ok(*one),
            [] => Err(Error::Platform {
                expected: name(platform),
                found: format!(
                    "an index for {}",
                    self.0
                        .iter()
                        .filter_map(|entry| entry.platform.as_ref())
                        .take(16)
                        .map(|found| format!("{}/{}", found.os, found.architecture))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            }),
            several => Err(Error::Platform {
                expected: name(platform),
                found: format!("{} manifests for it in the index", several.len()),
            }),
        }
    }
}

impl DescriptorPlatform {
    fn is(&self, wanted: &Platform) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

fn name(platform: &Platform) -> String {
    let Platform {
        os,
        architecture,
        variant,
    } = platform;
    format!(
        "{os}/{architecture}{}",
        variant
            .as_ref()
            .map(|variant| format!("/{variant}"))
            .unwrap_or_default()
    )
}

/// How a layer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// as it is
    Plain,
    /// gzip
    Gzip,
}

impl Packing {
    pub(super) fn of(media_type: &str) -> Result<Self, Error> {
        match media_type {
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
                Ok(Self::Plain)
            }
            "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
                Ok(Self::Gzip)
            }
            other => Err(Error::MediaType {
                found: other.into(),
                expected: "a layer as tar, plain or with gzip",
            }),
        }
    }
}

/// An image's configuration: what a plan leaves to the image, and what its layers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// operating system
    pub os: String,
    /// architecture
    pub architecture: String,
    /// variant of the architecture
    pub variant: Option<String>,
    /// DiffIDs of the layers, base first
    pub diff_ids: Vec<Digest>,
    /// how it is run
    pub run: RunConfiguration,
}

/// How an image is run. Empty where the image says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfiguration {
    /// program and first arguments
    #[serde(deserialize_with = "nullable")]
    pub entrypoint: Vec<String>,
    /// further arguments
    #[serde(deserialize_with = "nullable")]
    pub cmd: Vec<String>,
    /// `NAME=value`, in the image's order
    #[serde(deserialize_with = "nullable")]
    pub env: Vec<String>,
    /// user, and after a colon group
    #[serde(deserialize_with = "nullable")]
    pub user: String,
    /// working directory
    #[serde(deserialize_with = "nullable")]
    pub working_dir: String,
    /// exposed ports: `8080/tcp`
    #[serde(deserialize_with = "nullable")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// directories that the engine makes anonymous volumes of
    #[serde(deserialize_with = "nullable")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// labels
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// signal that ends it
    #[serde(deserialize_with = "nullable")]
    pub stop_signal: String,
    /// health check
    pub healthcheck: Option<Health>,
}

/// A health check. Times in nanoseconds; 0: the engine's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    /// `NONE`, or `CMD` and words, or `CMD-SHELL` and a line
    #[serde(deserialize_with = "nullable")]
    pub test: Vec<String>,
    /// between checks
    pub interval: u64,
    /// for a check
    pub timeout: u64,
    /// after the start, in which failures do not count
    pub start_period: u64,
    /// failures in a row
    pub retries: u64,
}

/// Go writes `null` for what is empty.
fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Configuration {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            os: String,
            #[serde(default)]
            architecture: String,
            #[serde(default, deserialize_with = "nullable")]
            variant: String,
            config: Option<RunConfiguration>,
            rootfs: RootFs,
        }
        #[derive(Deserialize)]
        struct RootFs {
            r#type: String,
            #[serde(deserialize_with = "nullable")]
            diff_ids: Vec<Digest>,
        }
        let file: File =
            serde_json::from_slice(bytes).map_err(|error| Error::Format(format!("configuration: {error}")))?;
        if file.rootfs.r#type != "layers" {
            return Err(Error::Format(format!(
                "configuration: found rootfs {:?}; expected layers",
                file.rootfs.r#type
            )));
        }
        Ok(Self {
            os: file.os,
            architecture: file.architecture,
            variant: Some(file.variant).filter(|variant| !variant.is_empty()),
            diff_ids: file.rootfs.diff_ids,
            run: file.config.unwrap_or_default(),
        })
    }

    /// Whether it is for a platform. A manifest that is named by its own digest says it nowhere else.
    pub(super) fn expect(&self, platform: &Platform) -> Result<(), Error> {
        let found = Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        };
        // Some tools leave the variant out of the configuration though the index has it.
        let variant = platform.variant.is_none() || found.variant.is_none() || platform.variant == found.variant;
        if found.os == platform.os && found.architecture == platform.architecture && variant {
            Ok(())
        } else {
            Err(Error::Platform {
                expected: name(platform),
                found: format!("one for {}", name(&found)),
            })
        }
    }
}
