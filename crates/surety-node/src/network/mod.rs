//! The network of services (`docs/spec/network.md`): peers, connectors, events, tasks, flows.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | `[network]` of `node.toml` |
//! | `follow`, `ledger` | the chain's logs, and what they come to |
//! | `driver` | feeds the machines of `surety-protocol::network` and performs their effects |
//! | `host` | connectors, over gRPC |
//! | `exchange` | what peers ask each other for |
//! | `relay` | transactions that anybody may send |
//! | `store` | votes, observations, payloads, certificates, logs |
//! | `api` | JSON-RPC for applications |

mod api;
pub mod config;
mod driver;
mod exchange;
mod follow;
mod host;
mod ledger;
mod relay;
mod start;
mod store;

pub(crate) use driver::{Completion, monitors::Report, now_ms};
pub use start::{NetworkError, NetworkHandle};
pub(crate) use start::{Parts, start};
