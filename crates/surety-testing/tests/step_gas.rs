//! What proving one machine step costs on-chain: the gas of the whole `step` transaction (intrinsic gas, calldata, the
//! calldata floor of EIP-7623, execution, refund) for every instruction, with the contracts as committed in
//! `contracts/artifacts`. The figures are in `bench/results/step-gas.json` and `bench/results/step-gas.md`; the test
//! holds them to what is measured. Gas is no time: it is the same on every machine.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod chain;
#[path = "../../surety-protocol/tests/common/mod.rs"]
mod common;

use alloy_primitives::{B256, keccak256};
use chain::*;
use common::{real::*, *};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use surety_chain::{alloy::sol_types::SolCall as _, bindings as sol};
use surety_machine::{
    Decoded, Effect, Format, Machine, Op, Program, Proof, STATE_BYTES, Segment, State, Status, TABLE,
};
use surety_primitives::{Budget, ClaimDetail, DisputeId, Statement};
use surety_protocol::dispute::{Geometry, History, Referee, Transition, encode_details, match_head};

/// Most that the step of an instruction may cost, at a typical position.
const TARGET: u64 = 85_000;
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/results");

// The program: 64 KiB of code, and data up to 512 KiB of the 16 MiB it has declared, all of it other than zero.
const CODE_BYTES: usize = 64 << 10;
const CODE_SIBLINGS: usize = 11;
const USED_BYTES: usize = 512 << 10;
const USED_SIBLINGS: usize = 14;
const MEMORY_BYTES: u32 = 16 << 20;
/// Where the instruction is: the last of its leaf.
const PC: u32 = 0x4abc;

/// Positions have 8 digits, so that a match has 8 dissections.
const LEVELS: u8 = 8;
/// The projection there is at a typical position. Other budgets make other disputes.
const BUDGET: u64 = (1 << 40) - 14;
/// Start and end are points of the last dissection, with 5 siblings to show, where the mean is 4.9.
const TYPICAL: u64 = 0x5a_c3b7_6e32;
/// The start is a point of the first dissection, the end of the last: as much to show as there can be.
const DEEPEST: u64 = 16 << 35;

/// Registers (the ABI's names).
const A0: u8 = 10;
const A1: u8 = 11;
const A2: u8 = 12;
const A3: u8 = 13;
const A4: u8 = 14;
const A5: u8 = 15;
const A7: u8 = 17;
const S2: u8 = 18;

/// What a step takes beside its state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proofs {
    Nothing,
    Code,
    CodeAndMemory,
}

/// An instruction about to be executed, and what comes of it.
struct Class {
    name: String,
    word: u32,
    registers: Vec<(u8, u32)>,
    pc: u32,
    proofs: Proofs,
    /// Status and exit afterwards.
    after: (Status, u32),
}

impl Class {
    fn new(name: impl Into<String>, word: u32) -> Self {
        Self {
            name: name.into(),
            word,
            registers: vec![],
            pc: PC,
            proofs: Proofs::Code,
            after: (Status::Running, 0),
        }
    }

    fn with(mut self, registers: &[(u8, u32)]) -> Self {
        self.registers.extend(registers);
        self
    }

    fn proofs(mut self, proofs: Proofs) -> Self {
        self.proofs = proofs;
        self
    }

    fn traps(mut self, cause: u32) -> Self {
        self.after = (Status::Trapped, cause);
        self
    }
}

fn encode(op: Op, imm: u32) -> u32 {
    let (rd, rs1, rs2) = (A5, A3, A4);
    Decoded { op, rd, rs1, rs2, imm }.encode()
}

/// Each instruction of the table, each way it can go, each system call and each trap.
fn classes() -> Vec<Class> {
    // Into memory in use, at a leaf's first byte.
    const POINTER: u32 = 0x0005_a6e0;
    const OUTSIDE: u32 = 0xf123_4560;
    let mut all = vec![];
    for row in TABLE {
        let class = |imm| Class::new(row.name, encode(row.op, imm));
        match row.effect {
            Effect::Set(_) => all.push(class(match row.format {
                Format::U => 0x1234_5000,
                Format::Shift => 7,
                Format::R => 0,
                _ => 0x123,
            })),
            Effect::Branch(holds) => {
                for (name, taken) in [("taken", true), ("not taken", false)] {
                    let (low, high) = (0x0005_8124, 0x0005_9a24);
                    let pairs = [(low, high), (high, low), (low, low)];
                    let (a, b) = pairs.into_iter().find(|(a, b)| holds(*a, *b) == taken).unwrap();
                    let class = Class::new(format!("{}, {name}", row.name), encode(row.op, 0x124));
                    all.push(class.with(&[(A3, a), (A4, b)]));
                }
            }
            Effect::Jump(_) => all.push(class(0x124).with(&[(A3, 0x6124)])),
            Effect::Load(..) | Effect::Store(_) => {
                all.push(class(0x114).with(&[(A3, POINTER)]).proofs(Proofs::CodeAndMemory));
            }
            Effect::Nothing => all.push(class(0)),
            Effect::Call => {}
        }
    }

    let call = |name, registers: &[(u8, u32)]| Class::new(name, 0x73).with(registers);
    let mut halt = call("ecall: halt", &[(A7, 1), (A0, 42)]);
    halt.after = (Status::Halted, 42);
    let moves = Proofs::CodeAndMemory;
    all.extend([
        halt,
        call("ecall: write 32 bytes", &[(A7, 2), (A0, POINTER), (A1, 0x123)]).proofs(moves),
        call("ecall: write nothing", &[(A7, 2), (A0, POINTER), (A1, 0)]),
        call("ecall: read 32 bytes", &[(A7, 3), (A0, POINTER), (A1, 32), (A2, 0x123)]).proofs(moves),
        call("ecall: read nothing", &[(A7, 3), (A0, POINTER), (A1, 32), (A2, 0)]),
        call(
            "ecall: read past the end",
            &[(A7, 3), (A0, POINTER), (A1, 0x123), (A2, 0x123)],
        ),
        call("ecall: input", &[(A7, 4)]),
        call("ecall: hint", &[(A7, 5), (A0, POINTER), (A1, 75)]),
    ]);

    let mut fetch = Class::new("trap: fetch", 0x73).proofs(Proofs::Nothing).traps(2);
    fetch.pc = 0x00a1_2344;
    let class = |name, op, imm| Class::new(name, encode(op, imm));
    let odd = [(A3, POINTER | 1)];
    let outside = [(A3, OUTSIDE)];
    all.extend([
        Class::new("trap: illegal", 0x0010_0073).traps(1),
        fetch,
        class("trap: jump misaligned", Op::Jal, 0x126).traps(3),
        class("trap: load misaligned", Op::Lw, 0x114).with(&odd).traps(4),
        class("trap: load range", Op::Lw, 0x114).with(&outside).traps(5),
        call("trap: load range, write", &[(A7, 2), (A0, OUTSIDE), (A1, 0x123)]).traps(5),
        class("trap: store misaligned", Op::Sw, 0x114).with(&odd).traps(6),
        class("trap: store range", Op::Sw, 0x114).with(&outside).traps(7),
        call(
            "trap: store range, read",
            &[(A7, 3), (A0, OUTSIDE), (A1, 32), (A2, 0x123)],
        )
        .traps(7),
        call("trap: system call", &[(A7, 9)]).traps(8),
    ]);
    all
}

/// Bytes other than zero.
fn filled(random: &mut StdRng, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.random_range(1..=u8::MAX)).collect()
}

/// Gas of a whole transaction.
#[derive(Clone, Copy)]
struct Gas {
    used: u64,
    /// The least that a transaction with this calldata costs.
    floor: u64,
}

/// EIP-7623: 10 gas a token, of which a byte other than zero has four.
fn floor(calldata: &[u8]) -> u64 {
    let tokens: u64 = calldata.iter().map(|byte| if *byte == 0 { 1 } else { 4 }).sum();
    21_000 + 10 * tokens
}

/// A transition to be proved.
#[derive(Clone)]
struct Disputed {
    program: B256,
    start: B256,
    /// What follows.
    next: B256,
    witness: Vec<u8>,
}

impl Disputed {
    fn new(program: B256, kind: Transition, witness: Vec<u8>) -> Self {
        let (start, next) = Verifier.transition(kind, &witness).unwrap();
        Self {
            program,
            start,
            next,
            witness,
        }
    }
}

/// Programs that differ in the one instruction, and in their entry, so that each has a dispute of its own.
struct Bench {
    chain: Chain,
    code: Vec<u8>,
    data: Vec<u8>,
    now: u64,
    entries: std::iter::StepBy<std::ops::RangeFrom<u32>>,
}

impl Bench {
    fn new() -> Self {
        let mut random = StdRng::seed_from_u64(1);
        Self {
            chain: Chain::new(),
            code: filled(&mut random, CODE_BYTES),
            data: filled(&mut random, USED_BYTES - CODE_BYTES),
            now: START,
            entries: (4..).step_by(4),
        }
    }

    fn program(&self, word: u32, entry: u32) -> Program {
        let mut code = self.code.clone();
        code[PC as usize..][..4].copy_from_slice(&word.to_le_bytes());
        let segments = [
            Segment {
                address: 0,
                bytes: &code,
                size: CODE_BYTES as u32,
                executable: true,
            },
            Segment {
                address: CODE_BYTES as u32,
                bytes: &self.data,
                size: MEMORY_BYTES - CODE_BYTES as u32,
                executable: false,
            },
        ];
        Program::new(&segments, entry, vec![]).unwrap()
    }

    /// The machine in the middle of a run: every register points somewhere, and something has been written.
    fn disputed(&mut self, class: &Class) -> (Disputed, Machine) {
        let entry = self.entries.next().unwrap();
        let program = self.program(class.word, entry);
        let mut machine = Machine::new(&program, keccak256(INPUT).0);
        machine.set_output_limit(None);
        machine.set_pc(class.pc);
        for register in 1..32 {
            machine.set_register(register, 0x0005_8110 + 0x0404 * u32::from(register));
        }
        if class.word == 0x73 {
            for (register, bytes) in (S2..).zip(keccak256(INPUT).as_chunks::<4>().0) {
                machine.set_register(register, u32::from_le_bytes(*bytes));
            }
        }
        for (register, value) in &class.registers {
            machine.set_register(*register, *value);
        }

        let mut bytes = machine.witness(&mut preimages()).unwrap().bytes;
        let code = 36 + 32 * CODE_SIBLINGS;
        let expected = STATE_BYTES
            + match class.proofs {
                Proofs::Nothing => 0,
                Proofs::Code => code,
                Proofs::CodeAndMemory => code + 36 + 32 * USED_SIBLINGS,
            };
        assert_eq!(bytes.len(), expected, "witness of {}", class.name);
        set_output(&mut bytes);
        machine.run(machine.steps() + 1, &mut preimages()).unwrap();
        let outcome = machine.outcome();
        assert_eq!((outcome.status, outcome.exit), class.after, "{}", class.name);
        (Disputed::new(program.hash().into(), Transition::Step, bytes), machine)
    }

    /// Plays a dispute between two about the transition at `t`, and gives the gas of its last move.
    ///
    /// That is the first claim's. It defends an end that it has asserted itself, and contests one of the other's.
    fn step(&mut self, about: &Disputed, budget: u64, t: u64) -> Gas {
        let statement = Statement {
            service: self.chain.service,
            program: about.program.into(),
            input: keccak256(INPUT).into(),
            budget: Budget::new(budget).unwrap(),
        };
        let geometry = Geometry::new(statement.budget);
        assert_eq!(geometry.levels(), LEVELS);
        let last = t + 1 == geometry.length();
        let result = |n: u8| if last && n == 1 { about.next } else { keccak256([n]) };
        let claims = [1, 2].map(|n| ClaimDetail {
            operator: address(n),
            request: keccak256([n, 1]).into(),
            requester: address(n + 2),
            result: result(n).into(),
        });

        self.now += 1_000;
        self.chain.at(self.now);
        let to = self.chain.disputes;
        let responses = claims.iter().map(|c| self.chain.sign(statement, *c)).collect();
        let open = sol::IDisputes::openCall {
            statement: chain::statement(&statement),
            responses,
        };
        self.chain.must(OPENER, to, open);
        let dispute = DisputeId::new(statement.id(), OPENER);
        let head = match_head(dispute, to, RULES.chain_id, self.now, 0, 1);
        let mut history = History::new(geometry, head);
        for number in 1..=LEVELS {
            let segment = geometry.digit(t, number - 1);
            let head = history.head();
            let points = geometry
                .points(number, history.segment_start(segment))
                .map(|position| match position {
                    p if p == t => about.start,
                    p if p == t + 1 && number % 2 == 1 => about.next,
                    p => keccak256([p.to_be_bytes(), [number; 8]].concat()),
                });
            history.push(segment, Box::new(points)).unwrap();
            let dissect = sol::IDisputes::dissectCall {
                dispute: dispute.0,
                head,
                segment: segment.try_into().unwrap(),
                points,
            };
            self.now += 60;
            self.chain.at(self.now);
            self.chain.must(address(2 - number % 2), to, dissect);
        }

        let segment = geometry.digit(t, LEVELS);
        let mut openings = history.openings(segment, about.next).unwrap();
        if last {
            openings.extend(encode_details(OPENER, &claims));
        }
        let step = sol::IDisputes::stepCall {
            statement: chain::statement(&statement),
            opener: OPENER,
            head: history.head(),
            segment: segment.try_into().unwrap(),
            openings: openings.into(),
            witness: about.witness.clone().into(),
        };
        self.now += 60;
        self.chain.at(self.now);
        let floor = floor(&step.abi_encode());
        self.chain.must(address(1), to, step);
        let used = self.chain.last;
        assert!(used >= floor, "{used} gas, below the floor {floor}");
        let view = self.chain.view(dispute);
        assert_eq!(
            (view.liveBitmap, view.matchRunning),
            (1, false),
            "the second claim is out"
        );
        Gas { used, floor }
    }
}

/// The state in the witness has written something before.
fn set_output(witness: &mut [u8]) {
    witness[96..128].copy_from_slice(keccak256("output").as_slice());
}

/// The same step with `siblings` levels of memory in use. The chain sees only hashes, so no such run is needed.
fn with_memory(about: &Disputed, address: u32, siblings: u8) -> Disputed {
    let mut state = State::from_bytes(about.witness.first_chunk().unwrap());
    let (code, memory) = about.witness[STATE_BYTES..].split_at(36 + 32 * CODE_SIBLINGS);
    let proof = Proof {
        leaf: *memory.first_chunk().unwrap(),
        bitmap: (1 << siblings) - 1,
        siblings: (0..siblings).map(|level| keccak256([level]).0).collect(),
    };
    state.memory_height = siblings;
    state.memory_root = proof.root_with(&proof.leaf, address / 32, siblings).unwrap();
    let mut witness = [&state.to_bytes(), code].concat();
    proof.encode_to(&mut witness);
    let program = keccak256([about.program.as_slice(), &[siblings]].concat());
    Disputed::new(program, Transition::Step, witness)
}

/// Gas of the step of one instruction, at the two kinds of position.
struct Row {
    name: String,
    witness: usize,
    typical: Gas,
    deepest: Gas,
}

#[derive(Default)]
struct Measured {
    rows: Vec<Row>,
    /// SW, where it is not in the middle of that program.
    others: Vec<(&'static str, Gas)>,
}

fn measure() -> Measured {
    let mut bench = Bench::new();
    let mut measured = Measured::default();
    let mut add = |name: &str, about: &Disputed, (typical, deepest): (Gas, Gas)| {
        measured.rows.push(Row {
            name: name.to_owned(),
            witness: about.witness.len(),
            typical,
            deepest,
        });
    };
    let (mut halted, mut store) = (None, None);
    for class in classes() {
        let (about, machine) = bench.disputed(&class);
        let gas = (
            bench.step(&about, BUDGET - 1, TYPICAL),
            bench.step(&about, BUDGET - 2, DEEPEST),
        );
        add(&class.name, &about, gas);
        match class.name.as_str() {
            "ecall: halt" => halted = Some((about, machine)),
            "sw" => store = Some((about, class)),
            _ => {}
        }
    }

    // What follows the end of a run.
    let (Disputed { program, .. }, mut machine) = halted.unwrap();
    let mut state = machine.state_bytes().to_vec();
    set_output(&mut state);
    let ended = Disputed::new(program, Transition::Step, state.clone());
    let gas = (
        bench.step(&ended, BUDGET - 3, TYPICAL),
        bench.step(&ended, BUDGET - 4, DEEPEST),
    );
    add("ended machine", &ended, gas);
    let projection = Disputed::new(program, Transition::Projection, state);
    let gas = (
        bench.step(&projection, BUDGET, BUDGET),
        bench.step(&projection, DEEPEST, DEEPEST),
    );
    add("projection to the result", &projection, gas);
    let last = bench.step(&projection, (1 << 40) - 1, (1 << 40) - 1);
    let identity = Disputed {
        start: projection.next,
        witness: projection.next.to_vec(),
        ..projection
    };
    let gas = (
        bench.step(&identity, BUDGET - 5, BUDGET),
        bench.step(&identity, DEEPEST - 1, DEEPEST),
    );
    add("after the result", &identity, gas);

    let (about, class) = store.unwrap();
    let address = class.registers[0].1 + 0x114;
    let program = bench.program(class.word, PC);
    let mut machine = Machine::new(&program, keccak256(INPUT).0);
    let witness = machine.witness(&mut preimages()).unwrap().bytes;
    let first = Disputed::new(program.hash().into(), Transition::Step, witness);
    measured.others = vec![
        ("sw: 4 siblings to show", bench.step(&about, BUDGET - 3, TYPICAL + 1)),
        ("sw: 8 siblings to show", bench.step(&about, BUDGET - 4, TYPICAL - 2)),
        (
            "sw: start is a point of dissection 7",
            bench.step(&about, BUDGET - 5, TYPICAL & !31),
        ),
        (
            "sw: end is a point of dissection 7",
            bench.step(&about, BUDGET - 6, TYPICAL | 31),
        ),
        ("sw: first step of the run", bench.step(&first, BUDGET, 0)),
        (
            "sw: memory of 512 KiB, all in use",
            bench.step(&with_memory(&about, address, USED_SIBLINGS as u8), BUDGET, TYPICAL),
        ),
        (
            "sw: memory of 16 MiB, all in use",
            bench.step(&with_memory(&about, address, 19), BUDGET, TYPICAL),
        ),
        (
            "sw: memory of 4 GiB, all in use",
            bench.step(&with_memory(&about, address, 27), BUDGET, TYPICAL),
        ),
        (
            "sw: memory of 4 GiB, all in use; deepest",
            bench.step(&with_memory(&about, address, 27), BUDGET - 1, DEEPEST),
        ),
        ("projection: last position of the trace", last),
    ];
    measured
}

impl Measured {
    /// All figures, by the names that the list of exceptions uses.
    fn figures(&self) -> impl Iterator<Item = (String, u64)> {
        let rows = self.rows.iter().flat_map(|row| {
            [
                (format!("typical: {}", row.name), row.typical.used),
                (format!("deepest: {}", row.name), row.deepest.used),
            ]
        });
        rows.chain(self.others.iter().map(|(name, gas)| ((*name).to_owned(), gas.used)))
    }

    fn json(&self, above: &BTreeSet<String>) -> String {
        let object = |figures: &mut dyn Iterator<Item = (&str, u64)>| {
            let lines: Vec<_> = figures.map(|(name, gas)| format!("    {name:?}: {gas}")).collect();
            format!("{{\n{}\n  }}", lines.join(",\n"))
        };
        let above: Vec<_> = above.iter().map(|name| format!("    {name:?}")).collect();
        let above = match above.is_empty() {
            true => "[]".to_owned(),
            false => format!("[\n{}\n  ]", above.join(",\n")),
        };
        let typical = object(&mut self.rows.iter().map(|row| (row.name.as_str(), row.typical.used)));
        let deepest = object(&mut self.rows.iter().map(|row| (row.name.as_str(), row.deepest.used)));
        let others = object(&mut self.others.iter().map(|(name, gas)| (*name, gas.used)));
        format!(
            "{{\n  \"target\": {TARGET},\n  \"above_target\": {above},\n  \"typical\": {typical},\n  \"deepest\": \
             {deepest},\n  \"others\": {others}\n}}\n"
        )
    }

    fn markdown(&self, above: &BTreeSet<String>) -> String {
        let mut text = format!(
            "# Gas of proving one step

Whole `step` transactions (intrinsic gas, calldata with the floor of EIP-7623, execution, refund) in revm, rules of Osaka.
Two signers, a budget of 2^40 steps, so 8 dissections before it. The program: {} KiB of code ({CODE_SIBLINGS} siblings),
{} MiB of memory of which {} KiB are in use ({USED_SIBLINGS} siblings); registers hold addresses (one zero byte each; without, a step
costs at most 930 more).
*Typical*: start and end are points of the last dissection, as at 15 of 16 positions, with 5 siblings to show (there are 4
to 8, 4.9 in the mean). *Deepest*: the start is a point of the first dissection, the most there can be to show; 31 positions
of 2^40 are like that, but it is the liar who chooses.
The target is at most {} a step; figures above it have a star. Where a figure equals the calldata's floor, only less calldata
would make it less. Written by `BLESS=1 cargo nextest run -p surety-testing --test step_gas`; without `BLESS`, that checks it.

| instruction | witness, bytes | gas, typical | its floor | gas, deepest | its floor |
|---|---:|---:|---:|---:|---:|
",
            CODE_BYTES >> 10,
            MEMORY_BYTES >> 20,
            USED_BYTES >> 10,
            thousands(TARGET)
        );
        let mark = |name: String, Gas { used: gas, .. }| match above.contains(&name) {
            true => format!("{}*", thousands(gas)),
            false => thousands(gas),
        };
        for row in &self.rows {
            let Row { name, witness, .. } = row;
            let typical = mark(format!("typical: {name}"), row.typical);
            let deepest = mark(format!("deepest: {name}"), row.deepest);
            let floors = [row.typical, row.deepest].map(|gas| thousands(gas.floor));
            let witness = thousands(*witness as u64);
            writeln!(
                text,
                "| {name} | {witness} | {typical} | {} | {deepest} | {} |",
                floors[0], floors[1]
            )
            .unwrap();
        }
        text += "\nOther positions and memories:\n\n| step | gas | its floor |\n|---|---:|---:|\n";
        for (name, gas) in &self.others {
            let used = mark((*name).to_owned(), *gas);
            writeln!(text, "| {name} | {used} | {} |", thousands(gas.floor)).unwrap();
        }
        text
    }
}

fn thousands(number: u64) -> String {
    match number / 1000 {
        0 => number.to_string(),
        more => format!("{},{:03}", thousands(more), number % 1000),
    }
}

#[test]
fn step_transactions_cost_what_bench_says() {
    let json = format!("{RESULTS}/step-gas.json");
    let markdown = format!("{RESULTS}/step-gas.md");
    let committed = std::fs::read_to_string(&json).unwrap_or_default();
    // Not measured but decided: BLESS keeps the list as it is.
    let above: BTreeSet<String> = serde_json::from_str::<serde_json::Value>(&committed)
        .ok()
        .and_then(|value| serde_json::from_value(value["above_target"].clone()).ok())
        .unwrap_or_default();

    let measured = measure();
    let (new, table) = (measured.json(&above), measured.markdown(&above));
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(RESULTS).unwrap();
        std::fs::write(&json, &new).unwrap();
        std::fs::write(&markdown, &table).unwrap();
    } else {
        let how = "BLESS=1 cargo nextest run -p surety-testing --test step_gas";
        assert!(
            committed == new,
            "bench/results/step-gas.json says something else than is measured now; if that is meant: {how}\n{new}"
        );
        assert!(
            std::fs::read_to_string(&markdown).unwrap_or_default() == table,
            "bench/results/step-gas.md is not what follows from the measurement; write it: {how}"
        );
    }
    let found: Vec<_> = measured.figures().filter(|(_, gas)| *gas > TARGET).collect();
    assert_eq!(
        found.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(),
        above,
        "above {TARGET} gas, and what \"above_target\" of bench/results/step-gas.json lists; found: {found:?}"
    );
}
