//! `vectors/integrity/votes.json`, which Solidity reads too.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use alloy_primitives::{Address, B256};
use serde_json::Value;
use surety_primitives::measurement::{
    DeploymentId, Judgement, baseline_root, finding_subject, finding_vote, subject, verdict_root,
};

#[test]
fn votes() {
    let text = include_str!("../../../vectors/integrity/votes.json");
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(!vectors.is_empty());
    for vector in &vectors {
        let hash = |field: &str| vector[field].as_str().unwrap().parse::<B256>().unwrap();
        let address = |field: &str| vector[field].as_str().unwrap().parse::<Address>().unwrap();
        let id: DeploymentId = vector["deployment"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            id,
            DeploymentId::new(address("service"), vector["number"].as_u64().unwrap())
        );
        let about = subject(address("integrity"), id, vector["epoch"].as_u64().unwrap());
        assert_eq!(about, hash("subject"));
        let root = |judgement| verdict_root(about, judgement).unwrap();
        assert_eq!(root(Judgement::Intact), hash("intact"));
        assert_eq!(root(Judgement::Unreachable), hash("unreachable"));
        assert_eq!(root(Judgement::Drifted(hash("evidence"))), hash("drifted"));
        assert_eq!(finding_subject(about, hash("evidence")), hash("findingSubject"));
        assert_eq!(finding_vote(about, hash("evidence")).leaf(), hash("findingLeaf"));
        assert_eq!(subject(address("integrity"), id, 0), hash("baselineSubject"));
        assert_eq!(
            baseline_root(address("integrity"), id, hash("measurement")),
            hash("baseline")
        );
    }
}
