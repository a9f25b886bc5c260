//! The network's commands against a real anvil: keys, sets, flows, deposits; and what they say of bad files.

mod common;

use common::{Ran, command, ran, surety_in};
use serde_json::Value;
use surety_chain::{Actions, Sender};
use surety_cli::dev::{DevConfig, Devnet};
use surety_primitives::{
    bls::{PublicKey, Signature},
    keys::{KeysRegistration, encryption_secret, voting_secret},
};

const SERVICE: &str = include_str!("../src/template/network/service.toml");
const FLOW: &str = include_str!("../src/template/network/flow.toml");

/// Runs `surety` on the network, as `who` (a keystore in its directory), words apart by spaces.
async fn surety(net: &Devnet, who: &str, line: &str) -> Ran {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut command = command(&words);
    command
        .env("SURETY_L1", net.rpc.url())
        .env("SURETY_DEPLOYMENT", net.dir.join("deployment.json"))
        .env("SURETY_KEYSTORE", net.dir.join(who))
        .env("SURETY_PASSWORD_FILE", &net.password_file)
        .current_dir(&net.dir);
    let output = tokio::task::spawn_blocking(move || command.output());
    ran(output.await.expect("joins").expect("starts"))
}

async fn good(net: &Devnet, who: &str, line: &str) -> Value {
    let ran = surety(net, who, &format!("{line} --json")).await;
    assert_eq!(ran.code, 0, "surety {line}: {ran:?}");
    ran.json()
}

#[test]
fn a_manifest_of_the_network_is_checked_as_a_whole() {
    let dir = tempfile::tempdir().expect("directory");
    let made = surety_in(dir.path(), &["service", "init", "greeter", "--network", "--json"]);
    assert_eq!(made.code, 0, "{made:?}");
    let home = dir.path().join("greeter");
    let value = surety_in(&home, &["service", "validate", "--json"]);
    assert_eq!(value.code, 0, "{value:?}");
    let value = value.json();
    assert_eq!((&value["valid"], &value["quorum"]), (&true.into(), &6667.into()));
    assert_eq!(value["tasks"][0]["price"]["per_call"], "100000000000000000");
    assert_eq!(value["events"][0]["id"][0], "number");
    let text = surety_in(&home, &["service", "validate"]).stdout;
    assert!(
        text.contains("task        greet(language?: String, visitor: String) -> (greeting: String)"),
        "{text}"
    );
    // Programs as well: one manifest for both.
    let both = format!(
        "max_budget = 5\n{SERVICE}\n[[program]]\nelf = \"p.elf\"\nmethods = [\"add(uint32,uint32)(uint32)\"]\n"
    );
    std::fs::write(home.join("service.toml"), both.replace("{name}", "both")).expect("write");
    let value = surety_in(&home, &["service", "validate", "--json"]).json();
    assert_eq!(
        value["programs"][0]["methods"][0], "add(uint32,uint32)(uint32)",
        "{value}"
    );

    let base = SERVICE.replace("{name}", "greeter");
    let cases: &[(&str, &str, &str, &str)] = &[
        // what is replaced, by what, the place of the problem, a part of what is said
        ("\"66.67%\"", "\"50%\"", "quorum", "more than half"),
        ("\"66.67%\"", "\"50%", "", "not TOML"),
        (
            "min_bond = \"32\"",
            "min_bond = 32",
            "min_bond",
            "found 32, expected tokens as text",
        ),
        ("min_bond = \"32\"", "minimum = \"32\"", "minimum", "expected"),
        (
            "id = [\"number\"]",
            "id = [\"nobody\"]",
            "events.visited.id[0]",
            "nobody",
        ),
        ("id = [\"number\"]", "id = []", "events.visited.id", "found none"),
        ("\"Number\"", "\"Integer\"", "events.visited.data.number", "Integer"),
        (
            "\"deterministic\"\n",
            "\"maybe\"\n",
            "tasks.greet.verification",
            "maybe",
        ),
        (
            "\"deterministic\"\n",
            "\"none\"\n",
            "tasks.greet.validators",
            "nobody can validate",
        ),
        ("validators = 3", "validators = 32", "tasks.greet.validators", "32"),
        ("window = 30", "window = 0", "tasks.greet.window", "0"),
        (
            "per_call = \"0.1\"",
            "per_call = 0.1",
            "tasks.greet.price.per_call",
            "expected tokens",
        ),
        (
            "[events.visited]",
            "[programme]\n[events.visited]",
            "programme",
            "expected",
        ),
        ("name = \"greeter\"", "name = \"a b\"", "name", "a b"),
        (
            "[events.visited]",
            "[[program]]\nelf = 7\n[events.visited]",
            "program[0].methods",
            "missing",
        ),
    ];
    for (from, to, place, said) in cases {
        assert!(base.contains(from), "{from}");
        std::fs::write(home.join("service.toml"), base.replacen(from, to, 1)).expect("write");
        let ran = surety_in(&home, &["service", "validate", "--json"]);
        assert_eq!(ran.code, 1, "{to}: {ran:?}");
        let value = ran.json();
        assert_eq!(value["valid"], false);
        let problems = value["problems"].as_array().expect("list");
        let found = problems.iter().find(|p| p["path"] == *place);
        let found = found.unwrap_or_else(|| panic!("{to}: nothing said of `{place}`: {value:#}"));
        assert!(found["message"].as_str().expect("text").contains(said), "{to}: {found}");
        assert!(found["line"].as_u64().expect("line") >= 1 && found["column"].as_u64().expect("column") >= 1);
        assert!(!ran.error()["next"].as_str().expect("text").is_empty());
    }
    // Several at once, in the order of the text, as `file:line:column: path: …`.
    let many = base
        .replace("\"66.67%\"", "\"1%\"")
        .replace("window = 30", "window = -1")
        .replace("\"32\"", "\"x\"");
    std::fs::write(home.join("service.toml"), many).expect("write");
    let ran = surety_in(&home, &["service", "validate"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert!(
        lines[0].ends_with("less than 2^96 wei") && lines[0].contains("service.toml:5:12: min_bond: "),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("quorum") && lines[2].contains("tasks.greet.window"),
        "{lines:?}"
    );
    std::fs::remove_file(home.join("service.toml")).expect("removed");
    assert_eq!(surety_in(&home, &["service", "validate"]).code, 1);
}

#[test]
fn a_flow_is_checked_with_its_place() {
    let dir = tempfile::tempdir().expect("directory");
    let known = r#"{"greeter": {"address": "0x00000000000000000000000000000000000000aa"}}"#;
    std::fs::create_dir(dir.path().join("surety-dev")).expect("made");
    std::fs::write(dir.path().join("surety-dev/services.json"), known).expect("write");
    std::fs::write(dir.path().join("service.toml"), SERVICE.replace("{name}", "greeter")).expect("write");
    let base = FLOW.replace("{name}", "greeter");
    let validate = |text: &str, more: &[&str]| {
        std::fs::write(dir.path().join("flow.toml"), text).expect("write");
        surety_in(
            dir.path(),
            &[&["flow", "validate", "flow.toml", "--json"], more].concat(),
        )
    };
    let ran = validate(&base, &["--manifest", "service.toml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let value = ran.json();
    assert_eq!(
        value["definition"]["node"][0]["service"],
        "0x00000000000000000000000000000000000000aa"
    );
    assert_eq!(value["definition"]["node"][0]["fee"], "10000000000000000");
    assert_eq!(
        (&value["tasks"], &value["most"]),
        (&1.into(), &"1010000000000000000".into())
    );
    let unknown = base.replace("task = \"greet\"", "task = \"shout\"");
    let ran = validate(&unknown, &["--manifest", "service.toml"]);
    assert!(ran.code == 1 && ran.stdout.contains("has no task `shout`"), "{ran:?}");
    let cases: &[(&str, &str, &str, &str)] = &[
        ("name = \"greeter-flow\"\n", "", "name", "missing"),
        ("name = \"greeter-flow\"\n", "name = \"greeter-flow\n", "", "not TOML"),
        ("type = \"filter\"", "type = \"sieve\"", "node[1].type", "sieve"),
        (
            "service = \"greeter\"",
            "service = \"nobody\"",
            "node[0].service",
            "nobody",
        ),
        ("\"CONTAINS\"", "\"LIKE\"", "node[1].where.is", "LIKE"),
        (
            "after = [\"known\"]",
            "after = [\"greet\"]",
            "node[2]",
            "waits for itself",
        ),
        ("after = [\"known\"]", "after = [\"gone\"]", "node[2]", "gone"),
        ("validators = 3", "validators = 99", "node[2].validators", "99"),
        ("most = \"1\"", "most = 1", "node[2].most", "expected tokens"),
        (
            "fee = \"0.01\"",
            "fee = \"0.01 tokens\"",
            "node[0].fee",
            "expected tokens",
        ),
        ("key = \"known\"", "key = \"visit\"", "node[1]", "twice"),
        ("window = 30", "windows = 30", "node[2].windows", "not known"),
    ];
    for (from, to, place, said) in cases {
        assert!(base.contains(from), "{from}");
        let ran = validate(&base.replacen(from, to, 1), &[]);
        assert_eq!(ran.code, 1, "{to}: {ran:?}");
        let value = ran.json();
        let problem = &value["problems"][0];
        assert_eq!(problem["path"], *place, "{to}: {value}");
        assert!(
            problem["message"].as_str().expect("text").contains(said),
            "{to}: {problem}"
        );
    }
    // The place is that of the value.
    let value = validate(&base.replace("type = \"filter\"", "type = \"sieve\""), &[]).json();
    let line = base.lines().position(|l| l == "type = \"filter\"").expect("there") + 1;
    assert_eq!(
        (
            value["problems"][0]["line"].as_u64(),
            value["problems"][0]["column"].as_u64()
        ),
        (Some(line as u64), Some(8))
    );
}

#[test]
fn every_command_of_the_network_says_what_to_do() {
    let dir = tempfile::tempdir().expect("directory");
    let service = "0x0000000000000000000000000000000000000001";
    let hash = "0x0000000000000000000000000000000000000000000000000000000000000001";
    std::fs::write(dir.path().join("no-certificate"), "0x01").expect("write");
    // Nothing listens on port 1.
    let node = "http://127.0.0.1:1";
    for (arguments, code) in [
        (&["network", "status", "--node", node][..], 1),
        (&["network", "sets", service], 1),
        (&["network", "fix", service], 1),
        (&["network", "events", service, "--node", node], 1),
        (&["certificate", "show", service, hash, "--node", node], 1),
        (&["certificate", "show", service], 2),
        (&["certificate", "verify", "none"], 1),
        (&["certificate", "verify", "no-certificate"], 18),
        (&["flow", "validate", "none.toml"], 1),
        (&["flow", "create", "none.toml"], 1),
        (&["flow", "list"], 1),
        (&["flow", "show", "1"], 1),
        (&["flow", "logs", "1", "--node", node], 1),
        (&["flow", "delete", "1"], 1),
        (&["flow", "deposit", "1"], 1),
        (&["flow", "deposit", "x"], 2),
        (&["task", "request", service, "t", "--inputs", "{}"], 1),
        (&["task", "request", service, "t", "--inputs", "{"], 2),
        (&["task", "show", hash], 1),
        (&["operator", "set-keys", "--peer-address", "nowhere"], 2),
        (&["operator", "show", service], 1),
        (&["operator", "claim", "--service", service], 1),
    ] {
        let ran = surety_in(dir.path(), &[&["--json"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(!ran.error()["next"].as_str().expect("text").is_empty());
    }
    for noun in ["network", "certificate", "flow", "task"] {
        let ran = surety_in(dir.path(), &[noun, "--help"]);
        assert!(ran.code == 0 && ran.stdout.contains("Usage: surety"), "{noun}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_set_keys_and_an_application_makes_a_flow() {
    let home = tempfile::tempdir().expect("directory");
    let config = DevConfig {
        dir: home.path().join("net"),
        operators: 3,
        l1_port: 0,
        first_port: 0,
        block_time: None,
        nodes: false,
        ..DevConfig::default()
    };
    let net = Devnet::start(&config, |_| {}).await.unwrap_or_else(|e| panic!("{e:?}"));

    // A service of the network: registered with its quorum and prices.
    good(&net, "owner.json", "service init greeter --network").await;
    let registered = good(&net, "owner.json", "service register --dir greeter").await;
    let service = registered["service"].as_str().expect("text").to_owned();
    // The quorum is the manifest's already: contract, registration, price.
    assert_eq!(
        registered["transactions"].as_array().expect("list").len(),
        2,
        "{registered}"
    );
    let again = good(&net, "owner.json", "service register --dir greeter").await;
    assert_eq!(
        (&again["service"], &again["transactions"]),
        (&registered["service"], &serde_json::json!([]))
    );

    // Without keys nobody is a member.
    let early = surety(&net, "user.json", "network fix explorer --json").await;
    assert!(
        early.code == 1 && early.error()["next"].as_str().expect("text").contains("set-keys"),
        "{early:?}"
    );

    // Keys: what is on-chain is derived from the keystore, and the proof of possession verified there.
    let contracts = surety_chain::Contracts::new(net.rpc.clone(), net.deployment.clone());
    for (i, operator) in net.operators.iter().enumerate() {
        let who = format!("operator-{}/keystore.json", i + 1);
        let line = format!("operator set-keys --peer-address /ip4/127.0.0.1/tcp/{}", 9_700 + i);
        let set = good(&net, &who, &line).await;
        assert!(set["peer_id"].as_str().expect("text").starts_with("16Uiu2HA"), "{set}");
        let keys = contracts.network_keys(operator.key.address()).await.expect("keys");
        let secret = operator.key.to_bytes().0;
        assert_eq!(keys.bls.as_ref(), voting_secret(&secret).public_key().to_eip2537());
        assert_eq!(keys.encryption, encryption_secret(&secret).public_key().to_word());
        assert_eq!(keys.peer_address, format!("/ip4/127.0.0.1/tcp/{}", 9_700 + i));
        let shown = good(&net, &who, "operator show --service explorer").await;
        assert_eq!(
            (&shown["peer_id"], &shown["bls_key"]),
            (&set["peer_id"], &set["bls_key"])
        );
        // Again: nothing is sent.
        assert_eq!(good(&net, &who, &line).await["transaction"], Value::Null);
    }
    // The contract refuses a key whose possession is not proved: here, the proof for another operator.
    let (first, second) = (&net.operators[0].key, &net.operators[1].key);
    let domain = net.deployment.registration_domain();
    let stolen = KeysRegistration::derive(&domain, first.address(), &first.to_bytes().0, String::new()).expect("keys");
    let sender = Sender::new(net.rpc.clone(), second.clone()).await.expect("sender");
    let (key, proof): (PublicKey, Signature) = (stolen.key, stolen.proof);
    let refused = Actions::new(sender, net.deployment.clone())
        .set_keys(
            second.address(),
            key.to_eip2537().to_vec().into(),
            proof.to_eip2537().to_vec().into(),
            stolen.encryption_key,
            "",
        )
        .await;
    assert!(refused.expect_err("refused").to_string().contains("WrongPossession"));

    // A set of three, once in a period.
    let fixed = good(&net, "user.json", "network fix explorer").await;
    assert_eq!(
        (&fixed["set"], fixed["members"].as_array().map(Vec::len)),
        (&1.into(), Some(3))
    );
    let sets = good(&net, "user.json", "network sets explorer").await;
    assert_eq!(sets["set"]["members"], fixed["members"]);
    assert_eq!(sets["set"]["quorum"], 6667);
    let soon = surety(&net, "user.json", "network fix explorer --json").await;
    assert!(
        soon.code == 1 && soon.error()["message"].as_str().expect("text").contains("TooEarly"),
        "{soon:?}"
    );
    let seats = good(&net, "operator-1/keystore.json", "operator show --service explorer").await;
    assert_eq!(seats["seats"][0]["set"], 1);
    let nothing = good(&net, "operator-1/keystore.json", "operator claim --service explorer").await;
    assert_eq!(nothing["earned"], "0");

    // An application: deposit, flow, list, show, delete, withdraw.
    let sender = Sender::new(net.rpc.clone(), net.user.clone()).await.expect("sender");
    let ten = alloy::primitives::utils::parse_ether("10").expect("amount");
    Actions::new(sender, net.deployment.clone())
        .mint(net.user.address(), ten)
        .await
        .expect("minted");
    let created = good(&net, "user.json", "flow create greeter/flow.toml --deposit 2").await;
    assert_eq!(
        (&created["flow"], &created["name"]),
        (&"0x1".into(), &"greeter-flow".into()),
        "{created}"
    );
    assert_eq!(created["deposit"], "2000000000000000000");
    let more = good(&net, "user.json", "flow deposit 1.5").await;
    assert_eq!(more["deposit"], "3500000000000000000");
    let owner = net.user.address();
    let listed = good(&net, "user.json", &format!("flow list --owner {owner}")).await;
    assert_eq!(listed["flows"][0]["name"], "greeter-flow");
    let shown = good(&net, "user.json", "flow show 1").await;
    assert_eq!(shown["active"], true);
    assert_eq!(shown["steps"][0]["validators"], 3);
    assert_eq!(shown["definition"]["node"][2]["service"], service.to_lowercase());
    assert_eq!(shown["runs"], serde_json::json!([]));
    let foreign = surety(&net, "owner.json", "flow delete 1 --json").await;
    assert!(
        foreign.code == 1
            && foreign.error()["message"]
                .as_str()
                .expect("text")
                .contains("belongs to")
    );
    good(&net, "user.json", "flow delete 1").await;
    assert_eq!(good(&net, "user.json", "flow show 1").await["active"], false);
    assert_eq!(
        good(&net, "user.json", "flow list").await["flows"],
        serde_json::json!([])
    );
    let over = surety(&net, "user.json", "flow withdraw 4 --json").await;
    assert_eq!(over.code, 1, "{over:?}");
    assert_eq!(good(&net, "user.json", "flow withdraw").await["deposit"], "0");
    assert_eq!(surety(&net, "user.json", "flow show 7").await.code, 1);
    net.stop().await;
}
