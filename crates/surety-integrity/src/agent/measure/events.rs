//! What the engine did with a container, without gaps or with a gap that is known.
//!
//! One stream for each container is kept open, from the oldest event that the engine remembers (it keeps 256, of all
//! containers). When the stream breaks, it is opened again and what the engine still knows is read; but what it did
//! between may be lost, so a break counts as a gap, always.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::engine::{Engine, EngineError};

/// Most events that are kept of one container.
pub(super) const MAX_EVENTS: usize = 4_096;
/// Longest line of the stream, bytes.
const MAX_LINE: usize = 256 << 10;
/// Longest action that is told; a longer one is cut, its kind stays.
const MAX_ACTION: usize = 4_096;
/// How long to wait before asking again after a break.
const PAUSE: Duration = Duration::from_millis(250);
/// What an event needs from the engine's work to its stream.
const LAG: Duration = Duration::from_millis(3);

/// Where somebody is in the events of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// which agent process counted
    pub instance: u64,
    /// number of the next event
    pub next: u64,
}

/// Something the engine did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// what: `start`, `die`, `exec_create: /bin/sh -c true`, ...
    pub action: String,
    /// nanoseconds since 1970 by the host's clock; orders nothing
    pub time: u64,
    /// exec session, if it is about one
    pub exec: Option<String>,
    /// exit code, if it is about an end
    pub exit: Option<i64>,
    /// signal, if one was sent
    pub signal: Option<String>,
}

/// Events after a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// in the engine's order
    pub events: Vec<Event>,
    /// where to go on
    pub next: Cursor,
    /// whether these are all that there were since the cursor, or since the container's creation if there was none
    pub complete: bool,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    /// Number of the first event kept.
    first: u64,
    /// Number of the first event after the last gap.
    whole_from: u64,
    open: bool,
    error: Option<EngineError>,
}

/// The events of one container.
#[derive(Debug)]
pub(super) struct Log {
    instance: u64,
    ring: Arc<Mutex<Ring>>,
    changed: watch::Receiver<u64>,
    used: Mutex<Instant>,
    task: JoinHandle<()>,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Log {
    pub(super) fn follow(engine: Engine, id: String) -> Arc<Self> {
        let ring = Arc::new(Mutex::new(Ring::default()));
        let (tell, changed) = watch::channel(0);
        let task = tokio::spawn(follow(engine, id, ring.clone(), tell));
        let instance = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
        Arc::new(Self {
            instance,
            ring,
            changed,
            used: Mutex::new(Instant::now()),
            task,
        })
    }

    /// Waits until the stream is open and what the engine remembers is read.
    pub(super) async fn ready(&self, patience: Duration) -> Result<(), EngineError> {
        let mut changed = self.changed.clone();
        let open = async {
            loop {
                if lock(&self.ring).open {
                    return;
                }
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        match timeout(patience, open).await {
            Ok(()) => Ok(()),
            Err(_) => Err(lock(&self.ring).error.clone().unwrap_or(EngineError::Slow(patience))),
        }
    }

    /// Lets events arrive that the engine has already begun to tell.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(LAG).await;
    }

    pub(super) fn idle(&self) -> Duration {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn after(&self, cursor: Option<Cursor>) -> Events {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let ring = lock(&self.ring);
        let end = ring.end();
        let known = cursor.filter(|cursor| cursor.instance == self.instance && cursor.next <= end);
        let from = known.map_or(ring.first, |cursor| cursor.next.max(ring.first));
        let skip = usize::try_from(from.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        let events: Vec<Event> = ring.events.iter().skip(skip).cloned().collect();
        let complete = match (cursor, known) {
            (_, Some(known)) => known.next >= ring.whole_from && known.next >= ring.first,
            // Counted by another agent: what was between is not known.
            (Some(_), None) => false,
            (None, _) => ring.whole_from == 0 && events.first().is_some_and(|event| event.action == "create"),
        };
        Events {
            events,
            next: Cursor {
                instance: self.instance,
                next: end,
            },
            complete: complete && ring.open,
        }
    }

    pub(super) async fn wait(&self, cursor: Option<Cursor>, patience: Duration) -> Events {
        let mut changed = self.changed.clone();
        let some = async {
            loop {
                changed.borrow_and_update();
                let events = self.after(cursor);
                if !events.events.is_empty() || changed.changed().await.is_err() {
                    return events;
                }
            }
        };
        match timeout(patience, some).await {
            Ok(events) => events,
            Err(_) => self.after(cursor),
        }
    }
}

fn lock(ring: &Mutex<Ring>) -> std::sync::MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(engine: Engine, id: String, ring: Arc<Mutex<Ring>>, tell: watch::Sender<u64>) {
    let mut again = false;
    loop {
        let error = match engine.events(&id).await {
            Ok(stream) => read(stream, &ring, &tell, again).await,
            Err(error) => error,
        };
        again = true;
        lock(&ring).close(error);
        tell.send_modify(|count| *count = count.wrapping_add(1));
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads until the stream ends.
async fn read(mut stream: Incoming, ring: &Mutex<Ring>, tell: &watch::Sender<u64>, again: bool) -> EngineError {
    let mut line = Vec::new();
    let mut replayed = false;
    loop {
        // What the engine remembers comes at once, and nothing tells where it ends.
        let frame = if replayed {
            stream.frame().await
        } else {
            match timeout(Duration::from_millis(40), stream.frame()).await {
                Ok(frame) => frame,
                Err(_) => {
                    replayed = true;
                    lock(ring).open(again);
                    tell.send_modify(|count| *count = count.wrapping_add(1));
                    continue;
                }
            }
        };
        let chunk = match frame {
            None => return EngineError::answer("the stream of events ended"),
            Some(Err(error)) => return EngineError::answer(error),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if line.len() > MAX_LINE {
                return EngineError::answer("an event of more than 256 KiB");
            }
            if line.ends_with(b"\n") {
                let Some(event) = parse(&line) else {
                    return EngineError::answer("an event that is none");
                };
                line.clear();
                lock(ring).push(event);
                tell.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }
}

impl Ring {
    fn end(&self) -> u64 {
        self.first
            .saturating_add(u64::try_from(self.events.len()).unwrap_or(u64::MAX))
    }

    /// What the engine remembers is read: from here on nothing is missed.
    fn open(&mut self, again: bool) {
        self.open = true;
        self.whole_from = if again { self.end() } else { 0 };
    }

    /// The stream broke. The place of the gap is taken by an event of its own.
    fn close(&mut self, error: EngineError) {
        self.open = false;
        self.error = Some(error);
        if self.events.back().is_none_or(|event| event.action != "gap") {
            self.push(Event {
                action: "gap".into(),
                time: 0,
                exec: None,
                exit: None,
                signal: None,
            });
        }
        self.whole_from = u64::MAX;
    }

    fn push(&mut self, event: Event) {
        // After a break the engine tells again what it remembers.
        if event.time != 0 && self.events.iter().any(|known| *known == event) {
            return;
        }
        self.events.push_back(event);
        if self.events.len() > MAX_EVENTS {
            self.events.pop_front();
            self.first = self.first.saturating_add(1);
        }
    }
}

fn parse(line: &[u8]) -> Option<Event> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let attributes = value.get("Actor").and_then(|actor| actor.get("Attributes"));
    let attribute = |name: &str| attributes.and_then(|it| it.get(name)).and_then(Value::as_str);
    let kind = value.get("Type").and_then(Value::as_str).unwrap_or("container");
    let action = value
        .get("Action")
        .or_else(|| value.get("status"))
        .and_then(Value::as_str)?;
    let action: String = action.chars().take(MAX_ACTION).collect();
    Some(Event {
        action: if kind == "container" {
            action
        } else {
            format!("{kind} {action}")
        },
        time: value.get("timeNano").and_then(Value::as_u64).unwrap_or_default(),
        exec: attribute("execID").filter(|id| id.len() <= 64).map(str::to_owned),
        exit: attribute("exitCode").and_then(|code| code.parse().ok()),
        signal: attribute("signal").map(|signal| signal.chars().take(32).collect()),
    })
}
