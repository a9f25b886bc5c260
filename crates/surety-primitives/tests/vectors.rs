//! The shared vectors, against this implementation; other languages check the same files.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use alloy_sol_types::SolValue;
use k256::ecdsa::SigningKey;
use serde_json::Value;
use surety_primitives::*;

fn vectors(file: &str, text: &str) -> Vec<Value> {
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(!vectors.is_empty(), "{file} is empty");
    vectors
}

macro_rules! vectors {
    ($file:literal) => {
        vectors($file, include_str!(concat!("../../../vectors/primitives/", $file)))
    };
}

fn hash(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

fn address(value: &Value) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().unwrap().parse::<Bytes>().unwrap().to_vec()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn statement(value: &Value) -> Statement {
    Statement {
        service: address(&value["service"]),
        program: hash(&value["program"]).into(),
        input: hash(&value["input"]).into(),
        budget: Budget::new(number(&value["budget"])).unwrap(),
    }
}

fn domain(value: &Value) -> Domain {
    let domain = Domain {
        chain_id: number(&value["chainId"]),
        verifying_contract: address(&value["verifyingContract"]),
    };
    assert_eq!(domain.separator(), hash(&value["separator"]));
    domain
}

#[test]
fn statements() {
    for v in vectors!("statements.json") {
        let s = statement(&v["statement"]);
        assert_eq!(s.abi_encode().to_vec(), bytes(&v["abi"]));
        assert_eq!(keccak256(bytes(&v["abi"])), hash(&v["id"]));
        assert_eq!(s.id().0, hash(&v["id"]));
    }
}

#[test]
fn dispute_ids() {
    for v in vectors!("dispute_ids.json") {
        let (statement, opener) = (hash(&v["statement"]), address(&v["opener"]));
        assert_eq!(keccak256((statement, opener).abi_encode()), hash(&v["id"]));
        assert_eq!(DisputeId::new(statement.into(), opener).0, hash(&v["id"]));
    }
}

#[test]
fn outcomes_and_outputs() {
    for v in vectors!("outcomes.json") {
        let outcome = Outcome {
            status: u8::try_from(number(&v["status"])).unwrap().try_into().unwrap(),
            exit: number(&v["exit"]).try_into().unwrap(),
            output_root: hash(&v["outputRoot"]).into(),
        };
        assert_eq!(outcome.result_hash().0, hash(&v["result"]));
    }
    for v in vectors!("outputs.json") {
        let (data, chunks) = (bytes(&v["output"]), bytes(&v["chunks"]));
        let output = if chunks.is_empty() {
            Output::canonical(data).unwrap()
        } else {
            Output::with_chunks(data, chunks.into_iter().map(u64::from)).unwrap()
        };
        assert_eq!(output.root().0, hash(&v["root"]), "{}", v["name"]);
    }
}

#[test]
fn chain_ids_and_forced_requests() {
    for v in vectors!("chain_ids.json") {
        assert_eq!(
            service_chain_id(number(&v["l1"]), address(&v["service"])),
            number(&v["chainId"])
        );
    }
    for v in vectors!("forced_requests.json") {
        let found = forced_request_hash(number(&v["l1"]), address(&v["service"]), U256::from(number(&v["id"])));
        assert_eq!(found.0, hash(&v["request"]));
    }
}

#[test]
fn responses_and_registrations() {
    for v in vectors!("responses.json") {
        let domain = domain(&v["domain"]);
        let response = Response {
            statement: statement(&v["statement"]),
            request: hash(&v["request"]).into(),
            requester: address(&v["requester"]),
            result: hash(&v["result"]).into(),
        };
        assert_eq!(response.struct_hash(), hash(&v["structHash"]));
        assert_eq!(response.digest(&domain), hash(&v["digest"]));
        let signature = CompactSignature {
            r: hash(&v["r"]),
            vs: hash(&v["vs"]),
        };
        assert_eq!(
            signature.recover(&response.digest(&domain)),
            Ok(address(&v["operator"]))
        );
        let key = SigningKey::from_slice(hash(&v["key"]).as_slice()).unwrap();
        assert_eq!(Address::from_public_key(key.verifying_key()), address(&v["operator"]));
    }
    for v in vectors!("registrations.json") {
        let registration = OperatorRegistration {
            key: address(&v["operator"]),
            owner: address(&v["owner"]),
            endpoint: v["endpoint"].as_str().unwrap().into(),
        };
        let digest = registration.digest(&domain(&v["domain"]));
        assert_eq!(digest, hash(&v["digest"]));
        let signature = CompactSignature::from_bytes(&bytes(&v["signature"]).try_into().unwrap());
        assert_eq!(signature.verify(&digest, registration.key), Ok(()));
    }
}

#[test]
fn requests() {
    let (mut good, mut refused) = (0, 0);
    for v in vectors!("requests.json") {
        let found = Request::decode(&bytes(&v["raw"]), number(&v["chainId"]), address(&v["service"]));
        match (found, v["refused"].as_str()) {
            (Ok(request), None) => {
                good += 1;
                assert_eq!(request.hash.0, hash(&v["hash"]));
                assert_eq!(request.requester, address(&v["requester"]));
                assert_eq!(request.budget.steps(), number(&v["budget"]));
                assert_eq!(request.data.to_vec(), bytes(&v["data"]));
                assert_eq!(request.input_hash().0, hash(&v["input"]));
            }
            (Err(error), Some(reason)) => {
                refused += 1;
                assert_eq!(error.to_string(), reason);
            }
            (found, _) => panic!("{}: {found:?}", v["name"]),
        }
    }
    assert!(good >= 3 && refused >= 10);
}

#[test]
fn answers() {
    let signed = &vectors!("responses.json")[0];
    for v in vectors!("answers.json") {
        let answer: Answer = serde_json::from_value(v.clone()).unwrap();
        assert_eq!(answer.verify(&domain(&signed["domain"])), Ok(()));
        assert_eq!(serde_json::to_value(&answer).unwrap(), v);
        assert_eq!(
            hex::encode_prefixed(answer.output.bytes()),
            v["output"].as_str().unwrap()
        );
    }
}
