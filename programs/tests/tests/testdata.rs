//! The committed preimages are what the block's JSON gives, and each is what its place says.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::keccak256;
use programs_tests::{Fixtures, make, read_directory, testdata};

#[test]
fn preimages_are_current() {
    let packs = make(&Fixtures::load(&testdata()).unwrap()).unwrap();
    let directory = testdata().join("preimages");
    let mut names: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected: Vec<_> = packs.iter().map(|pack| pack.name.to_owned()).collect();
    expected.sort();
    assert_eq!(names, expected);
    for pack in packs {
        let committed = std::fs::read(directory.join(pack.name)).unwrap();
        assert!(
            committed == pack.bytes,
            "{} is stale: run `make programs-preimages`",
            pack.name
        );
    }
}

#[test]
fn the_roots_of_the_block_are_among_the_preimages() {
    let fixtures = Fixtures::load(&testdata()).unwrap();
    let hashes: Vec<_> = read_directory(&testdata().join("preimages"))
        .unwrap()
        .iter()
        .map(keccak256)
        .collect();
    for root in [fixtures.hash, fixtures.header.state_root, fixtures.header.receipts_root] {
        assert!(hashes.contains(&root), "{root}");
    }
    for node in fixtures.accounts.iter().flat_map(|account| &account.account_proof) {
        assert!(hashes.contains(&keccak256(node)));
    }
}
