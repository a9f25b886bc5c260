//! `sort`, in C, against the sort of Rust's standard library.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::U256;
use alloy_sol_types::{SolCall, sol};
use programs_tests::Program;
use proptest::prelude::*;
use surety_guest::PREIMAGE_MAX;
use surety_machine::Status;

sol! {
    function sort(uint256[] numbers) returns (uint256[]);
}

fn sorted(numbers: Vec<U256>) -> Vec<U256> {
    let answer = Program::load("sort")
        .unwrap()
        .call(&sortCall { numbers }.abi_encode())
        .unwrap();
    sortCall::abi_decode_returns(answer.success().unwrap()).unwrap()
}

/// Numbers that often share their leading or trailing words.
fn number() -> impl Strategy<Value = U256> {
    (any::<[u8; 32]>(), 0usize..=256).prop_map(|(bytes, shift)| U256::from_be_bytes(bytes) >> shift)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sorts_as_the_host_does(numbers in proptest::collection::vec(number(), 0..200)) {
        let mut expected = numbers.clone();
        expected.sort();
        prop_assert_eq!(sorted(numbers), expected);
    }

    #[test]
    fn arbitrary_arguments_are_answered_or_refused(arguments in proptest::collection::vec(any::<u8>(), 0..300)) {
        let call = [&sortCall::SELECTOR[..], &arguments].concat();
        let answer = Program::load("sort").unwrap().call(&call).unwrap();
        prop_assert_eq!(answer.status, Status::Halted);
        prop_assert!(answer.success().is_ok() || answer.refusal().is_ok());
    }
}

#[test]
fn sorts_as_many_numbers_as_an_input_holds() {
    let count = (PREIMAGE_MAX - 4 - 64) / 32;
    let numbers: Vec<U256> = (0..count).map(|i| U256::from(i * 7_919 % 3_001)).collect();
    let mut expected = numbers.clone();
    expected.sort();
    assert_eq!(sorted(numbers), expected);
}

#[test]
fn offsets_and_lengths_outside_the_call_are_refused() {
    let word = |value: u64| [&[0; 24][..], &value.to_be_bytes()].concat();
    for words in [
        vec![],
        vec![word(32)],
        vec![word(32), word(1)],
        vec![word(32), word(u64::from(u32::MAX))],
        vec![word(32), word(1 << 27)],
        vec![word(u64::from(u32::MAX)), word(0)],
        vec![word(64), word(0)],
        vec![vec![0xff; 32], word(0)],
    ] {
        let call = [sortCall::SELECTOR.to_vec(), words.concat()].concat();
        let answer = Program::load("sort").unwrap().call(&call).unwrap();
        assert!(answer.refusal().unwrap().contains("argument"), "{answer}");
    }
}
