//! The network of services as it runs: real nodes and connectors on a real chain, killed, cut off, lied to and flooded.

mod crashes;
mod flows;
mod hostile;
mod lies;
mod partition;
mod private;
mod roles;
mod support;
