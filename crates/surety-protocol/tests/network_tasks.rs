//! Task consensus under a deterministic, seeded network.

mod network_common;

use network_common::{tasks::*, *};
use rand::{Rng, SeedableRng, rngs::StdRng};
use surety_primitives::selection::Roles;
use surety_protocol::network::{Evidence, Fault};

fn roles(seed: u64, members: usize, validators: u8) -> Roles {
    Network::new(seed, members, validators, &[], Wires::GOOD).drawn.roles
}

#[test]
fn an_honest_executor_is_settled_by_its_committee() {
    for validators in [0, 1, 3, 5] {
        let mut network = Network::new(1, 7, validators, &[], Wires::GOOD);
        network.run(3_000);
        network.check_safety();
        for node in &network.nodes {
            let (result, votes) = node.settleable.as_ref().expect("settleable");
            assert_eq!((result.attempt, result.output), (0, OUTPUT));
            let all = 1 + usize::from(validators);
            assert_eq!(votes.seal.signers.len(), all, "the committee and the executor");
            assert!(!node.escalated);
        }
        assert_eq!(network.nodes.iter().map(|node| node.executed).sum::<u32>(), 1);
    }
}

#[test]
fn missing_executors_are_replaced_by_rank() {
    for seed in runs(30) {
        let roles = roles(seed, 10, 3);
        let gone = [roles.executor(0).unwrap(), roles.executor(1).unwrap()];
        let liars = gone.map(|index| (index, Strategy::Silent));
        let mut network = Network::new(seed, 10, 3, &liars, Wires::GOOD);
        network.run(WINDOW * 3_000);
        network.check_safety();
        for index in network.honest() {
            let (result, _) = network.nodes[index].settleable.as_ref().expect("settleable");
            assert_eq!(result.attempt, 2);
        }
    }
}

#[test]
fn p2_a_wrong_result_is_convicted_and_another_executor_is_paid() {
    for seed in runs(30) {
        let liar = roles(seed, 7, 3).executor(0).unwrap();
        let mut network = Network::new(seed, 7, 3, &[(liar, Strategy::Wrong)], Wires::GOOD);
        network.run(WINDOW * 2_000);
        network.check_safety();
        let faults: Vec<_> = network.evidence.iter().map(|evidence| evidence.fault).collect();
        assert!(faults.contains(&Fault::WrongResult), "seed {seed}: {faults:?}");
        for index in network.honest() {
            assert_eq!(
                network.nodes[index].settleable.as_ref().expect("settleable").0.attempt,
                1
            );
        }
    }
}

#[test]
fn p2_a_validator_against_the_quorum_is_convicted() {
    for seed in runs(30) {
        let liar = roles(seed, 7, 3).committee()[1];
        let mut network = Network::new(seed, 7, 3, &[(liar, Strategy::Wrong)], Wires::GOOD);
        network.run(WINDOW * 1_000);
        network.check_safety();
        let faults: Vec<_> = network.evidence.iter().map(|evidence| evidence.fault).collect();
        assert!(faults.contains(&Fault::Minority), "seed {seed}: {faults:?}");
        for index in network.honest() {
            assert!(network.nodes[index].escalated);
            assert_eq!(
                network.nodes[index].settleable.as_ref().expect("settleable").0.attempt,
                0
            );
        }
    }
}

#[test]
fn p2_two_results_of_one_attempt_are_convicted() {
    for seed in runs(30) {
        let liar = roles(seed, 7, 3).executor(0).unwrap();
        let mut network = Network::new(seed, 7, 3, &[(liar, Strategy::Double)], Wires::GOOD);
        network.run(WINDOW * 1_000);
        network.check_safety();
        let faults: Vec<_> = network.evidence.iter().map(|evidence| evidence.fault).collect();
        assert!(faults.contains(&Fault::Double), "seed {seed}: {faults:?}");
    }
}

#[test]
fn who_cannot_tell_does_not_vote_and_the_set_decides() {
    let mut network = Network::new(5, 10, 3, &[], Wires::GOOD);
    network.unsure = network.drawn.roles.committee().iter().copied().collect();
    network.run(WINDOW * 1_000);
    network.check_safety();
    for node in &network.nodes {
        let (_, votes) = node.settleable.as_ref().expect("settleable");
        assert_eq!(votes.seal.signers.len(), 7);
    }
}

#[test]
fn without_executors_it_fails() {
    let roles = roles(6, 9, 1);
    let gone: Vec<_> = (0..4)
        .filter_map(|attempt| roles.executor(attempt))
        .map(|at| (at, Strategy::Silent))
        .collect();
    let mut network = Network::new(6, 9, 1, &gone, Wires::GOOD);
    network.run(WINDOW * 5_000);
    for index in network.honest() {
        assert!(network.nodes[index].failed && network.nodes[index].settleable.is_none());
    }
}

#[test]
fn p1_no_chaos_convicts_the_honest_and_an_honest_executor_is_settled() {
    for seed in runs(400) {
        let mut rng = StdRng::seed_from_u64(seed);
        let members = rng.random_range(4..=16);
        let validators = rng.random_range(0..=5);
        let count = rng.random_range(0..=third(members));
        let mut liars: Vec<(usize, Strategy)> = vec![];
        while liars.len() < count {
            let index = rng.random_range(0..members);
            if liars.iter().all(|(liar, _)| *liar != index) {
                liars.push((index, STRATEGIES[rng.random_range(0..STRATEGIES.len())]));
            }
        }
        let wires = Wires::random(&mut rng);
        let mut network = Network::new(seed, members, validators, &liars, wires);
        for _ in 0..rng.random_range(0..3) {
            network.run(rng.random_range(0..3_000));
            let index = rng.random_range(0..members);
            if network.nodes[index].strategy.is_none() {
                network.nodes[index].settleable = None;
                network.crash(index, rng.random_range(1..2_000));
            }
        }
        network.run(WINDOW * 5_000);
        network.check_safety();
        let roles = network.drawn.roles.clone();
        let honest = (0..4)
            .filter_map(|attempt| roles.executor(attempt))
            .any(|at| network.nodes[at].strategy.is_none());
        if honest {
            // One is enough: the contract tells the others.
            let settles = network.honest().any(|index| network.nodes[index].settleable.is_some());
            assert!(settles, "seed {seed}: nobody can settle; liars {liars:?}");
        }
    }
}

/// Liars among the members, at most a third, of any strategies.
fn some_liars(rng: &mut StdRng, members: usize) -> Vec<(usize, Strategy)> {
    let count = rng.random_range(1..=third(members).max(1)).min(third(members));
    let mut liars: Vec<(usize, Strategy)> = vec![];
    while liars.len() < count {
        let index = rng.random_range(0..members);
        if liars.iter().all(|(liar, _)| *liar != index) {
            liars.push((index, STRATEGIES[rng.random_range(0..STRATEGIES.len())]));
        }
    }
    liars
}

#[test]
fn p2_who_tells_some_this_and_others_that_is_convicted_though_nobody_was_told_both() {
    for seed in runs(60) {
        for strategy in [Strategy::Split, Strategy::Spoil, Strategy::Double] {
            let liar = roles(seed, 10, 3).committee()[usize::from(seed % 3 == 1)];
            let mut network = Network::new(seed, 10, 3, &[(liar, strategy)], Wires::GOOD);
            network.pays = true;
            network.run(WINDOW * 2_000);
            network.check_safety();
            assert!(network.doubles() > 0, "seed {seed}: {strategy:?} did nothing");
            network.check_provable();
            let convicted = |evidence: &&Evidence| evidence.operator == operator(liar);
            assert!(network.evidence.iter().any(|evidence| convicted(&evidence)));
            // Who asks the whole set is not alone: all do.
            for index in network.honest() {
                assert!(
                    network.nodes[index].escalated,
                    "seed {seed}: {index} heard of no objection"
                );
            }
            assert_eq!(network.paid.expect("paid").output, OUTPUT);
        }
    }
}

#[test]
fn p2_of_every_strategy_what_is_provable_is_proved() {
    let mut doubles = 0;
    for seed in runs(250) {
        let mut rng = StdRng::seed_from_u64(seed);
        let members = rng.random_range(4..=13);
        let validators = rng.random_range(0..=5);
        let liars = some_liars(&mut rng, members);
        let wires = Wires::random(&mut rng);
        let mut network = Network::new(seed, members, validators, &liars, wires);
        network.pays = rng.random_bool(0.7);
        network.run(WINDOW * 5_000);
        network.check_safety();
        network.check_provable();
        doubles += network.doubles();
    }
    assert!(doubles > 0, "nobody told two things");
}

#[test]
fn p2_a_bought_committee_is_paid_and_convicted_all_the_same() {
    for seed in runs(40) {
        let roles = roles(seed, 10, 3);
        let bought = [roles.executor(0).unwrap(), roles.committee()[0], roles.committee()[2]];
        let liars = bought.map(|index| (index, Strategy::Wrong));
        let mut network = Network::new(seed, 10, 3, &liars, Wires::GOOD);
        // They send the transaction themselves, at once.
        network.bribe(roles.executor(0).unwrap());
        network.run(WINDOW * 2_000);
        network.check_safety();
        for liar in bought {
            let convicted = network
                .evidence
                .iter()
                .any(|evidence| evidence.operator == operator(liar));
            assert!(convicted, "seed {seed}: {liar} escapes");
        }
        let wrong = network
            .evidence
            .iter()
            .filter(|found| found.fault == Fault::WrongResult);
        assert!(wrong.count() > 0, "seed {seed}");
    }
}

#[test]
fn a_task_goes_on_when_a_partition_heals() {
    let mut healed = 0;
    for seed in runs(60) {
        let mut rng = StdRng::seed_from_u64(seed);
        let members = rng.random_range(4..=13);
        let validators = rng.random_range(1..=3);
        let mut network = Network::new(seed, members, validators, &[], Wires::GOOD);
        network.pays = true;
        // Somebody must be left to execute once it heals.
        let windows = (1..4)
            .rev()
            .find(|attempt| network.drawn.roles.executor(*attempt).is_some());
        let Some(windows) = windows else { continue };
        healed += 1;
        // Through the whole set, so that neither side is a quorum; and through the committee, or beside it.
        let mut order: Vec<usize> = (0..members).collect();
        rand::seq::SliceRandom::shuffle(order.as_mut_slice(), &mut rng);
        network.parted = Some(order[..members / 2].iter().copied().collect());
        network.run(rng.random_range(1..WINDOW * 1_000 * u64::from(windows)));
        network.check_safety();
        network.parted = None;
        network.run(WINDOW * 4_000);
        network.check_safety();
        let paid = network.paid.unwrap_or_else(|| panic!("seed {seed}: nobody is paid"));
        assert_eq!(paid.output, OUTPUT);
        assert!(network.evidence.is_empty());
    }
    assert!(healed > 0);
}

#[test]
fn p4_a_flood_of_results_and_objections_is_bounded() {
    let mut network = Network::new(3, 16, 5, &[], Wires::GOOD);
    let liar = network.drawn.roles.executor(0).unwrap();
    network.nodes[liar].strategy = Some(Strategy::Double);
    network.run(1_500);
    for round in 0..60 {
        network.flood(liar, round);
        network.run(10);
    }
    network.run(WINDOW * 2_000);
    network.check_safety();
    let most = network.most;
    assert!(most.results <= 4 * 4, "{most:?}");
    assert!(most.ballots <= 16 * 16 * 2, "{most:?}");
    assert!(most.repeated <= 64, "{most:?}");
    assert!(most.waiting <= 256, "{most:?}");
    assert!(
        most.evidence <= surety_protocol::network::evidence::MAX_BOOK_VOTES,
        "{most:?}"
    );
}
