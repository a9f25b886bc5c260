//! What is certified, and what convicts.

use super::{
    Address, Arc, B256, BTreeMap, Box, Candidate, Effect, EventConsensus, MAX_KEPT_VOTES, MAX_VERIFYING, Misbehaviour,
    Seal, Sighting, SignatureBytes, Vec, VecDeque, Waiting, repeats, votes_of,
};
use surety_primitives::{set::Signers, vote::VoteTree};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    certified: BTreeMap<B256, (B256, B256)>,
    certificates: BTreeMap<B256, (Seal, Arc<[Sighting]>)>,
    order: VecDeque<B256>,
    votes: usize,
    /// Being verified: by peer, roots.
    verifying: BTreeMap<Address, Vec<B256>>,
}

impl Ledger {
    pub(super) fn value_of(&self, key: &B256) -> Option<B256> {
        self.certified.get(key).map(|(value, _)| *value)
    }

    pub(super) fn root_of(&self, key: &B256) -> Option<B256> {
        self.certified.get(key).map(|(_, root)| *root)
    }

    pub(super) fn votes(&self) -> usize {
        self.votes
    }

    pub(super) fn certificate(&self, root: &B256) -> Option<&(Seal, Arc<[Sighting]>)> {
        self.certificates.get(root)
    }

    pub(super) fn verified(&mut self, from: Address, root: B256) {
        if let Some(roots) = self.verifying.get_mut(&from) {
            roots.retain(|other| *other != root);
            if roots.is_empty() {
                self.verifying.remove(&from);
            }
        }
    }

    /// Keeps it, and forgets the oldest. Gives the votes that are new.
    fn insert(&mut self, seal: Seal, votes: &Arc<[Sighting]>) -> Vec<usize> {
        let mut fresh = Vec::new();
        for (index, vote) in votes.iter().enumerate() {
            self.certified.entry(vote.key).or_insert_with(|| {
                fresh.push(index);
                (vote.value, seal.root)
            });
        }
        self.certificates.insert(seal.root, (seal, votes.clone()));
        self.order.push_back(seal.root);
        self.votes += votes.len();
        while self.votes > MAX_KEPT_VOTES {
            let oldest = self.order.pop_front().and_then(|root| self.certificates.remove(&root));
            let Some((seal, votes)) = oldest else { break };
            self.votes = self.votes.saturating_sub(votes.len());
            for vote in votes.iter() {
                if self.root_of(&vote.key) == Some(seal.root) {
                    self.certified.remove(&vote.key);
                }
            }
        }
        fresh
    }
}

impl EventConsensus {
    pub(super) fn receive_certificate(
        &mut self,
        from: Address,
        set: u64,
        signers: Signers,
        signature: SignatureBytes,
        votes: Vec<Sighting>,
    ) {
        let Some(roster) = self.roster_of(set).cloned() else {
            return;
        };
        let news = votes
            .iter()
            .any(|vote| self.ledger.value_of(&vote.key) != Some(vote.value));
        if !news {
            return;
        }
        if repeats(&votes) {
            return self.accuse(from, Misbehaviour::Malformed);
        }
        if !roster.all().contains_all(signers) || !roster.is_quorum(signers) {
            return self.accuse(from, Misbehaviour::NoQuorum);
        }
        let Ok(tree) = VoteTree::new(&votes_of(&votes)) else {
            return;
        };
        let verifying = self.ledger.verifying.entry(from).or_default();
        if verifying.len() >= MAX_VERIFYING || verifying.contains(&tree.root()) {
            return;
        }
        verifying.push(tree.root());
        let seal = self.seal_of(tree.root(), signers, signature, set);
        let votes = votes.into();
        self.compute(seal.verification(&roster), Waiting::Certificate { from, seal, votes });
    }

    /// A verified certificate.
    pub(super) fn certify(&mut self, seal: Seal, votes: Arc<[Sighting]>) {
        if self.ledger.certificate(&seal.root).is_some() {
            return;
        }
        let fresh = self.ledger.insert(seal, &votes);
        for vote in votes.iter() {
            self.mark_certified(vote.key, vote.value);
            self.unpool(&vote.key);
        }
        self.collector.batches.remove(&seal.root);
        if seal.set == self.roster.number() {
            self.hear(seal.signers);
        }
        let Some(roster) = self.roster_of(seal.set).cloned() else {
            return;
        };
        self.book.register(seal.set, seal.root, votes_of(&votes).into());
        let found = self.book.note_certificate(&roster, seal);
        if !fresh.is_empty() {
            self.effects.push(Effect::Certified { seal, votes, fresh });
        }
        self.check_candidates(found);
    }

    /// Before anybody is accused, the ballots are verified: garbage in another's name convicts nobody.
    pub(super) fn check_candidates(&mut self, found: Vec<Candidate>) {
        for candidate in found {
            let Some(roster) = self.roster_of(candidate.evidence.ballot.seal.set).cloned() else {
                continue;
            };
            let work = candidate.evidence.ballot.seal.verification(&roster);
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
                self.compute(
                    against.verification(&roster),
                    Waiting::Ballot {
                        candidate,
                        second: true,
                    },
                );
            }
            _ => self.effects.push(Effect::Evidence(Box::new(candidate.evidence))),
        }
    }
}
