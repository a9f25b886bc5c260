//! Keccak-f\[1600\]: `asm/keccak_f.S`.

mod permutation;

#[cfg(translated)]
pub(crate) use permutation::with_vectors;

use super::{A0, A1, A2, A3, A4, A5, A6, Space, T0, T1, T2, T3, T4, T5, T6, apart, clear, frame, words_inside};

/// Whatever the state is.
pub(crate) const STEPS: u64 = 13_418;
pub(crate) const FRAME: u32 = 448;
pub(crate) const STATE: u32 = 200;

/// `a0`: the state.
pub(super) fn f1600<S: Space + ?Sized>(registers: &mut [u32; 32], space: &mut S, steps_left: u64) -> Option<u64> {
    let state = registers[A0];
    let stack = frame(registers, space, FRAME)?;
    if steps_left < STEPS
        || !words_inside(space, state, STATE.into())
        || !apart((state, STATE.into()), (stack, FRAME.into()))
    {
        return None;
    }
    // Now, since nothing may fail once something has changed.
    space.write(stack, FRAME)?;
    let (lanes, _) = space.write(state, STATE)?.as_chunks_mut::<8>();
    let mut words = [0; 25];
    for (word, lane) in words.iter_mut().zip(&*lanes) {
        *word = u64::from_le_bytes(*lane);
    }
    permutation::f1600(&mut words);
    for (word, lane) in words.iter().zip(lanes) {
        *lane = word.to_le_bytes();
    }
    space.write(stack, FRAME)?.fill(0);
    clear(registers, [T0, T1, T2, T3, T4, T5, T6, A1, A2, A3, A4, A5, A6]);
    Some(STEPS)
}
