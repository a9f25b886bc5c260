//! How fast the interpreter is: runs an ELF to its end, and prints steps, seconds and steps per second; then how long
//! it takes to hash what it wrote.
//!
//! `cargo run --release -p surety-machine --example interpreter_speed -- PROGRAM.elf`
#![allow(clippy::print_stdout, reason = "prints its figures")]

use std::time::Instant;
use surety_machine::{Machine, MemoryPreimages, Program};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("expected the path of an ELF file")?;
    let program = Program::from_elf(&std::fs::read(path)?)?;
    let mut preimages = MemoryPreimages::default();
    let input = preimages.insert(b"");
    for round in 1..=3 {
        let mut machine = Machine::new(&program, input);
        let start = Instant::now();
        let status = machine.run(u64::MAX, &mut preimages)?;
        let seconds = start.elapsed().as_secs_f64();
        let rate = machine.steps() as f64 / seconds / 1e6;
        let start = Instant::now();
        machine.state_root();
        let hashing = start.elapsed().as_secs_f64();
        println!(
            "round {round}: {status}, exit {:#x}, {} steps in {seconds:.3} s: {rate:.0} M steps/s; state root in {hashing:.4} s",
            machine.outcome().exit,
            machine.steps(),
        );
    }
    Ok(())
}
