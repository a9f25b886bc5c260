//! Consensus about a container (`docs/spec/integrity.md`, section 6): from what the monitors measured to a certificate.
//!
//! ```text
//! monitor    Measure ──▶ Observed: decides, once for each epoch ▶ Record (durable) ──hint──▶ all
//! all        hints of a quorum that say what this node said itself ▶ Sign ──ballot──▶ all
//! anybody    ballots of a quorum ▶ Combine ▶ Certified ──certificate──▶ all, and to the chain
//!            ballots against it ──verify──▶ Evidence
//! ```
//!
//! **Why no honest member is ever framed.** A member decides on one verdict for an epoch, and the decision is on disk
//! before anybody hears of it: it tells no other one, not even after a restart. It signs only what members with a quorum
//! of the power told. Two quorums overlap in more than a third of the power, so while less than that is dishonest, the
//! honest ones among them told both, which they do not. So whatever a host shows to whom, signatures of honest members
//! never contradict each other. What they disagree about gets no verdict in that epoch; drift is told again in the next.
//!
//! One instance watches one deployment. It has no clock: the driver says what time it is.

mod statement;
mod tally;
mod watch;

use super::{
    Ticket,
    evidence::{Book, Candidate, Evidence, Seal},
    message::{Body, Message},
    roster::Roster,
    scheme::{Done, SignatureBytes, Work},
};
use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use alloy_primitives::{Address, B256, U256};
use surety_primitives::vote::Vote;

pub use statement::{Claim, Finding, FindingError, MAX_FINDING_BYTES, MAX_FINDING_STRING, MAX_FINDINGS, Statement};

/// Most findings of one deployment that are kept; drift is drift.
pub const MAX_SEEN: usize = 128;

/// Most findings that one member tells about one epoch, in several messages; what it tells beyond is not heard.
pub const MAX_TOLD: usize = 16;

/// Epochs that are still spoken about after the running one began.
pub const KEPT_EPOCHS: u64 = 2;

/// Most certificates of one peer that are being verified.
pub const MAX_VERIFYING: usize = 8;

/// Most messages of one member at once, and in a second.
pub const MESSAGES: (u64, u64) = (128, 32);

/// Times a certificate is repeated to one member that asks for it by repeating its hint.
const MAX_REPLIES: u8 = 8;

/// What the machine is about. All times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's operator, if it is to monitor.
    pub me: Option<Address>,
    /// The contract `Integrity`.
    pub integrity: Address,
    /// Number of the deployment.
    pub deployment: U256,
    /// Between two measurements.
    pub period: u64,
    /// How far clocks may differ: so long after an epoch's end is measured that it was intact.
    pub skew: u64,
    /// How long a quorum of ballots waits for the rest.
    pub linger: u64,
    /// How much longer each member waits than the one before it in the epoch's order: one adds up, and the others hear.
    pub stagger: u64,
    /// After so long without a certificate, hints and ballots are said again; then after twice that, up to eight times.
    pub retell: u64,
}

impl Config {
    /// What suits a deployment that is measured every `period`.
    pub fn new(me: Option<Address>, integrity: Address, deployment: U256, period: u64) -> Self {
        Self {
            me,
            integrity,
            deployment,
            period: period.max(1),
            skew: 500,
            linger: 50,
            stagger: 25,
            retell: 500,
        }
    }

    /// Subject of what is voted about an epoch; 0 is the baseline.
    pub fn subject(&self, epoch: u64) -> B256 {
        surety_primitives::measurement::subject(self.integrity, self.deployment.into(), epoch)
    }
}

/// What a measurement came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing is other than it should be.
    Clean {
        /// The measurement root.
        root: B256,
        /// Since when the engine's events are known without a gap.
        since: u64,
    },
    /// Something is.
    Drifted(Vec<Finding>),
    /// The host did not answer, or there is no container yet.
    Unreachable,
    /// It could not be measured for a reason that is not the host's: nothing is said.
    Unknown,
}

/// What happens to the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// A set is in force.
    SetChanged(Arc<Roster>),
    /// The chain has recorded the baseline: epochs run.
    Running {
        /// Measurement root at deployment.
        baseline: B256,
        /// When epoch 1 began.
        start: u64,
        /// How long an epoch is.
        epoch: u64,
    },
    /// A measurement that [`Effect::Measure`] asked for is done. Each is answered, within the driver's deadline.
    Observed {
        /// When it began.
        began: u64,
        /// What it came to.
        seen: Seen,
    },
    /// The engine told of something: measure now.
    Stirred,
    /// A message came. The wire has authenticated `from` as its author.
    Message {
        /// The author.
        from: Address,
        /// What it says.
        message: Message,
    },
    /// Time went by.
    Tick,
    /// [`Effect::Record`] is durable, or was refused: the store has another value for one of its subjects.
    Stored {
        /// Of the effect.
        ticket: Ticket,
        /// Whether it is recorded.
        kept: bool,
    },
    /// [`Effect::Compute`] is done.
    Computed {
        /// Of the effect.
        ticket: Ticket,
        /// What came of it.
        done: Done,
    },
    /// The chain recorded a verdict of this epoch; nothing more is said about it and those before.
    Recorded {
        /// Which.
        epoch: u64,
    },
    /// The deployment is over. Only evidence is still looked at.
    Ended,
    /// First input after a restart: findings that were recorded. Drift is for the rest of the deployment.
    Restarted {
        /// Of [`Effect::Record`].
        findings: Vec<Finding>,
    },
}

/// What the driver shall do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Measure now; then answer [`Input::Observed`]. There is only ever one under way.
    Measure,
    /// Send to one operator. May be lost.
    Send {
        /// To whom.
        to: Address,
        /// What.
        message: Message,
    },
    /// Send to every member. May be lost. Not to the own node.
    Broadcast {
        /// What.
        message: Message,
    },
    /// Record votes and findings durably, all or nothing: refuse if the store has another value for one of the votes'
    /// (set, kind, subject). Then answer [`Input::Stored`].
    Record {
        /// For the answer.
        ticket: Ticket,
        /// Number of the set.
        set: u64,
        /// Votes.
        votes: Vec<Vote>,
        /// What was found; to be told after a restart, and to whoever asks for a finding by its hash.
        findings: Vec<Finding>,
    },
    /// Do the work; then answer [`Input::Computed`].
    Compute {
        /// For the answer.
        ticket: Ticket,
        /// What.
        work: Work,
    },
    /// A quorum said it, and the certificate is verified: report it to the chain, in turn.
    Certified {
        /// The certificate.
        seal: Seal,
        /// About which epoch; 0 is the baseline.
        epoch: u64,
        /// What.
        statement: Statement,
    },
    /// A member broke a rule. The signatures are verified.
    Evidence(Box<Evidence>),
    /// A peer sent what nobody honest sends.
    Misbehaved {
        /// Who.
        peer: Address,
        /// What it did.
        what: Misbehaviour,
    },
}

/// What an honest peer never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misbehaviour {
    /// Speaks without being a member.
    NotAMember,
    /// Speaks about another service.
    WrongService,
    /// Tells two verdicts of one epoch.
    Contradicts,
    /// Its certificate names too few signers, or some that do not exist.
    NoQuorum,
    /// A signature is not what it should be.
    BadSignature,
    /// It sends more than anybody needs to.
    Flood,
}

/// How much a machine holds; see [`MeasurementConsensus::load`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Findings that this node saw: at most [`MAX_SEEN`].
    pub findings: usize,
    /// Findings that members told, by hash: at most [`MAX_TOLD`] of each member in each of four epochs.
    pub told: usize,
    /// Ballots: at most [`MAX_TOLD`] and three of each member in each of four epochs.
    pub ballots: usize,
    /// Votes that are kept as evidence, at most [`super::evidence::MAX_BOOK_VOTES`].
    pub evidence: usize,
    /// Work and writes that are awaited.
    pub awaited: usize,
}

/// What an answer is awaited for.
#[derive(Clone, Debug)]
enum Waiting {
    /// The store; then all are told.
    Decision { epoch: u64, set: u64 },
    /// The store; then the signature.
    Record { epoch: u64, set: u64, statement: Statement },
    /// The own signature.
    Signature { epoch: u64, set: u64, statement: Statement },
    /// The sum of ballots.
    Sum { epoch: u64, set: u64, statement: Statement },
    /// Whether a certificate is one.
    Certificate {
        from: Address,
        seal: Seal,
        epoch: u64,
        statement: Statement,
    },
    /// Whether a ballot convicts. A double vote has another to check after it.
    Ballot { candidate: Box<Candidate>, second: bool },
}

/// Epochs, once there are some.
#[derive(Clone, Copy, Debug)]
struct Epochs {
    baseline: B256,
    start: u64,
    length: u64,
    /// When this node heard of it: what it measured before says nothing about epochs.
    since: u64,
}

impl Epochs {
    /// The epoch that runs at a time.
    fn at(&self, time: u64) -> Option<u64> {
        let passed = time.checked_sub(self.start)?;
        Some((passed / self.length).saturating_add(1))
    }

    fn begin(&self, epoch: u64) -> u64 {
        let before = epoch.saturating_sub(1).saturating_mul(self.length);
        self.start.saturating_add(before)
    }

    fn end(&self, epoch: u64) -> u64 {
        self.begin(epoch.saturating_add(1))
    }
}

/// The machine. See the module.
#[derive(Debug)]
pub struct MeasurementConsensus {
    config: Config,
    now: u64,
    roster: Option<Arc<Roster>>,
    previous: Option<Arc<Roster>>,
    me: Option<usize>,
    epochs: Option<Epochs>,
    /// Newest epoch that the chain has.
    recorded: Option<u64>,
    ended: bool,
    tickets: Ticket,
    waiting: BTreeMap<Ticket, Waiting>,
    effects: Vec<Effect>,
    watch: watch::Watch,
    tally: tally::Tally,
    book: Book,
}

impl MeasurementConsensus {
    /// A machine that has seen nothing.
    pub fn new(config: Config, now: u64) -> Self {
        Self {
            config: Config {
                period: config.period.max(1),
                retell: config.retell.max(1),
                ..config
            },
            now,
            roster: None,
            previous: None,
            me: None,
            epochs: None,
            recorded: None,
            ended: false,
            tickets: 0,
            waiting: BTreeMap::new(),
            effects: Vec::new(),
            watch: watch::Watch::new(now),
            tally: tally::Tally::default(),
            book: Book::default(),
        }
    }

    /// Takes an input at a time, in Unix milliseconds of this node's clock. A clock that goes back stands still.
    pub fn step(&mut self, now: u64, input: Input) -> Vec<Effect> {
        self.now = self.now.max(now);
        match input {
            Input::SetChanged(roster) => self.change_set(roster),
            Input::Running { baseline, start, epoch } => self.run_epochs(baseline, start, epoch),
            Input::Observed { began, seen } => self.observed(began, seen),
            Input::Stirred => self.want_measurement(),
            Input::Message { from, message } => self.receive(from, message),
            Input::Tick => {}
            Input::Stored { ticket, kept } => self.stored(ticket, kept),
            Input::Computed { ticket, done } => self.computed(ticket, done),
            Input::Recorded { epoch } => self.record(epoch),
            Input::Ended => self.ended = true,
            Input::Restarted { findings } => {
                self.keep_findings(findings);
            }
        }
        self.run_watch();
        self.run_tally();
        core::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] would do something, at the latest; `None` if never. Ticks in between do no harm.
    pub fn next_tick(&self) -> Option<u64> {
        if self.ended {
            return None;
        }
        [self.next_watch_tick(), self.next_tally_tick()]
            .into_iter()
            .flatten()
            .min()
    }

    /// How much it holds. Every number is bounded, whatever peers send.
    pub fn load(&self) -> Load {
        Load {
            findings: self.watch.drift().len(),
            told: self.tally.told(),
            ballots: self.tally.ballots(),
            evidence: self.book.load(),
            awaited: self.waiting.len(),
        }
    }

    /// What is about to be reported or was: the certificate of an epoch, if it is still held.
    pub fn certificate(&self, epoch: u64) -> Option<(&Seal, Statement)> {
        self.tally.certificate(epoch)
    }

    /// What this node found, by evidence hash: drift, for the rest of the deployment.
    pub fn drift(&self) -> &BTreeMap<B256, Finding> {
        self.watch.drift()
    }

    /// The epoch that runs now; `None` before the baseline is recorded.
    pub fn epoch(&self) -> Option<u64> {
        self.epochs.as_ref()?.at(self.now)
    }

    fn receive(&mut self, from: Address, message: Message) {
        // What a mesh brings back is known.
        if Some(from) == self.config.me {
            return;
        }
        let Some(roster) = self.roster.clone() else { return };
        if message.service != roster.service() {
            return self.accuse(from, Misbehaviour::WrongService);
        }
        if message.body.deployment() != Some(self.config.deployment) {
            return;
        }
        if let Body::MeasurementCertificate {
            epoch,
            statement,
            signers,
            signature,
            ..
        } = message.body
        {
            let seal = |root| Seal {
                service: message.service,
                set: message.set,
                root,
                signers,
                signature,
            };
            return self.receive_certificate(from, epoch, statement, seal);
        }
        // Nodes change sets at slightly different times; what is lost is said again.
        if message.set != roster.number() {
            return;
        }
        let Some(member) = roster.index_of(from) else {
            return self.accuse(from, Misbehaviour::NotAMember);
        };
        if !self.tally.allow(member, self.now) {
            return self.accuse(from, Misbehaviour::Flood);
        }
        match message.body {
            Body::MeasurementHint { epoch, claim, .. } => self.receive_hint(member, epoch, claim),
            Body::MeasurementBallot {
                epoch,
                statement,
                signature,
                ..
            } => self.receive_ballot(member, epoch, statement, signature),
            // The other machines'.
            _ => {}
        }
    }

    /// Everything is said anew under the next set; ballots of the old one count no more.
    fn change_set(&mut self, roster: Arc<Roster>) {
        if let Some(held) = &self.roster
            && (roster.number() <= held.number() || roster.service() != held.service())
        {
            return;
        }
        let was = self.me.is_some();
        self.me = self.config.me.and_then(|me| roster.index_of(me));
        self.previous = self.roster.replace(roster);
        self.tally.begin_set();
        if self.me.is_some() && !was {
            self.watch.begin(self.now);
        }
        self.decide_again();
    }

    fn run_epochs(&mut self, baseline: B256, start: u64, epoch: u64) {
        if self.epochs.is_some() {
            return;
        }
        self.epochs = Some(Epochs {
            baseline,
            start,
            length: epoch.max(1),
            since: self.now,
        });
        self.record(0);
    }

    fn record(&mut self, epoch: u64) {
        self.recorded = self.recorded.max(Some(epoch));
    }

    fn stored(&mut self, ticket: Ticket, kept: bool) {
        match self.waiting.remove(&ticket) {
            Some(Waiting::Decision { epoch, set }) => self.decided(epoch, set, kept),
            Some(Waiting::Record { epoch, set, statement }) if kept => self.sign(epoch, set, statement),
            Some(Waiting::Record { .. }) | None => {}
            Some(other) => {
                self.waiting.insert(ticket, other);
            }
        }
    }

    fn computed(&mut self, ticket: Ticket, done: Done) {
        match (self.waiting.remove(&ticket), done) {
            (Some(Waiting::Signature { epoch, set, statement }), Done::Signed(Some(signature))) => {
                self.signed(epoch, set, statement, signature);
            }
            (Some(Waiting::Sum { epoch, set, statement }), Done::Combined { signature, good, bad }) => {
                self.combined(epoch, set, statement, signature, (good, bad));
            }
            (
                Some(Waiting::Certificate {
                    from,
                    seal,
                    epoch,
                    statement,
                }),
                Done::Verified(valid),
            ) => {
                self.tally.verified(from);
                if valid {
                    self.certify(seal, epoch, statement);
                } else {
                    self.accuse(from, Misbehaviour::BadSignature);
                }
            }
            (Some(Waiting::Ballot { candidate, second }), Done::Verified(valid)) => {
                self.checked(candidate, second, valid);
            }
            // A node that can't sign, or an answer to something else.
            _ => {}
        }
    }

    /// Whether anything is still to be said about an epoch: it is not recorded, and not long gone or far ahead.
    fn is_open(&self, epoch: u64) -> bool {
        if self.ended || self.recorded.is_some_and(|recorded| epoch <= recorded) {
            return false;
        }
        match (&self.epochs, epoch) {
            (None, epoch) => epoch == 0,
            (Some(_), 0) => false,
            (Some(epochs), epoch) => {
                let now = epochs.at(self.now).unwrap_or(0);
                epoch <= now.saturating_add(1) && epoch.saturating_add(KEPT_EPOCHS) >= now
            }
        }
    }

    fn wait_for(&mut self, waiting: Waiting) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        self.waiting.insert(self.tickets, waiting);
        self.tickets
    }

    fn compute(&mut self, work: Work, waiting: Waiting) {
        let ticket = self.wait_for(waiting);
        self.effects.push(Effect::Compute { ticket, work });
    }

    fn accuse(&mut self, peer: Address, what: Misbehaviour) {
        self.effects.push(Effect::Misbehaved { peer, what });
    }

    fn accuse_member(&mut self, member: usize, what: Misbehaviour) {
        if let Some(peer) = self.roster.as_ref().and_then(|roster| roster.operator(member)) {
            self.accuse(peer, what);
        }
    }

    fn message(&self, body: Body) -> Option<Message> {
        let roster = self.roster.as_ref()?;
        Some(Message {
            service: roster.service(),
            set: roster.number(),
            body,
        })
    }

    fn broadcast(&mut self, body: Body) {
        if let Some(message) = self.message(body) {
            self.effects.push(Effect::Broadcast { message });
        }
    }

    fn roster_of(&self, set: u64) -> Option<&Arc<Roster>> {
        [self.roster.as_ref(), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|roster| roster.number() == set)
    }

    fn set(&self) -> u64 {
        self.roster.as_ref().map_or(0, |roster| roster.number())
    }
}
