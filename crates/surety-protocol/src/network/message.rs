//! What nodes tell each other, and its bytes: a version, the service, the set, a kind, and fields of fixed width, big
//! endian. Lists are preceded by their length (uint16). One encoding for each message; anything else is an error.

use super::{
    measure::{Claim, Finding, MAX_FINDING_BYTES, MAX_FINDINGS, Statement},
    scheme::SignatureBytes,
};
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, FixedBytes, U256};
use surety_primitives::{
    set::{MAX_MEMBERS, Signers},
    vote::{MAX_VOTES, TaskResult, Vote, VoteKind},
};

/// First byte of every message.
pub const VERSION: u8 = 1;

/// Most hints in one message.
pub const MAX_HINTS: usize = 1024;

/// Most votes in a proposal and in a certificate.
pub const MAX_BATCH: usize = MAX_VOTES;

/// Most votes in a dissent.
pub const MAX_DISSENT: usize = 64;

/// Version, service, set and kind.
const HEADER_BYTES: usize = 1 + 20 + 8 + 1;

/// A certificate of a full batch, the longest of all: signers, signature, count, votes.
pub const MAX_MESSAGE_BYTES: usize = HEADER_BYTES + 16 + 48 + 2 + 64 * MAX_BATCH;

/// An event that was seen: its key, and the hash of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sighting {
    /// The event key.
    pub key: B256,
    /// Value hash of the data.
    pub value: B256,
}

impl Sighting {
    /// The vote that it happened so.
    pub fn vote(&self) -> Vote {
        Vote {
            kind: VoteKind::Event,
            subject: self.key,
            value: self.value,
        }
    }
}

/// What one node tells others, about one set of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The service.
    pub service: Address,
    /// Number of its set.
    pub set: u64,
    /// What.
    pub body: Body,
}

/// The kinds of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// To a collector: what the sender saw. Unsigned; it binds nobody.
    Hints(Vec<Sighting>),
    /// From a collector: sign these.
    Propose(Vec<Sighting>),
    /// To a collector: the sender's signature under a proposal.
    Ballot {
        /// The proposal's root.
        root: B256,
        /// Under it.
        signature: SignatureBytes,
    },
    /// To all: what the sender saw of events that a collector proposed with other values; its own ballot.
    Dissent {
        /// What it saw.
        votes: Vec<Sighting>,
        /// Under their root.
        signature: SignatureBytes,
    },
    /// To all: a certificate of events.
    Certified {
        /// Whose.
        signers: Signers,
        /// The sum.
        signature: SignatureBytes,
        /// Under their root.
        votes: Vec<Sighting>,
    },
    /// From an executor to all; from anybody, if another result was paid.
    Result {
        /// What it asserts.
        result: TaskResult,
        /// Its ballot of that one vote.
        signature: SignatureBytes,
    },
    /// From a validator to all.
    Validation {
        /// What it validated.
        result: TaskResult,
        /// The executor's ballot.
        executor: SignatureBytes,
        /// What it found.
        valid: bool,
        /// Its own ballot of that one vote.
        signature: SignatureBytes,
    },
    /// From anybody to all: a committee member's ballot against a result, verified. So who tells one node that a result
    /// is right and another that it is wrong has told both to all.
    Objection {
        /// Against what.
        result: TaskResult,
        /// The executor's ballot.
        executor: SignatureBytes,
        /// Index of the member in the set, below 128.
        member: u8,
        /// Its ballot of that one vote.
        signature: SignatureBytes,
    },
    /// From anybody to all: what a quorum found of a result.
    Decided {
        /// Of what.
        result: TaskResult,
        /// What it found.
        valid: bool,
        /// Whose.
        signers: Signers,
        /// The sum.
        signature: SignatureBytes,
    },
    /// From a monitor to all: what it measured. Unsigned; it binds nobody.
    MeasurementHint {
        /// Number of the deployment.
        deployment: U256,
        /// About which epoch; 0 is the baseline.
        epoch: u64,
        /// What it tells.
        claim: Claim,
    },
    /// From a monitor to all: its signature about an epoch.
    MeasurementBallot {
        /// Number of the deployment.
        deployment: U256,
        /// About which epoch; 0 is the baseline.
        epoch: u64,
        /// What it says.
        statement: Statement,
        /// Under the root of its votes.
        signature: SignatureBytes,
    },
    /// From anybody to all: what a quorum says about an epoch.
    MeasurementCertificate {
        /// Number of the deployment.
        deployment: U256,
        /// About which epoch; 0 is the baseline.
        epoch: u64,
        /// What it says.
        statement: Statement,
        /// Whose.
        signers: Signers,
        /// The sum.
        signature: SignatureBytes,
    },
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// More than any has. Refused before it is read.
    #[error("message has {found} bytes, expected at most {MAX_MESSAGE_BYTES}")]
    TooLong {
        /// How many there are.
        found: usize,
    },
    /// It ends in the middle of a field.
    #[error("message ends after {found} bytes, expected {expected} more")]
    Short {
        /// Where it ends.
        found: usize,
        /// How many are missing.
        expected: usize,
    },
    /// It goes on after the last field.
    #[error("message has {found} bytes after its end")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// Another version.
    #[error("version is {found}, expected {VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// No kind has this number.
    #[error("message kind is {found}, expected 1 to 12")]
    Kind {
        /// The number found.
        found: u8,
    },
    /// A list is too long, or empty.
    #[error("list has {found} entries, expected 1 to {limit}")]
    Count {
        /// How many it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// No set has so many members.
    #[error("member is {found}, expected 0 to 127")]
    Member {
        /// The index found.
        found: u8,
    },
    /// No statement has this number.
    #[error("statement is {found}, expected 0 to 3")]
    Statement {
        /// The number found.
        found: u8,
    },
    /// A baseline is said of epoch 0, and a verdict of another one.
    #[error("statement about epoch {epoch} does not fit it")]
    Epoch {
        /// The epoch.
        epoch: u64,
    },
    /// Not the canonical encoding of one.
    #[error("finding of {found} bytes is none")]
    Finding {
        /// How long it is.
        found: usize,
    },
    /// Neither 0 nor 1.
    #[error("flag is {found}, expected 0 or 1")]
    Flag {
        /// What is there.
        found: u8,
    },
}

impl Body {
    fn kind(&self) -> u8 {
        match self {
            Self::Hints(_) => 1,
            Self::Propose(_) => 2,
            Self::Ballot { .. } => 3,
            Self::Dissent { .. } => 4,
            Self::Certified { .. } => 5,
            Self::Result { .. } => 6,
            Self::Validation { .. } => 7,
            Self::Decided { .. } => 8,
            Self::Objection { .. } => 9,
            Self::MeasurementHint { .. } => 10,
            Self::MeasurementBallot { .. } => 11,
            Self::MeasurementCertificate { .. } => 12,
        }
    }

    /// The task it is about, if it is about one: which of the machines it is for.
    pub fn task(&self) -> Option<B256> {
        match self {
            Self::Result { result, .. }
            | Self::Validation { result, .. }
            | Self::Objection { result, .. }
            | Self::Decided { result, .. } => Some(result.task),
            _ => None,
        }
    }

    /// The deployment it is about, if it is about one.
    pub fn deployment(&self) -> Option<U256> {
        match self {
            Self::MeasurementHint { deployment, .. }
            | Self::MeasurementBallot { deployment, .. }
            | Self::MeasurementCertificate { deployment, .. } => Some(*deployment),
            _ => None,
        }
    }
}

impl Message {
    /// Its bytes. Lists must be within their limits, as those of every machine are; what is beyond is left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.push(VERSION);
        out.extend_from_slice(self.service.as_slice());
        out.extend_from_slice(&self.set.to_be_bytes());
        out.push(self.body.kind());
        match &self.body {
            Body::Hints(hints) => put_sightings(&mut out, hints, MAX_HINTS),
            Body::Propose(votes) => put_sightings(&mut out, votes, MAX_BATCH),
            Body::Ballot { root, signature } => {
                out.extend_from_slice(root.as_slice());
                out.extend_from_slice(signature.as_slice());
            }
            Body::Dissent { votes, signature } => {
                out.extend_from_slice(signature.as_slice());
                put_sightings(&mut out, votes, MAX_DISSENT);
            }
            Body::Certified {
                signers,
                signature,
                votes,
            } => {
                out.extend_from_slice(&signers.bits().to_be_bytes());
                out.extend_from_slice(signature.as_slice());
                put_sightings(&mut out, votes, MAX_BATCH);
            }
            Body::Result { result, signature } => {
                put_result(&mut out, result);
                out.extend_from_slice(signature.as_slice());
            }
            Body::Validation {
                result,
                executor,
                valid,
                signature,
            } => {
                put_result(&mut out, result);
                out.extend_from_slice(executor.as_slice());
                out.push(u8::from(*valid));
                out.extend_from_slice(signature.as_slice());
            }
            Body::Objection {
                result,
                executor,
                member,
                signature,
            } => {
                put_result(&mut out, result);
                out.extend_from_slice(executor.as_slice());
                out.push(*member);
                out.extend_from_slice(signature.as_slice());
            }
            Body::Decided {
                result,
                valid,
                signers,
                signature,
            } => {
                put_result(&mut out, result);
                out.push(u8::from(*valid));
                out.extend_from_slice(&signers.bits().to_be_bytes());
                out.extend_from_slice(signature.as_slice());
            }
            Body::MeasurementHint {
                deployment,
                epoch,
                claim,
            } => {
                put_epoch(&mut out, deployment, *epoch);
                put_claim(&mut out, claim);
            }
            Body::MeasurementBallot {
                deployment,
                epoch,
                statement,
                signature,
            } => {
                put_epoch(&mut out, deployment, *epoch);
                put_statement(&mut out, statement);
                out.extend_from_slice(signature.as_slice());
            }
            Body::MeasurementCertificate {
                deployment,
                epoch,
                statement,
                signers,
                signature,
            } => {
                put_epoch(&mut out, deployment, *epoch);
                put_statement(&mut out, statement);
                out.extend_from_slice(&signers.bits().to_be_bytes());
                out.extend_from_slice(signature.as_slice());
            }
        }
        out
    }

    /// From what [`Message::encode`] gives, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(MessageError::TooLong { found: bytes.len() });
        }
        let mut input = Reader {
            total: bytes.len(),
            rest: bytes,
        };
        let version = input.byte()?;
        if version != VERSION {
            return Err(MessageError::Version { found: version });
        }
        let service = Address::from(input.take::<20>()?);
        let set = u64::from_be_bytes(input.take()?);
        let body = match input.byte()? {
            1 => Body::Hints(input.sightings(MAX_HINTS)?),
            2 => Body::Propose(input.sightings(MAX_BATCH)?),
            3 => Body::Ballot {
                root: input.take()?.into(),
                signature: input.signature()?,
            },
            4 => Body::Dissent {
                signature: input.signature()?,
                votes: input.sightings(MAX_DISSENT)?,
            },
            5 => Body::Certified {
                signers: input.signers()?,
                signature: input.signature()?,
                votes: input.sightings(MAX_BATCH)?,
            },
            6 => Body::Result {
                result: input.result()?,
                signature: input.signature()?,
            },
            7 => Body::Validation {
                result: input.result()?,
                executor: input.signature()?,
                valid: input.flag()?,
                signature: input.signature()?,
            },
            8 => Body::Decided {
                result: input.result()?,
                valid: input.flag()?,
                signers: input.signers()?,
                signature: input.signature()?,
            },
            9 => Body::Objection {
                result: input.result()?,
                executor: input.signature()?,
                member: input.member()?,
                signature: input.signature()?,
            },
            10 => {
                let (deployment, epoch) = input.epoch()?;
                Body::MeasurementHint {
                    deployment,
                    epoch,
                    claim: input.claim(epoch)?,
                }
            }
            11 => {
                let (deployment, epoch) = input.epoch()?;
                Body::MeasurementBallot {
                    deployment,
                    epoch,
                    statement: input.statement(epoch)?,
                    signature: input.signature()?,
                }
            }
            12 => {
                let (deployment, epoch) = input.epoch()?;
                Body::MeasurementCertificate {
                    deployment,
                    epoch,
                    statement: input.statement(epoch)?,
                    signers: input.signers()?,
                    signature: input.signature()?,
                }
            }
            found => return Err(MessageError::Kind { found }),
        };
        match input.rest.len() {
            0 => Ok(Self { service, set, body }),
            found => Err(MessageError::Trailing { found }),
        }
    }
}

fn put_sightings(out: &mut Vec<u8>, sightings: &[Sighting], limit: usize) {
    let sightings = sightings.get(..limit).unwrap_or(sightings);
    out.reserve(2 + 64 * sightings.len());
    out.extend_from_slice(&(sightings.len() as u16).to_be_bytes());
    for sighting in sightings {
        out.extend_from_slice(sighting.key.as_slice());
        out.extend_from_slice(sighting.value.as_slice());
    }
}

fn put_result(out: &mut Vec<u8>, result: &TaskResult) {
    out.extend_from_slice(result.task.as_slice());
    out.push(result.attempt);
    out.extend_from_slice(result.inputs.as_slice());
    out.extend_from_slice(result.output.as_slice());
    out.extend_from_slice(&result.seconds.to_be_bytes());
    out.extend_from_slice(&result.bytes.to_be_bytes());
}

const BASELINE: u8 = 0;
const INTACT: u8 = 1;
const DRIFTED: u8 = 2;
const UNREACHABLE: u8 = 3;

fn put_epoch(out: &mut Vec<u8>, deployment: &U256, epoch: u64) {
    out.extend_from_slice(&deployment.to_be_bytes::<32>());
    out.extend_from_slice(&epoch.to_be_bytes());
}

fn put_statement(out: &mut Vec<u8>, statement: &Statement) {
    match statement {
        Statement::Baseline(root) => {
            out.push(BASELINE);
            out.extend_from_slice(root.as_slice());
        }
        Statement::Intact => out.push(INTACT),
        Statement::Drifted(evidence) => {
            out.push(DRIFTED);
            out.extend_from_slice(evidence.as_slice());
        }
        Statement::Unreachable => out.push(UNREACHABLE),
    }
}

fn put_claim(out: &mut Vec<u8>, claim: &Claim) {
    match claim {
        Claim::Baseline(root) => {
            out.push(BASELINE);
            out.extend_from_slice(root.as_slice());
        }
        Claim::Intact => out.push(INTACT),
        Claim::Drifted(findings) => {
            let findings = findings.get(..MAX_FINDINGS).unwrap_or(findings);
            out.push(DRIFTED);
            out.extend_from_slice(&(findings.len() as u16).to_be_bytes());
            for finding in findings {
                out.extend_from_slice(&(finding.bytes().len() as u16).to_be_bytes());
                out.extend_from_slice(finding.bytes());
            }
        }
        Claim::Unreachable => out.push(UNREACHABLE),
    }
}

struct Reader<'a> {
    total: usize,
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (field, rest) = self.rest.split_first_chunk::<N>().ok_or(MessageError::Short {
            found: self.total,
            expected: N.saturating_sub(self.rest.len()),
        })?;
        self.rest = rest;
        Ok(*field)
    }

    fn byte(&mut self) -> Result<u8, MessageError> {
        Ok(u8::from_be_bytes(self.take()?))
    }

    fn flag(&mut self) -> Result<bool, MessageError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(MessageError::Flag { found }),
        }
    }

    fn member(&mut self) -> Result<u8, MessageError> {
        let found = self.byte()?;
        (usize::from(found) < MAX_MEMBERS)
            .then_some(found)
            .ok_or(MessageError::Member { found })
    }

    fn signature(&mut self) -> Result<SignatureBytes, MessageError> {
        self.take().map(FixedBytes)
    }

    fn epoch(&mut self) -> Result<(U256, u64), MessageError> {
        let deployment = U256::from_be_bytes(self.take::<32>()?);
        Ok((deployment, u64::from_be_bytes(self.take()?)))
    }

    fn statement(&mut self, epoch: u64) -> Result<Statement, MessageError> {
        let statement = match self.byte()? {
            BASELINE => Statement::Baseline(self.take()?.into()),
            INTACT => Statement::Intact,
            DRIFTED => Statement::Drifted(self.take()?.into()),
            UNREACHABLE => Statement::Unreachable,
            found => return Err(MessageError::Statement { found }),
        };
        statement
            .fits(epoch)
            .then_some(statement)
            .ok_or(MessageError::Epoch { epoch })
    }

    fn claim(&mut self, epoch: u64) -> Result<Claim, MessageError> {
        let claim = match self.byte()? {
            BASELINE => Claim::Baseline(self.take()?.into()),
            INTACT => Claim::Intact,
            DRIFTED => Claim::Drifted(self.findings()?),
            UNREACHABLE => Claim::Unreachable,
            found => return Err(MessageError::Statement { found }),
        };
        if claim.fits(epoch) {
            Ok(claim)
        } else {
            Err(MessageError::Epoch { epoch })
        }
    }

    fn findings(&mut self) -> Result<Vec<Finding>, MessageError> {
        let (found, limit) = (usize::from(u16::from_be_bytes(self.take()?)), MAX_FINDINGS);
        if found == 0 || found > limit {
            return Err(MessageError::Count { found, limit });
        }
        let mut findings = Vec::with_capacity(found);
        for _ in 0..found {
            let found = usize::from(u16::from_be_bytes(self.take()?));
            if found > MAX_FINDING_BYTES {
                return Err(MessageError::Finding { found });
            }
            let (bytes, rest) = self.rest.split_at_checked(found).ok_or(MessageError::Short {
                found: self.total,
                expected: found.saturating_sub(self.rest.len()),
            })?;
            self.rest = rest;
            findings.push(Finding::decode(bytes).map_err(|_| MessageError::Finding { found })?);
        }
        Ok(findings)
    }

    fn signers(&mut self) -> Result<Signers, MessageError> {
        Ok(Signers::from_bits(u128::from_be_bytes(self.take()?)))
    }

    fn sightings(&mut self, limit: usize) -> Result<Vec<Sighting>, MessageError> {
        let found = usize::from(u16::from_be_bytes(self.take()?));
        if found == 0 || found > limit {
            return Err(MessageError::Count { found, limit });
        }
        // As many as announced must be there before room is made for them.
        if let Some(expected) = (64 * found).checked_sub(self.rest.len()).filter(|missing| *missing > 0) {
            return Err(MessageError::Short {
                found: self.total,
                expected,
            });
        }
        let mut sightings = Vec::with_capacity(found);
        for _ in 0..found {
            sightings.push(Sighting {
                key: self.take()?.into(),
                value: self.take()?.into(),
            });
        }
        Ok(sightings)
    }

    fn result(&mut self) -> Result<TaskResult, MessageError> {
        Ok(TaskResult {
            task: self.take()?.into(),
            attempt: self.byte()?,
            inputs: self.take()?.into(),
            output: self.take()?.into(),
            seconds: u32::from_be_bytes(self.take()?),
            bytes: u32::from_be_bytes(self.take()?),
        })
    }
}
