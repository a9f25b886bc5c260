//! Frames: kind (1 byte), request's number (4), length (4), payload. Numbers are big-endian.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::agent::Role;

/// Most bytes of a payload.
pub(crate) const MAX_PAYLOAD: usize = 256 << 10;
/// Of the frames and what is in them.
pub(crate) const VERSION: u32 = 1;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// agent's first: [`Hello`]
    Hello,
    /// a request, as JSON
    Request,
    /// a piece of the request's body
    Data,
    /// its end: one byte, 1 if it is whole
    End,
    /// of an answer, with more to come
    Part,
    /// the rest of an answer: all parts together are JSON
    Answer,
    /// nobody waits for the answer any more
    Cancel,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Hello,
        Self::Request,
        Self::Data,
        Self::End,
        Self::Part,
        Self::Answer,
        Self::Cancel,
    ];
}

/// What an agent says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// version of the protocol
    pub(crate) surety_agent: u32,
    /// what it will answer
    pub(crate) role: Role,
}

impl Hello {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            surety_agent: VERSION,
            role,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) id: u32,
    pub(crate) payload: Vec<u8>,
}

/// The next frame; `None` at the end.
pub(crate) async fn read(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let kind = match reader.read_u8().await {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let wrong = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
    let kind = *Kind::ALL.get(usize::from(kind)).ok_or_else(|| {
        wrong(format!(
            "found a frame of kind {kind}; expected one below {}",
            Kind::ALL.len()
        ))
    })?;
    let id = reader.read_u32().await?;
    let length = reader.read_u32().await? as usize;
    if length > MAX_PAYLOAD {
        return Err(wrong(format!(
            "found a frame of {length} bytes; expected at most {MAX_PAYLOAD}"
        )));
    }
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).await?;
    Ok(Some(Frame { kind, id, payload }))
}

/// Writes a frame, whole.
pub(crate) async fn write(
    writer: &mut (impl AsyncWrite + Unpin + ?Sized),
    kind: Kind,
    id: u32,
    payload: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MAX_PAYLOAD)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a frame of {} bytes", payload.len()),
            )
        })?;
    let mut frame = Vec::with_capacity(9 + payload.len());
    frame.push(
        Kind::ALL
            .iter()
            .position(|all| *all == kind)
            .and_then(|at| u8::try_from(at).ok())
            .unwrap_or(u8::MAX),
    );
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    writer.write_all(&frame).await?;
    writer.flush().await
}
