//! What an application reads of the network: `flow.toml`, values of a node that lies or rounds, prices.

use alloy::primitives::{Address, B256, U256, keccak256};
use surety_client::{
    Limits,
    network::{
        KILOBYTES, NetworkError, NodeApi, cost_of_run, nodes_hash, parse_amount, parse_flow, price_for, steps_of,
        trigger_of,
    },
};
use surety_primitives::value::{Number, Value};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A node that answers everything with this result.
async fn node(result: String) -> NodeApi {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _read = stream.read(&mut buffer).await;
            let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{result}}}");
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _written = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    NodeApi::new(&url, Limits::default()).expect("url")
}

#[tokio::test]
async fn values_are_checked_by_their_hash_and_no_bit_is_rounded() {
    // The nearest double to this text is missed by readers that take a shortcut.
    for text in [
        "2.2250738585072014e-308",
        "9007199254740993.5",
        "0.1",
        "1.7976931348623157e308",
    ] {
        let value = Value::Number(Number::new(text.parse().expect("number")).expect("finite"));
        let hash = value.hash().expect("hash");
        let found = node(value.to_string()).await.value(hash).await.expect("value");
        assert_eq!(found, Some(value), "{text}");
    }
    let hash = Value::from("right".to_owned()).hash().expect("hash");
    let lie = node("\"wrong\"".to_owned()).await.value(hash).await;
    assert!(
        matches!(lie, Err(NetworkError::AnotherValue { expected, .. }) if expected == hash),
        "{lie:?}"
    );
    assert_eq!(node("null".to_owned()).await.value(hash).await.expect("none"), None);
    assert_eq!(
        node("{\"sealed\":\"0x00\"}".to_owned())
            .await
            .value(hash)
            .await
            .expect("none"),
        None
    );
    let null = Value::Null.hash().expect("hash");
    assert_eq!(
        node("null".to_owned()).await.value(null).await.expect("null"),
        Some(Value::Null)
    );
    // A node that answers another hash has not kept what it was given.
    let kept = node(format!("\"{}\"", B256::ZERO)).await.put_value(&Value::Null).await;
    assert!(matches!(kept, Err(NetworkError::AnotherValue { .. })), "{kept:?}");
}

#[test]
fn a_flow_file_becomes_what_the_contract_takes() {
    let service = Address::repeat_byte(0xaa);
    let text = r#"
name = "f"
[[node]]
key = "e"
type = "event"
service = "s"
event = "happened"
fee = "7wei"
[[node]]
key = "t"
type = "task"
service = "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
task = "act"
inputs = { x = { ref = "e.x" }, big = 9007199254740992, list = [1.5, true, "a"] }
most = "0.5"
validators = 2
window = 10
nodes = ["0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]
"#;
    let flow = parse_flow(text, |name| (name == "s").then_some(service)).expect("good");
    let trigger = trigger_of(&flow).expect("starts");
    assert_eq!((trigger.service, trigger.eventName), (service, keccak256("happened")));
    let steps = steps_of(&flow);
    assert_eq!((steps[0].service, steps[0].task), (service, keccak256("act")));
    assert_eq!((steps[0].validators, steps[0].window), (2, 10));
    assert_eq!(steps[0].nodes, nodes_hash(&[Address::repeat_byte(0xbb)]));
    let half = U256::from(500_000_000_000_000_000_u64);
    assert_eq!(cost_of_run(&trigger, &steps), half + U256::from(7));
    // Canonical: what is written otherwise is the same on-chain.
    let again = parse_flow(
        &text.replace("\"s\"", "\"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""),
        |_| None,
    );
    assert_eq!(again.expect("good").to_json(), flow.to_json());
    // All that the reader itself finds is told at once; an integer no double is, is never rounded.
    let bad = text
        .replace("\"7wei\"", "7")
        .replace("9007199254740992", "9007199254740993");
    let problems = parse_flow(&bad, |_| None).expect_err("bad").0;
    let places: Vec<_> = problems.iter().map(|p| (p.line, p.path.as_str())).collect();
    assert_eq!(
        places,
        [(6, "node[0].service"), (8, "node[0].fee"), (14, "node[1].inputs.big")]
    );
}

#[test]
fn amounts_prices_and_names() {
    assert_eq!(parse_amount("0.25"), Some(U256::from(250_000_000_000_000_000_u64)));
    assert_eq!(parse_amount("7 wei"), Some(U256::from(7)));
    for text in ["", "-1", "1e3", "x", "0.1234567890123456789", "1 token"] {
        assert_eq!(parse_amount(text), None, "{text}");
    }
    assert_eq!(nodes_hash(&[]), B256::ZERO);
    let price = surety_client::network::price_of(&surety_protocol::manifest::Price {
        per_call: 5,
        per_second: 3,
        per_kilobyte: 2,
    });
    assert_eq!(price_for(&price, 10, 1_001), U256::from(5 + 30 + 2 * (2 + KILOBYTES)));
}
