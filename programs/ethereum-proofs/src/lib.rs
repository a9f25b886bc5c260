//! Reading Ethereum's state and receipts from trie nodes.
//!
//! Everything is strict: an encoding that Ethereum itself would not produce is refused, with an error that names what
//! was wrong, for these bytes come from whoever serves them. Sources: Ethereum Yellow Paper, appendices B (RLP),
//! C (hex-prefix) and D (modified Merkle Patricia tree); EIP-2718 (typed receipts).
//!
//! Own code, since the usual crates need atomics, which riscv32im lacks. The tests compare it with `alloy-trie`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod account;
mod header;
mod receipt;
pub mod rlp;
pub mod trie;

pub use account::Account;
pub use header::Header;
pub use receipt::{Receipt, receipt_key};
