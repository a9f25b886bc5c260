//! The chain watcher: polls the contracts' logs and hands them to the dispute player and the forced path. Survives an
//! endpoint that fails, a reorganisation, and a restart at any point.

use std::{sync::Arc, time::Duration};

use alloy::primitives::Address;
use surety_chain::{ChainEvent, Error};
use surety_primitives::DisputeId;
use surety_protocol::dispute::{At, Event, Input};
use tokio::sync::watch;

use crate::{
    events::{ChainFeed, Decoded, decode, place},
    forced::Forced,
    metrics::{Count, Metrics},
    player::PlayerDriver,
    store::{Store, StoreError},
};

/// Name of the cursor in the store: the block to begin with after a restart.
const CURSOR: &str = "chain";
/// Blocks kept below the newest one for reorganisations, and logs of settled disputes with them.
const DEPTH: u64 = 256;
/// Blocks between two writes of the cursor.
const CURSOR_EVERY: u64 = 32;
/// Dispute logs kept for a replay, at most. Beyond, a replay reads the chain again.
const MAX_LOGS: usize = 65_536;

/// What a watcher works with.
pub(crate) struct Watcher {
    /// Where the logs come from.
    pub(crate) feed: Box<dyn ChainFeed>,
    /// `Disputes`.
    pub(crate) disputes: Address,
    /// The player.
    pub(crate) player: PlayerDriver,
    /// The forced path.
    pub(crate) forced: Forced,
    /// For the cursor.
    pub(crate) store: Arc<Store>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Pause between two polls when nothing is new.
    pub(crate) poll: Duration,
    /// Longest pause after failures.
    pub(crate) max_pause: Duration,
    /// Block of the deployment.
    pub(crate) first_block: u64,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher")
            .field("disputes", &self.disputes)
            .finish_non_exhaustive()
    }
}

/// Logs of the disputes, for telling the player again.
#[derive(Default)]
struct Logbook {
    logs: Vec<(At, DisputeId, Event)>,
    /// Whether logs were dropped for lack of room.
    incomplete: bool,
}

impl Logbook {
    fn add(&mut self, at: At, dispute: DisputeId, event: Event) {
        // Read again from an earlier block: known already.
        if self
            .logs
            .last()
            .is_some_and(|(last, _, _)| (at.block, at.log) <= (last.block, last.log))
        {
            return;
        }
        if self.logs.len() >= MAX_LOGS {
            self.incomplete = true;
            return;
        }
        self.logs.push((at, dispute, event));
    }

    fn roll_back(&mut self, to: u64) {
        self.logs.retain(|(at, _, _)| at.block <= to);
    }

    /// Drops disputes settled so long ago that no reorganisation brings them back.
    fn prune(&mut self, head: u64) {
        let deep = head.saturating_sub(DEPTH);
        let settled: Vec<(DisputeId, At)> = self
            .logs
            .iter()
            .filter(|(at, _, event)| at.block <= deep && matches!(event, Event::Settled { .. }))
            .map(|(at, id, _)| (*id, *at))
            .collect();
        if !settled.is_empty() {
            // The same account may dispute the statement again later; that is another dispute.
            self.logs.retain(|(at, id, _)| {
                !settled
                    .iter()
                    .any(|(s, end)| s == id && (at.block, at.log) <= (end.block, end.log))
            });
        }
    }

    fn oldest(&self) -> Option<u64> {
        self.logs.first().map(|(at, _, _)| at.block)
    }
}

impl Watcher {
    /// Runs until told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let begin = match self.store.cursor(CURSOR) {
            Ok(cursor) => cursor.unwrap_or(self.first_block).max(self.first_block),
            Err(error) => {
                tracing::error!(%error, "the cursor cannot be read; reading from the deployment on");
                self.first_block
            }
        };
        self.feed.restart(begin);
        let mut logbook = Logbook::default();
        let mut pause = Duration::ZERO;
        let mut failures = 0u32;
        let mut noted = begin;
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                result = self.player.next_result() => {
                    if let Some(input) = result {
                        self.player.handle(input);
                    }
                    continue;
                }
                () = tokio::time::sleep(pause) => {}
            }
            match self.turn(&mut logbook, &mut noted).await {
                Ok(more) => {
                    failures = 0;
                    pause = if more { Duration::ZERO } else { self.poll };
                }
                Err(error) => {
                    self.metrics.count(Count::ChainError);
                    failures = failures.saturating_add(1);
                    if failures.is_power_of_two() {
                        tracing::warn!(%error, failures, "the chain cannot be read; trying again");
                    }
                    if matches!(error, Error::DeepReorg { .. }) {
                        logbook = Logbook::default();
                        self.player.handle(Input::Reset);
                        self.forced.roll_back(self.first_block);
                        self.feed.restart(self.first_block);
                    }
                    pause = self.poll.saturating_mul(1 << failures.min(6)).min(self.max_pause);
                }
            }
            if self.player.take_replay() {
                self.replay(&mut logbook, None);
            }
        }
        self.player.stop();
    }

    /// One poll. Returns whether there was something.
    async fn turn(&mut self, logbook: &mut Logbook, noted: &mut u64) -> Result<bool, Error> {
        let events = self.feed.poll().await?;
        let more = events.iter().any(|e| matches!(e, ChainEvent::Log(_)));
        // Times first: a failure here must not leave half of a poll handled. The feed has moved on, so start it over,
        // from the first log of this poll at the latest; a rollback in it must not be missed either.
        let (mut first, mut rolled) = (None, None);
        let mut decoded = Vec::new();
        for event in events {
            match event {
                ChainEvent::Log(log) => {
                    let Some(number) = log.block_number else { continue };
                    first = Some(first.map_or(number, |f: u64| f.min(number)));
                    let Some(what) = decode(&log, self.disputes) else {
                        continue;
                    };
                    let time = match log.block_timestamp {
                        Some(time) => time,
                        None => match self.feed.time_of(number).await {
                            Ok(time) => time,
                            Err(e) => {
                                if let Some(to) = rolled {
                                    self.forced.roll_back(to);
                                }
                                self.replay(logbook, first);
                                return Err(e);
                            }
                        },
                    };
                    if let Some(at) = place(&log, time) {
                        decoded.push(Step::Log(at, what));
                    }
                }
                ChainEvent::Rollback { to } => {
                    rolled = Some(to);
                    decoded.push(Step::Rollback(to));
                }
                ChainEvent::Head(head) => decoded.push(Step::Head(head.number, head.timestamp)),
            }
        }
        for step in decoded {
            match step {
                Step::Rollback(to) => {
                    tracing::info!(to, "the chain was reorganised");
                    logbook.roll_back(to);
                    self.tell_again(logbook);
                    self.forced.roll_back(to);
                }
                Step::Log(at, Decoded::Dispute(dispute, event)) => {
                    if let Event::Claimed { detail, .. } = &event
                        && detail.operator == self.player.operator()
                    {
                        self.metrics.count(Count::DisputeDefended);
                    }
                    logbook.add(at, dispute, event.clone());
                    self.player.handle(Input::Event { dispute, at, event });
                }
                Step::Log(at, Decoded::Forced(service, call)) => self.forced.seen(at.block, service, call),
                Step::Head(number, time) => {
                    self.player.handle(Input::Tick(time));
                    logbook.prune(number);
                    self.forced.settled(number.saturating_sub(DEPTH));
                    if let Some(block) = self.forced.take_left_over() {
                        // A feed that is started over forgets which blocks it told of, and a reorganisation of them
                        // would pass unseen: so all is forgotten, and the cursor stays until it has been read again.
                        self.replay(logbook, Some(block));
                        continue;
                    }
                    self.note(logbook, number, noted);
                }
            }
        }
        Ok(more)
    }

    /// Writes where to begin after a restart: before everything that is still of use.
    fn note(&mut self, logbook: &Logbook, head: u64, noted: &mut u64) {
        let oldest = [logbook.oldest(), self.forced.oldest()].into_iter().flatten().min();
        let settled = head.saturating_sub(DEPTH);
        let begin = oldest.map_or(settled, |o| o.min(settled)).max(self.first_block);
        if begin < noted.saturating_add(CURSOR_EVERY) {
            return;
        }
        *noted = begin;
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || match store.set_cursor(CURSOR, begin) {
            Ok(()) | Err(StoreError::Closed) => {}
            Err(error) => tracing::warn!(%error, "the cursor could not be written"),
        });
    }

    fn tell_again(&mut self, logbook: &Logbook) {
        self.player.handle(Input::Reset);
        for (at, dispute, event) in &logbook.logs {
            self.player.handle(Input::Event {
                dispute: *dispute,
                at: *at,
                event: event.clone(),
            });
        }
    }

    /// Something is missing: read the chain again, from `first` at the latest.
    fn replay(&mut self, logbook: &mut Logbook, first: Option<u64>) {
        let from = if logbook.incomplete {
            self.first_block
        } else {
            let known = [logbook.oldest(), self.forced.oldest(), first];
            known.into_iter().flatten().min().unwrap_or(self.first_block)
        };
        *logbook = Logbook::default();
        self.player.handle(Input::Reset);
        self.feed.restart(from.max(self.first_block));
    }
}

enum Step {
    Rollback(u64),
    Log(At, Decoded),
    Head(u64, u64),
}
