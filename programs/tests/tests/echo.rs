//! `echo`, in Rust and in C: calls, refusals, traps, and data larger than a preimage.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_sol_types::{SolCall, sol};
use programs_tests::Program;
use proptest::prelude::*;
use surety_guest::{PREIMAGE_MAX, keccak256, tree};
use surety_machine::{Status, TrapCause};

sol! {
    function echo(bytes data) returns (bytes);
    function read(bytes32 root, uint64 offset, uint32 length) returns (bytes);
    function refuse(string reason);
    function panic(string message);
    function recurse(uint32 depth) returns (uint32);
    function allocate(uint32 length) returns (uint32);
    function preimage(bytes32 hash) returns (bytes);
}

fn rust() -> Program {
    Program::load("echo").unwrap()
}

fn both() -> [Program; 2] {
    [rust(), Program::load("echo-c").unwrap()]
}

fn call_echo(program: &Program, data: &[u8]) -> Vec<u8> {
    let call = echoCall {
        data: data.to_vec().into(),
    };
    let answer = program.call(&call.abi_encode()).unwrap();
    echoCall::abi_decode_returns(answer.success().unwrap())
        .unwrap()
        .to_vec()
}

fn panic_message(program: &Program, message: &str) -> String {
    let call = panicCall {
        message: message.into(),
    };
    program.call(&call.abi_encode()).unwrap().panic().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn echo_returns_what_it_is_given(data in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        for program in both() {
            prop_assert_eq!(&call_echo(&program, &data), &data);
        }
    }

    #[test]
    fn arbitrary_arguments_are_answered_or_refused(arguments in proptest::collection::vec(any::<u8>(), 0..300)) {
        for program in both() {
            for selector in [echoCall::SELECTOR, readCall::SELECTOR, refuseCall::SELECTOR] {
                // A root that nobody knows is no answer at all.
                if let Ok(answer) = program.call(&[&selector[..], &arguments].concat()) {
                    prop_assert_eq!(answer.status, Status::Halted);
                    prop_assert!(answer.success().is_ok() || answer.refusal().is_ok());
                }
            }
        }
    }
}

#[test]
fn the_largest_input_is_echoed() {
    // Selector, offset, length, and what is left of 96 KiB.
    let data = vec![7; PREIMAGE_MAX - 4 - 64 - 28];
    for program in both() {
        assert!(call_echo(&program, &data) == data);
    }
}

#[test]
fn offsets_and_lengths_outside_the_call_are_refused() {
    let word = |value: u64| [&[0; 24][..], &value.to_be_bytes()].concat();
    for program in both() {
        let call = |words: &[Vec<u8>]| {
            let input = [echoCall::SELECTOR.to_vec(), words.concat()].concat();
            let reason = program.call(&input).unwrap().refusal().unwrap();
            assert!(reason.contains("argument"), "{reason}");
        };
        call(&[]);
        call(&[word(32)]);
        call(&[word(32), word(1)]);
        call(&[word(32), word(u64::from(u32::MAX))]);
        call(&[word(u64::from(u32::MAX)), word(0)]);
        call(&[word(u64::MAX), word(0)]);
        call(&[vec![0xff; 32], word(0)]);
    }
}

#[test]
fn a_refusal_exits_with_1_and_its_reason() {
    let reason = "not on a Sunday, and not in this rather long sentence of more than thirty-two bytes";
    for program in both() {
        let call = refuseCall { reason: reason.into() };
        assert_eq!(program.call(&call.abi_encode()).unwrap().refusal().unwrap(), reason);
    }
}

#[test]
fn a_panic_traps_with_its_message() {
    for program in both() {
        let message = panic_message(&program, "out of cheese");
        assert!(message.ends_with("out of cheese"), "{message}");
    }
    let message = panic_message(&rust(), "");
    assert!(message.contains("echo/src/main.rs"), "{message}");
}

#[test]
fn a_long_panic_message_is_cut_between_characters() {
    let message = panic_message(&rust(), &"ü".repeat(1_000));
    assert!(
        (510..=512).contains(&message.len()) && message.ends_with('ü'),
        "{message}"
    );
    assert_eq!(panic_message(&both()[1], &"u".repeat(1_000)), "u".repeat(512));
}

#[test]
fn a_stack_overflow_traps_and_damages_nothing() {
    for program in both() {
        let recurse = |depth| program.call(&recurseCall { depth }.abi_encode()).unwrap();
        assert!(recurse(50).success().is_ok());
        let answer = recurse(100_000);
        assert_eq!(
            (answer.status, answer.exit),
            (Status::Trapped, TrapCause::StoreRange as u32)
        );
        assert!(answer.output.is_empty());
    }
}

#[test]
fn memory_used_up_is_a_panic() {
    for program in both() {
        let allocate = |length| program.call(&allocateCall { length }.abi_encode()).unwrap();
        assert_eq!(
            allocateCall::abi_decode_returns(allocate(300_000).success().unwrap()).unwrap(),
            300_000
        );
        let message = allocate(600_000).panic().unwrap();
        assert!(message.contains("memory allocation of 600000 bytes failed") || message == "out of memory");
        assert!(allocate(u32::MAX).panic().is_ok());
    }
}

#[test]
fn preimages_of_every_length_are_read_whole() {
    for mut program in both() {
        for length in [0, 1, 31, 1_023, 1_024, 1_025, 5_000, PREIMAGE_MAX - 1, PREIMAGE_MAX] {
            let preimage: Vec<u8> = (0..length).map(|i| (i ^ i >> 8) as u8).collect();
            let hash = program.add(&preimage);
            let answer = program.call(&preimageCall { hash: hash.into() }.abi_encode()).unwrap();
            let read = preimageCall::abi_decode_returns(answer.success().unwrap()).unwrap();
            assert!(*read == preimage, "{length} bytes");
            assert_eq!(
                answer.hints,
                [format!("preimage {}", alloy_primitives::B256::from(hash))]
            );
        }
    }
}

#[test]
fn data_larger_than_a_preimage_is_read_anywhere() {
    let data: Vec<u8> = (0..3 * PREIMAGE_MAX as u32 + 1_234)
        .map(|i| (i ^ i >> 8 ^ i >> 16) as u8)
        .collect();
    let tree = tree::build(&data);
    let end = data.len();
    for mut program in both() {
        for preimage in &tree.preimages {
            program.add(preimage);
        }
        for (offset, length) in [
            (0, 0),
            (0, 100),
            (PREIMAGE_MAX - 1, 2),
            (PREIMAGE_MAX - 7, PREIMAGE_MAX),
            (3 * PREIMAGE_MAX - 50, 100),
            (end - 10, 10),
            (end - 10, 100),
            (end, 5),
            (end + 1_000_000, 5),
        ] {
            let call = readCall {
                root: tree.root.into(),
                offset: offset as u64,
                length: length as u32,
            };
            let answer = program.call(&call.abi_encode()).unwrap();
            let read = readCall::abi_decode_returns(answer.success().unwrap()).unwrap();
            let expected = &data[offset.min(end)..(offset + length).min(end)];
            assert!(*read == *expected, "{length} bytes at {offset}");
        }
    }
}

#[test]
fn what_is_no_data_tree_is_not_read() {
    let data = vec![1; 2 * PREIMAGE_MAX];
    let tree = tree::build(&data);
    let node = tree.preimages.last().unwrap();
    let mut wrong_magic = node.clone();
    wrong_magic[3] ^= 1;
    let mut longer = node.clone();
    longer[24..32].copy_from_slice(&(3 * PREIMAGE_MAX as u64).to_be_bytes());
    let mut short = node.clone();
    short[32..64].copy_from_slice(&keccak256(b"short"));

    for (mut program, in_c) in both().into_iter().zip([false, true]) {
        program.add(b"short");
        for preimage in &tree.preimages {
            program.add(preimage);
        }
        let mut reason = |node: &[u8], offset: usize| {
            let root = program.add(node).into();
            let answer = program
                .call(
                    &readCall {
                        root,
                        offset: offset as u64,
                        length: 10,
                    }
                    .abi_encode(),
                )
                .unwrap();
            // What the C library finds wrong is a panic.
            if in_c {
                answer.panic().unwrap()
            } else {
                answer.refusal().unwrap()
            }
        };
        for bad in [&[][..], &[0; 31], &[0; 32], &wrong_magic, &tree.preimages[0]] {
            let reason = reason(bad, 0);
            assert!(reason.contains("not a node"), "{reason}");
        }
        // There is no third chunk, and the first is shorter than its place.
        assert!(reason(&longer, 2 * PREIMAGE_MAX).contains("node"));
        assert!(reason(&short, 0).contains("chunk"));
    }
}
