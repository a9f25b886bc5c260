//! A protocol that only fellows get. For strangers it does not exist: their connections don't offer it, and it never
//! hears of them.

use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::Arc,
    task::{Context, Poll},
};

use either::Either;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, dummy,
    },
};

use crate::handle::Shared;

/// Wraps the protocol.
pub(crate) struct Gate<B> {
    inner: B,
    shared: Arc<Shared>,
    /// Of each connection: whose, and whether it has the protocol.
    connections: HashMap<ConnectionId, (PeerId, bool)>,
}

impl<B> Gate<B> {
    pub(crate) fn new(inner: B, shared: Arc<Shared>) -> Self {
        Self {
            inner,
            shared,
            connections: HashMap::new(),
        }
    }

    /// All connections of a peer have the protocol, or none: it may use any of them. Who joins a service is
    /// disconnected from strangers' treatment by the network's task, and comes back as a fellow.
    fn decide(&mut self, connection: ConnectionId, peer: PeerId) -> bool {
        let before = self
            .connections
            .values()
            .find(|(other, _)| *other == peer)
            .map(|(_, open)| *open);
        let open = before.unwrap_or_else(|| self.shared.fellow(&peer).is_some());
        self.connections.insert(connection, (peer, open));
        open
    }

    fn is_open(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|(_, open)| *open)
    }
}

impl<B> Deref for Gate<B> {
    type Target = B;
    fn deref(&self) -> &B {
        &self.inner
    }
}

impl<B> DerefMut for Gate<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.inner
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.decide(connection, peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner
            .handle_established_inbound_connection(connection, peer, local, remote)
            .map(Either::Left)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner
            .handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.decide(connection, peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner
            .handle_established_outbound_connection(connection, peer, address, role, port)
            .map(Either::Left)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let concerns = match &event {
            FromSwarm::ConnectionEstablished(event) => self.is_open(event.connection_id),
            FromSwarm::AddressChange(event) => self.is_open(event.connection_id),
            FromSwarm::ConnectionClosed(event) => self
                .connections
                .remove(&event.connection_id)
                .is_some_and(|(_, open)| open),
            FromSwarm::DialFailure(event) => {
                self.connections.remove(&event.connection_id);
                true
            }
            FromSwarm::ListenFailure(event) => {
                self.connections.remove(&event.connection_id);
                true
            }
            _ => true,
        };
        if concerns {
            self.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, connection, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(context).map(|event| event.map_in(Either::Left))
    }
}
