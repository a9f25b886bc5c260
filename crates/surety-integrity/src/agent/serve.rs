//! The agent's end of a channel: requests in, answers out, several at once.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Mutex, Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{Agent, Answer, Reason, Refusal, Request};
use crate::channel::frame::{self, Frame, Hello, Kind};

/// Requests that are worked at at once.
const AT_ONCE: usize = 16;
/// Pieces of a body that wait for the engine.
const PIECES: usize = 4;
/// How long an engine may take for a piece of a body, and a client for a piece of an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers until the other end closes. What is in work then is dropped.
///
/// # Errors
/// If the other end says what is no frame, or cannot be written to.
pub async fn serve<R, W>(agent: Arc<Agent>, mut reader: R, writer: W) -> io::Result<()>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let writer = Arc::new(Mutex::new(writer));
    let hello = serde_json::to_vec(&Hello::new(agent.role()))?;
    frame::write(&mut *writer.lock().await, Kind::Hello, 0, &hello).await?;
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    // One body at a time: who deploys does one thing after the other.
    let mut body: Option<(u32, mpsc::Sender<Option<Vec<u8>>>)> = None;
    // Requests that can be cancelled: looking changes nothing. Whoever drops the sender ends the work.
    let mut working: HashMap<u32, oneshot::Sender<()>> = HashMap::new();
    loop {
        while let Some(done) = tasks.try_join_next() {
            if let Ok(id) = done {
                working.remove(&id);
            }
        }
        let Some(Frame { kind, id, payload }) = frame::read(&mut reader).await? else {
            return Ok(());
        };
        match kind {
            Kind::Request => {
                let request: Result<Request, _> = serde_json::from_slice(&payload);
                let (sender, receiver) = mpsc::channel(PIECES);
                if matches!(request, Ok(Request::Deploy(_))) {
                    body = Some((id, sender));
                }
                let (agent, writer) = (Arc::clone(&agent), Arc::clone(&writer));
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                    // Told before the next is read: who does not listen is not read either, and nothing piles up.
                    let busy = Answer::Refused(Refusal::new(Reason::Busy, "too many requests at once"));
                    drop(timeout(PATIENCE, tell(&writer, id, &busy)).await);
                    continue;
                };
                let (keep, cancelled) = oneshot::channel::<()>();
                let deploys = matches!(request, Ok(Request::Deploy(_)));
                if !deploys {
                    working.insert(id, keep);
                }
                tasks.spawn(async move {
                    let _permit = permit;
                    let answer = match request {
                        Err(error) => Answer::Refused(Refusal::new(Reason::Request, error)),
                        Ok(request) if deploys => agent.answer(request, receiver).await,
                        Ok(request) => {
                            tokio::select! {
                                biased;
                                answer = agent.answer(request, receiver) => answer,
                                _ = cancelled => return id,
                            }
                        }
                    };
                    // If it cannot be told, the connection is over, and its reader sees that too.
                    drop(timeout(PATIENCE, tell(&writer, id, &answer)).await);
                    id
                });
            }
            Kind::Data | Kind::End => {
                let complete = kind == Kind::Data || payload.first() == Some(&1);
                if let Some((_, sender)) = body.as_ref().filter(|(of, _)| *of == id) {
                    let piece = match kind {
                        Kind::Data => Some(payload),
                        _ => None,
                    };
                    // A body that nobody takes any more is read and dropped: its answer says why.
                    if piece.is_some() || !complete {
                        drop(timeout(PATIENCE, sender.send(piece)).await);
                    }
                }
                if kind == Kind::End {
                    body = None;
                }
            }
            Kind::Cancel => {
                working.remove(&id);
            }
            Kind::Hello | Kind::Part | Kind::Answer => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("found a frame of kind {kind:?}"),
                ));
            }
        }
    }
}

/// Answers on the process's standard streams: what an SSH key's forced command runs. Afterwards the process should end:
/// a thread of the runtime may still wait for the standard input.
///
/// # Errors
/// As [`serve`].
pub async fn serve_stdio(agent: Arc<Agent>) -> io::Result<()> {
    serve(agent, tokio::io::stdin(), tokio::io::stdout()).await
}

async fn tell<W: AsyncWrite + Unpin>(writer: &Mutex<W>, id: u32, answer: &Answer) -> io::Result<()> {
    let bytes = serde_json::to_vec(answer)?;
    let mut pieces = bytes.chunks(frame::MAX_PAYLOAD).peekable();
    while let Some(piece) = pieces.next() {
        let kind = if pieces.peek().is_some() {
            Kind::Part
        } else {
            Kind::Answer
        };
        // Between the parts of a long answer others may pass.
        frame::write(&mut *writer.lock().await, kind, id, piece).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::agent::{Grants, Role};

    /// Whoever asks and does not listen is not read any more after a while, and nothing of it piles up.
    #[tokio::test]
    async fn p4_who_does_not_listen_is_not_read() {
        let agent = Agent::new(Role::Monitor, "/nowhere/docker.sock", Grants::default());
        let (mut near, far) = duplex(4 << 10);
        let (reader, writer) = tokio::io::split(far);
        let serving = tokio::spawn(serve(Arc::new(agent), reader, writer));
        let mut stalled = None;
        for number in 0..100_000_u32 {
            let mut sent = false;
            let mut frame = Vec::new();
            frame::write(&mut frame, Kind::Request, number, b"{}")
                .await
                .expect("a frame");
            let mut writing = std::pin::pin!(near.write_all(&frame));
            for _ in 0..1_000 {
                if futures::poll!(&mut writing).is_ready() {
                    sent = true;
                    break;
                }
                tokio::task::yield_now().await;
            }
            if !sent {
                stalled = Some(number);
                break;
            }
        }
        serving.abort();
        let read = stalled.expect("it reads on and on");
        assert!(read < 2_000, "{read}");
    }
}
