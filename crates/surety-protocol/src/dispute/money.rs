//! Who pays whom when a dispute is settled (`docs/spec/dispute.md`, section 6).

use super::Claim;
use alloc::vec::Vec;
use alloy_primitives::{Address, U256};

const BASIS_POINTS: u64 = 10_000;

/// What an eliminated claim loses of its bond when `losers` claims are eliminated, in basis points: all of it if there
/// are one or two, less the more there are. Survivors do not count, so that co-signers of the right answer cannot make
/// a lie cheaper.
pub const fn severity(losers: usize) -> u64 {
    if losers <= 2 {
        BASIS_POINTS
    } else {
        2 * BASIS_POINTS / losers as u64
    }
}

/// Bond taken from a loser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slash {
    /// Who loses it.
    pub operator: Address,
    /// How much.
    pub amount: U256,
}

/// In what role somebody is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Asked for the answer that was wrong: 50 %, and what rounding leaves.
    Requester,
    /// Claimed what was right: 40 %, in equal parts.
    Survivor,
    /// Opened the dispute: 5 %.
    Opener,
    /// Settled it: 5 %.
    Settler,
}

/// Money to be withdrawn by somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Who.
    pub to: Address,
    /// In what role.
    pub role: Role,
    /// How much.
    pub amount: U256,
}

/// The money that moves when a dispute is settled. Slashes and credits have the same sum (P7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// What the losers pay.
    pub slashes: Vec<Slash>,
    /// Who gets it.
    pub credits: Vec<Credit>,
}

impl Settlement {
    /// Settles over the claims of a finished dispute. `bond` gives each operator's bond.
    pub fn new(claims: &[Claim], opener: Address, settler: Address, bond: impl Fn(Address) -> U256) -> Self {
        let mut out = Self::default();
        let survivors = || claims.iter().filter(|c| c.live);
        let losers = claims.iter().filter(|c| !c.live).count();
        let basis_points = |amount: U256, bp: u64| amount * U256::from(bp) / U256::from(BASIS_POINTS);
        for loser in claims.iter().filter(|c| !c.live) {
            let amount = basis_points(bond(loser.detail.operator), severity(losers));
            out.slashes.push(Slash {
                operator: loser.detail.operator,
                amount,
            });
            let mut left = amount;
            let mut pay = |to, role, amount| {
                left -= amount;
                out.credits.push(Credit { to, role, amount });
            };
            // A game always leaves a survivor; a verdict may not, and then the requester gets their part.
            let each = basis_points(amount, 4_000) / U256::from(survivors().count().max(1));
            for survivor in survivors() {
                pay(survivor.detail.operator, Role::Survivor, each);
            }
            pay(opener, Role::Opener, basis_points(amount, 500));
            pay(settler, Role::Settler, basis_points(amount, 500));
            out.credits.push(Credit {
                to: loser.detail.requester,
                role: Role::Requester,
                amount: left,
            });
        }
        out
    }

    /// Bond taken from all losers.
    pub fn slashed(&self) -> U256 {
        self.slashes.iter().map(|s| s.amount).sum()
    }
}
