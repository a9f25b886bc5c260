//! The provider's JSON-RPC server (docs/spec/wire.md, section 3), one per service: jsonrpsee over HTTP, with limits on
//! body, batch, connections and time, and CORS. WebSocket is off: nothing here subscribes.

mod block;
mod error;
mod methods;

pub use error::code;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jsonrpsee::server::{BatchRequestConfig, Server, ServerConfig, ServerHandle};
use tower_http::{
    cors::{AllowOrigin, Any, CorsLayer},
    timeout::TimeoutLayer,
};

use crate::provider::Provider;

/// Time for the head of a connection's first request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// What is added to the time of a call for reading its body and writing its answer.
const TRANSFER: Duration = Duration::from_secs(15);

/// A running server.
#[derive(Debug)]
pub struct RpcServer {
    handle: ServerHandle,
    address: SocketAddr,
}

impl RpcServer {
    /// Starts to listen.
    pub async fn start(provider: Arc<Provider>, listen: SocketAddr, cors_origins: &[String]) -> std::io::Result<Self> {
        let invalid = |e: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, e);
        let limits = provider.limits();
        let config = ServerConfig::builder()
            .max_request_body_size(limits.body_bytes)
            .max_response_body_size(limits.answer_bytes)
            .max_connections(limits.connections)
            .set_batch_request_config(BatchRequestConfig::Limit(limits.batch))
            .set_first_request_timeout(Some(FIRST_REQUEST))
            .set_tcp_no_delay(true)
            .http_only()
            .build();
        let origins = if cors_origins.iter().any(|o| o == "*") {
            AllowOrigin::from(Any)
        } else {
            let list = cors_origins
                .iter()
                .map(|o| o.parse().map_err(|_| invalid(format!("{o:?} is no origin"))));
            AllowOrigin::list(list.collect::<Result<Vec<_>, _>>()?)
        };
        let cors = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods(Any)
            .allow_headers(Any);
        let time = Duration::from_secs(limits.request_seconds).saturating_add(TRANSFER);
        let timeout = TimeoutLayer::with_status_code(hyper::StatusCode::REQUEST_TIMEOUT, time);
        let middleware = tower::ServiceBuilder::new().layer(cors).layer(timeout);
        let server = Server::builder()
            .set_config(config)
            .set_http_middleware(middleware)
            .build(listen)
            .await?;
        let address = server.local_addr()?;
        let methods = methods::module(provider).map_err(|e| invalid(e.to_string()))?;
        Ok(Self {
            handle: server.start(methods),
            address,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops to accept, lets what is under way finish for at most `grace`, and returns.
    pub async fn stop(self, grace: Duration) {
        if self.handle.stop().is_err() {
            return;
        }
        if tokio::time::timeout(grace, self.handle.stopped()).await.is_err() {
            tracing::warn!(listen = %self.address, "connections were still open at shutdown");
        }
    }
}
