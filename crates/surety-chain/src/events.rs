//! Following the logs of some contracts over restarts, lost connections and reorganisations.
//!
//! The source keeps the hashes of the recent blocks it has reported. Each poll first checks that its newest one is
//! still in the chain; if not, it goes back to the newest one that is and says so ([`ChainEvent::Rollback`]) before it
//! reports anything else. A reader that undoes what it did for the blocks above the rollback therefore always has the
//! state of one chain.

use std::collections::VecDeque;

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256},
    rpc::types::{Filter, Log},
};
use serde::{Deserialize, Serialize};

use crate::{error::Error, rpc::Rpc};

/// A block, by number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockId {
    /// number
    pub number: u64,
    /// hash
    pub hash: B256,
    /// seconds since 1970, of the block's header
    pub timestamp: u64,
}

/// What a poll reports, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum ChainEvent {
    /// Everything reported for blocks above this number is void.
    Rollback {
        /// the newest block that is still valid
        to: u64,
    },
    /// A log of one of the contracts.
    Log(Box<Log>),
    /// All logs up to and including this block have been reported.
    Head(BlockId),
}

/// Limits of an [`EventSource`].
#[derive(Debug, Clone)]
pub struct EventConfig {
    /// Blocks this many below the latest are reported; 0 reports the latest at once and relies on rollbacks.
    pub confirmations: u64,
    /// Most blocks asked for in one `eth_getLogs`; halved when the endpoint says the answer is too large.
    pub max_range: u64,
    /// How many block hashes are kept: the deepest reorganisation that can be followed.
    pub history: usize,
}

impl Default for EventConfig {
    fn default() -> Self {
        Self {
            confirmations: 0,
            max_range: 2_000,
            history: 256,
        }
    }
}

/// Where a reader is, to be stored and handed back after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Next block to report.
    pub next: u64,
    /// Recent reported blocks, oldest first.
    pub recent: VecDeque<BlockId>,
}

impl Cursor {
    /// Starts at a block.
    pub fn from_block(next: u64) -> Self {
        Self {
            next,
            recent: VecDeque::new(),
        }
    }
}

/// Follows the logs of some contracts.
#[derive(Debug, Clone)]
pub struct EventSource {
    rpc: Rpc,
    addresses: Vec<Address>,
    config: EventConfig,
    cursor: Cursor,
    range: u64,
}

impl EventSource {
    /// Follows all logs of `addresses` from the cursor on.
    pub fn new(rpc: Rpc, addresses: Vec<Address>, config: EventConfig, cursor: Cursor) -> Self {
        let range = config.max_range.max(1);
        Self {
            rpc,
            addresses,
            config,
            cursor,
            range,
        }
    }

    /// Where the source is: everything below `next` has been returned by `poll`.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Reports what is new, at most one range of blocks a call; empty when nothing is. After an error the source
    /// is where it was.
    pub async fn poll(&mut self) -> Result<Vec<ChainEvent>, Error> {
        let mut cursor = self.cursor.clone();
        let mut events = Vec::new();

        let latest = self.rpc.latest().await?;
        let latest_number = latest.header.number;

        // 1. Is what was reported last still so?
        let mut rolled_back = false;
        while let Some(newest) = cursor.recent.back().copied() {
            let found = if newest.number > latest_number {
                None
            } else if newest.number == latest_number {
                Some(latest.header.hash)
            } else {
                self.rpc
                    .block(BlockNumberOrTag::Number(newest.number))
                    .await?
                    .map(|b| b.header.hash)
            };
            if found == Some(newest.hash) {
                break;
            }
            // An endpoint behind a load balancer can lag: a block that is missing but not contradicted is no
            // reorganisation yet. It is one when another block has its place, or its parent's.
            cursor.recent.pop_back();
            rolled_back = true;
            if cursor.recent.is_empty() {
                if newest.number > latest_number {
                    return Ok(Vec::new());
                }
                return Err(Error::DeepReorg { oldest: newest.number });
            }
        }
        if rolled_back {
            let newest = cursor.recent.back().copied();
            let lagging = newest.is_some_and(|n| n.number == latest_number)
                && self.cursor.recent.back().is_some_and(|b| b.number > latest_number);
            if lagging {
                // The endpoint's chain is a prefix of ours.
                return Ok(Vec::new());
            }
            let to = newest.map_or(0, |b| b.number);
            cursor.next = to.saturating_add(1);
            events.push(ChainEvent::Rollback { to });
        }

        // 2. What is new?
        let Some(target) = latest_number.checked_sub(self.config.confirmations) else {
            return self.commit(cursor, events);
        };
        if cursor.next > target {
            return self.commit(cursor, events);
        }
        let end = target.min(cursor.next.saturating_add(self.range - 1));
        let filter = Filter::new()
            .address(self.addresses.clone())
            .from_block(cursor.next)
            .to_block(end);
        let mut logs = match self.rpc.logs(&filter).await {
            Ok(logs) => logs,
            Err(Error::Refused { .. }) if self.range > 1 => {
                // Too many results or too wide a range, in whatever words.
                self.range = (self.range / 2).max(1);
                tracing::info!(range = self.range, "asking for fewer blocks at once");
                return Ok(Vec::new());
            }
            Err(e) => return Err(e),
        };
        logs.retain(|l| !l.removed);
        logs.sort_by_key(|l| (l.block_number, l.log_index));

        // 3. The hashes of the last blocks of the range: of the tail that reorganisations can reach.
        let history = u64::try_from(self.config.history.max(1)).unwrap_or(1);
        // A source that has reported nothing yet also notes some blocks before its first, to have ground to roll back to.
        let tail = (end + 1).saturating_sub(history.min(32));
        let first = if cursor.recent.is_empty() {
            tail.min(cursor.next)
        } else {
            tail.max(cursor.next)
        };
        let first = first.max(end.saturating_sub(history));
        let mut fresh = Vec::new();
        for number in first..=end {
            let block = if number == latest_number {
                Some(latest.clone())
            } else {
                self.rpc.block(BlockNumberOrTag::Number(number)).await?
            };
            // Vanished between two requests: nothing of this range can be trusted, the next poll starts over.
            let Some(block) = block else { return Ok(Vec::new()) };
            let id = BlockId {
                number,
                hash: block.header.hash,
                timestamp: block.header.timestamp,
            };
            let parent = fresh.last().or(cursor.recent.back()).copied();
            if parent.is_some_and(|p: BlockId| p.number + 1 == number && p.hash != block.header.parent_hash) {
                return Ok(Vec::new());
            }
            fresh.push(id);
        }
        // Logs and headers were asked for one after the other: they must be of the same chain.
        let mixed = logs.iter().any(|log| {
            fresh
                .iter()
                .any(|id| Some(id.number) == log.block_number && Some(id.hash) != log.block_hash)
        });
        if mixed {
            return Ok(Vec::new());
        }
        events.extend(logs.into_iter().map(|l| ChainEvent::Log(Box::new(l))));
        cursor.next = end.saturating_add(1);
        if let Some(head) = fresh.last().copied() {
            events.push(ChainEvent::Head(head));
        }
        cursor.recent.extend(fresh);
        while cursor.recent.len() > self.config.history.max(1) {
            cursor.recent.pop_front();
        }
        self.range = self.range.saturating_mul(2).min(self.config.max_range.max(1));
        self.commit(cursor, events)
    }

    fn commit(&mut self, cursor: Cursor, events: Vec<ChainEvent>) -> Result<Vec<ChainEvent>, Error> {
        self.cursor = cursor;
        Ok(events)
    }
}
