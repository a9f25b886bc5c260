//! The EIP-712 domain.

use alloc::borrow::Cow;
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::Eip712Domain;

/// EIP-712 domain `{name: "Surety", version: "1", chainId, verifyingContract}`.
///
/// Responses are verified by `Disputes`, operators' registrations by `Registry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Domain {
    /// Chain id of the L1 (not the service's).
    pub chain_id: u64,
    /// The contract that checks the signature.
    pub verifying_contract: Address,
}

impl Domain {
    /// EIP-712 domain separator.
    pub fn separator(&self) -> B256 {
        self.eip712().separator()
    }

    pub(crate) fn eip712(&self) -> Eip712Domain {
        Eip712Domain::new(
            Some(Cow::Borrowed("Surety")),
            Some(Cow::Borrowed("1")),
            Some(U256::from(self.chain_id)),
            Some(self.verifying_contract),
            None,
        )
    }
}
