//! Votes, their trees, and what ballots are over.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{Address, B256, keccak256};
use proptest::prelude::*;
use surety_primitives::{
    Domain,
    vote::{
        Ballot, INVALID, MAX_PROOF, MAX_VOTES, TaskResult, VALID, Vote, VoteError, VoteKind, VoteTree, verify_proof,
    },
};

fn votes(count: usize) -> Vec<Vote> {
    let vote = |i: usize| Vote {
        kind: VoteKind::try_from(1 + (i % 4) as u8).unwrap(),
        subject: keccak256(format!("subject {i}")),
        value: keccak256(format!("value {i}")),
    };
    (0..count).map(vote).collect()
}

fn any_vote() -> impl Strategy<Value = Vote> {
    (1_u8..=4, any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(kind, subject, value)| Vote {
        kind: kind.try_into().unwrap(),
        subject: subject.into(),
        value: value.into(),
    })
}

/// The root as the specification words it, over all leaves again.
fn root(leaves: &[B256]) -> B256 {
    match leaves {
        [] => panic!("no leaves"),
        [leaf] => *leaf,
        leaves => {
            let pair = |pair: &[B256]| match pair {
                [a, b] if a < b => keccak256([a.0, b.0].concat()),
                [a, b] => keccak256([b.0, a.0].concat()),
                alone => alone[0],
            };
            root(&leaves.chunks(2).map(pair).collect::<Vec<_>>())
        }
    }
}

#[test]
fn every_vote_of_every_tree_is_proved() {
    for count in (1..=70).chain([127, 128, 129, 1000, MAX_VOTES - 1, MAX_VOTES]) {
        let votes = votes(count);
        let tree = VoteTree::new(&votes).unwrap();
        assert_eq!(tree.root(), root(&votes.iter().map(Vote::leaf).collect::<Vec<_>>()));
        for (i, vote) in votes.iter().enumerate() {
            let proof = tree.proof(i).unwrap();
            assert!(proof.len() <= MAX_PROOF);
            verify_proof(vote, &proof, tree.root()).unwrap();
            let next = &votes[(i + 1) % count];
            assert_eq!(verify_proof(next, &proof, tree.root()).is_ok(), count == 1);
        }
        assert_eq!(tree.proof(count), None);
        assert_eq!(tree.proof(usize::MAX), None);
    }
}

#[test]
fn trees_are_bounded() {
    assert_eq!(VoteTree::new(&[]).unwrap_err(), VoteError::Votes { found: 0 });
    let found = MAX_VOTES + 1;
    assert_eq!(VoteTree::new(&votes(found)).unwrap_err(), VoteError::Votes { found });
    let endless = votes(1);
    assert_eq!(
        VoteTree::new(endless.iter().cycle()).unwrap_err(),
        VoteError::Votes { found }
    );
    let found = MAX_PROOF + 1;
    let proof = vec![B256::ZERO; found];
    assert_eq!(
        verify_proof(&votes(1)[0], &proof, B256::ZERO),
        Err(VoteError::ProofTooLong { found })
    );
}

#[test]
fn a_node_of_the_tree_is_no_vote() {
    // 96 bytes are hashed to a leaf, 64 to a node: no vote has a node as its leaf.
    let votes = votes(4);
    let tree = VoteTree::new(&votes).unwrap();
    let node = keccak256({
        let mut pair = [votes[0].leaf(), votes[1].leaf()];
        pair.sort();
        pair.concat()
    });
    let proof = tree.proof(0).unwrap();
    assert_eq!(
        keccak256({
            let mut pair = [node, proof[1]];
            pair.sort();
            pair.concat()
        }),
        tree.root()
    );
    assert!(votes.iter().all(|vote| vote.leaf() != node));
}

#[test]
fn kinds_are_the_numbers_of_the_contract() {
    for number in 0..=u8::MAX {
        let expected = match number {
            1..=5 => Ok(number),
            found => Err(VoteError::Kind { found }),
        };
        assert_eq!(VoteKind::try_from(number).map(|kind| kind as u8), expected);
    }
}

#[test]
fn votes_contradict_by_value_alone() {
    let result = TaskResult {
        task: keccak256("task"),
        attempt: 0,
        inputs: B256::ZERO,
        output: B256::ZERO,
        seconds: 1,
        bytes: 2,
    };
    let other = TaskResult { seconds: 2, ..result };
    assert!(result.vote().contradicts(&other.vote()));
    assert!(!result.vote().contradicts(&result.vote()));
    // Another attempt is another subject.
    assert!(!result.vote().contradicts(&TaskResult { attempt: 1, ..other }.vote()));
    assert!(result.validation(true).contradicts(&result.validation(false)));
    assert!(!result.validation(true).contradicts(&other.validation(false)));
    assert_eq!(
        (result.validation(true).value, result.validation(false).value),
        (VALID, INVALID)
    );
    assert!(!result.vote().contradicts(&result.validation(true)));
}

#[test]
fn a_digest_is_of_one_ballot_in_one_place() {
    let domain = Domain {
        chain_id: 1,
        verifying_contract: Address::repeat_byte(1),
    };
    let ballot = Ballot {
        service: Address::repeat_byte(2),
        set: 3,
        root: B256::repeat_byte(4),
    };
    let digests = [
        ballot.digest(&domain),
        ballot.digest(&Domain { chain_id: 2, ..domain }),
        ballot.digest(&Domain {
            verifying_contract: Address::repeat_byte(3),
            ..domain
        }),
        Ballot {
            service: Address::repeat_byte(3),
            ..ballot
        }
        .digest(&domain),
        Ballot { set: 4, ..ballot }.digest(&domain),
        Ballot {
            root: B256::repeat_byte(5),
            ..ballot
        }
        .digest(&domain),
    ];
    for (i, digest) in digests.iter().enumerate() {
        assert!(
            !digests[i + 1..].contains(digest),
            "digest {i} is not the only one of its kind"
        );
    }
}

proptest! {
    /// Every changed bit of a vote or of its proof is refused.
    #[test]
    fn proofs_are_of_one_vote(votes in prop::collection::vec(any_vote(), 1..40), pick: prop::sample::Index, bit: u16) {
        let tree = VoteTree::new(&votes).unwrap();
        let index = pick.index(votes.len());
        let (vote, proof) = (votes[index], tree.proof(index).unwrap());
        prop_assert_eq!(verify_proof(&vote, &proof, tree.root()), Ok(()));
        let bit = usize::from(bit);
        for part in 0..2 {
            let mut changed = vote;
            let word = if part == 0 { &mut changed.subject } else { &mut changed.value };
            word.0[bit % 256 / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_proof(&changed, &proof, tree.root()).is_err());
        }
        if !proof.is_empty() {
            let mut changed = proof.clone();
            changed[bit / 256 % proof.len()].0[bit % 256 / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_proof(&vote, &changed, tree.root()).is_err());
            prop_assert!(verify_proof(&vote, &proof[1..], tree.root()).is_err());
        }
        let longer = [proof, vec![B256::ZERO]].concat();
        prop_assert!(verify_proof(&vote, &longer, tree.root()).is_err());
    }
}
