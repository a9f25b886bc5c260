//! Event consensus (`docs/spec/network.md`, section 7): from what the members saw to a certificate.
//!
//! ```text
//! observer   Observed ──hint──▶ collector of the slot; after `patience` the next one too, until the window ends
//! collector  hints of a quorum ──▶ Propose (to all) ──▶ ballots of a quorum ──▶ Certified (to all)
//!                                   └─ stalled: again in halves
//! voter      Propose: saw all of it ▶ Store ▶ Sign ▶ Ballot
//!                     saw other data ▶ Store ▶ Sign ▶ Dissent (to all)
//!                     saw less      ▶ waits until it has seen the rest
//! all        Certified ──verify──▶ Effect::Certified; ballots against it ──verify──▶ Effect::Evidence
//! ```
//!
//! Every member plays all parts; a node that is no member follows certificates. One instance serves one service.

mod collector;
mod ledger;
mod observer;
mod voter;

use super::{
    Ticket,
    evidence::{Book, Candidate, Evidence, Seal},
    message::{Body, Message, Sighting},
    roster::Roster,
    scheme::{Done, SignatureBytes, Work},
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    vec::Vec,
};
use alloy_primitives::{Address, B256};
use surety_primitives::vote::Vote;

/// Most events that are observed and not yet forgotten. What comes on top is refused: backpressure for connectors.
pub const MAX_SEEN: usize = 131_072;

/// Most hints that are kept for a collector, of all members together; each has an equal part.
pub const MAX_POOL: usize = 262_144;

/// Most proposals that a collector has out at once.
pub const MAX_IN_FLIGHT: usize = 8;

/// With so many out, a collector waits with batches that are not full.
pub const UNHURRIED: usize = 2;

/// Most votes in one peer's proposals that wait for this node to see the events.
pub const MAX_WAITING_VOTES: usize = 2_048;

/// Most of one peer's proposals that wait so.
pub const MAX_WAITING: usize = 32;

/// Most votes under certificates that are kept to help those who missed them.
pub const MAX_KEPT_VOTES: usize = 65_536;

/// Most certificates of one peer that are being verified.
pub const MAX_VERIFYING: usize = 16;

/// For how long a member that was heard counts as alive, in milliseconds.
pub const ALIVE_MS: u64 = 2_000;

/// How long a certified event is remembered as observed, in milliseconds.
const CERTIFIED_KEEP_MS: u64 = 10_000;

/// Times and sizes. All times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's operator, if it may vote.
    pub me: Option<Address>,
    /// How long a hint is kept of an event that this node did not see: the longest window of the service's events.
    pub window: u64,
    /// Without a certificate for so long, the next collector is told.
    pub patience: u64,
    /// A proposal without a quorum for so long is proposed again in halves.
    pub stall: u64,
    /// How long a quorum of ballots waits for those of the other members, who shall have their part too.
    pub linger: u64,
    /// How long it waits for members that are known to be alive: those that told of the batch's events, or were heard
    /// within [`ALIVE_MS`]. Once all of them have signed, `linger` is all there is.
    pub linger_alive: u64,
    /// Longest pause between two batches that are not full: a millisecond for each vote of the last one but one.
    pub pace: u64,
    /// How long one member is the first collector.
    pub rotation: u64,
    /// Votes in a full batch, at most [`super::message::MAX_BATCH`].
    pub batch: usize,
}

impl Config {
    /// What suits a window of so many milliseconds, and so many members: of all but the dishonest third, each has its
    /// turn as a collector inside the window.
    pub fn new(me: Option<Address>, window: u64, members: usize) -> Self {
        let third = (members.saturating_sub(1) / 3) as u64;
        Self {
            me,
            window,
            patience: (window / (third + 3)).clamp(200, 2_000),
            stall: (window / 20).clamp(150, 500),
            linger: 4,
            linger_alive: 25,
            pace: 40,
            rotation: 4_000,
            batch: 512,
        }
    }
}

/// What happens to the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// The own connector saw an event. `until`: Unix milliseconds at which its window ends. The driver does not feed
    /// what its store knows as certified.
    Observed {
        /// The event key.
        key: B256,
        /// Value hash of its data.
        value: B256,
        /// When its window ends.
        until: u64,
    },
    /// A message came. The wire has authenticated `from` as its author.
    Message {
        /// The author.
        from: Address,
        /// What it says.
        message: Message,
    },
    /// Time went by.
    Tick,
    /// Another set is in force. The one before stays known for certificates that are still under way.
    SetChanged(Arc<Roster>),
    /// [`Effect::Store`] is durable, but for the votes on subjects that the store has with another value.
    Stored {
        /// Of the effect.
        ticket: Ticket,
        /// Subjects that were refused, with the recorded values.
        refused: Vec<Sighting>,
    },
    /// [`Effect::Compute`] is done.
    Computed {
        /// Of the effect.
        ticket: Ticket,
        /// What came of it.
        done: Done,
    },
    /// First input after a restart: votes on events that the store recorded in this set within the last window. They
    /// count as observed: the node vouched for them. What was observed and not voted on is observed again: the driver
    /// keeps it, or the connector repeats it.
    Restarted {
        /// The votes.
        votes: Vec<Sighting>,
    },
}

/// What the driver shall do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send to one operator. May be lost.
    Send {
        /// To whom.
        to: Address,
        /// What.
        message: Message,
    },
    /// Send to every member, and to whoever follows the service. May be lost. Not to the own node.
    Broadcast {
        /// What.
        message: Message,
    },
    /// Record votes durably, each unless the store has another value for its (set, kind, subject); then answer
    /// [`Input::Stored`].
    Store {
        /// For the answer.
        ticket: Ticket,
        /// Number of the set.
        set: u64,
        /// What.
        votes: Vec<Vote>,
    },
    /// Do the work; then answer [`Input::Computed`].
    Compute {
        /// For the answer.
        ticket: Ticket,
        /// What.
        work: Work,
    },
    /// Events are certified. The certificate is verified.
    Certified {
        /// The certificate.
        seal: Seal,
        /// All votes under it, in order.
        votes: Arc<[Sighting]>,
        /// Indices of those that are certified for the first time here.
        fresh: Vec<usize>,
    },
    /// The window of an observed event ended without a certificate.
    Expired {
        /// The event.
        key: B256,
    },
    /// An observation is not taken, or no longer held.
    Refused {
        /// The event.
        key: B256,
        /// Why.
        reason: Refusal,
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

/// How much a machine holds; see [`EventConsensus::load`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Events that were observed: at most [`MAX_SEEN`].
    pub seen: usize,
    /// Hints, of all members: at most [`MAX_POOL`].
    pub pooled: usize,
    /// Batches that are out, or were split.
    pub batches: usize,
    /// Votes of proposals that wait for events: at most [`MAX_WAITING_VOTES`] for each peer.
    pub waiting_votes: usize,
    /// Votes under certificates: at most [`MAX_KEPT_VOTES`].
    pub certified_votes: usize,
    /// Votes that are kept as evidence, and pairs that contradict each other: at most
    /// [`super::evidence::MAX_BOOK_VOTES`].
    pub evidence: usize,
    /// Work and writes that are awaited.
    pub awaited: usize,
}

/// Why an observation does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// [`MAX_SEEN`] events are held.
    Full,
    /// The window is over already.
    Late,
    /// This node saw or recorded other data of it before; that stays.
    Contradicts {
        /// What it holds.
        held: B256,
    },
    /// The quorum certified other data.
    Outvoted {
        /// What is certified.
        certified: B256,
    },
}

/// What an honest peer never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misbehaviour {
    /// Speaks without being a member.
    NotAMember,
    /// Speaks about another service.
    WrongService,
    /// Repeats a subject in one batch.
    Malformed,
    /// Its certificate names too few signers, or some that do not exist.
    NoQuorum,
    /// A signature is not what it should be.
    BadSignature,
    /// It sends more than anybody needs to.
    Flood,
}

/// What an answer is awaited for.
#[derive(Clone, Debug)]
enum Waiting {
    /// The store, then a signature.
    Record { votes: Vec<Sighting>, purpose: Purpose },
    /// The own signature.
    Signature { votes: Vec<Sighting>, purpose: Purpose },
    /// The sum of ballots.
    Sum { root: B256 },
    /// Whether a certificate is one.
    Certificate {
        from: Address,
        seal: Seal,
        votes: Arc<[Sighting]>,
    },
    /// Whether a ballot convicts. A double vote has another to check after it.
    Ballot { candidate: Box<Candidate>, second: bool },
}

#[derive(Clone, Copy, Debug)]
enum Purpose {
    Ballot { root: B256, set: u64, collector: usize },
    Dissent { set: u64 },
}

/// The machine. See the module.
#[derive(Debug)]
pub struct EventConsensus {
    config: Config,
    now: u64,
    roster: Arc<Roster>,
    previous: Option<Arc<Roster>>,
    me: Option<usize>,
    tickets: Ticket,
    waiting: BTreeMap<Ticket, Waiting>,
    effects: Vec<Effect>,
    observer: observer::Observer,
    collector: collector::Collector,
    voter: voter::Voter,
    ledger: ledger::Ledger,
    book: Book,
}

impl EventConsensus {
    /// A machine that has seen nothing.
    pub fn new(config: Config, roster: Arc<Roster>, now: u64) -> Self {
        let config = Config {
            batch: config.batch.clamp(1, super::message::MAX_BATCH),
            rotation: config.rotation.max(1),
            patience: config.patience.max(1),
            stall: config.stall.max(1),
            ..config
        };
        Self {
            me: config.me.and_then(|me| roster.index_of(me)),
            config,
            now,
            roster,
            previous: None,
            tickets: 0,
            waiting: BTreeMap::new(),
            effects: Vec::new(),
            observer: observer::Observer::default(),
            collector: collector::Collector::default(),
            voter: voter::Voter::default(),
            ledger: ledger::Ledger::default(),
            book: Book::default(),
        }
    }

    /// Takes an input at a time, in Unix milliseconds of this node's clock. A clock that goes back stands still.
    pub fn step(&mut self, now: u64, input: Input) -> Vec<Effect> {
        self.now = self.now.max(now);
        match input {
            Input::Observed { key, value, until } => self.observe(Sighting { key, value }, until),
            Input::Message { from, message } => self.receive(from, message),
            Input::Tick => {}
            Input::SetChanged(roster) => self.change_set(roster),
            Input::Stored { ticket, refused } => self.stored(ticket, &refused),
            Input::Computed { ticket, done } => self.computed(ticket, done),
            Input::Restarted { votes } => {
                let until = self.now.saturating_add(self.config.window);
                for sighting in votes {
                    self.observe(sighting, until);
                }
            }
        }
        self.run_timers();
        core::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] would do something, at the latest; `None` if never. Ticks in between do no harm.
    pub fn next_tick(&self) -> Option<u64> {
        [
            self.next_observer_tick(),
            self.next_collector_tick(),
            self.next_voter_tick(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How much it holds. Every number is bounded, whatever peers send.
    pub fn load(&self) -> Load {
        Load {
            seen: self.observer.seen.len(),
            pooled: self.collector.pooled(),
            batches: self.collector.batches.len(),
            waiting_votes: self.voter.waiting_votes(),
            certified_votes: self.ledger.votes(),
            evidence: self.book.load(),
            awaited: self.waiting.len(),
        }
    }

    /// The set in force.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// How many observed events have no certificate yet.
    pub fn pending(&self) -> usize {
        self.observer.pending
    }

    fn receive(&mut self, from: Address, message: Message) {
        // What a mesh brings back is known.
        if Some(from) == self.config.me {
            return;
        }
        if message.service != self.roster.service() {
            return self.accuse(from, Misbehaviour::WrongService);
        }
        if let Body::Certified {
            signers,
            signature,
            votes,
        } = message.body
        {
            return self.receive_certificate(from, message.set, signers, signature, votes);
        }
        // Nodes change sets at slightly different times; what is lost is said again.
        if message.set != self.roster.number() {
            return;
        }
        let Some(member) = self.roster.index_of(from) else {
            return self.accuse(from, Misbehaviour::NotAMember);
        };
        match message.body {
            Body::Hints(hints) => self.receive_hints(member, hints),
            Body::Propose(votes) => self.receive_proposal(member, votes),
            Body::Ballot { root, signature } => self.receive_ballot(member, root, signature),
            Body::Dissent { votes, signature } => self.receive_dissent(member, votes, signature),
            // Of a certificate, see above; of tasks and containers, other machines'.
            Body::Certified { .. }
            | Body::Result { .. }
            | Body::Validation { .. }
            | Body::Objection { .. }
            | Body::Decided { .. }
            | Body::MeasurementHint { .. }
            | Body::MeasurementBallot { .. }
            | Body::MeasurementCertificate { .. } => {}
        }
    }

    /// Everything under way starts anew under the next set: observations are told again, old ballots count no more.
    fn change_set(&mut self, roster: Arc<Roster>) {
        if roster.number() <= self.roster.number() || roster.service() != self.roster.service() {
            return;
        }
        self.me = self.config.me.and_then(|me| roster.index_of(me));
        self.previous = Some(core::mem::replace(&mut self.roster, roster));
        self.collector = collector::Collector::default();
        self.voter = voter::Voter::default();
        self.tell_again();
    }

    fn stored(&mut self, ticket: Ticket, refused: &[Sighting]) {
        match self.waiting.remove(&ticket) {
            Some(Waiting::Record { votes, purpose }) => self.recorded(votes, purpose, refused),
            Some(other) => {
                self.waiting.insert(ticket, other);
            }
            None => {}
        }
    }

    fn computed(&mut self, ticket: Ticket, done: Done) {
        match (self.waiting.remove(&ticket), done) {
            (Some(Waiting::Signature { votes, purpose }), Done::Signed(Some(signature))) => {
                self.signed(votes, purpose, signature);
            }
            (Some(Waiting::Sum { root }), Done::Combined { signature, good, bad }) => {
                self.combined(root, signature, good, bad);
            }
            (Some(Waiting::Certificate { from, seal, votes }), Done::Verified(valid)) => {
                self.ledger.verified(from, seal.root);
                if valid {
                    self.certify(seal, votes);
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

    fn run_timers(&mut self) {
        self.run_observer();
        self.run_collector();
        self.run_voter();
    }

    fn wait_for(&mut self, waiting: Waiting) -> Ticket {
        self.tickets += 1;
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
        if let Some(peer) = self.roster.operator(member) {
            self.accuse(peer, what);
        }
    }

    fn message(&self, body: Body) -> Message {
        Message {
            service: self.roster.service(),
            set: self.roster.number(),
            body,
        }
    }

    fn send(&mut self, member: usize, body: Body) {
        let message = self.message(body);
        if let Some(to) = self.roster.operator(member) {
            self.effects.push(Effect::Send { to, message });
        }
    }

    fn broadcast(&mut self, body: Body) {
        let message = self.message(body);
        self.effects.push(Effect::Broadcast { message });
    }

    fn roster_of(&self, set: u64) -> Option<&Arc<Roster>> {
        [Some(&self.roster), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|roster| roster.number() == set)
    }
}

fn votes_of(sightings: &[Sighting]) -> Vec<Vote> {
    sightings.iter().map(Sighting::vote).collect()
}

/// Whether a subject is in it twice.
fn repeats(sightings: &[Sighting]) -> bool {
    let mut keys = BTreeSet::new();
    !sightings.iter().all(|sighting| keys.insert(sighting.key))
}

/// So many at once, and so many in a second, of one peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// Thousandths.
    left: u64,
    at: u64,
}

impl Allowance {
    pub(super) fn new(burst: u64, now: u64) -> Self {
        Self {
            left: burst.saturating_mul(1_000),
            at: now,
        }
    }

    pub(super) fn take(&mut self, burst: u64, per_second: u64, now: u64) -> bool {
        let passed = now.saturating_sub(self.at);
        self.at = now;
        let refilled = self.left.saturating_add(passed.saturating_mul(per_second));
        self.left = refilled.min(burst.saturating_mul(1_000));
        let enough = self.left.checked_sub(1_000);
        self.left = enough.unwrap_or(self.left);
        enough.is_some()
    }
}
