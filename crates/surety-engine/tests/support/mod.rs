//! What the tests of the engine share.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

pub mod compare;
pub mod generate;
