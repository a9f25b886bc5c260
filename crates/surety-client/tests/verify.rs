//! Every way in which an answer can be wrong is refused, with its own reason.

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use surety_chain::{Deployment, OperatorInfo};
use surety_client::{Evidence, EvidenceError, Expected, Refusal, verify};
use surety_primitives::{Answer, Budget, CompactSignature, Domain, Outcome, Output, Statement, Status};

const DOMAIN: Domain = Domain {
    chain_id: 31_337,
    verifying_contract: Address::repeat_byte(0xd1),
};

fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(n)).expect("a key")
}

fn sign(answer: &mut Answer, key: &PrivateKeySigner) {
    let signature = key.sign_hash_sync(&answer.response().digest(&DOMAIN)).expect("signs");
    answer.signature = CompactSignature::from(signature);
}

fn answer_of(key: &PrivateKeySigner, output: &[u8]) -> Answer {
    let output = Output::canonical(output.to_vec()).expect("short");
    let outcome = Outcome {
        status: Status::Halted,
        exit: 0,
        output_root: output.root(),
    };
    let mut answer = Answer {
        statement: Statement {
            service: Address::repeat_byte(1),
            program: B256::repeat_byte(2).into(),
            input: B256::repeat_byte(3).into(),
            budget: Budget::new(1_000_000).expect("small"),
        },
        request: B256::repeat_byte(4).into(),
        requester: Address::repeat_byte(5),
        outcome,
        result: outcome.result_hash(),
        output,
        operator: key.address(),
        signature: CompactSignature::default(),
    };
    sign(&mut answer, key);
    answer
}

fn expected(answer: &Answer) -> Expected {
    Expected {
        statement: answer.statement,
        request: answer.request,
        requester: answer.requester,
        operator: answer.operator,
    }
}

fn standing(operator: Address) -> OperatorInfo {
    OperatorInfo {
        operator,
        owner: Address::repeat_byte(9),
        endpoint: "http://127.0.0.1:1".to_owned(),
        bond: U256::from(32),
        reward: U256::ZERO,
        leaving_until: None,
        locks: 0,
        bonded: true,
    }
}

/// Changes a good answer, signs it again if asked, and returns the refusal's exit code and kind.
fn refused(resign: bool, change: impl FnOnce(&mut Answer)) -> (u8, &'static str) {
    let key = key(0x11);
    let mut answer = answer_of(&key, b"forty-two");
    let want = expected(&answer);
    change(&mut answer);
    if resign {
        sign(&mut answer, &key);
    }
    let refusal = verify(&answer, &want, &standing(key.address()), &DOMAIN).expect_err("must be refused");
    (refusal.exit_code(), refusal.kind())
}

#[test]
fn a_good_answer_is_accepted() {
    let key = key(0x11);
    let answer = answer_of(&key, b"forty-two");
    assert_eq!(
        verify(&answer, &expected(&answer), &standing(key.address()), &DOMAIN),
        Ok(())
    );
}

#[test]
fn signatures() {
    // Not signed at all; changed after signing; signed by another key; signed for another contract.
    assert_eq!(
        refused(false, |a| a.signature = CompactSignature::default()),
        (11, "badSignature")
    );
    assert_eq!(
        refused(false, |a| a.request = B256::repeat_byte(7).into()),
        (11, "badSignature")
    );
    assert_eq!(refused(false, |a| sign(a, &key(0x22))), (11, "badSignature"));
    let key = key(0x11);
    let answer = answer_of(&key, b"x");
    let other = Domain {
        verifying_contract: Address::repeat_byte(0xd2),
        ..DOMAIN
    };
    let refusal = verify(&answer, &expected(&answer), &standing(key.address()), &other).expect_err("other contract");
    assert_eq!(refusal.exit_code(), 11);
    let other = Domain { chain_id: 1, ..DOMAIN };
    assert!(verify(&answer, &expected(&answer), &standing(key.address()), &other).is_err());
    // The second form of the same signature (high s): no contract would take it.
    assert_eq!(
        refused(false, |a| {
            let n = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16);
            let vs = U256::from_be_bytes(a.signature.vs.0);
            let mut s = vs;
            s.set_bit(255, false);
            let mut flipped = n.expect("order") - s;
            flipped.set_bit(255, !vs.bit(255));
            a.signature.vs = flipped.into();
        })
        .0,
        11
    );
}

#[test]
fn another_operator() {
    let (asked, other) = (key(0x11), key(0x22));
    let answer = answer_of(&other, b"x");
    let want = Expected {
        operator: asked.address(),
        ..expected(&answer)
    };
    let refusal = verify(&answer, &want, &standing(asked.address()), &DOMAIN).expect_err("another operator");
    assert!(matches!(refusal, Refusal::Operator { .. }) && refusal.exit_code() == 11);
}

#[test]
fn statements() {
    assert_eq!(
        refused(true, |a| a.statement.service = Address::ZERO),
        (12, "wrongStatement")
    );
    assert_eq!(
        refused(true, |a| a.statement.program = B256::ZERO.into()),
        (12, "wrongStatement")
    );
    assert_eq!(
        refused(true, |a| a.statement.input = B256::ZERO.into()),
        (12, "wrongStatement")
    );
    assert_eq!(
        refused(true, |a| a.statement.budget = Budget::new(1).expect("small")),
        (12, "wrongStatement")
    );
    assert_eq!(refused(true, |a| a.request = B256::ZERO.into()), (12, "wrongStatement"));
    // Somebody else would be compensated.
    assert_eq!(refused(true, |a| a.requester = Address::ZERO), (12, "wrongStatement"));
}

#[test]
fn outputs() {
    let other = || Output::canonical(b"forty-three".to_vec()).expect("short");
    // An output that is not the one signed; an outcome that is not; a result that is not.
    assert_eq!(refused(true, |a| a.output = other()), (13, "outputMismatch"));
    assert_eq!(refused(true, |a| a.output = Output::default()), (13, "outputMismatch"));
    assert_eq!(refused(true, |a| a.outcome.exit = 1), (13, "resultMismatch"));
    assert_eq!(
        refused(true, |a| a.outcome.status = Status::Trapped),
        (13, "resultMismatch")
    );
    assert_eq!(
        refused(true, |a| a.outcome.output_root = other().root()),
        (13, "resultMismatch")
    );
    assert_eq!(
        refused(true, |a| a.result = keccak256("x").into()),
        (13, "resultMismatch")
    );
    // The same bytes in other chunks have another root.
    assert_eq!(
        refused(true, |a| a.output =
            Output::with_chunks(b"forty-two".to_vec(), [4, 5]).expect("chunks")),
        (13, "outputMismatch")
    );
}

#[test]
fn bonds() {
    let key = key(0x11);
    let answer = answer_of(&key, b"x");
    let check = |operator: &OperatorInfo| verify(&answer, &expected(&answer), operator, &DOMAIN).expect_err("refused");
    let poor = OperatorInfo {
        bonded: false,
        bond: U256::ZERO,
        ..standing(key.address())
    };
    assert_eq!((check(&poor).exit_code(), check(&poor).kind()), (14, "notBonded"));
    let leaving = OperatorInfo {
        bonded: false,
        leaving_until: Some(7),
        ..standing(key.address())
    };
    assert_eq!((check(&leaving).exit_code(), check(&leaving).kind()), (14, "leaving"));
}

fn deployment() -> Deployment {
    Deployment {
        chain_id: DOMAIN.chain_id,
        from_block: 0,
        token: Address::ZERO,
        registry: Address::ZERO,
        staking: Address::ZERO,
        preimages: Address::ZERO,
        machine: Address::ZERO,
        disputes: DOMAIN.verifying_contract,
        records: Address::ZERO,
        quorum: Address::ZERO,
        tasks: Address::ZERO,
        faults: Address::ZERO,
        new_token: Address::ZERO,
        issuance: Address::ZERO,
        integrity: Address::ZERO,
    }
}

#[test]
fn evidence_is_verified_before_it_is_used() {
    let deployment = deployment();
    let (a, b) = (answer_of(&key(0x11), b"yes"), answer_of(&key(0x22), b"no"));
    let evidence = |answers| Evidence::new(&deployment, a.statement, vec![1, 2].into(), answers);
    let good = evidence(vec![a.clone(), b.clone()]);
    good.verify(&deployment).expect("good");
    assert_eq!(good.claims().len(), 2);

    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("evidence.json");
    good.save(&file).expect("saved");
    assert_eq!(Evidence::load(&file).expect("loaded"), good);
    std::fs::write(&file, "{}").expect("write");
    assert!(matches!(Evidence::load(&file), Err(EvidenceError::File { .. })));
    assert!(matches!(
        Evidence::load(&dir.path().join("none")),
        Err(EvidenceError::File { .. })
    ));

    let same = evidence(vec![a.clone(), answer_of(&key(0x22), b"yes")]);
    assert!(matches!(
        same.verify(&deployment),
        Err(EvidenceError::NoConflict { answers: 2 })
    ));
    assert!(matches!(
        evidence(vec![]).verify(&deployment),
        Err(EvidenceError::NoConflict { .. })
    ));
    let twice = evidence(vec![a.clone(), answer_of(&key(0x11), b"no")]);
    assert!(matches!(twice.verify(&deployment), Err(EvidenceError::Twice { .. })));
    let mut forged = b.clone();
    forged.signature = a.signature;
    assert!(matches!(
        evidence(vec![a.clone(), forged]).verify(&deployment),
        Err(EvidenceError::Answer { index: 1, .. })
    ));
    let mut other = b.clone();
    other.statement.budget = Budget::new(1).expect("small");
    assert!(matches!(
        evidence(vec![a.clone(), other]).verify(&deployment),
        Err(EvidenceError::Statement { index: 1 })
    ));
    let elsewhere = Deployment {
        chain_id: 1,
        ..deployment.clone()
    };
    assert!(matches!(good.verify(&elsewhere), Err(EvidenceError::Deployment { .. })));
}

#[test]
fn a_dispute_is_opened_with_every_different_result() {
    let deployment = deployment();
    let mut answers: Vec<Answer> = (0..9).map(|i| answer_of(&key(0x11 + i), b"same")).collect();
    answers.push(answer_of(&key(0x40), b"different"));
    let evidence = Evidence::new(&deployment, answers[0].statement, vec![].into(), answers.clone());
    evidence.verify(&deployment).expect("good");
    let claims = evidence.claims();
    assert_eq!(claims.len(), 8);
    assert!(
        claims.iter().any(|c| c.result == answers[9].result),
        "the ninth-and-last answer is the one that differs"
    );
}
