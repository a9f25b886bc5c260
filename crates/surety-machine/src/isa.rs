//! The instruction table.
//!
//! [`TABLE`] is the one definition of every instruction. The decoder, the interpreter, the witness verifier, the
//! disassembler, the encoder and the table in `docs/spec/machine.md` all follow from it.
//!
//! Source of encodings and semantics: The RISC-V Instruction Set Manual, Volume I (20240411), chapters RV32I and "M".

use crate::encoding::Format;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    /// The operation.
    pub op: Op,
    /// Assembler mnemonic.
    pub name: &'static str,
    /// Where the operands lie in the word, and how they are written.
    pub format: Format,
    /// The bits of the word that select this instruction.
    pub mask: u32,
    /// What those bits must be.
    pub value: u32,
    /// What it does.
    pub effect: Effect,
    /// The effect in words, as in the specification.
    pub text: &'static str,
}

/// What an instruction does. `a` is the value of rs1; `b` that of rs2, or the immediate in formats without an rs2.
///
/// Unless it says otherwise, `pc` becomes `pc + 4`.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// rd = f(a, b, pc).
    Set(fn(u32, u32, u32) -> u32),
    /// If f(a, b), `pc` becomes `pc + imm`.
    Branch(fn(u32, u32) -> bool),
    /// rd = pc + 4, and `pc` becomes f(a, imm, pc).
    Jump(fn(u32, u32, u32) -> u32),
    /// rd = f(the bytes at a + imm, little-endian and zero-extended).
    Load(Width, fn(u32) -> u32),
    /// The low bytes of rs2 go to a + imm.
    Store(Width),
    /// Nothing.
    Nothing,
    /// A system call.
    Call,
}

/// Size of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    Byte = 1,
    /// Two bytes.
    Half = 2,
    /// Four bytes.
    Word = 4,
}

/// Something made for each operation at compile time; see [`Op::visit`].
pub(crate) trait Visit {
    /// What it gives back.
    type Output;
    /// Called with the operation's index in [`TABLE`].
    fn visit<const OP: usize>(self) -> Self::Output;
}

macro_rules! instructions {
    ($($op:ident $name:literal $format:ident $mask:literal $value:literal $effect:expr, $text:literal;)*) => {
        /// An operation: the name of a row of [`TABLE`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Op {
            $(#[doc = concat!("`", $name, "`: ", $text)] $op,)*
        }

        /// Every instruction of the machine. A word that matches no row is illegal.
        pub const TABLE: [Instruction; [$(Op::$op),*].len()] = {
            use Effect::*;
            use Width::*;
            [$(Instruction {
                op: Op::$op,
                name: $name,
                format: Format::$format,
                mask: $mask,
                value: $value,
                effect: $effect,
                text: $text,
            },)*]
        };

        impl Op {
            /// Calls the visitor with the operation as a constant, so that what it does is compiled for each one.
            #[inline(always)]
            pub(crate) fn visit<V: Visit>(self, visitor: V) -> V::Output {
                match self {
                    $(Op::$op => visitor.visit::<{ Op::$op as usize }>(),)*
                }
            }
        }
    };
}

impl Op {
    /// The operation's row.
    #[inline]
    #[must_use]
    pub const fn instruction(self) -> &'static Instruction {
        &TABLE[self as usize]
    }
}

/// Sign-extended to 64 bits, so that a product can be shifted down to its high half.
const fn signed(x: u32) -> i64 {
    x as i32 as i64
}

instructions! {
    // op   name     format mask        value       effect
    Lui    "lui"    U      0x0000_007f 0x0000_0037 Set(|_, b, _| b), "rd = imm";
    Auipc  "auipc"  U      0x0000_007f 0x0000_0017 Set(|_, b, pc| pc.wrapping_add(b)), "rd = pc + imm";
    Jal    "jal"    J      0x0000_007f 0x0000_006f Jump(|_, imm, pc| pc.wrapping_add(imm)), "rd = pc + 4; pc = pc + imm";
    Jalr   "jalr"   Offset 0x0000_707f 0x0000_0067 Jump(|a, imm, _| a.wrapping_add(imm) & !1), "rd = pc + 4; pc = (rs1 + imm) with bit 0 clear";
    Beq    "beq"    B      0x0000_707f 0x0000_0063 Branch(|a, b| a == b), "if rs1 = rs2: pc = pc + imm";
    Bne    "bne"    B      0x0000_707f 0x0000_1063 Branch(|a, b| a != b), "if rs1 ≠ rs2: pc = pc + imm";
    Blt    "blt"    B      0x0000_707f 0x0000_4063 Branch(|a, b| (a as i32) < b as i32), "if rs1 < rs2, signed: pc = pc + imm";
    Bge    "bge"    B      0x0000_707f 0x0000_5063 Branch(|a, b| a as i32 >= b as i32), "if rs1 ≥ rs2, signed: pc = pc + imm";
    Bltu   "bltu"   B      0x0000_707f 0x0000_6063 Branch(|a, b| a < b), "if rs1 < rs2, unsigned: pc = pc + imm";
    Bgeu   "bgeu"   B      0x0000_707f 0x0000_7063 Branch(|a, b| a >= b), "if rs1 ≥ rs2, unsigned: pc = pc + imm";
    Lb     "lb"     Offset 0x0000_707f 0x0000_0003 Load(Byte, |v| v as u8 as i8 as u32), "rd = byte at rs1 + imm, sign-extended";
    Lh     "lh"     Offset 0x0000_707f 0x0000_1003 Load(Half, |v| v as u16 as i16 as u32), "rd = 2 bytes at rs1 + imm, sign-extended";
    Lw     "lw"     Offset 0x0000_707f 0x0000_2003 Load(Word, |v| v), "rd = 4 bytes at rs1 + imm";
    Lbu    "lbu"    Offset 0x0000_707f 0x0000_4003 Load(Byte, |v| v), "rd = byte at rs1 + imm, zero-extended";
    Lhu    "lhu"    Offset 0x0000_707f 0x0000_5003 Load(Half, |v| v), "rd = 2 bytes at rs1 + imm, zero-extended";
    Sb     "sb"     S      0x0000_707f 0x0000_0023 Store(Byte), "byte at rs1 + imm = low byte of rs2";
    Sh     "sh"     S      0x0000_707f 0x0000_1023 Store(Half), "2 bytes at rs1 + imm = low half of rs2";
    Sw     "sw"     S      0x0000_707f 0x0000_2023 Store(Word), "4 bytes at rs1 + imm = rs2";
    Addi   "addi"   I      0x0000_707f 0x0000_0013 Set(|a, b, _| a.wrapping_add(b)), "rd = rs1 + imm";
    Slti   "slti"   I      0x0000_707f 0x0000_2013 Set(|a, b, _| ((a as i32) < b as i32) as u32), "rd = 1 if rs1 < imm, signed; else 0";
    Sltiu  "sltiu"  I      0x0000_707f 0x0000_3013 Set(|a, b, _| (a < b) as u32), "rd = 1 if rs1 < imm, unsigned; else 0";
    Xori   "xori"   I      0x0000_707f 0x0000_4013 Set(|a, b, _| a ^ b), "rd = rs1 xor imm";
    Ori    "ori"    I      0x0000_707f 0x0000_6013 Set(|a, b, _| a | b), "rd = rs1 or imm";
    Andi   "andi"   I      0x0000_707f 0x0000_7013 Set(|a, b, _| a & b), "rd = rs1 and imm";
    Slli   "slli"   Shift  0xfe00_707f 0x0000_1013 Set(|a, b, _| a << (b & 31)), "rd = rs1 << shamt";
    Srli   "srli"   Shift  0xfe00_707f 0x0000_5013 Set(|a, b, _| a >> (b & 31)), "rd = rs1 >> shamt, zeros in";
    Srai   "srai"   Shift  0xfe00_707f 0x4000_5013 Set(|a, b, _| ((a as i32) >> (b & 31)) as u32), "rd = rs1 >> shamt, sign in";
    Add    "add"    R      0xfe00_707f 0x0000_0033 Set(|a, b, _| a.wrapping_add(b)), "rd = rs1 + rs2";
    Sub    "sub"    R      0xfe00_707f 0x4000_0033 Set(|a, b, _| a.wrapping_sub(b)), "rd = rs1 - rs2";
    Sll    "sll"    R      0xfe00_707f 0x0000_1033 Set(|a, b, _| a << (b & 31)), "rd = rs1 << (rs2 mod 32)";
    Slt    "slt"    R      0xfe00_707f 0x0000_2033 Set(|a, b, _| ((a as i32) < b as i32) as u32), "rd = 1 if rs1 < rs2, signed; else 0";
    Sltu   "sltu"   R      0xfe00_707f 0x0000_3033 Set(|a, b, _| (a < b) as u32), "rd = 1 if rs1 < rs2, unsigned; else 0";
    Xor    "xor"    R      0xfe00_707f 0x0000_4033 Set(|a, b, _| a ^ b), "rd = rs1 xor rs2";
    Srl    "srl"    R      0xfe00_707f 0x0000_5033 Set(|a, b, _| a >> (b & 31)), "rd = rs1 >> (rs2 mod 32), zeros in";
    Sra    "sra"    R      0xfe00_707f 0x4000_5033 Set(|a, b, _| ((a as i32) >> (b & 31)) as u32), "rd = rs1 >> (rs2 mod 32), sign in";
    Or     "or"     R      0xfe00_707f 0x0000_6033 Set(|a, b, _| a | b), "rd = rs1 or rs2";
    And    "and"    R      0xfe00_707f 0x0000_7033 Set(|a, b, _| a & b), "rd = rs1 and rs2";
    Mul    "mul"    R      0xfe00_707f 0x0200_0033 Set(|a, b, _| a.wrapping_mul(b)), "rd = low 32 bits of rs1 × rs2";
    Mulh   "mulh"   R      0xfe00_707f 0x0200_1033 Set(|a, b, _| (signed(a).wrapping_mul(signed(b)) >> 32) as u32), "rd = high 32 bits of rs1 × rs2, both signed";
    Mulhsu "mulhsu" R      0xfe00_707f 0x0200_2033 Set(|a, b, _| (signed(a).wrapping_mul(b as i64) >> 32) as u32), "rd = high 32 bits of rs1 (signed) × rs2 (unsigned)";
    Mulhu  "mulhu"  R      0xfe00_707f 0x0200_3033 Set(|a, b, _| ((a as u64).wrapping_mul(b as u64) >> 32) as u32), "rd = high 32 bits of rs1 × rs2, both unsigned";
    Div    "div"    R      0xfe00_707f 0x0200_4033 Set(|a, b, _| if b == 0 { u32::MAX } else { (a as i32).wrapping_div(b as i32) as u32 }), "rd = rs1 / rs2, signed, towards zero";
    Divu   "divu"   R      0xfe00_707f 0x0200_5033 Set(|a, b, _| a.checked_div(b).unwrap_or(u32::MAX)), "rd = rs1 / rs2, unsigned";
    Rem    "rem"    R      0xfe00_707f 0x0200_6033 Set(|a, b, _| if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 }), "rd = rs1 - rs2 × (rs1 / rs2), signed";
    Remu   "remu"   R      0xfe00_707f 0x0200_7033 Set(|a, b, _| a.checked_rem(b).unwrap_or(a)), "rd = rs1 mod rs2, unsigned";
    Fence  "fence"  None   0x0000_707f 0x0000_000f Nothing, "nothing";
    Ecall  "ecall"  None   0xffff_ffff 0x0000_0073 Call, "system call (section 6)";
}
