//! The `Disputes`, `Staking` and `Machine` contracts, as committed in `contracts/artifacts`, against the model of the
//! rules (`surety_protocol::dispute::Game`): the same transactions at the same times are accepted or refused, emit the
//! same events, leave the same state, and pay the same (P1, P2, P7). The contracts run in revm; nothing here speaks to
//! a node.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

#[path = "../../surety-protocol/tests/common/mod.rs"]
mod common;

use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, keccak256};
use common::{real::*, *};
use rand::{Rng, SeedableRng, rngs::StdRng};
use revm::context::{Context, TxEnv, result::ExecutionResult};
use revm::database::InMemoryDB;
use revm::handler::MainnetContext;
use revm::primitives::hardfork::SpecId;
use revm::{ExecuteCommitEvm, MainBuilder, MainnetEvm};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};
use surety_chain::alloy::sol_types::{SolCall, SolEvent, SolValue};
use surety_chain::bindings as sol;
use surety_primitives::{
    Budget, ClaimDetail, CompactSignature, Domain, InputHash, OperatorRegistration, ProgramHash, Response, Statement,
};
use surety_protocol::dispute::dishonest::Trick;
use surety_protocol::dispute::*;

/// Owner of the service and of all operators; deploys everything.
const OWNER: Address = Address::repeat_byte(0x0a);
const GAS: u64 = 16_000_000;
const ARTIFACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/artifacts");
const OPERATORS: u8 = 8;

/// A chain with all contracts, a service, and bonded operators 1 to 8.
struct Chain {
    evm: MainnetEvm<MainnetContext<InMemoryDB>>,
    disputes: Address,
    staking: Address,
    token: Address,
    registry: Address,
    service: Address,
    /// Highest gas of a whole transaction, by kind.
    gas: BTreeMap<&'static str, u64>,
    /// Gas of all transactions to `Disputes`.
    spent: u64,
}

impl Chain {
    fn new() -> Self {
        let mut context: MainnetContext<InMemoryDB> = Context::new(InMemoryDB::default(), SpecId::OSAKA);
        context.modify_cfg(|cfg| {
            cfg.disable_nonce_check = true;
            cfg.chain_id = RULES.chain_id;
        });
        context.modify_block(|block| block.timestamp = U256::from(START - 1_000));
        let none = Address::ZERO;
        let evm = context.build_mainnet();
        let mut chain = Self {
            evm,
            disputes: none,
            staking: none,
            token: none,
            registry: none,
            service: none,
            gas: BTreeMap::new(),
            spent: 0,
        };
        chain.token = chain.deploy("DevToken", vec![]);
        chain.registry = chain.deploy("Registry", vec![]);
        let preimages = chain.deploy("Preimages", vec![]);
        let machine = chain.deploy("Machine", preimages.abi_encode());
        // The one after `Staking`, which must know it.
        chain.disputes = OWNER.create(5);
        let modules = vec![chain.disputes];
        let leave_delay = RULES.join_window + 7 * (2 * RULES.clock + RULES.join_window) + 1;
        let arguments = (chain.registry, chain.token, leave_delay, modules).abi_encode_params();
        chain.staking = chain.deploy("Staking", arguments);
        let arguments = (chain.staking, machine, RULES.clock as u32, RULES.join_window as u32).abi_encode_params();
        assert_eq!(chain.deploy("Disputes", arguments), chain.disputes);
        chain.service = chain.deploy("Explorer", (OWNER, chain.disputes).abi_encode_params());

        let register = sol::IRegistry::registerServiceCall {
            service: chain.service,
            manifest: B256::ZERO,
            selectors: vec![],
            programs: vec![],
            parameters: sol::ServiceParameters {
                minBond: "1".parse().unwrap(),
                maxBudget: 1,
                verdict: none,
            },
        };
        chain.must(OWNER, chain.registry, register);
        let most = U256::from(u64::MAX);
        chain.must(
            OWNER,
            chain.token,
            sol::IDevToken::mintCall {
                to: OWNER,
                amount: most,
            },
        );
        chain.must(
            OWNER,
            chain.token,
            sol::IERC20::approveCall {
                spender: chain.staking,
                amount: most,
            },
        );
        for n in 1..=OPERATORS {
            chain.bond(n);
        }
        // Every part of the input that a step can need.
        let offsets = (0..INPUT.len() as u32).collect();
        chain.must(
            OWNER,
            preimages,
            sol::IPreimages::showCall {
                data: INPUT.into(),
                offsets,
            },
        );
        chain
    }

    fn bond(&mut self, n: u8) {
        let endpoint = format!("http://operator-{n}.example");
        let registration = OperatorRegistration {
            key: address(n),
            owner: OWNER,
            endpoint: endpoint.clone(),
        };
        let digest = registration.digest(&Domain {
            chain_id: RULES.chain_id,
            verifying_contract: self.registry,
        });
        let signature = CompactSignature::sign(&key(n), &digest).unwrap().to_bytes();
        let call = sol::IRegistry::registerOperatorCall {
            operator: address(n),
            endpoint,
            signature: signature.into(),
        };
        self.must(OWNER, self.registry, call);
        let amount = bond(address(n));
        self.must(
            OWNER,
            self.staking,
            sol::IStaking::depositCall {
                service: self.service,
                operator: address(n),
                amount,
            },
        );
    }

    fn transact(&mut self, caller: Address, kind: TxKind, data: Vec<u8>) -> ExecutionResult {
        let chain_id = Some(RULES.chain_id);
        let tx = TxEnv {
            caller,
            gas_limit: GAS,
            kind,
            data: data.into(),
            chain_id,
            ..TxEnv::default()
        };
        self.evm.transact_commit(tx).unwrap()
    }

    fn deploy(&mut self, name: &str, arguments: Vec<u8>) -> Address {
        let path = format!("{ARTIFACTS}/{name}.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let artifact: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut code = artifact["bytecode"]
            .as_str()
            .unwrap()
            .parse::<Bytes>()
            .unwrap()
            .to_vec();
        code.extend(arguments);
        let result = self.transact(OWNER, TxKind::Create, code);
        result.created_address().unwrap_or_else(|| panic!("{name}: {result:?}"))
    }

    /// Return data and logs, or why it reverted.
    fn call<C: SolCall>(&mut self, caller: Address, to: Address, call: C) -> Result<(Bytes, Vec<Log>), String> {
        match self.transact(caller, TxKind::Call(to), call.abi_encode()) {
            result @ ExecutionResult::Success { .. } => {
                let used = self
                    .gas
                    .entry(C::SIGNATURE.split('(').next().unwrap_or_default())
                    .or_default();
                *used = (*used).max(result.tx_gas_used());
                if to == self.disputes && C::SELECTOR != sol::IDisputes::getCall::SELECTOR {
                    self.spent += result.tx_gas_used();
                }
                let logs = result.logs().to_vec();
                Ok((result.into_output().unwrap_or_default(), logs))
            }
            ExecutionResult::Revert { output, .. } => Err(format!("{}: {output}", C::SIGNATURE)),
            ExecutionResult::Halt { reason, .. } => panic!("{} halted: {reason:?}", C::SIGNATURE),
        }
    }

    fn must<C: SolCall>(&mut self, caller: Address, to: Address, call: C) -> C::Return {
        let (output, _) = self.call(caller, to, call).unwrap_or_else(|error| panic!("{error}"));
        C::abi_decode_returns(&output).unwrap()
    }

    fn at(&mut self, now: u64) {
        self.evm.ctx.modify_block(|block| block.timestamp = U256::from(now));
    }

    fn domain(&self) -> Domain {
        Domain {
            chain_id: RULES.chain_id,
            verifying_contract: self.disputes,
        }
    }

    fn rules(&self) -> Rules {
        Rules {
            disputes: self.disputes,
            ..RULES
        }
    }

    fn sign(&self, statement: Statement, detail: ClaimDetail) -> sol::Signed {
        let n = (1..=OPERATORS).find(|n| address(*n) == detail.operator).unwrap();
        let ClaimDetail {
            request,
            requester,
            result,
            ..
        } = detail;
        let digest = Response {
            statement,
            request,
            requester,
            result,
        }
        .digest(&self.domain());
        let CompactSignature { r, vs } = CompactSignature::sign(&key(n), &digest).unwrap();
        sol::Signed {
            request: request.0,
            requester,
            result: result.0,
            r,
            vs,
        }
    }

    fn events(&self, logs: &[Log]) -> Vec<Event> {
        logs.iter()
            .filter(|log| log.address == self.disputes)
            .map(event)
            .collect()
    }

    fn view(&mut self, statement: &Statement) -> sol::IDisputes::View {
        self.must(
            OWNER,
            self.disputes,
            sol::IDisputes::getCall {
                dispute: statement.id().0,
            },
        )
    }

    fn credit(&mut self, account: Address) -> U256 {
        self.must(OWNER, self.staking, sol::IStaking::creditOfCall { account })
    }

    fn stake(&mut self, operator: Address) -> sol::Stake {
        self.must(
            OWNER,
            self.staking,
            sol::IStaking::stakeOfCall {
                service: self.service,
                operator,
            },
        )
    }
}

fn event(log: &Log) -> Event {
    use sol::IDisputes as D;
    let topic = log.topics()[0];
    macro_rules! decode {
        ($name:ident) => {
            D::$name::decode_log(log).unwrap().data
        };
    }
    match topic {
        D::Opened::SIGNATURE_HASH => {
            let e = decode!(Opened);
            let s = e.statement;
            let statement = Statement {
                service: s.service,
                program: ProgramHash(s.program),
                input: InputHash(s.input),
                budget: Budget::new(s.budget).unwrap(),
            };
            assert_eq!((e.dispute, e.service), (statement.id().0, s.service));
            Event::Opened {
                opener: e.opener,
                statement,
                join_until: e.joinUntil,
            }
        }
        D::Claimed::SIGNATURE_HASH => {
            let e = decode!(Claimed);
            let detail = ClaimDetail {
                operator: e.operator,
                request: e.request.into(),
                requester: e.requester,
                result: e.result.into(),
            };
            Event::Claimed { index: e.index, detail }
        }
        D::MatchStarted::SIGNATURE_HASH => {
            let e = decode!(MatchStarted);
            Event::MatchStarted {
                a: e.a,
                b: e.b,
                levels: e.levels,
                head: e.head,
            }
        }
        D::Dissected::SIGNATURE_HASH => {
            let e = decode!(Dissected);
            Event::Dissected {
                number: e.r#move,
                segment: e.segment,
                head: e.head,
                points: Box::new(e.points),
            }
        }
        D::Stepped::SIGNATURE_HASH => Event::Stepped {
            position: decode!(Stepped).position,
        },
        D::Expired::SIGNATURE_HASH => Event::Expired,
        D::Decided::SIGNATURE_HASH => Event::Decided {
            result: decode!(Decided).result.into(),
        },
        D::Eliminated::SIGNATURE_HASH => {
            let e = decode!(Eliminated);
            Event::Eliminated {
                index: e.index,
                operator: e.operator,
                join_until: e.joinUntil,
            }
        }
        D::Settled::SIGNATURE_HASH => {
            let e = decode!(Settled);
            Event::Settled {
                result: e.result.into(),
                slashed: e.slashed,
            }
        }
        other => panic!("unknown event {other}"),
    }
}

fn statement(s: &Statement) -> sol::Statement {
    sol::Statement {
        service: s.service,
        program: s.program.0,
        input: s.input.0,
        budget: s.budget.steps(),
    }
}

fn details(claims: &[Claim]) -> Vec<sol::ClaimDetail> {
    let detail = |c: &Claim| {
        let ClaimDetail {
            operator,
            request,
            requester,
            result,
        } = c.detail;
        sol::ClaimDetail {
            operator,
            request: request.0,
            requester,
            result: result.0,
        }
    };
    claims.iter().map(detail).collect()
}

#[derive(Clone)]
struct Contracts(Rc<RefCell<Chain>>);

impl Mirror for Contracts {
    fn send(&mut self, now: u64, sender: Address, action: &Action, game: &Game) -> Result<Vec<Event>, String> {
        let chain = &mut *self.0.borrow_mut();
        chain.at(now);
        let dispute = game.statement().id().0;
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
        let view = self.0.borrow_mut().view(game.statement());
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
        sol::IERC20::balanceOfCall { account: chain.staking },
    );
    assert_eq!(held, balance, "P7");
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
