//! `surety quote`.

mod common;

use std::path::{Path, PathBuf};

use alloy::{
    hex,
    primitives::{B256, B512},
};
use common::surety;
use surety_enclave::{Kind, simulated::Machine};

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../surety-enclave/testdata")
        .join(name);
    path.to_str().expect("text").to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn a_tdx_quote_verifies_and_expires() {
    let (quote, collateral) = (sample("tdx_quote_v4.bin"), sample("tdx_quote_v4_collateral.json"));
    let verify = |more: &[&str]| {
        let mut all = vec!["quote", "verify", &quote, "--collateral", &collateral, "--json"];
        all.extend(more);
        surety(&all)
    };
    let ran = verify(&["--at", "2025-06-20T00:00:00Z"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = ran.json();
    assert_eq!(found["verified"], true);
    assert_eq!(
        (found["kind"].as_str(), found["tcb_status"].as_str()),
        (Some("tdx-v4"), Some("UpToDate"))
    );
    let data = found["report_data"].as_str().expect("text").to_owned();

    let at = ["--at", "1750377600"];
    assert_eq!(verify(&[&at[..], &["--report-data", &data]].concat()).code, 0);
    let other = verify(&[&at[..], &["--report-data", &"11".repeat(32)]].concat());
    assert_eq!(other.code, 19, "{other:?}");
    assert_eq!(verify(&[&at[..], &["--report-data", "11"]].concat()).code, 2);

    // Today the collateral of June 2025 has expired; the next step says what to fetch.
    let ran = verify(&[]);
    assert_eq!(ran.code, 19);
    assert!(
        ran.error()["message"].as_str().expect("text").contains("expired at"),
        "{ran:?}"
    );
    assert!(
        ran.error()["next"].as_str().expect("text").contains("b0c06f000000"),
        "{ran:?}"
    );
    assert_eq!(verify(&["--at", "yesterday"]).code, 2);
    assert_eq!(verify(&["--kind", "sgx-v3"]).code, 19);
    assert_eq!(verify(&["--kind", "sgx"]).code, 2);
    // Under the simulated root a vendor's quote is refused.
    let ran = verify(&[&at[..], &["--simulated"]].concat());
    assert_eq!(ran.code, 19);
    assert!(
        ran.error()["next"].as_str().expect("text").contains("--simulated"),
        "{ran:?}"
    );
}

#[test]
fn a_policy_decides() {
    let dir = tempfile::tempdir().expect("directory");
    let (quote, collateral) = (sample("sgx_quote_v3.bin"), sample("sgx_quote_v3_collateral.json"));
    let verify = |more: &[&str]| {
        let mut all = vec![
            "quote",
            "verify",
            &quote,
            "--collateral",
            &collateral,
            "--at",
            "2025-06-20T00:00:00Z",
            "--json",
        ];
        all.extend(more);
        surety(&all)
    };
    let ran = verify(&[]);
    assert_eq!(ran.code, 19);
    assert!(
        ran.error()["message"]
            .as_str()
            .expect("text")
            .contains("INTEL-SA-00615"),
        "{ran:?}"
    );
    let policy = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    };
    let json = policy(
        "policy.json",
        r#"{"tcb_statuses": ["ConfigurationAndSWHardeningNeeded"]}"#,
    );
    assert_eq!(verify(&["--policy", text(&json)]).code, 0);
    let toml = policy(
        "policy.toml",
        "tcb_statuses = [\"ConfigurationAndSWHardeningNeeded\"]\nvendors = [\"intel\"]\n",
    );
    assert_eq!(verify(&["--policy", text(&toml)]).code, 0);
    let wrong = policy("wrong.json", r#"{"allow_debug": true}"#);
    assert_eq!(verify(&["--policy", text(&wrong)]).code, 2);
}

#[test]
fn snp_and_nitro_verify() {
    let (report, key) = (sample("snp_report.bin"), sample("snp_vcek.der"));
    let ran = surety(&[
        "quote",
        "verify",
        &report,
        "--collateral",
        &key,
        "--at",
        "2025-06-20T00:00:00Z",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("sev-snp (amd)"), "{}", ran.stdout);
    let ran = surety(&["quote", "verify", &sample("nitro.cose"), "--at", "2025-12-25T13:30:00Z"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = surety(&[
        "quote",
        "verify",
        &sample("nitro_debug.cose"),
        "--at",
        "2025-12-25T09:00:00Z",
        "--json",
    ]);
    assert_eq!(ran.code, 19);
    assert!(
        ran.error()["message"].as_str().expect("text").contains("debug"),
        "{ran:?}"
    );
}

#[test]
fn quotes_are_read_whatever_they_are_written_in() {
    let dir = tempfile::tempdir().expect("directory");
    let document = std::fs::read(sample("nitro.cose")).expect("there");
    let digits = hex::encode(&document);
    let lines: Vec<_> = digits
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let framed = [&[0, 2, 0xbd, 0x46][..], &document, &[0; 151]].concat();
    let tagged = [&[0xd2][..], &document].concat();
    for (name, content) in [
        ("hex", digits.clone().into_bytes()),
        ("hex with a prefix", format!("0x{digits}\n").into_bytes()),
        ("lines of hex", lines.join("\n").into_bytes()),
        ("JSON", format!("{{\"quote\": \"{digits}\"}}").into_bytes()),
        ("a frame", framed),
        ("a tag", tagged),
    ] {
        let path = dir.path().join("quote");
        std::fs::write(&path, content).expect("written");
        let ran = surety(&["quote", "verify", text(&path), "--at", "2025-12-25T13:30:00Z"]);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
    }
}

#[test]
fn a_quote_without_collateral_says_what_to_fetch() {
    for (name, part) in [
        ("tdx_quote_v5.bin", "90c06f000000"),
        ("sgx_quote_v3.bin", "00a067110000"),
        ("snp_report.bin", "c38427a3"),
    ] {
        let ran = surety(&["quote", "verify", &sample(name), "--json"]);
        assert_eq!(ran.code, 19, "{ran:?}");
        assert!(ran.error()["next"].as_str().expect("text").contains(part), "{ran:?}");
        let ran = surety(&["quote", "show", &sample(name), "--json"]);
        assert_eq!((ran.code, &ran.json()["verified"]), (0, &false.into()), "{ran:?}");
    }
    let ran = surety(&["quote", "verify", &sample("snp_vcek.der"), "--json"]);
    assert_eq!(ran.code, 19);
    assert!(
        ran.error()["message"]
            .as_str()
            .expect("text")
            .contains("expected an SGX quote"),
        "{ran:?}"
    );
    assert_eq!(surety(&["quote", "verify", "no-such-file"]).code, 1);
}

#[test]
fn simulated_quotes_need_their_flag_and_become_envelopes() {
    let dir = tempfile::tempdir().expect("directory");
    let machine = Machine::new(B256::repeat_byte(1), 1_800_000_000, 1_800_086_400);
    for kind in Kind::ALL {
        let evidence = machine
            .quote(kind, B256::repeat_byte(2), B512::repeat_byte(3))
            .expect("made");
        let path = dir.path().join(kind.name());
        std::fs::write(&path, evidence.encode()).expect("written");
        let file = text(&path);
        let ran = surety(&["quote", "verify", file, "--at", "1800000000", "--json"]);
        assert_eq!(ran.code, 19, "{ran:?}");
        assert!(
            ran.error()["next"].as_str().expect("text").contains("--simulated"),
            "{kind}: {ran:?}"
        );
        let out = dir.path().join("out");
        let ran = surety(&[
            "quote",
            "verify",
            file,
            "--at",
            "1800000000",
            "--simulated",
            "--json",
            "--out",
            text(&out),
        ]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.json()["simulated"], true);
        assert_eq!(ran.json()["envelope_hash"], evidence.hash().to_string());
        assert!(ran.stderr.contains("says nothing about hardware"), "{ran:?}");
        assert_eq!(std::fs::read(&out).expect("written"), evidence.encode());
        assert_eq!(surety(&["quote", "verify", file, "--kind", "nitro"]).code, 19);
    }
}
