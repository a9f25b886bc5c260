//! What signatures cost on this machine: `cargo run --release -p surety-primitives --example signatures`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and says where it failed"
)]

use std::time::{Duration, Instant};
use surety_primitives::{
    Address, B256, Domain,
    bls::{SecretKey, Signature},
    certificate::Certificate,
    set::{Member, Set, Signers},
    vote::{Ballot, Vote, VoteKind, VoteTree},
};

fn main() {
    let domain = Domain {
        chain_id: 1,
        verifying_contract: Address::ZERO,
    };
    for members in [16_u8, 128] {
        let secrets: Vec<_> = (0..members).map(|i| SecretKey::generate(&[i; 32])).collect();
        let member = |(i, secret): (usize, &SecretKey)| Member {
            operator: Address::with_last_byte(i as u8),
            power: 1,
            weight: 1,
            key: secret.public_key(),
        };
        let set = Set::new(Address::ZERO, 1, 1, secrets.iter().enumerate().map(member).collect()).unwrap();
        let pages = set.to_pages();
        let ballot = Ballot {
            service: Address::ZERO,
            set: 1,
            root: B256::ZERO,
        };
        let digest = ballot.digest(&domain);
        let signatures: Vec<_> = secrets.iter().map(|secret| secret.sign(&digest)).collect();
        let certificate = |signers: Signers| Certificate {
            ballot,
            signers,
            signature: Signature::sum(signers.iter().map(|i| &signatures[i])).unwrap(),
        };
        let (all, third) = (
            certificate(set.all()),
            certificate(set.all().iter().skip(usize::from(members) / 3).collect()),
        );
        let compressed = all.signature.to_compressed();
        println!("{members} members");
        measure("sign", || secrets[0].sign(&digest));
        measure("verify one", || {
            signatures[0].verify(&digest, &set.members()[0].key).unwrap()
        });
        measure("read a compressed signature", || {
            Signature::from_compressed(&compressed).unwrap()
        });
        measure("add all signatures", || Signature::sum(&signatures).unwrap());
        measure("verify a certificate of all", || all.verify(&domain, &set).unwrap());
        measure("verify a certificate, a third absent", || {
            third.verify(&domain, &set).unwrap()
        });
        measure("read a roll", || {
            Set::from_pages(Address::ZERO, 1, 1, [&pages[0], &pages[1]]).unwrap()
        });
    }
    let vote = |i: u16| Vote {
        kind: VoteKind::Event,
        subject: B256::from(alloy_primitives::keccak256(i.to_be_bytes())),
        value: B256::ZERO,
    };
    let votes: Vec<_> = (0..1024).map(vote).collect();
    println!("ballots");
    measure("tree over 1,024 votes", || VoteTree::new(&votes).unwrap());
}

/// Prints the median of many.
fn measure<T>(what: &str, mut run: impl FnMut() -> T) {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 11 || (start.elapsed() < Duration::from_millis(300) && times.len() < 1_000) {
        let start = Instant::now();
        std::hint::black_box(run());
        times.push(start.elapsed());
    }
    times.sort();
    println!("  {what}: {:.1} us", times[times.len() / 2].as_secs_f64() * 1e6);
}
