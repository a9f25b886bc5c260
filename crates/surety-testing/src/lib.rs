//! surety-testing
