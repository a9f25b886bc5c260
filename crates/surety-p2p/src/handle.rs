//! What the node tells the network.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy_primitives::Address;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Config, Count, Counters, Error, Identity, Members, Misbehaviour, address_of};

/// A connected peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Its id.
    pub peer: PeerId,
    /// Its operator, if it has a service in common with this node.
    pub operator: Option<Address>,
    /// The other ends of its connections.
    pub remote: Vec<Multiaddr>,
    /// One-way messages that wait for it.
    pub queued: usize,
    /// Bytes of those.
    pub queued_bytes: usize,
}

/// A one-way message on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) service: Address,
    pub(crate) data: Vec<u8>,
}

/// The sending end of one fellow's queue.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    pub(crate) peer: PeerId,
    pub(crate) queue: mpsc::Sender<Outgoing>,
    /// Bytes in the queue.
    pub(crate) bytes: Arc<AtomicUsize>,
}

/// What the network's task is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Publish {
        service: Address,
        data: Vec<u8>,
    },
    Request {
        peer: PeerId,
        data: Vec<u8>,
        reply: oneshot::Sender<Result<Vec<u8>, Error>>,
    },
    Dial {
        address: Multiaddr,
        reply: oneshot::Sender<Result<PeerId, Error>>,
    },
    Report {
        peer: PeerId,
        what: Misbehaviour,
    },
    /// The peer's stream is stuck or broken: cut it off, and weigh it if it was slow.
    CutOff {
        peer: PeerId,
        slow: bool,
    },
    Shutdown {
        done: oneshot::Sender<()>,
    },
}

/// A connected peer's operator, if it is a fellow, and the other ends of its connections.
pub(crate) type Seen = (Option<Address>, Vec<Multiaddr>);

/// What the network's task, its readers and writers, and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) members: watch::Receiver<Arc<Members>>,
    pub(crate) counters: Counters,
    pub(crate) outboxes: RwLock<HashMap<Address, Outbox>>,
    pub(crate) peers: RwLock<HashMap<PeerId, Seen>>,
    pub(crate) listening: RwLock<Vec<Multiaddr>>,
}

impl Shared {
    /// The members as they are now.
    pub(crate) fn members(&self) -> Arc<Members> {
        self.members.borrow().clone()
    }

    /// The operator behind a peer, if it has a service in common with this node.
    pub(crate) fn fellow(&self, peer: &PeerId) -> Option<Address> {
        let operator = address_of(peer)?;
        self.members
            .borrow()
            .are_fellows(self.identity.address(), operator)
            .then_some(operator)
    }
}

/// The node's end of the network; clones are equal. When the last one is dropped the network shuts down.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Handle {
    /// This node's peer id.
    pub fn peer_id(&self) -> PeerId {
        self.shared.identity.peer()
    }

    /// This node's operator address.
    pub fn operator(&self) -> Address {
        self.shared.identity.address()
    }

    /// Publishes to the topic of `service`: signed, to every connected member at once, and through them to the rest.
    /// If no member is connected yet, the message is kept for the first that is. It does not come back as an event.
    /// Waits while too many commands wait already.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::NotAMember`], [`Error::Down`].
    pub async fn publish(&self, service: Address, data: Vec<u8>) -> Result<(), Error> {
        self.fits("a message on a topic", data.len(), self.shared.config.max_gossip)?;
        self.is_member(service, self.operator())?;
        self.commands
            .send(Command::Publish { service, data })
            .await
            .map_err(|_| Error::Down)
    }

    /// Sends one message to one operator; never waits. `Ok` means queued. Messages to one operator arrive in the order
    /// they were queued, unless a connection breaks: then the last ones are lost, or come twice.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`]; [`Error::NotAMember`] of either side; [`Error::NotConnected`]; [`Error::QueueFull`] if
    /// the operator reads too slowly.
    pub fn send(&self, operator: Address, service: Address, data: Vec<u8>) -> Result<(), Error> {
        let config = &self.shared.config;
        self.fits("a one-way message", data.len(), config.max_message)?;
        self.is_member(service, self.operator())?;
        self.is_member(service, operator)?;
        let outboxes = self.shared.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        let outbox = outboxes.get(&operator).ok_or(Error::NotConnected(operator))?;
        let size = data.len();
        let fits = |queued: usize| {
            queued
                .checked_add(size)
                .filter(|sum| *sum <= config.send_bytes || queued == 0)
        };
        if outbox
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_err()
        {
            self.shared.counters.add(Count::SendDropped);
            return Err(Error::QueueFull(operator));
        }
        outbox.queue.try_send(Outgoing { service, data }).map_err(|error| {
            outbox.bytes.fetch_sub(size, Ordering::Relaxed);
            self.shared.counters.add(Count::SendDropped);
            match error {
                mpsc::error::TrySendError::Full(_) => Error::QueueFull(operator),
                mpsc::error::TrySendError::Closed(_) => Error::NotConnected(operator),
            }
        })?;
        self.shared.counters.add(Count::Sent);
        Ok(())
    }

    /// Asks a connected peer and waits for its reply, at most `deadline` (and [`Config::request_timeout`]).
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::NoSuchPeer`], [`Error::TooManyRequests`], [`Error::Timeout`],
    /// [`Error::Refused`], [`Error::Down`].
    pub async fn request(&self, peer: PeerId, data: Vec<u8>, deadline: Duration) -> Result<Vec<u8>, Error> {
        self.fits("a request", data.len(), self.shared.config.max_request)?;
        let (reply, replied) = oneshot::channel();
        let ask = async {
            self.commands
                .send(Command::Request { peer, data, reply })
                .await
                .map_err(|_| Error::Down)?;
            replied.await.map_err(|_| Error::Down)?
        };
        let deadline = deadline.min(self.shared.config.request_timeout);
        match tokio::time::timeout(deadline, ask).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { peer, deadline }),
        }
    }

    /// [`Handle::request`] to an operator with a service in common.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], and those of [`Handle::request`].
    pub async fn ask(&self, operator: Address, data: Vec<u8>, deadline: Duration) -> Result<Vec<u8>, Error> {
        let peer = self.peer_of(operator).ok_or(Error::NotConnected(operator))?;
        self.request(peer, data, deadline).await
    }

    /// Connects to whoever answers at `address`, and says who it is. Members are dialled without being asked to.
    ///
    /// # Errors
    ///
    /// [`Error::Dial`], [`Error::Down`].
    pub async fn dial(&self, address: Multiaddr) -> Result<PeerId, Error> {
        let (reply, replied) = oneshot::channel();
        self.commands
            .send(Command::Dial { address, reply })
            .await
            .map_err(|_| Error::Down)?;
        replied.await.map_err(|_| Error::Down)?
    }

    /// Says that a peer misbehaved in a way only the node can see. Enough of it is a ban.
    ///
    /// # Errors
    ///
    /// [`Error::Down`].
    pub async fn report(&self, peer: PeerId, what: Misbehaviour) -> Result<(), Error> {
        self.commands
            .send(Command::Report { peer, what })
            .await
            .map_err(|_| Error::Down)
    }

    /// The connected peers.
    pub fn peers(&self) -> Vec<Peer> {
        let peers = self.shared.peers.read().unwrap_or_else(PoisonError::into_inner);
        let outboxes = self.shared.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        peers
            .iter()
            .map(|(peer, (operator, remote))| {
                let outbox = operator.and_then(|operator| outboxes.get(&operator));
                Peer {
                    peer: *peer,
                    operator: *operator,
                    remote: remote.clone(),
                    queued: outbox.map_or(0, |o| o.queue.max_capacity().saturating_sub(o.queue.capacity())),
                    queued_bytes: outbox.map_or(0, |o| o.bytes.load(Ordering::Relaxed)),
                }
            })
            .collect()
    }

    /// The operators with a service in common that messages can be sent to now.
    pub fn operators(&self) -> Vec<Address> {
        self.shared
            .outboxes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .copied()
            .collect()
    }

    /// The peer id of a connected operator with a service in common.
    pub fn peer_of(&self, operator: Address) -> Option<PeerId> {
        self.shared
            .outboxes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&operator)
            .map(|outbox| outbox.peer)
    }

    /// The addresses this node listens on.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.shared
            .listening
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Closes all connections and listeners, and waits until that is done.
    pub async fn shutdown(&self) {
        let (done, finished) = oneshot::channel();
        if self.commands.send(Command::Shutdown { done }).await.is_ok() {
            // An error means that the network's task ended before it answered: it is down.
            let _ = finished.await;
        }
    }

    fn fits(&self, what: &'static str, found: usize, limit: usize) -> Result<(), Error> {
        if found > limit {
            Err(Error::TooLarge { what, found, limit })
        } else {
            Ok(())
        }
    }

    fn is_member(&self, service: Address, operator: Address) -> Result<(), Error> {
        let known = self.shared.members.borrow().is_member(service, operator);
        if known {
            Ok(())
        } else {
            Err(Error::NotAMember { service, operator })
        }
    }
}
