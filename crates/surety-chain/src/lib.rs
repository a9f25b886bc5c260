//! surety-chain
