//! One module a noun.

pub mod attest;
pub mod call;
pub mod certificate;
pub mod dev;
pub mod dispute;
pub mod doctor;
pub mod flow;
pub mod integrity;
pub mod machine;
pub mod measure;
pub mod network;
pub mod node;
pub mod operator;
pub mod quote;
pub mod service;
pub mod task;
