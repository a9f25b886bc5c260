//! Consensus about a container under a deterministic, seeded network: whatever the host shows to whom, no honest monitor
//! is framed (P1), and what all of them see is certified (P6).

mod network_common;

use alloy_primitives::B256;
use network_common::{measure::*, *};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::BTreeSet;
use surety_protocol::network::{
    Body, Fault, MeasurementConsensus, Message, Scheme, SignatureBytes,
    measure::{Claim, Config, Effect, Input, MAX_TOLD, Seen, Statement},
};

/// Bound of the clocks' differences.
const SKEW: u64 = 400;

fn quiet(members: usize, liars: &[Strategy]) -> Network {
    Network::new(1, members, liars, Wires::GOOD, 0)
}

fn drifted(network: &Network) -> Option<(u64, Statement)> {
    let of = |(epoch, statement): (&u64, &Statement)| {
        matches!(statement, Statement::Drifted(_)).then_some((*epoch, *statement))
    };
    network.recorded.iter().find_map(of)
}

#[test]
fn a_baseline_and_epochs_follow_one_another() {
    for members in [1, 4, 16, 31] {
        let mut network = quiet(members, &[]);
        network.run(4_000 + 5 * EPOCH);
        let recorded: Vec<_> = network
            .recorded
            .iter()
            .map(|(epoch, statement)| (*epoch, *statement))
            .collect();
        assert_eq!(recorded[0], (0, Statement::Baseline(BASELINE)), "{members} members");
        assert!(recorded.len() >= 5, "{members} members: {recorded:?}");
        for (at, (epoch, statement)) in recorded.iter().enumerate().skip(1) {
            assert_eq!((*epoch, *statement), (at as u64, Statement::Intact));
        }
        for node in &network.nodes {
            for (epoch, (_, at)) in node.certified.iter().filter(|(epoch, _)| **epoch > 0) {
                let end = network.start.unwrap() + epoch * EPOCH;
                // Skew, a measurement, hint, disk, signature, ballot, sum, certificate.
                assert!((500..900).contains(&(at - end)), "epoch {epoch} took {} ms", at - end);
            }
        }
        network.check_safety();
        assert!(network.accused.is_empty() && network.evidence.is_empty());
    }
}

#[test]
fn p6_drift_is_certified_at_once_where_all_see_it() {
    let mut network = quiet(16, &[]);
    network.run(2 * EPOCH + 3_000);
    let since = network.now;
    network.show_all(&Show::Drift([4].into()));
    network.run(PERIOD + 300);
    let (_, statement) = drifted(&network).expect("recorded");
    assert_eq!(statement, Statement::Drifted(finding(4).hash()));
    let took = network.nodes.iter().map(|node| {
        let at = node.certified.values().map(|(_, at)| *at).max().unwrap();
        at - since
    });
    assert!(took.max().unwrap() <= PERIOD + 300);
    network.check_safety();
}

#[test]
fn a_monitor_that_is_told_looks_at_once() {
    let mut network = quiet(4, &[]);
    network.run(2 * EPOCH + 2_000);
    for index in 0..4 {
        network.nodes[index].show = Show::Drift([1].into());
    }
    let before = network.now;
    network.feed(2, Input::Stirred);
    network.run(300);
    assert!(drifted(&network).is_some(), "not within 300 ms of the first sight");
    assert!(network.now - before < PERIOD);
}

#[test]
fn p6_more_findings_than_a_hint_holds_are_drift_too() {
    // Each sees others of many, a few in common.
    let mut network = quiet(7, &[]);
    network.run(2 * EPOCH + 2_000);
    for index in 0..7 {
        let mut subjects: BTreeSet<usize> = (0..24).filter(|s| (s + index) % 3 != 0).collect();
        subjects.insert(23);
        network.show(index, Show::Drift(subjects));
    }
    network.run(2 * EPOCH);
    assert!(drifted(&network).is_some());
    network.check_safety();
}

#[test]
fn an_unreachable_host_is_said_to_be() {
    let mut network = quiet(7, &[]);
    network.run(2 * EPOCH + 2_000);
    network.show_all(&Show::Nothing);
    let gone = network.epoch();
    network.run(4 * EPOCH);
    // In the epoch in which it went it had answered.
    assert!(!network.recorded.contains_key(&gone));
    assert_eq!(network.recorded.get(&(gone + 1)), Some(&Statement::Unreachable));
    assert_eq!(network.recorded.get(&(gone + 2)), Some(&Statement::Unreachable));
    network.show_all(&Show::Clean);
    network.run(3 * EPOCH);
    assert_eq!(network.recorded.values().next_back(), Some(&Statement::Intact));
    network.check_safety();
}

#[test]
fn who_cannot_measure_says_nothing() {
    let mut network = quiet(7, &[]);
    network.run(2 * EPOCH + 2_000);
    network.show_all(&Show::Unknown);
    let epoch = network.epoch();
    network.run(4 * EPOCH);
    assert!(network.recorded.keys().all(|recorded| *recorded < epoch));
    network.show_all(&Show::Clean);
    network.run(2 * EPOCH);
    assert_eq!(network.recorded.values().next_back(), Some(&Statement::Intact));
    network.check_safety();
}

#[test]
fn p1_a_host_that_shows_two_faces_gets_no_verdict() {
    let mut network = quiet(9, &[]);
    network.run(2 * EPOCH + 2_000);
    let epoch = network.epoch();
    for index in 0..4 {
        network.show(index, Show::Drift([index].into()));
    }
    for index in 4..6 {
        network.show(index, Show::Nothing);
    }
    network.run(4 * EPOCH);
    assert!(network.recorded.keys().all(|recorded| *recorded < epoch));
    network.check_safety();
    // Whoever saw drift still says so when the others see it too.
    network.show_all(&Show::Drift([8].into()));
    network.run(EPOCH + 1_000);
    assert!(drifted(&network).is_some());
}

#[test]
fn p1_what_was_seen_before_a_crash_is_said_after_it() {
    let mut network = quiet(4, &[]);
    network.run(2 * EPOCH + 2_000);
    network.parted = Some([0, 1].into());
    network.show(0, Show::Drift([2].into()));
    network.show(1, Show::Drift([2].into()));
    network.run(PERIOD + 200);
    for index in [0, 1] {
        network.crash(index, 200);
    }
    // The host hides what it did, but not from the others.
    network.show(0, Show::Clean);
    network.show(1, Show::Clean);
    network.show(2, Show::Drift([2].into()));
    network.show(3, Show::Drift([2].into()));
    network.parted = None;
    network.run(2 * EPOCH);
    assert_eq!(
        drifted(&network).expect("recorded").1,
        Statement::Drifted(finding(2).hash())
    );
    network.check_safety();
}

#[test]
fn p2_a_monitor_paid_to_lie_is_convicted() {
    let mut network = quiet(4, &[Strategy::Paid]);
    network.run(2 * EPOCH + 2_000);
    network.show_all(&Show::Drift([1].into()));
    network.run(3 * EPOCH);
    assert!(drifted(&network).is_some());
    let convicted = network
        .evidence
        .iter()
        .any(|evidence| network.roster.index_of(evidence.operator) == Some(0) && evidence.fault == Fault::Minority);
    assert!(convicted, "no evidence against it");
    network.check_safety();
}

#[test]
fn p2_who_signs_two_verdicts_is_convicted() {
    let mut network = quiet(7, &[Strategy::Equivocate]);
    network.run(8 * EPOCH);
    assert!(
        network
            .evidence
            .iter()
            .any(|evidence| network.roster.index_of(evidence.operator) == Some(0))
    );
    network.check_safety();
}

#[test]
fn sets_rotate_without_losing_an_epoch() {
    let mut network = quiet(7, &[]);
    network.run(2 * EPOCH + 2_000);
    for set in 8..12 {
        network.change_set(set);
        network.run(EPOCH);
    }
    network.run(2 * EPOCH);
    let recorded: Vec<_> = network.recorded.keys().copied().collect();
    assert_eq!(recorded, (0..recorded.len() as u64).collect::<Vec<_>>());
    assert!(recorded.len() >= 7);
    network.check_safety();
}

/// One run with everything at once.
fn chaos(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let members = rng.random_range(4..=13);
    let liars: Vec<_> = (0..rng.random_range(0..=third(members)))
        .map(|_| STRATEGIES[rng.random_range(0..STRATEGIES.len())])
        .collect();
    let wires = Wires::random(&mut rng);
    let mut network = Network::new(seed, members, &liars, wires, SKEW);
    // Without the chain nothing ends at the first drift: the epochs go on, and on.
    let two_faced_baseline = rng.random_range(0..8) == 0;
    if two_faced_baseline {
        for index in 0..members {
            let root = B256::repeat_byte(rng.random_range(1..3));
            network.show(index, Show::Other(root));
        }
        network.run(2_000);
        network.check_safety();
        return;
    }
    network.run(6_000);
    network.chain = rng.random_bool(0.5);
    let mut set = 7;
    for _ in 0..rng.random_range(2..6) {
        for index in 0..members {
            if rng.random_bool(0.4) {
                let show = match rng.random_range(0..6) {
                    5 => Show::Unknown,
                    0 => Show::Nothing,
                    1 => Show::Other(B256::repeat_byte(1)),
                    2 => Show::Drift((0..rng.random_range(1..20)).map(|_| rng.random_range(0..24)).collect()),
                    3 => Show::Drift([7].into()),
                    _ => Show::Clean,
                };
                network.show(index, show);
            }
        }
        if rng.random_bool(0.3) {
            network.parted = Some((0..members).filter(|_| rng.random_bool(0.5)).collect());
        }
        network.run(rng.random_range(100..EPOCH));
        for index in 0..members {
            if rng.random_bool(0.15) {
                network.crash(index, rng.random_range(1..EPOCH));
            }
        }
        if rng.random_bool(0.15) {
            set += 1;
            network.change_set(set);
        }
        network.run(rng.random_range(100..EPOCH));
        if rng.random_bool(0.7) {
            network.parted = None;
        }
        network.check_safety();
    }
    network.parted = None;
    network.run(2 * EPOCH);
    network.check_safety();
}

#[test]
fn p1_no_honest_monitor_is_ever_framed() {
    for seed in runs(250) {
        chaos(seed);
    }
}

/// Wires and clocks are bad, a third lies, some crash, the network is parted; then all honest see the same.
fn heals(seed: u64, show: &Show) -> Network {
    let mut rng = StdRng::seed_from_u64(seed);
    let members = rng.random_range(4..=10);
    let liars: Vec<_> = (0..rng.random_range(0..=third(members)))
        .map(|_| STRATEGIES[rng.random_range(0..STRATEGIES.len())])
        .collect();
    let mut network = Network::new(seed, members, &liars, Wires::random(&mut rng), SKEW);
    network.run(8_000);
    if network.start.is_none() {
        network.wires = Wires::GOOD;
        network.run(8_000);
    }
    assert_eq!(
        network.recorded.get(&0),
        Some(&Statement::Baseline(BASELINE)),
        "seed {seed}"
    );
    network.parted = Some((0..members).filter(|_| rng.random_bool(0.5)).collect());
    network.show_all(show);
    network.run(rng.random_range(100..3 * EPOCH));
    let crashed = rng.random_range(0..members);
    network.crash(crashed, 100);
    network.run(200);
    network.parted = None;
    network.wires = Wires::GOOD;
    network
}

#[test]
fn p6_what_all_see_is_certified_within_an_epoch_of_healing() {
    for seed in runs(100) {
        let mut network = heals(seed, &Show::Drift([3, 9].into()));
        network.run(EPOCH + 1_500);
        let found = drifted(&network);
        assert!(found.is_some(), "seed {seed}: {:?}", network.recorded);
        network.check_safety();
    }
}

#[test]
fn p6_what_is_intact_is_never_certified_as_drifted() {
    for seed in runs(100) {
        let mut network = heals(seed, &Show::Clean);
        let before = network.epoch();
        // The running epoch may be lost with the one that crashed in it; the two after it are not.
        network.run(3 * EPOCH + 1_500);
        assert!(drifted(&network).is_none(), "seed {seed}");
        let after = network.recorded.range(before..).count();
        assert!(after >= 2, "seed {seed}: {:?}", network.recorded);
        assert!(
            network
                .seals
                .iter()
                .all(|(_, statement, _)| !matches!(statement, Statement::Drifted(_)))
        );
        network.check_safety();
    }
}

#[test]
fn p4_what_peers_send_is_bounded() {
    let members = 7;
    let mut machine = MeasurementConsensus::new(Config::new(Some(operator(0)), INTEGRITY, deployment(), PERIOD), 0);
    let roster = roster(7, members);
    machine.step(0, Input::SetChanged(roster.clone()));
    let (baseline, start, epoch) = (BASELINE, 0, EPOCH);
    machine.step(0, Input::Running { baseline, start, epoch });
    let mut rng = StdRng::seed_from_u64(5);
    for at in 0..15_000_u64 {
        let from = rng.random_range(1..members);
        let epoch = rng.random_range(0..40);
        let statement = match rng.random_range(0..3) {
            _ if epoch == 0 => Statement::Baseline(hash(&mut rng)),
            0 => Statement::Intact,
            1 => Statement::Unreachable,
            _ => Statement::Drifted(hash(&mut rng)),
        };
        let (deployment, service, set) = (deployment(), SERVICE, 7);
        let body = match rng.random_range(0..3) {
            0 => Body::MeasurementHint {
                deployment,
                epoch: epoch.max(1),
                claim: Claim::Drifted((0..8).map(|_| finding(rng.random_range(0..100_000))).collect()),
            },
            1 => Body::MeasurementBallot {
                deployment,
                epoch,
                statement,
                signature: Toy(from).sign(roster.digest(statement.root(subject(epoch)))).unwrap(),
            },
            _ => Body::MeasurementCertificate {
                deployment,
                epoch,
                statement,
                signers: roster.all(),
                signature: SignatureBytes::repeat_byte(rng.random()),
            },
        };
        let message = Message { service, set, body };
        let from = operator(from);
        for effect in machine.step(at * 2, Input::Message { from, message }) {
            if let Effect::Compute { ticket, work } = effect
                && rng.random_bool(0.5)
            {
                let done = work.run(&Toy(0));
                machine.step(at * 2, Input::Computed { ticket, done });
            }
        }
        machine.step(
            at * 2,
            Input::Observed {
                began: at * 2,
                seen: Seen::Drifted(vec![finding(at as usize)]),
            },
        );
        let load = machine.load();
        assert!(load.findings <= surety_protocol::network::measure::MAX_SEEN);
        assert!(load.told <= MAX_TOLD * members * 13, "{load:?}");
        assert!(load.ballots <= (MAX_TOLD + 3) * members * 13, "{load:?}");
        assert!(
            load.evidence <= surety_protocol::network::evidence::MAX_BOOK_VOTES,
            "{load:?}"
        );
    }
}
