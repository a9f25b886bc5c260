//! What a response is about.

use crate::{Budget, InputHash, ProgramHash, StatementId};
use alloy_primitives::{Address, U256, keccak256};
use alloy_sol_types::SolValue;

/// "Program `program` of `service`, given the input with hash `input`, after `budget` steps."
/// A dispute is about one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Statement {
    /// The service contract.
    pub service: Address,
    /// The program that answers.
    pub program: ProgramHash,
    /// keccak-256 of the input.
    pub input: InputHash,
    /// Steps the program may take.
    pub budget: Budget,
}

impl Statement {
    /// keccak256(abi.encode(service, program, input, budget)).
    pub fn id(&self) -> StatementId {
        keccak256(self.abi_encode()).into()
    }

    /// abi.encode(service, program, input, budget): four words, 128 bytes.
    pub fn abi_encode(&self) -> [u8; 128] {
        let mut out = [0; 128];
        let words = (
            self.service,
            self.program.0,
            self.input.0,
            U256::from(self.budget.steps()),
        )
            .abi_encode_params();
        out.copy_from_slice(&words);
        out
    }
}
