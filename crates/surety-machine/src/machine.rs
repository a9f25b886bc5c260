//! The interpreter: the reference engine.

use crate::call::{Call, Read, ReadStep, advance_write, set_input};
use crate::encoding::Decoded;
use crate::hash::{Hash, ZERO, keccak, keccak256};
use crate::isa::{Effect, TABLE, Visit};
use crate::memory::{DataMemory, Memory};
use crate::preimages::{PreimageError, Preimages, Recent};
use crate::program::Program;
use crate::state::{Outcome, STATE_BYTES, State, Status, TrapCause};
use crate::tree::Tree;
use alloc::vec::Vec;

/// How much output a machine keeps unless told otherwise, bytes: 16 MiB.
pub const DEFAULT_OUTPUT_LIMIT: usize = 16 << 20;

/// Why a machine cannot take its next step. The machine is left as it was before that step, and may be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Nobody has the data with this hash. Without it there is no next state.
    #[error("preimage of 0x{} is missing", hex(.0))]
    MissingPreimage(Hash),
    /// The source gave data with another hash.
    #[error("preimage of 0x{} is wrong: its hash is 0x{}", hex(.hash), hex(.found))]
    WrongPreimage {
        /// The hash asked for.
        hash: Hash,
        /// The hash of what was given.
        found: Hash,
    },
    /// The preimage is longer than one may be.
    #[error("preimage of 0x{} is {length} bytes, more than the {} a preimage may have", hex(.hash), crate::MAX_PREIMAGE_BYTES)]
    PreimageTooLong {
        /// The hash asked for.
        hash: Hash,
        /// Length of what was given, bytes.
        length: usize,
    },
    /// The program wrote more than the limit of [`Machine::set_output_limit`].
    #[error("output is more than the limit of {limit} bytes")]
    OutputLimit {
        /// The limit, bytes.
        limit: usize,
    },
}

fn hex(hash: &Hash) -> impl core::fmt::Display {
    struct Hex(Hash);
    impl core::fmt::Display for Hex {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }
    Hex(*hash)
}

impl From<PreimageError> for RunError {
    fn from(error: PreimageError) -> Self {
        match error {
            PreimageError::Missing(hash) => RunError::MissingPreimage(hash),
            PreimageError::TooLong { hash, length } => RunError::PreimageTooLong { hash, length },
            PreimageError::Wrong { hash, found } => RunError::WrongPreimage { hash, found },
        }
    }
}

/// What a program wrote.
#[derive(Clone, Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    chunk_lengths: Vec<u8>,
    /// `None`: nothing is kept.
    limit: Option<usize>,
}

/// A machine that runs a program.
///
/// Cloning copies the memory pages written since the last hashing; to keep many versions, see [`Machine::checkpoint`].
///
/// Where its memory is kept is up to the engine; see [`DataMemory`].
#[derive(Clone, Debug)]
pub struct Machine<M = Memory> {
    program: Program,
    pub(crate) memory: M,
    pub(crate) registers: [u32; 32],
    pub(crate) pc: u32,
    status: Status,
    exit: u32,
    pub(crate) input_hash: Hash,
    output_root: Hash,
    steps: u64,
    output: Output,
    pub(crate) recent: Recent,
}

/// A machine at one step, for going back to. Memory is shared with other checkpoints of the same run, so one costs
/// what has changed since the one before. It does not keep the output.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    program: Program,
    memory: Tree,
    registers: [u32; 32],
    pc: u32,
    status: Status,
    exit: u32,
    input_hash: Hash,
    output_root: Hash,
    steps: u64,
}

/// Why the instruction loop stopped.
enum Stop {
    Limit,
    Call,
    Trap(TrapCause),
}

/// What an engine other than the interpreter works on. It may leave here only what the interpreter would have: the
/// registers, `pc`, memory and number of steps after some whole number of instructions, none of them a call or trap.
#[derive(Debug)]
pub struct Running<'a, M> {
    /// `x0` to `x31`; `x0` is zero.
    pub registers: &'a mut [u32; 32],
    /// Address of the next instruction.
    pub pc: &'a mut u32,
    /// Steps taken.
    pub steps: &'a mut u64,
    /// Data memory.
    pub memory: &'a mut M,
}

impl Machine {
    /// The initial state: `program` with the request's input, given by its hash. The input itself is the preimage.
    #[must_use]
    pub fn new(program: &Program, input_hash: Hash) -> Self {
        Machine::with_memory(program, input_hash, Memory::new(program.memory().clone()))
    }
}

impl<M: DataMemory> Machine<M> {
    /// The initial state, with its memory kept in `memory`, which holds [`Program::memory`].
    #[must_use]
    pub fn with_memory(program: &Program, input_hash: Hash, memory: M) -> Self {
        Machine {
            program: program.clone(),
            memory,
            registers: [0; 32],
            pc: program.entry(),
            status: Status::Running,
            exit: 0,
            input_hash,
            output_root: ZERO,
            steps: 0,
            output: Output {
                limit: Some(DEFAULT_OUTPUT_LIMIT),
                ..Output::default()
            },
            recent: Recent::default(),
        }
    }

    /// Keeps at most `limit` bytes of output; writing more is an error. `None` keeps no output, and never errs.
    pub fn set_output_limit(&mut self, limit: Option<usize>) {
        self.output.limit = limit;
        if limit.is_none() {
            self.output = Output::default();
        }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// How many steps were taken while running. An ended machine steps to itself, which is not counted.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether it runs, halted or trapped.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Address of the next instruction; of the faulting one when trapped.
    #[must_use]
    pub fn pc(&self) -> u32 {
        self.pc
    }

    /// `x0` to `x31`.
    #[must_use]
    pub fn registers(&self) -> &[u32; 32] {
        &self.registers
    }

    /// Sets a register, as from outside no machine's can be: for tests and debuggers. `x0` stays zero.
    pub fn set_register(&mut self, register: u8, value: u32) {
        if let Some(slot) = self.registers[1..].get_mut(usize::from(register).wrapping_sub(1)) {
            *slot = value;
        }
    }

    /// Sets `pc`: for tests and debuggers.
    pub fn set_pc(&mut self, pc: u32) {
        self.pc = pc;
    }

    /// Data memory.
    pub fn memory(&mut self) -> &mut M {
        &mut self.memory
    }

    /// The parts that another engine runs on; `None` when the machine has ended.
    pub fn running(&mut self) -> Option<Running<'_, M>> {
        (self.status == Status::Running).then_some(Running {
            registers: &mut self.registers,
            pc: &mut self.pc,
            steps: &mut self.steps,
            memory: &mut self.memory,
        })
    }

    /// What the program has written since this machine was made, or restored from a checkpoint.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output.bytes
    }

    /// The lengths of the chunks it was written in, 1 to 32 bytes each.
    #[must_use]
    pub fn chunk_lengths(&self) -> &[u8] {
        &self.output.chunk_lengths
    }

    /// Whether the chunks are the canonical ones: 32 bytes each, the last one shorter.
    #[must_use]
    pub fn output_is_canonical(&self) -> bool {
        self.output
            .chunk_lengths
            .split_last()
            .is_none_or(|(_, but_last)| but_last.iter().all(|length| *length == 32))
    }

    /// The outcome if the budget ended here.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome {
            status: self.status,
            exit: self.exit,
            output_root: self.output_root,
        }
    }

    /// The state. Hashes memory written since the last time.
    pub fn state(&mut self) -> State {
        State {
            code_root: self.program.code().root(),
            memory_root: self.memory.tree().root(),
            input_hash: self.input_hash,
            output_root: self.output_root,
            pc: self.pc,
            registers: self.registers,
            status: self.status as u8,
            exit: self.exit,
            code_height: self.program.code().height(),
            memory_height: self.memory.height(),
        }
    }

    /// The 263 bytes of the state.
    pub fn state_bytes(&mut self) -> [u8; STATE_BYTES] {
        self.state().to_bytes()
    }

    /// The state root.
    pub fn state_root(&mut self) -> Hash {
        keccak256(&self.state_bytes())
    }

    /// Keeps this point of the run. Hashes memory written since the last time.
    pub fn checkpoint(&mut self) -> Checkpoint {
        Checkpoint {
            program: self.program.clone(),
            memory: self.memory.tree().clone(),
            registers: self.registers,
            pc: self.pc,
            status: self.status,
            exit: self.exit,
            input_hash: self.input_hash,
            output_root: self.output_root,
            steps: self.steps,
        }
    }

    /// Runs until `steps()` is `until`, or the machine ends. Returns the status.
    ///
    /// Stops at exactly that step, also within a `READ` or `WRITE`. A machine that has ended, or is past `until`, is
    /// left as it is.
    pub fn run(&mut self, until: u64, preimages: &mut dyn Preimages) -> Result<Status, RunError> {
        while self.status == Status::Running && self.steps < until {
            match self.run_instructions(until - self.steps) {
                Stop::Limit => {}
                Stop::Call => self.call(until, preimages)?,
                Stop::Trap(cause) => self.end(Status::Trapped, cause as u32),
            }
        }
        Ok(self.status)
    }

    /// Takes one step; of a `READ` all steps until `steps()` is `until`. Nothing if the machine has ended or is there.
    pub fn step(&mut self, until: u64, preimages: &mut dyn Preimages) -> Result<Status, RunError> {
        if self.status == Status::Running && self.steps < until {
            match self.run_instructions(1) {
                Stop::Limit => {}
                Stop::Call => self.call(until, preimages)?,
                Stop::Trap(cause) => self.end(Status::Trapped, cause as u32),
            }
        }
        Ok(self.status)
    }

    /// The state roots after each of these step counts, which must not decrease. A count that lies before the
    /// machine's own gives the root of the machine as it is.
    pub fn roots_at(&mut self, steps: &[u64], preimages: &mut dyn Preimages) -> Result<Vec<Hash>, RunError> {
        let mut roots = Vec::with_capacity(steps.len());
        let mut last = None;
        for &until in steps {
            self.run(until, preimages)?;
            // An ended machine has one root for ever.
            let root = match last {
                Some((at, root)) if at == self.steps => root,
                _ => self.state_root(),
            };
            last = Some((self.steps, root));
            roots.push(root);
        }
        Ok(roots)
    }

    fn end(&mut self, status: Status, exit: u32) {
        self.status = status;
        self.exit = exit;
        self.steps += 1;
    }

    fn next(&mut self) {
        self.pc = self.pc.wrapping_add(4);
        self.steps += 1;
    }

    /// Runs instructions other than `ECALL`, at most `limit`. A trap or call is not yet counted.
    fn run_instructions(&mut self, limit: u64) -> Stop {
        let instructions = self.program.instructions();
        let mut registers = Registers([0; 256]);
        registers.0[..32].copy_from_slice(&self.registers);
        let mut pc = self.pc;
        let mut left = limit;
        // Jumps check their target, so `pc` stays aligned once it is.
        if !pc.is_multiple_of(4) {
            return Stop::Trap(TrapCause::Fetch);
        }
        let stop = loop {
            if left == 0 {
                break Stop::Limit;
            }
            let Some(slot) = instructions.get((pc >> 2) as usize) else {
                // Past the last content of the code tree, which is zero up to its end.
                let inside = u64::from(pc) < self.program.code().size();
                break Stop::Trap(if inside { TrapCause::Illegal } else { TrapCause::Fetch });
            };
            let Some(instruction) = slot else {
                break Stop::Trap(TrapCause::Illegal);
            };
            let step = Step {
                instruction,
                registers: &mut registers,
                memory: &mut self.memory,
                pc,
            };
            match instruction.op.visit(step) {
                Flow::Go(next) => pc = next,
                Flow::Stop(stop) => break stop,
            }
            left -= 1;
        };
        self.registers.copy_from_slice(&registers.0[..32]);
        self.pc = pc;
        self.steps += limit - left;
        stop
    }

    /// Takes steps of the system call at `pc`: one, or those of a `READ` or `WRITE` until `steps()` is `until`.
    fn call(&mut self, until: u64, preimages: &mut dyn Preimages) -> Result<(), RunError> {
        match Call::plan(&self.registers, self.memory.size()) {
            Call::Halt(code) => self.end(Status::Halted, code),
            Call::Trap(cause) => self.end(Status::Trapped, cause as u32),
            Call::Next => self.next(),
            Call::Write { address, length } => {
                let Some(chunk) = self.memory.bytes(address, length as usize) else {
                    self.end(Status::Trapped, TrapCause::LoadRange as u32);
                    return Ok(());
                };
                if let Some(limit) = self.output.limit {
                    if self.output.bytes.len() + chunk.len() > limit {
                        return Err(RunError::OutputLimit { limit });
                    }
                    self.output.bytes.extend_from_slice(chunk);
                    self.output.chunk_lengths.push(length as u8);
                }
                self.output_root = keccak(&[&self.output_root, chunk]);
                let last = advance_write(&mut self.registers, length);
                self.advance(last);
            }
            Call::Read(read) => {
                let preimage = self.recent.get(&read.hash, preimages)?;
                self.read(until, read, &preimage);
            }
            Call::Input => {
                let length = self.recent.get(&self.input_hash, preimages)?.len();
                set_input(&mut self.registers, &self.input_hash, length as u32);
                self.next();
            }
            Call::Hint { address, length } => {
                if let Some(bytes) = self.memory.copy(address, length)
                    && let Ok(hint) = core::str::from_utf8(&bytes)
                {
                    preimages.hint(hint);
                }
                self.next();
            }
        }
        Ok(())
    }

    /// Takes the steps of one `READ`, from a preimage that is there.
    fn read(&mut self, until: u64, mut read: Read, preimage: &[u8]) {
        while self.steps < until {
            match read.plan(preimage.len() as u32, self.memory.size()) {
                ReadStep::End => return self.next(),
                ReadStep::Trap => return self.end(Status::Trapped, TrapCause::StoreRange as u32),
                ReadStep::Copy { length, last } => {
                    let from = read.offset as usize;
                    let piece = preimage.get(from..from + length as usize).unwrap_or_default();
                    if self.memory.write(read.address, piece).is_none() {
                        return self.end(Status::Trapped, TrapCause::StoreRange as u32);
                    }
                    read.advance(&mut self.registers, length);
                    self.advance(last);
                    if last {
                        return;
                    }
                    read = read.at(&self.registers);
                }
            }
        }
    }

    /// Counts a step of a repeated call; `pc` moves on after the last.
    fn advance(&mut self, last: bool) {
        if last {
            self.pc = self.pc.wrapping_add(4);
        }
        self.steps += 1;
    }
}

impl Checkpoint {
    /// A machine at this point. It keeps no output unless a limit is set.
    #[must_use]
    pub fn restore(&self) -> Machine {
        self.restore_with(Memory::new(self.memory.clone()))
    }

    /// What data memory holds at this point.
    #[must_use]
    pub fn memory(&self) -> &Tree {
        &self.memory
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// As [`Checkpoint::restore`], with memory kept in `memory`, which holds [`Checkpoint::memory`].
    #[must_use]
    pub fn restore_with<M>(&self, memory: M) -> Machine<M> {
        Machine {
            program: self.program.clone(),
            memory,
            registers: self.registers,
            pc: self.pc,
            status: self.status,
            exit: self.exit,
            input_hash: self.input_hash,
            output_root: self.output_root,
            steps: self.steps,
            output: Output::default(),
            recent: Recent::default(),
        }
    }

    /// The step it was taken at.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

/// As many as an index of 8 bits can name, so that none needs a check.
struct Registers([u32; 256]);

impl Registers {
    #[inline(always)]
    fn get(&self, register: u8) -> u32 {
        self.0[usize::from(register)]
    }

    #[inline(always)]
    fn set(&mut self, register: u8, value: u32) {
        self.0[usize::from(register)] = value;
        self.0[0] = 0;
    }
}

enum Flow {
    Go(u32),
    Stop(Stop),
}

/// One instruction about to be executed.
struct Step<'a, M> {
    instruction: &'a Decoded,
    registers: &'a mut Registers,
    memory: &'a mut M,
    pc: u32,
}

impl<M> Step<'_, M> {
    #[inline(always)]
    fn jump(target: u32) -> Result<u32, Flow> {
        if target.is_multiple_of(4) {
            Ok(target)
        } else {
            Err(Flow::Stop(Stop::Trap(TrapCause::JumpMisaligned)))
        }
    }
}

impl<M: DataMemory> Visit for Step<'_, M> {
    type Output = Flow;

    /// The table's effect is a constant here, so each operation compiles to its own few machine instructions.
    #[inline(always)]
    fn visit<const OP: usize>(self) -> Flow {
        let Step {
            instruction,
            registers,
            memory,
            pc,
        } = self;
        let next = pc.wrapping_add(4);
        let a = registers.get(instruction.rs1);
        let imm = instruction.imm;
        let trap = |cause| Flow::Stop(Stop::Trap(cause));
        match const { TABLE[OP].effect } {
            Effect::Set(f) => {
                let b = if const { TABLE[OP].format.has_rs2() } {
                    registers.get(instruction.rs2)
                } else {
                    imm
                };
                registers.set(instruction.rd, f(a, b, pc));
            }
            Effect::Branch(taken) => {
                if taken(a, registers.get(instruction.rs2)) {
                    return match Self::jump(pc.wrapping_add(imm)) {
                        Ok(target) => Flow::Go(target),
                        Err(stop) => stop,
                    };
                }
            }
            Effect::Jump(target) => {
                return match Self::jump(target(a, imm, pc)) {
                    Ok(target) => {
                        registers.set(instruction.rd, next);
                        Flow::Go(target)
                    }
                    Err(stop) => stop,
                };
            }
            Effect::Load(width, extend) => {
                let address = a.wrapping_add(imm);
                if address & (width as u32 - 1) != 0 {
                    return trap(TrapCause::LoadMisaligned);
                }
                match memory.load(address, width) {
                    Some(value) => registers.set(instruction.rd, extend(value)),
                    None => return trap(TrapCause::LoadRange),
                }
            }
            Effect::Store(width) => {
                let address = a.wrapping_add(imm);
                if address & (width as u32 - 1) != 0 {
                    return trap(TrapCause::StoreMisaligned);
                }
                if memory.store(address, width, registers.get(instruction.rs2)).is_none() {
                    return trap(TrapCause::StoreRange);
                }
            }
            Effect::Nothing => {}
            Effect::Call => return Flow::Stop(Stop::Call),
        }
        Flow::Go(next)
    }
}
