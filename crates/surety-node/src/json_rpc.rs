//! A bounded JSON-RPC caller: one endpoint, a time limit, a size limit, no redirects.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The endpoint was not reached, broke off, or took too long.
    #[error("{url}: {message}")]
    Transport {
        /// Who was asked.
        url: String,
        /// What went wrong.
        message: String,
    },
    /// The answer is longer than allowed.
    #[error("{url}: the answer exceeds {max} bytes")]
    TooLong {
        /// Who was asked.
        url: String,
        /// The bound.
        max: u64,
    },
    /// The answer is not what the method returns.
    #[error("{url}: {method} returned something else than expected: {message}")]
    Malformed {
        /// Who was asked.
        url: String,
        /// The method.
        method: String,
        /// What was found.
        message: String,
    },
    /// The endpoint returned an error.
    #[error("{url}: {method} failed: {message}")]
    Refused {
        /// Who was asked.
        url: String,
        /// The method.
        method: String,
        /// Its words.
        message: String,
    },
}

/// One JSON-RPC endpoint.
#[derive(Debug, Clone)]
pub struct JsonRpc {
    client: reqwest::Client,
    url: String,
    /// The URL without what may be secret in it, for errors and logs.
    shown: String,
    max_bytes: u64,
}

impl JsonRpc {
    /// An endpoint, asked with `timeout` per call and answers of at most `max_bytes`.
    pub fn new(url: &str, timeout: Duration, max_bytes: u64) -> Result<Self, CallError> {
        let shown = surety_chain::endpoint(url);
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(5)))
            // A redirect could point this node at its own network.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| CallError::Transport { url: shown.clone(), message: e.without_url().to_string() })?;
        Ok(Self {
            client,
            url: url.into(),
            shown,
            max_bytes,
        })
    }

    /// Scheme, host and port of the endpoint.
    pub fn name(&self) -> &str {
        &self.shown
    }

    /// Calls `method`.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, CallError> {
        let transport = |e: reqwest::Error| CallError::Transport {
            url: self.shown.clone(),
            message: e.without_url().to_string(),
        };
        let malformed = |message: String| CallError::Malformed {
            url: self.shown.clone(),
            method: method.into(),
            message,
        };
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body);
        let mut response = request.send().await.map_err(transport)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if (bytes.len() as u64).saturating_add(chunk.len() as u64) > self.max_bytes {
                return Err(CallError::TooLong {
                    url: self.shown.clone(),
                    max: self.max_bytes,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        #[derive(serde::Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            result: Option<&'a serde_json::value::RawValue>,
            error: Option<Value>,
        }
        let envelope: Envelope<'_> = serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
        if let Some(error) = envelope.error {
            let message = error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("no message")
                .chars()
                .take(200)
                .collect();
            return Err(CallError::Refused {
                url: self.shown.clone(),
                method: method.into(),
                message,
            });
        }
        // `"result": null` is read as absent; let the type say whether null is an answer.
        let result = envelope.result.map_or("null", |r| r.get());
        serde_json::from_str(result).map_err(|e| malformed(e.to_string()))
    }
}
