//! Collecting: hints to a batch, ballots to a certificate.

use super::{
    ALIVE_MS, Allowance, Arc, B256, BTreeMap, BTreeSet, Body, EventConsensus, MAX_IN_FLIGHT, MAX_POOL, Misbehaviour,
    Seal, Sighting, SignatureBytes, UNHURRIED, Vec, VecDeque, Waiting, Work, votes_of,
};
use surety_primitives::{set::Signers, vote::VoteTree};

/// A member that told of all of a batch and did not sign it is not counted on for so many stalls.
const DOUBT_STALLS: u64 = 8;

/// A batch that was split may still be signed, for so many stalls.
const SPLIT_STALLS: u64 = 4;

/// Certificates that one peer gets again, at once and in a second.
const REPEATS: (u64, u64) = (16, 8);

#[derive(Debug, Default)]
pub(super) struct Collector {
    pool: BTreeMap<B256, Pooled>,
    ages: BTreeSet<(u64, B256)>,
    /// Hints kept, by member.
    counts: BTreeMap<usize, usize>,
    /// Events that a quorum told of, in the order of that.
    ready: VecDeque<B256>,
    /// Halves of what stalled.
    halves: VecDeque<Vec<Sighting>>,
    pub(super) batches: BTreeMap<B256, Batch>,
    /// When events that do not fill a batch are proposed again.
    next_at: u64,
    doubted: BTreeMap<usize, u64>,
    /// When each member was last heard, of an event or with a ballot.
    heard: BTreeMap<usize, u64>,
    repeats: BTreeMap<usize, Allowance>,
}

#[derive(Debug)]
struct Pooled {
    values: Vec<(B256, Signers)>,
    until: u64,
    /// In `ready` or in a batch.
    taken: bool,
}

#[derive(Debug)]
pub(super) struct Batch {
    votes: Arc<[Sighting]>,
    told: Signers,
    ballots: BTreeMap<usize, SignatureBytes>,
    bad: Signers,
    since: u64,
    /// When a quorum of ballots was there.
    quorum_at: Option<u64>,
    /// Whose ballots are then waited for longer.
    awaited: Signers,
    summing: bool,
    /// When it is out of patience: halves, or of one vote again.
    stall_at: u64,
    stalls: u32,
    split: bool,
}

impl Collector {
    /// Hints kept, of all members.
    pub(super) fn pooled(&self) -> usize {
        self.counts.values().sum()
    }
}

impl Batch {
    fn signers(&self) -> Signers {
        self.ballots.keys().copied().collect()
    }
}

impl EventConsensus {
    pub(super) fn receive_hints(&mut self, member: usize, hints: Vec<Sighting>) {
        self.collector.heard.insert(member, self.now);
        let mut missed = BTreeSet::new();
        for hint in hints {
            match self.ledger.root_of(&hint.key) {
                Some(root) => {
                    missed.insert(root);
                }
                None => self.pool(member, hint),
            }
        }
        for root in missed {
            self.repeat_certificate(member, root);
        }
    }

    /// Who told or signed anything is alive. Certificates let every collector know, also one whose turn has just come.
    pub(super) fn hear(&mut self, members: Signers) {
        let now = self.now;
        self.collector.heard.extend(members.iter().map(|member| (member, now)));
    }

    /// Whoever tells of what is certified has missed the certificate.
    pub(super) fn repeat_certificate(&mut self, member: usize, root: B256) {
        let (burst, per_second) = REPEATS;
        let now = self.now;
        let allowance = self
            .collector
            .repeats
            .entry(member)
            .or_insert_with(|| Allowance::new(burst, now));
        let Some((seal, votes)) = self.ledger.certificate(&root) else {
            return;
        };
        // The set is in the envelope: one of another set is the driver's to find.
        if seal.set != self.roster.number() || !allowance.take(burst, per_second, now) {
            return;
        }
        let body = Body::Certified {
            signers: seal.signers,
            signature: seal.signature,
            votes: votes.to_vec(),
        };
        self.send(member, body);
    }

    /// Keeps a hint.
    pub(super) fn pool(&mut self, member: usize, Sighting { key, value }: Sighting) {
        let limit = MAX_POOL / self.roster.len().max(1);
        let collector = &mut self.collector;
        let count = collector.counts.entry(member).or_default();
        let known = collector.pool.get(&key);
        let told = known.and_then(|pooled| pooled.values.iter().find(|(_, members)| members.contains(member)));
        match told {
            Some((before, _)) if *before == value => return,
            Some(_) => {}
            None if *count >= limit => return,
            None => *count += 1,
        }
        let until = self.now.saturating_add(self.config.window);
        let pooled = collector.pool.entry(key).or_insert_with(|| {
            collector.ages.insert((until, key));
            Pooled {
                values: Vec::new(),
                until,
                taken: false,
            }
        });
        for (_, members) in &mut pooled.values {
            members.remove(member);
        }
        pooled.values.retain(|(_, members)| !members.is_empty());
        match pooled.values.iter_mut().find(|(other, _)| *other == value) {
            Some((_, members)) => {
                members.insert(member);
            }
            None => pooled.values.push((value, [member].into_iter().collect())),
        }
        let quorum = pooled.values.iter().any(|(_, members)| self.roster.is_quorum(*members));
        if quorum && !pooled.taken {
            pooled.taken = true;
            collector.ready.push_back(key);
        }
    }

    pub(super) fn unpool(&mut self, key: &B256) {
        if let Some(pooled) = self.collector.pool.remove(key) {
            self.collector.ages.remove(&(pooled.until, *key));
            for member in pooled.values.iter().flat_map(|(_, members)| members.iter()) {
                if let Some(count) = self.collector.counts.get_mut(&member) {
                    *count = count.saturating_sub(1);
                }
            }
        }
    }

    pub(super) fn run_collector(&mut self) {
        while let Some((_, key)) = self
            .collector
            .ages
            .first()
            .copied()
            .filter(|(until, _)| *until <= self.now)
        {
            self.unpool(&key);
        }
        self.collector.doubted.retain(|_, until| *until > self.now);
        let due: Vec<_> = self
            .collector
            .batches
            .iter()
            .filter(|(_, batch)| self.is_due(batch))
            .map(|(root, _)| *root)
            .collect();
        for root in due {
            self.look_at_batch(root);
        }
        while self.propose_next() {}
    }

    /// When something is to be done about a batch.
    fn due_at(&self, batch: &Batch) -> Option<u64> {
        match (batch.summing, batch.quorum_at) {
            (true, _) => None,
            (_, Some(at)) => {
                let complete = batch.signers().contains_all(batch.awaited.without(batch.bad));
                let linger = if complete {
                    self.config.linger
                } else {
                    self.config.linger_alive
                };
                Some(at.saturating_add(linger).min(batch.stall_at))
            }
            _ => Some(batch.stall_at),
        }
    }

    /// Members whose ballots a certificate waits for: those that are alive and have not told otherwise.
    fn awaited(&self, root: &B256) -> Signers {
        let Some(batch) = self.collector.batches.get(root) else {
            return Signers::NONE;
        };
        let alive = self
            .collector
            .heard
            .iter()
            .filter(|(_, at)| self.now.saturating_sub(**at) <= ALIVE_MS)
            .map(|(member, _)| *member)
            .collect::<Signers>();
        let otherwise = batch
            .votes
            .iter()
            .filter_map(|vote| Some((vote.value, self.collector.pool.get(&vote.key)?)))
            .flat_map(|(value, pooled)| pooled.values.iter().filter(move |(other, _)| *other != value))
            .fold(Signers::NONE, |sum, (_, members)| sum.with(*members));
        let doubted = self.collector.doubted.keys().copied().collect();
        let awaited = alive.with(batch.told).without(otherwise);
        awaited.without(doubted)
    }

    fn is_due(&self, batch: &Batch) -> bool {
        if batch.summing {
            return false;
        }
        let all = self.roster.all().without(batch.bad);
        let complete = batch.quorum_at.is_some() && batch.signers().contains_all(all);
        complete || self.due_at(batch).is_some_and(|at| at <= self.now)
    }

    fn look_at_batch(&mut self, root: B256) {
        let until = self.now.saturating_add(self.config.stall.saturating_mul(DOUBT_STALLS));
        let Some(batch) = self.collector.batches.get_mut(&root) else {
            return;
        };
        if batch.quorum_at.is_some() {
            batch.summing = true;
            // Who is waited for in vain is not waited for again for a while.
            let late = batch.awaited.without(batch.signers());
            for member in late.iter().filter(|member| Some(*member) != self.me) {
                self.collector.doubted.insert(member, until);
            }
            let ballots = batch
                .ballots
                .iter()
                .map(|(member, signature)| (*member, *signature))
                .collect();
            let work = Work::Combine {
                set: self.roster.number(),
                digest: self.roster.digest(root),
                ballots,
            };
            return self.compute(work, Waiting::Sum { root });
        }
        for member in batch
            .told
            .without(batch.signers())
            .iter()
            .filter(|member| Some(*member) != self.me)
        {
            self.collector.doubted.insert(member, until);
        }
        let window_over = self.now >= batch.since.saturating_add(self.config.window);
        if batch.split || window_over {
            let batch = self.collector.batches.remove(&root);
            for sighting in batch.iter().flat_map(|batch| batch.votes.iter()) {
                if let Some(pooled) = self.collector.pool.get_mut(&sighting.key).filter(|_| window_over) {
                    pooled.taken = false;
                }
            }
        } else if batch.votes.len() > 1 {
            batch.split = true;
            batch.stall_at = self.now.saturating_add(self.config.stall.saturating_mul(SPLIT_STALLS));
            let (left, right) = batch.votes.split_at(batch.votes.len() / 2);
            self.collector.halves.extend([left.to_vec(), right.to_vec()]);
        } else {
            // The messages may be lost: say it again, more and more seldom.
            batch.stalls = batch.stalls.saturating_add(1);
            let pause = self.config.stall.saturating_mul(1 << batch.stalls.min(4));
            batch.stall_at = self.now.saturating_add(pause);
            let votes = batch.votes.to_vec();
            self.broadcast(Body::Propose(votes));
        }
    }

    fn propose_next(&mut self) -> bool {
        if self.me.is_none() {
            return false;
        }
        let open = self.collector.batches.values();
        let in_flight = open
            .filter(|batch| !batch.split && batch.quorum_at.is_none() && batch.stalls == 0)
            .count();
        if in_flight >= MAX_IN_FLIGHT {
            return false;
        }
        if let Some(half) = self.collector.halves.pop_front() {
            let left: Vec<_> = half
                .into_iter()
                .filter(|vote| self.ledger.value_of(&vote.key).is_none())
                .collect();
            if !left.is_empty() {
                let told = left
                    .iter()
                    .map(|vote| self.told(vote))
                    .fold(self.roster.all(), Signers::common);
                self.propose(left, told);
            }
            return true;
        }
        let paced = self.now < self.collector.next_at;
        // With several proposals unanswered the members are busy: bigger batches cost them less.
        let waits = paced || in_flight >= UNHURRIED;
        if self.collector.ready.is_empty() || (waits && self.collector.ready.len() < self.config.batch) {
            return false;
        }
        let (batch, told) = self.pick();
        if batch.is_empty() {
            return false;
        }
        // Every batch costs each member a signature and everybody a pairing: the more came together, the longer the
        // next ones wait for company. An isolated event waits for nothing.
        let pause = self.config.pace.min(batch.len() as u64 - 1);
        self.collector.next_at = self.now.saturating_add(pause);
        self.propose(batch, told);
        true
    }

    /// Who told of it; of them, those not in doubt, if they are enough.
    fn told(&self, vote: &Sighting) -> Signers {
        let values = self
            .collector
            .pool
            .get(&vote.key)
            .map_or(&[][..], |pooled| &pooled.values);
        let told = values
            .iter()
            .find(|(value, _)| *value == vote.value)
            .map_or(Signers::NONE, |(_, members)| *members);
        let sure = told.without(self.collector.doubted.keys().copied().collect());
        if self.roster.is_quorum(sure) { sure } else { told }
    }

    /// The oldest events, such that a quorum told of all of them.
    fn pick(&mut self) -> (Vec<Sighting>, Signers) {
        let (mut batch, mut common, mut left) = (Vec::new(), self.roster.all(), VecDeque::new());
        while let Some(key) = self.collector.ready.pop_front() {
            if batch.len() >= self.config.batch || left.len() >= self.config.batch {
                self.collector.ready.push_front(key);
                break;
            }
            let Some(pooled) = self.collector.pool.get_mut(&key) else {
                continue;
            };
            let roster = &self.roster;
            let Some((value, _)) = pooled.values.iter().find(|(_, members)| roster.is_quorum(*members)) else {
                // Somebody told otherwise since.
                pooled.taken = false;
                continue;
            };
            let vote = Sighting { key, value: *value };
            let told = self.told(&vote).common(common);
            if self.roster.is_quorum(told) {
                common = told;
                batch.push(vote);
            } else {
                left.push_back(key);
            }
        }
        // What does not fit is first in the next one.
        while let Some(key) = left.pop_back() {
            self.collector.ready.push_front(key);
        }
        (batch, common)
    }

    fn propose(&mut self, votes: Vec<Sighting>, told: Signers) {
        let Ok(tree) = VoteTree::new(&votes_of(&votes)) else {
            return;
        };
        let root = tree.root();
        if self.collector.batches.get(&root).is_some_and(|batch| !batch.split) {
            return;
        }
        let batch = Batch {
            votes: votes.clone().into(),
            told,
            ballots: BTreeMap::new(),
            bad: Signers::NONE,
            since: self.now,
            quorum_at: None,
            awaited: Signers::NONE,
            summing: false,
            stall_at: self.now.saturating_add(self.config.stall),
            stalls: 0,
            split: false,
        };
        self.collector.batches.insert(root, batch);
        let set = self.roster.number();
        self.book.register(set, root, votes_of(&votes).into());
        self.broadcast(Body::Propose(votes.clone()));
        if let Some(me) = self.me {
            self.receive_proposal(me, votes);
        }
    }

    pub(super) fn receive_ballot(&mut self, member: usize, root: B256, signature: SignatureBytes) {
        self.collector.heard.insert(member, self.now);
        let Some(batch) = self.collector.batches.get_mut(&root) else {
            return;
        };
        if batch.bad.contains(member) || batch.ballots.contains_key(&member) {
            return;
        }
        batch.ballots.insert(member, signature);
        if batch.quorum_at.is_none() && self.roster.is_quorum(batch.signers()) {
            batch.quorum_at = Some(self.now);
            let awaited = self.awaited(&root);
            if let Some(batch) = self.collector.batches.get_mut(&root) {
                batch.awaited = awaited;
            }
        }
        self.collector.doubted.remove(&member);
        let found = self.book.note_ballot(&self.roster, root, member, signature, false);
        self.check_candidates(found);
    }

    pub(super) fn combined(&mut self, root: B256, signature: Option<SignatureBytes>, good: Signers, bad: Signers) {
        let until = self.now.saturating_add(self.config.stall.saturating_mul(DOUBT_STALLS));
        let Some(batch) = self.collector.batches.get_mut(&root) else {
            return;
        };
        batch.summing = false;
        batch.bad = batch.bad.with(bad);
        for member in bad.iter() {
            batch.ballots.remove(&member);
            self.collector.doubted.insert(member, until);
        }
        let votes = batch.votes.clone();
        let seal = match signature {
            Some(signature) if self.roster.is_quorum(good) => Seal {
                service: self.roster.service(),
                set: self.roster.number(),
                root,
                signers: good,
                signature,
            },
            _ => {
                batch.quorum_at = self.roster.is_quorum(batch.signers()).then_some(self.now);
                for member in bad.iter() {
                    self.accuse_member(member, Misbehaviour::BadSignature);
                }
                return;
            }
        };
        for member in bad.iter() {
            self.accuse_member(member, Misbehaviour::BadSignature);
        }
        self.broadcast(Body::Certified {
            signers: seal.signers,
            signature: seal.signature,
            votes: votes.to_vec(),
        });
        self.certify(seal, votes);
    }

    pub(super) fn next_collector_tick(&self) -> Option<u64> {
        let age = self.collector.ages.first().map(|(until, _)| *until);
        let due = self
            .collector
            .batches
            .values()
            .filter_map(|batch| self.due_at(batch))
            .min();
        let waiting = !self.collector.ready.is_empty() || !self.collector.halves.is_empty();
        let pace = waiting.then_some(self.collector.next_at.max(self.now.saturating_add(1)));
        [age, due, pace].into_iter().flatten().min()
    }
}
