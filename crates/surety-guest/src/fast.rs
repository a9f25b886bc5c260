//! Routines that engines know: a program that spends its time here runs at the speed of the host's own code.
//!
//! Each is plain RV32IM code (`asm/`), which any engine, and a dispute, executes step by step. The fast engine knows it by
//! the hash of its machine code and does the same with the host's: the result, the memory, the registers and the number of
//! steps are equal. So what a call costs in *steps* is what is said here, however fast it is.
//!
//! | routine | steps |
//! |---|---|
//! | [`keccak_f`] | 13,418 |
//! | [`sha256_blocks`] | 350, and 3,900 for each block of 64 bytes |
//! | [`dot`] | 12, and 4.5 for each product |
//! | [`matmul`] | 3.7 for each product, and 22 for each four results |
//! | [`Modulus::montgomery`] | 1,424 |
//! | [`sqrt`] | 486 |
//!
//! Two features of this crate replace what the compiler calls by itself, in the whole program:
//!
//! - `fast-memory`: `memcpy`, `memset`, `memcmp` and `bcmp`; about 0.6 steps a byte copied where both addresses are equal
//!   modulo 4, 1.5 where not.
//! - `fast-float`: the operations on `f32`. An addition is 123 steps, a product 108, a quotient 157, a comparison 27, a
//!   conversion at most 72.
//!
//! Lengths and alignments are the caller's business as in any Rust function: what these take cannot be wrong.

mod int8;
mod keccak;
mod modular;
mod sha256;

pub use int8::{dot, matmul};
pub use keccak::{keccak_f, keccak256};
pub use modular::Modulus;
pub use sha256::{sha256, sha256_blocks};

#[cfg(feature = "fast-memory")]
core::arch::global_asm!(include_str!("../asm/memcpy.S"), options(raw));
#[cfg(feature = "fast-memory")]
core::arch::global_asm!(include_str!("../asm/memset.S"), options(raw));
#[cfg(feature = "fast-memory")]
core::arch::global_asm!(include_str!("../asm/memcmp.S"), options(raw));

#[cfg(feature = "fast-float")]
core::arch::global_asm!(include_str!("../asm/float.S"), options(raw));

/// The square root, rounded as IEEE 754 says; that of a negative number is the NaN 0x7fc00000.
#[cfg(feature = "fast-float")]
#[must_use]
pub fn sqrt(x: f32) -> f32 {
    unsafe extern "C" {
        safe fn surety_sqrt_f32(x: f32) -> f32;
    }
    surety_sqrt_f32(x)
}
