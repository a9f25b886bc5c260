//! `surety node`: the daemon.

use std::path::PathBuf;

use clap::Args;
use surety_node::{Config, Node, NodeError};

use crate::{exit::Failure, ui::Ui};

/// Run a node: answer requests, keep the answers, play disputes.
#[derive(Debug, Args)]
pub struct Command {
    /// Its configuration (`node.toml`).
    #[arg(long, value_name = "FILE", required_unless_present = "example")]
    config: Option<PathBuf>,
    /// Print a complete, documented configuration and exit.
    #[arg(long)]
    example: bool,
    /// Only check the configuration.
    #[arg(long)]
    check: bool,
}

/// Runs until SIGINT or SIGTERM.
pub async fn run(args: Command, ui: Ui) -> Result<(), Failure> {
    if args.example {
        let text = surety_node::config::EXAMPLE;
        ui.result(text.trim_end(), &serde_json::json!({"example": text}));
        return Ok(());
    }
    let Some(path) = args.config else {
        return Err(Failure::usage(
            "no configuration",
            "give --config FILE; --example prints one",
        ));
    };
    let next = "correct the configuration; `surety node --example` shows every key";
    let config = Config::load(&path).map_err(|e| Failure::new(e, next))?;
    if args.check {
        ui.result("the configuration is good", &serde_json::json!({"valid": true}));
        return Ok(());
    }
    crate::log(ui.json);
    let node = Node::start(config).await.map_err(|e| {
        let next = match &e {
            NodeError::Config(_) => next,
            NodeError::Keystore(_) => "check operator.keystore and operator.password_file",
            NodeError::Store(_) => "check data_dir: one node per directory, one deployment per store",
            NodeError::Sources(_) => "check [preimages]",
            NodeError::Chain(_) => "check [chain]: the endpoint is up and the deployment file is of its chain",
            NodeError::Network(_) => "check [network]: addresses, manifests, and that nothing else listens there",
            NodeError::System { .. } => "free the address or the file named above",
        };
        Failure::new(e, next)
    })?;
    let endpoints: Vec<_> = node
        .endpoints()
        .into_iter()
        .map(|(service, address)| serde_json::json!({"service": service, "listen": address.to_string()}))
        .collect();
    let text = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    ui.result(
        &format!("operator {} serves\n{text}", node.operator()),
        &serde_json::json!({"operator": node.operator(), "endpoints": endpoints}),
    );
    node.run_until_signal()
        .await
        .map_err(|e| Failure::new(e, "start the node again, and report this with its log"))
}
