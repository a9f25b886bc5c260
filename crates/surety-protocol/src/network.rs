//! The network of services (`docs/spec/network.md`, sections 7 to 9): event consensus, task consensus and flows, and
//! consensus about containers (`docs/spec/integrity.md`, section 6), as machines that a driver feeds.
//!
//! The driver owns the clock, the wires, the disk and the keys:
//!
//! - it hands over what happened as an input, and carries out the effects **in their order**;
//! - `Store` must be durable before it answers `Stored`; the machine has nothing signed before that, so no signature
//!   leaves a node that would forget it. The store compares and sets: it never keeps two values for one (set, kind,
//!   subject), and says which votes it refused. That is what makes the rule of voting hold across restarts;
//! - `Compute` carries [`Work`] that takes a pairing or two; the driver runs [`Work::run`] wherever it likes, in any
//!   order, and answers `Computed`. So signatures stay off the hot path, and the machines stay deterministic.
//!
//! Members are known by their index in the [`Roster`] of a set, peers by their operator's address, which the wire must
//! have authenticated.

pub mod crypto_bls;
pub mod event;
pub mod evidence;
pub mod flow;
pub mod measure;
pub mod message;
pub mod roster;
pub mod scheme;
pub mod task;

pub use event::EventConsensus;
pub use evidence::{Evidence, Fault, Proven, Seal};
pub use flow::Flow;
pub use measure::MeasurementConsensus;
pub use message::{Body, Message, MessageError};
pub use roster::Roster;
pub use scheme::{Done, Scheme, SignatureBytes, Work};
pub use task::TaskConsensus;

/// Names a piece of work or a write that a machine waits for. Unique in one machine's life.
pub type Ticket = u64;
