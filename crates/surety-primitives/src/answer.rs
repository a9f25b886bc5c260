//! A whole signed answer, as a provider gives it.

use crate::{
    CompactSignature, Domain, Outcome, Output, OutputRoot, RequestHash, Response, ResultHash, SignatureError, Statement,
};
use alloy_primitives::Address;

/// What `surety_getResponse` returns: a signed [`Response`], and what its result hash stands for
/// (`docs/spec/wire.md`, section 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// What the answer is about.
    pub statement: Statement,
    /// The request answered.
    pub request: RequestHash,
    /// Who signed the request.
    pub requester: Address,
    /// How the run ended.
    pub outcome: Outcome,
    /// Hash of the outcome: what is signed.
    pub result: ResultHash,
    /// What the program wrote.
    pub output: Output,
    /// The operator, by the address of its key.
    pub operator: Address,
    /// The operator's signature over the [`Response`].
    pub signature: CompactSignature,
}

/// Why an answer does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The outcome is not the one that was signed.
    #[error("result is {found}, expected {expected}, the hash of the outcome")]
    Result {
        /// Result in the answer.
        found: ResultHash,
        /// Hash of its outcome.
        expected: ResultHash,
    },
    /// The output is not the one the outcome commits to.
    #[error("output has root {found}, expected {expected}, the outcome's")]
    OutputRoot {
        /// Root of the output.
        found: OutputRoot,
        /// Root in the outcome.
        expected: OutputRoot,
    },
    /// Not signed by the operator it names.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Answer {
    /// What was signed.
    pub const fn response(&self) -> Response {
        Response {
            statement: self.statement,
            request: self.request,
            requester: self.requester,
            result: self.result,
        }
    }

    /// Checks everything that can be checked without the chain: result, output root, signature. Whether the
    /// operator is bonded, and whether the statement is the request's own, is for the caller to check.
    pub fn verify(&self, domain: &Domain) -> Result<(), AnswerError> {
        let expected = self.outcome.result_hash();
        if self.result != expected {
            return Err(AnswerError::Result {
                found: self.result,
                expected,
            });
        }
        let found = self.output.root();
        if found != self.outcome.output_root {
            return Err(AnswerError::OutputRoot {
                found,
                expected: self.outcome.output_root,
            });
        }
        self.signature.verify(&self.response().digest(domain), self.operator)?;
        Ok(())
    }
}
