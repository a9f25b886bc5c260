//! The network over real sockets.

mod exchange;
mod ground;
