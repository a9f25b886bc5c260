//! The node's API of the network: JSON-RPC over HTTP, for applications and the command line. Every answer can be
//! checked by who asks (P10): certificates against the set on the chain, values against their hash, runs against the
//! chain's logs.

use std::{net::SocketAddr, time::Duration};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use jsonrpsee::{
    RpcModule,
    server::{BatchRequestConfig, Server, ServerConfig, ServerHandle},
    types::{ErrorObjectOwned, error::INTERNAL_ERROR_CODE},
};
use serde_json::Value as Json;
use surety_primitives::{sealed::Sealed, value::Value, vote::VoteKind};
use tokio::sync::{mpsc, oneshot};

use super::{exchange::Ask, store::NetworkStore};

/// Longest request, bytes: a payload in hex with what is around it.
const MAX_REQUEST: u32 = 4 << 20;
/// Longest answer, bytes.
const MAX_ANSWER: u32 = 16 << 20;
/// Lines of a log in one answer.
const MAX_LINES: usize = 1_000;
/// Deadline of a peer that is asked on behalf of a caller.
const ASK: Duration = Duration::from_secs(2);
/// Named nodes of a request, at most: a set has no more.
const MAX_NODES: usize = 128;

/// What the driver is asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// Everything about the node.
    Status(oneshot::Sender<Json>),
    /// A run.
    Run(B256, oneshot::Sender<Json>),
    /// Recently certified events of a service.
    Events(Address, usize, oneshot::Sender<Json>),
}

/// What the methods work with.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: NetworkStore,
    /// questions for the driver
    pub(crate) questions: mpsc::Sender<Question>,
    pub(crate) peers: surety_p2p::Handle,
}

/// A running API.
#[derive(Debug)]
pub(crate) struct ApiServer {
    handle: ServerHandle,
    address: SocketAddr,
}

impl ApiServer {
    /// Listens.
    pub(crate) async fn start(api: Api, listen: SocketAddr) -> std::io::Result<Self> {
        let config = ServerConfig::builder()
            .max_request_body_size(MAX_REQUEST)
            .max_response_body_size(MAX_ANSWER)
            .max_connections(256)
            .set_batch_request_config(BatchRequestConfig::Limit(32))
            .http_only()
            .build();
        let server = Server::builder().set_config(config).build(listen).await?;
        let address = server.local_addr()?;
        let module = methods(api).map_err(std::io::Error::other)?;
        Ok(Self {
            handle: server.start(module),
            address,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it.
    pub(crate) fn stop(&self) {
        let _stopped_already = self.handle.stop();
    }
}

fn failed(message: impl ToString) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INTERNAL_ERROR_CODE, message.to_string(), None::<()>)
}

fn invalid(message: impl ToString) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(
        jsonrpsee::types::error::INVALID_PARAMS_CODE,
        message.to_string(),
        None::<()>,
    )
}

impl Api {
    async fn ask(&self, question: impl FnOnce(oneshot::Sender<Json>) -> Question) -> Result<Json, ErrorObjectOwned> {
        let (reply, answer) = oneshot::channel();
        self.questions
            .send(question(reply))
            .await
            .map_err(|_| failed("the node is stopping"))?;
        answer.await.map_err(|_| failed("the node is stopping"))
    }

    fn certified(&self, service: Address, kind: u8, subject: B256) -> Result<Option<Bytes>, ErrorObjectOwned> {
        let kind = VoteKind::try_from(kind).map_err(invalid)?;
        Ok(self
            .store
            .certified(service, kind, subject)
            .map_err(failed)?
            .map(Bytes::from))
    }

    /// A payload of this node, or of a peer that has it.
    async fn value(&self, hash: B256) -> Result<Json, ErrorObjectOwned> {
        let store = self.store.clone();
        let own = tokio::task::spawn_blocking(move || store.value(hash))
            .await
            .map_err(failed)?;
        if let Some(found) = own.map_err(failed)?.as_deref().and_then(|bytes| shown(hash, bytes)) {
            return Ok(found);
        }
        for operator in self.peers.operators() {
            let asked = self.peers.ask(operator, Ask::Value(hash).encode(), ASK).await;
            if let Some(found) = asked.ok().as_deref().and_then(|bytes| shown(hash, bytes)) {
                return Ok(found);
            }
        }
        Ok(Json::Null)
    }

    fn put_value(&self, text: &str) -> Result<B256, ErrorObjectOwned> {
        // From the text itself: another reader could round a number's last bit, which is another value.
        let value = Value::from_json(text).map_err(invalid)?;
        let bytes = value.encode().map_err(invalid)?;
        let hash = keccak256(&bytes);
        self.store.put_durably(hash, bytes).map_err(failed)?;
        Ok(hash)
    }

    fn put_sealed(&self, hash: B256, sealed: &Bytes) -> Result<bool, ErrorObjectOwned> {
        Sealed::from_rlp(sealed).map_err(invalid)?;
        // A recipient that cannot open what is here asks its peers, and keeps what it can open.
        self.store.put_durably(hash, sealed.to_vec()).map_err(failed)?;
        Ok(true)
    }

    fn put_nodes(&self, nodes: &[Address]) -> Result<B256, ErrorObjectOwned> {
        if nodes.is_empty() || nodes.len() > MAX_NODES {
            return Err(invalid(format!(
                "found {} nodes, expected 1 to {MAX_NODES}",
                nodes.len()
            )));
        }
        let bytes = alloy::sol_types::SolValue::abi_encode(&nodes.to_vec());
        let hash = keccak256(&bytes);
        self.store.put_durably(hash, bytes).map_err(failed)?;
        Ok(hash)
    }

    fn logs(&self, flow: U256, from: u64, limit: usize) -> Result<Json, ErrorObjectOwned> {
        let lines = self
            .store
            .logs(flow.into(), from, limit.min(MAX_LINES))
            .map_err(failed)?;
        let line = |(number, text): (u64, String)| {
            let line: Json = serde_json::from_str(&text).unwrap_or(Json::String(text));
            serde_json::json!({"number": number, "line": line})
        };
        Ok(Json::Array(lines.into_iter().map(line).collect()))
    }
}

/// The value with that hash; or what is sealed under it, which only its recipients can check.
fn shown(hash: B256, bytes: &[u8]) -> Option<Json> {
    if keccak256(bytes) == hash {
        let value = Value::decode(bytes).ok()?;
        return serde_json::to_value(&value).ok();
    }
    Sealed::from_rlp(bytes).ok()?;
    Some(serde_json::json!({"sealed": Bytes::copy_from_slice(bytes)}))
}

fn methods(api: Api) -> Result<RpcModule<Api>, jsonrpsee::server::RegisterMethodError> {
    let mut module = RpcModule::new(api);
    module.register_async_method(
        "network_status",
        |_, api, _| async move { api.ask(Question::Status).await },
    )?;
    module.register_async_method("network_run", |params, api, _| async move {
        let run: B256 = params.sequence().next()?;
        api.ask(|reply| Question::Run(run, reply)).await
    })?;
    module.register_async_method("network_events", |params, api, _| async move {
        let mut params = params.sequence();
        let service: Address = params.next()?;
        let limit: Option<usize> = params.optional_next()?;
        let limit = limit.unwrap_or(100);
        api.ask(|reply| Question::Events(service, limit, reply)).await
    })?;
    module.register_blocking_method("network_certified", |params, api, _| {
        let mut params = params.sequence();
        let (service, kind, subject) = (params.next()?, params.next()?, params.next()?);
        api.certified(service, kind, subject)
    })?;
    module.register_async_method("network_value", |params, api, _| async move {
        let hash: B256 = params.sequence().next()?;
        api.value(hash).await
    })?;
    module.register_blocking_method("network_putValue", |params, api, _| {
        let value: Box<serde_json::value::RawValue> = params.sequence().next()?;
        api.put_value(value.get())
    })?;
    module.register_blocking_method("network_putSealed", |params, api, _| {
        let mut params = params.sequence();
        let (hash, sealed): (B256, Bytes) = (params.next()?, params.next()?);
        api.put_sealed(hash, &sealed)
    })?;
    module.register_blocking_method("network_putNodes", |params, api, _| {
        let nodes: Vec<Address> = params.sequence().next()?;
        api.put_nodes(&nodes)
    })?;
    module.register_blocking_method("network_logs", |params, api, _| {
        let mut params = params.sequence();
        let (flow, from, limit): (U256, u64, usize) = (params.next()?, params.next()?, params.next()?);
        api.logs(flow, from, limit)
    })?;
    Ok(module)
}
