//! What operators earned as signers: certificates pay all who signed at once, and each takes its part by its seats.

use alloy::primitives::{Address, U256};
use surety_chain::{Contracts, bindings::IQuorum};

use super::NetworkError;

/// A place of an operator in a set, and what is to be had there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// number of the set
    pub set: u64,
    /// index in the set
    pub index: u8,
    /// what its signatures earned and was not collected, in wei of the token
    pub uncollected: U256,
}

/// The operator's seats in all sets of a service from number `from` on.
pub async fn seats(
    contracts: &Contracts,
    service: Address,
    operator: Address,
    from: u64,
) -> Result<Vec<Seat>, NetworkError> {
    let quorum = contracts.deployment().quorum;
    let mut seats = Vec::new();
    for set in from.max(1)..=contracts.set_count(service).await? {
        let members = contracts
            .rpc()
            .call(quorum, IQuorum::operatorsOfCall { service, set })
            .await?;
        let place = members.iter().position(|member| *member == operator);
        // A set has at most 128 members.
        let Some(index) = place.and_then(|index| u8::try_from(index).ok()) else {
            continue;
        };
        seats.push(Seat {
            set,
            index,
            uncollected: contracts.uncollected(service, set, index).await?,
        });
    }
    Ok(seats)
}
