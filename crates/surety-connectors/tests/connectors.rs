//! The connectors against real servers: anvil, PostgreSQL, HTTP.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, hex},
    providers::Provider,
};
use hmac::{Hmac, Mac};
use surety_chain::{
    Rpc, Sender,
    anvil::{Anvil, AnvilConfig, dev_key},
};
use surety_connector::{
    host::{Answer, Assignment, Kind as Order, Verdict},
    server::{Limits, Listen},
    trial::Trial,
};
use surety_connectors::{Kind, config::Loaded, postgres::server::Postgres, timer};
use surety_primitives::value::Value;
use surety_protocol::manifest::Network;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const MOST: Duration = Duration::from_secs(40);
const SERVICE: Address = Address::repeat_byte(0x22);
const MANIFEST: &str = r#"
name = "everything"

[events.tick]
id = ["tick"]
data = { tick = "Number", time = "Number" }

[events.order]
id = ["number"]
data = { number = "Number", note = { type = "String", optional = true } }

[events.posted]
id = ["number", "digest"]
data = { number = "Number", note = { type = "String", optional = true }, digest = "String" }

[events.noted]
id = ["block_hash", "log_index"]
[events.noted.data]
block_hash = "String"
block_number = "Number"
transaction = "String"
log_index = "Number"
contract = "String"
args = { type = "Object", fields = { who = "String", amount = "String", text = "String" } }

[tasks.fetch]
verification = "verify"
inputs = { url = "String", method = { type = "String", optional = true }, body = { type = "String", optional = true }, select = { type = "String", optional = true, repeated = true } }
outputs = { status = "Number", body = "Any" }

[tasks.note]
verification = "verify"
inputs = { amount = "String", text = "String" }
outputs = { transaction = "String", block_hash = "String", block_number = "Number", status = "String" }

[tasks.record]
verification = "verify"
inputs = { sender = "String", amount = "String", urgent = "Boolean", extra = { type = "Any", optional = true } }
outputs = { row = "String" }
"#;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn trial_at(&self, listen: &str) -> Trial {
        let network = Network::parse(MANIFEST, &[]).unwrap();
        let listen = Listen::parse(listen).unwrap();
        let token = self.path().join("node.token");
        Trial::start(network, SERVICE, &listen, &token, Limits::default())
            .await
            .unwrap()
    }

    async fn trial(&self) -> Trial {
        self.trial_at("127.0.0.1:0").await
    }

    fn secret(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;

        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs a connector with this section.
    fn run(&self, trial: &Trial, kind: Kind, section: &str) -> JoinHandle<anyhow::Result<()>> {
        let text = format!(
            "[node]\naddress = \"{}\"\ntoken_file = \"node.token\"\nservice = \"everything\"\n{section}",
            trial.address().url()
        );
        let path = self.path().join(format!("{}.toml", kind.name()));
        std::fs::write(&path, text).unwrap();
        let config = Loaded::read(&path).unwrap();
        tokio::spawn(async move { surety_connectors::run(kind, &config).await })
    }
}

fn object(json: &str) -> Value {
    Value::from_json(json).unwrap()
}

async fn execute(trial: &Trial, number: u8, name: &str, inputs: &Value) -> Answer {
    trial
        .ask(B256::repeat_byte(number), name, inputs.clone(), Order::Execute, MOST)
        .await
        .unwrap()
}

async fn validate(trial: &Trial, number: u8, name: &str, inputs: &Value, output: &Value) -> Verdict {
    // Another attempt's number, so that its answer is not taken for the execution's.
    let order = Order::Validate { output: output.clone() };
    match trial
        .ask(B256::repeat_byte(number), name, inputs.clone(), order, MOST)
        .await
        .unwrap()
    {
        Answer::Verdict { verdict, .. } => verdict,
        other => panic!("found {other:?}, expected a verdict"),
    }
}

fn output(answer: Answer) -> Value {
    match answer {
        Answer::Output(output) => output,
        other => panic!("found {other:?}, expected an output"),
    }
}

#[tokio::test]
async fn a_tick_is_the_same_for_who_starts_late() {
    let (one, two) = (Place::new(), Place::new());
    let (early, late) = (one.trial().await, two.trial().await);
    let section = "[timer]\nevent = \"tick\"\ninterval = 1\n";
    let first = one.run(&early, Kind::Timer, section);
    early
        .wait("two ticks", MOST, |trial| trial.emissions().len() >= 2)
        .await
        .unwrap();
    let second = two.run(&late, Kind::Timer, section);
    late.wait("two ticks", MOST, |trial| trial.emissions().len() >= 2)
        .await
        .unwrap();
    let common = late.emissions().last().unwrap().clone();
    early
        .wait("the late one's tick", MOST, |trial| {
            trial.emissions().iter().any(|seen| seen.id_hash == common.id_hash)
        })
        .await
        .unwrap();
    let seen = early.emissions();
    let same = seen.iter().find(|seen| seen.id_hash == common.id_hash).unwrap();
    assert_eq!(same.data_hash, common.data_hash);
    let number = common.data.field("tick").and_then(Value::as_number).unwrap();
    assert_eq!(common.data, timer::tick(number as u64, 1).unwrap());
    assert_eq!(timer::tick(7, 60).unwrap().to_string(), r#"{"tick":7,"time":420}"#);
    first.abort();
    second.abort();
}

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_signed_webhook_is_an_event() {
    let place = Place::new();
    let trial = place.trial().await;
    let secret = "a secret of more than sixteen bytes";
    place.secret("hook.secret", secret);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let section = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n[[http.webhook]]\npath = \"/orders\"\nevent = \"order\"\n\
         secret_file = \"hook.secret\"\nmax_body = 1000\ntrusted_sender = true\n"
    );
    let running = place.run(&trial, Kind::Http, &section);
    trial
        .wait("the connector", MOST, |trial| !trial.registrations().is_empty())
        .await
        .unwrap();
    let client = reqwest::Client::new();
    let send = async |path: &str, body: &str, signature: Option<String>| {
        let mut request = client
            .post(format!("http://127.0.0.1:{port}{path}"))
            .body(body.to_owned());
        if let Some(signature) = signature {
            request = request.header("x-signature-256", signature);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let body = r#"{"number": 1, "note": "two"}"#;
    assert_eq!(send("/orders", body, Some(signature(secret, body))).await, 202);
    assert_eq!(send("/orders", body, Some(signature(secret, body))).await, 202);
    let seen = trial.emissions();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen.first().unwrap().data, object(body));
    assert_eq!(send("/orders", body, None).await, 401);
    assert_eq!(
        send("/orders", body, Some(signature("another secret", body))).await,
        401
    );
    assert_eq!(send("/orders", body, Some("sha256=00".to_owned())).await, 401);
    for (body, status) in [
        (r#"{"number": 1}"#, 409),
        (r#"{"number": "1"}"#, 422),
        (r#"{"number": 1"#, 400),
        ("[1]", 400),
        (r#"{"number": 9007199254740993}"#, 400),
    ] {
        assert_eq!(
            send("/orders", body, Some(signature(secret, body))).await,
            status,
            "{body}"
        );
    }
    let long = format!(r#"{{"number": 2, "note": "{}"}}"#, "x".repeat(1000));
    assert_eq!(send("/orders", &long, Some(signature(secret, &long))).await, 413);
    assert_eq!(send("/else", body, Some(signature(secret, body))).await, 404);
    assert_eq!(trial.emissions().len(), 1);
    running.abort();
}

#[tokio::test]
async fn p1_a_webhooks_sender_cannot_give_two_bodies_one_id() {
    let place = Place::new();
    let trial = place.trial().await;
    let secret = "a secret of more than sixteen bytes";
    place.secret("hook.secret", secret);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let section = |event: &str| {
        format!(
            "[http]\nlisten = \"{address}\"\n[[http.webhook]]\npath = \"/orders\"\nevent = \"{event}\"\n\
             secret_file = \"hook.secret\"\n"
        )
    };
    // The manifest's id of `order` is the number alone: the connector doesn't serve it.
    let ended = place.run(&trial, Kind::Http, &section("order")).await.unwrap();
    let error = format!("{:#}", ended.unwrap_err());
    assert!(
        error.contains("found the id [number]") && error.contains("`digest`"),
        "{error}"
    );

    let running = place.run(&trial, Kind::Http, &section("posted"));
    trial
        .wait("the connector", MOST, |trial| trial.registrations().len() == 2)
        .await
        .unwrap();
    let client = reqwest::Client::new();
    let send = async |body: &str| {
        let request = client
            .post(format!("http://{address}/orders"))
            .header("x-signature-256", signature(secret, body))
            .body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send(r#"{"number": 1, "note": "a"}"#).await, 202);
    assert_eq!(send(r#"{"note":"a","number":1.0}"#).await, 202);
    assert_eq!(trial.emissions().len(), 1);
    assert_eq!(send(r#"{"number": 1, "note": "b"}"#).await, 202);
    let seen = trial.emissions();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen.first().unwrap().id_hash, seen.last().unwrap().id_hash);
    let data = &seen.first().unwrap().data;
    let hash = object(r#"{"number":1,"note":"a"}"#).hash().unwrap();
    assert_eq!(
        data.field("digest").and_then(Value::as_str),
        Some(format!("{hash:#x}").as_str())
    );
    assert_eq!(send(r#"{"number": 1, "digest": "0x00"}"#).await, 400);
    running.abort();
}

/// Counts what it is asked; `/changing` says something else each time.
async fn web() -> (String, Arc<AtomicUsize>) {
    use axum::{Router, extract::State, http::HeaderMap, response::Redirect, routing::get};

    let count = Arc::new(AtomicUsize::new(0));
    let next = |State(count): State<Arc<AtomicUsize>>| async move { count.fetch_add(1, Ordering::SeqCst) };
    let router = Router::new()
        .route("/price", get(|| async { r#"{ "price": 1.5, "at": [1, 2] }"# }))
        .route(
            "/changing",
            get(move |state: State<Arc<AtomicUsize>>| async move {
                format!(r#"{{"price":1.5,"now":{}}}"#, next(state).await)
            }),
        )
        .route("/large", get(|| async { "x".repeat(100_000) }))
        .route(
            "/away",
            get(|| async { Redirect::temporary("http://169.254.169.254/") }),
        )
        .route(
            "/order",
            axum::routing::post(|headers: HeaderMap, body: String| async move {
                let key = headers
                    .get("idempotency-key")
                    .map(|key| key.to_str().unwrap().to_owned());
                format!("{} {body}", key.unwrap_or_default())
            }),
        )
        .with_state(Arc::clone(&count));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (origin, count)
}

#[tokio::test]
async fn requests_go_only_where_they_may() {
    let place = Place::new();
    let trial = place.trial().await;
    let (origin, _) = web().await;
    let port = origin.rsplit(':').next().unwrap().to_owned();
    let section = format!(
        "[http.request]\ntask = \"fetch\"\norigins = [\"{origin}\", \"http://localhost:{port}\"]\n\
         methods = [\"GET\", \"POST\"]\nmax_response = 50000\nimmutable = true\n"
    );
    let running = place.run(&trial, Kind::Http, &section);
    let inputs = |path: &str, rest: &str| object(&format!(r#"{{"url":"{origin}{path}"{rest}}}"#));
    let price = inputs("/price", "");
    let found = output(execute(&trial, 1, "fetch", &price).await);
    assert_eq!(found.to_string(), r#"{"body":{"at":[1,2],"price":1.5},"status":200}"#);
    assert_eq!(validate(&trial, 2, "fetch", &price, &found).await, Verdict::Valid);
    let lie = object(r#"{"status":200,"body":{"at":[1,2],"price":1.6}}"#);
    assert_eq!(validate(&trial, 3, "fetch", &price, &lie).await, Verdict::Invalid);
    // What changes is left out by selecting the rest.
    let selected = inputs("/changing", r#","select":["price"]"#);
    let found = output(execute(&trial, 4, "fetch", &selected).await);
    assert_eq!(found.to_string(), r#"{"body":{"price":1.5},"status":200}"#);
    assert_eq!(validate(&trial, 5, "fetch", &selected, &found).await, Verdict::Valid);
    let posted = inputs("/order", r#","method":"POST","body":"{}""#);
    let found = output(execute(&trial, 6, "fetch", &posted).await);
    let task = format!("{:#x}", B256::repeat_byte(6));
    assert_eq!(
        found.field("body").and_then(Value::as_str),
        Some(format!("{task} {{}}").as_str())
    );
    assert_eq!(validate(&trial, 7, "fetch", &posted, &found).await, Verdict::Unknown);
    // A redirect is an answer, not a way out.
    let away = output(execute(&trial, 8, "fetch", &inputs("/away", "")).await);
    assert_eq!(away.field("status").and_then(Value::as_number), Some(307.0));
    let failed = async |number: u8, inputs: Value| match execute(&trial, number, "fetch", &inputs).await {
        Answer::Failed { message, .. } => message,
        other => panic!("found {other:?}, expected a failure"),
    };
    assert!(failed(10, inputs("/large", "")).await.contains("more than 50000 bytes"));
    for (number, url) in (11..).zip([
        "http://169.254.169.254/latest/meta-data",
        &format!("https://127.0.0.1:{port}/price"),
        &format!("http://127.0.0.1:{port}0/price"),
        &format!("http://127.0.0.1:{port}@example.com/"),
        &format!("http://user:password@127.0.0.1:{port}/price"),
        "file:///etc/passwd",
        "nonsense",
    ]) {
        let message = failed(number, object(&format!(r#"{{"url":"{url}"}}"#))).await;
        assert!(message.starts_with("url: "), "{url}: {message}");
    }
    // A listed name that leads to a private address.
    failed(30, object(&format!(r#"{{"url":"http://localhost:{port}/price"}}"#))).await;
    let message = failed(31, inputs("/price", r#","method":"DELETE""#)).await;
    assert!(message.starts_with("method: found `DELETE`"), "{message}");
    running.abort();
}

const PAST: &str =
    "CREATE TABLE notes (task text PRIMARY KEY, sender varchar(5), amount numeric(30,2), urgent boolean, extra jsonb);";

#[tokio::test]
async fn p5_a_row_is_written_once_and_read_back() {
    let place = Place::new();
    let mut postgres = Postgres::start(place.path()).unwrap();
    postgres.execute(PAST).await.unwrap();
    place.secret("database", &postgres.connection());
    let trial = place.trial().await;
    let section = "[postgres]\nconnection_file = \"database\"\nauthoritative = true\n[[postgres.table]]\ntask = \"record\"\n\
                   table = \"public.notes\"\ncolumns = { sender = \"sender\", amount = \"amount\", urgent = \"urgent\", extra = \"extra\" }\n";
    let running = place.run(&trial, Kind::Postgres, section);
    let hostile = object(r#"{"sender":"'; --","amount":"12345678901234567890.5","urgent":true,"extra":{"a":[1,"'"]}}"#);
    let found = output(execute(&trial, 1, "record", &hostile).await);
    assert_eq!(found, Value::object([("row", format!("{:#x}", B256::repeat_byte(1)))]));
    // Assigned again, after a lost answer or to a replacement: the same output, still one row.
    assert_eq!(output(execute(&trial, 1, "record", &hostile).await), found);
    let client = postgres.connect().await.unwrap();
    let rows = client
        .query("SELECT sender, amount::text, extra->'a'->>1 FROM notes", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    let row = rows.first().unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(1)),
        ("'; --", "12345678901234567890.50")
    );
    assert_eq!(row.get::<_, &str>(2), "'");
    assert_eq!(validate(&trial, 1, "record", &hostile, &found).await, Verdict::Valid);

    // Not done, done for another, done with other values, changed later.
    let missing = Value::object([("row", format!("{:#x}", B256::repeat_byte(2)))]);
    assert_eq!(
        validate(&trial, 2, "record", &hostile, &missing).await,
        Verdict::Invalid
    );
    assert_eq!(validate(&trial, 2, "record", &hostile, &found).await, Verdict::Invalid);
    let other = object(r#"{"sender":"'; --","amount":"1","urgent":true}"#);
    assert_eq!(validate(&trial, 1, "record", &other, &found).await, Verdict::Invalid);
    assert!(matches!(
        execute(&trial, 1, "record", &other).await,
        Answer::Failed { retry: false, .. }
    ));
    client.execute("UPDATE notes SET extra = NULL", &[]).await.unwrap();
    assert_eq!(validate(&trial, 1, "record", &hostile, &found).await, Verdict::Invalid);
    // Where others may write, a row proves nothing against who wrote it.
    let elsewhere = Place::new();
    elsewhere.secret("database", &postgres.connection());
    let doubting = elsewhere.trial().await;
    let doubter = elsewhere.run(
        &doubting,
        Kind::Postgres,
        &section.replace("authoritative = true\n", ""),
    );
    assert_eq!(
        validate(&doubting, 1, "record", &hostile, &found).await,
        Verdict::Unknown
    );
    assert_eq!(
        validate(&doubting, 2, "record", &hostile, &missing).await,
        Verdict::Unknown
    );
    assert_eq!(
        validate(&doubting, 2, "record", &hostile, &found).await,
        Verdict::Invalid
    );
    let kept = object(r#"{"sender":"'; --","amount":"12345678901234567890.5","urgent":true}"#);
    assert_eq!(validate(&doubting, 1, "record", &kept, &found).await, Verdict::Valid);
    doubter.abort();

    // What the columns refuse or would round is not written.
    for (number, inputs) in (3..).zip([
        r#"{"sender":"longer than five","amount":"1","urgent":true}"#,
        r#"{"sender":"a","amount":"1.005","urgent":true}"#,
        r#"{"sender":"a","amount":"much","urgent":true}"#,
    ]) {
        let answer = execute(&trial, number, "record", &object(inputs)).await;
        let Answer::Failed { retry: false, message } = answer else {
            panic!("found {answer:?}, expected a failure for good");
        };
        // Which column or rule, not which value.
        for value in ["longer than five", "1.005", "much"] {
            assert!(!message.contains(value), "{message}");
        }
    }
    assert_eq!(client.query("SELECT 1 FROM notes", &[]).await.unwrap().len(), 1);

    // The database goes and comes back: nothing can be told meanwhile, then the work goes on.
    postgres.kill().unwrap();
    assert_eq!(validate(&trial, 1, "record", &hostile, &found).await, Verdict::Unknown);
    assert!(matches!(
        execute(&trial, 9, "record", &hostile).await,
        Answer::Failed { retry: true, .. }
    ));
    postgres.resume().unwrap();
    let again = output(execute(&trial, 9, "record", &hostile).await);
    assert_eq!(validate(&trial, 9, "record", &hostile, &again).await, Verdict::Valid);

    // So does the node.
    let listen = trial.address().url().trim_start_matches("http://").to_owned();
    trial.stop().await.unwrap();
    let trial = place.trial_at(&listen).await;
    assert_eq!(output(execute(&trial, 9, "record", &hostile).await), again);
    let client = postgres.connect().await.unwrap();
    assert_eq!(client.query("SELECT 1 FROM notes", &[]).await.unwrap().len(), 2);
    running.abort();
}

/// `note(bytes32 task, uint256 amount, string text)` emits its own call data after the selector as
/// `Noted(address indexed who, uint256 amount, string text)`: the two arguments follow 36 bytes, and the text's offset,
/// counted from the task's word, is one word less when counted from the amount's.
fn contract() -> Bytes {
    let topic = alloy::primitives::keccak256("Noted(address,uint256,string)");
    let runtime = [
        // calldatacopy(0, 36, size = calldatasize - 36)
        &hex!("60243603806024600037")[..],
        // mstore(32, mload(32) - 32)
        &hex!("602060205103602052"),
        // log2(0, size, topic, caller)
        &hex!("7f"),
        topic.as_slice(),
        &hex!("33916000a200"),
    ]
    .concat();
    let length = u8::try_from(runtime.len()).unwrap();
    [
        &[0x60, length, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3][..],
        &runtime,
    ]
    .concat()
    .into()
}

struct Chain {
    anvil: Anvil,
    rpc: Rpc,
}

impl Chain {
    async fn mine(&self, blocks: u64) {
        let _: Option<bool> = self
            .rpc
            .provider()
            .raw_request("anvil_mine".into(), (blocks,))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn p5_a_transaction_is_sent_once_and_its_log_emitted_when_it_is_final() {
    let place = Place::new();
    let anvil = Anvil::start(&AnvilConfig::default()).unwrap();
    let rpc = Rpc::new(anvil.url()).unwrap();
    let chain = Chain { anvil, rpc };
    let key = dev_key(7).unwrap();
    let account = key.address();
    chain
        .anvil
        .fund(&chain.rpc, account, U256::from(10).pow(U256::from(20)))
        .await
        .unwrap();
    let other = dev_key(8).unwrap();
    chain
        .anvil
        .fund(&chain.rpc, other.address(), U256::from(10).pow(U256::from(20)))
        .await
        .unwrap();
    let sender = Sender::new(chain.rpc.clone(), other).await.unwrap();
    let (contract, _) = sender.deploy(contract()).await.unwrap();
    place.secret("account.key", &format!("{:#x}", key.to_bytes()));
    let trial = place.trial().await;
    let section = format!(
        "[ethereum]\nrpc = \"{}\"\nconfirmations = 3\npoll = 1\nstate_file = \"next-block\"\nkey_file = \"account.key\"\n\
         journal = \"journal\"\n[[ethereum.log]]\ncontract = \"{contract}\"\n\
         signature = \"event Noted(address indexed who, uint256 amount, string text)\"\nevent = \"noted\"\nfrom_block = 0\n\
         [[ethereum.call]]\ntask = \"note\"\ncontract = \"{contract}\"\n\
         signature = \"function note(bytes32 task, uint256 amount, string text)\"\n",
        chain.anvil.url()
    );
    let running = place.run(&trial, Kind::Ethereum, &section);
    let amount = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let inputs = object(&format!(r#"{{"amount":"{amount}","text":"héllo"}}"#));
    let nonce = async || chain.rpc.provider().get_transaction_count(account).await.unwrap();
    let assign = |trial: &Trial| {
        trial
            .handle()
            .assign(Assignment {
                service: SERVICE,
                task: B256::repeat_byte(1),
                attempt: 0,
                name: "note".to_owned(),
                inputs: inputs.clone(),
                kind: Order::Execute,
                deadline_ms: u64::MAX,
            })
            .unwrap();
    };
    assign(&trial);
    while nonce().await == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // In the chain, not final: neither an output nor an event. The connector is killed there.
    chain.mine(2).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(trial.submissions().is_empty());
    assert!(trial.emissions().is_empty());
    running.abort();
    let running = place.run(&trial, Kind::Ethereum, &section);
    trial
        .wait("it is back", MOST, |trial| trial.registrations().len() == 2)
        .await
        .unwrap();
    chain.mine(1).await;
    trial
        .wait("the answer", MOST, |trial| !trial.submissions().is_empty())
        .await
        .unwrap();
    let found = output(trial.submissions().first().unwrap().answer.clone());
    assert_eq!(found.field("status").and_then(Value::as_str), Some("success"));
    trial
        .wait("the event", MOST, |trial| !trial.emissions().is_empty())
        .await
        .unwrap();
    let seen = trial.emissions();
    let data = &seen.first().unwrap().data;
    for name in ["block_hash", "block_number", "transaction"] {
        assert_eq!(data.field(name), found.field(name), "{name}");
    }
    let args = format!(r#"{{"amount":"{amount}","text":"héllo","who":"{account:#x}"}}"#);
    assert_eq!(data.field("args"), Some(&object(&args)));
    // Assigned again: the same transaction, found in the journal.
    assert_eq!(output(execute(&trial, 1, "note", &inputs).await), found);
    assert_eq!(nonce().await, 1);
    assert_eq!(validate(&trial, 1, "note", &inputs, &found).await, Verdict::Valid);

    // Another task's call, other inputs, a transaction that isn't there, one that isn't final.
    assert_eq!(validate(&trial, 2, "note", &inputs, &found).await, Verdict::Invalid);
    let others = object(r#"{"amount":"1","text":"héllo"}"#);
    assert_eq!(validate(&trial, 1, "note", &others, &found).await, Verdict::Invalid);
    let with = |name: &str, value: Value| {
        let mut fields = found.as_object().unwrap().clone();
        fields.insert(name.to_owned(), value);
        Value::Object(fields)
    };
    let none = with("transaction", Value::from(format!("{:#x}", B256::repeat_byte(9))));
    assert_eq!(validate(&trial, 1, "note", &inputs, &none).await, Verdict::Invalid);
    assert_eq!(
        validate(&trial, 1, "note", &inputs, &with("status", Value::from("reverted"))).await,
        Verdict::Invalid
    );
    assert_eq!(
        validate(
            &trial,
            1,
            "note",
            &inputs,
            &with("block_number", Value::from(1_000_000))
        )
        .await,
        Verdict::Unknown
    );

    // A log that a reorganisation takes back is never emitted.
    let (events, head) = (trial.emissions().len(), chain.rpc.latest().await.unwrap().header.number);
    let words = [U256::ZERO, U256::from(1), U256::from(96), U256::ZERO].map(|word| word.to_be_bytes::<32>());
    let call = surety_chain::Call {
        to: Some(contract),
        input: [&[0; 4][..], words.as_flattened()].concat().into(),
    };
    sender.send_call(call).await.unwrap();
    let _: serde_json::Value = chain
        .rpc
        .provider()
        .raw_request("anvil_rollback".into(), (1,))
        .await
        .unwrap();
    chain.mine(5).await;
    let passed = || {
        std::fs::read_to_string(place.path().join("next-block"))
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
            > head + 1
    };
    trial.wait("the block is passed", MOST, |_| passed()).await.unwrap();
    assert_eq!(trial.emissions().len(), events);
    running.abort();
}

/// An endpoint in front of a chain's, some of whose machines are behind: logs of a range are found empty, logs by block
/// refused for the first few times, receipts and transactions not found by hash while `behind`.
async fn behind_a_balancer(url: &str, behind: Arc<AtomicUsize>) -> String {
    use axum::{Router, extract::State, routing::post};
    use serde_json::{Value as Json, json};

    struct Shared {
        url: String,
        behind: Arc<AtomicUsize>,
        refusals: AtomicUsize,
        client: reqwest::Client,
    }

    async fn ask(State(shared): State<Arc<Shared>>, body: String) -> String {
        let request: Json = serde_json::from_str(&body).unwrap();
        let answer = |name: &str, value: Json| {
            let id = request.get("id").unwrap().clone();
            json!({ "jsonrpc": "2.0", "id": id, name: value }).to_string()
        };
        match request.get("method").and_then(Json::as_str).unwrap() {
            "eth_getLogs" if request.pointer("/params/0/blockHash").is_none_or(Json::is_null) => {
                return answer("result", json!([]));
            }
            "eth_getLogs" if shared.refusals.fetch_add(1, Ordering::SeqCst) < 3 => {
                return answer("error", json!({ "code": -32000, "message": "unknown block" }));
            }
            "eth_getTransactionReceipt" | "eth_getTransactionByHash" if shared.behind.load(Ordering::SeqCst) == 1 => {
                return answer("result", Json::Null);
            }
            _ => {}
        }
        let request = shared
            .client
            .post(&shared.url)
            .header("content-type", "application/json");
        let response = request.body(body).send().await.unwrap();
        String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap()
    }

    let shared = Arc::new(Shared {
        url: url.to_owned(),
        behind,
        refusals: AtomicUsize::new(0),
        client: reqwest::Client::new(),
    });
    let router = Router::new().route("/", post(ask)).with_state(shared);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn p1_an_endpoint_that_is_behind_itself_loses_no_log_and_proves_nothing() {
    let place = Place::new();
    let anvil = Anvil::start(&AnvilConfig::default()).unwrap();
    let rpc = Rpc::new(anvil.url()).unwrap();
    let chain = Chain { anvil, rpc };
    let key = dev_key(8).unwrap();
    let ether = U256::from(10).pow(U256::from(20));
    chain.anvil.fund(&chain.rpc, key.address(), ether).await.unwrap();
    let sender = Sender::new(chain.rpc.clone(), key).await.unwrap();
    let (contract, _) = sender.deploy(contract()).await.unwrap();
    let behind = Arc::new(AtomicUsize::new(1));
    let url = behind_a_balancer(chain.anvil.url(), Arc::clone(&behind)).await;
    // note(task, 1, "")
    let selector = alloy::primitives::keccak256("note(bytes32,uint256,string)");
    let words = [U256::from(1), U256::from(96), U256::ZERO].map(|word| word.to_be_bytes::<32>());
    let task = B256::repeat_byte(1);
    let call = surety_chain::Call {
        to: Some(contract),
        input: [selector.get(..4).unwrap(), task.as_slice(), words.as_flattened()]
            .concat()
            .into(),
    };
    sender.send_call(call).await.unwrap();
    chain.mine(5).await;
    let trial = place.trial().await;
    let section = format!(
        "[ethereum]\nrpc = \"{url}\"\nconfirmations = 3\npoll = 1\njournal = \"journal\"\n\
         [[ethereum.log]]\ncontract = \"{contract}\"\n\
         signature = \"event Noted(address indexed who, uint256 amount, string text)\"\nevent = \"noted\"\nfrom_block = 0\n\
         [[ethereum.call]]\ntask = \"note\"\ncontract = \"{contract}\"\n\
         signature = \"function note(bytes32 task, uint256 amount, string text)\"\n"
    );
    let running = place.run(&trial, Kind::Ethereum, &section);
    trial
        .wait("the event", MOST, |trial| !trial.emissions().is_empty())
        .await
        .unwrap();
    let data = trial.emissions().first().unwrap().data.clone();
    let field = |name: &str| data.field(name).unwrap().clone();
    let claim = Value::object([
        ("transaction", field("transaction")),
        ("block_hash", field("block_hash")),
        ("block_number", field("block_number")),
        ("status", Value::from("success")),
    ]);
    let inputs = object(r#"{"amount":"1","text":""}"#);
    assert_eq!(validate(&trial, 1, "note", &inputs, &claim).await, Verdict::Unknown);
    // What the block itself says is certain even so.
    assert_eq!(validate(&trial, 2, "note", &inputs, &claim).await, Verdict::Invalid);
    behind.store(0, Ordering::SeqCst);
    assert_eq!(validate(&trial, 1, "note", &inputs, &claim).await, Verdict::Valid);
    running.abort();
}
