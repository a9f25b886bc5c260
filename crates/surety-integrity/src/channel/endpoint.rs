//! Where a host is, as its operator registered it.

use std::{fmt, path::PathBuf, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// Where a host's agent answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `ssh://user@host:port`; port 22 if it is left out
    Ssh {
        /// account
        user: String,
        /// name or address
        host: String,
        /// of TCP
        port: u16,
    },
    /// `unix:/path`: an engine's socket on this machine
    Unix(PathBuf),
}

/// Found something that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}; expected ssh://user@host:port or unix:/path")]
pub struct BadEndpoint(String);

impl BadEndpoint {
    pub(super) fn new(text: &str) -> Self {
        Self(text.chars().take(200).collect())
    }
}

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let wrong = || BadEndpoint::new(text);
        if text.len() > 512 {
            return Err(wrong());
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(wrong())
            };
        }
        let rest = text.strip_prefix("ssh://").ok_or_else(wrong)?;
        let (user, place) = rest.split_once('@').ok_or_else(wrong)?;
        let named = |name: &str, more: &[u8]| {
            !name.is_empty()
                && !name.starts_with('-')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = if let Some(rest) = place.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or_else(wrong)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (
                address,
                port.strip_prefix(':')
                    .or_else(|| port.is_empty().then_some("22"))
                    .ok_or_else(wrong)?,
            )
        } else {
            let (host, port) = place.split_once(':').unwrap_or((place, "22"));
            if !named(host, b".-_") {
                return Err(wrong());
            }
            (host, port)
        };
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        if !named(user, b"._-") {
            return Err(wrong());
        }
        Ok(Self::Ssh {
            user: user.into(),
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh { user, host, port } if host.contains(':') => write!(f, "ssh://{user}@[{host}]:{port}"),
            Self::Ssh { user, host, port } => write!(f, "ssh://{user}@{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// SHA-256 of an SSH public key's encoding: as text `SHA256:` and Base64 without padding, as `ssh-keygen -l` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        text.strip_prefix("SHA256:")
            .and_then(|digits| STANDARD_NO_PAD.decode(digits).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| BadEndpoint::new(text))
    }
}
