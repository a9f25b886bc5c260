//! 32-bit floating point: `asm/float.S`.
//!
//! The host's processor adds, multiplies, divides and takes roots as IEEE 754 says; only its NaNs are of many kinds, and
//! are replaced by the one that the routines make.

#[cfg(translated)]
use super::Host;
use super::{A0, A1, A2, A3, A4, A5, T0, T1, T2, T3, T4, T6, clear};

/// RISC-V's canonical NaN.
const NAN: u32 = 0x7fc0_0000;
const INFINITY: u32 = 0x7f80_0000;
const SIGN: u32 = 1 << 31;

/// A routine's steps: usually, and where an operand is special.
struct Steps {
    usual: u64,
    special: u64,
}

const ADD: Steps = Steps {
    usual: 123,
    special: 55,
};
const SUBTRACT: Steps = Steps {
    usual: 125,
    special: 57,
};
const MULTIPLY: Steps = Steps {
    usual: 108,
    special: 54,
};
const DIVIDE: Steps = Steps {
    usual: 157,
    special: 62,
};
const ROOT: Steps = Steps {
    usual: 486,
    special: 26,
};
const COMPARE: u64 = 27;
const UNORDERED: u64 = 12;
const FROM_SIGNED: u64 = 72;
const FROM_UNSIGNED: u64 = 70;
const TO_SIGNED: u64 = 33;
const TO_UNSIGNED: u64 = 27;

/// The registers that are zero after each kind.
const BINARY_CLEARS: [usize; 10] = [T0, T1, T2, T3, T6, A1, A2, A3, A4, A5];
const ROOT_CLEARS: [usize; 8] = [T0, T1, T2, T3, T6, A1, A2, A3];
const COMPARE_CLEARS: [usize; 4] = [T0, T1, T2, A1];
const FROM_CLEARS: [usize; 6] = [T0, T1, T2, T3, A1, T6];
const TO_CLEARS: [usize; 5] = [T0, T1, T2, T3, T4];

/// A routine's steps where no operand is special, and the registers that are zero after it: for code that is made of it.
/// `None` if it is none of these.
#[cfg(translated)]
pub(crate) fn usual(host: Host) -> Option<(u64, &'static [usize])> {
    Some(match host {
        Host::Add => (ADD.usual, &BINARY_CLEARS),
        Host::Subtract => (SUBTRACT.usual, &BINARY_CLEARS),
        Host::Multiply => (MULTIPLY.usual, &BINARY_CLEARS),
        Host::Divide => (DIVIDE.usual, &BINARY_CLEARS),
        Host::Root => (ROOT.usual, &ROOT_CLEARS),
        Host::LessOrEqual | Host::GreaterOrEqual => (COMPARE, &COMPARE_CLEARS),
        Host::Unordered => (UNORDERED, &COMPARE_CLEARS),
        Host::FromSigned => (FROM_SIGNED, &FROM_CLEARS),
        Host::FromUnsigned => (FROM_UNSIGNED, &FROM_CLEARS),
        Host::ToSigned => (TO_SIGNED, &TO_CLEARS),
        Host::ToUnsigned => (TO_UNSIGNED, &TO_CLEARS),
        _ => return None,
    })
}

/// Infinite, or not a number.
fn infinite(x: u32) -> bool {
    x & INFINITY == INFINITY
}

fn bits(x: f32) -> u32 {
    if x.is_nan() { NAN } else { x.to_bits() }
}

/// An operation on two numbers.
fn binary(
    registers: &mut [u32; 32],
    steps_left: u64,
    steps: &Steps,
    special: impl Fn(u32, u32) -> bool,
    operation: impl Fn(f32, f32) -> f32,
) -> Option<u64> {
    let (a, b) = (registers[A0], registers[A1]);
    let steps = if special(a, b) { steps.special } else { steps.usual };
    if steps_left < steps {
        return None;
    }
    registers[A0] = bits(operation(f32::from_bits(a), f32::from_bits(b)));
    clear(registers, BINARY_CLEARS);
    Some(steps)
}

pub(super) fn add(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    binary(
        registers,
        steps_left,
        &ADD,
        |a, b| infinite(a) || infinite(b),
        |a, b| a + b,
    )
}

pub(super) fn subtract(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    binary(
        registers,
        steps_left,
        &SUBTRACT,
        |a, b| infinite(a) || infinite(b),
        |a, b| a - b,
    )
}

pub(super) fn multiply(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    binary(
        registers,
        steps_left,
        &MULTIPLY,
        |a, b| infinite(a) || infinite(b),
        |a, b| a * b,
    )
}

pub(super) fn divide(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    let special = |a, b| infinite(a) || infinite(b) || b & !SIGN == 0;
    binary(registers, steps_left, &DIVIDE, special, |a, b| a / b)
}

pub(super) fn root(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    let a = registers[A0];
    let special = !(1..INFINITY).contains(&a);
    let steps = if special { ROOT.special } else { ROOT.usual };
    if steps_left < steps {
        return None;
    }
    registers[A0] = bits(f32::from_bits(a).sqrt());
    clear(registers, ROOT_CLEARS);
    Some(steps)
}

/// -1, 0 or 1, and `unordered` where one is NaN.
pub(super) fn compare(registers: &mut [u32; 32], steps_left: u64, unordered: i32) -> Option<u64> {
    if steps_left < COMPARE {
        return None;
    }
    let (a, b) = (f32::from_bits(registers[A0]), f32::from_bits(registers[A1]));
    let order = a.partial_cmp(&b).map_or(unordered, |order| order as i32);
    registers[A0] = order.cast_unsigned();
    clear(registers, COMPARE_CLEARS);
    Some(COMPARE)
}

pub(super) fn unordered(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    if steps_left < UNORDERED {
        return None;
    }
    let nan = |bits| f32::from_bits(bits).is_nan();
    registers[A0] = u32::from(nan(registers[A0]) || nan(registers[A1]));
    clear(registers, COMPARE_CLEARS);
    Some(UNORDERED)
}

fn convert<const N: usize>(
    registers: &mut [u32; 32],
    steps_left: u64,
    steps: u64,
    clears: [usize; N],
    conversion: impl Fn(u32) -> u32,
) -> Option<u64> {
    if steps_left < steps {
        return None;
    }
    registers[A0] = conversion(registers[A0]);
    clear(registers, clears);
    Some(steps)
}

pub(super) fn from_signed(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    let conversion = |a: u32| (a.cast_signed() as f32).to_bits();
    convert(registers, steps_left, FROM_SIGNED, FROM_CLEARS, conversion)
}

pub(super) fn from_unsigned(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    convert(registers, steps_left, FROM_UNSIGNED, FROM_CLEARS, |a| {
        (a as f32).to_bits()
    })
}

/// As Rust's conversion, but for NaN, which is the largest number.
pub(super) fn to_signed(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    let conversion = |a| match f32::from_bits(a) {
        a if a.is_nan() => i32::MAX.cast_unsigned(),
        a => (a as i32).cast_unsigned(),
    };
    convert(registers, steps_left, TO_SIGNED, TO_CLEARS, conversion)
}

pub(super) fn to_unsigned(registers: &mut [u32; 32], steps_left: u64) -> Option<u64> {
    let conversion = |a| match f32::from_bits(a) {
        a if a.is_nan() => u32::MAX,
        a => a as u32,
    };
    convert(registers, steps_left, TO_UNSIGNED, TO_CLEARS, conversion)
}
