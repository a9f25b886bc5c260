//! Products of 64 bits: two guest instructions, one for each half, that the host does with one.

use surety_machine::{Decoded, Effect, Op};

use super::{joins::Part, swaps::accesses};

/// How far apart the halves may be.
const REACH: usize = 8;

/// Finds the products of a block, among instructions that are in nothing else; `within` gets the numbers of the
/// instructions that code cannot be entered at.
pub(super) fn find(block: &[Option<Decoded>], parts: &mut [Part], within: &mut Vec<usize>) {
    for first in 0..block.len() {
        let Some((second, low, high, op)) = product(block, first) else {
            continue;
        };
        if parts.get(first) != Some(&Part::None) || parts.get(second) != Some(&Part::None) {
            continue;
        }
        let Some(Some(Decoded { rd, rs1, rs2, .. })) = block.get(second).copied() else {
            continue;
        };
        let earlier = if rd == low { high } else { low };
        for (index, part) in [
            (first, Part::Later { to: earlier }),
            (
                second,
                Part::Product {
                    op,
                    a: rs1,
                    b: rs2,
                    low,
                    high,
                },
            ),
        ] {
            if let Some(place) = parts.get_mut(index) {
                *place = part;
            }
        }
        within.extend(first + 1..=second);
    }
}

/// The other half of the product at `first`, the registers of both halves, and the instruction of the upper one. What lies
/// between can neither fault nor leave, and has to do with none of it.
fn product(block: &[Option<Decoded>], first: usize) -> Option<(usize, u8, u8, Op)> {
    let at = |index: usize| block.get(index).copied().flatten();
    let one = at(first)?;
    let upper = |op: Op| matches!(op, Op::Mulh | Op::Mulhu | Op::Mulhsu);
    if !(one.op == Op::Mul || upper(one.op)) || [one.rs1, one.rs2, 0].contains(&one.rd) || one.rs1 == 0 || one.rs2 == 0
    {
        return None;
    }
    for second in first + 1..=first + REACH {
        let other = at(second)?;
        let same = (one.rs1, one.rs2) == (other.rs1, other.rs2)
            || (one.rs1, one.rs2) == (other.rs2, other.rs1) && one.op != Op::Mulhsu && other.op != Op::Mulhsu;
        if same && other.rd != 0 && other.rd != one.rd {
            if one.op == Op::Mul && upper(other.op) {
                return Some((second, one.rd, other.rd, other.op));
            }
            if other.op == Op::Mul && upper(one.op) {
                return Some((second, other.rd, one.rd, one.op));
            }
        }
        let ([a, b], to) = accesses(&other, Part::None);
        if !matches!(other.op.instruction().effect, Effect::Set(_) | Effect::Nothing)
            || [a, b, to].contains(&one.rd)
            || to != 0 && [one.rs1, one.rs2].contains(&to)
        {
            return None;
        }
    }
    None
}
