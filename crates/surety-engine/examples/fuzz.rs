//! Looks for a program on which the engines differ: `cargo run -p surety-engine --example fuzz -- SECONDS [SEED] [ELF...]`.
//!
//! Half of the programs are made up, half are real ones with some words changed. Each is stopped at every one of its
//! first steps and at random ones, and all state compared with the interpreter's. A difference is printed with the
//! number that makes it again, and is exit code 1.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what it is given is given by a developer"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use support::{
    compare::engines_agree,
    generate::{Source, mutated, program},
};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(60, |text| text.parse().expect("seconds"));
    let seed: u64 = match arguments.next().as_deref() {
        None | Some("random") => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64),
        Some(text) => text.parse().expect("a seed"),
    };
    let real: Vec<Vec<u8>> = arguments.map(|path| std::fs::read(&path).expect("an ELF")).collect();
    if let Err(reason) = surety_engine::translated_here() {
        eprintln!("nothing to compare: {reason}");
        return ExitCode::FAILURE;
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let (next, failed) = (AtomicU64::new(seed), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < until && !failed.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if let Err(difference) = one(number, &real) {
                        failed.store(true, Ordering::Relaxed);
                        println!("program {number}: {difference}");
                        println!("again: cargo run -p surety-engine --example fuzz -- 1 {number} ELF...");
                    }
                }
            });
        }
    });
    let programs = next.load(Ordering::Relaxed) - seed;
    println!("{programs} programs from number {seed} on, in {seconds} s");
    if failed.load(Ordering::Relaxed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn one(number: u64, real: &[Vec<u8>]) -> Result<(), String> {
    let bytes = number.to_le_bytes();
    let mut source = Source::new(&bytes);
    if number.is_multiple_of(2)
        && let Some(elf) = real.get((number / 2) as usize % real.len().max(1))
    {
        let Some(program) = mutated(elf, &mut source) else {
            return Ok(());
        };
        return engines_agree(&program, &mut source, 20, 60_000);
    }
    engines_agree(&program(&mut source), &mut source, 130, 5_000)
}
