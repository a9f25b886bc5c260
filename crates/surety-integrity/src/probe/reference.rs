//! The image as probes compare with it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::{
    agent::measure::{Entry, text},
    image::{
        Image,
        tree::{FileTree, Kind},
    },
    probe::inspect::Inspect,
};

/// What an image says and holds, as the monitor has hashed it.
#[derive(Debug, Clone, Default)]
pub struct Reference {
    /// digest of the platform's manifest, `sha256:…`
    pub manifest: String,
    /// digest of the config
    pub config: String,
    /// DiffIDs, base first
    pub layers: Vec<String>,
    /// the config's `config`
    pub defaults: Json,
    /// the merged file system of the layers, by path; the root itself is left out
    pub files: BTreeMap<String, Entry>,
    /// folders that no layer has and that must be there since something is in them: engines differ in their mode
    pub implied: BTreeSet<String>,
}

impl Reference {
    /// Of an image that was pulled, and the file system that its layers make.
    pub fn new(image: &Image, tree: &FileTree) -> Self {
        let layers = image.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        Self::of(
            image.digest.to_string(),
            image.config_digest.to_string(),
            &image.config,
            layers,
            tree,
        )
    }

    /// Of an image that was checked by other means: digests of manifest and config, the config's bytes, DiffIDs, files.
    pub fn of(manifest: String, config: String, bytes: &[u8], layers: Vec<String>, tree: &FileTree) -> Self {
        let read: Json = serde_json::from_slice(bytes).unwrap_or_default();
        let defaults = read.get("config").cloned().unwrap_or_default();
        let mut it = Self {
            manifest,
            config,
            layers,
            defaults,
            ..Self::default()
        };
        it.fill(tree);
        it
    }

    /// Takes the files from the file system that layers make.
    fn fill(&mut self, tree: &FileTree) {
        for (path, node) in tree.iter().filter(|(path, _)| *path != b"/") {
            let (kind, data) = match &node.kind {
                Kind::File { sha256, .. } => ('f', hex::encode(sha256)),
                Kind::Directory => ('d', String::new()),
                Kind::Symlink(target) => ('l', text(target)),
                Kind::Character(major, minor) => ('c', rustix::fs::makedev(*major, *minor).to_string()),
                Kind::Block(major, minor) => ('b', rustix::fs::makedev(*major, *minor).to_string()),
                Kind::Fifo => ('p', String::new()),
            };
            let path = text(path);
            // A link's own permissions mean nothing, and the kernel says 0777 of all.
            let mode = if kind == 'l' { 0o777 } else { node.mode };
            if node.implied {
                self.implied.insert(path.clone());
            }
            self.files.insert(
                path.clone(),
                Entry {
                    path,
                    kind,
                    mode,
                    uid: node.uid,
                    gid: node.gid,
                    data,
                },
            );
        }
    }

    /// The config's `config`.
    pub(crate) const fn says(&self) -> Inspect<'_> {
        Inspect(&self.defaults)
    }
}
