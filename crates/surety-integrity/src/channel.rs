//! How a monitor reaches a host.
