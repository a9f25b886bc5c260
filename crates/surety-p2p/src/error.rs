//! What the network answers when it can't do what it was asked.

use std::time::Duration;

use alloy_primitives::Address;
use libp2p::{Multiaddr, PeerId};

/// Why something was not sent, dialled or answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Larger than the configuration allows.
    #[error("{found} bytes are more than the {limit} allowed for {what}")]
    TooLarge {
        /// Kind of message.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// This node's operator is not a member of the service.
    #[error("{operator} is not a member of the service {service}")]
    NotAMember {
        /// The service.
        service: Address,
        /// Whoever is not a member of it.
        operator: Address,
    },
    /// No connection to that operator.
    #[error("there is no connection to the operator {0}")]
    NotConnected(Address),
    /// No connection to that peer.
    #[error("there is no connection to the peer {0}")]
    NoSuchPeer(PeerId),
    /// More waits for that operator already than the configuration allows; this message was dropped.
    #[error("the queue to the operator {0} is full")]
    QueueFull(Address),
    /// More requests wait already than the configuration allows.
    #[error("{limit} requests are waiting for replies; no more are allowed")]
    TooManyRequests {
        /// The most allowed.
        limit: usize,
    },
    /// No reply in time.
    #[error("the peer {peer} did not reply within {deadline:?}")]
    Timeout {
        /// Who was asked.
        peer: PeerId,
        /// How long was waited.
        deadline: Duration,
    },
    /// The peer refused the request (too fast, too many, too large, or it has no reply), or the connection broke.
    #[error("the peer {peer} did not serve the request: {reason}")]
    Refused {
        /// Who was asked.
        peer: PeerId,
        /// What libp2p said.
        reason: String,
    },
    /// Dialling failed.
    #[error("{address} could not be dialled: {reason}")]
    Dial {
        /// What was dialled.
        address: Multiaddr,
        /// Why it failed.
        reason: String,
    },
    /// An address could not be listened on.
    #[error("{address} cannot be listened on: {reason}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why.
        reason: String,
    },
    /// The configuration contradicts itself.
    #[error("the network's configuration is wrong: {0}")]
    Config(String),
    /// The network was shut down.
    #[error("the network is shut down")]
    Down,
}
