//! The `surety` command.

fn main() -> std::process::ExitCode {
    surety_cli::main(std::env::args_os())
}
