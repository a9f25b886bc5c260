//! RV32IM to x86-64, one guest instruction after the other.
//!
//! At each instruction, every guest register is in a known place, a host register or the frame: what faults and entries
//! in the middle of a block need is written down where places change. A block's steps are charged at its start; where
//! fewer are left, it is not begun.

mod calls;

use std::collections::HashMap;

use surety_machine::{Decoded, Effect, Op, Width};

use super::{
    assembler::{
        Alu, Assembler, Condition, Fixup, MEMORY, Operand, RAX, RBP, RBX, RDI, RDX, RSI, RSP, Reg, STEPS, Shift,
    },
    assembler::{R12, R13},
    blocks::{HOST, Marks, Plan, far_target, skips, target},
    constants::{Constants, reciprocal},
    frame::{self, Reason, context},
    joins::{Part, Recipe},
    places::{Move, Places},
    swaps::{Planner, Swap},
};
use crate::intrinsics::Intrinsic;

/// The most host code that one guest instruction can come to, bytes, with all that belongs to it.
pub(super) const MAX_BYTES: usize = 400;
/// The most that there is besides.
pub(super) const FIXED_BYTES: usize = 4096;
/// The most host code of any program: all of it, and the table beside it, is reached by distances of 31 bits.
pub(super) const MOST_BYTES: usize = 5 << 28;

/// A block of translated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Block {
    /// Its first guest instruction: address / 4.
    pub(super) first: u32,
    /// How many instructions it has.
    pub(super) count: u32,
    /// Where a jump to it goes: its charge.
    pub(super) entry: u32,
    /// Where its instructions start.
    pub(super) body: u32,
    /// Where the table of entries leads, if it does: registers are in the first set of places there.
    pub(super) door: u32,
    /// Number of the places that guest registers are in when it is entered.
    pub(super) places: u32,
    /// Steps that are charged where its instructions start.
    pub(super) charge: u32,
}

/// Guest registers change places before an instruction, for the rest of its block or until they do again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Change {
    /// The instruction: address / 4. What its host code starts with makes the change.
    pub(super) at: u32,
    /// Number of the places.
    pub(super) places: u32,
}

/// A turn of a loop that is charged together with others, but for the last of them, which is the block's own code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Turn {
    /// Where its instructions start. They are as long as the block's own.
    pub(super) body: u32,
    /// The block's first instruction.
    pub(super) first: u32,
    /// Steps charged for the turns after it.
    pub(super) extra: u32,
}

/// What translating gives.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) bytes: Vec<u8>,
    pub(super) blocks: Vec<Block>,
    /// By where they start.
    pub(super) turns: Vec<Turn>,
    /// By their instructions.
    pub(super) changes: Vec<Change>,
    /// By the rotations' first instructions.
    pub(super) recipes: Vec<Recipe>,
    /// All sets of places by their numbers. The first is that of the table of entries.
    pub(super) places: Vec<Places>,
    /// For each guest instruction, how many bytes its host code has; 0 for one that belongs to the one before.
    pub(super) lengths: Vec<u8>,
    /// Instructions that code cannot be entered at, since the state before them is not what the code after them expects.
    pub(super) closed: Marks,
    /// Offset of the code that a host function enters by.
    pub(super) enter: u32,
    /// Offsets of the code that leaves: for what no block starts at, and after a fault.
    pub(super) miss: u32,
    pub(super) fault: u32,
}

/// A jump out of a block that is written after all blocks.
struct Exit {
    from: Fixup,
    reason: Reason,
    /// Guest address to go on at.
    pc: u32,
    /// Steps to give back.
    refund: u32,
    /// Number of the places that guest registers are in.
    places: u32,
}

/// A jump from one block to another.
struct Jump {
    from: Fixup,
    /// The instruction it goes to.
    to: usize,
    /// Steps charged in the block it comes from that are not taken.
    refund: u32,
    /// Number of the places that guest registers are in.
    places: u32,
}

struct Translator<'a> {
    asm: Assembler,
    instructions: &'a [Option<Decoded>],
    plan: &'a Plan,
    /// Offset of the table of entries from the code's start, which the code must not reach.
    table: usize,
    /// Where guest registers are at present, and its number.
    places: Places,
    number: u32,
    /// All sets of places, and their numbers.
    all: Vec<Places>,
    numbers: HashMap<Places, u32>,
    changes: Vec<Change>,
    planner: Planner,
    metered: bool,
    exits: Vec<Exit>,
    jumps: Vec<Jump>,
    /// The functions that the host has code for, and where they are called.
    functions: &'a [(u32, &'static Intrinsic)],
    calls: Vec<calls::Call>,
    /// Steps charged for turns of the present loop after this one.
    extra: u32,
    /// Steps charged where the present block starts.
    charge: u32,
    /// Whether the block before goes on in the present one without a jump, with that charged.
    goes_on: bool,
    /// Turns of loops but their last: where their code is.
    turns: Vec<Turn>,
    /// What registers probably hold.
    constants: Constants,
    /// Where the present block starts.
    first: usize,
    /// The blocks so far.
    blocks: Vec<Block>,
    /// For each block, where it leaves when too few steps are left, and how many are given back there.
    limits: Vec<(u32, u32)>,
}

/// Translates all of `instructions`; `None` if what that makes has no room before `table`. `functions` are those that
/// the host has code for, by their addresses.
pub(super) fn translate(
    instructions: &[Option<Decoded>],
    plan: &Plan,
    functions: &[(u32, &'static Intrinsic)],
    table: usize,
    metered: bool,
) -> Option<Translated> {
    let mut translator = Translator {
        asm: Assembler::default(),
        instructions,
        plan,
        table,
        places: *plan.zones.base(),
        number: 0,
        all: vec![*plan.zones.base()],
        numbers: HashMap::from([(*plan.zones.base(), 0)]),
        changes: Vec::new(),
        planner: Planner::default(),
        metered,
        exits: Vec::new(),
        jumps: Vec::new(),
        functions,
        calls: Vec::new(),
        extra: 0,
        charge: 0,
        goes_on: false,
        turns: Vec::new(),
        constants: Constants::default(),
        first: 0,
        blocks: Vec::new(),
        limits: Vec::new(),
    };
    translator
        .asm
        .bytes
        .reserve(instructions.len().saturating_mul(9).saturating_add(FIXED_BYTES));
    let enter = translator.enter();
    let (leave, miss, fault) = translator.leave();
    let mut lengths = vec![0; instructions.len()];
    for block in &plan.blocks {
        if translator.is_full() {
            break;
        }
        let block = translator.block(block.start, block.end, &mut lengths);
        translator.blocks.push(block);
    }
    translator.finish(leave);
    (!translator.is_full()).then_some(Translated {
        bytes: translator.asm.bytes,
        blocks: translator.blocks,
        turns: translator.turns,
        changes: translator.changes,
        recipes: plan.joins.recipes.clone(),
        places: translator.all,
        lengths,
        closed: plan.joins.closed.clone(),
        enter,
        miss,
        fault,
    })
}

impl Translator<'_> {
    /// Whether there is more code than room: what is written after that is thrown away.
    fn is_full(&self) -> bool {
        self.asm.here() > self.table
    }

    /// `fn(context, target)` of the C calling convention: saves the host's registers, loads the guest's, and goes there.
    fn enter(&mut self) -> u32 {
        let asm = &mut self.asm;
        // Who lands at the very start, where nothing leads, stops.
        asm.align(16);
        asm.bytes.extend_from_slice(&[0xcc; 16]);
        let start = asm.here();
        for reg in [RBX, RBP, R12, R13, MEMORY, STEPS] {
            asm.push(reg);
        }
        asm.alu64_imm(Alu::Sub, Operand::Reg(RSP), frame::BYTES);
        asm.store64(Operand::Frame(frame::CONTEXT), RDI);
        asm.store64(Operand::Frame(frame::FAULT), RSI);
        for at in (0..frame::REGISTER_BYTES as u8).step_by(16) {
            asm.move16(true, RDI, at);
            asm.move16(false, RSP, at);
        }
        asm.mov64(MEMORY, Operand::Context(RDI, context::MEMORY));
        asm.mov64(STEPS, Operand::Context(RDI, context::STEPS));
        asm.check_alignment(true);
        // What it is found by goes last.
        for host in HOST.into_iter().filter(|host| *host != RDI).chain([RDI]) {
            asm.mov(host, Operand::Context(RDI, context::HOSTS + 4 * i32::from(host)));
        }
        asm.jump_frame(frame::FAULT);
        start as u32
    }

    /// The way back. Gives the offsets of: leaving for the reason in EDX at the address in EAX; a missed jump; a fault.
    fn leave(&mut self) -> (usize, u32, u32) {
        let asm = &mut self.asm;
        let leave = asm.here();
        asm.store(Operand::Frame(frame::PC), RAX);
        asm.store(Operand::Frame(frame::REASON), RDX);
        asm.mov64(RAX, Operand::Frame(frame::CONTEXT));
        for host in HOST {
            asm.store(Operand::Context(RAX, context::HOSTS + 4 * i32::from(host)), host);
        }
        asm.check_alignment(false);
        asm.mov64(RDI, Operand::Reg(RAX));
        for at in (0..frame::REGISTER_BYTES as u8).step_by(16) {
            asm.move16(true, RSP, at);
            asm.move16(false, RDI, at);
        }
        asm.store64(Operand::Context(RDI, context::STEPS), STEPS);
        // PC and reason are beside each other in both.
        for (from, to) in [
            (frame::PC, context::PC),
            (frame::FAULT, context::FAULT),
            (frame::FAULT_RAX, context::FAULT_RAX),
        ] {
            asm.mov64(RAX, Operand::Frame(from));
            asm.store64(Operand::Context(RDI, to), RAX);
        }
        asm.alu64_imm(Alu::Add, Operand::Reg(RSP), frame::BYTES);
        for reg in [STEPS, MEMORY, R13, R12, RBP, RBX] {
            asm.pop(reg);
        }
        asm.ret();
        let miss = asm.here();
        asm.mov_imm(RDX, Reason::Miss as u32);
        let to_leave = asm.jump();
        asm.land(to_leave, leave);
        let fault = asm.here();
        asm.mov_imm(RDX, Reason::Fault as u32);
        let to_leave = asm.jump();
        asm.land(to_leave, leave);
        (leave, miss as u32, fault as u32)
    }

    /// Translates a block.
    fn block(&mut self, first: usize, end: usize, lengths: &mut [u8]) -> Block {
        let count = end - first;
        let turns = match self.function(first) {
            Some(_) => 1,
            None => self.turns_of(first, count),
        };
        self.charge = self.plan.charges.at(first);
        let entry = self.start(first, turns);
        let places = self.number;
        let block = self.instructions.get(first..end).unwrap_or_default();
        self.first = first;
        let parts = self.plan.joins.parts.get(first..end).unwrap_or_default();
        self.planner.plan(block, parts, &self.places);
        for left in (1..turns).rev() {
            self.extra = (left * count) as u32;
            self.turns.push(Turn {
                body: self.asm.here() as u32,
                first: first as u32,
                extra: self.extra,
            });
            self.body(first, end, &mut []);
        }
        self.extra = 0;
        let body = self.asm.here();
        let ended = self.body(first, end, lengths);
        self.goes_on = false;
        if !ended {
            self.go_on(end);
        }
        Block {
            first: first as u32,
            count: count as u32,
            entry: entry as u32,
            body: body as u32,
            door: if places == 0 { entry as u32 } else { 0 },
            places,
            charge: self.charge,
        }
    }

    /// Writes what comes before the instructions of the block that starts at `first`. Gives where a jump to it goes: 0 if
    /// that is written later, since the block before goes on here.
    fn start(&mut self, first: usize, turns: usize) -> usize {
        if self.goes_on {
            self.set_places(*self.plan.zones.at(first));
            return 0;
        }
        if self.plan.loops.get(first) {
            self.asm.align(16);
        }
        let entry = self.asm.here();
        self.set_places(*self.plan.zones.at(first));
        if let Some(number) = self.function(first) {
            self.call(number);
        }
        let charge = turns as u32 * self.charge;
        self.pay(charge, charge, first, self.number);
        entry
    }

    /// Charges `steps` where the block that starts at `first` is entered, or does not begin it: `refund` is what is charged
    /// for it then.
    fn pay(&mut self, steps: u32, refund: u32, first: usize, places: u32) {
        if !self.metered {
            return;
        }
        self.asm.alu64_imm(Alu::Sub, Operand::Reg(STEPS), steps);
        let from = self.asm.jump_if(Condition::Below);
        self.limit(from, refund, first, places);
    }

    /// Has the jump `from` leave before the block that starts at `first`, for which too few steps are left.
    fn limit(&mut self, from: Fixup, refund: u32, first: usize, places: u32) {
        self.exits.push(Exit {
            from,
            reason: Reason::Limit,
            pc: (first as u32) << 2,
            refund,
            places,
        });
    }

    /// Gives back what is charged and not taken, on a way that always comes.
    fn give_back(&mut self, steps: u32) {
        if self.metered && steps != 0 {
            self.asm.alu64_imm(Alu::Add, Operand::Reg(STEPS), steps);
        }
    }

    /// Goes from the end of a block to the next, which starts at `end`.
    fn go_on(&mut self, end: usize) {
        let left = self.left(end);
        if !self.instructions.get(end).is_some_and(Option::is_some) {
            // The next word is no instruction, or past the end.
            return self.exit_now(Reason::Step, end, left);
        }
        if self.plan.loops.get(end) || self.function(end).is_some() {
            // It is charged as for who jumps there.
            return self.give_back(left);
        }
        self.goes_on = self.metered;
        let next = self.plan.charges.at(end);
        match next.checked_sub(left) {
            Some(0) => {}
            Some(more) => self.pay(more, next, end, self.number),
            None => self.give_back(left - next),
        }
    }

    /// The steps that are charged from an instruction of the present block on, or from its end.
    fn left(&self, index: usize) -> u32 {
        self.charge.saturating_sub((index - self.first) as u32)
    }

    /// Writes the entries of the blocks that the one before goes on in.
    fn entries(&mut self) {
        let mut blocks = std::mem::take(&mut self.blocks);
        for block in &mut blocks {
            if block.entry != 0 {
                continue;
            }
            if self.is_full() {
                break;
            }
            block.entry = self.asm.here() as u32;
            if block.places == 0 {
                block.door = block.entry;
            }
            self.pay(block.charge, block.charge, block.first as usize, block.places);
            let onward = self.asm.jump();
            self.asm.land(onward, block.body as usize);
        }
        self.blocks = blocks;
    }

    /// Writes the way from the table of entries into blocks that have registers in other places.
    fn doors(&mut self) {
        let mut blocks = std::mem::take(&mut self.blocks);
        for block in &mut blocks {
            if self.is_full() {
                break;
            }
            if block.places == 0 || !self.plan.known.get(block.first as usize) {
                continue;
            }
            block.door = self.asm.here() as u32;
            let moves = self.plan.zones.base().moves(self.plan.zones.at(block.first as usize));
            self.write(&moves);
            let onward = self.asm.jump();
            self.asm.land(onward, block.entry as usize);
        }
        self.blocks = blocks;
    }

    /// From here on, guest registers are in `places`.
    fn set_places(&mut self, places: Places) {
        if places == self.places {
            return;
        }
        let next = self.all.len() as u32;
        self.number = *self.numbers.entry(places).or_insert(next);
        if self.number == next {
            self.all.push(places);
        }
        self.places = places;
    }

    /// Writes the moves of guest registers.
    fn write(&mut self, moves: &[Move]) {
        for step in moves {
            match *step {
                Move::Store { guest, from } => self.asm.store(Operand::Frame(4 * i32::from(guest)), from),
                Move::Load { guest, to } => self.asm.mov(to, Operand::Frame(4 * i32::from(guest))),
                Move::Copy { from, to } => self.asm.mov(to, Operand::Reg(from)),
            }
        }
    }

    /// Takes all guest registers to `places`.
    fn take_to(&mut self, places: &Places) {
        let moves = self.places.moves(places);
        self.write(&moves);
        self.set_places(*places);
    }

    /// Makes the swaps that are due before the instruction at `index`, from number `done` on. Gives how many are made.
    fn swap(&mut self, index: usize, mut done: usize) -> usize {
        let mut places = self.places;
        while let Some(Swap {
            before,
            out,
            into,
            host,
            store,
            load,
        }) = self.planner.swaps.get(done).copied()
            && self.first + before <= index
        {
            if store {
                self.write(&[Move::Store { guest: out, from: host }]);
            }
            // One that is late, since its instruction was translated with the one before, finds it written.
            if load || self.first + before < index {
                self.write(&[Move::Load { guest: into, to: host }]);
            }
            places.put(out, None);
            places.put(into, Some(host));
            done += 1;
        }
        self.set_places(places);
        done
    }

    /// Where the control transfer at `index` wants guest registers to be.
    fn wanted(&self, index: usize) -> Option<Places> {
        let instruction = self.instructions.get(index).copied().flatten()?;
        let effect = instruction.op.instruction().effect;
        if !matches!(effect, Effect::Branch(_) | Effect::Jump(_) | Effect::Call) {
            return None;
        }
        let leads = match effect {
            // Out of a loop, or past something: who stays pays nothing for it.
            Effect::Branch(_) if instruction.imm as i32 > 0 => None,
            Effect::Branch(_) => target(self.instructions, index, instruction.imm),
            Effect::Jump(_) if instruction.op == Op::Jal => target(self.instructions, index, instruction.imm),
            Effect::Jump(_) => return Some(*self.plan.zones.base()),
            _ => None,
        };
        Some(*self.plan.zones.at(leads.unwrap_or(index + 1)))
    }

    /// The instructions of a block, once. Says whether the end jumps away.
    fn body(&mut self, first: usize, end: usize, lengths: &mut [u8]) -> bool {
        let mut index = first;
        let mut ended = false;
        let mut swapped = 0;
        while index < end {
            let before = self.asm.here();
            let number = self.number;
            swapped = self.swap(index, swapped);
            if index + 1 == end
                && let Some(wanted) = self.wanted(index)
            {
                self.take_to(&wanted);
            }
            if number != self.number && self.extra == 0 {
                self.changes.push(Change {
                    at: index as u32,
                    places: self.number,
                });
            }
            let (taken, jumped) = match self.part(index) {
                Part::None => self.instruction(index, end),
                Part::Nothing | Part::Later { .. } | Part::Elsewhere { .. } => (1, false),
                Part::Fraction {
                    op,
                    a,
                    b,
                    to,
                    low,
                    high,
                    right,
                } => {
                    self.product(op, a, b, RAX);
                    if low != 0 {
                        let half = self.host(low).unwrap_or(RDX);
                        self.asm.mov(half, Operand::Reg(RAX));
                        self.asm.shift_imm(Shift::Right, Operand::Reg(half), right);
                        self.settle(low, half);
                    }
                    if high != 0 {
                        let half = self.host(high).unwrap_or(RDX);
                        self.asm.mov64(half, Operand::Reg(RAX));
                        self.asm.shift64_imm(Shift::Right, half, 32);
                        self.asm.shift_imm(Shift::Left, Operand::Reg(half), 32 - right);
                        self.settle(high, half);
                    }
                    self.asm.shift64_imm(Shift::Right, RAX, right);
                    self.settle(to, RAX);
                    (1, false)
                }
                Part::Quiet => {
                    self.quiet(index);
                    (1, false)
                }
                Part::Flags => {
                    self.carrying(index);
                    (1, false)
                }
                Part::Carry { set, to, sum, of, less } => {
                    if set {
                        self.carrying(index);
                    }
                    self.carry(to, sum, of, less);
                    (1, false)
                }
                Part::Product { op, a, b, low, high } => {
                    self.halves(op, a, b, low, high);
                    (1, false)
                }
                Part::Whole { from, to, right } => {
                    let source = self.operand(from);
                    let result = self.destination(to);
                    self.asm.rotate(result, source, right);
                    self.settle(to, result);
                    (1, false)
                }
            };
            if let Some(length) = lengths.get_mut(index) {
                *length = (self.asm.here() - before) as u8;
            }
            if self.extra == 0 {
                for done in self.instructions.get(index..index + taken).unwrap_or_default() {
                    done.iter().for_each(|instruction| self.constants.follow(instruction));
                }
            }
            index += taken;
            ended = jumped;
        }
        if !ended && self.extra == 0 && self.instructions.get(end).is_some_and(Option::is_some) {
            let wanted = *self.plan.zones.at(end);
            self.take_to(&wanted);
        }
        ended
    }

    /// How many turns of a block are charged at once: more than one if it is a short loop of nothing but simple
    /// instructions.
    fn turns_of(&self, first: usize, count: usize) -> usize {
        let Some(instructions) = self.instructions.get(first..first + count) else {
            return 1;
        };
        let Some((Some(last), before)) = instructions.split_last() else {
            return 1;
        };
        let back = (1 - count as i32) * 4;
        let simple = |slot: &Option<Decoded>| {
            slot.is_some_and(|instruction| match instruction.op.instruction().effect {
                Effect::Set(_) => !matches!(instruction.op, Op::Div | Op::Divu | Op::Rem | Op::Remu),
                Effect::Load(..) | Effect::Store(_) => true,
                _ => false,
            })
        };
        let is_loop = matches!(last.op.instruction().effect, Effect::Branch(_))
            && last.imm as i32 == back
            && before.iter().all(simple)
            // What follows is a block, to leave for, and not charged in the loop.
            && self.instructions.get(first + count).is_some_and(Option::is_some)
            && self.plan.charges.at(first) as usize == count;
        match count {
            _ if !is_loop || !self.metered => 1,
            0..=12 => 4,
            13..=32 => 2,
            _ => 1,
        }
    }

    /// What an instruction is in something that is done at once.
    fn part(&self, index: usize) -> Part {
        self.plan.joins.parts.get(index).copied().unwrap_or_default()
    }

    /// The instruction after `index`, if it is in the same block.
    fn following(&self, index: usize, end: usize) -> Option<Decoded> {
        let next = index + 1;
        // What belongs to a rotation goes with nothing else.
        let free = self.part(next) == Part::None;
        if next < end && free {
            self.instructions.get(next).copied().flatten()
        } else {
            None
        }
    }

    /// Translates the instruction at `index`, and those after it that go with it. Gives their number, and whether the
    /// block's end jumps away.
    fn instruction(&mut self, index: usize, end: usize) -> (usize, bool) {
        let Some(Some(instruction)) = self.instructions.get(index).copied() else {
            return (1, false);
        };
        let pc = (index as u32) << 2;
        let Decoded { op, rd, rs1, rs2, imm } = instruction;
        match op.instruction().effect {
            Effect::Branch(_) => return (self.branch(index, end, &instruction), false),
            Effect::Jump(_) if op == Op::Jal => {
                if !imm.is_multiple_of(4) {
                    // Traps, and must not have written the link.
                    self.exit_now(Reason::Step, index, self.left(index));
                    return (1, true);
                }
                self.link(rd, pc);
                return (1, self.jump_to(index, imm));
            }
            Effect::Jump(_) => {
                self.jump_indirect(index, &instruction);
                return (1, true);
            }
            Effect::Load(width, _) => {
                let from = self.address(rs1, imm);
                self.load(op, width, rd, from);
            }
            Effect::Store(width) => {
                let to = self.address(rs1, imm);
                if rs2 == 0 {
                    self.asm.store_zero(to, width as u32);
                } else {
                    let from = self.source(rs2, RDX);
                    match width {
                        Width::Byte => self.asm.store8(to, from),
                        Width::Half => self.asm.store16(to, from),
                        Width::Word => self.asm.store(to, from),
                    }
                }
            }
            Effect::Set(_) => return (self.set(index, end, &instruction), false),
            Effect::Nothing => {}
            Effect::Call => {
                self.exit_now(Reason::Step, index, self.left(index));
                return (1, true);
            }
        }
        (1, false)
    }

    /// What a load makes of the guest's memory at `from`.
    fn load(&mut self, op: Op, width: Width, rd: u8, from: Operand) {
        let to = self.destination(rd);
        match (op, width) {
            (Op::Lb, _) => self.asm.load_i8(to, from),
            (Op::Lh, _) => self.asm.load_i16(to, from),
            (_, Width::Byte) => self.asm.load_u8(to, from),
            (_, Width::Half) => self.asm.load_u16(to, from),
            (_, Width::Word) => self.asm.mov(to, from),
        }
        self.settle(rd, to);
    }

    /// Translates an instruction that only sets a register. Gives how many were done.
    fn set(&mut self, index: usize, end: usize, instruction: &Decoded) -> usize {
        let Decoded { op, rd, rs1, rs2, imm } = *instruction;
        let pc = (index as u32) << 2;
        if matches!(op, Op::Lui | Op::Auipc)
            && rd != 0
            && let Some(next) = self.following(index, end)
            && next.rs1 == rd
        {
            if next.op == Op::Addi && next.rd == rd {
                self.constant(rd, far_target(index, instruction, &next));
                return 2;
            }
            // A load into the same register from a fixed address: what the first makes is never seen, unless the load
            // faults, and then both are done again.
            if let Effect::Load(width, _) = next.op.instruction().effect
                && next.rd == rd
                && let Ok(address) = i32::try_from(far_target(index, instruction, &next))
            {
                self.load(next.op, width, rd, Operand::Guest(None, address));
                return 2;
            }
        }
        if rd == 0 {
            return 1;
        }
        // An index, scaled and added to an address.
        if op == Op::Slli
            && matches!(imm, 1..=3)
            && let Some(next) = self.following(index, end)
            && next.op == Op::Add
            && next.rd == rd
            && (next.rs1 == rd) != (next.rs2 == rd)
            && let Some(scaled) = self.host(rs1)
            && let Some(to) = self.host(rd)
            && let Some(base) = self.host(if next.rs1 == rd { next.rs2 } else { next.rs1 })
        {
            self.asm.lea_scaled(to, base, scaled, imm as u8);
            return 2;
        }
        // Shifts up and down again: a part of a register, extended.
        if op == Op::Slli
            && let Some(next) = self.following(index, end)
            && (next.rd, next.rs1, next.imm) == (rd, rd, imm)
            && matches!((next.op, imm), (Op::Srli | Op::Srai, 16 | 24))
        {
            let from = self.low(rs1);
            let to = self.destination(rd);
            match (next.op, imm) {
                (Op::Srli, 16) => self.asm.load_u16(to, from),
                (Op::Srli, _) => self.asm.load_u8(to, from),
                (_, 16) => self.asm.load_i16(to, from),
                _ => self.asm.load_i8(to, from),
            }
            self.settle(rd, to);
            return 2;
        }
        match op {
            Op::Lui => self.constant(rd, imm),
            Op::Auipc => self.constant(rd, pc.wrapping_add(imm)),
            Op::Addi => self.add_imm(rd, rs1, imm),
            Op::Xori if imm == u32::MAX => {
                let to = self.copy(rd, rs1);
                self.asm.not(Operand::Reg(to));
                self.settle(rd, to);
            }
            Op::Xori => self.alu_imm(Alu::Xor, rd, rs1, imm),
            Op::Ori => self.alu_imm(Alu::Or, rd, rs1, imm),
            Op::Andi if imm == 0xff => {
                let from = self.low(rs1);
                let to = self.destination(rd);
                self.asm.load_u8(to, from);
                self.settle(rd, to);
            }
            Op::Andi => self.alu_imm(Alu::And, rd, rs1, imm),
            Op::Slti => self.compare_imm(rd, rs1, imm, Condition::Less),
            Op::Sltiu => self.compare_imm(rd, rs1, imm, Condition::Below),
            Op::Slli => self.shift_imm(Shift::Left, rd, rs1, imm),
            Op::Srli => self.shift_imm(Shift::Right, rd, rs1, imm),
            Op::Srai => self.shift_imm(Shift::Arithmetic, rd, rs1, imm),
            Op::Add => self.add(rd, rs1, rs2),
            Op::Sub => self.sub(rd, rs1, rs2),
            Op::And => self.alu(Alu::And, rd, rs1, rs2),
            Op::Or => self.alu(Alu::Or, rd, rs1, rs2),
            Op::Xor => self.alu(Alu::Xor, rd, rs1, rs2),
            Op::Slt => self.compare(rd, rs1, rs2, Condition::Less),
            Op::Sltu => self.compare(rd, rs1, rs2, Condition::Below),
            Op::Sll => self.shift(Shift::Left, rd, rs1, rs2),
            Op::Srl => self.shift(Shift::Right, rd, rs1, rs2),
            Op::Sra => self.shift(Shift::Arithmetic, rd, rs1, rs2),
            Op::Mul => self.multiply(rd, rs1, rs2),
            Op::Mulh | Op::Mulhsu | Op::Mulhu => self.multiply_high(op, rd, rs1, rs2),
            Op::Div | Op::Rem => self.divide_signed(op, rd, rs1, rs2),
            Op::Divu | Op::Remu => self.divide_unsigned(op, rd, rs1, rs2),
            // Those that set no register.
            Op::Jal
            | Op::Jalr
            | Op::Beq
            | Op::Bne
            | Op::Blt
            | Op::Bge
            | Op::Bltu
            | Op::Bgeu
            | Op::Lb
            | Op::Lh
            | Op::Lw
            | Op::Lbu
            | Op::Lhu
            | Op::Sb
            | Op::Sh
            | Op::Sw
            | Op::Fence
            | Op::Ecall => {}
        }
        1
    }

    // Where guest registers are.

    fn host(&self, guest: u8) -> Option<Reg> {
        self.places.host(guest)
    }

    /// A guest register other than `x0` as an operand.
    fn operand(&self, guest: u8) -> Operand {
        match self.host(guest) {
            Some(reg) => Operand::Reg(reg),
            None => Operand::Frame(4 * i32::from(guest)),
        }
    }

    /// A host register that holds what the guest register does: its own, or `scratch`.
    fn source(&mut self, guest: u8, scratch: Reg) -> Reg {
        match self.host(guest) {
            Some(reg) => reg,
            None if guest == 0 => {
                self.asm.mov_imm(scratch, 0);
                scratch
            }
            None => {
                self.asm.mov(scratch, Operand::Frame(4 * i32::from(guest)));
                scratch
            }
        }
    }

    /// As `source`, as an operand of 8 or 16 bits.
    fn low(&mut self, guest: u8) -> Operand {
        if guest == 0 {
            self.asm.mov_imm(RAX, 0);
            return Operand::Reg(RAX);
        }
        self.operand(guest)
    }

    /// Where a result goes: the guest register's own host register, or RAX, from where [`Self::settle`] takes it.
    fn destination(&self, guest: u8) -> Reg {
        self.host(guest).unwrap_or(RAX)
    }

    fn settle(&mut self, guest: u8, from: Reg) {
        match self.host(guest) {
            Some(reg) => self.asm.mov(reg, Operand::Reg(from)),
            None if guest == 0 => {}
            None => self.asm.store(Operand::Frame(4 * i32::from(guest)), from),
        }
    }

    /// The guest's memory at a register + displacement; may use RAX.
    fn address(&mut self, base: u8, imm: u32) -> Operand {
        if base == 0 {
            return Operand::Guest(None, imm as i32);
        }
        let index = self.source(base, RAX);
        Operand::Guest(Some(index), imm as i32)
    }

    /// `from` in the destination of `rd`.
    fn copy(&mut self, rd: u8, from: u8) -> Reg {
        let to = self.destination(rd);
        if from == 0 {
            self.asm.mov_imm(to, 0);
        } else {
            let from = self.operand(from);
            self.asm.mov(to, from);
        }
        to
    }

    // What sets a register.

    fn constant(&mut self, rd: u8, value: u32) {
        match self.host(rd) {
            Some(reg) => self.asm.mov_imm(reg, value),
            None if rd == 0 => {}
            None => self.asm.store_imm(Operand::Frame(4 * i32::from(rd)), value),
        }
    }

    fn add_imm(&mut self, rd: u8, rs1: u8, imm: u32) {
        if rs1 == 0 {
            return self.constant(rd, imm);
        }
        if rd == rs1 {
            if imm != 0 {
                let to = self.operand(rd);
                self.asm.alu_imm(Alu::Add, to, imm);
            }
            return;
        }
        match (self.host(rs1), imm) {
            (Some(from), 1..) => {
                let to = self.destination(rd);
                self.asm.lea_imm(to, from, imm);
                self.settle(rd, to);
            }
            (Some(from), 0) => self.settle(rd, from),
            (None, _) => {
                let to = self.copy(rd, rs1);
                if imm != 0 {
                    self.asm.alu_imm(Alu::Add, Operand::Reg(to), imm);
                }
                self.settle(rd, to);
            }
        }
    }

    fn alu_imm(&mut self, op: Alu, rd: u8, rs1: u8, imm: u32) {
        if rd == rs1 {
            let to = self.operand(rd);
            return self.asm.alu_imm(op, to, imm);
        }
        let to = self.copy(rd, rs1);
        self.asm.alu_imm(op, Operand::Reg(to), imm);
        self.settle(rd, to);
    }

    fn add(&mut self, rd: u8, a: u8, b: u8) {
        if a == 0 {
            return self.add_imm(rd, b, 0);
        }
        if b == 0 {
            return self.add_imm(rd, a, 0);
        }
        if let (Some(x), Some(y)) = (self.host(a), self.host(b))
            && rd != a
            && rd != b
        {
            let to = self.destination(rd);
            self.asm.lea_add(to, x, y);
            return self.settle(rd, to);
        }
        self.alu(Alu::Add, rd, a, b);
    }

    /// A commutative operation.
    fn alu(&mut self, op: Alu, rd: u8, a: u8, b: u8) {
        let (a, b) = if rd == b { (b, a) } else { (a, b) };
        if b == 0 {
            if op == Alu::And {
                return self.constant(rd, 0);
            }
            return self.add_imm(rd, a, 0);
        }
        if a == 0 {
            if op == Alu::And {
                return self.constant(rd, 0);
            }
            return self.add_imm(rd, b, 0);
        }
        let second = self.operand(b);
        if rd == a
            && self.host(rd).is_none()
            && let Operand::Reg(reg) = second
        {
            let to = self.operand(rd);
            return self.asm.alu_to(op, to, reg);
        }
        let to = self.copy(rd, a);
        self.asm.alu(op, to, second);
        self.settle(rd, to);
    }

    fn sub(&mut self, rd: u8, a: u8, b: u8) {
        if b == 0 {
            return self.add_imm(rd, a, 0);
        }
        let second = self.operand(b);
        if rd == b && rd != a {
            if a == 0 {
                return self.asm.neg(second);
            }
            let first = self.operand(a);
            self.asm.mov(RAX, first);
            self.asm.alu(Alu::Sub, RAX, second);
            return self.settle(rd, RAX);
        }
        if rd == a
            && self.host(rd).is_none()
            && let Operand::Reg(reg) = second
        {
            let to = self.operand(rd);
            return self.asm.alu_to(Alu::Sub, to, reg);
        }
        let to = self.copy(rd, a);
        self.asm.alu(Alu::Sub, to, second);
        self.settle(rd, to);
    }

    fn shift_imm(&mut self, op: Shift, rd: u8, rs1: u8, count: u32) {
        let count = (count & 31) as u8;
        if rd == rs1 {
            let to = self.operand(rd);
            if count != 0 {
                self.asm.shift_imm(op, to, count);
            }
            return;
        }
        let to = self.copy(rd, rs1);
        if count != 0 {
            self.asm.shift_imm(op, Operand::Reg(to), count);
        }
        self.settle(rd, to);
    }

    fn shift(&mut self, op: Shift, rd: u8, a: u8, count: u8) {
        if count == 0 {
            return self.add_imm(rd, a, 0);
        }
        if a == 0 {
            return self.constant(rd, 0);
        }
        let count = self.source(count, RDX);
        let from = self.operand(a);
        let to = self.destination(rd);
        self.asm.shift(op, to, from, count);
        self.settle(rd, to);
    }

    /// Flags of two guest registers, and the condition of them that holds if `condition` does of the two; may use RDX.
    fn flags(&mut self, a: u8, b: u8, condition: Condition) -> Condition {
        match (a, b) {
            (0, 0) => self.asm.alu(Alu::Cmp, RDX, Operand::Reg(RDX)),
            (_, 0) | (0, _) => {
                match self.operand(a | b) {
                    Operand::Reg(reg) => self.asm.test(reg, reg),
                    home => self.asm.alu_imm(Alu::Cmp, home, 0),
                }
                if a == 0 {
                    // The other way round.
                    return match condition {
                        Condition::Below => Condition::NotEqual,
                        Condition::NotBelow => Condition::Equal,
                        Condition::Less => Condition::Greater,
                        Condition::NotLess => Condition::NotGreater,
                        other => other,
                    };
                }
            }
            _ => match (self.operand(a), self.operand(b)) {
                (Operand::Reg(a), b) => self.asm.alu(Alu::Cmp, a, b),
                (a, Operand::Reg(b)) => self.asm.alu_to(Alu::Cmp, a, b),
                (a, b) => {
                    self.asm.mov(RDX, a);
                    self.asm.alu(Alu::Cmp, RDX, b);
                }
            },
        }
        condition
    }

    fn compare(&mut self, rd: u8, a: u8, b: u8, condition: Condition) {
        // The register is cleared first, since setting a byte leaves the rest: not if it is compared.
        let to = if rd == a || rd == b { RAX } else { self.destination(rd) };
        self.asm.mov_imm(to, 0);
        let condition = self.flags(a, b, condition);
        self.asm.set(condition, to);
        self.settle(rd, to);
    }

    fn compare_imm(&mut self, rd: u8, a: u8, imm: u32, condition: Condition) {
        if a == 0 {
            let holds = match condition {
                Condition::Less => (imm as i32) > 0,
                _ => imm > 0,
            };
            return self.constant(rd, u32::from(holds));
        }
        let to = if rd == a { RAX } else { self.destination(rd) };
        self.asm.mov_imm(to, 0);
        let first = self.operand(a);
        self.asm.alu_imm(Alu::Cmp, first, imm);
        self.asm.set(condition, to);
        self.settle(rd, to);
    }

    /// Translates the sum at `index` so that the flags stay.
    fn quiet(&mut self, index: usize) {
        let Some(Some(Decoded { op, rd, rs1, rs2, imm })) = self.instructions.get(index).copied() else {
            return;
        };
        if rd == 0 {
            return;
        }
        if op == Op::Add && rs1 != 0 && rs2 != 0 {
            let (a, b) = (self.source(rs1, RAX), self.source(rs2, RDX));
            let to = self.destination(rd);
            self.asm.lea_add(to, a, b);
            return self.settle(rd, to);
        }
        let (from, imm) = if op == Op::Add { (rs1 | rs2, 0) } else { (rs1, imm) };
        match (from, imm) {
            (0, imm) => {
                let to = self.destination(rd);
                self.asm.mov_imm_only(to, imm);
                self.settle(rd, to);
            }
            (_, 0) => {
                let to = self.copy(rd, from);
                self.settle(rd, to);
            }
            _ => {
                let from = self.source(from, RAX);
                let to = self.destination(rd);
                self.asm.lea_imm(to, from, imm);
                self.settle(rd, to);
            }
        }
    }

    /// Translates the sum, the difference or the comparison at `index` so that the carry flag says of it.
    fn carrying(&mut self, index: usize) {
        let Some(Some(Decoded { op, rd, rs1, rs2, imm })) = self.instructions.get(index).copied() else {
            return;
        };
        match op {
            Op::Add => self.alu(Alu::Add, rd, rs1, rs2),
            Op::Addi => self.alu_imm(Alu::Add, rd, rs1, imm),
            Op::Sub => self.sub(rd, rs1, rs2),
            Op::Sltiu => {
                let first = self.operand(rs1);
                self.asm.alu_imm(Alu::Cmp, first, imm);
            }
            _ => {
                self.flags(rs1, rs2, Condition::Below);
            }
        }
    }

    /// Puts the carry flag into `to`, and adds it to `of`, or takes it from there, to make `sum`; either may be left out.
    fn carry(&mut self, to: u8, sum: u8, of: u8, less: bool) {
        // Nothing here changes the flags but what adds them.
        if to != 0 {
            let reg = self.destination(to);
            self.asm.mov_imm_only(reg, 0);
            self.asm.set(Condition::Below, reg);
            self.settle(to, reg);
        }
        if sum == 0 {
            return;
        }
        let op = if less { Alu::SubBorrow } else { Alu::AddCarry };
        if sum == of {
            let home = self.operand(sum);
            return self.asm.alu_imm(op, home, 0);
        }
        let reg = self.copy(sum, of);
        self.asm.alu_imm(op, Operand::Reg(reg), 0);
        self.settle(sum, reg);
    }

    fn multiply(&mut self, rd: u8, a: u8, b: u8) {
        if a == 0 || b == 0 {
            return self.constant(rd, 0);
        }
        let (a, b) = if rd == b { (b, a) } else { (a, b) };
        let to = self.copy(rd, a);
        let second = self.operand(b);
        self.asm.imul(to, second);
        self.settle(rd, to);
    }

    /// The 64 bits of a product, its upper half as `op` has it, in `to`, which is RAX or a guest register's that may change;
    /// may use RDX.
    fn product(&mut self, op: Op, a: u8, b: u8, to: Reg) {
        // The first goes there before the second is read.
        let (a, b) = if op != Op::Mulhsu && self.host(b) == Some(to) {
            (b, a)
        } else {
            (a, b)
        };
        let (first, second) = (self.operand(a), self.operand(b));
        let second = match (op, second) {
            (Op::Mulh, _) if a == b => to,
            (Op::Mulh, other) => {
                self.asm.sign_extend(RDX, other);
                RDX
            }
            // Upper halves of host registers that hold a guest's are zero.
            (_, Operand::Reg(reg)) if reg != to || op == Op::Mulhu => reg,
            (_, other) => {
                self.asm.mov(RDX, other);
                RDX
            }
        };
        if op == Op::Mulhu {
            self.asm.mov(to, first);
        } else {
            self.asm.sign_extend(to, first);
        }
        self.asm.imul64(to, Operand::Reg(second));
    }

    fn multiply_high(&mut self, op: Op, rd: u8, a: u8, b: u8) {
        if a == 0 || b == 0 {
            return self.constant(rd, 0);
        }
        let to = self.destination(rd);
        self.product(op, a, b, to);
        self.asm.shift64_imm(Shift::Right, to, 32);
        self.settle(rd, to);
    }

    /// Both halves of a product, the upper one as `op` has it.
    fn halves(&mut self, op: Op, a: u8, b: u8, low: u8, high: u8) {
        if op == Op::Mulh {
            let (first, second) = (self.operand(a), self.operand(b));
            self.asm.mov(RAX, first);
            self.asm.imul_both(second);
            self.settle(low, RAX);
            return self.settle(high, RDX);
        }
        let to = self.destination(high);
        self.product(op, a, b, to);
        self.settle(low, to);
        self.asm.shift64_imm(Shift::Right, to, 32);
        self.settle(high, to);
    }

    /// In 64 bits, where the one overflow of 32 bits is none.
    fn divide_signed(&mut self, op: Op, rd: u8, a: u8, b: u8) {
        if b == 0 {
            return self.divided_by_zero(op, rd, a);
        }
        let divisor = self.operand(b);
        let first = self.source(a, RAX);
        self.asm.mov(RAX, Operand::Reg(first));
        let guessed = self.divide_guessed(op, b);
        // Two that are not negative are divided as unsigned numbers of 32 bits, which takes less time.
        self.asm.mov(RDX, Operand::Reg(RAX));
        self.asm.alu(Alu::Or, RDX, divisor);
        let negative = self.asm.jump_if(Condition::Negative);
        let zero = self.unless_zero(divisor);
        self.asm.mov_imm(RDX, 0);
        self.asm.div(divisor);
        let done = self.asm.jump();
        let here = self.asm.here();
        self.asm.land(negative, here);
        self.asm.sign_extend(RDX, divisor);
        self.asm.store64(Operand::Frame(frame::DIVISOR), RDX);
        self.asm.sign_extend(RAX, Operand::Reg(RAX));
        self.asm.test64(RDX, RDX);
        let zero_too = self.asm.jump_if(Condition::Equal);
        self.asm.cqo();
        self.asm.idiv64(Operand::Frame(frame::DIVISOR));
        let here = self.asm.here();
        self.asm.land(done, here);
        self.divided(op == Op::Div, &[zero, zero_too], guessed, rd);
    }

    /// Jumps away if a divisor is zero.
    fn unless_zero(&mut self, divisor: Operand) -> Fixup {
        match divisor {
            Operand::Reg(reg) => self.asm.test(reg, reg),
            other => self.asm.alu_imm(Alu::Cmp, other, 0),
        }
        self.asm.jump_if(Condition::Equal)
    }

    fn divide_unsigned(&mut self, op: Op, rd: u8, a: u8, b: u8) {
        if b == 0 {
            return self.divided_by_zero(op, rd, a);
        }
        let divisor = self.operand(b);
        let first = self.source(a, RAX);
        self.asm.mov(RAX, Operand::Reg(first));
        let guessed = self.divide_guessed(op, b);
        let zero = self.unless_zero(divisor);
        self.asm.mov_imm(RDX, 0);
        self.asm.div(divisor);
        self.divided(op == Op::Divu, &[zero], guessed, rd);
    }

    /// After a division: `zero` is where it was left out, with the dividend in RAX.
    fn divided(&mut self, quotient: bool, zero: &[Fixup], guessed: Option<Fixup>, rd: u8) {
        if quotient {
            let done = self.asm.jump();
            let here = self.asm.here();
            zero.iter().for_each(|zero| self.asm.land(*zero, here));
            self.asm.mov_imm(RAX, u32::MAX);
            let here = self.asm.here();
            self.asm.land(done, here);
        } else {
            self.asm.mov(RAX, Operand::Reg(RDX));
            let here = self.asm.here();
            zero.iter().for_each(|zero| self.asm.land(*zero, here));
        }
        if let Some(guessed) = guessed {
            let here = self.asm.here();
            self.asm.land(guessed, here);
        }
        self.settle(rd, RAX);
    }

    /// Divides RAX by what a register probably holds, if it does. Gives the jump from there; who goes on divides by what the
    /// register holds. Compilers for RV32 leave divisions by constants to the machine, where they take three times as long as
    /// multiplications.
    fn divide_guessed(&mut self, op: Op, b: u8) -> Option<Fixup> {
        let divisor = self.constants.of(b)?;
        let factor = reciprocal(divisor)?;
        let signed = matches!(op, Op::Div | Op::Rem);
        if signed && divisor > i32::MAX as u32 {
            return None;
        }
        let held = self.operand(b);
        self.asm.alu_imm(Alu::Cmp, held, divisor);
        let other = self.asm.jump_if(Condition::NotEqual);
        let negative = signed.then(|| {
            self.asm.test(RAX, RAX);
            self.asm.jump_if(Condition::Negative)
        });
        self.asm.mov(RDX, Operand::Reg(RAX));
        self.asm.multiply_rdx_high(factor);
        if matches!(op, Op::Rem | Op::Remu) {
            self.asm.imul_imm(RAX, divisor);
            self.asm.alu(Alu::Sub, RDX, Operand::Reg(RAX));
            self.asm.mov(RAX, Operand::Reg(RDX));
        }
        let done = self.asm.jump();
        let here = self.asm.here();
        self.asm.land(other, here);
        negative.into_iter().for_each(|negative| self.asm.land(negative, here));
        Some(done)
    }

    fn divided_by_zero(&mut self, op: Op, rd: u8, a: u8) {
        if matches!(op, Op::Div | Op::Divu) {
            self.constant(rd, u32::MAX);
        } else {
            self.add_imm(rd, a, 0);
        }
    }

    // Control.

    fn link(&mut self, rd: u8, pc: u32) {
        self.constant(rd, pc.wrapping_add(4));
    }

    /// Translates a branch, and what it skips if that is one instruction of the right kind. Gives how many were done.
    fn branch(&mut self, index: usize, end: usize, instruction: &Decoded) -> usize {
        let Decoded { op, rs1, rs2, imm, .. } = *instruction;
        let condition = match op {
            Op::Beq => Condition::Equal,
            Op::Bne => Condition::NotEqual,
            Op::Blt => Condition::Less,
            Op::Bge => Condition::NotLess,
            Op::Bltu => Condition::Below,
            _ => Condition::NotBelow,
        };
        if let Some(next) = self.following(index, end)
            && let Some(skipped) = skips(self.instructions, index)
            && index + skipped < end
        {
            self.skip(condition, rs1, rs2, &next, skipped as u8);
            return 2;
        }
        let condition = self.flags(rs1, rs2, condition);
        if self.extra != 0 {
            // The loop's own branch: the next turn follows. Who leaves gives back what is charged for it.
            let from = self.asm.jump_if(condition.not());
            self.jumps.push(Jump {
                from,
                to: end,
                refund: self.extra,
                places: self.number,
            });
            return 1;
        }
        let taken = self.asm.jump_if(condition);
        self.jump_from(taken, index, imm, self.left(index + 1));
        1
    }

    /// `rd = rs1 + imm` unless the condition holds, and one or two steps less if it does.
    fn skip(&mut self, condition: Condition, a: u8, b: u8, next: &Decoded, steps: u8) {
        // Where the carry says whether the condition holds, it is what is given back.
        let mut carry = steps == 1 && matches!(condition, Condition::Below | Condition::NotBelow) && a != 0;
        let mut condition = condition;
        if carry || steps != 1 || b != 0 || !matches!(condition, Condition::Equal | Condition::NotEqual) {
            condition = self.flags(a, b, condition);
        } else {
            // Zero is what 1 is taken from with a borrow.
            carry = true;
            let first = if a == 0 {
                Operand::Reg(self.source(0, RDX))
            } else {
                self.operand(a)
            };
            self.asm.alu_imm(Alu::Cmp, first, 1);
            condition = if condition == Condition::Equal {
                Condition::Below
            } else {
                Condition::NotBelow
            };
        }
        // None of what follows up to the moves changes the flags.
        let from = match (next.rs1, next.imm) {
            (0, imm) => {
                self.asm.mov_imm_only(RDX, imm);
                Operand::Reg(RDX)
            }
            (rs1, 0) => self.operand(rs1),
            (rs1, imm) => {
                let from = self.source(rs1, RDX);
                self.asm.lea_imm(RDX, from, imm);
                Operand::Reg(RDX)
            }
        };
        match (self.operand(next.rd), from) {
            (Operand::Reg(to), from) => self.asm.move_if(condition.not(), to, from),
            (home, from) => {
                self.asm.mov(RDX, from);
                self.asm.move_if(condition, RDX, home);
                self.asm.store(home, RDX);
            }
        }
        match (self.metered, carry, condition) {
            (false, ..) => {}
            (true, false, _) => {
                self.asm.add64_to(RAX, STEPS, i32::from(steps));
                self.asm.move64_if(condition, STEPS, RAX);
            }
            (true, true, Condition::Below) => self.asm.alu64_imm(Alu::AddCarry, Operand::Reg(STEPS), 0),
            (true, true, _) => self.asm.alu64_imm(Alu::SubBorrow, Operand::Reg(STEPS), u32::MAX),
        }
    }

    /// Has the jump `from` go where the control transfer at `index` leads by `imm`; `refund` steps after it are not
    /// taken.
    fn jump_from(&mut self, from: Fixup, index: usize, imm: u32, refund: u32) {
        let pc = (index as u32) << 2;
        match target(self.instructions, index, imm) {
            Some(to) => self.jumps.push(Jump {
                from,
                to,
                refund,
                places: self.number,
            }),
            None => {
                let to = pc.wrapping_add(imm);
                // A misaligned target traps at the jump; one where no instruction is, there.
                let (pc, own) = if to.is_multiple_of(4) { (to, 0) } else { (pc, 1) };
                self.exits.push(Exit {
                    from,
                    reason: Reason::Step,
                    pc,
                    refund: refund + own,
                    places: self.number,
                });
            }
        }
    }

    /// Jumps where `JAL` leads; not if that is what follows.
    fn jump_to(&mut self, index: usize, imm: u32) -> bool {
        if imm == 4 && self.instructions.get(index + 1).is_some_and(Option::is_some) {
            return false;
        }
        let mut left = self.left(index + 1);
        if let Some(to) = target(self.instructions, index, imm) {
            // Here rather than on a detour: this way always comes.
            let next = if self.function(to).is_some() {
                0
            } else {
                self.plan.charges.at(to)
            };
            if next < left {
                self.give_back(left - next);
                left = next;
            } else if left < next {
                self.give_back(left);
                left = 0;
            }
        }
        let from = self.asm.jump();
        self.jump_from(from, index, imm, left);
        true
    }

    fn jump_indirect(&mut self, index: usize, instruction: &Decoded) {
        let Decoded { rd, rs1, imm, .. } = *instruction;
        let pc = (index as u32) << 2;
        match self.host(rs1) {
            Some(reg) if imm != 0 => self.asm.lea_imm(RAX, reg, imm),
            Some(reg) => self.asm.mov(RAX, Operand::Reg(reg)),
            None if rs1 == 0 => self.asm.mov_imm(RAX, imm),
            None => {
                self.asm.mov(RAX, Operand::Frame(4 * i32::from(rs1)));
                if imm != 0 {
                    self.asm.alu_imm(Alu::Add, Operand::Reg(RAX), imm);
                }
            }
        }
        if rd != 0 {
            // A misaligned target traps, and must not have written the link. Where there is none it is left to the table,
            // as bit 0 is: its entries are aligned, and a load from between them faults.
            self.asm.test_al(2);
            let from = self.asm.jump_if(Condition::NotEqual);
            self.exits.push(Exit {
                from,
                reason: Reason::Step,
                pc,
                refund: self.left(index),
                places: self.number,
            });
            self.link(rd, pc);
        }
        self.give_back(self.left(index + 1));
        self.asm.lea_beside(RDX, self.table as i64);
        self.asm.jump_through_table();
    }

    /// Leaves here.
    fn exit_now(&mut self, reason: Reason, index: usize, refund: u32) {
        let from = self.asm.jump();
        self.exits.push(Exit {
            from,
            reason,
            pc: (index as u32) << 2,
            refund,
            places: self.number,
        });
    }

    /// Writes what is left to write, and lets all jumps land.
    fn finish(&mut self, leave: usize) {
        self.limits = vec![(0, 0); self.blocks.len()];
        self.entries();
        self.leave_all(leave);
        for jump in std::mem::take(&mut self.jumps) {
            if self.is_full() {
                return;
            }
            self.land(&jump, self.function(jump.to).is_some());
        }
        self.leave_all(leave);
        self.call_all(leave);
        self.doors();
    }

    /// Writes the exits there are.
    fn leave_all(&mut self, leave: usize) {
        for Exit {
            from,
            reason,
            pc,
            refund,
            places,
        } in std::mem::take(&mut self.exits)
        {
            if self.is_full() {
                return;
            }
            let here = self.asm.here();
            self.asm.land(from, here);
            if reason == Reason::Limit
                && let Some(block) = self.block_at(pc >> 2)
                && let Some(limit) = self.limits.get_mut(block)
                && *limit == (0, 0)
            {
                *limit = (here as u32, refund);
            }
            if refund != 0 && self.metered {
                self.asm.alu64_imm(Alu::Add, Operand::Reg(STEPS), refund);
            }
            self.asm.mov_imm(RAX, pc);
            self.asm.mov_imm(RDX, reason as u32 | places << 8);
            let to_leave = self.asm.jump();
            self.asm.land(to_leave, leave);
        }
    }

    /// The block that starts with an instruction.
    fn block_at(&self, first: u32) -> Option<usize> {
        self.blocks.binary_search_by_key(&first, |block| block.first).ok()
    }

    /// Lets a jump go to its block, with what it gives back and what the block takes made one.
    fn land(&mut self, jump: &Jump, function: bool) {
        // Every target starts a block.
        let Some((number, block)) = self
            .block_at(jump.to as u32)
            .and_then(|number| Some((number, *self.blocks.get(number)?)))
        else {
            unreachable!("a jump to instruction {}, where no block starts", jump.to);
        };
        let moves = match (self.all.get(jump.places as usize), self.all.get(block.places as usize)) {
            (Some(from), Some(to)) => from.moves(to),
            _ => unreachable!("places {} and {}, which were numbered", jump.places, block.places),
        };
        let plain = jump.refund == 0 || !self.metered;
        if moves.is_empty() && plain {
            return self.asm.land(jump.from, block.entry as usize);
        }
        if moves.is_empty() && !function && jump.refund == block.charge {
            return self.asm.land(jump.from, block.body as usize);
        }
        let here = self.asm.here();
        self.asm.land(jump.from, here);
        self.write(&moves);
        let to = if plain {
            block.entry
        } else if function {
            self.asm.alu64_imm(Alu::Add, Operand::Reg(STEPS), jump.refund);
            block.entry
        } else {
            match block.charge.checked_sub(jump.refund) {
                Some(0) => {}
                Some(more) => {
                    self.asm.alu64_imm(Alu::Sub, Operand::Reg(STEPS), more);
                    let limit = self.asm.jump_if(Condition::Below);
                    let (there, given_back) = self.limits.get(number).copied().unwrap_or_default();
                    if given_back != block.charge {
                        // For a loop of which several turns are charged at once.
                        self.limit(limit, block.charge, block.first as usize, block.places);
                    } else {
                        self.asm.land(limit, there as usize);
                    }
                }
                None => self
                    .asm
                    .alu64_imm(Alu::Add, Operand::Reg(STEPS), jump.refund - block.charge),
            }
            block.body
        };
        let onward = self.asm.jump();
        self.asm.land(onward, to as usize);
    }
}
