//! `library`, in Rust and in C: the routines that engines know, as programs call them.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::U256;
use alloy_sol_types::{SolCall, sol};
use programs_tests::Program;
use proptest::prelude::*;
use sha2::Digest as _;
use surety_engine::intrinsics::{all, find};

sol! {
    function keccak256(bytes data) returns (bytes32);
    function sha256(bytes data) returns (bytes32);
    function dot(bytes a, bytes b) returns (uint32);
    function matmul(bytes a, bytes b, uint32 k) returns (bytes);
    function mulmod(uint256 a, uint256 b, uint256 m) returns (uint256);
    function powmod(uint256 base, uint256 exponent, uint256 m) returns (uint256);
    function float(uint32 operation, uint32 a, uint32 b) returns (uint32);
    function copies(bytes data, uint32 times, uint32 byte) returns (bytes all, bool equal);
}

fn rust() -> Program {
    Program::load("library").unwrap()
}

fn both() -> [Program; 2] {
    [rust(), Program::load("library-c").unwrap()]
}

fn call<C: SolCall>(program: &Program, call: C) -> C::Return {
    let answer = program.call(&call.abi_encode()).unwrap();
    C::abi_decode_returns(answer.success().unwrap()).unwrap()
}

/// Whichever assembler and linker, the words are those the engine knows.
#[test]
fn the_routines_are_found() {
    let found = |name: &str| {
        let program = Program::load(name).unwrap();
        let mut words = vec![];
        program.program().code().visit_pages(&mut |number, page| {
            words.resize(number as usize * page.len() / 4, 0);
            words.extend(page.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)));
        });
        let mut names: Vec<_> = find(&words).iter().map(|(_, found)| found.name).collect();
        names.sort_unstable();
        names
    };
    let mut names: Vec<_> = all().iter().map(|intrinsic| intrinsic.name).collect();
    names.sort_unstable();
    let rust = found("library");
    assert_eq!(rust, names);
    let c = found("library-c");
    for name in [
        "memcpy",
        "surety_keccak_f",
        "surety_sha256_blocks",
        "surety_dot_i8",
        "__divsf3",
        "__fixsfsi",
    ] {
        assert!(c.contains(&name), "{name} is not in {c:?}");
    }
    // Programs without them have none.
    assert!(found("echo").is_empty());
}

fn keccak(data: &[u8]) -> [u8; 32] {
    surety_machine::keccak256(data)
}

#[test]
fn hashes_of_every_length() {
    let data: Vec<u8> = (0..600u32).map(|i| (i * 7 + 3) as u8).collect();
    for program in both() {
        for length in (0..140).chain([271, 272, 273, 600]) {
            let data = data[..length].to_vec();
            let found = call(
                &program,
                keccak256Call {
                    data: data.clone().into(),
                },
            );
            assert_eq!(found, keccak(&data), "{length}");
        }
        // FIPS 180-4, and what other implementations say of the padding's edges.
        let abc = call(&program, sha256Call { data: b"abc".into() });
        assert_eq!(
            abc.to_string(),
            "0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        for length in (0..140).chain([600]) {
            let data = data[..length].to_vec();
            let found = call(
                &program,
                sha256Call {
                    data: data.clone().into(),
                },
            );
            assert_eq!(found, sha2::Sha256::digest(&data).as_slice(), "{length}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_of_int8(bytes in proptest::collection::vec(any::<u8>(), 0..400), k in 1usize..40) {
        let signed = |bytes: &[u8]| -> Vec<i32> { bytes.iter().map(|byte| i32::from(*byte as i8)).collect() };
        let dot = |a: &[u8], b: &[u8]| -> i32 { signed(a).iter().zip(signed(b)).map(|(a, b)| a * b).sum() };
        let (a, b) = bytes.split_at(bytes.len() / 2);
        let b = &b[..a.len()];
        for program in both() {
            let found = call(&program, dotCall { a: a.to_vec().into(), b: b.to_vec().into() });
            prop_assert_eq!(found as i32, dot(a, b));
        }
        let rows = |bytes: &[u8]| bytes[..(bytes.len() / k).min(24) * k].to_vec();
        let (a, b) = (rows(a), rows(b));
        let expected: Vec<u8> =
            a.chunks(k).flat_map(|a| b.chunks(k).flat_map(move |b| dot(a, b).to_le_bytes())).collect();
        let found = call(&rust(), matmulCall { a: a.clone().into(), b: b.clone().into(), k: k as u32 });
        prop_assert_eq!(found.to_vec(), expected);
    }

    #[test]
    fn products_and_powers_modulo(a: [u64; 4], b: [u64; 4], m: [u64; 4], short in 0usize..256) {
        let [a, b, m] = [a, b, m].map(U256::from_limbs);
        for m in [m >> short | U256::from(1), U256::from(3), U256::MAX, (U256::from(1) << 255) + U256::from(1)] {
            if m == U256::from(1) {
                continue;
            }
            prop_assert_eq!(call(&rust(), mulmodCall { a, b, m }), a.mul_mod(b, m));
        }
        let m = m | U256::from(3);
        prop_assert_eq!(call(&rust(), powmodCall { base: a, exponent: b, m }), a.pow_mod(b, m));
    }

    #[test]
    fn floats(a: u32, b: u32, near in -200_000_000i32..200_000_000) {
        let near = a.wrapping_add_signed(near);
        for (a, b) in [(a, b), (a, near), (near, a ^ 1 << 31)] {
            let (x, y) = (f32::from_bits(a), f32::from_bits(b));
            let bits = |x: f32| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() };
            let mut expected = vec![
                bits(x + y), bits(x - y), bits(x * y), bits(x / y), bits(x.sqrt()), u32::from(x < y), u32::from(x == y),
                bits(a as i32 as f32), bits(a as f32),
            ];
            if !x.is_nan() {
                expected.extend([x as i32 as u32, x as u32]);
            }
            for program in both() {
                for (operation, expected) in (0..).zip(&expected) {
                    prop_assert_eq!(call(&program, floatCall { operation, a, b }), *expected, "{} {:#x} {:#x}", operation, a, b);
                }
            }
        }
    }

    #[test]
    fn copies_and_comparisons(data in proptest::collection::vec(any::<u8>(), 0..300), times in 0u32..6, byte: u8) {
        let mut piece = data.clone();
        piece.push(byte);
        let found = call(&rust(), copiesCall { data: data.into(), times, byte: byte.into() });
        prop_assert_eq!(found.all.to_vec(), piece.repeat(times as usize));
        prop_assert!(found.equal);
    }
}

#[test]
fn what_cannot_be_computed_is_refused() {
    let refusal = |input: Vec<u8>| rust().call(&input).unwrap().refusal().unwrap();
    let [one, two] = [1, 2].map(U256::from);
    for m in [U256::ZERO, one, two] {
        assert!(refusal(mulmodCall { a: one, b: one, m }.abi_encode()).contains("modulus"));
    }
    let (a, b) = (vec![1, 2].into(), vec![1].into());
    assert!(refusal(dotCall { a, b }.abi_encode()).contains("lengths"));
}
