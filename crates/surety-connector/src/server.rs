//! The node's side of the wire.

mod accept;
mod decoded;
mod desk;
mod rpc;

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use surety_primitives::{Address, B256};
use tokio::{sync::watch, task::JoinHandle};
use tonic::{Status, service::Interceptor, service::interceptor::InterceptedService, transport};

use crate::{
    MAX_MESSAGE, Token,
    host::{Assignment, ConnectorHost, Registration},
    wire::{self, connector_server::ConnectorServer},
};
pub use accept::Listen;
use desk::Desk;

/// Limits of the server. All have defaults.
#[derive(Debug, Clone)]
pub struct Limits {
    /// connections at a time
    pub connections: usize,
    /// calls at a time on a connection, streams included
    pub streams: u32,
    /// connectors registered at a time
    pub connectors: usize,
    /// assignments not yet answered, of a service
    pub assignments: usize,
    /// assignments on their way to one connector that it has not read yet
    pub queue: usize,
    /// events of one stream being recorded at a time
    pub emissions: usize,
    /// how long the host may take for one call
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            streams: 256,
            connectors: 64,
            assignments: 1_024,
            queue: 16,
            emissions: 256,
            deadline: Duration::from_secs(10),
        }
    }
}

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// others than this machine could reach it
    #[error("connectors' address: found {0}, expected a loopback address such as 127.0.0.1:50051, or a unix socket")]
    NotLoopback(SocketAddr),
    /// the address can't be used
    #[error("connectors' address {address}: {}", said(cause))]
    Listen {
        /// which
        address: String,
        /// what the system says
        cause: io::Error,
    },
    /// the descriptor or the transport is broken
    #[error("connectors' server: {0}")]
    Transport(String),
}

fn said(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
        _ => cause.to_string(),
    }
}

/// Whether an assignment is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// a connector that does such tasks is connected
    Connected,
    /// none is; it waits for one until its deadline
    Waiting,
}

/// Why an assignment was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    /// too many are unanswered
    #[error("service {service} has {limit} unanswered assignments, expected fewer")]
    Full {
        /// the service
        service: Address,
        /// how many it may have
        limit: usize,
    },
    /// it is over already
    #[error("task {task} had to be answered by {deadline_ms} ms, now it is {now_ms} ms")]
    Late {
        /// the task
        task: B256,
        /// Unix milliseconds
        deadline_ms: u64,
        /// Unix milliseconds
        now_ms: u64,
    },
    /// its inputs or output don't fit in a message
    #[error("task {task}: found {found} bytes, expected at most {MAX_MESSAGE}")]
    TooLarge {
        /// the task
        task: B256,
        /// encoded length
        found: usize,
    },
}

/// How the node gives work to connectors. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    desk: Arc<Desk>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Gives a task to a connector, now or when one comes; a connector that loses its connection gets it again.
    /// An assignment that is there already (service, task, attempt) stays as it is.
    pub fn assign(&self, assignment: Assignment) -> Result<Delivery, AssignError> {
        self.desk.assign(assignment)
    }

    /// Takes an assignment back: nobody waits for its answer any more. Whether it was there. A connector that has it
    /// already is not told; its answer is refused as late.
    pub fn withdraw(&self, service: Address, task: B256, attempt: u32) -> bool {
        self.desk.withdraw(service, task, attempt)
    }

    /// Registered connectors; those of them that take tasks and are not connected are counted too.
    pub fn connectors(&self) -> Vec<Registration> {
        self.desk.connectors()
    }

    /// Whether a connector that does this task is connected.
    pub fn serves(&self, service: Address, task: &str) -> bool {
        self.desk.serves(service, task)
    }

    /// Assignments of a service that are not answered yet.
    pub fn unanswered(&self, service: Address) -> usize {
        self.desk.unanswered(service)
    }
}

/// A running server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    address: Listen,
    stop: watch::Sender<bool>,
    ended: JoinHandle<Result<(), ServerError>>,
}

/// Refuses what doesn't carry the token.
#[derive(Clone)]
struct Admission(Token);

impl Interceptor for Admission {
    fn call(&mut self, request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        match request.metadata().get("authorization").map(|found| found.as_bytes()) {
            Some(found) if self.0.admits(found) => Ok(request),
            Some(found) if !Token::is_bearer(found) => Err(Status::unauthenticated(
                "authorization: found another form, expected `Bearer TOKEN`: Bearer with a capital B, one space, and \
                 what is in the token's file without white space around it",
            )),
            Some(_) => Err(Status::unauthenticated(
                "authorization: found another token than this node's",
            )),
            None => Err(Status::unauthenticated(
                "authorization: found none, expected `Bearer TOKEN`",
            )),
        }
    }
}

impl Server {
    /// Starts listening. The connector service needs the token; health and reflection, which say nothing about the
    /// node, don't.
    pub async fn start<H: ConnectorHost>(
        host: Arc<H>,
        listen: &Listen,
        token: Token,
        limits: Limits,
    ) -> Result<Self, ServerError> {
        let (address, incoming) = accept::bind(listen, limits.connections).await?;
        let (stop, stopped) = watch::channel(false);
        let desk = Arc::new(Desk::new(limits.connectors, limits.assignments));
        let rpc = rpc::Rpc::new(host, Arc::clone(&desk), limits.clone(), stopped.clone());
        let service = ConnectorServer::new(rpc)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let connector = InterceptedService::new(decoded::Decoded(service), Admission(token));
        let (health, health_service) = tonic_health::server::health_reporter();
        health
            .set_service_status("surety.connector.v1.Connector", tonic_health::ServingStatus::Serving)
            .await;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(wire::DESCRIPTOR)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // Each lists both.
                .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
                .include_reflection_service(false)
        };
        let broken = |e: tonic_reflection::server::Error| ServerError::Transport(e.to_string());
        let reflection_v1 = reflection().build_v1().map_err(broken)?;
        // What Python's and many other clients still ask for.
        let reflection_v1alpha = reflection().build_v1alpha().map_err(broken)?;
        let router = transport::Server::builder()
            .max_concurrent_streams(limits.streams)
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .http2_max_header_list_size(16_384)
            .tcp_nodelay(true)
            .add_service(connector)
            .add_service(health_service)
            .add_service(reflection_v1)
            .add_service(reflection_v1alpha);
        let socket = match &address {
            Listen::Unix(path) => Some(path.clone()),
            Listen::Tcp(_) => None,
        };
        let mut until = stopped;
        let ended = tokio::spawn(async move {
            let served = router
                .serve_with_incoming_shutdown(incoming, async move {
                    let _sender_gone = until.wait_for(|stop| *stop).await;
                })
                .await;
            if let Some(path) = socket {
                let _gone_already = std::fs::remove_file(path);
            }
            served.map_err(|e| ServerError::Transport(e.to_string()))
        });
        Ok(Self {
            handle: Handle { desk },
            address,
            stop,
            ended,
        })
    }

    /// How the node gives work to connectors.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where it listens: of port 0 the port it got.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Ends all streams and stops listening; waits, at most so long, for calls in progress.
    pub async fn stop(self, wait: Duration) -> Result<(), ServerError> {
        self.stop.send_replace(true);
        let mut ended = self.ended;
        match tokio::time::timeout(wait, &mut ended).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(ServerError::Transport(panicked.to_string())),
            Err(_late) => {
                ended.abort();
                Ok(())
            }
        }
    }
}

impl Listen {
    /// Reads `HOST:PORT` or `unix:PATH`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path.trim_start_matches("//")))),
            Some(_) => Err(format!("found `{text}`, expected unix:/ABSOLUTE/PATH")),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!("found `{text}`, expected a loopback address such as 127.0.0.1:50051, or unix:/PATH")
            }),
        }
    }

    /// What a connector connects to: `http://…` or `unix:…`.
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(address) => format!("http://{address}"),
            Self::Unix(path) => format!("unix:{}", Path::new(path).display()),
        }
    }
}
