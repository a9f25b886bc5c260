//! Identifiers, typed structs, EIP-712 digests and canonical encodings of Surety (`docs/spec/wire.md`,
//! `docs/spec/dispute.md`). No I/O, no clock: what goes in decides what comes out.
//!
//! Hashes are keccak-256. Everything read from outside is bounded and either accepted whole or refused with an
//! error that says what was found and what was expected.
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod answer;
mod budget;
mod chain_id;
mod claim;
mod domain;
mod ids;
#[cfg(feature = "serde")]
mod json;
mod outcome;
mod output;
mod registration;
mod request;
mod response;
mod signature;
mod statement;

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
