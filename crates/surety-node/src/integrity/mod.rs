//! Integrity of containers (`docs/spec/integrity.md`): the duty *monitor*, and the attestation of what monitors found.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | `[integrity]` of `node.toml` |
//! | `chain`, `ledger` | what the chain says of deployments |
//! | `watch` | one task for each deployment: measures, deploys, hears the engine's events |
//! | `host` | one container on one host |
//! | `api` | the attestation over REST |
//! | `quotes` | monitors' enclaves, verified |
//!
//! Votes go the way of the network's: `network/driver/monitors.rs` feeds the machines of
//! `surety-protocol::network::measure`.

pub(crate) mod api;
pub(crate) mod chain;
pub mod config;
pub(crate) mod host;
pub(crate) mod ledger;
pub(crate) mod quotes;
pub(crate) mod watch;

pub use api::OPENAPI;
pub use watch::IntegrityError;
