//! What can go wrong between this crate and an Ethereum endpoint, and what the caller should do about it.

use std::fmt;

use alloy::{
    primitives::{Address, B256, Bytes},
    sol_types::SolError,
    transports::{RpcError, TransportErrorKind},
};

use crate::artifacts;

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is wrong with the request: try the same again later.
    Temporary,
    /// The view of the chain it was made from is out of date: read the chain again, then decide anew.
    Reset,
    /// It will not go better by repetition: stop and tell a person.
    Critical,
}

/// An error of the Ethereum side.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint could not be reached, answered garbage, or refused for load.
    #[error("the Ethereum endpoint {} does not answer `{method}`: {cause}", endpoint(.url))]
    Unreachable {
        /// where it was asked; shown without path, query and password, which may be secret
        url: String,
        /// what it was asked
        method: &'static str,
        /// the transport's own words
        cause: String,
    },
    /// The endpoint understood and said no.
    #[error("the Ethereum endpoint refused `{method}`: {message} (code {code})")]
    Refused {
        /// what it was asked
        method: &'static str,
        /// JSON-RPC error code
        code: i64,
        /// the endpoint's words
        message: String,
    },
    /// The endpoint serves another chain than the one expected.
    #[error("the Ethereum endpoint serves chain {found}, expected {expected}; point --l1 at the right one")]
    WrongChain {
        /// chain id the deployment names
        expected: u64,
        /// chain id the endpoint has
        found: u64,
    },
    /// The contract reverted, in simulation or in a block.
    #[error("the contract at {to} refused: {revert}")]
    Reverted {
        /// the contract called
        to: Address,
        /// what it said
        revert: Revert,
    },
    /// The answer of a contract was not what its interface says.
    #[error("the answer of {to} to `{call}` cannot be decoded: {cause}; is this the right deployment?")]
    Decode {
        /// the contract called
        to: Address,
        /// the function
        call: &'static str,
        /// why
        cause: String,
    },
    /// Another transaction took the nonce; the call has to be simulated again.
    #[error("nonce {nonce} of {account} was used by another transaction; is the key in use elsewhere?")]
    NonceTaken {
        /// the sending account
        account: Address,
        /// the nonce that was taken
        nonce: u64,
    },
    /// Sent, but in no block within the allowed time.
    #[error("transaction {hash} is in no block after {seconds} s; it may still be included")]
    NotIncluded {
        /// last version of the transaction that was sent
        hash: B256,
        /// seconds waited
        seconds: u64,
    },
    /// The account cannot pay for the transaction.
    #[error("account {account} cannot pay for the transaction: {message}; send it some ether")]
    Funds {
        /// the sending account
        account: Address,
        /// the endpoint's words
        message: String,
    },
    /// The chain was reorganised deeper than the tracked history.
    #[error("the chain was reorganised below block {oldest}, the oldest one tracked")]
    DeepReorg {
        /// oldest tracked block
        oldest: u64,
    },
    /// There is no code where a contract should be.
    #[error("there is no contract `{name}` at {address} on chain {chain_id}; check the deployment file")]
    NoCode {
        /// the contract's name
        name: &'static str,
        /// where it should be
        address: Address,
        /// the chain asked
        chain_id: u64,
    },
    /// A file or key of this side is unusable.
    #[error("{0}")]
    Local(String),
}

impl Error {
    /// What to do about it.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Unreachable { .. } | Self::NotIncluded { .. } => Severity::Temporary,
            Self::Reverted { .. } | Self::NonceTaken { .. } | Self::DeepReorg { .. } => Severity::Reset,
            Self::Refused { .. }
            | Self::WrongChain { .. }
            | Self::Decode { .. }
            | Self::Funds { .. }
            | Self::NoCode { .. }
            | Self::Local(_) => Severity::Critical,
        }
    }

    /// The revert, where it is one.
    pub fn revert(&self) -> Option<&Revert> {
        match self {
            Self::Reverted { revert, .. } => Some(revert),
            _ => None,
        }
    }

    /// Sorts an error of alloy's transport.
    pub(crate) fn from_rpc(
        url: &str,
        method: &'static str,
        to: Option<Address>,
        error: RpcError<TransportErrorKind>,
    ) -> Self {
        let shown = endpoint(url);
        match error {
            RpcError::ErrorResp(payload) => {
                let message = payload.message.to_string();
                let lower = message.to_ascii_lowercase();
                // Code 3 is the execution-revert code of EIP-1474 clients; some send the data under -32000.
                if let Some(data) = payload.as_revert_data() {
                    return Self::Reverted {
                        to: to.unwrap_or_default(),
                        revert: Revert::new(data),
                    };
                }
                if payload.code == 3 || lower.contains("execution reverted") {
                    return Self::Reverted {
                        to: to.unwrap_or_default(),
                        revert: Revert::new(Bytes::new()),
                    };
                }
                if payload.is_retry_err() {
                    return Self::Unreachable {
                        url: shown,
                        method,
                        cause: message,
                    };
                }
                Self::Refused {
                    method,
                    code: payload.code,
                    message,
                }
            }
            other => Self::Unreachable {
                cause: hide(innermost(&other), url, &shown),
                url: shown,
                method,
            },
        }
    }
}

/// Scheme, host and port of a URL. The rest of an endpoint's URL is often a key, and neither logs nor strangers are to
/// have it.
pub fn endpoint(url: &str) -> String {
    use alloy::transports::http::reqwest::Url;
    match Url::parse(url) {
        Ok(url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
        }
        Err(_) => "(not a URL)".to_owned(),
    }
}

/// Libraries put the URL into their errors.
fn hide(words: String, url: &str, shown: &str) -> String {
    use alloy::transports::http::reqwest::Url;
    let words = words.replace(url, shown);
    match Url::parse(url) {
        // As the library writes it, which differs in small things.
        Ok(normal) => words.replace(normal.as_str(), shown),
        Err(_) => words,
    }
}

/// The last cause of a chain of errors is the one that says something ("Connection refused").
fn innermost(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut at = error.source();
    while let Some(source) = at {
        words = source.to_string();
        at = source.source();
    }
    words
}

/// The data a contract reverted with. Shown with the name and values of the custom error, for every error in the
/// interfaces of the committed artefacts.
#[derive(Clone, PartialEq, Eq)]
pub struct Revert {
    data: Bytes,
}

impl Revert {
    /// Wraps revert data.
    pub fn new(data: Bytes) -> Self {
        Self { data }
    }

    /// The raw data.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The custom error `E`, if it is that one.
    pub fn decode<E: SolError>(&self) -> Option<E> {
        E::abi_decode(&self.data).ok()
    }

    /// Whether it is the custom error `E`.
    pub fn is<E: SolError>(&self) -> bool {
        self.data.get(..4) == Some(E::SELECTOR.as_slice())
    }

    /// The name of the custom error, if the artefacts have it.
    pub fn name(&self) -> Option<String> {
        artifacts::error_by_selector(self.data.get(..4)?).map(|e| e.name.clone())
    }
}

impl fmt::Debug for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revert({self})")
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use alloy::dyn_abi::JsonAbiExt;
        let Some(selector) = self.data.get(..4) else {
            return f.write_str("reverted without a reason");
        };
        if let Ok(text) = alloy::sol_types::Revert::abi_decode(&self.data) {
            return write!(f, "{}", text.reason);
        }
        if let Ok(panic) = alloy::sol_types::Panic::abi_decode(&self.data) {
            return write!(f, "{panic}");
        }
        let Some(error) = artifacts::error_by_selector(selector) else {
            return write!(f, "unknown error {}", self.data);
        };
        f.write_str(&error.name)?;
        let values = error
            .abi_decode_input(self.data.get(4..).unwrap_or_default())
            .unwrap_or_default();
        f.write_str("(")?;
        for (i, (value, param)) in values.iter().zip(&error.inputs).enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if !param.name.is_empty() {
                write!(f, "{}: ", param.name)?;
            }
            f.write_str(&crate::show::value(value))?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_shown_without_its_secrets() {
        let url = "https://user:pass@L1.example:8545/v3/secret?key=secret";
        assert_eq!(endpoint(url), "https://l1.example:8545");
        assert_eq!(endpoint("http://127.0.0.1:8545"), "http://127.0.0.1:8545");
        assert_eq!(endpoint("secret"), "(not a URL)");
        let cause = RpcError::Transport(TransportErrorKind::Custom(
            "error sending request for url (https://user:pass@l1.example:8545/v3/secret?key=secret)".into(),
        ));
        let error = Error::from_rpc(url, "eth_call", None, cause);
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
