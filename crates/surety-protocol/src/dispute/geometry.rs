//! Where things are in a trace and in the dissections of it (`docs/spec/dispute.md`, sections 3 to 5).

use surety_primitives::Budget;

/// Segments of a dissection.
pub const ARITY: u64 = 32;

/// Inner points of a dissection.
pub const POINTS: usize = 31;

/// log2 of [`ARITY`].
const DIGIT_BITS: u32 = 5;

/// The extended trace of a statement: positions 0 to 32^levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    budget: u64,
    levels: u8,
}

/// How the value at a position follows from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transition {
    /// One machine step, from state root to state root.
    Step,
    /// From the last state root to the result hash of that state.
    Projection,
    /// From the result to itself.
    Identity,
}

/// Who asserted the value at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// Position 0: it follows from the statement.
    Statement,
    /// A point of the dissection with this number, from 1.
    Dissection(u8),
    /// The end of the whole trace: the claim of `a`.
    Claim,
}

impl Geometry {
    /// The trace of `budget` steps: as many levels, at least 1, as make 32^levels >= budget + 1.
    pub const fn new(budget: Budget) -> Self {
        let budget = budget.steps();
        let mut levels = 1;
        // A budget has at most 46 bits: at most 10 levels.
        while budget >> (DIGIT_BITS * levels as u32) != 0 {
            levels += 1;
        }
        Self { budget, levels }
    }

    /// Steps of the statement.
    pub const fn budget(&self) -> u64 {
        self.budget
    }

    /// Dissections of a match, 1 to 10.
    pub const fn levels(&self) -> u8 {
        self.levels
    }

    /// Moves of a match: the dissections, then the step.
    pub const fn moves(&self) -> u8 {
        self.levels + 1
    }

    /// The last position, 32^levels.
    pub const fn length(&self) -> u64 {
        1 << (DIGIT_BITS * self.levels as u32)
    }

    /// Distance of the points of a dissection, numbered from 1: 32^(levels - dissection). 1 above the last.
    pub const fn stride(&self, dissection: u8) -> u64 {
        1 << (DIGIT_BITS * self.levels.saturating_sub(dissection) as u32)
    }

    /// Positions of the 31 points of dissection number `dissection` of the segment that begins at `start`.
    pub fn points(&self, dissection: u8, start: u64) -> [u64; POINTS] {
        let stride = self.stride(dissection);
        core::array::from_fn(|i| start.saturating_add(stride.saturating_mul(i as u64 + 1)))
    }

    /// Start of segment `segment` of dissection number `dissection` of the segment that begins at `start`.
    pub const fn segment_start(&self, dissection: u8, start: u64, segment: u8) -> u64 {
        start.saturating_add(self.stride(dissection).saturating_mul(segment as u64))
    }

    /// The `i`-th digit, base 32, of a position, most significant first, from 1; 0 for `i` = 0.
    pub const fn digit(&self, position: u64, i: u8) -> u8 {
        let shift = DIGIT_BITS * self.levels.saturating_sub(i) as u32;
        ((position >> shift) & (ARITY - 1)) as u8
    }

    /// Who asserted the value at a position of a match that has come down to it.
    pub const fn author(&self, position: u64) -> Author {
        if position == 0 {
            Author::Statement
        } else if position >= self.length() {
            Author::Claim
        } else {
            // Below 32^levels, so there are fewer zero digits than levels.
            Author::Dissection(self.levels - (position.trailing_zeros() / DIGIT_BITS) as u8)
        }
    }

    /// What leads from `position` to the next.
    pub const fn transition(&self, position: u64) -> Transition {
        if position < self.budget {
            Transition::Step
        } else if position == self.budget {
            Transition::Projection
        } else {
            Transition::Identity
        }
    }
}
