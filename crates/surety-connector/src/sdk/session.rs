//! One registration over one connection.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tonic::{
    Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::{Config, ConnectorError};
use crate::{MAX_MESSAGE, Token, wire, wire::connector_client::ConnectorClient};

/// How long the node may take to answer one call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Puts the token on every call.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Session {
    client: ConnectorClient<InterceptedService<Channel, Bearer>>,
    pub(super) id: String,
    pub(super) service: String,
    /// fields of the events' ids in the manifest
    pub(super) ids: Arc<BTreeMap<String, Vec<String>>>,
}

pub(super) fn endpoint(node: &str) -> Result<Endpoint, ConnectorError> {
    let fail = |cause: String| ConnectorError::Address {
        found: node.to_owned(),
        cause,
    };
    if !(node.starts_with("http://") || node.starts_with("unix:/")) {
        return Err(fail("another scheme".to_owned()));
    }
    let endpoint = Endpoint::from_shared(node.to_owned()).map_err(|e| fail(e.to_string()))?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

pub(super) fn status_text(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

impl Session {
    pub(super) async fn open(config: &Config, token: &Token) -> Result<Self, Status> {
        let endpoint = endpoint(&config.node).map_err(|e| Status::invalid_argument(e.to_string()))?;
        let channel = endpoint.connect().await.map_err(|e| {
            let cause = std::error::Error::source(&e).map(ToString::to_string);
            Status::unavailable(format!("{}: {}", config.node, cause.unwrap_or_else(|| e.to_string())))
        })?;
        let mut bearer: MetadataValue<Ascii> = token
            .bearer()
            .parse()
            .map_err(|_| Status::unauthenticated("the token is no metadata"))?;
        bearer.set_sensitive(true);
        let mut client = ConnectorClient::with_interceptor(channel, Bearer(bearer))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let request = wire::RegisterRequest {
            service: config.service.clone(),
            connector: config.connector.clone(),
            events: (config.events.iter())
                .map(|name| wire::EventDeclaration {
                    name: name.clone(),
                    ..Default::default()
                })
                .collect(),
            tasks: (config.tasks.iter())
                .map(|name| wire::TaskDeclaration {
                    name: name.clone(),
                    ..Default::default()
                })
                .collect(),
        };
        let registered = within(client.register(request)).await?.into_inner();
        Ok(Self {
            client,
            id: registered.session,
            service: registered.service,
            ids: Arc::new(
                registered
                    .events
                    .into_iter()
                    .map(|event| (event.name, event.id))
                    .collect(),
            ),
        })
    }

    pub(super) async fn tasks(&mut self) -> Result<Streaming<wire::Assignment>, Status> {
        let request = wire::TasksRequest {
            session: self.id.clone(),
        };
        Ok(within(self.client.tasks(request)).await?.into_inner())
    }

    pub(super) async fn emit(&mut self, mut request: wire::EmitRequest) -> Result<wire::EmitResponse, Status> {
        request.session.clone_from(&self.id);
        Ok(within(self.client.emit(request)).await?.into_inner())
    }

    pub(super) async fn submit(&mut self, mut request: wire::SubmitRequest) -> Result<wire::SubmitResponse, Status> {
        request.session.clone_from(&self.id);
        Ok(within(self.client.submit(request)).await?.into_inner())
    }
}

async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(TIMEOUT, call)
        .await
        .map_err(|_| Status::deadline_exceeded("the node did not answer"))?
}
