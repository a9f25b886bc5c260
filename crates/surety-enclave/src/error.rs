//! Why a quote is refused: the fact, what was found, what was expected.

use alloy_primitives::{B256, B512};

use crate::{Kind, TcbStatus, Vendor, date};

/// What can be done about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// The quote may be good: fetch its collateral (or, for Nitro, a new document) and try again.
    Renew,
    /// The quote does not say what it should. Another try with the same bytes gives the same answer.
    Stop,
}

/// Why a quote is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not of the format.
    #[error("{what} is malformed: found {found}, expected {expected}")]
    Malformed {
        /// the part that is malformed
        what: &'static str,
        /// what is there
        found: String,
        /// what the format wants
        expected: String,
    },
    /// The bytes are of another kind.
    #[error("wrong kind of quote: found {found}, expected {expected}")]
    WrongKind {
        /// the kind that was found
        found: Kind,
        /// the kind that was asked for
        expected: Kind,
    },
    /// Nothing that can be verified comes with the quote.
    #[error("no collateral with a {kind} quote: expected {expected}")]
    NoCollateral {
        /// kind of the quote
        kind: Kind,
        /// what is needed
        expected: &'static str,
    },
    /// A certificate chain does not end at the root that was asked for.
    #[error("the certificate chain of {what} does not lead to {expected}: {found}")]
    Root {
        /// whose chain
        what: &'static str,
        /// what the chain leads to, or where it breaks
        found: String,
        /// the root
        expected: String,
    },
    /// A signature does not verify.
    #[error("the signature of {what} does not verify: {found}, expected a signature by {expected}")]
    Signature {
        /// what is signed
        what: &'static str,
        /// what went wrong
        found: String,
        /// whose key should have signed
        expected: &'static str,
    },
    /// Collateral or a certificate has expired.
    #[error("{what} expired at {}, and the time is {}", date(*.until), date(*.now))]
    Expired {
        /// what expired
        what: &'static str,
        /// its last second, in seconds since 1970
        until: u64,
        /// the time of verification, in seconds since 1970
        now: u64,
    },
    /// Collateral or a certificate is not valid yet.
    #[error("{what} is valid from {}, and the time is {}", date(*.from), date(*.now))]
    NotYetValid {
        /// what is not valid yet
        what: &'static str,
        /// its first second, in seconds since 1970
        from: u64,
        /// the time of verification, in seconds since 1970
        now: u64,
    },
    /// Collateral older than the policy allows.
    #[error("{what} is {age} seconds old, the policy allows {limit}")]
    TooOld {
        /// what is too old
        what: &'static str,
        /// its age in seconds
        age: u64,
        /// the policy's limit in seconds
        limit: u64,
    },
    /// A debug enclave: its memory can be read and changed from outside. Never accepted.
    #[error("a debug enclave: {found}, expected {expected}")]
    Debug {
        /// the field that says so
        found: String,
        /// what a production enclave has
        expected: &'static str,
    },
    /// The vendor's collateral does not vouch for the platform, its firmware or its quoting enclave.
    #[error("the {vendor} collateral does not vouch for this quote: {found}")]
    NotVouched {
        /// the vendor
        vendor: Vendor,
        /// what does not fit
        found: String,
    },
    /// The certificate is about another chip, firmware or product than the report.
    #[error("{what} of the certificate is not the report's: found {found}, expected {expected}")]
    CertificateMismatch {
        /// the field
        what: &'static str,
        /// in the certificate
        found: String,
        /// in the report
        expected: String,
    },
    /// A status of the platform that the policy does not accept.
    #[error("the platform is {found}{}, the policy accepts {}", in_brackets(.advisories), list(.expected))]
    TcbStatus {
        /// the status
        found: TcbStatus,
        /// what the vendor says about it
        advisories: Vec<String>,
        /// what the policy accepts
        expected: Vec<TcbStatus>,
    },
    /// Firmware below the policy's minimum.
    #[error("{what} has version {found}, the policy wants {expected} or later")]
    Firmware {
        /// the firmware
        what: &'static str,
        /// its security version
        found: u64,
        /// the policy's minimum
        expected: u64,
    },
    /// A measurement that the policy does not list.
    #[error("measurements are not on the policy's list: found {found}, expected {expected}")]
    Measurement {
        /// what the quote says
        found: String,
        /// what the policy allows
        expected: String,
    },
    /// Another rule of the policy.
    #[error("the policy refuses {what}: found {found}, expected {expected}")]
    Policy {
        /// the rule's subject
        what: &'static str,
        /// what the quote says
        found: String,
        /// what the policy says
        expected: String,
    },
    /// The quote is bound to something else.
    #[error("the quote is bound to something else: found report data {}, expected {expected}", show(.found.as_deref()))]
    ReportData {
        /// what the quote carries; none if a Nitro document carries nothing or more than 64 bytes
        found: Option<Box<B512>>,
        /// what it should carry
        expected: Box<B512>,
    },
    /// The bytes are not the ones that were registered.
    #[error("the evidence is not the registered one: found hash {found}, expected {expected}")]
    Hash {
        /// hash of the bytes
        found: B256,
        /// the hash that was registered
        expected: B256,
    },
}

impl Error {
    /// What can be done about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::NoCollateral { .. } | Self::Expired { .. } | Self::NotYetValid { .. } | Self::TooOld { .. } => {
                Remedy::Renew
            }
            _ => Remedy::Stop,
        }
    }

    pub(crate) fn malformed(what: &'static str, found: impl ToString, expected: impl ToString) -> Self {
        Self::Malformed {
            what,
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }
}

fn show(data: Option<&B512>) -> String {
    data.map_or_else(
        || "that is absent or longer than 64 bytes".to_owned(),
        ToString::to_string,
    )
}

fn in_brackets(list: &[String]) -> String {
    if list.is_empty() {
        return String::new();
    }
    format!(" ({})", list.join(", "))
}

fn list(statuses: &[TcbStatus]) -> String {
    if statuses.is_empty() {
        return "none".to_owned();
    }
    statuses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
