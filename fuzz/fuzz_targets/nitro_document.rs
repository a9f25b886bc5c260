//! Any bytes are a Nitro document in its one encoding, or are refused; only one that AWS signed verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_enclave::{Collateral, Evidence, Kind, Policy, Quote, Roots, inspect, verify};

const SIGNED: &[u8] = include_bytes!("../../crates/surety-enclave/testdata/nitro.cose");

fuzz_target!(|bytes: &[u8]| {
    let Ok(quote) = Quote::parse(Kind::Nitro, bytes) else {
        return;
    };
    inspect(&quote).expect("parsed already");
    let document = quote.as_bytes().to_vec();
    let evidence = Evidence::new(quote, Collateral::None).expect("brings its certificates");
    if verify(&evidence, &Policy::default(), &Roots::vendors(), 1_766_669_400).is_ok() {
        assert_eq!(document, SIGNED);
    }
});
