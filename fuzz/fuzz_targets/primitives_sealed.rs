//! Any bytes are the one encoding of a sealed payload, or are refused; opening one fails in order, whatever is in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_primitives::{
    B256,
    sealed::{Sealed, SecretKey},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(sealed) = Sealed::from_rlp(bytes) else { return };
    assert_eq!(sealed.to_rlp(), bytes);
    let secret = SecretKey::from_bytes([7; 32]);
    for wrapped in sealed.recipients() {
        assert!(sealed.open(wrapped.recipient, &secret, B256::ZERO).is_err(), "nothing hashes to zero");
    }
});
