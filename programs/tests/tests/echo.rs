//! `echo`: calls, refusals, traps, and data larger than a preimage.

use alloy_sol_types::{SolCall, sol};
use programs_tests::Program;
use proptest::prelude::*;
use surety_guest::{PREIMAGE_MAX, tree};
use surety_machine::{Status, TrapCause};

sol! {
    function echo(bytes data) returns (bytes);
    function read(bytes32 root, uint64 offset, uint32 length) returns (bytes);
    function refuse(string reason);
    function panic(string message);
    function recurse(uint32 depth) returns (uint32);
    function allocate(uint32 length) returns (uint32);
}

fn program() -> Program {
    Program::load("echo").unwrap()
}

fn call_echo(program: &Program, data: &[u8]) -> Vec<u8> {
    let answer = program
        .call(
            &echoCall {
                data: data.to_vec().into(),
            }
            .abi_encode(),
        )
        .unwrap();
    echoCall::abi_decode_returns(answer.success().unwrap())
        .unwrap()
        .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn echo_returns_what_it_is_given(data in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert_eq!(call_echo(&program(), &data), data);
    }

    #[test]
    fn arbitrary_arguments_are_answered_or_refused(arguments in proptest::collection::vec(any::<u8>(), 0..300)) {
        for selector in [echoCall::SELECTOR, readCall::SELECTOR, refuseCall::SELECTOR] {
            let answer = program().call(&[&selector[..], &arguments].concat());
            // A root that nobody knows is no answer at all.
            if let Ok(answer) = answer {
                prop_assert_eq!(answer.status, Status::Halted);
                prop_assert!(answer.success().is_ok() || answer.refusal().is_ok());
            }
        }
    }
}

#[test]
fn the_largest_input_is_echoed() {
    // Selector, offset, length, and what is left of 96 KiB.
    let data = vec![7; PREIMAGE_MAX - 4 - 64 - 28];
    assert_eq!(call_echo(&program(), &data), data);
}

#[test]
fn offsets_and_lengths_outside_the_call_are_refused() {
    let word = |value: u64| [&[0; 24][..], &value.to_be_bytes()].concat();
    let call = |words: &[Vec<u8>]| {
        let input = [echoCall::SELECTOR.to_vec(), words.concat()].concat();
        program().call(&input).unwrap().refusal().unwrap()
    };
    assert!(call(&[]).contains("needs 32 bytes"));
    assert!(call(&[word(32)]).contains("needs 64 bytes"));
    assert!(call(&[word(32), word(1)]).contains("needs 65 bytes"));
    assert!(call(&[word(32), word(u64::from(u32::MAX))]).contains("argument 0"));
    assert!(call(&[word(u64::from(u32::MAX)), word(0)]).contains("argument 0"));
    assert!(call(&[word(u64::MAX), word(0)]).contains("argument 0"));
    assert!(call(&[vec![0xff; 32], word(0)]).contains("argument 0"));
}

#[test]
fn a_refusal_exits_with_1_and_its_reason() {
    let reason = "not on a Sunday, and not in this rather long sentence of more than thirty-two bytes".to_owned();
    let answer = program()
        .call(&refuseCall { reason: reason.clone() }.abi_encode())
        .unwrap();
    assert_eq!(answer.refusal().unwrap(), reason);
}

#[test]
fn a_panic_traps_with_its_message() {
    let answer = program()
        .call(
            &panicCall {
                message: "out of cheese".into(),
            }
            .abi_encode(),
        )
        .unwrap();
    let message = answer.panic().unwrap();
    assert!(
        message.contains("echo/src/main.rs") && message.ends_with("out of cheese"),
        "{message}"
    );
}

#[test]
fn a_long_panic_message_is_cut_between_characters() {
    let message = program()
        .call(
            &panicCall {
                message: "ü".repeat(1_000),
            }
            .abi_encode(),
        )
        .unwrap()
        .panic()
        .unwrap();
    assert!(
        (510..=512).contains(&message.len()) && message.ends_with('ü'),
        "{message}"
    );
}

#[test]
fn a_stack_overflow_traps_and_damages_nothing() {
    let shallow = program().call(&recurseCall { depth: 50 }.abi_encode()).unwrap();
    assert!(shallow.success().is_ok());
    let answer = program().call(&recurseCall { depth: 100_000 }.abi_encode()).unwrap();
    assert_eq!(
        (answer.status, answer.exit),
        (Status::Trapped, TrapCause::StoreRange as u32)
    );
    assert!(answer.output.is_empty());
}

#[test]
fn memory_used_up_is_a_panic() {
    let allocate = |length| program().call(&allocateCall { length }.abi_encode()).unwrap();
    assert_eq!(
        allocateCall::abi_decode_returns(allocate(300_000).success().unwrap()).unwrap(),
        300_000
    );
    assert!(
        allocate(600_000)
            .panic()
            .unwrap()
            .contains("memory allocation of 600000 bytes failed")
    );
    assert!(allocate(u32::MAX).panic().is_ok());
}

#[test]
fn data_larger_than_a_preimage_is_read_anywhere() {
    let data: Vec<u8> = (0..3 * PREIMAGE_MAX as u32 + 1_234)
        .map(|i| (i ^ i >> 8 ^ i >> 16) as u8)
        .collect();
    let tree = tree::build(&data);
    let mut program = program();
    tree.preimages.iter().for_each(|preimage| {
        program.add(preimage);
    });
    let end = data.len();
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

#[test]
fn what_is_no_data_tree_is_refused() {
    let data = vec![1; 2 * PREIMAGE_MAX];
    let tree = tree::build(&data);
    let node = tree.preimages.last().unwrap();
    let mut wrong_magic = node.clone();
    wrong_magic[3] ^= 1;
    let mut longer = node.clone();
    longer[24..32].copy_from_slice(&(3 * PREIMAGE_MAX as u64).to_be_bytes());
    let mut program = program();
    tree.preimages.iter().for_each(|preimage| {
        program.add(preimage);
    });
    for bad in [&[][..], &[0; 31], &[0; 32], &wrong_magic, &longer, &tree.preimages[0]] {
        let root = program.add(bad).into();
        let answer = program
            .call(
                &readCall {
                    root,
                    offset: 0,
                    length: 10,
                }
                .abi_encode(),
            )
            .unwrap();
        match bad == longer {
            // The lie is where the third chunk should be.
            true => {
                let call = readCall {
                    root,
                    offset: 2 * PREIMAGE_MAX as u64,
                    length: 10,
                }
                .abi_encode();
                assert!(program.call(&call).unwrap().refusal().unwrap().contains("node"));
            }
            false => assert!(answer.refusal().unwrap().contains("not a node"), "{answer}"),
        }
    }
}
