//! Why there is no image.

use super::Digest;

/// Why an image could not be had. [`Error::retryable`] tells what may pass from what will not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry did not answer, or not to the end, or not in time.
    #[error("registry {registry}: {problem}")]
    Unreachable {
        /// its host
        registry: String,
        /// what happened
        problem: String,
    },
    /// The registry answered with an error.
    #[error("registry {registry}: found HTTP status {status} for {what}; expected 200")]
    Status {
        /// its host
        registry: String,
        /// what was asked for
        what: String,
        /// of HTTP
        status: u16,
    },
    /// The bytes are not those that were asked for.
    #[error("{what}: found {found}; expected {expected}")]
    Digest {
        /// what it should have been
        what: String,
        /// asked for
        expected: Digest,
        /// of what came
        found: Digest,
    },
    /// More or fewer bytes than announced by what names them.
    #[error("{what}: found {found} bytes; expected {expected}")]
    Size {
        /// what it should have been
        what: String,
        /// asked for
        expected: u64,
        /// that came; of a stream that went on, where it was cut
        found: u64,
    },
    /// Beyond a limit.
    #[error("{what}: more than {limit}")]
    TooLarge {
        /// what it is
        what: String,
        /// the limit, in bytes or in number
        limit: u64,
    },
    /// Not a document of the kind expected.
    #[error("{0}")]
    Format(String),
    /// A media type that is not understood.
    #[error("found media type {found:?}; expected {expected}")]
    MediaType {
        /// of the document
        found: String,
        /// those understood
        expected: &'static str,
    },
    /// Not for the plan's platform.
    #[error("found {found}; expected an image for {expected}")]
    Platform {
        /// of the plan
        expected: String,
        /// what there is
        found: String,
    },
    /// The plan demands a signature that is not there.
    #[error("signature of {digest}: {problem}")]
    Signature {
        /// of what should have been signed
        digest: Digest,
        /// what is wrong
        problem: String,
    },
    /// The layers make no file system.
    #[error("layers: {0}")]
    Tree(String),
    /// The cache's folder cannot be used.
    #[error("cache: {0}")]
    Cache(#[from] std::io::Error),
}

impl Error {
    /// Whether the same request may succeed later: nothing is known to be wrong with the image itself. Wrong bytes are
    /// not retried at once: a registry that lies once is asked again only with the next measurement.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            Self::Digest { .. }
            | Self::Size { .. }
            | Self::TooLarge { .. }
            | Self::Format(_)
            | Self::MediaType { .. }
            | Self::Platform { .. }
            | Self::Signature { .. }
            | Self::Tree(_)
            | Self::Cache(_) => false,
        }
    }
}
