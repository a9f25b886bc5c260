//! Who is an operator of which service, and where operators are reached: what the registry says.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use libp2p::Multiaddr;

/// How many addresses of one operator are kept.
const ADDRESSES: usize = 4;

/// The members of each service, and their addresses. Made from the chain by the node, and replaced whenever that
/// changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    services: BTreeMap<Address, BTreeSet<Address>>,
    addresses: BTreeMap<Address, Vec<Multiaddr>>,
}

impl Members {
    /// Nobody, nowhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `operator` publish to `service`.
    pub fn insert(&mut self, service: Address, operator: Address) {
        self.services.entry(service).or_default().insert(operator);
    }

    /// Notes where `operator` can be dialled, with or without `/p2p` at the end; at most four addresses each, the
    /// first ones stay. Whoever answers there must have the operator's key.
    pub fn locate(&mut self, operator: Address, address: Multiaddr) {
        let known = self.addresses.entry(operator).or_default();
        if known.len() < ADDRESSES && !known.contains(&address) {
            known.push(address);
        }
    }

    /// Whether `operator` may publish to `service`.
    pub fn is_member(&self, service: Address, operator: Address) -> bool {
        self.services
            .get(&service)
            .is_some_and(|members| members.contains(&operator))
    }

    /// The services of `operator`, ascending.
    pub fn services_of(&self, operator: Address) -> impl Iterator<Item = Address> {
        self.services
            .iter()
            .filter(move |(_, members)| members.contains(&operator))
            .map(|(service, _)| *service)
    }

    /// Whether two operators have a service in common.
    pub fn are_fellows(&self, one: Address, other: Address) -> bool {
        self.services
            .values()
            .any(|members| members.contains(&one) && members.contains(&other))
    }

    /// Everybody, other than itself, with whom `operator` has a service in common.
    pub fn fellows_of(&self, operator: Address) -> BTreeSet<Address> {
        let mut all = BTreeSet::new();
        for members in self.services.values().filter(|members| members.contains(&operator)) {
            all.extend(members);
        }
        all.remove(&operator);
        all
    }

    /// Where `operator` can be dialled.
    pub fn addresses_of(&self, operator: Address) -> &[Multiaddr] {
        self.addresses.get(&operator).map_or(&[], Vec::as_slice)
    }
}
