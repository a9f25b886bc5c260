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
    /// Start a development network: anvil, the contracts, the example service and its operators.
    Dev(commands::dev::Command),
    /// Make, check, build, register and show services.
    #[command(subcommand)]
    Service(commands::service::Command),
    /// Serve services and put up bonds.
    #[command(subcommand)]
    Operator(commands::operator::Command),
    /// Ask a service: k providers, every answer verified, all compared.
    Call(commands::call::Command),
    /// Take differing answers to the chain, and follow what comes of it.
    #[command(subcommand)]
    Dispute(commands::dispute::Command),
    /// Look into the network: nodes, sets of members, certified events.
    #[command(subcommand)]
    Network(commands::network::Command),
    /// Verify what a quorum has signed: the set's keys, power and quorum are read from the chain, nothing is believed.
    #[command(subcommand)]
    Certificate(commands::certificate::Command),
    /// Verify the quotes of enclaves: SGX, TDX, SEV-SNP, Nitro.
    #[command(subcommand)]
    Quote(commands::quote::Command),
    /// Have containers run by hosts, and measured by monitors.
    #[command(subcommand)]
    Integrity(commands::integrity::Command),
    /// Prove from the chain's state that a service's container is intact.
    Attest(commands::attest::Command),
    /// Connect events to tasks: create flows, follow their runs, pay for them.
    #[command(subcommand)]
    Flow(commands::flow::Command),
    /// Ask for one task, and follow it.
    #[command(subcommand)]
    Task(commands::task::Command),
    /// Run a node: answer requests, keep the answers, play disputes.
    Node(commands::node::Command),
    /// Check this machine, the chain, the contracts, the operators and a node's configuration.
    Doctor(commands::doctor::Command),
    /// Print this reference as Markdown (docs/spec/cli.md).
    #[command(hide = true)]
    Markdown,
}

fn after_help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in exit::TABLE {
        text.push_str(&format!("  {code:<3} {meaning}\n"));
    }
    text
}
