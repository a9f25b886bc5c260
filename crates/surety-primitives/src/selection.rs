//! Who does what: weights and draws, in integers, as the contracts compute them (`docs/spec/network.md`, section 6).

use alloc::vec::Vec;
use alloy_primitives::{B256, U256, keccak256, uint};
use alloy_sol_types::SolValue;

/// Most validators of a step.
pub const MAX_VALIDATORS: u8 = 31;

/// Attempts that a task has: 0 to 3.
pub const ATTEMPTS: u8 = 4;

/// Seconds of support after which more counts nothing.
const LONGEST_SUPPORT: u64 = 90 * 86_400;

/// Seconds without another incident after which one is forgiven.
const FORGIVEN_AFTER: u64 = 30 * 86_400;

/// Wei of a token in thousandths: 10^15.
const THOUSANDTH: U256 = uint!(1_000_000_000_000_000_U256);

/// Wei of a token.
const TOKEN: U256 = uint!(1_000_000_000_000_000_000_U256);

/// What `Records` remembers of an operator's work for a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// Executions and validations done.
    pub done: u32,
    /// Executions and validations missed.
    pub missed: u32,
    /// Certificates without its signature.
    pub absent: u32,
    /// Certificates recorded for the service when the operator was first seen.
    pub first_call: u32,
    /// Faults it was slashed for.
    pub incidents: u16,
    /// Unix seconds of the last of them.
    pub last_incident: u64,
    /// Unix seconds when a set first had it; 0 if none has.
    pub first_seen: u64,
    /// Bond it lost, in whole tokens, rounded up.
    pub slashed: u32,
}

impl Record {
    /// Weight in selections: at least 1, at most 2^30.
    ///
    /// `bond` in wei of the token; `calls` certificates recorded for the service; `now` in Unix seconds.
    pub fn weight(&self, bond: U256, calls: u32, now: u64) -> u64 {
        let stake = (bond / THOUSANDTH).min(U256::from(1_u64 << 30)).saturating_to::<u64>();
        let seen = self.first_seen != 0;
        let calls = if seen {
            u64::from(calls.saturating_sub(self.first_call))
        } else {
            0
        };
        let support = if seen {
            now.saturating_sub(self.first_seen).min(LONGEST_SUPPORT)
        } else {
            0
        };
        let [done, missed, absent] = [self.done, self.missed, self.absent].map(u64::from);

        let success = 1024 * (done + 8) / (done + missed + 8);
        let uptime = 1024 * (calls + 8 - absent.min(calls)) / (calls + 8);
        let commitment = 512 + 512 * support / LONGEST_SUPPORT;
        let kept = self.kept(bond);
        let blame = 1024 >> self.remaining(now).min(10);

        // Every factor is at most 1,024, so no product leaves 2^40.
        let product = [success, uptime, commitment, kept, blame]
            .into_iter()
            .fold(stake, |weight, factor| weight * factor / 1024);
        product.max(1)
    }

    /// The part of all it ever bonded that it still has, of 1,024.
    fn kept(&self, bond: U256) -> u64 {
        let lost = U256::from(self.slashed) * TOKEN;
        // 512 bits would be needed only for bonds that no token has.
        let (scaled, total) = (bond.saturating_mul(U256::from(1024)), bond.saturating_add(lost));
        scaled.checked_div(total).map_or(0, |kept| kept.saturating_to::<u64>())
    }

    /// Incidents that are not forgiven.
    fn remaining(&self, now: u64) -> u64 {
        let forgiven = now.saturating_sub(self.last_incident) / FORGIVEN_AFTER;
        u64::from(self.incidents).saturating_sub(forgiven)
    }
}

/// The members drawn without replacement, by index: those with ranks 0 to `ranks` - 1, fewer if the weights run out.
pub fn order(seed: B256, weights: &[u64], ranks: usize) -> Vec<usize> {
    let mut left = weights.to_vec();
    let mut total: u128 = left.iter().map(|weight| u128::from(*weight)).sum();
    let mut drawn = Vec::new();
    for k in 0..ranks {
        let Some(mut at) = draw(seed, k as u64, total) else {
            break;
        };
        // The first at which the running sum exceeds `at`.
        let found = left
            .iter_mut()
            .enumerate()
            .find(|(_, weight)| match at.checked_sub(u128::from(**weight)) {
                Some(beyond) => {
                    at = beyond;
                    false
                }
                None => true,
            });
        let Some((index, weight)) = found else { break };
        total -= u128::from(core::mem::take(weight));
        drawn.push(index);
    }
    drawn
}

/// The member with this rank, by index; `None` when the weights run out before.
pub fn rank(seed: B256, weights: &[u64], k: usize) -> Option<usize> {
    order(seed, weights, k.saturating_add(1).min(weights.len()))
        .get(k)
        .copied()
}

/// keccak256(abi.encode(seed, k)) mod total; `None` if the total is zero.
fn draw(seed: B256, k: u64, total: u128) -> Option<u128> {
    let hash = keccak256((seed, U256::from(k)).abi_encode_params());
    let below = U256::from_be_bytes(hash.0).checked_rem(U256::from(total))?;
    u128::try_from(below).ok()
}

/// The weights of those that may be drawn; the others' are 0. `may` is asked for every index.
pub fn among(weights: &[u64], mut may: impl FnMut(usize) -> bool) -> Vec<u64> {
    let masked = |(index, weight): (usize, &u64)| if may(index) { *weight } else { 0 };
    weights.iter().enumerate().map(masked).collect()
}

/// Who has which part in a task: one drawn order, of which the executor is the first, the committee of validators the
/// next, and whoever executes when it is missing those after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    order: Vec<usize>,
    validators: usize,
}

impl Roles {
    /// Draws. `validators` is how many the step wants, at most [`MAX_VALIDATORS`]; what is more counts as that.
    pub fn draw(seed: B256, weights: &[u64], validators: u8) -> Self {
        let validators = usize::from(validators.min(MAX_VALIDATORS));
        Self {
            order: order(seed, weights, validators + usize::from(ATTEMPTS)),
            validators,
        }
    }

    /// Index of the member that executes in this attempt; `None` if there is none left, or from [`ATTEMPTS`] on.
    pub fn executor(&self, attempt: u8) -> Option<usize> {
        if attempt >= ATTEMPTS {
            return None;
        }
        let rank = if attempt == 0 {
            0
        } else {
            self.validators + usize::from(attempt)
        };
        self.order.get(rank).copied()
    }

    /// Indices of the members that validate: as many as the step wants, or all that are left.
    pub fn committee(&self) -> &[usize] {
        let end = self.order.len().min(self.validators + 1);
        self.order.get(1..end).unwrap_or_default()
    }

    /// Which attempt the member executes in, if any.
    pub fn attempt_of(&self, index: usize) -> Option<u8> {
        (0..ATTEMPTS).find(|attempt| self.executor(*attempt) == Some(index))
    }

    /// Everybody drawn, by rank.
    pub fn ranked(&self) -> &[usize] {
        &self.order
    }
}
