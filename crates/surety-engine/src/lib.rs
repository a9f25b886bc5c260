//! The fast engine: runs the programs of [`surety_machine`] at native speed, with every step counted.
//!
//! A [`Run`] is a machine in an engine of choice. All engines come to the same state after any number of steps: the
//! interpreter is the reference, the translated engine runs host code made of the program's ([`translate`]), and
//! [`Kind::Check`] runs both and stops at the first difference.
//!
//! ```
//! use surety_engine::{Kind, Run};
//! use surety_machine::{MemoryPreimages, Program, Segment, Status};
//!
//! // addi a7, zero, 1; addi a0, zero, 42; ecall: HALT with exit code 42.
//! let code: Vec<u8> = [0x0010_0893u32, 0x02a0_0513, 0x0000_0073].iter().flat_map(|word| word.to_le_bytes()).collect();
//! let segment = Segment { address: 0, bytes: &code, size: 12, executable: true };
//! let program = Program::new(&[segment], 0, vec![])?;
//!
//! let mut preimages = MemoryPreimages::default();
//! let input_hash = preimages.insert(b"the request's input");
//! let mut run = Run::new(Kind::default(), &program, input_hash)?;
//! assert_eq!(run.run(1_000_000, &mut preimages)?, Status::Halted);
//! assert_eq!((run.outcome().exit, run.steps()), (42, 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![allow(unsafe_code, reason = "making and running host code is what this crate is for")]

pub mod intrinsics;

mod cache;
mod code;
mod codes;
mod error;
mod keccak;
mod kind;
mod run;
#[cfg(translated)]
mod x86_64;

pub use code::{Code, Options, translate};
pub use codes::Codes;
pub use error::Error;
pub use keccak::Lanes;
pub use kind::{Kind, translated_here};
pub use run::Run;
