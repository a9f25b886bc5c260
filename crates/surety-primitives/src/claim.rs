//! A signed response as the contracts take it, and as they keep it.

use crate::{Answer, CompactSignature, Domain, RequestHash, Response, ResultHash, SignatureError, Statement};
use alloy_primitives::Address;

/// A signed response to a statement that is known from elsewhere: the contracts' `Signed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signed {
    /// Hash of the request that was answered.
    pub request: RequestHash,
    /// Who asked; compensated if the result is wrong.
    pub requester: Address,
    /// The result claimed.
    pub result: ResultHash,
    /// The operator's signature over the [`Response`].
    pub signature: CompactSignature,
}

/// What the contracts keep, hashed, of a claim: their `ClaimDetail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClaimDetail {
    /// Who claims.
    pub operator: Address,
    /// Hash of the request that was answered.
    pub request: RequestHash,
    /// Who asked.
    pub requester: Address,
    /// The result claimed.
    pub result: ResultHash,
}

impl Signed {
    /// What was signed.
    pub const fn response(&self, statement: Statement) -> Response {
        Response {
            statement,
            request: self.request,
            requester: self.requester,
            result: self.result,
        }
    }

    /// The operator that signed.
    pub fn operator(&self, statement: Statement, domain: &Domain) -> Result<Address, SignatureError> {
        self.signature.recover(&self.response(statement).digest(domain))
    }

    /// The claim this makes, as the contracts keep it.
    pub fn detail(&self, statement: Statement, domain: &Domain) -> Result<ClaimDetail, SignatureError> {
        let operator = self.operator(statement, domain)?;
        Ok(ClaimDetail {
            operator,
            request: self.request,
            requester: self.requester,
            result: self.result,
        })
    }
}

impl From<&Answer> for Signed {
    fn from(answer: &Answer) -> Self {
        Self {
            request: answer.request,
            requester: answer.requester,
            result: answer.result,
            signature: answer.signature,
        }
    }
}
