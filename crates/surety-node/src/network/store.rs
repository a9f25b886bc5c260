//! What this node has voted, seen and done in the network, durably. One redb file beside the provider's.
//!
//! The rule (P1): **in one set there is one value for a subject in the store for ever**, and a ballot is only ever
//! signed from what a finished commit holds. [`NetworkStore::commit_group`] refuses a second value.
//!
//! A result this node computed is kept before anybody hears of it (P5): executing a task again after a crash would
//! give it a second result, which is a fault.

mod group;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use surety_primitives::vote::{TaskResult, Vote, VoteKind};
use surety_protocol::network::{
    measure::{Finding, MAX_SEEN},
    task::Recorded,
};

pub(crate) use self::group::{EventCertificates, EventVotes, Group};
use crate::store::{CommitHook, CommitPoint, Identity, StoreError};

const SCHEMA: u64 = 1;
/// Memory redb may use as page cache, bytes.
const PAGE_CACHE: usize = 32 << 20;
/// Lines kept of each flow's log.
const LOG_LINES: u64 = 10_000;
/// Sets of a service whose votes on events are kept, besides the newest: a node votes on events in the newest only.
const SETS_KEPT: u64 = 2;
/// Certificates kept, all services together.
const CERTIFICATES: u64 = 1 << 20;

type Hash = [u8; 32];

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// service (20) ‖ set (8) ‖ kind (1) ‖ subject (32) -> value
const VOTES: TableDefinition<'_, &[u8], Hash> = TableDefinition::new("votes");
/// event key -> observation, data
const OBSERVED: TableDefinition<'_, Hash, (&[u8], &[u8])> = TableDefinition::new("observed");
/// hash -> number ‖ what has it: values, sealed payloads
const VALUES: TableDefinition<'_, Hash, (u64, &[u8])> = TableDefinition::new("values");
/// number -> hash, oldest first
const VALUES_BY_AGE: TableDefinition<'_, u64, Hash> = TableDefinition::new("values_by_age");
/// number -> key in `certified`, oldest first
const CERTIFICATES_BY_AGE: TableDefinition<'_, u64, Hash> = TableDefinition::new("certificates_by_age");
/// hash(service ‖ kind ‖ subject) -> number ‖ proven vote on the wire: the first one known
const CERTIFIED: TableDefinition<'_, Hash, (u64, &[u8])> = TableDefinition::new("certified");
/// task (32) ‖ kind (1) ‖ subject (32) -> value and the result voted on
const TASK_VOTES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("task_votes");
/// hash(task ‖ attempt) -> what this node's connector returned
const RESULTS: TableDefinition<'_, Hash, &[u8]> = TableDefinition::new("results");
/// deployment (32) ‖ hash (32) -> a finding of this node, canonical
const FINDINGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("findings");
/// flow (32) ‖ number (8) -> line
const LOGS: TableDefinition<'_, &[u8], &str> = TableDefinition::new("logs");

macro_rules! io {
    ($e:expr) => {
        $e.map_err(|e| StoreError::Io(e.to_string()))?
    };
}

/// The store. Cheap to clone; clones share it.
#[derive(Clone)]
pub(crate) struct NetworkStore {
    inner: Arc<Inner>,
}

struct Inner {
    db: Database,
    hook: Option<CommitHook>,
    max_value_bytes: u64,
    value_bytes: Mutex<u64>,
}

impl std::fmt::Debug for NetworkStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkStore").finish_non_exhaustive()
    }
}

/// What this node's connector returned for an attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct OwnAnswer {
    /// hash of the inputs it answers
    pub(crate) inputs: B256,
    /// hash of the output, or its commitment
    pub(crate) output: B256,
    /// seconds it took
    pub(crate) seconds: u32,
    /// bytes that are billed
    pub(crate) bytes: u32,
    /// canonical encoding of the output, or the sealed payload
    pub(crate) payload: alloy::primitives::Bytes,
}

/// A vote's value and the result that it is about, as stored.
#[derive(RlpEncodable, RlpDecodable)]
struct StoredResult {
    set: u64,
    value: B256,
    attempt: u8,
    inputs: B256,
    output: B256,
    seconds: u32,
    bytes: u32,
}

impl From<(u64, B256, &TaskResult)> for StoredResult {
    fn from((set, value, r): (u64, B256, &TaskResult)) -> Self {
        Self {
            set,
            value,
            attempt: r.attempt,
            inputs: r.inputs,
            output: r.output,
            seconds: r.seconds,
            bytes: r.bytes,
        }
    }
}

impl StoredResult {
    fn result(&self, task: B256) -> TaskResult {
        TaskResult {
            task,
            attempt: self.attempt,
            inputs: self.inputs,
            output: self.output,
            seconds: self.seconds,
            bytes: self.bytes,
        }
    }
}

/// An event that a connector of this node saw and that has no certificate yet.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Observation {
    /// the service
    pub(crate) service: Address,
    /// the event's name
    pub(crate) name: String,
    /// value hash of the id
    pub(crate) id: B256,
    /// event key
    pub(crate) key: B256,
    /// value hash of the data
    pub(crate) value: B256,
    /// Unix milliseconds at which its window ends
    pub(crate) until: u64,
}

impl NetworkStore {
    /// Opens or creates the file.
    pub(crate) fn open(
        path: &Path,
        identity: Identity,
        max_value_bytes: u64,
        hook: Option<CommitHook>,
    ) -> Result<Self, StoreError> {
        let db = Database::builder()
            .set_cache_size(PAGE_CACHE)
            .create(path)
            .map_err(|e| match e {
                redb::DatabaseError::DatabaseAlreadyOpen => StoreError::Locked(path.to_owned()),
                other => StoreError::Damaged {
                    path: path.to_owned(),
                    message: other.to_string(),
                },
            })?;
        let write = io!(db.begin_write());
        {
            let mut meta = io!(write.open_table(META));
            let marks = [
                ("schema", SCHEMA.to_string()),
                ("operator", identity.operator.to_string()),
                ("chain", identity.chain_id.to_string()),
                ("quorum", identity.disputes.to_string()),
            ];
            for (key, expected) in marks {
                let found = io!(meta.get(key)).map(|v| String::from_utf8_lossy(v.value()).into_owned());
                match found {
                    None => {
                        io!(meta.insert(key, expected.as_bytes()));
                    }
                    Some(found) if found == expected => {}
                    Some(found) => return Err(StoreError::Mismatch { key, found, expected }),
                }
            }
            io!(write.open_table(VOTES));
            io!(write.open_table(OBSERVED));
            io!(write.open_table(VALUES_BY_AGE));
            io!(write.open_table(CERTIFIED));
            io!(write.open_table(CERTIFICATES_BY_AGE));
            io!(write.open_table(TASK_VOTES));
            io!(write.open_table(RESULTS));
            io!(write.open_table(FINDINGS));
            io!(write.open_table(LOGS));
        }
        let mut bytes = 0_u64;
        {
            let values = io!(write.open_table(VALUES));
            for row in io!(values.iter()) {
                bytes = bytes.saturating_add(io!(row).1.value().1.len() as u64);
            }
        }
        io!(write.commit());
        Ok(Self {
            inner: Arc::new(Inner {
                db,
                hook,
                max_value_bytes,
                value_bytes: Mutex::new(bytes),
            }),
        })
    }

    fn commit(&self, write: redb::WriteTransaction) -> Result<(), StoreError> {
        if let Some(hook) = &self.inner.hook {
            hook(CommitPoint::Before);
        }
        io!(write.commit());
        if let Some(hook) = &self.inner.hook {
            hook(CommitPoint::After);
        }
        Ok(())
    }

    /// Records votes in a transaction. Those that contradict what was voted before are not recorded; they come back with
    /// the value that is.
    fn record_votes(
        write: &redb::WriteTransaction,
        service: Address,
        set: u64,
        votes: &[Vote],
    ) -> Result<Vec<Vote>, StoreError> {
        let mut refused = Vec::new();
        {
            let mut table = io!(write.open_table(VOTES));
            for vote in votes {
                let key = vote_key(service, set, vote.kind, vote.subject);
                let found = io!(table.get(key.as_slice())).map(|v| B256::from(v.value()));
                match found {
                    Some(found) if found != vote.value => refused.push(Vote { value: found, ..*vote }),
                    Some(_) => {}
                    None => {
                        io!(table.insert(key.as_slice(), vote.value.0));
                    }
                }
            }
            if let Some(last) = set.checked_sub(SETS_KEPT) {
                let (low, high) = (vote_range(service, 0), vote_range(service, last));
                // Tasks go on in the set they were drawn from, so their votes stay.
                let event = VoteKind::Event as u8;
                io!(table.retain_in(low.as_slice()..high.as_slice(), |key, _| key.get(28) != Some(&event)));
            }
        }
        Ok(refused)
    }

    /// Records votes about a deployment and what was found there, durably when it returns: all of it, or nothing if one
    /// of the votes contradicts what was voted before. True if it is recorded.
    pub(crate) fn record_measurement(
        &self,
        service: Address,
        set: u64,
        votes: &[Vote],
        deployment: U256,
        findings: &[Finding],
    ) -> Result<bool, StoreError> {
        let write = io!(self.inner.db.begin_write());
        {
            let mut table = io!(write.open_table(VOTES));
            for vote in votes {
                let key = vote_key(service, set, vote.kind, vote.subject);
                let found = io!(table.get(key.as_slice())).map(|v| B256::from(v.value()));
                match found {
                    // Dropped, the transaction leaves nothing.
                    Some(found) if found != vote.value => return Ok(false),
                    Some(_) => {}
                    None => {
                        io!(table.insert(key.as_slice(), vote.value.0));
                    }
                }
            }
            if let Some(last) = set.checked_sub(SETS_KEPT) {
                // Nothing is signed in sets so old any more, whatever the chain takes back.
                let (low, high) = (vote_range(service, 0), vote_range(service, last));
                let over = [VoteKind::Measurement as u8, VoteKind::Finding as u8];
                io!(table.retain_in(low.as_slice()..high.as_slice(), |key, _| {
                    key.get(28).is_none_or(|kind| !over.contains(kind))
                }));
            }
            let mut table = io!(write.open_table(FINDINGS));
            for finding in findings {
                let key = finding_key(deployment, finding.hash());
                io!(table.insert(key.as_slice(), finding.bytes()));
            }
        }
        self.commit(write)?;
        let values: Vec<_> = findings.iter().map(|f| (f.hash(), f.bytes().to_vec())).collect();
        self.put_values(&values)?;
        Ok(true)
    }

    /// What this node found at a deployment, at most [`MAX_SEEN`].
    pub(crate) fn findings(&self, deployment: U256) -> Result<Vec<Finding>, StoreError> {
        let read = io!(self.inner.db.begin_read());
        let table = io!(read.open_table(FINDINGS));
        let low = finding_key(deployment, B256::ZERO);
        let high = finding_key(deployment, B256::repeat_byte(0xff));
        let mut findings = Vec::new();
        for row in io!(table.range(low.as_slice()..=high.as_slice())).take(MAX_SEEN) {
            let row = io!(row);
            findings.push(Finding::decode(row.1.value()).map_err(|e| StoreError::Io(e.to_string()))?);
        }
        Ok(findings)
    }

    /// Drops what was found at deployments that are over.
    pub(crate) fn forget_findings(&self, deployments: &[U256]) -> Result<(), StoreError> {
        let write = io!(self.inner.db.begin_write());
        {
            let mut table = io!(write.open_table(FINDINGS));
            for deployment in deployments {
                let low = finding_key(*deployment, B256::ZERO);
                let high = finding_key(*deployment, B256::repeat_byte(0xff));
                io!(table.retain_in(low.as_slice()..=high.as_slice(), |_, _| false));
            }
        }
        self.commit(write)
    }

    /// What connectors saw and was neither certified nor dropped, at most `limit`.
    pub(crate) fn observed(&self, limit: usize) -> Result<Vec<Observation>, StoreError> {
        let read = io!(self.inner.db.begin_read());
        let table = io!(read.open_table(OBSERVED));
        let mut all = Vec::new();
        for row in io!(table.iter()).take(limit) {
            let row = io!(row).1;
            let (mut head, _) = row.value();
            all.push(Observation::decode(&mut head).map_err(|e| StoreError::Io(e.to_string()))?);
        }
        Ok(all)
    }

    /// The data of an observation that is not forgotten.
    pub(crate) fn observed_data(&self, key: B256) -> Result<Option<Vec<u8>>, StoreError> {
        let read = io!(self.inner.db.begin_read());
        let table = io!(read.open_table(OBSERVED));
        Ok(io!(table.get(key.0)).map(|v| v.value().1.to_vec()))
    }

    /// Keeps the data of observations among the values, before they are forgotten.
    pub(crate) fn keep_observed(&self, keys: &[B256]) -> Result<(), StoreError> {
        let mut values = Vec::new();
        {
            let read = io!(self.inner.db.begin_read());
            let table = io!(read.open_table(OBSERVED));
            for key in keys {
                if let Some(row) = io!(table.get(key.0)) {
                    let data = row.value().1.to_vec();
                    values.push((keccak256(&data), data));
                }
            }
        }
        self.put_values(&values)
    }

    /// Forgets observations that are certified or too old.
    pub(crate) fn forget_observed(&self, keys: &[B256]) -> Result<(), StoreError> {
        let mut write = io!(self.inner.db.begin_write());
        // Seeing one again after a crash costs a message.
        io!(write.set_durability(redb::Durability::None));
        {
            let mut table = io!(write.open_table(OBSERVED));
            for key in keys {
                io!(table.remove(key.0));
            }
        }
        io!(write.commit());
        Ok(())
    }

    /// All votes recorded in one set of a service.
    pub(crate) fn votes(&self, service: Address, set: u64) -> Result<Vec<Vote>, StoreError> {
        let read = io!(self.inner.db.begin_read());
        let table = io!(read.open_table(VOTES));
        let (low, high) = (vote_range(service, set), vote_range(service, set.saturating_add(1)));
        let mut votes = Vec::new();
        for row in io!(table.range(low.as_slice()..high.as_slice())) {
            let (key, value) = io!(row);
            let key = key.value();
            let (Some(kind), Some(subject)) = (key.get(28), key.get(29..61)) else {
                continue;
            };
            if let Ok(kind) = VoteKind::try_from(*kind) {
                votes.push(Vote {
                    kind,
                    subject: B256::from_slice(subject),
                    value: B256::from(value.value()),
                });
            }
        }
        Ok(votes)
    }

    /// Keeps values by their hash; the oldest give way when the bound is reached. What is there stays, unless it is not
    /// what the hash is of and this is.
    pub(crate) fn put_values(&self, values: &[(B256, Vec<u8>)]) -> Result<(), StoreError> {
        self.put(values, redb::Durability::None, false)
    }

    /// The same for what was checked: it replaces what is there.
    pub(crate) fn put_checked(&self, hash: B256, value: Vec<u8>) -> Result<(), StoreError> {
        self.put(&[(hash, value)], redb::Durability::None, true)
    }

    /// The same for what somebody was told is kept: durable when it returns.
    pub(crate) fn put_durably(&self, hash: B256, value: Vec<u8>) -> Result<(), StoreError> {
        self.put(&[(hash, value)], redb::Durability::Immediate, false)
    }

    fn put(&self, values: &[(B256, Vec<u8>)], durability: redb::Durability, replace: bool) -> Result<(), StoreError> {
        if values.is_empty() {
            return Ok(());
        }
        let mut total = self
            .inner
            .value_bytes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut bytes = *total;
        let mut write = io!(self.inner.db.begin_write());
        // Most data can be had from the other members, or is made again: losing the last moments of it costs nothing.
        io!(write.set_durability(durability));
        {
            let mut table = io!(write.open_table(VALUES));
            let mut ages = io!(write.open_table(VALUES_BY_AGE));
            let mut next = io!(ages.last()).map_or(0, |(n, _)| n.value().saturating_add(1));
            for (hash, value) in values {
                let found = io!(table.get(hash.0)).map(|found| {
                    let (number, bytes) = found.value();
                    (number, bytes.len(), keccak256(bytes) == *hash)
                });
                if let Some((number, length, genuine)) = found {
                    if !genuine && (replace || keccak256(value) == *hash) {
                        io!(table.insert(hash.0, (number, value.as_slice())));
                        bytes = bytes.saturating_sub(length as u64).saturating_add(value.len() as u64);
                    }
                    continue;
                }
                io!(table.insert(hash.0, (next, value.as_slice())));
                io!(ages.insert(next, hash.0));
                next = next.saturating_add(1);
                bytes = bytes.saturating_add(value.len() as u64);
            }
            while bytes > self.inner.max_value_bytes {
                let Some((_, hash)) = io!(ages.pop_first()).map(|(n, h)| (n.value(), h.value())) else {
                    break;
                };
                if let Some(old) = io!(table.remove(hash)) {
                    bytes = bytes.saturating_sub(old.value().1.len() as u64);
                }
            }
        }
        io!(write.commit());
        *total = bytes;
        Ok(())
    }

    /// A value by its hash.
    pub(crate) fn value(&self, hash: B256) -> Result<Option<Vec<u8>>, StoreError> {
        let read = io!(self.inner.db.begin_read());
        let table = match read.open_table(VALUES) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(e) => return Err(StoreError::Io(e.to_string())),
        };
        Ok(io!(table.get(hash.0)).map(|v| v.value().1.to_vec()))
    }

    /// A certified vote as it goes over the wire.
    pub(crate) fn certified(
        &self,
        service: Address,
        kind: VoteKind,
        subject: B256,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let read = io!(self.inner.db.begin_read());
        let table = io!(read.open_table(CERTIFIED));
        let key = certified_key(service, kind, subject);
        Ok(io!(table.get(key)).map(|v| v.value().1.to_vec()))
    }

    /// Records a vote about a task with what it is about, durably when it returns. `false` if another value is on
    /// record, which stays.
    pub(crate) fn record_task(&self, service: Address, set: u64, recorded: &Recorded) -> Result<bool, StoreError> {
        let vote = &recorded.vote;
        let write = io!(self.inner.db.begin_write());
        let kept = {
            let mut votes = io!(write.open_table(VOTES));
            let key = vote_key(service, set, vote.kind, vote.subject);
            let found = io!(votes.get(key.as_slice())).map(|v| B256::from(v.value()));
            if found.is_none() {
                io!(votes.insert(key.as_slice(), vote.value.0));
            }
            let kept = found.is_none_or(|found| found == vote.value);
            if kept {
                let mut tasks = io!(write.open_table(TASK_VOTES));
                let key = task_key(recorded.result.task, vote.kind, vote.subject);
                let row = StoredResult::from((set, vote.value, &recorded.result));
                io!(tasks.insert(key.as_slice(), alloy_rlp::encode(&row).as_slice()));
            }
            kept
        };
        self.commit(write)?;
        Ok(kept)
    }

    /// All votes about a task, cast in this set.
    pub(crate) fn recorded(&self, task: B256, set: u64) -> Result<Vec<Recorded>, StoreError> {
        let read = io!(self.inner.db.begin_read());
        let table = io!(read.open_table(TASK_VOTES));
        let (low, high) = (task_key(task, VoteKind::Event, B256::ZERO), task_end(task));
        let mut all = Vec::new();
        for row in io!(table.range(low.as_slice()..=high.as_slice())) {
            let (key, value) = io!(row);
            let key = key.value();
            let (Some(kind), Some(subject)) = (key.get(32), key.get(33..65)) else {
                continue;
            };
            let row = StoredResult::decode(&mut value.value()).map_err(|e| StoreError::Io(e.to_string()))?;
            // After a reorganisation the task may be drawn from another set: those votes are none of it.
            if let Ok(kind) = VoteKind::try_from(*kind)
                && row.set == set
            {
                let vote = Vote {
                    kind,
                    subject: B256::from_slice(subject),
                    value: row.value,
                };
                all.push(Recorded {
                    vote,
                    result: row.result(task),
                });
            }
        }
        Ok(all)
    }

    /// Keeps this node's answer to a task's attempt, for ever the first one, durably when it returns; what is kept.
    pub(crate) fn record_answer(&self, task: B256, attempt: u8, answer: &OwnAnswer) -> Result<OwnAnswer, StoreError> {
        let key = result_key(task, attempt);
        let write = io!(self.inner.db.begin_write());
        let kept = {
            let mut table = io!(write.open_table(RESULTS));
            let found = io!(table.get(key)).map(|v| v.value().to_vec());
            match found {
                Some(found) => OwnAnswer::decode(&mut found.as_slice()).map_err(|e| StoreError::Io(e.to_string()))?,
                None => {
                    io!(table.insert(key, alloy_rlp::encode(answer).as_slice()));
                    answer.clone()
                }
            }
        };
        self.commit(write)?;
        Ok(kept)
    }

    /// This node's answer to a task's attempt.
    pub(crate) fn own_answer(&self, task: B256, attempt: u8) -> Result<Option<OwnAnswer>, StoreError> {
        let read = io!(self.inner.db.begin_read());
        let table = io!(read.open_table(RESULTS));
        let found = io!(table.get(result_key(task, attempt))).map(|v| v.value().to_vec());
        found
            .map(|found| OwnAnswer::decode(&mut found.as_slice()).map_err(|e| StoreError::Io(e.to_string())))
            .transpose()
    }

    /// Adds a line to a flow's log.
    pub(crate) fn log(&self, flow: B256, line: &str) -> Result<(), StoreError> {
        let mut write = io!(self.inner.db.begin_write());
        io!(write.set_durability(redb::Durability::None));
        {
            let mut table = io!(write.open_table(LOGS));
            let (low, high) = (log_key(flow, 0), log_key(flow, u64::MAX));
            let next = {
                let last = io!(table.range(low.as_slice()..=high.as_slice())).next_back();
                match last {
                    Some(row) => number(io!(row).0.value()).saturating_add(1),
                    None => 0,
                }
            };
            io!(table.insert(log_key(flow, next).as_slice(), line));
            if let Some(old) = next.checked_sub(LOG_LINES) {
                io!(table.remove(log_key(flow, old).as_slice()));
            }
        }
        io!(write.commit());
        Ok(())
    }

    /// A flow's log from a line on, at most `limit` lines: number and line.
    pub(crate) fn logs(&self, flow: B256, from: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreError> {
        let read = io!(self.inner.db.begin_read());
        let table = io!(read.open_table(LOGS));
        let (low, high) = (log_key(flow, from), log_key(flow, u64::MAX));
        let mut lines = Vec::new();
        for row in io!(table.range(low.as_slice()..=high.as_slice())).take(limit) {
            let (key, line) = io!(row);
            lines.push((number(key.value()), line.value().to_owned()));
        }
        Ok(lines)
    }
}

fn finding_key(deployment: U256, hash: B256) -> [u8; 64] {
    let mut key = [0; 64];
    let (first, second) = key.split_at_mut(32);
    first.copy_from_slice(&deployment.to_be_bytes::<32>());
    second.copy_from_slice(hash.as_slice());
    key
}

fn vote_range(service: Address, set: u64) -> Vec<u8> {
    [service.as_slice(), &set.to_be_bytes()].concat()
}

fn vote_key(service: Address, set: u64, kind: VoteKind, subject: B256) -> Vec<u8> {
    [
        service.as_slice(),
        &set.to_be_bytes(),
        &[kind as u8],
        subject.as_slice(),
    ]
    .concat()
}

fn certified_key(service: Address, kind: VoteKind, subject: B256) -> Hash {
    keccak256([service.as_slice(), &[kind as u8], subject.as_slice()].concat()).0
}

fn result_key(task: B256, attempt: u8) -> Hash {
    keccak256([task.as_slice(), &[attempt]].concat()).0
}

fn task_key(task: B256, kind: VoteKind, subject: B256) -> Vec<u8> {
    [task.as_slice(), &[kind as u8], subject.as_slice()].concat()
}

fn task_end(task: B256) -> Vec<u8> {
    [task.as_slice(), &[u8::MAX; 33]].concat()
}

fn log_key(flow: B256, number: u64) -> Vec<u8> {
    [flow.as_slice(), &number.to_be_bytes()].concat()
}

fn number(key: &[u8]) -> u64 {
    key.get(32..40)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use surety_primitives::measurement::{DeploymentId, Verdict, finding_vote, verdict_vote};

    fn open(folder: &Path) -> NetworkStore {
        let identity = Identity {
            operator: Address::repeat_byte(1),
            chain_id: 1,
            disputes: Address::repeat_byte(2),
        };
        NetworkStore::open(&folder.join("network.redb"), identity, 1 << 20, None).expect("opens")
    }

    #[test]
    fn p1_one_verdict_for_an_epoch_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let (service, id) = (Address::repeat_byte(5), DeploymentId::new(Address::repeat_byte(5), 1));
        let subject = surety_primitives::measurement::subject(Address::repeat_byte(9), id, 4);
        let finding = Finding::new("exec", "/bin/sh", "", "/bin/sh").expect("short");
        let drifted = [
            verdict_vote(subject, Verdict::Drifted),
            finding_vote(subject, finding.hash()),
        ];
        {
            let store = open(folder.path());
            let findings = std::slice::from_ref(&finding);
            assert!(
                store
                    .record_measurement(service, 7, &drifted, id.0, findings)
                    .expect("writes")
            );
        }
        let store = open(folder.path());
        let record = |set, verdict| {
            let other = Finding::new("file", "/etc/passwd", "", "0x01").expect("short");
            let votes = [verdict_vote(subject, verdict)];
            store
                .record_measurement(service, set, &votes, id.0, &[other])
                .expect("writes")
        };
        assert!(!record(7, Verdict::Intact), "another verdict");
        // What was refused left nothing.
        assert_eq!(store.findings(id.0).expect("reads"), std::slice::from_ref(&finding));
        assert!(record(7, Verdict::Drifted) && record(8, Verdict::Intact));
        let other = DeploymentId::new(Address::repeat_byte(5), 2);
        assert!(store.findings(other.0).expect("reads").is_empty());
        // Peers get it by its hash.
        assert_eq!(
            store.value(finding.hash()).expect("reads").as_deref(),
            Some(finding.bytes())
        );
    }

    #[test]
    fn p4_votes_of_old_sets_and_findings_of_what_is_over_are_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let (service, id) = (Address::repeat_byte(5), DeploymentId::new(Address::repeat_byte(5), 1));
        let subject = |epoch| surety_primitives::measurement::subject(Address::repeat_byte(9), id, epoch);
        let finding = Finding::new("exec", "/bin/sh", "", "/bin/sh").expect("short");
        for set in 1..=SETS_KEPT + 20 {
            let votes = [
                verdict_vote(subject(set), Verdict::Drifted),
                finding_vote(subject(set), finding.hash()),
            ];
            assert!(
                store
                    .record_measurement(service, set, &votes, id.0, std::slice::from_ref(&finding))
                    .expect("writes")
            );
        }
        let newest = SETS_KEPT + 20;
        let held = |set| store.votes(service, set).expect("reads").len();
        let all: usize = (0..=newest).map(held).sum();
        assert_eq!(all as u64, 2 * (SETS_KEPT + 1));
        assert_eq!(
            (held(newest), held(newest - SETS_KEPT), held(newest - SETS_KEPT - 1)),
            (2, 2, 0)
        );
        store
            .forget_findings(&[DeploymentId::new(service, 2).0])
            .expect("writes");
        assert_eq!(store.findings(id.0).expect("reads").len(), 1);
        store.forget_findings(&[id.0]).expect("writes");
        assert!(store.findings(id.0).expect("reads").is_empty());
    }
}
