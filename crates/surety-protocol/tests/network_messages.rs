//! Messages: one encoding for each, and nothing that comes over the wire makes a node fall over.

use alloy_primitives::{Address, B256, U256};
use proptest::{collection::vec, prelude::*};
use surety_primitives::{set::Signers, vote::TaskResult};
use surety_protocol::network::{
    Body, Message, MessageError, SignatureBytes,
    measure::{Claim, Finding, MAX_FINDING_STRING, MAX_FINDINGS, Statement},
    message::{MAX_BATCH, MAX_DISSENT, MAX_MESSAGE_BYTES, Sighting},
};

fn word() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

fn signature() -> impl Strategy<Value = SignatureBytes> {
    vec(any::<u8>(), 48).prop_map(|bytes| SignatureBytes::from_slice(&bytes))
}

fn sightings(most: usize) -> impl Strategy<Value = Vec<Sighting>> {
    vec(
        (word(), word()).prop_map(|(key, value)| Sighting { key, value }),
        1..=most,
    )
}

fn signers() -> impl Strategy<Value = Signers> {
    any::<u128>().prop_map(Signers::from_bits)
}

fn result() -> impl Strategy<Value = TaskResult> {
    (word(), any::<u8>(), word(), word(), any::<u32>(), any::<u32>()).prop_map(
        |(task, attempt, inputs, output, seconds, bytes)| TaskResult {
            task,
            attempt,
            inputs,
            output,
            seconds,
            bytes,
        },
    )
}

fn finding() -> impl Strategy<Value = Finding> {
    let text = || "[ -~]{0,40}";
    (text(), text(), text(), text())
        .prop_map(|(kind, subject, expected, found)| Finding::new(&kind, &subject, &expected, &found).expect("short"))
}

fn statement() -> impl Strategy<Value = (u64, Statement)> {
    prop_oneof![
        word().prop_map(|root| (0, Statement::Baseline(root))),
        (1..=u64::MAX).prop_map(|epoch| (epoch, Statement::Intact)),
        (1..=u64::MAX, word()).prop_map(|(epoch, evidence)| (epoch, Statement::Drifted(evidence))),
        (1..=u64::MAX).prop_map(|epoch| (epoch, Statement::Unreachable)),
    ]
}

fn claim() -> impl Strategy<Value = (u64, Claim)> {
    prop_oneof![
        word().prop_map(|root| (0, Claim::Baseline(root))),
        (1..=u64::MAX).prop_map(|epoch| (epoch, Claim::Intact)),
        (1..=u64::MAX, vec(finding(), 1..=MAX_FINDINGS)).prop_map(|(epoch, found)| (epoch, Claim::Drifted(found))),
        (1..=u64::MAX).prop_map(|epoch| (epoch, Claim::Unreachable)),
    ]
}

fn deployment() -> impl Strategy<Value = U256> {
    word().prop_map(|word| U256::from_be_bytes(word.0))
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        (deployment(), claim()).prop_map(|(deployment, (epoch, claim))| Body::MeasurementHint {
            deployment,
            epoch,
            claim
        }),
        (deployment(), statement(), signature()).prop_map(|(deployment, (epoch, statement), signature)| {
            Body::MeasurementBallot {
                deployment,
                epoch,
                statement,
                signature,
            }
        }),
        (deployment(), statement(), signers(), signature()).prop_map(
            |(deployment, (epoch, statement), signers, signature)| Body::MeasurementCertificate {
                deployment,
                epoch,
                statement,
                signers,
                signature,
            }
        ),
        sightings(40).prop_map(Body::Hints),
        sightings(40).prop_map(Body::Propose),
        (word(), signature()).prop_map(|(root, signature)| Body::Ballot { root, signature }),
        (sightings(MAX_DISSENT), signature()).prop_map(|(votes, signature)| Body::Dissent { votes, signature }),
        (signers(), signature(), sightings(40)).prop_map(|(signers, signature, votes)| Body::Certified {
            signers,
            signature,
            votes
        }),
        (result(), signature()).prop_map(|(result, signature)| Body::Result { result, signature }),
        (result(), signature(), any::<bool>(), signature()).prop_map(|(result, executor, valid, signature)| {
            Body::Validation {
                result,
                executor,
                valid,
                signature,
            }
        }),
        (result(), signature(), 0..128_u8, signature()).prop_map(|(result, executor, member, signature)| {
            Body::Objection {
                result,
                executor,
                member,
                signature,
            }
        }),
        (result(), any::<bool>(), signers(), signature()).prop_map(|(result, valid, signers, signature)| {
            Body::Decided {
                result,
                valid,
                signers,
                signature,
            }
        }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (any::<[u8; 20]>(), any::<u64>(), body()).prop_map(|(service, set, body)| Message {
        service: Address::from(service),
        set,
        body,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_said_is_what_is_heard(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn p4_no_part_of_a_message_is_one(message in message(), at in any::<prop::sample::Index>()) {
        let bytes = message.encode();
        prop_assert!(Message::decode(&bytes[..at.index(bytes.len())]).is_err());
        let longer = [bytes.as_slice(), &[0]].concat();
        prop_assert!(Message::decode(&longer).is_err());
    }

    #[test]
    fn p4_what_is_changed_is_refused_or_is_another_message(
        message in message(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut bytes = message.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = Message::decode(&bytes) {
            prop_assert_ne!(&other, &message);
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn p4_garbage_is_refused(bytes in vec(any::<u8>(), 0..2_000)) {
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }
}

#[test]
fn the_longest_message_is_a_full_certificate() {
    let votes = vec![
        Sighting {
            key: B256::ZERO,
            value: B256::ZERO
        };
        MAX_BATCH
    ];
    let (signers, signature) = (Signers::NONE, SignatureBytes::ZERO);
    let body = Body::Certified {
        signers,
        signature,
        votes,
    };
    let (service, set) = (Address::ZERO, 1);
    let bytes = Message { service, set, body }.encode();
    assert_eq!(bytes.len(), MAX_MESSAGE_BYTES);
    let found = bytes.len() + 1;
    assert_eq!(Message::decode(&vec![1; found]), Err(MessageError::TooLong { found }));
}

#[test]
fn a_finding_is_an_object_of_four_short_strings() {
    use surety_primitives::value::Value;
    let long = "x".repeat(MAX_FINDING_STRING);
    let finding = Finding::new("file", &long, &long, &long).unwrap();
    assert_eq!(Finding::decode(finding.bytes()), Ok(finding.clone()));
    assert_eq!(finding.field("kind").as_deref(), Some("file"));
    assert!(Finding::new("file", &format!("{long}x"), "", "").is_err());
    let fields = [("expected", ""), ("found", ""), ("kind", "file")];
    assert!(Finding::from_value(&Value::object(fields)).is_err(), "one is missing");
    let fields = [("expected", ""), ("found", ""), ("kind", "file"), ("where", "")];
    assert!(Finding::from_value(&Value::object(fields)).is_err(), "another one");
    assert!(Finding::from_value(&Value::list(["a"])).is_err());
    // A baseline of an epoch, and a verdict of none.
    let (deployment, signature) = (U256::from(1), SignatureBytes::ZERO);
    for (epoch, statement) in [(0, Statement::Intact), (1, Statement::Baseline(B256::ZERO))] {
        let (service, set) = (Address::ZERO, 1);
        let body = Body::MeasurementBallot {
            deployment,
            epoch,
            statement,
            signature,
        };
        let found = Message::decode(&Message { service, set, body }.encode());
        assert_eq!(found, Err(MessageError::Epoch { epoch }));
    }
}
