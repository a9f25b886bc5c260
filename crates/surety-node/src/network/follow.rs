//! Following the network's contracts: logs become what the driver needs to know, in the chain's order.
//!
//! Everything starts from the deployment's first block at every start: what a node must do follows from the chain, so
//! a restart forgets nothing, and a reorganisation is a restart.

use std::time::Duration;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    rpc::types::Log,
    sol_types::SolEvent,
};
use surety_chain::{
    ChainEvent, Contracts, Cursor, Error, EventConfig, EventSource, SetRecord,
    bindings::{IFaults, IQuorum, IRegistry, IStaking, ITasks, Step, Trigger},
};
use surety_primitives::measurement::DeploymentId;
use tokio::sync::{mpsc, watch};

use crate::integrity::{chain as integrity, ledger::Change};

/// Longest pause after failures.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Reads of the members' standing at least this often, in blocks.
const MEMBERS_EVERY: u64 = 64;

/// What happened on the chain.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ChainUpdate {
    /// Everything told before is void: it is told again from the beginning.
    Restart,
    /// All of the chain up to this block has been told.
    Head {
        /// number
        block: u64,
        /// Unix seconds
        time: u64,
    },
    /// All there is has been told: what follows happens now.
    CaughtUp,
    /// A set was fixed; the quorum that counts for it, in 1/10,000.
    Set(SetRecord, u16),
    /// Who may take part in a service now: operator and where its peer is.
    Members(Address, Vec<Member>),
    /// A flow was created.
    Flow(Box<FlowRecord>),
    /// A flow was deleted.
    FlowDeleted(U256),
    /// A run of a flow began.
    Run {
        /// run
        run: B256,
        /// flow
        flow: U256,
        /// event key
        key: B256,
        /// value hash of the event's data
        value: B256,
        /// block it began in
        block: u64,
    },
    /// An application asked for one task.
    Requested {
        /// run
        run: B256,
        /// number of the flow it is kept under
        flow: U256,
        /// who pays
        owner: Address,
        /// what
        step: Box<Step>,
        /// hash of the inputs
        inputs: B256,
        /// block it began in
        block: u64,
    },
    /// A step was settled.
    Settled {
        /// run
        run: B256,
        /// step
        step: u8,
        /// result hash
        result: B256,
        /// who executed it
        executor: Address,
    },
    /// A run ended.
    Closed(B256),
    /// A fault was reported.
    Reported {
        /// case
        case: B256,
        /// the service
        service: Address,
        /// who
        operator: Address,
        /// about what
        subject: B256,
        /// Unix seconds from when it can be punished
        until: u64,
    },
    /// A case was punished.
    Punished(B256),
    /// Something happened to a deployment.
    Deployment(DeploymentId, Box<Change>),
}

/// A member as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// its key's address
    pub(crate) operator: Address,
    /// multiaddress, possibly empty
    pub(crate) peer_address: String,
    /// X25519 public key
    pub(crate) encryption: B256,
    /// has a BLS key, so that the next set will have it
    pub(crate) votes: bool,
}

/// A flow as it was created.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FlowRecord {
    pub(crate) flow: U256,
    pub(crate) owner: Address,
    pub(crate) definition: Bytes,
    pub(crate) trigger: Trigger,
    pub(crate) steps: Vec<Step>,
}

/// The follower.
pub(crate) struct Follower {
    pub(crate) contracts: Contracts,
    /// services whose members this node talks to
    pub(crate) services: Vec<Address>,
    pub(crate) poll: Duration,
    /// blocks on top of one before this node acts on it: what is signed about a block that a reorganisation drops would
    /// be a fault on the other fork
    pub(crate) confirmations: u64,
    pub(crate) updates: mpsc::Sender<ChainUpdate>,
}

impl Follower {
    fn source(&self) -> EventSource {
        let d = self.contracts.deployment();
        EventSource::new(
            self.contracts.rpc().clone(),
            vec![
                d.quorum,
                d.tasks,
                d.faults,
                d.staking,
                d.registry,
                integrity::address(d),
            ],
            EventConfig {
                confirmations: self.confirmations,
                ..EventConfig::default()
            },
            Cursor::from_block(d.from_block),
        )
    }

    /// Runs until told to stop, or nobody listens any more.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut source = self.source();
        let mut pause = self.poll;
        // All at the first head.
        let mut stale: Vec<Address> = self.services.clone();
        let mut read_at = 0_u64;
        let mut caught_up = false;
        loop {
            if *stop.borrow() {
                return;
            }
            match self.step(&mut source, &mut stale, &mut read_at, &stop).await {
                Ok(Polled::Restarted) => {
                    caught_up = false;
                    continue;
                }
                Ok(Polled::News) => {
                    pause = self.poll;
                    continue;
                }
                Ok(Polled::Nothing) => {
                    pause = self.poll;
                    if !caught_up && (read_at > 0 || self.services.is_empty()) {
                        caught_up = true;
                        if self.tell(ChainUpdate::CaughtUp).await.is_err() {
                            return;
                        }
                    }
                }
                Err(Stop::Closed) => return,
                Err(Stop::Chain(Error::DeepReorg { oldest })) => {
                    tracing::error!(
                        oldest,
                        "a reorganisation deeper than what is remembered: reading the chain again"
                    );
                    if self.tell(ChainUpdate::Restart).await.is_err() {
                        return;
                    }
                    (source, caught_up) = (self.source(), false);
                    stale.clone_from(&self.services);
                }
                Err(Stop::Chain(error)) => {
                    tracing::warn!(%error, seconds = pause.as_secs(), "the chain cannot be followed, trying again");
                    pause = pause.saturating_mul(2).min(MAX_PAUSE);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// One poll; whether there was anything new.
    async fn step(
        &self,
        source: &mut EventSource,
        stale: &mut Vec<Address>,
        read_at: &mut u64,
        stop: &watch::Receiver<bool>,
    ) -> Result<Polled, Stop> {
        let events = source.poll().await?;
        if events.iter().any(|e| matches!(e, ChainEvent::Rollback { .. })) {
            self.tell(ChainUpdate::Restart).await?;
            *source = self.source();
            stale.clone_from(&self.services);
            return Ok(Polled::Restarted);
        }
        let polled = if events.is_empty() {
            Polled::Nothing
        } else {
            Polled::News
        };
        for event in events {
            match event {
                ChainEvent::Rollback { .. } => {}
                ChainEvent::Log(log) => {
                    for service in self.membership(&log) {
                        if !stale.contains(&service) {
                            stale.push(service);
                        }
                    }
                    if let Some(update) = self.decoded(&log, stop).await? {
                        self.tell(update).await?;
                    }
                }
                ChainEvent::Head(head) => {
                    if head.number >= read_at.saturating_add(MEMBERS_EVERY) {
                        stale.clone_from(&self.services);
                    }
                    if !stale.is_empty() {
                        *read_at = head.number;
                    }
                    for service in std::mem::take(stale) {
                        match self.members(service).await {
                            Ok(members) => self.tell(ChainUpdate::Members(service, members)).await?,
                            Err(error) => {
                                stale.push(service);
                                tracing::warn!(%service, %error, "the members cannot be read, trying again");
                            }
                        }
                    }
                    self.tell(ChainUpdate::Head {
                        block: head.number,
                        time: head.timestamp,
                    })
                    .await?;
                }
            }
        }
        Ok(polled)
    }

    async fn tell(&self, update: ChainUpdate) -> Result<(), Stop> {
        self.updates.send(update).await.map_err(|_| Stop::Closed)
    }

    /// The services of ours whose members a log changes.
    fn membership(&self, log: &Log) -> Vec<Address> {
        let d = self.contracts.deployment();
        let Some(topic) = log.topics().first() else {
            return Vec::new();
        };
        if log.address() == d.registry && *topic == IRegistry::KeysSet::SIGNATURE_HASH {
            // Of which services, the log does not say; there are few.
            return self.services.clone();
        }
        let changes = [
            IStaking::Deposited::SIGNATURE_HASH,
            IStaking::Leaving::SIGNATURE_HASH,
            IStaking::BondWithdrawn::SIGNATURE_HASH,
            IStaking::Slashed::SIGNATURE_HASH,
        ];
        let service = log.topics().get(1).map(|t| Address::from_word(*t));
        service
            .into_iter()
            .filter(|service| log.address() == d.staking && changes.contains(topic) && self.services.contains(service))
            .collect()
    }

    async fn members(&self, service: Address) -> Result<Vec<Member>, Error> {
        let mut members = Vec::new();
        for operator in self.contracts.operators(service, MAX_MEMBERS).await? {
            if !operator.bonded {
                continue;
            }
            let keys = self.contracts.network_keys(operator.operator).await?;
            members.push(Member {
                operator: operator.operator,
                peer_address: keys.peer_address,
                encryption: keys.encryption,
                votes: !keys.bls.is_empty(),
            });
        }
        Ok(members)
    }

    /// What a log says. The source does not tell it again, so what it takes from the chain is asked for until it is there.
    async fn decoded(&self, log: &Log, stop: &watch::Receiver<bool>) -> Result<Option<ChainUpdate>, Stop> {
        let mut pause = self.poll;
        loop {
            match self.decode(log).await {
                Ok(update) => return Ok(update),
                Err(error) => tracing::warn!(%error, "a log cannot be completed, trying again"),
            }
            if *stop.borrow() {
                return Err(Stop::Closed);
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(MAX_PAUSE);
        }
    }

    async fn decode(&self, log: &Log) -> Result<Option<ChainUpdate>, Error> {
        let d = self.contracts.deployment();
        let (Some(block), Some(topic)) = (log.block_number, log.topics().first()) else {
            return Ok(None);
        };
        let at = log.address();
        if at == d.quorum && *topic == IQuorum::SetFixed::SIGNATURE_HASH {
            let Ok(event) = IQuorum::SetFixed::decode_log(&log.inner) else {
                return Ok(None);
            };
            // Anybody can register a service and fix its sets; only those of ours are looked at.
            if !self.services.contains(&event.service) {
                return Ok(None);
            }
            let roll = self.contracts.roll(event.pages).await?;
            let quorum = self.contracts.quorum_at(event.service, event.set).await?;
            let header = self.contracts.rpc().block(block.into()).await?;
            let record = SetRecord {
                service: event.service,
                set: event.set,
                fixed_at: block,
                time: header.map_or(0, |b| b.header.timestamp),
                members: event.members,
                roll,
            };
            return Ok(Some(ChainUpdate::Set(record, quorum)));
        }
        if at == d.tasks {
            return Ok(tasks(log, block, *topic));
        }
        if at == d.faults {
            return Ok(faults(log, *topic));
        }
        if at == integrity::address(d) {
            let change = integrity::decode(&self.contracts, &self.services, log).await?;
            return Ok(change.map(|(id, change)| ChainUpdate::Deployment(id, Box::new(change))));
        }
        Ok(None)
    }
}

/// Members read of a service, at most.
const MAX_MEMBERS: usize = 1_024;

fn tasks(log: &Log, block: u64, topic: B256) -> Option<ChainUpdate> {
    Some(match topic {
        ITasks::FlowCreated::SIGNATURE_HASH => {
            let e = ITasks::FlowCreated::decode_log(&log.inner).ok()?.data;
            ChainUpdate::Flow(Box::new(FlowRecord {
                flow: e.flow,
                owner: e.owner,
                definition: e.definition,
                trigger: e.trigger,
                steps: e.steps,
            }))
        }
        ITasks::FlowDeleted::SIGNATURE_HASH => {
            ChainUpdate::FlowDeleted(ITasks::FlowDeleted::decode_log(&log.inner).ok()?.flow)
        }
        ITasks::RunStarted::SIGNATURE_HASH => {
            let e = ITasks::RunStarted::decode_log(&log.inner).ok()?.data;
            ChainUpdate::Run {
                run: e.run,
                flow: e.flow,
                key: e.key,
                value: e.value,
                block,
            }
        }
        ITasks::Requested::SIGNATURE_HASH => {
            let e = ITasks::Requested::decode_log(&log.inner).ok()?.data;
            ChainUpdate::Requested {
                run: e.run,
                flow: e.flow,
                owner: e.owner,
                step: Box::new(e.step),
                inputs: e.inputs,
                block,
            }
        }
        ITasks::Settled::SIGNATURE_HASH => {
            let e = ITasks::Settled::decode_log(&log.inner).ok()?.data;
            ChainUpdate::Settled {
                run: e.run,
                step: e.step,
                result: e.result,
                executor: e.executor,
            }
        }
        ITasks::RunClosed::SIGNATURE_HASH => ChainUpdate::Closed(ITasks::RunClosed::decode_log(&log.inner).ok()?.run),
        _ => return None,
    })
}

fn faults(log: &Log, topic: B256) -> Option<ChainUpdate> {
    Some(match topic {
        IFaults::Reported::SIGNATURE_HASH => {
            let e = IFaults::Reported::decode_log(&log.inner).ok()?.data;
            ChainUpdate::Reported {
                case: e.id,
                service: e.service,
                operator: e.operator,
                subject: e.subject,
                until: e.until,
            }
        }
        IFaults::Punished::SIGNATURE_HASH => ChainUpdate::Punished(IFaults::Punished::decode_log(&log.inner).ok()?.id),
        _ => return None,
    })
}

/// What a poll brought.
enum Polled {
    /// Everything is told again.
    Restarted,
    /// Something.
    News,
    /// Nothing: all is told.
    Nothing,
}

/// Why a poll ended.
enum Stop {
    /// Nobody listens.
    Closed,
    /// The endpoint failed.
    Chain(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Chain(error)
    }
}
