//! Whether one answer can be believed, as far as one answer can be (`docs/spec/wire.md`, section 2).

use alloy::primitives::Address;
use surety_chain::OperatorInfo;
use surety_primitives::{Answer, AnswerError, Domain, OutputRoot, RequestHash, ResultHash, SignatureError, Statement};

/// What an answer must be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// the request's own statement, with the program as registered
    pub statement: Statement,
    /// the request's hash
    pub request: RequestHash,
    /// who signed the request
    pub requester: Address,
    /// whom it was asked of
    pub operator: Address,
}

/// Why an answer is refused. Every kind has an exit code of the command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not signed by the operator that was asked.
    #[error("bad signature: {0}")]
    Signature(#[from] SignatureError),
    /// Names another operator than the one asked.
    #[error("answered by operator {found}, asked of {expected}")]
    Operator {
        /// in the answer
        found: Address,
        /// asked
        expected: Address,
    },
    /// About another question.
    #[error("answer is about {field} {found}, expected {expected}")]
    Statement {
        /// which part
        field: &'static str,
        /// in the answer
        found: String,
        /// asked, or registered
        expected: String,
    },
    /// The result that was signed is not the hash of the outcome that was sent.
    #[error("result is {found}, expected {expected}, the hash of the outcome")]
    Result {
        /// in the answer
        found: ResultHash,
        /// computed
        expected: ResultHash,
    },
    /// The output does not fold to the output root that was signed.
    #[error("output folds to root {found}, expected {expected}, the outcome's")]
    Output {
        /// computed
        found: OutputRoot,
        /// in the outcome
        expected: OutputRoot,
    },
    /// The operator has no (sufficient) bond for the service: nothing would be lost by a lie.
    #[error("operator {operator} is not bonded: it has {bond} wei at stake")]
    NotBonded {
        /// the operator
        operator: Address,
        /// its bond, wei of the token
        bond: String,
    },
    /// The operator's bond is leaving: it could be gone before a dispute ends.
    #[error("operator {operator} is leaving: its bond can be withdrawn at {until} (Unix seconds)")]
    Leaving {
        /// the operator
        operator: Address,
        /// when the bond is free
        until: u64,
    },
}

impl Refusal {
    /// Exit code of the command line: 11 bad signature, 12 wrong statement, 13 output does not match, 14 not bonded.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Signature(_) | Self::Operator { .. } => 11,
            Self::Statement { .. } => 12,
            Self::Result { .. } | Self::Output { .. } => 13,
            Self::NotBonded { .. } | Self::Leaving { .. } => 14,
        }
    }

    /// One word for machines.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Signature(_) => "badSignature",
            Self::Operator { .. } => "wrongOperator",
            Self::Statement { .. } => "wrongStatement",
            Self::Result { .. } => "resultMismatch",
            Self::Output { .. } => "outputMismatch",
            Self::NotBonded { .. } => "notBonded",
            Self::Leaving { .. } => "leaving",
        }
    }
}

/// Checks an answer against what was asked, and its operator's standing. `domain` is that of the deployment's
/// responses.
pub fn verify(answer: &Answer, expected: &Expected, operator: &OperatorInfo, domain: &Domain) -> Result<(), Refusal> {
    if answer.operator != expected.operator {
        return Err(Refusal::Operator {
            found: answer.operator,
            expected: expected.operator,
        });
    }
    // First whether it says anything at all, in the operator's name.
    match answer.verify(domain) {
        Ok(()) => {}
        Err(AnswerError::Signature(e)) => return Err(Refusal::Signature(e)),
        Err(AnswerError::Result { found, expected }) => return Err(Refusal::Result { found, expected }),
        Err(AnswerError::OutputRoot { found, expected }) => return Err(Refusal::Output { found, expected }),
    }
    let s = (&answer.statement, &expected.statement);
    field("service", &s.0.service, &s.1.service)?;
    field("program", &s.0.program, &s.1.program)?;
    field("input", &s.0.input, &s.1.input)?;
    field("budget", &s.0.budget, &s.1.budget)?;
    field("request", &answer.request, &expected.request)?;
    field("requester", &answer.requester, &expected.requester)?;
    standing(operator)
}

/// Whether an operator has something to lose.
pub fn standing(operator: &OperatorInfo) -> Result<(), Refusal> {
    if let Some(until) = operator.leaving_until {
        return Err(Refusal::Leaving {
            operator: operator.operator,
            until,
        });
    }
    if !operator.bonded {
        return Err(Refusal::NotBonded {
            operator: operator.operator,
            bond: operator.bond.to_string(),
        });
    }
    Ok(())
}

fn field<T: PartialEq + std::fmt::Display>(field: &'static str, found: &T, expected: &T) -> Result<(), Refusal> {
    if found == expected {
        return Ok(());
    }
    Err(Refusal::Statement {
        field,
        found: found.to_string(),
        expected: expected.to_string(),
    })
}
