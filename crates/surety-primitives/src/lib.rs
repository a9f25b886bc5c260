//! surety-primitives
