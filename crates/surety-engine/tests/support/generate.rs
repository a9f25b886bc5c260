//! Programs for two engines to disagree about: made from a stream of numbers, so that property tests and fuzz targets
//! make them alike.

use surety_machine::{Decoded, Effect, Op, Program, Segment, TABLE};

/// Where data lies, and how much memory there is.
pub const DATA: u32 = 0x8000;
pub const MEMORY: u32 = 0x1_0000;

/// Numbers that decide: first those given, then ones that follow from them.
#[derive(Debug)]
pub struct Source<'a> {
    bytes: &'a [u8],
    state: u64,
}

impl<'a> Source<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let seed = bytes.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        Source { bytes, state: seed | 1 }
    }

    /// 32 bits.
    pub fn number(&mut self) -> u32 {
        if let Some((first, rest)) = self.bytes.split_first_chunk::<4>() {
            self.bytes = rest;
            return u32::from_le_bytes(*first);
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 16) as u32
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.number() % bound.max(1)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }
}

pub fn word(op: Op, rd: u8, rs1: u8, rs2: u8, imm: u32) -> u32 {
    Decoded { op, rd, rs1, rs2, imm }.encode()
}

/// A value that something depends on: an address of data or code, an edge, or anything.
fn value(source: &mut Source<'_>, words: u32) -> u32 {
    match source.below(8) {
        0 | 1 => DATA + 4 * source.below(0x1800),
        2 => DATA + source.below(0x7000),
        3 => 4 * source.below(words),
        4 => source.pick(&[
            0,
            1,
            2,
            3,
            31,
            32,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0xffff_fffe,
            0xffff,
            0x80,
        ]),
        5 => source.below(64),
        6 => MEMORY - 8 + source.below(16),
        _ => source.number(),
    }
}

fn register(source: &mut Source<'_>) -> u8 {
    // Few registers meet each other more often.
    if source.below(4) == 0 {
        source.below(32) as u8
    } else {
        source.pick(&[0, 1, 2, 5, 8, 10, 11, 12, 15, 31])
    }
}

fn immediate(source: &mut Source<'_>) -> u32 {
    match source.below(4) {
        0 => source.pick(&[0, 1, 4, 255, 16, 24, 2047, 0xffff_f800, 0xffff_ffff, 0xffff_fffc]),
        1 => (source.below(64) as i32 - 32) as u32,
        _ => source.number(),
    }
}

/// Two registers keep addresses of data, so that not all programs trap at their first access.
const POINTERS: [u8; 2] = [2, 8];

fn instruction(source: &mut Source<'_>, at: u32, words: u32) -> Vec<u32> {
    let choice = source.below(100);
    let of = |source: &mut Source<'_>, wanted: fn(&Effect) -> bool| {
        let ops: Vec<Op> = TABLE
            .iter()
            .filter(|row| wanted(&row.effect))
            .map(|row| row.op)
            .collect();
        source.pick(&ops)
    };
    let (rd, rs1, rs2) = (register(source), register(source), register(source));
    let rd = if POINTERS.contains(&rd) && source.below(16) != 0 {
        9
    } else {
        rd
    };
    let base = if source.below(3) == 0 {
        rs1
    } else {
        source.pick(&POINTERS)
    };
    let near = |source: &mut Source<'_>| {
        let to = if source.below(3) == 0 {
            source.below(words + 4)
        } else {
            (at + source.below(12)).saturating_sub(5)
        };
        let odd = if source.below(40) == 0 { 2 } else { 0 };
        (to.wrapping_sub(at)).wrapping_mul(4).wrapping_add(odd)
    };
    let one = match choice {
        0..=44 => {
            let op = of(source, |effect| matches!(effect, Effect::Set(_)));
            let rd = if matches!(op, Op::Lui | Op::Auipc) && source.below(2) == 0 {
                rs1
            } else {
                rd
            };
            let imm = immediate(source);
            let imm = if matches!(op, Op::Lui | Op::Auipc) && source.below(2) == 0 {
                source.below(0x12) << 12
            } else {
                imm
            };
            word(op, rd, rs1, rs2, imm)
        }
        45..=49 => {
            // Pairs that a translator joins.
            let count = source.pick(&[16, 16, 24, 24, 8]);
            let load = of(source, |effect| matches!(effect, Effect::Load(..)));
            let upper = source.pick(&[DATA, DATA, 0, 0x1_0000, 0xffff_f000]);
            let second = source.pick(&[rd, rd, rd, rs1]);
            return source
                .pick(&[
                    [word(Op::Slli, rd, rs1, 0, count), word(Op::Srli, second, rd, 0, count)],
                    [word(Op::Slli, rd, rs1, 0, count), word(Op::Srai, second, rd, 0, count)],
                    [word(Op::Lui, rd, 0, 0, upper), word(Op::Addi, second, rd, 0, 4 * count)],
                    [word(Op::Auipc, rd, 0, 0, 0), word(Op::Addi, second, rd, 0, 4 * count)],
                    [word(Op::Lui, rd, 0, 0, upper), word(load, second, rd, 0, 4 * count)],
                    [
                        word(Op::Auipc, rd, 0, 0, 0),
                        word(Op::Jalr, second, rd, 0, 4 * (count % 5)),
                    ],
                ])
                .to_vec();
        }
        50..=64 => {
            let op = of(source, |effect| matches!(effect, Effect::Load(..)));
            word(op, rd, base, 0, immediate(source))
        }
        65..=74 => {
            let op = of(source, |effect| matches!(effect, Effect::Store(_)));
            word(op, 0, base, rs2, immediate(source))
        }
        75..=87 => {
            let op = of(source, |effect| matches!(effect, Effect::Branch(_)));
            word(op, 0, rs1, rs2, near(source))
        }
        88..=90 => word(Op::Jal, source.pick(&[0, 1, rd]), 0, 0, near(source)),
        91..=94 => word(
            Op::Jalr,
            source.pick(&[0, 1, rd]),
            rs1,
            0,
            source.pick(&[0, 0, 0, 4, 8, 1, 2, 0xffff_fffc]),
        ),
        95..=96 => word(Op::Ecall, 0, 0, 0, 0),
        97 => word(Op::Fence, 0, 0, 0, 0),
        98 => word(Op::Addi, 17, 0, 0, source.below(7)),
        _ => source.number(),
    };
    vec![one]
}

/// A program: registers are given values, then anything happens.
pub fn program(source: &mut Source<'_>) -> Program {
    let body = 1 + source.below(160);
    let words = 62 + body;
    let mut code = Vec::new();
    for register in 1..32_u8 {
        let value = match register {
            17 => source.below(7),
            2 | 8 => DATA + 0x1000 + 4 * source.below(0x400),
            _ => value(source, words),
        };
        let low = ((value << 20) as i32 >> 20) as u32;
        code.push(word(Op::Lui, register, 0, 0, value.wrapping_sub(low)));
        code.push(word(Op::Addi, register, register, 0, low));
    }
    while (code.len() as u32) < words {
        let at = code.len() as u32;
        code.extend(instruction(source, at, words));
    }
    let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    let size = bytes.len() as u32;
    let data: Vec<u8> = (0..256).flat_map(|_| value(source, words).to_le_bytes()).collect();
    let segments = [
        Segment {
            address: 0,
            bytes: &bytes,
            size,
            executable: true,
        },
        Segment {
            address: DATA,
            bytes: &data,
            size: MEMORY - DATA,
            executable: false,
        },
    ];
    Program::new(&segments, 0, Vec::new()).expect("segments that fit")
}
