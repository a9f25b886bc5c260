//! The `surety` command line. Verb and noun; `--json` everywhere; results on stdout, everything else on stderr; exit
//! codes in [`exit`]; secrets come from files, never from flags; every error names the next step.

pub mod cli;
pub mod commands;
pub mod exit;
pub mod ui;
pub mod values;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

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

fn dispatch(command: cli::Command, ui: ui::Ui) -> Result<(), exit::Failure> {
    match command {
        cli::Command::Machine(command) => commands::machine::run(command, ui),
    }
}

/// Help and version go to stdout with 0; everything else is a wrong command line.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() || !json {
        let _gone = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::code::USAGE));
    }
    let message = error.render().to_string();
    let failure = exit::Failure::usage(message.trim(), "surety --help lists the commands and their flags");
    ui::Ui::new(true).failure(&failure);
    ExitCode::from(exit::code::USAGE)
}
