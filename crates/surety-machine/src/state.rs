//! The state as it is hashed, and what a run comes to.

use crate::hash::{Hash, keccak, keccak256};
use core::fmt;

/// Length of an encoded state, bytes.
pub const STATE_BYTES: usize = 263;

/// The greatest height of either tree: 2^27 leaves of 32 bytes are 4 GiB.
pub const MAX_HEIGHT: u8 = 27;

/// The least height of data memory: 64 KiB.
pub const MIN_MEMORY_HEIGHT: u8 = 11;

/// Whether a machine runs, and if not, how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// It takes steps. As the status of an outcome: it ran out of steps.
    Running = 0,
    /// The program called `HALT`.
    Halted = 1,
    /// The program did something it must not; see [`TrapCause`].
    Trapped = 2,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Running => "running",
            Status::Halted => "halted",
            Status::Trapped => "trapped",
        })
    }
}

/// Why a machine trapped: the `exit` of a trapped machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum TrapCause {
    /// A word that is no instruction.
    Illegal = 1,
    /// `pc` misaligned or outside the code tree.
    Fetch = 2,
    /// The target of a jump or taken branch is not a multiple of 4.
    JumpMisaligned = 3,
    /// The address of a load is not a multiple of its size.
    LoadMisaligned = 4,
    /// A load, or the source of `WRITE`, outside data memory.
    LoadRange = 5,
    /// The address of a store is not a multiple of its size.
    StoreMisaligned = 6,
    /// A store, or the destination of `READ`, outside data memory.
    StoreRange = 7,
    /// A system call with an unknown number.
    Syscall = 8,
}

impl TrapCause {
    /// Every cause, by number from 1.
    pub const ALL: [TrapCause; 8] = [
        TrapCause::Illegal,
        TrapCause::Fetch,
        TrapCause::JumpMisaligned,
        TrapCause::LoadMisaligned,
        TrapCause::LoadRange,
        TrapCause::StoreMisaligned,
        TrapCause::StoreRange,
        TrapCause::Syscall,
    ];

    /// The cause with this number.
    #[must_use]
    pub fn from_exit(exit: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| *cause as u32 == exit)
    }

    /// The cause's name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TrapCause::Illegal => "illegal",
            TrapCause::Fetch => "fetch",
            TrapCause::JumpMisaligned => "jump-misaligned",
            TrapCause::LoadMisaligned => "load-misaligned",
            TrapCause::LoadRange => "load-range",
            TrapCause::StoreMisaligned => "store-misaligned",
            TrapCause::StoreRange => "store-range",
            TrapCause::Syscall => "syscall",
        }
    }
}

impl fmt::Display for TrapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A machine's state: memory by its root, the rest in full. Section 1 of the specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Root of the code tree.
    pub code_root: Hash,
    /// Root of data memory.
    pub memory_root: Hash,
    /// keccak-256 of the request's input.
    pub input_hash: Hash,
    /// What the program has written.
    pub output_root: Hash,
    /// Address of the next instruction.
    pub pc: u32,
    /// `x0` to `x31`. `x0` is not encoded.
    pub registers: [u32; 32],
    /// As encoded: a [`Status`]; any other value counts as ended.
    pub status: u8,
    /// Exit code when halted, trap cause when trapped, 0 while running.
    pub exit: u32,
    /// The code tree has 2^`code_height` leaves.
    pub code_height: u8,
    /// Data memory has 2^`memory_height` leaves.
    pub memory_height: u8,
}

impl State {
    /// The 263 bytes whose hash is the state root.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; STATE_BYTES] {
        let mut bytes = [0; STATE_BYTES];
        bytes[0..32].copy_from_slice(&self.code_root);
        bytes[32..64].copy_from_slice(&self.memory_root);
        bytes[64..96].copy_from_slice(&self.input_hash);
        bytes[96..128].copy_from_slice(&self.output_root);
        bytes[128..132].copy_from_slice(&self.pc.to_be_bytes());
        let (registers, _) = bytes[132..256].as_chunks_mut::<4>();
        for (field, register) in registers.iter_mut().zip(&self.registers[1..]) {
            *field = register.to_be_bytes();
        }
        bytes[256] = self.status;
        bytes[257..261].copy_from_slice(&self.exit.to_be_bytes());
        bytes[261] = self.code_height;
        bytes[262] = self.memory_height;
        bytes
    }

    /// The state with this encoding. Any 263 bytes are one; they need not be of a state a machine can reach.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; STATE_BYTES]) -> Self {
        fn field<const N: usize>(bytes: &[u8; STATE_BYTES], at: usize) -> [u8; N] {
            let mut field = [0; N];
            field.copy_from_slice(&bytes[at..at + N]);
            field
        }
        let mut registers = [0; 32];
        let (fields, _) = bytes[132..256].as_chunks::<4>();
        for (register, field) in registers[1..].iter_mut().zip(fields) {
            *register = u32::from_be_bytes(*field);
        }
        State {
            code_root: field(bytes, 0),
            memory_root: field(bytes, 32),
            input_hash: field(bytes, 64),
            output_root: field(bytes, 96),
            pc: u32::from_be_bytes(field(bytes, 128)),
            registers,
            status: bytes[256],
            exit: u32::from_be_bytes(field(bytes, 257)),
            code_height: bytes[261],
            memory_height: bytes[262],
        }
    }

    /// The state root: keccak-256 of the encoding.
    #[must_use]
    pub fn root(&self) -> Hash {
        keccak256(&self.to_bytes())
    }
}

/// What a run came to, read from the state after its budget of steps. Section 5 of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// [`Status::Running`] means out of steps.
    pub status: Status,
    /// Exit code when halted, trap cause when trapped, 0 when out of steps.
    pub exit: u32,
    /// Commits to what the program wrote.
    pub output_root: Hash,
}

impl Outcome {
    /// The result hash: keccak-256(status ‖ exit ‖ outputRoot), what a provider signs.
    #[must_use]
    pub fn result_hash(&self) -> Hash {
        keccak(&[&[self.status as u8], &self.exit.to_be_bytes(), &self.output_root])
    }

    /// The cause, if it trapped.
    #[must_use]
    pub fn trap(&self) -> Option<TrapCause> {
        if self.status == Status::Trapped {
            TrapCause::from_exit(self.exit)
        } else {
            None
        }
    }
}

/// The output root of `output` written in chunks of these lengths, or `None` if the lengths are not 1 to 32 each or do
/// not add up to the output.
#[must_use]
pub fn output_root(output: &[u8], chunk_lengths: &[u8]) -> Option<Hash> {
    let mut root = crate::hash::ZERO;
    let mut rest = output;
    for &length in chunk_lengths {
        if !(1..=32).contains(&length) {
            return None;
        }
        let (chunk, tail) = rest.split_at_checked(usize::from(length))?;
        root = keccak(&[&root, chunk]);
        rest = tail;
    }
    rest.is_empty().then_some(root)
}

/// The output root of `output` in the canonical chunking: 32 bytes each, the last one shorter.
#[must_use]
pub fn canonical_output_root(output: &[u8]) -> Hash {
    output
        .chunks(32)
        .fold(crate::hash::ZERO, |root, chunk| keccak(&[&root, chunk]))
}
