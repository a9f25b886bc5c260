//! The preimages `explorer` reads, made from the block's JSON. `docs/guides/programs.md` defines the file formats.

use std::collections::BTreeSet;
use std::path::Path;

use alloy_consensus::proofs::ordered_trie_root_with_encoder;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::keccak256;
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};
use anyhow::{Context, ensure};

use crate::fixtures::Fixtures;

/// A file of preimages, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The file's name.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The preimage files for a block: its header, the nodes of the account proofs, the whole receipts trie.
///
/// # Errors
/// When the JSON contradicts itself: a header without the block's hash, a proof without the state root, receipts
/// without the receipts root.
pub fn make(fixtures: &Fixtures) -> anyhow::Result<Vec<Pack>> {
    let header = alloy_rlp::encode(&fixtures.header);
    ensure!(
        keccak256(&header) == fixtures.hash,
        "the header's hash is {}, expected {}",
        keccak256(&header),
        fixtures.hash
    );

    let mut state = Nodes::default();
    for account in &fixtures.accounts {
        let root = account.account_proof.first().map(keccak256);
        ensure!(
            root == Some(fixtures.header.state_root),
            "the proof of {} starts at {root:?}",
            account.address
        );
        account.account_proof.iter().for_each(|node| state.add(node));
    }

    let receipts = receipts_trie(fixtures)?;
    Ok(vec![
        Pack {
            name: "header.bin",
            bytes: header,
        },
        Pack {
            name: "state.pack",
            bytes: state.packed,
        },
        Pack {
            name: "receipts.pack",
            bytes: receipts.packed,
        },
    ])
}

/// Every node of the receipts trie.
fn receipts_trie(fixtures: &Fixtures) -> anyhow::Result<Nodes> {
    let mut leaves: Vec<(Nibbles, Vec<u8>)> = fixtures
        .receipts
        .iter()
        .enumerate()
        .map(|(index, receipt)| (Nibbles::unpack(alloy_rlp::encode(index as u64)), receipt.encoded_2718()))
        .collect();
    leaves.sort();
    let keys = leaves.iter().map(|(key, _)| *key).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(keys));
    for (key, value) in &leaves {
        builder.add_leaf(*key, value);
    }
    let root = builder.root();
    ensure!(
        root == fixtures.header.receipts_root,
        "the receipts' root is {root}, expected {}",
        fixtures.header.receipts_root
    );
    let again = ordered_trie_root_with_encoder(&fixtures.receipts, |receipt, out| receipt.encode_2718(out));
    ensure!(again == root, "two ways to the receipts' root give {root} and {again}");

    let mut nodes = Nodes::default();
    for (_, node) in builder.take_proof_nodes().into_nodes_sorted() {
        // A shorter one lies in its parent and is nobody's preimage.
        if node.len() >= 32 {
            nodes.add(&node);
        }
    }
    Ok(nodes)
}

/// Preimages, each once, with its length in four big-endian bytes before it.
#[derive(Default)]
struct Nodes {
    seen: BTreeSet<Vec<u8>>,
    packed: Vec<u8>,
}

impl Nodes {
    fn add(&mut self, node: &[u8]) {
        if self.seen.insert(node.to_vec()) {
            // Nodes are under 96 KiB.
            self.packed.extend_from_slice(&(node.len() as u32).to_be_bytes());
            self.packed.extend_from_slice(node);
        }
    }
}

/// All preimages in a directory: every `*.bin` is one, every `*.pack` holds many.
///
/// # Errors
/// When a file cannot be read, or a pack is cut short.
pub fn read_directory(directory: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut preimages = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some("bin") => preimages.push(std::fs::read(&path)?),
            Some("pack") => {
                let bytes = std::fs::read(&path)?;
                let mut rest = bytes.as_slice();
                while let Some((length, tail)) = rest.split_first_chunk() {
                    let length = u32::from_be_bytes(*length) as usize;
                    let (preimage, tail) = tail
                        .split_at_checked(length)
                        .with_context(|| format!("{} is cut short", path.display()))?;
                    preimages.push(preimage.to_vec());
                    rest = tail;
                }
                ensure!(rest.is_empty(), "{} ends inside a length", path.display());
            }
            _ => {}
        }
    }
    Ok(preimages)
}
