//! Products of numbers with a binary point: 64 bits shifted down to 32, for which the guest takes both halves of a product
//! and shifts each.

use surety_machine::{Decoded, Effect, Op};

use super::{
    joins::Part,
    swaps::{accesses, is_skipped},
};

/// How far apart the instructions may be, and how far after them a half that nobody reads has to be overwritten.
const REACH: usize = 16;

/// Finds them in a block, among instructions that are in nothing else; `within` gets the numbers of the instructions that
/// code cannot be entered at.
pub(super) fn find(block: &[Option<Decoded>], parts: &mut [Part], within: &mut Vec<usize>) {
    for (first, slot) in block.iter().enumerate() {
        let Some(instruction) = slot else { continue };
        if instruction.op != Op::Mul && !upper(instruction.op) {
            continue;
        }
        let Some(found) = fraction(block, first, instruction) else {
            continue;
        };
        let Fraction {
            all,
            since,
            part,
            later,
        } = found;
        if !all.iter().all(|index| parts.get(*index) == Some(&Part::None)) {
            continue;
        }
        for index in all {
            if let Some(place) = parts.get_mut(index) {
                *place = Part::Nothing;
            }
        }
        for (index, part) in [(later.0, later.1), (all[4], part)] {
            if let Some(place) = parts.get_mut(index) {
                *place = part;
            }
        }
        within.extend(since + 1..=all[4]);
    }
}

struct Fraction {
    /// Its instructions: the products, the shifts, and what puts all together.
    all: [usize; 5],
    /// After which instruction code cannot be entered.
    since: usize,
    /// What the last of them is, and another.
    part: Part,
    later: (usize, Part),
}

/// What is found of one, on the way along a block.
#[derive(Default)]
struct Halves {
    /// The product's half, and its shift: where it is, its register, and by how much it is shifted.
    low: Option<(usize, u8)>,
    high: Option<(usize, u8)>,
    right: Option<(usize, u32)>,
    left: Option<(usize, u32)>,
}

fn fraction(block: &[Option<Decoded>], first: usize, instruction: &Decoded) -> Option<Fraction> {
    let at = |index: usize| block.get(index).copied().flatten();
    if instruction.rd == 0 || instruction.rs1 == 0 || instruction.rs2 == 0 {
        return None;
    }
    let (mut found, mut since) = (Halves::default(), first);
    let (mut op, mut operands) = (instruction.op, (instruction.rs1, instruction.rs2));
    if op == Op::Mul {
        found.low = Some((first, instruction.rd));
    } else {
        found.high = Some((first, instruction.rd));
    }
    for index in first + 1..first + REACH {
        let one = at(index)?;
        if !matches!(one.op.instruction().effect, Effect::Set(_) | Effect::Nothing) {
            return None;
        }
        let own =
            |half: Option<(usize, u8)>| half.is_some_and(|(_, register)| (one.rd, one.rs1) == (register, register));
        let second = match (found.low, found.high) {
            (Some((_, low)), None) => upper(one.op) && one.rd != low,
            (None, Some((_, high))) => one.op == Op::Mul && one.rd != high,
            _ => false,
        };
        if second
            && one.rd != 0
            && let Some(known) = same(block, first, index, instruction, &one)
        {
            since = known;
            operands = (one.rs1, one.rs2);
            if one.op == Op::Mul {
                found.low = Some((index, one.rd));
            } else {
                found.high = Some((index, one.rd));
                op = one.op;
            }
        } else if one.op == Op::Srli && own(found.low) && found.right.is_none() && one.imm != 0 {
            found.right = Some((index, one.imm));
        } else if one.op == Op::Slli && own(found.high) && found.left.is_none() && one.imm != 0 {
            found.left = Some((index, one.imm));
        } else if let Halves {
            low: Some((of_low, low)),
            high: Some((of_high, high)),
            right: Some((to_right, right)),
            left: Some((to_left, left)),
        } = found
            && matches!(one.op, Op::Or | Op::Add | Op::Xor)
            && [(low, high), (high, low)].contains(&(one.rs1, one.rs2))
            && [low, high].contains(&one.rd)
            && left + right == 32
        {
            let (other, shifted) = if one.rd == low {
                (high, to_left)
            } else {
                (low, to_right)
            };
            let seen = !is_gone(block, index + 1, other);
            return Some(Fraction {
                since,
                all: [of_low, of_high, to_right, to_left, index],
                part: Part::Fraction {
                    op,
                    a: operands.0,
                    b: operands.1,
                    to: one.rd,
                    low: if seen && one.rd == high { low } else { 0 },
                    high: if seen && one.rd == low { high } else { 0 },
                    right: right as u8,
                },
                later: (
                    shifted,
                    if seen {
                        Part::Elsewhere { to: other }
                    } else {
                        Part::Nothing
                    },
                ),
            });
        } else {
            let ([a, b], to) = accesses(&one, Part::None);
            let halves = [found.low, found.high].map(|half| half.map_or(0, |(_, register)| register));
            if [a, b, to]
                .iter()
                .any(|register| *register != 0 && halves.contains(register))
                || to != 0 && [operands.0, operands.1].contains(&to)
            {
                return None;
            }
        }
    }
    None
}

fn upper(op: Op) -> bool {
    matches!(op, Op::Mulh | Op::Mulhu | Op::Mulhsu)
}

/// Since where it is known that two products are of the same numbers, if they are, perhaps by copies of them.
fn same(block: &[Option<Decoded>], first: usize, second: usize, one: &Decoded, other: &Decoded) -> Option<usize> {
    let pairs = |a: u8, b: u8| {
        let (a, b) = (
            copied(block, first, second, one.rs1, a)?,
            copied(block, first, second, one.rs2, b)?,
        );
        Some(a.min(b))
    };
    let turned = one.op != Op::Mulhsu && other.op != Op::Mulhsu;
    pairs(other.rs1, other.rs2).or_else(|| turned.then(|| pairs(other.rs2, other.rs1))?)
}

/// Since where it is known that `register` holds at the instruction `first` what `copy` does at `second`, if it does.
fn copied(block: &[Option<Decoded>], first: usize, second: usize, register: u8, copy: u8) -> Option<usize> {
    let writes = |index: usize, registers: [u8; 2]| {
        block
            .get(index)
            .copied()
            .flatten()
            .is_none_or(|one| registers.contains(&accesses(&one, Part::None).1))
    };
    if copy == 0 || (first..second).any(|index| writes(index, [copy; 2])) {
        return None;
    }
    if copy == register {
        return Some(first);
    }
    let made = (first.saturating_sub(REACH)..first)
        .rev()
        .find(|index| writes(*index, [register, copy]))?;
    let one = block.get(made).copied().flatten()?;
    let moves = one.op == Op::Addi && one.imm == 0;
    let fits = moves && [(register, copy), (copy, register)].contains(&(one.rd, one.rs1));
    (fits && !is_skipped(block, made)).then_some(made)
}

/// Whether a register is overwritten from `index` on before somebody reads it, and before anything faults or leaves.
fn is_gone(block: &[Option<Decoded>], index: usize, register: u8) -> bool {
    for index in index..index + REACH {
        let Some(one) = block.get(index).copied().flatten() else {
            return false;
        };
        let ([a, b], to) = accesses(&one, Part::None);
        if [a, b].contains(&register) || !matches!(one.op.instruction().effect, Effect::Set(_) | Effect::Nothing) {
            return false;
        }
        if to == register {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(op: Op, rd: u8, rs1: u8, rs2: u8, imm: u32) -> Option<Decoded> {
        Some(Decoded { op, rd, rs1, rs2, imm })
    }

    fn found(block: &[Option<Decoded>]) -> (Vec<Part>, Vec<usize>) {
        let mut parts = vec![Part::None; block.len()];
        let mut within = Vec::new();
        find(block, &mut parts, &mut within);
        (parts, within)
    }

    /// The square of a number with 26 bits after its point, as compilers write it: one half by a copy of the number.
    fn square() -> Vec<Option<Decoded>> {
        vec![
            one(Op::Addi, 12, 14, 0, 0),
            one(Op::Mulh, 8, 12, 12, 0),
            one(Op::Srai, 11, 14, 0, 31),
            one(Op::Mul, 14, 14, 14, 0),
            one(Op::Slli, 8, 8, 0, 6),
            one(Op::Srli, 14, 14, 0, 26),
            one(Op::Or, 8, 8, 14, 0),
        ]
    }

    fn whole(low: u8) -> Part {
        Part::Fraction {
            op: Op::Mulh,
            a: 14,
            b: 14,
            to: 8,
            low,
            high: 0,
            right: 26,
        }
    }

    #[test]
    fn a_product_with_a_point_is_one_instruction() {
        let mut block = square();
        // What follows does not need the lower half.
        block.push(one(Op::Mulh, 14, 15, 15, 0));
        let (parts, within) = found(&block);
        let before = [Part::None, Part::Nothing, Part::None, Part::Nothing, Part::Nothing];
        assert_eq!(parts[..5], before);
        assert_eq!(parts[5..], [Part::Nothing, whole(0), Part::None]);
        assert_eq!(within, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn the_other_half_is_kept_where_it_may_be_seen() {
        for after in [
            one(Op::Add, 9, 14, 9, 0),
            one(Op::Lw, 9, 2, 0, 0),
            one(Op::Beq, 0, 9, 8, 16),
        ] {
            let mut block = square();
            block.push(after);
            block.push(one(Op::Addi, 14, 0, 0, 0));
            let expected = [Part::Elsewhere { to: 14 }, whole(14)];
            assert_eq!(found(&block).0[5..7], expected, "{after:?}");
        }
    }

    #[test]
    fn what_comes_between_and_has_to_do_with_it_keeps_it_apart() {
        for between in [
            one(Op::Addi, 14, 0, 0, 0),
            one(Op::Addi, 8, 0, 0, 0),
            one(Op::Addi, 9, 8, 0, 0),
            one(Op::Lw, 9, 2, 0, 0),
            one(Op::Bne, 0, 9, 0, 16),
        ] {
            let mut block = square();
            block.insert(5, between);
            assert_eq!(found(&block).0, [Part::None; 8], "{between:?}");
        }
    }
}
