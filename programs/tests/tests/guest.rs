//! The parts of `surety-guest` that also run on the host: the ABI against `alloy-sol-types`, hashing, the data tree.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_sol_types::{SolType, SolValue, sol_data};
use proptest::prelude::*;
use surety_guest::abi::{AbiType, Arguments, Returns};
use surety_guest::tree::{self, FANOUT, Source, TreeError};
use surety_guest::{Address, Bytes, PREIMAGE_MAX, U256, keccak256, selector};

#[test]
fn selectors_are_soliditys() {
    assert_eq!(selector("transfer(address,uint256)"), 0xa905_9cbb);
    assert_eq!(selector("Error(string)"), 0x08c3_79a0);
}

proptest! {
    #[test]
    fn keccak_is_keccak(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(keccak256(&data), alloy_primitives::keccak256(&data).0);
    }

    #[test]
    fn results_are_encoded_as_solidity_does(
        number: u64,
        flag: bool,
        word: [u8; 32],
        address: [u8; 20],
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
        text: String,
        words in proptest::collection::vec(any::<[u8; 32]>(), 0..5),
    ) {
        let mut encoded = Vec::new();
        (number, Bytes(bytes.clone()), flag, text.clone(), word, Address(address), words.clone(), U256(word))
            .encode_into(&mut encoded);
        let expected = (
            number,
            alloy_primitives::Bytes::from(bytes),
            flag,
            text,
            alloy_primitives::B256::from(word),
            alloy_primitives::Address::from(address),
            words.into_iter().map(alloy_primitives::B256::from).collect::<Vec<_>>(),
            alloy_primitives::U256::from_be_bytes(word),
        ).abi_encode_params();
        prop_assert_eq!(encoded, expected);
    }

    #[test]
    fn arguments_are_decoded_as_alloy_does(
        mut data in proptest::collection::vec(prop_oneof![3 => Just(0u8), 1 => Just(32u8), 1 => any::<u8>()], 0..200),
        small in any::<bool>(),
    ) {
        if small {
            // Words that are small numbers, so that offsets and lengths often make sense.
            for word in data.chunks_mut(32) {
                let end = word.len().min(31);
                word[..end].fill(0);
            }
        }
        let arguments = Arguments::new(&data);
        let ours = Bytes::decode(&arguments, 0).ok().map(|bytes| bytes.0);
        let theirs = <(sol_data::Bytes,)>::abi_decode_params(&data).ok().map(|(bytes,)| bytes.to_vec());
        if let Some(theirs) = theirs {
            prop_assert_eq!(ours, Some(theirs));
        }
        let _ = Vec::<U256>::decode(&arguments, 0);
        let _ = String::decode(&arguments, 1);
        prop_assert_eq!(
            bool::decode(&arguments, 0).ok(),
            <(sol_data::Bool,)>::abi_decode_params_validate(&data).ok().map(|(flag,)| flag)
        );
        prop_assert_eq!(
            Address::decode(&arguments, 0).ok().map(|address| address.0),
            <(sol_data::Address,)>::abi_decode_params_validate(&data).ok().map(|(address,)| address.0.0)
        );
        prop_assert_eq!(
            u64::decode(&arguments, 0).ok(),
            <(sol_data::Uint<64>,)>::abi_decode_params_validate(&data).ok().map(|(number,)| number)
        );
    }
}

/// A tree of any size, made up as it is read. Hashes say what they stand for: a node's first byte is 1, a chunk's 2, then
/// the first byte they cover and how many.
struct Imagined;

fn imagined_hash(kind: u8, start: u64, length: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[0] = kind;
    hash[1..9].copy_from_slice(&start.to_be_bytes());
    hash[9..17].copy_from_slice(&length.to_be_bytes());
    hash
}

fn byte_at(position: u64) -> u8 {
    (position ^ position >> 8 ^ position >> 20 ^ position >> 33) as u8
}

impl Source for Imagined {
    fn read(&mut self, hash: &[u8; 32], offset: usize, into: &mut [u8]) -> usize {
        let number = |at| {
            hash[at..at + 8]
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let (start, length) = (number(1), number(9));
        let mut node = Vec::new();
        let available = if hash[0] == 2 {
            length as usize
        } else {
            let chunk = PREIMAGE_MAX as u64;
            let mut span = chunk;
            while span * (FANOUT as u64) < length {
                span *= FANOUT as u64;
            }
            node.extend_from_slice(b"surety data tree");
            node.extend_from_slice(&[0; 8]);
            node.extend_from_slice(&length.to_be_bytes());
            for child in (0..length).step_by(span as usize) {
                let kind = if span == chunk { 2 } else { 1 };
                node.extend_from_slice(&imagined_hash(kind, start + child, span.min(length - child)));
            }
            node.len()
        };
        let count = into.len().min(available.saturating_sub(offset));
        for (i, byte) in into.iter_mut().take(count).enumerate() {
            *byte = if hash[0] == 2 {
                byte_at(start + (offset + i) as u64)
            } else {
                node[offset + i]
            };
        }
        count
    }
}

#[test]
fn trees_of_any_height_are_read() {
    let chunk = PREIMAGE_MAX as u64;
    let level = chunk * FANOUT as u64;
    for length in [
        0,
        1,
        chunk,
        chunk + 1,
        level - 1,
        level,
        level + 1,
        5 * level + 77,
        level * FANOUT as u64 + 3,
    ] {
        let root = imagined_hash(1, 0, length);
        assert_eq!(tree::length(&mut Imagined, &root), Ok(length));
        for offset in [
            0,
            1,
            chunk - 5,
            chunk,
            level - 3,
            level,
            level + chunk - 1,
            length.saturating_sub(9),
            length,
        ] {
            let mut into = [0; 40];
            let read = tree::read(&mut Imagined, &root, offset, &mut into).unwrap();
            assert_eq!(read as u64, length.saturating_sub(offset).min(40), "{length} {offset}");
            assert!(
                (offset..)
                    .zip(&into[..read])
                    .all(|(position, byte)| *byte == byte_at(position)),
                "{length} {offset}"
            );
        }
    }
}

/// A map from hash to preimage.
struct Map(Vec<Vec<u8>>);

impl Source for Map {
    fn read(&mut self, hash: &[u8; 32], offset: usize, into: &mut [u8]) -> usize {
        let preimage = self
            .0
            .iter()
            .find(|preimage| keccak256(preimage) == *hash)
            .expect("a known hash");
        let rest = preimage.get(offset..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        count
    }
}

#[test]
fn built_trees_read_back() {
    for length in [
        0,
        1,
        31,
        32,
        PREIMAGE_MAX - 1,
        PREIMAGE_MAX,
        PREIMAGE_MAX + 1,
        3 * PREIMAGE_MAX,
    ] {
        let data: Vec<u8> = (0..length as u64).map(byte_at).collect();
        let tree = tree::build(&data);
        assert!(tree.preimages.iter().all(|preimage| preimage.len() <= PREIMAGE_MAX));
        let mut into = vec![0; length + 10];
        let read = tree::read(&mut Map(tree.preimages), &tree.root, 0, &mut into).unwrap();
        assert!(read == length && into[..read] == data);
    }
}

#[test]
fn a_node_over_another_length_than_its_place_says_is_refused() {
    /// Says that every node is a little longer than it should be, but for the root.
    struct Longer;
    impl Source for Longer {
        fn read(&mut self, hash: &[u8; 32], offset: usize, into: &mut [u8]) -> usize {
            let read = Imagined.read(hash, offset, into);
            if hash[0] == 1 && hash[1..9] != [0; 8] && offset == 0 && read == 32 {
                into[31] ^= 1;
            }
            read
        }
    }
    let level = PREIMAGE_MAX as u64 * FANOUT as u64;
    let root = imagined_hash(1, 0, 3 * level);
    let result = tree::read(&mut Longer, &root, level, &mut [0; 4]);
    assert!(
        matches!(result, Err(TreeError::Length { expected, found, .. }) if expected == level && found == level ^ 1)
    );
}
