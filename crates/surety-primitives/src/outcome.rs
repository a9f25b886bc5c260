//! How a run ended.

use crate::{OutputRoot, ResultHash};
use alloy_primitives::keccak256;

/// Why a run is over (`docs/spec/machine.md`, section 5). The number is the state's status byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// The budget was used; the machine was still running.
    OutOfSteps = 0,
    /// The program ended by itself; `exit` is its exit code.
    Halted = 1,
    /// The program faulted; `exit` is the trap cause.
    Trapped = 2,
}

/// What a program's run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Why the run is over.
    pub status: Status,
    /// Exit code when halted, trap cause when trapped, 0 when out of steps.
    pub exit: u32,
    /// Commitment to the output; see [`crate::Output::root`].
    pub output_root: OutputRoot,
}

/// An encoded outcome that no run can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// Not a status byte.
    #[error("status is {found}, expected 0 (out of steps), 1 (halted) or 2 (trapped)")]
    Status {
        /// The byte found.
        found: u8,
    },
}

impl TryFrom<u8> for Status {
    type Error = OutcomeError;

    fn try_from(byte: u8) -> Result<Self, OutcomeError> {
        match byte {
            0 => Ok(Self::OutOfSteps),
            1 => Ok(Self::Halted),
            2 => Ok(Self::Trapped),
            found => Err(OutcomeError::Status { found }),
        }
    }
}

impl Status {
    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfSteps => "outOfSteps",
            Self::Halted => "halted",
            Self::Trapped => "trapped",
        }
    }
}

impl Outcome {
    /// Result hash: keccak256(status (1 byte) ‖ exit (4 bytes, big-endian) ‖ outputRoot).
    pub fn result_hash(&self) -> ResultHash {
        let mut bytes = [0; 37];
        bytes[0] = self.status as u8;
        bytes[1..5].copy_from_slice(&self.exit.to_be_bytes());
        bytes[5..].copy_from_slice(self.output_root.as_slice());
        keccak256(bytes).into()
    }
}
