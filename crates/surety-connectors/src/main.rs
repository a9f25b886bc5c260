//! `surety-connector KIND --config FILE`: runs one of the connectors that come with Surety until it is told to end.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use surety_connectors::{Kind, config::Loaded};
use tokio::signal::unix::{SignalKind, signal};

/// Connects a technology to a Surety node.
#[derive(Parser)]
#[command(name = "surety-connector", version)]
struct Arguments {
    /// which connector
    kind: Kind,
    /// its configuration (docs/guides/connectors.md)
    #[arg(long)]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    let ended = async {
        let config = Loaded::read(&arguments.config)?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            ended = surety_connectors::run(arguments.kind, &config) => ended,
            _ = terminate.recv() => Ok(()),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    };
    match ended.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
