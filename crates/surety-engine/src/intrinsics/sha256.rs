//! SHA-256's compression function: `asm/sha256_blocks.S`.

use super::{A0, A1, A2, Space, T0, T1, T2, T3, T5, T6, apart, clear, frame, inside, words_inside};

/// Of a call without blocks: saving, the constants, restoring.
const STEPS: u64 = 350;
const STEPS_PER_BLOCK: u64 = 3_900;
const FRAME: u32 = 384;
const STATE: u32 = 32;
const BLOCK: u64 = 64;

/// `a0`: the state; `a1`: the blocks; `a2`: how many.
pub(super) fn blocks<S: Space + ?Sized>(registers: &mut [u32; 32], space: &mut S, steps_left: u64) -> Option<u64> {
    let (state, blocks, count) = (registers[A0], registers[A1], u64::from(registers[A2]));
    let steps = STEPS + STEPS_PER_BLOCK * count;
    let stack = frame(registers, space, FRAME)?;
    let length = BLOCK * count;
    if steps_left < steps
        || !words_inside(space, state, STATE.into())
        || !inside(space, blocks, length)
        || !apart((state, STATE.into()), (stack, FRAME.into()))
        || !apart((blocks, length), (stack, FRAME.into()))
    {
        return None;
    }
    // Now, since nothing may fail once something has changed.
    space.write(stack, FRAME)?;
    let ([message], bytes) = space.split([(blocks, u32::try_from(length).ok()?)], (state, STATE))?;
    let (words, _) = bytes.as_chunks_mut::<4>();
    let mut values = [0; 8];
    for (value, word) in values.iter_mut().zip(&*words) {
        *value = u32::from_le_bytes(*word);
    }
    sha2::block_api::compress256(&mut values, message.as_chunks().0);
    for (value, word) in values.iter().zip(words) {
        *word = value.to_le_bytes();
    }
    space.write(stack, FRAME)?.fill(0);
    clear(registers, [T0, T1, T2, T3, T5, T6, A1, A2]);
    Some(steps)
}
