//! A node without a network, for authors of connectors: it takes events and hands out tasks as a node does, with the
//! same server, and forgets everything when it ends. `cargo run -p surety-connector --example trial -- service.toml`
//! runs one by hand; tests of connectors use it as a library.

pub mod console;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use surety_primitives::{Address, B256, value::Value};
use surety_protocol::manifest::{Network, Unfit, Verification};
use tokio::sync::watch;

use crate::{
    Token, TokenError,
    host::{Answer, Assignment, ConnectorHost, Emission, Kind, Refusal, Registration, Served, Submission},
    server::{AssignError, Handle, Limits, Listen, Server, ServerError},
    wire::refusal::Code,
};

/// Events and answers it keeps at most; then it refuses more as a busy node does.
const MAX_KEPT: usize = 100_000;

/// Why a trial didn't go on.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// no token
    #[error(transparent)]
    Token(#[from] TokenError),
    /// no server
    #[error(transparent)]
    Server(#[from] ServerError),
    /// an assignment was not taken
    #[error(transparent)]
    Assign(#[from] AssignError),
    /// a node wouldn't give it to a connector
    #[error("task `{name}`: {what}: {cause}")]
    Unfit {
        /// the task
        name: String,
        /// inputs or output
        what: &'static str,
        /// what was found and expected
        cause: Unfit,
    },
    /// the manifest has no such task
    #[error(transparent)]
    Undeclared(Unfit),
    /// nobody validates such tasks
    #[error("task `{0}` is not validated: its verification is \"none\"")]
    NotValidated(String),
    /// what was waited for didn't come
    #[error("{what} did not come within {} s", most.as_secs_f32())]
    TooLate {
        /// what
        what: String,
        /// how long it was waited for
        most: Duration,
    },
}

#[derive(Default)]
struct Seen {
    registrations: Vec<Registration>,
    emissions: Vec<Emission>,
    keys: HashMap<B256, B256>,
    submissions: Vec<Submission>,
    /// refuse so many calls as a node that is busy does
    busy: usize,
}

struct Host {
    service: Address,
    network: Arc<Network>,
    seen: Mutex<Seen>,
    changed: watch::Sender<u64>,
}

impl Host {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics halfway through a change.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[tonic::async_trait]
impl ConnectorHost for Host {
    async fn service(&self, service: &str) -> Option<Served> {
        let known = service == self.network.name || service.parse() == Ok(self.service);
        known.then(|| Served {
            service: self.service,
            network: Arc::clone(&self.network),
        })
    }

    async fn services(&self) -> Vec<(String, Address)> {
        vec![(self.network.name.clone(), self.service)]
    }

    async fn registered(&self, registration: Registration) {
        self.seen().registrations.push(registration);
        self.tell();
    }

    async fn emit(&self, emission: Emission) -> Result<B256, Refusal> {
        let key = surety_primitives::vote::event_key(emission.service, &emission.event, emission.id_hash);
        {
            let mut seen = self.seen();
            if seen.busy > 0 {
                seen.busy = seen.busy.saturating_sub(1);
                return Err(Refusal::new(Code::Busy, "busy"));
            }
            match seen.keys.get(&key) {
                Some(hash) if *hash == emission.data_hash => return Ok(key),
                Some(hash) => {
                    let message = format!(
                        "event {key:#x}: found data {:#x}, recorded before was {hash:#x}",
                        emission.data_hash
                    );
                    return Err(Refusal::new(Code::Conflict, message));
                }
                None if seen.emissions.len() >= MAX_KEPT => return Err(Refusal::new(Code::Busy, "full")),
                None => {}
            }
            seen.keys.insert(key, emission.data_hash);
            seen.emissions.push(emission);
        }
        self.tell();
        Ok(key)
    }

    async fn submit(&self, submission: Submission) -> Result<(), Refusal> {
        {
            let mut seen = self.seen();
            if seen.busy > 0 {
                seen.busy = seen.busy.saturating_sub(1);
                return Err(Refusal::new(Code::Busy, "busy"));
            }
            if seen.submissions.len() >= MAX_KEPT {
                return Err(Refusal::new(Code::Busy, "full"));
            }
            seen.submissions.push(submission);
        }
        self.tell();
        Ok(())
    }
}

/// A running trial of one service.
pub struct Trial {
    host: Arc<Host>,
    server: Server,
}

impl Trial {
    /// Starts it; the token's file is made if it isn't there.
    pub async fn start(
        network: Network,
        service: Address,
        listen: &Listen,
        token_file: &Path,
        limits: Limits,
    ) -> Result<Self, TrialError> {
        let host = Arc::new(Host {
            service,
            network: Arc::new(network),
            seen: Mutex::default(),
            changed: watch::channel(0).0,
        });
        let token = Token::read_or_create(token_file)?;
        let server = Server::start(Arc::clone(&host), listen, token, limits).await?;
        Ok(Self { host, server })
    }

    /// Where it listens.
    pub fn address(&self) -> &Listen {
        self.server.address()
    }

    /// How work is given to connectors.
    pub fn handle(&self) -> Handle {
        self.server.handle()
    }

    /// What the service's manifest says.
    pub fn network(&self) -> &Network {
        &self.host.network
    }

    /// How long an executor has for a task, by the manifest.
    pub fn window(&self, name: &str) -> Result<Duration, TrialError> {
        match self.host.network.task(name) {
            Ok(task) => Ok(Duration::from_secs(task.window.into())),
            Err(cause) => Err(TrialError::Undeclared(cause)),
        }
    }

    /// What a node asks a validator's connector about an output that was claimed.
    pub fn validation(&self, name: &str, output: Value) -> Result<Kind, TrialError> {
        let declared = self.host.network.check_outputs(name, &output);
        declared.map_err(|cause| unfit(name, "output", cause))?;
        let verification = self.host.network.tasks.get(name).map(|task| task.verification);
        Assignment::validation(verification.unwrap_or(Verification::None), output)
            .ok_or_else(|| TrialError::NotValidated(name.to_owned()))
    }

    /// The service's address.
    pub fn service(&self) -> Address {
        self.host.service
    }

    /// Registrations so far.
    pub fn registrations(&self) -> Vec<Registration> {
        self.host.seen().registrations.clone()
    }

    /// Events so far, each once.
    pub fn emissions(&self) -> Vec<Emission> {
        self.host.seen().emissions.clone()
    }

    /// Answers so far, repeated ones too.
    pub fn submissions(&self) -> Vec<Submission> {
        self.host.seen().submissions.clone()
    }

    /// Refuses the next so many events and answers as busy.
    pub fn be_busy(&self, calls: usize) {
        self.host.seen().busy = calls;
    }

    /// Waits until something holds of what it has seen, such as `|t| t.emissions().len() == 2`.
    pub async fn wait(&self, what: &str, most: Duration, holds: impl Fn(&Self) -> bool) -> Result<(), TrialError> {
        let mut changed = self.host.changed.subscribe();
        let waiting = async {
            // What the host isn't told of, such as who is connected, is looked at every now and then.
            while !holds(self) {
                let _either = tokio::time::timeout(Duration::from_millis(50), changed.changed()).await;
            }
        };
        tokio::time::timeout(most, waiting)
            .await
            .map_err(|_| TrialError::TooLate {
                what: what.to_owned(),
                most,
            })
    }

    /// Gives a task to a connector, if the inputs are what its declaration says, and waits for its answer. What is not
    /// answered in time is taken back. Of one task ask one thing at a time.
    pub async fn ask(
        &self,
        task: B256,
        name: &str,
        inputs: Value,
        kind: Kind,
        most: Duration,
    ) -> Result<Answer, TrialError> {
        let declared = self.host.network.check_inputs(name, &inputs);
        declared.map_err(|cause| unfit(name, "inputs", cause))?;
        let before = self.submissions().len();
        let deadline = SystemTime::now()
            .checked_add(most)
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let deadline = deadline.unwrap_or_default().as_millis();
        self.handle().assign(Assignment {
            service: self.service(),
            task,
            attempt: 0,
            name: name.to_owned(),
            inputs,
            kind,
            deadline_ms: u64::try_from(deadline).unwrap_or(u64::MAX),
        })?;
        let answer = |trial: &Self| {
            let all = trial.submissions();
            let mut new = all.into_iter().skip(before);
            new.find(|submission| submission.task == task)
                .map(|submission| submission.answer)
        };
        let waited = self
            .wait(&format!("an answer to task {task:#x}"), most, |trial| {
                answer(trial).is_some()
            })
            .await;
        if waited.is_err() {
            self.handle().withdraw(self.service(), task, 0);
        }
        waited?;
        answer(self).ok_or_else(|| TrialError::TooLate {
            what: format!("an answer to task {task:#x}"),
            most,
        })
    }

    /// Ends it.
    pub async fn stop(self) -> Result<(), TrialError> {
        Ok(self.server.stop(Duration::from_secs(5)).await?)
    }
}

fn unfit(name: &str, what: &'static str, cause: Unfit) -> TrialError {
    TrialError::Unfit {
        name: name.to_owned(),
        what,
        cause,
    }
}
