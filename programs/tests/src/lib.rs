//! The example programs from the outside: the preimages they read, and a way to call their committed ELFs.

mod fixtures;
mod preimages;
mod runner;

pub use fixtures::{AccountProof, Fixtures, testdata};
pub use preimages::{Pack, make, read_directory};
pub use runner::{Answer, Program};
