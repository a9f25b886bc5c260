//! The pitfalls of machines with fraud proofs that concern a single step, each by number. They have broken others.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod support;

use support::*;
use surety_machine::{
    Machine, Op, Program, Segment, Status, TrapCause, WitnessError, ZERO_ROOTS, keccak256, verify_step,
};

/// A load or store that crosses a leaf or a page would need two proofs, the second against the updated root. Here
/// none can: an aligned access lies in one leaf, a misaligned one traps, and `READ` and `WRITE` take a leaf a step,
/// each step from the root the one before left.
#[test]
fn pitfall_01_accesses_across_leaves_and_pages() {
    for edge in [DATA + 32, DATA + 4096] {
        for (op, size) in [(Op::Lh, 2), (Op::Lhu, 2), (Op::Lw, 4), (Op::Sh, 2), (Op::Sw, 4)] {
            for back in 1..size {
                let code = word(op, 5, 6, 7, 0);
                let cause = match op {
                    Op::Sh | Op::Sw => TrapCause::StoreMisaligned,
                    _ => TrapCause::LoadMisaligned,
                };
                assert_traps(&mut machine(&[code], &[(6, edge - back)]), cause);
            }
        }
        let mut preimages = preimages();
        let data: Vec<u8> = (1..=80).collect();
        let hash = preimages.insert(&data);
        let mut read = machine(&[ECALL, ECALL], &read_arguments(&hash, edge - 10, 0, 80));
        let mut proofs = 0;
        while read.pc() == 0 {
            // One memory proof, whose root is the step's own.
            let witness = read.witness(&mut preimages).unwrap();
            let memory_root = read.memory().root();
            checked_step(&mut read, &mut preimages).unwrap();
            assert_ne!(read.memory().root(), memory_root);
            assert_eq!(witness.bytes[32..64], memory_root);
            proofs += 1;
        }
        assert_eq!(proofs, 4);
        assert_eq!(read.memory().copy(edge - 10, 80).unwrap(), data);
        for (register, value) in write_arguments(edge - 10, 80) {
            read.set_register(register, value);
        }
        while read.pc() == 4 && read.status() == Status::Running {
            checked_step(&mut read, &mut preimages).unwrap();
        }
        assert_eq!(read.output(), data);
        assert_eq!(read.chunk_lengths(), [10, 32, 32, 6]);
    }
}

/// Corner cases of arithmetic, and encodings that a lax decoder takes.
#[test]
fn pitfall_02_arithmetic_corners_and_reserved_encodings() {
    let min = 0x8000_0000;
    let ones = 0xffff_ffff;
    #[rustfmt::skip]
    let cases = [
        (Op::Div, 5, 0, ones), (Op::Divu, 5, 0, ones), (Op::Rem, 5, 0, 5), (Op::Remu, 5, 0, 5),
        (Op::Div, min, ones, min), (Op::Rem, min, ones, 0),
        (Op::Mulh, min, min, 0x4000_0000), (Op::Mulh, ones, 1, ones), (Op::Mulhsu, ones, ones, ones),
        (Op::Mulhsu, min, min, 0xc000_0000), (Op::Mulhu, min, min, 0x4000_0000), (Op::Mulhu, ones, ones, 0xffff_fffe),
        (Op::Sll, 1, 32, 1), (Op::Srl, min, 33, 0x4000_0000), (Op::Sra, min, 63, ones), (Op::Sll, 5, 0xffff_ffe0, 5),
    ];
    for (op, a, b, expected) in cases {
        assert_eq!(one(word(op, 5, 6, 7, 0), &[(6, a), (7, b)]).registers()[5], expected);
    }
    let funct3 = |word: u32, funct3: u32| word & !(7 << 12) | funct3 << 12;
    let mut reserved = vec![
        0x0200_1013,
        0x0200_5013,
        0x4200_5013,
        0x4000_1013,
        0x0400_0033,
        0x4200_0033,
        0x4000_4033,
    ];
    reserved.extend([2, 3].map(|f| funct3(0x63, f)));
    reserved.extend([3, 6, 7].map(|f| funct3(0x03, f)));
    reserved.extend([3, 4, 5, 6, 7].map(|f| funct3(0x23, f)));
    reserved.extend([1, 2, 3, 4, 5, 6, 7].map(|f| funct3(0x67, f)));
    reserved.extend([1, 2, 3, 4, 5, 6, 7].map(|f| funct3(0x0f, f)));
    reserved.extend([1, 2, 3, 4, 5, 6, 7].map(|f| funct3(0x73, f)));
    for encoding in reserved {
        assert_traps(&mut machine(&[encoding], &[(5, 7), (6, DATA)]), TrapCause::Illegal);
    }
}

/// x0, misaligned targets, and `pc` out of range.
#[test]
fn pitfall_03_x0_jump_targets_and_pc() {
    for row in &surety_machine::TABLE {
        let registers = [(6, DATA + 8), (7, 3), (A7, 5)];
        let mut machine = machine(&[word(row.op, 0, 6, 7, 8), NOP, NOP], &registers);
        checked_step(&mut machine, &mut preimages()).unwrap();
        assert_eq!(machine.registers()[0], 0, "{}", row.name);
        assert_eq!(
            machine.state_bytes()[132..136],
            [0; 4],
            "{}: x1 is the first register encoded",
            row.name
        );
    }
    for code in [
        word(Op::Jal, 1, 0, 0, 6),
        word(Op::Jalr, 1, 0, 0, 7),
        word(Op::Beq, 0, 0, 0, 10),
    ] {
        assert_traps(&mut machine(&[code], &[(1, 9)]), TrapCause::JumpMisaligned);
    }
    // A jump out of the code takes place; the fetch after it traps.
    for code in [
        word(Op::Jal, 1, 0, 0, 32),
        word(Op::Jal, 1, 0, 0, -4),
        word(Op::Jalr, 1, 0, 0, -2048),
    ] {
        let mut machine = machine(&[code], &[]);
        checked_step(&mut machine, &mut preimages()).unwrap();
        assert_eq!((machine.status(), machine.registers()[1]), (Status::Running, 4));
        assert_traps(&mut machine, TrapCause::Fetch);
    }
}

/// Length of proofs, trailing bytes, values that are not canonical, high bits set where few are used.
#[test]
fn pitfall_04_proofs_that_are_not_canonical() {
    let mut machine = machine(&[word(Op::Sb, 0, 6, 7, 0)], &[(6, DATA), (7, 1)]);
    let good = machine.witness(&mut preimages()).unwrap().bytes;
    let none = Shown(None);
    let expected = verify_step(&good, &none).unwrap();
    for length in 0..good.len() {
        assert!(
            matches!(verify_step(&good[..length], &none), Err(WitnessError::Truncated { .. })),
            "{length}"
        );
    }
    for extra in [1, 31, 32, 64] {
        let long = [&good[..], &vec![0; extra]].concat();
        assert_eq!(verify_step(&long, &none), Err(WitnessError::Trailing { count: extra }));
    }
    // Every other value of the bitmap's bits at or above the height.
    let bitmap_at = good.len() - 36 - 32 + 32;
    for bit in 11..32 {
        let mut high = good.clone();
        high[bitmap_at + 3 - bit / 8] |= 1 << (bit % 8);
        high.extend([0; 32]);
        assert!(
            matches!(verify_step(&high, &none), Err(WitnessError::Bitmap { .. })),
            "{bit}"
        );
    }
    // A zero sibling given in full is another witness for the same step: it changes nothing.
    let mut full = good.clone();
    full[bitmap_at + 3] |= 1;
    full.splice(bitmap_at + 4..bitmap_at + 4, ZERO_ROOTS[0]);
    assert_eq!(verify_step(&full, &none), Ok(expected));
    // Status is not a boolean: any value but 0 has ended.
    for status in 1..=255 {
        let mut ended = good[..263].to_vec();
        ended[256] = status;
        let root = keccak256(&ended);
        assert_eq!(
            verify_step(&ended, &none).map(|step| (step.before, step.after)),
            Ok((root, root))
        );
    }
    // Every bit of the witness counts: no other witness of this length leads from the same state elsewhere.
    for bit in 0..8 * good.len() {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(step) = verify_step(&changed, &none) {
            assert_ne!(step.before, expected.before, "bit {bit}");
        }
    }
}

/// A heap or stack that overflows into code, and unknown system calls.
#[test]
fn pitfall_05_overflow_into_code_and_unknown_calls() {
    // Fills memory downwards, as a stack does, through its own code, which runs on unchanged.
    let code = [
        word(Op::Lui, 6, 0, 0, DATA as i32),
        word(Op::Addi, 6, 6, 0, -4),
        word(Op::Sw, 0, 6, 0, 0),
        word(Op::Bne, 0, 6, 0, -8),
        word(Op::Addi, 6, 6, 0, -4),
        word(Op::Sw, 0, 6, 0, 0),
    ];
    let program = program(&code);
    let mut machine = Machine::new(&program, keccak256(INPUT));
    let before = machine.state();
    machine.run(1_000_000, &mut preimages()).unwrap();
    assert_eq!(machine.outcome().trap(), Some(TrapCause::StoreRange));
    assert_eq!(machine.steps(), 1 + 3 * u64::from(DATA / 4) + 2);
    let after = machine.state();
    assert_eq!(after.code_root, before.code_root);
    assert_eq!(
        after.memory_root, ZERO_ROOTS[11],
        "the copy of the code in data memory is gone"
    );
    // Code written to data memory cannot be run, wherever it lies.
    let writes = bytes(&[word(Op::Sw, 0, 0, 7, 0x100), word(Op::Jalr, 0, 0, 0, 0x100)]);
    let segments = [
        Segment {
            address: 0,
            bytes: &writes,
            size: 0x200,
            executable: true,
        },
        Segment {
            address: DATA,
            bytes: &[],
            size: 64,
            executable: false,
        },
    ];
    let mut writer = Machine::new(&Program::new(&segments, 0, Vec::new()).unwrap(), keccak256(INPUT));
    writer.set_register(7, NOP);
    writer.run(2, &mut preimages()).unwrap();
    assert_traps(&mut writer, TrapCause::Illegal);
    for number in (6..200).chain([0, 0x100, 0x0101_0101, 1 << 31, u32::MAX]) {
        assert_traps(&mut support::machine(&[ECALL], &[(A7, number)]), TrapCause::Syscall);
    }
}

/// Engines that agree at the end and not on the way: a run cut at any step, in the middle of a copy, before and after a
/// trap in straight-line code, is the run of single steps that the verifier checks.
#[test]
fn pitfall_06_a_run_cut_anywhere_is_the_same_run() {
    let mut preimages = preimages();
    let data: Vec<u8> = (0..100).collect();
    let hash = preimages.insert(&data);
    let code = [
        word(Op::Addi, 5, 0, 0, 7),
        ECALL,
        word(Op::Mul, 5, 5, 5, 0),
        word(Op::Sw, 0, 6, 5, 0),
        word(Op::Addi, 28, 28, 0, -1),
        word(Op::Bne, 0, 28, 0, -8),
        word(Op::Sw, 0, 7, 5, 0),
        word(Op::Addi, 5, 5, 0, 1),
    ];
    let mut registers = read_arguments(&hash, DATA + 5, 0, 100);
    registers.extend([(6, DATA + 200), (7, u32::MAX - 3), (28, 3)]);
    let mut stepped = machine(&code, &registers);
    let mut roots = vec![stepped.state_root()];
    while stepped.status() == Status::Running {
        checked_step(&mut stepped, &mut preimages).unwrap();
        roots.push(stepped.state_root());
    }
    assert_eq!(stepped.outcome().trap(), Some(TrapCause::StoreRange));
    // 1 + 4 pieces of the copy + 1 + 3 rounds of 3 + the trap.
    assert_eq!(roots.len(), 1 + 16);
    let last = *roots.last().unwrap();
    roots.extend([last; 3]);
    for (steps, root) in (0_u64..).zip(&roots) {
        let mut cut = machine(&code, &registers);
        cut.run(steps, &mut preimages).unwrap();
        assert_eq!(cut.state_root(), *root, "cut at step {steps}");
        cut.run(1_000, &mut preimages).unwrap();
        assert_eq!(cut.state_root(), last, "cut at step {steps}, then run to the end");
    }
}
