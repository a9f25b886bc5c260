//! Watching: when to measure, what each epoch comes to for this node, and telling it.

use super::{
    B256, BTreeMap, Body, Claim, Effect, Finding, MAX_FINDINGS, MAX_SEEN, MAX_TOLD, MeasurementConsensus, Seen,
    Statement, Vec, Waiting,
};
use alloc::collections::BTreeSet;
use surety_primitives::{
    measurement::Verdict,
    vote::{Vote, VoteKind},
};

#[derive(Debug)]
pub(super) struct Watch {
    /// Since when this node measures.
    since: u64,
    /// One is under way.
    measuring: bool,
    /// It began too early: another one after it.
    again: bool,
    next: u64,
    /// Newest epoch after whose end a measurement was asked for.
    closed: u64,
    /// When the last measurement began that was answered.
    answered: Option<u64>,
    /// What was found, for ever.
    drift: BTreeMap<B256, Finding>,
    own: BTreeMap<u64, Own>,
}

/// What this node says about an epoch. There is one for each epoch, and it never changes.
#[derive(Debug)]
struct Own {
    /// Value of the MEASUREMENT vote.
    value: B256,
    state: State,
    /// Findings that are told, of a drifted epoch.
    told: BTreeSet<B256>,
    /// Being signed, or signed.
    signed: BTreeSet<Statement>,
    tell_at: u64,
    pause: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// On its way to the disk.
    Recording,
    /// On disk, and told.
    Told,
    /// The disk has another verdict, from an earlier life: nothing is said.
    Silent,
}

/// The verdict drifted, as a vote's value.
const DRIFTED: B256 = Verdict::Drifted.value();

impl Watch {
    pub(super) fn new(now: u64) -> Self {
        Self {
            since: now,
            measuring: false,
            again: false,
            next: now,
            closed: 0,
            answered: None,
            drift: BTreeMap::new(),
            own: BTreeMap::new(),
        }
    }

    /// This node became a member.
    pub(super) fn begin(&mut self, now: u64) {
        self.since = now;
        self.next = now;
        self.answered = None;
    }

    pub(super) fn drift(&self) -> &BTreeMap<B256, Finding> {
        &self.drift
    }
}

impl MeasurementConsensus {
    pub(super) fn want_measurement(&mut self) {
        if self.me.is_none() || self.ended {
            return;
        }
        if self.watch.measuring {
            self.watch.again = true;
            return;
        }
        self.watch.measuring = true;
        self.watch.next = self.now.saturating_add(self.config.period);
        self.effects.push(Effect::Measure);
    }

    pub(super) fn keep_findings(&mut self, findings: Vec<Finding>) -> bool {
        let before = self.watch.drift.len();
        for finding in findings {
            if self.watch.drift.len() >= MAX_SEEN {
                break;
            }
            self.watch.drift.entry(finding.hash()).or_insert(finding);
        }
        self.watch.drift.len() > before
    }

    pub(super) fn observed(&mut self, began: u64, seen: Seen) {
        self.watch.measuring = false;
        let again = core::mem::take(&mut self.watch.again);
        if !self.ended && self.me.is_some() {
            if seen != Seen::Unreachable {
                self.watch.answered = self.watch.answered.max(Some(began));
            }
            match seen {
                Seen::Clean { root, since } => self.saw_clean(began, root, since),
                Seen::Drifted(findings) => self.saw_drift(began, findings),
                Seen::Unreachable => self.saw_nothing(began),
                // Nor is it unreachable, then.
                Seen::Unknown => {}
            }
        }
        if again {
            self.want_measurement();
        }
    }

    fn saw_clean(&mut self, began: u64, root: B256, gapless: u64) {
        let Some(epochs) = self.epochs else {
            return self.decide(0, root);
        };
        if root != epochs.baseline || !self.watch.drift.is_empty() {
            return;
        }
        for epoch in self.ended_epochs(began) {
            if epochs.begin(epoch).saturating_add(self.config.skew) >= gapless {
                self.decide(epoch, Statement::Intact.value());
            }
        }
    }

    fn saw_nothing(&mut self, began: u64) {
        let Some(epochs) = self.epochs else { return };
        if !self.watch.drift.is_empty() {
            return;
        }
        for epoch in self.ended_epochs(began) {
            let begin = epochs.begin(epoch);
            let answered = self.watch.answered.is_some_and(|answered| answered >= begin);
            if !answered && self.watch.since <= begin {
                self.decide(epoch, Statement::Unreachable.value());
            }
        }
    }

    fn saw_drift(&mut self, began: u64, findings: Vec<Finding>) {
        if self.epochs.is_none_or(|epochs| began < epochs.since) {
            return;
        }
        if self.keep_findings(findings) {
            let open: Vec<_> = self.watch.own.keys().copied().collect();
            for epoch in open {
                self.tell_more(epoch, &BTreeSet::new());
            }
        }
        self.decide_drift();
    }

    /// Open epochs that were over, also by a slower clock, when a measurement began.
    fn ended_epochs(&self, began: u64) -> Vec<u64> {
        let Some(epochs) = self.epochs else { return Vec::new() };
        let before = began.saturating_sub(self.config.skew);
        let Some(running) = epochs.at(before) else {
            return Vec::new();
        };
        let oldest = running.saturating_sub(super::KEPT_EPOCHS).max(1);
        (oldest..running).filter(|epoch| self.is_open(*epoch)).collect()
    }

    /// Drift is told for the epoch that runs.
    fn decide_drift(&mut self) {
        if self.watch.drift.is_empty() {
            return;
        }
        if let Some(epoch) = self.epoch() {
            self.decide(epoch, DRIFTED);
        }
    }

    /// This node saw drift, and another one tells it of an epoch: it is drift for that epoch too, once it has begun.
    pub(super) fn join_drift(&mut self, epoch: u64, told: &BTreeSet<B256>) {
        let begun = |epochs: &super::Epochs| epochs.begin(epoch) <= self.now.saturating_add(self.config.skew);
        if self.watch.drift.is_empty() || !self.epochs.as_ref().is_some_and(begun) {
            return;
        }
        self.decide(epoch, DRIFTED);
        self.tell_more(epoch, told);
    }

    /// Decides what an epoch is for this node: first to the disk, then to the others, and never anything else.
    fn decide(&mut self, epoch: u64, value: B256) {
        if self.me.is_none() || !self.is_open(epoch) || self.watch.own.contains_key(&epoch) {
            return;
        }
        let own = Own {
            value,
            state: State::Recording,
            told: BTreeSet::new(),
            signed: BTreeSet::new(),
            tell_at: self.now,
            pause: self.config.retell,
        };
        self.watch.own.insert(epoch, own);
        self.record_decision(epoch);
    }

    fn record_decision(&mut self, epoch: u64) {
        let set = self.set();
        let Some(own) = self.watch.own.get_mut(&epoch) else {
            return;
        };
        own.state = State::Recording;
        let vote = Vote {
            kind: VoteKind::Measurement,
            subject: self.config.subject(epoch),
            value: own.value,
        };
        let drifted = epoch > 0 && own.value == DRIFTED;
        if drifted && own.told.is_empty() {
            own.told = self.watch.drift.keys().take(MAX_FINDINGS).copied().collect();
        }
        let findings = own.told.iter().filter_map(|hash| self.watch.drift.get(hash)).cloned();
        let findings = findings.collect();
        let ticket = self.wait_for(Waiting::Decision { epoch, set });
        self.effects.push(Effect::Record {
            ticket,
            set,
            votes: [vote].into(),
            findings,
        });
    }

    /// The next set knows nothing of what was told to the one before.
    pub(super) fn decide_again(&mut self) {
        if self.me.is_none() {
            self.watch.own.clear();
            return;
        }
        let epochs: Vec<_> = self.watch.own.keys().copied().collect();
        for epoch in epochs {
            if let Some(own) = self.watch.own.get_mut(&epoch) {
                own.signed.clear();
                if own.state != State::Silent {
                    self.record_decision(epoch);
                }
            }
        }
    }

    pub(super) fn decided(&mut self, epoch: u64, set: u64, kept: bool) {
        if set != self.set() {
            return;
        }
        let Some(own) = self.watch.own.get_mut(&epoch) else {
            return;
        };
        if own.state != State::Recording {
            return;
        }
        if !kept {
            own.state = State::Silent;
            return;
        }
        own.state = State::Told;
        self.tell(epoch);
        self.note_own(epoch);
    }

    /// Findings that were seen since, or that others tell and this node has seen too: all should tell the same.
    pub(super) fn tell_more(&mut self, epoch: u64, others: &BTreeSet<B256>) {
        let drift = &self.watch.drift;
        let Some(own) = self.watch.own.get_mut(&epoch) else {
            return;
        };
        if epoch == 0 || own.value != DRIFTED || own.state == State::Silent {
            return;
        }
        let before = own.told.len();
        let common = others.iter().filter(|hash| drift.contains_key(*hash));
        for hash in common {
            if own.told.len() < MAX_TOLD {
                own.told.insert(*hash);
            }
        }
        for hash in drift.keys() {
            if own.told.len() < MAX_FINDINGS {
                own.told.insert(*hash);
            }
        }
        if own.told.len() > before && own.state == State::Told {
            self.tell(epoch);
            self.note_own(epoch);
        }
    }

    fn tell(&mut self, epoch: u64) {
        let Some(own) = self.watch.own.get_mut(&epoch) else {
            return;
        };
        own.tell_at = self.now.saturating_add(own.pause);
        own.pause = own.pause.saturating_mul(2).min(self.config.retell.saturating_mul(8));
        let deployment = self.config.deployment;
        let claims: Vec<Claim> = match (epoch, own.value) {
            (0, root) => [Claim::Baseline(root)].into(),
            (_, DRIFTED) => {
                let findings: Vec<_> = own
                    .told
                    .iter()
                    .filter_map(|hash| self.watch.drift.get(hash))
                    .cloned()
                    .collect();
                findings
                    .chunks(MAX_FINDINGS)
                    .map(|part| Claim::Drifted(part.to_vec()))
                    .collect()
            }
            (_, value) if value == Statement::Intact.value() => [Claim::Intact].into(),
            _ => [Claim::Unreachable].into(),
        };
        for claim in claims {
            self.broadcast(Body::MeasurementHint {
                deployment,
                epoch,
                claim,
            });
        }
    }

    /// The own hint counts as everybody's does.
    fn note_own(&mut self, epoch: u64) {
        let (Some(me), Some(own)) = (self.me, self.watch.own.get(&epoch)) else {
            return;
        };
        let (value, told) = (own.value, own.told.clone());
        self.tally.note_hint(epoch, me, value, told.iter().copied());
        self.try_to_sign(epoch);
    }

    /// Signs what this node told itself and a quorum told too.
    pub(super) fn try_to_sign(&mut self, epoch: u64) {
        let (Some(own), Some(roster)) = (self.watch.own.get(&epoch), self.roster.clone()) else {
            return;
        };
        if own.state != State::Told || !self.is_open(epoch) || self.tally.certificate(epoch).is_some() {
            return;
        }
        let statements: Vec<Statement> = match (epoch, own.value) {
            (0, root) => [Statement::Baseline(root)].into(),
            (_, DRIFTED) => own.told.iter().map(|hash| Statement::Drifted(*hash)).collect(),
            (_, value) if value == Statement::Intact.value() => [Statement::Intact].into(),
            _ => [Statement::Unreachable].into(),
        };
        for statement in statements {
            let told = self.tally.who_told(epoch, &statement);
            if !roster.is_quorum(told) {
                continue;
            }
            let fresh = self
                .watch
                .own
                .get_mut(&epoch)
                .is_some_and(|own| own.signed.insert(statement));
            if fresh {
                let (set, votes) = (roster.number(), statement.votes(self.config.subject(epoch)));
                let ticket = self.wait_for(Waiting::Record { epoch, set, statement });
                self.effects.push(Effect::Record {
                    ticket,
                    set,
                    votes,
                    findings: Vec::new(),
                });
            }
        }
    }

    pub(super) fn run_watch(&mut self) {
        if self.ended {
            return;
        }
        let gone: Vec<_> = self
            .watch
            .own
            .keys()
            .copied()
            .filter(|epoch| !self.is_open(*epoch))
            .collect();
        for epoch in gone {
            self.watch.own.remove(&epoch);
        }
        if self.me.is_none() {
            return;
        }
        self.decide_drift();
        let before = self.now.saturating_sub(self.config.skew);
        if let Some(running) = self.epochs.and_then(|epochs| epochs.at(before))
            && running.saturating_sub(1) > self.watch.closed
        {
            self.watch.closed = running.saturating_sub(1);
            self.want_measurement();
        }
        if self.now >= self.watch.next && !self.watch.measuring {
            self.want_measurement();
        }
        let due: Vec<_> = self
            .watch
            .own
            .iter()
            .filter(|(epoch, own)| {
                own.state == State::Told && own.tell_at <= self.now && self.tally.certificate(**epoch).is_none()
            })
            .map(|(epoch, _)| *epoch)
            .collect();
        for epoch in due {
            self.tell(epoch);
            self.repeat_ballots(epoch);
        }
    }

    pub(super) fn next_watch_tick(&self) -> Option<u64> {
        self.me?;
        let told = self
            .watch
            .own
            .iter()
            .filter(|(epoch, own)| own.state == State::Told && self.tally.certificate(**epoch).is_none())
            .map(|(_, own)| own.tell_at);
        let measurement = (!self.watch.measuring).then_some(self.watch.next);
        let epochs = self.epochs.as_ref();
        let boundary = epochs.map(|epochs| {
            let closed = epochs.end(self.watch.closed.saturating_add(1));
            closed.saturating_add(self.config.skew)
        });
        let drift = epochs.filter(|_| !self.watch.drift.is_empty()).and_then(|epochs| {
            let running = epochs.at(self.now).unwrap_or(0);
            Some(epochs.begin(running.checked_add(1)?))
        });
        [measurement, boundary, drift].into_iter().flatten().chain(told).min()
    }
}
