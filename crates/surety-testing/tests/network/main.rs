//! The network of services as it runs: real nodes and connectors on a real chain, killed, cut off, lied to and flooded.

#![allow(
    clippy::print_stderr,
    reason = "a long test tells how far it is, and what the nodes said if it fails"
)]

mod crashes;
mod flows;
mod hostile;
mod lies;
mod partition;
mod private;
mod roles;
mod support;
