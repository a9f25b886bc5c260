//! The `surety` command line. Verb and noun; `--json` everywhere; results on stdout, everything else on stderr; exit
//! codes in [`exit`]; secrets come from files, never from flags; every error names the next step.

pub mod abi;
pub mod cli;
pub mod commands;
pub mod context;
pub mod dev;
pub mod exit;
pub mod manifest;
pub mod markdown;
pub mod ui;
pub mod values;

use std::{ffi::OsString, future::Future, process::ExitCode};

use clap::Parser;
use exit::Failure;

/// Parses the arguments (program name first), does what they say and returns the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let wants_json = args.iter().any(|a| a == "--json");
    let cli = match cli::Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, wants_json),
    };
    let ui = ui::Ui::new(cli.json);
    match dispatch(cli.command, ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            ui.failure(&failure);
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(command: cli::Command, ui: ui::Ui) -> Result<(), Failure> {
    use cli::Command as C;
    match command {
        C::Machine(command) => commands::machine::run(command, ui),
        C::Dev(command) => {
            log(ui.json);
            wait(commands::dev::run(command, ui))
        }
        C::Service(command) => wait(commands::service::run(command, ui)),
        C::Operator(command) => wait(commands::operator::run(command, ui)),
        C::Call(command) => wait(commands::call::run(command, ui)),
        C::Dispute(command) => wait(commands::dispute::run(command, ui)),
        C::Network(command) => wait(commands::network::run(command, ui)),
        C::Certificate(command) => wait(commands::certificate::run(command, ui)),
        C::Quote(command) => commands::quote::run(command, ui),
        C::Integrity(command) => wait(commands::integrity::run(command, ui)),
        C::Attest(command) => wait(commands::attest::run(command, ui)),
        C::Flow(command) => wait(commands::flow::run(command, ui)),
        C::Task(command) => wait(commands::task::run(command, ui)),
        C::Node(command) => wait(commands::node::run(command, ui)),
        C::Doctor(command) => wait(commands::doctor::run(command, ui)),
        C::Markdown => {
            let text = markdown::reference();
            ui.result(text.trim_end(), &serde_json::json!({"markdown": text}));
            Ok(())
        }
    }
}

/// Runs a command that waits for networks.
fn wait(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| {
            Failure::new(
                format!("the runtime cannot be started: {e}"),
                "check the limits on threads (ulimit -u)",
            )
        })?
        .block_on(command)
}

/// Logs to stderr, as `RUST_LOG` says (`info` if it says nothing).
pub fn log(json: bool) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Set already, by a test that starts two commands: the first one stays.
    let _set_already = if json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
}

/// Help and version go to stdout with 0; everything else is a wrong command line.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() || !json {
        let _gone = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::code::USAGE));
    }
    let message = error.render().to_string();
    let failure = Failure::usage(message.trim(), "surety --help lists the commands and their flags");
    ui::Ui::new(true).failure(&failure);
    ExitCode::from(exit::code::USAGE)
}
