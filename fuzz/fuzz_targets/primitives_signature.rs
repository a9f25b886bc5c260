//! Any 64 bytes recover to one address or to none, and to another one for another digest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_primitives::{B256, CompactSignature};

fuzz_target!(|input: ([u8; 32], [u8; 32], [u8; 32])| {
    let (digest, r, vs) = input;
    let bytes: [u8; 64] = [r, vs].concat().try_into().expect("64 bytes");
    let signature = CompactSignature::from_bytes(&bytes);
    assert_eq!(signature.to_bytes(), bytes);
    let digest = B256::from(digest);
    let Ok(signer) = signature.recover(&digest) else {
        return;
    };
    signature.verify(&digest, signer).expect("its own signer");
    assert!(!signer.is_zero());
    let other = !digest;
    assert_ne!(signature.recover(&other), Ok(signer), "one signature for two digests");
    // Malleable it is not: -s with the other parity would recover the same.
    let mut negated = bytes;
    negated[32] ^= 0x80;
    assert_ne!(CompactSignature::from_bytes(&negated).recover(&digest), Ok(signer));
});
