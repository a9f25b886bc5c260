//! Where the contracts are.

use std::path::Path;

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};
use surety_primitives::Domain;

use crate::{error::Error, rpc::Rpc};

/// The addresses of one deployment, as JSON (`deployment.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// Chain id of the L1.
    pub chain_id: u64,
    /// First block that can hold an event of these contracts.
    #[serde(default)]
    pub from_block: u64,
    /// The ERC-20 that bonds are in.
    pub token: Address,
    /// `Registry`
    pub registry: Address,
    /// `Staking`
    pub staking: Address,
    /// `Preimages`
    pub preimages: Address,
    /// `Machine`
    pub machine: Address,
    /// `Disputes`
    pub disputes: Address,
    /// `Records`
    pub records: Address,
    /// `Quorum`
    pub quorum: Address,
    /// `Tasks`
    pub tasks: Address,
    /// `Faults`
    pub faults: Address,
    /// `SuretyToken`: what `Issuance` mints
    pub new_token: Address,
    /// `Issuance`
    pub issuance: Address,
    /// `Integrity`
    pub integrity: Address,
}

impl Deployment {
    /// Reads a deployment file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::Local(format!(
                "the deployment file {} cannot be read ({e}); `surety dev` writes one, or name it with --deployment",
                path.display()
            ))
        })?;
        serde_json::from_str(&text)
            .map_err(|e| Error::Local(format!("{} is not a deployment file: {e}", path.display())))
    }

    /// Writes a deployment file.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let fail = |e: String| Error::Local(format!("the deployment file {} cannot be written: {e}", path.display()));
        let text = serde_json::to_string_pretty(self).map_err(|e| fail(e.to_string()))?;
        std::fs::write(path, text + "\n").map_err(|e| fail(e.to_string()))
    }

    /// The EIP-712 domain of responses.
    pub fn response_domain(&self) -> Domain {
        Domain {
            chain_id: self.chain_id,
            verifying_contract: self.disputes,
        }
    }

    /// The EIP-712 domain of operators' registrations.
    pub fn registration_domain(&self) -> Domain {
        Domain {
            chain_id: self.chain_id,
            verifying_contract: self.registry,
        }
    }

    /// `Terms`, which `Tasks` creates: services' quorums and prices.
    pub fn terms(&self) -> Address {
        // A contract's nonce begins at 1 (EIP-161).
        self.tasks.create(1)
    }

    /// The EIP-712 domain of ballots.
    pub fn ballot_domain(&self) -> Domain {
        Domain {
            chain_id: self.chain_id,
            verifying_contract: self.quorum,
        }
    }

    /// Names and addresses, for checks and listings.
    pub fn contracts(&self) -> [(&'static str, Address); 14] {
        [
            ("token", self.token),
            ("Registry", self.registry),
            ("Staking", self.staking),
            ("Preimages", self.preimages),
            ("Machine", self.machine),
            ("Disputes", self.disputes),
            ("Records", self.records),
            ("Quorum", self.quorum),
            ("Tasks", self.tasks),
            ("Terms", self.terms()),
            ("Faults", self.faults),
            ("SuretyToken", self.new_token),
            ("Issuance", self.issuance),
            ("Integrity", self.integrity),
        ]
    }

    /// Checks that the endpoint serves this chain and has code at every address.
    pub async fn check(&self, rpc: &Rpc) -> Result<(), Error> {
        rpc.expect_chain(self.chain_id).await?;
        for (name, address) in self.contracts() {
            if rpc.code(address).await?.is_empty() {
                return Err(Error::NoCode {
                    name,
                    address,
                    chain_id: self.chain_id,
                });
            }
        }
        Ok(())
    }
}
