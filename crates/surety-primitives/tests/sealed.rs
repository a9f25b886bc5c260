//! Private payloads: who can read them, and that nobody else can.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{Address, B256, keccak256};
use proptest::prelude::*;
use surety_primitives::{
    sealed::{MAX_RECIPIENTS, MAX_SEALED_BYTES, PublicKey, Sealed, SealedError, Sealing, SecretKey},
    value::{MAX_VALUE_BYTES, Value, ValueError},
};

fn operator(i: usize) -> (Address, SecretKey) {
    let word = keccak256(format!("operator {i}"));
    (Address::from_word(word), SecretKey::derive(&word))
}

fn task() -> B256 {
    keccak256("task")
}

fn value() -> Value {
    Value::object([("diagnosis", Value::from("confidential")), ("count", 3.into())])
}

fn seal(value: &Value, recipients: usize) -> Result<Sealing, SealedError> {
    let recipients = (0..recipients)
        .map(operator)
        .map(|(who, secret)| (who, secret.public_key()));
    Sealed::seal(&keccak256("seed"), task(), value, recipients)
}

#[test]
fn recipients_read_it_and_nobody_else() {
    let Sealing { sealed, hash, salt } = seal(&value(), 5).unwrap();
    assert_eq!(hash, value().salted_hash(&salt).unwrap());
    for (i, (who, secret)) in (0..5).map(operator).enumerate() {
        let opened = sealed.open(who, &secret, hash).unwrap();
        assert_eq!((opened.value, opened.salt), (value(), salt));
        // Not with somebody else's secret, though he is a recipient too.
        let (_, other) = operator((i + 1) % 5);
        assert_eq!(sealed.open(who, &other, hash), Err(SealedError::Key));
    }
    let (stranger, secret) = operator(5);
    assert_eq!(
        sealed.open(stranger, &secret, hash),
        Err(SealedError::NotARecipient { recipient: stranger })
    );
    for (who, _) in (0..5).map(operator) {
        assert_eq!(sealed.open(who, &secret, hash), Err(SealedError::Key));
    }
}

#[test]
fn nothing_of_it_can_be_seen() {
    let Sealing { sealed, hash, salt } = seal(&value(), 3).unwrap();
    let sent = sealed.to_rlp();
    let seen = |secret: &[u8]| sent.windows(secret.len()).any(|window| window == secret);
    assert!(seen(task().as_slice()), "the test can see what is there");
    let encoding = value().encode().unwrap();
    assert!(!encoding.windows(8).any(|part| part != [0; 8] && seen(part)));
    for hidden in [salt, hash, value().hash().unwrap(), keccak256("seed")] {
        assert!(!seen(hidden.as_slice()));
    }
    for (_, secret) in (0..3).map(operator) {
        assert!(!seen(secret.to_bytes().as_slice()));
        assert_eq!(format!("{secret:?}"), "SecretKey(..)");
    }
}

#[test]
fn nothing_repeats_between_payloads() {
    // The same seed twice, by a mistake: another value, or another task, is still under another key.
    let (a, b) = (seal(&"a".into(), 2).unwrap(), seal(&"b".into(), 2).unwrap());
    assert_eq!(a, seal(&"a".into(), 2).unwrap());
    let recipients = || (0..2).map(operator).map(|(who, secret)| (who, secret.public_key()));
    let c = Sealed::seal(&keccak256("seed"), keccak256("another"), &"a".into(), recipients()).unwrap();
    let d = Sealed::seal(&keccak256("another"), task(), &"a".into(), recipients()).unwrap();
    let all = [a, b, c, d];
    for (i, one) in all.iter().enumerate() {
        for other in &all[i + 1..] {
            assert_ne!(one.salt, other.salt);
            for (mine, theirs) in one.sealed.recipients().iter().zip(other.sealed.recipients()) {
                assert_ne!(mine.encapsulated, theirs.encapsulated);
                assert_ne!(mine.key, theirs.key);
            }
        }
        let [first, second] = one.sealed.recipients() else {
            panic!("two recipients")
        };
        assert_ne!(first.encapsulated, second.encapsulated);
    }
}

#[test]
fn every_changed_bit_is_refused() {
    let (who, secret) = operator(0);
    let Sealing { sealed, hash, .. } = seal(&value(), 1).unwrap();
    let bytes = sealed.to_rlp();
    let opens = |bytes: &[u8]| Sealed::from_rlp(bytes).is_ok_and(|sealed| sealed.open(who, &secret, hash).is_ok());
    assert!(opens(&bytes));
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&bytes), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(Sealed::from_rlp(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(Sealed::from_rlp(&[bytes.as_slice(), &[0]].concat()).is_err());
}

/// ChaCha20-Poly1305 does not commit to its key, the hash on-chain does: all recipients see the one value.
#[test]
fn what_opens_must_be_what_was_agreed() {
    let (who, secret) = operator(0);
    let (a, b) = (seal(&"a".into(), 1).unwrap(), seal(&"b".into(), 1).unwrap());
    let expected = SealedError::Hash {
        found: b.hash,
        expected: a.hash,
    };
    assert_eq!(b.sealed.open(who, &secret, a.hash), Err(expected));
    // Without the salt it is another hash.
    assert!(a.sealed.open(who, &secret, Value::from("a").hash().unwrap()).is_err());
}

#[test]
fn recipients_are_one_to_many_in_order() {
    assert_eq!(seal(&value(), 0).unwrap_err(), SealedError::Recipients { found: 0 });
    let found = MAX_RECIPIENTS + 1;
    assert_eq!(seal(&value(), found).unwrap_err(), SealedError::Recipients { found });
    assert_eq!(
        seal(&value(), usize::MAX).unwrap_err(),
        SealedError::Recipients { found }
    );
    let sealed = seal(&value(), MAX_RECIPIENTS).unwrap().sealed;
    assert_eq!(sealed.recipients().len(), MAX_RECIPIENTS);
    assert!(sealed.recipients().is_sorted_by(|a, b| a.recipient < b.recipient));
    let (who, secret) = operator(0);
    let twice = [(who, secret.public_key()), (who, secret.public_key())];
    let error = Sealed::seal(&[1; 32], task(), &value(), twice).unwrap_err();
    assert_eq!(error, SealedError::Order { recipient: who });
}

/// Keys of small order share the secret 0 with everybody (RFC 7748, section 6.1).
#[test]
fn nothing_is_sealed_for_a_weak_key() {
    let recipient = Address::repeat_byte(1);
    for weak in [B256::ZERO, B256::from_slice(&[&[1_u8][..], &[0; 31]].concat())] {
        let error = Sealed::seal(&[1; 32], task(), &value(), [(recipient, PublicKey::from_word(weak))]).unwrap_err();
        assert_eq!(error, SealedError::WeakKey { recipient });
    }
}

#[test]
fn the_largest_value_is_sealed_and_no_larger() {
    let largest = Value::from("x".repeat(MAX_VALUE_BYTES - 5));
    let sealing = seal(&largest, MAX_RECIPIENTS).unwrap();
    let bytes = sealing.sealed.to_rlp();
    assert!(
        bytes.len() <= MAX_SEALED_BYTES && bytes.len() + 64 > MAX_SEALED_BYTES,
        "{}",
        bytes.len()
    );
    let (who, secret) = operator(77);
    let opened = Sealed::from_rlp(&bytes)
        .unwrap()
        .open(who, &secret, sealing.hash)
        .unwrap();
    assert_eq!(opened.value, largest);
    let found = MAX_VALUE_BYTES + 1;
    let larger = Value::from("x".repeat(found - 5));
    assert_eq!(seal(&larger, 1), Err(SealedError::Value(ValueError::TooLong { found })));
    let (found, limit) = (MAX_SEALED_BYTES + 1, MAX_SEALED_BYTES);
    assert_eq!(
        Sealed::from_rlp(&vec![0; found]),
        Err(SealedError::TooLong { found, limit })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn seals_round_trip(seed: [u8; 32], task: [u8; 32], text in ".{0,64}", recipients in 1..6_usize) {
        let value = Value::from(text);
        let public = (0..recipients).map(operator).map(|(who, secret)| (who, secret.public_key()));
        let sealing = Sealed::seal(&seed, task.into(), &value, public).unwrap();
        let read = Sealed::from_rlp(&sealing.sealed.to_rlp()).unwrap();
        prop_assert_eq!(&read, &sealing.sealed);
        let (who, secret) = operator(recipients - 1);
        prop_assert_eq!(read.open(who, &secret, sealing.hash).unwrap().value, value);
    }

    /// P4, and one encoding for each.
    #[test]
    fn p4_any_bytes_are_canonical_or_refused(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = seal(&value(), 2).unwrap().sealed.to_rlp();
        for (index, byte) in edits {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let (who, secret) = operator(0);
        for bytes in [bytes, noise] {
            if let Ok(sealed) = Sealed::from_rlp(&bytes) {
                prop_assert_eq!(sealed.to_rlp(), bytes);
                let _ = sealed.open(who, &secret, B256::ZERO);
            }
        }
    }
}
