//! The connector's side of the wire: implement [`Work`], name what you serve, run.
//!
//! It registers, connects again with growing pauses when the node goes away, starts work that comes twice only once at
//! a time, and repeats answers and emissions until the node has taken or refused them. What it can't do for you: do
//! the same task once over restarts. The task's id is the key for that (`docs/guides/connectors.md`).

mod emitter;
mod pauses;
mod session;

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use surety_primitives::value::Value;
use tokio::sync::{Mutex, Semaphore, watch};
use tonic::Code as StatusCode;

use crate::{Token, TokenError, convert, wire};
pub use emitter::{EmitError, Emitter};
use pauses::Pauses;
use session::{Session, status_text};

/// How a connector finds its node, and what it serves.
#[derive(Debug, Clone)]
pub struct Config {
    /// `http://127.0.0.1:PORT` or `unix:/PATH`
    pub node: String,
    /// the file with the token
    pub token_file: PathBuf,
    /// the service's address, or its name
    pub service: String,
    /// names this connector among the service's
    pub connector: String,
    /// events it emits
    pub events: Vec<String>,
    /// fields that the ids of events must include, as (event, path): what the connector emits is told apart by them
    pub identities: Vec<(String, String)>,
    /// tasks it does
    pub tasks: Vec<String>,
    /// tasks it does at a time
    pub concurrency: usize,
    /// first pause before connecting again; doubles up to thirty times as long
    pub pause: Duration,
}

impl Config {
    /// A connector that serves nothing yet.
    pub fn new(
        node: impl Into<String>,
        token_file: impl Into<PathBuf>,
        service: impl Into<String>,
        connector: impl Into<String>,
    ) -> Self {
        Self {
            node: node.into(),
            token_file: token_file.into(),
            service: service.into(),
            connector: connector.into(),
            events: Vec::new(),
            identities: Vec::new(),
            tasks: Vec::new(),
            concurrency: 16,
            pause: Duration::from_millis(200),
        }
    }

    /// Emits this event too.
    #[must_use]
    pub fn event(mut self, name: impl Into<String>) -> Self {
        self.events.push(name.into());
        self
    }

    /// Serves only if the manifest's id of that event includes this field; else [`ConnectorError::Identity`].
    #[must_use]
    pub fn identity(mut self, event: impl Into<String>, field: impl Into<String>) -> Self {
        self.identities.push((event.into(), field.into()));
        self
    }

    /// Does this task too.
    #[must_use]
    pub fn task(mut self, name: impl Into<String>) -> Self {
        self.tasks.push(name.into());
        self
    }
}

/// A task to be done or validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// the id, `0x…`: the key under which it is done once
    pub task: String,
    /// 0 for the first executor drawn, 1 for its replacement, ...
    pub attempt: u32,
    /// the task's name
    pub name: String,
    /// what it takes; fits its declaration
    pub inputs: Value,
    /// Unix milliseconds after which nobody takes the answer
    pub deadline_ms: u64,
}

/// What a validator found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// it was done and the output is right
    Valid,
    /// it was not done, or the output is wrong; why
    Invalid(String),
    /// it can't be told, so nothing is voted; why
    Unknown(String),
}

/// Why a task was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// for the node's log
    pub message: String,
    /// whether doing it again a little later may help
    pub retry: bool,
}

impl Failure {
    /// It may work later.
    pub fn later(message: impl ToString) -> Self {
        Self {
            message: message.to_string(),
            retry: true,
        }
    }

    /// It never will.
    pub fn never(message: impl ToString) -> Self {
        Self {
            message: message.to_string(),
            retry: false,
        }
    }
}

/// What a connector does.
#[tonic::async_trait]
pub trait Work: Send + Sync + 'static {
    /// Does a task. It can be called again for the same task id, after a lost connection or a restart, or on another
    /// node: what it does to the world must be keyed by the id, and the output must be the same.
    async fn execute(&self, job: &Job) -> Result<Value, Failure>;

    /// Finds out whether a task was done as claimed, and changes nothing. Only what is certain is valid or invalid.
    async fn validate(&self, job: &Job, output: &Value) -> Verdict;
}

/// Work of a connector that only emits.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

#[tonic::async_trait]
impl Work for Nothing {
    async fn execute(&self, job: &Job) -> Result<Value, Failure> {
        Err(Failure::never(format!("task `{}` is not done here", job.name)))
    }

    async fn validate(&self, job: &Job, _output: &Value) -> Verdict {
        Verdict::Unknown(format!("task `{}` is not validated here", job.name))
    }
}

/// Why a connector ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// there is no token
    #[error(transparent)]
    Token(#[from] TokenError),
    /// the node's address is none
    #[error("node: found `{found}`, expected http://127.0.0.1:PORT or unix:/PATH ({cause})")]
    Address {
        /// what was given
        found: String,
        /// why it is none
        cause: String,
    },
    /// the node refused the connector; trying again doesn't help
    #[error("the node refused this connector: {0}")]
    Refused(String),
    /// the manifest tells events apart by less than this connector needs
    #[error("event {event}: found the id [{found}] in the manifest, expected one that includes `{field}`")]
    Identity {
        /// the event
        event: String,
        /// the field that is missing
        field: String,
        /// the id's fields, with commas between them
        found: String,
    },
}

/// A connector, connected or trying to be.
pub struct Connector<W> {
    config: Config,
    token: Token,
    work: Arc<W>,
    session: watch::Sender<Option<Session>>,
    emitter: Emitter,
}

impl<W: Work> Connector<W> {
    /// Prepares it. Nothing is sent before [`Connector::run`].
    pub fn new(config: Config, work: W) -> Result<Self, ConnectorError> {
        let token = Token::read(&config.token_file)?;
        session::endpoint(&config.node)?;
        let (session, sessions) = watch::channel(None);
        let emitter = Emitter::new(sessions, config.pause);
        Ok(Self {
            config,
            token,
            work: Arc::new(work),
            session,
            emitter,
        })
    }

    /// Emits events; works while [`Connector::run`] does.
    pub fn emitter(&self) -> Emitter {
        self.emitter.clone()
    }

    /// Serves until the node refuses it for good. Drop the future to end it.
    pub async fn run(&self) -> Result<(), ConnectorError> {
        let mut pauses = Pauses::new(self.config.pause);
        let running = Arc::new(Mutex::new(HashSet::new()));
        let free = Arc::new(Semaphore::new(self.config.concurrency.max(1)));
        loop {
            let pause = match Session::open(&self.config, &self.token).await {
                Ok(session) => {
                    self.identified(&session)?;
                    tracing::info!(node = self.config.node, service = session.service, "registered");
                    self.session.send_replace(Some(session.clone()));
                    let ended = self.serve(session, &running, &free).await;
                    self.session.send_replace(None);
                    if ended.code() == StatusCode::FailedPrecondition {
                        if pauses.first_rival() {
                            tracing::error!(
                                connector = self.config.connector,
                                "another process has registered under this connector's name: two of one name end each \
                                 other's sessions in turn. Stop one, or give each its own name"
                            );
                        }
                        pauses.taken_over()
                    } else {
                        tracing::warn!(cause = status_text(&ended), "the node is gone; connecting again");
                        pauses.lost()
                    }
                }
                Err(status)
                    if matches!(
                        status.code(),
                        StatusCode::InvalidArgument | StatusCode::Unauthenticated | StatusCode::Unimplemented
                    ) =>
                {
                    return Err(ConnectorError::Refused(status_text(&status)));
                }
                Err(status) => {
                    tracing::warn!(cause = status_text(&status), "no node; trying again");
                    pauses.absent()
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether the manifest's ids include what they must; before the session is anybody's, so that nothing is emitted.
    fn identified(&self, session: &Session) -> Result<(), ConnectorError> {
        for (event, field) in &self.config.identities {
            let id = session.ids.get(event).map(Vec::as_slice).unwrap_or_default();
            if !id.contains(field) {
                return Err(ConnectorError::Identity {
                    event: event.clone(),
                    field: field.clone(),
                    found: id.join(", "),
                });
            }
        }
        Ok(())
    }

    /// Takes assignments until the stream ends; what ended it.
    async fn serve(
        &self,
        mut session: Session,
        running: &Arc<Mutex<HashSet<(String, u32)>>>,
        free: &Arc<Semaphore>,
    ) -> tonic::Status {
        let mut assignments = match session.tasks().await {
            Ok(assignments) => assignments,
            Err(status) => return status,
        };
        loop {
            // Not read before there is room: the node keeps what is not read.
            let Ok(permit) = Arc::clone(free).acquire_owned().await else {
                return tonic::Status::cancelled("stopped");
            };
            let assignment = match assignments.message().await {
                Ok(Some(assignment)) => assignment,
                Ok(None) => return tonic::Status::unavailable("the node ended the stream"),
                Err(status) => return status,
            };
            let key = (assignment.task.clone(), assignment.attempt);
            if !running.lock().await.insert(key.clone()) {
                // Still at it since before the connection was lost; the answer goes out over the new one.
                continue;
            }
            let work = Arc::clone(&self.work);
            let running = Arc::clone(running);
            let emitter = self.emitter.clone();
            tokio::spawn(async move {
                let deadline_ms = assignment.deadline_ms;
                let answer = answer(work.as_ref(), assignment).await;
                // Before the answer goes out: the node may assign the same again as soon as it has it.
                running.lock().await.remove(&key);
                emitter.submit(&key.0, key.1, answer, deadline_ms).await;
                drop(permit);
            });
        }
    }
}

async fn answer<W: Work>(work: &W, assignment: wire::Assignment) -> wire::submit_request::Answer {
    use wire::submit_request::Answer;

    let kind = assignment.kind();
    let inputs = convert::from_struct(assignment.inputs);
    let output = assignment.output.map(|output| convert::from_struct(Some(output)));
    let error = |message: String, retry| Answer::Error(wire::TaskError { message, retry });
    let inputs = match inputs {
        Ok(inputs) => inputs,
        Err(cause) => return error(format!("inputs: {cause}"), false),
    };
    let job = Job {
        task: assignment.task,
        attempt: assignment.attempt,
        name: assignment.name,
        inputs,
        deadline_ms: assignment.deadline_ms,
    };
    match (kind, output) {
        (wire::assignment::Kind::Execute, None) => match work.execute(&job).await {
            Ok(output) => Answer::Output(convert::to_struct(&output)),
            Err(failure) => error(failure.message, failure.retry),
        },
        (wire::assignment::Kind::Validate, Some(Ok(output))) => {
            let (answer, reason) = match work.validate(&job, &output).await {
                Verdict::Valid => (wire::verdict::Answer::Valid, String::new()),
                Verdict::Invalid(reason) => (wire::verdict::Answer::Invalid, reason),
                Verdict::Unknown(reason) => (wire::verdict::Answer::Unknown, reason),
            };
            Answer::Verdict(wire::Verdict {
                answer: answer.into(),
                reason,
            })
        }
        _ => error(
            "found a kind of assignment that this version doesn't know".to_owned(),
            false,
        ),
    }
}
