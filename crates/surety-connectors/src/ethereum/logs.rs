//! Following a contract's logs at a distance from the head.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::{
    dyn_abi::{DynSolEvent, Specifier},
    json_abi::Event,
    primitives::B256,
    rpc::types::{Filter, Log},
};
use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use surety_chain::Rpc;
use surety_connector::sdk::{EmitError, Emitter};
use surety_primitives::value::{Number, Value};

use super::{LogConfig, abi, finality};

/// Most blocks between two notes of the next one.
const RANGE: u64 = 128;
/// Blocks whose logs are asked for at a time.
const CONCURRENCY: usize = 16;

struct Source {
    config: LogConfig,
    event: Event,
    decoder: DynSolEvent,
}

pub(super) struct Logs {
    rpc: Rpc,
    sources: Vec<Source>,
    confirmations: u64,
    poll: Duration,
    state: Option<PathBuf>,
}

impl Logs {
    pub(super) fn new(
        rpc: Rpc,
        configs: &[LogConfig],
        confirmations: u64,
        poll: Duration,
        state: Option<PathBuf>,
    ) -> Result<Self> {
        let sources = configs.iter().map(|config| {
            let event = Event::parse(&config.signature)
                .with_context(|| format!("ethereum: `{}` is no event in Solidity's notation", config.signature))?;
            ensure!(!event.anonymous, "ethereum: `{}` is anonymous", config.signature);
            ensure!(
                event.inputs.iter().all(|input| !input.name.is_empty()),
                "ethereum: `{}`: every parameter needs a name",
                config.signature
            );
            let decoder = event.resolve().with_context(|| config.signature.clone())?;
            Ok(Source {
                config: config.clone(),
                event,
                decoder,
            })
        });
        Ok(Self {
            rpc,
            sources: sources.collect::<Result<_>>()?,
            confirmations,
            poll,
            state,
        })
    }

    /// Emits each log once it is deep enough; goes on where it left off.
    pub(super) async fn follow(&self, emitter: &Emitter) -> Result<()> {
        let Some(first) = self.sources.iter().map(|source| source.config.from_block).min() else {
            return std::future::pending().await;
        };
        let mut next = match &self.state {
            Some(path) => read_state(path)?.map_or(first, |next| next.max(first)),
            None => first,
        };
        loop {
            match self.step(next, emitter).await {
                Ok(Some(after)) => {
                    next = after;
                    if let Some(path) = &self.state {
                        write_state(path, next)?;
                    }
                }
                Ok(None) => tokio::time::sleep(self.poll).await,
                Err(Trouble::Chain(cause)) => {
                    tracing::warn!(%cause, "the chain can't be read; trying again");
                    tokio::time::sleep(self.poll).await;
                }
                Err(Trouble::Ended(cause)) => return Err(cause),
            }
        }
    }

    /// The logs of the next blocks that are deep enough, and which block comes then. Logs are asked for by the block's
    /// hash: an endpoint that doesn't have the block refuses, where it would find a range that it hasn't reached empty,
    /// and the logs in it would be lost.
    async fn step(&self, next: u64, emitter: &Emitter) -> Result<Option<u64>, Trouble> {
        let to = next.saturating_add(RANGE.saturating_sub(1));
        let blocks = finality::final_blocks(&self.rpc, self.confirmations, next, to).await;
        let blocks = blocks.map_err(|e| Trouble::Chain(e.to_string()))?;
        let Some((last, _)) = blocks.last().copied() else {
            return Ok(None);
        };
        let logs: Vec<Vec<Log>> = stream::iter(blocks)
            .map(|(number, hash)| self.logs_of(number, hash))
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let mut found = BTreeMap::new();
        for log in logs.into_iter().flatten() {
            let (Some(number), Some(index)) = (log.block_number, log.log_index) else {
                return Err(Trouble::Chain("a log has no place, expected one in a block".to_owned()));
            };
            for source in &self.sources {
                let mine = log.address() == source.config.contract && log.topic0() == Some(&source.event.selector());
                if mine && number >= source.config.from_block {
                    found.insert((number, index, source.config.event.clone()), (source, log.clone()));
                }
            }
        }
        for ((number, index, event), (source, log)) in &found {
            let data = match source.data(log) {
                Ok(data) => data,
                Err(cause) => {
                    // The same for everybody: a log that isn't what the signature says is nobody's event.
                    tracing::error!(block = number, log = index, %cause, "a log can't be read");
                    continue;
                }
            };
            match emitter.emit(event, &data).await {
                Ok(key) => tracing::info!(block = number, log = index, event, key, "emitted"),
                Err(refused @ EmitError::Refused { .. }) => tracing::error!(block = number, log = index, %refused),
                Err(ended) => return Err(Trouble::Ended(ended.into())),
            }
        }
        Ok(Some(last.saturating_add(1)))
    }

    /// The logs of one block.
    async fn logs_of(&self, number: u64, hash: B256) -> Result<Vec<Log>, Trouble> {
        let contracts: Vec<_> = self.sources.iter().map(|source| source.config.contract).collect();
        let selectors: Vec<_> = self.sources.iter().map(|source| source.event.selector()).collect();
        let filter = Filter::new()
            .at_block_hash(hash)
            .address(contracts)
            .event_signature(selectors);
        let logs = self.rpc.logs(&filter).await.map_err(Trouble::chain)?;
        for log in &logs {
            if log.removed || (log.block_hash, log.block_number) != (Some(hash), Some(number)) {
                return Err(Trouble::Chain(format!(
                    "asked for the logs of block {number}, found others"
                )));
            }
        }
        Ok(logs)
    }
}

enum Trouble {
    Chain(String),
    Ended(anyhow::Error),
}

impl Trouble {
    fn chain(cause: surety_chain::Error) -> Self {
        Self::Chain(cause.to_string())
    }
}

impl Source {
    fn data(&self, log: &Log) -> Result<Value> {
        let decoded = self
            .decoder
            .decode_log_data(log.data())
            .context("the log is not of this signature")?;
        let (mut indexed, mut body) = (decoded.indexed.iter(), decoded.body.iter());
        let mut args = BTreeMap::new();
        for input in &self.event.inputs {
            // An indexed text or list is in the log as its hash only, which is what is decoded then.
            let value = if input.indexed { indexed.next() } else { body.next() };
            let Some(value) = value else {
                bail!("argument {} is missing", input.name);
            };
            args.insert(input.name.clone(), abi::to_value(value));
        }
        let number = |found: Option<u64>| {
            let found = found.context("a log without a place")?;
            Number::from_integer(i128::from(found))
                .map(Value::Number)
                .context("beyond 2^53")
        };
        Ok(Value::object([
            (
                "block_hash",
                Value::String(format!("{:#x}", log.block_hash.context("no block")?)),
            ),
            ("block_number", number(log.block_number)?),
            (
                "transaction",
                Value::String(format!("{:#x}", log.transaction_hash.context("no transaction")?)),
            ),
            ("log_index", number(log.log_index)?),
            ("contract", Value::String(format!("{:#x}", log.address()))),
            ("args", Value::Object(args)),
        ]))
    }
}

fn read_state(path: &Path) -> Result<Option<u64>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let next = text.trim().parse();
            Ok(Some(next.with_context(|| {
                format!("{}: found no block number", path.display())
            })?))
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause).with_context(|| format!("{}", path.display())),
    }
}

/// Replaces the file as a whole. Losing it costs emitting again, which is harmless.
fn write_state(path: &Path, next: u64) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&fresh)?;
        writeln!(file, "{next}")?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("{}", path.display()))
}
