//! Thousands of disputes over synthetic traces. P1: who is honest is never eliminated. P2: who is wrong always is, if
//! anyone honest plays. P7: what is paid is what was slashed.

mod common;

use common::{synthetic::*, *};
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use surety_protocol::dispute::dishonest::Trick;
use surety_protocol::dispute::*;

const TRICKS: [Trick; 12] = [
    Trick::Consistent,
    Trick::Garbage,
    Trick::Zeros,
    Trick::Echo,
    Trick::OneBit(0),
    Trick::OneBit(30),
    Trick::NewStory,
    Trick::Segment(0),
    Trick::Segment(31),
    Trick::GiveIn,
    Trick::SilentFrom(1),
    Trick::SilentFrom(3),
];

/// Budgets around every power of 32, and the largest.
fn budgets() -> Vec<u64> {
    let mut out = vec![0, 1, 2, 30];
    for level in 1..=9 {
        let n = 1u64 << (5 * level);
        out.extend([n - 2, n - 1, n, n + 1]);
    }
    out.retain(|b| *b <= 1 << 45);
    out.extend([(1 << 40) - 1, 1 << 40, (1 << 45) - 1]);
    out
}

/// Positions where things go wrong: the ends, and around every border.
fn positions(budget: u64, rng: &mut StdRng) -> u64 {
    let most = budget.max(1);
    let candidates = [
        1,
        2,
        31,
        32,
        33,
        1023,
        1024,
        1025,
        budget / 2,
        budget.saturating_sub(1),
        budget,
    ];
    match rng.random_range(0..3) {
        0 => rng.random_range(1..=most),
        1 => {
            let border = 1u64 << (5 * rng.random_range(0..10));
            (border * rng.random_range(1..32))
                .saturating_add(rng.random_range(0..3))
                .clamp(1, most)
        }
        _ => candidates[rng.random_range(0..candidates.len())].clamp(1, most),
    }
}

fn lie(budget: u64, halt: u64, rng: &mut StdRng) -> Lie {
    let at = positions(budget, rng);
    match rng.random_range(0..6) {
        // With a budget of 0 there is only the result to lie about.
        _ if budget == 0 => Lie::Result,
        0 => Lie::Diverges(at),
        1 => Lie::Glitch(at),
        2 => Lie::Garbage(at),
        3 if at < halt.min(budget) => Lie::HaltsEarly(at),
        4 if halt < budget => Lie::HaltsLate(rng.random_range(1..=budget - halt)),
        _ => Lie::Result,
    }
}

struct Setup {
    budget: u64,
    lineage: u64,
    halt: u64,
}

impl Setup {
    fn random(rng: &mut StdRng) -> Self {
        let all = budgets();
        let budget = match rng.random_range(0..3) {
            0 => all[rng.random_range(0..all.len())],
            1 => rng.random_range(0..=2_000),
            _ => {
                let bits = rng.random_range(0..=45);
                rng.random_range(0..=1u64 << bits)
            }
        };
        let halt = if rng.random() {
            rng.random_range(0..=budget)
        } else {
            u64::MAX / 2
        };
        Self {
            budget,
            lineage: rng.random(),
            halt,
        }
    }

    fn trace(&self, lie: Lie, seed: u64) -> Counted {
        Counted::new(self.budget, self.lineage, self.halt, lie, seed)
    }

    fn honest(&self, n: u8) -> Operator {
        Operator::honest(n, POLICY, Box::new(self.trace(Lie::None, 0)))
    }

    fn liar(&self, n: u8, lie: Lie, trick: Trick, seed: u64) -> Operator {
        Operator::liar(n, POLICY, Box::new(self.trace(lie, seed)), trick, seed)
    }

    fn random_liar(&self, n: u8, rng: &mut StdRng) -> Operator {
        let lie = lie(self.budget, self.halt, rng);
        let trick = if rng.random() {
            Trick::Consistent
        } else {
            TRICKS[rng.random_range(0..TRICKS.len())]
        };
        self.liar(n, lie, trick, rng.random::<u64>() | 2)
    }

    fn play(&self, operators: Vec<Operator>, weather: Weather, seed: u64) -> Table<Counting> {
        let statement = self.trace(Lie::None, 0).statement();
        let mut table = Table::open(statement, operators, Counting, weather, seed);
        table.play(&mut self.trace(Lie::None, 0));
        table
    }
}

/// Every trick with every kind of lie, on both sides, at every border.
#[test]
fn p1_p2_every_lie_loses_to_an_honest_player_from_either_side() {
    let mut games = 0;
    let mut steps = 0;
    for budget in budgets() {
        let mut rng = StdRng::seed_from_u64(budget);
        let setup = Setup {
            budget,
            lineage: 7,
            halt: if budget % 2 == 0 { budget / 2 } else { u64::MAX / 2 },
        };
        for trick in TRICKS {
            for side in 0..2 {
                let lie = lie(budget, setup.halt, &mut rng);
                let mut operators = vec![setup.honest(1), setup.liar(2, lie, trick, 9)];
                if side == 1 {
                    operators.reverse();
                }
                let table = setup.play(operators, CALM, rng.random());
                games += 1;
                steps += table.steps;
                assert!(
                    table.moves <= usize::from(Geometry::new(setup.trace(Lie::None, 0).statement().budget).moves())
                );
            }
        }
    }
    assert!(games > 900 && steps > 200, "{games} games, {steps} ended in a step");
}

/// A consistent liar at every position of a short trace: the end of every segment of every level, on both sides.
#[test]
fn p1_p2_a_lie_at_every_position_of_a_short_trace_loses() {
    for budget in [0u64, 1, 30, 31, 32, 33, 1022, 1023, 1024] {
        let setup = Setup {
            budget,
            lineage: 3,
            halt: u64::MAX / 2,
        };
        let lies = (1..=budget)
            .flat_map(|p| [Lie::Diverges(p), Lie::Glitch(p)])
            .chain([Lie::Result]);
        for (i, lie) in lies.enumerate() {
            // All borders, and a sample of the rest.
            if budget > 100 && i % 7 != 0 && i % 64 > 3 {
                continue;
            }
            for side in 0..2 {
                let mut operators = vec![setup.honest(1), setup.liar(2, lie, Trick::Consistent, 8)];
                if side == 1 {
                    operators.reverse();
                }
                setup.play(operators, CALM, i as u64);
            }
        }
    }
}

#[test]
fn p1_p2_p7_thousands_of_random_games() {
    for seed in 0..1_500 {
        let mut rng = StdRng::seed_from_u64(seed);
        let setup = Setup::random(&mut rng);
        let mut operators = vec![setup.honest(1), setup.random_liar(2, &mut rng)];
        if rng.random() {
            operators.swap(0, 1);
        }
        setup.play(operators, if rng.random() { STORM } else { CALM }, seed);
    }
}

#[test]
fn p1_p2_p7_many_signers_many_lies() {
    for seed in 0..600 {
        let mut rng = StdRng::seed_from_u64(1_000_000 + seed);
        let setup = Setup::random(&mut rng);
        let count = rng.random_range(2..=8);
        let liars = rng.random_range(1..count);
        let mut operators: Vec<_> = (0..count)
            .map(|n| {
                if n < liars {
                    setup.random_liar(n + 1, &mut rng)
                } else {
                    setup.honest(n + 1)
                }
            })
            .collect();
        for i in (1..operators.len()).rev() {
            operators.swap(i, rng.random_range(0..=i));
        }
        setup.play(operators, if rng.random() { STORM } else { CALM }, seed);
    }
}

#[test]
fn p1_p2_liars_who_agree_with_each_other_all_lose() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(2_000_000 + seed);
        let setup = Setup::random(&mut rng);
        let lie = lie(setup.budget, setup.halt, &mut rng);
        let mut operators: Vec<_> = (0..rng.random_range(2..=7u8))
            .map(|n| setup.liar(n + 2, lie, if n == 0 { Trick::GiveIn } else { Trick::Consistent }, 6))
            .collect();
        operators.insert(rng.random_range(0..=operators.len()), setup.honest(1));
        setup.play(operators, CALM, seed);
    }
}

/// Two that are both wrong: the game ends, one stays, nothing is lost; and who is honest comes in late and wins.
#[test]
fn p1_p2_p7_both_wrong_with_and_without_an_honest_late_joiner() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(3_000_000 + seed);
        let setup = Setup {
            budget: rng.random_range(2..5_000),
            ..Setup::random(&mut rng)
        };
        let mut operators = vec![
            setup.liar(
                2,
                Lie::Diverges(positions(setup.budget, &mut rng)),
                Trick::Consistent,
                2,
            ),
            setup.liar(
                3,
                Lie::Glitch(positions(setup.budget, &mut rng)),
                TRICKS[seed as usize % TRICKS.len()],
                4,
            ),
        ];
        let late = seed % 2 == 0;
        if late {
            operators.push(Operator {
                late: true,
                ..setup.honest(1)
            });
        }
        let table = setup.play(operators, CALM, seed);
        assert_eq!(table.game.claims().len(), if late { 3 } else { 2 });
    }
}

/// A co-signer of the right result loses on purpose; an honest provider that was not there joins and wins.
#[test]
fn p2_a_deliberate_loss_is_repaired_by_a_late_joiner() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(4_000_000 + seed);
        let setup = Setup {
            budget: rng.random_range(2..100_000),
            ..Setup::random(&mut rng)
        };
        let traitor = [
            Trick::GiveIn,
            Trick::SilentFrom(1),
            Trick::Garbage,
            Trick::SilentFrom(2),
        ][seed as usize % 4];
        let operators = vec![
            setup.liar(2, Lie::None, traitor, 2),
            setup.liar(
                3,
                Lie::Diverges(positions(setup.budget, &mut rng)),
                Trick::Consistent,
                4,
            ),
            Operator {
                late: true,
                ..setup.honest(1)
            },
        ];
        let table = setup.play(operators, CALM, seed);
        let truth = setup.trace(Lie::None, 0).result();
        assert!(table.game.claims().iter().any(|c| c.live && c.detail.result == truth));
        assert!(table.game.claims().iter().all(|c| !c.live || c.detail.result == truth));
    }
}

/// The player is killed before each look at the chain, and starts from the events alone.
#[test]
fn p1_p2_a_player_killed_at_every_move_goes_on() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(5_000_000 + seed);
        let setup = Setup::random(&mut rng);
        let mut operators = vec![
            Operator {
                amnesia: true,
                ..setup.honest(1)
            },
            setup.random_liar(2, &mut rng),
            setup.random_liar(3, &mut rng),
        ];
        operators.rotate_left(seed as usize % 3);
        setup.play(operators, if seed % 2 == 0 { STORM } else { CALM }, seed);
    }
}

/// Blocks vanish with the moves in them; every move is bound to the head it answers, so nothing is played that does not
/// belong.
#[test]
fn p1_p2_reorganisations_change_nothing() {
    let mut vanished = 0;
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(6_000_000 + seed);
        let setup = Setup::random(&mut rng);
        let mut operators = vec![
            setup.honest(1),
            setup.random_liar(2, &mut rng),
            setup.random_liar(3, &mut rng),
        ];
        if seed % 3 == 0 {
            operators.push(Operator {
                late: true,
                ..setup.honest(4)
            });
        }
        operators.rotate_left(seed as usize % 3);
        vanished += setup.play(operators, QUAKE, seed).vanished;
    }
    assert!(vanished > 300, "{vanished} blocks vanished");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The same, found by search and shrunk to the smallest.
    #[test]
    fn p1_p2_any_single_lie_loses(budget in 0u64..40_000, at in 1u64..40_000, kind in 0usize..5, trick in 0usize..12, side in any::<bool>(), halt in 0u64..50_000) {
        let at = at.min(budget.max(1));
        let setup = Setup { budget, lineage: 1, halt };
        let lie = match kind {
            _ if budget == 0 => Lie::Result,
            0 => Lie::Diverges(at),
            1 => Lie::Glitch(at),
            2 => Lie::Garbage(at),
            3 if at < halt.min(budget) => Lie::HaltsEarly(at),
            _ => Lie::Result,
        };
        let mut operators = vec![setup.honest(1), setup.liar(2, lie, TRICKS[trick], 5)];
        if side { operators.reverse() }
        setup.play(operators, CALM, at);
    }
}
