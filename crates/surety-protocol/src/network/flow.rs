//! Flows (`docs/spec/network.md`, section 9): a graph of nodes that every member evaluates alike on the same certified
//! data. Which tasks run, with which inputs, is decided without a vote.
//!
//! A [`Flow`] is what an application wrote, checked. A [`Run`] is one evaluation of it: an input at a time, and the
//! same log of inputs gives the same state, so that durable execution is a replay.

mod definition;
mod expression;
mod predicate;
mod run;

pub use definition::{Flow, FlowError, Node, Place, Start, Step, Work};
pub use expression::{Expression, Reference};
pub use predicate::{Comparison, Predicate};
pub use run::{Effect, Input, Run};

/// Longest canonical JSON of a flow in bytes: what the contract takes.
pub const MAX_DEFINITION_BYTES: usize = 16 * 1024;

/// Most nodes of a flow.
pub const MAX_NODES: usize = 128;

/// Most steps (nodes that are tasks): the contract has a bit for each.
pub const MAX_STEPS: usize = 64;

/// What all maps of a run may hold together, in bytes of their encodings; each has an equal part, and none more than a
/// value has.
pub const MAX_MAPS_BYTES: usize = 16 << 20;

/// Most levels of a predicate.
pub const MAX_PREDICATE_DEPTH: usize = 8;
