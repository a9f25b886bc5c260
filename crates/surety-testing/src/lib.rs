//! What the end-to-end tests and the demo are made of: a development network of real processes, and nodes that lie.
//! Nothing depends on this crate, and nothing in the product can lie (`docs/adr/0007`).

pub mod cables;
pub mod devnet;
pub mod engine;
pub mod gas;
pub mod images;
pub mod integrity;
pub mod lie;
pub mod network;
pub mod registry;
pub mod scenario;
pub mod shop;
pub mod sshd;
