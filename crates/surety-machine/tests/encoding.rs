//! The table against an independent decoder, written from the manual's opcode maps.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use proptest::prelude::*;
use surety_machine::{Decoded, Format, Op, TABLE, decode};

/// Tables 24.1 ff. of the manual: mnemonic by opcode, funct3, funct7.
fn expected(word: u32) -> Option<&'static str> {
    let (opcode, funct3, funct7) = (word & 0x7f, word >> 12 & 7, word >> 25);
    Some(match (opcode, funct3, funct7) {
        (0x37, ..) => "lui",
        (0x17, ..) => "auipc",
        (0x6f, ..) => "jal",
        (0x67, 0, _) => "jalr",
        (0x63, n, _) => ["beq", "bne", "", "", "blt", "bge", "bltu", "bgeu"][n as usize],
        (0x03, n, _) => ["lb", "lh", "lw", "", "lbu", "lhu", "", ""][n as usize],
        (0x23, n, _) => ["sb", "sh", "sw", "", "", "", "", ""][n as usize],
        (0x13, 1, 0) => "slli",
        (0x13, 5, 0) => "srli",
        (0x13, 5, 0x20) => "srai",
        (0x13, 1 | 5, _) => "",
        (0x13, n, _) => ["addi", "", "slti", "sltiu", "xori", "", "ori", "andi"][n as usize],
        (0x33, n, 0) => ["add", "sll", "slt", "sltu", "xor", "srl", "or", "and"][n as usize],
        (0x33, 0, 0x20) => "sub",
        (0x33, 5, 0x20) => "sra",
        (0x33, n, 1) => ["mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu"][n as usize],
        (0x0f, 0, _) => "fence",
        (0x73, 0, 0) if word == 0x73 => "ecall",
        _ => "",
    })
    .filter(|name| !name.is_empty())
}

#[test]
fn every_opcode_funct3_and_funct7_decodes_as_in_the_manual() {
    for fields in 0..1u32 << 17 {
        let (opcode, funct3, funct7) = (fields & 0x7f, fields >> 7 & 7, fields >> 10);
        for rest in [0, 0x000f_8f80, 0x0015_0500, 0x01ff_8f80] {
            let word = opcode | funct3 << 12 | funct7 << 25 | rest & 0x01ff_8f80;
            assert_eq!(
                decode(word).map(|found| found.instruction().name),
                expected(word),
                "{word:#010x}"
            );
        }
    }
}

#[test]
fn no_word_is_two_instructions() {
    for (i, a) in TABLE.iter().enumerate() {
        assert_eq!(a.value & !a.mask, 0, "{}", a.name);
        assert_eq!(a.op as usize, i);
        for b in &TABLE[..i] {
            assert_ne!(
                a.value & a.mask & b.mask,
                b.value & a.mask & b.mask,
                "{} and {}",
                a.name,
                b.name
            );
        }
    }
}

#[test]
fn compressed_code_and_the_wider_opcode_map_are_illegal() {
    for low in 0..0x1_0000u32 {
        for high in [0, 0x0010, 0x4000, 0xffff] {
            if low & 3 != 3 {
                assert_eq!(decode(high << 16 | low), None);
            }
        }
    }
}

#[test]
fn known_encodings() {
    // From the GNU assembler, 2.40.
    for (word, text) in [
        (0xfff4_0413, "addi s0, s0, -1"),
        (0x0000_50b7, "lui ra, 0x5"),
        (0xffff_f517, "auipc a0, 0xfffff"),
        (0x8000_00ef, "jal ra, -1048576"),
        (0x7fff_f06f, "jal zero, +1048574"),
        (0xff5f_f0ef, "jal ra, -12"),
        (0x0020_80e7, "jalr ra, 2(ra)"),
        (0xfe52_8ee3, "beq t0, t0, -4"),
        (0x7e00_0fe3, "beq zero, zero, +4094"),
        (0x8062_9063, "bne t0, t1, -4096"),
        (0xffc1_2283, "lw t0, -4(sp)"),
        (0xfe51_2e23, "sw t0, -4(sp)"),
        (0x7e51_2fa3, "sw t0, 2047(sp)"),
        (0x41f5_5513, "srai a0, a0, 31"),
        (0x03f5_7533, "remu a0, a0, t6"),
        (0x0ff0_000f, "fence"),
        (0x0000_0073, "ecall"),
    ] {
        let decoded = decode(word).unwrap();
        assert_eq!(decoded.to_string(), text);
        if decoded.op != Op::Fence {
            assert_eq!(decoded.encode(), word, "{text}");
        }
    }
}

proptest! {
    /// What the encoder makes, the decoder reads; operands the format lacks read as zero.
    #[test]
    fn encoding_round_trips(op in 0..TABLE.len(), rd in 0..32u8, rs1 in 0..32u8, rs2 in 0..32u8, imm: i32) {
        let row = &TABLE[op];
        let (d, s, t, i) = match row.format {
            Format::R => (rd, rs1, rs2, 0),
            Format::I | Format::Offset => (rd, rs1, 0, imm << 20 >> 20),
            Format::Shift => (rd, rs1, 0, imm & 31),
            Format::S => (0, rs1, rs2, imm << 20 >> 20),
            Format::B => (0, rs1, rs2, imm << 19 >> 19 & !1),
            Format::U => (rd, 0, 0, imm & !0xfff),
            Format::J => (rd, 0, 0, imm << 11 >> 11 & !1),
            Format::None => (0, 0, 0, 0),
        };
        let expected = Decoded { op: row.op, rd: d, rs1: s, rs2: t, imm: i as u32 };
        let word = Decoded { op: row.op, rd, rs1, rs2, imm: imm as u32 }.encode();
        prop_assert_eq!(decode(word), Some(expected));
        prop_assert!(expected.to_string().starts_with(row.name));
    }
}
