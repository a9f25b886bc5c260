//! Which guest registers are worth a host register for a part of a block: those that are used more, before whoever holds
//! it is used again, than it costs to change them.

use surety_machine::{Decoded, Effect, Op};

use super::{assembler::Reg, blocks::MAX_BLOCK, joins::Part, places::Places};

/// A host register given to another guest register, before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swap {
    /// The instruction, counted from the block's first.
    pub(super) before: usize,
    /// Whose it was, and whose it is now.
    pub(super) out: u8,
    pub(super) into: u8,
    pub(super) host: Reg,
    /// Whether the frame does not have yet what `out` holds.
    pub(super) store: bool,
    /// Whether what `into` holds is read before it is overwritten.
    pub(super) load: bool,
}

/// What an instruction reads, and what it writes, with what it is in a rotation.
pub(super) fn accesses(instruction: &Decoded, part: Part) -> ([u8; 2], u8) {
    match part {
        Part::None => {}
        Part::Nothing => return ([0, 0], 0),
        Part::Whole { from, to, .. } => return ([from, 0], to),
        // Written later, but nobody asks until then.
        Part::Later { to } => return ([0, 0], to),
        Part::Product { .. } | Part::Quiet => {}
        Part::Fraction { a, b, to, .. } => return ([a, b], to),
        Part::Flags if matches!(instruction.op, Op::Sltu | Op::Sltiu) => {
            return ([instruction.rs1, instruction.rs2], 0);
        }
        Part::Flags | Part::Carry { set: true, .. } => {}
        Part::Carry { to, sum: 0, .. } => return ([to, 0], to),
        Part::Carry { to, sum, of, .. } => return ([to, of], sum),
        // Taken for read: what it holds may be needed where it is written, or be there already.
        Part::Elsewhere { to } => return ([to, 0], to),
    }
    let Decoded { rd, rs1, rs2, .. } = *instruction;
    match instruction.op.instruction().effect {
        Effect::Branch(_) | Effect::Store(_) => ([rs1, rs2], 0),
        Effect::Jump(_) | Effect::Load(..) => ([rs1, 0], rd),
        Effect::Set(_) => ([rs1, rs2], rd),
        Effect::Nothing | Effect::Call => ([0, 0], 0),
    }
}

/// The registers of an instruction, `x0` among them, and what it costs that one is in the frame, in halves: a value is written
/// there sooner or later.
fn costs(instruction: &Decoded, part: Part) -> [(u8, usize); 3] {
    let ([a, b], to) = accesses(instruction, part);
    [(a, 2), (b, 2), (to, if [a, b].contains(&to) { 4 } else { 1 })]
}

/// Whether a branch before an instruction leads to what is after it.
pub(super) fn is_skipped(block: &[Option<Decoded>], at: usize) -> bool {
    at.checked_sub(1)
        .and_then(|before| block.get(before).copied().flatten())
        .is_some_and(|before| matches!(before.op.instruction().effect, Effect::Branch(_)) && before.imm == 8)
}

/// Room for what is found about a block, kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Planner {
    /// For each guest register, the instructions that use it, in order, as often as it counts.
    uses: Vec<Vec<u8>>,
    pub(super) swaps: Vec<Swap>,
}

impl Planner {
    /// Finds the swaps of a block that is entered and left with registers in `entry`.
    pub(super) fn plan(&mut self, block: &[Option<Decoded>], parts: &[Part], entry: &Places) {
        self.swaps.clear();
        if block.len() > MAX_BLOCK || all_held(block, parts, entry) {
            return;
        }
        self.uses.resize(32, Vec::new());
        self.uses.iter_mut().for_each(Vec::clear);
        for (at, (instruction, part)) in block.iter().zip(parts).enumerate() {
            let Some(instruction) = instruction else { continue };
            for (register, halves) in costs(instruction, *part) {
                if let Some(uses) = self.uses.get_mut(usize::from(register)) {
                    uses.extend(std::iter::repeat_n(at as u8, halves));
                }
            }
        }
        let mut places = *entry;
        // Registers in a host register whose place in the frame holds something older.
        let mut changed: u32 = entry.held().fold(0, |set, (guest, _)| set | 1 << guest);
        // The last instruction may leave the block, and finds everything where it was.
        let last = block.len().saturating_sub(1);
        for (at, (instruction, part)) in block.iter().zip(parts).enumerate().take(last) {
            let Some(instruction) = instruction else { continue };
            let ([a, b], to) = accesses(instruction, *part);
            for register in [a, b, to] {
                if register == 0 || places.host(register).is_some() {
                    continue;
                }
                // A load that faults leaves what was there, and so does a branch over one instruction.
                let kept = matches!(instruction.op.instruction().effect, Effect::Load(..)) || is_skipped(block, at);
                let read = [a, b].contains(&register) || kept;
                let Some(swap) = self.swap(&places, entry, at, last, register, [a, b, to], read, changed) else {
                    continue;
                };
                places.put(swap.out, None);
                places.put(swap.into, Some(swap.host));
                changed &= !(1 << swap.out | 1 << swap.into);
                self.swaps.push(swap);
            }
            if to != 0 {
                changed |= 1 << to;
            }
            if let Part::Carry { to, sum, .. } = *part {
                changed |= 1 << to | 1 << sum;
            }
        }
    }

    /// The instructions that use a register.
    fn of(&self, register: u8) -> &[u8] {
        self.uses.get(usize::from(register)).map_or(&[], Vec::as_slice)
    }

    /// The first use of a register at or after an instruction.
    fn next(&self, register: u8, at: usize) -> usize {
        let uses = self.of(register);
        let first = uses.partition_point(|other| usize::from(*other) < at);
        uses.get(first).map_or(usize::MAX, |at| usize::from(*at))
    }

    /// What its uses count from an instruction on and before another.
    fn count(&self, register: u8, from: usize, to: usize) -> usize {
        let uses = self.of(register);
        let before = |limit: usize| uses.partition_point(|other| usize::from(*other) < limit);
        before(to) - before(from)
    }

    /// The swap that is worth it for `register`, if one is.
    #[expect(clippy::too_many_arguments, reason = "the state of one loop")]
    fn swap(
        &self,
        places: &Places,
        entry: &Places,
        at: usize,
        last: usize,
        register: u8,
        present: [u8; 3],
        read: bool,
        changed: u32,
    ) -> Option<Swap> {
        // What is used less than that is not worth it, whoever gives way.
        if self.count(register, at, last) < LEAST {
            return None;
        }
        // Who is used last gives way.
        let (next, out, host) = places
            .held()
            .filter(|(guest, _)| !present.contains(guest))
            .map(|(guest, host)| (self.next(guest, at), guest, host))
            .max_by_key(|(next, guest, _)| (*next, *guest))?;
        let until = next.min(last);
        let gain = self.count(register, at, until);
        let store = changed >> out & 1 == 1;
        let back = next != usize::MAX || entry.host(out).is_some();
        let cost = usize::from(store) + usize::from(back) + usize::from(read) + 1;
        (gain >= 2 * cost).then_some(Swap {
            before: at,
            out,
            into: register,
            host,
            store,
            load: read,
        })
    }
}

/// Whether no register in the frame is used so often in a block that the first swap can be worth it.
fn all_held(block: &[Option<Decoded>], parts: &[Part], entry: &Places) -> bool {
    let mut counts = [0; 32];
    for (instruction, part) in block.iter().zip(parts) {
        let Some(instruction) = instruction else { continue };
        for (register, halves) in costs(instruction, *part) {
            if let Some(count) = counts.get_mut(usize::from(register)) {
                *count += halves;
            }
        }
    }
    (1_u8..)
        .zip(counts.iter().skip(1))
        .all(|(register, count)| *count < FIRST || entry.host(register).is_some())
}

/// What a register has to be used for a swap, in halves of what a place in the frame costs: for the first of a block, whose
/// other register is stored and comes back, and for any.
const FIRST: usize = 6;
const LEAST: usize = 4;
