//! surety-client
