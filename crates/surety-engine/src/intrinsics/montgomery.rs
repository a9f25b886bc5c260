//! The Montgomery product of 256-bit numbers: `asm/montgomery_256.S`.

use super::{A0, A1, A2, A3, A5, Space, T0, T1, T2, T3, T4, T5, T6, apart, clear, frame, words_inside};

/// Whatever the numbers are.
const STEPS: u64 = 1_424;
const FRAME: u32 = 48;
/// How much of the frame is used.
const USED: u32 = 40;
const NUMBER: u32 = 32;

/// Four words of 64 bits, the lowest first.
type Number = [u64; 4];

/// `a0`: out; `a1` and `a2`: the factors; `a3`: the modulus.
pub(super) fn product<S: Space + ?Sized>(registers: &mut [u32; 32], space: &mut S, steps_left: u64) -> Option<u64> {
    let [out, a, b, m] = [registers[A0], registers[A1], registers[A2], registers[A3]];
    let stack = frame(registers, space, FRAME)?;
    let number = |address| (address, u64::from(NUMBER));
    let fine = [out, a, b, m]
        .iter()
        .all(|address| words_inside(space, *address, NUMBER.into()) && apart(number(*address), (stack, USED.into())));
    // Factors are read before anything is stored; the modulus is read in between.
    if steps_left < STEPS || !fine || !apart(number(out), number(m)) {
        return None;
    }
    let modulus = load(space, m)?;
    if modulus[0].is_multiple_of(2) {
        return None;
    }
    // Now, since nothing may fail once something has changed.
    space.write(stack, USED)?;
    let product = montgomery(&load(space, a)?, &load(space, b)?, &modulus);
    for (bytes, word) in space.write(out, NUMBER)?.as_chunks_mut().0.iter_mut().zip(product) {
        *bytes = word.to_le_bytes();
    }
    space.write(stack, USED)?.fill(0);
    clear(registers, [T0, T1, T2, T3, T4, T5, T6, A1, A5]);
    Some(STEPS)
}

fn load<S: Space + ?Sized>(space: &mut S, address: u32) -> Option<Number> {
    let mut number = [0; 4];
    for (word, bytes) in number.iter_mut().zip(space.read(address, NUMBER)?.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Some(number)
}

/// `accumulator` + `a` * `b` + `carry`, which always fits; the low word, and the new carry.
fn add(accumulator: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let sum = u128::from(a) * u128::from(b) + u128::from(accumulator) + u128::from(carry);
    (sum as u64, (sum >> 64) as u64)
}

/// t = (a b + q m) / 2^256, less m if t is not below it; the low 256 bits.
///
/// q is the one number below 2^256 that makes the division exact, so the size of a word makes no difference.
fn montgomery(a: &Number, b: &Number, m: &Number) -> Number {
    // -1 / m modulo 2^64: right in 3 bits to begin with, and twice as many each time.
    let mut inverse = m[0];
    for _ in 0..5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(m[0].wrapping_mul(inverse)));
    }
    let inverse = inverse.wrapping_neg();
    let mut sum = [0; 4];
    let mut top = 0u64;
    for factor in a {
        let mut carry = 0;
        for (word, b) in sum.iter_mut().zip(b) {
            (*word, carry) = add(*word, *factor, *b, carry);
        }
        let (high, over) = top.overflowing_add(carry);
        let q = sum[0].wrapping_mul(inverse);
        (_, carry) = add(sum[0], q, m[0], 0);
        for i in 1..4 {
            (sum[i - 1], carry) = add(sum[i], q, m[i], carry);
        }
        let (word, more) = high.overflowing_add(carry);
        sum[3] = word;
        top = u64::from(over) + u64::from(more);
    }
    let mut less = sum;
    let mut borrow = false;
    for (word, m) in less.iter_mut().zip(m) {
        (*word, borrow) = subtract(*word, *m, borrow);
    }
    if top < u64::from(borrow) { sum } else { less }
}

/// a - b - borrow, and whether that borrows.
fn subtract(a: u64, b: u64, borrow: bool) -> (u64, bool) {
    let (difference, first) = a.overflowing_sub(b);
    let (difference, second) = difference.overflowing_sub(u64::from(borrow));
    (difference, first | second)
}
