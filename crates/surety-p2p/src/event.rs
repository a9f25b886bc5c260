//! What the network tells the node, and the queue it comes through.

use alloy_primitives::Address;
use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Through the service's topic, signed by its author; passed on by `relay`, which may be the author.
    Gossip {
        /// Who handed it to this node.
        relay: PeerId,
    },
    /// From the author itself, to this node only.
    Direct,
}

/// A message of a member of a service this node is a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The author's operator address, proved by signature or connection.
    pub from: Address,
    /// The author's peer id.
    pub peer: PeerId,
    /// The service both are members of.
    pub service: Address,
    /// The content.
    pub data: Vec<u8>,
    /// How it came.
    pub via: Via,
}

/// A request for a reply.
#[derive(Debug)]
pub struct Request {
    /// Who asks, if it has a service in common with this node; `None` is a stranger.
    pub from: Option<Address>,
    /// The peer that asks.
    pub peer: PeerId,
    /// The content.
    pub data: Vec<u8>,
    /// Where the reply goes.
    pub reply: Reply,
}

/// Takes the one reply to a request. Dropped without a reply, it tells the other side that there is none.
#[derive(Debug)]
pub struct Reply {
    pub(crate) sender: oneshot::Sender<Vec<u8>>,
    pub(crate) limit: usize,
}

impl Reply {
    /// Replies. Whether it arrives is the asker's to find out.
    ///
    /// # Errors
    ///
    /// [`crate::Error::TooLarge`]; the asker is then told that there is no reply.
    pub fn send(self, data: Vec<u8>) -> Result<(), crate::Error> {
        if data.len() > self.limit {
            return Err(crate::Error::TooLarge {
                what: "a reply",
                found: data.len(),
                limit: self.limit,
            });
        }
        // Nobody waits any more: the asker left, or its deadline passed.
        let _ = self.sender.send(data);
        Ok(())
    }

    /// Whether the asker still waits.
    pub fn is_wanted(&self) -> bool {
        !self.sender.is_closed()
    }
}

/// What happens on the network.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A member said something.
    Message(Message),
    /// Somebody asks something.
    Request(Request),
    /// A peer is connected: the first connection to it.
    PeerConnected {
        /// The peer.
        peer: PeerId,
        /// Its operator, if it has a service in common with this node.
        operator: Option<Address>,
    },
    /// A peer is gone: its last connection was closed.
    PeerDisconnected {
        /// The peer.
        peer: PeerId,
        /// Its operator, if it had a service in common with this node.
        operator: Option<Address>,
    },
}

/// The queue of events. Its length and bytes are bounded; one-way messages wait on the wire while it is full, messages
/// on topics are dropped and counted, requests are refused.
#[derive(Debug)]
pub struct Events {
    pub(crate) queue: mpsc::Receiver<(Event, Option<OwnedSemaphorePermit>)>,
}

impl Events {
    /// The next event; `None` once the network is down.
    pub async fn recv(&mut self) -> Option<Event> {
        self.queue.recv().await.map(|(event, _)| event)
    }

    /// The next event, if one is there.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.queue.try_recv().ok().map(|(event, _)| event)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
