//! Webhooks in, requests out.

mod request;
mod webhook;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Result;
use serde::Deserialize;
use surety_connector::sdk::{Connector, ConnectorError, Failure, Job, Verdict, Work};
use surety_primitives::value::Value;

use crate::{Kind, config::Loaded};
use request::Requests;
pub use request::normalise;

/// `[http]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// where webhooks come in
    pub listen: Option<SocketAddr>,
    /// webhooks by path
    #[serde(default, rename = "webhook")]
    pub webhooks: Vec<Webhook>,
    /// requests as a task
    pub request: Option<RequestConfig>,
}

/// `[[http.webhook]]`: a POST of a JSON object becomes an event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// path, such as `/orders`
    pub path: String,
    /// the event; its data is the body and [`DIGEST`]
    pub event: String,
    /// whether the sender is trusted to post the same to everybody. Then the body alone is the data, and the id may be
    /// anything in it. What it risks: a sender that posts one thing to a quorum's nodes and another thing of the same
    /// id to the rest, by intent or by mistake, gets the operators of the rest slashed, who did nothing wrong
    #[serde(default)]
    pub trusted_sender: bool,
    /// the file with the secret of the signature
    pub secret_file: PathBuf,
    /// the header with the signature: hexadecimal HMAC-SHA-256 of the body, `sha256=` before it or not
    #[serde(default = "signature_header")]
    pub signature_header: String,
    /// largest body, bytes, at most 1 MiB
    #[serde(default = "max_body")]
    pub max_body: usize,
}

/// The field of a webhook's data that the connector adds: the value hash of the body, `0x` and 64 hex digits. It is
/// part of the event's id, so that two bodies are two events.
pub const DIGEST: &str = "digest";

/// `[http.request]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestConfig {
    /// the task: inputs `url`, and optional `method`, `body` (String), `select` (list of String); outputs `status`
    /// (Number) and `body` (Any)
    pub task: String,
    /// origins that may be asked, such as `https://api.example.com` or `http://127.0.0.1:8080`
    pub origins: Vec<String>,
    /// methods that may be used; those that change something carry the task's id as `idempotency-key`
    #[serde(default = "methods")]
    pub methods: Vec<String>,
    /// largest response, bytes, at most 512 KiB
    #[serde(default = "max_response")]
    pub max_response: usize,
    /// seconds a request may take
    #[serde(default = "timeout")]
    pub timeout: u32,
    /// whether names may resolve to addresses that are not public
    #[serde(default)]
    pub private_addresses: bool,
    /// whether what these origins answer to the same request never changes: only then is another answer evidence
    #[serde(default)]
    pub immutable: bool,
}

fn signature_header() -> String {
    "x-signature-256".to_owned()
}

fn max_body() -> usize {
    256 << 10
}

fn max_response() -> usize {
    256 << 10
}

fn methods() -> Vec<String> {
    vec!["GET".to_owned()]
}

fn timeout() -> u32 {
    10
}

pub(crate) async fn run(config: &Loaded) -> Result<()> {
    let http = config.section(Kind::Http, &config.file.http)?;
    let mut node = config.node(Kind::Http);
    for webhook in &http.webhooks {
        if !node.events.contains(&webhook.event) {
            node = node.event(&webhook.event);
        }
        if !webhook.trusted_sender {
            node = node.identity(&webhook.event, DIGEST);
        }
    }
    let requests = match &http.request {
        Some(request) => {
            node = node.task(&request.task);
            Some(Requests::new(request)?)
        }
        None => None,
    };
    let connector = Connector::new(node, Tasks(requests))?;
    let emitter = connector.emitter();
    tokio::select! {
        ended = connector.run() => Ok(ended.map_err(explained)?),
        ended = webhook::serve(config, http, emitter) => ended,
    }
}

fn explained(error: ConnectorError) -> anyhow::Error {
    let webhook = matches!(error, ConnectorError::Identity { .. });
    let error = anyhow::Error::from(error);
    if webhook {
        error.context(
            "http: whoever sends to a webhook could post two bodies as one event, for which honest operators are slashed; \
             either the event's id has the field that the connector adds, or the webhook says `trusted_sender = true`",
        )
    } else {
        error
    }
}

struct Tasks(Option<Requests>);

#[tonic::async_trait]
impl Work for Tasks {
    async fn execute(&self, job: &Job) -> Result<Value, Failure> {
        match &self.0 {
            Some(requests) => requests.perform(job).await,
            None => Err(Failure::never("this connector makes no requests")),
        }
    }

    async fn validate(&self, job: &Job, output: &Value) -> Verdict {
        match &self.0 {
            Some(requests) => requests.validate(job, output).await,
            None => Verdict::Unknown("this connector makes no requests".to_owned()),
        }
    }
}
