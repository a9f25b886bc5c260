//! Calls from translated code, many in a row, held to the interpreter wherever they are stopped.

use surety_engine::{Kind, Options, Run, translate};
use surety_machine::{Checkpoint, Machine, MemoryPreimages, Op, Program, Segment, Status, ZERO};

use crate::support::generate::word;
use crate::{
    assembly::{ROUTINES, code},
    call::{RA, Random, SP},
    float,
};

const S0: u8 = 8;
const S1: u8 = 9;
const A0: u8 = 10;
/// Where what is called with lies, six arguments and room for a result each; and what the calls work on.
const RECORDS: u32 = 0x1_0000;
const WORDS: u32 = 7;
const BUFFERS: u32 = 0x4_0000;
const MEMORY: u32 = 0x8_0000;

/// A program that calls a routine with each record, and keeps what is in `a0` after it, then halts. Its code, and where
/// it starts.
fn caller(symbol: &str) -> (Vec<u32>, u32) {
    let mut words = code(symbol).to_vec();
    let start = 4 * words.len() as u32;
    for argument in 0..6 {
        words.push(word(Op::Lw, A0 + argument, S0, 0, 4 * u32::from(argument)));
    }
    let here = 4 * words.len() as u32;
    words.push(word(Op::Jal, RA as u8, 0, 0, here.wrapping_neg()));
    words.push(word(Op::Sw, 0, S0, A0, 24));
    words.push(word(Op::Addi, S0, S0, 0, 4 * WORDS));
    let here = 4 * words.len() as u32;
    words.push(word(Op::Bltu, 0, S0, S1, start.wrapping_sub(here)));
    words.extend([word(Op::Addi, 17, 0, 0, 1), word(Op::Ecall, 0, 0, 0, 0)]);
    (words, start)
}

/// Runs all calls in both engines, with some stops.
fn check(symbol: &str, stack: u32, records: &[[u32; 6]], random: &mut Random) {
    let (words, start) = caller(symbol);
    let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut data: Vec<u8> = Vec::new();
    for record in records {
        data.extend(record.iter().chain([&0]).flat_map(|word| word.to_le_bytes()));
    }
    assert!(data.len() <= (BUFFERS - RECORDS) as usize);
    data.resize_with((MEMORY - RECORDS) as usize, || random.word() as u8);
    let segment = |address: u32, bytes, executable| Segment {
        address,
        bytes,
        size: <[u8]>::len(bytes) as u32,
        executable,
    };
    let program = Program::new(
        &[segment(0, &code, true), segment(RECORDS, &data, false)],
        start,
        vec![],
    )
    .unwrap();
    let mut machine = Machine::new(&program, ZERO);
    for register in 5..32 {
        machine.set_register(register, random.word());
    }
    machine.set_register(S0, RECORDS);
    machine.set_register(S1, RECORDS + 4 * WORDS * records.len() as u32);
    machine.set_register(SP as u8, stack);
    let checkpoint = machine.checkpoint();
    let preimages = &mut MemoryPreimages::default();
    while machine.status() == Status::Running {
        machine.run(machine.steps() + 1000, preimages).unwrap();
    }
    let steps = machine.steps();
    let translated = translate(&program, Options::default()).unwrap();
    let mut stops: Vec<u64> = (0..200).map(|_| random.next() % steps).collect();
    stops.push(steps);
    stops.sort_unstable();
    let mut run = Run::restore(Kind::Translated, translated.as_ref(), &checkpoint).unwrap();
    let mut reference = checkpoint.restore();
    for stop in stops {
        run.run(stop, preimages).unwrap();
        reference.run(stop, preimages).unwrap();
        assert_eq!(run.steps(), reference.steps(), "{symbol}");
        assert_eq!(run.pc(), reference.pc(), "{symbol}, step {stop}");
        assert_eq!(run.registers(), reference.registers(), "{symbol}, step {stop}");
        if stop == steps || random.one_in(20) {
            // After this, memory has to be made writable again.
            assert_eq!(run.state_root(), reference.state_root(), "{symbol}, step {stop}");
        }
    }
    // How many steps it took is all that is not known where they are not counted.
    let uncounted = Options {
        metered: false,
        ..Options::default()
    };
    let translated = translate(&program, uncounted).unwrap();
    let mut run = Run::restore(Kind::Translated, translated.as_ref(), &checkpoint).unwrap();
    assert_eq!(run.run(u64::MAX, preimages).unwrap(), reference.status(), "{symbol}");
    assert_eq!(run.registers(), reference.registers(), "{symbol}");
    assert!(
        run.read_memory(0, MEMORY) == reference.memory().copy(0, MEMORY),
        "{symbol}: memory differs where steps are not counted"
    );
}

#[test]
fn numbers_are_the_machines() {
    let mut random = Random::new(90);
    for symbol in [
        "__addsf3",
        "__subsf3",
        "__mulsf3",
        "__divsf3",
        "surety_sqrt_f32",
        "__lesf2",
        "__gesf2",
        "__unordsf2",
        "__floatsisf",
        "__floatunsisf",
        "__fixsfsi",
        "__fixunssfsi",
    ] {
        let mut records = Vec::new();
        let signs = |x: &u32| [*x, *x | 1 << 31];
        for a in float::INTERESTING.iter().flat_map(signs) {
            for b in float::INTERESTING.iter().flat_map(signs) {
                records.push([a, b, random.word(), random.word(), random.word(), random.word()]);
            }
        }
        while records.len() < 5_000 {
            let a = float::number(&mut random, 0x3f80_0000);
            let b = float::number(&mut random, a);
            records.push([a, b, random.word(), random.word(), random.word(), random.word()]);
        }
        for records in records.chunks(2_500) {
            check(symbol, BUFFERS, records, &mut random);
        }
    }
}

/// The host's floating point may round and flush as it likes, and raise exceptions: that is the thread's own matter.
#[test]
fn p3_numbers_are_the_machines_however_a_thread_rounds() {
    // Towards zero, with subnormal numbers taken for zero and made zero; upwards; and with all exceptions.
    for mode in [0xffc0, 0x5f80, 0] {
        let other = std::thread::spawn(move || {
            let mut random = Random::new(95);
            for symbol in [
                "__addsf3",
                "__mulsf3",
                "__divsf3",
                "surety_sqrt_f32",
                "__lesf2",
                "__floatsisf",
            ] {
                let records: Vec<_> = (0..400)
                    .map(|_| {
                        let a = float::number(&mut random, 0x0080_0000);
                        [a, float::number(&mut random, a), 0, 0, 0, 0]
                    })
                    .collect();
                let before = control(mode);
                check(symbol, BUFFERS, &records, &mut random);
                assert_eq!(control(before) & !63, mode, "{symbol} has changed it");
            }
        });
        other.join().unwrap();
    }
}

/// How this thread reckons with floating point (MXCSR) so far, and sets it.
#[allow(unsafe_code, reason = "there is no safe way to it")]
fn control(to: u32) -> u32 {
    let mut before = 0_u32;
    // SAFETY: 32 bits each; while it is changed nothing here reckons with floating point.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", "ldmxcsr [{}]", in(reg) &raw mut before, in(reg) &raw const to);
    }
    before
}

#[test]
fn memory_is_the_machines() {
    let mut random = Random::new(91);
    for symbol in ["memcpy", "memset", "memcmp", "surety_dot_i8"] {
        let mut records = Vec::new();
        for _ in 0..300 {
            let length = match random.below(3) {
                0 => random.below(64),
                1 => random.below(6_000),
                // About where the host's code begins to be worth it.
                _ => [320, 1280, 2560, 3840][random.below(4) as usize] + random.below(3) - 1,
            };
            let mut place = || {
                let aligned = random.one_in(2);
                let near_end = random.one_in(40);
                let address = if near_end {
                    MEMORY - length
                } else {
                    BUFFERS + random.below(MEMORY - BUFFERS - 8_192)
                };
                address - if aligned { address % 8 } else { 0 }
            };
            let (to, from) = (place(), place());
            records.push([to, from, length, random.word(), random.word(), random.word()]);
        }
        check(symbol, BUFFERS, &records, &mut random);
    }
}

#[test]
fn products_are_the_machines() {
    let mut random = Random::new(92);
    let mut records = Vec::new();
    for _ in 0..200 {
        let mut side = || if random.one_in(20) { 0 } else { random.below(14) };
        let [m, n, k] = [side(), side(), side() * 2];
        let [a, b] = [0x1_0000, 0x1_4000].map(|from| BUFFERS + from + random.below(0x1000));
        records.push([BUFFERS + 4 * random.below(0x1000), a, b, m, n, k]);
    }
    check("surety_matmul_i8", BUFFERS, &records, &mut random);
    records.clear();
    for _ in 0..200 {
        let mut number = || BUFFERS + 32 * random.below(0x1000);
        records.push([number(), number(), number(), number(), 0, 0]);
    }
    check("surety_montgomery_256", BUFFERS, &records, &mut random);
}

#[test]
fn hashes_are_the_machines() {
    let mut random = Random::new(93);
    for stack in [
        BUFFERS + 0x8000,
        BUFFERS + 0x1_0010,
        BUFFERS + 0x1_0018,
        BUFFERS + 0x8004,
    ] {
        let mut records = Vec::new();
        for _ in 0..60 {
            let state = match random.below(8) {
                // Not aligned, beside the stack, over the edge of a chunk of memory.
                0 => BUFFERS + 4 * random.below(0x1000),
                1 => [stack, stack - 448 - 200][random.below(2) as usize],
                2 => (BUFFERS + 0x2_0000) - 8 * random.below(30),
                _ => BUFFERS + 8 * random.below(0x800),
            };
            records.push([state, 0, 0, 0, 0, 0]);
        }
        // In the stack: what comes back from it may be anything, and the program may trap.
        records.push([stack - 8 * random.below(80), 0, 0, 0, 0, 0]);
        check("surety_keccak_f", stack, &records, &mut random);
        for record in &mut records {
            record[1] = BUFFERS + random.below(0x1_0000);
            record[2] = random.below(4);
        }
        check("surety_sha256_blocks", stack, &records, &mut random);
    }
}

/// Words of a hostile record: where to go, `ra`, `sp`, six arguments, four results, and what temporary registers hold.
const HOSTILE_WORDS: u32 = 22;
const TEMPORARY: [u8; 9] = [5, 6, 7, 16, 17, 28, 29, 30, 31];

/// A program with a routine in it, and others' jumps into the midst of it.
struct Hostile {
    program: Program,
    /// Where the routine starts, and where usual calls come back to.
    start: u32,
    after: u32,
}

impl Hostile {
    fn new(symbol: &str, records: &[[u32; 9]], memory: u64, random: &mut Random) -> Self {
        // Before the routine: what falls into it, and may skip its first instruction.
        let mut words: Vec<u32> = (0..random.below(4))
            .map(|_| word(Op::Addi, 20, 20, 0, random.below(100)))
            .collect();
        match random.below(4) {
            0 => words.push(word(Op::Bltu, 0, 20, 21, 8)),
            1 => words.extend([word(Op::Bne, 0, 20, 21, 8), word(Op::Addi, 22, 22, 0, 1)]),
            // A loop of which several turns are charged at once.
            2 => words.extend([
                word(Op::Addi, 20, 0, 0, random.below(20)),
                word(Op::Addi, 20, 20, 0, u32::MAX),
                word(Op::Bne, 0, 20, 0, (-4_i32) as u32),
            ]),
            _ => {}
        }
        let start = 4 * words.len() as u32;
        words.extend(code(symbol));
        let count = code(symbol).len() as u32;
        let driver = 4 * words.len() as u32;
        let loads = [18, RA as u8, SP as u8, A0, A0 + 1, A0 + 2, A0 + 3, A0 + 4, A0 + 5];
        let loads = (0..).zip(loads).chain((13..).zip(TEMPORARY));
        words.extend(loads.map(|(at, to)| word(Op::Lw, to, S0, 0, 4 * at)));
        words.push(word(Op::Jalr, 0, 18, 0, 0));
        let after = 4 * words.len() as u32;
        words.extend(
            (0..)
                .zip([A0, SP as u8, 17, 30])
                .map(|(at, from)| word(Op::Sw, 0, S0, from, 36 + 4 * at)),
        );
        words.push(word(Op::Addi, S0, S0, 0, 4 * HOSTILE_WORDS));
        let here = 4 * words.len() as u32;
        words.push(word(Op::Bltu, 0, S0, S1, driver.wrapping_sub(here)));
        // A direct call, then no instruction.
        let here = 4 * words.len() as u32;
        words.push(word(Op::Jal, RA as u8, 0, 0, start.wrapping_sub(here)));
        words.push(0);
        // Never run: blocks in the midst of the routine, and a loop that decides who gets a host register.
        for _ in 0..random.below(4) {
            let here = 4 * words.len() as u32;
            words.push(word(
                Op::Jal,
                0,
                0,
                0,
                (start + 4 * random.below(count)).wrapping_sub(here),
            ));
        }
        let length = random.below(30);
        for _ in 0..length {
            let [to, a, b] = [(); 3].map(|()| random.below(32) as u8);
            words.push(word(Op::Xor, to, a, b, 0));
        }
        words.push(word(Op::Bne, 0, 1, 2, (4 * length).wrapping_neg()));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut data: Vec<u8> = Vec::new();
        for record in records {
            let [to, back, rest @ ..] = *record;
            // Relative to the routine, and to where calls come back.
            let (to, back) = (start.wrapping_add(to), after.wrapping_add(back));
            data.extend([to, back].iter().chain(&rest).flat_map(|word| word.to_le_bytes()));
            data.resize_with(data.len() + 4 * (HOSTILE_WORDS as usize - 9), || random.word() as u8);
        }
        data.resize_with((MEMORY - RECORDS) as usize, || random.word() as u8);
        let segment = |address: u32, bytes, end: u64, executable| Segment {
            address,
            bytes,
            size: (end - u64::from(address)) as u32,
            executable,
        };
        let segments = [
            segment(0, &bytes, bytes.len() as u64, true),
            segment(RECORDS, &data, memory, false),
        ];
        Hostile {
            program: Program::new(&segments, driver, vec![]).unwrap(),
            start,
            after,
        }
    }
}

/// Whether most calls trap, and where memory ends, modulo 2^32.
#[derive(Clone, Copy)]
struct Hostility {
    wild: bool,
    end: u32,
}

/// An address: anywhere, at an end of memory or of what is made ready at once, or beside another.
fn hostile_address(random: &mut Random, kind: Hostility, others: &[u32], length: u32) -> u32 {
    let Hostility { wild, end } = kind;
    let near = random.below(17).wrapping_sub(8);
    let address = match random.below(12) {
        0..=3 | 7 if !wild => end.wrapping_sub(random.below(32)).wrapping_sub(length),
        0 => end.wrapping_sub(length).wrapping_add(near),
        1 => near.wrapping_sub(length),
        2 => near,
        3 => end.wrapping_add(near),
        4 => (BUFFERS + 0x2_0000)
            .wrapping_add(near)
            .wrapping_sub(random.below(2) * length),
        5 | 6 if !others.is_empty() => {
            let other = others[random.below(others.len() as u32) as usize];
            let by = [0, length, length.wrapping_neg(), 4 * random.below(130)][random.below(4) as usize];
            other.wrapping_add(by).wrapping_add(near)
        }
        7 => random.word(),
        _ => BUFFERS + random.below(MEMORY - BUFFERS - 0x3000),
    };
    match random.below(4) {
        0 => address,
        1 => address & !3,
        _ => address & !15,
    }
}

/// What a call is made with. Only of the wild ones most trap.
fn hostile_record(symbol: &str, count: u32, kind: Hostility, random: &mut Random) -> [u32; 9] {
    let wild = kind.wild;
    let to = match random.below(16) {
        _ if !wild => 0,
        0 => 4 * random.below(count),
        1 => 4 * random.below(count) + 1 + random.below(3),
        2 | 3 => (4 * random.below(6)).wrapping_neg(),
        _ => 0,
    };
    // Relative to where usual calls come back to, which is behind the routine.
    let back = match random.below(16) {
        _ if !wild => 0,
        0 => 1 + random.below(3),
        1 => (4 * random.below(count + 20)).wrapping_neg(),
        2 => 4 * random.below(100),
        3 => random.word(),
        _ => 0,
    };
    let length = match random.below(6) {
        0 => random.below(4),
        1 => [320, 512, 1280, 2560, 3840, 4096][random.below(6) as usize] + random.below(5) - 2,
        2 if wild && random.one_in(6) => random.word(),
        2 | 3 => random.below(6_000),
        _ => random.below(300),
    };
    let stack = match symbol {
        "surety_keccak_f" => 448,
        "surety_sha256_blocks" => 384,
        "surety_montgomery_256" => 48,
        _ => 32,
    };
    let sp = hostile_address(random, kind, &[], 0);
    let mut arguments = [(); 6].map(|()| random.word());
    match symbol {
        "memcpy" | "memset" | "memcmp" | "surety_dot_i8" => {
            arguments[0] = hostile_address(random, kind, &[], length);
            arguments[1] = hostile_address(random, kind, &[arguments[0]], length);
            arguments[2] = length;
        }
        "surety_keccak_f" => arguments[0] = hostile_address(random, kind, &[sp, sp.wrapping_sub(stack)], 200),
        "surety_sha256_blocks" => {
            let count = if wild && random.one_in(12) {
                random.word()
            } else {
                random.below(4)
            };
            arguments[0] = hostile_address(random, kind, &[sp, sp.wrapping_sub(stack)], 32);
            let others = [arguments[0], sp, sp.wrapping_sub(stack)];
            arguments[1] = hostile_address(random, kind, &others, count.wrapping_mul(64));
            arguments[2] = count;
        }
        "surety_matmul_i8" => {
            let mut side = || match random.below(8) {
                0 => 0,
                1 if wild && random.one_in(4) => random.word(),
                _ => random.below(14),
            };
            let [m, n, k] = [side(), side(), side()];
            arguments[1] = hostile_address(random, kind, &[sp, sp.wrapping_sub(stack)], m.wrapping_mul(k));
            arguments[2] = hostile_address(random, kind, &[arguments[1], sp], n.wrapping_mul(k));
            let length = m.wrapping_mul(n).wrapping_mul(4);
            arguments[0] = hostile_address(random, kind, &[arguments[1], arguments[2], sp], length);
            arguments[3..].copy_from_slice(&[m, n, k]);
        }
        "surety_montgomery_256" => {
            for at in 0..4 {
                let others = [sp, sp.wrapping_sub(stack), arguments[0]];
                arguments[at] = hostile_address(random, kind, if at == 0 { &others[..2] } else { &others }, 32);
            }
        }
        _ => {
            arguments[0] = float::number(random, 0x3f80_0000);
            arguments[1] = float::number(random, arguments[0]);
        }
    }
    let aligned: &[usize] = match symbol {
        "surety_keccak_f" | "surety_sha256_blocks" | "surety_matmul_i8" => &[0],
        "surety_montgomery_256" => &[0, 1, 2, 3],
        _ => &[],
    };
    for at in aligned.iter().filter(|_| !wild) {
        arguments[*at] &= !3;
    }
    let sp = if wild { sp } else { sp & !3 };
    let [a, b, c, d, e, f] = arguments;
    [to, back, sp, a, b, c, d, e, f]
}

/// Calls that no compiler makes: of the midst of a routine, back to anywhere, with pointers to anything; stopped at
/// steps around a call's first and last, and at others.
#[test]
fn p3_hostile_calls_are_the_machines() {
    const MOST: u64 = 60_000;
    let preimages = &mut MemoryPreimages::default();
    let (mut calls, mut rounds) = (0, 0);
    let mut random = Random::new(94);
    for (_, _, symbol) in ROUTINES {
        for _ in 0..20 {
            rounds += 1;
            let count = code(symbol).len() as u32;
            let tame = random.below(8);
            // All that 32 bits can address, where addresses beyond the end are those at the start.
            let memory = if random.one_in(4) { 1 << 32 } else { u64::from(MEMORY) };
            let kind = |at| Hostility {
                wild: at >= tame,
                end: memory as u32,
            };
            let records: Vec<_> = (0..8)
                .map(|at| hostile_record(symbol, count, kind(at), &mut random))
                .collect();
            let hostile = Hostile::new(symbol, &records, memory, &mut random);
            let mut machine = Machine::new(&hostile.program, ZERO);
            for register in 5..32 {
                machine.set_register(register, random.word());
            }
            machine.set_register(S0, RECORDS);
            machine.set_register(S1, RECORDS + 4 * HOSTILE_WORDS * records.len() as u32);
            let checkpoint = machine.checkpoint();
            // Where to stop: beside the steps at which a call begins or ends.
            let mut stops = vec![];
            while machine.status() == Status::Running && machine.steps() < MOST {
                if machine.pc() == hostile.start || machine.pc() == hostile.after {
                    calls += u64::from(machine.pc() == hostile.after);
                    stops.extend((0..3).map(|by| (machine.steps() + by).saturating_sub(1)));
                }
                machine.run(machine.steps() + 1, preimages).unwrap();
            }
            let steps = machine.steps();
            // Few, since who stops at a call's first step goes on in its plain code.
            stops.retain(|_| random.one_in(8));
            stops.extend((0..6).map(|_| random.next() % (steps + 1)));
            stops.extend([steps, steps + 5]);
            stops.sort_unstable();
            let translated = translate(&hostile.program, Options::default()).unwrap();
            let restore = |at: &Checkpoint| Run::restore(Kind::Translated, translated.as_ref(), at).unwrap();
            let mut run = restore(&checkpoint);
            let mut reference = checkpoint.restore();
            for stop in stops {
                let what = || format!("{symbol}, step {stop} of {steps}, {records:#x?}");
                run.run(stop, preimages).unwrap();
                reference.run(stop, preimages).unwrap();
                let seen = (run.status(), run.steps(), run.pc(), run.registers());
                let expected = (
                    reference.status(),
                    reference.steps(),
                    reference.pc(),
                    reference.registers(),
                );
                assert!(seen == expected, "{}: {seen:x?}, not {expected:x?}", what());
                if random.one_in(4) {
                    // After this, memory has to be made writable again.
                    assert_eq!(run.state_root(), reference.state_root(), "{}", what());
                }
                if random.one_in(8) {
                    run = restore(&run.checkpoint());
                }
            }
            assert_eq!(run.state_root(), reference.state_root(), "{symbol}");
        }
    }
    assert!(calls > 3 * rounds, "{calls} calls in {rounds} programs");
}
