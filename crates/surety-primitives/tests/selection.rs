//! Weights and draws.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolValue;
use proptest::prelude::*;
use surety_primitives::selection::{ATTEMPTS, Record, Roles, among, order, rank};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn tokens(n: u64) -> U256 {
    U256::from(n) * U256::from(10).pow(U256::from(18))
}

fn any_record() -> impl Strategy<Value = Record> {
    (any::<[u32; 5]>(), any::<u16>(), 0..=NOW, 0..=NOW).prop_map(
        |([done, missed, absent, first_call, slashed], incidents, last_incident, first_seen)| Record {
            done,
            missed,
            absent,
            first_call,
            incidents,
            last_incident,
            first_seen,
            slashed,
        },
    )
}

/// The formula as the specification words it, in 256 bits.
fn formula(r: &Record, bond: U256, calls: u32, now: u64) -> u64 {
    let n = |n: u64| U256::from(n);
    let k = n(1024);
    let (calls, time) = match r.first_seen {
        0 => (U256::ZERO, U256::ZERO),
        seen => (U256::from(calls) - U256::from(r.first_call), n(now - seen)),
    };
    let s = (bond / U256::from(10).pow(n(15))).min(n(1 << 30));
    if s.is_zero() {
        return 1;
    }
    let a = k * (U256::from(r.done) + n(8)) / (U256::from(r.done) + U256::from(r.missed) + n(8));
    let u = k * (calls + n(8) - U256::from(r.absent).min(calls)) / (calls + n(8));
    let c = n(512) + n(512) * time.min(n(90 * DAY)) / n(90 * DAY);
    let l = k * bond / (bond + tokens(r.slashed.into()));
    let remaining = u64::from(r.incidents) - u64::from(r.incidents).min((now - r.last_incident) / (30 * DAY));
    let i = k >> remaining.min(10) as usize;
    let weight = s * a / k * u / k * c / k * l / k * i / k;
    weight.max(n(1)).to()
}

/// The draw as the specification words it.
fn ranked(seed: B256, weights: &[u64]) -> Vec<usize> {
    let mut left: Vec<U256> = weights.iter().copied().map(U256::from).collect();
    let mut drawn = Vec::new();
    loop {
        let total: U256 = left.iter().sum();
        if total.is_zero() {
            return drawn;
        }
        let r = U256::from_be_bytes(keccak256((seed, U256::from(drawn.len())).abi_encode()).0) % total;
        let mut sum = U256::ZERO;
        let first = left.iter().position(|weight| {
            sum += *weight;
            sum > r
        });
        left[first.unwrap()] = U256::ZERO;
        drawn.push(first.unwrap());
    }
}

#[test]
fn each_criterion_counts_and_none_counts_alone() {
    let bond = tokens(100);
    let good = Record {
        done: 100,
        first_seen: NOW - 200 * DAY,
        ..Record::default()
    };
    let weight = |record: Record| record.weight(bond, 1_000, NOW);
    assert_eq!(weight(good), 100_000);
    // Stake, linear.
    assert_eq!(good.weight(bond * U256::from(2), 1_000, NOW), 200_000);
    // Everything else takes something away.
    let worse = [
        Record { missed: 20, ..good },
        Record { absent: 500, ..good },
        Record {
            first_seen: NOW - DAY,
            ..good
        },
        Record { slashed: 50, ..good },
        Record {
            incidents: 1,
            last_incident: NOW,
            ..good
        },
    ];
    for record in worse {
        assert!((1..95_000).contains(&weight(record)), "{record:?}: {}", weight(record));
    }
    // An incident halves, and is forgiven after thirty days.
    assert_eq!(
        weight(Record {
            incidents: 1,
            last_incident: NOW - 29 * DAY,
            ..good
        }),
        50_000
    );
    assert_eq!(
        weight(Record {
            incidents: 1,
            last_incident: NOW - 30 * DAY,
            ..good
        }),
        100_000
    );
}

#[test]
fn orders_end_when_the_weights_do() {
    let seed = keccak256("seed");
    assert_eq!(order(seed, &[], 5), Vec::<usize>::new());
    assert_eq!(order(seed, &[0, 0], 5), Vec::<usize>::new());
    assert_eq!(order(seed, &[0, 9, 0], 5), vec![1]);
    assert_eq!(rank(seed, &[0, 9, 0], 0), Some(1));
    assert_eq!(rank(seed, &[0, 9, 0], 1), None);
    assert_eq!(rank(seed, &[1; 128], usize::MAX), None);
    assert_eq!(order(seed, &[1, 1], 0), Vec::<usize>::new());
}

/// Chi-squared against the weights, over 40,000 seeds; the bound is the 99.9th percentile for 7 degrees of freedom.
#[test]
fn first_ranks_are_drawn_as_the_weights_say() {
    let weights = [1, 2, 3, 4, 10, 20, 30, 30];
    let (seeds, total) = (40_000_u32, 100.0);
    let mut counts = [0_u32; 8];
    for i in 0..seeds {
        counts[rank(keccak256(i.to_be_bytes()), &weights, 0).unwrap()] += 1;
    }
    let chi: f64 = weights
        .iter()
        .zip(counts)
        .map(|(weight, count)| {
            let expected = f64::from(seeds) * *weight as f64 / total;
            (f64::from(count) - expected).powi(2) / expected
        })
        .sum();
    assert!(chi < 24.32, "chi-squared is {chi}: {counts:?}");
}

/// The second rank, given the first: as the weights of the others say. 99.9th percentile for 11 degrees of freedom (12
/// ordered pairs of four members).
#[test]
fn second_ranks_are_drawn_from_what_is_left() {
    let weights = [1_u64, 2, 3, 4];
    let seeds = 40_000_u32;
    let mut counts = [[0_u32; 4]; 4];
    for i in 0..seeds {
        let drawn = order(keccak256(i.to_be_bytes()), &weights, 2);
        counts[drawn[0]][drawn[1]] += 1;
    }
    let mut chi = 0.0;
    for first in 0..4 {
        assert_eq!(counts[first][first], 0);
        for second in (0..4).filter(|second| *second != first) {
            let (a, b) = (weights[first] as f64, weights[second] as f64);
            let expected = f64::from(seeds) * a / 10.0 * b / (10.0 - a);
            chi += (f64::from(counts[first][second]) - expected).powi(2) / expected;
        }
    }
    assert!(chi < 31.26, "chi-squared is {chi}: {counts:?}");
}

/// Where a member stands in the set does not change its chances. (The draws themselves differ: the order of the set
/// decides which seed draws whom.)
#[test]
fn a_members_place_gives_no_advantage() {
    let seeds = 20_000_u32;
    for place in 0..5 {
        let mut weights = [10; 5];
        weights[place] = 40;
        let drawn = (0..seeds)
            .filter(|i| rank(keccak256(i.to_be_bytes()), &weights, 0) == Some(place))
            .count();
        // Half of them, within five standard deviations (70.7 each).
        assert!((9_646..=10_354).contains(&drawn), "place {place}: {drawn} of {seeds}");
    }
}

#[test]
fn roles_of_a_step() {
    let (seed, weights) = (keccak256("roles"), [1; 16]);
    let all = order(seed, &weights, 16);
    let roles = Roles::draw(seed, &weights, 3);
    assert_eq!(roles.executor(0), Some(all[0]));
    assert_eq!(roles.committee(), &all[1..4]);
    assert_eq!(
        (1..ATTEMPTS).map(|t| roles.executor(t).unwrap()).collect::<Vec<_>>(),
        &all[4..7]
    );
    assert_eq!(roles.executor(ATTEMPTS), None);
    assert_eq!(roles.attempt_of(all[5]), Some(2));
    assert_eq!(roles.attempt_of(all[1]), None);
    assert!(Roles::draw(seed, &weights, 0).committee().is_empty());
    // More validators than members: all are in the committee, and nobody is left to stand in.
    let few = Roles::draw(seed, &[1; 3], 31);
    assert_eq!(
        (few.executor(0).is_some(), few.committee().len(), few.executor(1)),
        (true, 2, None)
    );
    let nobody = Roles::draw(seed, &[0; 3], 3);
    assert_eq!((nobody.executor(0), nobody.committee()), (None, &[][..]));
}

proptest! {
    #[test]
    fn weights_are_those_of_the_formula(record in any_record(), bond in any::<u128>(), calls: u32) {
        // A bond has 96 bits on-chain, and the calls now are not fewer than they were.
        let (bond, calls) = (U256::from(bond >> 32), calls.max(record.first_call));
        let found = record.weight(bond, calls, NOW);
        prop_assert_eq!(found, formula(&record, bond, calls, NOW));
        prop_assert!((1..=1 << 30).contains(&found));
    }

    /// P4: no record, bond or clock makes it fail.
    #[test]
    fn p4_weights_of_anything(record in any_record(), bond: [u64; 4], calls: u32, now: u64) {
        prop_assert!((1..=1 << 30).contains(&record.weight(U256::from_limbs(bond), calls, now)));
    }

    #[test]
    fn draws_are_those_of_the_specification(
        seed: [u8; 32],
        weights in prop::collection::vec(prop_oneof![Just(0), 0..5_u64, any::<u64>()], 0..=128),
    ) {
        let seed = B256::from(seed);
        let all = order(seed, &weights, usize::MAX);
        prop_assert_eq!(&all, &ranked(seed, &weights));
        // Nobody twice; all that have a weight, and nobody else.
        let mut sorted = all.clone();
        sorted.sort_unstable();
        let weighing: Vec<_> = (0..weights.len()).filter(|i| weights[*i] != 0).collect();
        prop_assert_eq!(sorted, weighing);
        // Fewer ranks are a beginning of more.
        for ranks in [0, 1, 4, all.len()] {
            prop_assert_eq!(&order(seed, &weights, ranks)[..], &all[..ranks.min(all.len())]);
        }
        prop_assert_eq!(rank(seed, &weights, 3), all.get(3).copied());
    }

    /// Members without weight are as if they were not there.
    #[test]
    fn members_without_weight_change_nothing(
        seed: [u8; 32],
        weights in prop::collection::vec(1..1_000_u64, 1..20),
        only: u32,
    ) {
        let seed = B256::from(seed);
        let masked = among(&weights, |i| only >> i & 1 == 1);
        let places: Vec<_> = (0..weights.len()).filter(|i| only >> i & 1 == 1).collect();
        let alone: Vec<_> = places.iter().map(|i| weights[*i]).collect();
        let expected: Vec<_> = order(seed, &alone, 20).into_iter().map(|i| places[i]).collect();
        prop_assert_eq!(order(seed, &masked, 20), expected);
    }
}
