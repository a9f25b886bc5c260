//! The command line against a real anvil and real nodes: everybody agrees; then one operator lies, and pays for it.

mod common;

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use common::{Ran, command, ran};
use serde_json::{Value, json};
use surety_chain::{Actions, Sender, anvil::dev_key, deploy::DeployParameters};
use surety_cli::dev::{DevConfig, Devnet};
use surety_client::{Limits, ProviderRpc};
use surety_primitives::{Answer, CompactSignature, Domain, Output};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Ethereum mainnet block 21,925,176 and the deposit contract.
const BLOCK: &str = "0x92dabfa3f61ff1c349d12f5fd0dd4c99760a0a41b77dee8f0a80f83efdcb307a";
const ACCOUNT: &str = "0x00000000219ab540356cBB839Cbe05303d7705Fa";
const BALANCE: &str = "57657174398349561183621184";
const METHOD: &str = "balanceOf(bytes32,address)";

/// Runs `surety` with the network's endpoint, deployment and user.
async fn surety(net: &Devnet, arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    command
        .env("SURETY_L1", net.rpc.url())
        .env("SURETY_DEPLOYMENT", net.dir.join("deployment.json"))
        .env("SURETY_KEYSTORE", net.dir.join("user.json"))
        .env("SURETY_PASSWORD_FILE", &net.password_file)
        .current_dir(&net.dir);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("joins")
        .expect("starts");
    ran(output)
}

/// A provider that hands every request to an honest one, and signs its answer with one bit of the output flipped.
async fn liar(honest: String, key: PrivateKeySigner, domain: Domain) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (honest, key) = (honest.clone(), key.clone());
            tokio::spawn(async move { lie(stream, &honest, &key, &domain).await });
        }
    });
    url
}

async fn lie(mut stream: TcpStream, honest: &str, key: &PrivateKeySigner, domain: &Domain) -> Option<()> {
    let mut bytes = Vec::new();
    let body = loop {
        let mut buffer = [0; 8192];
        let n = stream.read(&mut buffer).await.ok()?;
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .lines()
                .find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                break body.to_owned();
            }
        }
        if n == 0 {
            return None;
        }
    };
    let request: Value = serde_json::from_str(&body).ok()?;
    let rpc = ProviderRpc::new(honest, Limits::default()).ok()?;
    let params = request["params"].clone();
    let result = match request["method"].as_str()? {
        "eth_sendRawTransaction" => rpc.request::<Value>("eth_sendRawTransaction", params).await.ok()?,
        "surety_getResponse" => {
            let mut answer: Answer = rpc.request("surety_getResponse", params).await.ok()?;
            let mut output = answer.output.bytes().to_vec();
            *output.last_mut()? ^= 1;
            answer.output = Output::canonical(output).ok()?;
            answer.outcome.output_root = answer.output.root();
            answer.result = answer.outcome.result_hash();
            answer.operator = key.address();
            answer.signature = CompactSignature::from(key.sign_hash_sync(&answer.response().digest(domain)).ok()?);
            serde_json::to_value(answer).ok()?
        }
        "surety_status" => rpc.request::<Value>("surety_status", params).await.ok()?,
        "eth_estimateGas" => rpc.request::<Value>("eth_estimateGas", params).await.ok()?,
        _ => rpc.request::<Value>("eth_chainId", params).await.ok()?,
    };
    let body = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

async fn devnet(dir: &std::path::Path) -> Devnet {
    let config = DevConfig {
        dir: dir.join("net"),
        operators: 2,
        l1_port: 0,
        first_port: 0,
        block_time: Some(1),
        preimages: vec![concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/mainnet/preimages").into()],
        // A silent party loses after this many seconds.
        parameters: DeployParameters {
            clock: 5,
            join_window: 2,
            ..DeployParameters::DEV
        },
        ..DevConfig::default()
    };
    Devnet::start(&config, |_| {}).await.unwrap_or_else(|e| panic!("{e:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_agree_then_one_lies_and_pays() {
    let dir = tempfile::tempdir().expect("directory");
    let net = devnet(dir.path()).await;

    // Everybody agrees, and nothing goes on-chain.
    let called = surety(&net, &["call", "explorer", METHOD, BLOCK, ACCOUNT, "-k", "2", "--json"]).await;
    assert_eq!(called.code, 0, "{called:?}");
    let value = called.json();
    assert_eq!(value["verdict"], "agreed");
    assert_eq!(value["decoded"][0], BALANCE);
    assert_eq!(value["providers"].as_array().expect("list").len(), 2);
    let text = surety(&net, &["call", "explorer", METHOD, BLOCK, ACCOUNT]).await;
    assert_eq!((text.code, text.stdout.trim()), (0, BALANCE), "{text:?}");
    assert_eq!(
        surety(&net, &["dispute", "list", "--json"]).await.json(),
        json!({"disputes": []})
    );

    let doctor = surety(&net, &["doctor", "--json"]).await;
    assert_eq!(doctor.code, 0, "{doctor:?}");
    assert_eq!(doctor.json()["passed"], true);
    assert_eq!(
        surety(&net, &["service", "show", "explorer", "--json"]).await.json()["bonded"],
        2
    );

    // More than there are; a method there is not; an account whose proof nobody has.
    let few = surety(&net, &["call", "explorer", METHOD, BLOCK, ACCOUNT, "-k", "3", "--json"]).await;
    assert_eq!((few.code, &few.json()["verdict"]), (15, &"too_few".into()), "{few:?}");
    let unknown = surety(&net, &["call", "explorer", "nothing()", "--budget", "1e6", "--json"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    let missing = surety(
        &net,
        &[
            "call",
            "explorer",
            METHOD,
            BLOCK,
            "0x0000000000000000000000000000000000000001",
            "--budget",
            "1e9",
            "--json",
        ],
    )
    .await;
    assert_eq!(
        (missing.code, &missing.json()["verdict"]),
        (15, &"too_few".into()),
        "{missing:?}"
    );
    let unbonded = format!("{}", Address::repeat_byte(1));
    let unbonded = surety(
        &net,
        &[
            "call",
            "explorer",
            METHOD,
            BLOCK,
            ACCOUNT,
            "--providers",
            &unbonded,
            "--budget",
            "1e9",
        ],
    )
    .await;
    assert_eq!(unbonded.code, 14, "{unbonded:?}");

    // A third operator joins, through the command line, and lies.
    let key = dev_key(40).expect("key");
    let ether = U256::from(10).pow(U256::from(20));
    net.anvil.fund(&net.rpc, key.address(), ether).await.expect("funded");
    surety_chain::keys::create(&net.dir.join("liar.json"), &key, "development").expect("keystore");
    let sender = Sender::new(net.rpc.clone(), key.clone()).await.expect("sender");
    Actions::new(sender, net.deployment.clone())
        .mint(key.address(), net.bond)
        .await
        .expect("minted");
    let url = liar(
        net.operators[0].endpoint.clone(),
        key.clone(),
        net.deployment.response_domain(),
    )
    .await;
    let keystore = net.dir.join("liar.json");
    let joined = surety(
        &net,
        &[
            "operator",
            "join",
            "explorer",
            "--endpoint",
            &url,
            "--keystore",
            keystore.to_str().expect("text"),
            "--json",
        ],
    )
    .await;
    assert_eq!(joined.code, 0, "{joined:?}");
    assert_eq!(joined.json()["bonded"], true);

    // The client sees it, keeps the evidence and opens the dispute.
    let differ = surety(
        &net,
        &[
            "call",
            "explorer",
            METHOD,
            BLOCK,
            ACCOUNT,
            "-k",
            "3",
            "--evidence",
            "evidence.json",
            "--json",
        ],
    )
    .await;
    assert_eq!(
        (differ.code, &differ.json()["verdict"]),
        (10, &"differ".into()),
        "{differ:?}"
    );
    let statement = differ.json()["statement_id"].as_str().expect("text").to_owned();
    assert_eq!(
        surety(&net, &["dispute", "open", "--evidence", "evidence.json", "--check"])
            .await
            .code,
        0
    );
    let opened = surety(&net, &["dispute", "open", "--evidence", "evidence.json", "--json"]).await;
    assert_eq!(opened.code, 0, "{opened:?}");
    let id = opened.json()["dispute"].as_str().expect("text").to_owned();
    let listed = surety(&net, &["dispute", "list", "--json"]).await.json();
    assert_eq!(
        (&listed["disputes"][0]["id"], &listed["disputes"][0]["statement_id"]),
        (&json!(id), &json!(statement))
    );
    // The game is not over: nobody can end it yet.
    for early in ["expire", "settle"] {
        let refused = surety(&net, &["dispute", early, &id, "--json"]).await;
        assert_eq!(refused.code, 1, "{refused:?}");
    }
    let again = surety(&net, &["dispute", "open", "--evidence", "evidence.json", "--json"]).await;
    assert_eq!(again.code, 1);
    assert!(
        again.error()["message"]
            .as_str()
            .expect("text")
            .contains("DisputeExists"),
        "{again:?}"
    );

    // The honest nodes play by themselves; the liar is silent.
    let start = Instant::now();
    let settled = loop {
        let shown = surety(&net, &["dispute", "show", &id, "--json"]).await.json();
        if shown["state"] == "settled" {
            break shown;
        }
        assert!(start.elapsed() < Duration::from_secs(150), "not settled: {shown:#}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(settled["claims"].as_array().expect("list").len(), 3);
    let slashed: U256 = settled["settled"]["slashed"]
        .as_str()
        .expect("text")
        .parse()
        .expect("number");
    assert!(slashed > U256::ZERO);
    let right: B256 = value["providers"][0]["result"]
        .as_str()
        .expect("text")
        .parse()
        .expect("hash");
    assert_eq!(settled["settled"]["result"], json!(right));

    // The liar has lost, the honest have not, the user is paid.
    let status = surety(&net, &["operator", "status", "explorer", "--json"]).await.json();
    for operator in status["operators"].as_array().expect("list") {
        let bond: U256 = operator["bond"].as_str().expect("text").parse().expect("number");
        let address: Address = operator["operator"].as_str().expect("text").parse().expect("address");
        if address == key.address() {
            assert_eq!(bond, net.bond - slashed);
        } else {
            assert_eq!(bond, net.bond, "an honest operator lost");
        }
    }
    let liar_address = key.address().to_string();
    assert_eq!(
        surety(&net, &["operator", "status", "explorer", "--operator", &liar_address])
            .await
            .code,
        14
    );
    let paid = surety(&net, &["dispute", "withdraw", "--json"]).await;
    assert_eq!(paid.code, 0, "{paid:?}");
    let paid: U256 = paid.json()["paid"].as_str().expect("text").parse().expect("number");
    assert!(
        paid >= slashed * U256::from(2) / U256::from(5),
        "40 % of {slashed} is the user's, found {paid}"
    );
    net.stop().await;
}

/// `surety dev` in a process of its own: prints, serves, and ends cleanly on Ctrl-C, its anvil with it.
#[cfg(unix)]
#[test]
fn dev_starts_and_stops() {
    use std::io::BufRead;
    let dir = tempfile::tempdir().expect("directory");
    let home = dir.path().join("net");
    let mut child = command(&[
        "dev",
        "--json",
        "--operators",
        "1",
        "--l1-port",
        "0",
        "--port",
        "0",
        "--dir",
        home.to_str().expect("text"),
    ])
    .stdout(std::process::Stdio::piped())
    .stderr(std::process::Stdio::null())
    .spawn()
    .expect("starts");
    let mut document = String::new();
    let mut reader = std::io::BufReader::new(child.stdout.take().expect("piped"));
    while !document.ends_with("}\n") || serde_json::from_str::<Value>(&document).is_err() {
        let read = reader.read_line(&mut document).expect("reads");
        assert!(read > 0, "ended early: {document}");
    }
    let value: Value = serde_json::from_str(&document).expect("JSON");
    let port = |url: &Value| {
        url.as_str()
            .expect("text")
            .rsplit(':')
            .next()
            .expect("port")
            .parse::<u16>()
            .expect("number")
    };
    let (l1, node) = (port(&value["l1"]), port(&value["operators"][0]["endpoint"]));
    let connects = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(connects(l1) && connects(node));
    let signal = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill");
    assert!(signal.success());
    assert!(child.wait().expect("ends").success());
    assert!(!connects(l1) && !connects(node), "something is left behind");
}
