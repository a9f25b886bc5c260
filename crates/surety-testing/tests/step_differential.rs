//! P3: `Machine.sol`, as committed in `contracts/artifacts`, takes the same steps as the machine and refuses the same
//! witnesses as its verifier. The contract runs in revm; nothing here speaks to a node.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use proptest::prelude::{ProptestConfig, any, proptest};
use revm::context::{Context, TxEnv, result::ExecutionResult};
use revm::database::InMemoryDB;
use revm::handler::MainnetContext;
use revm::primitives::{Address, Bytes, TxKind, hardfork::SpecId};
use revm::{ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainnetEvm};
use std::collections::{BTreeMap, BTreeSet};
use surety_machine::{
    Decoded, Format, Hash, Machine, MemoryPreimages, PreimageOracle, Preimages, Program, STATE_BYTES, Segment, State,
    Status, TABLE, keccak256, verify_step,
};

/// Gas of one call: far more than a step takes, and within a transaction's cap.
const GAS: u64 = 16_000_000;
const CALLER: Address = Address::repeat_byte(0xca);

/// A chain with the two contracts.
struct Chain {
    evm: MainnetEvm<MainnetContext<InMemoryDB>>,
    machine: Address,
    preimages: Address,
}

impl Chain {
    fn new() -> Self {
        let mut context = Context::new(InMemoryDB::default(), SpecId::OSAKA);
        context.modify_cfg(|cfg| cfg.disable_nonce_check = true);
        let mut chain = Chain {
            evm: context.build_mainnet(),
            machine: Address::ZERO,
            preimages: Address::ZERO,
        };
        let preimages = creation_code(include_str!("../../../contracts/artifacts/Preimages.json"));
        chain.preimages = chain.deploy(preimages);
        let mut machine = creation_code(include_str!("../../../contracts/artifacts/Machine.json"));
        machine.extend_from_slice(chain.preimages.into_word().as_slice());
        chain.machine = chain.deploy(machine);
        chain
    }

    fn transaction(kind: TxKind, data: Vec<u8>) -> TxEnv {
        TxEnv {
            caller: CALLER,
            gas_limit: GAS,
            kind,
            data: data.into(),
            ..TxEnv::default()
        }
    }

    fn deploy(&mut self, code: Vec<u8>) -> Address {
        let result = self
            .evm
            .transact_commit(Self::transaction(TxKind::Create, code))
            .unwrap();
        result
            .created_address()
            .unwrap_or_else(|| panic!("deployment failed: {result:?}"))
    }

    /// What a contract returns, or `None` where it reverts.
    fn call(&mut self, to: Address, data: Vec<u8>, commit: bool) -> Option<Bytes> {
        let transaction = Self::transaction(TxKind::Call(to), data);
        let result = if commit {
            self.evm.transact_commit(transaction).unwrap()
        } else {
            self.evm.transact(transaction).unwrap().result
        };
        match result {
            ExecutionResult::Success { output, .. } => Some(output.into_data()),
            ExecutionResult::Revert { .. } => None,
            ExecutionResult::Halt { reason, .. } => panic!("a call neither returned nor reverted: {reason:?}"),
        }
    }

    /// The roots before and after the step, or `None` where the contract refuses the witness.
    fn step(&mut self, witness: &[u8]) -> Option<(Hash, Hash)> {
        let mut data = selector("step(bytes)");
        data.extend(word(32));
        data.extend(dynamic(witness));
        let roots = self.call(self.machine, data, false)?;
        let (words, rest) = roots.as_chunks::<32>();
        assert!(
            rest.is_empty() && words.len() == 2,
            "step returned {} bytes",
            roots.len()
        );
        Some((words[0], words[1]))
    }

    fn show(&mut self, data: &[u8], offset: u32) {
        let bytes = dynamic(data);
        let mut call = selector("show(bytes,uint32[])");
        call.extend(word(64));
        call.extend(word(64 + bytes.len() as u64));
        call.extend(bytes);
        call.extend(word(1));
        call.extend(word(offset.into()));
        let hash = self.call(self.preimages, call, true).expect("show reverted");
        assert_eq!(hash[..], keccak256(data));
    }

    /// One of the two projections of a state.
    fn project(&mut self, signature: &str, state: &[u8]) -> Vec<Hash> {
        let mut data = selector(signature);
        data.extend(word(32));
        data.extend(dynamic(state));
        self.call(self.machine, data, false)
            .expect("a projection reverted")
            .as_chunks::<32>()
            .0
            .to_vec()
    }
}

fn creation_code(artifact: &str) -> Vec<u8> {
    let artifact: serde_json::Value = serde_json::from_str(artifact).unwrap();
    let code: Bytes = artifact["bytecode"].as_str().unwrap().parse().unwrap();
    code.to_vec()
}

fn selector(signature: &str) -> Vec<u8> {
    keccak256(signature.as_bytes())[..4].to_vec()
}

fn word(value: u64) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&value.to_be_bytes());
    word
}

/// `bytes`, as the ABI has it: length, data, zeros up to a whole word.
fn dynamic(data: &[u8]) -> Vec<u8> {
    let mut encoded = word(data.len() as u64).to_vec();
    encoded.extend_from_slice(data);
    encoded.resize(32 + data.len().next_multiple_of(32), 0);
    encoded
}

/// What was shown, for the verifier: the mirror of the contract `Preimages`.
#[derive(Default)]
struct Shown {
    data: BTreeMap<Hash, Vec<u8>>,
    words: BTreeSet<(Hash, u32)>,
}

impl PreimageOracle for Shown {
    fn length(&self, hash: &Hash) -> Option<u32> {
        self.data.get(hash).map(|data| data.len() as u32)
    }

    fn word(&self, hash: &Hash, offset: u32) -> Option<[u8; 32]> {
        let data = self.data.get(hash)?;
        let rest = data.get(offset as usize..).unwrap_or_default();
        if !rest.is_empty() && !self.words.contains(&(*hash, offset)) {
            return None;
        }
        let mut word = [0; 32];
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        Some(word)
    }
}

/// Both verifiers, with the same preimages shown to both.
struct Pair {
    chain: Chain,
    shown: Shown,
}

impl Pair {
    fn new() -> Self {
        Pair {
            chain: Chain::new(),
            shown: Shown::default(),
        }
    }

    fn show(&mut self, data: &[u8], offset: u32) {
        let hash = keccak256(data);
        if self.shown.words.insert((hash, offset)) {
            self.shown.data.insert(hash, data.to_vec());
            self.chain.show(data, offset);
        }
    }

    /// What both say of a witness.
    fn verify(&mut self, witness: &[u8]) -> Option<(Hash, Hash)> {
        let rust = verify_step(witness, &self.shown);
        let solidity = self.chain.step(witness);
        assert_eq!(
            rust.as_ref().ok().map(|step| (step.before, step.after)),
            solidity,
            "the verifier says {rust:?} of witness 0x{}",
            witness.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        );
        solidity
    }

    /// Takes a step of the machine and has it verified. Gives the witness.
    fn step(&mut self, machine: &mut Machine, preimages: &mut MemoryPreimages) -> Vec<u8> {
        let before = machine.state_root();
        let witness = machine.witness(preimages).unwrap();
        if let Some((hash, offset)) = witness.preimage {
            let data = preimages.get(&hash).unwrap();
            self.show(&data, offset);
        }
        machine.run(machine.steps() + 1, preimages).unwrap();
        let verified = self.verify(&witness.bytes);
        assert_eq!(
            verified,
            Some((before, machine.state_root())),
            "step from {}",
            text(&witness.bytes)
        );
        witness.bytes
    }
}

/// The state a witness begins with, for people to read.
fn text(witness: &[u8]) -> String {
    witness
        .first_chunk::<STATE_BYTES>()
        .map_or_else(String::new, |bytes| format!("{:x?}", State::from_bytes(bytes)))
}

/// A stream of numbers that follows from a seed (SplitMix64: Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Where arithmetic and addresses go wrong, if they do.
const CORNERS: [u32; 12] = [
    0,
    1,
    2,
    3,
    31,
    32,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_fffc,
    0xffff_fffe,
    0xffff_ffff,
];

const CODE_WORDS: u64 = 96;
const DATA: u32 = 0x8000;

/// A register's value: a corner, an address in memory, or anything.
fn value(random: &mut Random, memory: u64) -> u32 {
    match random.below(4) {
        0 => random.pick(&CORNERS),
        1 => random.next() as u32,
        2 => random.below(memory) as u32,
        _ => (random.below(memory) & !3) as u32,
    }
}

fn instruction(random: &mut Random) -> u32 {
    if random.one_in(24) {
        return random.next() as u32 | 3;
    }
    if random.one_in(6) {
        return 0x73;
    }
    let row = random.pick(&TABLE);
    let near = (random.below(64) as u32 * 4).wrapping_sub(128);
    let jumps = matches!(row.format, Format::B | Format::J);
    let imm = if random.one_in(4) == jumps {
        random.next() as u32
    } else {
        near
    };
    let mut register = || random.below(32) as u8;
    let (rd, rs1, rs2) = (register(), register(), register());
    let word = Decoded {
        op: row.op,
        rd,
        rs1,
        rs2,
        imm,
    }
    .encode();
    // Reserved bits of shifts, another funct7: rarely legal.
    if random.one_in(24) {
        word ^ 1 << random.below(32)
    } else {
        word
    }
}

/// A program of random instructions and data, in memory of any of the sizes there are.
fn program(random: &mut Random) -> Program {
    let code: Vec<u8> = (0..CODE_WORDS)
        .flat_map(|_| instruction(random).to_le_bytes())
        .collect();
    let data: Vec<u8> = (0..4096).map(|_| random.next() as u8).collect();
    let height = 11 + random.below(17);
    let base = if random.one_in(3) {
        0x100 * random.below(64) as u32
    } else {
        0
    };
    let segments = [
        Segment {
            address: base,
            bytes: &code,
            size: code.len() as u32,
            executable: true,
        },
        Segment {
            address: DATA,
            bytes: &data,
            size: ((32u64 << height) - u64::from(DATA)) as u32,
            executable: false,
        },
    ];
    Program::new(&segments, base, Vec::new()).unwrap()
}

/// What the programs of a test may read.
fn sources(random: &mut Random) -> (MemoryPreimages, Vec<Hash>) {
    let mut preimages = MemoryPreimages::default();
    let hashes = [0, 1, 31, 32, 33, 100, 1000]
        .map(|length| preimages.insert(&(0..length).map(|_| random.next() as u8).collect::<Vec<_>>()));
    (preimages, hashes.to_vec())
}

/// Registers for what comes next, whatever it is: a system call with arguments that make sense, more often than not.
fn set_registers(random: &mut Random, machine: &mut Machine, hashes: &[Hash]) {
    let memory = machine.memory().size();
    for register in 1..32 {
        if random.one_in(3) {
            machine.set_register(register, value(random, memory));
        }
    }
    let number = if random.one_in(8) {
        random.next() as u32
    } else {
        random.below(7) as u32
    };
    machine.set_register(17, number);
    for (register, bytes) in (18..).zip(random.pick(hashes).as_chunks::<4>().0) {
        machine.set_register(register, u32::from_le_bytes(*bytes));
    }
    for register in [11, 12] {
        if !random.one_in(4) {
            machine.set_register(register, random.below(70) as u32);
        }
    }
}

/// Runs a random program, and gives every witness to `each`.
fn run_randomly(seed: u64, steps: u64, mut each: impl FnMut(&mut Random, &mut Pair, &[u8])) {
    let mut random = Random(seed);
    let mut pair = Pair::new();
    let (mut preimages, hashes) = sources(&mut random);
    let program = program(&mut random);
    let mut machine = Machine::new(&program, random.pick(&hashes));
    machine.set_output_limit(None);
    set_registers(&mut random, &mut machine, &hashes);
    for _ in 0..steps {
        // A READ of data that nobody has is a step that cannot be taken, by anyone.
        set_hash(&mut machine, &hashes, &mut random);
        let before = machine.checkpoint();
        let witness = pair.step(&mut machine, &mut preimages);
        each(&mut random, &mut pair, &witness);
        if machine.status() != Status::Running {
            // Once more, since an ended machine has a step too; then on from before, elsewhere.
            let witness = pair.step(&mut machine, &mut preimages);
            each(&mut random, &mut pair, &witness);
            machine = before.restore();
            machine.set_output_limit(None);
            let far = random.one_in(12);
            let pc = if far {
                random.next() as u32
            } else {
                program.entry() + 4 * random.below(CODE_WORDS) as u32
            };
            machine.set_pc(pc);
            set_registers(&mut random, &mut machine, &hashes);
        } else if random.one_in(3) {
            set_registers(&mut random, &mut machine, &hashes);
        }
    }
}

/// Puts a hash that can be read in `s2` to `s9`, unless one is there.
fn set_hash(machine: &mut Machine, hashes: &[Hash], random: &mut Random) {
    let found: Vec<u8> = machine.registers()[18..26]
        .iter()
        .flat_map(|register| register.to_le_bytes())
        .collect();
    if !hashes.iter().any(|hash| hash[..] == found) {
        for (register, bytes) in (18..).zip(random.pick(hashes).as_chunks::<4>().0) {
            machine.set_register(register, u32::from_le_bytes(*bytes));
        }
    }
}

/// Another witness, close to a valid one.
fn tamper(random: &mut Random, witness: &[u8]) -> Vec<u8> {
    let mut bytes = witness.to_vec();
    let length = bytes.len() as u64;
    match random.below(8) {
        // a bit anywhere
        0 => bytes[random.below(length) as usize] ^= 1 << random.below(8),
        // status, exit and heights, which decide how the rest is read
        1 => {
            let at = 256 + random.below(7) as usize;
            bytes[at] = if random.one_in(2) {
                random.below(30) as u8
            } else {
                random.next() as u8
            };
        }
        // a register or pc: the step is another, and may need other proofs
        2 => {
            let at = 128 + 4 * random.below(32) as usize;
            bytes[at..at + 4].copy_from_slice(&value(random, 1 << 20).to_be_bytes());
        }
        // the bitmap of the code proof
        3 if length > 299 => bytes[295 + random.below(4) as usize] ^= 1 << random.below(8),
        4 => bytes.truncate(random.below(length) as usize),
        5 => bytes.truncate((length - 1 - random.below(40)) as usize),
        6 => bytes.resize(bytes.len() + 1 + random.below(64) as usize, 0),
        // a sibling or two taken out, or doubled
        _ => {
            let at = 263 + 32 * random.below((length - 263) / 32 + 1) as usize;
            let end = (at + 32 * random.below(8) as usize).min(bytes.len());
            if random.one_in(2) {
                bytes.drain(at..end);
            } else {
                let again = bytes[at..end].to_vec();
                bytes.extend(again);
            }
        }
    }
    bytes
}

proptest! {
    // Each case is a program of some tens of steps.
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p3_solidity_takes_the_steps_of_random_programs(seed in any::<u64>()) {
        run_randomly(seed, 40, |_, _, _| {});
    }

    #[test]
    fn p3_solidity_refuses_what_the_verifier_refuses(seed in any::<u64>()) {
        run_randomly(seed, 10, |random, pair, witness| {
            for _ in 0..6 {
                let mut hostile = tamper(random, witness);
                if random.one_in(4) && hostile.len() > 2 * STATE_BYTES {
                    hostile = tamper(random, &hostile);
                }
                pair.verify(&hostile);
            }
        });
    }
}

/// Every instruction on every pair of corners; where there is no second register, on immediates.
#[test]
fn p3_solidity_computes_every_instruction_on_corners() {
    let mut pair = Pair::new();
    let mut preimages = MemoryPreimages::default();
    let input = preimages.insert(b"input");
    for row in TABLE {
        let immediates: &[u32] = match row.format {
            Format::R | Format::None => &[0],
            Format::Shift => &[0, 1, 31],
            Format::B | Format::J => &[4, 0xffff_fffc, 2],
            _ => &[0, 1, 3, 2047, 0xffff_f800, 0xffff_ffff],
        };
        let second: &[u32] = match row.format {
            Format::R | Format::B | Format::S => &CORNERS,
            _ => &[1],
        };
        for imm in immediates {
            let code = Decoded {
                op: row.op,
                rd: 3,
                rs1: 1,
                rs2: 2,
                imm: *imm,
            }
            .encode()
            .to_le_bytes();
            let segments = [
                Segment {
                    address: 0x40,
                    bytes: &code,
                    size: 64,
                    executable: true,
                },
                Segment {
                    address: DATA,
                    bytes: &[0x81; 64],
                    size: 64,
                    executable: false,
                },
            ];
            let program = Program::new(&segments, 0x40, Vec::new()).unwrap();
            for a in CORNERS.into_iter().chain([DATA, DATA + 1, DATA + 2, DATA + 31]) {
                for b in second {
                    let mut machine = Machine::new(&program, input);
                    machine.set_register(1, a);
                    machine.set_register(2, *b);
                    pair.step(&mut machine, &mut preimages);
                }
            }
        }
    }
}

/// The state root and the result hash, of runs that end in one way or another.
#[test]
fn p3_solidity_projects_states() {
    let mut chain = Chain::new();
    let mut random = Random(2);
    for _ in 0..32 {
        let (mut preimages, hashes) = sources(&mut random);
        let mut machine = Machine::new(&program(&mut random), random.pick(&hashes));
        set_registers(&mut random, &mut machine, &hashes);
        machine.run(random.below(50), &mut preimages).ok();
        let expected = [machine.state_root(), machine.outcome().result_hash()];
        assert_eq!(chain.project("result(bytes)", &machine.state_bytes()), expected);
    }
}

/// The program hash, the input's hash, and whether all else is zero.
#[test]
fn p3_solidity_knows_initial_states() {
    let mut chain = Chain::new();
    let mut random = Random(1);
    for _ in 0..8 {
        let program = program(&mut random);
        let mut machine = Machine::new(&program, keccak256(b"input"));
        let expected = [program.hash(), keccak256(b"input"), word(1)];
        assert_eq!(chain.project("initial(bytes)", &machine.state_bytes()), expected);
        machine.set_register(31, 1);
        assert_eq!(chain.project("initial(bytes)", &machine.state_bytes())[2], word(0));
    }
}
