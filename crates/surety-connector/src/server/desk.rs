//! Who is registered, and what is assigned and not yet answered. Plain bookkeeping behind one short lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry::Vacant},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prost::Message as _;
use surety_primitives::{Address, B256, value::Value};
use surety_protocol::manifest::Network;
use tokio::sync::{Notify, watch};

use super::{AssignError, Delivery};
use crate::{
    MAX_MESSAGE, convert,
    host::{Assignment, Kind, Registration},
    wire,
};

/// What an assignment may need in a message besides its values.
const OVERHEAD: usize = 1_024;

/// A connector's registration.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) service: Address,
    pub(super) connector: String,
    pub(super) events: BTreeSet<String>,
    pub(super) tasks: BTreeSet<String>,
    pub(super) network: Arc<Network>,
    /// true when another registration has taken its place
    pub(super) over: watch::Sender<bool>,
    /// the task stream opened last: an earlier one ends
    pub(super) newest: watch::Sender<u64>,
}

struct Registered {
    session: Arc<Session>,
    /// the open task stream
    stream: Option<u64>,
    used: Instant,
}

struct Entry {
    assignment: Assignment,
    message: wire::Assignment,
    /// the stream it was written to
    holder: Option<u64>,
    since: Option<Instant>,
}

type Key = (Address, B256, u32);

#[derive(Default)]
struct State {
    sessions: HashMap<String, Registered>,
    /// assignments in the order they came
    entries: BTreeMap<u64, Entry>,
    numbers: HashMap<Key, u64>,
    next: u64,
    /// task streams that are open
    open: BTreeSet<u64>,
}

pub(super) struct Desk {
    state: Mutex<State>,
    pub(super) changed: Notify,
    streams: AtomicU64,
    /// tells sessions of this process from those of the one before
    started: u128,
    connectors: usize,
    assignments: usize,
}

/// An assignment as its answer finds it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) inputs: Value,
    pub(super) validates: bool,
    pub(super) took: Duration,
}

/// Unix time in milliseconds.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl State {
    fn drop_late(&mut self, now: u64) {
        let numbers = &mut self.numbers;
        self.entries.retain(|_, entry| {
            let keep = entry.assignment.deadline_ms > now;
            if !keep {
                numbers.remove(&key(&entry.assignment));
            }
            keep
        });
    }

    /// The stream is no longer open: what it held is anybody's.
    fn release(&mut self, stream: u64) {
        self.open.remove(&stream);
        for entry in self.entries.values_mut() {
            if entry.holder == Some(stream) {
                entry.holder = None;
            }
        }
    }

    fn connected(&self, service: Address, task: &str) -> bool {
        self.sessions.values().any(|known| {
            known.stream.is_some() && known.session.service == service && known.session.tasks.contains(task)
        })
    }
}

fn key(assignment: &Assignment) -> Key {
    (assignment.service, assignment.task, assignment.attempt)
}

impl Desk {
    pub(super) fn new(connectors: usize, assignments: usize) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            streams: AtomicU64::new(0),
            started: started.as_nanos(),
            connectors,
            assignments,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn number(&self) -> u64 {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a session; one under the same name is over. Nothing if there are too many connectors.
    pub(super) fn register(&self, registration: &Registration, network: Arc<Network>) -> Option<Arc<Session>> {
        let id = format!("{:x}-{:x}", self.started, self.number());
        let session = Arc::new(Session {
            id: id.clone(),
            service: registration.service,
            connector: registration.connector.clone(),
            events: registration.events.iter().cloned().collect(),
            tasks: registration.tasks.iter().cloned().collect(),
            network,
            over: watch::channel(false).0,
            newest: watch::channel(0).0,
        });
        let mut state = self.lock();
        let same = |known: &Registered| {
            known.session.service == session.service && known.session.connector == session.connector
        };
        state.sessions.retain(|_, known| {
            if same(known) {
                known.session.over.send_replace(true);
            }
            !same(known)
        });
        if state.sessions.len() >= self.connectors {
            // A connector that went away without a word leaves its session; the longest unused one makes room.
            let idle = state.sessions.values().filter(|known| known.stream.is_none());
            let oldest = idle
                .min_by_key(|known| known.used)
                .map(|known| known.session.id.clone())?;
            if let Some(known) = state.sessions.remove(&oldest) {
                known.session.over.send_replace(true);
            }
        }
        state.sessions.insert(
            id,
            Registered {
                session: Arc::clone(&session),
                stream: None,
                used: Instant::now(),
            },
        );
        Some(session)
    }

    pub(super) fn session(&self, id: &str) -> Option<Arc<Session>> {
        let mut state = self.lock();
        let known = state.sessions.get_mut(id)?;
        known.used = Instant::now();
        Some(Arc::clone(&known.session))
    }

    pub(super) fn connectors(&self) -> Vec<Registration> {
        let state = self.lock();
        let mut all: Vec<Registration> = state
            .sessions
            .values()
            .map(|known| Registration {
                service: known.session.service,
                connector: known.session.connector.clone(),
                events: known.session.events.iter().cloned().collect(),
                tasks: known.session.tasks.iter().cloned().collect(),
            })
            .collect();
        all.sort_by(|a, b| (a.service, &a.connector).cmp(&(b.service, &b.connector)));
        all
    }

    pub(super) fn serves(&self, service: Address, task: &str) -> bool {
        self.lock().connected(service, task)
    }

    pub(super) fn unanswered(&self, service: Address) -> usize {
        let mut state = self.lock();
        state.drop_late(now_ms());
        state.numbers.keys().filter(|(of, ..)| *of == service).count()
    }

    pub(super) fn assign(&self, assignment: Assignment) -> Result<Delivery, AssignError> {
        let now = now_ms();
        if assignment.deadline_ms <= now {
            return Err(AssignError::Late {
                task: assignment.task,
                deadline_ms: assignment.deadline_ms,
                now_ms: now,
            });
        }
        let message = message(&assignment)?;
        let delivery = {
            let mut state = self.lock();
            state.drop_late(now);
            let service = assignment.service;
            let delivery = if state.connected(service, &assignment.name) {
                Delivery::Connected
            } else {
                Delivery::Waiting
            };
            let key = key(&assignment);
            if state.numbers.contains_key(&key) {
                return Ok(delivery);
            }
            if state.numbers.keys().filter(|(of, ..)| *of == service).count() >= self.assignments {
                return Err(AssignError::Full {
                    service,
                    limit: self.assignments,
                });
            }
            let number = state.next;
            state.next = number.saturating_add(1);
            state.numbers.insert(key, number);
            state.entries.insert(
                number,
                Entry {
                    assignment,
                    message,
                    holder: None,
                    since: None,
                },
            );
            delivery
        };
        self.changed.notify_waiters();
        Ok(delivery)
    }

    pub(super) fn withdraw(&self, service: Address, task: B256, attempt: u32) -> bool {
        let mut state = self.lock();
        let number = state.numbers.remove(&(service, task, attempt));
        number.and_then(|number| state.entries.remove(&number)).is_some()
    }

    /// What the answer to a task is about.
    pub(super) fn find(&self, service: Address, task: B256, attempt: u32) -> Option<Found> {
        let mut state = self.lock();
        // Its time may be over since anybody looked last.
        state.drop_late(now_ms());
        let entry = state.entries.get(state.numbers.get(&(service, task, attempt))?)?;
        Some(Found {
            name: entry.assignment.name.clone(),
            inputs: entry.assignment.inputs.clone(),
            validates: matches!(entry.assignment.kind, Kind::Validate { .. }),
            took: entry.since.map(|since| since.elapsed()).unwrap_or_default(),
        })
    }

    /// Takes an assignment off the desk while its answer is being recorded: the host may assign the same again before
    /// it has returned. It comes back when the guard is dropped, unless it was answered.
    pub(super) fn answering(self: &Arc<Self>, service: Address, task: B256, attempt: u32) -> Option<Answering> {
        let mut state = self.lock();
        let number = state.numbers.remove(&(service, task, attempt))?;
        let entry = state.entries.remove(&number)?;
        Some(Answering {
            desk: Arc::clone(self),
            entry: Some((number, entry)),
        })
    }

    /// A task stream has opened. It takes the place of the session's earlier one, with what went out on that.
    pub(super) fn opened(&self, session: &Session) -> u64 {
        let mut state = self.lock();
        let stream = self.number();
        state.open.insert(stream);
        let earlier = match state.sessions.get_mut(&session.id) {
            Some(known) => known.stream.replace(stream),
            None => None,
        };
        if let Some(earlier) = earlier {
            state.release(earlier);
        }
        session.newest.send_replace(stream);
        stream
    }

    /// A task stream has ended: what went out on it is anybody's again.
    pub(super) fn closed(&self, session: &Session, stream: u64) {
        {
            let mut state = self.lock();
            if let Some(known) = state.sessions.get_mut(&session.id)
                && known.stream == Some(stream)
            {
                known.stream = None;
                known.used = Instant::now();
            }
            state.release(stream);
        }
        self.changed.notify_waiters();
    }

    /// The oldest assignment that no stream holds and this session does; the stream holds it from now on.
    pub(super) fn take(&self, session: &Session, stream: u64) -> Option<wire::Assignment> {
        let mut state = self.lock();
        state.drop_late(now_ms());
        if !state.open.contains(&stream) {
            return None;
        }
        loop {
            let (number, entry) = state.entries.iter_mut().find(|(_, entry)| {
                entry.holder.is_none()
                    && entry.assignment.service == session.service
                    && session.tasks.contains(&entry.assignment.name)
            })?;
            let assignment = &entry.assignment;
            if let Err(unfit) = session.network.check_inputs(&assignment.name, &assignment.inputs) {
                // Who asked for it may have written anything; the manifest is what connectors are written for.
                tracing::warn!(task = %assignment.task, name = assignment.name, %unfit, "inputs that don't fit: not done");
                let (number, key) = (*number, key(assignment));
                state.numbers.remove(&key);
                state.entries.remove(&number);
                continue;
            }
            entry.holder = Some(stream);
            entry.since.get_or_insert_with(Instant::now);
            return Some(entry.message.clone());
        }
    }
}

/// An assignment whose answer is being recorded.
pub(super) struct Answering {
    desk: Arc<Desk>,
    entry: Option<(u64, Entry)>,
}

impl Answering {
    /// The answer is recorded, or refused for good.
    pub(super) fn done(mut self) {
        self.entry = None;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Some((number, mut entry)) = self.entry.take() else {
            return;
        };
        let mut state = self.desk.lock();
        // Its stream may have ended meanwhile.
        entry.holder = entry.holder.filter(|stream| state.open.contains(stream));
        if let Vacant(free) = state.numbers.entry(key(&entry.assignment)) {
            free.insert(number);
            state.entries.insert(number, entry);
        }
        drop(state);
        self.desk.changed.notify_waiters();
    }
}

/// Bytes by which validators would be asked about this output; `Err` with them if no message has so many.
pub(super) fn askable(task: B256, name: &str, inputs: Value, output: Value) -> Result<(), usize> {
    let validation = Assignment {
        service: Address::ZERO,
        task,
        attempt: u32::MAX,
        name: name.to_owned(),
        inputs,
        kind: Kind::Validate { output },
        deadline_ms: u64::MAX,
    };
    match message(&validation) {
        Err(AssignError::TooLarge { found, .. }) => Err(found),
        _ => Ok(()),
    }
}

fn message(assignment: &Assignment) -> Result<wire::Assignment, AssignError> {
    let (kind, output) = match &assignment.kind {
        Kind::Execute => (wire::assignment::Kind::Execute, None),
        Kind::Validate { output } => (wire::assignment::Kind::Validate, Some(convert::to_struct(output))),
    };
    let message = wire::Assignment {
        task: format!("{:#x}", assignment.task),
        attempt: assignment.attempt,
        kind: kind.into(),
        name: assignment.name.clone(),
        inputs: Some(convert::to_struct(&assignment.inputs)),
        output,
        deadline_ms: assignment.deadline_ms,
    };
    let found = message.encoded_len().saturating_add(OVERHEAD);
    if found > MAX_MESSAGE {
        return Err(AssignError::TooLarge {
            task: assignment.task,
            found,
        });
    }
    Ok(message)
}
