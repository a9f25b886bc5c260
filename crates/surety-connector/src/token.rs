//! The secret that a node and its connectors share: in a file, never in a flag.

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rand::{TryRngCore, rngs::OsRng};

/// Shortest and longest token, characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 32..=512;

/// A bearer token. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// the file can't be read or written
    #[error("the token's file {path}: {cause}")]
    File {
        /// which file
        path: PathBuf,
        /// what the system says
        cause: io::Error,
    },
    /// others could read it
    #[error("the token's file {path}: found mode {mode:03o}, expected one that others cannot read, such as 600")]
    Mode {
        /// which file
        path: PathBuf,
        /// its permission bits
        mode: u32,
    },
    /// it isn't one
    #[error("the token's file {path}: found {found}, expected 32 to 512 visible ASCII characters")]
    Content {
        /// which file
        path: PathBuf,
        /// what is wrong, without the content
        found: String,
    },
}

impl Token {
    /// Reads a token; white space around it doesn't count.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let file = |cause| TokenError::File {
            path: path.to_owned(),
            cause,
        };
        let meta = fs::metadata(path).map_err(file)?;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o004 != 0 {
            return Err(TokenError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        let content = |found: String| TokenError::Content {
            path: path.to_owned(),
            found,
        };
        if meta.len() > 4_096 {
            return Err(content(format!("{} bytes", meta.len())));
        }
        let text = fs::read_to_string(path).map_err(file)?;
        let text = text.trim();
        if !LENGTHS.contains(&text.len()) {
            return Err(content(format!("{} bytes", text.len())));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(content("other characters".to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// Reads a token, or makes one of 256 random bits in a file that only this user can read.
    pub fn read_or_create(path: &Path) -> Result<Self, TokenError> {
        let file = |cause| TokenError::File {
            path: path.to_owned(),
            cause,
        };
        let mut secret = [0u8; 32];
        OsRng
            .try_fill_bytes(&mut secret)
            .map_err(|cause| file(io::Error::other(cause.to_string())))?;
        let made = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match made {
            Ok(mut open) => {
                let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
                open.write_all(text.as_bytes())
                    .and_then(|()| open.write_all(b"\n"))
                    .and_then(|()| open.sync_all())
                    .map_err(file)?;
            }
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(file(cause)),
        }
        Self::read(path)
    }

    /// The value of the `authorization` metadata.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether that is `Bearer`, one space and some token.
    pub(crate) fn is_bearer(authorization: &[u8]) -> bool {
        let token = authorization.strip_prefix(b"Bearer ");
        token.is_some_and(|token| !token.is_empty() && token.iter().all(u8::is_ascii_graphic))
    }

    /// Whether that is this token's metadata, in a time that doesn't depend on where they differ.
    pub(crate) fn admits(&self, authorization: &[u8]) -> bool {
        let expected = self.bearer();
        let expected = expected.as_bytes();
        let mut difference = u8::from(expected.len() != authorization.len());
        for (left, right) in expected.iter().zip(authorization) {
            difference |= left ^ right;
        }
        difference == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
