//! Rotations: three guest instructions that the host does with one.

use surety_machine::{Decoded, Effect, Op};

/// What an instruction is in a rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// It is in none.
    #[default]
    None,
    /// It does nothing by itself.
    Nothing,
    /// It does the whole: the register `from`, turned right by so many bits, to `to`.
    Whole { from: u8, to: u8, right: u8 },
}

/// Instructions of a block, by their numbers in it, and what they come to.
#[derive(Clone, Copy)]
struct Rotation {
    first: usize,
    second: usize,
    last: usize,
    from: u8,
    to: u8,
    right: u8,
}

/// Finds the rotations of a block: what each of its instructions is in one. They do not share instructions. `within`
/// gets the instructions that code cannot be entered at, since what is before them is done later.
pub(super) fn find(block: &[Option<Decoded>], parts: &mut Vec<Part>, mut within: impl FnMut(usize)) {
    parts.clear();
    parts.resize(block.len(), Part::None);
    for index in 0..block.len() {
        let Some(rotation) = rotation(block, index) else {
            continue;
        };
        let Rotation {
            first,
            second,
            last,
            from,
            to,
            right,
        } = rotation;
        let free = |index: &usize| parts.get(*index) == Some(&Part::None);
        if ![first, second, last].iter().all(free) {
            continue;
        }
        for (index, part) in [
            (first, Part::Nothing),
            (second, Part::Whole { from, to, right }),
            (last, Part::Nothing),
        ] {
            if let Some(place) = parts.get_mut(index) {
                *place = part;
            }
        }
        (first + 1..=last).for_each(&mut within);
    }
}

/// A rotation that the instructions from `index` on make: two shifts of one register, and what puts them together, the
/// shifts perhaps apart from each other and from it. What lies between does not touch any of them, and can neither
/// fault nor leave.
fn rotation(block: &[Option<Decoded>], index: usize) -> Option<Rotation> {
    let first = pure(block, index)?;
    let (from, part) = (first.rs1, first.rd);
    if !matches!(first.op, Op::Slli | Op::Srli) || first.imm == 0 || from == 0 || part == 0 || from == part {
        return None;
    }
    let (mut second, mut other) = (index + 1, pure(block, index + 1)?);
    loop {
        let complement = matches!((first.op, other.op), (Op::Slli, Op::Srli) | (Op::Srli, Op::Slli));
        if complement && other.rs1 == from && other.imm + first.imm == 32 {
            break;
        }
        if other.rd == from || touches(&other, part) {
            return None;
        }
        second += 1;
        other = pure(block, second)?;
    }
    if other.rd == 0 || other.rd == part {
        return None;
    }
    let (mut last, mut sum) = (second + 1, pure(block, second + 1)?);
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
        sum = pure(block, last)?;
    }
    // The parts are not seen after it, and the result takes the place of one of them.
    let dead = |register: u8| register == sum.rd || is_dead(block, register, last + 1);
    let right = if first.op == Op::Srli { first.imm } else { other.imm };
    (sum.rd != 0 && [part, other.rd].contains(&sum.rd) && dead(part) && dead(other.rd)).then_some(Rotation {
        first: index,
        second,
        last,
        from,
        to: sum.rd,
        right: right as u8,
    })
}

/// Whether an instruction reads or writes a register.
fn touches(instruction: &Decoded, register: u8) -> bool {
    [instruction.rd, instruction.rs1, instruction.rs2].contains(&register)
}

/// The instruction at `index`, if it is in the block and only sets a register.
fn pure(block: &[Option<Decoded>], index: usize) -> Option<Decoded> {
    let instruction = block.get(index).copied().flatten()?;
    matches!(instruction.op.instruction().effect, Effect::Set(_) | Effect::Nothing).then_some(instruction)
}

/// Whether nobody sees what a register holds before the instruction at `index`: it is overwritten in this block, and
/// nothing before that reads it or can leave the block.
fn is_dead(block: &[Option<Decoded>], register: u8, index: usize) -> bool {
    for slot in block.get(index..).unwrap_or_default() {
        let Some(instruction) = slot else { return false };
        if !matches!(instruction.op.instruction().effect, Effect::Set(_) | Effect::Nothing)
            || instruction.rs1 == register
            || instruction.rs2 == register
        {
            return false;
        }
        if instruction.rd == register {
            return true;
        }
    }
    false
}
