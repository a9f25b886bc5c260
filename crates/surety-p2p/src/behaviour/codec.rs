//! Requests and replies on the wire: length (uint32, big-endian), bytes. Nothing is read that is too long.

use std::{io, sync::Arc};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::{StreamProtocol, request_response};

use crate::{Count, handle::Shared};

/// Knows the limits. It cannot tell whose stream it reads: a malformed request closes the stream and is counted.
#[derive(Debug, Clone)]
pub(crate) struct Codec {
    pub(crate) shared: Arc<Shared>,
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T, limit: usize) -> io::Result<Vec<u8>> {
    let mut length = [0u8; 4];
    io.read_exact(&mut length).await?;
    let length = u64::from(u32::from_be_bytes(length));
    if length > limit as u64 {
        let what = format!("a frame announces {length} bytes; {limit} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    // Grows with what comes, not with what was announced.
    let mut data = Vec::new();
    io.take(length).read_to_end(&mut data).await?;
    if data.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(data)
}

async fn write<T: AsyncWrite + Unpin + Send>(io: &mut T, data: &[u8], limit: usize) -> io::Result<()> {
    let length = u32::try_from(data.len()).ok().filter(|_| data.len() <= limit);
    let length = length.ok_or_else(|| io::Error::other(format!("{} bytes; {limit} are allowed", data.len())))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(data).await?;
    io.flush().await
}

#[async_trait::async_trait]
impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io, self.shared.config.max_request)
            .await
            .inspect_err(|_| self.shared.counters.add(Count::RequestsMalformed))
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io, self.shared.config.max_message).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        data: Vec<u8>,
    ) -> io::Result<()> {
        write(io, &data, self.shared.config.max_request).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        data: Vec<u8>,
    ) -> io::Result<()> {
        write(io, &data, self.shared.config.max_message).await
    }
}
