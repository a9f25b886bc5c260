//! Real quotes under the vendors' roots.

use std::{collections::BTreeMap, path::PathBuf};

use alloy_primitives::{Bytes, hex};
use surety_enclave::{
    AmdPolicy, Collateral, Error, Evidence, IntelPolicy, Kind, Policy, Quote, Remedy, Roots, TcbStatus, Vendor,
    Verified, inspect, parse_date, verify,
};

fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn evidence(quote: &str, collateral: Option<&str>) -> Evidence {
    let quote = Quote::detect(&file(quote)).expect("a quote");
    let collateral = collateral.map_or(Collateral::None, |name| {
        Collateral::read(quote.kind(), &file(name)).expect("collateral")
    });
    Evidence::new(quote, collateral).expect("evidence")
}

fn check(evidence: &Evidence, policy: &Policy, date: &str) -> Result<Verified, Error> {
    verify(evidence, policy, &Roots::vendors(), parse_date(date).expect("a date"))
}

/// A policy that accepts what only another status forbids.
fn mild() -> Policy {
    Policy {
        tcb_statuses: vec![
            TcbStatus::UpToDate,
            TcbStatus::ConfigurationAndSWHardeningNeeded,
            TcbStatus::Unrated,
        ],
        ..Policy::default()
    }
}

fn hexed(found: &BTreeMap<String, Bytes>, name: &str) -> String {
    hex::encode(&found[name])
}

#[test]
fn the_pinned_roots_are_the_vendors() {
    let roots = Roots::vendors();
    let of = |vendor| roots.fingerprints(vendor).expect("readable");
    // Intel SGX Root CA; AWS documentation, "Verifying the root of trust"; AMD KDS, vcek/v1/{Milan,Genoa,Turin}/cert_chain.
    assert_eq!(
        of(Vendor::Intel),
        ["44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"]
    );
    assert_eq!(
        of(Vendor::Aws),
        ["641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"]
    );
    assert_eq!(of(Vendor::Amd).len(), 3);
    let simulated = Roots::simulated();
    for vendor in Vendor::ALL {
        let others = simulated.fingerprints(vendor).expect("readable");
        assert!(others.iter().all(|one| !of(vendor).contains(one)), "{vendor}");
    }
}

#[test]
fn sgx_version_3() {
    let evidence = evidence("sgx_quote_v3.bin", Some("sgx_quote_v3_collateral.json"));
    let refused = check(&evidence, &Policy::default(), "2025-06-20T00:00:00Z").expect_err("not up to date");
    let Error::TcbStatus { found, advisories, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(*found, TcbStatus::ConfigurationAndSWHardeningNeeded);
    assert_eq!(*advisories, ["INTEL-SA-00289", "INTEL-SA-00615"]);
    let verified = check(&evidence, &mild(), "2025-06-20T00:00:00Z").expect("verifies");
    assert_eq!(
        hexed(&verified.measurements, "mrenclave"),
        "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
    );
    assert!(verified.report_data.expect("64 bytes").starts_with(b"Hello, world!"));
    assert_eq!(verified.platform["fmspc"], "00a067110000");
    assert_eq!((verified.vendor, verified.simulated), (Vendor::Intel, false));
    // The earliest nextUpdate, of the quoting enclave's identity.
    assert_eq!(surety_enclave::date(verified.valid_until), "2025-07-19T10:01:18Z");
}

#[test]
fn tdx_version_4() {
    let evidence = evidence("tdx_quote_v4.bin", Some("tdx_quote_v4_collateral.json"));
    let verified = check(&evidence, &Policy::default(), "2025-06-20T00:00:00Z").expect("verifies");
    assert_eq!((verified.kind, verified.tcb_status), (Kind::TdxV4, TcbStatus::UpToDate));
    assert!(hexed(&verified.measurements, "mrtd").starts_with("91eb2b44d141d4ece09f0c75c2c53d24"));
    assert_eq!(verified.measurements.len(), 5);
    // Zeros after the quote, as its source had them, are no part of it.
    assert!(evidence.quote().as_bytes().len() < file("tdx_quote_v4.bin").len());
}

#[test]
fn tdx_version_5_extended() {
    let evidence = evidence("tdx_quote_v5_td15ex.bin", Some("tdx_quote_v5_td15ex_collateral.json"));
    let verified = check(&evidence, &Policy::default(), "2026-10-09T00:00:00Z").expect("verifies");
    assert_eq!((verified.kind, verified.tcb_status), (Kind::TdxV5, TcbStatus::UpToDate));
    assert!(verified.signers.contains_key("mrservicetd"));
}

/// The sample has no collateral of its own; that of another machine of the same model and certificate authority serves.
#[test]
fn tdx_version_5_bound_to_a_service_td() {
    let evidence = evidence("tdx_quote_v5.bin", Some("tdx_quote_v4_outdated_collateral.json"));
    let refused = check(&evidence, &Policy::default(), "2026-02-20T00:00:00Z").expect_err("a service TD");
    assert!(refused.to_string().contains("service TD"), "{refused}");
    let policy = Policy {
        intel: IntelPolicy {
            allow_service_td: true,
            ..IntelPolicy::default()
        },
        ..Policy::default()
    };
    let refused = check(&evidence, &policy, "2026-02-20T00:00:00Z").expect_err("out of date");
    assert!(
        matches!(
            &refused,
            Error::TcbStatus {
                found: TcbStatus::OutOfDate,
                ..
            }
        ),
        "{refused}"
    );
    let policy = Policy {
        tcb_statuses: vec![TcbStatus::OutOfDate],
        ..policy
    };
    let verified = check(&evidence, &policy, "2026-02-20T00:00:00Z").expect("verifies");
    assert!(verified.signers["mrservicetd"].iter().any(|byte| *byte != 0));
}

/// Its platform meets none of the collateral's levels, so there is no status that a policy could accept.
#[test]
fn an_outdated_platform_is_refused_by_every_policy() {
    let evidence = evidence(
        "tdx_quote_v4_outdated.bin",
        Some("tdx_quote_v4_outdated_collateral.json"),
    );
    let policy = Policy {
        tcb_statuses: vec![
            TcbStatus::UpToDate,
            TcbStatus::OutOfDate,
            TcbStatus::OutOfDateConfigurationNeeded,
        ],
        ..Policy::default()
    };
    for policy in [Policy::default(), policy] {
        let refused = check(&evidence, &policy, "2026-02-20T00:00:00Z").expect_err("outdated");
        assert!(matches!(&refused, Error::NotVouched { found, .. } if found.contains("No matching TCB level")));
        assert_eq!(refused.remedy(), Remedy::Stop);
    }
}

#[test]
fn snp_reports_with_the_chips_key() {
    for (report, key, product, version) in [
        ("snp_report.bin", "snp_vcek.der", "Milan", "2"),
        ("snp_report_v3.bin", "snp_vcek_v3.pem", "Milan", "3"),
        ("snp_report_genoa.bin", "snp_vcek_genoa.pem", "Genoa", "3"),
    ] {
        let evidence = evidence(report, Some(key));
        let verified = check(&evidence, &Policy::default(), "2026-07-01T00:00:00Z").expect("verifies");
        assert_eq!(verified.tcb_status, TcbStatus::Unrated);
        assert_eq!(
            (
                verified.platform["processor"].as_str(),
                verified.platform["key"].as_str()
            ),
            (product, "VCEK")
        );
        assert_eq!(verified.platform["report"], version);
        let policy = Policy {
            amd: AmdPolicy {
                min_microcode: 255,
                ..AmdPolicy::default()
            },
            ..Policy::default()
        };
        let refused = check(&evidence, &policy, "2026-07-01T00:00:00Z").expect_err("old microcode");
        assert!(matches!(refused, Error::Firmware { expected: 255, .. }), "{refused}");
        let early = check(&evidence, &Policy::default(), "2020-12-01T00:00:00Z").expect_err("early");
        assert!(matches!(early, Error::NotYetValid { .. }), "{early}");
        let late = check(&evidence, &Policy::default(), "2034-01-01T00:00:00Z").expect_err("late");
        assert!(matches!(late, Error::Expired { .. }), "{late}");
    }
}

#[test]
fn a_snp_report_with_the_providers_key() {
    let alone = evidence("snp_vlek_report.bin", Some("snp_vlek.der"));
    let date = "2025-06-20T00:00:00Z";
    let policy = Policy {
        amd: AmdPolicy {
            max_vmpl: 1,
            ..AmdPolicy::default()
        },
        ..Policy::default()
    };
    let refused = check(&alone, &policy, date).expect_err("no intermediate");
    assert!(matches!(refused, Error::NoCollateral { .. }), "{refused}");

    let pem = |der: &[u8]| {
        use std::fmt::Write as _;
        let text = base64(der);
        let lines = text
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned());
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in lines {
            writeln!(pem, "{line}").expect("text");
        }
        pem + "-----END CERTIFICATE-----\n"
    };
    // In any order.
    let both = pem(&file("snp_asvk_milan.der")) + &pem(&file("snp_vlek.der"));
    let chain = Collateral::read(Kind::SevSnp, both.as_bytes()).expect("certificates");
    let whole = Evidence::new(alone.quote().clone(), chain).expect("evidence");
    assert_eq!(Evidence::decode(&whole.encode()).expect("decodes"), whole);
    let verified = check(&whole, &policy, date).expect("verifies");
    assert_eq!(verified.platform["key"], "VLEK");
    assert!(!verified.platform["provider"].is_empty());

    let refused = check(&whole, &Policy::default(), date).expect_err("VMPL 1");
    assert!(matches!(refused, Error::Policy { .. }), "{refused}");
    let policy = Policy {
        amd: AmdPolicy {
            refuse_vlek: true,
            ..policy.amd
        },
        ..policy
    };
    assert!(matches!(check(&whole, &policy, date), Err(Error::Policy { .. })));
}

/// A VCEK is no VLEK, another chip's key is not this chip's, and AMD's names alone are no signature.
#[test]
fn snp_keys_are_not_mixed() {
    let date = "2026-07-01T00:00:00Z";
    let (one, two) = (file("snp_vcek.der"), file("snp_vcek_v3.pem"));
    let report = Quote::detect(&file("snp_report.bin")).expect("a report");
    let vlek_report = Quote::detect(&file("snp_vlek_report.bin")).expect("a report");
    for (quote, key) in [
        (&report, &two),
        (&vlek_report, &one),
        (&report, &file("snp_vlek.der")),
        (&report, &file("snp_vcek_other.der")),
    ] {
        let chain = Collateral::read(Kind::SevSnp, key).expect("certificates");
        let mixed = Evidence::new(quote.clone(), chain).expect("evidence");
        check(&mixed, &Policy::default(), date).expect_err("mixed");
    }
}

#[test]
fn nitro_documents() {
    for (name, date) in [
        ("nitro.cose", "2025-12-25T13:30:00Z"),
        ("nitro_second.cose", NITRO_SECOND),
    ] {
        let evidence = evidence(name, None);
        let verified = check(&evidence, &Policy::default(), date).expect("verifies");
        assert_eq!(
            (verified.vendor, verified.tcb_status),
            (Vendor::Aws, TcbStatus::Unrated)
        );
        assert!(verified.measurements["pcr0"].iter().any(|byte| *byte != 0));
        assert!(
            verified.valid_until - verified.valid_from <= 3 * 3600 + 60,
            "{name}: a leaf of three hours"
        );
        let late = check(&evidence, &Policy::default(), "2026-12-25T17:00:00Z").expect_err("late");
        assert!(matches!(late, Error::Expired { .. }), "{late}");
        let early = check(&evidence, &Policy::default(), "2025-01-01T12:00:00Z").expect_err("early");
        assert!(matches!(early, Error::NotYetValid { .. }), "{early}");
    }
    // Valid certificates, but the document is from the future, or too old for the policy.
    let evidence = evidence("nitro.cose", None);
    let verified = check(&evidence, &Policy::default(), "2025-12-25T13:30:00Z").expect("verifies");
    let made = verified.issued.expect("a date");
    let before = verify(&evidence, &Policy::default(), &Roots::vendors(), made - 1).expect_err("from the future");
    assert!(matches!(before, Error::NotYetValid { .. }), "{before}");
    let policy = Policy {
        max_collateral_age: 60,
        ..Policy::default()
    };
    verify(&evidence, &policy, &Roots::vendors(), made + 60).expect("a minute old");
    let old = verify(&evidence, &policy, &Roots::vendors(), made + 61).expect_err("too old");
    assert!(matches!(old, Error::TooOld { age: 61, limit: 60, .. }), "{old}");
    assert_eq!(old.remedy(), Remedy::Renew);
}

/// A date in the three hours of `nitro_second.cose`.
const NITRO_SECOND: &str = "2025-12-25T16:30:00Z";

#[test]
fn real_debug_enclaves_are_refused() {
    for (name, collateral) in [
        ("sgx_quote_v3_debug.bin", Some("sgx_quote_v3_collateral.json")),
        ("tdx_quote_v4_debug.bin", Some("tdx_quote_v4_collateral.json")),
        ("nitro_debug.cose", None),
    ] {
        let evidence = evidence(name, collateral);
        assert_eq!(inspect(evidence.quote()).expect("readable").platform["debug"], "true");
        let refused = check(&evidence, &mild(), "2025-06-20T00:00:00Z").expect_err("debug");
        assert!(matches!(refused, Error::Debug { .. }), "{name}: {refused}");
    }
}

#[test]
fn collateral_has_its_time() {
    for (quote, collateral) in [
        ("sgx_quote_v3.bin", "sgx_quote_v3_collateral.json"),
        ("tdx_quote_v4.bin", "tdx_quote_v4_collateral.json"),
    ] {
        let evidence = evidence(quote, Some(collateral));
        let early = check(&evidence, &mild(), "2025-06-19T00:00:00Z").expect_err("not issued yet");
        assert!(matches!(early, Error::NotYetValid { .. }), "{early}");
        let late = check(&evidence, &mild(), "2025-07-20T00:00:00Z").expect_err("expired");
        assert!(matches!(late, Error::Expired { .. }), "{late}");
        assert_eq!((early.remedy(), late.remedy()), (Remedy::Renew, Remedy::Renew));
        let policy = Policy {
            max_collateral_age: 3600,
            ..mild()
        };
        let old = check(&evidence, &policy, "2025-06-20T00:00:00Z").expect_err("older than an hour");
        assert!(matches!(old, Error::TooOld { .. }), "{old}");
    }
}

#[test]
fn vendors_quotes_are_refused_under_the_simulated_roots() {
    for (quote, collateral, date) in [
        (
            "sgx_quote_v3.bin",
            Some("sgx_quote_v3_collateral.json"),
            "2025-06-20T00:00:00Z",
        ),
        (
            "tdx_quote_v4.bin",
            Some("tdx_quote_v4_collateral.json"),
            "2025-06-20T00:00:00Z",
        ),
        (
            "tdx_quote_v5_td15ex.bin",
            Some("tdx_quote_v5_td15ex_collateral.json"),
            "2026-10-09T00:00:00Z",
        ),
        ("snp_report.bin", Some("snp_vcek.der"), "2025-06-20T00:00:00Z"),
        ("nitro.cose", None, "2025-12-25T13:30:00Z"),
    ] {
        let evidence = evidence(quote, collateral);
        let now = parse_date(date).expect("a date");
        verify(&evidence, &mild(), &Roots::vendors(), now).expect("the vendor's");
        let refused = verify(&evidence, &mild(), &Roots::simulated(), now).expect_err("simulated");
        assert!(matches!(refused, Error::Root { .. }), "{quote}: {refused}");
    }
}

#[test]
fn the_policy_lists_vendors_and_programs() {
    let evidence = evidence("tdx_quote_v4.bin", Some("tdx_quote_v4_collateral.json"));
    let date = "2025-06-20T00:00:00Z";
    let verified = check(&evidence, &Policy::default(), date).expect("verifies");
    let entry = |names: &[&str]| -> BTreeMap<String, Bytes> {
        let all = verified.measurements.iter().chain(&verified.signers);
        all.filter(|(name, _)| names.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let with = |measurements| Policy {
        measurements,
        ..Policy::default()
    };
    let mut other = entry(&["mrtd", "rtmr1"]);
    other.insert("rtmr1".to_owned(), Bytes::from_static(&[1; 48]));
    check(&evidence, &with(vec![entry(&["mrtd", "rtmr1", "mrseam"])]), date).expect("listed");
    check(&evidence, &with(vec![other.clone(), entry(&["mrtd"])]), date).expect("one of two");
    let refused = check(&evidence, &with(vec![other]), date).expect_err("another rtmr1");
    assert!(matches!(refused, Error::Measurement { .. }), "{refused}");
    // An entry without registers would let everything in.
    check(&evidence, &with(vec![BTreeMap::new()]), date).expect_err("an empty entry");
    let policy = Policy {
        vendors: vec![Vendor::Amd],
        ..Policy::default()
    };
    assert!(matches!(check(&evidence, &policy, date), Err(Error::Policy { .. })));
    let policy = Policy {
        intel: IntelPolicy {
            allow_smt: false,
            ..IntelPolicy::default()
        },
        ..Policy::default()
    };
    assert!(matches!(check(&evidence, &policy, date), Err(Error::Policy { .. })));
    let policy = Policy {
        intel: IntelPolicy {
            min_tcb_evaluation: 18,
            ..IntelPolicy::default()
        },
        ..Policy::default()
    };
    assert!(matches!(check(&evidence, &policy, date), Err(Error::Policy { .. })));
}

#[test]
fn a_policy_is_strict_json() {
    let policy: Policy = serde_json::from_str("{}").expect("all defaults");
    assert_eq!(policy, Policy::default());
    let text = serde_json::to_string(&policy).expect("JSON");
    assert_eq!(serde_json::from_str::<Policy>(&text).expect("the same"), policy);
    for wrong in [
        r#"{"allow_debug": true}"#,
        r#"{"vendors": ["other"]}"#,
        r#"{"tcb_statuses": ["Revoked"]}"#,
    ] {
        serde_json::from_str::<Policy>(wrong).expect_err(wrong);
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = (word >> (18 - 6 * index)) & 63;
            text.push(if index > chunk.len() {
                '='
            } else {
                char::from(ALPHABET[digit as usize])
            });
        }
    }
    text
}
