//! Traces of the real machine, true and false.

use super::Trace;
use alloy_primitives::{B256, keccak256};
use rand::{Rng, rngs::StdRng};
use std::rc::Rc;
use surety_machine::{
    Checkpoint, Decoded, Machine, MemoryPreimages, Op, PreimageOracle, Preimages, Program, STATE_BYTES, Segment, State,
    Status, Witness, verify_step,
};
use surety_primitives::{Address, Budget, Outcome, ResultHash, Statement};
use surety_protocol::dispute::{Referee, Transition};

pub const SERVICE: Address = Address::repeat_byte(0x5e);
pub const INPUT: &[u8] = b"ninety bytes of input, more or less, of which the program reads seventy in several pieces..";
const DATA: u32 = 0x8000;

/// A program that reads its input, computes in memory, and writes what it has, `outer` times; each time it computes
/// `inner` times seven steps.
pub fn worker(outer: i32, inner: i32) -> Program {
    let i = |op, rd, rs1, imm: i32| {
        Decoded {
            op,
            rd,
            rs1,
            rs2: 0,
            imm: imm as u32,
        }
        .encode()
    };
    let r = |op, rd, rs1, rs2| {
        Decoded {
            op,
            rd,
            rs1,
            rs2,
            imm: 0,
        }
        .encode()
    };
    let s = |op, rs1, rs2, imm: i32| {
        Decoded {
            op,
            rd: 0,
            rs1,
            rs2,
            imm: imm as u32,
        }
        .encode()
    };
    let li = |rd, value: i32| {
        let low = (value << 20) >> 20;
        [i(Op::Lui, rd, 0, value.wrapping_sub(low)), i(Op::Addi, rd, rd, low)]
    };
    let ecall = 0x73;
    let (t0, t1, s0, s1, a0, a1, a2, a7, s10) = (5, 6, 8, 9, 10, 11, 12, 17, 26);
    let mut code = vec![];
    code.extend(li(s10, outer));
    let outer_at = code.len() as i32;
    code.extend([i(Op::Addi, a7, 0, 4), ecall]);
    code.extend(li(a0, DATA as i32 + 4));
    code.extend([
        i(Op::Addi, a1, 0, 0),
        i(Op::Addi, a2, 0, 70),
        i(Op::Addi, a7, 0, 3),
        ecall,
    ]);
    code.extend(li(s0, inner));
    code.extend(li(t1, DATA as i32));
    let inner_at = code.len() as i32;
    code.extend([
        i(Op::Lw, t0, t1, 0),
        r(Op::Mul, t0, t0, s0),
        r(Op::Add, t0, t0, s1),
        s(Op::Sw, t1, t0, 64),
        // One to one in s1: no mistake is ever forgotten.
        r(Op::Xor, s1, t0, s0),
        i(Op::Addi, s0, s0, -1),
    ]);
    let back = |to: i32, from: usize| (to - from as i32) * 4;
    code.push(s(Op::Bne, s0, 0, back(inner_at, code.len())));
    code.extend(li(a0, DATA as i32 + 16));
    code.extend([
        i(Op::Addi, a1, 0, 60),
        i(Op::Addi, a7, 0, 2),
        ecall,
        i(Op::Addi, s10, s10, -1),
    ]);
    code.push(s(Op::Bne, s10, 0, back(outer_at, code.len())));
    code.extend([i(Op::Addi, a0, 0, 0), i(Op::Addi, a7, 0, 1), ecall]);
    let code: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    let segments = [
        Segment {
            address: 0,
            bytes: &code,
            size: code.len() as u32,
            executable: true,
        },
        Segment {
            address: DATA,
            bytes: &[7; 32],
            size: DATA,
            executable: false,
        },
    ];
    Program::new(&segments, 0, vec![]).expect("a program")
}

pub fn preimages() -> MemoryPreimages {
    let mut preimages = MemoryPreimages::default();
    preimages.insert(INPUT);
    preimages
}

/// How a trace leaves the truth at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Falsehood {
    None,
    /// A register has another value.
    Register(u8),
    /// A word of memory has another value.
    Memory(u32),
    /// Execution goes on elsewhere.
    Pc,
    /// A store, or the copy of a READ, did not happen: the whole memory is as it was a step before.
    StoreLost,
    /// An instruction was left out: one step too few.
    Skipped,
    /// An instruction was done twice: one step too many.
    Stutter,
    /// It halts here.
    EarlyHalt,
    /// It traps here.
    EarlyTrap,
    /// It does not stop where it should, but a thousand steps later.
    LateHalt,
    /// What was written is something else.
    OutputRoot,
    /// The program was another one, that wrote something else.
    Code,
    /// The input was another one, and so the output.
    OtherInput,
    /// It halts with another exit code.
    ExitCode,
    /// It traps where it halts.
    TrapsInsteadOfHalting,
    /// A status no machine has.
    NoStatus,
    /// No values of any trace.
    Garbage,
    /// All states are true, the result is not.
    Result,
}

/// The true run, with places to go back to.
pub struct Run {
    pub program: Program,
    pub budget: u64,
    /// Steps until it ended.
    pub length: u64,
    checkpoints: Vec<Checkpoint>,
}

impl Run {
    pub fn new(program: Program, budget: u64) -> Rc<Self> {
        let mut machine = Machine::new(&program, keccak256(INPUT).0);
        machine.set_output_limit(None);
        let mut checkpoints = vec![machine.checkpoint()];
        while machine.status() == Status::Running && machine.steps() < budget {
            machine
                .run((machine.steps() + (1 << 16)).min(budget), &mut preimages())
                .expect("runs");
            checkpoints.push(machine.checkpoint());
        }
        Rc::new(Self {
            program,
            budget,
            length: machine.steps(),
            checkpoints,
        })
    }

    pub fn statement(&self) -> Statement {
        Statement {
            service: SERVICE,
            program: self.program.hash().into(),
            input: keccak256(INPUT).0.into(),
            budget: Budget::new(self.budget).expect("a possible budget"),
        }
    }

    /// The machine after so many steps.
    pub fn at(&self, steps: u64) -> Machine {
        let after = self.checkpoints.partition_point(|c| c.steps() <= steps);
        let mut machine = self.checkpoints[after.saturating_sub(1)].restore();
        machine.run(steps, &mut preimages()).expect("runs");
        machine
    }

    /// The first position from `from` on where the machine is about to make this system call.
    pub fn call(self: &Rc<Self>, from: u64, number: u32) -> u64 {
        let mut machine = self.at(from);
        for _ in 0..1 << 20 {
            let next = self
                .program
                .instructions()
                .get((machine.pc() / 4) as usize)
                .copied()
                .flatten();
            if next.is_some_and(|d| d.op == Op::Ecall) && machine.registers()[17] == number {
                return machine.steps();
            }
            machine.run(machine.steps() + 1, &mut preimages()).expect("runs");
        }
        panic!("no such call");
    }
}

/// What an operator believes of a run.
pub struct Ran {
    run: Rc<Run>,
    falsehood: Falsehood,
    /// The first position where the state is false.
    at: u64,
    /// The falsified machine, where it goes on from there by itself.
    tampered: Option<Checkpoint>,
    seed: u64,
}

impl Ran {
    pub fn honest(run: &Rc<Run>) -> Self {
        Self::new(run, Falsehood::None, 0, 0)
    }

    pub fn new(run: &Rc<Run>, falsehood: Falsehood, at: u64, seed: u64) -> Self {
        let mut ran = Self {
            run: run.clone(),
            falsehood,
            at,
            tampered: None,
            seed,
        };
        let mut machine = run.at(at.min(run.length));
        match falsehood {
            Falsehood::Register(register) => {
                let value = machine.registers()[usize::from(register)];
                machine.set_register(register, value ^ 1);
            }
            Falsehood::Memory(address) => {
                let word = machine.memory().copy(address, 4).expect("in range");
                machine
                    .memory()
                    .put(address, &word.iter().map(|b| !b).collect::<Vec<_>>())
                    .expect("in range");
            }
            Falsehood::Pc => machine.set_pc(machine.pc() ^ 4),
            Falsehood::StoreLost => {
                let mut before = run.at(at.min(run.length).saturating_sub(1));
                let memory = before.memory().copy(DATA, 256).expect("in range");
                machine.memory().put(DATA, &memory).expect("in range");
            }
            _ => return ran,
        }
        ran.tampered = Some(machine.checkpoint());
        ran
    }

    /// Whether it says anything false about a state or the result.
    pub fn is_false(&self) -> bool {
        let honest = Self::honest(&self.run);
        self.result() != honest.result()
    }

    /// The machine as this operator has it, and its state.
    fn machine(&self, position: u64) -> (Machine, State) {
        let mut at = position;
        match self.falsehood {
            Falsehood::Skipped if position >= self.at => at += 1,
            Falsehood::Stutter if position >= self.at => at -= 1,
            Falsehood::EarlyHalt | Falsehood::EarlyTrap => at = at.min(self.at),
            Falsehood::LateHalt if position >= self.run.length => at = self.run.length - 1,
            _ => {}
        }
        let mut machine = match &self.tampered {
            Some(checkpoint) if position >= self.at => {
                let mut machine = checkpoint.restore();
                // Wrong registers may ask for a preimage that nobody has: there the liar's run ends.
                let _ = machine.run(at, &mut preimages());
                machine
            }
            _ => self.run.at(at),
        };
        let mut state = machine.state();
        if position >= self.at {
            match self.falsehood {
                Falsehood::EarlyHalt => state.status = Status::Halted as u8,
                Falsehood::EarlyTrap => (state.status, state.exit) = (Status::Trapped as u8, 5),
                Falsehood::OutputRoot => state.output_root[31] ^= 1,
                Falsehood::Code => (state.code_root[0], state.output_root[0]) = (!state.code_root[0], 1),
                Falsehood::OtherInput => (state.input_hash[0], state.output_root[0]) = (!state.input_hash[0], 1),
                Falsehood::ExitCode if state.status != 0 => state.exit ^= 7,
                Falsehood::TrapsInsteadOfHalting if state.status != 0 => {
                    (state.status, state.exit) = (Status::Trapped as u8, 8);
                }
                Falsehood::NoStatus => state.status = 77,
                _ => {}
            }
        }
        (machine, state)
    }

    fn root(&self, position: u64) -> B256 {
        if self.falsehood == Falsehood::Garbage && position >= self.at {
            return keccak256([self.seed.to_be_bytes(), position.to_be_bytes()].concat());
        }
        self.machine(position).1.root().into()
    }

    /// The witness, and the part of a preimage it needs.
    pub fn prove(&self, position: u64, kind: Transition) -> Witness {
        let (mut machine, state) = self.machine(position);
        if kind == Transition::Projection {
            return Witness {
                bytes: state.to_bytes().to_vec(),
                preimage: None,
            };
        }
        let mut witness = machine.witness(&mut preimages()).unwrap_or(Witness {
            bytes: vec![0; STATE_BYTES],
            preimage: None,
        });
        witness.bytes[..STATE_BYTES].copy_from_slice(&state.to_bytes());
        if state.status != 0 {
            witness.bytes.truncate(STATE_BYTES);
        }
        witness
    }
}

fn result_of(state: &State) -> ResultHash {
    let mut bytes = vec![state.status];
    bytes.extend(state.exit.to_be_bytes());
    bytes.extend(state.output_root);
    keccak256(bytes).into()
}

impl Trace for Ran {
    fn result(&self) -> ResultHash {
        match self.falsehood {
            Falsehood::Result | Falsehood::Garbage => keccak256(self.seed.to_be_bytes()).into(),
            _ => result_of(&self.machine(self.run.budget).1),
        }
    }

    fn roots(&mut self, positions: &[u64]) -> Vec<B256> {
        positions.iter().map(|position| self.root(*position)).collect()
    }

    fn witness(&mut self, position: u64, kind: Transition) -> Vec<u8> {
        self.prove(position, kind).bytes
    }
}

/// The verifier, and a chain to which all preimages have been shown.
pub struct Verifier;

struct AllShown;

impl PreimageOracle for AllShown {
    fn length(&self, hash: &[u8; 32]) -> Option<u32> {
        preimages().get(hash).map(|data| data.len() as u32)
    }

    fn word(&self, hash: &[u8; 32], offset: u32) -> Option<[u8; 32]> {
        let data = preimages().get(hash)?;
        let mut word = [0; 32];
        word.iter_mut()
            .zip(data.get(offset as usize..)?)
            .for_each(|(to, from)| *to = *from);
        Some(word)
    }
}

impl Referee for Verifier {
    fn transition(&self, kind: Transition, witness: &[u8]) -> Option<(B256, B256)> {
        match kind {
            Transition::Step => {
                let verified = verify_step(witness, &AllShown).ok()?;
                Some((verified.before.into(), verified.after.into()))
            }
            Transition::Projection => {
                let state = State::from_bytes(witness.try_into().ok()?);
                Some((state.root().into(), result_of(&state).0))
            }
            Transition::Identity => None,
        }
    }

    fn is_initial(&self, statement: &Statement, witness: &[u8]) -> bool {
        let Some(bytes) = witness.first_chunk() else {
            return false;
        };
        let state = State::from_bytes(bytes);
        let mut program = state.code_root.to_vec();
        program.push(state.code_height);
        program.extend(state.memory_root);
        program.push(state.memory_height);
        program.extend(state.pc.to_be_bytes());
        let fresh = state.status == 0
            && state.exit == 0
            && state.output_root == [0; 32]
            && state.registers.iter().all(|register| *register == 0);
        keccak256(program) == statement.program.0 && state.input_hash == statement.input.0 && fresh
    }
}

/// The typed outcome agrees with the state's bytes.
pub fn outcome(run: &Run) -> Outcome {
    let outcome = run.at(run.budget).outcome();
    Outcome {
        status: (outcome.status as u8).try_into().expect("a status"),
        exit: outcome.exit,
        output_root: outcome.output_root.into(),
    }
}

pub fn any_falsehood(run: &Rc<Run>, rng: &mut StdRng) -> Ran {
    loop {
        let falsehood = match rng.random_range(0..18) {
            0 | 1 => Falsehood::Register([5, 8, 9, 10, 11, 12, 17, 26][rng.random_range(0..8)]),
            2 => Falsehood::Memory(DATA + 4 * rng.random_range(0..30)),
            3 => Falsehood::Pc,
            4 => Falsehood::StoreLost,
            5 => Falsehood::Skipped,
            6 => Falsehood::Stutter,
            7 => Falsehood::EarlyHalt,
            8 => Falsehood::EarlyTrap,
            9 => Falsehood::LateHalt,
            10 => Falsehood::OutputRoot,
            11 => Falsehood::ExitCode,
            12 => Falsehood::TrapsInsteadOfHalting,
            13 => Falsehood::NoStatus,
            14 | 15 => Falsehood::Garbage,
            _ => Falsehood::Result,
        };
        let most = run.budget.clamp(1, run.length + 40);
        let ran = Ran::new(run, falsehood, rng.random_range(1..=most), rng.random());
        if ran.is_false() {
            return ran;
        }
    }
}
