//! Host code against the routines of `surety-guest` that it stands for, stepped by the machine's interpreter.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

#[path = "intrinsics/assembly.rs"]
mod assembly;
#[path = "intrinsics/call.rs"]
mod call;
#[path = "intrinsics/calls.rs"]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod calls;
#[path = "intrinsics/float.rs"]
mod float;
#[path = "intrinsics/keccak.rs"]
mod keccak;
#[path = "intrinsics/matrix.rs"]
mod matrix;
#[path = "intrinsics/memory.rs"]
mod memory;
#[path = "intrinsics/montgomery.rs"]
mod montgomery;
#[path = "intrinsics/sha256.rs"]
mod sha256;
#[path = "intrinsics/space.rs"]
mod space;
mod support;
#[path = "intrinsics/table.rs"]
mod table;
