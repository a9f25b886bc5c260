//! What a machine must know of a set: who is in it and what each one's word weighs. Keys are the driver's.

use alloc::vec::Vec;
use alloy_primitives::{Address, B256};
use surety_primitives::{
    Domain,
    certificate::Quorum,
    set::{Set, Signers},
    vote::Ballot,
};

/// A set as the machines see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    service: Address,
    number: u64,
    domain: Domain,
    quorum: Quorum,
    members: Vec<(Address, u64)>,
    power: u128,
}

impl Roster {
    /// Members with their powers, in the set's order; 1 to 128, each once. `domain` names the L1 and `Quorum`.
    /// What is beyond 128 is left out: no [`Signers`] could name it.
    pub fn new(
        service: Address,
        number: u64,
        domain: Domain,
        quorum: Quorum,
        members: impl IntoIterator<Item = (Address, u64)>,
    ) -> Self {
        let members: Vec<_> = members.into_iter().take(surety_primitives::set::MAX_MEMBERS).collect();
        Self {
            service,
            number,
            domain,
            quorum,
            power: members.iter().map(|(_, power)| u128::from(*power)).sum(),
            members,
        }
    }

    /// Of a set with keys.
    pub fn of(set: &Set, domain: Domain, quorum: Quorum) -> Self {
        let members = set.members().iter().map(|member| (member.operator, member.power));
        Self::new(set.service(), set.number(), domain, quorum, members)
    }

    /// The service.
    pub fn service(&self) -> Address {
        self.service
    }

    /// Number of the set.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is nobody. No quorum is ever reached then.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Index of an operator.
    pub fn index_of(&self, operator: Address) -> Option<usize> {
        self.members.iter().position(|(member, _)| *member == operator)
    }

    /// Operator with this index.
    pub fn operator(&self, index: usize) -> Option<Address> {
        self.members.get(index).map(|(operator, _)| *operator)
    }

    /// A bit for every member.
    pub fn all(&self) -> Signers {
        (0..self.members.len()).collect()
    }

    /// Power of some together.
    pub fn power_of(&self, members: Signers) -> u128 {
        let power = |index| self.members.get(index).map_or(0, |(_, power)| u128::from(*power));
        members.iter().map(power).sum()
    }

    /// Whether these are a quorum.
    pub fn is_quorum(&self, members: Signers) -> bool {
        self.quorum.is_reached(self.power_of(members), self.power)
    }

    /// What a ballot with this root is signed over.
    pub fn digest(&self, root: B256) -> B256 {
        let (service, set) = (self.service, self.number);
        Ballot { service, set, root }.digest(&self.domain)
    }
}
