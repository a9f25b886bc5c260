//! The network over real sockets.

mod abuse;
mod admission;
mod exchange;
mod ground;
mod namespaces;
mod raw;
