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

/// The number of a system call: seldom one that ends the program.
fn call(source: &mut Source<'_>) -> u32 {
    source.pick(&[2, 2, 3, 4, 4, 5, 5, 5, 5, 1, 0, 7])
}

/// Two registers keep addresses of data, so that not all programs trap at their first access.
const POINTERS: [u8; 2] = [2, 8];

/// Both halves of a product, or nearly so.
fn product(source: &mut Source<'_>, a: u8, b: u8) -> Vec<u32> {
    let (low, high) = (register(source), source.pick(&[13, 14, a, b]));
    let upper = source.pick(&[Op::Mulh, Op::Mulhu, Op::Mulhsu]);
    let (first, second) = if source.below(3) == 0 { (b, a) } else { (a, b) };
    let mut code = vec![word(Op::Mul, low, a, b, 0), word(upper, high, first, second, 0)];
    if source.below(3) == 0 {
        code.reverse();
    }
    if source.below(2) == 0 {
        let op = source.pick(&[Op::Add, Op::Sltu, Op::Lw]);
        code.insert(
            1,
            word(op, source.pick(&[15, 16, a, low]), 2, source.pick(&[9, 20, high]), 0),
        );
    }
    code
}

/// A loop of several blocks: ways that part and meet, of different lengths, and one that lies behind the loop, as
/// compilers put what they take for rare.
fn loop_of_blocks(source: &mut Source<'_>) -> Vec<u32> {
    let some = |source: &mut Source<'_>, most: u32| -> Vec<u32> {
        (0..source.below(most))
            .map(|_| {
                let to = source.pick(&[9, 13, 14, 15, 16, 20, 21, 22, 23, 24, 25, 26, 27, 28]);
                let (a, b) = (9 + source.below(20) as u8, 9 + source.below(20) as u8);
                let at = 4 * source.below(64) + u32::from(source.below(200) == 0);
                match source.below(5) {
                    0 => word(Op::Lw, to, source.pick(&POINTERS), 0, at),
                    1 => word(Op::Sw, 0, source.pick(&POINTERS), a, at),
                    _ => word(
                        source.pick(&[Op::Add, Op::Xor, Op::Sltu, Op::Mul, Op::Srl]),
                        to,
                        a,
                        b,
                        0,
                    ),
                }
            })
            .collect()
    };
    let parts: [Vec<u32>; 5] = std::array::from_fn(|_| some(source, 12));
    let [head, then, rest, tail, behind] = &parts;
    let distance = |words: usize| 4 * words as u32;
    let branch = |source: &mut Source<'_>, to: usize| {
        let op = source.pick(&[Op::Beq, Op::Bne, Op::Blt, Op::Bgeu]);
        let (a, b) = (9 + source.below(20) as u8, source.pick(&[0, 9, 14, 20, 27]));
        word(op, 0, a, b, distance(to))
    };
    let mut code = vec![word(Op::Addi, 30, 0, 0, 1 + source.below(20))];
    let first = code.len();
    code.extend(head);
    // Past `then`, and perhaps a jump at its end past `rest`.
    let or_else = source.below(2) as usize;
    code.push(branch(source, then.len() + or_else + 1));
    code.extend(then);
    if or_else == 1 {
        code.push(word(Op::Jal, 0, 0, 0, distance(rest.len() + 1)));
    }
    code.extend(rest);
    // To what lies behind, which comes back here.
    let away = code.len();
    let ends = tail.len() + 2;
    code.push(branch(source, 1 + ends + 1));
    code.extend(tail);
    code.push(word(Op::Addi, 30, 30, 0, 0xffff_ffff));
    let back = distance(code.len() - first).wrapping_neg();
    code.push(word(Op::Bne, 0, 30, 0, back));
    code.push(word(Op::Jal, 0, 0, 0, distance(behind.len() + 2)));
    code.extend(behind);
    let to = source.pick(&[away + 1, away + 1, first]);
    let back = distance(code.len() - to).wrapping_neg();
    // Without end where it always goes back to the start.
    let back = if to == first && source.below(4) != 0 { 4 } else { back };
    code.push(word(Op::Jal, 0, 0, 0, back));
    code
}

/// A division by a register that was set to a constant, on this way or another.
fn division(source: &mut Source<'_>, a: u8) -> Vec<u32> {
    let by = source.pick(&[9, 13, 14, a.max(1)]);
    let constant = source.pick(&[0, 1, 2, 3, 5, 7, 10, 641, 2047, 0xffff_ffff, 0xffff_fffd]);
    let mut code = vec![word(Op::Addi, by, 0, 0, constant)];
    match source.below(4) {
        0 => code.insert(
            0,
            word(
                Op::Lui,
                by,
                0,
                0,
                source.pick(&[0x1000, 0x7fff_f000, 0x8000_0000, 0xffff_f000]),
            ),
        ),
        // Skipped, perhaps.
        1 => code.insert(0, word(Op::Bltu, 0, a, source.pick(&[0, 20, by]), 8)),
        2 => {
            code = vec![
                word(Op::Lui, by, 0, 0, source.number() & 0xffff_f000),
                word(Op::Addi, by, by, 0, constant),
            ]
        }
        _ => {}
    }
    for _ in 0..1 + source.below(2) {
        let op = source.pick(&[Op::Div, Op::Divu, Op::Rem, Op::Remu]);
        code.push(word(
            op,
            source.pick(&[9, 15, 16, by, a]),
            source.pick(&[a, a, by, 20]),
            by,
            0,
        ));
    }
    code
}

/// A jump forward to where perhaps no block starts: what is beside each other would mark the place.
pub fn leap(source: &mut Source<'_>, rd: u8) -> Vec<u32> {
    vec![
        word(Op::Auipc, rd, 0, 0, 0),
        word(Op::Fence, 0, 0, 0, 0),
        word(Op::Jalr, source.pick(&[0, 1]), rd, 0, 4 * (3 + source.below(12))),
    ]
}

/// Lets things happen between instructions: mostly to `registers`, and sometimes a fault.
fn scattered(source: &mut Source<'_>, mut code: Vec<u32>, registers: &[u8]) -> Vec<u32> {
    // Not in the order that they were made in, here and there.
    for at in 1..code.len() {
        if source.below(4) == 0 {
            code.swap(at - 1, at);
        }
    }
    let often = source.below(3);
    for at in (0..=code.len()).rev() {
        if source.below(8) >= often {
            continue;
        }
        let (to, a, b) = (source.pick(registers), source.pick(registers), source.pick(registers));
        let (pointer, wild) = (source.pick(&POINTERS), u32::from(source.below(24) == 0));
        let place = 4 * source.below(64) + wild;
        let op = source.pick(&[Op::Add, Op::Sub, Op::Sltu, Op::Mul, Op::Fence, Op::Xor, Op::Divu]);
        let to = source.pick(&[to, 21, 22, 23]);
        code.insert(
            at,
            match source.below(8) {
                0 => word(Op::Lw, to, pointer, 0, place),
                1 | 2 => word(Op::Sw, 0, pointer, a, place),
                3 => word(Op::Addi, to, source.pick(&[0, a]), 0, source.pick(&[0, 0, 1, place])),
                4 => word(Op::Add, to, a, source.pick(&[0, b, b]), 0),
                5 => word(Op::Slli, to, a, 0, 1 + source.below(3)),
                6 => word(source.pick(&[Op::Bltu, Op::Beq]), 0, a, b, 8),
                _ => word(op, to, a, b, 0),
            },
        );
    }
    code
}

/// Few registers, so that they meet, and not always those that the host has room for.
fn some_registers(source: &mut Source<'_>) -> Vec<u8> {
    let count = 3 + source.below(6);
    (0..count)
        .map(|_| {
            if source.below(2) == 0 {
                source.pick(&[10, 11, 12, 13, 14, 15])
            } else {
                18 + source.below(12) as u8
            }
        })
        .collect()
}

/// Numbers of more than 32 bits added or subtracted, with carries from part to part, or nearly so.
pub fn sums(source: &mut Source<'_>) -> Vec<u32> {
    let registers = some_registers(source);
    let any = |source: &mut Source<'_>| source.pick(&registers);
    let mut code = Vec::new();
    let mut before = any(source);
    for _ in 0..1 + source.below(4) {
        let (result, a, b, high) = (any(source), any(source), any(source), any(source));
        let carry = match source.below(4) {
            0 => a,
            1 => b,
            _ => any(source),
        };
        // What is overwritten is compared by a copy.
        let copied = source.below(3) == 0;
        let old = if copied { any(source) } else { source.pick(&[a, a, b]) };
        let result = if copied { a } else { result };
        if copied {
            if source.below(6) == 0 {
                // Perhaps not.
                code.push(word(Op::Bltu, 0, b, a, 8));
            }
            code.push(word(Op::Addi, old, a, 0, 0));
        }
        let number = source.pick(&[1, 1, 2, 0, 0xffff_ffff, 0xffff_f800]);
        let less = source.below(3) == 0;
        code.extend(match (source.below(4), less) {
            (0, _) => [
                word(Op::Addi, result, a, 0, number),
                source.pick(&[
                    word(Op::Sltiu, carry, result, 0, number),
                    word(Op::Sltu, carry, result, old, 0),
                ]),
            ],
            (_, true) => [word(Op::Sub, result, a, b, 0), word(Op::Sltu, carry, old, result, 0)],
            (_, false) => [word(Op::Add, result, a, b, 0), word(Op::Sltu, carry, result, old, 0)],
        });
        if source.below(3) == 0 {
            // Without what it belongs to.
            code.remove(code.len() - 2);
        }
        if source.below(2) == 0 {
            let op = if less { Op::Sub } else { Op::Add };
            code.push(word(op, high, source.pick(&[high, high, a]), any(source), 0));
        }
        let high = if source.below(3) == 0 { before } else { high };
        let to = match source.below(5) {
            0..=2 => carry,
            3 => high,
            _ => any(source),
        };
        code.push(match (less, source.below(2)) {
            (true, _) => word(Op::Sub, to, high, carry, 0),
            (_, 0) => word(Op::Add, to, carry, high, 0),
            _ => word(Op::Add, to, high, carry, 0),
        });
        before = source.pick(&[carry, to]);
    }
    scattered(source, code, &registers)
}

/// Products of numbers with a binary point, or nearly so.
pub fn fractions(source: &mut Source<'_>) -> Vec<u32> {
    let registers = some_registers(source);
    let any = |source: &mut Source<'_>| source.pick(&registers);
    let mut code = Vec::new();
    for _ in 0..1 + source.below(2) {
        let (a, b, copy) = (any(source), any(source), any(source));
        let b = source.pick(&[a, b]);
        let (low, high) = (any(source), any(source));
        let (low, high) = (source.pick(&[low, a, b, 20]), source.pick(&[high, a, b, 21]));
        let mut operands = [a, b];
        if source.below(2) == 0 {
            if source.below(6) == 0 {
                code.push(word(Op::Bltu, 0, b, a, 8));
            }
            code.push(word(Op::Addi, copy, a, 0, 0));
            operands = operands.map(|register| if register == a { copy } else { register });
        }
        if source.below(4) == 0 {
            operands.reverse();
        }
        let upper = source.pick(&[Op::Mulh, Op::Mulh, Op::Mulhu, Op::Mulhsu]);
        let turned = 1 + source.below(31);
        let mut made = vec![
            word(upper, high, operands[0], operands[1], 0),
            word(Op::Mul, low, a, b, 0),
            word(Op::Srli, low, low, 0, turned),
            word(Op::Slli, high, high, 0, 32 - turned + u32::from(source.below(32) == 0)),
        ];
        match source.below(4) {
            0 => made.swap(0, 1),
            1 => made.swap(2, 3),
            2 => made.swap(1, 3),
            _ => {}
        }
        let (one, other) = source.pick(&[(low, high), (high, low)]);
        made.push(word(
            source.pick(&[Op::Or, Op::Or, Op::Add, Op::Xor]),
            one,
            low,
            high,
            0,
        ));
        match source.below(4) {
            0 => made.push(word(Op::Addi, other, any(source), 0, 1)),
            1 => made.push(word(Op::Lw, other, source.pick(&POINTERS), 0, source.below(2))),
            _ => {}
        }
        match source.below(4) {
            0 => code.extend(scattered(source, made, &registers)),
            1 => code.extend(made),
            // Something that may have to do with it.
            _ => {
                let (to, from) = (any(source), any(source));
                let to = source.pick(&[to, to, a, b, copy, low, high]);
                let op = source.pick(&[Op::Add, Op::Mulhu, Op::Sltu]);
                let at = source.below(made.len() as u32) as usize;
                made.insert(at, word(op, to, from, source.pick(&[from, to, a]), 0));
                code.extend(made);
            }
        }
    }
    code
}

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
    // Addresses of data, and aligned, most of the time: a program that traps is over.
    let base = if source.below(24) == 0 {
        rs1
    } else {
        source.pick(&POINTERS)
    };
    let wild = source.below(24) == 0;
    let offset = immediate(source) & if wild { u32::MAX } else { 0xffff_fffc };
    let near = |source: &mut Source<'_>| {
        let past = if source.below(16) == 0 { 4 } else { 0 };
        // Forward, most of the time: a program that goes back soon does nothing else.
        let to = match source.below(16) {
            0 => source.below(words + past),
            1 | 2 => at.saturating_sub(source.below(8)),
            _ => (at + 1 + source.below(6)).min(words),
        };
        let odd = if source.below(400) == 0 { 2 } else { 0 };
        (to.wrapping_sub(at)).wrapping_mul(4).wrapping_add(odd)
    };
    let one = match choice {
        0..=34 => {
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
        35..=54 => {
            // Pairs that a translator joins.
            let count = source.pick(&[16, 16, 24, 24, 8]);
            let load = of(source, |effect| matches!(effect, Effect::Load(..)));
            let upper = source.pick(&[DATA, DATA, 0, 0x1_0000, 0xffff_f000]);
            let second = source.pick(&[rd, rd, rd, rs1]);
            let (third, sum) = (register(source), source.pick(&[Op::Or, Op::Xor, Op::Add]));
            let turned = source.below(32);
            match source.below(12) {
                11 => return fractions(source),
                9 | 10 => return sums(source),
                8 => return division(source, rs1),
                7 if source.below(2) == 0 => return loop_of_blocks(source),
                6 => return product(source, rs1, rs2),
                5 => return leap(source, rd),
                // A branch over a move and a jump, perhaps to the same place.
                4 => {
                    let op = of(source, |effect| matches!(effect, Effect::Branch(_)));
                    let (to, other) = (near(source), source.pick(&[0, 0, 0, 4]));
                    return vec![
                        word(op, 0, rs1, rs2, to),
                        word(Op::Addi, rd, source.pick(&[0, rs1, third]), 0, source.pick(&[0, 1])),
                        word(Op::Jal, source.pick(&[0, 0, 0, 1]), 0, 0, to.wrapping_sub(8 + other)),
                    ];
                }
                // A rotation, or nearly one; then perhaps a part is overwritten.
                0 => {
                    let other = source.pick(&[second, third, rs1, 12]);
                    let mut code = vec![
                        word(Op::Slli, rd, rs1, 0, turned),
                        word(Op::Srli, other, rs1, 0, 32 - turned),
                    ];
                    if source.below(2) == 0 {
                        code.reverse();
                    }
                    code.push(word(sum, source.pick(&[rd, rd, other, other, third]), rd, other, 0));
                    for _ in 0..source.below(3) {
                        code.push(word(Op::Addi, source.pick(&[rd, other]), third, 0, 1));
                    }
                    // Not all in a row: what lies between is mostly about other registers, and may fault.
                    for at in (1..=code.len()).rev() {
                        let to = source.pick(&[13, 14, 16, 18, 19, 20, rs1, rd]);
                        match source.below(8) {
                            0..=2 => {
                                let op = source.pick(&[Op::Add, Op::Sub, Op::Sltu, Op::Mul, Op::Fence]);
                                code.insert(at, word(op, to, 21, source.pick(&[22, 23, rd]), 0));
                            }
                            3 => code.insert(at, word(load, to, base, 0, offset)),
                            4 => code.insert(at, word(Op::Sw, 0, base, to, offset)),
                            _ => {}
                        }
                    }
                    return code;
                }
                1 => {
                    return vec![
                        word(Op::Slli, rd, rs1, 0, turned % 4),
                        word(Op::Add, second, rd, rs2, 0),
                    ];
                }
                // A branch over one instruction.
                2 => {
                    let op = of(source, |effect| matches!(effect, Effect::Branch(_)));
                    let (from, imm) = (
                        source.pick(&[0, rs1, third]),
                        source.pick(&[0, 0, 1, 0xffff_ffff, 2047]),
                    );
                    return vec![word(op, 0, rs1, rs2, 8), word(Op::Addi, rd, from, 0, imm)];
                }
                // A loop that counts.
                _ if source.below(2) == 0 => {
                    let mut code = vec![word(Op::Addi, 30, 0, 0, 1 + source.below(20))];
                    // In some, more registers are busy than the host has.
                    let busy = source.below(3) == 0;
                    let length = source.below(if busy { 60 } else { 14 });
                    for _ in 0..length {
                        let store = of(source, |effect| matches!(effect, Effect::Store(_)));
                        let pure = of(source, |effect| matches!(effect, Effect::Set(_)));
                        let wild = if source.below(64) == 0 { 1 } else { 0 };
                        let at = 4 * source.below(64) + wild;
                        let to = source.pick(&[9, 13, 14, 15, 16, 20]);
                        let from = source.pick(&POINTERS);
                        if busy {
                            let any = |source: &mut Source<'_>| 9 + source.below(20) as u8;
                            let (to, a, b) = (any(source), any(source), any(source));
                            let to = if to == 17 { 29 } else { to };
                            let turn = 1 + source.below(30);
                            code.extend(match source.below(8) {
                                0 => vec![word(load, to, from, 0, at)],
                                1 => vec![word(store, 0, from, a, at)],
                                2 => vec![
                                    word(Op::Slli, 31, a, 0, turn),
                                    word(Op::Srli, to, a, 0, 32 - turn),
                                    word(Op::Or, to, to, 31, 0),
                                ],
                                4 => product(source, a, b),
                                5 => sums(source),
                                6 => fractions(source),
                                3 => vec![word(Op::Bltu, 0, a, b, 8), word(Op::Addi, to, a, 0, 0)],
                                _ => vec![word(pure, to, a, b, at)],
                            });
                            continue;
                        }
                        code.push(source.pick(&[
                            word(load, to, from, 0, at),
                            word(store, 0, from, rs2, at),
                            word(pure, to, rs1, rs2, at),
                            word(Op::Addi, 8, 8, 0, 4 * wild),
                        ]));
                    }
                    code.push(word(Op::Addi, 30, 30, 0, 0xffff_ffff));
                    let back = (1 - code.len() as i32) * 4;
                    code.push(word(Op::Bne, 0, 30, 0, back as u32));
                    return code;
                }
                _ => {}
            }
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
        55..=66 => {
            let op = of(source, |effect| matches!(effect, Effect::Load(..)));
            word(op, rd, base, 0, offset)
        }
        67..=74 => {
            let op = of(source, |effect| matches!(effect, Effect::Store(_)));
            word(op, 0, base, rs2, offset)
        }
        75..=87 => {
            let op = of(source, |effect| matches!(effect, Effect::Branch(_)));
            word(op, 0, rs1, rs2, near(source))
        }
        88..=90 => word(Op::Jal, source.pick(&[0, 1, rd]), 0, 0, near(source)),
        91 => word(
            Op::Jalr,
            source.pick(&[0, 1, rd]),
            rs1,
            0,
            source.pick(&[0, 0, 0, 4, 8, 1, 2, 0xffff_fffc]),
        ),
        92 => word(Op::Ecall, 0, 0, 0, 0),
        97 => word(Op::Fence, 0, 0, 0, 0),
        98 => word(Op::Addi, 17, 0, 0, call(source)),
        99 if source.below(4) == 0 => source.number(),
        _ => word(Op::Add, rd, rs1, rs2, 0),
    };
    vec![one]
}

/// A program: registers are given values, then anything happens.
pub fn program(source: &mut Source<'_>) -> Program {
    let words = 62 + 1 + source.below(160);
    program_of(source, words, |source, at| instruction(source, at, words))
}

/// A program of so many words, at least: registers are given values, then follows what `next` gives.
pub fn program_of(source: &mut Source<'_>, words: u32, next: impl Fn(&mut Source<'_>, u32) -> Vec<u32>) -> Program {
    let mut code = Vec::new();
    for register in 1..32_u8 {
        let value = match register {
            17 => call(source),
            2 | 8 => DATA + 0x1000 + 4 * source.below(0x400),
            _ => value(source, words),
        };
        let low = ((value << 20) as i32 >> 20) as u32;
        code.push(word(Op::Lui, register, 0, 0, value.wrapping_sub(low)));
        code.push(word(Op::Addi, register, register, 0, low));
    }
    while (code.len() as u32) < words {
        let at = code.len() as u32;
        code.extend(next(source, at));
    }
    let data: Vec<u8> = (0..256).flat_map(|_| value(source, words).to_le_bytes()).collect();
    assembled(&code, &data)
}

/// A program of these instructions from address 0 on, and data at [`DATA`].
pub fn assembled(code: &[u32], data: &[u8]) -> Program {
    let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    let size = bytes.len() as u32;
    let segments = [
        Segment {
            address: 0,
            bytes: &bytes,
            size,
            executable: true,
        },
        Segment {
            address: DATA,
            bytes: data,
            size: MEMORY - DATA,
            executable: false,
        },
    ];
    Program::new(&segments, 0, Vec::new()).expect("segments that fit")
}

/// A real program with some words of its code changed; `None` if that is no program any more.
pub fn mutated(elf: &[u8], source: &mut Source<'_>) -> Option<Program> {
    let original = Program::from_elf(elf).ok()?;
    let words = original.instructions().len() as u32;
    let mut bytes = elf.to_vec();
    for _ in 0..1 + source.below(20) {
        // Near where it starts, most of the time, so that what is changed is run.
        let index = match source.below(3) {
            0 => source.below(words),
            _ => (original.entry() / 4 + source.below(400)).min(words.checked_sub(1)?),
        };
        let Some(old) = original.instructions().get(index as usize).copied().flatten() else {
            continue;
        };
        let old = old.encode().to_le_bytes();
        let new = match source.below(4) {
            0 => u32::from_le_bytes(old) ^ 1 << source.below(32),
            _ => *instruction(source, index, words).first()?,
        };
        // Wherever this very word stands: the ELF's layout does not matter.
        let places: Vec<usize> = (0..bytes.len().saturating_sub(3))
            .step_by(4)
            .filter(|at| bytes[*at..*at + 4] == old)
            .collect();
        if places.is_empty() {
            continue;
        }
        let at = source.pick(&places);
        bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
    }
    Program::from_elf(&bytes).ok()
}
