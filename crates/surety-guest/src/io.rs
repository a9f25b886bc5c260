//! Input, output, hints.

use alloc::vec::Vec;
use core::fmt;

use crate::preimage::read_append;
use crate::revert::Revert;
use crate::sys;

/// The request's input, whole: selector and arguments, at most [`PREIMAGE_MAX`](crate::PREIMAGE_MAX) bytes.
pub fn input() -> Vec<u8> {
    let (hash, length) = sys::input();
    let mut bytes = Vec::with_capacity(length);
    read_append(&hash, 0, length, &mut bytes);
    bytes
}

/// The keccak-256 hash of the request's input.
pub fn input_hash() -> [u8; 32] {
    sys::input().0
}

/// Writes the output, in the canonical chunks. A program calls it once.
pub fn output(bytes: &[u8]) {
    #[repr(C, align(32))]
    #[derive(Clone, Copy)]
    struct Chunk([u8; 32]);

    if bytes.as_ptr() as usize % 32 == 0 {
        return sys::write(bytes);
    }
    // WRITE splits where addresses are multiples of 32, so what lies elsewhere is moved first.
    let mut buffer = [Chunk([0; 32]); 16];
    for part in bytes.chunks(512) {
        for (chunk, bytes) in buffer.iter_mut().zip(part.chunks(32)) {
            chunk.0[..bytes.len()].copy_from_slice(bytes);
        }
        // SAFETY: `Chunk` is 32 bytes without padding, so 16 of them are 512 initialised bytes; a part has at most 512.
        sys::write(unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast(), part.len()) });
    }
}

/// Ends the program: with exit code 0 and the bytes as output, or as [`revert`] does.
pub fn return_value(result: Result<Vec<u8>, Revert>) -> ! {
    match result {
        Ok(bytes) => {
            output(&bytes);
            sys::halt(0)
        }
        Err(reason) => revert(reason),
    }
}

/// Refuses the request: exit code 1, `Error(string)` as output.
pub fn revert(reason: impl Into<Revert>) -> ! {
    output(&reason.into().encode());
    sys::halt(1)
}

/// Tells the provider what the program is about to read, so that it can fetch it: `hint(format_args!("header 0x{…}"))`.
/// Longer than 1,024 bytes, it is ignored by the machine. It never changes a result.
pub fn hint(text: impl fmt::Display) {
    sys::hint(alloc::format!("{text}").as_bytes());
}
