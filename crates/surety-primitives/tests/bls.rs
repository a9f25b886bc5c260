//! Keys and signatures: what the standards say of them, and everything that must be refused.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{B256, U256, hex, keccak256, uint};
use proptest::prelude::*;
use surety_primitives::bls::{BlsError, PublicKey, SIGNATURE_TAG, SecretKey, Signature};

/// Modulus of the field of BLS12-381.
const MODULUS: [u8; 48] =
    hex!("1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab");

/// Order of the subgroups.
const ORDER: U256 = uint!(0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001_U256);

fn secret(name: &str) -> SecretKey {
    SecretKey::generate(&keccak256(name))
}

/// EIP-2333, "Test case 1": a seed of 32 bytes and its master key. `hkdf_mod_r` there is `KeyGen` here.
#[test]
fn key_generation_is_that_of_eip_2333() {
    let found = SecretKey::generate(&hex!(
        "3141592653589793238462643383279502884197169399375105820974944592"
    ));
    let expected = uint!(29757020647961307431480504535336562678282505419141012933316116377660817309383_U256);
    assert_eq!(U256::from_be_bytes(*found.to_bytes()), expected);
}

/// RFC 9380, appendix J.9.1 (BLS12381G1_XMD:SHA-256_SSWU_RO_): a signature by the secret 1 is the hash itself.
#[test]
fn hashing_to_the_curve_is_that_of_rfc_9380() {
    let tag = b"QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
    let one = blst::min_sig::SecretKey::from_bytes(B256::with_last_byte(1).as_slice()).unwrap();
    let cases = [
        (
            "",
            hex!(
                "052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1"
                "08ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265"
            ),
        ),
        (
            "abc",
            hex!(
                "03567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903"
                "0b9c15f3fe6e5cf4211f346271d7b01c8f3b28be689c8429c85b67af215533311f0b8dfaaa154fa6b88176c229f2885d"
            ),
        ),
    ];
    for (message, point) in cases {
        assert_eq!(one.sign(message.as_bytes(), tag, &[]).serialize(), point, "{message:?}");
    }
    // What is used here differs in the tag alone.
    let digest = keccak256("digest");
    let ours = SecretKey::from_bytes(&B256::with_last_byte(1)).unwrap().sign(&digest);
    assert_eq!(
        ours.to_compressed(),
        one.sign(digest.as_slice(), SIGNATURE_TAG, &[]).compress()
    );
}

#[test]
fn secrets_are_below_the_order_and_not_zero() {
    let refused = [U256::ZERO, ORDER, ORDER + U256::from(1), U256::MAX];
    for number in refused {
        assert_eq!(
            SecretKey::from_bytes(&number.to_be_bytes()).unwrap_err(),
            BlsError::Secret
        );
    }
    let largest = ORDER - U256::from(1);
    assert_eq!(
        *SecretKey::from_bytes(&largest.to_be_bytes()).unwrap().to_bytes(),
        largest.to_be_bytes()
    );
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let secret = secret("shown");
    let shown = format!("{secret:?}");
    assert_eq!(shown, "SecretKey(..)");
    assert!(!shown.contains(&hex::encode(*secret.to_bytes())));
}

#[test]
fn a_signature_is_one_keys_over_one_message_under_one_tag() {
    let (a, b) = (secret("a"), secret("b"));
    let (digest, other) = (keccak256("digest"), keccak256("other"));
    let signature = a.sign(&digest);
    assert_eq!(signature.verify(&digest, &a.public_key()), Ok(()));
    assert_eq!(signature.verify(&other, &a.public_key()), Err(BlsError::Signature));
    assert_eq!(signature.verify(&digest, &b.public_key()), Err(BlsError::Signature));
    assert_eq!(
        signature.verify_possession(&digest, &a.public_key()),
        Err(BlsError::Signature)
    );
    let possession = a.prove_possession(&digest);
    assert_eq!(possession.verify_possession(&digest, &a.public_key()), Ok(()));
    assert_eq!(possession.verify(&digest, &a.public_key()), Err(BlsError::Signature));
}

#[test]
fn every_encoding_round_trips() {
    for i in 0..8 {
        let secret = secret(&i.to_string());
        let (key, signature) = (secret.public_key(), secret.sign(&keccak256("digest")));
        assert_eq!(PublicKey::from_eip2537(&key.to_eip2537()), Ok(key));
        assert_eq!(PublicKey::from_unpadded(&key.to_unpadded()), Ok(key));
        assert_eq!(Signature::from_eip2537(&signature.to_eip2537()), Ok(signature));
        assert_eq!(Signature::from_compressed(&signature.to_compressed()), Ok(signature));
        assert_eq!(
            *SecretKey::from_bytes(&secret.to_bytes()).unwrap().to_bytes(),
            *secret.to_bytes()
        );
    }
}

fn flipped<const N: usize>(bytes: [u8; N]) -> impl Iterator<Item = [u8; N]> {
    (0..N * 8).map(move |bit| {
        let mut bytes = bytes;
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    })
}

#[test]
fn every_changed_bit_of_a_signature_is_refused() {
    let (secret, digest) = (secret("flip"), keccak256("digest"));
    let (key, signature) = (secret.public_key(), secret.sign(&digest));
    let verifies = |found: Result<Signature, BlsError>| found.and_then(|found| found.verify(&digest, &key)).is_ok();
    assert!(verifies(Ok(signature)));
    assert!(!flipped(signature.to_compressed()).any(|bytes| verifies(Signature::from_compressed(&bytes))));
    assert!(!flipped(signature.to_eip2537()).any(|bytes| verifies(Signature::from_eip2537(&bytes))));
}

#[test]
fn every_changed_bit_of_a_key_is_refused() {
    let key = secret("flip").public_key();
    for bytes in flipped(key.to_eip2537()) {
        assert!(PublicKey::from_eip2537(&bytes).is_err(), "{}", hex::encode(bytes));
    }
}

#[test]
fn infinity_is_nobodys() {
    assert_eq!(PublicKey::from_eip2537(&[0; 256]), Err(BlsError::Infinity));
    assert_eq!(PublicKey::from_unpadded(&[0; 192]), Err(BlsError::Infinity));
    assert_eq!(Signature::from_eip2537(&[0; 128]), Err(BlsError::Infinity));
    let mut compressed = [0; 48];
    compressed[0] = 0xc0;
    assert_eq!(Signature::from_compressed(&compressed), Err(BlsError::Infinity));
    assert!(Signature::from_compressed(&[0; 48]).is_err());
    // The forms with flags are not those of EIP-2537.
    let mut flagged = [0; 192];
    flagged[0] = 0x40;
    assert_eq!(PublicKey::from_unpadded(&flagged), Err(BlsError::Encoding));
}

/// A key and its opposite: their sum would verify anything.
#[test]
fn sums_that_cancel_are_refused() {
    let key = secret("cancel");
    let opposite = ORDER - U256::from_be_bytes(*key.to_bytes());
    let opposite = SecretKey::from_bytes(&opposite.to_be_bytes()).unwrap();
    let keys = [key.public_key(), opposite.public_key()];
    assert_eq!(PublicKey::sum(&keys), Err(BlsError::Infinity));
    let digest = keccak256("digest");
    assert_eq!(
        Signature::sum(&[key.sign(&digest), opposite.sign(&digest)]),
        Err(BlsError::Infinity)
    );
    assert_eq!(keys[0].without(&keys[..1]), Err(BlsError::Infinity));
    assert_eq!(PublicKey::sum([]), Err(BlsError::Empty));
    assert_eq!(Signature::sum([]), Err(BlsError::Empty));
}

#[test]
fn points_off_the_curve_or_outside_the_subgroup_are_refused() {
    let (mut off, mut outside) = (0, 0);
    for x in 1..64 {
        let mut compressed = [0; 48];
        (compressed[0], compressed[47]) = (0x80, x);
        match Signature::from_compressed(&compressed) {
            Err(BlsError::NotOnCurve) => off += 1,
            Err(BlsError::NotInSubgroup) => {
                outside += 1;
                // The other encoding refuses the same point.
                let point = blst::min_sig::Signature::uncompress(&compressed).unwrap().serialize();
                let mut padded = [0; 128];
                padded[16..64].copy_from_slice(&point[..48]);
                padded[80..].copy_from_slice(&point[48..]);
                assert_eq!(Signature::from_eip2537(&padded), Err(BlsError::NotInSubgroup));
            }
            other => panic!("x = {x}: {other:?}"),
        }
    }
    assert!(
        off > 10 && outside > 10,
        "{off} off the curve, {outside} outside the subgroup"
    );

    let mut outside = 0;
    for x in 1..64 {
        let mut compressed = [0; 96];
        (compressed[0], compressed[95]) = (0x80, x);
        let Ok(point) = blst::min_sig::PublicKey::uncompress(&compressed) else {
            continue;
        };
        let point = point.serialize();
        let unpadded: Vec<u8> = [&point[48..96], &point[..48], &point[144..], &point[96..144]].concat();
        assert_eq!(
            PublicKey::from_unpadded(&unpadded.try_into().unwrap()),
            Err(BlsError::NotInSubgroup)
        );
        outside += 1;
    }
    assert!(outside > 10, "{outside} outside the subgroup");
}

#[test]
fn coordinates_are_below_the_modulus() {
    let signature = secret("modulus").sign(&keccak256("digest"));
    for at in [16, 80] {
        let mut bytes = signature.to_eip2537();
        bytes[at..at + 48].copy_from_slice(&MODULUS);
        assert_eq!(Signature::from_eip2537(&bytes), Err(BlsError::Encoding));
    }
    let mut compressed = MODULUS;
    compressed[0] |= 0x80;
    assert_eq!(Signature::from_compressed(&compressed), Err(BlsError::Encoding));
    let key = secret("modulus").public_key();
    for at in [0, 48, 96, 144] {
        let mut bytes = key.to_unpadded();
        bytes[at..at + 48].copy_from_slice(&MODULUS);
        assert_eq!(PublicKey::from_unpadded(&bytes), Err(BlsError::Encoding));
    }
}

#[test]
fn padding_is_zero_and_named_when_it_is_not() {
    let secret = secret("padding");
    for (element, at) in [(0, 0), (0, 15), (1, 0), (1, 15)] {
        let mut bytes = secret.sign(&B256::ZERO).to_eip2537();
        bytes[element * 64 + at] = 7;
        let expected = BlsError::Padding {
            index: element * 64 + at,
            found: 7,
        };
        assert_eq!(Signature::from_eip2537(&bytes), Err(expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However signers are chosen: the sum of their signatures verifies with the sum of their keys, which is the sum of
    /// all less the others', and with no other.
    #[test]
    fn sums_verify_with_sums(seed: [u8; 32], mask in 1_u16..1 << 10, digest: [u8; 32]) {
        let digest = B256::from(digest);
        let secrets: Vec<_> = (0..10_u8).map(|i| SecretKey::generate(&keccak256([&seed[..], &[i]].concat()))).collect();
        let keys: Vec<_> = secrets.iter().map(SecretKey::public_key).collect();
        let signs = |i: usize| mask >> i & 1 == 1;
        let present: Vec<_> = (0..10).filter(|i| signs(*i)).map(|i| keys[i]).collect();
        let absent: Vec<_> = (0..10).filter(|i| !signs(*i)).map(|i| keys[i]).collect();
        let signatures: Vec<_> = (0..10).filter(|i| signs(*i)).map(|i| secrets[i].sign(&digest)).collect();
        let sum = Signature::sum(&signatures).unwrap();
        prop_assert_eq!(sum.verify_aggregate(&digest, &present), Ok(()));
        let less = PublicKey::sum(&keys).unwrap().without(&absent).unwrap();
        prop_assert_eq!(less, PublicKey::sum(&present).unwrap());
        if !absent.is_empty() {
            prop_assert_eq!(sum.verify_aggregate(&digest, &keys), Err(BlsError::Signature));
        }
        prop_assert_eq!(sum.verify(&keccak256(digest), &less), Err(BlsError::Signature));
    }

    /// P4: any bytes are a point of the subgroup, with this one encoding, or refused.
    #[test]
    fn p4_any_bytes_are_a_point_or_refused(
        signature in prop::collection::vec(any::<u8>(), 128),
        key in prop::collection::vec(any::<u8>(), 256),
    ) {
        let signature: [u8; 128] = signature.try_into().unwrap();
        if let Ok(point) = Signature::from_eip2537(&signature) {
            prop_assert_eq!(point.to_eip2537(), signature);
        }
        let compressed: [u8; 48] = signature[..48].try_into().unwrap();
        if let Ok(point) = Signature::from_compressed(&compressed) {
            prop_assert_eq!(point.to_compressed(), compressed);
        }
        let key: [u8; 256] = key.try_into().unwrap();
        if let Ok(point) = PublicKey::from_eip2537(&key) {
            prop_assert_eq!(point.to_eip2537(), key);
        }
    }
}
