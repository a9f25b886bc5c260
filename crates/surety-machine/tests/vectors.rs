//! The vectors that `Machine.sol` is tested with, against the verifier here.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod support;

use serde_json::Value;
use support::Shown;
use surety_machine::{WitnessError, verify_step};

fn vectors(file: &str) -> Vec<Value> {
    let path = format!("{}/../../vectors/machine/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn every_step_verifies() {
    let vectors = vectors("steps.json");
    assert!(vectors.len() > 800, "{} vectors", vectors.len());
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        let need = &vector["preimage"];
        let shown = Shown(need.is_object().then(|| {
            let word = hex(&need["word"]).try_into().unwrap();
            let number = |field: &str| u32::try_from(need[field].as_u64().unwrap()).unwrap();
            (
                hex(&need["hash"]).try_into().unwrap(),
                number("offset"),
                word,
                number("length"),
            )
        }));
        let verified = verify_step(&hex(&vector["witness"]), &shown).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(verified.before.to_vec(), hex(&vector["pre"]), "{name}");
        assert_eq!(verified.after.to_vec(), hex(&vector["post"]), "{name}");
    }
}

#[test]
fn every_wrong_witness_is_refused_for_the_reason_given() {
    for vector in vectors("rejected.json") {
        let name = vector["name"].as_str().unwrap();
        let reason = match verify_step(&hex(&vector["witness"]), &Shown(None)) {
            Ok(_) => panic!("{name}: accepted"),
            Err(WitnessError::Truncated { .. }) => "truncated",
            Err(WitnessError::Trailing { .. }) => "trailing",
            Err(WitnessError::Height { .. }) => "height",
            Err(WitnessError::Bitmap { .. }) => "bitmap",
            Err(WitnessError::Root { .. }) => "root",
            Err(WitnessError::Preimage { .. }) => "preimage",
        };
        assert_eq!(vector["reason"], reason, "{name}");
    }
}
