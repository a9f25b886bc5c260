//! Whom to ask.

use alloy::primitives::{Address, U256};
use rand::Rng;
use surety_chain::OperatorInfo;

/// How many providers are asked, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Answers wanted. 1 trusts a single bonded provider; from 2 on a lie is seen if one of them is honest.
    pub k: usize,
    /// Probability, 0 to 1, of asking one more than `k`: a liar never knows whether it is being checked.
    pub audit: f64,
    /// These operators, in this order, instead of a choice by chance; then `k` is their number and none is replaced.
    pub fixed: Vec<Address>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            k: 1,
            audit: 0.0,
            fixed: Vec::new(),
        }
    }
}

/// Whom to ask, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// answers wanted
    pub wanted: usize,
    /// candidates; those after the first `wanted` replace providers that do not answer
    pub order: Vec<OperatorInfo>,
    /// whether one more was added to audit the others
    pub audited: bool,
}

impl Policy {
    /// Orders the candidates by chance, weighted by stake (Efraimidis and Spirakis' weighted sampling without
    /// replacement, done by drawing), and decides how many are wanted.
    pub fn choose<R: Rng>(&self, candidates: Vec<OperatorInfo>, rng: &mut R) -> Choice {
        if !self.fixed.is_empty() {
            let order: Vec<_> = self
                .fixed
                .iter()
                .filter_map(|wanted| candidates.iter().find(|c| c.operator == *wanted).cloned())
                .collect();
            return Choice {
                wanted: self.fixed.len(),
                order,
                audited: false,
            };
        }
        let audited = self.audit > 0.0 && rng.random::<f64>() < self.audit;
        let wanted = self.k.max(1).saturating_add(usize::from(audited));
        let mut left = candidates;
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let at = draw(&left, rng);
            order.push(left.swap_remove(at));
        }
        Choice { wanted, order, audited }
    }
}

/// An index with probability proportional to the bond there.
fn draw<R: Rng>(candidates: &[OperatorInfo], rng: &mut R) -> usize {
    let total: U256 = candidates.iter().fold(U256::ZERO, |sum, c| sum.saturating_add(c.bond));
    if total.is_zero() {
        return rng.random_range(0..candidates.len().max(1));
    }
    // 256 random bits modulo a total below 2^128: the bias is below 2^-128.
    let mut bytes = [0_u8; 32];
    rng.fill(&mut bytes);
    let mut point = U256::from_be_bytes(bytes) % total;
    for (i, candidate) in candidates.iter().enumerate() {
        match point.checked_sub(candidate.bond) {
            Some(rest) => point = rest,
            None => return i,
        }
    }
    candidates.len().saturating_sub(1)
}
