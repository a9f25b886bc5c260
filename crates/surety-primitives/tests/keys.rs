//! Keys that follow from an operator's secret, and their registration.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{Address, keccak256};
use surety_primitives::{
    Domain,
    bls::BlsError,
    keys::{KeysError, KeysRegistration, MAX_PEER_ADDRESS_BYTES, encryption_secret, voting_secret},
};

const OPERATOR: Address = Address::repeat_byte(0x11);
const REGISTRY: Domain = Domain {
    chain_id: 1,
    verifying_contract: Address::repeat_byte(0x22),
};

fn registration(secret: &str) -> KeysRegistration {
    KeysRegistration::derive(
        &REGISTRY,
        OPERATOR,
        &keccak256(secret),
        "/ip4/127.0.0.1/tcp/4001".into(),
    )
    .unwrap()
}

#[test]
fn one_secret_gives_one_of_each_and_they_have_nothing_in_common() {
    let secret = keccak256("operator");
    assert_eq!(registration("operator"), registration("operator"));
    assert_ne!(registration("operator").key, registration("another").key);
    assert_ne!(
        registration("operator").encryption_key,
        registration("another").encryption_key
    );
    let derived = [voting_secret(&secret).to_bytes(), encryption_secret(&secret).to_bytes()];
    assert!(derived[0] != derived[1] && derived.iter().all(|key| **key != secret.0));
}

#[test]
fn possession_is_proved_to_one_registry_for_one_operator() {
    let good = registration("operator");
    assert_eq!(good.verify(&REGISTRY), Ok(()));
    let elsewhere = [
        Domain {
            chain_id: 2,
            ..REGISTRY
        },
        Domain {
            verifying_contract: OPERATOR,
            ..REGISTRY
        },
    ];
    for domain in elsewhere {
        assert_eq!(good.verify(&domain), Err(KeysError::Possession(BlsError::Signature)));
    }
    let stolen = KeysRegistration {
        operator: Address::repeat_byte(0x33),
        ..good.clone()
    };
    assert_eq!(
        stolen.verify(&REGISTRY),
        Err(KeysError::Possession(BlsError::Signature))
    );
    let other = KeysRegistration {
        key: registration("another").key,
        ..good.clone()
    };
    assert_eq!(other.verify(&REGISTRY), Err(KeysError::Possession(BlsError::Signature)));
    // A vote is no proof of possession, whatever it is about.
    let vote = KeysRegistration {
        proof: voting_secret(&keccak256("operator")).sign(&keccak256("anything")),
        ..good
    };
    assert_eq!(vote.verify(&REGISTRY), Err(KeysError::Possession(BlsError::Signature)));
}

/// What a rogue would register: a key that cancels somebody else's. It has no secret, so no proof.
#[test]
fn a_key_without_a_secret_cannot_be_registered() {
    let (victim, mine) = (registration("victim"), registration("rogue"));
    let rogue = mine.key.without(&[victim.key]).unwrap();
    for proof in [mine.proof, victim.proof] {
        let registration = KeysRegistration {
            key: rogue,
            proof,
            ..mine.clone()
        };
        assert_eq!(
            registration.verify(&REGISTRY),
            Err(KeysError::Possession(BlsError::Signature))
        );
    }
}

#[test]
fn peer_addresses_are_bounded() {
    let derive =
        |length: usize| KeysRegistration::derive(&REGISTRY, OPERATOR, &keccak256("operator"), "a".repeat(length));
    assert!(derive(MAX_PEER_ADDRESS_BYTES).is_ok());
    let found = MAX_PEER_ADDRESS_BYTES + 1;
    assert_eq!(derive(found), Err(KeysError::PeerAddressTooLong { found }));
}
