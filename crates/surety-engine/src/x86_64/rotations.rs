//! Rotations: three guest instructions that the host does with one.

use surety_machine::{Decoded, Effect, Op};

use super::{carries, fractions, products, swaps::accesses};

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

/// Instructions of a block, by their numbers in it, and what they are.
struct Rotation {
    parts: [(usize, Part); 3],
    /// The first, and the last: code that is entered between them has not made all parts.
    first: usize,
    last: usize,
    /// What the shifts make that are left out, if an access to memory may fault before nobody sees it any more.
    recipes: [Option<Recipe>; 2],
}

/// How far from its first instruction a rotation is looked for.
const REACH: usize = 64;

/// What is found about a block, kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Rotations {
    /// What each instruction is in a rotation.
    pub(super) parts: Vec<Part>,
    /// Numbers of the instructions that code cannot be entered at, since what is before them is done later.
    pub(super) within: Vec<usize>,
    pub(super) recipes: Vec<Recipe>,
}

impl Rotations {
    /// Finds the rotations of a block. They do not share instructions.
    pub(super) fn find(&mut self, block: &[Option<Decoded>]) {
        self.parts.clear();
        self.parts.resize(block.len(), Part::None);
        self.within.clear();
        self.recipes.clear();
        for index in 0..block.len() {
            let Some(rotation) = rotation(block, index) else {
                continue;
            };
            let free = |index: usize| self.parts.get(index) == Some(&Part::None);
            if !rotation.parts.iter().all(|(index, _)| free(*index)) {
                continue;
            }
            for (index, part) in rotation.parts {
                if let Some(place) = self.parts.get_mut(index) {
                    *place = part;
                }
            }
            self.within.extend(rotation.first + 1..=rotation.last);
            self.recipes.extend(rotation.recipes.into_iter().flatten());
        }
        fractions::find(block, &mut self.parts, &mut self.within);
        products::find(block, &mut self.parts, &mut self.within);
        carries::find(block, &mut self.parts, &mut self.within, &mut self.recipes);
    }
}

/// A rotation that the instructions from `index` on make: two shifts of one register, and what puts them together, the
/// shifts perhaps apart from each other and from it. What lies between does not touch any of them, and cannot leave; it
/// may fault as long as the register is still there that all is made from.
fn rotation(block: &[Option<Decoded>], index: usize) -> Option<Rotation> {
    let mut walk = Walk {
        // So that what a walk costs is bounded, whatever the block.
        block: block.get(..block.len().min(index + REACH)).unwrap_or_default(),
        from: 0,
        intact: true,
        accessed: false,
    };
    let first = walk.see(index)?;
    let (from, part) = (first.rs1, first.rd);
    if !matches!(first.op, Op::Slli | Op::Srli) || first.imm == 0 || from == 0 || part == 0 || from == part {
        return None;
    }
    walk.from = from;
    let (mut second, mut other) = (index + 1, walk.see(index + 1)?);
    loop {
        let complement = matches!((first.op, other.op), (Op::Slli, Op::Srli) | (Op::Srli, Op::Slli));
        if complement && other.rs1 == from && other.imm + first.imm == 32 {
            break;
        }
        if !walk.intact || touches(&other, part) {
            return None;
        }
        second += 1;
        other = walk.see(second)?;
    }
    if other.rd == 0 || other.rd == part {
        return None;
    }
    let (mut last, mut sum) = (second + 1, walk.see(second + 1)?);
    loop {
        if matches!(sum.op, Op::Or | Op::Xor | Op::Add)
            && [(part, other.rd), (other.rd, part)].contains(&(sum.rs1, sum.rs2))
        {
            break;
        }
        if touches(&sum, part) || touches(&sum, other.rd) {
            return None;
        }
        last += 1;
        sum = walk.see(last)?;
    }
    if sum.rd == 0 || ![part, other.rd].contains(&sum.rd) {
        return None;
    }
    let right = if first.op == Op::Srli { first.imm } else { other.imm } as u8;
    let whole = Part::Whole {
        from,
        to: sum.rd,
        right,
    };
    let recipe = |shift: &Decoded, after: usize, until: usize| Recipe {
        after: after as u32,
        until: until as u32,
        guest: shift.rd,
        from,
        make: if shift.op == Op::Slli { Make::Left } else { Make::Right },
        count: shift.imm as u8,
    };
    // The result takes the place of one of the parts.
    let (own, rest, (dead, after)) = if sum.rd == part {
        ((&first, index), second, (&other, second))
    } else {
        ((&other, second), index, (&first, index))
    };
    let before = (walk.intact, walk.accessed);
    if let Some(gone) = walk.gone(dead.rd, last + 1) {
        return Some(Rotation {
            parts: [(index, Part::Nothing), (second, whole), (last, Part::Nothing)],
            first: index,
            // Nor has code that is entered after them what a fault makes again.
            last: if walk.accessed { gone } else { last },
            recipes: [
                walk.accessed.then(|| recipe(own.0, own.1, last)),
                walk.accessed.then(|| recipe(dead, after, gone)),
            ],
        });
    }
    // The other part may be seen later, and is made where it was; the rest is done where all comes together.
    let (intact, accessed) = before;
    intact.then(|| Rotation {
        parts: [(own.1, Part::Nothing), (rest, Part::None), (last, whole)],
        first: index,
        last,
        recipes: [accessed.then(|| recipe(own.0, own.1, last)), None],
    })
}

/// A walk along a block, from the first of a rotation's instructions on.
struct Walk<'a> {
    block: &'a [Option<Decoded>],
    /// The register that all is made from, and whether it still holds it.
    from: u8,
    intact: bool,
    /// Whether an access to memory was seen.
    accessed: bool,
}

impl Walk<'_> {
    /// The next instruction; `None` if it may leave, or fault when what was left out could not be made again.
    fn see(&mut self, index: usize) -> Option<Decoded> {
        let instruction = self.block.get(index).copied().flatten()?;
        match instruction.op.instruction().effect {
            Effect::Set(_) | Effect::Nothing => {}
            Effect::Load(..) | Effect::Store(_) if self.intact => self.accessed = true,
            _ => return None,
        }
        self.intact &= self.from == 0 || accesses(&instruction, Part::None).1 != self.from;
        Some(instruction)
    }

    /// Where a register is overwritten that nobody reads from `index` on, with nothing that leaves before.
    fn gone(&mut self, register: u8, mut index: usize) -> Option<usize> {
        loop {
            let next = self.see(index)?;
            let ([a, b], to) = accesses(&next, Part::None);
            if [a, b].contains(&register) {
                return None;
            }
            if to == register {
                return Some(index);
            }
            index += 1;
        }
    }
}

/// Whether an instruction reads or writes a register.
fn touches(instruction: &Decoded, register: u8) -> bool {
    let ([a, b], to) = accesses(instruction, Part::None);
    [a, b, to].contains(&register)
}
