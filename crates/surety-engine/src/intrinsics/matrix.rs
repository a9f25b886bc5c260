//! Products of int8 vectors and matrices: `asm/dot_i8.S`, `asm/matmul_i8.S`.

mod kernel;

use super::{
    A0, A1, A2, A3, A4, A5, A6, A7, Space, T0, T1, T2, T3, T4, T5, T6, apart, clear, frame, inside, words_inside,
};

/// `a0` and `a1`: the vectors; `a2`: their length.
pub(super) fn dot<S: Space + ?Sized>(registers: &mut [u32; 32], space: &mut S, steps_left: u64) -> Option<u64> {
    let (a, b, length) = (registers[A0], registers[A1], registers[A2]);
    let count = u64::from(length);
    let steps = 3 + 36 * (count / 8) + 2 + 8 * (count % 8) + 7;
    if steps_left < steps {
        return None;
    }
    let ([a, b], _) = space.split([(a, length), (b, length)], (0, 0))?;
    registers[A0] = kernel::dot(a, b);
    clear(registers, [T0, T1, T2, A1, A2, A3]);
    Some(steps)
}

/// What the routine's frame has, and how much of that it uses.
const FRAME: u32 = 32;
const USED: u32 = 20;

/// `a0`: out; `a1` and `a2`: the matrices; `a3` to `a5`: m, n, k.
pub(super) fn product<S: Space + ?Sized>(registers: &mut [u32; 32], space: &mut S, steps_left: u64) -> Option<u64> {
    let (out, a, b) = (registers[A0], registers[A1], registers[A2]);
    let [m, n, k] = [registers[A3], registers[A4], registers[A5]].map(u64::from);
    let stack = frame(registers, space, FRAME)?;
    // Of a product without numbers no factor is read, whatever k says of them.
    let (a_length, b_length) = if m * n == 0 { (0, 0) } else { (m * k, n * k) };
    let out_length = (m * n).checked_mul(4)?;
    let used = (stack, u64::from(USED));
    if !inside(space, a, a_length)
        || !inside(space, b, b_length)
        || !words_inside(space, out, out_length)
        || [(a, a_length), (b, b_length), (out, out_length)]
            .iter()
            .any(|range| !apart(*range, used))
    {
        return None;
    }
    // Each product of two sides is at most 2^32 by now, so that of all three is at most 2^48. But without rows, n and k
    // may be anything.
    let four = 22 + 59 * (k / 4) + 20 * (k % 4);
    let row = (n / 4).saturating_mul(four).saturating_add(9 + n % 4 * (9 + 8 * k));
    let steps = 7 + m * row + 25;
    if steps_left < steps {
        return None;
    }
    let [a_length, b_length, out_length] = [a_length, b_length, out_length].map(u32::try_from);
    let reads = [(a, a_length.ok()?), (b, b_length.ok()?)];
    // Now, since nothing may fail once something has changed.
    space.write(stack, USED)?;
    let ([a, b], bytes) = space.split(reads, (out, out_length.ok()?))?;
    kernel::product(bytes.as_chunks_mut().0, a, b, n as usize, k as usize);
    space.write(stack, USED)?.fill(0);
    clear(registers, [T0, T2, T3, T4, T5, T6, A0, A1, A2, A3, A4, A5, A6, A7]);
    Some(steps)
}
