//! One-way messages on streams that stay open. A frame is length (uint32, big-endian), service (20 bytes), bytes.
//!
//! One task writes to each fellow, out of a bounded queue; one task reads each stream a fellow opened. A reader that
//! must wait (for the fellow's rate, or for the node to take its events) leaves the rest on the wire, where the stream's
//! window stops the sender.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, Stream};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use crate::{
    Count, Event, Message, Misbehaviour, Via,
    bucket::Bucket,
    handle::{Command, Outgoing, Shared},
};

/// Frames are joined up to this size before they are written.
const JOIN: usize = 64 << 10;

/// What the node waits to hear, with the bytes it takes.
pub(crate) type Queued = (Event, Option<OwnedSemaphorePermit>);

/// How many permits a payload takes.
pub(crate) fn permits(size: usize) -> u32 {
    u32::try_from(size.max(1)).unwrap_or(u32::MAX)
}

/// Writes to one fellow.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::WeakSender<Command>,
    pub(crate) peer: PeerId,
    pub(crate) queue: mpsc::Receiver<Outgoing>,
    pub(crate) bytes: Arc<AtomicUsize>,
    /// One of each connection.
    pub(crate) streams: mpsc::Receiver<Stream>,
}

enum Stop {
    /// Nobody sends any more.
    Done,
    /// No stream in time.
    Silent,
    /// A stream that takes nothing.
    Slow,
}

impl Writer {
    /// Until the queue is closed, or the fellow takes nothing any more.
    pub(crate) async fn run(mut self) {
        let stop = self.write().await;
        let slow = match stop {
            Stop::Done => return,
            Stop::Silent => false,
            Stop::Slow => true,
        };
        command(&self.commands, Command::CutOff { peer: self.peer, slow }).await;
    }

    async fn write(&mut self) -> Stop {
        let patience = self.shared.config.write_timeout;
        let mut stream: Option<Stream> = None;
        let mut frames = Vec::new();
        loop {
            let Some(first) = self.queue.recv().await else {
                return Stop::Done;
            };
            frames.clear();
            let mut size = append(&mut frames, &first);
            while frames.len() < JOIN {
                let Ok(next) = self.queue.try_recv() else { break };
                size = size.saturating_add(append(&mut frames, &next));
            }
            loop {
                let open = match &mut stream {
                    Some(open) => open,
                    None => match timeout(patience, self.streams.recv()).await {
                        Ok(Some(next)) => stream.insert(next),
                        Ok(None) => return Stop::Done,
                        Err(_) => return Stop::Silent,
                    },
                };
                let write = async {
                    open.write_all(&frames).await?;
                    open.flush().await
                };
                match timeout(patience, write).await {
                    Ok(Ok(())) => break,
                    // Another connection to the same fellow may still be good.
                    Ok(Err(_)) => stream = None,
                    Err(_) => return Stop::Slow,
                }
            }
            self.bytes.fetch_sub(size, Ordering::Relaxed);
        }
    }
}

/// Adds a frame, and returns the size of its payload.
fn append(frames: &mut Vec<u8>, message: &Outgoing) -> usize {
    let size = message.data.len();
    // The handle has checked the size against a limit that is far below 2^32.
    frames.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
    frames.extend_from_slice(message.service.as_slice());
    frames.extend_from_slice(&message.data);
    size
}

/// Reads one stream of one fellow.
pub(crate) struct Reader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::WeakSender<Command>,
    pub(crate) peer: PeerId,
    pub(crate) operator: Address,
    /// Shared by all streams of the fellow.
    pub(crate) bucket: Arc<Mutex<Bucket>>,
    pub(crate) budget: Arc<Semaphore>,
    pub(crate) events: mpsc::Sender<Queued>,
    pub(crate) stream: Stream,
}

impl Reader {
    /// Until the stream ends.
    pub(crate) async fn run(mut self) {
        if let Err(error) = self.read().await
            && error.kind() == io::ErrorKind::InvalidData
        {
            self.shared.counters.add(Count::ReceivedMalformed);
            tracing::debug!(peer = %self.peer, %error, "a stream is malformed");
            self.report(Misbehaviour::Malformed).await;
            command(
                &self.commands,
                Command::CutOff {
                    peer: self.peer,
                    slow: false,
                },
            )
            .await;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        let config = self.shared.config.clone();
        loop {
            let mut length = [0u8; 4];
            self.stream.read_exact(&mut length).await?;
            let length = u32::from_be_bytes(length) as usize;
            if length > config.max_message {
                let what = format!("a frame announces {length} bytes; {} are allowed", config.max_message);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            self.throttle(length).await;
            let mut service = [0u8; 20];
            let mut data = vec![0u8; length];
            let body = async {
                self.stream.read_exact(&mut service).await?;
                self.stream.read_exact(&mut data).await
            };
            timeout(config.write_timeout, body).await.map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a frame took longer than {:?}", config.write_timeout),
                )
            })??;
            let service = Address::from(service);
            let members = self.shared.members();
            let own = self.shared.identity.address();
            if !members.is_member(service, self.operator) || !members.is_member(service, own) {
                self.shared.counters.add(Count::ReceivedNotMember);
                self.report(Misbehaviour::NotAMember).await;
                continue;
            }
            // Both only fail when the network is going down.
            let Ok(permit) = self.budget.clone().acquire_many_owned(permits(length)).await else {
                return Ok(());
            };
            let message = Message {
                from: self.operator,
                peer: self.peer,
                service,
                data,
                via: Via::Direct,
            };
            if self.events.send((Event::Message(message), Some(permit))).await.is_err() {
                return Ok(());
            }
            self.shared.counters.add(Count::Received);
        }
    }

    async fn throttle(&mut self, size: usize) {
        loop {
            let wait = {
                let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                if bucket.take(size, now) {
                    return;
                }
                bucket.wait(now)
            };
            self.shared.counters.add(Count::ReceivedThrottled);
            tokio::time::sleep(wait.min(Duration::from_secs(1))).await;
        }
    }

    async fn report(&mut self, what: Misbehaviour) {
        command(&self.commands, Command::Report { peer: self.peer, what }).await;
    }
}

/// Commands the network's task, unless it is gone.
async fn command(commands: &mpsc::WeakSender<Command>, command: Command) {
    if let Some(commands) = commands.upgrade() {
        // It went down meanwhile: nothing is left to do.
        let _ = commands.send(command).await;
    }
}
