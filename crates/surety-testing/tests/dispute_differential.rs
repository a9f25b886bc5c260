//! The `Disputes`, `Staking` and `Machine` contracts, as committed in `contracts/artifacts`, against the model of the
//! rules (`surety_protocol::dispute::Game`): the same transactions at the same times are accepted or refused, emit the
//! same events, leave the same state, and pay the same (P1, P2, P7). The contracts run in revm; nothing here speaks to
//! a node.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod chain;
#[path = "../../surety-protocol/tests/common/mod.rs"]
mod common;

use alloy_primitives::{Address, U256, keccak256};
use chain::*;
use common::{real::*, *};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};
use surety_chain::bindings as sol;
use surety_primitives::{ClaimDetail, Statement};
use surety_protocol::dispute::dishonest::Trick;
use surety_protocol::dispute::*;

#[derive(Clone)]
struct Contracts(Rc<RefCell<Chain>>);

impl Mirror for Contracts {
    fn send(&mut self, now: u64, sender: Address, action: &Action, game: &Game) -> Result<Vec<Event>, String> {
        let chain = &mut *self.0.borrow_mut();
        chain.at(now);
        let dispute = game.id().0;
        let about = statement(game.statement());
        let to = chain.disputes;
        let outcome = match action.clone() {
            Action::Join(detail) => {
                let response = chain.sign(*game.statement(), detail);
                let claims = details(game.claims());
                chain.call(
                    sender,
                    to,
                    sol::IDisputes::joinCall {
                        statement: about,
                        response,
                        opener: OPENER,
                        claims,
                    },
                )
            }
            Action::Dissect { head, segment, points } => {
                let segment = U256::from(segment);
                chain.call(
                    sender,
                    to,
                    sol::IDisputes::dissectCall {
                        dispute,
                        head,
                        segment,
                        points: *points,
                    },
                )
            }
            Action::Step {
                head,
                segment,
                openings,
                witness,
            } => {
                let call = sol::IDisputes::stepCall {
                    statement: about,
                    opener: OPENER,
                    head,
                    segment: U256::from(segment),
                    openings: openings.into(),
                    witness: witness.into(),
                };
                chain.call(sender, to, call)
            }
            Action::Expire => chain.call(sender, to, sol::IDisputes::expireCall { dispute }),
            Action::Decide(_) => return Err("the service has no verdict".into()),
            Action::Settle => {
                let claims = details(game.claims());
                chain.call(
                    sender,
                    to,
                    sol::IDisputes::settleCall {
                        statement: about,
                        opener: OPENER,
                        claims,
                    },
                )
            }
        };
        let (_, logs) = outcome?;
        Ok(chain.events(&logs))
    }

    fn compare(&mut self, game: &Game) {
        let view = self.0.borrow_mut().view(game.id());
        if game.settlement().is_some() {
            assert_eq!(view.claims, 0, "a settled dispute is gone");
            return;
        }
        assert_eq!(usize::from(view.claims), game.claims().len());
        assert_eq!(view.joinUntil, game.join_until());
        let live = game
            .claims()
            .iter()
            .enumerate()
            .map(|(i, c)| u8::from(c.live) << i)
            .sum::<u8>();
        assert_eq!(view.liveBitmap, live);
        assert_eq!(view.matchRunning, game.running().is_some());
        let Some(running) = game.running() else { return };
        assert_eq!(
            (view.a, view.b, view.moves, view.head),
            (running.a, running.b, running.moves, running.head)
        );
        let geometry = Geometry::new(game.statement().budget);
        assert_eq!(view.levels, geometry.levels());
        let digits = if running.moves == 0 {
            0
        } else {
            running.position / geometry.stride(running.moves - 1)
        };
        assert_eq!(view.position, digits);
        let clocks = &running.clocks;
        let left = (u64::from(view.clockA), u64::from(view.clockB));
        assert_eq!(
            (left, view.lastMove),
            ((clocks.left(0), clocks.left(1)), clocks.last_move())
        );
    }
}

/// Opens the dispute in both worlds, plays it to the end, and compares who owns what.
fn play(operators: Vec<Operator>, run: &Rc<Run>, weather: Weather, seed: u64) -> (Table<Verifier>, Chain) {
    let chain = Chain::new();
    let about = Statement {
        service: chain.service,
        ..run.statement()
    };
    let rules = chain.rules();
    let mut table = Table::open_at(rules, START, about, operators, Verifier, weather, seed);
    let contracts = Contracts(Rc::new(RefCell::new(chain)));
    {
        let chain = &mut *contracts.0.borrow_mut();
        let responses = table
            .game
            .claims()
            .iter()
            .map(|c| chain.sign(about, c.detail))
            .collect();
        chain.at(START);
        let call = sol::IDisputes::openCall {
            statement: statement(&about),
            responses,
        };
        let (_, logs) = chain.call(OPENER, chain.disputes, call).unwrap();
        let opened: Vec<_> = table.events.iter().map(|(_, event)| event.clone()).collect();
        assert_eq!(chain.events(&logs), opened);
    }
    table.mirror = Some(Box::new(contracts.clone()));
    table.play(&mut Ran::honest(run));

    table.mirror = None;
    let mut chain = Rc::into_inner(contracts.0).unwrap().into_inner();
    let settlement = table.game.settlement().unwrap();
    let mut paid: BTreeMap<Address, U256> = BTreeMap::new();
    for credit in &settlement.credits {
        *paid.entry(credit.to).or_default() += credit.amount;
    }
    let mut held = U256::ZERO;
    let mut accounts: Vec<Address> = (1..=OPERATORS).map(address).collect();
    accounts.extend(table.operators.iter().map(|o| o.requester));
    accounts.extend([OPENER, OWNER]);
    for account in accounts {
        let stake = chain.stake(account);
        let got = chain.credit(account) + U256::from(stake.reward);
        assert_eq!(got, paid.remove(&account).unwrap_or_default(), "what {account} got");
        assert_eq!(stake.locks.to::<u32>(), 0);
        held += got + U256::from(stake.bond);
        if (1..=OPERATORS).any(|n| address(n) == account) {
            let lost = settlement
                .slashes
                .iter()
                .find(|s| s.operator == account)
                .map(|s| s.amount)
                .unwrap_or_default();
            assert_eq!(U256::from(stake.bond), bond(account) - lost, "bond of {account}");
        }
    }
    assert!(paid.values().all(U256::is_zero), "paid to unknown accounts: {paid:?}");
    let balance = chain.must(
        OWNER,
        chain.token,
        surety_chain::tokens::IERC20::balanceOfCall { account: chain.staking },
    );
    let burnt = chain.must(OWNER, chain.staking, sol::IStaking::burntCall {});
    assert_eq!(burnt, settlement.burnt, "burnt");
    assert_eq!(held + burnt, balance, "P7");
    (table, chain)
}

#[test]
fn p1_p2_p7_the_contracts_play_as_the_model_does() {
    let (mut accepted, mut refused, mut steps) = (0, 0, 0);
    let mut gas: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let program = worker(rng.random_range(1..4), rng.random_range(1..60));
        let budget = match rng.random_range(0..3) {
            0 => rng.random_range(0..40),
            1 => rng.random_range(1..1_500),
            _ => {
                let bits = rng.random_range(0..=45);
                1 << bits
            }
        };
        let run = Run::new(program, budget);
        let count = rng.random_range(2..=OPERATORS);
        let mut operators: Vec<Operator> = (0..count)
            .map(|n| match (n, rng.random_range(0..4u32)) {
                (0, _) => Operator::honest(1, POLICY, Box::new(Ran::honest(&run))),
                (1, _) | (_, 0..2) => {
                    let trick = [
                        Trick::Consistent,
                        Trick::Consistent,
                        Trick::GiveIn,
                        Trick::Garbage,
                        Trick::SilentFrom(2),
                    ][rng.random_range(0..5)];
                    Operator::liar(n + 1, POLICY, Box::new(any_falsehood(&run, &mut rng)), trick, seed)
                }
                (_, 2) => Operator {
                    late: true,
                    ..Operator::honest(n + 1, POLICY, Box::new(Ran::honest(&run)))
                },
                _ => Operator::honest(n + 1, POLICY, Box::new(Ran::honest(&run))),
            })
            .collect();
        operators.rotate_left(rng.random_range(0..usize::from(count)));
        let (table, chain) = play(operators, &run, if seed % 2 == 0 { STORM } else { CALM }, seed);
        accepted += table.accepted;
        refused += table.refused;
        steps += table.steps;
        for (kind, used) in chain.gas {
            let most = gas.entry(kind).or_default();
            *most = (*most).max(used);
        }
    }
    println!("{accepted} transactions accepted, {refused} refused by both; {steps} steps proved; highest gas {gas:?}");
    assert!(accepted > 1_000 && refused > 10_000 && steps > 100);
}

/// Each lie once, at a position that the last move must prove, through the contracts.
#[test]
fn p1_p2_every_kind_of_lie_loses_on_the_contracts() {
    let run = Run::new(worker(3, 40), 2_000);
    let middle = run.length / 2;
    let (read, write) = (run.call(0, 3) + 1, run.call(0, 2) + 1);
    let lies = [
        (Falsehood::Register(9), middle),
        (Falsehood::Register(26), 2),
        (Falsehood::Register(10), read),
        (Falsehood::Memory(0x8010), read),
        (Falsehood::Memory(0x8020), middle),
        (Falsehood::StoreLost, read),
        (Falsehood::Pc, middle),
        (Falsehood::EarlyHalt, 1),
        (Falsehood::EarlyHalt, 32),
        (Falsehood::EarlyTrap, run.length - 1),
        (Falsehood::LateHalt, run.length),
        (Falsehood::OutputRoot, write),
        (Falsehood::Code, 1),
        (Falsehood::OtherInput, 33),
        (Falsehood::ExitCode, run.length),
        (Falsehood::TrapsInsteadOfHalting, run.length),
        (Falsehood::NoStatus, 1024),
        (Falsehood::Garbage, 1),
        (Falsehood::Result, run.budget),
    ];
    for (falsehood, from) in lies {
        // Not every wrong state comes to a wrong result: the next one that does.
        let at = (from..from + 20).find(|at| Ran::new(&run, falsehood, *at, 1).is_false());
        let at = at.unwrap_or_else(|| panic!("{falsehood:?} from {from} on never changes the result"));
        // The honest party moves last on one side: there the step is proved.
        let mut proved = 0;
        for side in 0..2 {
            let mut operators = vec![
                Operator::honest(1, POLICY, Box::new(Ran::honest(&run))),
                Operator::liar(
                    2,
                    POLICY,
                    Box::new(Ran::new(&run, falsehood, at, 1)),
                    Trick::Consistent,
                    1,
                ),
            ];
            operators.rotate_left(side);
            proved += play(operators, &run, CALM, at).0.steps;
        }
        assert_eq!(proved, 1, "{falsehood:?} at {at}");
    }
}

/// 2^45 steps, the most there can be, and 2^40: the program ends at once, so that the machine can be asked anywhere.
#[test]
fn the_longest_disputes_take_eleven_moves() {
    for (budget, moves) in [((1 << 40) - 1, 9), (1 << 40, 10), ((1u64 << 45) - 1, 10), (1 << 45, 11)] {
        let run = Run::new(worker(1, 1), budget);
        let at = budget / 3;
        let side = usize::from(moves % 2 == 0);
        let mut operators = vec![
            Operator::honest(1, POLICY, Box::new(Ran::honest(&run))),
            Operator::liar(
                2,
                POLICY,
                Box::new(Ran::new(&run, Falsehood::OutputRoot, at, 1)),
                Trick::Consistent,
                1,
            ),
        ];
        operators.rotate_left(side);
        let (table, chain) = play(operators, &run, CALM, 1);
        println!(
            "budget {budget}: {} moves, {} gas in all, highest {:?}",
            table.moves, chain.spent, chain.gas
        );
        assert_eq!((table.moves, table.steps), (moves, 1));
    }
}

#[test]
fn digests_are_the_contracts() {
    let mut chain = Chain::new();
    let separator = chain.must(OWNER, chain.disputes, sol::IDisputes::domainSeparatorCall {});
    assert_eq!(separator, chain.domain().separator());
    let id = chain.must(
        OWNER,
        chain.registry,
        sol::IRegistry::chainIdOfCall { service: chain.service },
    );
    assert_eq!(id, surety_primitives::service_chain_id(RULES.chain_id, chain.service));
    let about = Statement {
        service: chain.service,
        ..Run::new(worker(1, 1), 10).statement()
    };
    let detail = ClaimDetail {
        operator: address(3),
        request: keccak256("request").into(),
        requester: OPENER,
        result: keccak256("result").into(),
    };
    let response = chain.sign(about, detail);
    let call = sol::IDisputes::signerOfCall {
        statement: statement(&about),
        response,
    };
    assert_eq!(chain.must(OWNER, chain.disputes, call), address(3));
}
