//! Operand formats, and the decoder, encoder and disassembler that follow from them and the table.

use crate::isa::{Instruction, Op, TABLE};
use core::fmt;

/// Where an instruction's operands lie, and how an assembler writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// rd, rs1, rs2.
    R,
    /// rd, rs1, imm: 12 bits, sign-extended.
    I,
    /// rd, imm(rs1): as `I`, written as an address.
    Offset,
    /// rd, rs1, shamt: 5 bits.
    Shift,
    /// rs2, imm(rs1): 12 bits, sign-extended.
    S,
    /// rs1, rs2, imm: 13 bits, even, sign-extended, relative to `pc`.
    B,
    /// rd, imm: the upper 20 bits.
    U,
    /// rd, imm: 21 bits, even, sign-extended, relative to `pc`.
    J,
    /// No operands.
    None,
}

impl Format {
    /// The immediate in `word`, sign-extended; zero where the format has none.
    const fn immediate(self, word: u32) -> u32 {
        // Arithmetic shifts carry the word's bit 31, the sign of every immediate, down.
        let signed = word as i32;
        match self {
            Format::R | Format::None => 0,
            Format::I | Format::Offset => (signed >> 20) as u32,
            Format::Shift => (word >> 20) & 0x1f,
            Format::S => ((signed >> 25) << 5) as u32 | (word >> 7) & 0x1f,
            Format::B => {
                ((signed >> 31) << 12) as u32 | (word << 4) & 0x800 | (word >> 20) & 0x7e0 | (word >> 7) & 0x1e
            }
            Format::U => word & 0xffff_f000,
            Format::J => ((signed >> 31) << 20) as u32 | word & 0xf_f000 | (word >> 9) & 0x800 | (word >> 20) & 0x7fe,
        }
    }

    /// Whether the second operand is a register.
    pub(crate) const fn has_rs2(self) -> bool {
        self.registers().2
    }

    /// Which of rd, rs1, rs2 the format has.
    const fn registers(self) -> (bool, bool, bool) {
        match self {
            Format::R => (true, true, true),
            Format::I | Format::Offset | Format::Shift => (true, true, false),
            Format::S | Format::B => (false, true, true),
            Format::U | Format::J => (true, false, false),
            Format::None => (false, false, false),
        }
    }
}

/// A decoded instruction. A register the format does not have is 0, and so is an immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The operation.
    pub op: Op,
    /// Destination register, 0 to 31.
    pub rd: u8,
    /// First source register, 0 to 31.
    pub rs1: u8,
    /// Second source register, 0 to 31.
    pub rs2: u8,
    /// The immediate, sign-extended.
    pub imm: u32,
}

/// Decodes an instruction word; `None` if the machine has no such instruction.
///
/// ```
/// let nop = surety_machine::decode(0x0000_0013).unwrap();
/// assert_eq!(nop.to_string(), "addi zero, zero, 0");
/// assert!(surety_machine::decode(0).is_none());
/// ```
#[must_use]
pub fn decode(word: u32) -> Option<Decoded> {
    TABLE.iter().find(|row| word & row.mask == row.value).map(|row| {
        let (rd, rs1, rs2) = row.format.registers();
        let field = |present: bool, low: u32| if present { (word >> low) as u8 & 0x1f } else { 0 };
        Decoded {
            op: row.op,
            rd: field(rd, 7),
            rs1: field(rs1, 15),
            rs2: field(rs2, 20),
            imm: row.format.immediate(word),
        }
    })
}

impl Decoded {
    /// The operation's row of the table.
    #[must_use]
    pub const fn instruction(&self) -> &'static Instruction {
        self.op.instruction()
    }

    /// The instruction word. Operands the format does not have are ignored, and the immediate is cut to the format's bits.
    #[must_use]
    pub const fn encode(&self) -> u32 {
        let row = self.instruction();
        let (has_rd, has_rs1, has_rs2) = row.format.registers();
        let mut word = row.value;
        if has_rd {
            word |= (self.rd as u32 & 0x1f) << 7;
        }
        if has_rs1 {
            word |= (self.rs1 as u32 & 0x1f) << 15;
        }
        if has_rs2 {
            word |= (self.rs2 as u32 & 0x1f) << 20;
        }
        let imm = self.imm;
        word | match row.format {
            Format::R | Format::None => 0,
            Format::I | Format::Offset => imm << 20,
            Format::Shift => (imm & 0x1f) << 20,
            Format::S => (imm & 0xfe0) << 20 | (imm & 0x1f) << 7,
            Format::B => (imm & 0x1000) << 19 | (imm & 0x7e0) << 20 | (imm & 0x1e) << 7 | (imm & 0x800) >> 4,
            Format::U => imm & 0xffff_f000,
            Format::J => (imm & 0x10_0000) << 11 | (imm & 0x7fe) << 20 | (imm & 0x800) << 9 | imm & 0xf_f000,
        }
    }
}

/// The registers' names in the RISC-V calling convention, by number.
pub const REGISTERS: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2",
    "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
];

impl fmt::Display for Decoded {
    /// The instruction in assembler syntax; branch and jump targets are written relative to `pc`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |register: u8| REGISTERS[usize::from(register & 31)];
        let (rd, rs1, rs2, imm) = (name(self.rd), name(self.rs1), name(self.rs2), self.imm as i32);
        let row = self.instruction();
        match row.format {
            Format::R => write!(f, "{} {rd}, {rs1}, {rs2}", row.name),
            Format::I | Format::Shift => write!(f, "{} {rd}, {rs1}, {imm}", row.name),
            Format::Offset => write!(f, "{} {rd}, {imm}({rs1})", row.name),
            Format::S => write!(f, "{} {rs2}, {imm}({rs1})", row.name),
            Format::B => write!(f, "{} {rs1}, {rs2}, {imm:+}", row.name),
            Format::U => write!(f, "{} {rd}, {:#x}", row.name, self.imm >> 12),
            Format::J => write!(f, "{} {rd}, {imm:+}", row.name),
            Format::None => f.write_str(row.name),
        }
    }
}
