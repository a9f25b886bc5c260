//! Sets, read from the chain.

use alloy::primitives::Address;
use surety_chain::{Contracts, bindings::IQuorum};
use surety_primitives::set::Set;

use super::NetworkError;

/// A set of a service with its roll, checked for consistency.
pub async fn set(contracts: &Contracts, service: Address, number: u64) -> Result<Set, NetworkError> {
    let quorum = contracts.deployment().quorum;
    let rpc = contracts.rpc();
    let header = rpc.call(quorum, IQuorum::setOfCall { service, set: number }).await?;
    if header.fixedAt == 0 {
        let count = contracts.set_count(service).await?;
        return Err(NetworkError::UnknownSet {
            service,
            set: number,
            count,
        });
    }
    let [first, second] = rpc.call(quorum, IQuorum::pagesOfCall { service, set: number }).await?;
    let first = rpc.code(first).await?;
    let second = if second.is_zero() {
        Default::default()
    } else {
        rpc.code(second).await?
    };
    Set::from_pages(service, number, header.fixedAt, [&first, &second]).map_err(|error| NetworkError::Roll {
        service,
        set: number,
        error,
    })
}

/// The service's newest set; `None` if none was ever fixed.
pub async fn newest_set(contracts: &Contracts, service: Address) -> Result<Option<Set>, NetworkError> {
    match contracts.set_count(service).await? {
        0 => Ok(None),
        number => set(contracts, service, number).await.map(Some),
    }
}

/// The set that is in force at a block: the last one fixed at or before it.
pub async fn set_in_force(contracts: &Contracts, service: Address, block: u64) -> Result<Set, NetworkError> {
    let call = IQuorum::setAtCall { service, block_: block };
    match contracts.rpc().call(contracts.deployment().quorum, call).await? {
        0 => Err(NetworkError::NoSet { service, block }),
        number => set(contracts, service, number).await,
    }
}
