//! What members tell and sign about an epoch.

use alloc::{string::String, sync::Arc, vec, vec::Vec};
use alloy_primitives::{B256, keccak256};
use surety_primitives::{
    measurement::{Verdict, finding_vote},
    value::{Value, ValueError},
    vote::{Vote, VoteKind, VoteTree},
};

/// Most findings in one hint.
pub const MAX_FINDINGS: usize = 8;

/// Longest string of a finding in bytes.
pub const MAX_FINDING_STRING: usize = 512;

/// Longest canonical encoding of a finding in bytes.
pub const MAX_FINDING_BYTES: usize = 2_304;

const FIELDS: [&str; 4] = ["expected", "found", "kind", "subject"];

/// Something that is other than it should be, as its canonical encoding: an object of four strings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    bytes: Arc<[u8]>,
    hash: B256,
}

/// Why something is no finding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindingError {
    /// It is no value.
    #[error("finding: {0}")]
    Value(#[from] ValueError),
    /// Too long.
    #[error("finding has {found} bytes, expected at most {MAX_FINDING_BYTES}")]
    TooLong {
        /// How long it is.
        found: usize,
    },
    /// Not the four fields.
    #[error("finding is not an object of the strings expected, found, kind and subject")]
    Fields,
    /// One of them is too long.
    #[error("{field} of a finding has {found} bytes, expected at most {MAX_FINDING_STRING}")]
    String {
        /// Which.
        field: &'static str,
        /// How long it is.
        found: usize,
    },
}

impl Finding {
    /// From the four strings.
    pub fn new(kind: &str, subject: &str, expected: &str, found: &str) -> Result<Self, FindingError> {
        let fields = [
            ("expected", expected),
            ("found", found),
            ("kind", kind),
            ("subject", subject),
        ];
        Self::from_value(&Value::object(fields))
    }

    /// From the value.
    pub fn from_value(value: &Value) -> Result<Self, FindingError> {
        Self::decode(&value.encode()?)
    }

    /// From the canonical encoding and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, FindingError> {
        if bytes.len() > MAX_FINDING_BYTES {
            return Err(FindingError::TooLong { found: bytes.len() });
        }
        let value = Value::decode(bytes)?;
        let fields = value.as_object().ok_or(FindingError::Fields)?;
        if fields.len() != FIELDS.len() {
            return Err(FindingError::Fields);
        }
        for field in FIELDS {
            let found = value
                .field(field)
                .and_then(Value::as_str)
                .ok_or(FindingError::Fields)?
                .len();
            if found > MAX_FINDING_STRING {
                return Err(FindingError::String { field, found });
            }
        }
        Ok(Self {
            bytes: bytes.into(),
            hash: keccak256(bytes),
        })
    }

    /// The canonical encoding.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The evidence hash: of the canonical encoding.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// One of its four strings.
    pub fn field(&self, name: &str) -> Option<String> {
        let value = Value::decode(&self.bytes).ok()?;
        value.field(name)?.as_str().map(Into::into)
    }
}

/// What is signed about an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statement {
    /// Epoch 0: the measurement root at deployment.
    Baseline(B256),
    /// The measurement root is the baseline, and nothing was found.
    Intact,
    /// Something was found: its evidence hash.
    Drifted(B256),
    /// Nothing was answered.
    Unreachable,
}

impl Statement {
    /// Whether it can be said of an epoch: baselines of epoch 0, and verdicts of the others.
    pub fn fits(&self, epoch: u64) -> bool {
        matches!(self, Self::Baseline(_)) == (epoch == 0)
    }

    /// The verdict; `None` of a baseline.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Baseline(_) => None,
            Self::Intact => Some(Verdict::Intact),
            Self::Drifted(_) => Some(Verdict::Drifted),
            Self::Unreachable => Some(Verdict::Unreachable),
        }
    }

    /// Hash of what was found; zero if nothing was.
    pub fn evidence(&self) -> B256 {
        match self {
            Self::Drifted(evidence) => *evidence,
            _ => B256::ZERO,
        }
    }

    /// Value of its MEASUREMENT vote.
    pub fn value(&self) -> B256 {
        match self {
            Self::Baseline(root) => *root,
            Self::Intact => Verdict::Intact.value(),
            Self::Drifted(_) => Verdict::Drifted.value(),
            Self::Unreachable => Verdict::Unreachable.value(),
        }
    }

    /// The votes in its ballot, in their order.
    pub fn votes(&self, subject: B256) -> Vec<Vote> {
        let measurement = Vote {
            kind: VoteKind::Measurement,
            subject,
            value: self.value(),
        };
        match self {
            Self::Drifted(evidence) => vec![measurement, finding_vote(subject, *evidence)],
            _ => vec![measurement],
        }
    }

    /// What the ballot signs.
    pub fn root(&self, subject: B256) -> B256 {
        // One or two votes always make a tree.
        VoteTree::new(&self.votes(subject)).map_or(B256::ZERO, |tree| tree.root())
    }
}

/// What a member tells about an epoch; it binds nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Epoch 0: the measurement root at deployment.
    Baseline(B256),
    /// Nothing was found.
    Intact,
    /// 1 to [`MAX_FINDINGS`] that the sender has seen itself.
    Drifted(Vec<Finding>),
    /// Nothing was answered.
    Unreachable,
}

impl Claim {
    /// Whether it can be said of an epoch.
    pub fn fits(&self, epoch: u64) -> bool {
        matches!(self, Self::Baseline(_)) == (epoch == 0)
    }

    /// Value of the MEASUREMENT vote that it announces.
    pub fn value(&self) -> B256 {
        match self {
            Self::Baseline(root) => *root,
            Self::Intact => Verdict::Intact.value(),
            Self::Drifted(_) => Verdict::Drifted.value(),
            Self::Unreachable => Verdict::Unreachable.value(),
        }
    }
}
