//! What convicts: votes with the signatures under them, in the form that the contract `Faults` takes
//! (`docs/spec/network.md`, section 4).

use super::{
    roster::Roster,
    scheme::{SignatureBytes, Work},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    vec::Vec,
};
use alloy_primitives::{Address, B256};
use surety_primitives::{
    set::Signers,
    vote::{INVALID, Vote, VoteKind, VoteTree},
};

/// A certificate, or with one signer a ballot, as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The service.
    pub service: Address,
    /// Number of its set.
    pub set: u64,
    /// Root of the votes.
    pub root: B256,
    /// Who signed.
    pub signers: Signers,
    /// The sum of their signatures.
    pub signature: SignatureBytes,
}

impl Seal {
    /// The work of verifying it.
    pub fn verification(&self, roster: &Roster) -> Work {
        Work::Verify {
            set: self.set,
            signers: self.signers,
            digest: roster.digest(self.root),
            signature: self.signature,
        }
    }
}

/// A vote, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Who signed.
    pub seal: Seal,
    /// What.
    pub vote: Vote,
    /// From the vote's leaf to the root.
    pub proof: Vec<B256>,
}

impl Proven {
    /// The vote with this index of those under `seal`. `None` if they are not.
    pub fn new(seal: Seal, votes: &[Vote], index: usize) -> Option<Self> {
        let tree = VoteTree::new(votes).ok()?;
        (tree.root() == seal.root).then_some(())?;
        Some(Self {
            seal,
            vote: *votes.get(index)?,
            proof: tree.proof(index)?,
        })
    }

    /// A ballot of one vote: its leaf is the root.
    pub fn single(seal: Seal, vote: Vote) -> Self {
        Self {
            seal,
            vote,
            proof: Vec::new(),
        }
    }
}

/// Which rule was broken; one for each function of `Faults`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `reportDouble`: two ballots of one member, same kind and subject, different values.
    Double,
    /// `reportMinority`: a ballot against what the quorum certified.
    Minority,
    /// `reportResult`: a RESULT, and the quorum's certificate that it is wrong.
    WrongResult,
}

/// Proof that a member broke a rule. Both signatures were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Which.
    pub fault: Fault,
    /// Who.
    pub operator: Address,
    /// The member's ballot.
    pub ballot: Proven,
    /// What convicts it: another ballot, or a certificate.
    pub against: Proven,
}

impl Evidence {
    /// Of two votes, which rule they break together; `None` if none. `second` is certified by the quorum, or else it
    /// is a ballot of the same member.
    pub fn fault(first: &Vote, second: &Vote, certified: bool) -> Option<Fault> {
        let wrong_result = first.kind == VoteKind::Result
            && second.kind == VoteKind::Validation
            && second.subject == first.value
            && second.value == INVALID;
        match (certified, first.contradicts(second)) {
            // Nobody certifies a RESULT: the executor alone signs it.
            (true, true) if first.kind != VoteKind::Result => Some(Fault::Minority),
            (true, _) if wrong_result => Some(Fault::WrongResult),
            (false, true) => Some(Fault::Double),
            _ => None,
        }
    }
}

/// Most votes that a book keeps, and pairs of votes that contradict each other: whoever signs many values of one subject
/// makes many pairs.
pub const MAX_BOOK_VOTES: usize = 131_072;

/// Most faults that a book remembers having found.
const MAX_FOUND: usize = 4_096;

/// Evidence whose ballots are still to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) evidence: Evidence,
    /// Whether `against` is a certificate, which is verified already; otherwise it is a ballot too.
    pub(super) certified: bool,
}

/// A fault that was found: set, member, which, and the subject of its vote.
type Found = (u64, usize, Fault, B256);

/// Signed votes that came by, and which of them contradict each other. The oldest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: BTreeMap<(u64, B256), Page>,
    /// Where votes are that can contradict each other: by set, kind and subject. A RESULT is also where the
    /// VALIDATION of it is.
    index: BTreeMap<(u64, u8, B256), Vec<(B256, usize)>>,
    order: VecDeque<(u64, B256)>,
    /// Votes, and the rivals of each.
    load: usize,
    found: BTreeSet<Found>,
}

#[derive(Debug)]
struct Page {
    votes: Arc<[Vote]>,
    ballots: BTreeMap<usize, SignatureBytes>,
    certificate: Option<Seal>,
    /// Own vote, other root, its vote.
    rivals: Vec<(usize, B256, usize)>,
}

fn places(vote: &Vote) -> impl Iterator<Item = (u8, B256)> {
    let result = (vote.kind == VoteKind::Result).then_some((VoteKind::Validation as u8, vote.value));
    [(vote.kind as u8, vote.subject)].into_iter().chain(result)
}

impl Book {
    /// Makes a root known. `votes` must be those under it.
    pub(super) fn register(&mut self, set: u64, root: B256, votes: Arc<[Vote]>) {
        if self.pages.contains_key(&(set, root)) {
            return;
        }
        let mut rivals = Vec::new();
        for (at, vote) in votes.iter().enumerate() {
            for (kind, subject) in places(vote) {
                let entries = self.index.entry((set, kind, subject)).or_default();
                for (other, index) in entries.iter() {
                    let Some(page) = self.pages.get_mut(&(set, *other)) else {
                        continue;
                    };
                    let Some(rival) = page.votes.get(*index) else { continue };
                    let clash = |a, b| [true, false].iter().any(|c| Evidence::fault(a, b, *c).is_some());
                    if clash(vote, rival) || clash(rival, vote) {
                        rivals.push((at, *other, *index));
                        page.rivals.push((*index, root, at));
                        self.load += 2;
                    }
                }
                entries.push((root, at));
            }
        }
        self.load += votes.len();
        self.order.push_back((set, root));
        let page = Page {
            votes,
            ballots: BTreeMap::new(),
            certificate: None,
            rivals,
        };
        self.pages.insert((set, root), page);
        while self.load > MAX_BOOK_VOTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.forget(oldest);
        }
    }

    fn forget(&mut self, (set, root): (u64, B256)) {
        let Some(page) = self.pages.remove(&(set, root)) else {
            return;
        };
        let mut gone = page.votes.len() + page.rivals.len();
        for (kind, subject) in page.votes.iter().flat_map(places) {
            if let Some(entries) = self.index.get_mut(&(set, kind, subject)) {
                entries.retain(|(other, _)| *other != root);
                if entries.is_empty() {
                    self.index.remove(&(set, kind, subject));
                }
            }
        }
        // Each once: two pages with many subjects in common contradict each other in all of them.
        let others: BTreeSet<_> = page.rivals.iter().map(|(_, other, _)| *other).collect();
        for other in others {
            if let Some(page) = self.pages.get_mut(&(set, other)) {
                let before = page.rivals.len();
                page.rivals.retain(|(_, rival, _)| *rival != root);
                gone += before - page.rivals.len();
            }
        }
        self.load = self.load.saturating_sub(gone);
    }

    /// How many votes and rivals are kept.
    pub(super) fn load(&self) -> usize {
        self.load
    }

    /// A ballot came from its member, or is verified. What is verified replaces what is not, and nothing else replaces
    /// anything: a member can't take back what it signed by sending garbage after it.
    pub(super) fn note_ballot(
        &mut self,
        roster: &Roster,
        root: B256,
        member: usize,
        signature: SignatureBytes,
        verified: bool,
    ) -> Vec<Candidate> {
        let Some(page) = self.pages.get_mut(&(roster.number(), root)) else {
            return Vec::new();
        };
        let held = page.ballots.entry(member).or_insert(signature);
        if verified {
            *held = signature;
        }
        self.pair(roster, root, member)
    }

    /// What a ballot proves together with what else is here.
    fn pair(&mut self, roster: &Roster, root: B256, member: usize) -> Vec<Candidate> {
        let set = roster.number();
        let Some(page) = self.pages.get(&(set, root)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (own, other, index) in &page.rivals {
            let Some(rival) = self.pages.get(&(set, *other)) else {
                continue;
            };
            let ballot = rival.ballots.get(&member);
            let ballot = ballot.map(|held| (ballot_seal(roster, *other, member, *held), false));
            let certificate = rival.certificate.map(|seal| (seal, true));
            for (seal, certified) in [certificate, ballot].into_iter().flatten() {
                let against = (seal, rival, *index);
                found.extend(convict(
                    roster,
                    &mut self.found,
                    member,
                    (root, page, *own),
                    against,
                    certified,
                ));
            }
        }
        self.trim();
        found
    }

    /// A certificate came, and is verified.
    pub(super) fn note_certificate(&mut self, roster: &Roster, seal: Seal) -> Vec<Candidate> {
        let set = roster.number();
        let Some(page) = self.pages.get_mut(&(set, seal.root)) else {
            return Vec::new();
        };
        page.certificate = Some(seal);
        let Some(page) = self.pages.get(&(set, seal.root)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (own, other, index) in &page.rivals {
            let Some(rival) = self.pages.get(&(set, *other)) else {
                continue;
            };
            for member in rival.ballots.keys() {
                found.extend(convict(
                    roster,
                    &mut self.found,
                    *member,
                    (*other, rival, *index),
                    (seal, page, *own),
                    true,
                ));
            }
        }
        self.trim();
        found
    }

    /// A ballot of a candidate is garbage, though it came in its member's name: it shall not hide a good one. Gives what
    /// is proved without it.
    pub(super) fn retract(&mut self, roster: &Roster, candidate: &Candidate, second: bool) -> Vec<Candidate> {
        let Evidence {
            fault, ballot, against, ..
        } = &candidate.evidence;
        let garbage = if second { &against.seal } else { &ballot.seal };
        let Some(member) = ballot.seal.signers.iter().next() else {
            return Vec::new();
        };
        self.found
            .remove(&(ballot.seal.set, member, *fault, ballot.vote.subject));
        if let Some(page) = self.pages.get_mut(&(garbage.set, garbage.root))
            && page.ballots.get(&member) == Some(&garbage.signature)
        {
            page.ballots.remove(&member);
        }
        // A verified one may have come while this one was looked at.
        let mut found = Vec::new();
        for root in [ballot.seal.root, against.seal.root] {
            let held = self.pages.get(&(roster.number(), root));
            if held.is_some_and(|page| page.ballots.contains_key(&member)) {
                found.extend(self.pair(roster, root, member));
            }
        }
        found
    }

    fn trim(&mut self) {
        while self.found.len() > MAX_FOUND {
            self.found.pop_first();
        }
    }
}

fn ballot_seal(roster: &Roster, root: B256, member: usize, signature: SignatureBytes) -> Seal {
    Seal {
        service: roster.service(),
        set: roster.number(),
        root,
        signers: [member].into_iter().collect(),
        signature,
    }
}

/// Each fault once: what is found already is not proved again, for that takes a tree of hashes.
fn convict(
    roster: &Roster,
    found: &mut BTreeSet<Found>,
    member: usize,
    (root, page, own): (B256, &Page, usize),
    (seal, rival, index): (Seal, &Page, usize),
    certified: bool,
) -> Option<Candidate> {
    let signature = *page.ballots.get(&member)?;
    let vote = page.votes.get(own)?;
    let fault = Evidence::fault(vote, rival.votes.get(index)?, certified)?;
    let operator = roster.operator(member)?;
    found
        .insert((roster.number(), member, fault, vote.subject))
        .then_some(())?;
    Some(Candidate {
        evidence: Evidence {
            fault,
            operator,
            ballot: Proven::new(ballot_seal(roster, root, member, signature), &page.votes, own)?,
            against: Proven::new(seal, &rival.votes, index)?,
        },
        certified,
    })
}
