//! Ethereum for Surety: contract bindings, deployment, events, transactions. The only crate that knows Ethereum RPC.

mod actions;
pub mod anvil;
pub mod artifacts;
pub mod bindings;
mod contracts;
pub mod deploy;
mod deployment;
mod error;
pub mod events;
pub mod integrity;
pub mod keys;
mod network;
mod rpc;
mod sender;
pub mod show;
pub mod tokens;

pub use actions::{Actions, ServiceRegistration};
pub use alloy;
pub use contracts::{Contracts, DisputeInfo, OperatorInfo, ServiceInfo};
pub use deployment::Deployment;
pub use error::{Error, Revert, Severity, endpoint};
pub use events::{BlockId, ChainEvent, Cursor, EventConfig, EventSource};
pub use network::{NetworkKeys, Randomness, SetRecord};
pub use rpc::{Rpc, RpcConfig};
pub use sender::{Call, Sender, SenderConfig, Sent};
