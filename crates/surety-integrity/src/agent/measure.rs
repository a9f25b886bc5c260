//! The host's side of a measurement: raw facts from the engine and the kernel, no opinions. The monitor compares.
//!
//! Everything is asked of the kernel that the kernel knows: which processes there are, what they run, what is mapped,
//! what is mounted, what the files hold. The engine is asked for what only it knows: what it was told to run, and what
//! it was told to do since.

mod engine;
mod events;
mod hashes;
mod kernel;
mod maps;
mod tree;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use engine::EngineError;
pub use events::{Cursor, Event, Events};
pub use hashes::Sha;
pub use kernel::{Kernel, MountPoint, Process};
pub use maps::{Mapping, Page};
pub use tree::{Entry, Listing, Tree, TreeDigest};
pub(crate) use tree::{digest, text};

use engine::Engine;
use events::Log;
use hashes::Hashes;

/// How long an engine may take to answer one question.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait of a [`WatchRequest`], milliseconds.
pub const MAX_WAIT: u64 = 30_000;
/// Most containers that one agent follows events of.
const MAX_LOGS: usize = 512;
/// Most exec sessions that are asked about.
const MAX_SESSIONS: usize = 256;
/// How long the engine's word about an image is kept: its layers do not change under its id.
const IMAGE_KEPT: Duration = Duration::from_secs(60);

/// What a monitor wants to know. Small, and the same for every host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// id or name of the container
    pub container: String,
    /// events after this; without it all that the engine remembers of the container
    pub after: Option<Cursor>,
    /// whether to look at executable memory
    pub memory: bool,
    /// whether to look at the files, and how
    pub files: Option<FilesRequest>,
}

/// Which files a monitor wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesRequest {
    /// the listing that it has already
    pub known: Option<TreeDigest>,
    /// absolute paths that it does not want to know about, and all below them
    pub except: Vec<String>,
    /// one of so many files is hashed again although nothing says that it has changed; 0: none, 1: all
    pub again: u32,
}

/// Wait for events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRequest {
    /// id of the container
    pub container: String,
    /// events after this
    pub after: Option<Cursor>,
    /// how long to wait if there are none, milliseconds; at most [`MAX_WAIT`]
    pub wait: u64,
}

/// What a host says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// the engine's inspect of the container, as the engine gave it; `None`: it knows no such container
    pub inspect: Option<serde_json::Value>,
    /// the engine's inspect of the container's image; `None`: it is not there any more
    pub image: Option<serde_json::Value>,
    /// the engine's inspects of exec sessions that are running, or were begun since the events asked for
    pub execs: Vec<serde_json::Value>,
    /// what the engine did with the container
    pub events: Events,
    /// what the kernel says; `None`: it does not run
    pub kernel: Option<Kernel>,
    /// microseconds that it took
    pub took: u64,
}

/// Most values in what the engine says of a container, an image or a session: an inspect has some hundred.
const MAX_VALUES: usize = 1 << 16;

impl Facts {
    /// What no agent tells: more of anything than one looks at. A host may write its own agent, and comparing takes the
    /// monitor's time.
    ///
    /// # Errors
    /// What there is too much of.
    pub(crate) fn check(&self) -> Result<(), String> {
        let most = |what: &str, found: usize, most: usize| match found <= most {
            true => Ok(()),
            false => Err(format!("the host tells of {found} {what}, expected at most {most}")),
        };
        most("exec sessions", self.execs.len(), MAX_SESSIONS)?;
        most("events", self.events.events.len(), events::MAX_EVENTS)?;
        for value in [&self.inspect, &self.image].into_iter().flatten().chain(&self.execs) {
            let mut left = MAX_VALUES;
            if !counted(value, &mut left) {
                return Err(format!("the host hands on an inspect of more than {MAX_VALUES} values"));
            }
        }
        let Some(kernel) = &self.kernel else { return Ok(()) };
        most("processes", kernel.processes.len(), kernel::MAX_PROCESSES)?;
        most("mounts", kernel.mounts.len(), kernel::MAX_MOUNTS)?;
        most("variables", kernel.environment.len(), kernel::MAX_VARIABLES)?;
        most("control groups", kernel.cgroups.len(), kernel::MAX_CGROUPS)?;
        most("namespaces", kernel.host_namespaces.len(), 16)?;
        let mappings = kernel.processes.iter().map(|process| process.mappings.len());
        most(
            "mappings",
            mappings.fold(0, usize::saturating_add),
            kernel::MAX_MAPPINGS,
        )?;
        let pages = kernel
            .processes
            .iter()
            .flat_map(|process| &process.mappings)
            .map(|mapping| mapping.differ.len());
        most("pages of a mapping", pages.max().unwrap_or_default(), maps::MAX_PAGES)
    }
}

/// Whether there are no more values in it than are left.
fn counted(value: &serde_json::Value, left: &mut usize) -> bool {
    let Some(now) = left.checked_sub(1) else { return false };
    *left = now;
    match value {
        serde_json::Value::Array(list) => list.iter().all(|value| counted(value, left)),
        serde_json::Value::Object(fields) => fields.values().all(|value| counted(value, left)),
        _ => true,
    }
}

/// Why there are no facts.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MeasureError {
    /// The engine did not answer, or not in time, or not what an engine answers.
    #[error("engine: {0}")]
    Engine(#[from] EngineError),
    /// The kernel's answers contradict each other for too long, or are beyond all bounds.
    #[error("kernel: {0}")]
    Kernel(String),
    /// The request is not one.
    #[error("request: {0}")]
    Request(String),
}

/// Containers that are looked at at once, each by one; who asks for more waits. What is begun is not broken off when
/// nobody waits for it any more.
const LOOKS: usize = 16;
/// How long one may be looked at. Only the first look takes seconds: later ones read what has changed.
const LOOK: Duration = Duration::from_secs(120);

/// Answers measuring requests for one engine. Holds caches, so one for each engine should live as long as its agent.
#[derive(Debug)]
pub struct Measurer {
    engine: Engine,
    hashes: Hashes,
    trees: Arc<Mutex<BTreeMap<String, tree::Walked>>>,
    logs: Mutex<BTreeMap<String, Arc<Log>>>,
    images: Mutex<BTreeMap<String, (Instant, serde_json::Value)>>,
    looks: Arc<Semaphore>,
    /// by container: one that takes long holds up nobody but those who ask for it
    turns: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    /// whether only containers of deployments are told about
    deployments_only: bool,
}

impl Measurer {
    /// For the engine behind this socket. Opens nothing yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            engine: Engine::new(socket.into(), ENGINE_TIMEOUT),
            hashes: Hashes::default(),
            trees: Arc::default(),
            logs: Mutex::default(),
            images: Mutex::default(),
            looks: Arc::new(Semaphore::new(LOOKS)),
            turns: Mutex::default(),
            deployments_only: false,
        }
    }

    /// As [`Self::new`]; of containers that are no deployments' it tells the name and nothing else: who asks is a
    /// stranger to everything else that the host runs.
    pub fn of_deployments(socket: impl Into<PathBuf>) -> Self {
        Self {
            deployments_only: true,
            ..Self::new(socket)
        }
    }

    /// The facts about a container.
    ///
    /// # Errors
    /// The engine or the kernel does not answer. That there is no such container is no error.
    pub async fn facts(&self, request: &Request) -> Result<Facts, MeasureError> {
        let began = Instant::now();
        check_name(&request.container)?;
        if let Some(files) = &request.files
            && (files.except.len() > 1_024 || files.except.iter().any(|path| !path.starts_with('/')))
        {
            return Err(MeasureError::Request(
                "except: expected at most 1024 absolute paths".into(),
            ));
        }
        let Some(inspect) = self.engine.container(&request.container).await? else {
            let events = match self.log_if_there(&request.container) {
                Some(log) => log.after(request.after),
                None => Events::default(),
            };
            return Ok(Facts {
                inspect: None,
                image: None,
                execs: Vec::new(),
                events,
                kernel: None,
                took: micros(began),
            });
        };
        let id = identifier(&inspect)?.to_owned();
        if let Some(name) = self.foreign(&inspect) {
            // A deployment's container that was given another name was followed before.
            let events = match self.log_if_there(&id) {
                Some(log) => log.after(request.after),
                None => Events::default(),
            };
            return Ok(Facts {
                inspect: Some(serde_json::json!({ "Id": id, "Name": name })),
                image: None,
                execs: Vec::new(),
                events,
                kernel: None,
                took: micros(began),
            });
        }
        let log = self.log(&id).await?;
        let kernel = self.kernel(&id, &inspect, request).await?;
        // The engine may have started it again, and exec sessions may have begun, while the kernel was asked.
        let after = self.engine.container(&id).await?;
        log.settle().await;
        let events = log.after(request.after);
        let mut execs = Vec::new();
        for session in sessions(&inspect, after.as_ref(), &events) {
            if let Some(exec) = self.engine.exec(&session).await? {
                execs.push(exec);
            }
        }
        let image = match inspect.get("Image").and_then(serde_json::Value::as_str) {
            Some(image) => self.image(image).await?,
            None => None,
        };
        Ok(Facts {
            inspect: after,
            image,
            execs,
            events,
            kernel,
            took: micros(began),
        })
    }

    /// Events of a container, as soon as there are any.
    ///
    /// # Errors
    /// The engine does not answer, or there is no such container.
    pub async fn watch(&self, request: &WatchRequest) -> Result<Events, MeasureError> {
        check_name(&request.container)?;
        let log = match self.log_if_there(&request.container) {
            Some(log) => log,
            None => {
                let inspect = self.engine.container(&request.container).await?;
                let inspect = inspect.ok_or_else(|| EngineError::answer("no such container"))?;
                if self.foreign(&inspect).is_some() {
                    return Err(MeasureError::Request("expected a deployment's container".into()));
                }
                self.log(identifier(&inspect)?).await?
            }
        };
        let wait = Duration::from_millis(request.wait.min(MAX_WAIT));
        Ok(log.wait(request.after, wait).await)
    }

    /// The name of a container that is nobody's business.
    fn foreign<'a>(&self, inspect: &'a serde_json::Value) -> Option<&'a str> {
        let name = inspect
            .get("Name")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        (self.deployments_only && !is_deployment(name)).then_some(name)
    }

    fn log_if_there(&self, id: &str) -> Option<Arc<Log>> {
        self.logs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    async fn log(&self, id: &str) -> Result<Arc<Log>, MeasureError> {
        let log = {
            let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(log) = logs.get(id) {
                log.clone()
            } else {
                if logs.len() >= MAX_LOGS {
                    // Whoever still asks for it begins anew, and is told that there is a gap.
                    let oldest = logs.iter().max_by_key(|(_, log)| log.idle()).map(|(id, _)| id.clone());
                    oldest.map(|id| logs.remove(&id));
                }
                let log = Log::follow(self.engine.clone(), id.to_owned());
                logs.insert(id.to_owned(), log.clone());
                log
            }
        };
        log.ready(ENGINE_TIMEOUT).await?;
        Ok(log)
    }

    async fn image(&self, id: &str) -> Result<Option<serde_json::Value>, MeasureError> {
        {
            let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            images.retain(|_, (since, _)| since.elapsed() < IMAGE_KEPT);
            if let Some((_, image)) = images.get(id) {
                return Ok(Some(image.clone()));
            }
        }
        let image = self.engine.image(id).await?;
        if let Some(image) = &image {
            let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            images.insert(id.to_owned(), (Instant::now(), image.clone()));
        }
        Ok(image)
    }

    fn turn(&self, id: &str) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds or waits for.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(
            turns
                .entry(id.to_owned())
                .or_insert_with(|| Arc::new(Semaphore::new(1))),
        )
    }

    async fn kernel(
        &self,
        id: &str,
        inspect: &serde_json::Value,
        request: &Request,
    ) -> Result<Option<Kernel>, MeasureError> {
        let state = inspect.get("State");
        let field = |name: &str| state.and_then(|state| state.get(name));
        let pid = field("Pid").and_then(serde_json::Value::as_u64).unwrap_or_default();
        let running = field("Running")
            .and_then(serde_json::Value::as_bool)
            .unwrap_or_default();
        let (Ok(pid), true) = (u32::try_from(pid), running && pid != 0) else {
            return Ok(None);
        };
        let (id, request) = (id.to_owned(), request.clone());
        let closed = |error: tokio::sync::AcquireError| MeasureError::Kernel(error.to_string());
        let turn = self.turn(&id).acquire_owned().await.map_err(closed)?;
        let look = Arc::clone(&self.looks).acquire_owned().await.map_err(closed)?;
        let (hashes, trees) = (self.hashes.within(LOOK), self.trees.clone());
        tokio::task::spawn_blocking(move || {
            let _turns = (turn, look);
            kernel::look(&id, pid, &request, &hashes, &trees)
        })
        .await
        .map_err(|error| MeasureError::Kernel(error.to_string()))?
    }
}

/// Whether a container's name, as the engine tells it, is that of a deployment's.
pub(super) fn is_deployment(name: &str) -> bool {
    name.trim_start_matches('/').starts_with("surety-")
}

/// The engine's id of a container, checked: it becomes part of questions.
fn identifier(inspect: &serde_json::Value) -> Result<&str, EngineError> {
    let id = inspect.get("Id").and_then(serde_json::Value::as_str);
    id.filter(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(|| EngineError::answer("inspect without an id of 64 hexadecimal digits"))
}

/// Exec sessions that run, or that the events name.
fn sessions(before: &serde_json::Value, after: Option<&serde_json::Value>, events: &Events) -> Vec<String> {
    let mut ids: Vec<String> = [Some(before), after]
        .into_iter()
        .flatten()
        .filter_map(|inspect| inspect.get("ExecIDs").and_then(serde_json::Value::as_array))
        .flatten()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .chain(
            events
                .events
                .iter()
                .filter(|event| event.action.starts_with("exec_start"))
                .filter_map(|event| event.exec.clone()),
        )
        .filter(|id| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .collect();
    ids.sort();
    ids.dedup();
    ids.truncate(MAX_SESSIONS);
    ids
}

fn check_name(name: &str) -> Result<(), MeasureError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=128).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(MeasureError::Request(
        "expected a container's id or name: letters, digits, `_`, `.`, `-`".into(),
    ))
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
