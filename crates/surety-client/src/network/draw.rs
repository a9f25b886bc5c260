//! Who executes and validates a step, as the contract computes it.

use alloy::primitives::{Address, B256};
use surety_chain::Contracts;
use surety_primitives::{
    sealed::PublicKey,
    selection::{Roles, among},
    set::Set,
    vote::{seed, task_id},
};

use super::{NetworkError, set_in_force};

/// The draw for one step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// the task: run and step
    pub task: B256,
    /// the set in force when the run was recorded
    pub set: Set,
    /// who has which part, by index in the set
    pub roles: Roles,
}

impl Draw {
    /// Who executes in this attempt (0 to 3).
    pub fn executor(&self, attempt: u8) -> Option<Address> {
        self.operator(self.roles.executor(attempt)?)
    }

    /// Who validates.
    pub fn committee(&self) -> Vec<Address> {
        let committee = self.roles.committee();
        committee.iter().filter_map(|index| self.operator(*index)).collect()
    }

    /// Whom a private payload is sealed for: all who are drawn (executor, committee, and those who would replace a
    /// missing executor), with the keys that are registered now.
    pub async fn recipients(&self, contracts: &Contracts) -> Result<Vec<(Address, PublicKey)>, NetworkError> {
        let mut recipients = Vec::new();
        for operator in self.roles.ranked().iter().filter_map(|index| self.operator(*index)) {
            let keys = contracts.network_keys(operator).await?;
            if keys.encryption.is_zero() {
                return Err(NetworkError::NoEncryptionKey(operator));
            }
            recipients.push((operator, PublicKey::from_word(keys.encryption)));
        }
        Ok(recipients)
    }

    fn operator(&self, index: usize) -> Option<Address> {
        self.set.member(index).map(|member| member.operator)
    }
}

/// Draws for a step of a run recorded in block `started_at`; `None` until the block after it exists, whose randomness
/// decides. Where `nodes` are named only they can be drawn.
pub async fn draw(
    contracts: &Contracts,
    service: Address,
    run: B256,
    step: u8,
    validators: u8,
    nodes: &[Address],
    started_at: u64,
) -> Result<Option<Draw>, NetworkError> {
    let Some(randomness) = contracts.randomness(started_at.saturating_add(1)).await? else {
        return Ok(None);
    };
    let set = set_in_force(contracts, service, started_at).await?;
    let named = set.among(nodes);
    let weights = among(&set.weights(), |index| nodes.is_empty() || named.contains(index));
    let roles = Roles::draw(seed(run, step, randomness.mix), &weights, validators);
    if roles.executor(0).is_none() {
        return Err(NetworkError::NobodyDrawn {
            service,
            set: set.number(),
        });
    }
    Ok(Some(Draw {
        task: task_id(run, step),
        set,
        roles,
    }))
}
