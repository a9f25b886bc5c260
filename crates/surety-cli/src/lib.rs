//! surety-cli
