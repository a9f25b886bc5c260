//! Task consensus (`docs/spec/network.md`, section 8): one task, from the draw to a result that can be settled.
//!
//! ```text
//! executor   its attempt's time ▶ Execute ▶ Executed ▶ Store ▶ Sign ▶ Result (to all)
//! committee  Result, in time    ▶ verify ▶ Validate ▶ Validated ▶ Store ▶ Sign ▶ Validation (to all)
//! all        the whole committee and the executor itself, nobody against ▶ Combine ▶ Settleable
//!            one of them against ▶ verify ▶ Objection (to all), so that nobody tells some this and others that
//!            one of them against, or silence for half the attempt ▶ Escalate: all members validate; the quorum's certificate settles,
//!            or fails the attempt, and convicts whoever voted otherwise
//! ```
//!
//! Time has two clocks: the L1's, which decides whose turn it is and what is late, and the node's, for repeating what
//! may be lost. One instance serves one task; [`super::message::Body::task`] says which.

use super::{
    Ticket,
    event::Misbehaviour,
    evidence::{Book, Candidate, Evidence, Proven, Seal},
    message::{Body, Message},
    roster::Roster,
    scheme::{Done, SignatureBytes, Work},
};
use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use alloy_primitives::{Address, B256};
use surety_primitives::{
    selection::{ATTEMPTS, Roles},
    set::Signers,
    vote::{TaskResult, VALID, Vote, VoteKind},
};

/// Most different results of one attempt that are kept: a second one convicts the executor.
const MAX_RESULTS: usize = 4;

/// Pause before the first repetition, and the longest, in milliseconds.
const REPEAT_MS: (u64, u64) = (500, 8_000);

/// Most objections of one peer that are being verified.
const MAX_OBJECTIONS: usize = 8;

/// What is known of a task when its roles are drawn.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The task.
    pub task: B256,
    /// The set that it is drawn from.
    pub roster: Arc<Roster>,
    /// Who has which part.
    pub roles: Roles,
    /// How many validators the step wants. If no more than half of these are drawn, the whole set validates.
    pub validators: u8,
    /// Unix seconds of the L1 at which attempt 0 begins.
    pub start: u64,
    /// Seconds of an attempt.
    pub window: u64,
    /// Hash of the inputs, where this node can know it. A result with others is invalid.
    pub inputs: Option<B256>,
}

/// What a store held of this task before a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The vote.
    pub vote: Vote,
    /// The result that it is or is about.
    pub result: TaskResult,
}

/// What happens to the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// The L1's clock: Unix seconds of the newest block.
    Block {
        /// Its time.
        time: u64,
    },
    /// [`Effect::Execute`] is done. The machine takes the first answer for an attempt, and refuses another task's.
    Executed {
        /// What came of it.
        result: TaskResult,
    },
    /// [`Effect::Validate`] is done.
    Validated {
        /// Which result ([`TaskResult::hash`]).
        result: B256,
        /// What was found.
        verdict: Verdict,
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
    /// [`Effect::Store`] is durable; or the store has another value for the subject, and keeps that.
    Stored {
        /// Of the effect.
        ticket: Ticket,
        /// Whether this vote is the one on record.
        kept: bool,
    },
    /// [`Effect::Compute`] is done.
    Computed {
        /// Of the effect.
        ticket: Ticket,
        /// What came of it.
        done: Done,
    },
    /// The contract paid for the task: nothing is left to do but to find out whether it should have.
    Settled {
        /// For which result ([`TaskResult::hash`]), if that is known.
        result: Option<B256>,
    },
    /// First input after a restart.
    Restarted {
        /// What the store holds of the task.
        recorded: Vec<Recorded>,
    },
}

/// What a validator found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The result is right.
    Valid,
    /// The result is wrong.
    Invalid,
    /// It can't tell, and does not vote.
    Unknown,
}

/// What the driver shall do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Run the task; then answer [`Input::Executed`]. Not answered if it can't be run. The pair of task and attempt
    /// names the work for the connector: after a restart it may be asked again.
    Execute {
        /// The task.
        task: B256,
        /// Which attempt.
        attempt: u8,
    },
    /// Check a result; then answer [`Input::Validated`]. The driver finds inputs and output by their hashes.
    Validate {
        /// What.
        result: TaskResult,
    },
    /// Record a vote and what it is about durably, unless the store has another value for its (set, kind, subject);
    /// then answer [`Input::Stored`].
    Store {
        /// For the answer.
        ticket: Ticket,
        /// Number of the set.
        set: u64,
        /// What.
        recorded: Recorded,
    },
    /// Do the work; then answer [`Input::Computed`].
    Compute {
        /// For the answer.
        ticket: Ticket,
        /// What.
        work: Work,
    },
    /// Send to every member. May be lost. Not to the own node.
    Broadcast {
        /// What.
        message: Message,
    },
    /// The contract will pay for this result. Every member gets there; one transaction is enough, so the driver lets
    /// `turn` go by: 0 for the executor, then the committee, then the others.
    Settleable {
        /// The result.
        result: TaskResult,
        /// The votes that settle it.
        votes: Proven,
        /// In which turn this node may send it.
        turn: usize,
    },
    /// The committee differs, is too small, or is silent for half the attempt: the whole set validates.
    Escalate {
        /// Over which result.
        result: TaskResult,
    },
    /// The quorum found that the result is wrong. The next attempt comes when its time does.
    Rejected {
        /// The result.
        result: TaskResult,
        /// The certificate.
        votes: Proven,
    },
    /// A member broke a rule. The signatures are verified.
    Evidence(Box<Evidence>),
    /// All attempts are over, or nobody is left to execute, without a result to settle.
    Failed,
    /// A peer sent what nobody honest sends.
    Misbehaved {
        /// Who.
        peer: Address,
        /// What it did.
        what: Misbehaviour,
    },
}

/// What an answer is awaited for.
#[derive(Clone, Debug)]
enum Waiting {
    Record {
        result: TaskResult,
        vote: Vote,
    },
    Signature {
        result: TaskResult,
        vote: Vote,
    },
    /// The executor's ballot, and what came with it.
    Result {
        from: usize,
        result: TaskResult,
        signature: SignatureBytes,
        in_time: bool,
        then: Then,
    },
    /// A committee member's ballot against a result, which calls all members.
    Objection {
        /// Who sent it: the member itself, or who relays it.
        from: usize,
        member: usize,
        result: B256,
        signature: SignatureBytes,
    },
    Sum {
        result: B256,
        valid: bool,
    },
    Decision {
        from: Address,
        result: TaskResult,
        valid: bool,
        seal: Seal,
    },
    Ballot {
        candidate: Box<Candidate>,
        second: bool,
    },
}

/// What is done once a result is known to be its executor's.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Count { valid: bool, signature: SignatureBytes },
    Object { member: usize, signature: SignatureBytes },
}

/// How much a machine holds; see [`TaskConsensus::load`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Results.
    pub results: usize,
    /// Validators' ballots.
    pub ballots: usize,
    /// Own messages that are repeated.
    pub repeated: usize,
    /// Work and writes that are awaited.
    pub waiting: usize,
    /// Votes that are kept as evidence, and pairs that contradict each other.
    pub evidence: usize,
}

/// What is known of one result.
#[derive(Debug)]
struct Case {
    result: TaskResult,
    /// The executor's ballot, verified; a case begins with it, or with the quorum's decision.
    executor: Option<SignatureBytes>,
    /// Whether it was here before its attempt was over.
    in_time: bool,
    /// Ballots by verdict, valid first; not verified, but for those of objectors.
    ballots: [BTreeMap<usize, SignatureBytes>; 2],
    summing: bool,
    asked: bool,
    escalated: bool,
    /// Members of the committee whose ballots against it are verified and told to all.
    objectors: Signers,
    decided: Option<(bool, Seal)>,
    bad: Signers,
}

/// The machine. See the module.
#[derive(Debug)]
pub struct TaskConsensus {
    drawn: Drawn,
    me: Option<usize>,
    now: u64,
    time: u64,
    tickets: Ticket,
    waiting: BTreeMap<Ticket, Waiting>,
    effects: Vec<Effect>,
    cases: BTreeMap<B256, Case>,
    /// Attempts that this node was told to execute.
    executing: [bool; ATTEMPTS as usize],
    /// Own messages that are repeated: result, validations, decision.
    own: Vec<Body>,
    repeat_at: u64,
    pause: u64,
    settleable: bool,
    settled: bool,
    /// The result that was paid, once that is known.
    paid: Option<B256>,
    failed: bool,
    book: Book,
}

impl TaskConsensus {
    /// A machine for a task that was just drawn. `me` is this node's operator; `now` in Unix milliseconds.
    pub fn new(drawn: Drawn, me: Option<Address>, now: u64) -> Self {
        Self {
            me: me.and_then(|me| drawn.roster.index_of(me)),
            drawn,
            now,
            time: 0,
            tickets: 0,
            waiting: BTreeMap::new(),
            effects: Vec::new(),
            cases: BTreeMap::new(),
            executing: [false; ATTEMPTS as usize],
            own: Vec::new(),
            repeat_at: now,
            pause: REPEAT_MS.0,
            settleable: false,
            settled: false,
            paid: None,
            failed: false,
            book: Book::default(),
        }
    }

    /// Takes an input at a time, in Unix milliseconds of this node's clock.
    pub fn step(&mut self, now: u64, input: Input) -> Vec<Effect> {
        self.now = self.now.max(now);
        match input {
            Input::Block { time } => self.time = self.time.max(time),
            Input::Executed { result } => self.executed(result),
            Input::Validated { result, verdict } => self.validated(result, verdict),
            Input::Message { from, message } => self.receive(from, message),
            Input::Tick => {}
            Input::Stored { ticket, kept } => self.stored(ticket, kept),
            Input::Computed { ticket, done } => self.computed(ticket, done),
            Input::Settled { result } => self.paid(result),
            Input::Restarted { recorded } => self.restart(recorded),
        }
        self.look();
        core::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] would repeat something.
    pub fn next_tick(&self) -> Option<u64> {
        (!self.own.is_empty() && !self.is_over()).then_some(self.repeat_at)
    }

    /// The attempt whose time it is on the L1; `None` before the first and after the last.
    pub fn attempt(&self) -> Option<u8> {
        let passed = self.time.checked_sub(self.drawn.start)?;
        let attempt = passed.checked_div(self.drawn.window).unwrap_or(u64::MAX);
        u8::try_from(attempt).ok().filter(|attempt| *attempt < ATTEMPTS)
    }

    /// How much it holds. Every number is bounded, whatever peers send.
    pub fn load(&self) -> Load {
        let ballots = self.cases.values().flat_map(|case| &case.ballots);
        Load {
            results: self.cases.len(),
            ballots: ballots.map(BTreeMap::len).sum(),
            repeated: self.own.len(),
            waiting: self.waiting.len(),
            evidence: self.book.load(),
        }
    }

    /// Whether all its time is over, or it is settled and nothing is in dispute. Evidence may still come.
    pub fn is_over(&self) -> bool {
        let end = self
            .drawn
            .window
            .saturating_mul(u64::from(ATTEMPTS))
            .saturating_add(self.drawn.start);
        let open = |case: &Case| !case.objectors.is_empty() && case.decided.is_none();
        let disputed = self.is_other_paid() || self.cases.values().any(open);
        (self.settled && !disputed) || self.time >= end
    }

    /// What follows from the state as it is, whatever changed it.
    fn look(&mut self) {
        if let Some(attempt) = self.attempt() {
            let turn = self.me.is_some() && self.drawn.roles.executor(attempt) == self.me;
            if let Some(executing) = self
                .executing
                .get_mut(usize::from(attempt))
                .filter(|begun| turn && !**begun)
            {
                *executing = true;
                // What another attempt has already brought is not done again.
                if !self.settled && !self.settleable {
                    let task = self.drawn.task;
                    self.effects.push(Effect::Execute { task, attempt });
                }
            }
        }
        let cases: Vec<_> = self.cases.keys().copied().collect();
        for result in cases {
            self.look_at(result);
        }
        let nobody = self
            .attempt()
            .is_some_and(|now| (now..ATTEMPTS).all(|at| self.drawn.roles.executor(at).is_none()));
        let over = self.is_over() || (nobody && self.cases.is_empty());
        if over && !self.settled && !self.settleable && !self.failed {
            self.failed = true;
            self.effects.push(Effect::Failed);
        }
        if !self.is_over() && self.now >= self.repeat_at && !self.own.is_empty() {
            for body in self.own.clone() {
                self.broadcast(body);
            }
            self.pause = self.pause.saturating_mul(2).min(REPEAT_MS.1);
            self.repeat_at = self.now.saturating_add(self.pause);
        }
    }

    fn look_at(&mut self, result: B256) {
        let roster = self.drawn.roster.clone();
        let wanted = usize::from(self.drawn.validators);
        let Some(case) = self.cases.get(&result) else { return };
        if case.executor.is_none() {
            return;
        }
        // A committee that is too small, or silent for half the attempt, leaves it to the set.
        let attempt = case.result.attempt;
        let half_time = begin(&self.drawn, attempt).saturating_add(self.drawn.window / 2);
        // The executor answers for its result with the committee: what they are paid for binds all their bonds.
        let required = self.answering(attempt);
        let committee = self.drawn.roles.committee().len();
        let voters = |ballots: &BTreeMap<usize, SignatureBytes>| ballots.keys().copied().collect::<Signers>();
        let unanimous = voters(&case.ballots[0]).contains_all(required);
        let silent = self.time >= half_time && !unanimous && case.decided.is_none();
        if wanted > 0 && case.in_time && !self.settled && (silent || committee * 2 <= wanted) {
            self.escalate(result);
        }
        let Some(case) = self.cases.get_mut(&result) else {
            return;
        };
        // That it was paid does not make it right: whoever was drawn says so, and all if one of them objects.
        let drawn = self.me.is_some_and(|me| self.drawn.roles.committee().contains(&me));
        let called = drawn || (self.me.is_some() && case.escalated && (!self.settled || !case.objectors.is_empty()));
        // Whose head is a block behind waits until it is the attempt's time here too.
        let begun = self.time >= begin(&self.drawn, case.result.attempt);
        if called && begun && case.in_time && !case.asked {
            case.asked = true;
            let asserted = case.result;
            if self.drawn.inputs.is_some_and(|inputs| inputs != asserted.inputs) {
                self.vote(asserted, asserted.validation(false));
            } else {
                self.effects.push(Effect::Validate { result: asserted });
            }
        }
        let Some(case) = self.cases.get_mut(&result) else {
            return;
        };
        if case.summing || case.decided.is_some() {
            return;
        }
        let [valid, invalid] = [voters(&case.ballots[0]), voters(&case.ballots[1])];
        // A committee in agreement decides alone; in doubt, and against a result, only the set does.
        let agreed = !case.escalated && invalid.common(required).is_empty() && committee * 2 > wanted;
        // While the committee may still agree, nobody is left out by a quorum that was quicker.
        let (verdict, signers) = if agreed {
            if self.settleable || !valid.contains_all(required) {
                return;
            }
            (true, required)
        } else if roster.is_quorum(valid) {
            (true, valid)
        } else if roster.is_quorum(invalid) {
            (false, invalid)
        } else {
            return;
        };
        case.summing = true;
        let ballots = &case.ballots[usize::from(!verdict)];
        let ballots = ballots.iter().filter(|(member, _)| signers.contains(**member));
        let work = Work::Combine {
            set: roster.number(),
            digest: roster.digest(case.result.validation(verdict).leaf()),
            ballots: ballots.map(|(member, signature)| (*member, *signature)).collect(),
        };
        self.compute(work, Waiting::Sum { result, valid: verdict });
    }

    fn executed(&mut self, result: TaskResult) {
        let mine = self.me.is_some() && self.drawn.roles.executor(result.attempt) == self.me;
        // What is late nobody validates.
        if mine && result.task == self.drawn.task && self.attempt() == Some(result.attempt) {
            self.vote(result, result.vote());
        }
    }

    fn validated(&mut self, result: B256, verdict: Verdict) {
        let Some(case) = self.cases.get(&result).filter(|case| case.asked) else {
            return;
        };
        let valid = match verdict {
            Verdict::Valid => true,
            Verdict::Invalid => false,
            Verdict::Unknown => return,
        };
        let result = case.result;
        self.vote(result, result.validation(valid));
    }

    /// First to the disk, then the signature.
    fn vote(&mut self, result: TaskResult, vote: Vote) {
        let ticket = self.wait_for(Waiting::Record { result, vote });
        self.effects.push(Effect::Store {
            ticket,
            set: self.drawn.roster.number(),
            recorded: Recorded { vote, result },
        });
    }

    fn stored(&mut self, ticket: Ticket, kept: bool) {
        match self.waiting.remove(&ticket) {
            Some(Waiting::Record { result, vote }) if kept => self.sign(result, vote),
            Some(Waiting::Record { .. }) | None => {}
            Some(other) => {
                self.waiting.insert(ticket, other);
            }
        }
    }

    fn sign(&mut self, result: TaskResult, vote: Vote) {
        let digest = self.drawn.roster.digest(vote.leaf());
        self.compute(Work::Sign { digest }, Waiting::Signature { result, vote });
    }

    /// What is on record was vouched for: it is signed again, and nothing else ever is.
    fn restart(&mut self, recorded: Vec<Recorded>) {
        for Recorded { vote, result } in recorded {
            if result.task != self.drawn.task {
                continue;
            }
            if vote.kind == VoteKind::Result
                && let Some(executing) = self.executing.get_mut(usize::from(result.attempt))
            {
                *executing = true;
            }
            self.sign(result, vote);
        }
    }

    fn signed(&mut self, result: TaskResult, vote: Vote, signature: SignatureBytes) {
        let Some(me) = self.me else { return };
        let hash = result.hash();
        let body = if vote.kind == VoteKind::Result {
            // The own result was in time when it was made, and its signature is good.
            self.open(result, Some(signature), true);
            self.note(vote, me, signature, true);
            if self.drawn.validators == 0 {
                self.settle(result, self.ballot(vote, me, signature));
            } else {
                self.vote(result, result.validation(true));
            }
            Body::Result { result, signature }
        } else {
            let Some(executor) = self.cases.get(&hash).and_then(|case| case.executor) else {
                return;
            };
            let valid = vote.value == VALID;
            self.count(me, hash, valid, signature);
            Body::Validation {
                result,
                executor,
                valid,
                signature,
            }
        };
        self.say(body);
    }

    /// Says it now, and again.
    fn say(&mut self, body: Body) {
        if !self.own.contains(&body) {
            self.own.push(body.clone());
        }
        self.broadcast(body);
        self.pause = REPEAT_MS.0;
        self.repeat_at = self.now.saturating_add(self.pause);
    }

    fn receive(&mut self, from: Address, message: Message) {
        let roster = self.drawn.roster.clone();
        if message.service != roster.service() || message.set != roster.number() {
            return;
        }
        let Some(member) = roster.index_of(from) else {
            return self.accuse(from, Misbehaviour::NotAMember);
        };
        // What a mesh brings back is known.
        if Some(member) == self.me {
            return;
        }
        if message.body.task() != Some(self.drawn.task) {
            return;
        }
        match message.body {
            Body::Result { result, signature } => {
                self.assert(member, result, signature, Then::Nothing);
            }
            Body::Validation {
                result,
                executor,
                valid,
                signature,
            } => {
                self.assert(member, result, executor, Then::Count { valid, signature });
            }
            Body::Objection {
                result,
                executor,
                member: objector,
                signature,
            } => {
                let objector = usize::from(objector);
                if !self.answering(result.attempt).contains(objector) {
                    return self.accuse(from, Misbehaviour::Malformed);
                }
                let then = Then::Object {
                    member: objector,
                    signature,
                };
                self.assert(member, result, executor, then);
            }
            Body::Decided {
                result,
                valid,
                signers,
                signature,
            } => self.receive_decision(from, result, valid, signers, signature),
            _ => {}
        }
    }

    fn open(&mut self, result: TaskResult, executor: Option<SignatureBytes>, in_time: bool) {
        let hash = result.hash();
        if let Some(case) = self.cases.get_mut(&hash) {
            case.executor = case.executor.or(executor);
            return;
        }
        // An executor that signs more results than this is convicted already.
        let attempts = self
            .cases
            .values()
            .filter(|case| case.result.attempt == result.attempt)
            .count();
        if result.attempt >= ATTEMPTS || (attempts >= MAX_RESULTS && executor.is_some()) {
            return;
        }
        let case = Case {
            result,
            executor,
            in_time,
            ballots: [BTreeMap::new(), BTreeMap::new()],
            summing: false,
            asked: false,
            escalated: false,
            objectors: Signers::NONE,
            decided: None,
            bad: Signers::NONE,
        };
        self.cases.insert(hash, case);
    }

    /// A result, with what is said to be its executor's ballot. Who relays it may have made it up, so it has one
    /// verification at a time, and nothing is kept before that.
    fn assert(&mut self, from: usize, result: TaskResult, signature: SignatureBytes, then: Then) {
        let Some(executor) = self.drawn.roles.executor(result.attempt) else {
            return;
        };
        if self
            .cases
            .get(&result.hash())
            .is_some_and(|case| case.executor.is_some())
        {
            return self.go_on(from, result.hash(), then);
        }
        let busy = |waiting: &Waiting| matches!(waiting, Waiting::Result { from: other, .. } if *other == from);
        if self.waiting.values().any(busy) {
            return;
        }
        let seal = self.ballot(result.vote(), executor, signature).seal;
        let waiting = Waiting::Result {
            from,
            result,
            signature,
            in_time: self.time < begin(&self.drawn, result.attempt.saturating_add(1)),
            then,
        };
        self.compute(seal.verification(&self.drawn.roster), waiting);
    }

    fn go_on(&mut self, from: usize, hash: B256, then: Then) {
        match then {
            Then::Nothing => {}
            Then::Count { valid, signature } => self.count(from, hash, valid, signature),
            Then::Object { member, signature } => self.verify_objection(from, member, hash, signature),
        }
    }

    /// Whoever sends an objection vouches for it: an honest member relays what it has verified.
    fn verify_objection(&mut self, from: usize, member: usize, hash: B256, signature: SignatureBytes) {
        let Some(case) = self
            .cases
            .get(&hash)
            .filter(|case| !case.objectors.contains(member) && case.decided.is_none())
        else {
            return;
        };
        let vote = case.result.validation(false);
        let (mut of_peer, mut again) = (0, false);
        for waiting in self.waiting.values() {
            if let Waiting::Objection {
                from: other,
                member: objector,
                result,
                ..
            } = waiting
                && *other == from
            {
                of_peer += 1;
                again |= *objector == member && *result == hash;
            }
        }
        if again || of_peer >= MAX_OBJECTIONS {
            return;
        }
        let work = self
            .ballot(vote, member, signature)
            .seal
            .verification(&self.drawn.roster);
        let waiting = Waiting::Objection {
            from,
            member,
            result: hash,
            signature,
        };
        self.compute(work, waiting);
    }

    /// A verified ballot of a committee member against a result. All shall see it, whomever it was sent to: what the
    /// member told others is then evidence, and whoever asks the whole set is not alone.
    fn object(&mut self, member: usize, hash: B256, signature: SignatureBytes) {
        let Some(case) = self
            .cases
            .get_mut(&hash)
            .filter(|case| !case.objectors.contains(member))
        else {
            return;
        };
        case.objectors.insert(member);
        case.ballots[1].insert(member, signature);
        let (result, executor, decided) = (case.result, case.executor, case.decided.is_some());
        self.note(result.validation(false), member, signature, true);
        // One's own is repeated as it is.
        if let (Some(executor), Ok(index), Some(me), false) = (executor, u8::try_from(member), self.me, decided)
            && me != member
        {
            self.say(Body::Objection {
                result,
                executor,
                member: index,
                signature,
            });
        }
        // Later than that, what a validator would look at may have changed since.
        if !decided && self.time < begin(&self.drawn, result.attempt.saturating_add(2)) {
            self.escalate(hash);
        }
    }

    /// Another result than those known here was paid: its executor may have signed two, so what is here is told.
    fn paid(&mut self, result: Option<B256>) {
        let first = !core::mem::replace(&mut self.settled, true);
        self.paid = self.paid.or(result);
        if !first || !self.is_other_paid() || self.me.is_none() {
            return;
        }
        let known = self.cases.values();
        let known: Vec<_> = known.filter_map(|case| Some((case.result, case.executor?))).collect();
        for (result, signature) in known {
            self.say(Body::Result { result, signature });
        }
    }

    fn is_other_paid(&self) -> bool {
        self.paid.is_some_and(|paid| !self.cases.contains_key(&paid))
    }

    /// Who answers for a result of this attempt with a bond, and settles it if all of them agree: the committee, and
    /// the executor.
    fn answering(&self, attempt: u8) -> Signers {
        let committee = self.drawn.roles.committee().iter().copied();
        committee.chain(self.drawn.roles.executor(attempt)).collect()
    }

    /// A validator's ballot.
    fn count(&mut self, member: usize, hash: B256, valid: bool, signature: SignatureBytes) {
        let attempt = self.cases.get(&hash).map_or(0, |case| case.result.attempt);
        let answers = self.answering(attempt).contains(member);
        let Some(case) = self.cases.get_mut(&hash) else { return };
        if case.bad.contains(member) {
            return;
        }
        let vote = case.result.validation(valid);
        let ballots = &mut case.ballots[usize::from(!valid)];
        if ballots.contains_key(&member) {
            return;
        }
        ballots.insert(member, signature);
        self.note(vote, member, signature, false);
        if !valid && answers {
            self.verify_objection(member, member, hash, signature);
        }
    }

    fn receive_decision(
        &mut self,
        from: Address,
        result: TaskResult,
        valid: bool,
        signers: Signers,
        signature: SignatureBytes,
    ) {
        let roster = self.drawn.roster.clone();
        if !roster.all().contains_all(signers) || !roster.is_quorum(signers) {
            return self.accuse(from, Misbehaviour::NoQuorum);
        }
        let busy = |waiting: &&Waiting| matches!(waiting, Waiting::Decision { from: other, .. } if *other == from);
        let decided = self
            .cases
            .get(&result.hash())
            .is_some_and(|case| case.decided.is_some());
        if decided || self.waiting.values().filter(busy).count() >= 2 {
            return;
        }
        let seal = Seal {
            service: roster.service(),
            set: roster.number(),
            root: result.validation(valid).leaf(),
            signers,
            signature,
        };
        let waiting = Waiting::Decision {
            from,
            result,
            valid,
            seal,
        };
        self.compute(seal.verification(&roster), waiting);
    }

    fn computed(&mut self, ticket: Ticket, done: Done) {
        match (self.waiting.remove(&ticket), done) {
            (Some(Waiting::Signature { result, vote }), Done::Signed(Some(signature))) => {
                self.signed(result, vote, signature);
            }
            (
                Some(Waiting::Result {
                    from,
                    result,
                    signature,
                    in_time,
                    then,
                }),
                Done::Verified(valid),
            ) => {
                if !valid {
                    if let Some(peer) = self.drawn.roster.operator(from) {
                        self.accuse(peer, Misbehaviour::BadSignature);
                    }
                    return;
                }
                self.open(result, Some(signature), in_time);
                if let Some(executor) = self.drawn.roles.executor(result.attempt) {
                    self.note(result.vote(), executor, signature, true);
                    if self.drawn.validators == 0 {
                        self.settle(result, self.ballot(result.vote(), executor, signature));
                    }
                }
                self.go_on(from, result.hash(), then);
            }
            (
                Some(Waiting::Objection {
                    from,
                    member,
                    result,
                    signature,
                }),
                Done::Verified(valid),
            ) => match self.drawn.roster.operator(from) {
                _ if valid => self.object(member, result, signature),
                Some(relayer) if from != member => self.accuse(relayer, Misbehaviour::BadSignature),
                _ => self.spoil(result, [member].into_iter().collect()),
            },
            (Some(Waiting::Sum { result, valid }), Done::Combined { signature, good, bad }) => {
                self.spoil(result, bad);
                self.summed(result, valid, signature, good);
            }
            (
                Some(Waiting::Decision {
                    from,
                    result,
                    valid,
                    seal,
                }),
                Done::Verified(good),
            ) => {
                if good {
                    self.open(result, None, false);
                    self.decide(result.hash(), valid, seal);
                } else {
                    self.accuse(from, Misbehaviour::BadSignature);
                }
            }
            (Some(Waiting::Ballot { candidate, second }), Done::Verified(valid)) => {
                self.checked(candidate, second, valid);
            }
            _ => {}
        }
    }

    /// Takes away ballots that are none.
    fn spoil(&mut self, result: B256, bad: Signers) {
        let Some(case) = self.cases.get_mut(&result) else {
            return;
        };
        case.bad = case.bad.with(bad);
        for member in bad.iter() {
            case.ballots[0].remove(&member);
            // A verified one may have come by way of others.
            if !case.objectors.contains(member) {
                case.ballots[1].remove(&member);
            }
        }
        for member in bad.iter() {
            if let Some(peer) = self.drawn.roster.operator(member) {
                self.accuse(peer, Misbehaviour::BadSignature);
            }
        }
    }

    fn escalate(&mut self, hash: B256) {
        let Some(case) = self.cases.get_mut(&hash).filter(|case| !case.escalated) else {
            return;
        };
        case.escalated = true;
        let result = case.result;
        self.effects.push(Effect::Escalate { result });
    }

    fn summed(&mut self, hash: B256, valid: bool, signature: Option<SignatureBytes>, good: Signers) {
        let roster = self.drawn.roster.clone();
        let attempt = self.cases.get(&hash).map_or(0, |case| case.result.attempt);
        let required = self.answering(attempt);
        let Some(case) = self.cases.get_mut(&hash) else { return };
        case.summing = false;
        let Some(signature) = signature else { return };
        let vote = case.result.validation(valid);
        let seal = Seal {
            service: roster.service(),
            set: roster.number(),
            root: vote.leaf(),
            signers: good,
            signature,
        };
        let objected = case.escalated || case.ballots[1].keys().any(|member| required.contains(*member));
        if roster.is_quorum(good) {
            self.decide(hash, valid, seal);
        } else if valid && !objected && good.contains_all(required) {
            let result = case.result;
            self.settle(result, Proven::single(seal, vote));
        }
    }

    /// The quorum has the last word.
    fn decide(&mut self, hash: B256, valid: bool, seal: Seal) {
        let Some(case) = self.cases.get_mut(&hash).filter(|case| case.decided.is_none()) else {
            return;
        };
        case.decided = Some((valid, seal));
        let result = case.result;
        // Whoever has a ballot against the decision has evidence with it: objections need no more telling.
        self.own
            .retain(|body| !matches!(body, Body::Objection { result: of, .. } if of.hash() == hash));
        let vote = result.validation(valid);
        let root = vote.leaf();
        self.book.register(seal.set, root, [vote].into());
        let found = self.book.note_certificate(&self.drawn.roster, seal);
        self.check(found);
        self.say(Body::Decided {
            result,
            valid,
            signers: seal.signers,
            signature: seal.signature,
        });
        let votes = Proven::single(seal, vote);
        if valid {
            self.settle(result, votes);
        } else {
            self.effects.push(Effect::Rejected { result, votes });
        }
    }

    fn settle(&mut self, result: TaskResult, votes: Proven) {
        if core::mem::replace(&mut self.settleable, true) || self.settled {
            return;
        }
        let ranked = self.drawn.roles.committee();
        let turn = match self.me {
            me if me.is_some() && me == self.drawn.roles.executor(result.attempt) => 0,
            Some(me) => match ranked.iter().position(|member| *member == me) {
                Some(rank) => rank + 1,
                None => ranked.len() + 1 + me,
            },
            None => ranked.len() + 1 + self.drawn.roster.len(),
        };
        self.effects.push(Effect::Settleable { result, votes, turn });
    }

    /// Ballots are kept against each other.
    fn note(&mut self, vote: Vote, member: usize, signature: SignatureBytes, verified: bool) {
        let roster = self.drawn.roster.clone();
        self.book.register(roster.number(), vote.leaf(), [vote].into());
        let found = self.book.note_ballot(&roster, vote.leaf(), member, signature, verified);
        self.check(found);
    }

    fn check(&mut self, found: Vec<Candidate>) {
        for candidate in found {
            let work = candidate.evidence.ballot.seal.verification(&self.drawn.roster);
            let candidate = Box::new(candidate);
            self.compute(
                work,
                Waiting::Ballot {
                    candidate,
                    second: false,
                },
            );
        }
    }

    fn checked(&mut self, candidate: Box<Candidate>, second: bool, valid: bool) {
        if !valid {
            let roster = self.drawn.roster.clone();
            let found = self.book.retract(&roster, &candidate, second);
            self.check(found);
        } else if second || candidate.certified {
            self.effects.push(Effect::Evidence(Box::new(candidate.evidence)));
        } else {
            let work = candidate.evidence.against.seal.verification(&self.drawn.roster);
            self.compute(
                work,
                Waiting::Ballot {
                    candidate,
                    second: true,
                },
            );
        }
    }

    fn ballot(&self, vote: Vote, member: usize, signature: SignatureBytes) -> Proven {
        let seal = Seal {
            service: self.drawn.roster.service(),
            set: self.drawn.roster.number(),
            root: vote.leaf(),
            signers: [member].into_iter().collect(),
            signature,
        };
        Proven::single(seal, vote)
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

    fn broadcast(&mut self, body: Body) {
        let message = Message {
            service: self.drawn.roster.service(),
            set: self.drawn.roster.number(),
            body,
        };
        self.effects.push(Effect::Broadcast { message });
    }

    fn accuse(&mut self, peer: Address, what: Misbehaviour) {
        self.effects.push(Effect::Misbehaved { peer, what });
    }
}

/// When an attempt begins, in Unix seconds of the L1.
fn begin(drawn: &Drawn, attempt: u8) -> u64 {
    drawn
        .window
        .saturating_mul(u64::from(attempt))
        .saturating_add(drawn.start)
}
