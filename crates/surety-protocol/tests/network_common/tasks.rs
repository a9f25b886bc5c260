//! The simulated network of task consensus: one task, and an L1 whose clock ticks.

use super::*;
use rand::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};
use surety_primitives::{selection::Roles, vote::TaskResult};
use surety_protocol::network::{
    Body, Evidence, Message, Proven, TaskConsensus,
    task::{Drawn, Effect, Input, Load, Recorded, Verdict},
};

/// What a dishonest member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Nothing.
    Silent,
    /// Executes wrongly, and validates the wrong way round.
    Wrong,
    /// Signs garbage.
    Garbage,
    /// Signs two results, and both verdicts.
    Double,
    /// Tells one member that a result is wrong, and all others that it is right. Relays nothing.
    Split,
    /// Sends garbage against a result to some, a ballot against it to others, and one for it to the rest. Relays nothing.
    Spoil,
    /// Relays objections that nobody made, and results that nobody asserted.
    Forge,
}

pub const STRATEGIES: [Strategy; 7] = [
    Strategy::Silent,
    Strategy::Wrong,
    Strategy::Garbage,
    Strategy::Double,
    Strategy::Split,
    Strategy::Spoil,
    Strategy::Forge,
];

pub const WINDOW: u64 = 20;
const START: u64 = 1_000;

enum Due {
    Message { from: usize, to: usize, message: Message },
    Input(usize, u64, Input),
    Restart(usize),
    Settle(TaskResult),
    Block,
}

pub struct Node {
    pub machine: Option<TaskConsensus>,
    disk: BTreeMap<B256, Recorded>,
    life: u64,
    pub strategy: Option<Strategy>,
    pub settleable: Option<(TaskResult, Proven)>,
    pub executed: u32,
    pub failed: bool,
    pub escalated: bool,
}

pub struct Network {
    pub now: u64,
    pub rng: StdRng,
    pub wires: Wires,
    pub nodes: Vec<Node>,
    pub drawn: Drawn,
    queue: BTreeMap<(u64, u64), Due>,
    sequence: u64,
    pub evidence: Vec<Evidence>,
    /// Members that cannot tell whether a result is right.
    pub unsure: BTreeSet<usize>,
    /// While it is there, only members on one side hear each other.
    pub parted: Option<BTreeSet<usize>>,
    /// Whether there is a contract that pays for the first result it is sent.
    pub pays: bool,
    pub paid: Option<TaskResult>,
    /// Votes that reached somebody honest with a good signature: by member, kind and subject.
    held: BTreeMap<(usize, u8, B256), BTreeSet<B256>>,
    /// The most that any machine held.
    pub most: Load,
}

/// What an honest executor's output is.
pub const OUTPUT: B256 = B256::repeat_byte(0x0c);
pub const INPUTS: B256 = B256::repeat_byte(0x1a);

impl Network {
    pub fn new(seed: u64, members: usize, validators: u8, liars: &[(usize, Strategy)], wires: Wires) -> Self {
        let task = keccak256(seed.to_be_bytes());
        let drawn = Drawn {
            task,
            roster: roster(7, members),
            roles: Roles::draw(task, &vec![10; members], validators),
            validators,
            start: START,
            window: WINDOW,
            inputs: Some(INPUTS),
        };
        let mut network = Self {
            now: START * 1_000,
            rng: StdRng::seed_from_u64(seed),
            wires,
            nodes: vec![],
            drawn,
            queue: BTreeMap::new(),
            sequence: 0,
            evidence: vec![],
            unsure: BTreeSet::new(),
            parted: None,
            pays: false,
            paid: None,
            held: BTreeMap::new(),
            most: Load::default(),
        };
        for index in 0..members {
            let strategy = liars
                .iter()
                .find(|(liar, _)| *liar == index)
                .map(|(_, strategy)| *strategy);
            let machine = TaskConsensus::new(network.drawn.clone(), Some(operator(index)), network.now);
            network.nodes.push(Node {
                machine: (strategy != Some(Strategy::Silent)).then_some(machine),
                disk: BTreeMap::new(),
                life: 0,
                strategy,
                settleable: None,
                executed: 0,
                failed: false,
                escalated: false,
            });
        }
        network.push(0, Due::Block);
        network
    }

    pub fn crash(&mut self, index: usize, down: u64) {
        self.nodes[index].machine = None;
        self.nodes[index].life += 1;
        self.push(down, Due::Restart(index));
    }

    fn push(&mut self, after: u64, due: Due) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), due);
    }

    pub fn honest(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].strategy.is_none())
    }

    pub fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            self.now = entry.key().0;
            match entry.remove() {
                Due::Message { from, to, message } => {
                    let apart = |side: &BTreeSet<usize>| side.contains(&from) != side.contains(&to);
                    if self.parted.as_ref().is_some_and(apart) {
                        continue;
                    }
                    let message = Message::decode(&message.encode()).expect("readable");
                    self.hold(from, to, &message);
                    let from = operator(from);
                    self.feed(to, Input::Message { from, message });
                }
                Due::Input(index, life, input) => {
                    if self.nodes[index].life == life {
                        self.feed(index, input);
                    }
                }
                Due::Restart(index) => {
                    // What the driver was told is on the chain, or it is told again.
                    self.nodes[index].settleable = None;
                    let me = Some(operator(index));
                    self.nodes[index].machine = Some(TaskConsensus::new(self.drawn.clone(), me, self.now));
                    let recorded = self.nodes[index].disk.values().copied().collect();
                    self.feed(index, Input::Restarted { recorded });
                    if let Some(paid) = self.paid {
                        let result = Some(paid.hash());
                        self.feed(index, Input::Settled { result });
                    }
                }
                Due::Settle(result) => {
                    if self.paid.is_none() {
                        self.paid = Some(result);
                        let result = Some(result.hash());
                        for index in 0..self.nodes.len() {
                            let (after, life) = (self.rng.random_range(0..1_000), self.nodes[index].life);
                            self.push(after, Due::Input(index, life, Input::Settled { result }));
                        }
                    }
                }
                Due::Block => {
                    let time = self.now / 1_000;
                    for index in 0..self.nodes.len() {
                        // Not all see a block at once.
                        let (after, life) = (self.rng.random_range(0..200), self.nodes[index].life);
                        self.push(after, Due::Input(index, life, Input::Block { time }));
                        self.push(after + 500, Due::Input(index, life, Input::Tick));
                    }
                    self.push(1_000, Due::Block);
                }
            }
        }
        self.now = end;
    }

    fn feed(&mut self, index: usize, input: Input) {
        let now = self.now;
        let Some(machine) = &mut self.nodes[index].machine else {
            return;
        };
        let effects = machine.step(now, input);
        let load = machine.load();
        self.most = Load {
            results: self.most.results.max(load.results),
            ballots: self.most.ballots.max(load.ballots),
            repeated: self.most.repeated.max(load.repeated),
            waiting: self.most.waiting.max(load.waiting),
            evidence: self.most.evidence.max(load.evidence),
        };
        for effect in effects {
            self.carry_out(index, effect);
        }
    }

    /// Notes what an honest member now has in hand.
    fn hold(&mut self, from: usize, to: usize, message: &Message) {
        if self.nodes[to].strategy.is_some() || self.nodes[to].machine.is_none() {
            return;
        }
        let executor = |result: &TaskResult| self.drawn.roles.executor(result.attempt).expect("an attempt");
        let ballots = match &message.body {
            Body::Result { result, signature } => vec![(executor(result), result.vote(), *signature)],
            Body::Validation {
                result,
                executor: by,
                valid,
                signature,
            } => {
                vec![
                    (executor(result), result.vote(), *by),
                    (from, result.validation(*valid), *signature),
                ]
            }
            Body::Objection {
                result,
                executor: by,
                member,
                signature,
            } => {
                vec![
                    (executor(result), result.vote(), *by),
                    (usize::from(*member), result.validation(false), *signature),
                ]
            }
            _ => vec![],
        };
        for (member, vote, signature) in ballots {
            let digest = self.drawn.roster.digest(vote.leaf());
            if Toy(0).verify(7, [member].into_iter().collect(), digest, &signature) {
                let values = self.held.entry((member, vote.kind as u8, vote.subject)).or_default();
                values.insert(vote.value);
            }
        }
    }

    /// The contract pays for this executor's wrong result as soon as its attempt begins.
    pub fn bribe(&mut self, executor: usize) {
        assert_eq!(self.drawn.roles.executor(0), Some(executor));
        let result = self.result(0, keccak256(OUTPUT));
        self.push(550, Due::Settle(result));
    }

    /// Says a lot: results that it signs, and some that it does not, objections in everybody's name.
    pub fn flood(&mut self, liar: usize, round: u64) {
        let attempt = (0..4).find(|attempt| self.drawn.roles.executor(*attempt) == Some(liar));
        for at in 0..8 {
            let result = self.result(attempt.unwrap_or(0), keccak256((8 * round + at).to_be_bytes()));
            let digest = self.drawn.roster.digest(result.vote().leaf());
            let signature = Toy(liar).sign(digest).expect("it can");
            let bodies = [
                Body::Result { result, signature },
                Body::Validation {
                    result,
                    executor: signature,
                    valid: at % 2 == 0,
                    signature,
                },
                Body::Objection {
                    result,
                    executor: signature,
                    member: (at + round) as u8 % 16,
                    signature,
                },
            ];
            for body in bodies {
                for to in (0..self.nodes.len()).filter(|to| *to != liar) {
                    let message = Message {
                        service: SERVICE,
                        set: 7,
                        body: body.clone(),
                    };
                    self.deliver(liar, to, message);
                }
            }
        }
    }

    /// Whoever told honest members two things is convicted, though none of them was told both.
    pub fn check_provable(&self) {
        for ((member, kind, subject), _) in self.held.iter().filter(|(_, values)| values.len() > 1) {
            let convicted = self.evidence.iter().any(|evidence| {
                evidence.operator == operator(*member)
                    && evidence.ballot.vote.kind as u8 == *kind
                    && evidence.ballot.vote.subject == *subject
            });
            assert!(
                convicted,
                "{:?} told honest members two things of {subject}, kind {kind}, and escapes",
                self.nodes[*member].strategy
            );
        }
    }

    /// How many members signed two values of one subject.
    pub fn doubles(&self) -> usize {
        self.held.values().filter(|values| values.len() > 1).count()
    }

    pub fn result(&self, attempt: u8, output: B256) -> TaskResult {
        TaskResult {
            task: self.drawn.task,
            attempt,
            inputs: INPUTS,
            output,
            seconds: 1,
            bytes: 2,
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        let (strategy, life) = (self.nodes[index].strategy, self.nodes[index].life);
        match effect {
            Effect::Execute { attempt, .. } => {
                self.nodes[index].executed += 1;
                let lies = strategy == Some(Strategy::Wrong);
                let result = self.result(attempt, if lies { keccak256(OUTPUT) } else { OUTPUT });
                let after = self.rng.random_range(0..500);
                self.push(after, Due::Input(index, life, Input::Executed { result }));
            }
            Effect::Validate { result } => {
                let right = (result.output == OUTPUT) != (strategy == Some(Strategy::Wrong));
                let verdict = match right {
                    _ if self.unsure.contains(&index) => Verdict::Unknown,
                    true => Verdict::Valid,
                    false => Verdict::Invalid,
                };
                let result = result.hash();
                let after = self.rng.random_range(0..500);
                self.push(after, Due::Input(index, life, Input::Validated { result, verdict }));
            }
            Effect::Store { ticket, recorded, .. } => {
                let held = *self.nodes[index].disk.entry(recorded.vote.subject).or_insert(recorded);
                let kept = held.vote == recorded.vote;
                let after = self.rng.random_range(0..5);
                self.push(after, Due::Input(index, life, Input::Stored { ticket, kept }));
            }
            Effect::Compute { ticket, work } => {
                let done = work.run(&Toy(index));
                let after = self.rng.random_range(0..5);
                self.push(after, Due::Input(index, life, Input::Computed { ticket, done }));
            }
            Effect::Broadcast { message } => {
                for to in (0..self.nodes.len()).filter(|to| *to != index) {
                    self.say(index, to, message.clone());
                }
            }
            Effect::Settleable { result, votes, turn } => {
                assert!(self.nodes[index].settleable.is_none(), "settles twice in one life");
                if self.pays {
                    let after = 1_000 + 200 * turn as u64;
                    self.push(after, Due::Settle(result));
                }
                self.nodes[index].settleable = Some((result, votes));
            }
            Effect::Evidence(evidence) => self.evidence.push(*evidence),
            Effect::Escalate { .. } => self.nodes[index].escalated = true,
            Effect::Failed => self.nodes[index].failed = true,
            Effect::Misbehaved { peer, .. } => {
                let peer = self.drawn.roster.index_of(peer).expect("a member");
                let honest = strategy.is_none() && self.nodes[peer].strategy.is_none();
                assert!(!honest, "{index} accuses the honest {peer}");
            }
            Effect::Rejected { .. } => {}
        }
    }

    fn say(&mut self, from: usize, to: usize, mut message: Message) {
        let sign = |digest| Toy(from).sign(digest).expect("it can");
        match (self.nodes[from].strategy, &mut message.body) {
            (Some(Strategy::Garbage), Body::Result { signature, .. } | Body::Validation { signature, .. }) => {
                *signature = SignatureBytes::repeat_byte(3);
            }
            (Some(Strategy::Double), Body::Result { result, signature }) if to.is_multiple_of(2) => {
                result.output = keccak256(OUTPUT);
                *signature = sign(self.drawn.roster.digest(result.vote().leaf()));
            }
            (
                Some(Strategy::Double),
                Body::Validation {
                    result,
                    valid,
                    signature,
                    ..
                },
            ) if to.is_multiple_of(2) => {
                *valid = !*valid;
                *signature = sign(self.drawn.roster.digest(result.validation(*valid).leaf()));
            }
            (
                Some(Strategy::Split),
                Body::Validation {
                    result,
                    valid,
                    signature,
                    ..
                },
            ) => {
                // The first honest member after it.
                let members = self.nodes.len();
                let mut others = (1..members).map(|step| (from + step) % members);
                let victim = others.find(|other| self.nodes[*other].strategy.is_none());
                *valid = victim != Some(to);
                *signature = sign(self.drawn.roster.digest(result.validation(*valid).leaf()));
            }
            (
                Some(Strategy::Spoil),
                Body::Validation {
                    result,
                    valid,
                    signature,
                    ..
                },
            ) => {
                *valid = to % 3 == 2;
                *signature = sign(self.drawn.roster.digest(result.validation(*valid).leaf()));
                if to.is_multiple_of(3) {
                    *signature = SignatureBytes::repeat_byte(9);
                }
            }
            (Some(Strategy::Split | Strategy::Spoil), Body::Objection { .. }) => return,
            (Some(Strategy::Forge), Body::Validation { result, executor, .. }) => {
                let (mut result, executor) = (*result, *executor);
                let victims = self.drawn.roles.committee().to_vec();
                let signature = SignatureBytes::repeat_byte(7);
                for member in victims.iter().map(|member| *member as u8) {
                    let body = Body::Objection {
                        result,
                        executor,
                        member,
                        signature,
                    };
                    self.deliver(from, to, Message { body, ..message });
                }
                result.output = keccak256(result.output);
                let body = Body::Result { result, signature };
                self.deliver(from, to, Message { body, ..message });
            }
            _ => {}
        }
        self.deliver(from, to, message);
    }

    fn deliver(&mut self, from: usize, to: usize, message: Message) {
        for after in self.wires.deliver(&mut self.rng) {
            let message = message.clone();
            self.push(after, Due::Message { from, to, message });
        }
    }

    /// Safety, whatever happens; unless a committee is bought, which only the quorum's evidence answers.
    pub fn check_safety(&self) {
        for evidence in &self.evidence {
            let liar = self.drawn.roster.index_of(evidence.operator).expect("a member");
            assert!(
                self.nodes[liar].strategy.is_some(),
                "evidence against an honest member: {evidence:?}"
            );
            super::events::check_evidence(evidence, &self.drawn.roster);
        }
        let liars = |members: &[usize]| {
            members
                .iter()
                .filter(|member| self.nodes[**member].strategy.is_some())
                .count()
        };
        let bought = liars(self.drawn.roles.committee()) * 2 > usize::from(self.drawn.validators);
        for index in self.honest() {
            let Some((result, votes)) = &self.nodes[index].settleable else {
                continue;
            };
            assert!(
                bought || self.drawn.validators == 0 || result.output == OUTPUT,
                "a wrong result settles"
            );
            let digest = self.drawn.roster.digest(votes.seal.root);
            assert_eq!(votes.seal.root, votes.vote.leaf());
            assert!(Toy(0).verify(7, votes.seal.signers, digest, &votes.seal.signature));
        }
    }
}
