//! The translated engine for x86-64 Linux.

mod assembler;
mod blocks;
mod carries;
mod charges;
mod code;
mod constants;
mod fault;
mod flat;
mod fractions;
mod frame;
mod joins;
mod keccak;
mod mapping;
mod places;
mod products;
mod rotations;
mod run;
mod swaps;
mod translate;
mod zones;

pub(crate) use code::{Code, supported};
pub(crate) use run::Machine;
