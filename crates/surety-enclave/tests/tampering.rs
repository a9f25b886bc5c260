//! P4: bytes from outside make no panic, and no altered quote verifies.

use std::{path::PathBuf, sync::LazyLock};

use alloy_primitives::{B256, B512};
use proptest::prelude::*;
use surety_enclave::{
    Collateral, Evidence, Kind, MAX_ENVELOPE, MAX_QUOTE, Policy, Quote, Roots, TcbStatus, inspect, simulated::Machine,
    verify,
};

const ISSUED: u64 = 1_800_000_000;

/// A quote that verifies, with where its signed bytes are.
struct Sample {
    name: &'static str,
    quote: Vec<u8>,
    collateral: Collateral,
    roots: Roots,
    now: u64,
    /// Offsets of bytes that some signature covers, or that are one.
    signed: Vec<usize>,
}

impl Sample {
    fn new(name: &'static str, evidence: &Evidence, roots: Roots, now: u64) -> Self {
        let quote = evidence.quote().as_bytes().to_vec();
        let signed = match evidence.quote().kind() {
            // Report, length of the signatures, signature, attestation key, quoting enclave's report, its signature,
            // length of the authentication data, and that. Certificates are PEM text, of which bits are free.
            Kind::SgxV3 => (0..432 + 4 + 64 + 64 + 384 + 64 + 2 + 32).collect(),
            Kind::TdxV4 => (0..632 + 4 + 64 + 64 + 6 + 384 + 64 + 2 + 32).collect(),
            Kind::TdxV5 => {
                let body = usize::from(quote[50]) + 256 * usize::from(quote[51]);
                (0..54 + body + 4 + 64 + 64 + 6 + 384 + 64 + 2 + 32).collect()
            }
            // Everything: the report, r and s, and zeros.
            Kind::SevSnp | Kind::Nitro => (0..quote.len()).collect(),
        };
        Self {
            name,
            quote,
            collateral: evidence.collateral().clone(),
            roots,
            now,
            signed,
        }
    }

    fn verifies(&self, quote: &[u8]) -> bool {
        let Ok(quote) = Quote::detect(quote) else { return false };
        let Ok(evidence) = Evidence::new(quote, self.collateral.clone()) else {
            return false;
        };
        verify(&evidence, &policy(), &self.roots, self.now).is_ok()
    }
}

fn policy() -> Policy {
    Policy {
        tcb_statuses: vec![
            TcbStatus::UpToDate,
            TcbStatus::ConfigurationAndSWHardeningNeeded,
            TcbStatus::Unrated,
        ],
        ..Policy::default()
    }
}

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let file = |name: &str| {
        std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).expect("a file")
    };
    let mut samples = Vec::new();
    for (name, collateral, now) in [
        ("sgx_quote_v3.bin", Some("sgx_quote_v3_collateral.json"), 1_750_400_000),
        ("tdx_quote_v4.bin", Some("tdx_quote_v4_collateral.json"), 1_750_400_000),
        (
            "tdx_quote_v5_td15ex.bin",
            Some("tdx_quote_v5_td15ex_collateral.json"),
            1_791_500_000,
        ),
        ("snp_report.bin", Some("snp_vcek.der"), 1_750_400_000),
        ("nitro.cose", None, 1_766_669_400),
    ] {
        let quote = Quote::detect(&file(name)).expect("a quote");
        let collateral = collateral.map_or(Collateral::None, |other| {
            Collateral::read(quote.kind(), &file(other)).expect("collateral")
        });
        let evidence = Evidence::new(quote, collateral).expect("evidence");
        samples.push(Sample::new(name, &evidence, Roots::vendors(), now));
    }
    let machine = Machine::new(B256::repeat_byte(3), ISSUED, ISSUED + 86_400);
    for (kind, name) in Kind::ALL
        .into_iter()
        .zip(["sim sgx", "sim tdx4", "sim tdx5", "sim snp", "sim nitro"])
    {
        let evidence = machine
            .quote(kind, B256::repeat_byte(4), B512::repeat_byte(5))
            .expect("made");
        samples.push(Sample::new(name, &evidence, Roots::simulated(), ISSUED));
    }
    samples
});

#[test]
fn the_samples_verify() {
    for sample in SAMPLES.iter() {
        assert!(sample.verifies(&sample.quote), "{}", sample.name);
    }
}

/// One bit of every byte that has a meaning of its own; the property below takes any.
#[test]
fn p4_the_last_bit_of_each_field_counts() {
    for sample in SAMPLES.iter() {
        for offset in sample.signed.iter().copied().step_by(37) {
            let mut altered = sample.quote.clone();
            altered[offset] ^= 1;
            assert!(!sample.verifies(&altered), "{} at {offset}", sample.name);
        }
    }
}

/// No signature covers what says how the signatures of TDX are to be read.
#[test]
fn p4_the_type_around_a_quoting_enclaves_report_counts() {
    for sample in SAMPLES.iter() {
        let at = match Quote::detect(&sample.quote).expect("a quote").kind() {
            Kind::TdxV4 => 632 + 4 + 64 + 64,
            Kind::TdxV5 => 54 + usize::from(sample.quote[50]) + 256 * usize::from(sample.quote[51]) + 4 + 64 + 64,
            _ => continue,
        };
        assert_eq!(sample.quote[at..at + 2], [6, 0], "{}", sample.name);
        for bit in 0..16 {
            let mut altered = sample.quote.clone();
            altered[at + bit / 8] ^= 1 << (bit % 8);
            assert!(!sample.verifies(&altered), "{}, bit {bit}", sample.name);
        }
    }
}

/// Every bit of what a policy reads from a SEV-SNP report, which is cheap to check.
#[test]
fn p4_every_byte_of_a_snp_report_counts() {
    let sample = SAMPLES
        .iter()
        .find(|sample| sample.name == "snp_report.bin")
        .expect("there");
    for offset in 0..sample.quote.len() {
        let mut altered = sample.quote.clone();
        altered[offset] ^= 1 << (offset % 8);
        assert!(!sample.verifies(&altered), "at {offset}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn p4_any_flipped_bit_of_signed_bytes_is_refused(which in 0_usize..10, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let sample = &SAMPLES[which];
        let offset = sample.signed[at.index(sample.signed.len())];
        let mut altered = sample.quote.clone();
        altered[offset] ^= 1 << bit;
        prop_assert!(!sample.verifies(&altered), "{} at {offset}, bit {bit}", sample.name);
    }

    #[test]
    fn p4_altered_collateral_never_changes_what_is_verified(which in 0_usize..10, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let sample = &SAMPLES[which];
        let quote = Quote::detect(&sample.quote).unwrap();
        let evidence = Evidence::new(quote, sample.collateral.clone()).unwrap();
        let original = verify(&evidence, &policy(), &sample.roots, sample.now).unwrap();
        let mut bytes = evidence.encode();
        let offset = at.index(bytes.len());
        bytes[offset] ^= 1 << bit;
        // Text outside the signatures (spaces of PEM, an unused chain) may change; what is verified may not.
        if let Ok(altered) = Evidence::decode(&bytes) {
            prop_assert_eq!(altered.encode(), bytes);
            if let Ok(verified) = verify(&altered, &policy(), &sample.roots, sample.now) {
                prop_assert_eq!(verified, original);
            }
        }
    }

    #[test]
    fn p4_a_cut_quote_is_refused(which in 0_usize..10, at in any::<prop::sample::Index>()) {
        let sample = &SAMPLES[which];
        let length = at.index(sample.quote.len());
        prop_assert!(!sample.verifies(&sample.quote[..length]));
        let envelope = Evidence::new(Quote::detect(&sample.quote).unwrap(), sample.collateral.clone()).unwrap().encode();
        prop_assert!(Evidence::decode(&envelope[..at.index(envelope.len())]).is_err());
    }

    #[test]
    fn p4_garbage_makes_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000), kind in 0_usize..5) {
        let _ = Evidence::decode(&bytes);
        let _ = Collateral::read(Kind::ALL[kind], &bytes);
        if let Ok(quote) = Quote::detect(&bytes) {
            let _ = inspect(&quote);
        }
        let _ = Quote::parse(Kind::ALL[kind], &bytes);
    }

    /// Garbage after a start that leads into each parser.
    #[test]
    fn p4_garbage_with_a_good_start_makes_no_panic(
        which in 0_usize..10,
        keep in any::<prop::sample::Index>(),
        rest in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        let sample = &SAMPLES[which];
        let keep = keep.index(sample.quote.len());
        let mut bytes = sample.quote[..keep].to_vec();
        bytes.extend_from_slice(&rest);
        prop_assert!(!sample.verifies(&bytes) || bytes == sample.quote);
        // The same with the right length, where the length is what detection goes by.
        bytes.resize(sample.quote.len(), 0);
        if let Ok(quote) = Quote::detect(&bytes) {
            let _ = inspect(&quote);
        }
    }
}

#[test]
fn p4_bounds_are_bounds() {
    Evidence::decode(&vec![1; MAX_ENVELOPE + 1]).expect_err("too long");
    let mut quote = SAMPLES[1].quote.clone();
    quote.resize(MAX_QUOTE + 1, 0);
    Quote::detect(&quote).expect_err("too long");
    quote.truncate(MAX_QUOTE);
    assert_eq!(Quote::detect(&quote).expect("padded").as_bytes(), SAMPLES[1].quote);
    // Padding belongs to no envelope.
    let evidence =
        Evidence::new(Quote::detect(&quote).expect("padded"), SAMPLES[1].collateral.clone()).expect("evidence");
    let mut bytes = evidence.encode();
    bytes[5] += 1;
    let end = 6 + evidence.quote().as_bytes().len();
    bytes.insert(end, 0);
    Evidence::decode(&bytes).expect_err("padded");
    // Nested CBOR ends at the bound, not in the stack.
    let mut deep = vec![0x84, 0x44];
    deep.extend(std::iter::repeat_n(0x81, 30_000));
    Quote::detect(&deep).expect_err("deep");
}

#[test]
fn envelopes_of_other_versions_and_kinds_are_refused() {
    let sample = &SAMPLES[4];
    let evidence = Evidence::new(Quote::detect(&sample.quote).expect("a quote"), Collateral::None).expect("evidence");
    let good = evidence.encode();
    assert_eq!(good[..2], [1, 5]);
    for (offset, value) in [(0, 0), (0, 2), (1, 0), (1, 4), (1, 6)] {
        let mut bad = good.clone();
        bad[offset] = value;
        Evidence::decode(&bad).expect_err("another version or kind");
    }
    let mut longer = good.clone();
    longer.push(0);
    Evidence::decode(&longer).expect_err("a byte more");
    // The tag of COSE_Sign1 is accepted from outside, and is no part of the document.
    let tagged = [&[0xd2][..], &sample.quote].concat();
    assert_eq!(Quote::detect(&tagged).expect("tagged").as_bytes(), sample.quote);
}
