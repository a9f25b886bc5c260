//! The network's task: it owns the swarm, and everything that happens goes through it.

mod members;
mod requests;
mod talk;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    Multiaddr, PeerId, Stream, Swarm, identify, kad, ping, request_response,
    swarm::{ConnectionId, DialError, ListenError, SwarmEvent},
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::{AbortHandle, JoinSet},
};

use crate::{
    Config, Count, Counters, Error, Event, Events, Handle, Identity, Members, Misbehaviour,
    behaviour::{Behaviour, BehaviourEvent, DoorEvent, OwnTopics, Refusal},
    bucket::Bucket,
    direct::{Queued, Reader, Writer},
    handle::{Command, Outbox, Shared},
    standing::{Standings, Verdict},
    transport::transport,
};

use self::members::Directory;

/// How often bans, rates and dials are looked at, at most.
const TICK: Duration = Duration::from_millis(250);
/// Time for the sockets to open.
const LISTEN: Duration = Duration::from_secs(5);

/// Starts networks.
#[derive(Debug)]
pub struct Network;

impl Network {
    /// Opens the sockets and starts the network's task on the current tokio runtime. Members' addresses are dialled,
    /// topics of the services of which `identity` is a member are joined; both follow `members` as it changes.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if limits contradict each other, [`Error::Listen`] if a socket cannot be opened.
    pub async fn start(
        config: Config,
        identity: Identity,
        members: watch::Receiver<Arc<Members>>,
    ) -> Result<(Handle, Events), Error> {
        check(&config)?;
        let (commands, inbox) = mpsc::channel(config.command_queue);
        let (events, queue) = mpsc::channel(config.event_queue);
        let shared = Arc::new(Shared {
            config,
            identity,
            members: members.clone(),
            counters: Counters::default(),
            outboxes: Default::default(),
            peers: Default::default(),
            listening: Default::default(),
        });
        let mut task = Task::new(shared.clone(), commands.downgrade(), events, members)?;
        task.listen().await?;
        tokio::spawn(task.run(inbox));
        Ok((Handle { shared, commands }, Events { queue }))
    }
}

fn check(config: &Config) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::Config(what));
    for (name, number) in [
        ("command_queue", config.command_queue),
        ("event_queue", config.event_queue),
        ("send_queue", config.send_queue),
        ("max_gossip", config.max_gossip),
        ("max_request", config.max_request),
        ("max_requests", config.max_requests),
        ("max_requests_per_peer", config.max_requests_per_peer),
        ("max_per_peer", config.max_per_peer),
        ("max_pending", config.max_pending),
    ] {
        if number == 0 {
            return wrong(format!("{name} is 0; at least 1 is needed"));
        }
    }
    let largest = config.max_gossip.max(config.max_message).max(config.max_request);
    if config.event_bytes < largest || config.event_bytes > Semaphore::MAX_PERMITS.min(u32::MAX as usize) {
        let found = config.event_bytes;
        return wrong(format!(
            "event_bytes is {found}; from {largest} (the largest message) to 2^32 - 1 is allowed"
        ));
    }
    if config.max_message > 64 << 20 {
        return wrong(format!(
            "max_message is {}; at most 64 MiB is allowed",
            config.max_message
        ));
    }
    if config.gossip_queue < 2 {
        return wrong(format!("gossip_queue is {}; at least 2 is needed", config.gossip_queue));
    }
    if config.reserved_connections > config.max_connections {
        let (reserved, all) = (config.reserved_connections, config.max_connections);
        return wrong(format!(
            "reserved_connections is {reserved}, more than max_connections, {all}"
        ));
    }
    for (name, time) in [
        ("handshake", config.handshake),
        ("ping", config.ping),
        ("redial", config.redial),
        ("request_timeout", config.request_timeout),
        ("write_timeout", config.write_timeout),
        ("heartbeat", config.heartbeat),
        ("forgiveness", config.forgiveness),
    ] {
        if time.is_zero() {
            return wrong(format!("{name} is 0"));
        }
    }
    for rate in [
        config.gossip_rate,
        config.direct_rate,
        config.request_rate,
        config.stranger_rate,
        config.strangers_rate,
    ] {
        let good = |number: f64| number.is_finite() && number > 0.0;
        if !good(rate.messages) || !good(rate.bytes) || !good(rate.burst) || rate.messages * rate.burst < 1.0 {
            return wrong(format!("{rate:?} never lets a message pass"));
        }
    }
    Ok(())
}

/// What is known of a connected peer.
struct Connected {
    operator: Option<Address>,
    connections: HashMap<ConnectionId, Multiaddr>,
    /// Requests that wait for this node's reply.
    waiting: usize,
    requests: Bucket,
    ip: Option<IpAddr>,
    line: Option<LineTasks>,
}

/// The tasks of a fellow's one-way messages.
struct LineTasks {
    streams: mpsc::Sender<Stream>,
    writer: AbortHandle,
    readers: VecDeque<AbortHandle>,
    bucket: Arc<Mutex<Bucket>>,
}

/// Why a connection is being made.
enum Dial {
    Asked(Multiaddr, oneshot::Sender<Result<PeerId, Error>>),
    Fellow(Address),
    Bootstrap,
}

/// A reply on its way from the node to the swarm.
struct Answer {
    peer: PeerId,
    channel: request_response::ResponseChannel<Vec<u8>>,
    data: Option<Vec<u8>>,
}

struct Task {
    shared: Arc<Shared>,
    swarm: Swarm<Behaviour>,
    own: OwnTopics,
    members: watch::Receiver<Arc<Members>>,
    commands: mpsc::WeakSender<Command>,
    events: mpsc::Sender<Queued>,
    budget: Arc<Semaphore>,
    /// Comings and goings the node had no room for; they must not be lost.
    late: VecDeque<Event>,
    peers: HashMap<PeerId, Connected>,
    dials: HashMap<ConnectionId, Dial>,
    directory: Directory,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    asked: HashMap<request_response::OutboundRequestId, oneshot::Sender<Result<Vec<u8>, Error>>>,
    /// Of each fellow, for topics.
    gossip: HashMap<Address, Bucket>,
    /// Of strangers' requests, by IP address: another key is made in no time.
    strangers: HashMap<IpAddr, Bucket>,
    all_strangers: Bucket,
    unheard: VecDeque<(Address, Vec<u8>)>,
    standings: Standings,
    tasks: JoinSet<()>,
}

impl Task {
    fn new(
        shared: Arc<Shared>,
        commands: mpsc::WeakSender<Command>,
        events: mpsc::Sender<Queued>,
        members: watch::Receiver<Arc<Members>>,
    ) -> Result<Self, Error> {
        let config = &shared.config;
        let own = OwnTopics::default();
        let behaviour = Behaviour::new(&shared, &own)?;
        let wrong = |error: &dyn std::fmt::Display| Error::Config(error.to_string());
        let transport = transport(&shared.identity.keypair, config.handshake).map_err(|error| wrong(&error))?;
        let settings = libp2p::swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(config.idle)
            .with_max_negotiating_inbound_streams(64)
            .with_per_connection_event_buffer_size(16);
        let swarm = Swarm::new(transport, behaviour, shared.identity.peer(), settings);
        let now = Instant::now();
        Ok(Self {
            own,
            swarm,
            members,
            commands,
            events,
            budget: Arc::new(Semaphore::new(config.event_bytes)),
            late: VecDeque::new(),
            peers: HashMap::new(),
            dials: HashMap::new(),
            directory: Directory::default(),
            answers: FuturesUnordered::new(),
            asked: HashMap::new(),
            gossip: HashMap::new(),
            strangers: HashMap::new(),
            all_strangers: Bucket::new(config.strangers_rate, now),
            unheard: VecDeque::new(),
            standings: Standings::new(config.ban_at, config.forgiveness, config.remembered),
            tasks: JoinSet::new(),
            shared,
        })
    }

    /// Opens the sockets, and waits until each has an address.
    async fn listen(&mut self) -> Result<(), Error> {
        let mut opening = HashMap::new();
        for address in self.shared.config.listen.clone() {
            let failed = |reason: String| Error::Listen {
                address: address.clone(),
                reason,
            };
            let id = self
                .swarm
                .listen_on(address.clone())
                .map_err(|error| failed(error.to_string()))?;
            opening.insert(id, address);
        }
        for address in self.shared.config.external.clone() {
            self.swarm.add_external_address(address);
        }
        let deadline = tokio::time::Instant::now() + LISTEN;
        while !opening.is_empty() {
            match tokio::time::timeout_at(deadline, self.swarm.select_next_some()).await {
                Ok(event) => {
                    match &event {
                        SwarmEvent::NewListenAddr { listener_id, .. } => {
                            opening.remove(listener_id);
                        }
                        SwarmEvent::ListenerClosed {
                            listener_id, reason, ..
                        } => {
                            if let Some(address) = opening.remove(listener_id) {
                                return Err(Error::Listen {
                                    address,
                                    reason: format!("{reason:?}"),
                                });
                            }
                        }
                        _ => {}
                    }
                    self.on_swarm(event);
                }
                Err(_) => {
                    if let Some(address) = opening.into_values().next() {
                        return Err(Error::Listen {
                            address,
                            reason: format!("no socket within {LISTEN:?}"),
                        });
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        self.on_members();
        let mut tick = tokio::time::interval(TICK.min(self.shared.config.redial));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut follows = true;
        let done = loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                command = inbox.recv() => match command {
                    Some(Command::Shutdown { done }) => break Some(done),
                    Some(command) => self.on_command(command),
                    // All handles are gone.
                    None => break None,
                },
                Some(answer) = self.answers.next() => self.on_answer(answer),
                changed = self.members.changed(), if follows => match changed {
                    Ok(()) => self.on_members(),
                    // Nobody changes the members any more; they stay as they are.
                    Err(_) => follows = false,
                },
                Some(_) = self.tasks.join_next() => {}
                _ = tick.tick() => self.on_tick(),
            }
        };
        let connected: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in connected {
            self.clear_peer(&peer);
        }
        self.tasks.shutdown().await;
        self.shared
            .listening
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        // From here on commands fail.
        drop(inbox);
        drop(self);
        if let Some(done) = done {
            // Whoever asked does not wait any more.
            let _ = done.send(());
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish { service, data } => self.publish(service, data),
            Command::Request { peer, data, reply } => self.ask(peer, data, reply),
            Command::Dial { address, reply } => self.dial_for(address, reply),
            Command::Report { peer, what } => self.misbehaved(peer, what),
            Command::CutOff { peer, slow } => {
                self.count(Count::CutOff);
                if slow {
                    self.misbehaved(peer, Misbehaviour::Slow);
                }
                self.disconnect(peer);
            }
            // The loop ends on it before it comes here.
            Command::Shutdown { .. } => {}
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.on_connected(peer_id, connection_id, endpoint.get_remote_address().clone());
            }
            SwarmEvent::ConnectionClosed {
                peer_id, connection_id, ..
            } => self.on_closed(peer_id, connection_id),
            SwarmEvent::OutgoingConnectionError {
                connection_id, error, ..
            } => {
                self.on_dial_failed(connection_id, error);
            }
            SwarmEvent::IncomingConnectionError { error, .. } => match error {
                ListenError::Denied { .. } => self.count(Count::ConnectionsRefused),
                _ => self.count(Count::HandshakesFailed),
            },
            SwarmEvent::NewListenAddr { address, .. } => {
                self.shared
                    .listening
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(address);
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let mut listening = self.shared.listening.write().unwrap_or_else(PoisonError::into_inner);
                listening.retain(|other| *other != address);
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "a listener closed");
                let mut listening = self.shared.listening.write().unwrap_or_else(PoisonError::into_inner);
                listening.retain(|other| !addresses.contains(other));
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener failed"),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Door(DoorEvent::Opened { peer, stream }) => {
                if let Some(line) = self.peers.get(&peer).and_then(|one| one.line.as_ref()) {
                    // A fellow with more connections than that has enough streams.
                    let _ = line.streams.try_send(stream);
                }
            }
            BehaviourEvent::Door(DoorEvent::Accepted { peer, stream }) => self.read(peer, stream),
            BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result: Err(error),
            }) => match error {
                // Whoever answers nothing at all is gone; who lacks the protocol is there.
                ping::Failure::Unsupported => {}
                _ => {
                    tracing::debug!(%peer, %error, "no answer to a ping");
                    self.count(Count::CutOff);
                    self.swarm.close_connection(connection);
                }
            },
            BehaviourEvent::Ping(_) => {}
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, &info.listen_addrs);
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Requests(event) => self.on_requests(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Kad(kad::Event::InboundRequest { request }) => self.on_kad_request(request),
            BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed { result, .. }) => self.on_kad_result(result),
            BehaviourEvent::Kad(_) => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, remote: Multiaddr) {
        self.count(Count::Connected);
        let dial = self.dials.remove(&connection);
        if let Some(Dial::Fellow(operator)) = dial {
            self.directory.reached(operator, peer);
        }
        let operator = self.shared.fellow(&peer);
        let ip = remote.iter().find_map(|part| match part {
            libp2p::multiaddr::Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
            libp2p::multiaddr::Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
            _ => None,
        });
        let first = !self.peers.contains_key(&peer);
        if first {
            let rate = if operator.is_some() {
                self.shared.config.request_rate
            } else {
                self.shared.config.stranger_rate
            };
            let connected = Connected {
                operator,
                connections: HashMap::new(),
                waiting: 0,
                requests: Bucket::new(rate, Instant::now()),
                ip,
                line: None,
            };
            self.peers.insert(peer, connected);
            if let Some(operator) = operator {
                self.directory.reached(operator, peer);
                self.open_line(peer, operator);
            }
        }
        if let Some(one) = self.peers.get_mut(&peer) {
            one.connections.insert(connection, remote);
        }
        self.show(&peer);
        if first {
            self.tell(Event::PeerConnected { peer, operator });
        }
        if let Some(Dial::Asked(_, reply)) = dial {
            // Whoever asked does not wait any more; the connection idles away.
            let _ = reply.send(Ok(peer));
        }
    }

    fn on_closed(&mut self, peer: PeerId, connection: ConnectionId) {
        self.count(Count::Disconnected);
        let Some(one) = self.peers.get_mut(&peer) else { return };
        one.connections.remove(&connection);
        if !one.connections.is_empty() {
            self.show(&peer);
            return;
        }
        let operator = self.clear_peer(&peer);
        if let Some(operator) = operator {
            self.directory.lost(operator, &self.shared, Instant::now());
        }
        self.tell(Event::PeerDisconnected { peer, operator });
    }

    /// Forgets a peer and ends its tasks. Returns its operator.
    fn clear_peer(&mut self, peer: &PeerId) -> Option<Address> {
        let one = self.peers.remove(peer)?;
        self.shared
            .peers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(peer);
        if let Some(operator) = one.operator {
            self.shared
                .outboxes
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&operator);
        }
        if let Some(line) = one.line {
            line.writer.abort();
            for reader in line.readers {
                reader.abort();
            }
        }
        one.operator
    }

    /// Makes a peer's state visible to the handles.
    fn show(&self, peer: &PeerId) {
        let Some(one) = self.peers.get(peer) else { return };
        let remote = one.connections.values().cloned().collect();
        let mut peers = self.shared.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.insert(*peer, (one.operator, remote));
    }

    /// Starts the queue of one-way messages to a fellow.
    fn open_line(&mut self, peer: PeerId, operator: Address) {
        let config = &self.shared.config;
        let (queue, queued) = mpsc::channel(config.send_queue);
        let (streams, incoming) = mpsc::channel(config.max_per_peer);
        let bytes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let outbox = Outbox {
            peer,
            queue,
            bytes: bytes.clone(),
        };
        self.shared
            .outboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(operator, outbox);
        let writer = Writer {
            shared: self.shared.clone(),
            commands: self.commands.clone(),
            peer,
            queue: queued,
            bytes,
            streams: incoming,
        };
        let writer = self.tasks.spawn(writer.run());
        let bucket = Arc::new(Mutex::new(Bucket::new(config.direct_rate, Instant::now())));
        if let Some(one) = self.peers.get_mut(&peer) {
            one.line = Some(LineTasks {
                streams,
                writer,
                readers: VecDeque::new(),
                bucket,
            });
        }
    }

    /// Starts reading a stream of a fellow.
    fn read(&mut self, peer: PeerId, stream: Stream) {
        let Some(one) = self.peers.get_mut(&peer) else { return };
        let (Some(operator), Some(line)) = (one.operator, one.line.as_mut()) else {
            return;
        };
        let reader = Reader {
            shared: self.shared.clone(),
            commands: self.commands.clone(),
            peer,
            operator,
            bucket: line.bucket.clone(),
            budget: self.budget.clone(),
            events: self.events.clone(),
            stream,
        };
        line.readers.retain(|reader| !reader.is_finished());
        line.readers.push_back(self.tasks.spawn(reader.run()));
        // The newest connection is the one in use.
        while line.readers.len() > self.shared.config.max_per_peer {
            if let Some(oldest) = line.readers.pop_front() {
                oldest.abort();
            }
        }
    }

    fn on_dial_failed(&mut self, connection: ConnectionId, error: DialError) {
        let refused = matches!(&error, DialError::Denied { cause } if cause.downcast_ref::<Refusal>().is_some());
        self.count(if refused {
            Count::ConnectionsRefused
        } else {
            Count::DialsFailed
        });
        tracing::debug!(%error, "a dial failed");
        match self.dials.remove(&connection) {
            Some(Dial::Asked(address, reply)) => {
                let _ = reply.send(Err(Error::Dial {
                    address,
                    reason: describe(&error),
                }));
            }
            Some(Dial::Fellow(operator)) => self.directory.missed(operator),
            Some(Dial::Bootstrap) | None => {}
        }
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        while let Some(event) = self.late.pop_front() {
            if let Err(error) = self.events.try_send((event, None)) {
                let (event, _) = error.into_inner();
                self.late.push_front(event);
                break;
            }
        }
        for peer in self.swarm.behaviour_mut().door.pardon(now) {
            self.swarm.behaviour_mut().gossip.remove_blacklisted_peer(&peer);
        }
        for (peer, weight) in self.standings.all(now) {
            self.swarm.behaviour_mut().gossip.set_application_score(&peer, -weight);
        }
        self.gossip.retain(|operator, _| {
            self.shared
                .members
                .borrow()
                .are_fellows(self.shared.identity.address(), *operator)
        });
        if self.strangers.len() > self.shared.config.remembered {
            let here: HashSet<IpAddr> = self.peers.values().filter_map(|one| one.ip).collect();
            self.strangers.retain(|ip, _| here.contains(ip));
        }
        self.dial_fellows(now);
    }

    /// Weighs misbehaviour, and bans.
    fn misbehaved(&mut self, peer: PeerId, what: Misbehaviour) {
        let now = Instant::now();
        if peer == self.shared.identity.peer() || self.swarm.behaviour().door.is_banned(&peer) {
            return;
        }
        match self.standings.weigh(peer, what.weight(), now) {
            Verdict::Weighs(weight) => {
                self.swarm.behaviour_mut().gossip.set_application_score(&peer, -weight);
            }
            Verdict::Ban => {
                tracing::warn!(%peer, ?what, "banned");
                self.count(Count::Banned);
                if self.swarm.behaviour().door.banned() >= self.shared.config.remembered.max(1)
                    && let Some(other) = self.swarm.behaviour_mut().door.pardon_one()
                {
                    self.swarm.behaviour_mut().gossip.remove_blacklisted_peer(&other);
                }
                let until = now.checked_add(self.shared.config.ban).unwrap_or(now);
                self.swarm.behaviour_mut().door.ban(peer, until);
                self.swarm.behaviour_mut().gossip.set_application_score(&peer, 0.0);
                self.swarm.behaviour_mut().gossip.blacklist_peer(&peer);
                self.disconnect(peer);
            }
        }
    }

    fn disconnect(&mut self, peer: PeerId) {
        // An error means that it is not connected.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    /// Tells the node of a coming or going: at once, or when there is room.
    fn tell(&mut self, event: Event) {
        if !self.late.is_empty() {
            self.late.push_back(event);
        } else if let Err(mpsc::error::TrySendError::Full((event, _))) = self.events.try_send((event, None)) {
            self.late.push_back(event);
        }
        // A node that takes nothing for so long asks for `Handle::peers` when it is back.
        let limit = self.shared.config.max_connections.saturating_mul(4).max(16);
        while self.late.len() > limit {
            self.late.pop_front();
        }
    }

    fn count(&self, what: Count) {
        self.shared.counters.add(what);
    }
}

/// A dial's error with its causes in one line.
fn describe(error: &DialError) -> String {
    match error {
        DialError::Denied { cause } => cause
            .downcast_ref::<Refusal>()
            .map_or_else(|| error.to_string(), ToString::to_string),
        _ => error.to_string(),
    }
}
