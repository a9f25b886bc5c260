//! `ethereum-proofs` against `alloy-rlp` and `alloy-trie`.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::{B256, keccak256};
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};
use ethereum_proofs::rlp::{Item, RlpError};
use ethereum_proofs::{Account, Header, Receipt, receipt_key, trie};
use proptest::prelude::*;

/// An RLP item.
#[derive(Clone, Debug)]
enum Tree {
    String(Vec<u8>),
    List(Vec<Tree>),
}

impl Tree {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::String(bytes) => alloy_rlp::encode(bytes.as_slice()),
            Self::List(items) => {
                let payload: Vec<u8> = items.iter().flat_map(Self::encode).collect();
                let mut out = Vec::new();
                alloy_rlp::Header {
                    list: true,
                    payload_length: payload.len(),
                }
                .encode(&mut out);
                out.extend(payload);
                out
            }
        }
    }

    fn decode(item: Item<'_>) -> Result<Self, RlpError> {
        Ok(match item {
            Item::String(bytes) => Self::String(bytes.to_vec()),
            Item::List(mut items) => {
                let mut list = Vec::new();
                while !items.is_empty() {
                    list.push(Self::decode(items.next()?)?);
                }
                Self::List(list)
            }
        })
    }
}

fn rlp_tree() -> impl Strategy<Value = Tree> {
    let string = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..4),
        proptest::collection::vec(any::<u8>(), 50..70),
        proptest::collection::vec(any::<u8>(), 250..260),
    ];
    string.prop_map(Tree::String).prop_recursive(4, 64, 8, |inner| {
        proptest::collection::vec(inner, 0..8).prop_map(Tree::List)
    })
}

/// Whether `alloy-rlp` takes the bytes for one item, to the bottom.
fn alloy_accepts(mut bytes: &[u8]) -> bool {
    fn item(bytes: &mut &[u8]) -> bool {
        let Ok(header) = alloy_rlp::Header::decode(bytes) else {
            return false;
        };
        let Some((mut payload, rest)) = bytes.split_at_checked(header.payload_length) else {
            return false;
        };
        *bytes = rest;
        while header.list && !payload.is_empty() {
            if !item(&mut payload) {
                return false;
            }
        }
        true
    }
    item(&mut bytes) && bytes.is_empty()
}

fn accepts(bytes: &[u8]) -> bool {
    Item::only(bytes).and_then(Tree::decode).is_ok()
}

proptest! {
    #[test]
    fn rlp_round_trips(tree in rlp_tree()) {
        let bytes = tree.encode();
        prop_assert_eq!(Tree::decode(Item::only(&bytes).unwrap()).unwrap().encode(), bytes);
    }

    #[test]
    fn rlp_is_accepted_as_alloy_does(tree in rlp_tree(), at: proptest::sample::Index, byte: u8, cut: proptest::sample::Index) {
        let mut bytes = tree.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        prop_assert_eq!(accepts(&bytes), alloy_accepts(&bytes));
        bytes.truncate(cut.index(bytes.len()));
        prop_assert_eq!(accepts(&bytes), alloy_accepts(&bytes));
    }

    #[test]
    fn nothing_panics_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(accepts(&bytes), alloy_accepts(&bytes));
        let _ = Account::decode(&bytes);
        let _ = Header::decode(&bytes);
        let _ = Receipt::decode(&bytes);
        let _ = trie::get(&[7; 32], &bytes, |_| Ok::<_, ()>(bytes.clone()));
    }

    #[test]
    fn receipt_keys_are_rlp(index in prop_oneof![0u64..1_000, any::<u64>()]) {
        prop_assert_eq!(receipt_key(index), alloy_rlp::encode(index));
    }
}

/// A trie and all its nodes.
struct Trie {
    root: B256,
    nodes: HashMap<[u8; 32], Vec<u8>>,
}

fn build(leaves: &BTreeMap<Vec<u8>, Vec<u8>>) -> Trie {
    let keys = leaves.keys().map(Nibbles::unpack).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(keys));
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    Trie {
        root,
        nodes: nodes
            .into_iter()
            .map(|(_, node)| (keccak256(&node).0, node.to_vec()))
            .collect(),
    }
}

/// Keys of one length over few values, so that they share prefixes; values so short that nodes lie in their parents,
/// and long ones.
fn leaves() -> impl Strategy<Value = BTreeMap<Vec<u8>, Vec<u8>>> {
    let nibble = prop_oneof![Just(0u8), Just(1), Just(0x10), Just(0x11), any::<u8>()];
    let key = proptest::collection::vec(nibble, 4);
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..3),
        proptest::collection::vec(any::<u8>(), 30..80)
    ];
    proptest::collection::btree_map(key, value, 0..40)
}

proptest! {
    #[test]
    fn lookups_find_what_alloy_put_in(leaves in leaves(), others in proptest::collection::vec(leaves_key(), 0..40)) {
        let trie = build(&leaves);
        let keys = leaves.keys().cloned().chain(others);
        for key in keys {
            let found = trie::get(&trie.root, &key, |hash| trie.nodes.get(hash).cloned().ok_or("missing"));
            prop_assert_eq!(found, Ok(leaves.get(&key).cloned()));
        }
    }
}

fn leaves_key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0x10), Just(0x11), any::<u8>()], 4)
}
