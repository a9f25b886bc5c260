//! Verifying certificates: nothing of a node's is believed, all that counts is read from the chain.

use alloy::primitives::{Address, B256};
use surety_chain::Contracts;
use surety_primitives::{
    certificate::{Proven, Quorum},
    set::Set,
    vote::VoteKind,
};

use super::{NetworkError, set};

/// A vote that a quorum has signed, and what that was checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// the vote and its certificate
    pub proven: Proven,
    /// the set it is of
    pub set: Set,
    /// the quorum that counts for the set
    pub quorum: Quorum,
    /// power of those who signed
    pub power: u128,
}

impl Checked {
    /// Operators that signed, in the set's order.
    pub fn signers(&self) -> Vec<Address> {
        let signers = self.proven.certificate.signers;
        signers
            .iter()
            .filter_map(|index| self.set.member(index))
            .map(|member| member.operator)
            .collect()
    }

    /// Members that did not sign, in the set's order.
    pub fn absent(&self) -> Vec<Address> {
        let signers = self.proven.certificate.signers;
        let members = self.set.members().iter().enumerate();
        members
            .filter(|(index, _)| !signers.contains(*index))
            .map(|(_, member)| member.operator)
            .collect()
    }
}

/// Verifies a vote against the chain: its Merkle proof, the signature with the keys of the set's roll, and that the
/// signers reach the quorum that counts for the set.
pub async fn check(contracts: &Contracts, proven: Proven) -> Result<Checked, NetworkError> {
    let (service, number) = (proven.certificate.ballot.service, proven.certificate.ballot.set);
    let set = set(contracts, service, number).await?;
    let points = contracts.quorum_at(service, number).await?;
    let quorum = Quorum::new(points).map_err(|error| NetworkError::Quorum {
        service,
        set: number,
        error,
    })?;
    let domain = contracts.deployment().ballot_domain();
    let power = proven.verify_quorum(&domain, &set, quorum)?;
    Ok(Checked {
        proven,
        set,
        quorum,
        power,
    })
}

/// As [`check`], and the vote must be about this event of this service.
pub async fn check_event(
    contracts: &Contracts,
    proven: Proven,
    service: Address,
    key: B256,
) -> Result<Checked, NetworkError> {
    let found = (proven.certificate.ballot.service, proven.vote.kind, proven.vote.subject);
    let expected = (service, VoteKind::Event, key);
    if found != expected {
        let show = |(service, kind, subject): (Address, VoteKind, B256)| format!("{kind:?} {subject} of {service}");
        return Err(NetworkError::AnotherSubject {
            found: show(found),
            expected: show(expected),
        });
    }
    check(contracts, proven).await
}
