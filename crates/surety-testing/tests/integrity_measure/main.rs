//! P6 on a real engine: a changed container is reported, an unchanged one never.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod lies;
mod ordinary;
mod setting;
mod tampering;
