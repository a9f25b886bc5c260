//! The Surety daemon: the provider duty (answer requests, sign, keep, defend), its JSON-RPC, and the dispute player's
//! driver. A library; the binary is `surety node`.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let config = surety_node::Config::load("node.toml".as_ref())?;
//! let node = surety_node::Node::start(config).await?;
//! println!("{:?}", node.endpoints());
//! node.run_until_signal().await?;
//! # Ok(()) }
//! ```
//!
//! The order of things, from a request to its answer: [`rpc`] decodes JSON, [`provider`] checks the request and finds
//! the program, [`pool`] runs it on its threads with an [`executor::Executor`], reading [`preimages`]; [`store`] makes
//! request, answer and preimages durable in one commit; only then is the answer signed.

pub mod chain;
pub mod config;
pub mod events;
pub mod executor;
mod forced;
pub mod integrity;
pub mod json_rpc;
pub mod keystore;
pub mod metrics;
mod metrics_server;
pub mod network;
pub mod node;
mod player;
pub mod pool;
pub mod preimages;
pub mod programs;
pub mod provider;
pub mod rpc;
pub mod store;
pub mod trace;
mod watcher;

pub use chain::ChainClient;
pub use config::{Config, ConfigError};
pub use executor::{Executor, MachineExecutor};
pub use node::{ChainParts, Node, NodeBuilder, NodeError, NodeHandle};
pub use trace::{MachineTracer, Tracer};
