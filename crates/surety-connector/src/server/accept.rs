//! Listening on loopback or a unix socket, for so many connections at a time.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::ServerError;

/// Where connectors find their node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// a loopback address
    Tcp(SocketAddr),
    /// a socket in a folder that only those may enter who may connect
    Unix(PathBuf),
}

/// A connection that counts as long as it lives.
pub(super) struct Counted {
    io: Box<dyn Io>,
    _permit: OwnedSemaphorePermit,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Binds, and accepts while fewer than `connections` are open; more wait in the system's short queue.
pub(super) async fn bind(
    listen: &Listen,
    connections: usize,
) -> Result<(Listen, ReceiverStream<io::Result<Counted>>), ServerError> {
    let fail = |cause| ServerError::Listen {
        address: listen.url(),
        cause,
    };
    let (address, listener) = match listen {
        Listen::Tcp(address) => {
            if !address.ip().is_loopback() {
                return Err(ServerError::NotLoopback(*address));
            }
            let listener = TcpListener::bind(address).await.map_err(fail)?;
            let address = listener.local_addr().map_err(fail)?;
            (Listen::Tcp(address), Listener::Tcp(listener))
        }
        Listen::Unix(path) => {
            // A socket that nobody listens on was left by a process that was killed.
            if path.exists() && UnixStream::connect(path).await.is_err() {
                std::fs::remove_file(path).map_err(fail)?;
            }
            let listener = UnixListener::bind(path).map_err(fail)?;
            (Listen::Unix(path.clone()), Listener::Unix(listener))
        }
    };
    let free = Arc::new(Semaphore::new(connections));
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = send.closed() => return,
            };
            match accepted {
                Ok(io) => {
                    if send.send(Ok(Counted { io, _permit: permit })).await.is_err() {
                        return;
                    }
                }
                Err(cause) => {
                    // Out of file descriptors, or the peer has gone: neither ends the server, and neither is hurried.
                    tracing::warn!(%cause, "a connector's connection was not accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    });
    Ok((address, ReceiverStream::new(receive)))
}

impl Connected for Counted {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
