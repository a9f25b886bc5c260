//! Identifiers, typed structs, EIP-712 digests and canonical encodings of Surety (`docs/spec/wire.md`,
//! `docs/spec/dispute.md`, `docs/spec/network.md`). No I/O, no clock: what goes in decides what comes out.
//!
//! Hashes are keccak-256. Everything read from outside is bounded and either accepted whole or refused with an
//! error that says what was found and what was expected.
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod answer;
#[cfg(feature = "bls")]
pub mod bls;
mod budget;
#[cfg(feature = "bls")]
pub mod certificate;
mod chain_id;
mod claim;
mod domain;
mod ids;
#[cfg(feature = "serde")]
mod json;
#[cfg(feature = "bls")]
pub mod keys;
pub mod measurement;
mod outcome;
mod output;
mod registration;
mod request;
mod response;
#[cfg(feature = "sealed")]
pub mod sealed;
pub mod selection;
#[cfg(feature = "bls")]
pub mod set;
mod signature;
mod statement;
pub mod value;
pub mod vote;

pub use alloy_primitives::{Address, B256, Bytes};
pub use answer::{Answer, AnswerError};
pub use budget::{Budget, BudgetError};
pub use chain_id::service_chain_id;
pub use claim::{ClaimDetail, Signed};
pub use domain::Domain;
pub use ids::{DisputeId, InputHash, OutputRoot, ProgramHash, RequestHash, ResultHash, StatementId};
pub use outcome::{Outcome, OutcomeError, Status};
pub use output::{MAX_OUTPUT_BYTES, Output, OutputError};
pub use registration::OperatorRegistration;
pub use request::{MAX_DATA_BYTES, MAX_REQUEST_BYTES, Request, RequestError, forced_request_hash};
pub use response::Response;
pub use signature::{CompactSignature, SignatureError};
pub use statement::Statement;
