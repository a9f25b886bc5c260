//! Keccak.

core::arch::global_asm!(include_str!("../../asm/keccak_f.S"), options(raw));

unsafe extern "C" {
    fn surety_keccak_f(state: *mut [u64; 25]);
}

/// Keccak-f\[1600\]: the permutation, on lane x + 5y at index x + 5y.
pub fn keccak_f(state: &mut [u64; 25]) {
    // SAFETY: reads and writes the 200 bytes of the state, and its own stack.
    unsafe { surety_keccak_f(state) }
}

/// Bytes that a permutation takes in.
const RATE: usize = 136;

/// Keccak-256 of `data`, as Ethereum uses it: as [`crate::keccak256`], but with [`keccak_f`].
#[must_use]
pub fn keccak256(data: &[u8]) -> [u8; 32] {
    let mut state = [0; 25];
    let (blocks, rest) = data.as_chunks::<RATE>();
    for block in blocks {
        absorb(&mut state, block);
    }
    let mut last = [0; RATE];
    let (message, padding) = last.split_at_mut(rest.len());
    message.copy_from_slice(rest);
    if let [first, ..] = padding {
        *first = 1;
    }
    last[RATE - 1] |= 0x80;
    absorb(&mut state, &last);
    let mut hash = [0; 32];
    for (bytes, lane) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = lane.to_le_bytes();
    }
    hash
}

fn absorb(state: &mut [u64; 25], block: &[u8; RATE]) {
    for (lane, bytes) in state.iter_mut().zip(block.as_chunks().0) {
        *lane ^= u64::from_le_bytes(*bytes);
    }
    keccak_f(state);
}
