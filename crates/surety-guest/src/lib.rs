//! What a Surety program links against.
//!
//! A program is a deterministic function, called like a Solidity contract: its input is a 4-byte selector and
//! ABI-encoded arguments, its output the ABI-encoded return values. It runs on the machine that
//! `docs/spec/machine.md` specifies. `docs/guides/programs.md` shows how to write, build and run one.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! use surety_guest::{Revert, U256};
//!
//! fn add(a: u64, b: u64) -> Result<U256, Revert> {
//!     Ok(U256::from(u128::from(a) + u128::from(b)))
//! }
//!
//! surety_guest::methods! {
//!     "add(uint64,uint64)" => add,
//! }
//! ```
//!
//! How a program ends:
//!
//! | how | status | exit | output |
//! |---|---|---|---|
//! | a method returns `Ok(value)` | halted | 0 | the ABI encoding of the value |
//! | a method returns `Err(revert)`, or the call is malformed | halted | 1 | `Error(string)`, as Solidity encodes a revert |
//! | a panic, memory used up | trapped (illegal instruction) | 1 | `Error(string)` with the panic's message |
//! | the stack overflows | trapped (store-range) | 7 | nothing |
//!
//! Everything here that makes a system call exists on `riscv32` only. The rest (ABI, hashing, the tree of
//! preimages) also compiles for the host, so that clients and tests use the same code.

#![no_std]

extern crate alloc;

pub mod abi;
mod call;
mod hash;
mod revert;
pub mod tree;

pub use abi::{Address, Bytes, U256};
pub use call::selector;
#[doc(hidden)]
pub use call::{Handler, assert_signature, dispatch};
pub use hash::keccak256;
pub use revert::Revert;

#[cfg(target_arch = "riscv32")]
pub mod fast;
#[cfg(target_arch = "riscv32")]
mod heap;
#[cfg(target_arch = "riscv32")]
mod io;
#[cfg(target_arch = "riscv32")]
mod panic;
#[cfg(target_arch = "riscv32")]
mod preimage;
#[cfg(target_arch = "riscv32")]
mod start;
#[cfg(target_arch = "riscv32")]
pub mod sys;

#[cfg(target_arch = "riscv32")]
pub use io::{hint, input, input_hash, output, return_value, revert};
#[cfg(target_arch = "riscv32")]
pub use preimage::{Mismatch, Preimages, read_preimage, read_preimage_at, read_preimage_checked};

/// The longest preimage the machine knows, in bytes (96 KiB: what one transaction can show on-chain).
pub const PREIMAGE_MAX: usize = 98_304;
