//! Keccak-256: a guest's, against the crates that are published; and the engine's for many nodes of a tree at once.

use super::guest::Guest;
use super::{ratios, spread};
use crate::clock::Clock;
use crate::peers::locked_version;
use crate::statistics::Spread;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::hint::black_box;
use surety_engine::{Lanes, intrinsics};
use surety_machine::PairHasher;
use tiny_keccak::Hasher as _;

/// A crate's keccak-256.
type Function = fn(&[u8]) -> [u8; 32];

/// As they are published, and built for any x86-64: they look by themselves for what the processor has, if at all.
const CRATES: [(&str, Function); 3] = [
    ("keccak-asm", |message| keccak_asm::Keccak256::digest(message).into()),
    ("sha3", |message| {
        <sha3::Keccak256 as sha3::Digest>::digest(message).into()
    }),
    ("tiny-keccak", |message| {
        let mut hasher = tiny_keccak::Keccak::v256();
        hasher.update(message);
        let mut hash = [0; 32];
        hasher.finalize(&mut hash);
        hash
    }),
];

/// What `programs/intrinsics/keccak256.c` does.
fn chain(hash: Function, length: usize, calls: u32) -> u32 {
    let mut state = 5_u32;
    let mut message: Vec<u8> = (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect();
    for _ in 0..calls {
        let hash = hash(&message);
        message[..hash.len()].copy_from_slice(&hash);
    }
    message.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// A guest that hashes, and every crate with the same messages.
pub(super) fn hashes(guest: &mut Guest, rounds: usize, clock: Clock) -> Result<Value> {
    let (length, calls) = (guest.case.length as usize, guest.calls());
    let mut times = [const { Vec::new() }; CRATES.len()];
    let mut checksums = Vec::new();
    guest.measure(rounds, clock, || {
        for ((_, hash), times) in CRATES.iter().zip(&mut times) {
            let (checksum, seconds) = clock.time(|| Ok(chain(*hash, length, calls)))?;
            checksums.push(checksum);
            times.push(seconds / f64::from(calls));
        }
        Ok(())
    })?;
    ensure!(
        checksums.iter().all(|checksum| Some(*checksum) == guest.checksum),
        "{}: the guest and the crates hash differently",
        guest.case.name
    );
    let medians = times.iter().map(|times| Spread::of(times.iter().copied()));
    let fastest = medians
        .enumerate()
        .filter_map(|(at, spread)| Some((at, spread?.median)))
        .min_by(|one, other| one.1.total_cmp(&other.1))
        .map(|(at, _)| at)
        .context("no rounds")?;
    let mut crates = Map::new();
    for ((name, _), times) in CRATES.iter().zip(&times) {
        let row = json!({ "version": locked_version(name), "ns": spread(times, 1e9)? });
        crates.insert((*name).to_owned(), row);
    }
    Ok(json!({
        "bytes": length,
        "engine_ns": spread(&guest.with, 1e9)?,
        "fastest": CRATES[fastest].0,
        "engine_over_fastest": spread(&ratios(&guest.with, &times[fastest]), 1.0)?,
        "crates": crates,
    }))
}

/// Calls of the permutation in a round.
const CALLS: u32 = 100_000;

/// The engine's host code for `surety_keccak_f` by itself, without a guest that calls it.
pub(super) fn permutation(rounds: usize, clock: Clock) -> Result<Value> {
    let routine = intrinsics::all()
        .iter()
        .find(|routine| routine.name == "surety_keccak_f")
        .context("the engine knows no surety_keccak_f")?;
    let mut memory = vec![0x5a; 1 << 16];
    let mut times = Vec::new();
    for _ in 0..rounds {
        let work = || {
            for _ in 0..CALLS {
                // The stack's pointer and the state's, which lies below.
                let mut registers = [0; 32];
                (registers[2], registers[10]) = (1 << 15, 1 << 10);
                let done = routine.apply(black_box(&mut registers), &mut memory[..], u64::MAX);
                done.context("the routine declines")?;
            }
            Ok(())
        };
        times.push(clock.time(work)?.1 / f64::from(CALLS));
    }
    spread(&times, 1e9)
}

/// Pairs hashed in one go, and how often.
const PAIRS: usize = 4_096;
const TIMES: usize = 20;

/// What the engine hashes the nodes of a machine's memory with, on the host, and the same one by one.
pub(super) fn pairs(rounds: usize, clock: Clock) -> Result<Value> {
    let pairs: Vec<[u8; 64]> = (0..PAIRS)
        .map(|n| std::array::from_fn(|i| (n.wrapping_mul(31) ^ i.wrapping_mul(7)) as u8))
        .collect();
    let mut hashes = vec![[0; 32]; PAIRS];
    let widest = Lanes::detect();
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..rounds {
        for (lanes, times) in [widest, Lanes::ONE].iter().zip(&mut times) {
            let work = || {
                for _ in 0..TIMES {
                    lanes.hash_pairs(black_box(&pairs), black_box(&mut hashes));
                }
                Ok(())
            };
            times.push(clock.time(work)?.1 / (PAIRS * TIMES) as f64);
        }
    }
    let [many, one] = &times;
    Ok(json!({
        "pairs": PAIRS,
        "lanes": widest.count(),
        "ns_a_hash": spread(many, 1e9)?,
        "ns_a_hash_one_by_one": spread(one, 1e9)?,
    }))
}
