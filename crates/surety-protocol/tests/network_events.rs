//! Event consensus under a deterministic, seeded network: safety always, liveness once the wires work.

mod network_common;

use network_common::{events::*, *};
use rand::{Rng, SeedableRng, rngs::StdRng};
use surety_primitives::vote::VoteTree;
use surety_protocol::network::{
    Body, EventConsensus, Fault, Message, Scheme, SignatureBytes,
    event::{Config, Effect, Input, MAX_KEPT_VOTES, MAX_POOL, MAX_WAITING_VOTES},
    evidence::MAX_BOOK_VOTES,
    message::{MAX_DISSENT, Sighting},
};

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

const PROMPT: Wires = Wires {
    lost: 0,
    repeated: 0,
    longest: 1,
};

/// How long it took until everybody honest had the certificate.
fn took(network: &Network, key: &alloy_primitives::B256, begin: u64) -> u64 {
    let at = |index: usize| network.nodes[index].certified[key].1;
    network.honest().map(at).max().expect("somebody") - begin
}

#[test]
fn who_is_a_little_slower_is_in_the_certificate() {
    let mut rng = StdRng::seed_from_u64(11);
    let mut network = Network::new(11, 16, &[], PROMPT);
    for round in 0..20 {
        let key = hash(&mut rng);
        let begin = network.now;
        for index in 0..15 {
            network.observe(index, key, key, 4_000);
        }
        // The first time nobody knows that the last one is alive.
        network.run(if round == 0 { 0 } else { 15 });
        network.observe(15, key, key, 4_000);
        network.run(200);
        let (seal, _) = network
            .seals
            .iter()
            .find(|(_, votes)| votes.iter().any(|vote| vote.key == key))
            .expect("certified");
        assert_eq!(seal.signers.len(), 16, "round {round}");
        assert!(took(&network, &key, begin) <= 15 + 18);
    }
}

#[test]
fn nobody_waits_for_the_dead_nor_twice_for_who_never_signs() {
    for strategy in [Strategy::Silent, Strategy::Mute] {
        let mut rng = StdRng::seed_from_u64(12);
        let mut network = Network::new(12, 16, &[strategy; 5], PROMPT);
        // Collectors change every four seconds: the next one does so after this.
        let rest = network.now % 4_000;
        network.run(4_000 - rest);
        let mut slow = 0;
        for _ in 0..10 {
            let key = hash(&mut rng);
            let begin = network.now;
            network.happen(key, key, 0, 4_000);
            network.run(100);
            let honest = network
                .honest()
                .all(|index| network.nodes[index].certified.contains_key(&key));
            if honest {
                slow += usize::from(took(&network, &key, begin) > 18);
            }
        }
        assert!(slow <= 1, "{strategy:?}: {slow} of 10 were late");
    }
}

#[test]
fn p2_of_every_strategy_what_is_held_is_proved() {
    let mut lies = 0;
    for strategy in STRATEGIES {
        for seed in runs(12) {
            let mut rng = StdRng::seed_from_u64(seed);
            let members = rng.random_range(7..=13);
            let wires = Wires::random(&mut rng);
            let mut network = Network::new(seed, members, &[strategy, strategy], wires);
            for _ in 0..6 {
                let key = hash(&mut rng);
                network.happen(key, hash(&mut rng), 30, 60_000);
                network.run(rng.random_range(1..500));
            }
            network.run(3_000);
            // What came last is still being looked at.
            let held = network.held.clone();
            network.run(1_000);
            network.held = held;
            network.check_safety();
            lies += network.check_provable();
        }
    }
    assert!(lies > 0, "nobody lied");
}

#[test]
fn p4_a_flood_is_bounded() {
    const MEMBERS: usize = 7;
    let roster = roster(7, MEMBERS);
    let mut rng = StdRng::seed_from_u64(13);
    let mut now = 1_000_000;
    let config = Config::new(Some(operator(0)), 60_000, MEMBERS);
    let mut machine = EventConsensus::new(config, roster.clone(), now);
    let subjects: Vec<_> = (0..MAX_DISSENT).map(|_| hash(&mut rng)).collect();
    let mut evidence = 0;
    for round in 0..100 {
        now += 250;
        for liar in 1..MEMBERS {
            let mut random = |count: usize| -> Vec<_> {
                let sighting = |_| Sighting {
                    key: hash(&mut rng),
                    value: hash(&mut rng),
                };
                (0..count).map(sighting).collect()
            };
            let mut bodies = vec![Body::Propose(random(128)), Body::Propose(random(16))];
            if round % 4 == 0 {
                bodies.push(Body::Hints(random(1_024)));
                bodies.push(Body::Certified {
                    signers: roster.all(),
                    signature: SignatureBytes::repeat_byte(1),
                    votes: random(8),
                });
            }
            // Another value of the same events every time, duly signed.
            let values = random(subjects.len());
            let votes: Vec<_> = subjects
                .iter()
                .zip(values)
                .map(|(key, other)| Sighting { key: *key, ..other })
                .collect();
            let all: Vec<_> = votes.iter().map(Sighting::vote).collect();
            let digest = roster.digest(VoteTree::new(&all).expect("votes").root());
            let signature = Toy(liar).sign(digest).expect("it can");
            bodies.push(Body::Dissent { votes, signature });
            for body in bodies {
                let message = Message {
                    service: SERVICE,
                    set: 7,
                    body,
                };
                let from = operator(liar);
                let mut inputs = vec![Input::Message { from, message }];
                while let Some(input) = inputs.pop() {
                    for effect in machine.step(now, input) {
                        match effect {
                            Effect::Compute { ticket, work } => inputs.push(Input::Computed {
                                ticket,
                                done: work.run(&Toy(0)),
                            }),
                            Effect::Evidence(_) => evidence += 1,
                            _ => {}
                        }
                    }
                }
            }
        }
        let load = machine.load();
        assert!(load.pooled <= MAX_POOL && load.awaited == 0, "{load:?}");
        assert!(load.waiting_votes <= MAX_WAITING_VOTES * MEMBERS, "{load:?}");
        assert!(load.certified_votes <= MAX_KEPT_VOTES && load.seen == 0, "{load:?}");
        assert!(load.evidence <= MAX_BOOK_VOTES && load.batches == 0, "{load:?}");
    }
    assert!(
        evidence >= (MEMBERS - 1) * subjects.len(),
        "each liar, of each event: {evidence}"
    );
    // Honest traffic goes on: what it sees, it still tells.
    let key = hash(&mut rng);
    let until = now + 10_000;
    machine.step(now, Input::Observed { key, value: key, until });
    assert_eq!(machine.load().seen, 1);
}
