//! A node's API for applications (`network.api` of its `node.toml`): JSON-RPC over HTTP. A convenience: what it says is
//! checked by hash or by certificate where it counts.

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json, value::RawValue};
use surety_primitives::{
    certificate::Proven,
    sealed::{Sealed, SealedError, SecretKey},
    value::Value,
    vote::VoteKind,
};

use super::NetworkError;
use crate::{Limits, ProviderRpc, RpcError};

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// its operator
    pub operator: Address,
    /// its peer id
    pub peer_id: String,
    /// where it listens for peers
    #[serde(default)]
    pub listen: Vec<String>,
    /// its peers: addresses, or whatever the node tells of each
    #[serde(default)]
    pub peers: Json,
    /// the chain's block it has followed to
    #[serde(default)]
    pub head: Json,
    /// services it takes part in
    #[serde(default)]
    pub services: Vec<ServiceStatus>,
}

/// What a node says about a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// the service
    pub service: Address,
    /// its name in the manifest
    #[serde(default)]
    pub name: Option<String>,
    /// number of its set
    #[serde(default)]
    pub set: Option<u64>,
    /// how many members the set has
    #[serde(default)]
    pub members: Option<u64>,
    /// the node's index in it
    #[serde(default)]
    pub index: Option<u64>,
    /// events without a certificate yet
    #[serde(default)]
    pub pending: Option<u64>,
    /// events certified since the node started
    #[serde(default)]
    pub certified: Option<u64>,
}

/// One line of a flow's log, as a node keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// its number, from 0 or 1, ascending
    pub number: u64,
    /// what happened
    pub line: Json,
}

/// What a node says about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// the run
    pub run: B256,
    /// number of its flow
    pub flow: U256,
    /// event key; zero of a request
    #[serde(default)]
    pub key: Option<B256>,
    /// hash of the event's data, or of the request's inputs
    #[serde(default)]
    pub value: Option<B256>,
    /// block it was recorded in
    #[serde(default)]
    pub block: Option<u64>,
    /// its steps
    #[serde(default)]
    pub steps: Vec<StepStatus>,
}

/// What a node says about a step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// its number
    pub step: u8,
    /// the task's id, or its name
    #[serde(default)]
    pub task: Json,
    /// a word: waiting, running, done, ...
    #[serde(default)]
    pub state: Json,
    /// who executes
    #[serde(default)]
    pub executor: Option<Address>,
    /// who validates; `None` while nobody is drawn
    #[serde(default)]
    pub committee: Option<Vec<Address>>,
    /// hash of the result
    #[serde(default)]
    pub result: Option<B256>,
    /// value hash of the output, or the output itself
    #[serde(default)]
    pub output: Json,
}

/// An event that was certified lately, as a node tells it; [`NodeApi::certified`] has the proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertifiedEvent {
    /// event key
    pub key: B256,
    /// its name in the manifest
    #[serde(default)]
    pub name: Option<String>,
    /// value hash of its data
    pub value: B256,
    /// set that certified it
    pub set: u64,
    /// Unix seconds
    #[serde(default)]
    pub time: Option<u64>,
}

/// A connection to one node's API.
#[derive(Debug, Clone)]
pub struct NodeApi(ProviderRpc);

impl NodeApi {
    /// Connects to nothing yet.
    pub fn new(endpoint: &str, limits: Limits) -> Result<Self, RpcError> {
        ProviderRpc::new(endpoint, limits).map(Self)
    }

    /// The API's URL.
    pub fn endpoint(&self) -> &str {
        self.0.endpoint()
    }

    /// What the node says about itself.
    pub async fn status(&self) -> Result<NodeStatus, RpcError> {
        self.0.request("network_status", json!([])).await
    }

    /// The certificate of a vote; of the given set, or of whichever the node has. Not checked: see [`super::check`].
    pub async fn certified(
        &self,
        service: Address,
        kind: VoteKind,
        subject: B256,
        set: Option<u64>,
    ) -> Result<Option<Proven>, NetworkError> {
        let params = json!([service, kind as u8, subject, set]);
        let found: Option<Bytes> = self.0.request("network_certified", params).await?;
        Ok(found.map(|bytes| Proven::from_rlp(&bytes)).transpose()?)
    }

    /// The value with this hash, checked; `None` if the node has none, or has it only sealed.
    pub async fn value(&self, hash: B256) -> Result<Option<Value>, NetworkError> {
        let found: Option<Box<RawValue>> = self.0.request("network_value", json!([hash])).await?;
        // Null is a value too, and every node has it.
        let value = Value::from_json(found.as_deref().map_or("null", RawValue::get))?;
        let found = value.hash()?;
        match &value {
            _ if found == hash => Ok(Some(value)),
            Value::Null => Ok(None),
            Value::Object(fields) if fields.len() == 1 && fields.contains_key("sealed") => Ok(None),
            _ => Err(NetworkError::AnotherValue { found, expected: hash }),
        }
    }

    /// The value that is sealed under this hash for `account`, opened with its secret and checked; `None` if the node has
    /// none, or has it for others.
    pub async fn private_value(
        &self,
        hash: B256,
        account: Address,
        secret: &SecretKey,
    ) -> Result<Option<Value>, NetworkError> {
        let found: Option<Box<RawValue>> = self.0.request("network_value", json!([hash])).await?;
        let text = found.as_deref().map_or("null", RawValue::get);
        let value = Value::from_json(text)?;
        let Some(sealed) = value.field("sealed").and_then(Value::as_str) else {
            return Ok(None);
        };
        let bytes: Bytes = sealed.parse().unwrap_or_default();
        match Sealed::from_rlp(&bytes)?.open(account, secret, hash) {
            Ok(opened) => Ok(Some(opened.value)),
            Err(SealedError::NotARecipient { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the node a value to keep and to pass on; its hash.
    pub async fn put_value(&self, value: &Value) -> Result<B256, NetworkError> {
        let expected = value.hash()?;
        let found = self.0.request("network_putValue", json!([value])).await?;
        if found == expected {
            Ok(found)
        } else {
            Err(NetworkError::AnotherValue { found, expected })
        }
    }

    /// Tells the node who may be drawn for a request: on-chain is only the hash ([`super::nodes_hash`]) of the list.
    pub async fn put_nodes(&self, nodes: &[Address]) -> Result<B256, NetworkError> {
        let expected = super::nodes_hash(nodes);
        let found = self.0.request("network_putNodes", json!([nodes])).await?;
        if found == expected {
            Ok(found)
        } else {
            Err(NetworkError::AnotherValue { found, expected })
        }
    }

    /// Gives the node a sealed value to pass on to those it is for; `commitment` is what stands on-chain for it.
    pub async fn put_sealed(&self, commitment: B256, sealed: &Sealed) -> Result<bool, RpcError> {
        let params = json!([commitment, Bytes::from(sealed.to_rlp())]);
        self.0.request("network_putSealed", params).await
    }

    /// Up to `limit` lines of a flow's log, from number `from` on.
    pub async fn logs(&self, flow: U256, from: u64, limit: u64) -> Result<Vec<LogLine>, RpcError> {
        self.0.request("network_logs", json!([flow, from, limit])).await
    }

    /// What the node knows of a run.
    pub async fn run(&self, run: B256) -> Result<Option<RunStatus>, RpcError> {
        self.0.request("network_run", json!([run])).await
    }

    /// Up to `limit` events of a service that were certified lately, newest first.
    pub async fn events(&self, service: Address, limit: u64) -> Result<Vec<CertifiedEvent>, RpcError> {
        self.0.request("network_events", json!([service, limit])).await
    }
}
