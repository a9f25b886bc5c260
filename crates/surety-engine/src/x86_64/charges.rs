//! How many steps are charged when a block is entered: its own, and those of what follows it on the longest way that
//! comes to no end before.
//!
//! Code that counts steps exactly needs no instruction for it on every way, only on all ways but one of those that
//! part: what is charged at the start of a loop's body is enough for the longest way through it, and shorter ways give
//! back what they are shorter by where they part from it. (Ball and Larus, "Optimally profiling and tracing programs",
//! place counters so; here the longest way is the one without, since what is given back needs no check.)

use std::ops::Range;

use surety_machine::{Decoded, Effect, Op};

use super::blocks::{skips, target};

/// The most steps charged at once: what the interpreter finishes where fewer are left.
const MOST: usize = 500;

/// How far from an outer loop's start the jump into an inner one is looked for.
const LONGEST_ENTRY: usize = 64;

/// What is charged for each block.
#[derive(Debug)]
pub(super) struct Charges {
    /// By the blocks' first instructions. At least the block's own steps.
    steps: Vec<u16>,
}

impl Charges {
    /// `loops` are the first instructions of loops and the ends of those that lead back there, by the ends. `ends` says
    /// which blocks end the ways that are charged at once: where a loop starts, which is charged turn by turn, or a
    /// function that the host has code for.
    pub(super) fn new(
        instructions: &[Option<Decoded>],
        blocks: &[Range<usize>],
        loops: &[(usize, usize)],
        ends: impl Fn(usize) -> bool,
    ) -> Self {
        let mut steps = vec![0; instructions.len()];
        let mut loops = loops.iter().rev().copied().peekable();
        // The loops around the present instruction, the one that ends first last. Others that start after it may still be
        // among them.
        let mut around: Vec<(usize, usize)> = Vec::new();
        for Range { start: first, end } in blocks.iter().rev().cloned() {
            let mut most = end - first;
            for index in (first..end).rev() {
                let Some(to) = leads(instructions, index, end).filter(|to| !ends(*to)) else {
                    continue;
                };
                while let Some(next) = loops.next_if(|(_, end)| *end > index) {
                    around.push(next);
                }
                while around.last().is_some_and(|(first, _)| *first > index) {
                    around.pop();
                }
                // What comes after a loop is not charged in it: each turn would have to give it back.
                if around.last().is_none_or(|(_, end)| to < *end) || is_entered_at(instructions, &around, to) {
                    let way = index + 1 - first + steps.get(to).copied().map_or(0, usize::from);
                    if way <= MOST {
                        most = most.max(way);
                    }
                }
            }
            if let Some(steps) = steps.get_mut(first) {
                *steps = most as u16;
            }
        }
        Charges { steps }
    }

    /// What is charged for the block that starts at an instruction.
    pub(super) fn at(&self, first: usize) -> u32 {
        self.steps.get(first).copied().map_or(0, u32::from)
    }
}

/// Whether what comes after the innermost loop is the start of one within it: compilers have a loop's test come first by
/// jumping there, and then what goes back to the outer loop lies in the middle of the inner one.
fn is_entered_at(instructions: &[Option<Decoded>], around: &[(usize, usize)], to: usize) -> bool {
    let [.., (inner, inner_end), (outer, outer_end)] = *around else {
        return false;
    };
    let enters = |index: usize| {
        let jump = instructions.get(index).copied().flatten();
        jump.is_some_and(|jump| jump.op == Op::Jal && jump.rd == 0 && target(instructions, index, jump.imm) == Some(to))
    };
    to == outer_end && inner < to && to < inner_end && (outer..inner).take(LONGEST_ENTRY).any(enters)
}

/// The block that the instruction at `index`, of a block up to `end`, leads on to.
fn leads(instructions: &[Option<Decoded>], index: usize, end: usize) -> Option<usize> {
    let instruction = instructions.get(index).copied().flatten()?;
    let to = match instruction.op.instruction().effect {
        Effect::Branch(_) if index + 1 == end && instruction.imm as i32 <= 0 => end,
        Effect::Branch(_) if skips(instructions, index).is_some() => return None,
        Effect::Branch(_) => target(instructions, index, instruction.imm)?,
        Effect::Jump(_) if instruction.op == Op::Jal && instruction.rd == 0 => {
            target(instructions, index, instruction.imm)?
        }
        Effect::Jump(_) | Effect::Call => return None,
        _ if index + 1 == end => end,
        _ => return None,
    };
    (to > index).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(op: Op, rd: u8, rs1: u8, imm: i32) -> Option<Decoded> {
        let imm = imm.cast_unsigned();
        Some(Decoded {
            op,
            rd,
            rs1,
            rs2: 0,
            imm,
        })
    }

    /// An instruction that leads nowhere else.
    fn plain() -> Option<Decoded> {
        one(Op::Addi, 5, 5, 1)
    }

    fn charges(code: &[Option<Decoded>], starts: &[usize], loops: &[(usize, usize)]) -> Vec<u32> {
        let ends = starts.iter().skip(1).copied().chain([code.len()]);
        let blocks: Vec<Range<usize>> = starts.iter().zip(ends).map(|(start, end)| *start..end).collect();
        let heads: Vec<usize> = loops.iter().map(|(first, _)| *first).collect();
        let charges = Charges::new(code, &blocks, loops, |index| heads.contains(&index));
        starts.iter().map(|start| charges.at(*start)).collect()
    }

    #[test]
    fn the_longest_way_through_a_loop_is_charged_where_it_starts() {
        // 0: past 2 and 3, or through them; 4: back, and 6 after the loop.
        let code = [
            plain(),
            one(Op::Beq, 0, 5, 12),
            plain(),
            plain(),
            plain(),
            one(Op::Bne, 0, 6, -20),
            plain(),
        ];
        assert_eq!(charges(&code, &[0, 4, 6], &[(0, 6)]), [6, 2, 1]);
    }

    #[test]
    fn a_way_that_leaves_the_loop_is_charged_where_it_leads() {
        let code = [
            plain(),
            one(Op::Beq, 0, 5, 16),
            plain(),
            one(Op::Bne, 0, 6, -12),
            plain(),
            plain(),
        ];
        assert_eq!(charges(&code, &[0, 4, 5], &[(0, 4)]), [4, 2, 1]);
    }

    #[test]
    fn what_an_inner_loop_starts_with_is_charged_before_what_goes_back_to_the_outer() {
        // 0: into the inner loop at 4, past 2 and 3, which goes on from there or back to 0.
        let code = |first: i32| {
            [
                plain(),
                one(Op::Jal, 0, 0, first),
                plain(),
                one(Op::Beq, 0, 5, -12),
                plain(),
                one(Op::Bne, 0, 6, -12),
                plain(),
            ]
        };
        let loops = [(0, 4), (2, 6)];
        assert_eq!(charges(&code(12), &[0, 2, 4, 6], &loops), [4, 4, 2, 1]);
        // Where control comes another way, perhaps nothing of the inner loop follows.
        assert_eq!(charges(&code(20), &[0, 2, 4, 6], &loops), [2, 2, 2, 1]);
    }

    #[test]
    fn ways_that_are_too_long_are_charged_in_pieces() {
        let code = vec![plain(); 2 * MOST];
        let starts: Vec<usize> = (0..code.len()).step_by(100).collect();
        let charges = charges(&code, &starts, &[]);
        assert!(
            charges.iter().all(|steps| (100..=MOST as u32).contains(steps)),
            "{charges:?}"
        );
        assert_eq!(charges.last(), Some(&100));
    }
}
