//! What can go wrong between an application, a node and the chain.

use alloy::primitives::{Address, B256};
use surety_primitives::{
    certificate::{CertificateError, QuorumError},
    sealed::SealedError,
    set::SetError,
    value::{JsonError, ValueError},
};

use crate::RpcError;

/// Why something of the network could not be read, or did not verify.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The chain does not answer, or refuses.
    #[error(transparent)]
    Chain(#[from] surety_chain::Error),
    /// The node does not answer, or declines.
    #[error(transparent)]
    Node(#[from] RpcError),
    /// There is no such set.
    #[error("service {service} has no set {set}; it has {count}")]
    UnknownSet {
        /// the service
        service: Address,
        /// the number found
        set: u64,
        /// how many there are
        count: u64,
    },
    /// No set was in force at a block.
    #[error("service {service} had no set in force at block {block}")]
    NoSet {
        /// the service
        service: Address,
        /// the block
        block: u64,
    },
    /// What the chain holds is no roll.
    #[error("set {set} of {service}: {error}")]
    Roll {
        /// the service
        service: Address,
        /// the set
        set: u64,
        /// what is wrong
        error: SetError,
    },
    /// The chain holds an impossible quorum.
    #[error("set {set} of {service}: {error}")]
    Quorum {
        /// the service
        service: Address,
        /// the set
        set: u64,
        /// what is wrong
        error: QuorumError,
    },
    /// The certificate does not verify.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate is about something else than what was asked for.
    #[error("certificate is about {found}, expected {expected}")]
    AnotherSubject {
        /// what it is about
        found: String,
        /// what was asked for
        expected: String,
    },
    /// What a node gave as a value has another hash.
    #[error("value {expected}: what the node gave hashes to {found}")]
    AnotherValue {
        /// hash of what came
        found: B256,
        /// hash asked for
        expected: B256,
    },
    /// A value that cannot be encoded.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// What a node gave as a value is none.
    #[error("value: {0}")]
    Json(#[from] JsonError),
    /// Nothing can be sealed for these.
    #[error("sealing: {0}")]
    Sealed(#[from] SealedError),
    /// An operator without a key for private payloads.
    #[error("operator {0} has registered no encryption key")]
    NoEncryptionKey(Address),
    /// Fewer members than the step needs.
    #[error("nobody of set {set} of {service} can be drawn for the step")]
    NobodyDrawn {
        /// the service
        service: Address,
        /// the set
        set: u64,
    },
}
