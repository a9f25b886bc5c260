//! What the host does at once with several instructions, found once for all blocks.

use std::ops::Range;

use surety_machine::{Decoded, Op};

use super::{blocks::Marks, carries, fractions, products, rotations};

/// What an instruction is in something that the host does at once: a rotation, a product of 64 bits, a sum of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// It is in none.
    #[default]
    None,
    /// It does nothing by itself.
    Nothing,
    /// It does the whole: the register `from`, turned right by so many bits, to `to`.
    Whole { from: u8, to: u8, right: u8 },
    /// Half of a product; `to` is written where the other half is.
    Later { to: u8 },
    /// Both halves of `a` times `b`, the upper one as `op` has it.
    Product { op: Op, a: u8, b: u8, low: u8, high: u8 },
    /// The 64 bits of `a` times `b`, the upper half as `op` has it, shifted right: `to` is the lower half then. The one
    /// of `low` and `high` that is a register is that half of the product, shifted by itself.
    Fraction {
        op: Op,
        a: u8,
        b: u8,
        to: u8,
        low: u8,
        high: u8,
        right: u8,
    },
    /// A sum that leaves the host's flags alone.
    Quiet,
    /// A sum, a difference or a comparison that leaves its carry in the flag; a comparison does nothing else.
    Flags,
    /// Takes the carry from the flag, after the instruction has set it if `set`: `to` is the carry, if it is a register,
    /// and `sum` is `of` and the carry, or `of` less the carry.
    Carry {
        set: bool,
        to: u8,
        sum: u8,
        of: u8,
        less: bool,
    },
    /// `to` is written elsewhere, earlier or later.
    Elsewhere { to: u8 },
}

/// How to make again what the host leaves out: after a fault within a rotation, or where what one of its shifts makes is
/// overwritten before anybody sees it; and between a carry and its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Recipe {
    /// For faults after this instruction, by its number.
    pub(super) after: u32,
    /// And up to this one.
    pub(super) until: u32,
    /// The guest register to make, and what it is made of.
    pub(super) guest: u8,
    pub(super) from: u8,
    pub(super) make: Make,
    pub(super) count: u8,
}

/// How a register is made again, by the number that it has in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Make {
    /// `from` shifted by `count`.
    Right = 0,
    Left = 1,
    /// The carry that was added to `from`, or taken from it: what the register holds is the result.
    More = 2,
    Less = 3,
}

impl Make {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Make::Right, Make::Left, Make::More, Make::Less]
            .into_iter()
            .find(|make| *make as u8 == number)
    }
}

impl Recipe {
    /// What the register was to hold, from what it and `from` do.
    pub(super) fn made(&self, own: u32, from: u32) -> u32 {
        let count = u32::from(self.count & 31);
        match self.make {
            Make::Right => from >> count,
            Make::Left => from << count,
            Make::More => own.wrapping_sub(from),
            Make::Less => from.wrapping_sub(own),
        }
    }
}

/// The joined instructions of a program.
#[derive(Debug)]
pub(super) struct Joins {
    /// What each instruction is in what is done at once.
    pub(super) parts: Vec<Part>,
    /// Instructions that code cannot be entered at, since what is before them is done later.
    pub(super) closed: Marks,
    /// By the first instructions of what they belong to.
    pub(super) recipes: Vec<Recipe>,
}

impl Joins {
    pub(super) fn new(instructions: &[Option<Decoded>], blocks: &[Range<usize>]) -> Self {
        let mut joins = Joins {
            parts: vec![Part::None; instructions.len()],
            closed: Marks::new(instructions.len()),
            recipes: Vec::new(),
        };
        // Of a block, with its instructions counted from the first.
        let (mut within, mut recipes) = (Vec::new(), Vec::new());
        for block in blocks {
            let (Some(code), Some(parts)) = (instructions.get(block.clone()), joins.parts.get_mut(block.clone()))
            else {
                continue;
            };
            rotations::find(code, parts, &mut within, &mut recipes);
            fractions::find(code, parts, &mut within);
            products::find(code, parts, &mut within);
            carries::find(code, parts, &mut within, &mut recipes);
            for index in within.drain(..) {
                joins.closed.set(block.start + index);
            }
            let start = block.start as u32;
            joins.recipes.extend(recipes.drain(..).map(|recipe: Recipe| Recipe {
                after: start + recipe.after,
                until: start + recipe.until,
                ..recipe
            }));
        }
        joins
    }
}
