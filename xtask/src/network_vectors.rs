//! `vectors/network/`: keys, votes, sets, certificates, values, selection and sealed payloads, for every implementation
//! to agree on. The folder's README says what the fields are.

use std::array::from_fn;

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use anyhow::{Context, Result, ensure};
use k256::ecdsa::SigningKey;
use serde_json::{Value as Json, json};
use surety_primitives::{
    Domain,
    bls::{SecretKey, Signature},
    certificate::{Certificate, Proven, Quorum},
    keys::{self, KeysRegistration, possession_message},
    sealed::{self, Sealed},
    selection::{self, Record, Roles},
    set::{Member, Set, Signers},
    value::{MAX_DEPTH, Number, Value},
    vote::{self, Ballot, TaskResult, Vote, VoteKind, VoteTree},
};

/// Unix seconds that records are weighed at.
const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let files = [
        ("keys.json", keys()?),
        ("values.json", values()?),
        ("not_values.json", not_values()?),
        ("votes.json", votes()),
        ("ballots.json", ballots()?),
        ("ids.json", ids()),
        ("sets.json", sets()?),
        ("certificates.json", certificates()?),
        ("weights.json", weights()),
        ("selections.json", selections()),
        ("sealed.json", sealed()?),
    ];
    crate::vectors::run("network", args, &files)
}

/// Something fixed that looks like nothing in particular.
fn noise(name: &str) -> B256 {
    keccak256(name)
}

fn some_address(name: &str) -> Address {
    Address::from_word(noise(name))
}

fn bytes(bytes: impl AsRef<[u8]>) -> String {
    hex::encode_prefixed(bytes)
}

/// The operator with this number: its secret and its address.
fn operator(number: usize) -> Result<([u8; 32], Address)> {
    let secret = noise(&format!("operator {number}")).0;
    let key = SigningKey::from_slice(&secret).context("hashes are secrets, with overwhelming probability")?;
    Ok((secret, Address::from_public_key(key.verifying_key())))
}

fn registry() -> Domain {
    Domain {
        chain_id: 31_337,
        verifying_contract: some_address("registry"),
    }
}

fn quorum() -> Domain {
    Domain {
        chain_id: 31_337,
        verifying_contract: some_address("quorum"),
    }
}

fn domain_json(domain: &Domain) -> Json {
    json!({
        "chainId": domain.chain_id,
        "verifyingContract": domain.verifying_contract,
        "separator": domain.separator(),
    })
}

fn keys() -> Result<Vec<Json>> {
    let addresses = ["/ip4/127.0.0.1/tcp/4001", "/dns4/node.example/tcp/443", ""];
    let vector = |(number, address): (usize, &str)| {
        let (secret, operator) = operator(number)?;
        let domain = registry();
        let registration = KeysRegistration::derive(&domain, operator, &secret, address.into())?;
        Ok(json!({
            "operatorSecret": bytes(secret),
            "operator": operator,
            "blsSecret": bytes(*keys::voting_secret(&secret).to_bytes()),
            "blsKey": bytes(registration.key.to_eip2537()),
            "encryptionSecret": bytes(*keys::encryption_secret(&secret).to_bytes()),
            "encryptionKey": registration.encryption_key,
            "chainId": domain.chain_id,
            "registry": domain.verifying_contract,
            "message": possession_message(&domain, operator, &registration.key),
            "proof": bytes(registration.proof.to_eip2537()),
            "peerAddress": registration.peer_address,
        }))
    };
    addresses.into_iter().enumerate().map(vector).collect()
}

fn number(number: f64) -> Result<Value> {
    Number::new(number).map(Value::Number).context("a finite number")
}

/// Lists in lists, as deep as a value may be.
fn deepest() -> Value {
    (1..MAX_DEPTH).fold(Value::Null, |inner, _| Value::list([inner]))
}

fn some_values() -> Result<Vec<(&'static str, Value)>> {
    let order = Value::object([
        ("customer", Value::from("0x5FbDB2315678afecb367f032d93F642f64180aa3")),
        (
            "items",
            Value::list([
                Value::object([("count", Value::from(2)), ("name", Value::from("tea"))]),
                Value::object([("count", Value::from(1)), ("name", Value::from("käse"))]),
            ]),
        ),
        ("paid", Value::from(true)),
        ("amount", Value::from("1000000000000000001")),
        ("note", Value::Null),
    ]);
    Ok(vec![
        ("null", Value::Null),
        ("false", false.into()),
        ("true", true.into()),
        ("zero", 0.into()),
        ("minus zero", number(-0.0)?),
        ("one", 1.into()),
        ("minus one", (-1).into()),
        ("a fraction", number(0.1)?),
        ("the largest exact integer", number(9_007_199_254_740_992.0)?),
        ("the largest number", number(f64::MAX)?),
        ("the smallest number", number(f64::from_bits(1))?),
        ("no text", "".into()),
        ("text", "surety".into()),
        ("text beyond ASCII", "ünïcode 𝄞 \u{0}".into()),
        ("text to be escaped", "a \"quote\", a \\, a\nline".into()),
        ("no elements", Value::List(Vec::new())),
        ("elements", Value::list([Value::from(1), "a".into(), Value::Null])),
        ("no fields", Value::object::<&str, Value>([])),
        (
            "fields in order of their bytes",
            Value::object([("b", 1), ("a", 2), ("", 3), ("ä", 4), ("aa", 5), ("Z", 6)]),
        ),
        ("an order", order),
        ("as deep as can be", deepest()),
    ])
}

fn values() -> Result<Vec<Json>> {
    let salt = noise("salt");
    let vector = |(name, value): (&str, Value)| {
        Ok(json!({
            "name": name,
            // Text, so that no reader of this file rounds it.
            "json": value.to_string(),
            "encoding": bytes(value.encode()?),
            "hash": value.hash()?,
            "salt": salt,
            "saltedHash": value.salted_hash(&salt)?,
        }))
    };
    some_values()?.into_iter().map(vector).collect()
}

/// Bytes that are no value, with why.
fn not_values() -> Result<Vec<Json>> {
    let number = |number: f64| [&[3_u8], number.to_bits().to_be_bytes().as_slice()].concat();
    let mut too_deep = vec![0];
    for _ in 0..MAX_DEPTH {
        too_deep = [&[5_u8, 0, 0, 0, 1], too_deep.as_slice()].concat();
    }
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("an unknown tag", vec![7]),
        ("a value and a byte", vec![0, 0]),
        ("minus zero", number(-0.0)),
        ("not a number", number(f64::NAN)),
        ("infinity", number(f64::INFINITY)),
        ("half a number", vec![3, 0, 0, 0, 0]),
        ("a string shorter than it says", vec![4, 0, 0, 0, 2, b'a']),
        ("a string that is not UTF-8", vec![4, 0, 0, 0, 1, 0xff]),
        ("a surrogate in a string", vec![4, 0, 0, 0, 3, 0xed, 0xa0, 0x80]),
        ("a list shorter than it says", vec![5, 0, 0, 0, 2, 0]),
        ("a list that says it is huge", vec![5, 0xff, 0xff, 0xff, 0xff, 0]),
        ("an object shorter than it says", vec![6, 0, 0, 0, 1]),
        (
            "keys out of order",
            vec![6, 0, 0, 0, 2, 0, 0, 0, 1, b'b', 0, 0, 0, 0, 1, b'a', 0],
        ),
        (
            "a key twice",
            vec![6, 0, 0, 0, 2, 0, 0, 0, 1, b'a', 0, 0, 0, 0, 1, b'a', 0],
        ),
        ("too deep", too_deep),
    ];
    let vector = |(name, encoding): (&str, Vec<u8>)| {
        let error = Value::decode(&encoding)
            .err()
            .with_context(|| format!("{name} is a value"))?;
        Ok(json!({ "name": name, "encoding": bytes(encoding), "refused": error.to_string() }))
    };
    cases.into_iter().map(vector).collect()
}

fn some_vote(kind: VoteKind, name: &str) -> Vote {
    Vote {
        kind,
        subject: noise(&format!("subject {name}")),
        value: noise(&format!("value {name}")),
    }
}

fn vote_json(vote: &Vote) -> Json {
    json!({ "kind": vote.kind as u8, "subject": vote.subject, "value": vote.value, "leaf": vote.leaf() })
}

const KINDS: [VoteKind; 4] = [
    VoteKind::Event,
    VoteKind::Result,
    VoteKind::Validation,
    VoteKind::Measurement,
];

fn votes() -> Vec<Json> {
    let some = KINDS.map(|kind| some_vote(kind, "a"));
    let edge = [B256::ZERO, B256::repeat_byte(0xff)].map(|word| Vote {
        kind: VoteKind::Event,
        subject: word,
        value: word,
    });
    let validation = [vote::VALID, vote::INVALID].map(|value| Vote {
        kind: VoteKind::Validation,
        subject: noise("result"),
        value,
    });
    some.iter().chain(&edge).chain(&validation).map(vote_json).collect()
}

fn some_votes(count: usize) -> Vec<Vote> {
    (0..count)
        .zip(KINDS.iter().cycle())
        .map(|(i, kind)| some_vote(*kind, &i.to_string()))
        .collect()
}

/// Trees of many sizes, each with the proofs of a few votes, signed by operator 0.
fn ballots() -> Result<Vec<Json>> {
    let (secret, _) = operator(0)?;
    let secret = keys::voting_secret(&secret);
    let vector = |count: usize| {
        let votes = some_votes(count);
        let tree = VoteTree::new(&votes)?;
        let ballot = Ballot {
            service: some_address("service"),
            set: count as u64,
            root: tree.root(),
        };
        let digest = ballot.digest(&quorum());
        let mut shown = vec![0, count / 2, count - 1];
        shown.dedup();
        let proofs = shown.into_iter().map(|index| {
            let proof = tree.proof(index).context("a vote of the tree")?;
            Ok(json!({ "index": index, "leaf": votes[index].leaf(), "proof": proof }))
        });
        let leaves: Vec<_> = votes.iter().map(Vote::leaf).collect();
        Ok(json!({
            "leaves": if count <= 33 { leaves } else { Vec::new() },
            "count": count,
            "proofs": proofs.collect::<Result<Vec<_>>>()?,
            "service": ballot.service,
            "set": ballot.set,
            "root": ballot.root,
            "domain": domain_json(&quorum()),
            "digest": digest,
            "blsKey": bytes(secret.public_key().to_eip2537()),
            "signature": bytes(secret.sign(&digest).to_eip2537()),
        }))
    };
    [1, 2, 3, 4, 5, 7, 8, 9, 16, 33, 1023, 1024]
        .into_iter()
        .map(vector)
        .collect()
}

fn ids() -> Vec<Json> {
    let names = ["transfer", "", "Zeitplan.täglich"];
    let vector = |(i, name): (usize, &str)| {
        let (service, flow) = (some_address(&format!("service {i}")), U256::from(i * 1_000_000_007));
        let (id, mix) = (noise(&format!("id {i}")), noise(&format!("mix {i}")));
        let (step, attempt) = ([0, 1, 15][i % 3], [0, 1, 3][i % 3]);
        let event_key = vote::event_key(service, name, id);
        let run = vote::run_id(flow, event_key);
        let task = vote::task_id(run, step);
        let result = TaskResult {
            task,
            attempt,
            inputs: noise("inputs"),
            output: noise(&format!("output {i}")),
            seconds: [0, 59, u32::MAX][i % 3],
            bytes: [0, 1_001, u32::MAX][i % 3],
        };
        json!({
            "service": service, "name": name, "idHash": id, "eventKey": event_key,
            "flow": flow, "run": run,
            "step": step, "task": task,
            "mix": mix, "seed": vote::seed(run, step, mix),
            "attempt": attempt, "resultSubject": vote::result_subject(task, attempt),
            "inputs": result.inputs, "output": result.output, "seconds": result.seconds, "bytes": result.bytes,
            "result": result.hash(),
        })
    };
    names.into_iter().enumerate().map(vector).collect()
}

/// A set of the first operators, and their secrets.
fn some_set(members: usize) -> Result<(Set, Vec<SecretKey>)> {
    let mut secrets = Vec::new();
    let mut all = Vec::new();
    for i in 0..members {
        let (secret, operator) = operator(i)?;
        let secret = keys::voting_secret(&secret);
        all.push(Member {
            operator,
            power: [1_000_000_000, 32, 500_000_000_007, u64::MAX][i % 4],
            weight: [1 << 30, 1, 4_096, 77][i % 4],
            key: secret.public_key(),
        });
        secrets.push(secret);
    }
    Ok((Set::new(some_address("service"), 7, 21_000_000, all)?, secrets))
}

fn sets() -> Result<Vec<Json>> {
    let vector = |members: usize| {
        let (set, _) = some_set(members)?;
        let [first, second] = set.to_pages();
        let read = Set::from_pages(set.service(), set.number(), set.fixed_at(), [&first, &second])?;
        ensure!(read == set, "a set of {members} is not what its pages say");
        let member = |member: &Member| {
            json!({
                "operator": member.operator,
                "power": member.power.to_string(),
                "weight": member.weight,
                "blsKey": bytes(member.key.to_eip2537()),
            })
        };
        // All of a large set's members are in its pages.
        let shown = if members <= 5 { set.members() } else { &[] };
        Ok(json!({
            "service": set.service(),
            "set": set.number(),
            "count": members,
            "power": set.power().to_string(),
            "key": bytes(set.key().to_eip2537()),
            "members": shown.iter().map(member).collect::<Vec<_>>(),
            "pages": [bytes(&first), bytes(&second)],
        }))
    };
    [1, 2, 5, 64, 65, 128].into_iter().map(vector).collect()
}

/// Certificates of sets of `sets.json`, with nobody, few and many absent.
fn certificates() -> Result<Vec<Json>> {
    let cases: [(usize, &[usize]); 9] = [
        (1, &[]),
        (2, &[0]),
        (5, &[]),
        (5, &[4]),
        (5, &[0, 1, 2, 3]),
        (64, &[0, 63]),
        (65, &[64]),
        (128, &[]),
        (128, &[0, 1, 2, 31, 63, 64, 65, 100, 126, 127]),
    ];
    let vector = |(members, absent): (usize, &[usize])| {
        let (set, secrets) = some_set(members)?;
        let signers = set.all().without(absent.iter().copied().collect());
        let votes = some_votes(5);
        let tree = VoteTree::new(&votes)?;
        let ballot = Ballot {
            service: set.service(),
            set: set.number(),
            root: tree.root(),
        };
        let digest = ballot.digest(&quorum());
        let signatures: Vec<_> = signers
            .iter()
            .filter_map(|i| secrets.get(i))
            .map(|s| s.sign(&digest))
            .collect();
        let certificate = Certificate {
            ballot,
            signers,
            signature: Signature::sum(&signatures)?,
        };
        let proven = Proven {
            certificate,
            vote: votes[4],
            proof: tree.proof(4).context("the last vote")?,
        };
        let power = proven.verify(&quorum(), &set)?;
        let key = set.key_of(signers).context("signers of the set")?;
        Ok(json!({
            "members": members,
            "domain": domain_json(&quorum()),
            "service": ballot.service,
            "set": ballot.set,
            "root": ballot.root,
            "signers": signers.to_u256(),
            "absent": absent,
            "digest": digest,
            "key": bytes(key.to_eip2537()),
            "signature": bytes(certificate.signature.to_eip2537()),
            "compressed": bytes(certificate.signature.to_compressed()),
            "power": power.to_string(),
            "total": set.power().to_string(),
            "quorumReached": Quorum::DEFAULT.is_reached(power, set.power()),
            "vote": vote_json(&proven.vote),
            "proof": proven.proof,
            "rlp": bytes(certificate.to_rlp()),
            "provenRlp": bytes(proven.to_rlp()),
        }))
    };
    cases.into_iter().map(vector).collect()
}

fn weights() -> Vec<Json> {
    let token = U256::from(10).pow(U256::from(18));
    let seen = Record {
        first_seen: NOW - 45 * DAY,
        ..Record::default()
    };
    let veteran = Record {
        done: 1_000,
        missed: 10,
        absent: 50,
        first_call: 500,
        incidents: 1,
        last_incident: NOW - 31 * DAY,
        first_seen: NOW - 400 * DAY,
        slashed: 10,
    };
    let incidents = |incidents: u16, days: u64| Record {
        incidents,
        last_incident: NOW - days * DAY,
        ..seen
    };
    let worst = Record {
        done: 0,
        missed: u32::MAX,
        absent: u32::MAX,
        first_call: 0,
        incidents: u16::MAX,
        last_incident: NOW,
        first_seen: NOW,
        slashed: u32::MAX,
    };
    let best = Record {
        done: u32::MAX,
        first_seen: 1,
        ..Record::default()
    };
    let mut cases = vec![
        ("never seen", Record::default(), token * U256::from(100), 0),
        (
            "never seen, others were busy",
            Record::default(),
            token * U256::from(100),
            10_000,
        ),
        (
            "seen now",
            Record {
                first_seen: NOW,
                ..seen
            },
            token * U256::from(100),
            0,
        ),
        ("half the support", seen, token * U256::from(100), 0),
        (
            "all the support",
            Record {
                first_seen: NOW - 90 * DAY,
                ..seen
            },
            token * U256::from(100),
            0,
        ),
        (
            "more support",
            Record {
                first_seen: NOW - 91 * DAY,
                ..seen
            },
            token * U256::from(100),
            0,
        ),
        ("no bond", seen, U256::ZERO, 0),
        (
            "a bond below a thousandth",
            seen,
            U256::from(999_999_999_999_999_u64),
            0,
        ),
        ("a thousandth", seen, U256::from(1_000_000_000_000_000_u64), 0),
        (
            "the largest stake that counts",
            best,
            token * U256::from((1_u64 << 30) / 1_000 + 1),
            u32::MAX,
        ),
        (
            "all there can be",
            best,
            (U256::from(1) << 96) - U256::from(1),
            u32::MAX,
        ),
        ("one missed", Record { missed: 1, ..seen }, token * U256::from(100), 0),
        (
            "mostly missed",
            Record {
                done: 3,
                missed: 500,
                ..seen
            },
            token * U256::from(100),
            0,
        ),
        (
            "mostly absent",
            Record { absent: 990, ..seen },
            token * U256::from(100),
            1_000,
        ),
        (
            "absent more often than there were calls",
            Record { absent: 99, ..seen },
            token * U256::from(100),
            10,
        ),
        ("half lost", Record { slashed: 100, ..seen }, token * U256::from(100), 0),
        ("a veteran", veteran, token * U256::from(12_345), 9_999),
        ("the worst", worst, token, u32::MAX),
    ];
    let counts = [
        (1, 0),
        (1, 29),
        (1, 30),
        (2, 30),
        (3, 59),
        (10, 0),
        (11, 0),
        (65_535, 3_000),
    ];
    cases.extend(counts.map(|(count, days)| ("incidents", incidents(count, days), token * U256::from(5_000), 0)));
    // And many that look like nothing in particular.
    for i in 0..64_u64 {
        let word: [u64; 4] = from_fn(|j| U256::from_be_bytes(noise(&format!("record {i}.{j}")).0).as_limbs()[0]);
        let record = Record {
            done: (word[0] % 5_000) as u32,
            missed: ((word[0] >> 16) % 300) as u32,
            absent: ((word[0] >> 32) % 9_000) as u32,
            first_call: (word[1] % 1_000) as u32,
            incidents: ((word[1] >> 16) % 6) as u16,
            last_incident: NOW - (word[1] >> 32) % (200 * DAY),
            first_seen: NOW - word[2] % (150 * DAY),
            slashed: ((word[2] >> 32) % 2_000) as u32,
        };
        cases.push((
            "",
            record,
            U256::from(word[3]) * U256::from(10_000),
            (word[3] >> 40) as u32 % 20_000 + 1_000,
        ));
    }
    let vector = |(name, r, bond, calls): (&str, Record, U256, u32)| {
        json!({
            "name": name,
            "bond": bond.to_string(), "calls": calls, "now": NOW,
            "done": r.done, "missed": r.missed, "absent": r.absent, "firstCall": r.first_call,
            "incidents": r.incidents, "lastIncident": r.last_incident, "firstSeen": r.first_seen, "slashed": r.slashed,
            "weight": r.weight(bond, calls, NOW),
        })
    };
    cases.into_iter().map(vector).collect()
}

fn selections() -> Vec<Json> {
    let many: Vec<u64> = (0..128).map(|i| 1 + (i * i * 7_919) % 100_000).collect();
    let cases: Vec<(&str, Vec<u64>, Signers)> = vec![
        ("one", vec![5], Signers::from_bits(u128::MAX)),
        ("one without weight", vec![0], Signers::from_bits(u128::MAX)),
        ("ties", vec![1; 7], Signers::from_bits(u128::MAX)),
        (
            "some without weight",
            vec![0, 3, 0, 5, 0, 0, 7, 0],
            Signers::from_bits(u128::MAX),
        ),
        (
            "one has nearly all",
            vec![1, 1, 1 << 30, 1, 1],
            Signers::from_bits(u128::MAX),
        ),
        (
            "the largest weights",
            vec![u64::MAX; 128],
            Signers::from_bits(u128::MAX),
        ),
        ("many", many.clone(), Signers::from_bits(u128::MAX)),
        (
            "many, of whom few are named",
            many.clone(),
            [0, 1, 64, 127].into_iter().collect(),
        ),
        ("many, of whom nobody is named", many, Signers::NONE),
        (
            "five, of whom three are named",
            vec![10, 20, 30, 40, 50],
            [0, 2, 4].into_iter().collect(),
        ),
    ];
    let vector = |name: &str, weights: &[u64], only: Signers, seed: B256, validators: u8| {
        let masked = selection::among(weights, |index| only.contains(index));
        let roles = Roles::draw(seed, &masked, validators);
        json!({
            "name": name,
            "seed": seed,
            "weights": weights.iter().map(u64::to_string).collect::<Vec<_>>(),
            "only": only.to_u256(),
            "order": selection::order(seed, &masked, weights.len()),
            "validators": validators,
            "executors": (0..selection::ATTEMPTS).map_while(|attempt| roles.executor(attempt)).collect::<Vec<_>>(),
            "committee": roles.committee(),
        })
    };
    let seeds = |i: usize| [noise(&format!("seed {i}")), B256::with_last_byte(i as u8)];
    let each = |(i, (name, weights, only)): (usize, (&str, Vec<u64>, Signers))| {
        let validators = [0, 1, 3, 31];
        let both = seeds(i).into_iter().zip(validators.into_iter().cycle().skip(i));
        both.map(|(seed, validators)| vector(name, &weights, only, seed, validators))
            .collect::<Vec<_>>()
    };
    cases.into_iter().enumerate().flat_map(each).collect()
}

fn sealed() -> Result<Vec<Json>> {
    let values = some_values()?;
    let picked = ["null", "an order", "text"];
    let vector = |(i, name): (usize, &str)| {
        let (_, value) = values.iter().find(|(found, _)| *found == name).context("a value")?;
        let task = noise(&format!("task {i}"));
        let seed = noise(&format!("sealing seed {i}"));
        let mut recipients = Vec::new();
        for number in 0..=i {
            let (secret, operator) = operator(number)?;
            recipients.push((operator, keys::encryption_secret(&secret)));
        }
        let public = |(operator, secret): &(Address, sealed::SecretKey)| (*operator, secret.public_key());
        let sealing = Sealed::seal(&seed.0, task, value, recipients.iter().map(public))?;
        for (operator, secret) in &recipients {
            let opened = sealing.sealed.open(*operator, secret, sealing.hash)?;
            ensure!(
                opened.value == *value && opened.salt == sealing.salt,
                "{name} opens as something else"
            );
        }
        let recipient = |(operator, secret): &(Address, sealed::SecretKey)| json!({ "recipient": operator, "encryptionSecret": bytes(*secret.to_bytes()) });
        Ok(json!({
            "seed": seed,
            "task": task,
            "json": value.to_string(),
            "recipients": recipients.iter().map(recipient).collect::<Vec<_>>(),
            "salt": sealing.salt,
            "hash": sealing.hash,
            "rlp": bytes(sealing.sealed.to_rlp()),
        }))
    };
    picked.into_iter().enumerate().map(vector).collect()
}
