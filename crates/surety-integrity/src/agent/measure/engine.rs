//! Questions to the engine over its socket. Its answers are handed on as they are, so nothing here knows what an engine
//! of some version says; but an answer is bounded in length and time, since the monitor's own machine may run this.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::UnixStream, time::timeout};

/// Longest answer, bytes. An inspect has some ten thousand.
const MAX_ANSWER: usize = 4 << 20;

/// Why the engine did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Nobody listens, or the connection ended. Worth another try.
    #[error("does not answer on {socket}: {why}")]
    Unreachable {
        /// where it was asked
        socket: String,
        /// what the system says
        why: String,
    },
    /// It took too long. Worth another try.
    #[error("has not answered for {0:?}")]
    Slow(Duration),
    /// It said something that no engine says.
    #[error("answers wrongly: {0}")]
    Answer(String),
}

impl EngineError {
    pub(super) fn answer(why: impl ToString) -> Self {
        Self::Answer(why.to_string().chars().take(300).collect())
    }
}

/// One engine.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    socket: Arc<PathBuf>,
    patience: Duration,
}

impl Engine {
    pub(super) fn new(socket: PathBuf, patience: Duration) -> Self {
        Self {
            socket: Arc::new(socket),
            patience,
        }
    }

    pub(super) async fn container(&self, name: &str) -> Result<Option<Value>, EngineError> {
        self.json(&format!("/containers/{name}/json")).await
    }

    pub(super) async fn exec(&self, id: &str) -> Result<Option<Value>, EngineError> {
        self.json(&format!("/exec/{id}/json")).await
    }

    pub(super) async fn image(&self, id: &str) -> Result<Option<Value>, EngineError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:/@".contains(&byte);
        if id.len() > 512 || !id.bytes().all(fits) {
            return Err(EngineError::answer("image with a name that is none"));
        }
        self.json(&format!("/images/{id}/json")).await
    }

    /// The stream of a container's events, from the oldest that the engine remembers.
    pub(super) async fn events(&self, id: &str) -> Result<Incoming, EngineError> {
        // {"container":["…"]}, escaped; the id is checked to be hexadecimal before.
        let path = format!("/events?since=1&filters=%7B%22container%22%3A%5B%22{id}%22%5D%7D");
        let response = timeout(self.patience, self.get(&path))
            .await
            .map_err(|_| EngineError::Slow(self.patience))??;
        if response.status() != StatusCode::OK {
            return Err(EngineError::answer(format!(
                "status {} to a wish for events",
                response.status()
            )));
        }
        Ok(response.into_body())
    }

    /// What is there; `None` if the engine says that it is not.
    async fn json(&self, path: &str) -> Result<Option<Value>, EngineError> {
        let ask = async {
            let response = self.get(path).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER);
            let body = body.collect().await.map_err(EngineError::answer)?.to_bytes();
            let value: Value = serde_json::from_slice(&body).map_err(EngineError::answer)?;
            match status {
                StatusCode::OK if value.is_object() => Ok(Some(value)),
                // A proxy's "not found" is not the engine's.
                StatusCode::NOT_FOUND if said_missing(&value) => Ok(None),
                _ => Err(EngineError::answer(format!("status {status} to {path}: {value}"))),
            }
        };
        timeout(self.patience, ask)
            .await
            .map_err(|_| EngineError::Slow(self.patience))?
    }

    async fn get(&self, path: &str) -> Result<Response<Incoming>, EngineError> {
        let unreachable = |why: String| EngineError::Unreachable {
            socket: self.socket.display().to_string(),
            why,
        };
        let stream = UnixStream::connect(&*self.socket)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        // Ends when the answer is read, or nobody wants it any more.
        tokio::spawn(async move { connection.await.ok() });
        let request = Request::get(path)
            .header("host", "engine")
            .body(Empty::<Bytes>::new())
            .map_err(EngineError::answer)?;
        sender
            .send_request(request)
            .await
            .map_err(|error| unreachable(error.to_string()))
    }
}

fn said_missing(value: &Value) -> bool {
    let message = value.get("message").and_then(Value::as_str).unwrap_or_default();
    message.to_ascii_lowercase().contains("no such")
}
