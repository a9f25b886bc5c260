//! Developer automation: generators, and the repository's own rules. `cargo xtask` lists what there is.
//!
//! One module a subcommand; each takes its arguments and returns an error that says what to do next.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod artifacts;
mod bindings;
mod connector_proto;
mod dispute_vectors;
mod integrity_vectors;
mod licences;
mod machine_spec;
mod machine_vectors;
mod network_vectors;
mod primitives_vectors;
mod repo;
mod tidy;
mod vectors;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// What a subcommand is: its name, what it does in a line, and the function that does it.
type Command = (&'static str, &'static str, fn(&[String]) -> Result<()>);

const COMMANDS: &[Command] = &[
    (
        "artifacts",
        "write contracts/artifacts/ from forge's output; --check compares instead",
        artifacts::run,
    ),
    (
        "bindings",
        "write surety-chain's bindings from the contracts' interfaces; --check compares instead",
        bindings::run,
    ),
    (
        "connector-proto",
        "write the code of the connectors' wire; --check compares instead",
        connector_proto::run,
    ),
    (
        "dispute-vectors",
        "write vectors/dispute/; --check compares instead",
        dispute_vectors::run,
    ),
    (
        "integrity-vectors",
        "write vectors/integrity/; --check compares instead",
        integrity_vectors::run,
    ),
    (
        "licences",
        "check the licence and the source of every dependency against deny.toml",
        licences::run,
    ),
    (
        "machine-spec",
        "write the instruction table of docs/spec/machine.md; --check compares instead",
        machine_spec::run,
    ),
    (
        "machine-vectors",
        "write vectors/machine/; --check compares instead",
        machine_vectors::run,
    ),
    (
        "network-vectors",
        "write vectors/network/; --check compares instead",
        network_vectors::run,
    ),
    (
        "primitives-vectors",
        "write vectors/primitives/; --check compares instead",
        primitives_vectors::run,
    ),
    ("tidy", "check the repository's own rules", tidy::run),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let Some((name, rest)) = args.split_first() else {
        for (name, about, _) in COMMANDS {
            println!("{name:18} {about}");
        }
        return Ok(());
    };
    match COMMANDS.iter().find(|(command, ..)| command == name) {
        Some((.., run)) => run(rest),
        None => bail!("found the subcommand `{name}`; `cargo xtask` lists those there are"),
    }
}
