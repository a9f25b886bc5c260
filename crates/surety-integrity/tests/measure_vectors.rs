//! `vectors/integrity/measurements.json`: documents, their encodings and hashes, for everybody who reads measurements.
//! `SURETY_WRITE_VECTORS=1` writes it anew.

use serde_json::{Value as Json, json};
use surety_integrity::{
    agent::measure::{Events, Facts},
    finding::{Finding, Kind},
    measurement::Measurement,
    probe::{Context, identity, inspect::Inspect},
};
use surety_primitives::value::Value;
use surety_protocol::manifest::container::Policy;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/integrity/measurements.json");

/// What an engine says, in two ways that mean the same.
fn inspects() -> [Json; 2] {
    let inspect = json!({
        "Id": "a3".repeat(32),
        "Image": format!("sha256:{}", "1b".repeat(32)),
        "Config": {
            "Entrypoint": ["/sequencer"], "Cmd": ["--port", "8080"], "Env": ["PATH=/", "RUST_LOG=info"],
            "User": "10001:10001", "WorkingDir": "/", "OpenStdin": false, "Tty": false,
            "Healthcheck": { "Test": ["CMD", "/sequencer", "--check"], "Interval": 1_000_000_000 },
        },
        "HostConfig": {
            "NetworkMode": "bridge", "Privileged": false, "ReadonlyRootfs": true, "CapAdd": null, "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"], "IpcMode": "private", "Runtime": "runc",
            "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 3 },
            "PortBindings": { "8080/tcp": [{ "HostIp": "", "HostPort": "80" }] },
            "Memory": 268_435_456, "NanoCpus": 500_000_000, "PidsLimit": null, "Devices": [], "Sysctls": null,
            "MaskedPaths": ["/proc/keys", "/proc/kcore"], "ReadonlyPaths": ["/proc/sys"],
        },
        "Mounts": [{ "Type": "volume", "Name": "data", "Source": "/var/x", "Destination": "/data", "RW": true }],
        "NetworkSettings": { "Networks": { "bridge": {} } },
    });
    let mut other = inspect.clone();
    other["Config"]["Env"] = json!(["RUST_LOG=info", "PATH=/"]);
    other["Config"]["Healthcheck"]["Timeout"] = json!(0);
    other["HostConfig"]["NetworkMode"] = json!("default");
    other["HostConfig"]["CapAdd"] = json!([]);
    other["HostConfig"]["CapDrop"] = json!(["CAP_ALL"]);
    other["HostConfig"]["PidsLimit"] = json!(-1);
    other["HostConfig"]["Sysctls"] = json!({});
    other["HostConfig"]["MaskedPaths"] = json!(["/proc/kcore", "/proc/keys"]);
    other["State"] = json!({ "Pid": 7, "StartedAt": "2026-01-01T00:00:00Z" });
    [inspect, other]
}

fn identity_of(inspect: &Json) -> Value {
    let facts = Facts {
        inspect: None,
        image: None,
        execs: Vec::new(),
        events: Events::default(),
        kernel: None,
        took: 0,
    };
    let context = Context {
        facts: &facts,
        inspect: Inspect(inspect),
        plan: None,
        image: None,
        policy: Policy::default(),
    };
    identity::identity(&context)
}

fn made() -> Json {
    let [inspect, _] = inspects();
    let identity = identity_of(&inspect);
    let findings: Vec<Finding> = Kind::ALL
        .iter()
        .map(|kind| Finding::new(*kind, "/bin/app", "sha256:00", "x".repeat(600)))
        .collect();
    [("intact", Vec::new()), ("drifted", findings)]
        .into_iter()
        .map(|(name, findings)| {
            let evidence = Value::object([("events", Value::object([("complete", Value::from(true))]))]);
            let it = Measurement::new(identity.clone(), findings, evidence).expect("a measurement");
            let hashes: Vec<Json> = it
                .findings()
                .iter()
                .map(|finding| json!(finding.evidence_hash().expect("a hash").to_string()))
                .collect();
            json!({
                "name": name,
                "inspect": inspect,
                "document": serde_json::from_str::<Json>(&it.to_json()).expect("JSON"),
                "encoding": format!("0x{}", hex::encode(it.encode().expect("an encoding"))),
                "root": it.root().expect("a root").to_string(),
                "evidenceHashes": hashes,
            })
        })
        .collect()
}

#[test]
fn vectors_are_fresh() {
    let text = serde_json::to_string_pretty(&made()).expect("JSON") + "\n";
    if std::env::var_os("SURETY_WRITE_VECTORS").is_some() {
        std::fs::write(PATH, &text).expect("writes");
    }
    let committed = std::fs::read_to_string(PATH).expect("vectors/integrity/measurements.json");
    assert!(
        committed == text,
        "vectors/integrity/measurements.json is stale: run with SURETY_WRITE_VECTORS=1"
    );
}

#[test]
fn documents_come_back_from_both_forms() {
    let made = made();
    for vector in made.as_array().expect("a list") {
        let it = Measurement::from_json(&vector["document"].to_string()).expect("a document");
        let text = vector["encoding"].as_str().unwrap_or_default();
        let bytes = hex::decode(text.trim_start_matches("0x")).expect("hex");
        assert_eq!(Measurement::decode(&bytes).as_ref(), Ok(&it));
        assert_eq!(json!(it.root().expect("a root").to_string()), vector["root"]);
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            assert!(Measurement::decode(&bytes[..cut]).is_err());
        }
    }
}

#[test]
fn documents_of_another_shape_are_refused() {
    let [inspect, _] = inspects();
    let evidence = Value::object([("x", Value::Null)]);
    let findings = vec![Finding::new(Kind::File, "/a", "", "x")];
    let it = Measurement::new(identity_of(&inspect), findings, evidence).expect("one");
    let document: Json = serde_json::from_str(&it.to_json()).expect("JSON");
    let refused = |change: &dyn Fn(&mut Json)| {
        let mut other = document.clone();
        change(&mut other);
        assert!(Measurement::from_json(&other.to_string()).is_err(), "{other}");
    };
    refused(&|it| it["more"] = json!(1));
    refused(&|it| it["identity"] = json!(null));
    refused(&|it| it["identity"]["version"] = json!(2));
    refused(&|it| it["identity"]["extra"] = json!(0));
    refused(&|it| it["evidence"] = json!([]));
    refused(&|it| it["evidence"]["findings"] = json!(null));
    refused(&|it| it["evidence"]["findings"][0]["kind"] = json!("other"));
    refused(&|it| {
        let again = it["evidence"]["findings"][0].clone();
        it["evidence"]["findings"] = json!([again, again]);
    });
}

/// Engines say the same in several ways; the root is one.
#[test]
fn the_same_container_has_one_root() {
    let [one, other] = inspects().map(|inspect| identity_of(&inspect));
    assert_eq!(one, other);
    let [mut changed, _] = inspects();
    changed["HostConfig"]["Privileged"] = json!(true);
    assert_ne!(identity_of(&changed).hash(), one.hash());
}
