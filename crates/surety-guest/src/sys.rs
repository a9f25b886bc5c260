//! The system calls, one function each, as `docs/spec/machine.md` section 6 numbers them.

use core::arch::asm;

const HALT: u32 = 1;
const WRITE: u32 = 2;
const READ: u32 = 3;
const INPUT: u32 = 4;
const HINT: u32 = 5;

/// Ends the program with an exit code. 0 is success; 1 is a refusal with `Error(string)` as output.
pub fn halt(code: u32) -> ! {
    // SAFETY: HALT touches no memory and does not return.
    unsafe { asm!("ecall", in("a7") HALT, in("a0") code, options(noreturn, nomem, nostack)) }
}

/// Ends the program in a trap with cause *illegal*: EBREAK is not an instruction of the machine.
pub fn trap() -> ! {
    // SAFETY: EBREAK traps; it touches nothing and does not return.
    unsafe { asm!("ebreak", options(noreturn, nomem, nostack)) }
}

/// Appends bytes to the output as they lie in memory: split at multiples of 32 in their *addresses*. Use
/// [`crate::output`], which makes the chunks canonical.
pub fn write(bytes: &[u8]) {
    // SAFETY: WRITE reads `len` bytes at the pointer; both come from a slice.
    unsafe {
        asm!(
            "ecall",
            in("a7") WRITE,
            inout("a0") bytes.as_ptr() => _,
            inout("a1") bytes.len() => _,
            options(nostack, readonly),
        );
    }
}

/// Copies from the preimage of `hash`, from byte `offset` on, until `into` or the preimage ends.
/// Returns how many bytes were copied.
pub fn read(hash: &[u8; 32], offset: u32, into: &mut [u8]) -> usize {
    // SAFETY: as for `read_raw`, with a pointer and length that come from an exclusive slice.
    unsafe { read_raw(hash, offset, into.as_mut_ptr(), into.len()) }
}

/// [`read()`] into memory that need not be initialised.
///
/// # Safety
/// `into` must be valid for writes of `len` bytes.
pub unsafe fn read_raw(hash: &[u8; 32], offset: u32, into: *mut u8, len: usize) -> usize {
    let word = |i: usize| u32::from_le_bytes([hash[4 * i], hash[4 * i + 1], hash[4 * i + 2], hash[4 * i + 3]]);
    let left: usize;
    // SAFETY: READ writes at most `len` bytes at `into`, which the caller vouches for.
    unsafe {
        asm!(
            "ecall",
            in("a7") READ,
            in("s2") word(0), in("s3") word(1), in("s4") word(2), in("s5") word(3),
            in("s6") word(4), in("s7") word(5), in("s8") word(6), in("s9") word(7),
            inout("a0") into => _,
            inout("a1") offset => _,
            inout("a2") len => left,
            options(nostack),
        );
    }
    len - left
}

/// The hash of the request's input, and its length in bytes.
pub fn input() -> ([u8; 32], usize) {
    let length: usize;
    let words: [u32; 8];
    // SAFETY: INPUT writes registers only.
    unsafe {
        let (a, b, c, d): (u32, u32, u32, u32);
        let (e, f, g, h): (u32, u32, u32, u32);
        asm!(
            "ecall",
            in("a7") INPUT,
            out("s2") a, out("s3") b, out("s4") c, out("s5") d,
            out("s6") e, out("s7") f, out("s8") g, out("s9") h,
            out("a0") length,
            options(nostack, nomem),
        );
        words = [a, b, c, d, e, f, g, h];
    }
    let mut hash = [0; 32];
    for (bytes, word) in hash.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    (hash, length)
}

/// Tells the provider what will be read. Longer than 1,024 bytes, it is ignored. Never changes a result.
pub fn hint(text: &[u8]) {
    // SAFETY: HINT reads `len` bytes at the pointer; both come from a slice.
    unsafe { asm!("ecall", in("a7") HINT, in("a0") text.as_ptr(), in("a1") text.len(), options(nostack, readonly)) }
}
