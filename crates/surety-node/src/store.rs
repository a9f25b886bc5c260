//! What this node has answered, durably. One redb file.
//!
//! The rule everything else leans on (P1, P5): **one statement has one outcome in the store for ever**, and a
//! signature is only ever made from what a finished commit holds. [`Store::record`] inserts the outcome if the
//! statement has none, keeps the old one if it has, and returns what is durable. Signatures are not stored: they are
//! deterministic (RFC 6979) functions of the record, made when they are asked for.
//!
//! Preimages that a signed run used are kept with it, in the same commit: without them this node could not re-execute
//! the run, and would lose a dispute by the clock although it was right.
//!
//! Nothing is ever dropped: a response can be disputed as long as its signer is bonded. The bound is
//! [`OpenOptions::max_bytes`], beyond which new requests are refused and old ones still answered.
//!
//! All writes go through one thread that commits what is waiting in one transaction (group commit), so that a commit's
//! cost, two `fsync`s, is shared by the requests that arrived meanwhile.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock, RwLockReadGuard, mpsc},
    thread::JoinHandle,
};

use alloy::primitives::{Address, B256, Bytes};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use surety_primitives::{Budget, Statement};

/// Layout version, in `meta`. A store of another version is refused.
const SCHEMA: u64 = 1;
/// Writes waiting for the writer thread; more block their callers, which are worker threads, never the reactor.
const QUEUE: usize = 1_024;
/// Writes put into one commit, at most.
const GROUP: usize = 256;
/// Bytes a record is taken to cost beside its content (keys, pages).
const OVERHEAD: u64 = 256;
/// This part of the bound is for disputes and for requests made on-chain: strangers who fill the store with signed
/// requests must not keep this node from joining.
const RESERVE: u64 = 16;
/// Memory redb may use as page cache, bytes.
const PAGE_CACHE: usize = 64 << 20;

type Hash = [u8; 32];

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const ANSWERS: TableDefinition<'_, Hash, &[u8]> = TableDefinition::new("answers");
const REQUESTS: TableDefinition<'_, Hash, &[u8]> = TableDefinition::new("requests");
const RESPONSES: TableDefinition<'_, Hash, &[u8]> = TableDefinition::new("responses");
/// service (20) ‖ number (8, big-endian) -> request hash
const NUMBERS: TableDefinition<'_, &[u8], Hash> = TableDefinition::new("numbers");
/// service (20) ‖ account (20) -> requests stored from it
const ACCOUNTS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("accounts");
const PREIMAGES: TableDefinition<'_, Hash, &[u8]> = TableDefinition::new("preimages");
/// dispute (32) ‖ head (32) -> hash of the transaction that moved
const MOVES: TableDefinition<'_, &[u8], Hash> = TableDefinition::new("moves");

/// Why the store could not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{0} is open in another process: stop that node first, or give this one a data_dir of its own")]
    Locked(PathBuf),
    /// The file is not a store or is damaged.
    #[error(
        "{path} is damaged or no store ({message}): restore a backup. Do NOT start with an empty store under the same key: it could sign a second answer to an old statement"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        message: String,
    },
    /// The store belongs to another operator, chain, contract or layout.
    #[error("the store belongs to {key} {found}, this node has {expected}: use the data_dir that goes with it")]
    Mismatch {
        /// Which of its marks differs.
        key: &'static str,
        /// The mark in the store.
        found: String,
        /// This node's.
        expected: String,
    },
    /// The size bound is reached.
    #[error("the store is full: {bytes} bytes of {max}; raise limits.store_bytes")]
    Full {
        /// Bytes stored.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// A read or a write failed.
    #[error("store: {0}")]
    Io(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

macro_rules! io_errors {
    ($($t:ty),*) => { $(impl From<$t> for StoreError { fn from(e: $t) -> Self { StoreError::Io(e.to_string()) } })* };
}
io_errors!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::SetDurabilityError
);

/// Whose store this is. Opening it as anyone else fails, because its answers would then be signed twice or wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The operator's address.
    pub operator: Address,
    /// L1 chain id, part of every signature.
    pub chain_id: u64,
    /// `Disputes` contract, part of every signature.
    pub disputes: Address,
}

/// A place in the writer where a crash is interesting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPoint {
    /// Everything is written into the transaction, nothing is durable.
    Before,
    /// The commit is durable, nobody has been told.
    After,
}

/// Called at every [`CommitPoint`]: for tests that kill the process there.
pub type CommitHook = Arc<dyn Fn(CommitPoint) + Send + Sync>;

/// How to open a store.
#[derive(Clone)]
pub struct OpenOptions {
    /// Whose it is.
    pub identity: Identity,
    /// Bytes it may hold.
    pub max_bytes: u64,
    /// Observer of commits, for crash tests.
    pub hook: Option<CommitHook>,
}

/// The one outcome of one statement.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Answer {
    /// Service contract.
    pub service: Address,
    /// Program hash.
    pub program: B256,
    /// keccak of the input.
    pub input: B256,
    /// Steps.
    pub budget: u64,
    /// 0 out of steps, 1 halted, 2 trapped.
    pub status: u8,
    /// Exit code or trap cause.
    pub exit: u32,
    /// Fold of the output's chunks.
    pub output_root: B256,
    /// What the program wrote.
    pub output: Bytes,
    /// Lengths of the chunks, one byte each, where they are not canonical; empty otherwise.
    pub chunks: Bytes,
}

impl Answer {
    /// Id of the statement; `None` where a budget was stored that is none.
    pub fn statement(&self) -> Option<B256> {
        let statement = Statement {
            service: self.service,
            program: self.program.into(),
            input: self.input.into(),
            budget: Budget::new(self.budget).ok()?,
        };
        Some(statement.id().0)
    }
}

/// A request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawRequest {
    /// A signed transaction, EIP-2718 encoded.
    Transaction(Bytes),
    /// A request made on-chain.
    Forced(ForcedRequest),
}

/// A request made on-chain, from the service's `Request` event.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct ForcedRequest {
    /// The call data.
    pub data: Bytes,
}

/// A request to be stored with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// Request hash.
    pub hash: B256,
    /// Who is answered.
    pub requester: Address,
    /// What came.
    pub raw: RawRequest,
}

/// A stored response: everything that is signed, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Request hash.
    pub request: B256,
    /// Who is answered.
    pub requester: Address,
    /// Number of the response within its service, from 1: the virtual block it is in.
    pub number: u64,
    /// The requester's earlier requests to this service: the index tools may ask for.
    pub nonce: u64,
    /// The outcome.
    pub answer: Answer,
}

#[derive(RlpEncodable, RlpDecodable)]
struct ResponseRecord {
    statement: B256,
    requester: Address,
    number: u64,
    nonce: u64,
}

/// What a run leaves to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAnswer {
    /// The outcome.
    pub answer: Answer,
    /// Preimages the run used, the input included.
    pub preimages: Vec<(B256, Bytes)>,
}

/// What [`Store::record`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What is durable now; the only thing that may be signed.
    pub response: StoredResponse,
    /// The statement already had another outcome, which was kept: the machine under this node, or its program, is not
    /// deterministic.
    pub contradicted: bool,
}

trait Job: Send {
    fn apply(&mut self, tx: &WriteTransaction, max: u64) -> Result<(), StoreError>;
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Typed<T, F> {
    work: Option<F>,
    value: Option<Result<T, StoreError>>,
    reply: mpsc::SyncSender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&WriteTransaction, u64) -> Result<T, StoreError> + Send> Job for Typed<T, F> {
    fn apply(&mut self, tx: &WriteTransaction, max: u64) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let value = work(tx, max);
        // A refusal leaves the transaction untouched; a failed write spoils the whole of it.
        let spoiled = match &value {
            Ok(_) | Err(StoreError::Full { .. }) => Ok(()),
            Err(e) => Err(e.clone()),
        };
        self.value = Some(value);
        spoiled
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        let value = match (outcome, self.value) {
            (Ok(()), Some(v)) => v,
            (Err(e), _) => Err(e),
            (Ok(()), None) => Err(StoreError::Closed),
        };
        // The caller may have gone; what it asked for is durable all the same.
        let _gone = self.reply.send(value);
    }
}

/// The database, until it is closed. Whoever uses it holds the lock for reading; closing takes it for writing, so that
/// afterwards the file is free although others may still hold the [`Store`].
type Open = RwLock<Option<Database>>;

/// A read transaction, which keeps the database open.
struct Reading<'a> {
    tx: ReadTransaction,
    _open: RwLockReadGuard<'a, Option<Database>>,
}

impl std::ops::Deref for Reading<'_> {
    type Target = ReadTransaction;

    fn deref(&self) -> &ReadTransaction {
        &self.tx
    }
}

/// The store. Cheap to share: clone the [`Arc`].
pub struct Store {
    db: Arc<Open>,
    queue: Mutex<Option<mpsc::SyncSender<Box<dyn Job>>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    max_bytes: u64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or makes the store at `path`.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        let damaged = |message: String| StoreError::Damaged {
            path: path.to_owned(),
            message,
        };
        // redb checks what it reads, but a damaged header can trip one of its own assertions.
        let opened = std::panic::catch_unwind(|| Database::builder().set_cache_size(PAGE_CACHE).create(path))
            .map_err(|_| damaged("the database's own checks failed".into()))?;
        let db = opened.map_err(|e| match e {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::Locked(path.to_owned()),
            e => damaged(e.to_string()),
        })?;
        let tx = begin(&db)?;
        {
            let mut meta = tx.open_table(META)?;
            let id = options.identity;
            let marks: [(&'static str, Vec<u8>); 4] = [
                ("layout", SCHEMA.to_be_bytes().to_vec()),
                ("operator", id.operator.to_vec()),
                ("chain", id.chain_id.to_be_bytes().to_vec()),
                ("disputes", id.disputes.to_vec()),
            ];
            for (key, mark) in marks {
                let found = meta.get(key)?.map(|v| v.value().to_vec());
                match found {
                    None => {
                        meta.insert(key, mark.as_slice())?;
                    }
                    Some(found) if found == mark => {}
                    Some(found) => {
                        let hex = alloy::primitives::hex::encode_prefixed::<&[u8]>;
                        return Err(StoreError::Mismatch {
                            key,
                            found: hex(&found),
                            expected: hex(&mark),
                        });
                    }
                }
            }
            tx.open_table(ANSWERS)?;
            tx.open_table(REQUESTS)?;
            tx.open_table(RESPONSES)?;
            tx.open_table(NUMBERS)?;
            tx.open_table(ACCOUNTS)?;
            tx.open_table(PREIMAGES)?;
            tx.open_table(MOVES)?;
        }
        tx.commit()?;

        let db = Arc::new(RwLock::new(Some(db)));
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let (max, hook, shared) = (options.max_bytes, options.hook, db.clone());
        let writer = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || write_loop(&shared, &jobs, max, hook.as_ref()))
            .map_err(|e| StoreError::Io(e.to_string()))?;
        Ok(Self {
            db,
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(writer)),
            max_bytes: max,
        })
    }

    /// Stores a request and its answer in one durable commit, and returns what is durable. The answer may be absent
    /// when the statement is known to be stored. The same request always returns the same.
    ///
    /// Blocks until the commit is durable.
    pub fn record(
        &self,
        request: NewRequest,
        statement: B256,
        answer: Option<NewAnswer>,
    ) -> Result<Recorded, StoreError> {
        self.write(move |tx, max| record(tx, max, &request, statement, answer.as_ref()))
    }

    /// Stores the outcome of a statement that nobody asked this node about (a dispute to join), and returns the one that
    /// is durable: the older, if there was one.
    pub fn keep(&self, statement: B256, new: NewAnswer) -> Result<Answer, StoreError> {
        self.write(move |tx, max| {
            let mut answers = tx.open_table(ANSWERS)?;
            let stored = answers.get(statement.0)?.map(|v| decode(v.value())).transpose()?;
            match stored {
                Some(old) => Ok(old),
                None => {
                    keep(tx, &mut answers, max, statement, &new, 0)?;
                    Ok(new.answer)
                }
            }
        })
    }

    /// The outcome of a statement.
    pub fn answer(&self, statement: B256) -> Result<Option<Answer>, StoreError> {
        let tx = self.read()?;
        let table = tx.open_table(ANSWERS)?;
        table.get(statement.0)?.map(|v| decode(v.value())).transpose()
    }

    /// The response to a request.
    pub fn response(&self, request: B256) -> Result<Option<StoredResponse>, StoreError> {
        let tx = self.read()?;
        let responses = tx.open_table(RESPONSES)?;
        let answers = tx.open_table(ANSWERS)?;
        read_response(&responses, &answers, request)
    }

    /// The request as it came.
    pub fn request(&self, request: B256) -> Result<Option<RawRequest>, StoreError> {
        let tx = self.read()?;
        let table = tx.open_table(REQUESTS)?;
        table.get(request.0)?.map(|v| decode_raw(v.value())).transpose()
    }

    /// Request hash of the `number`th response of a service (from 1).
    pub fn by_number(&self, service: Address, number: u64) -> Result<Option<B256>, StoreError> {
        let tx = self.read()?;
        let table = tx.open_table(NUMBERS)?;
        Ok(table
            .get(number_key(service, number).as_slice())?
            .map(|v| B256::from(v.value())))
    }

    /// Responses stored for a service.
    pub fn count(&self, service: Address) -> Result<u64, StoreError> {
        let tx = self.read()?;
        last_number(&tx.open_table(NUMBERS)?, service)
    }

    /// Requests stored from an account to a service.
    pub fn account_count(&self, service: Address, account: Address) -> Result<u64, StoreError> {
        let tx = self.read()?;
        let table = tx.open_table(ACCOUNTS)?;
        Ok(table
            .get(account_key(service, account).as_slice())?
            .map_or(0, |v| v.value()))
    }

    /// A preimage some signed run used.
    pub fn preimage(&self, hash: B256) -> Result<Option<Bytes>, StoreError> {
        let tx = self.read()?;
        let table = tx.open_table(PREIMAGES)?;
        Ok(table.get(hash.0)?.map(|v| Bytes::copy_from_slice(v.value())))
    }

    /// Bytes stored, as counted against the bound.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        let tx = self.read()?;
        meta_u64(&tx.open_table(META)?, "bytes")
    }

    /// Refuses when the bound for such a request is reached: asked before a run, so that no work is done that cannot be
    /// kept.
    pub fn check_room(&self, request: &RawRequest) -> Result<(), StoreError> {
        let bytes = self.bytes()?;
        let max = bound(self.max_bytes, request);
        if bytes >= max {
            Err(StoreError::Full { bytes, max })
        } else {
            Ok(())
        }
    }

    /// The next L1 block whose events have not been dealt with under `name`.
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let tx = self.read()?;
        let table = tx.open_table(META)?;
        let key = format!("cursor {name}");
        Ok(table
            .get(key.as_str())?
            .and_then(|v| v.value().try_into().ok().map(u64::from_be_bytes)))
    }

    /// Moves a cursor.
    pub fn set_cursor(&self, name: &str, block: u64) -> Result<(), StoreError> {
        let key = format!("cursor {name}");
        self.write(move |tx, _| {
            tx.open_table(META)?
                .insert(key.as_str(), block.to_be_bytes().as_slice())?;
            Ok(())
        })
    }

    /// Notes a move that was sent.
    pub fn set_move(&self, dispute: B256, head: B256, transaction: B256) -> Result<(), StoreError> {
        self.write(move |tx, _| {
            tx.open_table(MOVES)?
                .insert(move_key(dispute, head).as_slice(), transaction.0)?;
            Ok(())
        })
    }

    /// The transaction that answered `head`, if one was sent.
    pub fn sent_move(&self, dispute: B256, head: B256) -> Result<Option<B256>, StoreError> {
        let tx = self.read()?;
        Ok(tx
            .open_table(MOVES)?
            .get(move_key(dispute, head).as_slice())?
            .map(|v| B256::from(v.value())))
    }

    fn read(&self) -> Result<Reading<'_>, StoreError> {
        let open = self.db.read().map_err(|_| StoreError::Closed)?;
        let tx = open.as_ref().ok_or(StoreError::Closed)?.begin_read()?;
        Ok(Reading { tx, _open: open })
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction, u64) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let queue = {
            let guard = self.queue.lock().map_err(|_| StoreError::Closed)?;
            guard.clone().ok_or(StoreError::Closed)?
        };
        queue
            .send(Box::new(Typed {
                work: Some(work),
                value: None,
                reply,
            }))
            .map_err(|_| StoreError::Closed)?;
        drop(queue);
        answer.recv().map_err(|_| StoreError::Closed)?
    }

    /// Finishes what is queued, stops the writer and closes the file. Later uses fail with [`StoreError::Closed`].
    pub fn close(&self) {
        if let Ok(mut queue) = self.queue.lock() {
            queue.take();
        }
        let writer = self.writer.lock().ok().and_then(|mut w| w.take());
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
        if let Ok(mut open) = self.db.write() {
            open.take();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn begin(db: &Database) -> Result<WriteTransaction, StoreError> {
    let mut tx = db.begin_write()?;
    tx.set_durability(redb::Durability::Immediate)?;
    // Two-phase, with the allocator's state: strangers choose what is stored here, and a node that restarts in the
    // middle of a dispute cannot wait for a walk over the whole file.
    tx.set_quick_repair(true);
    Ok(tx)
}

fn write_loop(db: &Open, jobs: &mpsc::Receiver<Box<dyn Job>>, max: u64, hook: Option<&CommitHook>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        while group.len() < GROUP {
            match jobs.try_recv() {
                Ok(job) => group.push(job),
                Err(_) => break,
            }
        }
        let outcome = commit(db, &mut group, max, hook);
        if let Err(error) = &outcome {
            tracing::error!(%error, "a commit failed; its requests are not answered");
        }
        for job in group {
            job.finish(outcome.clone());
        }
    }
}

fn commit(db: &Open, group: &mut [Box<dyn Job>], max: u64, hook: Option<&CommitHook>) -> Result<(), StoreError> {
    let open = db.read().map_err(|_| StoreError::Closed)?;
    let tx = begin(open.as_ref().ok_or(StoreError::Closed)?)?;
    for job in group.iter_mut() {
        job.apply(&tx, max)?;
    }
    if let Some(hook) = hook {
        hook(CommitPoint::Before);
    }
    tx.commit()?;
    if let Some(hook) = hook {
        hook(CommitPoint::After);
    }
    Ok(())
}

/// Bytes the store may hold with such a request in it.
fn bound(max: u64, request: &RawRequest) -> u64 {
    match request {
        RawRequest::Transaction(_) => max - max / RESERVE,
        RawRequest::Forced(_) => max,
    }
}

fn record(
    tx: &WriteTransaction,
    max: u64,
    request: &NewRequest,
    statement: B256,
    new: Option<&NewAnswer>,
) -> Result<Recorded, StoreError> {
    let max = bound(max, &request.raw);
    let mut responses = tx.open_table(RESPONSES)?;
    let mut answers = tx.open_table(ANSWERS)?;
    let stored: Option<Answer> = answers.get(statement.0)?.map(|v| decode(v.value())).transpose()?;
    let contradicted = match (&stored, new) {
        (Some(old), Some(new)) => {
            (old.status, old.exit, old.output_root) != (new.answer.status, new.answer.exit, new.answer.output_root)
        }
        _ => false,
    };
    if let Some(response) = read_response(&responses, &answers, request.hash)? {
        // After a reorganisation, the number of a request made on-chain, and so its hash, may be another request's.
        let renumbered = matches!(request.raw, RawRequest::Forced(_))
            && (response.requester != request.requester || response.answer.statement() != Some(statement));
        if !renumbered {
            return Ok(Recorded { response, contradicted });
        }
    }
    let answer = match (&stored, new) {
        (Some(old), _) => old.clone(),
        (None, Some(new)) => new.answer.clone(),
        (None, None) => return Err(StoreError::Io(format!("statement {statement} has no answer to store"))),
    };

    let raw = encode_raw(&request.raw);
    let cost = OVERHEAD.saturating_add(raw.len() as u64);
    match (&stored, new) {
        (None, Some(new)) => keep(tx, &mut answers, max, statement, new, cost)?,
        _ => charge(tx, max, cost)?,
    }
    let mut accounts = tx.open_table(ACCOUNTS)?;
    let account = account_key(answer.service, request.requester);
    let nonce = accounts.get(account.as_slice())?.map_or(0, |v| v.value());
    accounts.insert(account.as_slice(), nonce.saturating_add(1))?;
    let mut numbers = tx.open_table(NUMBERS)?;
    let number = last_number(&numbers, answer.service)?.saturating_add(1);
    numbers.insert(number_key(answer.service, number).as_slice(), request.hash.0)?;
    tx.open_table(REQUESTS)?.insert(request.hash.0, raw.as_slice())?;
    let record = ResponseRecord {
        statement,
        requester: request.requester,
        number,
        nonce,
    };
    responses.insert(request.hash.0, alloy_rlp::encode(&record).as_slice())?;
    let response = StoredResponse {
        request: request.hash,
        requester: request.requester,
        number,
        nonce,
        answer,
    };
    Ok(Recorded { response, contradicted })
}

/// Inserts the outcome of a statement that has none, with its preimages. Nothing is written if it does not fit;
/// `beside` is what else is about to be written.
fn keep(
    tx: &WriteTransaction,
    answers: &mut redb::Table<'_, Hash, &'static [u8]>,
    max: u64,
    statement: B256,
    new: &NewAnswer,
    beside: u64,
) -> Result<(), StoreError> {
    let mut preimages = tx.open_table(PREIMAGES)?;
    let mut missing = Vec::new();
    let mut cost = beside
        .saturating_add(new.answer.length() as u64)
        .saturating_add(OVERHEAD);
    for (hash, bytes) in &new.preimages {
        if preimages.get(hash.0)?.is_none() {
            missing.push((hash, bytes));
            cost = cost.saturating_add(bytes.len() as u64).saturating_add(OVERHEAD);
        }
    }
    charge(tx, max, cost)?;
    for (hash, bytes) in missing {
        preimages.insert(hash.0, bytes.as_ref())?;
    }
    answers.insert(statement.0, alloy_rlp::encode(&new.answer).as_slice())?;
    Ok(())
}

/// Counts bytes against the bound.
fn charge(tx: &WriteTransaction, max: u64, cost: u64) -> Result<(), StoreError> {
    let mut meta = tx.open_table(META)?;
    let bytes = meta_u64(&meta, "bytes")?;
    let after = bytes.saturating_add(cost);
    if after > max {
        return Err(StoreError::Full { bytes, max });
    }
    meta.insert("bytes", after.to_be_bytes().as_slice())?;
    Ok(())
}

fn read_response(
    responses: &impl ReadableTable<Hash, &'static [u8]>,
    answers: &impl ReadableTable<Hash, &'static [u8]>,
    request: B256,
) -> Result<Option<StoredResponse>, StoreError> {
    let Some(record) = responses.get(request.0)? else {
        return Ok(None);
    };
    let r: ResponseRecord = decode(record.value())?;
    let answer = answers
        .get(r.statement.0)?
        .map(|v| decode(v.value()))
        .transpose()?
        .ok_or_else(|| {
            StoreError::Io(format!(
                "response {request} refers to statement {}, which is absent",
                r.statement
            ))
        })?;
    Ok(Some(StoredResponse {
        request,
        requester: r.requester,
        number: r.number,
        nonce: r.nonce,
        answer,
    }))
}

fn last_number(numbers: &impl ReadableTable<&'static [u8], Hash>, service: Address) -> Result<u64, StoreError> {
    let (low, high) = (number_key(service, 0), number_key(service, u64::MAX));
    match numbers.range(low.as_slice()..=high.as_slice())?.next_back() {
        None => Ok(0),
        Some(entry) => {
            let (key, _) = entry?;
            let tail = key.value().last_chunk::<8>().copied();
            tail.map(u64::from_be_bytes)
                .ok_or_else(|| StoreError::Io("a short key in `numbers`".into()))
        }
    }
}

fn meta_u64(meta: &impl ReadableTable<&'static str, &'static [u8]>, key: &str) -> Result<u64, StoreError> {
    Ok(meta
        .get(key)?
        .and_then(|v| v.value().try_into().ok().map(u64::from_be_bytes))
        .unwrap_or(0))
}

fn number_key(service: Address, number: u64) -> [u8; 28] {
    let mut key = [0; 28];
    key[..20].copy_from_slice(service.as_slice());
    key[20..].copy_from_slice(&number.to_be_bytes());
    key
}

fn account_key(service: Address, account: Address) -> [u8; 40] {
    let mut key = [0; 40];
    key[..20].copy_from_slice(service.as_slice());
    key[20..].copy_from_slice(account.as_slice());
    key
}

fn move_key(dispute: B256, head: B256) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(dispute.as_slice());
    key[32..].copy_from_slice(head.as_slice());
    key
}

fn decode<T: Decodable>(mut bytes: &[u8]) -> Result<T, StoreError> {
    T::decode(&mut bytes).map_err(|e| StoreError::Io(format!("a record is damaged: {e}")))
}

fn encode_raw(raw: &RawRequest) -> Vec<u8> {
    match raw {
        RawRequest::Transaction(bytes) => [&[0u8], bytes.as_ref()].concat(),
        RawRequest::Forced(forced) => {
            let mut out = vec![1];
            forced.encode(&mut out);
            out
        }
    }
}

fn decode_raw(bytes: &[u8]) -> Result<RawRequest, StoreError> {
    match bytes.split_first() {
        Some((0, rest)) => Ok(RawRequest::Transaction(Bytes::copy_from_slice(rest))),
        Some((1, rest)) => Ok(RawRequest::Forced(decode(rest)?)),
        other => Err(StoreError::Io(format!(
            "a request record starts with {:?}, 0 or 1 expected",
            other.map(|o| o.0)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::keccak256;

    fn options(max_bytes: u64) -> OpenOptions {
        let identity = Identity {
            operator: Address::repeat_byte(1),
            chain_id: 31337,
            disputes: Address::repeat_byte(2),
        };
        OpenOptions {
            identity,
            max_bytes,
            hook: None,
        }
    }

    fn answer(output: &[u8]) -> Answer {
        Answer {
            service: Address::repeat_byte(5),
            program: B256::repeat_byte(6),
            input: keccak256(b"in"),
            budget: 1000,
            status: 1,
            exit: 0,
            output_root: keccak256(output),
            output: Bytes::copy_from_slice(output),
            chunks: Bytes::new(),
        }
    }

    fn request(n: u8) -> NewRequest {
        NewRequest {
            hash: B256::repeat_byte(n),
            requester: Address::repeat_byte(9),
            raw: RawRequest::Transaction(Bytes::from(vec![2, n])),
        }
    }

    fn new_answer(output: &[u8]) -> Option<NewAnswer> {
        Some(NewAnswer {
            answer: answer(output),
            preimages: vec![(keccak256(b"in"), Bytes::from_static(b"in"))],
        })
    }

    #[test]
    fn p1_a_statement_keeps_its_first_outcome_over_restarts() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("store.redb");
        let id = B256::repeat_byte(7);
        {
            let store = Store::open(&path, options(1 << 20)).expect("opens");
            let first = store.record(request(1), id, new_answer(b"right")).expect("stores");
            assert!(!first.contradicted);
            assert_eq!((first.response.number, first.response.nonce), (1, 0));
            let second = store.record(request(2), id, new_answer(b"other")).expect("stores");
            assert!(second.contradicted, "a second outcome is noticed");
            assert_eq!(second.response.answer, first.response.answer, "and not kept");
            assert_eq!((second.response.number, second.response.nonce), (2, 1));
        }
        let store = Store::open(&path, options(1 << 20)).expect("opens again");
        let again = store.record(request(1), id, new_answer(b"third")).expect("answers");
        assert_eq!(again.response.answer, answer(b"right"));
        assert_eq!(again.response.number, 1);
        assert_eq!(store.count(Address::repeat_byte(5)).expect("reads"), 2);
        assert_eq!(
            store
                .account_count(Address::repeat_byte(5), Address::repeat_byte(9))
                .expect("reads"),
            2
        );
        assert_eq!(
            store.by_number(Address::repeat_byte(5), 2).expect("reads"),
            Some(B256::repeat_byte(2))
        );
        assert_eq!(
            store.request(B256::repeat_byte(1)).expect("reads"),
            Some(request(1).raw)
        );
        assert_eq!(
            store.preimage(keccak256(b"in")).expect("reads"),
            Some(Bytes::from_static(b"in"))
        );
    }

    #[test]
    fn a_full_store_refuses_new_and_answers_old() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(&dir.path().join("s"), options(2_000)).expect("opens");
        store
            .record(request(1), B256::repeat_byte(7), new_answer(b"a"))
            .expect("fits");
        let big = vec![0; 4_000];
        let full = store.record(request(2), B256::repeat_byte(8), new_answer(&big));
        assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
        assert!(store.response(B256::repeat_byte(2)).expect("reads").is_none());
        store
            .record(request(1), B256::repeat_byte(7), None)
            .expect("still answers");
    }

    #[test]
    fn a_full_store_has_room_for_disputes_and_forced_requests() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(&dir.path().join("s"), options(32_000)).expect("opens");
        let full = (0..200).find(|n| {
            let stored = store.record(request(*n), B256::repeat_byte(*n), new_answer(b"a"));
            matches!(stored, Err(StoreError::Full { .. }))
        });
        let n = full.expect("it fills");
        assert!(store.bytes().expect("reads") <= 30_000);
        let new = new_answer(b"b").expect("an answer");
        store.keep(B256::repeat_byte(201), new).expect("a dispute's fits");
        let mut forced = request(n);
        forced.raw = RawRequest::Forced(ForcedRequest { data: Bytes::new() });
        store.check_room(&forced.raw).expect("has room");
        store
            .record(forced, B256::repeat_byte(202), new_answer(b"c"))
            .expect("a forced request's fits");
    }

    #[test]
    fn locked_damaged_and_foreign_stores_are_told_apart() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s");
        let store = Store::open(&path, options(1 << 20)).expect("opens");
        assert!(matches!(
            Store::open(&path, options(1 << 20)),
            Err(StoreError::Locked(_))
        ));
        drop(store);
        let mut other = options(1 << 20);
        other.identity.operator = Address::repeat_byte(3);
        let e = Store::open(&path, other).expect_err("another operator's");
        assert!(matches!(e, StoreError::Mismatch { key: "operator", .. }), "{e}");
        let mut bytes = std::fs::read(&path).expect("reads");
        bytes.iter_mut().take(512).for_each(|b| *b ^= 0x5a);
        std::fs::write(&path, &bytes).expect("writes");
        assert!(matches!(
            Store::open(&path, options(1 << 20)),
            Err(StoreError::Damaged { .. })
        ));
        std::fs::write(&path, b"not a database").expect("writes");
        assert!(matches!(
            Store::open(&path, options(1 << 20)),
            Err(StoreError::Damaged { .. })
        ));
    }

    #[test]
    fn writers_share_commits_and_all_are_kept() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(&dir.path().join("s"), options(1 << 30)).expect("opens");
        std::thread::scope(|s| {
            for t in 0..8u8 {
                let store = &store;
                s.spawn(move || {
                    for i in 0..20u8 {
                        let mut r = request(0);
                        r.hash = keccak256([t, i]);
                        store
                            .record(r, keccak256([t, i, 1]), new_answer(&[t, i]))
                            .expect("stores");
                    }
                });
            }
        });
        assert_eq!(store.count(Address::repeat_byte(5)).expect("reads"), 160);
        store.close();
        assert!(matches!(store.set_cursor("c", 1), Err(StoreError::Closed)));
        assert!(matches!(store.cursor("c"), Err(StoreError::Closed)));
        // The file is free, although `store` lives.
        Store::open(&dir.path().join("s"), options(1 << 30)).expect("opens");
    }
}
