//! Writes the certificates of the simulated roots, which the crate embeds, to a folder:
//! `cargo run -p surety-enclave --features simulated --example simulated_roots -- crates/surety-enclave/src/roots`.

use std::{error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("expected a folder")?);
    for (name, der) in surety_enclave::simulated::roots()? {
        std::fs::write(folder.join(name), der)?;
    }
    Ok(())
}
