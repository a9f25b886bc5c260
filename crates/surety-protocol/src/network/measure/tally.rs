//! Counting: what the members told, what they signed, and what it comes to.

use super::{
    Address, B256, BTreeMap, Body, Box, Candidate, Claim, Effect, MAX_REPLIES, MAX_TOLD, MAX_VERIFYING, MESSAGES,
    MeasurementConsensus, Misbehaviour, Seal, SignatureBytes, Statement, Vec, Waiting, Work,
};
use crate::network::event::Allowance;
use alloc::collections::BTreeSet;
use surety_primitives::set::Signers;

/// Certificates kept, to help those who missed them.
const MAX_CERTIFICATES: usize = 8;

/// Most different ballots of one member about one epoch: one for each finding, and one for each other verdict.
const MAX_BALLOTS: usize = MAX_TOLD + 3;

#[derive(Debug, Default)]
pub(super) struct Tally {
    hints: BTreeMap<u64, BTreeMap<usize, Told>>,
    counts: BTreeMap<(u64, Statement), Count>,
    certificates: BTreeMap<u64, (Seal, Statement)>,
    verifying: BTreeMap<Address, usize>,
    allowances: BTreeMap<usize, Allowance>,
}

#[derive(Debug)]
struct Told {
    value: B256,
    findings: BTreeSet<B256>,
    replies: u8,
}

#[derive(Debug, Default)]
struct Count {
    ballots: BTreeMap<usize, SignatureBytes>,
    /// When they are added up.
    due: Option<u64>,
    combining: bool,
}

impl Tally {
    pub(super) fn begin_set(&mut self) {
        self.hints.clear();
        self.counts.clear();
        self.allowances.clear();
    }

    pub(super) fn allow(&mut self, member: usize, now: u64) -> bool {
        let (burst, per_second) = MESSAGES;
        self.allowances
            .entry(member)
            .or_insert_with(|| Allowance::new(burst, now))
            .take(burst, per_second, now)
    }

    pub(super) fn certificate(&self, epoch: u64) -> Option<(&Seal, Statement)> {
        self.certificates
            .get(&epoch)
            .map(|(seal, statement)| (seal, *statement))
    }

    /// Keeps a hint; false if it contradicts an earlier one.
    pub(super) fn note_hint(
        &mut self,
        epoch: u64,
        member: usize,
        value: B256,
        findings: impl IntoIterator<Item = B256>,
    ) -> bool {
        let told = self
            .hints
            .entry(epoch)
            .or_default()
            .entry(member)
            .or_insert_with(|| Told {
                value,
                findings: BTreeSet::new(),
                replies: 0,
            });
        if told.value != value {
            return false;
        }
        for finding in findings {
            if told.findings.len() < MAX_TOLD {
                told.findings.insert(finding);
            }
        }
        true
    }

    /// Who told what a statement says.
    pub(super) fn who_told(&self, epoch: u64, statement: &Statement) -> Signers {
        let agrees = |told: &Told| {
            told.value == statement.value()
                && match statement {
                    Statement::Drifted(finding) => told.findings.contains(finding),
                    _ => true,
                }
        };
        let told = self.hints.get(&epoch).into_iter().flatten();
        told.filter(|(_, told)| agrees(told))
            .map(|(member, _)| *member)
            .collect()
    }

    pub(super) fn verified(&mut self, from: Address) {
        if let Some(count) = self.verifying.get_mut(&from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.verifying.remove(&from);
            }
        }
    }

    pub(super) fn told(&self) -> usize {
        let told = self.hints.values().flat_map(BTreeMap::values);
        told.map(|told| told.findings.len()).sum()
    }

    pub(super) fn ballots(&self) -> usize {
        self.counts.values().map(|count| count.ballots.len()).sum()
    }
}

impl MeasurementConsensus {
    pub(super) fn receive_hint(&mut self, member: usize, epoch: u64, claim: Claim) {
        if self.repeat_certificate(member, epoch) || !self.is_open(epoch) || !claim.fits(epoch) {
            return;
        }
        let findings: BTreeSet<B256> = match &claim {
            Claim::Drifted(findings) => findings.iter().map(super::Finding::hash).collect(),
            _ => BTreeSet::new(),
        };
        let first = !self
            .tally
            .hints
            .get(&epoch)
            .is_some_and(|told| told.contains_key(&member));
        if !self
            .tally
            .note_hint(epoch, member, claim.value(), findings.iter().copied())
        {
            return self.accuse_member(member, Misbehaviour::Contradicts);
        }
        if matches!(claim, Claim::Drifted(_)) {
            let news = findings.iter().any(|hash| !self.drift().contains_key(hash));
            if first && news {
                self.want_measurement();
            }
            self.join_drift(epoch, &findings);
        }
        self.try_to_sign(epoch);
    }

    /// Who still tells of what is certified missed the certificate.
    fn repeat_certificate(&mut self, member: usize, epoch: u64) -> bool {
        let Some((seal, statement)) = self.tally.certificates.get(&epoch).copied() else {
            return false;
        };
        let told = self.tally.hints.entry(epoch).or_default();
        let told = told.entry(member).or_insert_with(|| Told {
            value: statement.value(),
            findings: BTreeSet::new(),
            replies: 0,
        });
        if told.replies < MAX_REPLIES {
            told.replies = told.replies.saturating_add(1);
            let to = self.roster.as_ref().and_then(|roster| roster.operator(member));
            let message = self.certificate_message(&seal, epoch, statement);
            if let Some(to) = to {
                self.effects.push(Effect::Send { to, message });
            }
        }
        true
    }

    fn certificate_message(&self, seal: &Seal, epoch: u64, statement: Statement) -> super::Message {
        super::Message {
            service: seal.service,
            set: seal.set,
            body: Body::MeasurementCertificate {
                deployment: self.config.deployment,
                epoch,
                statement,
                signers: seal.signers,
                signature: seal.signature,
            },
        }
    }

    /// What is recorded may be signed.
    pub(super) fn sign(&mut self, epoch: u64, set: u64, statement: Statement) {
        let Some(roster) = self.roster.clone().filter(|roster| roster.number() == set) else {
            return;
        };
        let digest = roster.digest(statement.root(self.config.subject(epoch)));
        let waiting = Waiting::Signature { epoch, set, statement };
        self.compute(Work::Sign { digest }, waiting);
    }

    pub(super) fn signed(&mut self, epoch: u64, set: u64, statement: Statement, signature: SignatureBytes) {
        let (Some(me), true) = (self.me, set == self.set()) else {
            return;
        };
        self.count(me, epoch, statement, signature);
        self.tell_ballot(epoch, statement, signature);
    }

    fn tell_ballot(&mut self, epoch: u64, statement: Statement, signature: SignatureBytes) {
        self.broadcast(Body::MeasurementBallot {
            deployment: self.config.deployment,
            epoch,
            statement,
            signature,
        });
    }

    pub(super) fn repeat_ballots(&mut self, epoch: u64) {
        let Some(me) = self.me else { return };
        let own: Vec<_> = self
            .tally
            .counts
            .iter()
            .filter(|((of, _), _)| *of == epoch)
            .filter_map(|((_, statement), count)| Some((*statement, *count.ballots.get(&me)?)))
            .collect();
        for (statement, signature) in own {
            self.tell_ballot(epoch, statement, signature);
        }
    }

    pub(super) fn receive_ballot(
        &mut self,
        member: usize,
        epoch: u64,
        statement: Statement,
        signature: SignatureBytes,
    ) {
        if !statement.fits(epoch) {
            return;
        }
        let Some(roster) = self.roster.clone() else { return };
        // Also of what is settled: whoever signs against it answers for it.
        let settled = self.tally.certificates.contains_key(&epoch);
        if !settled && !self.is_open(epoch) {
            return;
        }
        let root = statement.root(self.config.subject(epoch));
        let others =
            self.tally.counts.iter().filter(|((of, held), count)| {
                *of == epoch && *held != statement && count.ballots.contains_key(&member)
            });
        if others.count() >= MAX_BALLOTS {
            return self.accuse_member(member, Misbehaviour::Flood);
        }
        let votes = statement.votes(self.config.subject(epoch)).into();
        self.book.register(roster.number(), root, votes);
        let found = self.book.note_ballot(&roster, root, member, signature, false);
        self.check_candidates(found);
        self.count(member, epoch, statement, signature);
    }

    fn count(&mut self, member: usize, epoch: u64, statement: Statement, signature: SignatureBytes) {
        let count = self.tally.counts.entry((epoch, statement)).or_default();
        count.ballots.entry(member).or_insert(signature);
        self.schedule(epoch, statement);
    }

    /// Once a quorum has signed, this node adds up when it is its turn.
    fn schedule(&mut self, epoch: u64, statement: Statement) {
        let Some(roster) = self.roster.clone() else { return };
        if self.tally.certificates.contains_key(&epoch) || !self.is_open(epoch) {
            return;
        }
        let members = (roster.len() as u64).max(1);
        let turn = self
            .me
            .map_or(members, |me| (me as u64).wrapping_add(epoch).wrapping_rem(members));
        let wait = self.config.linger.saturating_add(
            self.config
                .stagger
                .saturating_mul(turn)
                .min(self.config.stagger.saturating_mul(16)),
        );
        let due = self.now.saturating_add(wait);
        if let Some(count) = self.tally.counts.get_mut(&(epoch, statement))
            && count.due.is_none()
            && !count.combining
            && roster.is_quorum(count.ballots.keys().copied().collect())
        {
            count.due = Some(due);
        }
    }

    pub(super) fn combined(
        &mut self,
        epoch: u64,
        set: u64,
        statement: Statement,
        signature: Option<SignatureBytes>,
        (good, bad): (Signers, Signers),
    ) {
        let Some(roster) = self.roster.clone().filter(|roster| roster.number() == set) else {
            return;
        };
        if let Some(count) = self.tally.counts.get_mut(&(epoch, statement)) {
            count.combining = false;
            for member in bad.iter() {
                count.ballots.remove(&member);
            }
        }
        for member in bad.iter() {
            self.accuse_member(member, Misbehaviour::BadSignature);
        }
        match signature {
            Some(signature) if roster.is_quorum(good) => {
                if self.tally.certificates.contains_key(&epoch) {
                    return;
                }
                let root = statement.root(self.config.subject(epoch));
                let seal = Seal {
                    service: roster.service(),
                    set,
                    root,
                    signers: good,
                    signature,
                };
                let message = self.certificate_message(&seal, epoch, statement);
                self.effects.push(Effect::Broadcast { message });
                self.certify(seal, epoch, statement);
            }
            // Others may have come while this was looked at.
            _ => self.schedule(epoch, statement),
        }
    }

    pub(super) fn receive_certificate(
        &mut self,
        from: Address,
        epoch: u64,
        statement: Statement,
        seal: impl FnOnce(B256) -> Seal,
    ) {
        if self.tally.certificates.contains_key(&epoch) || !self.is_open(epoch) || !statement.fits(epoch) {
            return;
        }
        let seal = seal(statement.root(self.config.subject(epoch)));
        let Some(roster) = self.roster_of(seal.set).cloned() else {
            return;
        };
        if !roster.all().contains_all(seal.signers) || !roster.is_quorum(seal.signers) {
            return self.accuse(from, Misbehaviour::NoQuorum);
        }
        let verifying = self.tally.verifying.entry(from).or_default();
        if *verifying >= MAX_VERIFYING {
            return;
        }
        *verifying = verifying.saturating_add(1);
        let waiting = Waiting::Certificate {
            from,
            seal,
            epoch,
            statement,
        };
        self.compute(seal.verification(&roster), waiting);
    }

    /// A verified certificate.
    pub(super) fn certify(&mut self, seal: Seal, epoch: u64, statement: Statement) {
        if self.tally.certificates.contains_key(&epoch) {
            return;
        }
        self.tally.certificates.insert(epoch, (seal, statement));
        while self.tally.certificates.len() > MAX_CERTIFICATES {
            self.tally.certificates.pop_first();
        }
        self.effects.push(Effect::Certified { seal, epoch, statement });
        if let Some(roster) = self.roster_of(seal.set).cloned() {
            let votes = statement.votes(self.config.subject(epoch)).into();
            self.book.register(seal.set, seal.root, votes);
            let found = self.book.note_certificate(&roster, seal);
            self.check_candidates(found);
        }
    }

    /// Before anybody is accused, the ballots are verified: garbage in another's name convicts nobody.
    fn check_candidates(&mut self, found: Vec<Candidate>) {
        for candidate in found {
            let Some(roster) = self.roster_of(candidate.evidence.ballot.seal.set).cloned() else {
                continue;
            };
            let work = candidate.evidence.ballot.seal.verification(&roster);
            let candidate = Box::new(candidate);
            let second = false;
            self.compute(work, Waiting::Ballot { candidate, second });
        }
    }

    pub(super) fn checked(&mut self, candidate: Box<Candidate>, second: bool, valid: bool) {
        if !valid {
            if let Some(roster) = self.roster_of(candidate.evidence.ballot.seal.set).cloned() {
                let found = self.book.retract(&roster, &candidate, second);
                self.check_candidates(found);
            }
            return self.accuse(candidate.evidence.operator, Misbehaviour::BadSignature);
        }
        let against = candidate.evidence.against.seal;
        match self.roster_of(against.set).cloned() {
            Some(roster) if !second && !candidate.certified => {
                let work = against.verification(&roster);
                let second = true;
                self.compute(work, Waiting::Ballot { candidate, second });
            }
            _ => self.effects.push(Effect::Evidence(Box::new(candidate.evidence))),
        }
    }

    pub(super) fn run_tally(&mut self) {
        let kept: BTreeSet<u64> = {
            let epochs = self
                .tally
                .hints
                .keys()
                .copied()
                .chain(self.tally.counts.keys().map(|(epoch, _)| *epoch));
            epochs
                .filter(|epoch| self.is_open(*epoch) || self.tally.certificates.contains_key(epoch))
                .collect()
        };
        self.tally.hints.retain(|epoch, _| kept.contains(epoch));
        self.tally.counts.retain(|(epoch, _), _| kept.contains(epoch));
        let due: Vec<_> = self
            .tally
            .counts
            .iter()
            .filter(|(_, count)| count.due.is_some_and(|due| due <= self.now))
            .map(|(key, _)| *key)
            .collect();
        for (epoch, statement) in due {
            self.add_up(epoch, statement);
        }
    }

    fn add_up(&mut self, epoch: u64, statement: Statement) {
        let Some(roster) = self.roster.clone() else { return };
        let certified = self.tally.certificates.contains_key(&epoch);
        let Some(count) = self.tally.counts.get_mut(&(epoch, statement)) else {
            return;
        };
        count.due = None;
        if certified || count.combining {
            return;
        }
        count.combining = true;
        let ballots = count
            .ballots
            .iter()
            .map(|(member, signature)| (*member, *signature))
            .collect();
        let set = roster.number();
        let digest = roster.digest(statement.root(self.config.subject(epoch)));
        let work = Work::Combine { set, digest, ballots };
        self.compute(work, Waiting::Sum { epoch, set, statement });
    }

    pub(super) fn next_tally_tick(&self) -> Option<u64> {
        self.tally.counts.values().filter_map(|count| count.due).min()
    }
}
