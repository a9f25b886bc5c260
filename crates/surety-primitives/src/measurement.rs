//! What monitors of containers sign: subjects, votes and ballots' roots (`docs/spec/integrity.md`, section 6).

use crate::vote::{Vote, VoteError, VoteKind, VoteTree};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use core::fmt;

/// Value of every [`VoteKind::Finding`] vote.
pub const FOUND: B256 = B256::with_last_byte(1);

/// Why something is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasurementError {
    /// No verdict has this number.
    #[error("verdict is {found}, expected 1 (intact), 2 (drifted) or 3 (unreachable)")]
    Verdict {
        /// The number found.
        found: u8,
    },
    /// The votes are none, or too many; not of what this module makes.
    #[error(transparent)]
    Vote(#[from] VoteError),
}

/// A deployment of a service's container: `service << 96 | n`, n from 1. Its number says whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId(pub U256);

impl DeploymentId {
    /// The service's n-th.
    pub fn new(service: Address, n: u64) -> Self {
        Self((U256::from_be_bytes(service.into_word().0) << 96) | U256::from(n))
    }

    /// Whose it is.
    pub fn service(self) -> Address {
        Address::from_word(B256::from(self.0 >> 96))
    }

    /// Which of its service's: from 1. `None` if no contract gives such a number.
    pub fn number(self) -> Option<u64> {
        let mask = (U256::from(1) << 96) - U256::from(1);
        u64::try_from(self.0 & mask).ok()
    }
}

impl From<U256> for DeploymentId {
    fn from(id: U256) -> Self {
        Self(id)
    }
}

impl From<DeploymentId> for U256 {
    fn from(id: DeploymentId) -> Self {
        id.0
    }
}

impl fmt::Display for DeploymentId {
    /// `0x` and 64 hexadecimal digits: the service's 40, then the number's 24.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        B256::from(self.0).fmt(f)
    }
}

impl core::str::FromStr for DeploymentId {
    type Err = <B256 as core::str::FromStr>::Err;

    /// From `0x` and 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(U256::from_be_bytes(text.parse::<B256>()?.0)))
    }
}

/// What is said of an epoch. The numbers are votes' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// Measured as at the baseline, nothing found.
    Intact = 1,
    /// Changed.
    Drifted = 2,
    /// No measurement was answered.
    Unreachable = 3,
}

impl Verdict {
    /// As a vote's value.
    pub const fn value(self) -> B256 {
        B256::with_last_byte(self as u8)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Drifted => "drifted",
            Self::Unreachable => "unreachable",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<u8> for Verdict {
    type Error = MeasurementError;

    fn try_from(number: u8) -> Result<Self, MeasurementError> {
        match number {
            1 => Ok(Self::Intact),
            2 => Ok(Self::Drifted),
            3 => Ok(Self::Unreachable),
            found => Err(MeasurementError::Verdict { found }),
        }
    }
}

/// What a ballot says of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Judgement {
    /// Measured as at the baseline, nothing found.
    Intact,
    /// Changed: this was found (hash of the finding).
    Drifted(B256),
    /// No measurement was answered.
    Unreachable,
}

impl Judgement {
    /// The verdict in it.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Intact => Verdict::Intact,
            Self::Drifted(_) => Verdict::Drifted,
            Self::Unreachable => Verdict::Unreachable,
        }
    }

    /// Hash of what was found; zero if nothing was. `evidence` of `Integrity.report`.
    pub const fn evidence(self) -> B256 {
        match self {
            Self::Drifted(evidence) => evidence,
            _ => B256::ZERO,
        }
    }
}

/// Subject of the votes about an epoch of a deployment: keccak256(abi.encode(integrity, deployment, epoch)), with
/// `integrity` the contract's address. Epoch 0 is the baseline.
pub fn subject(integrity: Address, deployment: DeploymentId, epoch: u64) -> B256 {
    keccak256((integrity, deployment.0, U256::from(epoch)).abi_encode_params())
}

/// Subject of a finding's vote: keccak256(abi.encode(subject, evidence)), with `subject` that of the epoch.
pub fn finding_subject(subject: B256, evidence: B256) -> B256 {
    keccak256((subject, evidence).abi_encode_params())
}

/// The baseline's vote, alone in its ballot; `root` is the measurement's.
pub fn baseline_vote(integrity: Address, deployment: DeploymentId, root: B256) -> Vote {
    Vote {
        kind: VoteKind::Measurement,
        subject: subject(integrity, deployment, 0),
        value: root,
    }
}

/// Root of the baseline's ballot.
pub fn baseline_root(integrity: Address, deployment: DeploymentId, root: B256) -> B256 {
    baseline_vote(integrity, deployment, root).leaf()
}

/// The verdict's vote about an epoch's subject.
pub fn verdict_vote(subject: B256, verdict: Verdict) -> Vote {
    Vote {
        kind: VoteKind::Measurement,
        subject,
        value: verdict.value(),
    }
}

/// The finding's vote.
pub fn finding_vote(subject: B256, evidence: B256) -> Vote {
    Vote {
        kind: VoteKind::Finding,
        subject: finding_subject(subject, evidence),
        value: FOUND,
    }
}

/// The ballot about an epoch's subject: the verdict's vote, and after it the finding's if there is one.
pub fn ballot(subject: B256, judgement: Judgement) -> Result<VoteTree, MeasurementError> {
    let verdict = verdict_vote(subject, judgement.verdict());
    Ok(match judgement {
        Judgement::Drifted(evidence) => VoteTree::new([&verdict, &finding_vote(subject, evidence)])?,
        Judgement::Intact | Judgement::Unreachable => VoteTree::new([&verdict])?,
    })
}

/// Root of that ballot: what is signed.
pub fn verdict_root(subject: B256, judgement: Judgement) -> Result<B256, MeasurementError> {
    Ok(ballot(subject, judgement)?.root())
}
