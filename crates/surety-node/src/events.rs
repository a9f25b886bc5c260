//! The chain's events, as the node follows them: a feed that can be polled and started over, and the logs decoded.

use std::collections::BTreeMap;

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, Log as PrimitiveLog},
    rpc::types::Log,
    sol_types::SolEvent,
};
use async_trait::async_trait;
use surety_chain::{
    ChainEvent, Cursor, Error, EventConfig, EventSource, Rpc,
    bindings::{IDisputes, IService},
};
use surety_primitives::{Budget, ClaimDetail, DisputeId, Statement};
use surety_protocol::dispute::{At, Event};

use crate::provider::ForcedCall;

/// Block times remembered.
const MAX_TIMES: usize = 1_024;

/// Logs of the contracts this node follows.
#[async_trait]
pub trait ChainFeed: Send {
    /// What is new; see [`EventSource::poll`].
    async fn poll(&mut self) -> Result<Vec<ChainEvent>, Error>;
    /// Starts over at a block.
    fn restart(&mut self, from_block: u64);
    /// Time of a block, Unix seconds.
    async fn time_of(&mut self, block: u64) -> Result<u64, Error>;
}

/// The feed over JSON-RPC.
#[derive(Debug)]
pub struct RpcFeed {
    rpc: Rpc,
    addresses: Vec<Address>,
    source: EventSource,
    times: BTreeMap<u64, u64>,
}

impl RpcFeed {
    /// Follows `addresses` from a block on.
    pub fn new(rpc: Rpc, addresses: Vec<Address>, from_block: u64) -> Self {
        let cursor = Cursor::from_block(from_block);
        let source = EventSource::new(rpc.clone(), addresses.clone(), EventConfig::default(), cursor);
        Self {
            rpc,
            addresses,
            source,
            times: BTreeMap::new(),
        }
    }
}

#[async_trait]
impl ChainFeed for RpcFeed {
    async fn poll(&mut self) -> Result<Vec<ChainEvent>, Error> {
        let events = self.source.poll().await?;
        if let Some(to) = events.iter().find_map(|e| {
            if let ChainEvent::Rollback { to } = e {
                Some(*to)
            } else {
                None
            }
        }) {
            self.times.split_off(&to.saturating_add(1));
        }
        Ok(events)
    }

    fn restart(&mut self, from_block: u64) {
        self.times.clear();
        let cursor = Cursor::from_block(from_block);
        self.source = EventSource::new(self.rpc.clone(), self.addresses.clone(), EventConfig::default(), cursor);
    }

    async fn time_of(&mut self, block: u64) -> Result<u64, Error> {
        if let Some(time) = self.times.get(&block) {
            return Ok(*time);
        }
        let found = self.rpc.block(BlockNumberOrTag::Number(block)).await?;
        // Gone between the log and this: a reorganisation that the next poll will tell.
        let time = found.map(|b| b.header.timestamp).ok_or_else(|| Error::Unreachable {
            url: self.rpc.url().to_owned(),
            method: "eth_getBlockByNumber",
            cause: format!("block {block} is gone"),
        })?;
        self.times.insert(block, time);
        while self.times.len() > MAX_TIMES {
            self.times.pop_first();
        }
        Ok(time)
    }
}

/// A decoded log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decoded {
    /// Of a dispute; its place is added by the caller, who knows the time.
    Dispute(DisputeId, Event),
    /// A request made on-chain to this service.
    Forced(Address, ForcedCall),
}

/// Where a log is. `None` for a pending one.
pub(crate) fn place(log: &Log, time: u64) -> Option<At> {
    Some(At {
        block: log.block_number?,
        log: log.log_index?,
        time,
    })
}

/// Decodes a log of `Disputes` or of a service; `None` for others, and for what no contract of ours emits.
pub(crate) fn decode(log: &Log, disputes: Address) -> Option<Decoded> {
    if log.address() == disputes {
        dispute(&log.inner)
    } else {
        forced(&log.inner)
    }
}

fn dispute(log: &PrimitiveLog) -> Option<Decoded> {
    let topic = *log.topics().first()?;
    let (id, event) = match topic {
        IDisputes::Opened::SIGNATURE_HASH => {
            let e = IDisputes::Opened::decode_log(log).ok()?.data;
            let statement = Statement::try_from(&e.statement).ok()?;
            (
                e.dispute,
                Event::Opened {
                    opener: e.opener,
                    statement,
                    join_until: e.joinUntil,
                },
            )
        }
        IDisputes::Claimed::SIGNATURE_HASH => {
            let e = IDisputes::Claimed::decode_log(log).ok()?.data;
            let detail = ClaimDetail {
                operator: e.operator,
                request: e.request.into(),
                requester: e.requester,
                result: e.result.into(),
            };
            (e.dispute, Event::Claimed { index: e.index, detail })
        }
        IDisputes::MatchStarted::SIGNATURE_HASH => {
            let e = IDisputes::MatchStarted::decode_log(log).ok()?.data;
            (
                e.dispute,
                Event::MatchStarted {
                    a: e.a,
                    b: e.b,
                    levels: e.levels,
                    head: e.head,
                },
            )
        }
        IDisputes::Dissected::SIGNATURE_HASH => {
            let e = IDisputes::Dissected::decode_log(log).ok()?.data;
            let points = Box::new(e.points);
            (
                e.dispute,
                Event::Dissected {
                    number: e.r#move,
                    segment: e.segment,
                    head: e.head,
                    points,
                },
            )
        }
        IDisputes::Stepped::SIGNATURE_HASH => {
            let e = IDisputes::Stepped::decode_log(log).ok()?.data;
            (e.dispute, Event::Stepped { position: e.position })
        }
        IDisputes::Expired::SIGNATURE_HASH => (IDisputes::Expired::decode_log(log).ok()?.dispute, Event::Expired),
        IDisputes::Decided::SIGNATURE_HASH => {
            let e = IDisputes::Decided::decode_log(log).ok()?.data;
            (
                e.dispute,
                Event::Decided {
                    result: e.result.into(),
                },
            )
        }
        IDisputes::Eliminated::SIGNATURE_HASH => {
            let e = IDisputes::Eliminated::decode_log(log).ok()?.data;
            (
                e.dispute,
                Event::Eliminated {
                    index: e.index,
                    operator: e.operator,
                    join_until: e.joinUntil,
                },
            )
        }
        IDisputes::Settled::SIGNATURE_HASH => {
            let e = IDisputes::Settled::decode_log(log).ok()?.data;
            (
                e.dispute,
                Event::Settled {
                    result: e.result.into(),
                    slashed: e.slashed,
                },
            )
        }
        _ => return None,
    };
    Some(Decoded::Dispute(B256::from(id).into(), event))
}

fn forced(log: &PrimitiveLog) -> Option<Decoded> {
    let e = IService::Request::decode_log(log).ok()?;
    let call = ForcedCall {
        hash: e.request.into(),
        requester: e.requester,
        program: e.program,
        data: e.input.clone(),
        budget: Budget::new(e.budget).ok()?,
    };
    Some(Decoded::Forced(log.address, call))
}
