//! What a node implements, so that connectors can speak to it.

use std::{fmt, sync::Arc, time::Duration};

use surety_primitives::{Address, B256, value::Value};
use surety_protocol::manifest::{Network, Verification};

use crate::wire::refusal::Code;

/// A service that the node serves.
#[derive(Debug, Clone)]
pub struct Served {
    /// its address
    pub service: Address,
    /// its manifest's network part
    pub network: Arc<Network>,
}

/// A connector that has just registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// the service
    pub service: Address,
    /// the connector's name
    pub connector: String,
    /// events it emits
    pub events: Vec<String>,
    /// tasks it does
    pub tasks: Vec<String>,
}

/// An event that a connector saw, held to its declaration.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// the service
    pub service: Address,
    /// the connector's name
    pub connector: String,
    /// the event's name
    pub event: String,
    /// what is known of it
    pub data: Value,
    /// value hash of the list of the id's fields (`docs/spec/network.md`, section 7)
    pub id_hash: B256,
    /// value hash of the data
    pub data_hash: B256,
}

/// Something a connector shall do.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// the service
    pub service: Address,
    /// the task's id
    pub task: B256,
    /// 0 for the first executor drawn, 1 for its replacement, ...
    pub attempt: u32,
    /// the task's name
    pub name: String,
    /// what it takes
    pub inputs: Value,
    /// what to do with it
    pub kind: Kind,
    /// Unix time in milliseconds after which the answer is worth nothing; the assignment is dropped then
    pub deadline_ms: u64,
}

/// What to do with a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// do it. A validator of a deterministic task has it done as well, and compares
    Execute,
    /// find out whether it was done as claimed
    Validate {
        /// what the executor claims
        output: Value,
    },
}

/// A connector's answer to an assignment; an output is held to its declaration.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// the service
    pub service: Address,
    /// the connector's name
    pub connector: String,
    /// the task's id
    pub task: B256,
    /// which attempt
    pub attempt: u32,
    /// the answer
    pub answer: Answer,
    /// how long the connector had it
    pub took: Duration,
}

/// What a connector answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// to Execute: what the task returned
    Output(Value),
    /// to Validate
    Verdict {
        /// what was found
        verdict: Verdict,
        /// for the log; at most [`MAX_REASON`] bytes
        reason: String,
    },
    /// to both: it could not be done
    Failed {
        /// for the log; at most [`MAX_REASON`] bytes
        message: String,
        /// whether doing it again a little later may help; the assignment is gone either way, push it again if so
        retry: bool,
    },
}

/// Longest reason or message of an answer that reaches the host, bytes; what is longer is cut.
pub const MAX_REASON: usize = 1_024;

/// What a validator found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// it was done and the output is right
    Valid,
    /// it was not done, or the output is wrong
    Invalid,
    /// it can't be told: no vote
    Unknown,
}

/// Why the host did not take something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// what kind of reason; the codes are those of the wire
    pub code: Code,
    /// what was found and what was expected
    pub message: String,
}

impl Refusal {
    /// A refusal of that kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str_name(), self.message)
    }
}

/// A node, as seen from its connectors. Values it is given fit their declarations; sessions, redelivery and limits are
/// the server's business.
#[tonic::async_trait]
pub trait ConnectorHost: Send + Sync + 'static {
    /// The service with that address (`0x…`) or, if only one has it, that name; nothing if it isn't served here.
    async fn service(&self, service: &str) -> Option<Served>;

    /// Names and addresses of the services there are, to tell a connector that asks for another one.
    async fn services(&self) -> Vec<(String, Address)> {
        Vec::new()
    }

    /// A connector has come (back). What was pushed and not answered goes to it without the host's doing; work that
    /// only the host remembers, from before its own restart, is pushed now or any time. For the log if the host keeps
    /// none.
    async fn registered(&self, registration: Registration);

    /// A connector saw an event. Returning its event key says that it is recorded durably: the connector will not
    /// repeat it. The same event again is taken again; the same id with different data is refused with
    /// [`Code::Conflict`].
    async fn emit(&self, emission: Emission) -> Result<B256, Refusal>;

    /// A connector answers an assignment. `Ok` says that the answer is recorded durably. A refusal with
    /// [`Code::Busy`] or [`Code::Internal`] makes the connector answer again; any other one ends the assignment. It is
    /// called only before the assignment's deadline.
    /// While it is called the assignment is off the server's desk: assigning the same again, even from in here, is a new
    /// delivery. It can be called again for an answer already taken, if the connector heard nothing of it.
    async fn submit(&self, submission: Submission) -> Result<(), Refusal>;
}

impl Assignment {
    /// How an assignment of a task that is verified so looks to a validator: deterministic tasks are repeated.
    pub fn validation(verification: Verification, output: Value) -> Option<Kind> {
        match verification {
            Verification::None => None,
            Verification::Deterministic => Some(Kind::Execute),
            Verification::Verify => Some(Kind::Validate { output }),
        }
    }
}
