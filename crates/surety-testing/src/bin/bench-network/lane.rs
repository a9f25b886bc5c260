//! One connector's stream of emissions into one node.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use surety_connector::wire::{self, connector_client::ConnectorClient, emit_response::Outcome};
use tokio::sync::mpsc;
use tonic::{Request, Status, codegen::tokio_stream::wrappers::ReceiverStream, transport::Endpoint};

/// Emissions on their way to a node.
const QUEUE: usize = 8_192;

/// An open stream.
pub(crate) struct Lane {
    session: String,
    requests: mpsc::Sender<wire::EmitRequest>,
    accepted: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Lane {
    /// Registers a connector and opens its stream.
    pub(crate) async fn open(node: String, token: &Path, service: &str, event: &str) -> Result<Self> {
        let token = std::fs::read_to_string(token)?;
        let bearer: tonic::metadata::MetadataValue<_> = format!("Bearer {}", token.trim()).parse()?;
        let channel = Endpoint::from_shared(node)?.tcp_nodelay(true).connect().await?;
        let mut client = ConnectorClient::with_interceptor(channel, move |mut request: Request<()>| {
            request.metadata_mut().insert("authorization", bearer.clone());
            Ok::<_, Status>(request)
        });
        let declaration = wire::EventDeclaration {
            name: event.to_owned(),
            ..Default::default()
        };
        let registration = wire::RegisterRequest {
            service: service.to_owned(),
            connector: "bench".to_owned(),
            events: vec![declaration],
            tasks: Vec::new(),
        };
        let session = client.register(registration).await?.into_inner().session;
        let (requests, queue) = mpsc::channel(QUEUE);
        let mut answers = client.emit_stream(ReceiverStream::new(queue)).await?.into_inner();
        let lane = Self {
            session,
            requests,
            accepted: Arc::default(),
            refused: Arc::default(),
            keys: Arc::default(),
        };
        let (accepted, refused, keys) = (lane.accepted.clone(), lane.refused.clone(), lane.keys.clone());
        tokio::spawn(async move {
            while let Ok(Some(answer)) = answers.message().await {
                match answer.outcome {
                    Some(Outcome::Accepted(key)) => {
                        accepted.fetch_add(1, Ordering::Relaxed);
                        keys.lock().unwrap_or_else(PoisonError::into_inner).push(key);
                    }
                    other => {
                        refused.fetch_add(1, Ordering::Relaxed);
                        eprintln!("not accepted: {other:?}");
                    }
                }
            }
        });
        Ok(lane)
    }

    /// Emits; waits while the node lags behind by a whole queue.
    pub(crate) async fn emit(&self, mut request: wire::EmitRequest) -> Result<()> {
        request.session.clone_from(&self.session);
        self.requests
            .send(request)
            .await
            .ok()
            .context("the node ended the stream")
    }

    /// Emissions that the node has recorded.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Emissions that the node has refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The keys of those that it has recorded, in order, since the last call.
    pub(crate) fn keys(&self) -> Vec<String> {
        std::mem::take(&mut self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
