//! A chain in revm with the contracts as committed in `contracts/artifacts`, a service, and bonded operators.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use crate::common::{real::*, *};
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use revm::context::{Context, TxEnv, result::ExecutionResult};
use revm::database::InMemoryDB;
use revm::handler::MainnetContext;
use revm::primitives::hardfork::SpecId;
use revm::{ExecuteCommitEvm, MainBuilder, MainnetEvm};
use std::collections::BTreeMap;
use surety_chain::alloy::sol_types::{SolCall, SolEvent, SolValue};
use surety_chain::bindings as sol;
use surety_primitives::{
    Budget, ClaimDetail, CompactSignature, DisputeId, Domain, InputHash, OperatorRegistration, ProgramHash, Response,
    Statement,
};
use surety_protocol::dispute::{Claim, Event, Rules};

/// Owner of the service and of all operators; deploys everything.
pub const OWNER: Address = Address::repeat_byte(0x0a);
const GAS: u64 = 16_000_000;
const ARTIFACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/artifacts");
pub const OPERATORS: u8 = 8;

/// A chain with all contracts, a service, and bonded operators 1 to 8.
pub struct Chain {
    evm: MainnetEvm<MainnetContext<InMemoryDB>>,
    pub disputes: Address,
    pub staking: Address,
    pub token: Address,
    pub registry: Address,
    pub service: Address,
    /// Highest gas of a whole transaction, by kind.
    pub gas: BTreeMap<&'static str, u64>,
    /// Gas of all transactions to `Disputes`.
    pub spent: u64,
    /// Gas of the last whole transaction that was accepted.
    pub last: u64,
}

impl Chain {
    pub fn new() -> Self {
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
            last: 0,
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
            surety_chain::tokens::IDevToken::mintCall {
                to: OWNER,
                amount: most,
            },
        );
        chain.must(
            OWNER,
            chain.token,
            surety_chain::tokens::IERC20::approveCall {
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
    pub fn call<C: SolCall>(&mut self, caller: Address, to: Address, call: C) -> Result<(Bytes, Vec<Log>), String> {
        match self.transact(caller, TxKind::Call(to), call.abi_encode()) {
            result @ ExecutionResult::Success { .. } => {
                self.last = result.tx_gas_used();
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

    pub fn must<C: SolCall>(&mut self, caller: Address, to: Address, call: C) -> C::Return {
        let (output, _) = self.call(caller, to, call).unwrap_or_else(|error| panic!("{error}"));
        C::abi_decode_returns(&output).unwrap()
    }

    pub fn at(&mut self, now: u64) {
        self.evm.ctx.modify_block(|block| block.timestamp = U256::from(now));
    }

    pub fn domain(&self) -> Domain {
        Domain {
            chain_id: RULES.chain_id,
            verifying_contract: self.disputes,
        }
    }

    pub fn rules(&self) -> Rules {
        Rules {
            disputes: self.disputes,
            ..RULES
        }
    }

    pub fn sign(&self, statement: Statement, detail: ClaimDetail) -> sol::Signed {
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

    pub fn events(&self, logs: &[Log]) -> Vec<Event> {
        logs.iter()
            .filter(|log| log.address == self.disputes)
            .map(event)
            .collect()
    }

    pub fn view(&mut self, dispute: DisputeId) -> sol::IDisputes::View {
        self.must(OWNER, self.disputes, sol::IDisputes::getCall { dispute: dispute.0 })
    }

    pub fn credit(&mut self, account: Address) -> U256 {
        self.must(OWNER, self.staking, sol::IStaking::creditOfCall { account })
    }

    pub fn stake(&mut self, operator: Address) -> sol::Stake {
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

pub fn event(log: &Log) -> Event {
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
            let dispute = DisputeId::new(statement.id(), e.opener);
            assert_eq!((e.dispute, e.service), (dispute.0, s.service));
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

pub fn statement(s: &Statement) -> sol::Statement {
    sol::Statement {
        service: s.service,
        program: s.program.0,
        input: s.input.0,
        budget: s.budget.steps(),
    }
}

pub fn details(claims: &[Claim]) -> Vec<sol::ClaimDetail> {
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
