//! The provider duty for one service: what becomes of a request, an unsigned call, and a question about an answer.
//! The JSON-RPC around it is in [`crate::rpc`], the forced path in `forced`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use surety_primitives::{
    Answer, Budget, CompactSignature, Domain, Outcome, Output, Request, RequestError, RequestHash, Response, Statement,
    Status, service_chain_id,
};
use tokio::sync::Semaphore;

use crate::{
    chain::ChainClient,
    config::Limits,
    executor::{Job, Run},
    metrics::{Count, Metrics},
    pool::{Pool, PoolError},
    preimages::Sources,
    programs::Programs,
    store::{self, NewAnswer, NewRequest, RawRequest, Store, StoreError, StoredResponse},
};

/// How long the registry's answer about a method is believed without asking again.
const METHOD_FRESH: Duration = Duration::from_secs(10);
/// How long it is believed while the L1 endpoint does not answer.
const METHOD_STALE: Duration = Duration::from_secs(3_600);
/// Methods remembered, at most.
const MAX_METHODS: usize = 4_096;
/// Requests being served for each thread and each place in the queue: several may wait for one run.
const ADMITTED_PER_PLACE: usize = 4;
/// Requests being served, at least, before more are refused.
const MIN_ADMITTED: usize = 64;

/// Why something was not done. Nothing is signed then.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Not a request to this service.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Not this service.
    #[error("call to {found}, expected the service, {expected}")]
    NotThisService {
        /// The address called.
        found: Address,
        /// The service.
        expected: Address,
    },
    /// Fewer than four bytes of data.
    #[error("data has {found} bytes, expected at least the 4 of a method's selector")]
    NoSelector {
        /// Bytes found.
        found: usize,
    },
    /// No such method.
    #[error("the service {service} has no method {}", alloy::primitives::hex::encode_prefixed(.selector))]
    UnknownMethod {
        /// The service.
        service: Address,
        /// The selector called.
        selector: [u8; 4],
    },
    /// The program is registered but not on this machine.
    #[error("this provider does not have program {0}; ask another")]
    NoProgram(B256),
    /// More steps than allowed.
    #[error("a budget of {found} steps is above this provider's limit of {limit}; lower the gas limit")]
    Budget {
        /// Steps asked for.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// An unsigned run did not end within its bound.
    #[error("the call does not end within {limit} steps, the most this provider runs without a signed request")]
    CallBudget {
        /// The limit.
        limit: u64,
    },
    /// The pool refused or the run failed.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The L1 endpoint does not say what the method's program is.
    #[error("the registry cannot be read now: {0}; retry later")]
    Chain(String),
    /// A fault of this node.
    #[error("internal: {0}")]
    Internal(String),
}

/// What the registry said of a method, and when.
type Method = (Instant, Option<B256>);

/// The provider of one service.
pub struct Provider {
    service: Address,
    chain_id: u64,
    domain: Domain,
    signer: PrivateKeySigner,
    store: Arc<Store>,
    pool: Arc<Pool>,
    programs: Arc<Programs>,
    sources: Arc<Sources>,
    chain: Arc<dyn ChainClient>,
    limits: Limits,
    metrics: Arc<Metrics>,
    methods: Mutex<HashMap<[u8; 4], Method>>,
    /// Requests being served, whether or not their clients still wait.
    admitted: Arc<Semaphore>,
    /// Answers made of runs that somebody still holds, for all who waited for the same run.
    answers: Mutex<Vec<(Weak<Run>, NewAnswer)>>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// What providers of several services share.
#[derive(Clone)]
pub struct Shared {
    /// Of the signed responses.
    pub domain: Domain,
    /// The operator's key.
    pub signer: PrivateKeySigner,
    /// The store.
    pub store: Arc<Store>,
    /// The worker threads.
    pub pool: Arc<Pool>,
    /// The programs.
    pub programs: Arc<Programs>,
    /// The preimage sources.
    pub sources: Arc<Sources>,
    /// The L1.
    pub chain: Arc<dyn ChainClient>,
    /// Bounds.
    pub limits: Limits,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// The provider of `service`.
    pub fn new(service: Address, shared: Shared) -> Self {
        let Shared {
            domain,
            signer,
            store,
            pool,
            programs,
            sources,
            chain,
            limits,
            metrics,
        } = shared;
        let chain_id = service_chain_id(domain.chain_id, service);
        let methods = Mutex::default();
        let places = (limits.queue as usize).saturating_add(limits.workers as usize);
        let admitted = Arc::new(Semaphore::new(
            places
                .saturating_mul(ADMITTED_PER_PLACE)
                .clamp(MIN_ADMITTED, Semaphore::MAX_PERMITS),
        ));
        Self {
            service,
            chain_id,
            domain,
            signer,
            store,
            pool,
            programs,
            sources,
            chain,
            limits,
            metrics,
            methods,
            admitted,
            answers: Mutex::default(),
        }
    }

    /// The service's contract.
    pub fn service(&self) -> Address {
        self.service
    }

    /// The chain id that requests are signed for.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Who signs.
    pub fn operator(&self) -> Address {
        self.signer.address()
    }

    /// The EIP-712 domain of responses.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The worker threads.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The programs.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A preimage that is on this machine.
    pub async fn preimage(&self, hash: B256) -> Option<Bytes> {
        let sources = self.sources.clone();
        tokio::task::spawn_blocking(move || sources.local(hash))
            .await
            .ok()
            .flatten()
    }

    /// Executes a signed request, stores it and its answer durably, and returns its hash. The same request always has
    /// the same answer.
    pub async fn submit(self: &Arc<Self>, raw: Bytes) -> Result<RequestHash, ProviderError> {
        self.metrics.count(Count::Request);
        // Each holds its data until it is served.
        let Ok(place) = self.admitted.clone().try_acquire_owned() else {
            self.metrics.count(Count::Busy);
            let (queued, _) = self.pool.load();
            return Err(PoolError::Busy { queued }.into());
        };
        let this = self.clone();
        // Detached: a client that hangs up must not undo work that another attempt will ask for.
        let outcome = tokio::spawn(async move {
            let _place = place;
            this.serve(raw).await
        })
        .await
        .map_err(|e| ProviderError::Internal(e.to_string()))?;
        match &outcome {
            Ok(_) => self.metrics.count(Count::Answered),
            Err(ProviderError::Pool(PoolError::Busy { .. })) => self.metrics.count(Count::Busy),
            Err(error) => {
                self.metrics.count(Count::Declined);
                tracing::info!(%error, service = %self.service, "declined a request");
            }
        }
        outcome
    }

    async fn serve(self: Arc<Self>, raw: Bytes) -> Result<RequestHash, ProviderError> {
        let request = Request::decode(&raw, self.chain_id, self.service)?;
        if self.store.response(request.hash.0)?.is_some() {
            return Ok(request.hash);
        }
        let (budget, limit) = (request.budget.steps(), self.limits.budget);
        if budget > limit {
            return Err(ProviderError::Budget { found: budget, limit });
        }
        let program = self.program_of(&request.data).await?;
        let statement = self.statement(program, &request.data, request.budget);
        let (hash, requester) = (request.hash, request.requester);
        let new = NewRequest {
            hash: hash.0,
            requester,
            raw: RawRequest::Transaction(raw),
        };
        self.settle(new, statement, request.data).await?;
        Ok(hash)
    }

    /// Answers a request to this service made on-chain.
    pub async fn answer_forced(self: &Arc<Self>, request: ForcedCall) -> Result<Answer, ProviderError> {
        let ForcedCall {
            hash,
            requester,
            program,
            data,
            budget,
        } = request;
        // The contract takes any length. More than one transaction can show on-chain could not be defended.
        if data.len() > surety_primitives::MAX_DATA_BYTES {
            return Err(RequestError::DataTooLong { found: data.len() }.into());
        }
        let statement = self.statement(program, &data, budget);
        let raw = RawRequest::Forced(store::ForcedRequest { data: data.clone() });
        let new = NewRequest {
            hash: hash.0,
            requester,
            raw,
        };
        let stored = match self.store.response(hash.0)? {
            // The hash may have been another request's, before a reorganisation.
            Some(stored) if stored.requester == requester && stored.answer.statement() == Some(statement.id().0) => {
                stored
            }
            _ => self.settle(new, statement, data).await?,
        };
        self.sign(&stored)
    }

    /// Makes the answer to a statement durable together with the request: from the store if it is there, otherwise by
    /// a run.
    async fn settle(
        &self,
        request: NewRequest,
        statement: Statement,
        input: Bytes,
    ) -> Result<StoredResponse, ProviderError> {
        let id = statement.id();
        let answer = if self.store.answer(id.0)?.is_some() {
            None
        } else {
            self.store.check_room(&request.raw)?;
            let run = self.run(statement, input).await?;
            Some(self.answer_of(&statement, &run))
        };
        let store = self.store.clone();
        let recorded = tokio::task::spawn_blocking(move || store.record(request, id.0, answer))
            .await
            .map_err(|e| ProviderError::Internal(e.to_string()))??;
        if recorded.contradicted {
            self.metrics.count(Count::Contradiction);
            tracing::error!(statement = %id, "a run contradicts the stored outcome, which stands: check this machine");
        }
        Ok(recorded.response)
    }

    /// Runs an unsigned call. It is stopped when the caller goes away.
    pub async fn call(&self, to: Address, data: Bytes, budget: Option<u64>) -> Result<Arc<Run>, ProviderError> {
        self.metrics.count(Count::Call);
        if to != self.service {
            return Err(ProviderError::NotThisService {
                found: to,
                expected: self.service,
            });
        }
        if data.len() > surety_primitives::MAX_DATA_BYTES {
            return Err(RequestError::DataTooLong { found: data.len() }.into());
        }
        let limit = self.limits.call_budget;
        let budget = budget.unwrap_or(limit).min(limit);
        let program = self.program_of(&data).await?;
        let budget = Budget::new(budget).map_err(|e| ProviderError::Internal(e.to_string()))?;
        let statement = self.statement(program, &data, budget);
        let outcome = self.run(statement, data).await;
        if let Err(ProviderError::Pool(PoolError::Busy { .. })) = outcome {
            self.metrics.count(Count::Busy);
        }
        outcome
    }

    /// What a run leaves to be stored, made once for all who waited for it: outputs are large.
    fn answer_of(&self, statement: &Statement, run: &Arc<Run>) -> NewAnswer {
        let Ok(mut answers) = self.answers.lock() else {
            return new_answer(statement, run);
        };
        answers.retain(|(run, _)| run.strong_count() > 0);
        let known = answers
            .iter()
            .find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(run)));
        if let Some((_, answer)) = known {
            return answer.clone();
        }
        let answer = new_answer(statement, run);
        answers.push((Arc::downgrade(run), answer.clone()));
        answer
    }

    async fn run(&self, statement: Statement, input: Bytes) -> Result<Arc<Run>, ProviderError> {
        let hash = statement.program.0;
        let program = match self.programs.loaded(hash) {
            Some(program) => program,
            None => {
                let programs = self.programs.clone();
                tokio::task::spawn_blocking(move || programs.get(hash))
                    .await
                    .map_err(|e| ProviderError::Internal(e.to_string()))?
                    .ok_or(ProviderError::NoProgram(hash))?
            }
        };
        let output_limit = usize::try_from(self.limits.output_bytes).unwrap_or(usize::MAX);
        let output_limit = output_limit.min(surety_primitives::MAX_OUTPUT_BYTES);
        Ok(self
            .pool
            .run(Job {
                statement,
                program,
                input,
                output_limit,
            })
            .await?)
    }

    fn statement(&self, program: B256, data: &Bytes, budget: Budget) -> Statement {
        Statement {
            service: self.service,
            program: program.into(),
            input: keccak256(data).into(),
            budget,
        }
    }

    /// The program of the method that `data` calls, from the registry.
    async fn program_of(&self, data: &Bytes) -> Result<B256, ProviderError> {
        let selector = *data
            .first_chunk::<4>()
            .ok_or(ProviderError::NoSelector { found: data.len() })?;
        let known = self.methods.lock().ok().and_then(|m| m.get(&selector).copied());
        let unknown = || ProviderError::UnknownMethod {
            service: self.service,
            selector,
        };
        if let Some((at, program)) = known
            && at.elapsed() < METHOD_FRESH
        {
            return program.ok_or_else(unknown);
        }
        let program = match (self.chain.program_of(self.service, selector).await, known) {
            (Ok(program), _) => program,
            // An answer says which program it is of, so an old one is not wrong, only perhaps not wanted any more.
            (Err(error), Some((at, Some(program)))) if at.elapsed() < METHOD_STALE => {
                self.metrics.count(Count::ChainError);
                tracing::warn!(%error, "the registry cannot be read; using what it said before");
                return Ok(program);
            }
            (Err(error), _) => {
                self.metrics.count(Count::ChainError);
                return Err(ProviderError::Chain(error.to_string()));
            }
        };
        if let Ok(mut methods) = self.methods.lock() {
            if methods.len() >= MAX_METHODS {
                methods.clear();
            }
            methods.insert(selector, (Instant::now(), program));
        }
        program.ok_or_else(unknown)
    }

    /// The signed answer to a request, from what is stored.
    pub fn response(&self, request: B256) -> Result<Option<Answer>, ProviderError> {
        match self.store.response(request)? {
            Some(stored) if stored.answer.service == self.service => self.sign(&stored).map(Some),
            _ => Ok(None),
        }
    }

    /// Signs what is stored. The only place a response is signed, and only of a finished commit.
    fn sign(&self, stored: &StoredResponse) -> Result<Answer, ProviderError> {
        sign_stored(&self.signer, &self.domain, stored)
    }
}

/// A request made on-chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedCall {
    /// Its hash.
    pub hash: RequestHash,
    /// Who called.
    pub requester: Address,
    /// The program the service named.
    pub program: B256,
    /// The call.
    pub data: Bytes,
    /// The service's maximum.
    pub budget: Budget,
}

/// What a run leaves to be stored.
pub(crate) fn new_answer(statement: &Statement, run: &Run) -> NewAnswer {
    NewAnswer {
        answer: store::Answer {
            service: statement.service,
            program: statement.program.0,
            input: statement.input.0,
            budget: statement.budget.steps(),
            status: run.outcome.status as u8,
            exit: run.outcome.exit,
            output_root: run.outcome.output_root.0,
            output: Bytes::copy_from_slice(run.output.bytes()),
            chunks: run.output.chunks().map(Bytes::copy_from_slice).unwrap_or_default(),
        },
        preimages: run.preimages.clone(),
    }
}

/// Signs a stored response.
pub(crate) fn sign_stored(
    signer: &PrivateKeySigner,
    domain: &Domain,
    stored: &StoredResponse,
) -> Result<Answer, ProviderError> {
    let internal = |e: String| ProviderError::Internal(e);
    let a = &stored.answer;
    let statement = Statement {
        service: a.service,
        program: a.program.into(),
        input: a.input.into(),
        budget: Budget::new(a.budget).map_err(|e| internal(e.to_string()))?,
    };
    let status = Status::try_from(a.status).map_err(|e| internal(e.to_string()))?;
    let outcome = Outcome {
        status,
        exit: a.exit,
        output_root: a.output_root.into(),
    };
    let output = if a.chunks.is_empty() {
        Output::canonical(a.output.to_vec())
    } else {
        Output::with_chunks(a.output.to_vec(), a.chunks.iter().map(|n| u64::from(*n)))
    };
    let output = output.map_err(|e| internal(e.to_string()))?;
    let result = outcome.result_hash();
    let response = Response {
        statement,
        request: stored.request.into(),
        requester: stored.requester,
        result,
    };
    let signature = signer
        .sign_hash_sync(&response.digest(domain))
        .map_err(|e| internal(e.to_string()))?;
    Ok(Answer {
        statement,
        request: response.request,
        requester: response.requester,
        outcome,
        result,
        output,
        operator: signer.address(),
        signature: CompactSignature::from(signature),
    })
}
