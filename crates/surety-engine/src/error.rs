//! What can go wrong.

use surety_machine::RunError;

/// Why a run cannot go on, or cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As the interpreter says: the machine is as it was before that step, and may be run again.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The host gives no memory for the run, or for the program's code. May work when others have ended.
    #[error("the host gives no memory for {what}: {error}")]
    Memory {
        /// For what.
        what: &'static str,
        /// What the host says.
        error: std::io::Error,
    },
    /// Two engines came to different states: one of them is wrong, and no result of this run can be trusted.
    #[error(
        "the engines differ after step {step}: the interpreter is at {interpreter}, the translated engine at {translated}; \
         use `--engine interpreter`, and please report the program"
    )]
    Differ {
        /// The first step after which they do.
        step: u64,
        /// State root and address of the reference.
        interpreter: String,
        /// State root and address of the translated engine.
        translated: String,
    },
}
