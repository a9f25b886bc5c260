//! Where blocks start, and which guest registers are worth a host register: what is known before code is made.

use std::ops::Range;

use surety_machine::{Decoded, Effect, Op, Program, Tree};

use super::{
    assembler::{R8, R9, R10, R11, R12, R13, RBP, RBX, RCX, RDI, RSI, Reg},
    charges::Charges,
    joins::Joins,
    zones::Zones,
};

/// The most instructions in a block: their numbers fit 8 bits.
pub(super) const MAX_BLOCK: usize = 250;

/// The host registers that guest registers can have, shortest encodings first.
pub(super) const HOST: [Reg; 11] = [RCX, RBX, RSI, RDI, RBP, R8, R9, R10, R11, R12, R13];

/// A set of instructions.
#[derive(Clone, Debug)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    pub(super) fn new(count: usize) -> Self {
        Marks(vec![0; count.div_ceil(64)])
    }

    /// 64 of the set in each word, lowest first.
    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn from_words(words: Vec<u64>) -> Self {
        Marks(words)
    }

    pub(super) fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    pub(super) fn get(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

/// The plan of a program's blocks.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where blocks start and end, in order.
    pub(super) blocks: Vec<Range<usize>>,
    /// The targets of backward branches.
    pub(super) loops: Marks,
    /// Instructions that the table of entries leads to: what addresses in memory and in code name, and what follows
    /// calls.
    pub(super) known: Marks,
    /// What is done at once.
    pub(super) joins: Joins,
    /// Where guest registers are between blocks.
    pub(super) zones: Zones,
    /// What is charged for blocks.
    pub(super) charges: Charges,
}

/// The instruction that a control transfer at `index` by `imm` leads to.
pub(super) fn target(instructions: &[Option<Decoded>], index: usize, imm: u32) -> Option<usize> {
    let pc = (index as u32).wrapping_mul(4).wrapping_add(imm);
    let target = (pc >> 2) as usize;
    (pc.is_multiple_of(4) && instructions.get(target).is_some_and(Option::is_some)).then_some(target)
}

/// The constant that two instructions make: `lui` or `auipc`, and what adds to the same register.
pub(super) fn far_target(index: usize, upper: &Decoded, next: &Decoded) -> u32 {
    let base = match upper.op {
        Op::Auipc => (index as u32).wrapping_mul(4),
        _ => 0,
    };
    base.wrapping_add(upper.imm).wrapping_add(next.imm)
}

/// Whether the block ends with an instruction. Branches forward are left in the middle of one: what is charged for the
/// rest is given back where they lead.
fn ends_block(instruction: &Decoded) -> bool {
    match instruction.op.instruction().effect {
        Effect::Branch(_) => instruction.imm as i32 <= 0,
        Effect::Jump(_) | Effect::Call => true,
        _ => false,
    }
}

/// How many instructions the branch at `index` does nothing but skip, which the host can do or not without a branch of
/// its own: the one after it, or that and a jump to the same place.
pub(super) fn skips(instructions: &[Option<Decoded>], index: usize) -> Option<usize> {
    let at = |index: usize| instructions.get(index).copied().flatten();
    let (branch, next) = (at(index)?, at(index + 1)?);
    if !matches!(branch.op.instruction().effect, Effect::Branch(_)) || next.op != Op::Addi || next.rd == 0 {
        return None;
    }
    if branch.imm == 8 {
        return Some(1);
    }
    let jump = at(index + 2)?;
    let same = target(instructions, index, branch.imm)? == target(instructions, index + 2, jump.imm)?;
    (same && jump.op == Op::Jal && jump.rd == 0).then_some(2)
}

impl Plan {
    /// `extra` are the addresses of the functions that the host has code for, in order.
    pub(super) fn new(program: &Program, extra: &[u32]) -> Self {
        let instructions = program.instructions();
        let mut starts = Marks::new(instructions.len());
        let mut loops = Marks::new(instructions.len());
        // How much deeper in loops each instruction lies than the one before.
        let mut depth = vec![0_i16; instructions.len() + 1];
        let mut branches = Vec::new();
        let mut jumps = Vec::new();
        let mut known = Marks::new(instructions.len());
        // The loops: their first instruction, and the one after their last.
        let mut intervals = Vec::new();
        let mut mark = |index: usize| {
            if instructions.get(index).is_some_and(Option::is_some) {
                starts.set(index);
            }
        };
        mark((program.entry() >> 2) as usize);
        known.set((program.entry() >> 2) as usize);
        extra.iter().for_each(|pc| mark((pc >> 2) as usize));
        let mut last: Option<Decoded> = None;
        for (index, slot) in instructions.iter().enumerate() {
            let Some(instruction) = slot else {
                last = None;
                continue;
            };
            if last.is_none() {
                // What follows something that is no instruction is reached by a jump only, or is no code.
                mark(index);
            }
            if ends_block(instruction) && skips(instructions, index).is_none() {
                mark(index + 1);
                if matches!(instruction.op.instruction().effect, Effect::Jump(_)) && instruction.rd != 0 {
                    known.set(index + 1);
                }
            }
            match instruction.op.instruction().effect {
                Effect::Branch(_) if instruction.imm == 8 => {
                    branches.push(index);
                    jumps.push((index as u32, index as u32 + 2));
                }
                Effect::Branch(_) | Effect::Jump(_) if instruction.op != Op::Jalr => {
                    if let Some(to) = target(instructions, index, instruction.imm) {
                        mark(to);
                        jumps.push((index as u32, to as u32));
                        // Back, and no call: branches have no register to link.
                        if to <= index && instruction.rd == 0 {
                            loops.set(to);
                            intervals.push((to, index + 1));
                            if index - to < 4096 {
                                depth[to] = depth[to].saturating_add(1);
                                depth[index + 1] = depth[index + 1].saturating_sub(1);
                            }
                        }
                    }
                }
                _ => {}
            }
            if let Some(upper) = last
                && matches!(upper.op, Op::Lui | Op::Auipc)
                && upper.rd == instruction.rs1
                && matches!(instruction.op, Op::Addi | Op::Jalr)
            {
                let address = far_target(index - 1, &upper, instruction);
                if address.is_multiple_of(4) {
                    mark((address >> 2) as usize);
                    known.set((address >> 2) as usize);
                }
            }
            last = Some(*instruction);
        }
        pointers(program.memory(), instructions.len(), &mut |index| {
            mark(index);
            known.set(index);
        });
        // A branch over one instruction needs no block where it leads, unless a block starts at that instruction. Where
        // one is made, another such branch may come to lie.
        loop {
            let before = branches.len();
            branches.retain(|&index| {
                let keep = skips(instructions, index) == Some(1) && !starts.get(index + 1);
                if !keep && instructions.get(index + 2).is_some_and(Option::is_some) {
                    starts.set(index + 2);
                }
                keep
            });
            if branches.len() == before {
                break;
            }
        }
        // Nor does a block have the most instructions up to such a branch: what is over it starts the next.
        let mut blocks = Vec::with_capacity(instructions.len() / 4);
        let mut first = 0;
        while first < instructions.len() {
            let end = end_of(instructions, &starts, first);
            let at = |index: usize| instructions.get(index).copied().flatten();
            if at(end - 1)
                .is_some_and(|last| matches!(last.op.instruction().effect, Effect::Branch(_)) && last.imm == 8)
                && at(end + 1).is_some()
            {
                starts.set(end + 1);
            }
            if at(first).is_some() {
                blocks.push(first..end);
            }
            first = end;
        }
        let joins = Joins::new(instructions, &blocks);
        let charges = Charges::new(instructions, &blocks, &intervals, |index| {
            let address = (index as u32) << 2;
            loops.get(index) || extra.binary_search(&address).is_ok()
        });
        let mut zones = Zones::new(instructions, &joins, intervals, &depth);
        zones.attach(instructions, &jumps, &known);
        Plan {
            blocks,
            loops,
            known,
            joins,
            zones,
            charges,
        }
    }
}

/// Words of the initial memory that may be addresses of code: tables of `switch`, of methods, of functions.
fn pointers(memory: &Tree, count: usize, mark: &mut impl FnMut(usize)) {
    memory.visit_pages(&mut |_, bytes| {
        let (words, _) = bytes.as_chunks::<4>();
        for word in words {
            let word = u32::from_le_bytes(*word);
            if word.is_multiple_of(4) && word != 0 && ((word >> 2) as usize) < count {
                mark((word >> 2) as usize);
            }
        }
    });
}

/// Where the block ends that starts at `first`.
fn end_of(instructions: &[Option<Decoded>], starts: &Marks, first: usize) -> usize {
    let mut end = first + 1;
    while end - first < MAX_BLOCK && !starts.get(end) && instructions.get(end).is_some_and(Option::is_some) {
        end += 1;
    }
    end
}
