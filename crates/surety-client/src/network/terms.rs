//! A service's terms on-chain, brought to what its manifest says.

use alloy::primitives::{
    Address, B256, U256,
    aliases::{U80, U96},
    keccak256,
};
use surety_chain::{
    Actions, Contracts,
    bindings::{ITerms, Price},
};
use surety_protocol::manifest::{self, Network};

use super::NetworkError;

/// What `Terms` is told of a task's price.
pub fn price_of(price: &manifest::Price) -> Price {
    Price {
        perCall: U256::from(price.per_call).saturating_to::<U96>(),
        perSecond: U256::from(price.per_second).saturating_to::<U80>(),
        perKilobyte: U256::from(price.per_kilobyte).saturating_to::<U80>(),
    }
}

/// Sets quorum and prices as the manifest says, where they differ; the transactions sent. By the service's owner.
pub async fn set_terms(
    actions: &Actions,
    contracts: &Contracts,
    service: Address,
    network: &Network,
) -> Result<Vec<B256>, NetworkError> {
    let mut sent = Vec::new();
    if network.is_empty() {
        return Ok(sent);
    }
    let terms = contracts.deployment().terms();
    let quorum = contracts.rpc().call(terms, ITerms::quorumOfCall { service }).await?;
    if quorum != network.quorum {
        sent.push(actions.set_terms(service, network.quorum).await?.hash);
    }
    for (name, task) in &network.tasks {
        let (task, name) = (price_of(&task.price), keccak256(name));
        if contracts.price_of(service, name).await? != task {
            sent.push(actions.set_price(service, name, task).await?.hash);
        }
    }
    Ok(sent)
}
