//! An operator's proof that it holds the key it registers.

use crate::Domain;
use alloc::string::String;
use alloy_primitives::{Address, B256};
use alloy_sol_types::SolStruct;

mod sol {
    alloy_sol_types::sol! {
        struct Operator {
            address key;
            address owner;
            string endpoint;
        }
    }
}

/// "`owner` may register me, `key`, with this endpoint." Signed by the key as EIP-712 typed data, verified by
/// `Registry`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OperatorRegistration {
    /// Address of the operator's key.
    pub key: Address,
    /// The account that registers it and owns its bond.
    pub owner: Address,
    /// URL of its JSON-RPC.
    pub endpoint: String,
}

impl OperatorRegistration {
    /// The EIP-712 type.
    pub const TYPE: &'static str = "Operator(address key,address owner,string endpoint)";

    /// EIP-712 digest: what the key signs. `domain` names the `Registry`.
    pub fn digest(&self, domain: &Domain) -> B256 {
        sol::Operator {
            key: self.key,
            owner: self.owner,
            endpoint: self.endpoint.clone(),
        }
        .eip712_signing_hash(&domain.eip712())
    }
}
