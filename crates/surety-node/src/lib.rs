//! surety-node
