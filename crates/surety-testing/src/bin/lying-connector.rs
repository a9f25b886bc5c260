//! A connector that sees what everybody sees and says something else: every payment is a thousand times as large.
//! It takes the configuration of the honest `ethereum` connector.

use std::{path::PathBuf, time::Duration};

use alloy::{rpc::types::Filter, sol_types::SolEvent};
use anyhow::{Context, Result};
use clap::Parser;
use surety_chain::{Rpc, tokens::IERC20};
use surety_connector::sdk::{Connector, Nothing};
use surety_connectors::{Kind, config::Loaded};
use surety_primitives::value::{Number, Value};

/// Emits false events.
#[derive(Parser)]
struct Arguments {
    /// configuration of an `ethereum` connector
    #[arg(long)]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Loaded::read(&Arguments::parse().config)?;
    let ethereum = config.file.ethereum.as_ref().context("no section [ethereum]")?;
    let log = ethereum.logs.first().context("no log to lie about")?.clone();
    let rpc = Rpc::new(ethereum.rpc.as_deref().context("no rpc")?)?;
    let connector = Connector::new(config.node(Kind::Ethereum).event(&log.event), Nothing)?;
    let emitter = connector.emitter();
    let lie = async {
        let mut next = log.from_block;
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            // A liar does not wait for confirmations: once the truth is certified, its own node refuses the lie.
            let head = rpc.latest().await?.header.number;
            if head < next {
                continue;
            }
            let filter = Filter::new()
                .address(log.contract)
                .event_signature(IERC20::Transfer::SIGNATURE_HASH)
                .from_block(next)
                .to_block(head);
            for found in rpc.logs(&filter).await? {
                let event = IERC20::Transfer::decode_log(&found.inner)?;
                let number = |n: Option<u64>| n.and_then(|n| Number::from_integer(n.into())).map(Value::Number);
                let args = Value::object([
                    ("from", format!("{:#x}", event.from)),
                    ("to", format!("{:#x}", event.to)),
                    ("value", format!("{}000", event.value)),
                ]);
                let data = Value::object([
                    (
                        "block_hash",
                        Value::from(format!("{:#x}", found.block_hash.context("no block")?)),
                    ),
                    ("block_number", number(found.block_number).context("no block")?),
                    (
                        "transaction",
                        Value::from(format!("{:#x}", found.transaction_hash.context("none")?)),
                    ),
                    ("log_index", number(found.log_index).context("no index")?),
                    ("contract", Value::from(format!("{:#x}", found.address()))),
                    ("args", args),
                ]);
                match emitter.emit(&log.event, &data).await {
                    Ok(key) => tracing::info!(key, "lied"),
                    Err(error) => tracing::warn!(%error, "too late to lie"),
                }
            }
            next = head + 1;
        }
        #[allow(unreachable_code, reason = "the type of the block")]
        anyhow::Ok(())
    };
    tokio::select! {
        ended = connector.run() => Ok(ended?),
        ended = lie => ended,
    }
}
