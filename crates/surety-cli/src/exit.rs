//! How a command ends when it does not succeed: an exit code, what is wrong, what to do next.

use std::fmt;

/// Exit codes. 0 success, 2 usage (from the argument parser); the rest is here.
pub mod code {
    /// Something went wrong.
    pub const ERROR: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// Verified answers differ: somebody lies, and can be slashed.
    pub const DIFFER: u8 = 10;
    /// An answer is not signed by the operator that was asked.
    pub const SIGNATURE: u8 = 11;
    /// An answer is about another statement, program or request.
    pub const STATEMENT: u8 = 12;
    /// An answer's output or outcome is not what was signed.
    pub const OUTPUT: u8 = 13;
    /// An operator is not bonded, or its bond is leaving.
    pub const NOT_BONDED: u8 = 14;
    /// Fewer verified answers than wanted.
    pub const TOO_FEW: u8 = 15;
    /// Evidence does not verify, or does not conflict.
    pub const EVIDENCE: u8 = 16;
    /// A program, file or deployment is not what it is said to be.
    pub const MISMATCH: u8 = 17;
    /// A certificate, or a value of the network, does not verify.
    pub const CERTIFICATE: u8 = 18;
    /// An enclave's quote is refused.
    pub const QUOTE: u8 = 19;
    /// A container is not attested as intact.
    pub const NOT_INTACT: u8 = 20;
    /// The last record of a container is too old, or there is none.
    pub const STALE: u8 = 21;
    /// A container is not what it should be.
    pub const DRIFTED: u8 = 22;
}

/// The exit codes and their meaning, for the help and `docs/spec/cli.md`.
pub const TABLE: &[(u8, &str)] = &[
    (0, "success"),
    (
        code::ERROR,
        "error: file, network, chain, refused transaction, missing preimage",
    ),
    (code::USAGE, "the command line is wrong"),
    (
        code::DIFFER,
        "verified answers differ: at least one operator signed a wrong answer",
    ),
    (
        code::SIGNATURE,
        "an answer is not signed by the operator that was asked",
    ),
    (
        code::STATEMENT,
        "an answer is about another service, program, input, budget or request",
    ),
    (
        code::OUTPUT,
        "an answer's output or outcome is not the one that was signed",
    ),
    (
        code::NOT_BONDED,
        "the operator is not bonded for the service, or is leaving",
    ),
    (
        code::TOO_FEW,
        "fewer verified answers than wanted, and none that differ",
    ),
    (code::EVIDENCE, "evidence does not verify, or its answers do not differ"),
    (
        code::MISMATCH,
        "a program is not the registered one, or a check of `surety doctor` failed",
    ),
    (
        code::CERTIFICATE,
        "a certificate, or a value of the network, does not verify",
    ),
    (
        code::QUOTE,
        "the quote of an enclave does not verify, or the policy refuses it",
    ),
    (
        code::NOT_INTACT,
        "the container is not intact: changed, not answering, not running, or retired",
    ),
    (
        code::STALE,
        "the last record of the container is too old, or there is none yet",
    ),
    (
        code::DRIFTED,
        "a container is not what plan, image or engine say that it is",
    ),
];

/// Why a command did not succeed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// exit code
    pub code: u8,
    /// what is wrong: fact, found, expected
    pub message: String,
    /// what to do next
    pub next: String,
}

impl Failure {
    /// An error with exit code 1.
    pub fn new(message: impl fmt::Display, next: impl fmt::Display) -> Self {
        Self {
            code: code::ERROR,
            message: message.to_string(),
            next: next.to_string(),
        }
    }

    /// A wrong command line, found after parsing.
    pub fn usage(message: impl fmt::Display, next: impl fmt::Display) -> Self {
        Self::new(message, next).with_code(code::USAGE)
    }

    /// The same with another exit code.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<surety_chain::Error> for Failure {
    fn from(error: surety_chain::Error) -> Self {
        use surety_chain::Error as E;
        let next = match &error {
            E::Unreachable { .. } => "check that the endpoint is up (`surety dev` starts one) and --l1, then try again",
            E::WrongChain { .. } => "give the --l1 endpoint of the chain in the deployment file",
            E::Refused { .. } => "read the endpoint's message; `surety doctor` checks the set-up",
            E::Reverted { .. } => "read the contract's error; `surety doctor` and the `status` commands show the state",
            E::Decode { .. } | E::NoCode { .. } => "check --deployment: `surety doctor` says which contract is missing",
            E::NonceTaken { .. } => "wait until other programs that use this key are done, then try again",
            E::NotIncluded { .. } => "wait, then run the command again: it does nothing twice",
            E::Funds { .. } => "send ether to the account, then try again",
            E::DeepReorg { .. } => "start again from the deployment's first block",
            E::Local(_) => "correct the file or flag named above",
        };
        Self::new(&error, next)
    }
}
