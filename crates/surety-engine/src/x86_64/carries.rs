//! Carries: comparisons that say whether a sum or a difference went over 32 bits, which the host's carry flag says, and
//! sums that they are added to, as numbers of more than 32 bits are reckoned in parts.

use surety_machine::{Decoded, Effect, Op};

use super::{
    joins::{Make, Part, Recipe},
    swaps::is_skipped,
};

/// How far before a comparison what it compares is looked for, and how far after it what it is added to.
const REACH: usize = 16;

/// Where a carry is taken from the flag, and what for.
struct Carry {
    /// After which instruction code cannot be entered.
    since: usize,
    /// The instructions that set the flag, compare, and take the carry; they may be one.
    setter: usize,
    compare: usize,
    taker: usize,
    /// The comparison's register.
    carry: u8,
    sum: Option<Sum>,
    /// Whether an access to memory may fault between the comparison and the sum.
    accessed: bool,
}

/// A sum or a difference of something and a carry.
#[derive(Clone, Copy)]
struct Sum {
    at: usize,
    to: u8,
    of: u8,
    less: bool,
}

/// Finds the carries of a block, among instructions that are in nothing else; `within` gets the numbers of the
/// instructions that code cannot be entered at.
pub(super) fn find(block: &[Option<Decoded>], parts: &mut [Part], within: &mut Vec<usize>, recipes: &mut Vec<Recipe>) {
    for (index, slot) in block.iter().enumerate() {
        let Some(instruction) = slot else { continue };
        if !matches!(instruction.op, Op::Sltu | Op::Sltiu) || parts.get(index) != Some(&Part::None) {
            continue;
        }
        let Some(carry) = View { block, parts }.carry(index, instruction) else {
            continue;
        };
        carry.mark(block, parts);
        let last = carry.sum.map_or(carry.compare, |sum| sum.at);
        within.extend(carry.since + 1..=last);
        if let Some(sum) = carry.sum
            && carry.accessed
        {
            recipes.push(Recipe {
                after: carry.compare as u32,
                until: sum.at as u32,
                guest: carry.carry,
                from: sum.of,
                make: if sum.less { Make::Less } else { Make::More },
                count: 0,
            });
        }
    }
}

impl Carry {
    /// Writes down what the instructions are.
    fn mark(&self, block: &[Option<Decoded>], parts: &mut [Part]) {
        let put = |parts: &mut [Part], index: usize, part: Part| {
            if let Some(place) = parts.get_mut(index) {
                *place = part;
            }
        };
        // What adds without need for the flags leaves them alone.
        for index in self.setter + 1..self.taker {
            let free = parts.get(index) == Some(&Part::None);
            if free && block.get(index).copied().flatten().is_some_and(|one| spoils(&one)) {
                put(parts, index, Part::Quiet);
            }
        }
        put(parts, self.setter, Part::Flags);
        if self.compare != self.setter {
            put(
                parts,
                self.compare,
                if self.taker < self.compare {
                    Part::Elsewhere { to: self.carry }
                } else {
                    Part::Nothing
                },
            );
        }
        let (mut to, mut sum, mut of, mut less) = (self.carry, 0, 0, false);
        if let Some(found) = self.sum {
            put(parts, found.at, Part::Nothing);
            (sum, of, less) = (found.to, found.of, found.less);
            if sum == to {
                to = 0;
            }
        }
        put(
            parts,
            self.taker,
            Part::Carry {
                set: self.taker == self.setter,
                to,
                sum,
                of,
                less,
            },
        );
    }
}

/// A block, and what is known of its instructions.
struct View<'a> {
    block: &'a [Option<Decoded>],
    parts: &'a [Part],
}

/// What an instruction does where it is: registers by their bits.
struct Effects {
    reads: u32,
    writes: u32,
    faults: bool,
    flags: Flags,
}

/// What an instruction does to the flags.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flags {
    Stay,
    /// They stay if that is asked for.
    MayStay,
    Change,
}

impl View<'_> {
    fn at(&self, index: usize) -> Option<Decoded> {
        self.block.get(index).copied().flatten()
    }

    fn part(&self, index: usize) -> Part {
        self.parts.get(index).copied().unwrap_or_default()
    }

    /// What the instruction at `index` does there; `None` if it may leave.
    fn effects(&self, index: usize) -> Option<Effects> {
        let instruction = self.at(index)?;
        let plain = plain(&instruction)?;
        let bits = |registers: [u8; 2]| registers.into_iter().fold(0, |set, register| set | bit(register));
        let (reads, writes, flags) = match self.part(index) {
            Part::None if spoils(&instruction) => {
                let may = matches!(instruction.op, Op::Add | Op::Addi);
                (plain.0, plain.1, if may { Flags::MayStay } else { Flags::Change })
            }
            Part::None | Part::Quiet => (plain.0, plain.1, Flags::Stay),
            Part::Nothing | Part::Elsewhere { .. } | Part::Later { .. } => (0, 0, Flags::Stay),
            Part::Whole { from, to, .. } => (bit(from), bit(to), Flags::Stay),
            Part::Product { a, b, low, high, .. } => (bits([a, b]), bits([low, high]), Flags::Change),
            Part::Fraction {
                a, b, to, low, high, ..
            } => (bits([a, b]), bit(to) | bits([low, high]), Flags::Change),
            Part::Flags => (plain.0, if compares(&instruction) { 0 } else { plain.1 }, Flags::Change),
            Part::Carry { set, to, sum, of, .. } => {
                let own = if set { plain } else { (0, 0) };
                (own.0 | bit(of), own.1 | bits([to, sum]), Flags::Change)
            }
        };
        Some(Effects {
            reads,
            writes,
            faults: !matches!(instruction.op.instruction().effect, Effect::Set(_) | Effect::Nothing),
            flags,
        })
    }

    /// The carry that the comparison at `compare` is, if the host does it with less that way.
    fn carry(&self, compare: usize, instruction: &Decoded) -> Option<Carry> {
        let carry = instruction.rd;
        let immediate = instruction.op == Op::Sltiu;
        if carry == 0 || instruction.rs1 == 0 || !immediate && instruction.rs2 == 0 {
            return None;
        }
        let setter = self
            .setter(compare, instruction)
            .filter(|setter| setter.held || setter.moved);
        let (at, since, early) = match &setter {
            Some(Setter { at, since, held, .. }) => (*at, *since, (!held).then_some(*at)),
            None => (compare, compare, None),
        };
        let found = |sum: Option<Sum>, taker: usize, accessed: bool| Carry {
            since,
            setter: at,
            compare,
            taker,
            carry,
            sum,
            accessed,
        };
        let taker = early.unwrap_or(compare);
        if let Some((sum, accessed, written, quiet)) = self.sum(compare, carry) {
            // Of what lies between, `of` must have been there already.
            let early_enough = !written && (taker + 1..=compare).all(|at| self.leaves_alone(at, sum.of));
            if sum.to == carry && early_enough {
                return Some(found(Some(sum), taker, accessed));
            }
            if quiet && !accessed && early.is_none() {
                return Some(found(Some(sum), sum.at, false));
            }
        }
        setter.map(|_| found(None, taker, false))
    }

    /// Whether what is done at `index` does not write a register.
    fn leaves_alone(&self, index: usize, register: u8) -> bool {
        self.effects(index)
            .is_some_and(|effects| effects.writes & bit(register) == 0)
    }

    /// What sets the flag to what a comparison makes, before it.
    fn setter(&self, compare: usize, instruction: &Decoded) -> Option<Setter> {
        let carry = bit(instruction.rd);
        // What was compared was made by one of these, and the other operand is as it was then.
        let (one, other) = (instruction.rs1, instruction.rs2);
        let immediate = instruction.op == Op::Sltiu;
        let both = bit(one) | if immediate { 0 } else { bit(other) };
        let (mut natural, mut faults, mut touched, mut stay) = (true, false, false, true);
        for at in (compare.saturating_sub(REACH)..compare).rev() {
            let effects = self.effects(at)?;
            if effects.writes & both == 0 {
                let plain = self.at(at).and_then(|one| plain(&one))?;
                natural &= effects.flags == Flags::Stay;
                stay = stay && self.may_stay(at, effects.flags);
                faults |= effects.faults;
                touched |= (effects.reads | effects.writes | plain.0 | plain.1) & carry != 0;
                continue;
            }
            let maker = self.at(at)?;
            if self.part(at) != Part::None || maker.rs1 == 0 && maker.op != Op::Sub {
                return None;
            }
            // Where it was known that a register holds what an operand does.
            let of = |register: u8, operand: u8| match register {
                _ if register == maker.rd => None,
                _ if register == operand => Some(at),
                _ => self.copied(at, register, operand),
            };
            let since = match (maker.op, immediate) {
                (Op::Add, false) if maker.rd == one && maker.rs2 != 0 => {
                    of(other, maker.rs1).or_else(|| of(other, maker.rs2))
                }
                (Op::Addi, _) if maker.rd != one || maker.imm == 0 || is_skipped(self.block, at) => None,
                (Op::Addi, false) => of(other, maker.rs1),
                (Op::Addi, true) => (maker.imm == instruction.imm).then_some(at),
                (Op::Sub, false) if maker.rd == other && maker.rs2 != 0 => of(one, maker.rs1),
                _ => None,
            }?;
            let moved = !faults && !touched;
            return Some(Setter {
                at,
                since,
                held: natural || stay && !moved,
                moved,
            });
        }
        None
    }

    /// Where `copy` was made of `register`, if it holds the same before the instruction at `index`.
    fn copied(&self, index: usize, copy: u8, register: u8) -> Option<usize> {
        if copy == 0 || copy == register {
            return None;
        }
        for at in (index.saturating_sub(4)..index).rev() {
            let (effects, one) = (self.effects(at)?, self.at(at)?);
            if effects.writes & (bit(copy) | bit(register)) != 0 {
                let made = one.op == Op::Addi && (one.rd, one.rs1, one.imm) == (copy, register, 0);
                return (made && self.part(at) == Part::None && !is_skipped(self.block, at)).then_some(at);
            }
        }
        None
    }

    /// Whether the flags stay over the instruction at `index`, or may without that a carry of its own is lost.
    fn may_stay(&self, index: usize, flags: Flags) -> bool {
        flags == Flags::Stay || flags == Flags::MayStay && !self.is_compared(index)
    }

    /// Whether what the instruction at `index` makes is compared soon, perhaps to find its carry.
    fn is_compared(&self, index: usize) -> bool {
        let Some(Decoded { rd, .. }) = self.at(index) else {
            return false;
        };
        (index + 1..index + REACH / 2).any(|at| {
            self.at(at)
                .is_some_and(|later| later.op == Op::Sltu && later.rs1 == rd && self.part(at) == Part::None)
        })
    }

    /// What the carry of the comparison at `compare` is added to, or taken from; whether between them memory is accessed,
    /// and what it is added to is written; and whether the flags stay.
    fn sum(&self, compare: usize, carry: u8) -> Option<(Sum, bool, bool, bool)> {
        let (mut accessed, mut written, mut stay) = (false, 0, true);
        for at in compare + 1..compare + REACH {
            let one = self.at(at)?;
            let effects = self.effects(at)?;
            let plain = plain(&one)?;
            if (effects.reads | effects.writes | plain.0 | plain.1) & bit(carry) != 0 {
                let (of, less) = match one.op {
                    Op::Add if one.rs1 == carry => (one.rs2, false),
                    Op::Add if one.rs2 == carry => (one.rs1, false),
                    Op::Sub if one.rs2 == carry => (one.rs1, true),
                    _ => return None,
                };
                let sum = Sum {
                    at,
                    to: one.rd,
                    of,
                    less,
                };
                let fits = self.part(at) == Part::None && one.rd != 0 && of != 0 && of != carry;
                return fits.then_some((sum, accessed, written & bit(of) != 0, stay));
            }
            accessed |= effects.faults;
            written |= effects.writes;
            stay = stay && self.may_stay(at, effects.flags);
        }
        None
    }
}

/// An instruction that sets the flag as a comparison does that comes after it.
struct Setter {
    at: usize,
    /// Where what is known of the operands is known from: code cannot be entered after that.
    since: usize,
    /// Whether the flags stay up to the comparison.
    held: bool,
    /// Whether the comparison can be made where they are set.
    moved: bool,
}

fn bit(register: u8) -> u32 {
    1 << (register & 31) & !1
}

/// Whether an instruction is a comparison.
fn compares(instruction: &Decoded) -> bool {
    matches!(instruction.op, Op::Sltu | Op::Sltiu)
}

/// The registers that an instruction reads and writes by itself; `None` if it may leave.
fn plain(instruction: &Decoded) -> Option<(u32, u32)> {
    let Decoded { rd, rs1, rs2, .. } = *instruction;
    match instruction.op.instruction().effect {
        Effect::Set(_) => Some((bit(rs1) | bit(rs2), bit(rd))),
        Effect::Load(..) => Some((bit(rs1), bit(rd))),
        Effect::Store(_) => Some((bit(rs1) | bit(rs2), 0)),
        Effect::Nothing => Some((0, 0)),
        Effect::Branch(_) | Effect::Jump(_) | Effect::Call => None,
    }
}

/// Whether an instruction by itself changes the host's flags: moves and accesses to memory do not.
fn spoils(instruction: &Decoded) -> bool {
    match instruction.op.instruction().effect {
        Effect::Load(..) | Effect::Store(_) | Effect::Nothing => false,
        _ => !(instruction.op == Op::Addi && instruction.imm == 0 && instruction.rs1 != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(op: Op, rd: u8, rs1: u8, rs2: u8) -> Option<Decoded> {
        let imm = 0;
        Some(Decoded { op, rd, rs1, rs2, imm })
    }

    fn found(block: &[Option<Decoded>]) -> (Vec<Part>, Vec<usize>, Vec<Recipe>) {
        let mut parts = vec![Part::None; block.len()];
        let (mut within, mut recipes) = (Vec::new(), Vec::new());
        find(block, &mut parts, &mut within, &mut recipes);
        (parts, within, recipes)
    }

    fn taken(set: bool, to: u8, sum: u8, of: u8, less: bool) -> Part {
        Part::Carry { set, to, sum, of, less }
    }

    /// `x += y` of 64 bits, as compilers write it: the comparison with a copy, and the upper half's sum before the carry is
    /// added to it.
    #[test]
    fn a_sum_of_64_bits_takes_the_flag_of_its_lower_half() {
        let block = [
            one(Op::Addi, 15, 10, 0),
            one(Op::Add, 10, 10, 12),
            one(Op::Sltu, 15, 10, 15),
            one(Op::Add, 11, 11, 13),
            one(Op::Add, 11, 15, 11),
        ];
        let (parts, within, recipes) = found(&block);
        let expected = [
            Part::None,
            Part::Flags,
            Part::Nothing,
            Part::Quiet,
            taken(false, 15, 11, 11, false),
        ];
        assert_eq!((&parts[..], &within[..]), (&expected[..], &[1, 2, 3, 4][..]));
        assert_eq!(recipes, []);
    }

    #[test]
    fn a_difference_takes_what_was_borrowed() {
        let block = [
            one(Op::Sub, 14, 13, 14),
            one(Op::Sltu, 13, 13, 14),
            one(Op::Sub, 13, 15, 13),
        ];
        let expected = [Part::Flags, taken(false, 0, 13, 15, true), Part::Nothing];
        assert_eq!(found(&block).0, expected);
    }

    /// Two carries of one row of a long product; between the first and its sum is a store, which may fault.
    #[test]
    fn a_carry_is_made_again_after_a_fault() {
        let block = [
            one(Op::Add, 15, 14, 15),
            one(Op::Add, 13, 15, 13),
            one(Op::Sltu, 14, 15, 14),
            one(Op::Sw, 0, 17, 13),
            one(Op::Sltu, 15, 13, 15),
            one(Op::Add, 14, 14, 16),
            one(Op::Add, 13, 15, 14),
        ];
        let (parts, within, recipes) = found(&block);
        let expected = [
            taken(true, 0, 14, 16, false),
            Part::Flags,
            Part::Elsewhere { to: 14 },
            Part::None,
            Part::Nothing,
            Part::Nothing,
            taken(false, 15, 13, 14, false),
        ];
        assert_eq!(parts, expected);
        assert_eq!(within, [1, 2, 3, 4, 5, 2, 3, 4, 5, 6]);
        let recipe = Recipe {
            after: 2,
            until: 5,
            guest: 14,
            from: 16,
            make: Make::More,
            count: 0,
        };
        assert_eq!(recipes, [recipe]);
    }

    #[test]
    fn what_a_branch_may_lead_over_is_no_copy() {
        let mut block = vec![
            one(Op::Addi, 15, 10, 0),
            one(Op::Add, 10, 10, 12),
            one(Op::Sltu, 15, 10, 15),
        ];
        assert_eq!(found(&block).0[1], Part::Flags);
        let mut branch = one(Op::Bltu, 0, 10, 12);
        if let Some(branch) = &mut branch {
            branch.imm = 8;
        }
        block.insert(0, branch);
        assert_eq!(found(&block).0, [Part::None; 4]);
    }
}
