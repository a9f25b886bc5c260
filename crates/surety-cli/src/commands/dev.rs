//! `surety dev`: a development network in one command.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    dev::{DevConfig, Devnet},
    exit::Failure,
    ui::Ui,
    values::show_amount,
};

/// Start a development network: anvil, the contracts, the example service and its operators.
#[derive(Debug, Args)]
pub struct Command {
    /// Where keys, configurations and addresses are written.
    #[arg(long, value_name = "DIR", default_value = crate::context::DEV_DIR)]
    dir: PathBuf,
    /// How many operators.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=64))]
    operators: u32,
    /// Port of anvil; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8545)]
    l1_port: u16,
    /// Port of the first operator, the others follow; 0 takes free ones.
    #[arg(long, value_name = "PORT", default_value_t = 9651)]
    port: u16,
    /// Seconds a block; 0 mines a block for every transaction.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    block_time: u64,
    /// Directory of preimages that the operators read; may be repeated.
    #[arg(long, value_name = "DIR")]
    preimages: Vec<PathBuf>,
    /// Ethereum endpoint that the operators fetch preimages from; may be repeated.
    #[arg(long, value_name = "URL")]
    ethereum: Vec<String>,
}

/// Starts, prints, waits for Ctrl-C, stops.
pub async fn run(args: Command, ui: Ui) -> Result<(), Failure> {
    let config = DevConfig {
        dir: args.dir,
        operators: args.operators,
        l1_port: args.l1_port,
        first_port: args.port,
        block_time: (args.block_time > 0).then_some(args.block_time),
        preimages: args.preimages,
        ethereum: args.ethereum,
        ..DevConfig::default()
    };
    for folder in &config.preimages {
        if !folder.is_dir() {
            return Err(Failure::usage(
                format!("there is no directory {}", folder.display()),
                "give a directory of preimages with --preimages",
            ));
        }
    }
    let mut stop = Stop::new()?;
    let devnet = tokio::select! {
        started = Devnet::start(&config, |stage| ui.note(stage)) => started?,
        () = stop.wait() => return Ok(()),
    };
    let dir = devnet.dir.display().to_string();
    let mut text = vec![
        format!(
            "chain       {} (chain id {})",
            devnet.rpc.url(),
            devnet.deployment.chain_id
        ),
        format!("deployment  {dir}/deployment.json"),
        format!("service     explorer {}", devnet.service),
        format!("program     {}", devnet.program),
    ];
    for (i, operator) in devnet.operators.iter().enumerate() {
        text.push(format!(
            "operator {}  {} {} bond {}",
            i + 1,
            operator.endpoint,
            operator.key.address(),
            show_amount(devnet.bond)
        ));
    }
    text.push(format!(
        "user        {} ({dir}/user.json, password in {dir}/password)",
        devnet.user.address()
    ));
    text.push(format!("owner       {} ({dir}/owner.json)", devnet.owner.address()));
    let value = json!({
        "l1": devnet.rpc.url(),
        "chain_id": devnet.deployment.chain_id,
        "dir": devnet.dir,
        "deployment": devnet.deployment,
        "deployment_file": devnet.dir.join("deployment.json"),
        "password_file": devnet.password_file,
        "service": {"name": "explorer", "address": devnet.service, "program": devnet.program,
            "methods": crate::dev::EXPLORER_METHODS},
        "operators": devnet.operators.iter().map(|o| json!({
            "address": o.key.address(), "endpoint": o.endpoint, "keystore": o.keystore, "config": o.config,
            "bond": devnet.bond.to_string(),
        })).collect::<Vec<_>>(),
        "accounts": [
            {"name": "owner", "address": devnet.owner.address(), "keystore": devnet.dir.join("owner.json")},
            {"name": "user", "address": devnet.user.address(), "keystore": devnet.dir.join("user.json")},
        ],
    });
    let kept = devnet.dir.join("dev.json");
    std::fs::write(&kept, value.to_string()).map_err(|e| {
        Failure::new(
            format!("{} cannot be written: {e}", kept.display()),
            "choose another --dir",
        )
    })?;
    ui.result(&text.join("\n"), &value);
    ui.note("ready; Ctrl-C stops everything");
    stop.wait().await;
    ui.note("stopping");
    devnet.stop().await;
    Ok(())
}

/// SIGINT or SIGTERM.
pub struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens from now on.
    pub fn new() -> Result<Self, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let fail = |e| {
                Failure::new(
                    format!("signals cannot be received: {e}"),
                    "run it in an ordinary shell",
                )
            };
            Ok(Self {
                terminate: signal(SignalKind::terminate()).map_err(fail)?,
                interrupt: signal(SignalKind::interrupt()).map_err(fail)?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for one.
    pub async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        let _ended = tokio::signal::ctrl_c().await;
    }
}
