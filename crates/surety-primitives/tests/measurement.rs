//! Subjects and ballots of monitors, against their definition.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use alloy_primitives::{Address, B256, U256, keccak256};
use proptest::prelude::*;
use surety_primitives::{
    measurement::{
        DeploymentId, Judgement, Verdict, ballot, baseline_root, finding_vote, subject, verdict_root, verdict_vote,
    },
    vote::verify_proof,
};

fn hash(words: &[[u8; 32]]) -> B256 {
    keccak256(words.concat())
}

fn word(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

proptest! {
    #[test]
    fn an_id_says_whose_it_is(service: [u8; 20], n: u64) {
        let id = DeploymentId::new(service.into(), n);
        prop_assert_eq!((id.service(), id.number()), (Address::from(service), Some(n)));
        prop_assert_eq!(id.to_string().parse::<DeploymentId>().unwrap(), id);
    }

    #[test]
    fn roots_are_as_specified(integrity: [u8; 20], id: [u8; 32], epoch: u64, evidence: [u8; 32]) {
        let integrity = Address::from(integrity);
        let deployment = DeploymentId(U256::from_be_bytes(id));
        let about = subject(integrity, deployment, epoch);
        prop_assert_eq!(about, hash(&[integrity.into_word().0, id, word(epoch)]));
        let leaf = |verdict| hash(&[word(4), about.0, word(verdict)]);
        prop_assert_eq!(verdict_root(about, Judgement::Intact).unwrap(), leaf(1));
        prop_assert_eq!(verdict_root(about, Judgement::Unreachable).unwrap(), leaf(3));
        let finding = hash(&[word(5), hash(&[about.0, evidence]).0, word(1)]);
        let (first, second) = (leaf(2).min(finding), leaf(2).max(finding));
        let evidence = B256::from(evidence);
        let root = verdict_root(about, Judgement::Drifted(evidence)).unwrap();
        prop_assert_eq!(root, hash(&[first.0, second.0]));
        let tree = ballot(about, Judgement::Drifted(evidence)).unwrap();
        verify_proof(&verdict_vote(about, Verdict::Drifted), &tree.proof(0).unwrap(), root).unwrap();
        verify_proof(&finding_vote(about, evidence), &tree.proof(1).unwrap(), root).unwrap();
        let zero = subject(integrity, deployment, 0);
        prop_assert_eq!(baseline_root(integrity, deployment, evidence), hash(&[word(4), zero.0, evidence.0]));
    }
}

#[test]
fn findings_never_contradict_and_verdicts_do() {
    let about = B256::repeat_byte(1);
    let one = finding_vote(about, B256::repeat_byte(2));
    let other = finding_vote(about, B256::repeat_byte(3));
    assert!(!one.contradicts(&other));
    assert!(verdict_vote(about, Verdict::Intact).contradicts(&verdict_vote(about, Verdict::Drifted)));
}

#[test]
fn verdicts_have_three_numbers() {
    let found: Vec<bool> = (0..=4).map(|number| Verdict::try_from(number).is_ok()).collect();
    assert_eq!(found, [false, true, true, true, false]);
}
