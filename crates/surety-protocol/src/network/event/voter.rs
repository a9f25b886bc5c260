//! Voting: what a collector proposes is signed if this node saw all of it.

use super::{
    Allowance, Arc, B256, BTreeMap, BTreeSet, Body, Effect, EventConsensus, MAX_WAITING, MAX_WAITING_VOTES,
    Misbehaviour, Purpose, Seal, Sighting, SignatureBytes, Vec, VecDeque, Waiting, Work, repeats, votes_of,
};
use crate::network::message::MAX_DISSENT;
use surety_primitives::{set::Signers, vote::VoteTree};

/// Proposals of one peer that are read, at once and in a second.
const PROPOSALS: (u64, u64) = (96, 64);

/// Dissents of one peer that are read, at once and in a second.
const DISSENTS: (u64, u64) = (32, 8);

/// Own ballots that are kept to be sent again.
const MAX_SIGNED: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Voter {
    /// Proposals with events that this node has not seen yet.
    proposals: BTreeMap<B256, Proposal>,
    /// Which ones wait for an event.
    wanted: BTreeMap<B256, BTreeSet<B256>>,
    /// By peer, the oldest first.
    by_peer: BTreeMap<usize, VecDeque<B256>>,
    ages: BTreeSet<(u64, B256)>,
    /// Own signatures by root; `None` while they are being made.
    signed: BTreeMap<B256, Option<SignatureBytes>>,
    signed_order: VecDeque<B256>,
    allowances: BTreeMap<(usize, bool), Allowance>,
}

#[derive(Debug)]
struct Proposal {
    collector: usize,
    votes: Vec<Sighting>,
    missing: BTreeSet<B256>,
    until: u64,
}

impl Voter {
    pub(super) fn waiting_votes(&self) -> usize {
        self.proposals.values().map(|proposal| proposal.votes.len()).sum()
    }
}

impl EventConsensus {
    pub(super) fn receive_proposal(&mut self, collector: usize, votes: Vec<Sighting>) {
        if self.me.is_none() || !self.allow(collector, false) {
            return;
        }
        if repeats(&votes) {
            return self.accuse_member(collector, Misbehaviour::Malformed);
        }
        let Ok(tree) = VoteTree::new(&votes_of(&votes)) else {
            return;
        };
        let root = tree.root();
        if let Some(signed) = self.voter.signed.get(&root) {
            // Signed before: the ballot was lost, or another collector asks.
            if let Some(signature) = *signed {
                self.deliver(collector, root, signature);
            }
            return;
        }
        let certified = votes
            .iter()
            .all(|vote| self.ledger.value_of(&vote.key) == Some(vote.value));
        let first = votes.first().and_then(|vote| self.ledger.root_of(&vote.key));
        if let Some(root) = first.filter(|_| certified) {
            if Some(collector) != self.me {
                self.repeat_certificate(collector, root);
            }
            return;
        }
        let (mut missing, mut differing) = (BTreeSet::new(), Vec::new());
        for vote in &votes {
            match self.observer.seen.get(&vote.key) {
                Some(seen) if seen.value == vote.value => {}
                Some(seen) => differing.push(Sighting {
                    key: vote.key,
                    value: seen.value,
                }),
                None => {
                    missing.insert(vote.key);
                }
            }
        }
        if !differing.is_empty() {
            // What it did not see of the rest it can't sign, and what it saw is proposed again in halves.
            self.dissent(differing);
        } else if missing.is_empty() {
            self.sign_proposal(collector, root, votes);
        } else {
            self.keep_proposal(collector, root, votes, missing);
        }
    }

    /// Asked about what it saw otherwise, a member says what it saw, and signs it: once for each event.
    fn dissent(&mut self, mut differing: Vec<Sighting>) {
        differing.truncate(MAX_DISSENT);
        differing.retain(|own| match self.observer.seen.get_mut(&own.key) {
            Some(seen) => !core::mem::replace(&mut seen.dissented, true),
            None => false,
        });
        let set = self.roster.number();
        self.record(differing, Purpose::Dissent { set });
    }

    fn sign_proposal(&mut self, collector: usize, root: B256, votes: Vec<Sighting>) {
        self.voter.signed.insert(root, None);
        self.voter.signed_order.push_back(root);
        if self.voter.signed_order.len() > MAX_SIGNED
            && let Some(oldest) = self.voter.signed_order.pop_front()
        {
            self.voter.signed.remove(&oldest);
        }
        let set = self.roster.number();
        self.record(votes, Purpose::Ballot { root, set, collector });
    }

    /// First to the disk.
    fn record(&mut self, votes: Vec<Sighting>, purpose: Purpose) {
        if votes.is_empty() {
            return;
        }
        let stored = votes_of(&votes);
        let ticket = self.wait_for(Waiting::Record { votes, purpose });
        self.effects.push(Effect::Store {
            ticket,
            set: self.roster.number(),
            votes: stored,
        });
    }

    /// Then the signature, unless the disk knows better.
    pub(super) fn recorded(&mut self, votes: Vec<Sighting>, purpose: Purpose, refused: &[Sighting]) {
        if purpose.set() != self.roster.number() {
            return;
        }
        if !refused.is_empty() {
            for recorded in refused {
                self.hold(recorded);
            }
            if let Purpose::Ballot { root, .. } = purpose {
                self.voter.signed.remove(&root);
                self.voter.signed_order.retain(|other| *other != root);
            }
            return;
        }
        let Ok(tree) = VoteTree::new(&votes_of(&votes)) else {
            return;
        };
        let digest = self.roster.digest(tree.root());
        self.compute(Work::Sign { digest }, Waiting::Signature { votes, purpose });
    }

    pub(super) fn signed(&mut self, votes: Vec<Sighting>, purpose: Purpose, signature: SignatureBytes) {
        if purpose.set() != self.roster.number() {
            return;
        }
        match purpose {
            Purpose::Ballot { root, collector, .. } => {
                if let Some(signed) = self.voter.signed.get_mut(&root) {
                    *signed = Some(signature);
                }
                self.deliver(collector, root, signature);
            }
            Purpose::Dissent { .. } => self.broadcast(Body::Dissent { votes, signature }),
        }
    }

    fn deliver(&mut self, collector: usize, root: B256, signature: SignatureBytes) {
        if Some(collector) == self.me {
            self.receive_ballot(collector, root, signature);
        } else {
            self.send(collector, Body::Ballot { root, signature });
        }
    }

    fn keep_proposal(&mut self, collector: usize, root: B256, votes: Vec<Sighting>, missing: BTreeSet<B256>) {
        if self.voter.proposals.contains_key(&root) {
            return;
        }
        let until = self.now.saturating_add(self.config.window);
        for key in &missing {
            self.voter.wanted.entry(*key).or_default().insert(root);
        }
        self.voter.ages.insert((until, root));
        let proposal = Proposal {
            collector,
            votes,
            missing,
            until,
        };
        self.voter.proposals.insert(root, proposal);
        self.voter.by_peer.entry(collector).or_default().push_back(root);
        // Each peer has its own room: the oldest of its own go first.
        loop {
            let Some(mine) = self.voter.by_peer.get(&collector) else {
                return;
            };
            let held = mine.iter().filter_map(|root| self.voter.proposals.get(root));
            let votes: usize = held.map(|proposal| proposal.votes.len()).sum();
            if mine.len() <= MAX_WAITING && votes <= MAX_WAITING_VOTES {
                return;
            }
            let Some(oldest) = mine.front().copied() else { return };
            self.drop_proposal(&oldest);
        }
    }

    fn drop_proposal(&mut self, root: &B256) -> Option<Proposal> {
        let proposal = self.voter.proposals.remove(root)?;
        self.voter.ages.remove(&(proposal.until, *root));
        if let Some(roots) = self.voter.by_peer.get_mut(&proposal.collector) {
            roots.retain(|other| other != root);
        }
        for key in &proposal.missing {
            if let Some(roots) = self.voter.wanted.get_mut(key) {
                roots.remove(root);
                if roots.is_empty() {
                    self.voter.wanted.remove(key);
                }
            }
        }
        Some(proposal)
    }

    /// An event was seen that proposals may wait for.
    pub(super) fn saw(&mut self, key: B256) {
        for root in self.voter.wanted.remove(&key).unwrap_or_default() {
            let Some(proposal) = self.voter.proposals.get_mut(&root) else {
                continue;
            };
            proposal.missing.remove(&key);
            let seen = self.observer.seen.get(&key).map(|seen| seen.value);
            let asked = proposal
                .votes
                .iter()
                .find(|vote| vote.key == key)
                .map(|vote| vote.value);
            let done = proposal.missing.is_empty();
            if seen != asked {
                self.drop_proposal(&root);
                self.dissent(seen.map(|value| Sighting { key, value }).into_iter().collect());
            } else if done && let Some(proposal) = self.drop_proposal(&root) {
                self.sign_proposal(proposal.collector, root, proposal.votes);
            }
        }
    }

    pub(super) fn receive_dissent(&mut self, member: usize, votes: Vec<Sighting>, signature: SignatureBytes) {
        if !self.allow(member, true) {
            return;
        }
        if repeats(&votes) {
            return self.accuse_member(member, Misbehaviour::Malformed);
        }
        let votes: Arc<[_]> = votes_of(&votes).into();
        let Ok(tree) = VoteTree::new(votes.iter()) else { return };
        self.book.register(self.roster.number(), tree.root(), votes);
        let found = self
            .book
            .note_ballot(&self.roster, tree.root(), member, signature, false);
        self.check_candidates(found);
    }

    fn allow(&mut self, member: usize, dissent: bool) -> bool {
        if Some(member) == self.me {
            return true;
        }
        let (burst, per_second) = if dissent { DISSENTS } else { PROPOSALS };
        let now = self.now;
        let allowance = self
            .voter
            .allowances
            .entry((member, dissent))
            .or_insert_with(|| Allowance::new(burst, now));
        let allowed = allowance.take(burst, per_second, now);
        if !allowed {
            self.accuse_member(member, Misbehaviour::Flood);
        }
        allowed
    }

    pub(super) fn run_voter(&mut self) {
        while let Some((_, root)) = self.voter.ages.first().copied().filter(|(until, _)| *until <= self.now) {
            self.drop_proposal(&root);
        }
    }

    pub(super) fn next_voter_tick(&self) -> Option<u64> {
        self.voter.ages.first().map(|(until, _)| *until)
    }

    pub(super) fn seal_of(&self, root: B256, signers: Signers, signature: SignatureBytes, set: u64) -> Seal {
        Seal {
            service: self.roster.service(),
            set,
            root,
            signers,
            signature,
        }
    }
}

impl Purpose {
    fn set(self) -> u64 {
        match self {
            Self::Ballot { set, .. } | Self::Dissent { set } => set,
        }
    }
}
