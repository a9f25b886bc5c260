//! State proofs of deployments: that a block's state says so of one (`docs/spec/integrity.md`, section 9).
//!
//! [`verify_deployment_proof`] believes nothing but the block's hash and the contract's address.

use alloy::{
    consensus::Header,
    eips::BlockId,
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::Provider,
    rlp::{Decodable, Encodable},
    rpc::types::EIP1186AccountProofResponse,
};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use serde::{Deserialize, Serialize};
use surety_primitives::measurement::DeploymentId;

use crate::{contracts::Contracts, error::Error};

/// Slot of `Integrity`'s mapping of deployments.
const DEPLOYMENTS_SLOT: u64 = 0;
/// Slot of its mapping of counts by service.
const COUNTS_SLOT: u64 = 1;
/// Words of a deployment that a proof covers: all but who reported.
pub const WORDS: usize = 7;
/// Amounts are kept in multiples of this many wei.
const UNIT: u128 = 1_000_000_000;
/// Longest header and proof node that is looked at, bytes.
const MAX_BYTES: usize = 4_096;
/// Most nodes of one proof.
const MAX_NODES: usize = 64;

/// What became of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Status {
    /// there is none
    None = 0,
    /// asked for; there is no baseline yet
    Requested = 1,
    /// verdicts are recorded
    Running = 2,
    /// a quorum saw it changed
    Drifted = 3,
    /// too many epochs without an answer
    Unreachable = 4,
    /// ended by its owner or its host; what happened before can still be recorded
    Retiring = 5,
    /// over, and settled
    Retired = 6,
}

/// A deployment, as it is stored. Times are Unix seconds, amounts wei of the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentState {
    /// what became of it
    pub status: Status,
    /// the last epoch recorded; 0 before the first
    pub last_epoch: u32,
    /// number of the set that signed last
    pub set: u32,
    /// until when that set's certificates are taken
    pub set_expires: u64,
    /// epochs recorded and paid in that set
    pub paid: u32,
    /// epochs recorded as intact and paid
    pub intact: u32,
    /// unreachable epochs recorded since the last intact one
    pub unreachable: u16,
    /// what is left to pay from
    #[serde(with = "decimal")]
    pub escrow: u128,
    /// time of the block that recorded the baseline; 0 before that
    pub start: u64,
    /// seconds of an epoch
    pub epoch: u32,
    /// unreachable epochs in a row that end it
    pub unreachable_after: u16,
    /// power a certificate needs, in 1/10,000
    pub quorum: u16,
    /// to all monitors together, for each epoch
    #[serde(with = "decimal")]
    pub reward: u128,
    /// to the host, for each epoch recorded as intact
    #[serde(with = "decimal")]
    pub host_reward: u128,
    /// block it was asked for in
    pub requested_at: u64,
    /// who hosts it
    pub host: Address,
    /// of `intact`, how many the host has collected
    pub collected: u32,
    /// when it was retired; 0 if it was not
    pub retired_at: u64,
    /// whether the host's bond is locked for it
    pub locked: bool,
    /// measurement root at deployment
    pub baseline: B256,
    /// digest of the image
    pub image: B256,
    /// value hash of the specification
    pub specification: B256,
    /// hash of what was found, where it drifted
    pub evidence: B256,
}

/// Amounts as decimal text: JSON's numbers are doubles to most who read them.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(amount: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|_| D::Error::custom(format!("an amount is `{text}`, expected a decimal number below 2^128")))
    }
}

/// What a deployment's state says at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// intact in the last epoch recorded, which ended so many seconds ago
    Intact {
        /// seconds since that epoch's end
        age: u64,
    },
    /// intact in the last epoch recorded, which is too long ago
    Stale {
        /// seconds since that epoch's end, or since the baseline
        age: u64,
        /// most that was wanted
        most: u64,
    },
    /// not running, not answering, or changed
    Not(Status),
    /// running, but the last epochs recorded were unreachable
    Unanswered {
        /// how many of them
        epochs: u16,
    },
    /// running, and no epoch is recorded yet
    Fresh,
}

impl DeploymentState {
    /// What it says at `now`, if its last record may be `most` seconds old.
    pub fn standing(&self, now: u64, most: u64) -> Standing {
        if self.status != Status::Running {
            return Standing::Not(self.status);
        }
        let recorded = u64::from(self.last_epoch).saturating_mul(self.epoch.into());
        let age = now.saturating_sub(self.start.saturating_add(recorded));
        if self.unreachable > 0 {
            Standing::Unanswered {
                epochs: self.unreachable,
            }
        } else if age > most {
            Standing::Stale { age, most }
        } else if self.last_epoch == 0 {
            Standing::Fresh
        } else {
            Standing::Intact { age }
        }
    }

    /// What a recent record is, unless somebody says otherwise: two epochs and half a minute for its transaction.
    pub fn usual_age(&self) -> u64 {
        u64::from(self.epoch).saturating_mul(2).saturating_add(30)
    }

    /// From the deployment's first seven words of storage (`vectors/integrity/layout.json`).
    ///
    /// # Errors
    /// No status has the number found.
    pub fn from_words(words: [U256; WORDS]) -> Result<Self, ProofError> {
        let [state, terms, host, baseline, image, specification, evidence] = words;
        let number = |word: U256, shift: usize, bits: usize| -> u128 {
            let masked: U256 = (word >> shift) & ((U256::from(1) << bits) - U256::from(1));
            u128::try_from(masked).unwrap_or(u128::MAX)
        };
        // Each field has no more bits than its type.
        let narrow = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        let small = |number: u128| u32::try_from(number).unwrap_or(u32::MAX);
        let short = |number: u128| u16::try_from(number).unwrap_or(u16::MAX);
        let found = number(state, 0, 8);
        let status = u8::try_from(found).ok().and_then(|found| Status::try_from(found).ok());
        Ok(Self {
            status: status.ok_or(ProofError::Status { found })?,
            last_epoch: small(number(state, 8, 32)),
            set: small(number(state, 40, 32)),
            set_expires: narrow(number(state, 72, 40)),
            paid: small(number(state, 112, 32)),
            intact: small(number(state, 144, 32)),
            unreachable: short(number(state, 176, 16)),
            escrow: number(state, 192, 64).saturating_mul(UNIT),
            start: narrow(number(terms, 0, 40)),
            epoch: small(number(terms, 40, 24)),
            unreachable_after: short(number(terms, 64, 16)),
            quorum: short(number(terms, 80, 16)),
            reward: number(terms, 96, 48).saturating_mul(UNIT),
            host_reward: number(terms, 144, 48).saturating_mul(UNIT),
            requested_at: narrow(number(terms, 192, 40)),
            host: Address::from_word(B256::from(host & ((U256::from(1) << 160) - U256::from(1)))),
            collected: small(number(host, 160, 32)),
            retired_at: narrow(number(host, 192, 40)),
            locked: number(host, 232, 1) == 1,
            baseline: baseline.into(),
            image: image.into(),
            specification: specification.into(),
            evidence: evidence.into(),
        })
    }
}

impl TryFrom<u8> for Status {
    type Error = u8;

    fn try_from(number: u8) -> Result<Self, u8> {
        const ALL: [Status; 7] = [
            Status::None,
            Status::Requested,
            Status::Running,
            Status::Drifted,
            Status::Unreachable,
            Status::Retiring,
            Status::Retired,
        ];
        ALL.get(usize::from(number)).copied().ok_or(number)
    }
}

/// A block's header and the Merkle proofs of a deployment's words in its state. `kind` names what sort of proof it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentProof {
    /// `state`
    pub kind: String,
    /// RLP of the block's header
    pub header: Bytes,
    /// the contract's account in that block's state
    pub account: AccountProof,
    /// the deployment's first seven words, then the service's count of deployments
    pub storage: Vec<SlotProof>,
}

/// An account, and the path to it from the state's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountProof {
    /// its nonce
    pub nonce: u64,
    /// its balance
    pub balance: U256,
    /// root of its storage
    pub storage_hash: B256,
    /// hash of its code
    pub code_hash: B256,
    /// nodes from the root down
    pub proof: Vec<Bytes>,
}

/// A word of storage, and the path to it from the storage's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlotProof {
    /// its value
    pub value: U256,
    /// nodes from the root down
    pub proof: Vec<Bytes>,
}

/// Kind of a [`DeploymentProof`].
pub const STATE: &str = "state";

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// number of the block
    pub block: u64,
    /// its time, Unix seconds
    pub time: u64,
    /// how many deployments the service ever asked for
    pub count: u64,
    /// the deployment
    pub state: DeploymentState,
}

/// Why a proof is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is of a kind that is not known here.
    #[error("the proof is of the kind \"{found}\", expected \"{STATE}\"")]
    Kind {
        /// what it says
        found: String,
    },
    /// It is longer than any proof.
    #[error("the {what} has {found} {unit}, expected at most {limit}")]
    TooLong {
        /// part of the proof
        what: &'static str,
        /// bytes or nodes
        unit: &'static str,
        /// how many
        found: usize,
        /// most there are
        limit: usize,
    },
    /// Its words are not the deployment's and the count.
    #[error("the proof has {found} words of storage, expected {expected}")]
    Words {
        /// how many there are
        found: usize,
        /// how many there should be
        expected: usize,
    },
    /// The header is not that of the block that is trusted.
    #[error("the header's hash is {found}, expected that of the block, {expected}")]
    Header {
        /// its hash
        found: B256,
        /// the block's
        expected: B256,
    },
    /// It hashes right, but is no header.
    #[error("the header cannot be decoded: {0}")]
    HeaderRlp(String),
    /// A path does not lead from the root to what is claimed.
    #[error("the {what} is not proved: {cause}")]
    Path {
        /// the account, or a word
        what: String,
        /// why not
        cause: String,
    },
    /// No status has this number.
    #[error("the deployment's status is {found}, expected 0 to 6")]
    Status {
        /// the number found
        found: u128,
    },
    /// There is no such deployment.
    #[error("there is no deployment {0}")]
    Unknown(DeploymentId),
}

/// Slots that a proof of a deployment covers: its first seven words, and its service's count of deployments.
pub fn slots(id: DeploymentId) -> Vec<B256> {
    let mapped = |key: B256, slot: u64| keccak256([key, U256::from(slot).into()].concat());
    let first: U256 = mapped(id.0.into(), DEPLOYMENTS_SLOT).into();
    let words = (0..WORDS).map(|word| B256::from(first.wrapping_add(U256::from(word))));
    words.chain([mapped(id.service().into_word(), COUNTS_SLOT)]).collect()
}

/// Checks a proof against the hash of a block that the caller trusts and the address of `Integrity`, and decodes what
/// it shows.
///
/// # Errors
/// The proof is malformed, of another block, contract or deployment, or a word of it was altered.
pub fn verify_deployment_proof(
    block_hash: B256,
    proof: &DeploymentProof,
    integrity: Address,
    id: DeploymentId,
) -> Result<Proved, ProofError> {
    if proof.kind != STATE {
        let found = proof.kind.chars().take(64).collect();
        return Err(ProofError::Kind { found });
    }
    bounded("header", "bytes", proof.header.len(), MAX_BYTES)?;
    let found = keccak256(&proof.header);
    if found != block_hash {
        return Err(ProofError::Header {
            found,
            expected: block_hash,
        });
    }
    let mut rest: &[u8] = &proof.header;
    let header = Header::decode(&mut rest).map_err(|e| ProofError::HeaderRlp(e.to_string()))?;

    let account = &proof.account;
    let mut expected = Vec::new();
    TrieAccount {
        nonce: account.nonce,
        balance: account.balance,
        storage_root: account.storage_hash,
        code_hash: account.code_hash,
    }
    .encode(&mut expected);
    check(
        "account",
        header.state_root,
        keccak256(integrity),
        Some(expected),
        &account.proof,
    )?;

    let slots = slots(id);
    if proof.storage.len() != slots.len() {
        return Err(ProofError::Words {
            found: proof.storage.len(),
            expected: slots.len(),
        });
    }
    for (word, (slot, proved)) in slots.iter().zip(&proof.storage).enumerate() {
        let expected = (!proved.value.is_zero()).then(|| alloy::rlp::encode(proved.value));
        check(
            &format!("word {word} of storage"),
            account.storage_hash,
            keccak256(slot),
            expected,
            &proved.proof,
        )?;
    }
    let mut values = [U256::ZERO; WORDS];
    for (value, proved) in values.iter_mut().zip(&proof.storage) {
        *value = proved.value;
    }
    let state = DeploymentState::from_words(values)?;
    if state.status == Status::None {
        return Err(ProofError::Unknown(id));
    }
    let count = proof.storage.last().map(|proved| proved.value).unwrap_or_default();
    Ok(Proved {
        block: header.number,
        time: header.timestamp,
        count: count.saturating_to(),
        state,
    })
}

fn bounded(what: &'static str, unit: &'static str, found: usize, limit: usize) -> Result<(), ProofError> {
    if found > limit {
        return Err(ProofError::TooLong {
            what,
            unit,
            found,
            limit,
        });
    }
    Ok(())
}

fn check(what: &str, root: B256, key: B256, expected: Option<Vec<u8>>, proof: &[Bytes]) -> Result<(), ProofError> {
    bounded("path", "nodes", proof.len(), MAX_NODES)?;
    for node in proof {
        bounded("node", "bytes", node.len(), MAX_BYTES)?;
    }
    verify_proof(root, Nibbles::unpack(key), expected, proof).map_err(|e| ProofError::Path {
        what: what.to_owned(),
        cause: e.to_string(),
    })
}

impl From<EIP1186AccountProofResponse> for AccountProof {
    fn from(found: EIP1186AccountProofResponse) -> Self {
        Self {
            nonce: found.nonce,
            balance: found.balance,
            storage_hash: found.storage_hash,
            code_hash: found.code_hash,
            proof: found.account_proof,
        }
    }
}

impl Contracts {
    /// Asks for the proof of a deployment at a block, by the block's hash.
    pub async fn deployment_proof(&self, id: DeploymentId, block: B256) -> Result<DeploymentProof, Error> {
        let rpc = self.rpc();
        let missing = || Error::Local(format!("the endpoint has no block {block}"));
        let found = rpc
            .ask("eth_getBlockByHash", None, || async {
                rpc.provider().get_block_by_hash(block).await
            })
            .await?
            .ok_or_else(missing)?;
        let mut header = Vec::new();
        found.header.inner.encode(&mut header);
        let address = self.deployment().integrity;
        let wanted = slots(id);
        let mut found = rpc
            .ask("eth_getProof", None, || async {
                rpc.provider()
                    .get_proof(address, wanted.clone())
                    .block_id(BlockId::hash(block))
                    .await
            })
            .await?;
        let storage = std::mem::take(&mut found.storage_proof)
            .into_iter()
            .map(|word| SlotProof {
                value: word.value,
                proof: word.proof,
            })
            .collect();
        Ok(DeploymentProof {
            kind: STATE.to_owned(),
            header: header.into(),
            account: found.into(),
            storage,
        })
    }
}
