//! Signing, recovering and verifying responses; their JSON.

use alloy_primitives::{B256, Signature, U256, keccak256};
use k256::ecdsa::SigningKey;
use proptest::prelude::*;
use surety_primitives::*;

fn key(seed: u8) -> SigningKey {
    // 32 bytes of 255 are above the order of the curve.
    SigningKey::from_bytes(&[seed.clamp(1, 254); 32].into()).expect("a scalar in range")
}

fn address(key: &SigningKey) -> Address {
    Address::from_public_key(key.verifying_key())
}

const DOMAIN: Domain = Domain {
    chain_id: 31337,
    verifying_contract: Address::repeat_byte(0xd1),
};

fn answer(bytes: Vec<u8>, lengths: Option<Vec<u64>>) -> Answer {
    let output = match lengths {
        Some(lengths) => Output::with_chunks(bytes, lengths),
        None => Output::canonical(bytes),
    }
    .expect("a possible output");
    let outcome = Outcome {
        status: Status::Halted,
        exit: 0,
        output_root: output.root(),
    };
    let key = key(7);
    let mut answer = Answer {
        statement: Statement {
            service: Address::repeat_byte(1),
            program: ProgramHash(B256::repeat_byte(2)),
            input: InputHash(B256::repeat_byte(3)),
            budget: Budget::new(1_000_000).expect("small"),
        },
        request: RequestHash(B256::repeat_byte(4)),
        requester: Address::repeat_byte(5),
        outcome,
        result: outcome.result_hash(),
        output,
        operator: address(&key),
        signature: CompactSignature::default(),
    };
    answer.signature = CompactSignature::sign(&key, &answer.response().digest(&DOMAIN)).expect("signs");
    answer
}

#[test]
fn a_signed_answer_verifies_and_any_change_is_refused() {
    let good = answer(vec![9; 100], None);
    assert_eq!(good.verify(&DOMAIN), Ok(()));
    let other = Domain { chain_id: 1, ..DOMAIN };
    assert!(matches!(good.verify(&other), Err(AnswerError::Signature(_))));
    let mut changed = good.clone();
    changed.outcome.exit = 1;
    assert!(matches!(changed.verify(&DOMAIN), Err(AnswerError::Result { .. })));
    changed.result = changed.outcome.result_hash();
    assert!(matches!(changed.verify(&DOMAIN), Err(AnswerError::Signature(_))));
    let mut changed = good.clone();
    changed.output = Output::canonical(vec![8; 100]).expect("small");
    assert!(matches!(changed.verify(&DOMAIN), Err(AnswerError::OutputRoot { .. })));
    let mut changed = good.clone();
    changed.requester = Address::ZERO;
    assert!(matches!(
        changed.verify(&DOMAIN),
        Err(AnswerError::Signature(SignatureError::Signer { .. }))
    ));
}

#[test]
fn the_other_form_of_a_signature_is_refused() {
    let good = answer(vec![], None);
    let digest = good.response().digest(&DOMAIN);
    // n - s: the same signature in its other form. Its s has 256 bits, so it has no compact form at all; what
    // fits in 255 bits above half the order is the few values between n / 2 and 2^255.
    let high = CompactSignature {
        r: good.signature.r,
        vs: B256::from((U256::from(1) << 255) - U256::from(1)),
    };
    assert!(matches!(high.recover(&digest), Err(SignatureError::HighS { .. })));
    let zero = CompactSignature {
        r: B256::ZERO,
        vs: good.signature.vs,
    };
    assert!(matches!(
        zero.recover(&digest),
        Err(SignatureError::Unrecoverable { .. })
    ));
    let zero = CompactSignature {
        r: good.signature.r,
        vs: B256::ZERO,
    };
    assert!(matches!(
        zero.recover(&digest),
        Err(SignatureError::Unrecoverable { .. })
    ));
}

#[test]
fn a_response_is_eip712_spelled_out_by_hand() {
    let response = answer(vec![1], None).response();
    let word = |address: Address| address.into_word();
    let mut data = keccak256(Response::TYPE).to_vec();
    data.extend_from_slice(word(response.statement.service).as_slice());
    data.extend_from_slice(response.statement.program.as_slice());
    data.extend_from_slice(response.statement.input.as_slice());
    data.extend_from_slice(&U256::from(response.statement.budget.steps()).to_be_bytes::<32>());
    data.extend_from_slice(response.request.as_slice());
    data.extend_from_slice(word(response.requester).as_slice());
    data.extend_from_slice(response.result.as_slice());
    assert_eq!(response.struct_hash(), keccak256(&data));

    let mut domain =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)").to_vec();
    domain.extend_from_slice(keccak256("Surety").as_slice());
    domain.extend_from_slice(keccak256("1").as_slice());
    domain.extend_from_slice(&U256::from(DOMAIN.chain_id).to_be_bytes::<32>());
    domain.extend_from_slice(word(DOMAIN.verifying_contract).as_slice());
    assert_eq!(DOMAIN.separator(), keccak256(&domain));

    let mut signed = vec![0x19, 1];
    signed.extend_from_slice(keccak256(&domain).as_slice());
    signed.extend_from_slice(keccak256(&data).as_slice());
    assert_eq!(response.digest(&DOMAIN), keccak256(&signed));
}

#[test]
fn an_operators_registration_is_eip712_spelled_out_by_hand() {
    let registration = OperatorRegistration {
        key: Address::repeat_byte(1),
        owner: Address::repeat_byte(2),
        endpoint: "https://node.example:8545".into(),
    };
    let mut data = keccak256(OperatorRegistration::TYPE).to_vec();
    data.extend_from_slice(registration.key.into_word().as_slice());
    data.extend_from_slice(registration.owner.into_word().as_slice());
    data.extend_from_slice(keccak256(&registration.endpoint).as_slice());
    let mut signed = vec![0x19, 1];
    signed.extend_from_slice(DOMAIN.separator().as_slice());
    signed.extend_from_slice(keccak256(&data).as_slice());
    assert_eq!(registration.digest(&DOMAIN), keccak256(&signed));
}

#[test]
fn json_has_the_documented_form() {
    let json = serde_json::to_value(answer(vec![0xab; 3], None)).expect("serialises");
    assert_eq!(json["statement"]["budget"], "0xf4240");
    assert_eq!(json["outcome"]["status"], "halted");
    assert_eq!(json["outcome"]["exit"], "0x0");
    assert_eq!(json["output"], "0xababab");
    assert!(json.get("chunks").is_none());
    let json = serde_json::to_value(answer(vec![0xab; 3], Some(vec![1, 2]))).expect("serialises");
    assert_eq!(json["chunks"], serde_json::json!(["0x1", "0x2"]));
}

#[test]
fn json_is_strict() {
    let good = serde_json::to_value(answer(vec![0xab; 40], Some(vec![8, 32]))).expect("serialises");
    let parse = |json: &serde_json::Value| serde_json::from_str::<Answer>(&json.to_string());
    assert!(parse(&good).is_ok());
    let bad: &[(&[&str], serde_json::Value)] = &[
        (&["statement", "budget"], "0x0f4240".into()),
        (&["statement", "budget"], 1000.into()),
        (&["statement", "budget"], "1000".into()),
        (&["statement", "budget"], "0x".into()),
        (&["statement", "budget"], "0x+1".into()),
        (&["statement", "budget"], "0x200000000001".into()),
        (&["statement", "extra"], "0x0".into()),
        (&["outcome", "status"], "Halted".into()),
        (&["outcome", "exit"], "0x100000000".into()),
        (&["request"], "0x00".into()),
        (&["request"], "00".repeat(32).into()),
        (&["output"], "0x0".into()),
        (&["output"], "0x0x00".into()),
        (&["output"], "abcd".into()),
        (&["chunks"], serde_json::json!(["0x20", "0x8"])),
        (&["chunks"], serde_json::json!(["0x21", "0x7"])),
        (&["chunks"], serde_json::json!(["0x0", "0x8", "0x20"])),
        (&["chunks"], serde_json::json!(["0x8"])),
        (&["signature"], "0x00".into()),
        (&["unknown"], "0x00".into()),
    ];
    for (path, value) in bad {
        let mut json = good.clone();
        let mut place = &mut json;
        for part in *path {
            place = &mut place[*part];
        }
        *place = value.clone();
        assert!(parse(&json).is_err(), "{path:?} = {value} was accepted");
    }
    for field in [
        "statement",
        "request",
        "requester",
        "outcome",
        "result",
        "output",
        "operator",
        "signature",
    ] {
        let mut json = good.clone();
        json.as_object_mut().expect("an object").remove(field);
        assert!(parse(&json).is_err(), "without {field} was accepted");
    }
}

proptest! {
    #[test]
    fn json_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(1u64..=32, 0..100)) {
        let mut left = bytes.len() as u64;
        let mut lengths = vec![];
        for cut in cuts.into_iter().chain(std::iter::repeat(32)) {
            if left == 0 { break; }
            let n = cut.min(left);
            lengths.push(n);
            left -= n;
        }
        let answer = answer(bytes, Some(lengths));
        prop_assert_eq!(answer.verify(&DOMAIN), Ok(()));
        let text = serde_json::to_string(&answer).expect("serialises");
        prop_assert_eq!(serde_json::from_str::<Answer>(&text).expect("parses"), answer);
    }

    /// P4
    #[test]
    fn no_json_crashes_the_parser(text in "\\PC*") {
        let _ = serde_json::from_str::<Answer>(&text);
    }

    #[test]
    fn signatures_agree_with_alloy(seed in 1u8..=254, digest in any::<[u8; 32]>()) {
        let key = key(seed);
        let digest = B256::new(digest);
        let signature = CompactSignature::sign(&key, &digest).expect("signs");
        prop_assert_eq!(signature.recover(&digest), Ok(address(&key)));
        let alloy = Signature::from_erc2098(&signature.to_bytes());
        prop_assert_eq!(alloy.recover_address_from_prehash(&digest).expect("recovers"), address(&key));
        prop_assert_eq!(CompactSignature::from(alloy), signature);
        prop_assert_eq!(CompactSignature::from_bytes(&signature.to_bytes()), signature);
    }

    /// P4
    #[test]
    fn no_signature_crashes_recovery(r in any::<[u8; 32]>(), vs in any::<[u8; 32]>(), digest in any::<[u8; 32]>()) {
        let _ = CompactSignature { r: B256::new(r), vs: B256::new(vs) }.recover(&B256::new(digest));
    }
}
