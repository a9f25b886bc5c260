//! Certificates: whose they are, what they prove, and how little may be changed.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{Address, B256, keccak256};
use proptest::prelude::*;
use std::sync::LazyLock;
use surety_primitives::{
    Domain,
    bls::{BlsError, SecretKey, Signature},
    certificate::{Certificate, CertificateError, MAX_CERTIFICATE_BYTES, MAX_PROVEN_BYTES, Proven, Quorum},
    set::{Member, Set, Signers},
    vote::{Ballot, MAX_VOTES, Vote, VoteError, VoteKind, VoteTree},
};

const SERVICE: Address = Address::repeat_byte(0x5e);
const DOMAIN: Domain = Domain {
    chain_id: 31_337,
    verifying_contract: Address::repeat_byte(0x0c),
};

static SECRETS: LazyLock<Vec<SecretKey>> =
    LazyLock::new(|| (0..7_u8).map(|i| SecretKey::generate(&keccak256([i]))).collect());

fn set_numbered(number: u64) -> Set {
    let member = |(i, secret): (usize, &SecretKey)| Member {
        operator: Address::with_last_byte(i as u8),
        power: 10 + i as u64,
        weight: 1,
        key: secret.public_key(),
    };
    Set::new(SERVICE, number, 5, SECRETS.iter().enumerate().map(member).collect()).unwrap()
}

fn votes(count: usize) -> Vec<Vote> {
    let vote = |i: usize| Vote {
        kind: VoteKind::Event,
        subject: keccak256(format!("subject {i}")),
        value: keccak256(format!("value {i}")),
    };
    (0..count).map(vote).collect()
}

fn signed(ballot: Ballot, signers: impl IntoIterator<Item = usize>) -> Certificate {
    let signers: Signers = signers.into_iter().collect();
    let digest = ballot.digest(&DOMAIN);
    let signatures: Vec<_> = signers.iter().map(|i| SECRETS[i].sign(&digest)).collect();
    Certificate {
        ballot,
        signers,
        signature: Signature::sum(&signatures).unwrap(),
    }
}

fn proven(count: usize, index: usize, signers: impl IntoIterator<Item = usize>) -> Proven {
    let votes = votes(count);
    let tree = VoteTree::new(&votes).unwrap();
    let ballot = Ballot {
        service: SERVICE,
        set: 1,
        root: tree.root(),
    };
    Proven {
        certificate: signed(ballot, signers),
        vote: votes[index],
        proof: tree.proof(index).unwrap(),
    }
}

#[test]
fn who_signed_is_who_it_says() {
    let set = set_numbered(1);
    for bits in 1..1_u8 << 7 {
        let signers = (0..7).filter(|i| bits >> i & 1 == 1);
        let good = proven(3, 2, signers.clone());
        let power: u128 = signers.map(|i| 10 + i as u128).sum();
        assert_eq!(good.verify(&DOMAIN, &set), Ok(power));
        // One more, or one less, is a lie.
        for i in 0..7 {
            let mut lie = good.certificate;
            lie.signers = Signers::from_bits(u128::from(bits ^ 1 << i));
            let expected = if lie.signers.is_empty() {
                CertificateError::NoSigners
            } else {
                BlsError::Signature.into()
            };
            assert_eq!(lie.verify(&DOMAIN, &set), Err(expected));
        }
    }
}

#[test]
fn signers_are_members() {
    let set = set_numbered(1);
    let mut certificate = proven(1, 0, 0..7).certificate;
    certificate.signers.insert(7);
    let expected = CertificateError::SignersOutOfRange {
        found: 0xff,
        members: 7,
    };
    assert_eq!(certificate.verify(&DOMAIN, &set), Err(expected));
}

/// Replays: elsewhere, in another set, for another service.
#[test]
fn a_certificate_is_of_one_set_in_one_place() {
    let good = proven(3, 0, 0..7);
    let elsewhere = [
        Domain { chain_id: 1, ..DOMAIN },
        Domain {
            verifying_contract: SERVICE,
            ..DOMAIN
        },
    ];
    for domain in elsewhere {
        assert_eq!(good.verify(&domain, &set_numbered(1)), Err(BlsError::Signature.into()));
    }
    // The next set has the same members.
    let next = set_numbered(2);
    let expected = CertificateError::AnotherSet {
        found_service: SERVICE,
        found_set: 1,
        service: SERVICE,
        set: 2,
    };
    assert_eq!(good.verify(&DOMAIN, &next), Err(expected));
    let mut moved = good.clone();
    moved.certificate.ballot.set = 2;
    assert_eq!(moved.verify(&DOMAIN, &next), Err(BlsError::Signature.into()));
    // So may another service.
    let other = Set::new(Address::ZERO, 1, 5, set_numbered(1).members().to_vec()).unwrap();
    assert!(matches!(
        good.verify(&DOMAIN, &other),
        Err(CertificateError::AnotherSet { .. })
    ));
    moved = good;
    moved.certificate.ballot.service = Address::ZERO;
    assert_eq!(moved.verify(&DOMAIN, &other), Err(BlsError::Signature.into()));
}

#[test]
fn a_vote_is_proved_by_its_own_certificate() {
    let set = set_numbered(1);
    let (good, other) = (proven(9, 4, 0..6), proven(8, 4, 0..6));
    assert!(good.verify(&DOMAIN, &set).is_ok());
    let swapped = Proven {
        certificate: other.certificate,
        ..good.clone()
    };
    assert!(matches!(
        swapped.verify(&DOMAIN, &set),
        Err(CertificateError::Vote(VoteError::NotUnderRoot { .. }))
    ));
    let changed = [
        Vote {
            kind: VoteKind::Measurement,
            ..good.vote
        },
        Vote {
            subject: good.vote.value,
            ..good.vote
        },
        Vote {
            value: good.vote.subject,
            ..good.vote
        },
    ];
    for vote in changed {
        let lie = Proven { vote, ..good.clone() };
        assert!(matches!(lie.verify(&DOMAIN, &set), Err(CertificateError::Vote(_))));
    }
}

#[test]
fn a_quorum_is_reached_exactly() {
    assert_eq!(Quorum::default().basis_points(), 6_667);
    for found in [0, 1, 5_000, 10_001, u16::MAX] {
        assert_eq!(Quorum::new(found).unwrap_err().found, found);
    }
    let quorum = |points| Quorum::new(points).unwrap();
    assert!(quorum(10_000).is_reached(7, 7) && !quorum(10_000).is_reached(6, 7));
    assert!(quorum(5_001).is_reached(5_001, 10_000) && !quorum(5_001).is_reached(5_000, 10_000));
    assert!(quorum(6_667).is_reached(3, 4) && !quorum(6_667).is_reached(2, 3) && quorum(6_666).is_reached(2, 3));
    assert!(!quorum(5_001).is_reached(0, 0), "nothing is enough of nothing");
    let total = 128 * u128::from(u64::MAX);
    assert!(quorum(10_000).is_reached(total, total) && !quorum(10_000).is_reached(total - 1, total));

    // Of 91, 6,667 are 60.67.
    let set = set_numbered(1);
    let enough = proven(1, 0, [1, 3, 4, 5, 6]);
    assert_eq!(enough.verify_quorum(&DOMAIN, &set, Quorum::DEFAULT), Ok(69));
    let few = proven(1, 0, [0, 4, 5, 6]);
    let expected = CertificateError::QuorumNotReached {
        power: 55,
        total: 91,
        quorum: Quorum::DEFAULT,
    };
    assert_eq!(few.verify_quorum(&DOMAIN, &set, Quorum::DEFAULT), Err(expected));
    // A bitmap alone is no power.
    let mut lie = few.certificate;
    lie.signers = set.all();
    assert_eq!(
        lie.verify_quorum(&DOMAIN, &set, Quorum::DEFAULT),
        Err(BlsError::Signature.into())
    );
}

#[test]
fn certificates_of_different_members_merge() {
    let set = set_numbered(1);
    let (a, b) = (proven(3, 0, [0, 2]).certificate, proven(3, 0, [1, 6]).certificate);
    let merged = a.merge(&b).unwrap();
    assert_eq!(merged, proven(3, 0, [0, 1, 2, 6]).certificate);
    assert!(merged.verify(&DOMAIN, &set).is_ok());
    assert_eq!(a.merge(&a), None, "nobody signs twice");
    assert_eq!(a.merge(&proven(4, 0, [1]).certificate), None, "one ballot");
}

#[test]
fn every_changed_bit_of_the_encoding_is_refused() {
    let set = set_numbered(1);
    let good = proven(3, 2, 0..6);
    let bytes = good.to_rlp();
    assert_eq!(Proven::from_rlp(&bytes), Ok(good.clone()));
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let verified = Proven::from_rlp(&bytes).and_then(|proven| proven.verify(&DOMAIN, &set));
        assert!(verified.is_err(), "bit {bit}");
    }
    let bytes = good.certificate.to_rlp();
    assert_eq!(Certificate::from_rlp(&bytes), Ok(good.certificate));
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let verified = Certificate::from_rlp(&bytes).and_then(|certificate| certificate.verify(&DOMAIN, &set));
        assert!(verified.is_err(), "bit {bit}");
    }
}

#[test]
fn encodings_are_whole_and_bounded() {
    let good = proven(MAX_VOTES, MAX_VOTES - 1, 0..7);
    let mut largest = good.clone();
    largest.certificate.ballot.set = u64::MAX;
    largest.certificate.signers = Signers::from_bits(u128::MAX);
    let (proven, certificate) = (largest.to_rlp(), largest.certificate.to_rlp());
    assert_eq!(
        (proven.len(), certificate.len()),
        (MAX_PROVEN_BYTES, MAX_CERTIFICATE_BYTES)
    );
    assert_eq!(Proven::from_rlp(&proven), Ok(largest.clone()));
    assert_eq!(Certificate::from_rlp(&certificate), Ok(largest.certificate));
    for length in 0..proven.len() {
        assert!(Proven::from_rlp(&proven[..length]).is_err(), "{length} bytes");
    }
    for length in 0..certificate.len() {
        assert!(Certificate::from_rlp(&certificate[..length]).is_err(), "{length} bytes");
    }
    let small = good.certificate.to_rlp();
    let trailing = [small.as_slice(), &[0]].concat();
    assert!(matches!(
        Certificate::from_rlp(&trailing),
        Err(CertificateError::Encoding(_))
    ));
    let found = MAX_PROVEN_BYTES + 1;
    let limit = MAX_PROVEN_BYTES;
    assert_eq!(
        Proven::from_rlp(&vec![0; found]),
        Err(CertificateError::TooLong { found, limit })
    );
    let mut nobody = good.certificate;
    nobody.signers = Signers::NONE;
    assert_eq!(
        Certificate::from_rlp(&nobody.to_rlp()),
        Err(CertificateError::NoSigners)
    );
    let mut long = good;
    long.certificate.ballot.set = 0;
    long.certificate.signers = Signers::from_bits(1);
    long.proof.push(B256::ZERO);
    let found = long.to_rlp().len();
    assert_eq!(
        Proven::from_rlp(&long.to_rlp()),
        Err(CertificateError::TooLong { found, limit })
    );
    let expected = VoteError::ProofTooLong { found: 11 };
    assert_eq!(long.verify(&DOMAIN, &set_numbered(0)), Err(expected.into()));
}

#[test]
fn json_is_what_the_contracts_take_and_strict() {
    let good = proven(3, 2, 0..6);
    let json = serde_json::to_value(&good).unwrap();
    assert_eq!(json["certificate"]["signers"], "0x3f");
    assert_eq!(json["certificate"]["set"], "0x1");
    assert_eq!(json["certificate"]["signature"].as_str().unwrap().len(), 2 + 256);
    assert_eq!(json["vote"]["kind"], "event");
    assert_eq!(serde_json::from_value::<Proven>(json.clone()).unwrap(), good);
    let edits: [(&str, serde_json::Value); 8] = [
        ("/certificate/signers", "0x03f".into()),
        ("/certificate/signers", "0x0".into()),
        ("/certificate/signers", format!("0x1{}", "0".repeat(32)).into()),
        ("/certificate/set", 1.into()),
        ("/certificate/signature", format!("0x{}", "0".repeat(256)).into()),
        ("/certificate/root", "0x00".into()),
        ("/vote/kind", "rumour".into()),
        ("/proof", vec![format!("0x{}", "0".repeat(64)); 11].into()),
    ];
    for (place, value) in edits {
        let mut changed = json.clone();
        *changed.pointer_mut(place).unwrap() = value;
        assert!(serde_json::from_value::<Proven>(changed).is_err(), "{place}");
    }
    let mut more = json;
    more["more"] = 1.into();
    assert!(serde_json::from_value::<Proven>(more).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// P4, and one encoding for each.
    #[test]
    fn p4_any_bytes_are_canonical_or_refused(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = proven(3, 2, 0..6).to_rlp();
        for (index, byte) in edits {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        for bytes in [bytes, noise] {
            if let Ok(proven) = Proven::from_rlp(&bytes) {
                prop_assert_eq!(proven.to_rlp(), bytes);
            } else if let Ok(certificate) = Certificate::from_rlp(&bytes) {
                prop_assert_eq!(certificate.to_rlp(), bytes);
            }
        }
    }
}
