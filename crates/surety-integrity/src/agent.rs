//! What answers at the host's end of a channel.
//!
//! An [`Agent`] speaks to one engine, for one [`Role`]. It runs in the monitor's own process, or as the one command that
//! a monitor's SSH key may run: `surety integrity agent --role monitor`, on its standard streams ([`serve`]).

pub mod deploy;
pub mod measure;
mod serve;

use std::{path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::deploy::Specification;

pub use serve::{serve, serve_stdio};

/// What whoever is at the other end may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// may look: nothing that it asks for changes the host
    Monitor,
    /// may also load an image and create and start a deployment's container; nothing else
    Deployer,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            plans: Plans::Only(Vec::new()),
            deployments: MAX_DEPLOYMENTS,
            any_container: false,
            binds: Vec::new(),
            capabilities: Vec::new(),
            host_network: false,
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "monitor" => Ok(Self::Monitor),
            "deployer" => Ok(Self::Deployer),
            other => Err(format!("found {other:?}; expected monitor or deployer")),
        }
    }
}

/// What the host's owner has agreed to run. A deployer is drawn from strangers, and the plan is the service's owner's:
/// neither may decide alone what runs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plans {
    /// these, whatever the deployment's number
    Only(Vec<Specification>),
    /// whatever the other end says
    Any,
}

/// Most containers of deployments on a host, unless its owner says otherwise.
pub const MAX_DEPLOYMENTS: usize = 16;

/// What the host's owner lets deployments have beyond a container's usual rights, and which there may be. Nothing, by
/// default: who deploys is drawn from strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// what may be deployed
    pub plans: Plans,
    /// containers of deployments, running or not, that may be here at once
    pub deployments: usize,
    /// whether containers may be looked at that are no deployments' (whose names do not begin with `surety-`)
    pub any_container: bool,
    /// paths of the host that may be mounted, with all below them
    pub binds: Vec<PathBuf>,
    /// capabilities that may be given, without `CAP_`
    pub capabilities: Vec<String>,
    /// whether the host's network may be used
    pub host_network: bool,
}

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// deploy
    Deploy(deploy::Request),
    /// measure
    Measure(measure::Request),
    /// wait for events
    Watch(measure::WatchRequest),
}

/// What is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// to [`Request::Deploy`]
    Deployed(deploy::Answer),
    /// to [`Request::Measure`]
    Facts(Box<measure::Facts>),
    /// to [`Request::Watch`]
    Events(measure::Events),
    /// to any
    Refused(Refusal),
}

/// Why an agent does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}: {text}")]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// which kind
    pub reason: Reason,
    /// in words
    pub text: String,
}

/// Kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// the role, or the host's owner, does not allow it; asking again changes nothing
    Denied,
    /// it is not understood, or contradicts itself
    Request,
    /// there is a container of that name which is another
    Conflict,
    /// the engine or the kernel does not do its part; may pass
    Engine,
    /// too much at once; will pass
    Busy,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Denied => "denied",
            Self::Request => "bad request",
            Self::Conflict => "conflict",
            Self::Engine => "engine",
            Self::Busy => "busy",
        })
    }
}

impl Refusal {
    pub(crate) fn new(reason: Reason, text: impl std::fmt::Display) -> Self {
        Self {
            reason,
            text: text.to_string().chars().take(1_000).collect(),
        }
    }
}

/// Bytes that come with a request, piece by piece; `None` in place of a piece: the sender gave up.
pub(crate) type Body = mpsc::Receiver<Option<Vec<u8>>>;

/// Answers for one engine.
#[derive(Debug)]
pub struct Agent {
    role: Role,
    grants: Grants,
    socket: PathBuf,
    measurer: measure::Measurer,
}

impl Agent {
    /// For the engine behind this socket. Opens nothing yet.
    pub fn new(role: Role, socket: impl Into<PathBuf>, grants: Grants) -> Self {
        let socket = socket.into();
        Self {
            role,
            measurer: if grants.any_container {
                measure::Measurer::new(socket.clone())
            } else {
                measure::Measurer::of_deployments(socket.clone())
            },
            grants,
            socket,
        }
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Answers.
    pub(crate) async fn answer(&self, request: Request, body: Body) -> Answer {
        let answer = match request {
            Request::Measure(request) => self
                .measurer
                .facts(&request)
                .await
                .map(|facts| Answer::Facts(Box::new(facts)))
                .map_err(refusal),
            Request::Watch(request) => self.measurer.watch(&request).await.map(Answer::Events).map_err(refusal),
            Request::Deploy(_) if self.role != Role::Deployer => Err(Refusal::new(
                Reason::Denied,
                "found a request to deploy; expected one to measure or watch",
            )),
            Request::Deploy(request) => deploy::answer(&self.socket, &self.grants, request, body)
                .await
                .map(Answer::Deployed),
        };
        answer.unwrap_or_else(Answer::Refused)
    }
}

fn refusal(error: measure::MeasureError) -> Refusal {
    let reason = match &error {
        measure::MeasureError::Request(_) => Reason::Request,
        measure::MeasureError::Engine(_) | measure::MeasureError::Kernel(_) => Reason::Engine,
    };
    // The reason's name is said already.
    match error {
        measure::MeasureError::Request(text) | measure::MeasureError::Kernel(text) => Refusal::new(reason, text),
        measure::MeasureError::Engine(error) => Refusal::new(reason, error),
    }
}
