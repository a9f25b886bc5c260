//! Any text is an answer or is refused; an answer that is read is written and read again as the same, verifies or does
//! not, and one that verifies does so no more when anything in it changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_primitives::{Address, Answer, Domain};

fuzz_target!(|text: &[u8]| {
    let Ok(answer) = serde_json::from_slice::<Answer>(text) else {
        return;
    };
    let written = serde_json::to_string(&answer).expect("an answer is written");
    assert_eq!(
        serde_json::from_str::<Answer>(&written).expect("what was written is read"),
        answer
    );
    let domain = Domain {
        chain_id: 31337,
        verifying_contract: Address::repeat_byte(0xd1),
    };
    let _mostly_not = answer.verify(&domain);
    // Whoever the signature recovers to is an operator of whom it verifies, if result and output fit.
    let mut fitting = answer.clone();
    fitting.outcome.output_root = fitting.output.root();
    fitting.result = fitting.outcome.result_hash();
    let Ok(operator) = fitting.signature.recover(&fitting.response().digest(&domain)) else {
        return;
    };
    fitting.operator = operator;
    fitting.verify(&domain).expect("its own signer");
    let mut other = fitting.clone();
    other.requester = Address::from_word(!other.requester.into_word());
    assert!(other.verify(&domain).is_err(), "another requester");
    let mut other = fitting.clone();
    other.outcome.exit ^= 1;
    assert!(other.verify(&domain).is_err(), "another exit code");
    let elsewhere = Domain { chain_id: 1, ..domain };
    assert!(fitting.verify(&elsewhere).is_err(), "another chain");
});
