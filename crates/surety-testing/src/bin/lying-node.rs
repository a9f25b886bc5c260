//! A node that lies: `lying-node --config node.toml --lie output`. For the demo and the tests only.

use std::{path::PathBuf, sync::Arc};

use clap::Parser;
use surety_node::{Config, Node};
use surety_testing::lie::{Lie, LyingExecutor, LyingTracer, Stories};

/// As `surety node`, but its machine goes wrong at one step.
#[derive(Parser)]
struct Arguments {
    /// The node's configuration.
    #[arg(long)]
    config: PathBuf,
    /// What goes wrong: output, register:STEP:REGISTER:XOR, memory:STEP:ADDRESS:XOR, jump:STEP:PC.
    #[arg(long)]
    lie: Lie,
    /// Signs its lie and never moves in the dispute.
    #[arg(long)]
    silent: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut config = Config::load(&arguments.config)?;
    config.player.defend = !arguments.silent;
    config.player.join = false;
    let (lie, stories) = (arguments.lie, Stories::default());
    let executor = LyingExecutor {
        lie,
        stories: stories.clone(),
    };
    let node = Node::builder(config)
        .executor(Arc::new(executor))
        .tracer(move |honest| Arc::new(LyingTracer { honest, lie, stories }))
        .start()
        .await?;
    node.run_until_signal().await?;
    Ok(())
}
