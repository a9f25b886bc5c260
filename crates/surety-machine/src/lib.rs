//! surety-machine
