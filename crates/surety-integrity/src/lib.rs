//! Integrity of containers (`docs/spec/integrity.md`): an unmodified image runs on somebody else's machine, and
//! others say whether it still is that image.
//!
//! | module | what |
//! |---|---|
//! | [`image`] | pull by digest, every blob hashed before it is used; the merged file system of the layers |
//! | [`channel`] | how a monitor reaches a host: in the same process, or one pinned SSH command |
//! | [`agent`] | what answers at the host's end, and what each role may ask of it |
//! | [`deploy`] | the plan's container, made of exactly the bytes that were checked |
//! | [`measurement`], [`finding`], [`probe`], [`monitor`] | what is measured, and what differs |

pub mod agent;
pub mod channel;
pub mod deploy;
pub mod finding;
pub mod image;
pub mod measurement;
pub mod monitor;
pub mod probe;
