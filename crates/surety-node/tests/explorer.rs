//! Real data through the Ethereum source: `explorer` asks for the header, the account's proof and the receipts of mainnet
//! block 21,925,176 by hints, and gets them from a JSON-RPC endpoint that is not believed.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use jsonrpsee::{
    RpcModule,
    server::{Server, ServerHandle},
};
use serde_json::{Value, json};
use support::*;
use surety_machine::Program;
use surety_node::{Node, NodeHandle};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn mainnet(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("testdata/mainnet").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// An Ethereum endpoint that knows one block.
async fn endpoint(block: Value, proof: Value, receipts: Value) -> (String, ServerHandle) {
    let mut m = RpcModule::new(());
    m.register_method("eth_getBlockByHash", move |_, _, _| block.clone())
        .unwrap();
    m.register_method("eth_getProof", move |_, _, _| proof.clone()).unwrap();
    m.register_method("eth_getBlockReceipts", move |_, _, _| receipts.clone())
        .unwrap();
    let server = Server::builder().build("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    (url, server.start(m))
}

async fn start(dir: &std::path::Path, ethereum: Vec<String>, directories: Vec<PathBuf>) -> (NodeHandle, Client) {
    let elf = std::fs::read(root().join("programs/elf/explorer.elf")).unwrap();
    let program = B256::from(Program::from_elf(&elf).unwrap().hash());
    let programs_dir = dir.join("programs");
    std::fs::create_dir_all(&programs_dir).unwrap();
    std::fs::write(programs_dir.join("explorer.elf"), elf).unwrap();
    let programs: HashMap<[u8; 4], B256> = ["balanceOf(bytes32,address)", "receipt(bytes32,uint256)"]
        .map(|m| (method(m), program))
        .into();
    let mut config = config(dir);
    config.limits.call_budget = 1 << 32;
    config.limits.program_seconds = 60;
    config.limits.request_seconds = 60;
    config.preimages.ethereum = ethereum;
    config.preimages.directories = directories;
    let methods = Arc::new(Methods {
        programs,
        ..Methods::default()
    });
    let node = Node::builder(config)
        .signer(operator())
        .chain(parts(methods))
        .start()
        .await
        .unwrap();
    let client = Client::new(node.endpoints()[0].1);
    (node, client)
}

fn method(signature: &str) -> [u8; 4] {
    *keccak256(signature).first_chunk().unwrap()
}

fn balance_of(block: B256, account: Address) -> Bytes {
    [
        &method("balanceOf(bytes32,address)")[..],
        block.as_slice(),
        account.into_word().as_slice(),
    ]
    .concat()
    .into()
}

fn receipt(block: B256, index: u64) -> Bytes {
    [
        &method("receipt(bytes32,uint256)")[..],
        block.as_slice(),
        &U256::from(index).to_be_bytes::<32>(),
    ]
    .concat()
    .into()
}

fn block_hash() -> B256 {
    serde_json::from_value(mainnet("block.json")["hash"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn explorer_answers_from_an_ethereum_endpoint_and_from_files_alike() {
    let proof = mainnet("proof.json");
    let account: Address = serde_json::from_value(proof["address"].clone()).unwrap();
    let balance: U256 = serde_json::from_value(proof["balance"].clone()).unwrap();
    let (url, server) = endpoint(mainnet("block.json"), proof, mainnet("receipts.json")).await;
    let dir = tempfile::tempdir().unwrap();
    let (node, c) = start(dir.path(), vec![url], vec![]).await;
    let call = |data: Bytes| json!([{"to": service(), "data": data}, "latest"]);
    let found = c
        .call("eth_call", call(balance_of(block_hash(), account)))
        .await
        .unwrap();
    assert_eq!(found, json!(B256::from(balance)));
    let from_endpoint = c.call("eth_call", call(receipt(block_hash(), 3))).await.unwrap();

    // A signed answer outlives the endpoint.
    let (raw, hash) = request(0, 1_000_000, balance_of(block_hash(), account));
    c.send(&raw).await.unwrap();
    let answer = c.answer(hash).await;
    answer.verify(&domain()).unwrap();
    assert_eq!(answer.output.bytes(), balance.to_be_bytes::<32>());
    node.stop().await;
    server.stop().unwrap();

    let other = tempfile::tempdir().unwrap();
    let files = vec![root().join("testdata/mainnet/preimages")];
    let (node, c) = start(other.path(), vec![], files).await;
    assert_eq!(
        c.call("eth_call", call(receipt(block_hash(), 3))).await.unwrap(),
        from_endpoint
    );
    c.send(&raw).await.unwrap();
    assert_eq!(c.answer(hash).await, answer, "the same answer, to the signature");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_lying_endpoint_makes_the_node_decline_not_err() {
    let honest = mainnet("proof.json");
    let account: Address = serde_json::from_value(honest["address"].clone()).unwrap();
    let nodes = honest["accountProof"].as_array().unwrap().len();
    for (what, broken) in [("root", 0), ("leaf", nodes - 1)] {
        let mut proof = honest.clone();
        let node = proof["accountProof"][broken].as_str().unwrap();
        let flipped = if node.ends_with('0') { "1" } else { "0" };
        proof["accountProof"][broken] = json!(format!("{}{flipped}", &node[..node.len() - 1]));
        let (url, _server) = endpoint(mainnet("block.json"), proof, json!("nonsense")).await;
        let dir = tempfile::tempdir().unwrap();
        let (node, c) = start(dir.path(), vec![url], vec![]).await;
        let (raw, hash) = request(0, 1_000_000, balance_of(block_hash(), account));
        let e = c.send(&raw).await.unwrap_err();
        assert_eq!(e.0, -32010, "{what}: {e:?}");
        assert!(c.call("surety_getResponse", json!([hash])).await.unwrap().is_null());
        let (raw, _) = request(0, 1_000_000, receipt(block_hash(), 3));
        assert_eq!(c.send(&raw).await.unwrap_err().0, -32010);
        node.stop().await;
    }
}
