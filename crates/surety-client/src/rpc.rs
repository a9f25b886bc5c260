//! A provider's JSON-RPC, from the asking side: one endpoint, a time limit, a size limit.

use std::time::Duration;

use alloy::primitives::{B256, Bytes};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use surety_primitives::{Answer, RequestHash};

/// Limits on one exchange.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A whole request, the program's run included.
    pub timeout: Duration,
    /// Connecting.
    pub connect_timeout: Duration,
    /// Bytes of an answer; a response carries at most 1 MiB of output, twice that in hex.
    pub max_answer: usize,
    /// How often a provider that says it is busy is asked again.
    pub busy_retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            max_answer: 4 << 20,
            busy_retries: 3,
        }
    }
}

/// Error codes of a provider beside JSON-RPC's own (`docs/spec/wire.md`, section 3).
pub mod code {
    /// The queue is full; try later.
    pub const BUSY: i64 = -32005;
    /// A preimage the program asked for cannot be found; the data is its hash.
    pub const MISSING_PREIMAGE: i64 = -32010;
    /// The budget is above the provider's limit.
    pub const BUDGET: i64 = -32011;
    /// Not this service, or not this chain.
    pub const WRONG_SERVICE: i64 = -32012;
    /// The service has no such method.
    pub const UNKNOWN_METHOD: i64 = -32013;
    /// The program halted with a code other than 0; the data is its output.
    pub const REVERTED: i64 = 3;
}

/// Why an exchange with a provider gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No connection, or it broke.
    #[error("{endpoint} cannot be reached: {cause}")]
    Unreachable {
        /// the provider's URL
        endpoint: String,
        /// the transport's words
        cause: String,
    },
    /// No answer in time.
    #[error("{endpoint} did not answer within {seconds} s")]
    Timeout {
        /// the provider's URL
        endpoint: String,
        /// the limit
        seconds: u64,
    },
    /// The answer is longer than the limit.
    #[error("{endpoint} sent more than {max} bytes")]
    TooLong {
        /// the provider's URL
        endpoint: String,
        /// the limit
        max: usize,
    },
    /// Not JSON-RPC, or not the JSON expected.
    #[error("{endpoint} sent what is no answer to `{method}`: {cause}")]
    Malformed {
        /// the provider's URL
        endpoint: String,
        /// what it was asked
        method: &'static str,
        /// why it does not parse
        cause: String,
    },
    /// A JSON-RPC error: the provider declines.
    #[error("{endpoint} declines: {message} (code {code}){}", data.as_ref().map(|d| format!(" {d}")).unwrap_or_default())]
    Declined {
        /// the provider's URL
        endpoint: String,
        /// the code
        code: i64,
        /// the provider's words
        message: String,
        /// further data
        data: Option<Value>,
    },
}

#[derive(Deserialize)]
struct Reply {
    /// Read by who knows what it is: a number of a value must not be rounded on the way.
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<ReplyError>,
}

#[derive(Deserialize)]
struct ReplyError {
    code: i64,
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

/// What `surety_status` says about a provider. Unknown fields are kept.
pub type ProviderStatus = Value;

/// A connection to one provider.
#[derive(Debug, Clone)]
pub struct ProviderRpc {
    http: reqwest::Client,
    endpoint: String,
    limits: Limits,
}

impl ProviderRpc {
    /// Connects to nothing yet.
    pub fn new(endpoint: &str, limits: Limits) -> Result<Self, RpcError> {
        let fail = |cause: String| RpcError::Unreachable {
            endpoint: endpoint.to_owned(),
            cause,
        };
        let url: reqwest::Url = endpoint.parse().map_err(|e| fail(format!("not a URL: {e}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(fail(format!("scheme is `{}`, expected http or https", url.scheme())));
        }
        let http = reqwest::Client::builder()
            .timeout(limits.timeout)
            .connect_timeout(limits.connect_timeout.min(limits.timeout))
            // A registry entry must not be able to send the request elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| fail(e.to_string()))?;
        Ok(Self {
            http,
            endpoint: endpoint.to_owned(),
            limits,
        })
    }

    /// The provider's URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// One JSON-RPC exchange.
    pub async fn request<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, RpcError> {
        let endpoint = || self.endpoint.clone();
        let malformed = |cause: String| RpcError::Malformed {
            endpoint: endpoint(),
            method,
            cause,
        };
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut response = self
            .http
            .post(&self.endpoint)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .map_err(|e| self.transport(&e))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.transport(&e))? {
            if bytes.len().saturating_add(chunk.len()) > self.limits.max_answer {
                return Err(RpcError::TooLong {
                    endpoint: endpoint(),
                    max: self.limits.max_answer,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        let reply: Reply = serde_json::from_slice(&bytes).map_err(|e| {
            malformed(format!(
                "HTTP {}, {} bytes: {e}",
                response.status().as_u16(),
                bytes.len()
            ))
        })?;
        if let Some(error) = reply.error {
            return Err(RpcError::Declined {
                endpoint: endpoint(),
                code: error.code,
                message: error.message.chars().take(500).collect(),
                data: error.data,
            });
        }
        let result = reply.result.as_deref().map_or("null", RawValue::get);
        serde_json::from_str(result).map_err(|e| malformed(e.to_string()))
    }

    /// `eth_sendRawTransaction`: hands in a request and waits until it is answered and stored. A busy provider is
    /// asked again; the same request always has the same answer.
    pub async fn send_request(&self, raw: &Bytes) -> Result<B256, RpcError> {
        let mut left = self.limits.busy_retries;
        let mut pause = Duration::from_millis(250);
        loop {
            match self.request("eth_sendRawTransaction", json!([raw])).await {
                Err(RpcError::Declined { code: code::BUSY, .. }) if left > 0 => {
                    left -= 1;
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
                other => return other,
            }
        }
    }

    /// `surety_getResponse`: the signed answer, if the provider has one.
    pub async fn response(&self, request: RequestHash) -> Result<Option<Answer>, RpcError> {
        self.request("surety_getResponse", json!([request])).await
    }

    /// `eth_chainId`.
    pub async fn chain_id(&self) -> Result<u64, RpcError> {
        let id: alloy::primitives::U64 = self.request("eth_chainId", json!([])).await?;
        Ok(id.to())
    }

    /// `eth_estimateGas` of a call: thousands of steps.
    pub async fn estimate(
        &self,
        from: alloy::primitives::Address,
        to: alloy::primitives::Address,
        data: &Bytes,
    ) -> Result<u64, RpcError> {
        let gas: alloy::primitives::U64 = self
            .request("eth_estimateGas", json!([{"from": from, "to": to, "data": data}]))
            .await?;
        Ok(gas.to())
    }

    /// `surety_status`.
    pub async fn status(&self) -> Result<ProviderStatus, RpcError> {
        self.request("surety_status", json!([])).await
    }

    /// `surety_getPreimage`: unchecked; the caller hashes it.
    pub async fn preimage(&self, hash: B256) -> Result<Option<Bytes>, RpcError> {
        self.request("surety_getPreimage", json!([hash])).await
    }

    fn transport(&self, error: &reqwest::Error) -> RpcError {
        if error.is_timeout() {
            return RpcError::Timeout {
                endpoint: self.endpoint.clone(),
                seconds: self.limits.timeout.as_secs(),
            };
        }
        let mut cause = error.to_string();
        let mut at: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(source) = at {
            cause = source.to_string();
            at = source.source();
        }
        RpcError::Unreachable {
            endpoint: self.endpoint.clone(),
            cause,
        }
    }
}
