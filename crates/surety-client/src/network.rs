//! The network of services, for applications (`docs/spec/network.md`): what a node says, and how to check it.
//!
//! A node's [`NodeApi`] is a convenience. What counts is on the chain, and everything here is checked against it:
//!
//! - [`check`] verifies a certificate against the set's roll, read from the chain: aggregate key, signature, quorum,
//!   Merkle proof;
//! - [`draw`] computes who executes and validates a step, as the contract does;
//! - [`parse_flow`] reads a `flow.toml`;
//! - [`flows`] and [`runs`] are read from the contract's logs, with what was paid;
//! - [`output`] finds what a settled step returned: its hash is in the transaction that settled it.

mod certified;
mod draw;
mod earnings;
mod error;
mod flow_file;
mod flows;
mod node;
mod request;
mod sets;
mod terms;

pub use certified::{Checked, check, check_event};
pub use draw::{Draw, draw};
pub use earnings::{Seat, seats};
pub use error::NetworkError;
pub use flow_file::{MAX_FLOW_FILE, MAX_FLOW_STEPS, cost_of_run, parse_amount, parse_flow, steps_of, trigger_of};
pub use flows::{FlowRecord, RunRecord, SettledStep, flow, flows, output, run, runs, task_run};
pub use node::{CertifiedEvent, LogLine, NodeApi, NodeStatus, RunStatus, ServiceStatus, StepStatus};
pub use request::{KILOBYTES, PrivateInputs, nodes_hash, price_for};
pub use sets::{newest_set, set, set_in_force};
pub use terms::{price_of, set_terms};
