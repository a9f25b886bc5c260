//! What an operator signs.

use crate::{Domain, RequestHash, ResultHash, Statement};
use alloy_primitives::{Address, B256};
use alloy_sol_types::SolStruct;

mod sol {
    alloy_sol_types::sol! {
        struct Response {
            address service;
            bytes32 program;
            bytes32 input;
            uint64 budget;
            bytes32 request;
            address requester;
            bytes32 result;
        }
    }
}

/// "The result of `statement` is `result`; I was asked by `requester` in `request`." Signed as EIP-712 typed data,
/// verified by `Disputes` (`docs/spec/dispute.md`, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Response {
    /// What the response is about.
    pub statement: Statement,
    /// The request answered.
    pub request: RequestHash,
    /// Who signed the request; compensated if the result is wrong.
    pub requester: Address,
    /// The result claimed.
    pub result: ResultHash,
}

impl Response {
    /// The EIP-712 type.
    pub const TYPE: &'static str = "Response(address service,bytes32 program,bytes32 input,uint64 budget,\
        bytes32 request,address requester,bytes32 result)";

    /// EIP-712 struct hash.
    pub fn struct_hash(&self) -> B256 {
        self.sol().eip712_hash_struct()
    }

    /// EIP-712 digest: what is signed.
    pub fn digest(&self, domain: &Domain) -> B256 {
        self.sol().eip712_signing_hash(&domain.eip712())
    }

    fn sol(&self) -> sol::Response {
        sol::Response {
            service: self.statement.service,
            program: self.statement.program.0,
            input: self.statement.input.0,
            budget: self.statement.budget.steps(),
            request: self.request.0,
            requester: self.requester,
            result: self.result.0,
        }
    }
}
