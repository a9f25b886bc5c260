//! `vectors/primitives/`: identifiers, digests, signatures and encodings, for every implementation to agree on. The
//! folder's README says what the fields are.

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use anyhow::Result;
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use surety_primitives::{
    Answer, Budget, CompactSignature, DisputeId, Domain, InputHash, OperatorRegistration, Outcome, Output, ProgramHash,
    Request, RequestHash, Statement, Status, forced_request_hash, service_chain_id,
};

pub(crate) fn run(args: &[String]) -> Result<()> {
    let files = [
        ("statements.json", statements()?),
        ("dispute_ids.json", dispute_ids()?),
        ("outcomes.json", outcomes()),
        ("outputs.json", outputs()?),
        ("chain_ids.json", chain_ids()),
        ("forced_requests.json", forced_requests()),
        ("responses.json", responses()?),
        ("registrations.json", registrations()?),
        ("requests.json", requests()?),
        ("answers.json", answers()?),
    ];
    crate::vectors::run("primitives", args, &files)
}

/// Something fixed that looks like nothing in particular.
fn noise(name: &str) -> B256 {
    keccak256(name)
}

fn some_address(name: &str) -> Address {
    Address::from_word(noise(name))
}

fn key(name: &str) -> Result<SigningKey> {
    Ok(SigningKey::from_slice(noise(name).as_slice())?)
}

fn address_of(key: &SigningKey) -> Address {
    Address::from_public_key(key.verifying_key())
}

fn some_statements() -> Result<Vec<Statement>> {
    let budgets = [0, 1, 1_000, 10_000_000, (1 << 40) - 1, Budget::MAX];
    let some = |(i, steps): (usize, &u64)| {
        Ok(Statement {
            service: some_address(&format!("service {i}")),
            program: ProgramHash(noise(&format!("program {i}"))),
            input: InputHash(noise(&format!("input {i}"))),
            budget: Budget::new(*steps)?,
        })
    };
    budgets.iter().enumerate().map(some).collect()
}

fn statement_json(statement: &Statement) -> Value {
    json!({
        "service": statement.service,
        "program": statement.program,
        "input": statement.input,
        "budget": statement.budget.steps(),
    })
}

fn statements() -> Result<Vec<Value>> {
    let vector = |s: &Statement| json!({ "statement": statement_json(s), "abi": hex::encode_prefixed(s.abi_encode()), "id": s.id() });
    Ok(some_statements()?.iter().map(vector).collect())
}

/// Each statement, disputed by two accounts.
fn dispute_ids() -> Result<Vec<Value>> {
    let vector = |s: &Statement, opener: &str| {
        let (statement, opener) = (s.id(), some_address(opener));
        json!({ "statement": statement, "opener": opener, "id": DisputeId::new(statement, opener) })
    };
    let both = |s: &Statement| [vector(s, "opener"), vector(s, "another opener")];
    Ok(some_statements()?.iter().flat_map(both).collect())
}

fn some_outcomes() -> [Outcome; 5] {
    let outcome = |status, exit, name: &str| Outcome {
        status,
        exit,
        output_root: noise(name).into(),
    };
    [
        Outcome {
            status: Status::Halted,
            exit: 0,
            output_root: B256::ZERO.into(),
        },
        outcome(Status::Halted, 0, "output"),
        outcome(Status::Halted, u32::MAX, "output"),
        outcome(Status::Trapped, 5, "other output"),
        outcome(Status::OutOfSteps, 0, "output"),
    ]
}

fn outcomes() -> Vec<Value> {
    let vector = |o: &Outcome| {
        json!({
            "status": o.status as u8,
            "exit": o.exit,
            "outputRoot": o.output_root,
            "result": o.result_hash(),
        })
    };
    some_outcomes().iter().map(vector).collect()
}

fn some_outputs() -> Result<Vec<(&'static str, Output)>> {
    let bytes = |n: usize| (0..n).map(|i| i as u8).collect::<Vec<_>>();
    Ok(vec![
        ("empty", Output::default()),
        ("one byte", Output::canonical(bytes(1))?),
        ("one whole chunk", Output::canonical(bytes(32))?),
        ("a chunk and a byte", Output::canonical(bytes(33))?),
        ("many chunks", Output::canonical(bytes(200))?),
        ("a short chunk first", Output::with_chunks(bytes(40), [8, 32])?),
        ("byte by byte", Output::with_chunks(bytes(5), [1; 5])?),
        ("canonical lengths, given", Output::with_chunks(bytes(65), [32, 32, 1])?),
    ])
}

fn outputs() -> Result<Vec<Value>> {
    let vector = |(name, output): (&str, Output)| {
        json!({
            "name": name,
            "output": hex::encode_prefixed(output.bytes()),
            // One byte a length, as the contracts take them; empty when canonical.
            "chunks": hex::encode_prefixed(output.chunks().unwrap_or_default()),
            "root": output.root(),
        })
    };
    Ok(some_outputs()?.into_iter().map(vector).collect())
}

fn chain_ids() -> Vec<Value> {
    let all = [1, 31337, 11_155_111, (1 << 53) - 1]
        .into_iter()
        .flat_map(|l1| (0..4).map(move |i| (l1, i)));
    all.map(|(l1, i)| {
        let service = some_address(&format!("service {i}"));
        json!({ "l1": l1, "service": service, "chainId": service_chain_id(l1, service) })
    })
    .collect()
}

fn forced_requests() -> Vec<Value> {
    let vector = |id: u64| {
        let service = some_address("service 0");
        let hash = forced_request_hash(31337, service, U256::from(id));
        json!({ "l1": 31337, "service": service, "id": id, "request": hash })
    };
    [0, 1, 2, 1 << 40].into_iter().map(vector).collect()
}

fn domain() -> Domain {
    Domain {
        chain_id: 31337,
        verifying_contract: some_address("contract"),
    }
}

fn domain_json(domain: &Domain) -> Value {
    json!({
        "chainId": domain.chain_id,
        "verifyingContract": domain.verifying_contract,
        "separator": domain.separator(),
    })
}

fn some_answers() -> Result<Vec<Answer>> {
    let outputs = some_outputs()?;
    let mut answers = Vec::new();
    for (i, (statement, (_, output))) in some_statements()?
        .into_iter()
        .zip(outputs.into_iter().cycle().skip(3))
        .enumerate()
    {
        let status = match i % 3 {
            0 => Status::Halted,
            1 => Status::Trapped,
            _ => Status::OutOfSteps,
        };
        let exit = if status == Status::OutOfSteps { 0 } else { i as u32 };
        let outcome = Outcome {
            status,
            exit,
            output_root: output.root(),
        };
        let key = key(&format!("operator {i}"))?;
        let mut answer = Answer {
            statement,
            request: RequestHash(noise(&format!("request {i}"))),
            requester: some_address(&format!("requester {i}")),
            outcome,
            result: outcome.result_hash(),
            output,
            operator: address_of(&key),
            signature: CompactSignature::default(),
        };
        answer.signature = CompactSignature::sign(&key, &answer.response().digest(&domain()))?;
        answers.push(answer);
    }
    Ok(answers)
}

fn responses() -> Result<Vec<Value>> {
    let domain = domain();
    let vector = |(i, answer): (usize, Answer)| {
        let response = answer.response();
        json!({
            "domain": domain_json(&domain),
            "statement": statement_json(&answer.statement),
            "request": answer.request,
            "requester": answer.requester,
            "result": answer.result,
            "structHash": response.struct_hash(),
            "digest": response.digest(&domain),
            "key": noise(&format!("operator {i}")),
            "operator": answer.operator,
            "r": answer.signature.r,
            "vs": answer.signature.vs,
        })
    };
    Ok(some_answers()?.into_iter().enumerate().map(vector).collect())
}

fn registrations() -> Result<Vec<Value>> {
    let domain = domain();
    let mut vectors = Vec::new();
    for (i, endpoint) in ["", "https://node.example:8545", "http://127.0.0.1:8545/ünïcode"]
        .into_iter()
        .enumerate()
    {
        let key = key(&format!("operator {i}"))?;
        let owner = some_address(&format!("owner {i}"));
        let registration = OperatorRegistration {
            key: address_of(&key),
            owner,
            endpoint: endpoint.into(),
        };
        let digest = registration.digest(&domain);
        let signature = CompactSignature::sign(&key, &digest)?;
        vectors.push(json!({
            "domain": domain_json(&domain),
            "operator": registration.key,
            "owner": owner,
            "endpoint": endpoint,
            "digest": digest,
            "signature": signature,
        }));
    }
    Ok(vectors)
}

/// Signed transactions, and what becomes of them.
fn requests() -> Result<Vec<Value>> {
    let service = some_address("service 0");
    let chain_id = service_chain_id(31337, service);
    let key = key("requester")?;
    let good = Transaction {
        kind: 2,
        chain_id,
        gas_limit: 1_000,
        to: service.to_vec(),
        value: 0,
        data: hex::decode("70a08231000000000000000000000000000000000000000000000000000000000000dead")?,
        access_list: vec![],
        high_s: false,
    };
    let mut vectors = Vec::new();
    let mut add = |name: &str, raw: Vec<u8>| {
        let mut vector = json!({
            "name": name, "service": service, "chainId": chain_id, "raw": hex::encode_prefixed(&raw),
        });
        let fields = match Request::decode(&raw, chain_id, service) {
            Ok(request) => json!({
                "hash": request.hash,
                "requester": request.requester,
                "nonce": request.nonce,
                "budget": request.budget.steps(),
                "data": request.data,
                "input": request.input_hash(),
            }),
            Err(error) => json!({ "refused": error.to_string() }),
        };
        if let (Some(vector), Value::Object(fields)) = (vector.as_object_mut(), fields) {
            vector.extend(fields);
        }
        vectors.push(vector);
    };
    add("a call", good.sign(&key)?);
    add(
        "the highest budget",
        Transaction {
            gas_limit: 35_184_372_088,
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "no data",
        Transaction {
            data: vec![],
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "budget above the limit",
        Transaction {
            gas_limit: 35_184_372_089,
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "no gas",
        Transaction {
            gas_limit: 0,
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "another chain",
        Transaction {
            chain_id: 1,
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "another contract",
        Transaction {
            to: vec![7; 20],
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "creates a contract",
        Transaction {
            to: vec![],
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "sends value",
        Transaction {
            value: 1,
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "has an access list",
        Transaction {
            access_list: vec![0xc0],
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "another type",
        Transaction {
            kind: 1,
            ..good.clone()
        }
        .sign(&key)?,
    );
    add(
        "high s",
        Transaction {
            high_s: true,
            ..good.clone()
        }
        .sign(&key)?,
    );
    let raw = good.sign(&key)?;
    add("cut short", raw.get(..raw.len() - 1).unwrap_or_default().to_vec());
    add("a byte too many", [raw, vec![0]].concat());
    add("empty", vec![]);
    Ok(vectors)
}

/// Just enough of an EIP-1559 transaction to make good ones and bad ones.
#[derive(Clone)]
struct Transaction {
    kind: u8,
    chain_id: u64,
    gas_limit: u64,
    to: Vec<u8>,
    value: u64,
    data: Vec<u8>,
    /// Payload of the list.
    access_list: Vec<u8>,
    high_s: bool,
}

impl Transaction {
    fn sign(&self, key: &SigningKey) -> Result<Vec<u8>> {
        let number = |n: u64| string(U256::from(n).to_be_bytes_trimmed_vec());
        let mut fields = Vec::new();
        for n in [self.chain_id, 3, 1, 2, self.gas_limit] {
            fields.extend(number(n));
        }
        fields.extend(string(self.to.clone()));
        fields.extend(number(self.value));
        fields.extend(string(self.data.clone()));
        fields.extend(item(0xc0, self.access_list.clone()));
        let hash = keccak256([vec![self.kind], item(0xc0, fields.clone())].concat());
        let (signature, id) = key.sign_prehash_recoverable(hash.as_slice())?;
        let signature = alloy_primitives::Signature::from((signature, id));
        let order: U256 = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse()?;
        let (s, parity) = if self.high_s {
            (order - signature.s(), !signature.v())
        } else {
            (signature.s(), signature.v())
        };
        fields.extend(number(parity.into()));
        fields.extend(string(signature.r().to_be_bytes_trimmed_vec()));
        fields.extend(string(s.to_be_bytes_trimmed_vec()));
        Ok([vec![self.kind], item(0xc0, fields)].concat())
    }
}

/// RLP of a string.
fn string(bytes: Vec<u8>) -> Vec<u8> {
    match bytes.as_slice() {
        [byte] if *byte < 0x80 => bytes,
        _ => item(0x80, bytes),
    }
}

/// RLP of a string (0x80) or a list (0xc0) with this payload.
fn item(base: u8, payload: Vec<u8>) -> Vec<u8> {
    let length = payload.len();
    let head = if length < 56 {
        vec![base + length as u8]
    } else {
        let length = U256::from(length).to_be_bytes_trimmed_vec();
        [vec![base + 55 + length.len() as u8], length].concat()
    };
    [head, payload].concat()
}

fn answers() -> Result<Vec<Value>> {
    some_answers()?
        .iter()
        .map(|answer| Ok(serde_json::to_value(answer)?))
        .collect()
}
