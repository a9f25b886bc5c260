//! What the tests of the machine share.
#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use std::sync::Arc;
use surety_machine::{
    Decoded, Hash, Machine, MemoryPreimages, Op, PreimageOracle, Preimages, Program, RunError, Segment, Status,
    TrapCause, keccak256, verify_step,
};

/// The request's input in these tests.
pub(crate) const INPUT: &[u8] = b"the input of the request";
/// Where code begins.
pub(crate) const CODE: u32 = 0;
/// Where the data segment begins, in 64 KiB of memory.
pub(crate) const DATA: u32 = 0x8000;
pub(crate) const MEMORY: u32 = 0x1_0000;

pub(crate) const A0: u8 = 10;
pub(crate) const A1: u8 = 11;
pub(crate) const A2: u8 = 12;
pub(crate) const A7: u8 = 17;
pub(crate) const S2: u8 = 18;
pub(crate) const ECALL: u32 = 0x73;
pub(crate) const NOP: u32 = 0x13;

pub(crate) fn word(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> u32 {
    Decoded {
        op,
        rd,
        rs1,
        rs2,
        imm: imm as u32,
    }
    .encode()
}

pub(crate) fn bytes(code: &[u32]) -> Vec<u8> {
    code.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A program with this code at address 0, and 64 KiB of memory that is zero from `DATA` on.
pub(crate) fn program(code: &[u32]) -> Program {
    program_with_memory(code, MEMORY)
}

pub(crate) fn program_with_memory(code: &[u32], memory: u32) -> Program {
    let code = bytes(code);
    let size = code.len().max(4) as u32;
    let segments = [
        Segment {
            address: CODE,
            bytes: &code,
            size,
            executable: true,
        },
        Segment {
            address: DATA,
            bytes: &[],
            size: memory - DATA,
            executable: false,
        },
    ];
    Program::new(&segments, CODE, Vec::new()).unwrap()
}

pub(crate) fn machine(code: &[u32], registers: &[(u8, u32)]) -> Machine {
    let mut machine = Machine::new(&program(code), keccak256(INPUT));
    for (register, value) in registers {
        machine.set_register(*register, *value);
    }
    machine
}

pub(crate) fn preimages() -> MemoryPreimages {
    let mut preimages = MemoryPreimages::default();
    preimages.insert(INPUT);
    preimages
}

/// The registers of a `READ`.
pub(crate) fn read_arguments(hash: &Hash, to: u32, offset: u32, length: u32) -> Vec<(u8, u32)> {
    let (words, _) = hash.as_chunks::<4>();
    let mut registers: Vec<_> = (S2..).zip(words.iter().map(|word| u32::from_le_bytes(*word))).collect();
    registers.extend([(A7, 3), (A0, to), (A1, offset), (A2, length)]);
    registers
}

pub(crate) fn write_arguments(from: u32, length: u32) -> [(u8, u32); 3] {
    [(A7, 2), (A0, from), (A1, length)]
}

/// An on-chain oracle to which exactly one word has been shown.
pub(crate) struct Shown(pub(crate) Option<(Hash, u32, [u8; 32], u32)>);

impl Shown {
    pub(crate) fn new(need: Option<(Hash, u32)>, preimages: &mut dyn Preimages) -> Self {
        Shown(need.map(|(hash, offset)| {
            let data: Arc<[u8]> = preimages.get(&hash).unwrap();
            let mut word = [0; 32];
            for (to, from) in word.iter_mut().zip(data.get(offset as usize..).unwrap_or_default()) {
                *to = *from;
            }
            (hash, offset, word, data.len() as u32)
        }))
    }
}

impl PreimageOracle for Shown {
    fn length(&self, hash: &Hash) -> Option<u32> {
        self.0.filter(|shown| shown.0 == *hash).map(|shown| shown.3)
    }

    fn word(&self, hash: &Hash, offset: u32) -> Option<[u8; 32]> {
        self.0
            .filter(|shown| shown.0 == *hash && shown.1 == offset)
            .map(|shown| shown.2)
    }
}

/// Takes a step, and checks that the verifier, from the witness alone, comes to the same state.
pub(crate) fn checked_step(machine: &mut Machine, preimages: &mut MemoryPreimages) -> Result<(), RunError> {
    let before = machine.state_root();
    let witness = machine.witness(preimages)?;
    assert_eq!(before, machine.state_root(), "making a witness changed the state");
    machine.run(machine.steps() + 1, preimages)?;
    let shown = Shown::new(witness.preimage, preimages);
    let verified = verify_step(&witness.bytes, &shown)
        .unwrap_or_else(|error| panic!("step {} at pc {:#x}: {error}", machine.steps(), machine.pc()));
    assert_eq!(verified.before, before);
    assert_eq!(
        verified.after,
        machine.state_root(),
        "step {} to pc {:#x}",
        machine.steps(),
        machine.pc()
    );
    Ok(())
}

/// Runs one instruction with these registers, checked against the verifier.
pub(crate) fn one(instruction: u32, registers: &[(u8, u32)]) -> Machine {
    let mut machine = machine(&[instruction, ECALL], registers);
    checked_step(&mut machine, &mut preimages()).unwrap();
    machine
}

/// Asserts that the instruction traps, changing nothing but status and exit.
pub(crate) fn assert_traps(machine: &mut Machine, cause: TrapCause) {
    let before = machine.state();
    checked_step(machine, &mut preimages()).unwrap();
    let mut expected = before;
    expected.status = Status::Trapped as u8;
    expected.exit = cause as u32;
    assert_eq!(machine.state(), expected);
    assert_eq!(machine.outcome().trap(), Some(cause));
    // It stays so, whatever the budget.
    let (root, steps) = (machine.state_root(), machine.steps());
    machine.run(u64::MAX, &mut preimages()).unwrap();
    assert_eq!((machine.state_root(), machine.steps()), (root, steps));
}

/// An ELF with these segments: address, content, size in memory, flags (1 execute, 2 write, 4 read).
pub(crate) fn elf(segments: &[(u32, &[u8], u32, u32)], entry: u32) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 243, 0, 1, 0, 0, 0]);
    for field in [entry, 52, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    for field in [52, 32, segments.len() as u16, 40, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    // Linux maps whole pages of the file, so content lies at its address modulo the page size.
    let mut offset = (52 + 32 * segments.len() as u32).next_multiple_of(4096);
    let mut content = Vec::new();
    let start = offset;
    for (address, bytes, size, flags) in segments {
        let length = bytes.len() as u32;
        offset = offset.next_multiple_of(4096) + address % 4096;
        for field in [1, offset, *address, *address, length, *size, *flags, 4096] {
            file.extend(field.to_le_bytes());
        }
        content.resize((offset - start) as usize, 0);
        content.extend_from_slice(bytes);
        offset += length;
    }
    file.resize(start as usize, 0);
    file.extend(content);
    file
}
