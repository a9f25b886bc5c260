//! The peer-to-peer network of operators: who may speak, how much, and to whom.
//!
//! A peer's id is its secp256k1 key, so the operator's Ethereum address follows from the connection itself
//! ([`address_of`]). Who shares a service with this node is a **fellow**; everybody else is a **stranger**.
//!
//! | | fellow | stranger |
//! |---|---|---|
//! | [`Handle::publish`] to a service's topic (gossipsub, signed) | if the author is a member of that service | never |
//! | [`Handle::send`] one-way to one operator (a stream that stays open) | of a service in common | never |
//! | [`Handle::request`] with a reply (request-response) | yes | yes, more slowly |
//! | connections | reserved places | what is left |
//!
//! [`Network::start`] gives a [`Handle`] to speak through and [`Events`] to listen to.
//!
//! Messages are opaque bytes here. Every queue is bounded, in messages and in bytes; what does not fit is refused to
//! the caller, held back on the wire, or dropped and counted ([`Counters`]).

mod behaviour;
mod bucket;
mod config;
mod counters;
mod direct;
mod error;
mod event;
mod handle;
mod identity;
mod members;
mod network;
mod standing;
mod transport;

pub use config::{Config, Rate};
pub use counters::{Count, Counters};
pub use error::Error;
pub use event::{Event, Events, Message, Reply, Request, Via};
pub use handle::{Handle, Peer};
pub use identity::{BadIdentity, Identity, address_of};
pub use members::Members;
pub use network::Network;
pub use standing::Misbehaviour;

/// Addresses of operators and services.
pub use alloy_primitives::Address;
/// Where a peer can be reached, and who it is.
pub use libp2p::{Multiaddr, PeerId};
