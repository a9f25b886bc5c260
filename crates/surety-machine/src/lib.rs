//! The Surety machine: a deterministic RV32IM computer whose every step can be proved on-chain.
//!
//! `docs/spec/machine.md` is the specification. A [`Program`] is loaded from an ELF file; a [`Machine`] runs it for
//! exactly as many steps as it is told; its state root commits to everything it holds; a [`Witness`] proves a single
//! step to someone who has only the root, which [`verify_step`] checks as `Machine.sol` does. The machine has no
//! clock, network, disk or randomness: all it reads comes from its [`Preimages`], checked by hash.
//!
//! ```
//! use surety_machine::{Machine, MemoryPreimages, Program, Segment, Status, keccak256};
//!
//! // addi a7, zero, 1; addi a0, zero, 42; ecall: HALT with exit code 42. A real one comes from `Program::from_elf`.
//! let code: Vec<u8> = [0x0010_0893u32, 0x02a0_0513, 0x0000_0073].iter().flat_map(|word| word.to_le_bytes()).collect();
//! let segment = Segment { address: 0, bytes: &code, size: 12, executable: true };
//! let program = Program::new(&[segment], 0, vec![])?;
//!
//! let mut preimages = MemoryPreimages::default();
//! let input_hash = preimages.insert(b"the request's input");
//! let mut machine = Machine::new(&program, input_hash);
//! machine.run(1_000_000, &mut preimages)?;
//!
//! let outcome = machine.outcome();
//! assert_eq!((outcome.status, outcome.exit, machine.steps()), (Status::Halted, 42, 3));
//! println!("result hash {:x?}, state root {:x?}", outcome.result_hash(), machine.state_root());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]

extern crate alloc;

mod call;
mod elf;
mod encoding;
mod hash;
mod isa;
mod machine;
mod memory;
mod preimages;
mod program;
mod state;
mod tree;
mod witness;
mod zero_roots;

pub use elf::ElfError;
pub use encoding::{Decoded, Format, REGISTERS, decode};
pub use hash::{Hash, ZERO, keccak256};
pub use isa::{Effect, Instruction, Op, TABLE, Width};
pub use machine::{Checkpoint, DEFAULT_OUTPUT_LIMIT, Machine, RunError, Running};
pub use memory::{DataMemory, Memory};
pub use preimages::{MAX_PREIMAGE_BYTES, MemoryPreimages, Preimages, WithInput};
pub use program::{MAX_CODE_BYTES, Program, ProgramError, Segment};
pub use state::{
    MAX_HEIGHT, MIN_MEMORY_HEIGHT, Outcome, STATE_BYTES, State, Status, TrapCause, canonical_output_root, output_root,
};
pub use tree::{LEAF_BYTES, PAGE_BYTES, PairHasher, Proof, Tree};
pub use witness::{PreimageOracle, VerifiedStep, Witness, WitnessError, verify_step};
pub use zero_roots::ZERO_ROOTS;
