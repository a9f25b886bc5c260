//! One module a noun.

pub mod call;
pub mod dev;
pub mod dispute;
pub mod doctor;
pub mod machine;
pub mod node;
pub mod operator;
pub mod service;
