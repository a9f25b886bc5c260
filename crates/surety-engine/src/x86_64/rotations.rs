//! Rotations: three guest instructions that the host does with one.

use surety_machine::{Decoded, Effect, Op};

use super::{
    joins::{Make, Part, Recipe},
    swaps::accesses,
};

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

/// Finds the rotations of a block, among instructions that are in nothing else; `within` gets the numbers of the
/// instructions that code cannot be entered at.
pub(super) fn find(block: &[Option<Decoded>], parts: &mut [Part], within: &mut Vec<usize>, recipes: &mut Vec<Recipe>) {
    for index in 0..block.len() {
        let Some(rotation) = rotation(block, index) else {
            continue;
        };
        let free = |index: usize| parts.get(index) == Some(&Part::None);
        if !rotation.parts.iter().all(|(index, _)| free(*index)) {
            continue;
        }
        for (index, part) in rotation.parts {
            if let Some(place) = parts.get_mut(index) {
                *place = part;
            }
        }
        within.extend(rotation.first + 1..=rotation.last);
        recipes.extend(rotation.recipes.into_iter().flatten());
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
