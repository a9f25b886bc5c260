//! How a monitor reaches a host.
//!
//! A [`Channel`] asks the agent of one host: in the same process, beside the engine's socket, or over SSH, where one
//! command answers framed requests and there is no shell. The host's key is pinned by its fingerprint.

mod client;
mod endpoint;
pub(crate) mod frame;
mod ssh;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    sync::{Mutex, mpsc},
};

use client::Client;
pub use endpoint::{BadEndpoint, Endpoint, Fingerprint};
pub use ssh::{Identity, ssh_fingerprint};

use crate::{
    agent::{Agent, Answer, Refusal, Request, deploy, measure},
    deploy::Specification,
    image::{
        Digest, Image,
        archive::{Blob, Check},
    },
    monitor::Source,
};

/// For an answer, besides what a request itself waits for.
const PATIENCE: Duration = Duration::from_secs(30);
/// For an answer about a deployment.
const DEPLOY_PATIENCE: Duration = Duration::from_secs(600);
/// After a connection that failed; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke. May pass.
    #[error("{0}")]
    Unreachable(String),
    /// The last attempt failed just now; the next is made later.
    #[error("{last}; trying again in {} ms", .wait.as_millis())]
    Waiting {
        /// what happened then
        last: String,
        /// until the next attempt
        wait: Duration,
    },
    /// Whoever answers there is not the host. Nothing was told or asked.
    #[error("host key: found {found}; expected {expected}")]
    HostKey {
        /// pinned
        expected: Fingerprint,
        /// shown
        found: Fingerprint,
    },
    /// The host does not accept this monitor's key.
    #[error("{user}: the host refuses the key {key}")]
    Unauthorized {
        /// of the endpoint
        user: String,
        /// fingerprint of the key offered
        key: Fingerprint,
    },
    /// The key file is none.
    #[error("key: {0}")]
    Key(String),
    /// What came is not what an agent says.
    #[error("protocol: {0}")]
    Protocol(String),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// The agent does not do it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The image is not what it was when it was pulled.
    #[error("image: {0}")]
    Image(String),
}

impl Error {
    /// Whether the same may succeed later, without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Waiting { .. } | Self::Late(_) => true,
            Self::Refused(refusal) => {
                matches!(
                    refusal.reason,
                    crate::agent::Reason::Engine | crate::agent::Reason::Busy
                )
            }
            Self::HostKey { .. } | Self::Unauthorized { .. } | Self::Key(_) | Self::Protocol(_) | Self::Image(_) => {
                false
            }
        }
    }
}

/// A channel to one host's agent. Connects when something is asked; what breaks is connected again, after a pause that
/// grows.
#[derive(Debug)]
pub struct Channel {
    way: Way,
}

#[derive(Debug)]
enum Way {
    Local(Arc<Agent>),
    Stream(Client),
    Ssh(Box<Remote>),
}

#[derive(Debug)]
struct Remote {
    endpoint: Endpoint,
    fingerprint: Fingerprint,
    identity: Identity,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    client: Option<Client>,
    failed: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    error: Error,
    pause: Duration,
    until: Instant,
}

impl Channel {
    /// To an agent in this process.
    pub fn local(agent: Arc<Agent>) -> Self {
        Self { way: Way::Local(agent) }
    }

    /// To an agent at the other end of a stream. Gone when the stream is.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            way: Way::Stream(Client::new(stream, None)),
        }
    }

    /// To the agent behind an `ssh:` endpoint. Nothing is connected yet.
    ///
    /// # Errors
    /// If the endpoint is none of SSH.
    pub fn ssh(endpoint: Endpoint, fingerprint: Fingerprint, identity: Identity) -> Result<Self, BadEndpoint> {
        match endpoint {
            Endpoint::Ssh { .. } => Ok(Self {
                way: Way::Ssh(Box::new(Remote {
                    endpoint,
                    fingerprint,
                    identity,
                    state: Mutex::default(),
                })),
            }),
            Endpoint::Unix(path) => Err(BadEndpoint::new(&path.to_string_lossy())),
        }
    }

    /// The facts about a container.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn facts(&self, request: &measure::Request) -> Result<measure::Facts, Error> {
        match self.ask(Request::Measure(request.clone()), PATIENCE, None).await? {
            Answer::Facts(facts) => Ok(*facts),
            other => Err(unexpected(other)),
        }
    }

    /// Events of a container, as soon as there are any.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn watch(&self, request: &measure::WatchRequest) -> Result<measure::Events, Error> {
        let patience = PATIENCE.saturating_add(Duration::from_millis(request.wait.min(measure::MAX_WAIT)));
        match self.ask(Request::Watch(request.clone()), patience, None).await? {
            Answer::Events(events) => Ok(events),
            other => Err(unexpected(other)),
        }
    }

    /// Has the host load the image and run the container; gives the engine's id of it. A container of the deployment
    /// that is there and matches is left as it is; one that does not match is an error, and stays.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn deploy(&self, specification: &Specification, image: &Image) -> Result<String, Error> {
        let specification = Box::new(specification.clone());
        let found = self
            .ask_deploy(deploy::Request::Find(specification.clone()), None)
            .await?;
        if !found.image {
            self.ask_deploy(deploy::Request::Load(image.contents()), Some(image))
                .await?;
        }
        let created = self.ask_deploy(deploy::Request::Create(specification), None).await?;
        created
            .container
            .ok_or_else(|| Error::Protocol("found no container in the answer to create".into()))
    }

    async fn ask_deploy(&self, request: deploy::Request, image: Option<&Image>) -> Result<deploy::Answer, Error> {
        match self.ask(Request::Deploy(request), DEPLOY_PATIENCE, image).await? {
            Answer::Deployed(answer) => Ok(answer),
            other => Err(unexpected(other)),
        }
    }

    async fn ask(&self, request: Request, patience: Duration, image: Option<&Image>) -> Result<Answer, Error> {
        let answer = match &self.way {
            Way::Local(agent) => {
                let (sender, receiver) = mpsc::channel(4);
                let give = async move {
                    let Some(image) = image else { return Ok(()) };
                    let mut blobs = Blobs::of(image);
                    loop {
                        match blobs.next().await {
                            Ok(Some(piece)) => {
                                // An agent that takes no more says why itself.
                                if sender.send(Some(piece)).await.is_err() {
                                    return Ok(());
                                }
                            }
                            Ok(None) => return Ok(()),
                            Err(error) => {
                                drop(sender.send(None).await);
                                return Err(error);
                            }
                        }
                    }
                };
                let both = futures::future::join(give, agent.answer(request, receiver));
                let (given, answer) = tokio::time::timeout(patience, both)
                    .await
                    .map_err(|_| Error::Late(patience))?;
                given?;
                answer
            }
            Way::Stream(client) => client.ask(&request, patience, image).await?,
            Way::Ssh(remote) => {
                let Remote {
                    endpoint,
                    fingerprint,
                    identity,
                    state,
                } = &**remote;
                let client = connected(endpoint, *fingerprint, identity, state).await?;
                client.ask(&request, patience, image).await?
            }
        };
        match answer {
            Answer::Refused(refusal) => Err(refusal.into()),
            answer => Ok(answer),
        }
    }
}

/// The connection there is, or a new one, unless the last attempt failed just now.
async fn connected(
    endpoint: &Endpoint,
    fingerprint: Fingerprint,
    identity: &Identity,
    state: &Mutex<State>,
) -> Result<Client, Error> {
    let mut state = state.lock().await;
    if let Some(client) = state.client.as_ref().filter(|client| client.is_open()) {
        return Ok(client.clone());
    }
    state.client = None;
    if let Some(failure) = &state.failed {
        let wait = failure.until.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            return Err(match &failure.error {
                last if last.retryable() => Error::Waiting {
                    last: last.to_string(),
                    wait,
                },
                last => last.clone(),
            });
        }
    }
    match ssh::connect(endpoint, fingerprint, identity).await {
        Ok(client) => {
            state.failed = None;
            state.client = Some(client.clone());
            Ok(client)
        }
        Err(error) => {
            let pause = state.failed.as_ref().map_or(FIRST_PAUSE, |failure| {
                failure.pause.saturating_mul(2).min(LONGEST_PAUSE)
            });
            state.failed = Some(Failure {
                error: error.clone(),
                pause,
                until: Instant::now() + pause,
            });
            Err(error)
        }
    }
}

/// An image's blobs piece by piece, in the order of its archive, each hashed again: the cache is only a folder.
#[derive(Debug)]
struct Blobs<'a> {
    image: &'a Image,
    left: std::vec::IntoIter<Blob>,
    now: Option<(Box<dyn Content + 'a>, Check)>,
}

trait Content: AsyncRead + Send + Unpin + std::fmt::Debug {}
impl<T: AsyncRead + Send + Unpin + std::fmt::Debug> Content for T {}

impl<'a> Blobs<'a> {
    fn of(image: &'a Image) -> Self {
        Self {
            image,
            left: image.contents().order().into_iter(),
            now: None,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let broken = |error: &dyn std::fmt::Display| Error::Image(error.to_string());
        loop {
            if let Some((content, check)) = self.now.as_mut().filter(|(_, check)| check.left() > 0) {
                let size = usize::try_from(check.left())
                    .unwrap_or(usize::MAX)
                    .min(frame::MAX_PAYLOAD);
                let mut piece = vec![0; size];
                content.read_exact(&mut piece).await.map_err(|error| broken(&error))?;
                check.take(&piece).map_err(|error| broken(&error))?;
                return Ok(Some(piece));
            }
            let Some(blob) = self.left.next() else { return Ok(None) };
            let image = self.image;
            let content: Box<dyn Content + 'a> = match blob.digest {
                digest if digest == image.digest => Box::new(&image.manifest[..]),
                digest if digest == image.config_digest => Box::new(&image.config[..]),
                digest => {
                    let layer = image.layers.iter().find(|layer| layer.digest == digest);
                    let path = &layer.ok_or_else(|| broken(&"a layer is missing"))?.path;
                    Box::new(tokio::fs::File::open(path).await.map_err(|error| broken(&error))?)
                }
            };
            self.now = Some((content, Check::new(blob)));
        }
    }
}

fn unexpected(answer: Answer) -> Error {
    let kind = match answer {
        Answer::Deployed(_) => "a deployment",
        Answer::Facts(_) => "facts",
        Answer::Events(_) => "events",
        Answer::Refused(refusal) => return refusal.into(),
    };
    Error::Protocol(format!("found {kind} in answer to something else"))
}

#[async_trait]
impl Source for Channel {
    async fn facts(&self, request: &measure::Request) -> Result<measure::Facts, String> {
        self.facts(request).await.map_err(|error| error.to_string())
    }

    async fn watch(&self, request: &measure::WatchRequest) -> Result<measure::Events, String> {
        self.watch(request).await.map_err(|error| error.to_string())
    }
}

/// What an image is, for logs.
impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest: &Digest = &self.digest;
        write!(f, "{}/{}@{digest}", self.reference.registry, self.reference.repository)
    }
}
