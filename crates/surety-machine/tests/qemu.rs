//! P3 against an implementation nobody here wrote: the same ELF runs here and under qemu-user, and both must leave the
//! same registers and memory. `qemu-riscv32` is in Debian's package `qemu-user`.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod support;

use proptest::prelude::*;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use support::*;
use surety_machine::{Format, Machine, Op, Program, Status, TABLE, TrapCause, keccak256};

const TEXT: u32 = 0x1_0000;
/// The dump: x1 to x30, then the scratch memory.
const DUMP: u32 = 0x10_0000;
const REGISTERS: usize = 30 * 4;
/// Scratch memory: the 4 KiB that a 12-bit offset from x31 reaches.
const SCRATCH: u32 = DUMP + 2048;
const BASE: u32 = SCRATCH + 2048;
const DUMP_BYTES: u32 = 2048 + 4096;
/// Points into the scratch memory for the whole body.
const POINTER: u8 = 31;
/// Counts loops.
const COUNTER: u8 = 30;

/// A piece of a program's body. Every piece ends, wherever it is entered from the top.
#[derive(Clone, Debug)]
enum Piece {
    /// One arithmetic instruction.
    Compute(Op, u8, u8, u8, i32),
    /// A load or store at x31 + offset.
    Access(Op, u8, i32),
    /// A load or store at an address that is computed: x31 + (register and 0x7fc).
    Scattered(Op, u8, u8, u8),
    /// A branch over pieces.
    Branch(Op, u8, u8, Vec<Piece>),
    /// `jal` over a word that is no instruction.
    Jump(u8),
    /// `auipc` and `jalr` over a word that is no instruction; with bit 0 of the target set if told so.
    Indirect(u8, bool),
    /// A loop of 1 to 5 rounds; loops do not nest.
    Repeat(u8, Vec<Piece>),
}

fn rd() -> impl Strategy<Value = u8> {
    0..30u8
}

fn rs() -> impl Strategy<Value = u8> {
    0..32u8
}

fn op(of: fn(&surety_machine::Instruction) -> bool) -> impl Strategy<Value = Op> {
    let ops: Vec<Op> = TABLE.iter().filter(|row| of(row)).map(|row| row.op).collect();
    prop::sample::select(ops)
}

fn simple() -> impl Strategy<Value = Piece> {
    use surety_machine::Effect;
    let imm = prop_oneof![any::<i32>(), -4..5i32, Just(-2048), Just(2047)];
    let access = |row: &surety_machine::Instruction| matches!(row.effect, Effect::Load(..) | Effect::Store(_));
    prop_oneof![
        8 => (op(|row| matches!(row.effect, Effect::Set(_))), rd(), rs(), rs(), imm)
            .prop_map(|(op, rd, rs1, rs2, imm)| Piece::Compute(op, rd, rs1, rs2, imm)),
        3 => (op(access), rd(), -2048..2048i32).prop_map(|(op, register, at)| Piece::Access(op, register, at)),
        1 => (op(access), rd(), rs(), 1..30u8).prop_map(|(op, register, from, to)| Piece::Scattered(op, register, from, to)),
        1 => rd().prop_map(Piece::Jump),
        1 => (1..30u8, any::<bool>()).prop_map(|(link, odd)| Piece::Indirect(link, odd)),
        1 => Just(Piece::Compute(Op::Fence, 0, 0, 0, 0)),
    ]
}

fn body() -> impl Strategy<Value = Vec<Piece>> {
    let some = || prop::collection::vec(simple(), 0..8);
    let branch = (op(|row| row.format == Format::B), rs(), rs(), some())
        .prop_map(|(op, rs1, rs2, skipped)| Piece::Branch(op, rs1, rs2, skipped));
    let repeat = (1..6u8, some()).prop_map(|(rounds, inner)| Piece::Repeat(rounds, inner));
    prop::collection::vec(prop_oneof![8 => simple(), 3 => branch, 1 => repeat], 1..120)
}

/// An offset that is a multiple of the access's size.
fn aligned(op: Op, at: i32) -> i32 {
    match op {
        Op::Lw | Op::Sw => at & !3,
        Op::Lh | Op::Lhu | Op::Sh => at & !1,
        _ => at,
    }
}

fn assemble(pieces: &[Piece], code: &mut Vec<u32>) {
    for piece in pieces {
        match piece {
            Piece::Compute(op, rd, rs1, rs2, imm) => code.push(word(*op, *rd, *rs1, *rs2, *imm)),
            Piece::Access(op, register, at) => code.push(word(*op, *register, POINTER, *register, aligned(*op, *at))),
            Piece::Scattered(op, register, from, to) => {
                code.push(word(Op::Andi, *to, *from, 0, 0x7fc));
                code.push(word(Op::Add, *to, *to, POINTER, 0));
                code.push(word(*op, *register, *to, *register, 0));
            }
            Piece::Branch(op, rs1, rs2, skipped) => {
                let mut inner = Vec::new();
                assemble(skipped, &mut inner);
                code.push(word(*op, 0, *rs1, *rs2, 4 + 4 * inner.len() as i32));
                code.extend(inner);
            }
            Piece::Jump(link) => code.extend([word(Op::Jal, *link, 0, 0, 8), 0]),
            Piece::Indirect(link, odd) => {
                code.extend([
                    word(Op::Auipc, *link, 0, 0, 0),
                    word(Op::Jalr, *link, *link, 0, 12 + i32::from(*odd)),
                    0,
                ]);
            }
            Piece::Repeat(rounds, pieces) => {
                let mut inner = Vec::new();
                assemble(pieces, &mut inner);
                code.push(word(Op::Addi, COUNTER, 0, 0, i32::from(*rounds)));
                code.extend(&inner);
                code.push(word(Op::Addi, COUNTER, COUNTER, 0, -1));
                code.push(word(Op::Bne, 0, COUNTER, 0, -4 * (inner.len() as i32 + 1)));
            }
        }
    }
}

fn constant(register: u8, value: u32, code: &mut Vec<u32>) {
    let low = (value as i32) << 20 >> 20;
    code.push(word(Op::Lui, register, 0, 0, value.wrapping_sub(low as u32) as i32));
    code.push(word(Op::Addi, register, register, 0, low));
}

/// Sets the registers, runs the body, stores the registers, and asks Linux to write the dump and exit. This machine has
/// no call 64, and so traps there, with the dump in memory.
fn whole(registers: &[u32], pieces: &[Piece]) -> Vec<u32> {
    let mut code = Vec::new();
    for (register, value) in (1..).zip(registers) {
        constant(register, *value, &mut code);
    }
    constant(POINTER, BASE, &mut code);
    assemble(pieces, &mut code);
    constant(POINTER, DUMP, &mut code);
    for register in 1..=30 {
        code.push(word(Op::Sw, 0, POINTER, register, 4 * (i32::from(register) - 1)));
    }
    constant(A0, 1, &mut code);
    constant(A1, DUMP, &mut code);
    constant(A2, DUMP_BYTES, &mut code);
    constant(A7, 64, &mut code);
    code.push(ECALL);
    constant(A0, 0, &mut code);
    constant(A7, 93, &mut code);
    code.push(ECALL);
    code
}

fn under_qemu(elf: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(&path)
        .unwrap();
    std::io::Write::write_all(&mut file, elf).unwrap();
    drop(file);
    let run = Command::new("qemu-riscv32")
        .arg(&path)
        .output()
        .unwrap_or_else(|error| {
            panic!("qemu-riscv32 did not start ({error}); this test needs it: install Debian's package qemu-user")
        });
    assert!(
        run.status.success(),
        "{}: {}",
        run.status,
        String::from_utf8_lossy(&run.stderr)
    );
    run.stdout
}

fn here(elf: &[u8]) -> Vec<u8> {
    let program = Program::from_elf(elf).unwrap();
    let mut machine = Machine::new(&program, keccak256(INPUT));
    assert_eq!(machine.run(1_000_000, &mut preimages()), Ok(Status::Trapped));
    assert_eq!(
        machine.outcome().trap(),
        Some(TrapCause::Syscall),
        "pc {:#x}",
        machine.pc()
    );
    machine.memory().copy(DUMP, DUMP_BYTES).unwrap()
}

/// Where two dumps first differ.
fn difference(theirs: &[u8], ours: &[u8]) -> Option<String> {
    if theirs.len() != ours.len() {
        return Some(format!("qemu wrote {} bytes, expected {}", theirs.len(), ours.len()));
    }
    let at = theirs.iter().zip(ours).position(|(theirs, ours)| theirs != ours)? / 4 * 4;
    let what = if at < REGISTERS {
        format!("x{}", at / 4 + 1)
    } else {
        format!("memory at {:#x}", DUMP as usize + at)
    };
    Some(format!(
        "{what}: {:02x?} under qemu, {:02x?} here",
        &theirs[at..at + 4],
        &ours[at..at + 4]
    ))
}

fn file(code: &[u32], scratch: &[u8]) -> Vec<u8> {
    let mut data = vec![0; (SCRATCH - DUMP) as usize];
    data.extend_from_slice(scratch);
    elf(
        &[
            (TEXT, &bytes(code), 4 * code.len() as u32, 5),
            (DUMP, &data, DUMP_BYTES, 6),
        ],
        TEXT,
    )
}

fn value() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0..40u32,
        (0..4u32).prop_map(|n| 0u32.wrapping_sub(n)),
        Just(0x8000_0000),
        Just(0x7fff_ffff)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn p3_random_programs_end_as_under_qemu(
        registers in prop::collection::vec(value(), 29),
        pieces in body(),
        scratch in prop::collection::vec(any::<u8>(), 4096),
    ) {
        let elf = file(&whole(&registers, &pieces), &scratch);
        let (theirs, ours) = (under_qemu(&elf), here(&elf));
        prop_assert_eq!(difference(&theirs, &ours), None);
    }
}

/// Every register instruction on every pair of corner values, in one program each.
#[test]
fn p3_arithmetic_corners_end_as_under_qemu() {
    let values = [
        0,
        1,
        2,
        31,
        32,
        33,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0001,
        0xffff_fffe,
        0xffff_ffff,
        0x1234_5678,
    ];
    for row in TABLE.iter().filter(|row| row.format == Format::R) {
        let mut code = Vec::new();
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                constant(5, *a, &mut code);
                constant(6, *b, &mut code);
                code.push(word(row.op, 7, 5, 6, 0));
                let at = 4 * (i * values.len() + j) as i32;
                code.push(word(Op::Sw, 0, POINTER, 7, at - 2048));
            }
        }
        // The same frame as above, with this body in the place of a no-operation.
        let framed = whole(&[0; 29], &[Piece::Compute(Op::Addi, 0, 0, 0, 0)]);
        let nop = framed.iter().position(|word| *word == NOP).unwrap();
        let code = [&framed[..nop], &code, &framed[nop..]].concat();
        let elf = file(&code, &[0; 4096]);
        assert_eq!(difference(&under_qemu(&elf), &here(&elf)), None, "{}", row.name);
    }
}
