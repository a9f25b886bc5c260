//! Who may connect, and the stream for one-way messages that fellows get.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use alloy_primitives::Address;
use either::Either;
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse, upgrade::ReadyUpgrade},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};

use super::DIRECT;
use crate::{address_of, handle::Shared};

/// Streams for one-way messages that a fellow may open on one connection, over its life.
const STREAMS: usize = 4;

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Banned,
    /// The limit on something, and what.
    Full(&'static str, usize),
    /// Somebody named a peer that shares no service with this node as one to be dialled.
    Uncalled,
    /// Somebody else's key than the operator's whose address was dialled.
    Impostor {
        expected: Address,
        found: Option<Address>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Banned => write!(f, "the peer is banned"),
            Self::Full(what, limit) => write!(f, "at most {limit} {what} are allowed"),
            Self::Uncalled => write!(f, "the peer shares no service with this node, and nobody asked for it"),
            Self::Impostor {
                expected,
                found: Some(found),
            } => {
                write!(f, "the operator there is {found}, not {expected}")
            }
            Self::Impostor { expected, found: None } => {
                write!(f, "who is there has no operator's key; {expected} does")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// A stream for one-way messages.
#[derive(Debug)]
pub(crate) enum DoorEvent {
    /// For writing.
    Opened { peer: PeerId, stream: Stream },
    /// For reading.
    Accepted { peer: PeerId, stream: Stream },
}

struct Connection {
    peer: PeerId,
    ip: Option<IpAddr>,
    fellow: bool,
}

/// Admits connections.
pub(crate) struct Door {
    shared: Arc<Shared>,
    pending: HashMap<ConnectionId, Option<IpAddr>>,
    dialling: HashSet<ConnectionId>,
    established: HashMap<ConnectionId, Connection>,
    /// Dials that the node asked for; all others must be of fellows.
    wanted: HashSet<ConnectionId>,
    /// Whom a dial must reach.
    expected: HashMap<ConnectionId, Address>,
    banned: HashMap<PeerId, Instant>,
    events: VecDeque<DoorEvent>,
}

/// The IP address in a multiaddress.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    })
}

impl Door {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            pending: HashMap::new(),
            dialling: HashSet::new(),
            established: HashMap::new(),
            wanted: HashSet::new(),
            expected: HashMap::new(),
            banned: HashMap::new(),
            events: VecDeque::new(),
        }
    }

    /// The dial with this id may reach anybody.
    pub(crate) fn want(&mut self, dial: ConnectionId) {
        self.wanted.insert(dial);
    }

    /// The dial with this id must reach this operator.
    pub(crate) fn expect(&mut self, dial: ConnectionId, operator: Address) {
        self.expected.insert(dial, operator);
    }

    /// Refuses a peer until then.
    pub(crate) fn ban(&mut self, peer: PeerId, until: Instant) {
        self.banned.insert(peer, until);
    }

    /// Lets those in again whose time has come, and returns them.
    pub(crate) fn pardon(&mut self, now: Instant) -> Vec<PeerId> {
        let over: Vec<PeerId> = self
            .banned
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in &over {
            self.banned.remove(peer);
        }
        over
    }

    /// How many are banned.
    pub(crate) fn banned(&self) -> usize {
        self.banned.len()
    }

    /// Whether this peer is.
    pub(crate) fn is_banned(&self, peer: &PeerId) -> bool {
        self.banned.contains_key(peer)
    }

    /// Lets the one in whose ban ends first.
    pub(crate) fn pardon_one(&mut self) -> Option<PeerId> {
        let peer = self
            .banned
            .iter()
            .min_by_key(|(_, until)| **until)
            .map(|(peer, _)| *peer)?;
        self.banned.remove(&peer);
        Some(peer)
    }

    fn admit(&mut self, peer: PeerId, ip: Option<IpAddr>) -> Result<bool, Refusal> {
        let config = &self.shared.config;
        if self.banned.contains_key(&peer) {
            return Err(Refusal::Banned);
        }
        let fellow = self.shared.fellow(&peer).is_some();
        let count = |of: &dyn Fn(&Connection) -> bool| self.established.values().filter(|one| of(one)).count();
        if count(&|one| one.peer == peer) >= config.max_per_peer {
            return Err(Refusal::Full("connections of one peer", config.max_per_peer));
        }
        if self.established.len() >= config.max_connections {
            return Err(Refusal::Full("connections", config.max_connections));
        }
        if !fellow {
            let places = config.max_connections.saturating_sub(config.reserved_connections);
            if count(&|one| !one.fellow) >= places {
                return Err(Refusal::Full("connections of strangers", places));
            }
            if ip.is_some() && count(&|one| !one.fellow && one.ip == ip) >= config.max_per_ip {
                return Err(Refusal::Full(
                    "connections of strangers from one address",
                    config.max_per_ip,
                ));
            }
        }
        Ok(fellow)
    }

    fn establish(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let ip = ip_of(remote);
        let fellow = self.admit(peer, ip).map_err(ConnectionDenied::new)?;
        self.established.insert(connection, Connection { peer, ip, fellow });
        Ok(if fellow {
            Either::Left(Line::default())
        } else {
            Either::Right(dummy::ConnectionHandler)
        })
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.pending.remove(&connection);
        self.dialling.remove(&connection);
        self.wanted.remove(&connection);
        self.expected.remove(&connection);
        self.established.remove(&connection);
    }
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = Either<Line, dummy::ConnectionHandler>;
    type ToSwarm = DoorEvent;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let limit = self.shared.config.max_pending;
        if self.pending.len() >= limit {
            return Err(ConnectionDenied::new(Refusal::Full("handshakes", limit)));
        }
        // One address cannot take all the places; several operators may sit behind it, though.
        let ip = ip_of(remote);
        let limit = limit.div_ceil(2);
        if ip.is_some() && self.pending.values().filter(|other| **other == ip).count() >= limit {
            return Err(ConnectionDenied::new(Refusal::Full(
                "handshakes from one address",
                limit,
            )));
        }
        self.pending.insert(connection, ip);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.remove(&connection);
        self.establish(connection, peer, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if let Some(peer) = peer {
            if self.banned.contains_key(&peer) {
                return Err(ConnectionDenied::new(Refusal::Banned));
            }
            if !self.wanted.contains(&connection) && self.shared.fellow(&peer).is_none() {
                return Err(ConnectionDenied::new(Refusal::Uncalled));
            }
        }
        let limit = self.shared.config.max_pending;
        if self.dialling.len() >= limit {
            return Err(ConnectionDenied::new(Refusal::Full("dials", limit)));
        }
        self.dialling.insert(connection);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.dialling.remove(&connection);
        self.wanted.remove(&connection);
        if let Some(expected) = self.expected.remove(&connection) {
            let found = address_of(&peer);
            if found != Some(expected) {
                return Err(ConnectionDenied::new(Refusal::Impostor { expected, found }));
            }
        }
        self.establish(connection, peer, address)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(event) => self.forget(event.connection_id),
            FromSwarm::DialFailure(event) => self.forget(event.connection_id),
            FromSwarm::ListenFailure(event) => self.forget(event.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            Either::Left(Streamed::Opened(stream)) => self.events.push_back(DoorEvent::Opened { peer, stream }),
            Either::Left(Streamed::Accepted(stream)) => self.events.push_back(DoorEvent::Accepted { peer, stream }),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<DoorEvent, THandlerInEvent<Self>>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(ToSwarm::GenerateEvent(event)),
            // The swarm polls again after it handed over an event of a connection.
            None => Poll::Pending,
        }
    }
}

/// What a fellow's connection has for the door.
#[derive(Debug)]
pub(crate) enum Streamed {
    Opened(Stream),
    Accepted(Stream),
}

/// A fellow's connection: stays alive, opens one stream to write on, and takes the other side's.
#[derive(Debug, Default)]
pub(crate) struct Line {
    asked: bool,
    accepted: usize,
    ready: VecDeque<Streamed>,
}

impl ConnectionHandler for Line {
    type FromBehaviour = std::convert::Infallible;
    type ToBehaviour = Streamed;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(DIRECT), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if let Some(event) = self.ready.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if !self.asked {
            self.asked = true;
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(DIRECT), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. })
                if self.accepted < STREAMS =>
            {
                // An honest fellow opens one.
                self.accepted += 1;
                self.ready.push_back(Streamed::Accepted(stream));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, .. }) => {
                self.ready.push_back(Streamed::Opened(stream));
            }
            // A stream too many is dropped. A stream refused: the other side does not take this node for a fellow yet. It will close the connection when it does; and
            // messages that wait for a stream too long make this side close it.
            _ => {}
        }
    }
}
