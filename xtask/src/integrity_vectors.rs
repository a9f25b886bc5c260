//! `vectors/integrity/`: what monitors sign, and where the contract keeps what was recorded. The folder's README says
//! what the fields are.

use alloy_primitives::{Address, B256, keccak256};
use anyhow::Result;
use serde_json::{Value as Json, json};
use surety_primitives::measurement::{
    self, DeploymentId, Judgement, baseline_root, finding_subject, finding_vote, verdict_root, verdict_vote,
};

/// Words of a deployment's state: name, word, lowest bit, bits, and what one is worth.
const FIELDS: &[(&str, u64, u64, u64, u64)] = &[
    ("status", 0, 0, 8, 1),
    ("lastEpoch", 0, 8, 32, 1),
    ("set", 0, 40, 32, 1),
    ("expiry", 0, 72, 40, 1),
    ("paid", 0, 112, 32, 1),
    ("intact", 0, 144, 32, 1),
    ("unreachable", 0, 176, 16, 1),
    ("escrow", 0, 192, 64, 1_000_000_000),
    ("start", 1, 0, 40, 1),
    ("epoch", 1, 40, 24, 1),
    ("unreachableAfter", 1, 64, 16, 1),
    ("quorum", 1, 80, 16, 1),
    ("reward", 1, 96, 48, 1_000_000_000),
    ("hostReward", 1, 144, 48, 1_000_000_000),
    ("requestedAt", 1, 192, 40, 1),
    ("host", 2, 0, 160, 1),
    ("collected", 2, 160, 32, 1),
    ("retiredAt", 2, 192, 40, 1),
    ("locked", 2, 232, 1, 1),
    ("baseline", 3, 0, 256, 1),
    ("image", 4, 0, 256, 1),
    ("specification", 5, 0, 256, 1),
    ("evidence", 6, 0, 256, 1),
    ("reporter", 7, 0, 160, 1),
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let files = [("votes.json", votes()?), ("layout.json", layout())];
    crate::vectors::run("integrity", args, &files)
}

fn noise(name: &str) -> B256 {
    keccak256(name)
}

fn votes() -> Result<Vec<Json>> {
    let integrity = Address::from_word(noise("integrity"));
    let mut vectors = Vec::new();
    for (service, n) in [("service", 1), ("another service", u64::from(u32::MAX))] {
        let service = Address::from_word(noise(service));
        let deployment = DeploymentId::new(service, n);
        for epoch in [1, 2, u64::from(u32::MAX)] {
            let subject = measurement::subject(integrity, deployment, epoch);
            let measured = noise(&format!("measurement {epoch}"));
            let evidence = noise(&format!("finding {epoch}"));
            vectors.push(json!({
                "integrity": integrity, "service": service, "number": n, "deployment": deployment.to_string(),
                "epoch": epoch, "subject": subject,
                "intact": verdict_root(subject, Judgement::Intact)?,
                "unreachable": verdict_root(subject, Judgement::Unreachable)?,
                "evidence": evidence,
                "findingSubject": finding_subject(subject, evidence),
                "findingLeaf": finding_vote(subject, evidence).leaf(),
                "driftedLeaf": verdict_vote(subject, measurement::Verdict::Drifted).leaf(),
                "drifted": verdict_root(subject, Judgement::Drifted(evidence))?,
                "measurement": measured,
                "baselineSubject": measurement::subject(integrity, deployment, 0),
                "baseline": baseline_root(integrity, deployment, measured),
            }));
        }
    }
    Ok(vectors)
}

/// The mappings, and a deployment's fields.
fn layout() -> Vec<Json> {
    let mut vectors = vec![
        json!({"mapping": "deployments", "slot": 0}),
        json!({"mapping": "deploymentCount", "slot": 1}),
    ];
    vectors.extend(FIELDS.iter().map(|(name, word, shift, bits, unit)| {
        json!({"field": name, "word": word, "shift": shift, "bits": bits, "unit": unit})
    }));
    vectors
}
