//! Conflicting signed answers: what a dispute is opened with, and a file to keep them in.

use std::{collections::BTreeSet, path::Path};

use alloy::primitives::{Address, Bytes};
use serde::{Deserialize, Serialize};
use surety_chain::Deployment;
use surety_primitives::{Answer, AnswerError, Domain, Signed, Statement};

/// Most claims a dispute can be opened with (`docs/spec/dispute.md`, section 2).
pub const MAX_CLAIMS: usize = 8;
/// Longest evidence file: eight answers of 1 MiB of output, in hex, and the input.
const MAX_FILE: u64 = 32 << 20;

/// Signed answers to one statement of which at least two differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evidence {
    /// chain id of the L1
    pub chain_id: u64,
    /// the `Disputes` contract the answers were signed for
    pub disputes: Address,
    /// what the answers are about
    pub statement: Statement,
    /// the program's input, so that anybody can run it again; empty if unknown
    #[serde(default)]
    pub input: Bytes,
    /// the answers
    pub answers: Vec<Answer>,
}

/// Why evidence is none.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The file cannot be read or written.
    #[error("the evidence file {path}: {cause}")]
    File {
        /// which file
        path: String,
        /// why
        cause: String,
    },
    /// Signed for another deployment.
    #[error(
        "the evidence is for Disputes {found} on chain {found_chain}, expected {expected} on chain {expected_chain}"
    )]
    Deployment {
        /// contract in the evidence
        found: Address,
        /// chain id in the evidence
        found_chain: u64,
        /// the deployment's contract
        expected: Address,
        /// the deployment's chain id
        expected_chain: u64,
    },
    /// An answer is about another statement.
    #[error("answer {index} is about another statement than the evidence")]
    Statement {
        /// which answer, from 0
        index: usize,
    },
    /// An answer does not verify.
    #[error("answer {index}: {source}")]
    Answer {
        /// which answer, from 0
        index: usize,
        /// why
        source: AnswerError,
    },
    /// Two answers of one operator.
    #[error("operator {operator} answered more than once; one claim each")]
    Twice {
        /// the operator
        operator: Address,
    },
    /// Nothing to dispute.
    #[error("the {answers} answers do not differ; there is nothing to dispute")]
    NoConflict {
        /// how many there are
        answers: usize,
    },
}

impl Evidence {
    /// Collects answers to one statement.
    pub fn new(deployment: &Deployment, statement: Statement, input: Bytes, answers: Vec<Answer>) -> Self {
        Self {
            chain_id: deployment.chain_id,
            disputes: deployment.disputes,
            statement,
            input,
            answers,
        }
    }

    /// Reads a file. Nothing is verified yet.
    pub fn load(path: &Path) -> Result<Self, EvidenceError> {
        let fail = |cause: String| EvidenceError::File {
            path: path.display().to_string(),
            cause,
        };
        let length = std::fs::metadata(path)
            .map_err(|e| fail(format!("cannot be read: {e}")))?
            .len();
        if length > MAX_FILE {
            return Err(fail(format!("has {length} bytes, at most {MAX_FILE} expected")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
        serde_json::from_str(&text).map_err(|e| fail(format!("is no evidence: {e}")))
    }

    /// Writes a file.
    pub fn save(&self, path: &Path) -> Result<(), EvidenceError> {
        let fail = |cause: String| EvidenceError::File {
            path: path.display().to_string(),
            cause,
        };
        let text = serde_json::to_string_pretty(self).map_err(|e| fail(e.to_string()))?;
        std::fs::write(path, text + "\n").map_err(|e| fail(format!("cannot be written: {e}")))
    }

    /// Checks everything that can be checked without the chain: each answer whole and signed, about this statement,
    /// one per operator, at least two results.
    pub fn verify(&self, deployment: &Deployment) -> Result<(), EvidenceError> {
        if (self.disputes, self.chain_id) != (deployment.disputes, deployment.chain_id) {
            return Err(EvidenceError::Deployment {
                found: self.disputes,
                found_chain: self.chain_id,
                expected: deployment.disputes,
                expected_chain: deployment.chain_id,
            });
        }
        let domain = Domain {
            chain_id: self.chain_id,
            verifying_contract: self.disputes,
        };
        let mut operators = BTreeSet::new();
        let mut results = BTreeSet::new();
        for (index, answer) in self.answers.iter().enumerate() {
            if answer.statement != self.statement {
                return Err(EvidenceError::Statement { index });
            }
            answer
                .verify(&domain)
                .map_err(|source| EvidenceError::Answer { index, source })?;
            if !operators.insert(answer.operator) {
                return Err(EvidenceError::Twice {
                    operator: answer.operator,
                });
            }
            results.insert(answer.result);
        }
        if results.len() < 2 {
            return Err(EvidenceError::NoConflict {
                answers: self.answers.len(),
            });
        }
        Ok(())
    }

    /// The claims to open a dispute with: at most [`MAX_CLAIMS`], every different result among them as far as that
    /// goes.
    pub fn claims(&self) -> Vec<Signed> {
        let mut seen = BTreeSet::new();
        let (first, rest): (Vec<&Answer>, Vec<&Answer>) = self.answers.iter().partition(|a| seen.insert(a.result));
        first
            .into_iter()
            .chain(rest)
            .take(MAX_CLAIMS)
            .map(Signed::from)
            .collect()
    }
}
