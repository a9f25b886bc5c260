//! Disputes over a real program of ten million steps, judged by the step verifier that `Machine.sol` is held to. Every
//! kind of lie, at several positions, from both sides, loses against the honest player (P1, P2).

mod common;

use common::{real::*, *};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::rc::Rc;
use surety_protocol::dispute::dishonest::Trick;

fn ten_million() -> Rc<Run> {
    let run = Run::new(worker(100, 14_300), 10_050_000);
    assert!(run.length > 10_000_000 && run.length < run.budget);
    assert_eq!(outcome(&run).result_hash(), Ran::honest(&run).result());
    run
}

fn play(run: &Rc<Run>, liar: Ran, trick: Trick, side: usize, seed: u64) -> Table<Verifier> {
    let mut operators = vec![
        Operator::honest(1, POLICY, Box::new(Ran::honest(run))),
        Operator::liar(2, POLICY, Box::new(liar), trick, seed),
    ];
    operators.rotate_left(side);
    let mut table = Table::open(run.statement(), operators, Verifier, CALM, seed);
    table.play(&mut Ran::honest(run));
    table
}

#[test]
fn p1_p2_every_kind_of_lie_at_several_positions_of_ten_million_steps_loses() {
    let run = ten_million();
    // The first and the last steps, the borders of segments, the middle, and the steps of each system call.
    let middle = run.length / 2;
    let input = run.call(0, 4) + 1;
    let first_read = run.call(0, 3) + 1;
    let read = run.call(middle, 3) + 1;
    let write = run.call(middle, 2) + 1;
    let positions = [
        1,
        32,
        33,
        1 << 20,
        read,
        write,
        middle,
        run.length - 1,
        run.length,
        run.length + 1,
    ];
    let somewhere = [1, 32, 1 << 20, middle, run.length - 1];
    let lies: Vec<(Falsehood, Vec<u64>)> = vec![
        // Wrong registers: the counter, the sum, the system call's number, the pointer.
        (Falsehood::Register(8), somewhere.to_vec()),
        (Falsehood::Register(9), somewhere.to_vec()),
        (Falsehood::Register(26), positions.to_vec()),
        // Wrong results of system calls: the length INPUT gives, how far READ and WRITE got.
        (Falsehood::Register(10), vec![input, read, write, run.length]),
        (Falsehood::Register(12), vec![read, read + 1, read + 2]),
        // Wrong bytes of a preimage, wrong words in memory, so wrong output.
        (Falsehood::Memory(0x8010), vec![read]),
        (Falsehood::Memory(0x8024), vec![read + 1]),
        (Falsehood::Memory(0x8020), positions.to_vec()),
        (
            Falsehood::StoreLost,
            (write - 12..write).chain([first_read, first_read + 1]).collect(),
        ),
        (Falsehood::Pc, positions.to_vec()),
        (Falsehood::EarlyHalt, positions.to_vec()),
        (Falsehood::EarlyTrap, positions.to_vec()),
        (Falsehood::LateHalt, vec![run.length]),
        (Falsehood::OutputRoot, positions.to_vec()),
        (Falsehood::Code, positions.to_vec()),
        (Falsehood::OtherInput, positions.to_vec()),
        (Falsehood::ExitCode, vec![run.length]),
        (Falsehood::TrapsInsteadOfHalting, vec![run.length]),
        (Falsehood::NoStatus, positions.to_vec()),
        (Falsehood::Garbage, positions.to_vec()),
        (Falsehood::Garbage, vec![run.budget]),
        (Falsehood::Result, vec![run.budget]),
    ];
    let (mut games, mut steps) = (0, 0);
    for (falsehood, positions) in lies {
        let mut told = 0;
        for at in positions {
            let ran = || Ran::new(&run, falsehood, at, 0xdead);
            // A wrong state that comes to the right result is no lie that anybody could dispute; say it anyway.
            let trick = if ran().is_false() { Trick::Consistent } else { continue };
            told += 1;
            for side in 0..2 {
                let table = play(&run, ran(), trick, side, at);
                assert!(table.moves <= 6, "{falsehood:?} at {at}: {} moves", table.moves);
                games += 1;
                steps += table.steps;
            }
        }
        assert!(told > 0, "{falsehood:?} never changed the result");
    }
    println!("{games} games, {steps} ended in a proved step");
    assert!(
        games >= 150 && steps >= 50,
        "{games} games, {steps} ended in a proved step"
    );
}

/// A step too few, where the budget is one short of halting; a step too many, where it is just enough.
#[test]
fn p1_p2_wrong_step_counts_over_ten_million_steps_lose() {
    let length = ten_million().length;
    for (falsehood, budget) in [(Falsehood::Skipped, length - 1), (Falsehood::Stutter, length)] {
        let run = Run::new(worker(100, 14_300), budget);
        for at in [1, 32, 33, 1 << 20, length / 2, length - 2, length - 1] {
            for side in 0..2 {
                let liar = Ran::new(&run, falsehood, at, 1);
                assert!(liar.is_false());
                let table = play(&run, liar, Trick::Consistent, side, at);
                assert!(table.moves <= 6);
            }
        }
    }
}

#[test]
fn p1_p2_every_trick_over_ten_million_steps_loses() {
    let run = ten_million();
    let tricks = [
        Trick::Garbage,
        Trick::Zeros,
        Trick::Echo,
        Trick::OneBit(0),
        Trick::OneBit(17),
        Trick::OneBit(30),
        Trick::NewStory,
        Trick::Segment(0),
        Trick::Segment(31),
        Trick::GiveIn,
        Trick::SilentFrom(1),
        Trick::SilentFrom(2),
        Trick::SilentFrom(4),
        Trick::SilentFrom(6),
    ];
    for (i, trick) in tricks.into_iter().enumerate() {
        for side in 0..2 {
            let liar = Ran::new(&run, Falsehood::OutputRoot, run.length / 3, 1);
            play(&run, liar, trick, side, i as u64);
        }
    }
}

/// Small programs and budgets, so that steps at position 0, the projection, and the identity are met often.
#[test]
fn p1_p2_p7_random_lies_over_random_short_runs() {
    let mut proved = 0;
    for seed in 0..120 {
        let mut rng = StdRng::seed_from_u64(seed);
        let program = worker(rng.random_range(1..4), rng.random_range(1..60));
        let budget = if rng.random() {
            rng.random_range(1..1_500)
        } else {
            1 << rng.random_range(0..=45)
        };
        let run = Run::new(program, budget);
        let operators = (0..rng.random_range(2..=5u8))
            .map(|n| {
                let weather = rng.random_range(0..4u32);
                match (n, weather) {
                    (0, _) => Operator::honest(1, POLICY, Box::new(Ran::honest(&run))),
                    (1, _) | (_, 0..2) => Operator::liar(
                        n + 1,
                        POLICY,
                        Box::new(any_falsehood(&run, &mut rng)),
                        Trick::Consistent,
                        seed,
                    ),
                    _ => Operator::honest(n + 1, POLICY, Box::new(Ran::honest(&run))),
                }
            })
            .collect();
        let mut table = Table::open(
            run.statement(),
            operators,
            Verifier,
            if seed % 3 == 0 { STORM } else { CALM },
            seed,
        );
        table.play(&mut Ran::honest(&run));
        proved += table.steps;
    }
    assert!(proved > 60, "{proved} games ended in a proved step");
}
