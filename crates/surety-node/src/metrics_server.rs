//! `GET /metrics` (Prometheus text) and `GET /health`, on an address of their own so that they need not be public.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

/// Connections at a time.
const CONNECTIONS: usize = 16;
/// Longest life of a connection.
const LIFE: Duration = Duration::from_secs(30);

/// What the endpoint serves: called at each `GET /metrics`.
pub(crate) type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// A running endpoint; stops when dropped.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl MetricsServer {
    /// Starts to listen.
    pub(crate) async fn start(listen: SocketAddr, render: Render) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let task = tokio::spawn(async move {
            loop {
                let Ok(permit) = permits.clone().acquire_owned().await else {
                    return;
                };
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file handles, most likely: wait for some to be free.
                        tracing::warn!(%error, "the metrics endpoint cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let render = render.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    let service = service_fn(move |request| {
                        let answer = answer(&request, &render);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service);
                    // A connection that breaks off or stays too long is the caller's matter.
                    let _ended = tokio::time::timeout(LIFE, connection).await;
                });
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer<B>(request: &Request<B>, render: &Render) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, "text/plain; version=0.0.4", render()),
        (&Method::GET, "/health") => (StatusCode::OK, "application/json", "{\"healthy\":true}\n".into()),
        (_, path) => (
            StatusCode::NOT_FOUND,
            "text/plain",
            format!("no {path} here; GET /metrics or /health\n"),
        ),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(kind),
    );
    response
}
