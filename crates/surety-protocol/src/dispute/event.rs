//! What the `Disputes` contract emits.

use super::Points;
use alloc::boxed::Box;
use alloy_primitives::{Address, B256, U256};
use surety_primitives::{ClaimDetail, ResultHash, Statement};

/// An event of one dispute, as `IDisputes` declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A dispute about a statement began.
    Opened {
        /// Who opened it.
        opener: Address,
        /// What it is about.
        statement: Statement,
        /// Until when claims can be added, Unix seconds.
        join_until: u64,
    },
    /// A claim was added.
    Claimed {
        /// Its index, from 0.
        index: u8,
        /// Whose claim, and what it says.
        detail: ClaimDetail,
    },
    /// Two claims were paired.
    MatchStarted {
        /// The party that moves first: the lower index.
        a: u8,
        /// The other.
        b: u8,
        /// Dissections before the step.
        levels: u8,
        /// M_0.
        head: B256,
    },
    /// A move, but for the last.
    Dissected {
        /// Number of the move, from 1.
        number: u8,
        /// Segment of the dissection before that it dissects; 0 for move 1.
        segment: u8,
        /// The head after the move.
        head: B256,
        /// The points asserted.
        points: Box<Points>,
    },
    /// The last move: the mover proved the step at a position.
    Stepped {
        /// Position of the transition.
        position: u64,
    },
    /// The party on move was out of time.
    Expired,
    /// The service's own proof system proved a result; the eliminations follow.
    Decided {
        /// The result.
        result: ResultHash,
    },
    /// A claim is out; its match, if it was in one, is over.
    Eliminated {
        /// Which claim.
        index: u8,
        /// Whose.
        operator: Address,
        /// Until when claims can be added now, Unix seconds.
        join_until: u64,
    },
    /// It is over and paid out.
    Settled {
        /// The surviving result.
        result: ResultHash,
        /// Bond taken from all losers, in the token's smallest unit.
        slashed: U256,
    },
}

/// Where an event is on the chain. Later events compare greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// Block number.
    pub block: u64,
    /// Index of the log in the block.
    pub log: u64,
    /// Time of the block, Unix seconds.
    pub time: u64,
}
