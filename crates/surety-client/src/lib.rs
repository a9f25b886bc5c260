//! What an application links against: discover providers, call a service, check the answers, open a dispute.
//!
//! Providers come from the registry; k of them are drawn by chance, weighted by stake; all get the same signed
//! request; every answer is verified on its own ([`verify()`]) and then compared with the others. If all agree, nothing
//! goes on-chain. If not, the signed answers are [`Evidence`], and [`dispute::open`] takes them to the chain.

pub mod call;
pub mod dispute;
pub mod evidence;
pub mod network;
pub mod policy;
pub mod rpc;
pub mod verify;

pub use call::{CallError, Called, Client, Failure, Question, Report, Verdict};
pub use evidence::{Evidence, EvidenceError};
pub use policy::{Choice, Policy};
pub use rpc::{Limits, ProviderRpc, RpcError};
pub use verify::{Expected, Refusal, verify};
