//! 32-bit floating point: host code against the routine, and both against IEEE 754 as this processor has it.

use crate::call::{A0, Call, Random};

pub(crate) const INTERESTING: &[u32] = &[
    0x0000_0000,
    0x0000_0001,
    0x0000_0002,
    0x0000_0003,
    0x0040_0000,
    0x007f_ffff,
    0x0080_0000,
    0x0080_0001,
    0x00ff_ffff,
    0x0100_0000,
    0x0c00_0000,
    0x3300_0000,
    0x3380_0000,
    0x3400_0000,
    0x3eff_ffff,
    0x3f00_0000,
    0x3f00_0001,
    0x3f7f_ffff,
    0x3f80_0000,
    0x3f80_0001,
    0x3fc0_0000,
    0x4000_0000,
    0x4040_0000,
    0x4b00_0001,
    0x4b7f_ffff,
    0x4b80_0000,
    0x4eff_ffff,
    0x4f00_0000,
    0x4f7f_ffff,
    0x4f80_0000,
    0x5f00_0000,
    0x7e80_0000,
    0x7f00_0000,
    0x7f7f_ffff,
    0x7f80_0000,
    0x7f80_0001,
    0x7fbf_ffff,
    0x7fc0_0000,
    0x7fff_ffff,
];

pub(crate) fn number(random: &mut Random, near: u32) -> u32 {
    match random.below(6) {
        0 => INTERESTING[random.below(INTERESTING.len() as u32) as usize] | random.below(2) << 31,
        // Of about the same size as the other one.
        1 | 2 => near.wrapping_add(random.below(1 << 27)).wrapping_sub(1 << 26) ^ random.below(2) << 31,
        // Few bits: exact results, ties.
        3 => random.word() & 0xfff8_0000,
        _ => random.word(),
    }
}

const NAN: u32 = 0x7fc0_0000;

fn bits(x: f32) -> u32 {
    if x.is_nan() { NAN } else { x.to_bits() }
}

/// Calls a routine with many numbers, and compares with `expected`. Machine and memory are the same throughout.
fn check(symbol: &'static str, seed: u64, expected: impl Fn(u32, u32) -> u32) {
    let mut random = Random::new(seed);
    let mut call = Call::random(symbol, &mut random);
    call.memory.fill(0);
    let mut one = |a: u32, b: u32, random: &mut Random| {
        call.registers[5..].fill_with(|| random.word());
        call.registers[A0] = a;
        call.registers[A0 + 1] = b;
        let (after, steps) = call.check_registers().expect("never declined");
        assert_eq!(after, expected(a, b), "{symbol}({a:#x}, {b:#x}), {steps} steps");
        if random.one_in(500) {
            call.check_limit();
        }
    };
    let signs = |x: &u32| [*x, *x | 1 << 31];
    for a in INTERESTING.iter().flat_map(signs) {
        for b in INTERESTING.iter().flat_map(signs) {
            one(a, b, &mut random);
        }
    }
    for _ in 0..30_000 {
        let a = number(&mut random, 0x3f80_0000);
        let b = number(&mut random, a);
        one(a, b, &mut random);
    }
}

fn float(operation: impl Fn(f32, f32) -> f32) -> impl Fn(u32, u32) -> u32 {
    move |a, b| bits(operation(f32::from_bits(a), f32::from_bits(b)))
}

#[test]
fn add_is_ieee_754() {
    check("__addsf3", 20, float(|a, b| a + b));
}

#[test]
fn subtract_is_ieee_754() {
    check("__subsf3", 21, float(|a, b| a - b));
}

#[test]
fn multiply_is_ieee_754() {
    check("__mulsf3", 22, float(|a, b| a * b));
}

#[test]
fn divide_is_ieee_754() {
    check("__divsf3", 23, float(|a, b| a / b));
}

#[test]
fn root_is_ieee_754() {
    check("surety_sqrt_f32", 24, float(|a, _| a.sqrt()));
}

fn order(unordered: i32) -> impl Fn(u32, u32) -> u32 {
    move |a, b| {
        let order = f32::from_bits(a).partial_cmp(&f32::from_bits(b));
        order.map_or(unordered, |order| order as i32) as u32
    }
}

#[test]
fn comparisons_are_ieee_754() {
    check("__lesf2", 25, order(1));
    check("__gesf2", 26, order(-1));
    check("__unordsf2", 27, |a, b| {
        u32::from(f32::from_bits(a).is_nan() || f32::from_bits(b).is_nan())
    });
}

#[test]
fn conversions_are_ieee_754_and_risc_v() {
    check("__floatsisf", 28, |a, _| (a as i32 as f32).to_bits());
    check("__floatunsisf", 29, |a, _| (a as f32).to_bits());
    let nan = |a: u32| f32::from_bits(a).is_nan();
    check("__fixsfsi", 30, |a, _| {
        if nan(a) {
            0x7fff_ffff
        } else {
            f32::from_bits(a) as i32 as u32
        }
    });
    check("__fixunssfsi", 31, |a, _| {
        if nan(a) { u32::MAX } else { f32::from_bits(a) as u32 }
    });
}

/// Single cases by hand, so that not only this processor says so.
#[test]
fn known_answers() {
    let cases = [
        // 1 + 2^-24: a tie, to even; 1 + 2^-23 + 2^-24 is one too, and goes up.
        ("__addsf3", 0x3f80_0000, 0x3380_0000, 0x3f80_0000),
        ("__addsf3", 0x3f80_0001, 0x3380_0000, 0x3f80_0002),
        ("__addsf3", 0x7f7f_ffff, 0x7f7f_ffff, 0x7f80_0000),
        ("__addsf3", 0x8000_0000, 0x8000_0000, 0x8000_0000),
        ("__addsf3", 0x7f80_0000, 0xff80_0000, NAN),
        ("__subsf3", 0x3f80_0000, 0x3f80_0000, 0),
        ("__subsf3", 0x0080_0000, 0x0000_0001, 0x007f_ffff),
        ("__mulsf3", 0x0000_0001, 0x3f00_0000, 0),
        ("__mulsf3", 0x0000_0003, 0x3f00_0000, 2),
        ("__mulsf3", 0x7f80_0000, 0x8000_0000, NAN),
        ("__divsf3", 0x3f80_0000, 0x4040_0000, 0x3eaa_aaab),
        ("__divsf3", 0x3f80_0000, 0x8000_0000, 0xff80_0000),
        ("__divsf3", 0x0000_0000, 0x0000_0000, NAN),
        ("surety_sqrt_f32", 0x4000_0000, 0, 0x3fb5_04f3),
        ("surety_sqrt_f32", 0x8000_0000, 0, 0x8000_0000),
        ("surety_sqrt_f32", 0xbf80_0000, 0, NAN),
        ("__fixsfsi", 0xcf00_0000, 0, 0x8000_0000),
        ("__fixsfsi", 0xcf00_0001, 0, 0x8000_0000),
        ("__fixunssfsi", 0xbf00_0000, 0, 0),
    ];
    let mut random = Random::new(32);
    for (symbol, a, b, expected) in cases {
        let mut call = Call::random(symbol, &mut random);
        call.registers[A0] = a;
        call.registers[A0 + 1] = b;
        let (after, _) = call.check_limit();
        assert_eq!(after.registers[A0], expected, "{symbol}({a:#x}, {b:#x})");
    }
}
