//! A network of machines, played from a seed: its own clock and scheduler, a toy scheme of signatures that nobody can
//! forge here, wires that lose, repeat, reorder and part, disks that outlive crashes.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

pub mod events;
pub mod measure;
pub mod tasks;

use alloy_primitives::{Address, B256, keccak256};
use rand::{Rng, rngs::StdRng};
use std::sync::Arc;
use surety_primitives::{Domain, certificate::Quorum, set::Signers};
use surety_protocol::network::{Roster, Scheme, SignatureBytes};

pub const SERVICE: Address = Address::repeat_byte(0x5e);
pub const DOMAIN: Domain = Domain {
    chain_id: 1,
    verifying_contract: Address::repeat_byte(0x9a),
};

/// How many runs a property gets: `SURETY_RUNS`, or what takes a few seconds.
pub fn runs(usual: u64) -> std::ops::Range<u64> {
    let runs = std::env::var("SURETY_RUNS").ok().and_then(|runs| runs.parse().ok());
    0..runs.unwrap_or(usual)
}

pub fn operator(index: usize) -> Address {
    let mut bytes = [0x0a; 20];
    bytes[19] = index as u8;
    Address::from(bytes)
}

pub fn roster(set: u64, members: usize) -> Arc<Roster> {
    let powers = (0..members).map(|index| (operator(index), 1_000));
    Arc::new(Roster::new(SERVICE, set, DOMAIN, Quorum::DEFAULT, powers))
}

/// Most members that can lie while no quorum is theirs: less than a third.
pub fn third(members: usize) -> usize {
    (members - 1) / 3
}

/// A signature is a keyed hash, a sum is the exclusive or. The key of a member is its index and a secret of the test,
/// so what a liar makes up does not verify.
#[derive(Clone, Copy)]
pub struct Toy(pub usize);

impl Toy {
    fn of(member: usize, digest: B256) -> SignatureBytes {
        let first = keccak256([b"toy", digest.as_slice(), &[member as u8]].concat());
        let mut bytes = [0; 48];
        bytes[..32].copy_from_slice(first.as_slice());
        bytes[32..].copy_from_slice(&keccak256(first)[..16]);
        SignatureBytes::from(bytes)
    }
}

impl Scheme for Toy {
    fn sign(&self, digest: B256) -> Option<SignatureBytes> {
        Some(Self::of(self.0, digest))
    }

    fn verify(&self, _set: u64, signers: Signers, digest: B256, signature: &SignatureBytes) -> bool {
        let signatures: Vec<_> = signers.iter().map(|member| Self::of(member, digest)).collect();
        self.aggregate(&signatures).as_ref() == Some(signature)
    }

    fn aggregate(&self, signatures: &[SignatureBytes]) -> Option<SignatureBytes> {
        Some(signatures.iter().fold(SignatureBytes::ZERO, |sum, one| sum ^ *one))
    }
}

/// What the wires do.
#[derive(Clone, Copy, Debug)]
pub struct Wires {
    /// Of 1,000 messages, how many are lost.
    pub lost: u32,
    /// Of 1,000, how many come twice.
    pub repeated: u32,
    /// Longest way in milliseconds.
    pub longest: u64,
}

impl Wires {
    pub const GOOD: Self = Self {
        lost: 0,
        repeated: 0,
        longest: 3,
    };

    pub fn random(rng: &mut StdRng) -> Self {
        Self {
            lost: [0, 10, 100, 250][rng.random_range(0..4)],
            repeated: [0, 50, 200][rng.random_range(0..3)],
            longest: [3, 20, 120][rng.random_range(0..3)],
        }
    }

    /// When a message comes, if at all; twice if it is repeated.
    pub fn deliver(&self, rng: &mut StdRng) -> Vec<u64> {
        if rng.random_range(0..1_000) < self.lost {
            return vec![];
        }
        let copies = if rng.random_range(0..1_000) < self.repeated {
            2
        } else {
            1
        };
        (0..copies).map(|_| rng.random_range(1..=self.longest)).collect()
    }
}

pub fn hash(rng: &mut StdRng) -> B256 {
    B256::from(rng.random::<[u8; 32]>())
}
