//! How many machine steps a request may take.

use core::fmt;

/// A number of machine steps, at most [`Budget::MAX`]. Not to be mistaken for a transaction's gas limit, which is
/// in thousands of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Budget(u64);

/// A budget that no dispute could settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("budget of {found} steps is above the limit of {} steps", Budget::MAX)]
pub struct BudgetError {
    /// Steps asked for; `u64::MAX` where the number does not fit.
    pub found: u64,
}

impl Budget {
    /// 2^45 steps (`docs/spec/dispute.md`, section 3).
    pub const MAX: u64 = 1 << 45;

    /// Steps that one unit of gas limit stands for (`docs/spec/wire.md`, section 1).
    pub const STEPS_PER_GAS: u64 = 1000;

    /// A budget of `steps` machine steps.
    pub const fn new(steps: u64) -> Result<Self, BudgetError> {
        if steps > Self::MAX {
            Err(BudgetError { found: steps })
        } else {
            Ok(Self(steps))
        }
    }

    /// The budget that a transaction's gas limit stands for.
    pub const fn from_gas_limit(gas_limit: u64) -> Result<Self, BudgetError> {
        match gas_limit.checked_mul(Self::STEPS_PER_GAS) {
            Some(steps) => Self::new(steps),
            None => Err(BudgetError { found: u64::MAX }),
        }
    }

    /// Machine steps.
    pub const fn steps(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Budget {
    type Error = BudgetError;

    fn try_from(steps: u64) -> Result<Self, BudgetError> {
        Self::new(steps)
    }
}

impl From<Budget> for u64 {
    fn from(budget: Budget) -> Self {
        budget.0
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
