//! `explorer` over a real block: right answers, and no answer from wrong data.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_consensus::{Header, Typed2718};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_sol_types::{SolCall, sol};
use programs_tests::{AccountProof, Answer, Fixtures, Program, testdata};
use proptest::prelude::*;

sol! {
    function balanceOf(bytes32 blockHash, address account) returns (uint256);
    function receipt(bytes32 blockHash, uint256 index)
        returns (uint8 kind, bool success, uint256 cumulativeGasUsed, uint256 logs, bytes raw);
}

/// Absent from the state: its path ends in an empty slot of a branch that the known proofs pass through.
const ABSENT: Address = address!("0x000000000000000000000000000000000003a65f");

fn fixtures() -> Fixtures {
    Fixtures::load(&testdata()).unwrap()
}

fn balance_call(block_hash: B256, account: Address) -> Vec<u8> {
    balanceOfCall {
        blockHash: block_hash,
        account,
    }
    .abi_encode()
}

fn receipt_call(block_hash: B256, index: u64) -> Vec<u8> {
    receiptCall {
        blockHash: block_hash,
        index: U256::from(index),
    }
    .abi_encode()
}

fn balance(answer: &Answer) -> U256 {
    balanceOfCall::abi_decode_returns(answer.success().unwrap()).unwrap()
}

#[test]
fn balances_are_those_of_the_node() {
    let (explorer, fixtures) = (Program::explorer().unwrap(), fixtures());
    for account in &fixtures.accounts {
        let answer = explorer.call(&balance_call(fixtures.hash, account.address)).unwrap();
        assert_eq!(balance(&answer), account.balance, "{}", account.address);
        println!("balanceOf({}): {} steps", account.address, answer.steps);
    }
}

#[test]
fn an_account_that_the_state_does_not_have_has_nothing() {
    let answer = Program::explorer()
        .unwrap()
        .call(&balance_call(fixtures().hash, ABSENT))
        .unwrap();
    assert_eq!(balance(&answer), U256::ZERO);
}

#[test]
fn all_receipts_are_those_of_the_node() {
    let (explorer, fixtures) = (Program::explorer().unwrap(), fixtures());
    let mut steps = Vec::new();
    for (index, expected) in fixtures.receipts.iter().enumerate() {
        let answer = explorer.call(&receipt_call(fixtures.hash, index as u64)).unwrap();
        let receipt = receiptCall::abi_decode_returns(answer.success().unwrap()).unwrap();
        assert_eq!(receipt.kind, expected.ty(), "type of receipt {index}");
        assert_eq!(receipt.success, expected.status(), "status of receipt {index}");
        assert_eq!(
            receipt.cumulativeGasUsed,
            U256::from(expected.cumulative_gas_used()),
            "gas of receipt {index}"
        );
        assert_eq!(
            receipt.logs,
            U256::from(expected.logs().len()),
            "logs of receipt {index}"
        );
        assert_eq!(receipt.raw, expected.encoded_2718(), "encoding of receipt {index}");
        steps.push(answer.steps);
    }
    steps.sort();
    println!(
        "receipt: {} to {} steps, median {}",
        steps[0],
        steps[steps.len() - 1],
        steps[steps.len() / 2]
    );
    assert_eq!(steps.len(), 202);
}

#[test]
fn the_hints_name_what_will_be_read() {
    let (explorer, fixtures) = (Program::explorer().unwrap(), fixtures());
    let hash = fixtures.hash;
    let account = fixtures.accounts[0].address;
    let answer = explorer.call(&balance_call(hash, account)).unwrap();
    assert_eq!(
        answer.hints,
        [format!("header {hash}"), format!("account {hash} 0x{}", hex(account))]
    );
    let answer = explorer.call(&receipt_call(hash, 3)).unwrap();
    assert_eq!(answer.hints, [format!("header {hash}"), format!("receipts {hash}")]);
}

fn hex(address: Address) -> String {
    address.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_receipt_past_the_last_is_refused() {
    let (explorer, hash) = (Program::explorer().unwrap(), fixtures().hash);
    for index in [202, 255, 256, u64::MAX] {
        let answer = explorer.call(&receipt_call(hash, index)).unwrap();
        assert_eq!(answer.refusal().unwrap(), format!("no receipt at index: {index}"));
    }
    let call = receiptCall {
        blockHash: hash,
        index: U256::MAX,
    }
    .abi_encode();
    assert!(
        explorer
            .call(&call)
            .unwrap()
            .refusal()
            .unwrap()
            .starts_with("no receipt at index: 0xff")
    );
}

#[test]
fn malformed_arguments_are_refused() {
    let (explorer, fixtures) = (Program::explorer().unwrap(), fixtures());
    let good = balance_call(fixtures.hash, fixtures.accounts[0].address);
    for length in 4..good.len() {
        assert!(
            explorer
                .call(&good[..length])
                .unwrap()
                .refusal()
                .unwrap()
                .contains("bytes of data")
        );
    }
    for dirty in 36..48 {
        let mut call = good.clone();
        call[dirty] = 1;
        assert_eq!(
            explorer.call(&call).unwrap().refusal().unwrap(),
            "argument 1 is not a valid address"
        );
    }
}

#[test]
fn without_a_node_there_is_no_answer() {
    let fixtures = fixtures();
    let account = &fixtures.accounts[0];
    let header = alloy_rlp::encode(&fixtures.header);
    for missing in 0..account.account_proof.len() {
        let mut explorer = Program::load("explorer").unwrap();
        explorer.add(&header);
        for (index, node) in account.account_proof.iter().enumerate() {
            if index != missing {
                explorer.add(node);
            }
        }
        let error = explorer
            .call(&balance_call(fixtures.hash, account.address))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("missing") && error.contains(&keccak_hex(&account.account_proof[missing])),
            "{error}"
        );
    }
}

fn keccak_hex(bytes: &[u8]) -> String {
    keccak256(bytes).to_string().trim_start_matches("0x").to_owned()
}

/// Every preimage that a balance depends on: the header and the nodes.
fn path(fixtures: &Fixtures, account: &AccountProof) -> Vec<Vec<u8>> {
    let mut path = vec![alloy_rlp::encode(&fixtures.header)];
    path.extend(account.account_proof.iter().map(|node| node.to_vec()));
    path
}

#[test]
fn a_wrong_node_is_refused_and_not_believed() {
    let (explorer, fixtures) = (Program::explorer().unwrap(), fixtures());
    let account = &fixtures.accounts[0];
    let call = balance_call(fixtures.hash, account.address);
    let other_account = fixtures.accounts[1].account_proof.last().unwrap();
    for honest in path(&fixtures, account) {
        let hash = keccak256(&honest);
        let mut lies = vec![
            Vec::new(),
            honest[..honest.len() - 1].to_vec(),
            [&honest[..], &[0]].concat(),
            other_account.to_vec(),
        ];
        for at in [0, 1, 5, honest.len() / 2, honest.len() - 1] {
            let mut lie = honest.clone();
            lie[at] ^= 0x01;
            lies.push(lie);
        }
        for lie in lies {
            let answer = explorer.call_with_lie(&call, hash.0, &lie).unwrap();
            let reason = answer.refusal().unwrap();
            let expected = format!("preimage has the hash {}, expected {hash}", keccak256(&lie));
            assert!(reason.ends_with(&expected), "{reason}");
        }
        // The way the lies are told is not what is refused.
        assert_eq!(
            balance(&explorer.call_with_lie(&call, hash.0, &honest).unwrap()),
            account.balance
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_altered_byte_changes_the_answer(node in 0usize..9, at: proptest::sample::Index, flip in 1u8..) {
        let (explorer, fixtures) = (Program::explorer().unwrap(), fixtures());
        let account = &fixtures.accounts[0];
        let mut lie = path(&fixtures, account).swap_remove(node);
        let hash = keccak256(&lie);
        let at = at.index(lie.len());
        lie[at] ^= flip;
        let answer = explorer.call_with_lie(&balance_call(fixtures.hash, account.address), hash.0, &lie).unwrap();
        prop_assert!(answer.refusal().unwrap().contains("preimage has the hash"));
    }
}

/// A forged chain: a block whose state trie is these nodes, the first being the root. Every hash is right.
fn forged(nodes: &[Vec<u8>]) -> (Program, B256) {
    let mut explorer = Program::load("explorer").unwrap();
    let header = Header {
        state_root: keccak256(&nodes[0]),
        ..Default::default()
    };
    let header = alloy_rlp::encode(header);
    explorer.add(&header);
    for node in nodes {
        explorer.add(node);
    }
    (explorer, keccak256(header))
}

fn refusal(nodes: &[Vec<u8>]) -> String {
    let (explorer, hash) = forged(nodes);
    explorer.call(&balance_call(hash, ABSENT)).unwrap().refusal().unwrap()
}

fn list(items: &[&[u8]]) -> Vec<u8> {
    let payload = items.concat();
    let mut out = Vec::new();
    alloy_rlp::Header {
        list: true,
        payload_length: payload.len(),
    }
    .encode(&mut out);
    out.extend_from_slice(&payload);
    out
}

fn string(bytes: &[u8]) -> Vec<u8> {
    alloy_rlp::encode(Bytes::copy_from_slice(bytes))
}

#[test]
fn malformed_nodes_with_the_right_hash_are_refused() {
    let key = keccak256(ABSENT);
    let leaf_path = string(&[&[0x20][..], &key[..]].concat());
    let account = list(&[&string(&[]), &string(&[9]), &string(&[1; 32]), &string(&[2; 32])]);
    let value = string(&account);
    let good_leaf = list(&[&leaf_path, &value]);
    let (explorer, hash) = forged(std::slice::from_ref(&good_leaf));
    assert_eq!(
        balance(&explorer.call(&balance_call(hash, ABSENT)).unwrap()),
        U256::from(9)
    );

    // Nodes.
    assert!(refusal(&[b"not RLP, and long enough for a node of a trie".to_vec()]).contains("RLP"));
    assert!(refusal(&[string(&[1; 40])]).contains("RLP"));
    assert!(refusal(&[[&good_leaf[..], &[0x80]].concat()]).contains("after its last item"));
    assert!(refusal(&[good_leaf[..good_leaf.len() - 1].to_vec()]).contains("cut short"));
    assert!(refusal(&[list(&[&leaf_path, &value, &value])]).contains("neither 2 nor 17"));
    assert!(refusal(&[list(&[&leaf_path])]).contains("neither 2 nor 17"));
    assert!(refusal(&[list(&[&leaf_path, &string(&[])])]).contains("no value"));
    for prefix in [0x10u8, 0x2f, 0x40, 0x80, 0xff].map(|prefix| string(&[&[prefix][..], &key[..]].concat())) {
        let reason = refusal(&[list(&[&prefix, &value])]);
        assert!(reason.contains("malformed") || reason.contains("RLP"), "{reason}");
    }
    assert!(refusal(&[list(&[&string(&[]), &value])]).contains("malformed path"));

    // Extensions: without a path, to nothing, to another extension or a leaf.
    assert!(refusal(&[list(&[&string(&[0x00]), &string(&[3; 32])])]).contains("malformed path"));
    let step = string(&[0x10 | key[0] >> 4]);
    assert!(refusal(&[list(&[&step, &string(&[])])]).contains("malformed child"));
    assert!(refusal(&[list(&[&step, &string(&[3; 31])])]).contains("malformed child"));
    let rest = string(&[&[0x30 | key[0] & 0x0f][..], &key[1..]].concat());
    let leaf = list(&[&rest, &value]);
    assert!(
        refusal(&[list(&[&step, &string(&keccak256(&leaf)[..])]), leaf.clone()]).contains("does not lead to a branch")
    );

    // Branches: children of the wrong length, a large node in place, a small one behind a hash.
    let branch = |child: &[u8]| {
        let slots: Vec<Vec<u8>> = (0..17)
            .map(|slot| {
                if slot == key[0] >> 4 {
                    child.to_vec()
                } else {
                    string(&[])
                }
            })
            .collect();
        list(&slots.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    assert!(refusal(&[branch(&string(&[5; 31]))]).contains("malformed child"));
    assert!(refusal(&[branch(&leaf)]).contains("malformed child"));
    let small = list(&[&string(&[0x30 | key[0] & 0x0f]), &string(&[1])]);
    assert!(refusal(&[branch(&string(&keccak256(&small)[..])), small]).contains("less than 32 bytes behind a hash"));

    // Accounts.
    for account in [
        string(&[1; 70]),
        list(&[&string(&[]), &string(&[9]), &string(&[1; 32])]),
        list(&[&string(&[]), &string(&[0, 9]), &string(&[1; 32]), &string(&[2; 32])]),
        list(&[&string(&[]), &string(&[9; 33]), &string(&[1; 32]), &string(&[2; 32])]),
        list(&[&string(&[]), &string(&[9]), &string(&[1; 31]), &string(&[2; 32])]),
        [
            list(&[&string(&[]), &string(&[9]), &string(&[1; 32]), &string(&[2; 32])]),
            vec![0],
        ]
        .concat(),
    ] {
        let reason = refusal(&[list(&[&leaf_path, &string(&account)])]);
        assert!(reason.starts_with("account: RLP"), "{reason}");
    }
}

#[test]
fn a_key_that_leads_elsewhere_proves_absence() {
    let key = keccak256(ABSENT);
    let mut other = key;
    other[31] ^= 1;
    let value = string(&[1; 70]);
    let leaf = list(&[&string(&[&[0x20][..], &other[..]].concat()), &value]);
    let extension = list(&[&string(&[0x10 | (other[0] >> 4 ^ 1)]), &string(&[7; 32])]);
    for nodes in [[leaf], [extension]] {
        let (explorer, hash) = forged(&nodes);
        assert_eq!(
            balance(&explorer.call(&balance_call(hash, ABSENT)).unwrap()),
            U256::ZERO
        );
    }
    // A state without any account.
    let mut explorer = Program::load("explorer").unwrap();
    let header = alloy_rlp::encode(Header {
        state_root: alloy_trie::EMPTY_ROOT_HASH,
        ..Default::default()
    });
    let hash = explorer.add(&header);
    assert_eq!(
        balance(&explorer.call(&balance_call(hash.into(), ABSENT)).unwrap()),
        U256::ZERO
    );
}

#[test]
fn what_is_no_header_is_refused() {
    let fixtures = fixtures();
    let header = alloy_rlp::encode(&fixtures.header);
    let mut short = Program::load("explorer").unwrap();
    for (bytes, expected) in [
        (vec![], "cut short"),
        (fixtures.accounts[0].account_proof[0].to_vec(), "expected 20"),
        ([&header[..], &[1]].concat(), "after its last item"),
        (header[1..].to_vec(), "RLP"),
    ] {
        let hash = short.add(&bytes);
        let reason = short
            .call(&balance_call(hash.into(), ABSENT))
            .unwrap()
            .refusal()
            .unwrap();
        assert!(
            reason.starts_with("header: RLP") && reason.contains(expected),
            "{reason}"
        );
    }
}

/// A block whose receipts trie holds one receipt, with these bytes.
fn lone_receipt(receipt: &[u8]) -> Answer {
    let mut explorer = Program::load("explorer").unwrap();
    let leaf = list(&[&string(&[0x20, 0x80]), &string(receipt)]);
    explorer.add(&leaf);
    let header = alloy_rlp::encode(Header {
        receipts_root: keccak256(&leaf),
        ..Default::default()
    });
    let hash = explorer.add(&header);
    explorer.call(&receipt_call(hash.into(), 0)).unwrap()
}

#[test]
fn malformed_receipts_are_refused() {
    let bloom = string(&[0; 256]);
    let log = list(&[&string(&[1; 20]), &list(&[&string(&[2; 32])]), &string(b"data")]);
    let logs = list(&[&log, &log]);
    let body = |status: &[u8], logs: &[u8]| list(&[&string(status), &string(&[5]), &bloom, logs]);
    let typed = |kind: u8| [&[kind][..], &body(&[1], &logs)].concat();

    for (receipt, kind) in [
        (body(&[1], &logs), 0),
        (typed(1), 1),
        (typed(4), 4),
        (typed(0x7f), 0x7f),
    ] {
        let receipt = receiptCall::abi_decode_returns(lone_receipt(&receipt).success().unwrap()).unwrap();
        assert_eq!(
            (receipt.kind, receipt.success, receipt.logs),
            (kind, true, U256::from(2))
        );
    }
    let reason = |receipt: &[u8]| lone_receipt(receipt).refusal().unwrap();
    assert!(reason(&body(&[9; 32], &logs)).contains("before Byzantium"));
    assert!(reason(&body(&[2], &logs)).contains("other than 0 and 1"));
    assert!(reason(&body(&[1], &string(b"logs"))).contains("RLP"));
    assert!(
        reason(&body(
            &[1],
            &list(&[&list(&[&string(&[1; 19]), &list(&[]), &string(&[])])])
        ))
        .contains("expected 20")
    );
    assert!(reason(&typed(0)).contains("RLP"));
    assert!(reason(&typed(0x80)).contains("RLP"));
    assert!(reason(&[&typed(2)[..], &[0]].concat()).contains("after its last item"));
}
