//! Containers that are watched, with real processes: an engine, a registry, an SSH server, a chain, four nodes.

mod money;
mod monitors;
mod partition;
mod tampering;
