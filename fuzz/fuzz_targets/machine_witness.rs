//! Any bytes are a witness or not, and a witness that is changed either fails or speaks of another state.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_machine::{Hash, PreimageOracle, State, verify_step};

/// Knows every preimage: 40 bytes of 7.
struct Anything;

impl PreimageOracle for Anything {
    fn length(&self, _: &Hash) -> Option<u32> {
        Some(40)
    }
    fn word(&self, _: &Hash, _: u32) -> Option<[u8; 32]> {
        Some([7; 32])
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(step) = verify_step(bytes, &Anything) else { return };
    let state = State::from_bytes(bytes.first_chunk().expect("a witness holds a state"));
    assert_eq!(step.before, state.root());
    let longer = [bytes, &[0]].concat();
    assert!(verify_step(&longer, &Anything).is_err(), "a byte too many was taken");
    assert!(verify_step(&bytes[..bytes.len() - 1], &Anything).is_err(), "a byte too few was enough");
});
