//! The configuration file: one section for the node, one for the connector. Secrets are in files of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use surety_connector::sdk;

use crate::{Kind, ethereum, http, postgres, timer};

/// Largest configuration or secret, bytes.
const MAX_FILE: u64 = 1 << 20;

/// The file's content.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// the node
    pub node: Node,
    /// ticks
    pub timer: Option<timer::Config>,
    /// webhooks and requests
    pub http: Option<http::Config>,
    /// logs and transactions
    pub ethereum: Option<ethereum::Config>,
    /// rows
    pub postgres: Option<postgres::Config>,
}

/// Where the node is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// `http://127.0.0.1:PORT` or `unix:/PATH`
    pub address: String,
    /// the file with the token
    pub token_file: PathBuf,
    /// the service's address or name
    pub service: String,
    /// this connector's name among the service's; by default its kind
    pub connector: Option<String>,
}

/// A file and where it was.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// the content
    pub file: File,
    /// its folder; relative paths start there
    pub folder: PathBuf,
}

impl Loaded {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = small(path)?;
        let file = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { file, folder })
    }

    /// A path of the file.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// A secret in a file: its content without white space around it. Others must not be able to read it.
    pub fn secret(&self, path: &Path) -> Result<String> {
        use std::os::unix::fs::PermissionsExt;

        let path = self.path(path);
        let meta = std::fs::metadata(&path).with_context(|| format!("the secret {}", path.display()))?;
        let mode = meta.permissions().mode() & 0o777;
        ensure!(
            mode & 0o004 == 0,
            "the secret {}: found mode {mode:03o}, expected one that others cannot read, such as 600",
            path.display()
        );
        let secret = small(&path)?.trim().to_owned();
        ensure!(!secret.is_empty(), "the secret {} is empty", path.display());
        Ok(secret)
    }

    /// The node's part for the SDK.
    pub fn node(&self, kind: Kind) -> sdk::Config {
        let node = &self.file.node;
        let connector = node.connector.clone().unwrap_or_else(|| kind.name().to_owned());
        sdk::Config::new(
            node.address.clone(),
            self.path(&node.token_file),
            node.service.clone(),
            connector,
        )
    }

    /// A section that must be there.
    pub fn section<'a, T>(&self, kind: Kind, section: &'a Option<T>) -> Result<&'a T> {
        match section {
            Some(section) => Ok(section),
            None => bail!("the configuration has no section [{}]", kind.name()),
        }
    }
}

fn small(path: &Path) -> Result<String> {
    let length = std::fs::metadata(path)
        .with_context(|| format!("{}", path.display()))?
        .len();
    ensure!(
        length <= MAX_FILE,
        "{}: found {length} bytes, expected at most {MAX_FILE}",
        path.display()
    );
    std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}
