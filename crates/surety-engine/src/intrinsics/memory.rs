//! Copying, filling and comparing memory: `asm/memcpy.S`, `asm/memset.S`, `asm/memcmp.S`.
//!
//! The step counts follow the routines line by line; a block of them here is a label there.

use super::{A0, A1, A2, A3, A4, A5, Space, T0, T1, T2, T3, T4, T5, T6, clear, inside};

/// `a0`: to; `a1`: from; `a2`: length.
pub(super) fn memcpy<S: Space + ?Sized>(registers: &mut [u32; 32], space: &mut S, steps_left: u64) -> Option<u64> {
    let (to, from, length) = (registers[A0], registers[A1], registers[A2]);
    let (steps, path) = memcpy_steps(to, from, length);
    if steps_left < steps {
        return None;
    }
    let ([from], to) = space.split([(from, length)], (to, length))?;
    to.copy_from_slice(from);
    match path {
        Path::Short => {}
        Path::Blocks => clear(registers, [T3, T4, T5, T6, A4, A5]),
        Path::Shifted => clear(registers, [T3, T4, T5, T6, A4]),
    }
    clear(registers, [T0, T1, T2, A1, A2, A3]);
    Some(steps)
}

/// Which registers a copy has used.
enum Path {
    Short,
    Blocks,
    Shifted,
}

fn memcpy_steps(to: u32, from: u32, length: u32) -> (u64, Path) {
    let rest = |length: u64| 1 + 6 * length;
    let words = |length: u64| 2 + 6 * (length / 4) + 1 + rest(length % 4);
    let start = 3;
    let done = 7;
    if length < 16 {
        let aligned = (to | from).is_multiple_of(4);
        let copied = if aligned {
            1 + words(length.into())
        } else {
            rest(length.into())
        };
        return (start + 3 + copied + done, Path::Short);
    }
    let head = to.wrapping_neg() % 4;
    let start = start + 8 * u64::from(head) + 2;
    let left = u64::from(length - head);
    if from.wrapping_add(head).is_multiple_of(4) {
        let blocks = left / 32;
        let (blocks, path) = match blocks {
            0 => (0, Path::Short),
            _ => (20 * blocks + 7, Path::Blocks),
        };
        (start + 4 + blocks + words(left % 32) + done, path)
    } else {
        let quads = 24 * (left / 16);
        let pairs = 10 * (left % 16 / 4);
        let bytes = match left % 4 {
            0 => 1,
            bytes => 6 * bytes,
        };
        (start + 8 + quads + 3 + pairs + 5 + 2 + bytes + done, Path::Shifted)
    }
}

/// `a0`: to; `a1`: the byte; `a2`: length.
pub(super) fn memset<S: Space + ?Sized>(registers: &mut [u32; 32], space: &mut S, steps_left: u64) -> Option<u64> {
    let (to, [byte, ..], length) = (registers[A0], registers[A1].to_le_bytes(), registers[A2]);
    let steps = memset_steps(to, length);
    if steps_left < steps {
        return None;
    }
    space.write(to, length)?.fill(byte);
    clear(registers, [T0, T1, A1, A2, A3]);
    Some(steps)
}

fn memset_steps(to: u32, length: u32) -> u64 {
    let rest = |length: u64| 1 + 4 * length;
    let start = 3;
    let done = 5;
    if length < 8 {
        return start + rest(length.into()) + done;
    }
    let head = to.wrapping_neg() % 4;
    let left = u64::from(length - head);
    let head = 5 + 6 * u64::from(head) + 2;
    let blocks = 2 + 11 * (left / 32);
    let words = 3 + 4 * (left % 32 / 4);
    start + head + blocks + words + 1 + rest(left % 4) + done
}

/// How much is compared at once, bytes.
const PIECE: u32 = 4096;

/// `a0` and `a1`: what is compared; `a2`: length.
pub(super) fn memcmp<S: Space + ?Sized>(registers: &mut [u32; 32], space: &mut S, steps_left: u64) -> Option<u64> {
    let (a, b, length) = (registers[A0], registers[A1], registers[A2]);
    if [a, b].iter().any(|address| !inside(space, *address, length.into())) {
        return None;
    }
    let mut different = None;
    let mut at = 0;
    // In pieces, since a call that ends at the first byte may name all of memory; each byte takes more than a step.
    while at < length && different.is_none() {
        if u64::from(at) > steps_left {
            return None;
        }
        let piece = PIECE.min(length - at);
        // Both may be the same, and neither is written.
        let ([left, right], _) = space.split([(a + at, piece), (b + at, piece)], (0, 0))?;
        different = first_difference(left, right).map(|(from, difference)| (u64::from(at) + from, difference));
        at += piece;
    }
    let steps = memcmp_steps(a, b, length.into(), different.map(|(at, _)| at));
    if steps_left < steps {
        return None;
    }
    registers[A0] = different.map_or(0, |(_, difference)| difference);
    clear(registers, [T0, T1, T2, A1, A2]);
    Some(steps)
}

/// Where two slices of one length first differ, and by how much.
fn first_difference(left: &[u8], right: &[u8]) -> Option<(u64, u32)> {
    const BLOCK: usize = 256;
    // Whole blocks by the library's comparison, which is as fast as memory.
    let same = left
        .chunks_exact(BLOCK)
        .zip(right.chunks_exact(BLOCK))
        .take_while(|(left, right)| left == right)
        .count();
    let start = BLOCK * same;
    let pairs = left.get(start..)?.iter().zip(right.get(start..)?);
    let (at, (left, right)) = pairs.enumerate().find(|(_, (left, right))| left != right)?;
    Some(((start + at) as u64, u32::from(*left).wrapping_sub(u32::from(*right))))
}

fn memcmp_steps(a: u32, b: u32, length: u64, different: Option<u64>) -> u64 {
    let end = 7;
    // From the label `rest` on: so many bytes, and where they differ.
    let bytes = |length: u64, different: Option<u64>| match different {
        Some(at) => 7 * at + 3 + end,
        None => 7 * length + 3 + end,
    };
    if length < 8 {
        return 2 + 1 + bytes(length, different);
    }
    if !(a ^ b).is_multiple_of(4) {
        return 5 + 1 + bytes(length, different);
    }
    let head = u64::from(a.wrapping_neg() % 4);
    let different = match different {
        Some(at) if at < head => return 5 + 9 * at + 5 + end,
        Some(at) => Some(at - head),
        None => None,
    };
    let start = 5 + 9 * head + 3;
    let words = (length - head) / 4;
    match different {
        Some(at) if at / 4 < words => start + 7 * (at / 4) + 5 + bytes(4, Some(at % 4)),
        _ => {
            let rest = bytes((length - head) % 4, different.map(|at| at - 4 * words));
            start + 7 * words + 1 + 1 + rest
        }
    }
}
