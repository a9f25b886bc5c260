//! The simulated network of event consensus.

use super::*;
use rand::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};
use surety_primitives::vote::Vote;
use surety_protocol::network::{
    Body, EventConsensus, Evidence, Message, Seal, Work,
    event::{Config, Effect, Input},
    message::Sighting,
};

/// What a dishonest member does. Each runs an honest machine too, as its cover, unless it is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Nothing at all.
    Silent,
    /// An honest node whose connector lies about every event.
    LyingConnector,
    /// Tells every collector something else, and signs both the truth and a lie.
    Equivocate,
    /// Signs garbage.
    Garbage,
    /// As a collector it never publishes.
    Withhold,
    /// As a collector it proposes what nobody saw, and other data of what was seen.
    Invent,
    /// Repeats what it heard, also with another set or another service.
    Replay,
    /// Sends as much as it can.
    Flood,
    /// Tells collectors what it saw, and never signs.
    Mute,
}

pub const STRATEGIES: [Strategy; 9] = [
    Strategy::Silent,
    Strategy::LyingConnector,
    Strategy::Equivocate,
    Strategy::Garbage,
    Strategy::Withhold,
    Strategy::Invent,
    Strategy::Replay,
    Strategy::Flood,
    Strategy::Mute,
];

/// What is due.
enum Due {
    Message { from: usize, to: usize, message: Message },
    Input(usize, u64, Input),
    Tick(usize),
    Restart(usize),
    Mischief(usize),
}

/// What a member's disk holds: by set and subject.
type Disk = BTreeMap<(u64, B256), B256>;

pub struct Node {
    pub machine: Option<EventConsensus>,
    pub disk: Disk,
    /// Counts restarts: answers to an earlier life are not given.
    life: u64,
    pub strategy: Option<Strategy>,
    pub certified: BTreeMap<B256, (B256, u64)>,
    pub observed: BTreeMap<B256, (B256, u64)>,
}

pub struct Network {
    pub now: u64,
    pub rng: StdRng,
    pub wires: Wires,
    pub nodes: Vec<Node>,
    pub roster: Arc<Roster>,
    /// While it is there, only members on one side hear each other.
    pub parted: Option<BTreeSet<usize>>,
    queue: BTreeMap<(u64, u64), Due>,
    sequence: u64,
    pub evidence: Vec<Evidence>,
    /// What members signed alone, by who holds it: holder, member, event.
    pub held: BTreeMap<(usize, usize, B256), BTreeSet<B256>>,
    pub accused: BTreeSet<(usize, usize)>,
    pub seals: Vec<(Seal, Arc<[Sighting]>)>,
    heard: Vec<Message>,
    config: Config,
    pub messages: u64,
    /// After a restart a node hears again what it had not seen certified.
    pub connectors_repeat: bool,
}

impl Network {
    pub fn new(seed: u64, members: usize, liars: &[Strategy], wires: Wires) -> Self {
        let roster = roster(7, members);
        // Events of up to a minute; collectors take turns as for a shorter one, so that runs are short.
        let config = Config {
            patience: 300,
            stall: 200,
            ..Config::new(None, 60_000, members)
        };
        let start = 1_000_000;
        let nodes = (0..members).map(|index| Node {
            machine: Some(machine(config, index, &roster, start)),
            disk: Disk::new(),
            life: 0,
            strategy: liars.get(index).copied(),
            certified: BTreeMap::new(),
            observed: BTreeMap::new(),
        });
        let mut network = Self {
            now: start,
            rng: StdRng::seed_from_u64(seed),
            wires,
            nodes: nodes.collect(),
            roster,
            parted: None,
            queue: BTreeMap::new(),
            sequence: 0,
            evidence: vec![],
            held: BTreeMap::new(),
            accused: BTreeSet::new(),
            seals: vec![],
            heard: vec![],
            config,
            messages: 0,
            connectors_repeat: true,
        };
        for (index, strategy) in liars.iter().enumerate() {
            if *strategy == Strategy::Silent {
                network.nodes[index].machine = None;
            }
            network.push(5, Due::Mischief(index));
        }
        network
    }

    fn push(&mut self, after: u64, due: Due) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), due);
    }

    pub fn honest(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].strategy.is_none())
    }

    /// The event happens: every member's connector sees it within `spread` milliseconds, liars' what they like.
    pub fn happen(&mut self, key: B256, value: B256, spread: u64, window: u64) {
        for index in 0..self.nodes.len() {
            let lies = self.nodes[index].strategy == Some(Strategy::LyingConnector);
            let value = if lies { keccak256(value) } else { value };
            let after = self.rng.random_range(0..=spread);
            let until = self.now + after + window;
            let life = self.nodes[index].life;
            self.push(after, Due::Input(index, life, Input::Observed { key, value, until }));
        }
    }

    pub fn observe(&mut self, index: usize, key: B256, value: B256, window: u64) {
        let (until, life) = (self.now + window, self.nodes[index].life);
        self.push(0, Due::Input(index, life, Input::Observed { key, value, until }));
    }

    /// Loses everything but its disk, and comes back after a while.
    pub fn crash(&mut self, index: usize, down: u64) {
        self.nodes[index].machine = None;
        self.nodes[index].life += 1;
        self.push(down, Due::Restart(index));
    }

    pub fn change_set(&mut self, set: u64, spread: u64) {
        self.roster = roster(set, self.nodes.len());
        for index in 0..self.nodes.len() {
            let after = self.rng.random_range(0..=spread);
            let life = self.nodes[index].life;
            self.push(after, Due::Input(index, life, Input::SetChanged(self.roster.clone())));
        }
    }

    pub fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            self.now = entry.key().0;
            let due = entry.remove();
            self.happen_due(due);
        }
        self.now = end;
    }

    fn happen_due(&mut self, due: Due) {
        match due {
            Due::Message { from, to, message } => {
                let apart = |side: &BTreeSet<usize>| side.contains(&from) != side.contains(&to);
                if self.parted.as_ref().is_some_and(apart) {
                    return;
                }
                let bytes = message.encode();
                let message = Message::decode(&bytes).expect("what a machine says can be read");
                self.hold(from, to, &message);
                let from = operator(from);
                self.feed(to, Input::Message { from, message });
            }
            Due::Input(index, life, input) => {
                if self.nodes[index].life == life {
                    if let Input::Observed { key, value, .. } = &input {
                        let at = self.now;
                        self.nodes[index].observed.entry(*key).or_insert((*value, at));
                    }
                    self.feed(index, input);
                } else if let Input::Observed { .. } = input {
                    // Connectors say again what the node did not take.
                    let life = self.nodes[index].life;
                    self.push(50, Due::Input(index, life, input));
                }
            }
            Due::Tick(index) => self.feed(index, Input::Tick),
            Due::Restart(index) => {
                let set = self.roster.number();
                self.nodes[index].machine = Some(machine(self.config, index, &self.roster, self.now));
                let recorded = self.nodes[index].disk.iter().filter(|((of, _), _)| *of == set);
                let votes = recorded
                    .map(|((_, key), value)| Sighting {
                        key: *key,
                        value: *value,
                    })
                    .collect();
                self.feed(index, Input::Restarted { votes });
                if self.connectors_repeat {
                    let observed: Vec<_> = self.nodes[index]
                        .observed
                        .iter()
                        .map(|(key, (value, _))| (*key, *value))
                        .collect();
                    for (key, value) in observed {
                        self.observe(index, key, value, 60_000);
                    }
                }
            }
            Due::Mischief(index) => self.mischief(index),
        }
    }

    pub fn feed(&mut self, index: usize, input: Input) {
        let now = self.now;
        let Some(machine) = &mut self.nodes[index].machine else {
            return;
        };
        let effects = machine.step(now, input);
        if let Some(at) = machine.next_tick() {
            self.push(at.saturating_sub(now).max(1), Due::Tick(index));
        }
        for effect in effects {
            self.carry_out(index, effect);
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        let strategy = self.nodes[index].strategy;
        let life = self.nodes[index].life;
        match effect {
            Effect::Send { to, message } => {
                let to = self.roster.index_of(to).expect("a member");
                assert_ne!(to, index, "sends to itself");
                self.say(index, to, message);
            }
            Effect::Broadcast { message } => {
                if strategy == Some(Strategy::Withhold) && matches!(message.body, Body::Certified { .. }) {
                    return;
                }
                for to in (0..self.nodes.len()).filter(|to| *to != index) {
                    self.say(index, to, message.clone());
                }
            }
            Effect::Store { ticket, set, votes } => {
                let disk = &mut self.nodes[index].disk;
                let refused: Vec<_> = votes
                    .iter()
                    .filter_map(|vote: &Vote| {
                        let recorded = *disk.entry((set, vote.subject)).or_insert(vote.value);
                        let key = vote.subject;
                        (recorded != vote.value).then_some(Sighting { key, value: recorded })
                    })
                    .collect();
                let after = self.rng.random_range(0..3);
                self.push(after, Due::Input(index, life, Input::Stored { ticket, refused }));
            }
            Effect::Compute { ticket, work } => {
                if strategy.is_none() {
                    self.check_promise(index, &work);
                }
                let done = work.run(&Toy(index));
                let after = self.rng.random_range(0..3);
                self.push(after, Due::Input(index, life, Input::Computed { ticket, done }));
            }
            Effect::Certified { seal, votes, fresh } => {
                for at in &fresh {
                    let vote = votes[*at];
                    let now = self.now;
                    let before = self.nodes[index].certified.entry(vote.key).or_insert((vote.value, now));
                    assert_eq!(before.0, vote.value, "one node holds two values as certified");
                }
                self.seals.push((seal, votes));
            }
            Effect::Evidence(evidence) => self.evidence.push(*evidence),
            Effect::Misbehaved { peer, .. } => {
                if let Some(peer) = self.roster.index_of(peer).filter(|_| strategy.is_none()) {
                    self.accused.insert((index, peer));
                }
            }
            Effect::Expired { .. } | Effect::Refused { .. } => {}
        }
    }

    /// Notes what an honest member now has in hand.
    fn hold(&mut self, from: usize, to: usize, message: &Message) {
        let Body::Dissent { votes, signature } = &message.body else {
            return;
        };
        let node = &self.nodes[to];
        if node.strategy.is_some() || node.machine.is_none() || message.set != self.roster.number() {
            return;
        }
        let all: Vec<_> = votes.iter().map(Sighting::vote).collect();
        let root = surety_primitives::vote::VoteTree::new(&all).expect("votes").root();
        let digest = self.roster.digest(root);
        if message.service == SERVICE && Toy(0).verify(7, [from].into_iter().collect(), digest, signature) {
            for vote in votes {
                self.held.entry((to, from, vote.key)).or_default().insert(vote.value);
            }
        }
    }

    /// Whose ballot somebody honest holds, against a certificate or against another of its ballots, is convicted.
    /// Gives how many are.
    pub fn check_provable(&self) -> usize {
        let mut lies = 0;
        for ((holder, member, key), values) in &self.held {
            let certified = self.nodes[*holder].certified.get(key).map(|(value, _)| *value);
            let lie = values.len() > 1 || certified.is_some_and(|certified| !values.contains(&certified));
            let convicted =
                |evidence: &Evidence| evidence.operator == operator(*member) && evidence.ballot.vote.subject == *key;
            assert!(
                !lie || self.evidence.iter().any(convicted),
                "{:?}, member {member}, lied to {holder} about {key}, and escapes",
                self.nodes[*member].strategy
            );
            lies += usize::from(lie);
        }
        lies
    }

    /// What an honest member signs is on its disk: the disk came first.
    fn check_promise(&self, index: usize, work: &Work) {
        if let Work::Sign { .. } = work {
            assert!(!self.nodes[index].disk.is_empty(), "signs before it stores");
        }
    }

    pub fn say(&mut self, from: usize, to: usize, message: Message) {
        self.messages += 1;
        let mut message = message;
        match (self.nodes[from].strategy, &mut message.body) {
            (Some(Strategy::Garbage), Body::Ballot { signature, .. } | Body::Dissent { signature, .. }) => {
                *signature = SignatureBytes::repeat_byte(0x66);
            }
            (Some(Strategy::Mute), Body::Ballot { .. } | Body::Dissent { .. }) => return,
            (Some(Strategy::Equivocate), Body::Hints(hints)) if to % 2 == 1 => {
                for hint in hints {
                    hint.value = keccak256(hint.value);
                }
            }
            _ => {}
        }
        if self.heard.len() < 64 {
            self.heard.push(message.clone());
        }
        for after in self.wires.clone().deliver(&mut self.rng) {
            let message = message.clone();
            self.push(after, Due::Message { from, to, message });
        }
    }

    fn seen_by_anybody(&mut self) -> Option<Sighting> {
        let all: Vec<_> = self.nodes.iter().flat_map(|node| node.observed.iter()).collect();
        if all.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..all.len());
        let (key, (value, _)) = all[at];
        Some(Sighting {
            key: *key,
            value: *value,
        })
    }

    /// What a liar does besides what its machine does.
    fn mischief(&mut self, index: usize) {
        let Some(strategy) = self.nodes[index].strategy else {
            return;
        };
        let pause = self.rng.random_range(20..200);
        self.push(pause, Due::Mischief(index));
        let members = self.nodes.len();
        let to = self.rng.random_range(0..members);
        if to == index {
            return;
        }
        let set = self.roster.number();
        let say = |body| Message {
            service: SERVICE,
            set,
            body,
        };
        let sign = |votes: &[Sighting], roster: &Roster| {
            let votes: Vec<_> = votes.iter().map(Sighting::vote).collect();
            let root = surety_primitives::vote::VoteTree::new(&votes).expect("votes").root();
            (root, Toy(index).sign(roster.digest(root)).expect("it can"))
        };
        match strategy {
            Strategy::Silent | Strategy::LyingConnector | Strategy::Withhold | Strategy::Mute => {}
            Strategy::Equivocate => {
                if let Some(truth) = self.seen_by_anybody() {
                    for value in [truth.value, keccak256(truth.value)] {
                        let votes = vec![Sighting { key: truth.key, value }];
                        let (_, signature) = sign(&votes, &self.roster.clone());
                        self.say(index, to, say(Body::Dissent { votes, signature }));
                    }
                }
            }
            Strategy::Garbage => {
                let votes = vec![Sighting {
                    key: hash(&mut self.rng),
                    value: B256::ZERO,
                }];
                let signature = SignatureBytes::repeat_byte(1);
                let signers = self.roster.all();
                self.say(
                    index,
                    to,
                    say(Body::Certified {
                        signers,
                        signature,
                        votes,
                    }),
                );
            }
            Strategy::Invent => {
                let mut votes = vec![Sighting {
                    key: hash(&mut self.rng),
                    value: hash(&mut self.rng),
                }];
                if let Some(truth) = self.seen_by_anybody() {
                    votes = vec![Sighting {
                        key: truth.key,
                        value: hash(&mut self.rng),
                    }];
                }
                for to in 0..members {
                    self.say(index, to, say(Body::Hints(votes.clone())));
                    self.say(index, to, say(Body::Propose(votes.clone())));
                }
            }
            Strategy::Replay => {
                if self.heard.is_empty() {
                    return;
                }
                let at = self.rng.random_range(0..self.heard.len());
                let mut message = self.heard[at].clone();
                match self.rng.random_range(0..3) {
                    0 => message.set = self.rng.random_range(0..10),
                    1 => message.service = Address::repeat_byte(1),
                    _ => {}
                }
                self.say(index, to, message);
            }
            Strategy::Flood => {
                for _ in 0..20 {
                    let votes: Vec<_> = (0..8)
                        .map(|_| Sighting {
                            key: hash(&mut self.rng),
                            value: hash(&mut self.rng),
                        })
                        .collect();
                    self.say(index, to, say(Body::Hints(votes.clone())));
                    self.say(index, to, say(Body::Propose(votes)));
                }
            }
        }
    }

    /// Where an honest node's connector changed its mind: the node may be outvoted, but never signs twice.
    pub fn check_safety_but_for_observations(&self) {
        let mut certified: BTreeMap<(u64, B256), B256> = BTreeMap::new();
        for (seal, votes) in &self.seals {
            for vote in votes.iter() {
                assert_eq!(*certified.entry((seal.set, vote.key)).or_insert(vote.value), vote.value);
            }
        }
    }

    /// Safety, whatever happens.
    pub fn check_safety(&self) {
        let mut certified: BTreeMap<B256, B256> = BTreeMap::new();
        for (seal, votes) in &self.seals {
            assert!(self.roster.is_quorum(seal.signers), "certificate without a quorum");
            for vote in votes.iter() {
                let before = certified.entry(vote.key).or_insert(vote.value);
                assert_eq!(*before, vote.value, "two certificates contradict each other");
                let saw = |index: usize| self.nodes[index].observed.get(&vote.key).map(|(value, _)| *value);
                assert!(
                    self.honest().any(|index| saw(index) == Some(vote.value)),
                    "certified what nobody honest saw"
                );
            }
        }
        for evidence in &self.evidence {
            let liar = self.roster.index_of(evidence.operator).expect("a member");
            assert!(
                self.nodes[liar].strategy.is_some(),
                "evidence against an honest member: {evidence:?}"
            );
            check_evidence(evidence, &self.roster);
        }
        for (accuser, accused) in &self.accused {
            let strategy = self.nodes[*accused].strategy;
            assert!(strategy.is_some(), "{accuser} accuses the honest {accused}");
        }
    }
}

/// As the contract would check it, with the toy scheme.
pub fn check_evidence(evidence: &Evidence, roster: &Roster) {
    use surety_primitives::vote::verify_proof;
    let Evidence {
        ballot,
        against,
        operator,
        ..
    } = evidence;
    assert_eq!(ballot.seal.signers.len(), 1);
    assert_eq!(roster.index_of(*operator), ballot.seal.signers.iter().next());
    for proven in [ballot, against] {
        verify_proof(&proven.vote, &proven.proof, proven.seal.root).expect("under its root");
        let digest = roster_digest(roster, proven.seal.set, proven.seal.root);
        assert!(Toy(0).verify(proven.seal.set, proven.seal.signers, digest, &proven.seal.signature));
    }
    let certified = against.seal.signers.len() > 1;
    assert!(!certified || roster.is_quorum(against.seal.signers));
    assert_eq!(
        Evidence::fault(&ballot.vote, &against.vote, certified),
        Some(evidence.fault)
    );
}

fn roster_digest(current: &Roster, set: u64, root: B256) -> B256 {
    roster(set, current.len()).digest(root)
}

fn machine(config: Config, index: usize, roster: &Arc<Roster>, now: u64) -> EventConsensus {
    let me = Some(operator(index));
    EventConsensus::new(Config { me, ..config }, roster.clone(), now)
}
