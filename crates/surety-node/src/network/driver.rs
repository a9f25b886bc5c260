//! The driver: feeds the machines of `surety-protocol::network`, and does what they ask for.
//!
//! One task owns all state. What takes time (pairings, commits, the chain, other peers) is done elsewhere and comes
//! back as a [`Completion`]; so nothing here waits, and what a machine sees is one sequence of inputs.

mod attest;
mod events;
pub(crate) mod monitors;
mod questions;
mod runs;
mod tasks;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::primitives::{Address, B256, U256};
use surety_chain::Contracts;
use surety_connector::host::{Emission, Refusal, Registration, Submission};
use surety_p2p::{Event as PeerEvent, Events as PeerEvents, Handle as Peers, Members, Misbehaviour};
use surety_primitives::{Domain, sealed, set::MAX_MEMBERS, vote::Vote};
use surety_protocol::{
    manifest,
    network::{Done, EventConsensus, Message, Ticket, Work, crypto_bls::BlsScheme, event, evidence::Evidence, measure},
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{
    api::Question,
    exchange::Ask,
    follow::ChainUpdate,
    ledger::{Ledger, News},
    relay::{Relay, Wish},
    store::{EventCertificates, EventVotes, NetworkStore, Observation},
};
use crate::store::StoreError;

/// Completions waiting for the driver; what makes them waits beyond that.
pub(crate) const COMPLETIONS: usize = 8_192;
/// Commands of connectors and questions waiting for the driver.
pub(crate) const COMMANDS: usize = 8_192;
/// Emissions committed together.
const EMISSIONS: usize = 1_024;
/// Certified events remembered for questions.
const RECENT: usize = 1_024;
/// Completions, and messages of peers, taken in one turn.
const BATCH: usize = 256;
/// Transactions wanted, at most.
const INTENTS: usize = 65_536;
/// Times a transaction is tried before it is given up.
const TRIES: u32 = 64;
/// Blocks before a transaction is tried again, at first and at most.
const FIRST_AGAIN: u64 = 8;
const LONGEST_AGAIN: u64 = 256;
/// The driver looks around at least this often.
const IDLE: Duration = Duration::from_millis(250);
/// Deadline of one question to a peer.
const ASK: Duration = Duration::from_secs(5);
/// Beyond so many operators the topic is used: it needs fewer copies from one node.
const DIRECT: usize = 48;
/// A set is fixed anew after this part of the age at which it counts no more.
const AGE_DIVISOR: u64 = 4;

/// What others ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// A connector came.
    Registered(Registration),
    /// A connector saw something.
    Emit(Box<Emission>, oneshot::Sender<Result<B256, Refusal>>),
    /// A connector answers.
    Submit(Box<Submission>, oneshot::Sender<Result<(), Refusal>>),
}

/// What the driver hears.
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) questions: mpsc::Receiver<Question>,
    pub(crate) queries: mpsc::Receiver<crate::integrity::api::Query>,
    pub(crate) updates: mpsc::Receiver<ChainUpdate>,
    pub(crate) peers: PeerEvents,
    pub(crate) completions: mpsc::Receiver<(u64, Completion)>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// A transaction that is wanted until the chain shows what it was for.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    wish: Wish,
    service: Address,
    until: Until,
    /// block from which it is tried again
    next: u64,
    pause: u64,
    tries: u32,
}

/// What shows that a transaction is not needed any more.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// the run is there
    Started(B256),
    /// the step is settled, or the run closed
    Settled(B256, u8),
    /// the run is closed
    Closed(B256),
    /// the epoch of the deployment is recorded, or it is over
    Recorded(U256, u64),
    /// the host of the deployment is punished
    HostPunished(U256),
    /// the operator is reported about the subject
    Reported(Address, Address, B256),
    /// nothing: it is tried a few times
    Tried,
}

/// Whose work is done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// the event machine of a service
    Events(Address),
    /// the machine of a task
    Task(B256),
    /// the machine of a deployment
    Deployment(U256),
}

/// An emission on its way to the disk.
#[derive(Debug)]
pub(crate) struct Emitted {
    observation: Observation,
    data: Vec<u8>,
    /// the connector that waits; `None` for what the node saw itself
    reply: Option<oneshot::Sender<Result<B256, Refusal>>>,
}

/// What was done elsewhere.
#[derive(Debug)]
pub(crate) enum Completion {
    /// Observations and votes on events are durable, with the votes that were refused for each ticket; or nothing
    /// could be written.
    Committed(events::Committed, Result<Vec<Vec<Vote>>, StoreError>),
    /// A vote on a task is durable.
    TaskStored(B256, Ticket, Result<bool, StoreError>),
    /// A connector's answer is durable.
    Answered(Box<tasks::Answered>),
    /// Signed, verified or added up.
    Computed(Target, Ticket, Done),
    /// A peer answered, or none did.
    Fetched(B256, Option<Vec<u8>>),
    /// The draw of the runs of a block.
    Mix(u64, Option<Draw>),
    /// A vote on a deployment is durable, or contradicts what is.
    MeasurementStored(U256, Ticket, Result<bool, StoreError>),
    /// A deployment was measured.
    Measured(U256, Box<crate::integrity::watch::Measured>),
    /// A deployment's engine told of something.
    Stirred(U256),
    /// An attempt to deploy is over.
    Deployed(U256, Result<(), String>),
    /// Something was written that nobody waits for.
    Written,
}

/// One service of this node.
pub(crate) struct Service {
    pub(crate) network: Arc<manifest::Network>,
    pub(crate) scheme: Arc<RwLock<BlsScheme>>,
    pub(crate) events: Option<EventConsensus>,
    /// observed and not yet certified
    pub(crate) pending: HashMap<B256, Observation>,
    pub(crate) certified: u64,
    pub(crate) recent: VecDeque<RecentEvent>,
    /// events on their way to the disk, with their values
    pub(crate) arriving: HashMap<B256, B256>,
    /// events certified lately; oldest first in the order
    pub(crate) certified_keys: HashSet<B256>,
    pub(crate) certified_order: VecDeque<B256>,
}

impl Service {
    /// One that nothing is known of yet.
    pub(crate) fn new(network: Arc<manifest::Network>, secret: &[u8; 32]) -> Self {
        let scheme = BlsScheme::new(Some(surety_primitives::keys::voting_secret(secret)), []);
        Self {
            network,
            scheme: Arc::new(RwLock::new(scheme)),
            events: None,
            pending: HashMap::new(),
            certified: 0,
            recent: VecDeque::new(),
            arriving: HashMap::new(),
            certified_keys: HashSet::new(),
            certified_order: VecDeque::new(),
        }
    }
}

/// What runs recorded in a block are drawn with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    /// `prevrandao` of the block after it
    pub(crate) mix: B256,
    /// Unix seconds of the block
    pub(crate) time: u64,
}

/// A certified event, for questions.
#[derive(Debug, Clone)]
pub(crate) struct RecentEvent {
    pub(crate) key: B256,
    pub(crate) name: Option<String>,
    pub(crate) value: B256,
    pub(crate) set: u64,
    pub(crate) time: u64,
}

/// The driver's state and its tools.
pub(crate) struct Driver {
    pub(crate) me: Address,
    pub(crate) domain: Domain,
    pub(crate) encryption: sealed::SecretKey,
    pub(crate) services: BTreeMap<Address, Service>,
    pub(crate) ledger: Ledger,
    pub(crate) store: NetworkStore,
    pub(crate) peers: Peers,
    pub(crate) members: watch::Sender<Arc<Members>>,
    pub(crate) connectors: surety_connector::server::Handle,
    pub(crate) contracts: Contracts,
    pub(crate) relay: Relay,
    pub(crate) completions: mpsc::Sender<(u64, Completion)>,
    pub(crate) computing: Arc<Semaphore>,
    pub(crate) max_pending: usize,
    pub(crate) set_period: u64,
    pub(crate) max_set_age: u64,
    // Emissions, votes on events and certificates waiting for the commit before theirs.
    pub(crate) emissions: Vec<Emitted>,
    pub(crate) votes: Vec<(Ticket, EventVotes)>,
    pub(crate) certificates: Vec<EventCertificates>,
    // Runs that certified events call for and the chain does not have yet, by event key.
    pub(crate) unstarted: HashMap<B256, HashSet<B256>>,
    pub(crate) committing: bool,
    // Payloads being asked for.
    pub(crate) fetching: HashSet<B256>,
    pub(crate) missing: HashMap<B256, u64>,
    pub(crate) mixes: BTreeMap<u64, Draw>,
    pub(crate) mixing: HashSet<u64>,
    pub(crate) tasks: HashMap<B256, tasks::Task>,
    pub(crate) flows: HashMap<U256, Arc<surety_protocol::network::Flow>>,
    pub(crate) runs: HashMap<B256, runs::Progress>,
    /// results that flows wait for: service, task, result hash
    pub(crate) results: Vec<(Address, String, B256)>,
    /// found without waiting for anybody
    pub(crate) verdicts: Vec<(B256, B256, surety_protocol::network::task::Verdict)>,
    // Reconsider these when something they may wait for came.
    pub(crate) stirred: HashSet<B256>,
    pub(crate) intents: BTreeMap<B256, Intent>,
    /// the chain has been told up to its head: what is seen from now on is acted on
    pub(crate) caught_up: bool,
    /// counts reorganisations; what was begun before one is void after it
    pub(crate) epoch: u64,
    pub(crate) asking: Arc<Semaphore>,
    /// what is monitored; `None` without the integrity part
    pub(crate) integrity: Option<monitors::Integrity>,
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

impl Driver {
    /// Runs until told to stop.
    pub(crate) async fn run(mut self, inbox: Inbox) {
        let Inbox {
            mut commands,
            mut questions,
            mut queries,
            mut updates,
            mut peers,
            mut completions,
            mut stop,
        } = inbox;
        loop {
            let wait = self.next_tick();
            tokio::select! {
                Some((epoch, completion)) = completions.recv() => {
                    self.completed(epoch, completion).await;
                    // What is there is taken together: fewer wakings under load.
                    for _ in 0..BATCH {
                        let Ok((epoch, completion)) = completions.try_recv() else { break };
                        self.completed(epoch, completion).await;
                    }
                }
                Some(event) = peers.recv() => {
                    self.peer(event).await;
                    for _ in 0..BATCH {
                        let Some(event) = peers.try_recv() else { break };
                        self.peer(event).await;
                    }
                }
                Some(update) = updates.recv() => self.chain(update).await,
                Some(command) = commands.recv() => {
                    self.command(command);
                    for _ in 0..EMISSIONS {
                        let Ok(command) = commands.try_recv() else { break };
                        self.command(command);
                    }
                    self.commit();
                }
                Some(question) = questions.recv() => self.question(question),
                Some(query) = queries.recv() => self.query(query),
                () = tokio::time::sleep(wait) => {}
                _ = stop.changed() => return,
            }
            self.tick().await;
            self.reconsider().await;
            self.commit();
        }
    }

    fn next_tick(&self) -> Duration {
        let now = now_ms();
        let events = self.services.values().filter_map(|s| s.events.as_ref()?.next_tick());
        let tasks = self.tasks.values().filter_map(|t| t.machine.next_tick());
        let next = events.chain(tasks).chain(self.next_monitor_tick()).min();
        // Never zero: what is due is done in the turn that follows.
        next.map_or(IDLE, |at| {
            Duration::from_millis(at.saturating_sub(now).max(1)).min(IDLE)
        })
    }

    async fn tick(&mut self) {
        let now = now_ms();
        let due: Vec<Address> = self
            .services
            .iter()
            .filter(|(_, s)| {
                s.events
                    .as_ref()
                    .and_then(EventConsensus::next_tick)
                    .is_some_and(|at| at <= now)
            })
            .map(|(service, _)| *service)
            .collect();
        for service in due {
            self.feed_events(service, event::Input::Tick).await;
        }
        self.tick_tasks(now).await;
        self.tick_monitors(now).await;
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Registered(registration) => self.connector_came(&registration),
            Command::Emit(emission, reply) => self.emit(*emission, reply),
            Command::Submit(submission, reply) => self.submit(*submission, reply),
        }
    }

    async fn completed(&mut self, epoch: u64, completion: Completion) {
        // The machines that waited for these are gone.
        let void = epoch != self.epoch
            && matches!(
                completion,
                Completion::TaskStored(..)
                    | Completion::Computed(..)
                    | Completion::Mix(..)
                    | Completion::MeasurementStored(..)
                    | Completion::Measured(..)
                    | Completion::Stirred(..)
                    | Completion::Deployed(..)
            );
        if void {
            return;
        }
        match completion {
            Completion::Committed(committed, result) => {
                self.committed(committed, result, epoch == self.epoch).await;
            }
            Completion::TaskStored(task, ticket, Ok(kept)) => {
                let input = surety_protocol::network::task::Input::Stored { ticket, kept };
                self.feed_task(task, input).await;
            }
            Completion::MeasurementStored(id, ticket, Ok(kept)) => {
                self.feed_monitor(id, measure::Input::Stored { ticket, kept }).await;
            }
            Completion::Measured(id, measured) => self.measured(id, *measured).await,
            Completion::Stirred(id) => self.feed_monitor(id, measure::Input::Stirred).await,
            Completion::Deployed(id, result) => self.deployed(id, result).await,
            Completion::Computed(Target::Deployment(id), ticket, done) => {
                self.feed_monitor(id, measure::Input::Computed { ticket, done }).await;
            }
            Completion::TaskStored(_, _, Err(error)) | Completion::MeasurementStored(_, _, Err(error)) => {
                // Nothing is signed that is not on disk: this node is silent until it can write again.
                tracing::error!(%error, "a vote could not be recorded, and is not cast");
            }
            Completion::Answered(answered) => self.answered(*answered).await,
            Completion::Computed(Target::Events(service), ticket, done) => {
                self.feed_events(service, event::Input::Computed { ticket, done }).await;
            }
            Completion::Computed(Target::Task(task), ticket, done) => {
                let input = surety_protocol::network::task::Input::Computed { ticket, done };
                self.feed_task(task, input).await;
            }
            Completion::Fetched(hash, found) => self.fetched(hash, found),
            Completion::Mix(block, mix) => {
                self.mixing.remove(&block);
                if let Some(mix) = mix {
                    self.mixes.insert(block, mix);
                    self.stir_all();
                }
            }
            Completion::Written => {}
        }
    }

    async fn peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Message(message) => match Message::decode(&message.data) {
                Ok(said) if said.service == message.service => {
                    if let Some(task) = said.body.task() {
                        let input = surety_protocol::network::task::Input::Message {
                            from: message.from,
                            message: said,
                        };
                        self.feed_task(task, input).await;
                    } else if said.body.deployment().is_some() {
                        self.hear_monitor(message.from, said).await;
                    } else {
                        let input = event::Input::Message {
                            from: message.from,
                            message: said,
                        };
                        self.feed_events(message.service, input).await;
                    }
                }
                Ok(_) => self.accuse(message.peer, Misbehaviour::Forged).await,
                Err(error) => {
                    tracing::debug!(from = %message.from, %error, "not a message");
                    self.accuse(message.peer, Misbehaviour::Malformed).await;
                }
            },
            PeerEvent::Request(request) => match Ask::decode(&request.data) {
                Ok(ask) => {
                    let store = self.store.clone();
                    tokio::task::spawn_blocking(move || {
                        let found = answer(&store, ask).unwrap_or_else(|error| {
                            tracing::warn!(%error, "a peer's question cannot be answered");
                            None
                        });
                        if let Err(error) = request.reply.send(found.unwrap_or_default()) {
                            tracing::debug!(%error, "an answer to a peer is too long");
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!(peer = %request.peer, %error, "not a question");
                    self.accuse(request.peer, Misbehaviour::Malformed).await;
                }
            },
            PeerEvent::PeerConnected { operator: Some(_), .. } => self.stir_all(),
            _ => {}
        }
    }

    async fn accuse(&self, peer: surety_p2p::PeerId, what: Misbehaviour) {
        if let Err(error) = self.peers.report(peer, what).await {
            tracing::debug!(%error, "misbehaviour not noted");
        }
    }

    /// Says so of an operator, if it is connected.
    pub(crate) async fn accuse_operator(&self, operator: Address, what: event::Misbehaviour) {
        tracing::info!(%operator, ?what, "a peer misbehaves");
        let what = match what {
            event::Misbehaviour::NotAMember => Misbehaviour::NotAMember,
            event::Misbehaviour::WrongService | event::Misbehaviour::Malformed => Misbehaviour::Malformed,
            event::Misbehaviour::NoQuorum | event::Misbehaviour::BadSignature => Misbehaviour::Forged,
            event::Misbehaviour::Flood => Misbehaviour::Flood,
        };
        if let Some(peer) = self.peers.peer_of(operator) {
            self.accuse(peer, what).await;
        }
    }

    /// Sends to every operator of a service: directly where all are connected (one hop, no signature to check), through
    /// the topic where not.
    pub(crate) async fn broadcast(&self, message: &Message) {
        let service = message.service;
        let bytes = message.encode();
        let others: Vec<Address> = self
            .ledger
            .operators(service)
            .into_iter()
            .filter(|operator| *operator != self.me)
            .collect();
        let connected: HashSet<Address> = self.peers.operators().into_iter().collect();
        if others.len() <= DIRECT && others.iter().all(|operator| connected.contains(operator)) {
            for operator in others {
                if let Err(error) = self.peers.send(operator, service, bytes.clone()) {
                    tracing::debug!(%operator, %error, "not sent");
                }
            }
        } else if let Err(error) = self.peers.publish(service, bytes).await {
            tracing::debug!(%service, %error, "not published");
        }
    }

    /// Signs, verifies or adds up, on a thread of its own.
    pub(crate) fn compute(&self, target: Target, service: Address, ticket: Ticket, work: Work) {
        let Some(found) = self.services.get(&service) else {
            return;
        };
        let (scheme, turns, completions, epoch) = (
            found.scheme.clone(),
            self.computing.clone(),
            self.completions.clone(),
            self.epoch,
        );
        tokio::spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return };
            let run = move || work.run(&*scheme.read().unwrap_or_else(PoisonError::into_inner));
            if let Ok(done) = tokio::task::spawn_blocking(run).await {
                let _stopping = completions
                    .send((epoch, Completion::Computed(target, ticket, done)))
                    .await;
            }
        });
    }

    /// Does something that waits for the disk, and tells the driver.
    pub(crate) fn write(&self, work: impl FnOnce() -> Completion + Send + 'static) {
        let (completions, epoch) = (self.completions.clone(), self.epoch);
        tokio::spawn(async move {
            if let Ok(completion) = tokio::task::spawn_blocking(work).await {
                let _stopping = completions.send((epoch, completion)).await;
            }
        });
    }

    /// Brings evidence to the chain.
    pub(crate) fn convict(&mut self, service: Address, evidence: &Evidence) {
        let ballot = evidence.ballot.to_proven();
        let against = evidence.against.to_proven();
        let (Ok(ballot), Ok(against)) = (ballot, against) else {
            tracing::error!(operator = %evidence.operator, "evidence with a signature that is no point");
            return;
        };
        tracing::warn!(
            %service,
            operator = %evidence.operator,
            fault = ?evidence.fault,
            subject = %evidence.ballot.vote.subject,
            "a member broke a rule; reporting it"
        );
        let id = alloy::primitives::keccak256(
            [
                evidence.operator.as_slice(),
                service.as_slice(),
                evidence.ballot.vote.subject.as_slice(),
                &[evidence.fault as u8],
            ]
            .concat(),
        );
        let (ballot, against) = (Box::new((&ballot).into()), Box::new((&against).into()));
        let wish = match evidence.fault {
            surety_protocol::network::Fault::Double => Wish::Double(ballot, against),
            surety_protocol::network::Fault::Minority => Wish::Minority(ballot, against),
            surety_protocol::network::Fault::WrongResult => Wish::WrongResult(ballot, against),
        };
        let until = Until::Reported(service, evidence.operator, evidence.ballot.vote.subject);
        self.intend(id, wish, service, until);
    }

    /// Has something sent, in turn with the service's other operators, and again until the chain shows it.
    pub(crate) fn intend(&mut self, id: B256, wish: Wish, service: Address, until: Until) {
        let others = self.ledger.operators(service);
        self.intend_among(id, wish, service, until, &others);
    }

    /// The same, in turn with those who know of it.
    pub(crate) fn intend_among(&mut self, id: B256, wish: Wish, service: Address, until: Until, others: &[Address]) {
        if self.intents.contains_key(&id) {
            return;
        }
        if self.intents.len() >= INTENTS {
            tracing::error!(?until, "too many transactions are wanted: one is forgotten");
            self.intents.pop_first();
        }
        self.relay.wish(id, wish.clone(), others);
        self.intents.insert(
            id,
            Intent {
                wish,
                service,
                until,
                next: self.ledger.block.saturating_add(FIRST_AGAIN),
                pause: FIRST_AGAIN,
                tries: 1,
            },
        );
    }

    /// Tries again what the chain does not show yet.
    fn pursue(&mut self) {
        let (ledger, relay) = (&self.ledger, &self.relay);
        self.intents.retain(|id, intent| {
            let done = match intent.until {
                Until::Started(run) => ledger.runs.contains_key(&run),
                Until::Settled(run, step) => ledger
                    .runs
                    .get(&run)
                    .is_some_and(|r| r.closed || r.settled.contains_key(&step)),
                Until::Closed(run) => ledger.runs.get(&run).is_none_or(|r| r.closed),
                Until::Recorded(id, epoch) => ledger.deployments.get(id.into()).is_none_or(|d| d.is_recorded(epoch)),
                Until::HostPunished(id) => ledger.deployments.get(id.into()).is_none_or(|d| d.punished),
                Until::Reported(service, operator, subject) => ledger.reported.contains(&(service, operator, subject)),
                Until::Tried => intent.tries >= 3,
            };
            if done || intent.tries > TRIES {
                return false;
            }
            if ledger.block >= intent.next {
                intent.tries = intent.tries.saturating_add(1);
                intent.pause = intent.pause.saturating_mul(2).min(LONGEST_AGAIN);
                intent.next = ledger.block.saturating_add(intent.pause);
                relay.wish(*id, intent.wish.clone(), &ledger.operators(intent.service));
            }
            true
        });
    }

    async fn chain(&mut self, update: ChainUpdate) {
        match self.ledger.apply(update) {
            News::None => {}
            News::Restart => {
                tracing::warn!("the chain was reorganised: reading it again");
                self.caught_up = false;
                self.epoch = self.epoch.saturating_add(1);
                // Asked for by machines that are gone.
                self.votes.clear();
                self.unstarted.clear();
                self.tasks.clear();
                self.runs.clear();
                self.flows.clear();
                self.mixes.clear();
                self.mixing.clear();
                self.results.clear();
                self.verdicts.clear();
                // What was voted is on disk; the machines begin anew with the sets of this chain.
                for service in self.services.values_mut() {
                    service.events = None;
                }
                if let Some(integrity) = &mut self.integrity {
                    integrity.watched.clear();
                }
            }
            News::CaughtUp => {
                self.caught_up = true;
                self.publish_members();
                let services: Vec<Address> = self.services.keys().copied().collect();
                for service in services {
                    self.know_sets(service);
                    if let Some((set, quorum)) = self.ledger.newest_set(service) {
                        self.set_fixed(set, quorum).await;
                    }
                }
                self.watch_all().await;
                self.head().await;
            }
            News::Flow(flow) => self.flow_created(&flow),
            // What the past calls for has been done or missed.
            _ if !self.caught_up => {}
            News::Head => self.head().await,
            News::Set(set, quorum) => {
                self.know_sets(set.service());
                self.monitors_changed(&set, quorum).await;
                self.set_fixed(set, quorum).await;
            }
            News::Members => self.publish_members(),
            News::Run(run) => {
                self.started(run);
                self.stirred.insert(run);
            }
            News::Deployment(id) => self.deployment_changed(id).await,
        }
    }

    /// Votes in any of these sets can be checked.
    fn know_sets(&mut self, service: Address) {
        let (Some(found), Some(sets)) = (self.services.get(&service), self.ledger.sets.get(&service)) else {
            return;
        };
        let mut scheme = found.scheme.write().unwrap_or_else(PoisonError::into_inner);
        for (set, _) in sets {
            scheme.insert(set.clone());
        }
        if let Some((oldest, _)) = sets.first() {
            scheme.forget_before(oldest.number());
        }
    }

    /// Tells the network who may take part.
    fn publish_members(&mut self) {
        let mut members = Members::new();
        for (service, operators) in &self.ledger.members {
            for member in operators {
                members.insert(*service, member.operator);
                if member.peer_address.is_empty() {
                    continue;
                }
                match member.peer_address.parse() {
                    Ok(address) => members.locate(member.operator, address),
                    Err(_) => tracing::debug!(operator = %member.operator, "its peer address is no multiaddress"),
                }
            }
        }
        self.members.send_replace(Arc::new(members));
    }

    /// What a new block calls for.
    async fn head(&mut self) {
        self.tick_tasks_block().await;
        self.head_monitors().await;
        self.pursue();
        let (block, time) = (self.ledger.block, self.ledger.time);
        let due: Vec<(B256, Address)> = self
            .ledger
            .cases
            .iter()
            .filter(|(_, case)| time > case.until)
            .map(|(id, case)| (*id, case.service))
            .collect();
        for (case, service) in due {
            let others = self.ledger.operators(service);
            self.relay.wish(case, Wish::Punish(case), &others);
        }
        let services: Vec<Address> = self.services.keys().copied().collect();
        for service in services {
            if self.wants_set(service, block) {
                // One wish a set, whatever the block.
                let number = self.ledger.newest_set(service).map_or(0, |(set, _)| set.number());
                let id = alloy::primitives::keccak256([service.as_slice(), &number.to_be_bytes()].concat());
                let others = self.ledger.operators(service);
                self.relay.wish(id, Wish::Fix(service), &others);
            }
        }
        self.stir_all();
    }

    /// Whether the next set is due: somebody came or went, or the set is getting old.
    fn wants_set(&self, service: Address, block: u64) -> bool {
        let Some(members) = self.ledger.members.get(&service) else {
            return false;
        };
        let now: HashSet<Address> = members.iter().filter(|m| m.votes).map(|m| m.operator).collect();
        if !now.contains(&self.me) {
            return false;
        }
        let Some((set, _)) = self.ledger.newest_set(service) else {
            return true;
        };
        let age = block.saturating_sub(set.fixed_at());
        let then: HashSet<Address> = set.members().iter().map(|m| m.operator).collect();
        // Of more than have a seat, others are to have their turn.
        let changed = now.len() > MAX_MEMBERS || now != then;
        let since = self.ledger.set_times.get(&service).copied().unwrap_or_default();
        let old = self.ledger.time.saturating_sub(since) >= self.max_set_age / AGE_DIVISOR;
        (changed || old) && age >= self.set_period
    }

    /// Asks the members of a service for a payload, unless that is under way.
    pub(crate) fn fetch(&mut self, hash: B256, ask: Ask, service: Address) {
        let now = now_ms();
        if self.missing.get(&hash).is_some_and(|again| *again > now) || !self.fetching.insert(hash) {
            return;
        }
        let mut operators: Vec<Address> = self.ledger.operators(service);
        if operators.is_empty() {
            // Of a service this node has no part in: whoever is connected may have it.
            operators = self.peers.operators();
        }
        operators.retain(|operator| *operator != self.me);
        // Not everybody asks the same one first.
        let first =
            usize::from(hash.first().copied().unwrap_or_default() ^ self.me.first().copied().unwrap_or_default());
        if !operators.is_empty() {
            let middle = first % operators.len();
            operators.rotate_left(middle);
        }
        let (peers, completions, turns, epoch) = (
            self.peers.clone(),
            self.completions.clone(),
            self.asking.clone(),
            self.epoch,
        );
        let (me, secret) = (self.me, self.encryption.clone());
        let max_value = surety_primitives::value::MAX_VALUE_BYTES;
        tokio::spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return };
            let mut found = None;
            for operator in operators {
                match peers.ask(operator, ask.encode(), ASK).await {
                    Ok(bytes) if !bytes.is_empty() && bytes.len() <= max_value.saturating_mul(2) => {
                        if check(&ask, &bytes, me, &secret) {
                            found = Some(bytes);
                            break;
                        }
                        tracing::debug!(%operator, ?ask, "a peer answered something else");
                    }
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%operator, %error, "not answered"),
                }
            }
            let _stopping = completions.send((epoch, Completion::Fetched(hash, found))).await;
        });
    }

    fn fetched(&mut self, hash: B256, found: Option<Vec<u8>>) {
        self.fetching.remove(&hash);
        match found {
            Some(bytes) => {
                self.missing.remove(&hash);
                if let Err(error) = self.store.put_checked(hash, bytes) {
                    tracing::error!(%error, "a payload cannot be kept");
                }
                self.stir_all();
            }
            None => {
                // Asked again a little later, by whoever still needs it.
                self.missing.insert(hash, now_ms().saturating_add(1_000));
                if self.missing.len() > 10_000 {
                    self.missing.clear();
                }
            }
        }
    }

    /// What runs recorded in a block are drawn with, if it is known; asks the chain if not.
    pub(crate) fn mix(&mut self, block: u64) -> Option<Draw> {
        if let Some(draw) = self.mixes.get(&block) {
            return Some(*draw);
        }
        if block < self.ledger.block && self.mixing.insert(block) {
            let (contracts, completions, epoch) = (self.contracts.clone(), self.completions.clone(), self.epoch);
            tokio::spawn(async move {
                let draw = match contracts.draw(block).await {
                    Ok(found) => found.map(|(mix, time)| Draw { mix, time }),
                    Err(error) => {
                        tracing::warn!(block, %error, "the block cannot be read");
                        None
                    }
                };
                let _stopping = completions.send((epoch, Completion::Mix(block, draw))).await;
            });
        }
        while self.mixes.len() > 4_096 {
            self.mixes.pop_first();
        }
        None
    }
}

/// Whether the bytes are what was asked for.
fn check(ask: &Ask, bytes: &[u8], me: Address, secret: &sealed::SecretKey) -> bool {
    match ask {
        Ask::Value(hash) => {
            // A sealed payload counts if it opens to what the hash commits to: whoever is asked could make one up.
            alloy::primitives::keccak256(bytes) == *hash
                || sealed::Sealed::from_rlp(bytes).is_ok_and(|sealed| sealed.open(me, secret, *hash).is_ok())
        }
        Ask::Result(hash) => tasks::decode_result(bytes).is_some_and(|result| result.hash() == *hash),
        Ask::Certified { .. } => true,
    }
}

fn answer(store: &NetworkStore, ask: Ask) -> Result<Option<Vec<u8>>, StoreError> {
    match ask {
        Ask::Value(hash) | Ask::Result(hash) => store.value(hash),
        Ask::Certified { service, kind, subject } => store.certified(service, kind, subject),
    }
}
