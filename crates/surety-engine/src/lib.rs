//! The fast engine: runs the programs of [`surety_machine`] at native speed, with every step counted.

pub mod intrinsics;
