//! Asking several providers the same thing and comparing what they say.

use std::time::{Duration, Instant};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::{Encodable2718, eip2930::AccessList},
    primitives::{Address, Bytes, TxKind, U256, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use rand::Rng;
use surety_chain::{Contracts, OperatorInfo};
use surety_primitives::{Answer, Budget, BudgetError, RequestHash, Statement};
use tokio::task::JoinSet;

use crate::{
    evidence::Evidence,
    policy::Policy,
    rpc::{Limits, ProviderRpc, RpcError},
    verify::{Expected, Refusal, standing, verify},
};

/// Most operators of a service that are looked at.
pub const MAX_CANDIDATES: usize = 1_000;

/// Why a call could not be made at all.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The chain.
    #[error(transparent)]
    Chain(#[from] surety_chain::Error),
    /// No such service.
    #[error("there is no service {0} in the registry; check the address and --deployment")]
    UnknownService(Address),
    /// No such method.
    #[error("service {service} has no method with selector {selector}; `surety service show {service}` lists them")]
    UnknownMethod {
        /// the service
        service: Address,
        /// first four bytes of the call data
        selector: String,
    },
    /// Call data without a selector.
    #[error("the call data has {0} bytes, expected at least the 4 of a selector")]
    NoSelector(usize),
    /// Nobody to ask.
    #[error("service {0} has no bonded operator; `surety operator join` adds one")]
    NoProvider(Address),
    /// An operator of the fixed list is not one of the service's.
    #[error(
        "operator {operator} is not registered for service {service}; `surety operator status` lists those that are"
    )]
    UnknownProvider {
        /// asked for
        operator: Address,
        /// the service
        service: Address,
    },
    /// The budget.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// A budget that a gas limit cannot say.
    #[error("a budget of {0} steps is below 1000; budgets are in thousands of steps")]
    BudgetTooSmall(u64),
    /// No provider could estimate.
    #[error("no provider could estimate the steps of the call ({0}); give --budget")]
    NoEstimate(RpcError),
    /// The key.
    #[error("the request cannot be signed: {0}")]
    Sign(String),
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// raw signed transaction
    pub raw: Bytes,
    /// its hash
    pub request: RequestHash,
    /// who signed it
    pub requester: Address,
    /// what it asks
    pub statement: Statement,
    /// the program's input
    pub input: Bytes,
}

/// Why a provider gave no answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It gave none.
    #[error(transparent)]
    Unanswered(#[from] RpcError),
    /// It answered, and the answer is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The operator's standing could not be read.
    #[error("{0}")]
    Chain(String),
}

/// One provider and what came of asking it.
#[derive(Debug, Clone)]
pub struct Report {
    /// whom
    pub operator: OperatorInfo,
    /// verified answer, or why there is none
    pub outcome: Result<Box<Answer>, Failure>,
    /// from sending to verified
    pub time: Duration,
}

/// What came of a call.
#[derive(Debug, Clone)]
pub struct Called {
    /// what was asked
    pub question: Question,
    /// every provider that was asked, in the order they were chosen
    pub reports: Vec<Report>,
    /// answers wanted
    pub wanted: usize,
    /// whether one more was asked to audit the others
    pub audited: bool,
    /// what it means
    pub verdict: Verdict,
}

/// What the answers mean together.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// As many as wanted, verified, all with the same result.
    Agreed(Box<Answer>),
    /// Verified answers that differ: one of the signers is wrong and can be slashed.
    Differ(Box<Evidence>),
    /// Fewer verified answers than wanted, and none that differ.
    TooFew {
        /// verified answers
        verified: usize,
        /// the first reason that says something about a provider's honesty, else the first reason
        reason: Option<Failure>,
    },
}

/// Calls services of one deployment.
#[derive(Debug, Clone)]
pub struct Client {
    contracts: Contracts,
    limits: Limits,
}

impl Client {
    /// A client that reads the registry through `contracts`.
    pub fn new(contracts: Contracts, limits: Limits) -> Self {
        Self { contracts, limits }
    }

    /// The chain's side.
    pub fn contracts(&self) -> &Contracts {
        &self.contracts
    }

    /// The providers of a service that can be trusted with a question now.
    pub async fn providers(&self, service: Address) -> Result<Vec<OperatorInfo>, CallError> {
        let mut all = self.contracts.operators(service, MAX_CANDIDATES).await?;
        all.retain(|o| standing(o).is_ok());
        Ok(all)
    }

    /// Asks the providers, one after the other, how many steps the call takes: thousands, with a margin.
    pub async fn estimate(
        &self,
        service: Address,
        from: Address,
        data: &Bytes,
        providers: &[OperatorInfo],
    ) -> Result<Budget, CallError> {
        let mut last = None;
        for provider in providers {
            let asked = match ProviderRpc::new(&provider.endpoint, self.limits.clone()) {
                Ok(rpc) => rpc.estimate(from, service, data).await,
                Err(e) => Err(e),
            };
            match asked {
                Ok(gas) => return Ok(Budget::from_gas_limit(gas.max(1))?),
                Err(e) => last = Some(e),
            }
        }
        Err(last.map_or(CallError::NoProvider(service), CallError::NoEstimate))
    }

    /// Signs a request.
    pub async fn question(
        &self,
        signer: &PrivateKeySigner,
        service: Address,
        data: Bytes,
        budget: Budget,
        nonce: u64,
    ) -> Result<Question, CallError> {
        let selector: [u8; 4] = *data.first_chunk().ok_or(CallError::NoSelector(data.len()))?;
        let info = self
            .contracts
            .service(service)
            .await?
            .ok_or(CallError::UnknownService(service))?;
        let program = self
            .contracts
            .program_of(service, selector)
            .await?
            .ok_or_else(|| CallError::UnknownMethod {
                service,
                selector: alloy::hex::encode_prefixed(selector),
            })?;
        let gas_limit = budget.steps().div_ceil(Budget::STEPS_PER_GAS);
        if gas_limit == 0 {
            return Err(CallError::BudgetTooSmall(budget.steps()));
        }
        // What is signed is in thousands.
        let budget = Budget::from_gas_limit(gas_limit)?;
        let transaction = TxEip1559 {
            chain_id: info.chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: 0,
            max_priority_fee_per_gas: 0,
            to: TxKind::Call(service),
            value: U256::ZERO,
            access_list: AccessList::default(),
            input: data.clone(),
        };
        let signature = signer
            .sign_hash_sync(&transaction.signature_hash())
            .map_err(|e| CallError::Sign(e.to_string()))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok(Question {
            raw: envelope.encoded_2718().into(),
            request: (*envelope.tx_hash()).into(),
            requester: signer.address(),
            statement: Statement {
                service,
                program: program.into(),
                input: keccak256(&data).into(),
                budget,
            },
            input: data,
        })
    }

    /// Asks as the policy says and compares. Providers that do not answer, or whose answer is refused, are replaced
    /// by the next in the drawn order, except those of a fixed list.
    pub async fn ask<R: Rng>(&self, question: Question, policy: &Policy, rng: &mut R) -> Result<Called, CallError> {
        let service = question.statement.service;
        let candidates = if policy.fixed.is_empty() {
            self.providers(service).await?
        } else {
            let mut fixed = Vec::new();
            for operator in &policy.fixed {
                let info = self.contracts.operator(service, *operator).await?;
                if info.owner.is_zero() {
                    return Err(CallError::UnknownProvider {
                        operator: *operator,
                        service,
                    });
                }
                fixed.push(info);
            }
            fixed
        };
        if candidates.is_empty() {
            return Err(CallError::NoProvider(service));
        }
        let choice = policy.choose(candidates, rng);

        let mut next = choice.order.iter().cloned().enumerate();
        let mut running: JoinSet<(usize, Report)> = JoinSet::new();
        let mut reports: Vec<(usize, Report)> = Vec::new();
        let mut verified = 0_usize;
        loop {
            while verified.saturating_add(running.len()) < choice.wanted {
                let Some((index, operator)) = next.next() else { break };
                let (client, question) = (self.clone(), question.clone());
                running.spawn(async move { (index, client.ask_one(&question, operator).await) });
            }
            let Some(done) = running.join_next().await else { break };
            // A task that panicked is a fault of ours; it must not look like an answer.
            let Ok((index, report)) = done else { continue };
            verified += usize::from(report.outcome.is_ok());
            reports.push((index, report));
        }
        reports.sort_by_key(|(index, _)| *index);
        let reports: Vec<Report> = reports.into_iter().map(|(_, r)| r).collect();
        let verdict = self.compare(&question, &reports, choice.wanted);
        Ok(Called {
            question,
            reports,
            wanted: choice.wanted,
            audited: choice.audited,
            verdict,
        })
    }

    fn compare(&self, question: &Question, reports: &[Report], wanted: usize) -> Verdict {
        let answers: Vec<&Answer> = reports.iter().filter_map(|r| r.outcome.as_deref().ok()).collect();
        let first = answers.first();
        if answers.iter().any(|a| Some(a.result) != first.map(|f| f.result)) {
            return Verdict::Differ(Box::new(Evidence::new(
                self.contracts.deployment(),
                question.statement,
                question.input.clone(),
                answers.into_iter().cloned().collect(),
            )));
        }
        match first {
            Some(answer) if answers.len() >= wanted => Verdict::Agreed(Box::new((*answer).clone())),
            _ => {
                let failures = || reports.iter().filter_map(|r| r.outcome.as_ref().err());
                let reason = failures()
                    .find(|f| matches!(f, Failure::Refused(_)))
                    .or_else(|| failures().next());
                Verdict::TooFew {
                    verified: answers.len(),
                    reason: reason.cloned(),
                }
            }
        }
    }

    /// Asks one provider and verifies its answer.
    pub async fn ask_one(&self, question: &Question, operator: OperatorInfo) -> Report {
        let start = Instant::now();
        let outcome = self.ask_verified(question, &operator).await.map(Box::new);
        Report {
            operator,
            outcome,
            time: start.elapsed(),
        }
    }

    async fn ask_verified(&self, question: &Question, operator: &OperatorInfo) -> Result<Answer, Failure> {
        // Saves the time of asking somebody whose answer would be refused.
        standing(operator)?;
        let rpc = ProviderRpc::new(&operator.endpoint, self.limits.clone())?;
        let hash = rpc.send_request(&question.raw).await?;
        if hash != question.request.0 {
            return Err(Failure::Refused(Refusal::Statement {
                field: "request",
                found: hash.to_string(),
                expected: question.request.to_string(),
            }));
        }
        let answer = rpc
            .response(question.request)
            .await?
            .ok_or_else(|| RpcError::Malformed {
                endpoint: rpc.endpoint().to_owned(),
                method: "surety_getResponse",
                cause: "null, though it accepted the request".to_owned(),
            })?;
        let expected = Expected {
            statement: question.statement,
            request: question.request,
            requester: question.requester,
            operator: operator.operator,
        };
        // As it stands now, not as it stood when the providers were chosen.
        let now = self
            .contracts
            .operator(question.statement.service, operator.operator)
            .await
            .map_err(|e| Failure::Chain(e.to_string()))?;
        verify(&answer, &expected, &now, &self.contracts.deployment().response_domain())?;
        Ok(answer)
    }
}
