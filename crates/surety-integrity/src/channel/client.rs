//! The asking end of a connection: many requests at once, each with its own patience.

use std::{
    any::Any,
    collections::HashMap,
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf},
    sync::{Mutex as AsyncMutex, oneshot},
    task::AbortHandle,
    time::timeout,
};

use super::{
    Blobs, Error,
    frame::{self, Frame, Hello, Kind, VERSION},
};
use crate::{
    agent::{Answer, Request},
    image::Image,
};

/// Most bytes of all answers that are on their way.
const MAX_ANSWERS: usize = 96 << 20;
/// For the agent's first words, and for the stream to take a frame.
const PATIENCE: Duration = Duration::from_secs(30);

type Waiting = HashMap<u32, (Vec<u8>, oneshot::Sender<Result<Answer, Error>>)>;

/// A connection. Clones share it; it closes with the last.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    writer: AsyncMutex<Box<dyn AsyncWrite + Send + Unpin>>,
    shared: Arc<Shared>,
    next: AtomicU32,
    reader: AbortHandle,
    /// What must live as long as the stream.
    _session: Option<Box<dyn Any + Send + Sync>>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    open: AtomicBool,
    /// Why it is closed.
    why: Mutex<Option<Error>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Client {
    pub(super) fn new(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        session: Option<Box<dyn Any + Send + Sync>>,
    ) -> Self {
        let (reader, writer): (ReadHalf<_>, WriteHalf<_>) = tokio::io::split(stream);
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            open: AtomicBool::new(true),
            why: Mutex::default(),
        });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let error = match read(reader, &shared).await {
                    Ok(()) => Error::Unreachable("the agent closed the connection".into()),
                    Err(error) => error,
                };
                shared.close(&error);
            }
        });
        Self(Arc::new(Inner {
            writer: AsyncMutex::new(Box::new(writer)),
            shared,
            next: AtomicU32::new(0),
            reader: task.abort_handle(),
            _session: session,
        }))
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.shared.open.load(Ordering::Acquire)
    }

    pub(super) async fn ask(
        &self,
        request: &Request,
        patience: Duration,
        image: Option<&Image>,
    ) -> Result<Answer, Error> {
        let shared = &self.0.shared;
        let (sender, receiver) = oneshot::channel();
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        shared.lock().insert(id, (Vec::new(), sender));
        // Whatever happens, nothing stays behind, here or there.
        let _forget = Forget(self, id);
        if !self.is_open() {
            return Err(shared.reason());
        }
        let bytes = serde_json::to_vec(request).map_err(|error| Error::Protocol(error.to_string()))?;
        let talk = async {
            self.write(Kind::Request, id, &bytes).await?;
            let give = async {
                let Some(image) = image else { return Ok(()) };
                let mut blobs = Blobs::of(image);
                let given = loop {
                    match blobs.next().await {
                        Ok(Some(piece)) => self.write(Kind::Data, id, &piece).await?,
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                };
                self.write(Kind::End, id, &[u8::from(given.is_ok())]).await?;
                given
            };
            let answer = async { receiver.await.unwrap_or_else(|_| Err(shared.reason())) };
            // An agent that refuses before it has all is heard at once.
            let (mut give, mut answer) = (std::pin::pin!(give), std::pin::pin!(answer));
            tokio::select! {
                biased;
                answer = &mut answer => answer,
                given = &mut give => { given?; answer.await }
            }
        };
        match timeout(patience, talk).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Late(patience)),
        }
    }

    /// In a task of its own: who asks may lose patience at any time, and a frame is written whole or the stream is lost.
    async fn write(&self, kind: Kind, id: u32, payload: &[u8]) -> Result<(), Error> {
        let (client, payload) = (self.clone(), payload.to_vec());
        match tokio::spawn(async move { client.write_whole(kind, id, &payload).await }).await {
            Ok(written) => written,
            Err(error) => Err(Error::Unreachable(error.to_string())),
        }
    }

    async fn write_whole(&self, kind: Kind, id: u32, payload: &[u8]) -> Result<(), Error> {
        let mut writer = self.0.writer.lock().await;
        match timeout(PATIENCE, frame::write(&mut **writer, kind, id, payload)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => Err(Error::Protocol(error.to_string())),
            // A frame that was written in part makes nonsense of what follows.
            Ok(Err(error)) => Err(self.0.shared.close(&Error::Unreachable(error.to_string()))),
            Err(_) => Err(self.0.shared.close(&Error::Late(PATIENCE))),
        }
    }
}

/// Takes back a request that was not answered.
struct Forget<'a>(&'a Client, u32);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        let Self(client, id) = self;
        let unanswered = client.0.shared.lock().remove(id).is_some();
        if unanswered
            && client.is_open()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (client, id) = ((*client).clone(), *id);
            runtime.spawn(async move {
                // If it cannot be said, the connection is over, and so is the work.
                drop(client.write_whole(Kind::Cancel, id, &[]).await);
            });
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> Error {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        why.unwrap_or_else(|| Error::Unreachable("the connection is closed".into()))
    }

    /// Closes; gives the first reason for it.
    fn close(&self, error: &Error) -> Error {
        let first = self
            .why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| error.clone())
            .clone();
        self.open.store(false, Ordering::Release);
        for (_, (_, sender)) in self.lock().drain() {
            drop(sender.send(Err(first.clone())));
        }
        first
    }
}

async fn read(mut reader: impl AsyncRead + Unpin, shared: &Shared) -> Result<(), Error> {
    let protocol = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => Error::Protocol(error.to_string()),
        _ => Error::Unreachable(error.to_string()),
    };
    let hello = timeout(PATIENCE, frame::read(&mut reader))
        .await
        .map_err(|_| Error::Late(PATIENCE))?;
    match hello.map_err(protocol)? {
        Some(Frame {
            kind: Kind::Hello,
            payload,
            ..
        }) => {
            let hello: Hello = serde_json::from_slice(&payload).map_err(|error| Error::Protocol(error.to_string()))?;
            if hello.surety_agent != VERSION {
                let found = hello.surety_agent;
                return Err(Error::Protocol(format!(
                    "found an agent of version {found}; expected {VERSION}"
                )));
            }
        }
        Some(Frame { kind, .. }) => {
            return Err(Error::Protocol(format!(
                "found a frame of kind {kind:?}; expected a hello"
            )));
        }
        None => return Err(Error::Unreachable("the agent said nothing".into())),
    }
    while let Some(Frame { kind, id, payload }) = frame::read(&mut reader).await.map_err(protocol)? {
        if !matches!(kind, Kind::Part | Kind::Answer) {
            return Err(Error::Protocol(format!(
                "found a frame of kind {kind:?}; expected an answer"
            )));
        }
        let mut waiting = shared.lock();
        let held = waiting
            .values()
            .fold(payload.len(), |sum, (bytes, _)| sum.saturating_add(bytes.len()));
        if held > MAX_ANSWERS {
            return Err(Error::Protocol(format!(
                "found answers of {held} bytes; expected at most {MAX_ANSWERS}"
            )));
        }
        // Nobody waits for an answer that came too late.
        let Some((bytes, _)) = waiting.get_mut(&id) else {
            continue;
        };
        bytes.extend_from_slice(&payload);
        if kind == Kind::Answer
            && let Some((bytes, sender)) = waiting.remove(&id)
        {
            drop(waiting);
            let answer = serde_json::from_slice(&bytes).map_err(|error| Error::Protocol(error.to_string()));
            drop(sender.send(answer));
        }
    }
    Ok(())
}
