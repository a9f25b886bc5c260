//! Images for tests, made from nothing by our own code: layers, config and manifest, whose digests are computed here
//! and then compared with what registries and engines say.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, write::GzEncoder};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use crate::devnet::binary;

/// OCI's and Docker's names of the same things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `application/vnd.oci.image...`
    #[default]
    Oci,
    /// `application/vnd.docker.distribution...`, schema 2
    Docker,
}

/// How a layer travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Packing {
    /// as it is
    Plain,
    /// gzip
    #[default]
    Gzip,
}

/// `sha256:` and 64 hex digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A layer: a tar archive, entry by entry.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    tar: Vec<u8>,
    packing: Packing,
}

/// What an entry of a layer says besides its content.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    /// permission bits
    pub mode: u32,
    /// owner
    pub uid: u64,
    /// group
    pub gid: u64,
    /// extended attributes
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Attributes {
    /// Root's, with this mode.
    pub fn mode(mode: u32) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }
}

impl Layer {
    /// Without entries, to be packed with gzip.
    pub fn new() -> Self {
        Self::default()
    }

    /// Packed otherwise.
    #[must_use]
    pub fn packed(mut self, packing: Packing) -> Self {
        self.packing = packing;
        self
    }

    /// Any entry; `link` is what links point to.
    #[must_use]
    pub fn entry(mut self, path: &str, kind: EntryType, link: &str, content: &[u8], attributes: &Attributes) -> Self {
        let mut builder = tar::Builder::new(Vec::new());
        if !attributes.xattrs.is_empty() {
            let names: Vec<(String, &[u8])> = attributes
                .xattrs
                .iter()
                .map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.as_slice()))
                .collect();
            builder
                .append_pax_extensions(names.iter().map(|(name, value)| (name.as_str(), *value)))
                .expect("writing to memory");
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(attributes.mode);
        header.set_uid(attributes.uid);
        header.set_gid(attributes.gid);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            builder
                .append_data(&mut header, path, content)
                .expect("writing to memory");
        } else {
            builder.append_link(&mut header, path, link).expect("writing to memory");
        }
        // Without the two blocks of zeros at the end, which come when the layer is done.
        self.tar.extend_from_slice(builder.get_ref());
        self
    }

    /// A regular file of root.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(path, EntryType::Regular, "", content, &Attributes::mode(mode))
    }

    /// A directory of root.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(
            &format!("{path}/"),
            EntryType::Directory,
            "",
            &[],
            &Attributes::mode(mode),
        )
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Symlink, target, &[], &Attributes::mode(0o777))
    }

    /// Another name of a file of this layer, of root; engines give the file this entry's mode.
    #[must_use]
    pub fn hardlink(self, path: &str, target: &str, mode: u32) -> Self {
        self.entry(path, EntryType::Link, target, &[], &Attributes::mode(mode))
    }

    /// Deletes what lower layers have at `path`.
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (folder, name) = path
            .rsplit_once('/')
            .map_or((String::new(), path), |(f, n)| (format!("{f}/"), n));
        self.file(&format!("{folder}.wh.{name}"), 0o644, &[])
    }

    /// Hides what lower layers have below `path`.
    #[must_use]
    pub fn opaque(self, path: &str) -> Self {
        self.file(&format!("{path}/.wh..wh..opq"), 0o644, &[])
    }

    /// The archive.
    pub fn tar(&self) -> Vec<u8> {
        let mut tar = self.tar.clone();
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    /// The archive as it travels.
    fn blob(&self, tar: &[u8]) -> Vec<u8> {
        match self.packing {
            Packing::Plain => tar.to_vec(),
            Packing::Gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                gzip.write_all(tar).expect("writing to memory");
                gzip.finish().expect("writing to memory")
            }
        }
    }
}

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct Builder {
    layers: Vec<Layer>,
    config: Value,
    format: Format,
    architecture: String,
    variant: Option<String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            config: json!({}),
            format: Format::Oci,
            architecture: "amd64".into(),
            variant: None,
        }
    }
}

impl Builder {
    /// Of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// A field of the configuration: `Entrypoint`, `Cmd`, `Env`, `User`, `WorkingDir`, `Labels`, `ExposedPorts`, ...
    #[must_use]
    pub fn config(mut self, name: &str, value: Value) -> Self {
        self.config[name] = value;
        self
    }

    /// Entry point.
    #[must_use]
    pub fn entrypoint(self, words: &[&str]) -> Self {
        self.config("Entrypoint", json!(words))
    }

    /// Command.
    #[must_use]
    pub fn command(self, words: &[&str]) -> Self {
        self.config("Cmd", json!(words))
    }

    /// Environment: `NAME=value`.
    #[must_use]
    pub fn environment(self, variables: &[&str]) -> Self {
        self.config("Env", json!(variables))
    }

    /// A health check: a command every so many seconds.
    #[must_use]
    pub fn health(self, command: &[&str], interval_seconds: u64) -> Self {
        let test: Vec<&str> = ["CMD"].iter().chain(command).copied().collect();
        let interval = interval_seconds * 1_000_000_000;
        self.config(
            "Healthcheck",
            json!({ "Test": test, "Interval": interval, "Timeout": interval, "Retries": 3 }),
        )
    }

    /// For another architecture than amd64.
    #[must_use]
    pub fn architecture(mut self, name: &str, variant: Option<&str>) -> Self {
        self.architecture = name.into();
        self.variant = variant.map(Into::into);
        self
    }

    /// In the other format.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Packs layers and computes digests.
    pub fn build(self) -> Image {
        let mut diff_ids = Vec::new();
        let mut descriptors = Vec::new();
        let mut blobs = BTreeMap::new();
        let mut order = Vec::new();
        for layer in &self.layers {
            let tar = layer.tar();
            diff_ids.push(digest(&tar));
            let blob = layer.blob(&tar);
            let media_type = match (self.format, layer.packing) {
                (Format::Oci, Packing::Plain) => "application/vnd.oci.image.layer.v1.tar",
                (Format::Oci, Packing::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
                (Format::Docker, Packing::Plain) => "application/vnd.docker.image.rootfs.diff.tar",
                (Format::Docker, Packing::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            };
            let digest = digest(&blob);
            descriptors.push(json!({ "mediaType": media_type, "size": blob.len(), "digest": digest }));
            order.push(digest.clone());
            blobs.insert(digest, blob);
        }
        let mut config = json!({
            "created": "2026-01-01T00:00:00Z",
            "architecture": self.architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": self.layers.iter().map(|_| json!({ "created_by": "surety-testing" })).collect::<Vec<_>>(),
        });
        if let Some(variant) = &self.variant {
            config["variant"] = json!(variant);
        }
        let config = config.to_string().into_bytes();
        let (manifest_type, config_type) = match self.format {
            Format::Oci => (OCI_MANIFEST, "application/vnd.oci.image.config.v1+json"),
            Format::Docker => (DOCKER_MANIFEST, "application/vnd.docker.container.image.v1+json"),
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": { "mediaType": config_type, "size": config.len(), "digest": digest(&config) },
            "layers": descriptors,
        })
        .to_string()
        .into_bytes();
        Image {
            manifest,
            media_type: manifest_type.into(),
            config,
            layers: order,
            blobs,
            diff_ids,
            format: self.format,
            architecture: self.architecture,
            variant: self.variant,
        }
    }
}

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An image, ready to be pushed or loaded.
#[derive(Debug, Clone)]
pub struct Image {
    /// the platform's manifest, as bytes
    pub manifest: Vec<u8>,
    /// of the manifest
    pub media_type: String,
    /// the image's configuration, as bytes
    pub config: Vec<u8>,
    /// digests of the packed layers, base first
    pub layers: Vec<String>,
    /// the packed layers
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// digests of the layers' archives, base first
    pub diff_ids: Vec<String>,
    format: Format,
    architecture: String,
    variant: Option<String>,
}

impl Image {
    /// Of the manifest: the image's identity.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// Of the configuration: what Docker calls the image's id, before its version 29.
    pub fn config_digest(&self) -> String {
        digest(&self.config)
    }

    /// Bytes of all packed layers.
    pub fn size(&self) -> u64 {
        self.layers
            .iter()
            .filter_map(|layer| self.blobs.get(layer))
            .map(|blob| blob.len() as u64)
            .sum()
    }

    /// What an index says of it.
    pub fn descriptor(&self) -> Value {
        let mut platform = json!({ "os": "linux", "architecture": self.architecture });
        if let Some(variant) = &self.variant {
            platform["variant"] = json!(variant);
        }
        json!({
            "mediaType": self.media_type,
            "size": self.manifest.len(),
            "digest": self.digest(),
            "platform": platform,
        })
    }

    /// For `docker load`: names nothing.
    pub(crate) fn archive(&self) -> Result<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut put = |path: &str, content: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content)
        };
        let name = |digest: &str| format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"));
        let config = name(&self.config_digest());
        put(&config, &self.config)?;
        for (digest, blob) in &self.blobs {
            put(&name(digest), blob)?;
        }
        let layers: Vec<String> = self.layers.iter().map(|layer| name(layer)).collect();
        put(
            "manifest.json",
            json!([{ "Config": config, "RepoTags": null, "Layers": layers }])
                .to_string()
                .as_bytes(),
        )?;
        Ok(builder.into_inner()?)
    }
}

/// An index of images for several platforms: its bytes and its media type.
pub fn index(images: &[&Image]) -> (Vec<u8>, String) {
    let media_type = match images.first().map(|image| image.format) {
        Some(Format::Docker) => "application/vnd.docker.distribution.manifest.list.v2+json",
        _ => "application/vnd.oci.image.index.v1+json",
    };
    let manifests: Vec<Value> = images.iter().map(|image| image.descriptor()).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
    (index.to_string().into_bytes(), media_type.into())
}

/// Debian's statically linked busybox with a name for each of some tools, and the folders a system has.
///
/// # Errors
/// If the package `busybox-static` is not installed.
pub fn busybox_layer() -> Result<Layer> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find_map(|path| fs::read(path).ok())
        .context("found no busybox; install the package busybox-static")?;
    let mut layer = Layer::new();
    for (folder, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("dev", 0o755),
        ("proc", 0o555),
        ("sys", 0o555),
        ("tmp", 0o1777),
        ("data", 0o777),
    ] {
        layer = layer.directory(folder, mode);
    }
    layer = layer.file("bin/busybox", 0o755, &busybox);
    for tool in [
        "sh",
        "ls",
        "cat",
        "cp",
        "mv",
        "rm",
        "mkdir",
        "chmod",
        "ln",
        "touch",
        "sleep",
        "echo",
        "env",
        "id",
        "ps",
        "kill",
        "dd",
        "head",
        "tail",
        "grep",
        "sed",
        "true",
        "false",
        "test",
        "date",
        "nc",
        "wget",
        "httpd",
        "nslookup",
        "seq",
        "sync",
        "stat",
        "sha256sum",
        "mount",
        "umount",
        "df",
        "vi",
        "tee",
        "trap",
    ] {
        layer = layer.hardlink(&format!("bin/{tool}"), "bin/busybox", 0o755);
    }
    Ok(layer
        .file(
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/:/bin/sh\napp:x:10001:10001:app:/data:/bin/sh\n",
        )
        .file("etc/group", 0o644, b"root:x:0:\napp:x:10001:\n"))
}

/// An image of busybox that waits for ever; its first process ends on `SIGTERM`.
///
/// # Errors
/// As [`busybox_layer`].
pub fn busybox() -> Result<Image> {
    Ok(Builder::new()
        .layer(busybox_layer()?)
        .environment(&["PATH=/bin"])
        .command(&["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"])
        .build())
}

/// The layer of our sequencer: `/sequencer`, the libraries it is linked with, `/data` (user 10001's).
///
/// # Errors
/// If the binary is not built.
pub fn sequencer_layer() -> Result<Layer> {
    let program = binary("sequencer")?;
    let mut layer = Layer::new();
    for folder in ["etc", "dev", "proc", "sys", "usr"] {
        layer = layer.directory(folder, 0o755);
    }
    layer = layer
        .directory("tmp", 0o1777)
        .entry(
            "data/",
            EntryType::Directory,
            "",
            &[],
            &Attributes {
                mode: 0o755,
                uid: 10_001,
                gid: 10_001,
                ..Attributes::default()
            },
        )
        .file("etc/passwd", 0o644, b"app:x:10001:10001:app:/data:/sequencer\n")
        .file("sequencer", 0o755, &fs::read(&program)?);
    for library in libraries(&program)? {
        let path = library
            .to_str()
            .context("a library's path")?
            .trim_start_matches('/')
            .to_owned();
        layer = layer.file(&path, 0o755, &fs::read(&library)?);
    }
    Ok(layer)
}

/// The realistic one: a small sequencer of ours that serves HTTP on port 8080 and appends to `/data/log`, as user
/// 10001, with a health check every second.
///
/// # Errors
/// As [`sequencer_layer`].
pub fn sequencer() -> Result<Builder> {
    Ok(Builder::new()
        .layer(sequencer_layer()?)
        .entrypoint(&["/sequencer"])
        .command(&["--port", "8080"])
        .environment(&["PATH=/", "SEQUENCER_LOG=/data/log"])
        .config("User", json!("10001:10001"))
        .config("WorkingDir", json!("/"))
        .config("ExposedPorts", json!({ "8080/tcp": {} })))
}

/// Files of about `bytes` in all in a layer of their own, incompressible, the same for the same size; for figures.
pub fn ballast(bytes: usize) -> Layer {
    let mut random = StdRng::seed_from_u64(bytes as u64);
    let mut layer = Layer::new()
        .packed(Packing::Gzip)
        .directory("usr", 0o755)
        .directory("usr/share", 0o755);
    let mut left = bytes;
    let mut number = 0_u32;
    while left > 0 {
        // As in real images: many small files, and some large ones.
        let size = if number.is_multiple_of(16) {
            4 << 20
        } else {
            random.random_range(1_000..200_000)
        }
        .min(left);
        let mut content = vec![0; size];
        random.fill(content.as_mut_slice());
        if number.is_multiple_of(64) {
            layer = layer.directory(&format!("usr/share/{:03}", number / 64), 0o755);
        }
        layer = layer.file(
            &format!("usr/share/{:03}/{number:05}.bin", number / 64),
            0o644,
            &content,
        );
        left -= size;
        number += 1;
    }
    layer
}

/// What a program is linked with, where it expects it: the loader's own list.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = Command::new("ldd").arg(program).output().context("running ldd")?;
    ensure!(
        listed.status.success(),
        "ldd: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, `/lib64/ld-linux-x86-64.so.2 (0x...)`
    Ok(String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| {
            line.split_whitespace()
                .find(|word| word.starts_with('/'))
                .map(PathBuf::from)
        })
        .collect())
}
