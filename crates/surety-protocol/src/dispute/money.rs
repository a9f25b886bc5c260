//! Who pays whom when a dispute is settled (`docs/spec/dispute.md`, section 6).

use super::Claim;
use alloc::vec::Vec;
use alloy_primitives::{Address, U256};

const BASIS_POINTS: u64 = 10_000;

/// Parts of a loss, in basis points.
const SURVIVORS: u64 = 2_000;
const OPENER: u64 = 500;
const SETTLER: u64 = 500;
/// What a liar cannot pay to itself: it can be requester, survivor, opener and settler under other names.
const BURNT: u64 = 3_000;

/// What each eliminated claim loses of its bond, in basis points, given all their bonds: all of it while the bonds sum
/// up to at most twice the largest, and beyond that what makes twice the largest in all. By bonds, not by heads, so
/// that accomplices with next to nothing at stake cannot make a lie cheaper; nor can co-signers of the right answer,
/// who do not count. Bonds are below 2^96.
pub fn severity(bonds: impl IntoIterator<Item = U256>) -> U256 {
    let (sum, largest) = bonds
        .into_iter()
        .fold((U256::ZERO, U256::ZERO), |(sum, largest), bond| {
            (sum.saturating_add(bond), largest.max(bond))
        });
    let most = largest.saturating_mul(U256::from(2));
    if sum <= most {
        U256::from(BASIS_POINTS)
    } else {
        most.saturating_mul(U256::from(BASIS_POINTS)) / sum
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
    /// Asked for the answer that was wrong: 40 %, and what rounding leaves.
    Requester,
    /// Claimed what was right: 20 %, in equal parts.
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

/// The money that moves when a dispute is settled. Slashes have the same sum as credits and what is burnt (P7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// What the losers pay.
    pub slashes: Vec<Slash>,
    /// Who gets it.
    pub credits: Vec<Credit>,
    /// What nobody gets: 30 % of each slash.
    pub burnt: U256,
}

impl Settlement {
    /// Settles over the claims of a finished dispute. `bond` gives each operator's bond.
    pub fn new(claims: &[Claim], opener: Address, settler: Address, bond: impl Fn(Address) -> U256) -> Self {
        let mut out = Self::default();
        let survivors = || claims.iter().filter(|c| c.live);
        let losers = || claims.iter().filter(|c| !c.live);
        let severity = severity(losers().map(|c| bond(c.detail.operator)));
        let part = |amount: U256, bp: U256| amount * bp / U256::from(BASIS_POINTS);
        let basis_points = |amount: U256, bp: u64| part(amount, U256::from(bp));
        for loser in losers() {
            let amount = part(bond(loser.detail.operator), severity);
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
            let each = basis_points(amount, SURVIVORS) / U256::from(survivors().count().max(1));
            for survivor in survivors() {
                pay(survivor.detail.operator, Role::Survivor, each);
            }
            pay(opener, Role::Opener, basis_points(amount, OPENER));
            pay(settler, Role::Settler, basis_points(amount, SETTLER));
            let burnt = basis_points(amount, BURNT);
            left -= burnt;
            out.burnt += burnt;
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
