//! Transactions that anybody may send and somebody must: starting runs, settling, reporting, punishing, fixing sets.
//!
//! Those who could send one are put in an order, the same for everybody, by a hash of what it does; each waits for
//! those before it. What another node sent meanwhile shows when the transaction is simulated (it would revert) and
//! costs nothing. Sending is idempotent: the contracts take each of these once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::{Address, B256, U256, keccak256};
use surety_chain::{
    Actions, Contracts, Error, Severity,
    bindings::{Proven, Settlement},
};
use tokio::sync::{Semaphore, watch};

use super::driver::monitors::Report;
use crate::integrity::chain as integrity;

/// Transactions waiting for their turn, at most; more are refused and asked for again by whoever wants them.
const MAX_WAITING: usize = 1_024;
/// Times one is tried again after failures that may pass.
const TRIES: u32 = 8;
/// First pause after such a failure; doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// Those waited for, at most: one of that many is honest and awake.
const MOST_BEFORE: u64 = 4;

/// What is to be sent.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// Fix a service's next set.
    Fix(Address),
    /// Start a flow's run.
    Start {
        flow: U256,
        id_hash: B256,
        certified: Box<Proven>,
    },
    /// Have a result paid. The header of `block` is added when it is there.
    Settle { settlement: Box<Settlement>, block: u64 },
    /// Return what a run holds.
    Close(B256),
    /// Two contradicting votes of one member.
    Double(Box<Proven>, Box<Proven>),
    /// A vote against the quorum's.
    Minority(Box<Proven>, Box<Proven>),
    /// A result that the quorum found invalid.
    WrongResult(Box<Proven>, Box<Proven>),
    /// Slash those in a case.
    Punish(B256),
    /// Keep a block's randomness before the EVM forgets its hash.
    Pin(u64),
    /// Record a baseline, or an epoch's verdict.
    ReportEpoch(Box<Report>),
    /// Slash the host of a drifted deployment.
    PunishHost(U256),
}

impl Wish {
    fn name(&self) -> &'static str {
        match self {
            Self::Fix(_) => "fix",
            Self::Start { .. } => "start",
            Self::Settle { .. } => "settle",
            Self::Close(_) => "close",
            Self::Double(..) => "reportDouble",
            Self::Minority(..) => "reportMinority",
            Self::WrongResult(..) => "reportResult",
            Self::Punish(_) => "punish",
            Self::Pin(_) => "pin",
            Self::ReportEpoch(_) => "report",
            Self::PunishHost(_) => "punish host",
        }
    }
}

/// Sends wishes. Cheap to clone; clones share what is waiting.
#[derive(Clone)]
pub(crate) struct Relay {
    actions: Actions,
    contracts: Contracts,
    /// Wait for each of those before this node.
    pause: Duration,
    me: Address,
    waiting: Arc<Mutex<HashSet<B256>>>,
    turns: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Relay {
    pub(crate) fn new(
        actions: Actions,
        contracts: Contracts,
        me: Address,
        pause: Duration,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            actions,
            contracts,
            pause,
            me,
            waiting: Arc::default(),
            turns: Arc::new(Semaphore::new(16)),
            stop,
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Sends `wish` when it is this node's turn among `others`; `id` says what it does, so that nothing waits twice.
    pub(crate) fn wish(&self, id: B256, wish: Wish, others: &[Address]) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // What only returns money leaves room for what cannot wait.
            let room = if matches!(wish, Wish::Close(_)) {
                MAX_WAITING / 16
            } else {
                MAX_WAITING
            };
            if waiting.len() >= room && !waiting.contains(&id) {
                tracing::warn!(
                    what = wish.name(),
                    "too many transactions are waiting, this one is put off"
                );
                return;
            }
            if !waiting.insert(id) {
                return;
            }
        }
        let before = others_before(id, self.me, others).min(MOST_BEFORE);
        let wait = self.pause.saturating_mul(u32::try_from(before).unwrap_or(u32::MAX));
        let relay = self.clone();
        tokio::spawn(async move {
            let mut stop = relay.stop.clone();
            tokio::select! {
                () = relay.send(&wish, wait) => {}
                _ = stop.changed() => {}
            }
            relay.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
    }

    async fn send(&self, wish: &Wish, wait: Duration) {
        tokio::time::sleep(wait).await;
        let mut pause = PAUSE;
        for _ in 0..TRIES {
            let Ok(_turn) = self.turns.acquire().await else {
                return;
            };
            match self.once(wish).await {
                Ok(true) => {
                    tracing::info!(what = wish.name(), "sent");
                    return;
                }
                Ok(false) => {}
                Err(Error::Reverted { revert, .. }) => {
                    // Mostly: another node was faster. If not, whoever wants it will ask again.
                    tracing::debug!(what = wish.name(), %revert, "not taken");
                    return;
                }
                Err(error) if error.severity() == Severity::Temporary => {
                    tracing::warn!(what = wish.name(), %error, "not sent, trying again");
                }
                Err(error) => {
                    tracing::error!(what = wish.name(), %error, "cannot be sent");
                    return;
                }
            }
            drop(_turn);
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }

    /// One try; `false` if something it needs is not there yet.
    async fn once(&self, wish: &Wish) -> Result<bool, Error> {
        match wish {
            Wish::Fix(service) => self.actions.fix_set(*service).await?,
            Wish::Start {
                flow,
                id_hash,
                certified,
            } => {
                self.actions
                    .start_run(*flow, *id_hash, certified.as_ref().clone())
                    .await?
            }
            Wish::Settle { settlement, block } => {
                let Some(randomness) = self.contracts.randomness(*block).await? else {
                    return Ok(false);
                };
                let mut settlement = settlement.as_ref().clone();
                settlement.header = randomness.header;
                self.actions.settle_task(settlement).await?
            }
            Wish::Close(run) => self.actions.close_run(*run).await?,
            Wish::Double(first, second) => {
                self.actions
                    .report_double(first.as_ref().clone(), second.as_ref().clone())
                    .await?
            }
            Wish::Minority(ballot, certified) => {
                self.actions
                    .report_minority(ballot.as_ref().clone(), certified.as_ref().clone())
                    .await?
            }
            Wish::WrongResult(ballot, certified) => {
                self.actions
                    .report_result(ballot.as_ref().clone(), certified.as_ref().clone())
                    .await?
            }
            Wish::Punish(case) => self.actions.punish(*case).await?,
            Wish::Pin(block) => {
                let Some(randomness) = self.contracts.randomness(*block).await? else {
                    return Ok(false);
                };
                self.actions.pin_randomness(*block, randomness.header).await?
            }
            Wish::ReportEpoch(report) => return integrity::report(&self.actions, report).await,
            Wish::PunishHost(deployment) => self.actions.punish_host((*deployment).into()).await?,
        };
        Ok(true)
    }
}

/// How many of `others` come before `me` for this transaction.
fn others_before(id: B256, me: Address, others: &[Address]) -> u64 {
    let rank = |who: &Address| keccak256([id.as_slice(), who.as_slice()].concat());
    let mine = rank(&me);
    others.iter().filter(|who| **who != me && rank(who) < mine).count() as u64
}
