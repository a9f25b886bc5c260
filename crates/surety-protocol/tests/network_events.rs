//! Event consensus under a deterministic, seeded network: safety always, liveness once the wires work.

mod network_common;

use network_common::{events::*, *};
use rand::{Rng, SeedableRng, rngs::StdRng};
use surety_protocol::network::Fault;

#[test]
fn an_event_takes_a_few_hops() {
    for members in [1, 4, 16, 31] {
        let mut network = Network::new(
            1,
            members,
            &[],
            Wires {
                lost: 0,
                repeated: 0,
                longest: 1,
            },
        );
        let key = hash(&mut StdRng::seed_from_u64(2));
        let begin = network.now;
        network.happen(key, key, 0, 4_000);
        network.run(200);
        for node in &network.nodes {
            let (_, at) = node.certified.get(&key).expect("certified");
            // Hint, proposal, ballot, certificate: 1 ms each; store, sign, sum, verify: 2 ms at most each; and the
            // pause for more ballots.
            assert!(
                at - begin <= 4 + 8 + 4 + 2,
                "took {} ms with {members} members",
                at - begin
            );
        }
        network.check_safety();
    }
}

#[test]
fn under_load_events_share_signatures() {
    let mut network = Network::new(
        3,
        16,
        &[],
        Wires {
            lost: 0,
            repeated: 0,
            longest: 2,
        },
    );
    let mut rng = StdRng::seed_from_u64(4);
    let mut keys = vec![];
    for _ in 0..1_000 {
        for _ in 0..2 {
            let key = hash(&mut rng);
            keys.push(key);
            network.happen(key, key, 3, 4_000);
        }
        network.run(1);
    }
    network.run(500);
    for node in &network.nodes {
        assert!(keys.iter().all(|key| node.certified.contains_key(key)));
    }
    let batches: std::collections::BTreeSet<_> = network.seals.iter().map(|(seal, _)| seal.root).collect();
    assert!(batches.len() < 100, "{} certificates for 2,000 events", batches.len());
    assert!(network.messages < 60_000, "{} messages", network.messages);
    network.check_safety();
}

/// One run with everything at once.
fn chaos(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let members = if rng.random_range(0..40) == 0 {
        31
    } else {
        rng.random_range(4..=16)
    };
    let liars = rng.random_range(0..=third(members));
    let strategies: Vec<_> = (0..liars)
        .map(|_| STRATEGIES[rng.random_range(0..STRATEGIES.len())])
        .collect();
    let wires = Wires::random(&mut rng);
    let mut network = Network::new(seed, members, &strategies, wires);
    let mut keys = vec![];
    for _ in 0..rng.random_range(1..4) {
        for _ in 0..rng.random_range(1..6) {
            let key = hash(&mut rng);
            keys.push(key);
            network.happen(key, hash(&mut rng), 30, 60_000);
        }
        if rng.random_bool(0.3) {
            network.parted = Some((0..members).filter(|_| rng.random_bool(0.5)).collect());
        }
        if rng.random_bool(0.3) {
            network.crash(rng.random_range(liars..members), rng.random_range(1..500));
        }
        network.run(rng.random_range(1..1_500));
        network.check_safety();
    }
    // The wires heal.
    network.parted = None;
    network.wires = Wires::GOOD;
    let all = |network: &Network| {
        let has = |index: usize| keys.iter().all(|key| network.nodes[index].certified.contains_key(key));
        network.honest().all(has)
    };
    for _ in 0..60 {
        if all(&network) {
            break;
        }
        network.run(500);
    }
    network.check_safety();
    for index in network.honest() {
        for key in &keys {
            assert!(
                network.nodes[index].certified.contains_key(key),
                "seed {seed}: member {index} of {members} never had the certificate of {key}; liars: {strategies:?}"
            );
        }
    }
}

#[test]
fn p1_no_chaos_convicts_the_honest_or_certifies_twice_and_all_is_certified_once_it_heals() {
    for seed in runs(300) {
        chaos(seed);
    }
}

#[test]
fn p2_a_connector_that_lies_leaves_a_signed_ballot_and_is_convicted() {
    for seed in runs(50) {
        let mut network = Network::new(seed, 5, &[Strategy::LyingConnector], Wires::GOOD);
        let key = hash(&mut StdRng::seed_from_u64(seed));
        network.happen(key, key, 0, 4_000);
        network.run(1_000);
        network.check_safety();
        let convicted = network
            .evidence
            .iter()
            .filter(|evidence| evidence.fault == Fault::Minority);
        assert!(convicted.count() > 0, "seed {seed}: nobody has evidence");
        assert!(
            network
                .honest()
                .all(|index| network.nodes[index].certified[&key].0 == key)
        );
    }
}

#[test]
fn p2_two_ballots_of_one_member_convict_it() {
    let mut network = Network::new(9, 7, &[Strategy::Equivocate], Wires::GOOD);
    let key = hash(&mut StdRng::seed_from_u64(9));
    network.happen(key, key, 0, 4_000);
    network.run(4_000);
    network.check_safety();
    let faults: Vec<_> = network.evidence.iter().map(|evidence| evidence.fault).collect();
    assert!(
        faults.contains(&Fault::Double) && faults.contains(&Fault::Minority),
        "{faults:?}"
    );
}

#[test]
fn p1_a_restart_never_signs_another_value() {
    for seed in runs(100) {
        let mut network = Network::new(
            seed,
            4,
            &[],
            Wires {
                lost: 0,
                repeated: 0,
                longest: 20,
            },
        );
        let mut rng = StdRng::seed_from_u64(seed);
        network.connectors_repeat = false;
        let (key, value, other) = (hash(&mut rng), hash(&mut rng), hash(&mut rng));
        network.happen(key, value, 2, 60_000);
        network.run(rng.random_range(0..80));
        network.crash(0, 5);
        network.run(5);
        // Its connector now tells another story.
        network.observe(0, key, other, 60_000);
        network.run(3_000);
        network.check_safety_but_for_observations();
        let doubled = network.evidence.iter().any(|evidence| evidence.fault == Fault::Double);
        assert!(!doubled, "seed {seed}");
    }
}

#[test]
fn a_new_set_takes_up_what_the_old_one_left() {
    for seed in runs(50) {
        let mut network = Network::new(seed, 7, &[Strategy::Silent], Wires::GOOD);
        let mut rng = StdRng::seed_from_u64(seed);
        let keys: Vec<_> = (0..5).map(|_| hash(&mut rng)).collect();
        for key in &keys {
            network.happen(*key, *key, 40, 20_000);
        }
        network.run(rng.random_range(0..30));
        network.change_set(8, 50);
        network.run(15_000);
        network.check_safety();
        for index in network.honest() {
            assert!(
                keys.iter().all(|key| network.nodes[index].certified.contains_key(key)),
                "seed {seed}"
            );
        }
    }
}
