//! The sparse tree against a plain one, and the form of its proofs.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use proptest::prelude::*;
use surety_machine::{Hash, Memory, Proof, Tree, ZERO_ROOTS, keccak256};

fn parent(left: &Hash, right: &Hash) -> Hash {
    keccak256(&[*left, *right].concat())
}

/// Section 2 of the specification, read literally.
fn plain_levels(bytes: &[u8]) -> Vec<Vec<Hash>> {
    let mut levels = vec![
        bytes
            .chunks(32)
            .map(|leaf| leaf.try_into().unwrap())
            .collect::<Vec<Hash>>(),
    ];
    while levels.last().unwrap().len() > 1 {
        let next = levels
            .last()
            .unwrap()
            .chunks(2)
            .map(|pair| parent(&pair[0], &pair[1]))
            .collect();
        levels.push(next);
    }
    levels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Roots and proofs after rounds of writes, with hashing between them, equal those of a plain tree.
    #[test]
    fn p3_sparse_trees_equal_plain_ones(
        height in 0..=12u8,
        rounds in prop::collection::vec(prop::collection::vec((any::<u32>(), prop::collection::vec(0..3u8, 1..80)), 0..6), 1..5),
    ) {
        let size = 32usize << height;
        let mut plain = vec![0; size];
        let mut memory = Memory::new(Tree::zero(height));
        let mut kept = Vec::new();
        for round in rounds {
            for (address, bytes) in round {
                let address = address as usize % size;
                let bytes = &bytes[..bytes.len().min(size - address)];
                plain[address..address + bytes.len()].copy_from_slice(bytes);
                memory.put(address as u32, bytes).unwrap();
            }
            let levels = plain_levels(&plain);
            let root = levels.last().unwrap()[0];
            prop_assert_eq!(memory.root(), root);
            kept.push((memory.tree().clone(), root));
            for index in [0, 1, (1 << height) / 3, (1 << height) - 1] {
                let index = index.min((1 << height) - 1);
                let proof = memory.prove(32 * index as u32);
                prop_assert_eq!(proof.leaf, levels[0][index]);
                let mut siblings = proof.siblings.iter();
                for level in 0..usize::from(height) {
                    let sibling = levels[level][index >> level ^ 1];
                    let given = proof.bitmap >> level & 1 == 1;
                    prop_assert_eq!(given, sibling != ZERO_ROOTS[level], "zero siblings, and only those, are left out");
                    if given {
                        prop_assert_eq!(siblings.next(), Some(&sibling));
                    }
                }
                prop_assert!(siblings.next().is_none());
                prop_assert_eq!(proof.root_with(&proof.leaf, index as u32, height), Some(root));
                let mut encoded = Vec::new();
                proof.encode_to(&mut encoded);
                prop_assert_eq!(encoded.len(), 36 + 32 * proof.siblings.len());
                prop_assert_eq!(Proof::decode_from(&mut encoded.as_slice()), Some(proof));
            }
        }
        // Older versions are as they were.
        for (tree, root) in kept {
            prop_assert_eq!(tree.root(), root);
            prop_assert_eq!(Memory::new(tree).root(), root);
        }
    }

    /// P4: any bytes are a proof or none, and any proof has a root or none.
    #[test]
    fn p4_hostile_proofs(bytes in prop::collection::vec(any::<u8>(), 0..200), index: u32, height: u8) {
        let mut rest = bytes.as_slice();
        if let Some(proof) = Proof::decode_from(&mut rest) {
            let root = proof.root_with(&proof.leaf, index, height);
            prop_assert_eq!(root.is_some(), height <= 27 && u64::from(proof.bitmap) < 1 << height);
        }
    }
}

#[test]
fn zero_trees() {
    for height in 0..=27 {
        let tree = Tree::zero(height);
        assert_eq!(tree.root(), ZERO_ROOTS[usize::from(height)]);
        assert_eq!(tree.size(), 32 << height);
        let proof = tree.prove((1 << height) - 1);
        assert_eq!((proof.leaf, proof.bitmap, proof.siblings.len()), ([0; 32], 0, 0));
    }
}

#[test]
fn memory_that_becomes_zero_again_is_empty_again() {
    let mut memory = Memory::new(Tree::zero(27));
    for address in [0, 5000, 0x8000_0000, 0xffff_ffff] {
        memory.put(address, &[1]).unwrap();
    }
    assert_eq!(memory.prove(0).bitmap.count_ones(), 2);
    for address in [0, 5000, 0x8000_0000, 0xffff_ffff] {
        memory.put(address, &[0]).unwrap();
    }
    assert_eq!(memory.root(), ZERO_ROOTS[27]);
    assert_eq!(memory.prove(5000).bitmap, 0);
}

/// Were a root to cost what exists, this would take days.
#[test]
fn a_root_costs_what_changed() {
    let mut memory = Memory::new(Tree::zero(27));
    for page in 0..2000u32 {
        memory.put(page << 20 | page << 12, &[1; 4096]).unwrap();
    }
    let mut kept = vec![(memory.tree().clone(), memory.root())];
    for round in 0..5000u32 {
        memory.put(round.wrapping_mul(0x9e37_79b9), &[2]).unwrap();
        let root = memory.root();
        assert_ne!(root, kept.last().unwrap().1);
        kept.push((memory.tree().clone(), root));
    }
    assert!(kept.iter().all(|(tree, root)| tree.root() == *root));
}

#[test]
fn nothing_is_written_outside_memory() {
    let mut memory = Memory::new(Tree::zero(11));
    assert_eq!(memory.put(0xffff, &[1, 2]), None);
    assert_eq!(memory.put(0xffff_ffff, &[1]), None);
    assert_eq!(memory.copy(0xffff, 2), None);
    assert_eq!(memory.root(), ZERO_ROOTS[11]);
    assert_eq!(memory.copy(0xffff, 1).unwrap(), [0]);
    assert_eq!(memory.copy(0xffff_ffff, 0), None);
    assert_eq!(memory.copy(0x1_0000, 0).unwrap(), []);
}

#[test]
fn a_proof_with_a_bit_missing_or_too_many_has_no_root() {
    let mut memory = Memory::new(Tree::zero(11));
    memory.put(0, &[1; 4096]).unwrap();
    let good = memory.prove(0);
    let root = |proof: &Proof| proof.root_with(&proof.leaf, 0, 11);
    assert_eq!(root(&good), Some(memory.root()));
    let mut short = good.clone();
    short.siblings.pop();
    assert_eq!(root(&short), None);
    let mut above = good.clone();
    above.bitmap |= 1 << 11;
    above.siblings.push([0; 32]);
    assert_eq!(root(&above), None);
    // A zero sibling given in full is as good as one left out.
    let mut full = good;
    full.bitmap |= 1 << 10;
    full.siblings.push(ZERO_ROOTS[10]);
    assert_eq!(root(&full), Some(memory.root()));
    assert_eq!(full.root_with(&full.leaf, 0, 28), None);
}
