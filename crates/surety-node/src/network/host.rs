//! The node as its connectors see it: everything is handed to the driver, which answers once it is durable.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use surety_connector::{
    host::{ConnectorHost, Emission, Refusal, Registration, Served, Submission},
    wire::refusal::Code,
};
use surety_protocol::manifest;
use tokio::sync::{mpsc, oneshot};

use super::driver::Command;

/// The services of this node, and the way to its driver.
pub(crate) struct Host {
    pub(crate) services: Vec<(Address, Arc<manifest::Network>)>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Host {
    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
        let stopping = || Refusal::new(Code::Busy, "the node is stopping");
        // Waits while the queue is full: a connector is read from only as fast as the node records.
        self.commands.send(command).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

#[tonic::async_trait]
impl ConnectorHost for Host {
    async fn service(&self, service: &str) -> Option<Served> {
        let by_address = service
            .parse::<Address>()
            .ok()
            .and_then(|address| self.services.iter().find(|(a, _)| *a == address));
        let found = by_address.or_else(|| {
            let mut named = self.services.iter().filter(|(_, network)| network.name == service);
            let first = named.next()?;
            named.next().is_none().then_some(first)
        });
        found.map(|(address, network)| Served {
            service: *address,
            network: network.clone(),
        })
    }

    async fn services(&self) -> Vec<(String, Address)> {
        let all = self.services.iter();
        all.map(|(address, network)| (network.name.clone(), *address)).collect()
    }

    async fn registered(&self, registration: Registration) {
        tracing::info!(service = %registration.service, connector = registration.connector, "connector registered");
        let _stopping = self.commands.send(Command::Registered(registration)).await;
    }

    async fn emit(&self, emission: Emission) -> Result<B256, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Emit(Box::new(emission), reply), answer).await
    }

    async fn submit(&self, submission: Submission) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Submit(Box::new(submission), reply), answer).await
    }
}
