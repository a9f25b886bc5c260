//! The network's shared vectors, against this implementation; other languages check the same files.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolValue;
use serde_json::Value as Json;
use surety_primitives::{
    Domain,
    bls::{PublicKey, SecretKey, Signature},
    certificate::{Certificate, Proven, Quorum},
    keys::{self, KeysRegistration, possession_message},
    sealed::{self, Sealed},
    selection::{self, Record, Roles},
    set::{Set, Signers},
    value::Value,
    vote::{self, Ballot, TaskResult, Vote, VoteTree, verify_proof},
};

macro_rules! vectors {
    ($file:literal) => {{
        let vectors: Vec<Json> =
            serde_json::from_str(include_str!(concat!("../../../vectors/network/", $file))).unwrap();
        assert!(!vectors.is_empty(), "{} is empty", $file);
        vectors
    }};
}

fn hash(value: &Json) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

fn address(value: &Json) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

fn bytes(value: &Json) -> Vec<u8> {
    value.as_str().unwrap().parse::<Bytes>().unwrap().to_vec()
}

fn fixed<const N: usize>(value: &Json) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn integer<T: TryFrom<u64>>(value: &Json) -> T {
    T::try_from(value.as_u64().unwrap()).ok().unwrap()
}

fn big(value: &Json) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

fn signers(value: &Json) -> Signers {
    big(value).try_into().unwrap()
}

fn indices(value: &Json) -> Vec<usize> {
    value.as_array().unwrap().iter().map(integer).collect()
}

fn hashes(value: &Json) -> Vec<B256> {
    value.as_array().unwrap().iter().map(hash).collect()
}

fn domain(value: &Json) -> Domain {
    let domain = Domain {
        chain_id: integer(&value["chainId"]),
        verifying_contract: address(&value["verifyingContract"]),
    };
    assert_eq!(domain.separator(), hash(&value["separator"]));
    domain
}

fn vote(value: &Json) -> Vote {
    let vote = Vote {
        kind: integer::<u8>(&value["kind"]).try_into().unwrap(),
        subject: hash(&value["subject"]),
        value: hash(&value["value"]),
    };
    let words = (U256::from(vote.kind as u8), vote.subject, vote.value).abi_encode();
    assert_eq!(keccak256(words), hash(&value["leaf"]));
    assert_eq!(vote.leaf(), hash(&value["leaf"]));
    vote
}

fn ballot(value: &Json) -> Ballot {
    Ballot {
        service: address(&value["service"]),
        set: integer(&value["set"]),
        root: hash(&value["root"]),
    }
}

#[test]
fn keys() {
    for v in vectors!("keys.json") {
        let secret = fixed(&v["operatorSecret"]);
        let registry = Domain {
            chain_id: integer(&v["chainId"]),
            verifying_contract: address(&v["registry"]),
        };
        let registration = KeysRegistration {
            operator: address(&v["operator"]),
            key: PublicKey::from_eip2537(&fixed(&v["blsKey"])).unwrap(),
            proof: Signature::from_eip2537(&fixed(&v["proof"])).unwrap(),
            encryption_key: hash(&v["encryptionKey"]),
            peer_address: v["peerAddress"].as_str().unwrap().into(),
        };
        assert_eq!(registration.verify(&registry), Ok(()));
        let address = registration.peer_address.clone();
        assert_eq!(
            KeysRegistration::derive(&registry, registration.operator, &secret, address),
            Ok(registration.clone())
        );
        assert_eq!(*keys::voting_secret(&secret).to_bytes(), fixed(&v["blsSecret"]));
        assert_eq!(
            SecretKey::from_bytes(&fixed(&v["blsSecret"])).unwrap().public_key(),
            registration.key
        );
        assert_eq!(
            *keys::encryption_secret(&secret).to_bytes(),
            fixed(&v["encryptionSecret"])
        );
        assert_eq!(
            possession_message(&registry, registration.operator, &registration.key),
            hash(&v["message"])
        );
    }
}

#[test]
fn values() {
    for v in vectors!("values.json") {
        let value = Value::from_json(v["json"].as_str().unwrap()).unwrap();
        assert_eq!(value.encode().unwrap(), bytes(&v["encoding"]), "{}", v["name"]);
        assert_eq!(Value::decode(&bytes(&v["encoding"])), Ok(value.clone()));
        assert_eq!(value.hash().unwrap(), hash(&v["hash"]));
        assert_eq!(value.salted_hash(&hash(&v["salt"])).unwrap(), hash(&v["saltedHash"]));
    }
    for v in vectors!("not_values.json") {
        let error = Value::decode(&bytes(&v["encoding"])).unwrap_err();
        assert_eq!(error.to_string(), v["refused"].as_str().unwrap(), "{}", v["name"]);
    }
}

#[test]
fn votes_and_ballots() {
    let mut votes: Vec<_> = vectors!("votes.json").iter().map(vote).collect();
    votes.dedup();
    assert_eq!(votes.len(), 8);
    for v in vectors!("ballots.json") {
        let (ballot, domain) = (ballot(&v), domain(&v["domain"]));
        assert_eq!(ballot.digest(&domain), hash(&v["digest"]));
        let typehash = keccak256(Ballot::TYPE);
        let fields = (typehash, ballot.service, U256::from(ballot.set), ballot.root).abi_encode();
        let words = [
            &[0x19, 0x01][..],
            domain.separator().as_slice(),
            keccak256(fields).as_slice(),
        ]
        .concat();
        assert_eq!(keccak256(words), hash(&v["digest"]));
        let key = PublicKey::from_eip2537(&fixed(&v["blsKey"])).unwrap();
        let signature = Signature::from_eip2537(&fixed(&v["signature"])).unwrap();
        assert_eq!(signature.verify(&hash(&v["digest"]), &key), Ok(()));

        let some = |i: usize| Vote {
            kind: (1 + i as u8 % 4).try_into().unwrap(),
            subject: keccak256(format!("subject {i}")),
            value: keccak256(format!("value {i}")),
        };
        let votes: Vec<_> = (0..integer(&v["count"])).map(some).collect();
        let tree = VoteTree::new(&votes).unwrap();
        assert_eq!(tree.root(), ballot.root);
        let leaves = hashes(&v["leaves"]);
        assert!(leaves.is_empty() || leaves == votes.iter().map(Vote::leaf).collect::<Vec<_>>());
        for proof in v["proofs"].as_array().unwrap() {
            let index: usize = integer(&proof["index"]);
            assert_eq!(votes[index].leaf(), hash(&proof["leaf"]));
            assert_eq!(tree.proof(index).unwrap(), hashes(&proof["proof"]));
            assert_eq!(
                verify_proof(&votes[index], &hashes(&proof["proof"]), ballot.root),
                Ok(())
            );
        }
    }
}

#[test]
fn ids() {
    for v in vectors!("ids.json") {
        let (run, task, step) = (hash(&v["run"]), hash(&v["task"]), integer(&v["step"]));
        let (service, name, id) = (address(&v["service"]), v["name"].as_str().unwrap(), hash(&v["idHash"]));
        assert_eq!(vote::event_key(service, name, id), hash(&v["eventKey"]));
        assert_eq!(vote::event_key_of(service, keccak256(name), id), hash(&v["eventKey"]));
        assert_eq!(vote::run_id(big(&v["flow"]), hash(&v["eventKey"])), run);
        assert_eq!(vote::task_id(run, step), task);
        assert_eq!(vote::seed(run, step, hash(&v["mix"])), hash(&v["seed"]));
        let result = TaskResult {
            task,
            attempt: integer(&v["attempt"]),
            inputs: hash(&v["inputs"]),
            output: hash(&v["output"]),
            seconds: integer(&v["seconds"]),
            bytes: integer(&v["bytes"]),
        };
        assert_eq!(result.hash(), hash(&v["result"]));
        assert_eq!(result.vote().subject, hash(&v["resultSubject"]));
        assert_eq!(vote::result_subject(task, result.attempt), hash(&v["resultSubject"]));
    }
}

fn sets() -> Vec<Set> {
    let set = |v: &Json| {
        let (first, second) = (bytes(&v["pages"][0]), bytes(&v["pages"][1]));
        Set::from_pages(address(&v["service"]), integer(&v["set"]), 0, [&first, &second]).unwrap()
    };
    vectors!("sets.json").iter().map(set).collect()
}

#[test]
fn rolls() {
    for (v, set) in vectors!("sets.json").iter().zip(sets()) {
        assert_eq!(set.members().len(), integer::<usize>(&v["count"]));
        assert_eq!(U256::from(set.power()), big(&v["power"]));
        assert_eq!(set.key().to_eip2537().to_vec(), bytes(&v["key"]));
        for (member, v) in set.members().iter().zip(v["members"].as_array().unwrap()) {
            assert_eq!(member.operator, address(&v["operator"]));
            assert_eq!(U256::from(member.power), big(&v["power"]));
            assert_eq!(member.weight, integer::<u64>(&v["weight"]));
            assert_eq!(member.key.to_eip2537().to_vec(), bytes(&v["blsKey"]));
        }
    }
}

#[test]
fn certificates() {
    let sets = sets();
    for v in vectors!("certificates.json") {
        let set = sets
            .iter()
            .find(|set| set.members().len() == integer::<usize>(&v["members"]))
            .unwrap();
        let domain = domain(&v["domain"]);
        let proven = Proven {
            certificate: Certificate {
                ballot: ballot(&v),
                signers: signers(&v["signers"]),
                signature: Signature::from_eip2537(&fixed(&v["signature"])).unwrap(),
            },
            vote: vote(&v["vote"]),
            proof: hashes(&v["proof"]),
        };
        let certificate = &proven.certificate;
        assert_eq!(certificate.ballot.digest(&domain), hash(&v["digest"]));
        assert_eq!(certificate.signature.to_compressed(), fixed(&v["compressed"]));
        assert_eq!(
            set.all().without(certificate.signers).iter().collect::<Vec<_>>(),
            indices(&v["absent"])
        );
        assert_eq!(
            set.key_of(certificate.signers).unwrap().to_eip2537().to_vec(),
            bytes(&v["key"])
        );
        let power = proven.verify(&domain, set).unwrap();
        assert_eq!(
            (U256::from(power), U256::from(set.power())),
            (big(&v["power"]), big(&v["total"]))
        );
        let reached = v["quorumReached"].as_bool().unwrap();
        assert_eq!(proven.verify_quorum(&domain, set, Quorum::DEFAULT).is_ok(), reached);
        assert_eq!(certificate.to_rlp(), bytes(&v["rlp"]));
        assert_eq!(proven.to_rlp(), bytes(&v["provenRlp"]));
        assert_eq!(Proven::from_rlp(&bytes(&v["provenRlp"])), Ok(proven));
    }
}

#[test]
fn weights() {
    for v in vectors!("weights.json") {
        let record = Record {
            done: integer(&v["done"]),
            missed: integer(&v["missed"]),
            absent: integer(&v["absent"]),
            first_call: integer(&v["firstCall"]),
            incidents: integer(&v["incidents"]),
            last_incident: integer(&v["lastIncident"]),
            first_seen: integer(&v["firstSeen"]),
            slashed: integer(&v["slashed"]),
        };
        let found = record.weight(big(&v["bond"]), integer(&v["calls"]), integer(&v["now"]));
        assert_eq!(found, integer::<u64>(&v["weight"]), "{v}");
    }
}

#[test]
fn selections() {
    for v in vectors!("selections.json") {
        let all: Vec<u64> = v["weights"].as_array().unwrap().iter().map(|w| big(w).to()).collect();
        let only = signers(&v["only"]);
        let weights = selection::among(&all, |index| only.contains(index));
        assert_eq!(
            selection::order(hash(&v["seed"]), &weights, 128),
            indices(&v["order"]),
            "{}",
            v["name"]
        );
        let roles = Roles::draw(hash(&v["seed"]), &weights, integer(&v["validators"]));
        let executors: Vec<_> = (0..4).map_while(|attempt| roles.executor(attempt)).collect();
        assert_eq!(executors, indices(&v["executors"]));
        assert_eq!(roles.committee(), indices(&v["committee"]));
    }
}

#[test]
fn sealed() {
    for v in vectors!("sealed.json") {
        let sealed = Sealed::from_rlp(&bytes(&v["rlp"])).unwrap();
        assert_eq!(sealed.task(), hash(&v["task"]));
        let value = Value::from_json(v["json"].as_str().unwrap()).unwrap();
        let secret = |v: &Json| sealed::SecretKey::from_bytes(fixed(&v["encryptionSecret"]));
        let recipients = v["recipients"].as_array().unwrap();
        for r in recipients {
            let opened = sealed
                .open(address(&r["recipient"]), &secret(r), hash(&v["hash"]))
                .unwrap();
            assert_eq!((&opened.value, opened.salt), (&value, hash(&v["salt"])));
        }
        let public = recipients
            .iter()
            .map(|r| (address(&r["recipient"]), secret(r).public_key()));
        let sealing = Sealed::seal(&fixed(&v["seed"]), sealed.task(), &value, public).unwrap();
        assert_eq!(
            (sealing.sealed, sealing.hash, sealing.salt),
            (sealed, hash(&v["hash"]), hash(&v["salt"]))
        );
    }
}
