//! The command line's grammar.

use clap::{Parser, Subcommand};

use crate::{commands, exit};

/// Run services on machines nobody has to trust, and check that their answers are right.
#[derive(Debug, Parser)]
#[command(name = "surety", version, propagate_version = true, after_help = after_help())]
pub struct Cli {
    /// Print results as JSON on stdout, errors as JSON on stderr.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run, inspect, prove and disassemble programs.
    #[command(subcommand)]
    Machine(commands::machine::Command),
}

fn after_help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in exit::TABLE {
        text.push_str(&format!("  {code:<3} {meaning}\n"));
    }
    text
}
