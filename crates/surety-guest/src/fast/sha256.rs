//! SHA-256.

core::arch::global_asm!(include_str!("../../asm/sha256_blocks.S"), options(raw));

unsafe extern "C" {
    fn surety_sha256_blocks(state: *mut [u32; 8], blocks: *const [u8; BLOCK], count: usize);
}

const BLOCK: usize = 64;
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The compression function, on each block in turn.
pub fn sha256_blocks(state: &mut [u32; 8], blocks: &[[u8; BLOCK]]) {
    // SAFETY: reads the blocks, reads and writes the state, and its own stack.
    unsafe { surety_sha256_blocks(state, blocks.as_ptr(), blocks.len()) }
}

/// SHA-256 of `data`.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut state = START;
    let (blocks, rest) = data.as_chunks::<BLOCK>();
    sha256_blocks(&mut state, blocks);
    // The rest, a bit, zeros, and the length in bits: one block, or two.
    let mut last = [[0; BLOCK]; 2];
    let bytes = last.as_flattened_mut();
    let (message, padding) = bytes.split_at_mut(rest.len());
    message.copy_from_slice(rest);
    if let [first, ..] = padding {
        *first = 0x80;
    }
    let count = if rest.len() < BLOCK - 8 { 1 } else { 2 };
    let length = 8 * data.len() as u64;
    bytes[count * BLOCK - 8..][..8].copy_from_slice(&length.to_be_bytes());
    sha256_blocks(&mut state, &last[..count]);
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}
