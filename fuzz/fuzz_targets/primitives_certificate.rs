//! Any bytes are the one encoding of a certificate, a proven vote, or a set's roll, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_primitives::{
    Address,
    certificate::{Certificate, Proven},
    set::Set,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = Certificate::from_rlp(bytes) {
        assert_eq!(certificate.to_rlp(), bytes);
        let json = serde_json::to_string(&certificate).expect("has JSON");
        assert_eq!(serde_json::from_str::<Certificate>(&json).expect("is JSON"), certificate);
    }
    if let Ok(proven) = Proven::from_rlp(bytes) {
        assert_eq!(proven.to_rlp(), bytes);
        let json = serde_json::to_string(&proven).expect("has JSON");
        assert_eq!(serde_json::from_str::<Proven>(&json).expect("is JSON"), proven);
    }
    if let Ok(set) = Set::from_roll(Address::ZERO, 1, 1, bytes) {
        assert_eq!(set.to_roll(), bytes);
    }
    let _ = serde_json::from_slice::<Proven>(bytes);
});
