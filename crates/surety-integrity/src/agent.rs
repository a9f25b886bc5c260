//! What answers at the host's end of a channel.

pub mod measure;
