//! The simulated network of consensus about a container: hosts that show each monitor what they like.

use super::*;
use alloy_primitives::U256;
use rand::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};
use surety_primitives::vote::{Vote, VoteKind};
use surety_protocol::network::{
    Body, Evidence, MeasurementConsensus, Message, Seal, Work,
    measure::{Claim, Config, Effect, Finding, Input, Misbehaviour, Seen, Statement},
};

pub const INTEGRITY: Address = Address::repeat_byte(0x17);
pub const BASELINE: B256 = B256::repeat_byte(0xba);
pub const EPOCH: u64 = 4_000;
pub const PERIOD: u64 = 700;

pub fn deployment() -> U256 {
    (U256::from_be_slice(SERVICE.as_slice()) << 96_usize) | U256::from(1)
}

pub fn finding(subject: usize) -> Finding {
    Finding::new("file", &format!("/bin/{subject}"), "0x01", "0x02").expect("short")
}

/// What a dishonest monitor does; each runs an honest machine too, as its cover, unless it is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Nothing at all.
    Silent,
    /// Tells each member another verdict, and signs all of them.
    Equivocate,
    /// Tells of drift that is not there, and signs it.
    Slander,
    /// Tells and signs that all is well, whatever it sees.
    Paid,
    /// Signs garbage.
    Garbage,
    /// Hints as the honest do, and never signs.
    Mute,
    /// Repeats what it heard, also with another set, epoch or deployment.
    Replay,
    /// As much as it can.
    Flood,
    /// Keeps certificates to itself, and makes some up.
    Forge,
}

pub const STRATEGIES: [Strategy; 9] = [
    Strategy::Silent,
    Strategy::Equivocate,
    Strategy::Slander,
    Strategy::Paid,
    Strategy::Garbage,
    Strategy::Mute,
    Strategy::Replay,
    Strategy::Flood,
    Strategy::Forge,
];

/// What the host shows a monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    Clean,
    /// Another root, with nothing found.
    Other(B256),
    Drift(BTreeSet<usize>),
    Nothing,
    /// The monitor lacks what it would compare with.
    Unknown,
}

enum Due {
    Message { from: usize, to: usize, message: Message },
    Input(usize, u64, Input),
    Tick(usize, u64),
    Measured { index: usize, life: u64, began: u64 },
    Restart(usize),
    Mischief(usize),
    Chain(usize, u64, Input),
}

pub struct Node {
    pub machine: Option<MeasurementConsensus>,
    votes: BTreeMap<(u64, VoteKind, B256), B256>,
    findings: BTreeMap<B256, Finding>,
    life: u64,
    pub strategy: Option<Strategy>,
    pub show: Show,
    /// Its clock is so far ahead.
    skew: u64,
    /// Since when its stream of events has no gap.
    since: u64,
    /// What it saw with its own eyes: when, and what.
    pub saw: BTreeSet<usize>,
    pub certified: BTreeMap<u64, (Statement, u64)>,
    /// All it ever signed: set and votes.
    pub signed: BTreeSet<(u64, Vote)>,
    /// Verdicts it told, by epoch and set.
    told: BTreeMap<(u64, u64), B256>,
    pub measurements: u64,
    /// When it is woken next.
    tick: Option<u64>,
}

pub struct Network {
    pub now: u64,
    pub rng: StdRng,
    pub wires: Wires,
    pub nodes: Vec<Node>,
    pub roster: Arc<Roster>,
    pub parted: Option<BTreeSet<usize>>,
    queue: BTreeMap<(u64, u64), Due>,
    sequence: u64,
    pub evidence: Vec<Evidence>,
    pub accused: BTreeSet<(usize, usize, Misbehaviour)>,
    pub seals: Vec<(u64, Statement, Seal)>,
    heard: Vec<Message>,
    /// What the chain holds: start of epoch 1, and verdicts.
    pub start: Option<u64>,
    pub recorded: BTreeMap<u64, Statement>,
    /// Whether certificates are recorded by the chain.
    pub chain: bool,
    pub messages: u64,
    candidates: BTreeMap<B256, (u64, u64, Statement)>,
    learned: BTreeSet<(u64, u64)>,
}

impl Network {
    /// The clocks of honest members differ by at most `skew`.
    pub fn new(seed: u64, members: usize, liars: &[Strategy], wires: Wires, skew: u64) -> Self {
        let roster = roster(7, members);
        let mut rng = StdRng::seed_from_u64(seed);
        let now = 1_000_000;
        let nodes = (0..members).map(|index| Node {
            machine: None,
            votes: BTreeMap::new(),
            findings: BTreeMap::new(),
            life: 0,
            strategy: liars.get(index).copied(),
            show: Show::Clean,
            skew: rng.random_range(0..=skew),
            since: now,
            saw: BTreeSet::new(),
            certified: BTreeMap::new(),
            signed: BTreeSet::new(),
            told: BTreeMap::new(),
            measurements: 0,
            tick: None,
        });
        let nodes = nodes.collect();
        let mut network = Self {
            now,
            rng,
            wires,
            nodes,
            roster,
            parted: None,
            queue: BTreeMap::new(),
            sequence: 0,
            evidence: vec![],
            accused: BTreeSet::new(),
            seals: vec![],
            heard: vec![],
            start: None,
            recorded: BTreeMap::new(),
            chain: true,
            messages: 0,
            candidates: BTreeMap::new(),
            learned: BTreeSet::new(),
        };
        for index in 0..members {
            network.start(index);
            if liars.get(index).is_some() {
                network.push(5, Due::Mischief(index));
            }
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

    fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.since = self.now + node.skew;
        node.tick = None;
        if node.strategy == Some(Strategy::Silent) {
            return;
        }
        let config = Config::new(Some(operator(index)), INTEGRITY, deployment(), PERIOD);
        node.machine = Some(MeasurementConsensus::new(config, self.now + node.skew));
        let findings = node.findings.values().cloned().collect();
        self.feed(index, Input::Restarted { findings });
        self.feed(index, Input::SetChanged(self.roster.clone()));
        if let Some(start) = self.start {
            self.feed(index, running(start));
            for epoch in self.recorded.clone().into_keys().filter(|epoch| *epoch > 0) {
                self.feed(index, Input::Recorded { epoch });
            }
        }
    }

    /// Loses everything but its disk, and comes back after a while.
    pub fn crash(&mut self, index: usize, down: u64) {
        self.nodes[index].machine = None;
        self.nodes[index].life += 1;
        self.push(down, Due::Restart(index));
    }

    pub fn change_set(&mut self, set: u64) {
        self.roster = roster(set, self.nodes.len());
        for index in 0..self.nodes.len() {
            let (after, life) = (self.rng.random_range(0..300), self.nodes[index].life);
            let input = Input::SetChanged(self.roster.clone());
            self.push(after, Due::Chain(index, life, input));
        }
    }

    /// The host shows all monitors the same from now on; an event of the engine tells some of them.
    pub fn show_all(&mut self, show: &Show) {
        for index in 0..self.nodes.len() {
            self.show(index, show.clone());
        }
    }

    pub fn show(&mut self, index: usize, show: Show) {
        self.nodes[index].show = show;
        if self.rng.random_bool(0.5) {
            let life = self.nodes[index].life;
            self.push(1, Due::Input(index, life, Input::Stirred));
        }
    }

    pub fn epoch(&self) -> u64 {
        self.start.map_or(0, |start| 1 + (self.now.max(start) - start) / EPOCH)
    }

    pub fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            self.now = entry.key().0;
            let due = entry.remove();
            self.happen(due);
        }
        self.now = end;
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Message { from, to, message } => {
                let apart = |side: &BTreeSet<usize>| side.contains(&from) != side.contains(&to);
                if self.parted.as_ref().is_some_and(apart) {
                    return;
                }
                let message = Message::decode(&message.encode()).expect("what a machine says can be read");
                let from = operator(from);
                self.feed(to, Input::Message { from, message });
            }
            Due::Input(index, life, input) | Due::Chain(index, life, input) => {
                if self.nodes[index].life == life {
                    self.feed(index, input);
                }
            }
            Due::Tick(index, life) => {
                if self.nodes[index].life == life && self.nodes[index].tick == Some(self.now) {
                    self.nodes[index].tick = None;
                    self.feed(index, Input::Tick);
                }
            }
            Due::Measured { index, life, began } => {
                let node = &mut self.nodes[index];
                if node.life != life || node.machine.is_none() {
                    return;
                }
                node.measurements += 1;
                let seen = match &node.show {
                    Show::Clean => Seen::Clean {
                        root: BASELINE,
                        since: node.since,
                    },
                    Show::Other(root) => Seen::Clean {
                        root: *root,
                        since: node.since,
                    },
                    Show::Drift(subjects) => {
                        node.saw.extend(subjects.iter().copied());
                        Seen::Drifted(subjects.iter().map(|subject| finding(*subject)).collect())
                    }
                    Show::Nothing => Seen::Unreachable,
                    Show::Unknown => Seen::Unknown,
                };
                self.feed(index, Input::Observed { began, seen });
            }
            Due::Restart(index) => self.start(index),
            Due::Mischief(index) => self.mischief(index),
        }
    }

    pub fn feed(&mut self, index: usize, input: Input) {
        let node = &mut self.nodes[index];
        let now = self.now + node.skew;
        let life = node.life;
        let Some(machine) = &mut node.machine else { return };
        let effects = machine.step(now, input);
        if let Some(at) = machine.next_tick() {
            let after = at.saturating_sub(now).max(1);
            // One waking at a time, the earliest.
            if node.tick.is_none_or(|tick| tick > self.now + after) {
                node.tick = Some(self.now + after);
                self.push(after, Due::Tick(index, life));
            }
        }
        for effect in effects {
            self.carry_out(index, effect);
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        let (strategy, life) = (self.nodes[index].strategy, self.nodes[index].life);
        match effect {
            Effect::Measure => {
                let began = self.now + self.nodes[index].skew;
                let after = self.rng.random_range(5..80);
                self.push(after, Due::Measured { index, life, began });
            }
            Effect::Send { to, message } => {
                let to = self.roster.index_of(to).expect("a member");
                assert_ne!(to, index, "sends to itself");
                self.say(index, to, message);
            }
            Effect::Broadcast { message } => {
                if strategy.is_none() {
                    self.check_hint(index, &message);
                }
                let mute = matches!(
                    (&message.body, strategy),
                    (
                        Body::MeasurementBallot { .. },
                        Some(Strategy::Mute | Strategy::Garbage | Strategy::Paid)
                    ) | (Body::MeasurementHint { .. }, Some(Strategy::Paid | Strategy::Slander))
                        | (Body::MeasurementCertificate { .. }, Some(Strategy::Forge))
                );
                if self.heard.len() < 500 {
                    self.heard.push(message.clone());
                }
                for to in (0..self.nodes.len()).filter(|to| *to != index && !mute) {
                    self.say(index, to, message.clone());
                }
            }
            Effect::Record {
                ticket,
                set,
                votes,
                findings,
            } => {
                let node = &mut self.nodes[index];
                let held = |vote: &Vote| node.votes.get(&(set, vote.kind, vote.subject)).copied();
                let kept = votes
                    .iter()
                    .all(|vote| held(vote).is_none_or(|value| value == vote.value));
                if kept {
                    for vote in votes {
                        node.votes.insert((set, vote.kind, vote.subject), vote.value);
                    }
                    for finding in findings {
                        node.findings.insert(finding.hash(), finding);
                    }
                }
                let after = self.rng.random_range(0..4);
                self.push(after, Due::Input(index, life, Input::Stored { ticket, kept }));
            }
            Effect::Compute { ticket, work } => {
                if let (None, Work::Sign { digest }) = (strategy, &work) {
                    self.check_signature(index, *digest);
                }
                let done = work.run(&Toy(index));
                let after = self.rng.random_range(0..4);
                self.push(after, Due::Input(index, life, Input::Computed { ticket, done }));
            }
            Effect::Certified { seal, epoch, statement } => {
                let now = self.now;
                self.nodes[index].certified.entry(epoch).or_insert((statement, now));
                assert_eq!(seal.root, statement.root(subject(epoch)));
                self.seals.push((epoch, statement, seal));
                self.report(epoch, statement);
            }
            Effect::Evidence(evidence) => self.evidence.push(*evidence),
            Effect::Misbehaved { peer, what } => {
                let peer = self.roster.index_of(peer).expect("a member");
                if strategy.is_none() {
                    self.accused.insert((index, peer, what));
                }
            }
        }
    }

    /// The chain takes what `Integrity` takes, and tells everybody a little later.
    fn report(&mut self, epoch: u64, statement: Statement) {
        if !self.chain || self.recorded.values().any(|s| matches!(s, Statement::Drifted(_))) {
            return;
        }
        let last = self.recorded.keys().next_back().copied();
        match statement {
            Statement::Baseline(_) if last.is_some() => return,
            Statement::Intact | Statement::Unreachable if last.is_none_or(|last| epoch <= last) => return,
            _ => {}
        }
        self.recorded.insert(epoch, statement);
        let input = match statement {
            Statement::Baseline(_) => {
                let start = (self.now / 1_000 + 1) * 1_000;
                self.start = Some(start);
                running(start)
            }
            Statement::Drifted(_) => Input::Ended,
            _ => Input::Recorded { epoch },
        };
        for index in 0..self.nodes.len() {
            let after = self.rng.random_range(200..1_000);
            let life = self.nodes[index].life;
            self.push(after, Due::Chain(index, life, input.clone()));
        }
    }

    fn say(&mut self, from: usize, to: usize, message: Message) {
        self.messages += 1;
        for after in self.wires.deliver(&mut self.rng) {
            let message = message.clone();
            self.push(after, Due::Message { from, to, message });
        }
    }

    /// One verdict for each epoch and set, and drift only that it saw itself.
    fn check_hint(&mut self, index: usize, message: &Message) {
        let Body::MeasurementHint { epoch, claim, .. } = &message.body else {
            return;
        };
        let told = self.nodes[index]
            .told
            .entry((message.set, *epoch))
            .or_insert(claim.value());
        assert_eq!(
            *told,
            claim.value(),
            "member {index} told two verdicts of epoch {epoch}"
        );
        if let Claim::Drifted(findings) = claim {
            let saw: BTreeSet<_> = self.nodes[index].saw.iter().map(|s| finding(*s).hash()).collect();
            assert!(
                findings.iter().all(|f| saw.contains(&f.hash())),
                "told of what it did not see"
            );
        }
    }

    /// What an honest member signs is on its disk, and never contradicts what it signed before.
    fn check_signature(&mut self, index: usize, digest: B256) {
        self.learn_candidates();
        let (set, epoch, statement) = *self.candidates.get(&digest).expect("signs what is known");
        let node = &mut self.nodes[index];
        for vote in statement.votes(subject(epoch)) {
            let held = node.votes.get(&(set, vote.kind, vote.subject));
            assert_eq!(held, Some(&vote.value), "signed before it was recorded");
            let contradicts = node
                .signed
                .iter()
                .any(|(of, other)| *of == set && other.contradicts(&vote));
            assert!(!contradicts, "member {index} contradicts itself");
            node.signed.insert((set, vote));
        }
    }

    /// Whatever can be signed about the epochs so far.
    fn learn_candidates(&mut self) {
        let set = self.roster.number();
        for epoch in self.epoch().saturating_sub(5)..=self.epoch() + 1 {
            if !self.learned.insert((set, epoch)) {
                continue;
            }
            let roots = [BASELINE, B256::repeat_byte(1), B256::repeat_byte(2)].map(Statement::Baseline);
            let drifts = (0..24).map(|at| Statement::Drifted(finding(at).hash()));
            let all: Vec<_> = [Statement::Intact, Statement::Unreachable]
                .into_iter()
                .chain(drifts)
                .chain(roots)
                .filter(|statement| statement.fits(epoch))
                .collect();
            for statement in all {
                let digest = self.roster.digest(statement.root(subject(epoch)));
                self.candidates.insert(digest, (set, epoch, statement));
            }
        }
    }

    fn mischief(&mut self, index: usize) {
        let Some(strategy) = self.nodes[index].strategy else {
            return;
        };
        let epoch = self.epoch();
        let epoch = if epoch == 0 {
            0
        } else {
            self.rng.random_range(epoch.saturating_sub(1).max(1)..=epoch)
        };
        let statements: Vec<Statement> = if epoch == 0 {
            vec![Statement::Baseline(BASELINE), Statement::Baseline(B256::repeat_byte(1))]
        } else {
            let any = Statement::Drifted(finding(self.rng.random_range(0..24)).hash());
            vec![Statement::Intact, Statement::Unreachable, any]
        };
        let others: Vec<_> = (0..self.nodes.len()).filter(|to| *to != index).collect();
        match strategy {
            Strategy::Equivocate => {
                for to in others {
                    let statement = statements[self.rng.random_range(0..statements.len())];
                    self.lie(index, to, epoch, statement, true);
                }
            }
            Strategy::Slander if epoch > 0 => {
                for to in others {
                    self.lie(index, to, epoch, Statement::Drifted(finding(3).hash()), true);
                }
            }
            Strategy::Paid if epoch > 0 => {
                for to in others {
                    self.lie(index, to, epoch, Statement::Intact, true);
                }
            }
            Strategy::Garbage => {
                for to in others {
                    let signature = SignatureBytes::repeat_byte(self.rng.random());
                    let body = ballot(epoch, statements[0], signature);
                    self.say_as(index, to, body);
                }
            }
            Strategy::Replay => {
                for _ in 0..6 {
                    if self.heard.is_empty() {
                        break;
                    }
                    let mut message = self.heard[self.rng.random_range(0..self.heard.len())].clone();
                    match self.rng.random_range(0..4) {
                        0 => message.set ^= 1,
                        1 => {
                            if let Body::MeasurementBallot { epoch, .. } = &mut message.body
                                && *epoch > 0
                            {
                                *epoch += 1;
                            }
                        }
                        2 => {
                            if let Body::MeasurementHint { deployment, .. } = &mut message.body {
                                *deployment += U256::from(1);
                            }
                        }
                        _ => {}
                    }
                    for to in others.clone() {
                        self.say(index, to, message.clone());
                    }
                }
            }
            Strategy::Flood => {
                for to in others {
                    for at in 0..12 {
                        let epoch = epoch + self.rng.random_range(0..3) * u64::from(epoch > 0);
                        let statement = if epoch == 0 {
                            Statement::Baseline(B256::repeat_byte(at))
                        } else {
                            Statement::Drifted(B256::repeat_byte(self.rng.random()))
                        };
                        self.lie(index, to, epoch, statement, true);
                    }
                }
            }
            Strategy::Forge => {
                let body = Body::MeasurementCertificate {
                    deployment: deployment(),
                    epoch,
                    statement: statements[self.rng.random_range(0..statements.len())],
                    signers: self.roster.all(),
                    signature: SignatureBytes::repeat_byte(9),
                };
                for to in others {
                    self.say_as(index, to, body.clone());
                }
            }
            _ => {}
        }
        let after = self.rng.random_range(150..900);
        self.push(after, Due::Mischief(index));
    }

    fn lie(&mut self, from: usize, to: usize, epoch: u64, statement: Statement, sign: bool) {
        let claim = match statement {
            Statement::Baseline(root) => Claim::Baseline(root),
            Statement::Intact => Claim::Intact,
            Statement::Unreachable => Claim::Unreachable,
            Statement::Drifted(hash) => {
                let known = (0..24).map(finding).find(|finding| finding.hash() == hash);
                Claim::Drifted(vec![known.unwrap_or_else(|| finding(5))])
            }
        };
        let body = Body::MeasurementHint {
            deployment: deployment(),
            epoch,
            claim,
        };
        self.say_as(from, to, body);
        if sign {
            let digest = self.roster.digest(statement.root(subject(epoch)));
            let signature = Toy(from).sign(digest).expect("signs");
            self.say_as(from, to, ballot(epoch, statement, signature));
        }
    }

    fn say_as(&mut self, from: usize, to: usize, body: Body) {
        let (service, set) = (SERVICE, self.roster.number());
        self.say(from, to, Message { service, set, body });
    }

    /// P1, and that certificates agree with each other.
    pub fn check_safety(&self) {
        for (epoch, statement, seal) in &self.seals {
            for (other_epoch, other, other_seal) in &self.seals {
                let same = (epoch, seal.set) == (other_epoch, other_seal.set);
                assert!(
                    !same || statement.value() == other.value(),
                    "two certificates of epoch {epoch}"
                );
            }
            let votes = statement.votes(subject(*epoch));
            for index in self.honest() {
                let contradicted = self.nodes[index]
                    .signed
                    .iter()
                    .any(|(set, signed)| *set == seal.set && votes.iter().any(|vote| vote.contradicts(signed)));
                assert!(
                    !contradicted,
                    "member {index} signed against the certificate of epoch {epoch}"
                );
            }
            if let Statement::Drifted(hash) = statement {
                let saw = |index: &usize| self.nodes[*index].saw.iter().any(|s| finding(*s).hash() == *hash);
                let power = self.honest().filter(saw).count();
                assert!(power > 0, "certified what nobody honest saw");
            }
        }
        for evidence in &self.evidence {
            let liar = self.roster.index_of(evidence.operator).expect("a member");
            assert!(
                self.nodes[liar].strategy.is_some(),
                "evidence against honest member {liar}"
            );
        }
        for (_, peer, what) in &self.accused {
            assert!(
                self.nodes[*peer].strategy.is_some(),
                "honest member {peer} is accused of {what:?}"
            );
        }
    }
}

fn ballot(epoch: u64, statement: Statement, signature: SignatureBytes) -> Body {
    Body::MeasurementBallot {
        deployment: deployment(),
        epoch,
        statement,
        signature,
    }
}

pub fn subject(epoch: u64) -> B256 {
    Config::new(None, INTEGRITY, deployment(), PERIOD).subject(epoch)
}

fn running(start: u64) -> Input {
    Input::Running {
        baseline: BASELINE,
        start,
        epoch: EPOCH,
    }
}
