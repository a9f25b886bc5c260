//! Votes and ballots: the one thing that members of a set sign (`docs/spec/network.md`, sections 3, 7 and 8).

use crate::Domain;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolStruct, SolValue};

mod sol {
    alloy_sol_types::sol! {
        struct Ballot {
            address service;
            uint64 set;
            bytes32 root;
        }
    }
}

/// Most votes in one ballot.
pub const MAX_VOTES: usize = 1024;

/// Most hashes in a proof that a vote is in a ballot.
pub const MAX_PROOF: usize = 10;

/// What a vote is about. The numbers are part of every leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum VoteKind {
    /// An event happened with this data: subject [`event_key`], value the data's hash.
    Event = 1,
    /// A task was executed with this result: subject [`result_subject`], value [`TaskResult::hash`].
    Result = 2,
    /// A result is [`VALID`] or [`INVALID`]: subject [`TaskResult::hash`].
    Validation = 3,
    /// What was measured (containers).
    Measurement = 4,
    /// What was found other than it should be: subject keccak256(abi.encode(subject of the measurement, evidence hash)).
    Finding = 5,
}

/// Value of a [`VoteKind::Validation`] vote for a right result.
pub const VALID: B256 = B256::with_last_byte(1);

/// Value of a [`VoteKind::Validation`] vote for a wrong result.
pub const INVALID: B256 = B256::with_last_byte(2);

/// Why something is no vote, no ballot, or not in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// No kind has this number.
    #[error("vote kind is {found}, expected 1 to 5")]
    Kind {
        /// The number found.
        found: u8,
    },
    /// A ballot has one vote at least, and [`MAX_VOTES`] at most.
    #[error("ballot has {found} votes, expected 1 to {MAX_VOTES}")]
    Votes {
        /// How many it has.
        found: usize,
    },
    /// A proof has [`MAX_PROOF`] hashes at most.
    #[error("proof has {found} hashes, expected at most {MAX_PROOF}")]
    ProofTooLong {
        /// How many it has.
        found: usize,
    },
    /// The proof does not lead from the vote to the root.
    #[error("proof of the vote leads to {found}, expected the root {expected}")]
    NotUnderRoot {
        /// Where it leads.
        found: B256,
        /// The ballot's root.
        expected: B256,
    },
}

impl TryFrom<u8> for VoteKind {
    type Error = VoteError;

    fn try_from(number: u8) -> Result<Self, VoteError> {
        match number {
            1 => Ok(Self::Event),
            2 => Ok(Self::Result),
            3 => Ok(Self::Validation),
            4 => Ok(Self::Measurement),
            5 => Ok(Self::Finding),
            found => Err(VoteError::Kind { found }),
        }
    }
}

/// One assertion of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// What it is about.
    pub kind: VoteKind,
    /// Of what: a member never signs two votes of a set with the same kind and subject and different values.
    pub subject: B256,
    /// What is asserted of it.
    pub value: B256,
}

impl Vote {
    /// keccak256(abi.encode(kind, subject, value)): three words. It is what the ballot's tree is made of.
    pub fn leaf(&self) -> B256 {
        keccak256((U256::from(self.kind as u8), self.subject, self.value).abi_encode_params())
    }

    /// Whether the two can't both be true: same kind, same subject, different values.
    pub fn contradicts(&self, other: &Self) -> bool {
        (self.kind, self.subject) == (other.kind, other.subject) && self.value != other.value
    }
}

/// The tree over a ballot's votes. 1 to [`MAX_VOTES`] of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteTree {
    /// From the leaves to the root. No level is empty; the last has one node.
    levels: Vec<Vec<B256>>,
    root: B256,
}

impl VoteTree {
    /// The tree over `votes`, in this order.
    pub fn new<'a>(votes: impl IntoIterator<Item = &'a Vote>) -> Result<Self, VoteError> {
        // One more than fits, so that what is too long is not read to its end.
        let leaves: Vec<_> = votes.into_iter().take(MAX_VOTES + 1).map(Vote::leaf).collect();
        if leaves.is_empty() || leaves.len() > MAX_VOTES {
            return Err(VoteError::Votes { found: leaves.len() });
        }
        let mut levels = Vec::new();
        let mut level = leaves;
        while level.len() > 1 {
            let above = level.chunks(2).filter_map(parent).collect();
            levels.push(core::mem::replace(&mut level, above));
        }
        let root = level.first().copied().unwrap_or_default();
        levels.push(level);
        Ok(Self { levels, root })
    }

    /// What the ballot signs; of one vote, its leaf.
    pub fn root(&self) -> B256 {
        self.root
    }

    /// The hashes that lead from the vote with this index to the root; `None` if there is no such vote.
    pub fn proof(&self, index: usize) -> Option<Vec<B256>> {
        self.levels.first()?.get(index)?;
        // An odd last node has no sibling, and goes up as it is.
        let sibling = |(height, level): (usize, &Vec<B256>)| level.get((index >> height) ^ 1).copied();
        Some(self.levels.iter().enumerate().filter_map(sibling).collect())
    }
}

/// Of a pair, its hash; of one alone, itself.
fn parent(nodes: &[B256]) -> Option<B256> {
    match nodes {
        [left, right] => Some(pair(*left, *right)),
        [alone] => Some(*alone),
        _ => None,
    }
}

/// keccak256(min ‖ max).
fn pair(a: B256, b: B256) -> B256 {
    let mut words = [0; 64];
    let (first, second) = words.split_at_mut(32);
    first.copy_from_slice(a.min(b).as_slice());
    second.copy_from_slice(a.max(b).as_slice());
    keccak256(words)
}

/// Refuses unless `proof` leads from `vote` to `root`, with at most [`MAX_PROOF`] hashes.
pub fn verify_proof(vote: &Vote, proof: &[B256], root: B256) -> Result<(), VoteError> {
    if proof.len() > MAX_PROOF {
        return Err(VoteError::ProofTooLong { found: proof.len() });
    }
    let found = proof.iter().fold(vote.leaf(), |node, sibling| pair(node, *sibling));
    if found == root {
        Ok(())
    } else {
        Err(VoteError::NotUnderRoot { found, expected: root })
    }
}

/// What a member signs: votes of one service's set, by their root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The service.
    pub service: Address,
    /// Number of its set.
    pub set: u64,
    /// Root of the votes ([`VoteTree::root`]).
    pub root: B256,
}

impl Ballot {
    /// The EIP-712 type.
    pub const TYPE: &'static str = "Ballot(address service,uint64 set,bytes32 root)";

    /// EIP-712 digest: what is signed. `domain` names the L1 and the contract `Quorum`.
    pub fn digest(&self, domain: &Domain) -> B256 {
        sol::Ballot {
            service: self.service,
            set: self.set,
            root: self.root,
        }
        .eip712_signing_hash(&domain.eip712())
    }
}

/// Subject of an event's vote: keccak256(abi.encode(service, keccak256(name), id)), with `id` the value hash of the list
/// of the fields that the manifest names as the event's id.
pub fn event_key(service: Address, name: &str, id: B256) -> B256 {
    event_key_of(service, keccak256(name), id)
}

/// As [`event_key`], from the hash of the event's name.
pub fn event_key_of(service: Address, name_hash: B256, id: B256) -> B256 {
    keccak256((service, name_hash, id).abi_encode_params())
}

/// A run of `flow` by an event: keccak256(abi.encode(flow, event key)).
pub fn run_id(flow: U256, event_key: B256) -> B256 {
    keccak256((flow, event_key).abi_encode_params())
}

/// A task: one step of a run. keccak256(abi.encode(run, step)).
pub fn task_id(run: B256, step: u8) -> B256 {
    keccak256((run, U256::from(step)).abi_encode_params())
}

/// Seed of the selection for a step: keccak256(abi.encode(run, step, mix)), with `mix` the `prevrandao` of the block after
/// the one the run was recorded in.
pub fn seed(run: B256, step: u8, mix: B256) -> B256 {
    keccak256((run, U256::from(step), mix).abi_encode_params())
}

/// Subject of an executor's vote: keccak256(abi.encode(task, attempt)).
pub fn result_subject(task: B256, attempt: u8) -> B256 {
    keccak256((task, U256::from(attempt)).abi_encode_params())
}

/// What an executor asserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskResult {
    /// The task ([`task_id`]).
    pub task: B256,
    /// Which attempt, from 0.
    pub attempt: u8,
    /// Value hash, or salted hash, of the inputs.
    pub inputs: B256,
    /// Value hash, or salted hash, of the output.
    pub output: B256,
    /// Seconds that are billed.
    pub seconds: u32,
    /// Bytes that are billed.
    pub bytes: u32,
}

impl TaskResult {
    /// keccak256(abi.encode(task, attempt, inputs, output, seconds, bytes)): six words.
    pub fn hash(&self) -> B256 {
        let words = (
            self.task,
            U256::from(self.attempt),
            self.inputs,
            self.output,
            U256::from(self.seconds),
            U256::from(self.bytes),
        );
        keccak256(words.abi_encode_params())
    }

    /// The executor's vote for it.
    pub fn vote(&self) -> Vote {
        Vote {
            kind: VoteKind::Result,
            subject: result_subject(self.task, self.attempt),
            value: self.hash(),
        }
    }

    /// A validator's vote about it.
    pub fn validation(&self, valid: bool) -> Vote {
        Vote {
            kind: VoteKind::Validation,
            subject: self.hash(),
            value: if valid { VALID } else { INVALID },
        }
    }
}
