//! Any bytes are the one encoding of an envelope, or are refused; verifying what is inside never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_enclave::{Collateral, Evidence, Kind, Policy, Quote, Roots, inspect, verify};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(evidence) = Evidence::decode(bytes) {
        assert_eq!(evidence.encode(), bytes);
        let _ = inspect(evidence.quote());
        for roots in [Roots::vendors(), Roots::simulated()] {
            let _ = verify(&evidence, &Policy::default(), &roots, 1_750_400_000);
        }
    }
    for kind in Kind::ALL {
        let _ = Collateral::read(kind, bytes);
    }
    if let Ok(quote) = Quote::detect(bytes) {
        let _ = inspect(&quote);
        assert_eq!(Quote::parse(quote.kind(), quote.as_bytes()), Ok(quote));
    }
});
