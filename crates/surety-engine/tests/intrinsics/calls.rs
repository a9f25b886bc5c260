//! Calls from translated code, many in a row, held to the interpreter wherever they are stopped.

use surety_engine::{Kind, Options, Run, translate};
use surety_machine::{Machine, MemoryPreimages, Op, Program, Segment, Status, ZERO};

use crate::support::generate::word;
use crate::{
    assembly::code,
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

/// A program that calls a routine with each record, and keeps what is in `a0` after it. Its code, and where it starts
/// and ends.
fn caller(symbol: &str) -> (Vec<u32>, u32, u32) {
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
    let end = 4 * words.len() as u32;
    words.push(word(Op::Jal, 0, 0, 0, 0));
    (words, start, end)
}

/// Runs all calls in both engines, with some stops.
fn check(symbol: &str, stack: u32, records: &[[u32; 6]], random: &mut Random) {
    let (words, start, end) = caller(symbol);
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
    while machine.pc() != end && machine.status() == Status::Running {
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
