//! Simulated quotes: real formats under a root that must be switched on by name.

use alloy_primitives::{B256, B512};
use surety_enclave::{
    Collateral, Error, Evidence, Kind, Policy, Quote, Remedy, Roots, TcbStatus, simulated::Machine, verify,
};

const ISSUED: u64 = 1_800_000_000;
const EXPIRES: u64 = ISSUED + 30 * 86_400;
const DATA: B512 = B512::repeat_byte(0xda);

fn machine() -> Machine {
    Machine::new(B256::repeat_byte(1), ISSUED, EXPIRES)
}

fn quote(machine: &Machine, kind: Kind) -> Evidence {
    machine.quote(kind, B256::repeat_byte(0xaa), DATA).expect("made")
}

#[test]
fn every_kind_verifies_under_the_simulated_roots_and_under_no_others() {
    for kind in Kind::ALL {
        let evidence = quote(&machine(), kind);
        let verified = verify(&evidence, &Policy::default(), &Roots::simulated(), ISSUED).expect("verifies");
        assert!(verified.simulated && verified.carries(&DATA), "{kind}");
        assert_eq!((verified.kind, verified.vendor), (kind, kind.vendor()));
        assert!(
            verified.valid_from <= ISSUED && verified.valid_until == EXPIRES,
            "{kind}: {verified:?}"
        );
        let program = verified
            .measurements
            .values()
            .any(|value| value.starts_with(&[0xaa; 32]));
        assert!(program, "{kind}: {:?}", verified.measurements);
        let refused = verify(&evidence, &Policy::default(), &Roots::vendors(), ISSUED).expect_err("vendors'");
        assert!(matches!(refused, Error::Root { .. }), "{kind}: {refused}");
    }
}

#[test]
fn the_committed_roots_are_the_generated_ones() {
    for (name, der) in surety_enclave::simulated::roots().expect("made") {
        let path = format!("{}/src/roots/{name}", env!("CARGO_MANIFEST_DIR"));
        assert!(
            std::fs::read(&path).expect("there") == der,
            "run the example simulated_roots: {name}"
        );
    }
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    for kind in Kind::ALL {
        let one = quote(&machine(), kind);
        assert_eq!(one.hash(), quote(&machine(), kind).hash(), "{kind}");
        let other = quote(&Machine::new(B256::repeat_byte(2), ISSUED, EXPIRES), kind);
        assert_ne!(one.hash(), other.hash(), "{kind}");
    }
}

#[test]
fn envelopes_come_back() {
    for kind in Kind::ALL {
        let evidence = quote(&machine(), kind);
        let bytes = evidence.encode();
        assert_eq!(Evidence::decode(&bytes).expect("decodes"), evidence);
        assert_eq!(
            Evidence::decode_registered(&bytes, evidence.hash()).expect("decodes"),
            evidence
        );
        let other = Evidence::decode_registered(&bytes, B256::ZERO);
        assert!(matches!(other, Err(Error::Hash { .. })), "{kind}");
    }
}

#[test]
fn dates_are_kept_to_the_second() {
    for kind in Kind::ALL {
        let evidence = quote(&machine(), kind);
        let at = |now| verify(&evidence, &Policy::default(), &Roots::simulated(), now);
        let early = at(ISSUED - 1).expect_err("too early");
        assert!(
            matches!(early, Error::NotYetValid { from: ISSUED, .. }),
            "{kind}: {early}"
        );
        assert_eq!(early.remedy(), Remedy::Renew);
        at(EXPIRES).expect("the last second");
        let late = at(EXPIRES + 1).expect_err("too late");
        assert!(matches!(late, Error::Expired { until: EXPIRES, .. }), "{kind}: {late}");
        assert_eq!(late.remedy(), Remedy::Renew);
    }
}

#[test]
fn debug_is_accepted_by_no_policy() {
    let all = Policy {
        tcb_statuses: vec![TcbStatus::UpToDate, TcbStatus::Unrated, TcbStatus::OutOfDate],
        ..Policy::default()
    };
    for kind in Kind::ALL {
        let evidence = quote(&machine().in_debug_mode(), kind);
        let refused = verify(&evidence, &all, &Roots::simulated(), ISSUED).expect_err("debug");
        assert!(matches!(refused, Error::Debug { .. }), "{kind}: {refused}");
    }
}

#[test]
fn a_revoked_platform_is_refused() {
    for kind in [Kind::SgxV3, Kind::TdxV4, Kind::TdxV5] {
        let evidence = quote(&machine().revoked(), kind);
        let refused = verify(&evidence, &Policy::default(), &Roots::simulated(), ISSUED).expect_err("revoked");
        assert!(refused.to_string().contains("Revoked"), "{kind}: {refused}");
        assert_eq!(refused.remedy(), Remedy::Stop);
    }
}

#[test]
fn the_policy_decides_about_the_status() {
    let strict = Policy::default();
    for status in [
        TcbStatus::SWHardeningNeeded,
        TcbStatus::ConfigurationNeeded,
        TcbStatus::ConfigurationAndSWHardeningNeeded,
        TcbStatus::OutOfDate,
        TcbStatus::OutOfDateConfigurationNeeded,
    ] {
        let evidence = quote(&machine().with_status(status), Kind::TdxV4);
        let refused = verify(&evidence, &strict, &Roots::simulated(), ISSUED).expect_err("not up to date");
        assert!(
            matches!(&refused, Error::TcbStatus { found, .. } if *found == status),
            "{refused}"
        );
        let mild = Policy {
            tcb_statuses: vec![status],
            ..Policy::default()
        };
        let verified = verify(&evidence, &mild, &Roots::simulated(), ISSUED).expect("accepted");
        assert_eq!(verified.advisories, ["SIMULATED-SA-00001"]);
        let picky = Policy {
            refused_advisories: vec!["simulated-sa-00001".to_owned()],
            ..mild
        };
        let refused = verify(&evidence, &picky, &Roots::simulated(), ISSUED).expect_err("advisory");
        assert!(matches!(refused, Error::Policy { .. }), "{refused}");
    }
}

#[test]
fn collateral_of_another_machine_does_not_vouch() {
    let other = Machine::new(B256::repeat_byte(9), ISSUED, EXPIRES);
    for kind in [Kind::SgxV3, Kind::TdxV4, Kind::SevSnp] {
        let (mine, others) = (quote(&machine(), kind), quote(&other, kind));
        let mixed = Evidence::new(mine.quote().clone(), others.collateral().clone()).expect("of the same kind");
        let refused = verify(&mixed, &Policy::default(), &Roots::simulated(), ISSUED).expect_err("mixed");
        assert_eq!(refused.remedy(), Remedy::Stop, "{kind}: {refused}");
    }
}

#[test]
fn collateral_of_another_kind_is_none() {
    let (sgx, snp) = (quote(&machine(), Kind::SgxV3), quote(&machine(), Kind::SevSnp));
    for (quote, collateral) in [
        (sgx.quote(), snp.collateral()),
        (snp.quote(), sgx.collateral()),
        (sgx.quote(), &Collateral::None),
        (snp.quote(), &Collateral::None),
    ] {
        let refused = Evidence::new(quote.clone(), collateral.clone()).expect_err("another kind's");
        assert!(matches!(refused, Error::NoCollateral { .. }));
    }
    // TDX collateral vouches for no SGX quote, although both are Intel's.
    let tdx = quote(&machine(), Kind::TdxV4);
    let mixed = Evidence::new(sgx.quote().clone(), tdx.collateral().clone()).expect("Intel's");
    verify(&mixed, &Policy::default(), &Roots::simulated(), ISSUED).expect_err("TDX collateral");
    let wrong = Quote::parse(Kind::TdxV4, sgx.quote().as_bytes()).expect_err("SGX");
    assert!(matches!(wrong, Error::WrongKind { found: Kind::SgxV3, .. }));
}
