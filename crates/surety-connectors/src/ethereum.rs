//! Logs of contracts in, once they are as deep as they must be; transactions out.

mod abi;
mod finality;
mod journal;
mod logs;
mod transactions;

use std::{path::PathBuf, time::Duration};

use alloy::primitives::Address;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use surety_chain::Rpc;
use surety_connector::sdk::{Connector, Failure, Job, Verdict, Work};
use surety_primitives::value::Value;

use crate::{Kind, config::Loaded};
use transactions::Transactions;

/// `[ethereum]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// the endpoint, `http://…` or `https://…`
    pub rpc: Option<String>,
    /// or a file with it, if it has a key in it
    pub rpc_file: Option<PathBuf>,
    /// blocks on top of one before its logs and transactions count as final, 1 to 1024
    pub confirmations: u64,
    /// seconds between looks for new blocks
    #[serde(default = "poll")]
    pub poll: u32,
    /// where the connector remembers which block comes next; without it, it begins at `from_block` again
    pub state_file: Option<PathBuf>,
    /// logs that are events
    #[serde(default, rename = "log")]
    pub logs: Vec<LogConfig>,
    /// calls that are tasks
    #[serde(default, rename = "call")]
    pub calls: Vec<CallConfig>,
    /// the account that sends transactions: a file with its secret key in hexadecimal
    pub key_file: Option<PathBuf>,
    /// the folder of the journal of transactions, needed for calls
    pub journal: Option<PathBuf>,
}

/// `[[ethereum.log]]`. The event's data: `block_hash`, `transaction`, `contract` (String), `block_number`, `log_index`
/// (Number), `args` (Object, by the parameters' names); id `block_hash`, `log_index`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// the contract
    pub contract: Address,
    /// the log in Solidity's notation: `event Transfer(address indexed from, address indexed to, uint256 value)`
    pub signature: String,
    /// the event of the service
    pub event: String,
    /// first block looked at
    pub from_block: u64,
}

/// `[[ethereum.call]]`. Outputs: `transaction`, `block_hash`, `status` (String), `block_number` (Number).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallConfig {
    /// the task
    pub task: String,
    /// the contract
    pub contract: Address,
    /// the method in Solidity's notation: `function record(bytes32 task, uint256 amount)`. Each parameter is the
    /// input of its name; a bytes32 parameter called `task` that is no input gets the task's id
    pub signature: String,
}

fn poll() -> u32 {
    2
}

pub(crate) async fn run(config: &Loaded) -> Result<()> {
    let ethereum = config.section(Kind::Ethereum, &config.file.ethereum)?;
    let url = match (&ethereum.rpc, &ethereum.rpc_file) {
        (Some(url), None) => url.clone(),
        (None, Some(file)) => config.secret(file)?,
        _ => bail!("ethereum: expected either rpc or rpc_file"),
    };
    ensure!(
        (1..=finality::MAX_CONFIRMATIONS).contains(&ethereum.confirmations),
        "ethereum.confirmations: found {}, expected 1 to {}: the latest block is never final",
        ethereum.confirmations,
        finality::MAX_CONFIRMATIONS
    );
    ensure!(
        (1..=3_600).contains(&ethereum.poll),
        "ethereum.poll: expected 1 to 3600 seconds"
    );
    let rpc = Rpc::new(&url)?;
    let poll = Duration::from_secs(u64::from(ethereum.poll));
    let mut node = config.node(Kind::Ethereum);
    for log in &ethereum.logs {
        if !node.events.contains(&log.event) {
            node = node.event(&log.event);
        }
    }
    let transactions = if ethereum.calls.is_empty() {
        None
    } else {
        for call in &ethereum.calls {
            node = node.task(&call.task);
        }
        let journal = ethereum
            .journal
            .as_ref()
            .context("ethereum: calls need `journal`, a folder")?;
        let key = match &ethereum.key_file {
            Some(file) => Some(config.secret(file)?),
            None => None,
        };
        Some(Transactions::new(
            rpc.clone(),
            &ethereum.calls,
            &config.path(journal),
            key.as_deref(),
            ethereum.confirmations,
            poll,
        )?)
    };
    let logs = logs::Logs::new(
        rpc,
        &ethereum.logs,
        ethereum.confirmations,
        poll,
        ethereum.state_file.as_ref().map(|file| config.path(file)),
    )?;
    let connector = Connector::new(node, Tasks(transactions))?;
    let emitter = connector.emitter();
    tokio::select! {
        ended = connector.run() => Ok(ended?),
        ended = logs.follow(&emitter) => ended,
    }
}

struct Tasks(Option<Transactions>);

#[tonic::async_trait]
impl Work for Tasks {
    async fn execute(&self, job: &Job) -> Result<Value, Failure> {
        match &self.0 {
            Some(transactions) => transactions.send(job).await,
            None => Err(Failure::never("this connector sends no transactions")),
        }
    }

    async fn validate(&self, job: &Job, output: &Value) -> Verdict {
        match &self.0 {
            Some(transactions) => transactions.validate(job, output).await,
            None => Verdict::Unknown("this connector sends no transactions".to_owned()),
        }
    }
}
