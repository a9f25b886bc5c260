//! The pure state machines of Surety: an input goes in, effects come out. No I/O, no clock, no randomness: time is
//! an input, and the same inputs always give the same effects, so that a restart is a replay.
#![no_std]

extern crate alloc;

pub mod dispute;
pub mod manifest;
pub mod network;
