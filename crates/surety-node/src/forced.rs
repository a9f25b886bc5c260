//! Requests made on-chain (the forced path): answered like any other, and the answer posted to the service's contract.
//!
//! A request is pending until its answer is seen on-chain, ours or, after a restart, one posted before: the chain, and
//! not this node's memory, says what is answered. The feed's cursor never passes the block of a pending request, so none
//! is forgotten over a restart; and what was answered lately is looked at again when the chain is reorganised.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, B256, U256};
use surety_chain::Severity;
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::{
    chain::ChainClient,
    config::ForcedConfig,
    executor::RunFailure,
    metrics::{Count, Metrics},
    pool::PoolError,
    provider::{ForcedCall, Provider, ProviderError},
};

/// Answers being made at a time.
const AT_A_TIME: usize = 4;
/// Requests pending, at most; more are left for later, and the cursor waits for them.
const MAX_PENDING: usize = 1_024;
/// Attempts at a request whose data cannot be found, before it is dropped.
const ATTEMPTS: u32 = 8;
/// Requests kept, at most, to be looked at again after a reorganisation.
const MAX_RECENT: usize = 256;

/// Answers the forced requests of all services of a node.
pub(crate) struct Forced {
    providers: HashMap<Address, Arc<Provider>>,
    chain: Arc<dyn ChainClient>,
    metrics: Arc<Metrics>,
    max_pause: Duration,
    reserve: U256,
    permits: Arc<Semaphore>,
    pending: BTreeMap<B256, (Seen, JoinHandle<()>)>,
    /// Dealt with, in blocks that may still be reorganised.
    recent: BTreeMap<B256, Seen>,
    /// Oldest block with a request that found no place.
    left_over: Option<u64>,
}

/// A request, and the block it is in.
#[derive(Clone)]
struct Seen {
    block: u64,
    service: Address,
    call: ForcedCall,
}

impl std::fmt::Debug for Forced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forced")
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Forced {
    /// For these providers.
    pub(crate) fn new(
        providers: &[Arc<Provider>],
        chain: Arc<dyn ChainClient>,
        metrics: Arc<Metrics>,
        max_pause: Duration,
        config: &ForcedConfig,
    ) -> Self {
        // Who does not answer forced requests follows no service's.
        let answered = if config.enabled { providers } else { &[] };
        Self {
            providers: answered.iter().map(|p| (p.service(), p.clone())).collect(),
            reserve: U256::from(config.reserve_wei),
            chain,
            metrics,
            max_pause,
            permits: Arc::new(Semaphore::new(AT_A_TIME)),
            pending: BTreeMap::new(),
            recent: BTreeMap::new(),
            left_over: None,
        }
    }

    /// A request was seen in a block.
    pub(crate) fn seen(&mut self, block: u64, service: Address, call: ForcedCall) {
        self.tidy();
        let hash = call.hash.0;
        if self.pending.contains_key(&hash) || self.recent.get(&hash).is_some_and(|s| s.call == call) {
            return;
        }
        self.begin(Seen { block, service, call });
    }

    fn begin(&mut self, seen: Seen) {
        let Some(provider) = self.providers.get(&seen.service) else {
            return;
        };
        if self.pending.len() >= MAX_PENDING {
            self.left_over = Some(self.left_over.map_or(seen.block, |b| b.min(seen.block)));
            return;
        }
        let work = Work {
            provider: provider.clone(),
            chain: self.chain.clone(),
            metrics: self.metrics.clone(),
            max_pause: self.max_pause,
            reserve: self.reserve,
            permits: self.permits.clone(),
        };
        let task = tokio::spawn(work.carry_out(seen.call.clone()));
        self.pending.insert(seen.call.hash.0, (seen, task));
    }

    /// The chain was reorganised after block `to`. Requests in later blocks are gone; those that come back are seen
    /// again. An answer to an earlier one may be gone too.
    pub(crate) fn roll_back(&mut self, to: u64) {
        self.tidy();
        self.pending.retain(|_, (seen, task)| {
            let stays = seen.block <= to;
            if !stays {
                task.abort();
            }
            stays
        });
        for (_, seen) in std::mem::take(&mut self.recent) {
            if seen.block <= to {
                self.begin(seen);
            }
        }
    }

    /// The oldest block that must be read again after a restart; `None` if all is done.
    pub(crate) fn oldest(&mut self) -> Option<u64> {
        self.tidy();
        self.pending
            .values()
            .map(|(seen, _)| seen.block)
            .min()
            .into_iter()
            .chain(self.left_over)
            .min()
    }

    /// No block up to this one is reorganised any more.
    pub(crate) fn settled(&mut self, block: u64) {
        self.tidy();
        self.recent.retain(|_, seen| seen.block > block);
    }

    /// The block to read again now, because a request there found no place and there is place now.
    pub(crate) fn take_left_over(&mut self) -> Option<u64> {
        self.tidy();
        if self.pending.len() < MAX_PENDING / 2 {
            self.left_over.take()
        } else {
            None
        }
    }

    fn tidy(&mut self) {
        let done: Vec<B256> = self
            .pending
            .iter()
            .filter(|(_, (_, task))| task.is_finished())
            .map(|(hash, _)| *hash)
            .collect();
        for hash in done {
            if let Some((seen, _)) = self.pending.remove(&hash) {
                self.recent.insert(hash, seen);
            }
        }
        while self.recent.len() > MAX_RECENT {
            let oldest = self
                .recent
                .iter()
                .min_by_key(|(_, seen)| seen.block)
                .map(|(hash, _)| *hash);
            oldest.and_then(|hash| self.recent.remove(&hash));
        }
    }
}

impl Drop for Forced {
    fn drop(&mut self) {
        for (_, task) in self.pending.values() {
            task.abort();
        }
    }
}

struct Work {
    provider: Arc<Provider>,
    chain: Arc<dyn ChainClient>,
    metrics: Arc<Metrics>,
    max_pause: Duration,
    /// Wei that must be left in the account.
    reserve: U256,
    permits: Arc<Semaphore>,
}

enum Next {
    Done,
    Retry(String),
    /// Tried a bounded number of times.
    RetryFew(String),
    Drop(String),
}

impl Work {
    async fn carry_out(self, call: ForcedCall) {
        let mut pause = Duration::from_secs(1);
        let mut attempts = 0;
        loop {
            let next = match self.permits.acquire().await {
                Ok(_permit) => self.attempt(&call).await,
                Err(_) => return,
            };
            match next {
                Next::Done => return,
                Next::Drop(reason) => {
                    tracing::warn!(request = %call.hash, reason, "a request made on-chain is not answered");
                    return;
                }
                Next::RetryFew(reason) if attempts >= ATTEMPTS => {
                    tracing::warn!(request = %call.hash, reason, "a request made on-chain is not answered");
                    return;
                }
                Next::RetryFew(reason) => {
                    attempts += 1;
                    tracing::info!(request = %call.hash, reason, "a request made on-chain has to wait");
                }
                // However long the chain or the pool is out, that is no reason to give a request up.
                Next::Retry(reason) => {
                    tracing::info!(request = %call.hash, reason, "a request made on-chain has to wait");
                }
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(self.max_pause);
        }
    }

    async fn attempt(&self, call: &ForcedCall) -> Next {
        let (service, operator) = (self.provider.service(), self.provider.operator());
        match self.chain.responded(service, call.hash.0, operator).await {
            Ok(true) => return Next::Done,
            Ok(false) => {}
            Err(e) => return Next::Retry(e.to_string()),
        }
        match self.chain.is_bonded(service, operator).await {
            Ok(true) => {}
            Ok(false) => return Next::Drop("this operator is not bonded for the service".into()),
            Err(e) => return Next::Retry(e.to_string()),
        }
        let answer = match self.provider.answer_forced(call.clone()).await {
            Ok(answer) => answer,
            Err(e @ ProviderError::Pool(PoolError::Busy { .. })) => return Next::Retry(e.to_string()),
            Err(e @ ProviderError::Pool(PoolError::Run(RunFailure::MissingPreimage(_)))) => {
                return Next::RetryFew(e.to_string());
            }
            Err(e @ (ProviderError::NoProgram(_) | ProviderError::Chain(_))) => return Next::RetryFew(e.to_string()),
            Err(e) => return Next::Drop(e.to_string()),
        };
        match self.chain.balance().await {
            Ok(balance) if balance < self.reserve => {
                return Next::Retry(format!(
                    "the account holds {balance} wei, and forced.reserve_wei keeps {} for disputes",
                    self.reserve
                ));
            }
            Ok(_) => {}
            Err(e) => return Next::Retry(e.to_string()),
        }
        match self.chain.respond(&answer).await {
            Ok(sent) => {
                self.metrics.count(Count::Forced);
                tracing::info!(request = %call.hash, gas = sent.gas, "answered a request on-chain");
                Next::Done
            }
            // Posted by somebody else, or reorganised away: the next look tells.
            Err(e) if e.severity() == Severity::Reset => Next::RetryFew(e.to_string()),
            Err(e) if e.severity() == Severity::Temporary => Next::Retry(e.to_string()),
            Err(e) => {
                self.metrics.count(Count::ChainError);
                Next::RetryFew(e.to_string())
            }
        }
    }
}
