//! surety-protocol
