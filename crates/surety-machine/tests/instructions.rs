//! Every instruction with its corner cases, expected values by hand or from 128-bit arithmetic.

mod support;

use proptest::prelude::*;
use support::*;
use surety_machine::{Op, Status, TrapCause};

const MIN: u32 = 0x8000_0000;
const MAX: u32 = 0x7fff_ffff;
const ONES: u32 = 0xffff_ffff;

#[test]
fn register_instructions() {
    use Op::*;
    #[rustfmt::skip]
    let cases = [
        (Add, ONES, 1, 0), (Add, MAX, 1, MIN), (Add, 3, 4, 7),
        (Sub, 0, 1, ONES), (Sub, MIN, 1, MAX), (Sub, 7, 4, 3),
        (Sll, 1, 31, MIN), (Sll, 1, 32, 1), (Sll, 1, 33, 2), (Sll, 3, ONES, MIN),
        (Srl, MIN, 31, 1), (Srl, MIN, 32, MIN), (Srl, ONES, 0xffff_ffe4, 0x0fff_ffff),
        (Sra, MIN, 31, ONES), (Sra, MIN, 32, MIN), (Sra, MAX, 30, 1), (Sra, 0xffff_ff00, 4, 0xffff_fff0),
        (Slt, MIN, MAX, 1), (Slt, MAX, MIN, 0), (Slt, 5, 5, 0), (Slt, ONES, 0, 1),
        (Sltu, MIN, MAX, 0), (Sltu, MAX, MIN, 1), (Sltu, 5, 5, 0), (Sltu, 0, ONES, 1),
        (Xor, 0xff00_ff00, 0x0ff0_0ff0, 0xf0f0_f0f0), (Or, 0xff00_0000, 0xff, 0xff00_00ff), (And, 0xff0f, 0x0fff, 0x0f0f),
        (Mul, ONES, ONES, 1), (Mul, 0x1_0000, 0x1_0000, 0), (Mul, MIN, ONES, MIN), (Mul, 7, 6, 42),
        (Mulh, ONES, ONES, 0), (Mulh, MIN, MIN, 0x4000_0000), (Mulh, MIN, MAX, 0xc000_0000), (Mulh, ONES, 1, ONES), (Mulh, MIN, ONES, 0),
        (Mulhsu, ONES, ONES, ONES), (Mulhsu, MIN, ONES, MIN), (Mulhsu, 1, ONES, 0), (Mulhsu, MAX, ONES, 0x7fff_fffe), (Mulhsu, ONES, 1, ONES),
        (Mulhu, ONES, ONES, 0xffff_fffe), (Mulhu, MIN, MIN, 0x4000_0000), (Mulhu, ONES, 1, 0),
        (Div, 7, 2, 3), (Div, 0xffff_fff9, 2, 0xffff_fffd), (Div, 7, 0, ONES), (Div, MIN, 0, ONES), (Div, MIN, ONES, MIN), (Div, MIN, 1, MIN), (Div, 0, 0, ONES),
        (Divu, 7, 2, 3), (Divu, 7, 0, ONES), (Divu, 0, 0, ONES), (Divu, MIN, ONES, 0), (Divu, ONES, MIN, 1),
        (Rem, 7, 2, 1), (Rem, 0xffff_fff9, 2, ONES), (Rem, 7, 0xffff_fffe, 1), (Rem, 7, 0, 7), (Rem, MIN, 0, MIN), (Rem, MIN, ONES, 0),
        (Remu, 7, 2, 1), (Remu, 7, 0, 7), (Remu, MIN, ONES, MIN), (Remu, ONES, 16, 15),
    ];
    for (op, a, b, expected) in cases {
        let name = op.instruction().name;
        let machine = one(word(op, 5, 6, 7, 0), &[(6, a), (7, b)]);
        assert_eq!(machine.registers()[5], expected, "{name} {a:#x}, {b:#x}");
        assert_eq!(
            (machine.pc(), machine.registers()[6], machine.registers()[7]),
            (4, a, b),
            "{name}"
        );
        // Onto either operand.
        assert_eq!(
            one(word(op, 6, 6, 7, 0), &[(6, a), (7, b)]).registers()[6],
            expected,
            "{name}"
        );
        assert_eq!(
            one(word(op, 7, 6, 7, 0), &[(6, a), (7, b)]).registers()[7],
            expected,
            "{name}"
        );
        // To x0.
        assert_eq!(one(word(op, 0, 6, 7, 0), &[(6, a), (7, b)]).registers()[0], 0, "{name}");
    }
}

#[test]
fn immediate_instructions() {
    use Op::*;
    #[rustfmt::skip]
    let cases = [
        (Addi, ONES, 1, 0), (Addi, 0, -2048, 0xffff_f800), (Addi, 1, 2047, 2048),
        (Slti, MIN, -2048, 1), (Slti, 0, -1, 0), (Slti, 5, 5, 0), (Slti, ONES, 0, 1),
        (Sltiu, 0, -1, 1), (Sltiu, ONES, -1, 0), (Sltiu, 0, 1, 1), (Sltiu, MAX, -2048, 1),
        (Xori, 0x0f0f_0f0f, -1, 0xf0f0_f0f0), (Ori, 0x1000, -2048, 0xffff_f800), (Andi, ONES, 0x7ff, 0x7ff), (Andi, ONES, -2048, 0xffff_f800),
        (Slli, 1, 31, MIN), (Slli, 3, 0, 3), (Srli, MIN, 31, 1), (Srli, ONES, 4, 0x0fff_ffff), (Srai, MIN, 31, ONES), (Srai, MAX, 30, 1),
    ];
    for (op, a, imm, expected) in cases {
        let name = op.instruction().name;
        assert_eq!(
            one(word(op, 5, 6, 0, imm), &[(6, a)]).registers()[5],
            expected,
            "{name} {a:#x}, {imm}"
        );
        assert_eq!(
            one(word(op, 6, 6, 0, imm), &[(6, a)]).registers()[6],
            expected,
            "{name} {a:#x}, {imm}"
        );
        assert_eq!(one(word(op, 0, 6, 0, imm), &[(6, a)]).registers()[0], 0, "{name}");
    }
    assert_eq!(one(word(Lui, 5, 0, 0, MIN as i32), &[]).registers()[5], MIN);
    let mut at_the_top = machine(&[NOP, word(Auipc, 5, 0, 0, 0xffff_f000u32 as i32)], &[]);
    at_the_top.set_pc(4);
    checked_step(&mut at_the_top, &mut preimages()).unwrap();
    assert_eq!(at_the_top.registers()[5], 0xffff_f004);
}

#[test]
fn branches() {
    use Op::*;
    let pairs = [(0, 0), (1, 2), (2, 1), (ONES, 1), (1, ONES), (MIN, MAX), (MAX, MIN)];
    type Taken = fn(i64, i64, u32, u32) -> bool;
    let taken: [(Op, Taken); 6] = [
        (Beq, |a, b, _, _| a == b),
        (Bne, |a, b, _, _| a != b),
        (Blt, |a, b, _, _| a < b),
        (Bge, |a, b, _, _| a >= b),
        (Bltu, |_, _, a, b| a < b),
        (Bgeu, |_, _, a, b| a >= b),
    ];
    for (op, taken) in taken {
        for (a, b) in pairs {
            let taken = taken(i64::from(a as i32), i64::from(b as i32), a, b);
            for imm in [-4096, -4, 0, 8, 4092] {
                let machine = one(word(op, 0, 6, 7, imm), &[(6, a), (7, b)]);
                let expected = if taken { imm as u32 } else { 4 };
                assert_eq!(
                    machine.pc(),
                    expected,
                    "{} {a:#x}, {b:#x}, {imm}",
                    op.instruction().name
                );
            }
            let mut misaligned = machine(&[word(op, 0, 6, 7, 6)], &[(6, a), (7, b)]);
            if taken {
                assert_traps(&mut misaligned, TrapCause::JumpMisaligned);
            } else {
                checked_step(&mut misaligned, &mut preimages()).unwrap();
                assert_eq!((misaligned.pc(), misaligned.status()), (4, Status::Running));
            }
        }
    }
}

#[test]
fn jumps() {
    for imm in [-(1 << 20), -4, 0, 4, 0x800, (1 << 20) - 4] {
        let machine = one(word(Op::Jal, 1, 0, 0, imm), &[]);
        assert_eq!((machine.pc(), machine.registers()[1]), (imm as u32, 4));
    }
    let to = |rs1: u32, imm| one(word(Op::Jalr, 1, 6, 0, imm), &[(6, rs1)]);
    for (rs1, imm, target) in [
        (0x100, 4, 0x104),
        (0x101, 0, 0x100),
        (0x100, 1, 0x100),
        (0, -4, 0xffff_fffc),
        (0xffff_fffc, 8, 4),
    ] {
        assert_eq!((to(rs1, imm).pc(), to(rs1, imm).registers()[1]), (target, 4));
    }
    // The target is computed before the link is written.
    assert_eq!(one(word(Op::Jalr, 6, 6, 0, 0), &[(6, 0x40)]).pc(), 0x40);
    assert_eq!(one(word(Op::Jalr, 0, 6, 0, 0), &[(6, 0x40)]).registers()[0], 0);
    assert_eq!(one(word(Op::Jal, 0, 0, 0, 8), &[]).registers()[0], 0);
}

#[test]
fn loads_and_stores() {
    use Op::*;
    let fill: Vec<u8> = (0..64u8).map(|i| i.wrapping_mul(67) ^ 0x80).collect();
    let filled = |code: &[u32], registers: &[(u8, u32)]| {
        let mut machine = machine(code, registers);
        machine.memory().put(DATA, &fill).unwrap();
        machine
    };
    for at in 0..32u32 {
        let bytes: [u8; 4] = std::array::from_fn(|i| fill[at as usize + i]);
        let half = u16::from_le_bytes([bytes[0], bytes[1]]);
        let loads = [
            (Lb, 1, bytes[0] as i8 as u32),
            (Lbu, 1, u32::from(bytes[0])),
            (Lh, 2, half as i16 as u32),
            (Lhu, 2, u32::from(half)),
            (Lw, 4, u32::from_le_bytes(bytes)),
        ];
        for (op, size, expected) in loads {
            // By a positive and a negative offset.
            for (base, imm) in [(DATA, at as i32), (DATA + 2047, at as i32 - 2047)] {
                let mut machine = filled(&[word(op, 5, 6, 0, imm)], &[(6, base), (5, 99)]);
                if at % size == 0 {
                    checked_step(&mut machine, &mut preimages()).unwrap();
                    assert_eq!(machine.registers()[5], expected, "{} at {at}", op.instruction().name);
                } else {
                    assert_traps(&mut machine, TrapCause::LoadMisaligned);
                }
            }
        }
        for (op, size) in [(Sb, 1), (Sh, 2), (Sw, 4)] {
            let mut machine = filled(&[word(op, 0, 6, 7, at as i32)], &[(6, DATA), (7, 0x1234_5678)]);
            if at % size == 0 {
                checked_step(&mut machine, &mut preimages()).unwrap();
                let mut expected = fill.clone();
                let size = size as usize;
                expected[at as usize..at as usize + size].copy_from_slice(&0x1234_5678u32.to_le_bytes()[..size]);
                assert_eq!(
                    machine.memory().copy(DATA, 64).unwrap(),
                    expected,
                    "{} at {at}",
                    op.instruction().name
                );
            } else {
                assert_traps(&mut machine, TrapCause::StoreMisaligned);
            }
        }
    }
    let zero = filled(&[word(Lw, 0, 6, 0, 0)], &[(6, DATA)]);
    let mut zero = zero;
    checked_step(&mut zero, &mut preimages()).unwrap();
    assert_eq!(zero.registers()[0], 0);
}

#[test]
fn fences_do_nothing() {
    for fence in [0x0ff0_000f, 0x8330_000f, 0x0100_000f, 0xffff_8f8f] {
        let machine = one(fence, &[(31, 5)]);
        assert_eq!(
            (machine.pc(), machine.registers()[31], machine.status()),
            (4, 5, Status::Running)
        );
    }
}

proptest! {
    /// The wide products and the divisions against 128-bit arithmetic.
    #[test]
    fn multiplication_and_division(a: u32, b in prop_oneof![any::<u32>(), 0..3u32, Just(ONES), Just(MIN)]) {
        use Op::*;
        let (sa, sb, ua, ub) = (i128::from(a as i32), i128::from(b as i32), i128::from(a), i128::from(b));
        let quotient = |x: i128, y: i128, by_zero: i128| if y == 0 { by_zero } else { x / y };
        let rest = |x: i128, y: i128| if y == 0 { x } else { x % y };
        for (op, expected) in [
            (Mul, sa * sb),
            (Mulh, (sa * sb) >> 32),
            (Mulhsu, (sa * ub) >> 32),
            (Mulhu, (ua * ub) >> 32),
            (Div, quotient(sa, sb, -1)),
            (Divu, quotient(ua, ub, -1)),
            (Rem, rest(sa, sb)),
            (Remu, rest(ua, ub)),
        ] {
            let mut machine = machine(&[word(op, 5, 6, 7, 0)], &[(6, a), (7, b)]);
            machine.run(1, &mut preimages()).unwrap();
            prop_assert_eq!(machine.registers()[5], expected as u32, "{}", op.instruction().name);
        }
    }
}
