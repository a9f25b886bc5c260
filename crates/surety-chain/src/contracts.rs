//! What the contracts say, in the project's own types.

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use surety_primitives::{Budget, ClaimDetail, DisputeId, Signed, Statement};

use crate::{
    bindings::{self, IDisputes, IRegistry, IStaking},
    deployment::Deployment,
    error::Error,
    rpc::Rpc,
    tokens::IERC20,
};

/// Operators or services asked for in one call.
const PAGE: u64 = 100;
/// Calls under way at once.
const PARALLEL: usize = 8;
/// Blocks asked for in one `eth_getLogs` at first.
const LOG_RANGE: u64 = 10_000;

/// A registered service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInfo {
    /// its contract
    pub service: Address,
    /// keccak-256 of its manifest
    pub manifest: B256,
    /// smallest bond, in wei of the token
    pub min_bond: U256,
    /// step budget of a request made on-chain
    pub max_budget: u64,
    /// another proof system that can end a dispute; zero for none
    pub verdict: Address,
    /// the chain id that requests are signed for
    pub chain_id: u64,
}

/// An operator and what it has at stake for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorInfo {
    /// address of its key
    pub operator: Address,
    /// account that controls its stake; zero if the operator is unknown
    pub owner: Address,
    /// URL of its JSON-RPC
    pub endpoint: String,
    /// can be slashed, in wei of the token
    pub bond: U256,
    /// earned, in wei of the token
    pub reward: U256,
    /// when the bond can be withdrawn, Unix seconds; `None` while it is not leaving
    pub leaving_until: Option<u64>,
    /// disputes it is in
    pub locks: u32,
    /// bond reaches the minimum, and it is not leaving: its answers can be trusted
    pub bonded: bool,
}

/// A dispute, from its events and its current state.
#[derive(Debug, Clone, PartialEq)]
pub struct DisputeInfo {
    /// of the statement and the opener
    pub id: DisputeId,
    /// what it is about
    pub statement: Statement,
    /// who opened it
    pub opener: Address,
    /// block of the opening
    pub opened_at: u64,
    /// all claims, in order
    pub claims: Vec<ClaimDetail>,
    /// state of the game; `None` once settled
    pub view: Option<IDisputes::View>,
    /// the result that was left, and what was slashed, once settled
    pub settled: Option<(B256, U256)>,
}

/// Reads of one deployment.
#[derive(Debug, Clone)]
pub struct Contracts {
    rpc: Rpc,
    deployment: Deployment,
}

impl Contracts {
    /// Reads `deployment` through `rpc`.
    pub fn new(rpc: Rpc, deployment: Deployment) -> Self {
        Self { rpc, deployment }
    }

    /// The endpoint.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// The addresses.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// A service; `None` if it is not registered.
    pub async fn service(&self, service: Address) -> Result<Option<ServiceInfo>, Error> {
        let found = self
            .rpc
            .call(self.deployment.registry, IRegistry::serviceOfCall { service })
            .await?;
        Ok(found.registered.then(|| ServiceInfo {
            service,
            manifest: found.manifest,
            min_bond: U256::from(found.parameters.minBond),
            max_budget: found.parameters.maxBudget,
            verdict: found.parameters.verdict,
            chain_id: surety_primitives::service_chain_id(self.deployment.chain_id, service),
        }))
    }

    /// All registered services, in order of registration, at most `limit`.
    pub async fn services(&self, limit: usize) -> Result<Vec<Address>, Error> {
        let mut all = Vec::new();
        while all.len() < limit {
            let start = U256::from(all.len());
            let call = IRegistry::servicesCall {
                start,
                limit: U256::from(PAGE),
            };
            let page = self.rpc.call(self.deployment.registry, call).await?;
            let last = page.len() < PAGE as usize;
            all.extend(page);
            if last {
                break;
            }
        }
        all.truncate(limit);
        Ok(all)
    }

    /// Program hash of a method; `None` if there is no such method.
    pub async fn program_of(&self, service: Address, selector: [u8; 4]) -> Result<Option<B256>, Error> {
        let call = IRegistry::programOfCall {
            service,
            selector: selector.into(),
        };
        let program = self.rpc.call(self.deployment.registry, call).await?;
        Ok((!program.is_zero()).then_some(program))
    }

    /// Owner and endpoint of an operator; `None` if it is not registered.
    pub async fn operator_of(&self, operator: Address) -> Result<Option<(Address, String)>, Error> {
        let found = self
            .rpc
            .call(self.deployment.registry, IRegistry::operatorOfCall { operator })
            .await?;
        Ok((!found.owner.is_zero()).then_some((found.owner, found.endpoint)))
    }

    /// One operator's standing for a service. Unknown operators have a zero owner and are not bonded.
    pub async fn operator(&self, service: Address, operator: Address) -> Result<OperatorInfo, Error> {
        let (owner, endpoint) = self.operator_of(operator).await?.unwrap_or_default();
        let staking = self.deployment.staking;
        let stake = self
            .rpc
            .call(staking, IStaking::stakeOfCall { service, operator })
            .await?;
        let bonded = self
            .rpc
            .call(staking, IStaking::isBondedCall { service, operator })
            .await?;
        let until: u64 = stake.committedUntil.to();
        Ok(OperatorInfo {
            operator,
            owner,
            endpoint,
            bond: U256::from(stake.bond),
            reward: U256::from(stake.reward),
            leaving_until: (until != 0).then_some(until),
            locks: stake.locks.to(),
            bonded,
        })
    }

    /// All operators of a service, those that are leaving too, at most `limit`.
    pub async fn operators(&self, service: Address, limit: usize) -> Result<Vec<OperatorInfo>, Error> {
        let mut addresses: Vec<Address> = Vec::new();
        while addresses.len() < limit {
            let start = U256::from(addresses.len());
            let call = IStaking::operatorsOfCall {
                service,
                start,
                limit: U256::from(PAGE),
            };
            let page = self.rpc.call(self.deployment.staking, call).await?;
            let last = page.len() < PAGE as usize;
            addresses.extend(page);
            if last {
                break;
            }
        }
        addresses.truncate(limit);
        stream::iter(addresses)
            .map(|operator| self.operator(service, operator))
            .buffered(PARALLEL)
            .try_collect()
            .await
    }

    /// Wei of the token that an account holds.
    pub async fn token_balance(&self, account: Address) -> Result<U256, Error> {
        self.rpc
            .call(self.deployment.token, IERC20::balanceOfCall { account })
            .await
    }

    /// Wei of the token that an account can withdraw from `Staking` (compensation, opener's and settler's parts).
    pub async fn credit(&self, account: Address) -> Result<U256, Error> {
        self.rpc
            .call(self.deployment.staking, IStaking::creditOfCall { account })
            .await
    }

    /// Wei of the token that was slashed and paid to nobody.
    pub async fn burnt(&self) -> Result<U256, Error> {
        self.rpc.call(self.deployment.staking, IStaking::burntCall {}).await
    }

    /// State of a running dispute; `None` if there is none.
    pub async fn dispute_view(&self, dispute: DisputeId) -> Result<Option<IDisputes::View>, Error> {
        let view = self
            .rpc
            .call(self.deployment.disputes, IDisputes::getCall { dispute: dispute.0 })
            .await?;
        Ok((view.claims != 0).then_some(view))
    }

    /// All disputes there were since `from_block`, oldest first; a statement disputed again is there again.
    pub async fn disputes(&self, from_block: u64) -> Result<Vec<DisputeInfo>, Error> {
        let signatures = vec![
            IDisputes::Opened::SIGNATURE_HASH,
            IDisputes::Claimed::SIGNATURE_HASH,
            IDisputes::Settled::SIGNATURE_HASH,
        ];
        let filter = Filter::new()
            .address(self.deployment.disputes)
            .event_signature(signatures);
        self.assemble(&self.history(filter, from_block).await?).await
    }

    /// The last dispute with this id (an account can dispute a statement again once it is settled); `None` if there
    /// never was one.
    pub async fn dispute(&self, id: DisputeId) -> Result<Option<DisputeInfo>, Error> {
        let filter = Filter::new().address(self.deployment.disputes).topic1(id.0);
        let logs = self.history(filter, self.deployment.from_block).await?;
        Ok(self.assemble(&logs).await?.pop())
    }

    /// All logs of a dispute, in order.
    pub async fn dispute_logs(&self, id: DisputeId) -> Result<Vec<Log>, Error> {
        let filter = Filter::new().address(self.deployment.disputes).topic1(id.0);
        self.history(filter, self.deployment.from_block).await
    }

    async fn assemble(&self, logs: &[Log]) -> Result<Vec<DisputeInfo>, Error> {
        let mut all: Vec<DisputeInfo> = Vec::new();
        for log in logs {
            if let Ok(opened) = IDisputes::Opened::decode_log(&log.inner) {
                let Ok(statement) = Statement::try_from(&opened.statement) else {
                    continue;
                };
                all.push(DisputeInfo {
                    id: opened.dispute.into(),
                    statement,
                    opener: opened.opener,
                    opened_at: log.block_number.unwrap_or_default(),
                    claims: Vec::new(),
                    view: None,
                    settled: None,
                });
            } else if let Ok(claimed) = IDisputes::Claimed::decode_log(&log.inner) {
                let of = all.iter_mut().rev().find(|d| d.id.0 == claimed.dispute);
                let Some(dispute) = of else { continue };
                dispute.claims.push(ClaimDetail {
                    operator: claimed.operator,
                    request: claimed.request.into(),
                    requester: claimed.requester,
                    result: claimed.result.into(),
                });
            } else if let Ok(settled) = IDisputes::Settled::decode_log(&log.inner)
                && let Some(dispute) = all.iter_mut().rev().find(|d| d.id.0 == settled.dispute)
            {
                dispute.settled = Some((settled.result, settled.slashed));
            }
        }
        for dispute in &mut all {
            if dispute.settled.is_none() {
                dispute.view = self.dispute_view(dispute.id).await?;
            }
        }
        Ok(all)
    }

    /// All logs of a filter from a block to the latest, asked for in ranges that the endpoint accepts.
    pub async fn history(&self, filter: Filter, from_block: u64) -> Result<Vec<Log>, Error> {
        let latest = self.rpc.latest().await?.header.number;
        let mut logs = Vec::new();
        let mut range = LOG_RANGE;
        let mut next = from_block;
        while next <= latest {
            let end = latest.min(next.saturating_add(range - 1));
            match self.rpc.logs(&filter.clone().from_block(next).to_block(end)).await {
                Ok(page) => {
                    logs.extend(page);
                    next = end.saturating_add(1);
                }
                // Too wide, or too many results, in whatever words.
                Err(Error::Refused { .. }) if range > 1 => range /= 2,
                Err(e) => return Err(e),
            }
        }
        Ok(logs)
    }
}

impl From<&Statement> for bindings::Statement {
    fn from(s: &Statement) -> Self {
        Self {
            service: s.service,
            program: s.program.0,
            input: s.input.0,
            budget: s.budget.steps(),
        }
    }
}

impl TryFrom<&bindings::Statement> for Statement {
    type Error = surety_primitives::BudgetError;

    fn try_from(s: &bindings::Statement) -> Result<Self, Self::Error> {
        Ok(Self {
            service: s.service,
            program: s.program.into(),
            input: s.input.into(),
            budget: Budget::new(s.budget)?,
        })
    }
}

impl From<&Signed> for bindings::Signed {
    fn from(s: &Signed) -> Self {
        Self {
            request: s.request.0,
            requester: s.requester,
            result: s.result.0,
            r: s.signature.r,
            vs: s.signature.vs,
        }
    }
}

impl From<&ClaimDetail> for bindings::ClaimDetail {
    fn from(c: &ClaimDetail) -> Self {
        Self {
            operator: c.operator,
            request: c.request.0,
            requester: c.requester,
            result: c.result.0,
        }
    }
}
