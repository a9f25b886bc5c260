//! The few x86-64 instructions that translated code is made of.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. Everything is 32 bits wide unless a
//! name says otherwise; writing a 32-bit register clears its upper half.

/// A host register, by its number.
pub(super) type Reg = u8;

pub(super) const RAX: Reg = 0;
pub(super) const RCX: Reg = 1;
pub(super) const RDX: Reg = 2;
pub(super) const RBX: Reg = 3;
pub(super) const RSP: Reg = 4;
pub(super) const RBP: Reg = 5;
pub(super) const RSI: Reg = 6;
pub(super) const RDI: Reg = 7;
pub(super) const R8: Reg = 8;
pub(super) const R9: Reg = 9;
pub(super) const R10: Reg = 10;
pub(super) const R11: Reg = 11;
pub(super) const R12: Reg = 12;
pub(super) const R13: Reg = 13;
/// The guest's address 0.
pub(super) const MEMORY: Reg = 14;
/// Steps left.
pub(super) const STEPS: Reg = 15;

/// Two-operand arithmetic, by the number in its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    /// Add, and what was carried.
    AddCarry = 2,
    /// Subtract, and what was borrowed.
    SubBorrow = 3,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts, by the number in their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Shift {
    Left = 4,
    Right = 5,
    Arithmetic = 7,
}

/// Arithmetic on numbers of 32 bits with a point, by the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Float {
    Root = 0x51,
    Add = 0x58,
    Multiply = 0x59,
    Sub = 0x5c,
    Divide = 0x5e,
}

/// Conditions, by the number in their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Condition {
    Below = 2,
    NotBelow = 3,
    Equal = 4,
    NotEqual = 5,
    Negative = 8,
    NotNegative = 9,
    Unordered = 10,
    Ordered = 11,
    Less = 12,
    NotLess = 13,
    NotGreater = 14,
    Greater = 15,
}

impl Condition {
    /// The one that holds when this does not.
    pub(super) fn not(self) -> Self {
        match self {
            Condition::Below => Condition::NotBelow,
            Condition::NotBelow => Condition::Below,
            Condition::Equal => Condition::NotEqual,
            Condition::NotEqual => Condition::Equal,
            Condition::Negative => Condition::NotNegative,
            Condition::NotNegative => Condition::Negative,
            Condition::Unordered => Condition::Ordered,
            Condition::Ordered => Condition::Unordered,
            Condition::Less => Condition::NotLess,
            Condition::NotLess => Condition::Less,
            Condition::NotGreater => Condition::Greater,
            Condition::Greater => Condition::NotGreater,
        }
    }
}

/// The second operand of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Reg(Reg),
    /// In the frame, at this distance from the stack pointer.
    Frame(i32),
    /// In guest memory: at index + displacement.
    Guest(Option<Reg>, i32),
    /// In the context, at this distance from the register that has its address.
    Context(Reg, i32),
    /// Beside the code: at this offset from it.
    Beside(i64),
}

/// How wide an instruction's operands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// 32 bits.
    Plain,
    /// 64 bits.
    Wide,
    /// 16 bits.
    Half,
    /// One of them 8 bits, which takes a prefix so that the numbers 4 to 7 name the low bytes.
    Byte,
}

/// A place in the code that is not known yet: a 32-bit distance from its own end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixup(pub(super) usize);

/// Code as it is written.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    pub(super) bytes: Vec<u8>,
}

impl Assembler {
    pub(super) fn here(&self) -> usize {
        self.bytes.len()
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn imm32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Prefixes, opcode, and the bytes that name `reg` and `rm`. `after` bytes follow the operand.
    fn operands(&mut self, form: Form, opcode: &[u8], reg: Reg, rm: Operand, after: i64) {
        if form == Form::Half {
            self.byte(0x66);
        }
        let (index, base) = match rm {
            Operand::Reg(rm) => (0, rm),
            Operand::Frame(_) => (0, RSP),
            Operand::Guest(index, _) => (index.unwrap_or(0), MEMORY),
            Operand::Context(base, _) => (0, base),
            Operand::Beside(_) => (0, 0),
        };
        let rex = 0x40 | u8::from(form == Form::Wide) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        if rex != 0x40 || form == Form::Byte {
            self.byte(rex);
        }
        self.bytes.extend_from_slice(opcode);
        let reg = (reg & 7) << 3;
        match rm {
            Operand::Reg(rm) => self.byte(0xc0 | reg | rm & 7),
            Operand::Frame(at) => {
                let short = i8::try_from(at);
                self.byte(reg | 4 | if short.is_ok() { 0x40 } else { 0x80 });
                self.byte(0x24);
                match short {
                    Ok(at) => self.byte(at as u8),
                    Err(_) => self.imm32(at as u32),
                }
            }
            Operand::Guest(index, at) => {
                let short = i8::try_from(at);
                let mode = match short {
                    Ok(0) => 0,
                    Ok(_) => 0x40,
                    Err(_) => 0x80,
                };
                match index {
                    Some(index) => {
                        self.byte(reg | 4 | mode);
                        self.byte((index & 7) << 3 | MEMORY & 7);
                    }
                    None => self.byte(reg | MEMORY & 7 | mode),
                }
                match short {
                    Ok(0) => {}
                    Ok(at) => self.byte(at as u8),
                    Err(_) => self.imm32(at as u32),
                }
            }
            Operand::Context(base, at) => {
                self.byte(reg | 0x80 | base & 7);
                self.imm32(at as u32);
            }
            Operand::Beside(at) => {
                self.byte(reg | 5);
                let next = self.bytes.len() as i64 + 4 + after;
                self.imm32((at - next) as u32);
            }
        }
    }

    pub(super) fn mov(&mut self, to: Reg, from: Operand) {
        if from != Operand::Reg(to) {
            self.operands(Form::Plain, &[0x8b], to, from, 0);
        }
    }

    pub(super) fn mov64(&mut self, to: Reg, from: Operand) {
        self.operands(Form::Wide, &[0x8b], to, from, 0);
    }

    pub(super) fn store(&mut self, to: Operand, from: Reg) {
        self.operands(Form::Plain, &[0x89], from, to, 0);
    }

    pub(super) fn store64(&mut self, to: Operand, from: Reg) {
        self.operands(Form::Wide, &[0x89], from, to, 0);
    }

    pub(super) fn store16(&mut self, to: Operand, from: Reg) {
        self.operands(Form::Half, &[0x89], from, to, 0);
    }

    pub(super) fn store8(&mut self, to: Operand, from: Reg) {
        self.operands(Form::Byte, &[0x88], from, to, 0);
    }

    /// Zero to memory: 1, 2 or 4 bytes.
    pub(super) fn store_zero(&mut self, to: Operand, width: u32) {
        match width {
            1 => {
                self.operands(Form::Plain, &[0xc6], 0, to, 1);
                self.byte(0);
            }
            2 => {
                self.operands(Form::Half, &[0xc7], 0, to, 2);
                self.bytes.extend_from_slice(&[0, 0]);
            }
            _ => self.store_imm(to, 0),
        }
    }

    pub(super) fn store_imm(&mut self, to: Operand, value: u32) {
        self.operands(Form::Plain, &[0xc7], 0, to, 4);
        self.imm32(value);
    }

    pub(super) fn mov_imm(&mut self, to: Reg, value: u32) {
        if value == 0 {
            self.alu(Alu::Xor, to, Operand::Reg(to));
        } else {
            if to > 7 {
                self.byte(0x41);
            }
            self.byte(0xb8 | to & 7);
            self.imm32(value);
        }
    }

    /// One byte, zero-extended.
    pub(super) fn load_u8(&mut self, to: Reg, from: Operand) {
        self.operands(
            if matches!(from, Operand::Reg(_)) {
                Form::Byte
            } else {
                Form::Plain
            },
            &[0x0f, 0xb6],
            to,
            from,
            0,
        );
    }

    /// One byte, sign-extended.
    pub(super) fn load_i8(&mut self, to: Reg, from: Operand) {
        self.operands(
            if matches!(from, Operand::Reg(_)) {
                Form::Byte
            } else {
                Form::Plain
            },
            &[0x0f, 0xbe],
            to,
            from,
            0,
        );
    }

    /// Two bytes, zero-extended.
    pub(super) fn load_u16(&mut self, to: Reg, from: Operand) {
        self.operands(Form::Plain, &[0x0f, 0xb7], to, from, 0);
    }

    /// Two bytes, sign-extended.
    pub(super) fn load_i16(&mut self, to: Reg, from: Operand) {
        self.operands(Form::Plain, &[0x0f, 0xbf], to, from, 0);
    }

    /// Four bytes, sign-extended to 64 bits.
    pub(super) fn sign_extend(&mut self, to: Reg, from: Operand) {
        self.operands(Form::Wide, &[0x63], to, from, 0);
    }

    /// `to` op= `from`.
    pub(super) fn alu(&mut self, op: Alu, to: Reg, from: Operand) {
        self.operands(Form::Plain, &[(op as u8) << 3 | 3], to, from, 0);
    }

    /// `to` op= `from`, `to` being in memory.
    pub(super) fn alu_to(&mut self, op: Alu, to: Operand, from: Reg) {
        self.operands(Form::Plain, &[(op as u8) << 3 | 1], from, to, 0);
    }

    pub(super) fn alu_imm(&mut self, op: Alu, to: Operand, value: u32) {
        self.alu_imm_wide(false, op, to, value);
    }

    /// The value is sign-extended to 64 bits.
    pub(super) fn alu64_imm(&mut self, op: Alu, to: Operand, value: u32) {
        self.alu_imm_wide(true, op, to, value);
    }

    fn alu_imm_wide(&mut self, wide: bool, op: Alu, to: Operand, value: u32) {
        match i8::try_from(value as i32) {
            Ok(short) => {
                self.operands(if wide { Form::Wide } else { Form::Plain }, &[0x83], op as u8, to, 1);
                self.byte(short as u8);
            }
            Err(_) => {
                self.operands(if wide { Form::Wide } else { Form::Plain }, &[0x81], op as u8, to, 4);
                self.imm32(value);
            }
        }
    }

    /// `to` op= `from`, 64 bits.
    pub(super) fn alu64(&mut self, op: Alu, to: Reg, from: Reg) {
        self.operands(Form::Wide, &[(op as u8) << 3 | 3], to, Operand::Reg(from), 0);
    }

    /// Flags of `a` and `b`.
    pub(super) fn test(&mut self, a: Reg, b: Reg) {
        self.operands(Form::Plain, &[0x85], b, Operand::Reg(a), 0);
    }

    pub(super) fn test64(&mut self, a: Reg, b: Reg) {
        self.operands(Form::Wide, &[0x85], b, Operand::Reg(a), 0);
    }

    /// Flags of the low byte of RAX and a number.
    pub(super) fn test_al(&mut self, value: u8) {
        self.bytes.extend_from_slice(&[0xa8, value]);
    }

    pub(super) fn not(&mut self, to: Operand) {
        self.operands(Form::Plain, &[0xf7], 2, to, 0);
    }

    pub(super) fn neg(&mut self, to: Operand) {
        self.operands(Form::Plain, &[0xf7], 3, to, 0);
    }

    /// RAX = RDX:RAX / by, RDX = the rest; unsigned.
    pub(super) fn div(&mut self, by: Operand) {
        self.operands(Form::Plain, &[0xf7], 6, by, 0);
    }

    /// As `div`, of 64-bit signed numbers.
    pub(super) fn idiv64(&mut self, by: Operand) {
        self.operands(Form::Wide, &[0xf7], 7, by, 0);
    }

    /// The sign of RAX, 64 bits, in RDX.
    pub(super) fn cqo(&mut self) {
        self.bytes.extend_from_slice(&[0x48, 0x99]);
    }

    pub(super) fn imul(&mut self, to: Reg, from: Operand) {
        self.operands(Form::Plain, &[0x0f, 0xaf], to, from, 0);
    }

    pub(super) fn imul64(&mut self, to: Reg, from: Operand) {
        self.operands(Form::Wide, &[0x0f, 0xaf], to, from, 0);
    }

    /// RAX = the upper half of RDX times this (BMI2).
    pub(super) fn multiply_rdx_high(&mut self, value: u64) {
        self.bytes.extend_from_slice(&[0x48, 0xb8]);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self.bytes.extend_from_slice(&[0xc4, 0xe2, 0xfb, 0xf6, 0xc0]);
    }

    /// `to` *= value.
    pub(super) fn imul_imm(&mut self, to: Reg, value: u32) {
        self.operands(Form::Plain, &[0x69], to, Operand::Reg(to), 4);
        self.imm32(value);
    }

    /// RDX:RAX = RAX * by; signed.
    pub(super) fn imul_both(&mut self, by: Operand) {
        self.operands(Form::Plain, &[0xf7], 5, by, 0);
    }

    pub(super) fn shift_imm(&mut self, op: Shift, to: Operand, count: u8) {
        self.operands(Form::Plain, &[0xc1], op as u8, to, 1);
        self.byte(count);
    }

    pub(super) fn shift64_imm(&mut self, op: Shift, to: Reg, count: u8) {
        self.operands(Form::Wide, &[0xc1], op as u8, Operand::Reg(to), 1);
        self.byte(count);
    }

    /// `to` = `from` shifted by the low 5 bits of `count` (BMI2).
    pub(super) fn shift(&mut self, op: Shift, to: Reg, from: Operand, count: Reg) {
        let (base, modrm) = match from {
            Operand::Frame(_) => (RSP, None),
            Operand::Reg(reg) => (reg, Some(reg)),
            Operand::Guest(..) | Operand::Context(..) | Operand::Beside(_) => (MEMORY, None),
        };
        let pp = match op {
            Shift::Left => 1,
            Shift::Right => 3,
            Shift::Arithmetic => 2,
        };
        self.byte(0xc4);
        self.byte((!(to >> 3) & 1) << 7 | 1 << 6 | (!(base >> 3) & 1) << 5 | 2);
        self.byte((!count & 15) << 3 | pp);
        self.byte(0xf7);
        let reg = (to & 7) << 3;
        match (modrm, from) {
            (Some(rm), _) => self.byte(0xc0 | reg | rm & 7),
            // Offsets of registers in the frame are below 128.
            (None, Operand::Frame(at)) => self.bytes.extend_from_slice(&[0x44 | reg, 0x24, at as u8]),
            (None, _) => self.byte(0x0b),
        }
    }

    /// `to` = `from` turned right by `count` bits (BMI2).
    pub(super) fn rotate(&mut self, to: Reg, from: Operand, count: u8) {
        let base = match from {
            Operand::Reg(reg) => reg,
            _ => RSP,
        };
        self.byte(0xc4);
        self.byte((!(to >> 3) & 1) << 7 | 1 << 6 | (!(base >> 3) & 1) << 5 | 3);
        self.byte(0x7b);
        self.byte(0xf0);
        let reg = (to & 7) << 3;
        match from {
            Operand::Frame(at) => self.bytes.extend_from_slice(&[0x44 | reg, 0x24, at as u8]),
            _ => self.byte(0xc0 | reg | base & 7),
        }
        self.byte(count);
    }

    /// `to` = `from` if the condition holds.
    pub(super) fn move_if(&mut self, condition: Condition, to: Reg, from: Operand) {
        self.operands(Form::Plain, &[0x0f, 0x40 | condition as u8], to, from, 0);
    }

    /// `to` = `from` if the condition holds, 64 bits.
    pub(super) fn move64_if(&mut self, condition: Condition, to: Reg, from: Reg) {
        self.operands(Form::Wide, &[0x0f, 0x40 | condition as u8], to, Operand::Reg(from), 0);
    }

    /// `to` = `from` + value, 64 bits; the flags stay.
    pub(super) fn add64_to(&mut self, to: Reg, from: Reg, value: i32) {
        self.operands(Form::Wide, &[0x8d], to, Operand::Context(from, value), 0);
    }

    /// `to` = value, and the flags stay.
    pub(super) fn mov_imm_only(&mut self, to: Reg, value: u32) {
        if to > 7 {
            self.byte(0x41);
        }
        self.byte(0xb8 | to & 7);
        self.imm32(value);
    }

    /// `to` = base + (index << scale), all registers.
    pub(super) fn lea_scaled(&mut self, to: Reg, base: Reg, index: Reg, scale: u8) {
        let rex = 0x40 | (to >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        if rex != 0x40 {
            self.byte(rex);
        }
        self.byte(0x8d);
        let mode = if base & 7 == 5 { 0x40 } else { 0 };
        self.byte(mode | (to & 7) << 3 | 4);
        self.byte(scale << 6 | (index & 7) << 3 | base & 7);
        if mode != 0 {
            self.byte(0);
        }
    }

    /// `to` = a + b, all registers.
    pub(super) fn lea_add(&mut self, to: Reg, a: Reg, b: Reg) {
        // RBP and R13 as a base take a displacement.
        let (base, index) = if a & 7 == 5 { (b, a) } else { (a, b) };
        let rex = 0x40 | (to >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        if rex != 0x40 {
            self.byte(rex);
        }
        self.byte(0x8d);
        let mode = if base & 7 == 5 { 0x40 } else { 0 };
        self.byte(mode | (to & 7) << 3 | 4);
        self.byte((index & 7) << 3 | base & 7);
        if mode != 0 {
            self.byte(0);
        }
    }

    /// `to` = a + value.
    pub(super) fn lea_imm(&mut self, to: Reg, a: Reg, value: u32) {
        let rex = 0x40 | (to >> 3) << 2 | a >> 3;
        if rex != 0x40 {
            self.byte(rex);
        }
        self.byte(0x8d);
        let short = i8::try_from(value as i32);
        self.byte(if short.is_ok() { 0x40 } else { 0x80 } | (to & 7) << 3 | a & 7);
        if a & 7 == 4 {
            self.byte(0x24);
        }
        match short {
            Ok(short) => self.byte(short as u8),
            Err(_) => self.imm32(value),
        }
    }

    /// The address at this offset from the code, 64 bits.
    pub(super) fn lea_beside(&mut self, to: Reg, at: i64) {
        self.operands(Form::Wide, &[0x8d], to, Operand::Beside(at), 0);
    }

    /// The low byte of `to` = 1 if the condition holds, else 0.
    pub(super) fn set(&mut self, condition: Condition, to: Reg) {
        self.operands(Form::Byte, &[0x0f, 0x90 | condition as u8], 0, Operand::Reg(to), 0);
    }

    pub(super) fn jump_if(&mut self, condition: Condition) -> Fixup {
        self.bytes.extend_from_slice(&[0x0f, 0x80 | condition as u8]);
        self.fixup()
    }

    pub(super) fn jump(&mut self) -> Fixup {
        self.byte(0xe9);
        self.fixup()
    }

    /// To the address at RDX + 2 RAX.
    pub(super) fn jump_through_table(&mut self) {
        self.bytes.extend_from_slice(&JUMP_THROUGH_TABLE);
    }

    /// To the address in the frame.
    pub(super) fn jump_frame(&mut self, at: i32) {
        self.operands(Form::Plain, &[0xff], 4, Operand::Frame(at), 0);
    }

    /// Calls the function at the address in the context.
    pub(super) fn call(&mut self, at: Operand) {
        self.operands(Form::Plain, &[0xff], 2, at, 0);
    }

    /// 32 bits to a vector register below 8.
    pub(super) fn load_vector(&mut self, to: Reg, from: Operand) {
        self.operands(Form::Half, &[0x0f, 0x6e], to, from, 0);
    }

    /// 32 bits from XMM0.
    pub(super) fn store_vector(&mut self, to: Reg) {
        self.operands(Form::Half, &[0x0f, 0x7e], 0, Operand::Reg(to), 0);
    }

    /// XMM0 = XMM0 op `from`, as numbers of 32 bits; `from` is below 8.
    pub(super) fn float(&mut self, op: Float, from: Reg) {
        self.bytes.extend_from_slice(&[0xf3, 0x0f, op as u8, 0xc0 | from]);
    }

    /// Flags of two vector registers below 8, as numbers of 32 bits.
    pub(super) fn float_compare(&mut self, a: Reg, b: Reg) {
        self.bytes.extend_from_slice(&[0x0f, 0x2e, 0xc0 | a << 3 | b]);
    }

    /// XMM0 = RAX, 64 bits with a sign, as a number of 32 bits.
    pub(super) fn float_from_rax(&mut self) {
        // What XMM0 held does not matter: nothing waits for it.
        self.bytes
            .extend_from_slice(&[0x0f, 0x57, 0xc0, 0xf3, 0x48, 0x0f, 0x2a, 0xc0]);
    }

    /// RAX = XMM0, cut to 64 bits with a sign; the least of those if it is out of their range.
    pub(super) fn float_to_rax(&mut self) {
        self.bytes.extend_from_slice(&[0xf3, 0x48, 0x0f, 0x2c, 0xc0]);
    }

    fn fixup(&mut self) -> Fixup {
        let at = self.here();
        self.imm32(0);
        Fixup(at)
    }

    /// Makes a jump go to an offset in the code.
    pub(super) fn land(&mut self, fixup: Fixup, target: usize) {
        let distance = (target as i64 - (fixup.0 as i64 + 4)) as i32;
        if let Some(place) = self.bytes.get_mut(fixup.0..fixup.0 + 4) {
            place.copy_from_slice(&distance.to_le_bytes());
        }
    }

    /// Room up to a multiple of `to`, that does nothing when it is run.
    pub(super) fn align(&mut self, to: usize) {
        const NOPS: [&[u8]; 9] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
            &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        ];
        let mut left = self.here().next_multiple_of(to) - self.here();
        while left > 0 {
            let nop = NOPS[left.min(9) - 1];
            self.bytes.extend_from_slice(nop);
            left -= nop.len();
        }
    }

    pub(super) fn push(&mut self, reg: Reg) {
        if reg > 7 {
            self.byte(0x41);
        }
        self.byte(0x50 | reg & 7);
    }

    pub(super) fn pop(&mut self, reg: Reg) {
        if reg > 7 {
            self.byte(0x41);
        }
        self.byte(0x58 | reg & 7);
    }

    pub(super) fn ret(&mut self) {
        self.byte(0xc3);
    }

    /// Sets or clears the flag that makes misaligned accesses fault (AC).
    pub(super) fn check_alignment(&mut self, on: bool) {
        self.byte(0x9c);
        if on {
            self.bytes.extend_from_slice(&[0x81, 0x0c, 0x24]);
            self.imm32(AC);
        } else {
            self.bytes.extend_from_slice(&[0x81, 0x24, 0x24]);
            self.imm32(!AC);
        }
        self.byte(0x9d);
    }

    /// 16 bytes from memory at `base` + `at` to XMM0, or back.
    pub(super) fn move16(&mut self, load: bool, base: Reg, at: u8) {
        self.bytes
            .extend_from_slice(&[0x0f, if load { 0x10 } else { 0x11 }, 0x40 | base & 7]);
        if base & 7 == 4 {
            self.byte(0x24);
        }
        self.byte(at);
    }
}

/// The flag that makes misaligned accesses fault.
pub(super) const AC: u32 = 1 << 18;

/// `jmp [rdx + 2 rax]`.
pub(super) const JUMP_THROUGH_TABLE: [u8; 3] = [0xff, 0x24, 0x42];
