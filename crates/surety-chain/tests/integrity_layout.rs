//! A deployment's words of storage, as `vectors/integrity/layout.json` lays them out; Solidity reads it too.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use alloy::primitives::{U256, keccak256};
use serde_json::Value;
use surety_chain::integrity::{DeploymentState, ProofError, Standing, Status, proof::WORDS};

fn fields() -> Vec<(String, usize, usize, usize, u64)> {
    let text = include_str!("../../../vectors/integrity/layout.json");
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    let number = |vector: &Value, field: &str| vector[field].as_u64().unwrap();
    vectors
        .iter()
        .filter(|vector| vector.get("field").is_some())
        .map(|vector| {
            (
                vector["field"].as_str().unwrap().to_owned(),
                number(vector, "word") as usize,
                number(vector, "shift") as usize,
                number(vector, "bits") as usize,
                number(vector, "unit"),
            )
        })
        .collect()
}

/// The field as JSON has it, for whatever type it is.
fn shown(value: &Value) -> U256 {
    match value {
        Value::Bool(flag) => U256::from(*flag),
        Value::Number(number) => number.to_string().parse().unwrap(),
        Value::String(text) => text.parse().unwrap(),
        other => panic!("{other}"),
    }
}

#[test]
fn every_field_is_where_the_layout_says() {
    let fields = fields();
    assert_eq!(fields.len(), 24);
    for round in 0..16_u8 {
        let mut words: Vec<U256> = (0..WORDS as u8).map(|word| keccak256([round, word]).into()).collect();
        // A status there is.
        words[0] = (words[0] >> 8) << 8 | U256::from(round % 7);
        let state = DeploymentState::from_words(words.clone().try_into().unwrap()).unwrap();
        let json = serde_json::to_value(&state).unwrap();
        for (name, word, shift, bits, unit) in &fields {
            if *word >= WORDS || name == "status" {
                continue;
            }
            let mask = U256::MAX >> (256 - bits);
            let expected = ((words[*word] >> *shift) & mask) * U256::from(*unit);
            let mut snake = String::new();
            for c in name.chars() {
                if c.is_uppercase() {
                    snake.push('_');
                }
                snake.extend(c.to_lowercase());
            }
            let snake = match snake.as_str() {
                "expiry" => "set_expires",
                other => other,
            };
            assert_eq!(shown(&json[snake]), expected, "{name}");
        }
        assert_eq!(state.status as u8, round % 7);
        assert_eq!(serde_json::from_value::<DeploymentState>(json).unwrap(), state);
    }
}

#[test]
fn a_status_there_is_not_is_refused() {
    let mut words = [U256::ZERO; WORDS];
    words[0] = U256::from(7);
    assert_eq!(DeploymentState::from_words(words), Err(ProofError::Status { found: 7 }));
}

#[test]
fn only_a_recent_intact_record_is_intact() {
    let mut state = DeploymentState::from_words([U256::ZERO; WORDS]).unwrap();
    assert_eq!(state.standing(0, 10), Standing::Not(Status::None));
    (state.status, state.start, state.epoch) = (Status::Running, 1_000, 12);
    assert_eq!(state.standing(1_005, 54), Standing::Fresh);
    assert_eq!(state.standing(1_100, 54), Standing::Stale { age: 100, most: 54 });
    state.last_epoch = 2;
    assert_eq!(state.standing(1_030, 54), Standing::Intact { age: 6 });
    assert_eq!(state.standing(1_079, 54), Standing::Stale { age: 55, most: 54 });
    state.unreachable = 1;
    assert_eq!(state.standing(1_030, 54), Standing::Unanswered { epochs: 1 });
    state.status = Status::Drifted;
    assert_eq!(state.standing(1_030, 54), Standing::Not(Status::Drifted));
    assert_eq!(state.usual_age(), 54);
}
