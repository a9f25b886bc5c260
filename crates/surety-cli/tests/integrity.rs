//! Plans, hosts, deployments and attestation against a real anvil: what the owner, the host and a client do.

mod common;

use alloy::{
    primitives::{B256, U256, utils::parse_ether},
    providers::Provider,
};
use common::{Ran, command, ran, surety_in};
use serde_json::Value;
use surety_chain::{Actions, Contracts, Sender};
use surety_cli::dev::{DevConfig, Devnet};
use surety_primitives::{
    bls::Signature,
    keys::voting_secret,
    measurement::{DeploymentId, Judgement, baseline_root, subject, verdict_root},
    vote::Ballot,
};

const MANIFEST: &str = r#"name = "explorer"

[container]
image = "registry.example:5000/explorer@sha256:1111111111111111111111111111111111111111111111111111111111111111"

[container.watch]
epoch = 4
monitors = 3
unreachable_after = 2
reward = "0.3"
host_reward = "0.1"
"#;

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

async fn actions(net: &Devnet) -> Actions {
    let sender = Sender::new(net.rpc.clone(), net.user.clone()).await.expect("sender");
    Actions::new(sender, net.deployment.clone())
}

/// What all members of the service's first set sign together.
async fn signed(net: &Devnet, root: B256) -> (U256, Vec<u8>) {
    let contracts = Contracts::new(net.rpc.clone(), net.deployment.clone());
    let set = surety_client::network::set(&contracts, net.service, 1)
        .await
        .expect("set");
    let ballot = Ballot {
        service: net.service,
        set: 1,
        root,
    };
    let digest = ballot.digest(&net.deployment.ballot_domain());
    let signatures: Vec<Signature> = set
        .members()
        .iter()
        .map(|member| {
            let operator = net.operators.iter().find(|o| o.key.address() == member.operator);
            voting_secret(&operator.expect("ours").key.to_bytes().0).sign(&digest)
        })
        .collect();
    let signature = Signature::sum(&signatures).expect("some");
    (set.all().to_u256(), signature.to_eip2537().to_vec())
}

async fn record(net: &Devnet, id: DeploymentId, epoch: u32, judgement: Judgement) {
    let about = subject(net.deployment.integrity, id, epoch.into());
    let (signers, signature) = signed(net, verdict_root(about, judgement).expect("root")).await;
    let sent = actions(net)
        .await
        .report_epoch(id, epoch, judgement, 1, signers, signature.into())
        .await;
    sent.expect("recorded");
}

/// The chain's clock goes on.
async fn pass(net: &Devnet, seconds: u64) {
    let provider = net.rpc.provider();
    let _: Value = provider
        .raw_request("evm_increaseTime".into(), (seconds,))
        .await
        .expect("time");
    let _: Value = provider.raw_request("evm_mine".into(), ()).await.expect("block");
}

#[test]
fn commands_say_what_to_do() {
    let dir = tempfile::tempdir().expect("directory");
    let service = "0x0000000000000000000000000000000000000001";
    for (arguments, code) in [
        (&["integrity", "plan", "set", service][..], 1),
        (&["integrity", "plan", "show", service], 1),
        (&["integrity", "deploy", service, "nobody"], 2),
        (&["integrity", "fund", service, "1", "0.0000000001"], 2),
        (&["integrity", "retire", service], 1),
        (&["integrity", "show", service], 1),
        (&["attest", service], 1),
        (&["operator", "set-host", service, service, "tcp://x"], 2),
        (&["operator", "set-host", service, service, "ssh://a@b:22"], 2),
    ] {
        let ran = surety_in(dir.path(), &[&["--json"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_manifest_with_a_container_alone_is_good() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::write(dir.path().join("service.toml"), MANIFEST).expect("write");
    let ran = surety_in(dir.path(), &["service", "validate", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.json()["container"]["specification_hash"].is_string());
    let bad = MANIFEST
        .replace("epoch = 4", "epoch = 3")
        .replace("registry.example:5000/", "");
    std::fs::write(dir.path().join("service.toml"), bad).expect("write");
    let ran = surety_in(dir.path(), &["service", "validate", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let value = ran.json();
    let paths: Vec<&str> = value["problems"]
        .as_array()
        .expect("list")
        .iter()
        .filter_map(|problem| problem["path"].as_str())
        .collect();
    assert_eq!(paths, ["container.image", "container.watch.epoch"], "{value}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_planned_deployed_attested_and_its_host_punished() {
    let home = tempfile::tempdir().expect("directory");
    let config = DevConfig {
        dir: home.path().join("net"),
        operators: 4,
        l1_port: 0,
        first_port: 0,
        block_time: None,
        nodes: false,
        ..DevConfig::default()
    };
    let net = Devnet::start(&config, |_| {}).await.unwrap_or_else(|e| panic!("{e:?}"));
    std::fs::create_dir(net.dir.join("plan")).expect("made");
    std::fs::write(net.dir.join("plan/service.toml"), MANIFEST).expect("write");

    // The owner's plan, once.
    let none = surety(&net, "user.json", "integrity plan show explorer --json").await;
    assert!(none.code == 1 && none.error()["next"].as_str().expect("text").contains("plan set"));
    let plan = good(&net, "owner.json", "integrity plan set explorer --dir plan").await;
    assert_eq!(plan["transactions"].as_array().map(Vec::len), Some(2), "{plan}");
    let again = good(&net, "owner.json", "integrity plan set explorer --dir plan").await;
    assert_eq!(again["transactions"], serde_json::json!([]));
    let shown = good(&net, "user.json", "integrity plan show explorer").await;
    assert_eq!(
        (&shown["monitors"], &shown["reward"], &shown["specification"]),
        (&3.into(), &"300000000000000000".into(), &plan["specification"])
    );

    // Three monitors and a host.
    for number in 1..=4 {
        let who = format!("operator-{number}/keystore.json");
        good(&net, &who, "operator set-keys --peer-address /ip4/127.0.0.1/tcp/9000").await;
    }
    let host = net.operators[3].key.address();
    let early = surety(&net, "owner.json", &format!("integrity deploy explorer {host} --json")).await;
    assert!(
        early.code == 1 && early.error()["next"].as_str().expect("text").contains("set-host"),
        "{early:?}"
    );
    let line = format!("operator set-host {host} explorer unix:/var/run/docker.sock");
    good(&net, "operator-4/keystore.json", &line).await;
    let fixed = good(&net, "user.json", "network fix explorer").await;
    assert_eq!(
        fixed["members"].as_array().map(Vec::len),
        Some(3),
        "the host is no monitor"
    );
    actions(&net)
        .await
        .mint(net.owner.address(), parse_ether("20").expect("amount"))
        .await
        .expect("minted");
    let deployed = good(
        &net,
        "owner.json",
        &format!("integrity deploy explorer {host} --fund 10"),
    )
    .await;
    let id: DeploymentId = deployed["deployment"].as_str().expect("text").parse().expect("id");
    assert_eq!(id, DeploymentId::new(net.service, 1));

    // Nothing is attested before it runs, nor before an epoch is recorded.
    let ran = surety(&net, "user.json", "attest explorer --json").await;
    assert!(ran.code == 20 && ran.json()["standing"] == "requested", "{ran:?}");
    let measured = B256::repeat_byte(7);
    let (signers, signature) = signed(&net, baseline_root(net.deployment.integrity, id, measured)).await;
    let sent = actions(&net)
        .await
        .record_baseline(id, measured, 1, signers, signature.into())
        .await;
    sent.expect("recorded");
    let ran = surety(&net, "user.json", "attest explorer --json").await;
    assert!(ran.code == 21 && ran.json()["standing"] == "fresh", "{ran:?}");

    // An intact epoch is attested, by the endpoint's proof and by one from elsewhere; not by one that was altered.
    pass(&net, 4).await;
    record(&net, id, 1, Judgement::Intact).await;
    let attested = good(&net, "user.json", "attest explorer --max-age 3600").await;
    assert_eq!(
        (
            &attested["intact"],
            &attested["standing"],
            &attested["state"]["last_epoch"]
        ),
        (&true.into(), &"intact".into(), &1.into()),
        "{attested}"
    );
    assert_eq!(attested["state"]["baseline"], measured.to_string());
    let contracts = Contracts::new(net.rpc.clone(), net.deployment.clone());
    let latest = net.rpc.latest().await.expect("block").header.hash;
    let proof = contracts.deployment_proof(id, latest).await.expect("proof");
    let mut answer = serde_json::json!({"proof": proof, "verify": "so"});
    let file = net.dir.join("proof.json");
    std::fs::write(&file, answer.to_string()).expect("write");
    let line = "attest explorer --max-age 3600 --proof proof.json";
    assert_eq!(good(&net, "user.json", line).await["intact"], true);
    for (place, value) in [
        ("/proof/storage/0/value", serde_json::json!("0x2")),
        ("/proof/storage/3/value", serde_json::json!("0x0")),
        ("/proof/account/balance", serde_json::json!("0x1")),
        ("/proof/header", serde_json::json!("0xc0")),
        ("/proof/kind", serde_json::json!("snark")),
    ] {
        let before = std::mem::replace(answer.pointer_mut(place).expect("there"), value);
        std::fs::write(&file, answer.to_string()).expect("write");
        let ran = surety(&net, "user.json", line).await;
        assert_eq!(ran.code, 18, "{place}: {ran:?}");
        *answer.pointer_mut(place).expect("there") = before;
    }
    // What was earned: three monitors' thirds, and the host's.
    let collected = good(&net, "operator-4/keystore.json", "integrity collect explorer 1").await;
    assert_eq!(collected["monitors"].as_array().map(Vec::len), Some(3), "{collected}");
    assert_eq!(collected["host"], "100000000000000000");
    assert_eq!(collected["paid"], "100000000000000000");

    // Drift: not attested any more, for good; the host loses its bond, the owner gets back what is left.
    record(&net, id, 2, Judgement::Drifted(B256::repeat_byte(9))).await;
    let ran = surety(&net, "user.json", "attest explorer --json").await;
    assert!(ran.code == 20 && ran.json()["standing"] == "drifted", "{ran:?}");
    good(&net, "user.json", "integrity punish explorer").await;
    let stake = contracts.operator(net.service, host).await.expect("operator");
    assert_eq!(stake.bond, U256::ZERO);
    let settled = good(&net, "user.json", "integrity settle explorer 1").await;
    assert_eq!(settled["escrow"], "0");
    let shown = good(&net, "user.json", "integrity show explorer 1").await;
    assert_eq!(shown["epochs"].as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(shown["epochs"][1]["verdict"], "drifted");
    net.stop().await;
}
