//! The provider over real HTTP: what Ethereum's tools call, what Surety adds, and what strangers send.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, Bytes, keccak256};
use serde_json::{Value, json};
use support::*;
use surety_node::{Config, Node, NodeHandle};
use surety_primitives::Status;

struct Fixture {
    dir: tempfile::TempDir,
    methods: Arc<Methods>,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hashes = install(
            &dir.path().join("programs"),
            &[
                ("echo", echo(0)),
                ("fail", echo(7)),
                ("spin", spin()),
                ("lost", lost()),
                ("fetc", fetch()),
                ("trap", vec![0]),
            ],
        );
        let mut programs: std::collections::HashMap<_, _> =
            hashes.iter().map(|(name, hash)| (selector(name), *hash)).collect();
        programs.insert(selector("gone"), B256::repeat_byte(9));
        Self {
            dir,
            methods: Arc::new(Methods {
                programs,
                ..Methods::default()
            }),
        }
    }

    fn config(&self) -> Config {
        config(self.dir.path())
    }

    async fn start(&self, config: Config) -> (NodeHandle, Client) {
        let node = Node::builder(config)
            .signer(operator())
            .chain(parts(self.methods.clone()))
            .start()
            .await
            .unwrap();
        let client = Client::new(node.endpoints()[0].1);
        (node, client)
    }
}

fn call(name: &str, arguments: &[u8]) -> Value {
    json!([{"to": service(), "data": data(name, arguments)}, "latest"])
}

#[tokio::test(flavor = "multi_thread")]
async fn speaks_what_ethereum_tools_speak() {
    let f = Fixture::new();
    let (node, c) = f.start(f.config()).await;
    let chain_id = surety_primitives::service_chain_id(L1, service());
    assert_eq!(
        c.call("eth_chainId", json!([])).await.unwrap(),
        format!("{chain_id:#x}")
    );
    assert_eq!(c.call("net_version", json!([])).await.unwrap(), chain_id.to_string());
    assert_eq!(c.call("eth_blockNumber", json!([])).await.unwrap(), "0x0");
    assert_eq!(c.call("eth_gasPrice", json!([])).await.unwrap(), "0x0");
    assert_eq!(c.call("eth_maxPriorityFeePerGas", json!([])).await.unwrap(), "0x0");
    assert_eq!(
        c.call("eth_getBalance", json!([user().address(), "latest"]))
            .await
            .unwrap(),
        "0x1000000000000000000000000"
    );
    assert_eq!(
        c.call("eth_getTransactionCount", json!([user().address(), "pending"]))
            .await
            .unwrap(),
        "0x0"
    );
    let fees = c
        .call("eth_feeHistory", json!(["0xa", "latest", [20.0]]))
        .await
        .unwrap();
    assert_eq!(
        fees,
        json!({"oldestBlock": "0x0", "baseFeePerGas": ["0x0", "0x0"], "gasUsedRatio": [0.0], "reward": [["0x0"]]})
    );
    let block = c.call("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
    assert_eq!(
        (&block["number"], &block["baseFeePerGas"]),
        (&json!("0x0"), &json!("0x0"))
    );

    let input = data("echo", b"hello");
    assert_eq!(c.call("eth_call", call("echo", b"hello")).await.unwrap(), json!(input));
    assert_eq!(c.call("eth_estimateGas", call("echo", b"hello")).await.unwrap(), "0x1");

    let (raw, hash) = request(0, 100, input.clone());
    assert_eq!(c.send(&raw).await.unwrap(), json!(hash));
    assert_eq!(c.send(&raw).await.unwrap(), json!(hash), "again: the same");
    assert_eq!(c.call("eth_blockNumber", json!([])).await.unwrap(), "0x1");
    assert_eq!(
        c.call("eth_getTransactionCount", json!([user().address(), "latest"]))
            .await
            .unwrap(),
        "0x1"
    );
    let receipt = c.call("eth_getTransactionReceipt", json!([hash])).await.unwrap();
    assert_eq!(
        (&receipt["status"], &receipt["blockNumber"]),
        (&json!("0x1"), &json!("0x1"))
    );
    // alloy is what cast is made of: what it parses, cast shows.
    let parsed: alloy::rpc::types::TransactionReceipt = serde_json::from_value(receipt.clone()).unwrap();
    assert_eq!(parsed.transaction_hash, hash);
    let tx = c.call("eth_getTransactionByHash", json!([hash])).await.unwrap();
    let parsed: alloy::rpc::types::Transaction = serde_json::from_value(tx).unwrap();
    assert_eq!(parsed.inner.signer(), user().address());
    for params in [json!(["0x1", true]), json!(["latest", true]), json!(["0x1", false])] {
        let block = c.call("eth_getBlockByNumber", params).await.unwrap();
        let parsed: alloy::rpc::types::Block = serde_json::from_value(block.clone()).unwrap();
        assert_eq!(parsed.transactions.hashes().collect::<Vec<_>>(), [hash]);
        assert_eq!(receipt["blockHash"], block["hash"]);
        assert_eq!(
            c.call("eth_getBlockByHash", json!([block["hash"], false]))
                .await
                .unwrap()["number"],
            "0x1"
        );
    }
    assert!(
        c.call("eth_getBlockByNumber", json!(["0x2", false]))
            .await
            .unwrap()
            .is_null()
    );
    assert!(
        c.call("eth_getBlockByHash", json!([B256::repeat_byte(1), false]))
            .await
            .unwrap()
            .is_null()
    );
    assert!(
        c.call("eth_getTransactionReceipt", json!([B256::ZERO]))
            .await
            .unwrap()
            .is_null()
    );
    assert!(
        c.call("eth_getTransactionByHash", json!([B256::ZERO]))
            .await
            .unwrap()
            .is_null()
    );

    let answer = c.answer(hash).await;
    answer.verify(&domain()).unwrap();
    assert_eq!(answer.operator, operator().address());
    assert_eq!(answer.requester, user().address());
    assert_eq!(answer.output.bytes(), input.as_ref());
    assert_eq!(answer.statement.program.0, f.methods.programs[&selector("echo")]);
    assert_eq!(answer.statement.budget.steps(), 100_000);
    assert_eq!((answer.outcome.status, answer.outcome.exit), (Status::Halted, 0));
    assert_eq!(
        c.call("surety_getPreimage", json!([keccak256(&input)])).await.unwrap(),
        json!(input)
    );
    assert!(
        c.call("surety_getPreimage", json!([B256::ZERO]))
            .await
            .unwrap()
            .is_null()
    );
    assert!(
        c.call("surety_getResponse", json!([B256::ZERO]))
            .await
            .unwrap()
            .is_null()
    );

    let status = c.call("surety_status", json!([])).await.unwrap();
    assert_eq!(status["operator"], json!(operator().address()));
    assert_eq!(status["responses"], "0x1");
    let metrics = c
        .get(format!("http://{}/metrics", node.metrics_address().unwrap()))
        .await;
    assert!(metrics.contains("surety_answered_total 2\n"), "{metrics}");
    assert!(
        c.get(format!("http://{}/health", node.metrics_address().unwrap()))
            .await
            .contains("true")
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_a_run_can_end_has_its_answer() {
    let f = Fixture::new();
    let (node, c) = f.start(f.config()).await;
    // Halted with another code: an answer like any other, but a revert to tools.
    let (raw, hash) = request(0, 100, data("fail", b"x"));
    c.send(&raw).await.unwrap();
    let answer = c.answer(hash).await;
    answer.verify(&domain()).unwrap();
    assert_eq!((answer.outcome.status, answer.outcome.exit), (Status::Halted, 7));
    assert_eq!(
        c.call("eth_getTransactionReceipt", json!([hash])).await.unwrap()["status"],
        "0x0"
    );
    let e = c.call("eth_call", call("fail", b"x")).await.unwrap_err();
    assert_eq!((e.0, e.2), (3, json!(data("fail", b"x"))));
    assert_eq!(c.call("eth_estimateGas", call("fail", b"x")).await.unwrap_err().0, 3);

    let (raw, hash) = request(0, 1, data("spin", b""));
    c.send(&raw).await.unwrap();
    assert_eq!(c.answer(hash).await.outcome.status, Status::OutOfSteps);
    assert_eq!(c.call("eth_call", call("spin", b"")).await.unwrap_err().0, -32011);

    let (raw, hash) = request(0, 1, data("trap", b""));
    c.send(&raw).await.unwrap();
    let answer = c.answer(hash).await;
    assert_eq!((answer.outcome.status, answer.outcome.exit), (Status::Trapped, 1));
    let e = c.call("eth_call", call("trap", b"")).await.unwrap_err();
    assert!(e.0 == 3 && e.1.contains("illegal"), "{e:?}");

    // No answer, nothing signed.
    let before = c.call("eth_blockNumber", json!([])).await.unwrap();
    let lost_hash = B256::from(
        [&[7u8][..], &[0; 31]]
            .concat()
            .as_slice()
            .try_into()
            .map(|b: [u8; 32]| b)
            .unwrap(),
    );
    for (name, code) in [("lost", -32010), ("gone", -32603), ("none", -32013)] {
        let (raw, hash) = request(0, 1_000, data(name, b""));
        let e = c.send(&raw).await.unwrap_err();
        assert_eq!(e.0, code, "{name}: {e:?}");
        if name == "lost" {
            assert_eq!(e.2, json!(lost_hash));
        }
        assert!(c.call("surety_getResponse", json!([hash])).await.unwrap().is_null());
        assert_eq!(c.call("eth_call", call(name, b"")).await.unwrap_err().0, code, "{name}");
    }
    let (raw, _) = request(0, 1 << 35, data("echo", b""));
    assert_eq!(c.send(&raw).await.unwrap_err().0, -32011);
    assert_eq!(c.call("eth_blockNumber", json!([])).await.unwrap(), before);

    // An L1 that is down: known methods go on, unknown ones say so.
    f.methods.down.store(true, std::sync::atomic::Ordering::Relaxed);
    let (raw, _) = request(9, 100, data("echo", b"y"));
    let e = c.send(&raw).await.unwrap_err();
    assert_eq!(e.0, -32005, "echo was never asked for here: {e:?}");
    let (raw, _) = request(9, 100, data("fail", b"y"));
    c.send(&raw).await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preimages_come_from_directories_and_peers_and_are_kept_with_the_answer() {
    let f = Fixture::new();
    let secret = [0x42; 40];
    let hash = keccak256(secret);
    let pre = f.dir.path().join("pre");
    std::fs::create_dir_all(&pre).unwrap();
    std::fs::write(pre.join("a.bin"), secret).unwrap();
    let mut first = f.config();
    first.preimages.directories = vec![pre];
    let (a, ca) = f.start(first.clone()).await;
    let (raw, request_hash) = request(0, 100, data("fetc", hash.as_slice()));
    ca.send(&raw).await.unwrap();
    let answer = ca.answer(request_hash).await;
    assert_eq!(answer.output.bytes(), &secret[..32]);

    let other = tempfile::tempdir().unwrap();
    let mut second = f.config();
    second.data_dir = other.path().join("data");
    let (b, cb) = f.start(second.clone()).await;
    let e = cb.send(&raw).await.unwrap_err();
    assert_eq!((e.0, e.2), (-32010, json!(hash)), "without a source it declines");
    b.stop().await;
    second.preimages.peers = vec!["http://127.0.0.1:1".into(), ca.url.clone()];
    let (b, cb) = f.start(second.clone()).await;
    cb.send(&raw).await.unwrap();
    assert_eq!(cb.answer(request_hash).await.result, answer.result);
    b.stop().await;
    a.stop().await;
    // Now the store has it.
    second.preimages.peers.clear();
    second.preimages.cache_bytes = 0;
    let (b, cb) = f.start(second).await;
    assert_eq!(
        cb.call("surety_getPreimage", json!([hash])).await.unwrap(),
        json!(Bytes::from(secret))
    );
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_malformed_input_gives_clear_errors_and_harms_nothing() {
    let f = Fixture::new();
    let mut config = f.config();
    config.limits.body_bytes = 8 << 10;
    config.limits.batch = 4;
    let (node, c) = f.start(config).await;

    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("nonsense", -32700),
        ("[]", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"no_such"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_call"}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[5]}"#, -32602),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{"to":1}}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x12"}]}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"data":"0x12"}]}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionReceipt","params":["0x1"]}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["sometime"]}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["-0x1"]}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":["0xffffffffffffffffff"]}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0xzz"]}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x"]}"#,
            -32602,
        ),
    ] {
        let (_, text) = c.post(body).await;
        let v: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{body:?}: {e}: {text:?}"));
        assert_eq!(v["error"]["code"], code, "{body:?}: {text}");
        assert!(!v["error"]["message"].as_str().unwrap().is_empty());
    }
    let (_, text) = c.post("[1]").await;
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()[0]["error"]["code"],
        -32600
    );
    let (status, _) = c.post("[".repeat(4_000)).await;
    assert!(status < 500);
    let (status, text) = c.post(" ".repeat(9 << 10)).await;
    assert!(status == 413 || text.contains("error"), "{status} {text}");
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let (_, text) = c.post(format!("[{}]", [one; 5].join(","))).await;
    assert!(text.contains("error"), "a batch too long: {text}");
    let (_, text) = c.post(format!("[{}]", [one; 4].join(","))).await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&text).unwrap().len(), 4);

    // ABI and calls.
    let e = c
        .call("eth_call", json!([{"to": service(), "data": "0x010203"}]))
        .await
        .unwrap_err();
    assert!(e.0 == -32013 && e.1.contains("3 bytes"), "{e:?}");
    assert_eq!(
        c.call("eth_call", json!([{"to": Address::ZERO, "data": "0x01020304"}]))
            .await
            .unwrap_err()
            .0,
        -32012
    );
    let e = c
        .call("eth_call", json!([{"to": service(), "data": "0x01", "input": "0x02"}]))
        .await
        .unwrap_err();
    assert_eq!(e.0, -32602);

    // RLP: every truncation, and every byte changed.
    let (raw, hash) = request(0, 100, data("echo", b"abc"));
    for cut in 0..raw.len() {
        let e = c.send(&raw.slice(..cut)).await.unwrap_err();
        assert!([-32602, -32012].contains(&e.0), "{cut}: {e:?}");
    }
    for i in 0..raw.len() {
        let mut bad = raw.to_vec();
        bad[i] ^= 0x40;
        // Some are other people's valid requests: another signer, input or nonce. None is this one's.
        if let Ok(found) = c.send(&bad.into()).await {
            assert_ne!(found, json!(hash), "{i}");
        }
    }
    let mut wrong = alloy::consensus::TxEip1559 {
        chain_id: L1,
        gas_limit: 1,
        ..Default::default()
    };
    wrong.to = alloy::primitives::TxKind::Call(service());
    assert_eq!(c.send(&sign(wrong).0).await.unwrap_err().0, -32012);
    assert_eq!(
        c.call("eth_chainId", json!([])).await.unwrap(),
        format!("{:#x}", surety_primitives::service_chain_id(L1, service()))
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_program_cannot_starve_the_node() {
    let f = Fixture::new();
    let mut config = f.config();
    config.limits.workers = 1;
    config.limits.queue = 1;
    config.limits.program_seconds = 2;
    let (node, c) = f.start(config).await;
    let mut running = Vec::new();
    for nonce in 0..2 {
        let (raw, _) = request(nonce, 40_000_000 + nonce, data("spin", b""));
        let c = c.clone();
        running.push(tokio::spawn(async move { c.send(&raw).await }));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let (raw, hash) = request(9, 40_000_009, data("spin", b""));
    let e = c.send(&raw).await.unwrap_err();
    assert_eq!(e.0, -32005, "{e:?}");
    assert!(e.1.starts_with("busy"), "{e:?}");
    assert_eq!(
        c.call("eth_blockNumber", json!([])).await.unwrap(),
        "0x0",
        "it still answers"
    );
    for run in running {
        let e = run.await.unwrap().unwrap_err();
        assert!(e.0 == -32011 && e.1.contains("2 s"), "{e:?}");
    }
    assert!(
        c.call("surety_getResponse", json!([hash])).await.unwrap().is_null(),
        "nothing was signed"
    );
    let (raw, _) = request(0, 100, data("echo", b"after"));
    c.send(&raw).await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_one_statement_one_result_over_races_and_restarts() {
    let f = Fixture::new();
    let config = f.config();
    let (node, c) = f.start(config.clone()).await;
    let mut all = Vec::new();
    for i in 0..40u64 {
        // Ten statements, two requests for each, everything sent twice.
        let (raw, hash) = request(i % 20, 200, data("echo", &[(i % 10) as u8]));
        let c = c.clone();
        all.push((hash, tokio::spawn(async move { c.send(&raw).await })));
    }
    let mut answers = Vec::new();
    for (hash, sent) in all {
        assert_eq!(sent.await.unwrap().unwrap(), json!(hash));
        let answer = c.answer(hash).await;
        answer.verify(&domain()).unwrap();
        answers.push(answer);
    }
    assert_eq!(c.call("eth_blockNumber", json!([])).await.unwrap(), "0x14");
    node.stop().await;
    let (node, c) = f.start(config).await;
    for answer in &answers {
        assert_eq!(&c.answer(answer.request.0).await, answer, "the same, to the signature");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_requests_that_wait_for_a_silent_registry_are_bounded() {
    let f = Fixture::new();
    let mut config = f.config();
    config.limits.workers = 1;
    config.limits.queue = 1;
    f.methods.silent.store(true, std::sync::atomic::Ordering::Relaxed);
    let (node, c) = f.start(config).await;
    let mut waiting = Vec::new();
    for nonce in 0..64 {
        let (raw, _) = request(nonce, 100_000, data("echo", b""));
        let c = c.clone();
        waiting.push(tokio::spawn(async move { c.send(&raw).await }));
    }
    // Clients that hang up do not make place: what they asked for is still being done.
    tokio::time::sleep(Duration::from_secs(1)).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    let (raw, _) = request(64, 100_000, data("echo", b""));
    let e = c.send(&raw).await.unwrap_err();
    assert_eq!(e.0, -32005, "{e:?}");
    assert!(e.1.starts_with("busy"), "{e:?}");
    assert_eq!(
        c.call("eth_blockNumber", json!([])).await.unwrap(),
        "0x0",
        "it still answers"
    );
    node.stop().await;
}
