//! System calls: every effect, every edge of a leaf, a page and memory, at every step.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod support;

use std::sync::Arc;
use support::*;
use surety_machine::{
    Hash, MAX_PREIMAGE_BYTES, Machine, Op, Preimages, RunError, Status, TrapCause, canonical_output_root, keccak256,
    output_root,
};

/// Runs to the end of the call, every step checked against the verifier.
fn run_call(machine: &mut Machine, preimages: &mut surety_machine::MemoryPreimages) {
    let pc = machine.pc();
    while machine.pc() == pc && machine.status() == Status::Running {
        checked_step(machine, preimages).unwrap();
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i as u8).wrapping_mul(29) ^ 0x5a).collect()
}

#[test]
fn halt() {
    for code in [0, 1, 0xffff_ffff] {
        let mut machine = machine(&[ECALL], &[(A7, 1), (A0, code)]);
        checked_step(&mut machine, &mut preimages()).unwrap();
        assert_eq!(
            (machine.status(), machine.outcome().exit, machine.pc()),
            (Status::Halted, code, 0)
        );
        assert_eq!(machine.outcome().trap(), None);
        let root = machine.state_root();
        checked_step(&mut machine, &mut preimages()).unwrap();
        assert_eq!((machine.steps(), machine.state_root()), (1, root));
    }
}

#[test]
fn unknown_calls_trap() {
    for number in [0, 6, 7, 64, 93, 0x8000_0001, 0xffff_ffff] {
        assert_traps(&mut machine(&[ECALL], &[(A7, number)]), TrapCause::Syscall);
    }
}

#[test]
fn write_takes_one_leaf_a_step() {
    for (from, length, chunks) in [
        (DATA, 0, &[][..]),
        (DATA, 1, &[1]),
        (DATA + 31, 1, &[1]),
        (DATA, 32, &[32]),
        (DATA + 1, 32, &[31, 1]),
        (DATA, 100, &[32, 32, 32, 4]),
        (DATA + 30, 70, &[2, 32, 32, 4]),
        (DATA + 4090, 40, &[6, 32, 2]),
        (MEMORY - 33, 33, &[1, 32]),
    ] {
        let mut machine = machine(&[ECALL], &write_arguments(from, length));
        machine.memory().put(DATA, &pattern((MEMORY - DATA) as usize)).unwrap();
        let data = machine.memory().copy(from, length).unwrap();
        run_call(&mut machine, &mut preimages());
        assert_eq!(machine.output(), data);
        assert_eq!(machine.chunk_lengths(), chunks);
        assert_eq!(machine.steps(), chunks.len().max(1) as u64);
        assert_eq!(
            (machine.pc(), machine.registers()[10], machine.registers()[11]),
            (4, from + length, 0)
        );
        let root = machine.outcome().output_root;
        assert_eq!(output_root(&data, chunks), Some(root));
        let canonical = chunks
            .split_last()
            .is_none_or(|(_, rest)| rest.iter().all(|n| *n == 32));
        assert_eq!(machine.output_is_canonical(), canonical);
        assert_eq!(canonical_output_root(&data) == root, canonical);
    }
}

#[test]
fn output_roots_of_wrong_chunk_lengths_are_refused() {
    assert_eq!(output_root(b"abc", &[3, 1]), None);
    assert_eq!(output_root(b"abc", &[2]), None);
    assert_eq!(output_root(b"abc", &[3, 0]), None);
    assert_eq!(output_root(&[0; 33], &[33]), None);
    assert_eq!(output_root(&[], &[]), Some([0; 32]));
}

#[test]
fn write_from_outside_memory_traps_after_what_was_inside() {
    assert_traps(
        &mut machine(&[ECALL], &write_arguments(MEMORY, 1)),
        TrapCause::LoadRange,
    );
    let mut machine = machine(&[ECALL], &write_arguments(MEMORY - 40, 60));
    let mut preimages = preimages();
    checked_step(&mut machine, &mut preimages).unwrap();
    checked_step(&mut machine, &mut preimages).unwrap();
    assert_eq!((machine.registers()[10], machine.registers()[11]), (MEMORY, 20));
    assert_traps(&mut machine, TrapCause::LoadRange);
    assert_eq!(machine.output().len(), 40);
}

#[test]
fn read_takes_one_leaf_a_step() {
    let data = pattern(100);
    for (to, offset, length, pieces) in [
        (DATA, 0, 0, &[][..]),
        (DATA, 0, 1, &[1]),
        (DATA + 31, 99, 1, &[1]),
        (DATA, 0, 32, &[32]),
        (DATA + 1, 5, 32, &[31, 1]),
        (DATA, 0, 100, &[32, 32, 32, 4]),
        (DATA, 0, 101, &[32, 32, 32, 4]),
        (DATA + 30, 3, 0xffff_ffff, &[2, 32, 32, 31]),
        (DATA + 4090, 60, 100, &[6, 32, 2]),
        (DATA, 100, 1, &[]),
        (DATA, 0xffff_ffff, 0xffff_ffff, &[]),
        (MEMORY - 33, 0, 33, &[1, 32]),
        (MEMORY, 100, 5, &[]),
    ] {
        let mut preimages = preimages();
        let hash = preimages.insert(&data);
        let mut machine = machine(&[ECALL], &read_arguments(&hash, to, offset, length));
        run_call(&mut machine, &mut preimages);
        let copied: u32 = pieces.iter().sum();
        assert_eq!(machine.steps(), pieces.len().max(1) as u64);
        assert_eq!(machine.pc(), 4);
        let registers = machine.registers();
        assert_eq!(
            (registers[10], registers[11], registers[12]),
            (to + copied, offset.wrapping_add(copied), length - copied)
        );
        if copied > 0 {
            let expected = &data[offset as usize..(offset + copied) as usize];
            assert_eq!(machine.memory().copy(to, copied).unwrap(), expected);
            // Nothing around it.
            assert_eq!(machine.memory().copy(to - 8, 8).unwrap(), [0; 8]);
        }
    }
}

#[test]
fn read_to_outside_memory_traps_after_what_was_inside() {
    let mut preimages = preimages();
    let hash = preimages.insert(&pattern(100));
    let mut machine = machine(&[ECALL], &read_arguments(&hash, MEMORY - 8, 0, 16));
    checked_step(&mut machine, &mut preimages).unwrap();
    let before = machine.state();
    checked_step(&mut machine, &mut preimages).unwrap();
    assert_eq!(machine.outcome().trap(), Some(TrapCause::StoreRange));
    assert_eq!(
        (machine.state().registers, machine.state().memory_root),
        (before.registers, before.memory_root)
    );
}

#[test]
fn the_last_leaf_of_4_gib_is_followed_by_address_0() {
    let program = program_with_memory(&[ECALL], 0xffff_ffff);
    let mut preimages = preimages();
    let data = pattern(40);
    let hash = preimages.insert(&data);
    let mut machine = Machine::new(&program, keccak256(INPUT));
    assert_eq!(machine.memory().height(), 27);
    for (register, value) in read_arguments(&hash, 0xffff_ffe8, 0, 32) {
        machine.set_register(register, value);
    }
    run_call(&mut machine, &mut preimages);
    assert_eq!(
        (machine.steps(), machine.registers()[10], machine.registers()[12]),
        (2, 8, 0)
    );
    assert_eq!(machine.memory().copy(0xffff_ffe8, 24).unwrap(), &data[..24]);
    assert_eq!(machine.memory().copy(0, 8).unwrap(), &data[24..32]);
    assert_eq!(machine.memory().copy(0xffff_ffe8, 25), None);
}

#[test]
fn a_missing_preimage_leaves_the_machine_at_that_step() {
    let data = pattern(64);
    let hash = keccak256(&data);
    let mut machine = machine(&[NOP, ECALL], &read_arguments(&hash, DATA, 0, 64));
    let mut preimages = preimages();
    assert_eq!(machine.run(10, &mut preimages), Err(RunError::MissingPreimage(hash)));
    assert_eq!(
        (machine.steps(), machine.pc(), machine.status()),
        (1, 4, Status::Running)
    );
    assert_eq!(machine.witness(&mut preimages), Err(RunError::MissingPreimage(hash)));
    preimages.insert(&data);
    machine.run(3, &mut preimages).unwrap();
    assert_eq!(machine.memory().copy(DATA, 64).unwrap(), data);

    // With a length of zero nothing is needed.
    let mut nothing = support::machine(&[ECALL], &read_arguments(&[7; 32], MEMORY, 3, 0));
    checked_step(&mut nothing, &mut preimages).unwrap();
    assert_eq!(nothing.pc(), 4);

    let mut no_input = support::machine(&[ECALL], &[(A7, 4)]);
    let missing = no_input.run(1, &mut surety_machine::MemoryPreimages::default());
    assert_eq!(missing, Err(RunError::MissingPreimage(keccak256(INPUT))));
}

/// A source that gives whatever it was told to.
struct Liar(Vec<u8>);

impl Preimages for Liar {
    fn get(&mut self, _: &Hash) -> Option<Arc<[u8]>> {
        Some(self.0.as_slice().into())
    }
}

#[test]
fn p1_what_a_source_gives_is_checked() {
    let mut machine = machine(&[ECALL], &read_arguments(&[7; 32], DATA, 0, 4));
    let wrong = machine.run(1, &mut Liar(b"lie".to_vec()));
    assert_eq!(
        wrong,
        Err(RunError::WrongPreimage {
            hash: [7; 32],
            found: keccak256(b"lie")
        })
    );
    let length = MAX_PREIMAGE_BYTES + 1;
    let long = machine.run(1, &mut Liar(vec![0; length]));
    assert_eq!(long, Err(RunError::PreimageTooLong { hash: [7; 32], length }));
    assert_eq!(machine.steps(), 0);
}

#[test]
fn input() {
    let mut machine = machine(&[ECALL], &[(A7, 4), (A0, 99)]);
    checked_step(&mut machine, &mut preimages()).unwrap();
    let mut hash = Vec::new();
    for register in &machine.registers()[18..26] {
        hash.extend(register.to_le_bytes());
    }
    assert_eq!(hash, keccak256(INPUT));
    assert_eq!((machine.registers()[10], machine.pc()), (INPUT.len() as u32, 4));
}

#[derive(Default)]
struct Hints(Vec<String>);

impl Preimages for Hints {
    fn get(&mut self, _: &Hash) -> Option<Arc<[u8]>> {
        None
    }
    fn hint(&mut self, hint: &str) {
        self.0.push(hint.to_owned());
    }
}

#[test]
fn hints_reach_the_provider_and_change_nothing() {
    let text = b"preimage 0x00";
    let long = "x".repeat(1025);
    for (content, from, length, expected) in [
        (&text[..], DATA, 13, Some("preimage 0x00")),
        (text, DATA, 0, Some("")),
        (text, MEMORY - 4, 5, None),
        (text, 0xffff_ffff, 1, None),
        (&[0xff, 0xfe], DATA, 2, None),
        (long.as_bytes(), DATA + 4000, 1024, Some(&long[..1024])),
        (long.as_bytes(), DATA, 1025, None),
        (text, DATA, 0xffff_ffff, None),
    ] {
        let mut machine = machine(&[ECALL], &[(A7, 5), (A0, from), (A1, length)]);
        machine
            .memory()
            .put(if from < MEMORY - 2048 { from } else { DATA }, content)
            .unwrap();
        let before = machine.state();
        let mut hints = Hints::default();
        machine.run(1, &mut hints).unwrap();
        assert_eq!(hints.0.first().map(String::as_str), expected);
        let mut after = machine.state();
        assert_eq!(after.pc, 4);
        after.pc = 0;
        assert_eq!(after, before);
    }
}

#[test]
fn p4_output_is_bounded() {
    let mut machine = machine(&[ECALL], &write_arguments(DATA, 100));
    machine.set_output_limit(Some(64));
    assert_eq!(
        machine.run(9, &mut preimages()),
        Err(RunError::OutputLimit { limit: 64 })
    );
    assert_eq!((machine.steps(), machine.output().len()), (2, 64));
    // Without the output, only the root is kept, and there is no limit.
    machine.set_output_limit(None);
    machine.run(4, &mut preimages()).unwrap();
    assert_eq!((machine.pc(), machine.output()), (4, &[][..]));
    assert_eq!(machine.outcome().output_root, canonical_output_root(&[0; 100]));
}

#[test]
fn a_call_in_a_loop_of_instructions() {
    // Ten bytes, one at a time: ten chunks, not the canonical one.
    let code = [
        word(Op::Addi, A7, 0, 0, 2),
        word(Op::Lui, A0, 0, 0, DATA as i32),
        word(Op::Addi, 5, 0, 0, 10),
        word(Op::Addi, A1, 0, 0, 1),
        ECALL,
        word(Op::Addi, 5, 5, 0, -1),
        word(Op::Bne, 0, 5, 0, -12),
        word(Op::Addi, A7, 0, 0, 1),
        ECALL,
    ];
    let mut machine = machine(&code, &[]);
    machine.memory().put(DATA, b"0123456789").unwrap();
    while machine.status() == Status::Running {
        checked_step(&mut machine, &mut preimages()).unwrap();
    }
    assert_eq!(
        (machine.output(), machine.chunk_lengths()),
        (&b"0123456789"[..], &[1; 10][..])
    );
    assert!(!machine.output_is_canonical());
    assert_eq!(machine.steps(), 3 + 10 * 4 + 2);
    assert_eq!(machine.outcome().exit, DATA + 10);
}
