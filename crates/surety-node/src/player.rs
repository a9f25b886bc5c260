//! The dispute player's driver: feeds the chain's events to [`surety_protocol::dispute::Player`], and carries out what
//! it wants: runs the machine again, makes witnesses, sends transactions.
//!
//! All of the game's state is on the chain. After a restart, however abrupt, the events lead to the same wishes; every
//! move names the head it answers, so sending one twice changes nothing; and before anything is sent, the dispute is
//! read again. So nothing here needs to be stored but where to begin to read.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256},
    signers::SignerSync,
};
use surety_chain::{Error, Severity};
use surety_primitives::{
    ClaimDetail, CompactSignature, DisputeId, Domain, Outcome, Response, ResultHash, Signed, Statement, Status,
};
use surety_protocol::dispute::{Effect, Event, Input, Player, Policy};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit, mpsc},
    task::JoinHandle,
};

use crate::{
    chain::ChainClient,
    config::{Limits, PlayerConfig},
    executor::{Executor, Job, RunFailure, Stop},
    metrics::{Count, Metrics},
    preimages::{Lookup, RunPreimages, Sources},
    programs::Programs,
    provider::new_answer,
    store::Store,
    trace::{Tracer, preimage, preimage_until},
};

/// Results that tasks have for the player, waiting.
const QUEUE: usize = 256;
/// Computations at a time for disputes that this node defends itself in.
const COMPUTATIONS: usize = 2;
/// Tasks under way to defend this node's own claims; more means something hangs.
const MAX_TASKS: usize = 1_024;
/// Transactions under way to join, expire and settle. Strangers choose how many of these there are to do, so they have
/// places of their own.
const MAX_HELP: usize = 8;
/// Runs of statements of others' disputes under way or waiting. They take turns in the order they were asked for, so
/// that those which fail and are asked for again do not keep others waiting for ever.
const MAX_RUNS: usize = 1_024;
/// Runs of statements of others' disputes at a time.
const HELPING_RUNS: usize = 1;
/// Disputes whose head is compared with the chain's at a time.
const MAX_AUDITS: usize = 16;
/// Longest wait between two readings of the chain from the start of a dispute, when events do not fit together.
const REPLAY_PAUSE: Duration = Duration::from_secs(10);

/// What the driver works with.
#[derive(Clone)]
pub(crate) struct Tools {
    /// The L1.
    pub(crate) chain: Arc<dyn ChainClient>,
    /// Runs the disputed program again.
    pub(crate) tracer: Arc<dyn Tracer>,
    /// Runs a statement this node has not answered.
    pub(crate) executor: Arc<dyn Executor>,
    /// What this node has answered.
    pub(crate) store: Arc<Store>,
    /// The programs.
    pub(crate) programs: Arc<Programs>,
    /// The preimages.
    pub(crate) sources: Arc<Sources>,
    /// The operator's key.
    pub(crate) signer: alloy::signers::local::PrivateKeySigner,
    /// Of the signed responses.
    pub(crate) domain: Domain,
    /// The services this node provides: it joins disputes of no others.
    pub(crate) services: Vec<Address>,
    /// What it does by itself.
    pub(crate) config: PlayerConfig,
    /// Bounds of a run.
    pub(crate) limits: Limits,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Where preimages are fetched.
    pub(crate) runtime: Handle,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools")
            .field("services", &self.services)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The player and its tasks. Owned by the watcher, which feeds it.
pub(crate) struct PlayerDriver {
    tools: Tools,
    player: Player,
    results: mpsc::Receiver<Input>,
    sender: mpsc::Sender<Input>,
    tasks: Vec<Task>,
    permits: Permits,
    replay: bool,
    replayed: Option<Instant>,
    statements: HashMap<DisputeId, Statement>,
    /// Matches that this operator plays, as the events tell of them.
    matches: HashMap<DisputeId, Match>,
    audits: Vec<JoinHandle<()>>,
    /// Heads that the chain was found to have moved on from.
    behind: Behind,
}

/// Disputes, and the head that is known of each but is no longer the chain's.
type Behind = Arc<Mutex<Vec<(DisputeId, B256)>>>;

/// Something under way.
struct Task {
    effect: Effect,
    handle: JoinHandle<()>,
    cancelled: Arc<AtomicBool>,
}

impl Task {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.handle.abort();
    }
}

/// Places for what must not be done too often at a time.
#[derive(Clone)]
struct Permits {
    /// Computations to defend oneself.
    computing: Arc<Semaphore>,
    /// Runs of others' statements.
    runs: Arc<Semaphore>,
    /// Transactions that help others: one at a time, for a move of our own may wait behind it.
    help: Arc<Semaphore>,
}

/// What is known of a dispute this operator has a claim in.
#[derive(Default)]
struct Match {
    own: Option<u8>,
    parties: Option<(u8, u8)>,
    head: B256,
    /// When the head was last compared with the chain's, in the chain's time.
    audited: u64,
    /// Whether it was found to differ then.
    differed: bool,
}

impl Match {
    fn is_played(&self) -> bool {
        self.own
            .is_some_and(|own| self.parties.is_some_and(|(a, b)| own == a || own == b))
    }
}

/// To which places an effect belongs.
#[derive(PartialEq, Eq)]
enum Kind {
    Defence,
    Run,
    Help,
}

fn kind(effect: &Effect) -> Kind {
    match effect {
        Effect::NeedResult { .. } => Kind::Run,
        Effect::SendJoin { .. } | Effect::SendExpire { .. } | Effect::SendSettle { .. } => Kind::Help,
        _ => Kind::Defence,
    }
}

fn dispute_of(effect: &Effect) -> DisputeId {
    match effect {
        Effect::NeedResult { dispute, .. }
        | Effect::NeedValues { dispute, .. }
        | Effect::NeedWitness { dispute, .. }
        | Effect::ShowPreimage { dispute, .. }
        | Effect::SendJoin { dispute, .. }
        | Effect::SendDissect { dispute, .. }
        | Effect::SendStep { dispute, .. }
        | Effect::SendExpire { dispute }
        | Effect::SendSettle { dispute, .. }
        | Effect::Replay { dispute } => *dispute,
    }
}

impl std::fmt::Debug for PlayerDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlayerDriver")
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

impl PlayerDriver {
    /// A driver that knows nothing of the chain yet. `clock` is the contract's, in seconds.
    pub(crate) fn new(tools: Tools, clock: u64) -> Self {
        let (sender, results) = mpsc::channel(QUEUE);
        let policy = Policy {
            resend_after: tools.config.resend_seconds,
            grace: tools.config.grace_seconds,
            clock,
        };
        let player = Player::new(tools.signer.address(), policy).keeping(tools.services.iter().copied());
        Self {
            tools,
            player,
            results,
            sender,
            tasks: vec![],
            permits: Permits {
                computing: Arc::new(Semaphore::new(COMPUTATIONS)),
                runs: Arc::new(Semaphore::new(HELPING_RUNS)),
                help: Arc::new(Semaphore::new(1)),
            },
            replay: false,
            replayed: None,
            statements: HashMap::new(),
            matches: HashMap::new(),
            audits: vec![],
            behind: Behind::default(),
        }
    }

    /// Tells the player something and starts what it then wants.
    pub(crate) fn handle(&mut self, input: Input) {
        // The player speaks of disputes by id; the machine is asked about statements.
        if let Input::Event {
            dispute,
            event: Event::Opened { statement, .. },
            ..
        } = &input
        {
            self.statements.insert(*dispute, *statement);
        }
        let settled = match &input {
            Input::Event {
                dispute,
                event: Event::Settled { .. },
                ..
            } => Some(*dispute),
            _ => None,
        };
        self.follow(&input);
        if let Some(dispute) = settled {
            for task in self.tasks.iter().filter(|task| dispute_of(&task.effect) == dispute) {
                task.cancel();
            }
        }
        let time = match &input {
            Input::Tick(time) => Some(*time),
            _ => None,
        };
        for effect in self.player.handle(input) {
            self.start(effect);
        }
        if let Some(time) = time {
            self.audit(time);
        }
        if let Some(dispute) = settled {
            self.statements.remove(&dispute);
        }
    }

    /// Notes the heads of the matches this operator plays.
    fn follow(&mut self, input: &Input) {
        let (dispute, event) = match input {
            Input::Event { dispute, event, .. } => (*dispute, event),
            Input::Reset => return self.matches.clear(),
            _ => return,
        };
        match event {
            Event::Claimed { index, detail } if detail.operator == self.operator() => {
                self.matches.entry(dispute).or_default().own = Some(*index);
            }
            Event::MatchStarted { a, b, head, .. } => {
                if let Some(known) = self.matches.get_mut(&dispute) {
                    known.parties = Some((*a, *b));
                    known.head = *head;
                    known.differed = false;
                }
            }
            Event::Dissected { head, .. } => {
                if let Some(known) = self.matches.get_mut(&dispute) {
                    known.head = *head;
                    known.differed = false;
                }
            }
            Event::Eliminated { index, .. } => {
                if let Some(known) = self.matches.get_mut(&dispute)
                    && known.parties.is_some_and(|(a, b)| *index == a || *index == b)
                {
                    known.parties = None;
                }
            }
            Event::Opened { .. } | Event::Settled { .. } => {
                self.matches.remove(&dispute);
            }
            _ => {}
        }
    }

    /// Compares the heads of the matches this operator plays with the chain's, now and then: a log that an endpoint
    /// lost must not cost the clock. A head that differs twice is no mere delay; then all events are read again.
    fn audit(&mut self, now: u64) {
        let every = self.tools.config.resend_seconds;
        let found = self
            .behind
            .lock()
            .map(|mut b| std::mem::take(&mut *b))
            .unwrap_or_default();
        for (dispute, head) in found {
            let Some(known) = self
                .matches
                .get_mut(&dispute)
                .filter(|m| m.is_played() && m.head == head)
            else {
                continue;
            };
            if std::mem::replace(&mut known.differed, true) {
                tracing::warn!(%dispute, "the chain is at another move than the events tell; reading them again");
                known.differed = false;
                self.replay = true;
            }
        }
        self.audits.retain(|task| !task.is_finished());
        for (dispute, known) in self.matches.iter_mut().filter(|(_, m)| m.is_played()) {
            if now.saturating_sub(known.audited) < every || self.audits.len() >= MAX_AUDITS {
                continue;
            }
            // The first look is for the time after the first pause.
            if std::mem::replace(&mut known.audited, now) == 0 {
                continue;
            }
            let (chain, behind) = (self.tools.chain.clone(), self.behind.clone());
            let (dispute, head) = (*dispute, known.head);
            self.audits.push(tokio::spawn(async move {
                if let Ok(view) = chain.dispute(dispute).await
                    && !view.is_some_and(|view| view.matchRunning && view.head == head)
                    && let Ok(mut behind) = behind.lock()
                {
                    behind.push((dispute, head));
                }
            }));
        }
    }

    /// Waits for a task's result; pending for ever while there is none.
    pub(crate) async fn next_result(&mut self) -> Option<Input> {
        self.results.recv().await
    }

    /// Whom it plays for.
    pub(crate) fn operator(&self) -> Address {
        self.tools.signer.address()
    }

    /// Whether all events are to be read again; asking resets it. Not more often than every few seconds, however
    /// little they fit together.
    pub(crate) fn take_replay(&mut self) -> bool {
        let pause = REPLAY_PAUSE.min(Duration::from_secs(self.tools.config.resend_seconds));
        if !self.replay || self.replayed.is_some_and(|at| at.elapsed() < pause) {
            return false;
        }
        self.replay = false;
        self.replayed = Some(Instant::now());
        true
    }

    /// Gives up what is computed; transactions that were sent stay sent.
    pub(crate) fn stop(&mut self) {
        for task in self.tasks.drain(..) {
            task.cancel();
        }
        for audit in self.audits.drain(..) {
            audit.abort();
        }
    }

    fn start(&mut self, effect: Effect) {
        self.tasks.retain(|task| !task.handle.is_finished());
        if let Effect::Replay { dispute } = effect {
            tracing::warn!(%dispute, "events do not fit together; reading them again");
            self.replay = true;
            return;
        }
        if !self.wanted(&effect) || self.is_under_way(&effect) {
            return;
        }
        let kind = kind(&effect);
        let tasks = self
            .tasks
            .iter()
            .filter(|task| self::kind(&task.effect) == kind)
            .count();
        if kind == Kind::Defence && tasks >= MAX_TASKS {
            tracing::error!(tasks, "too much under way; this will be asked for again");
            return;
        }
        let places = if kind == Kind::Run { MAX_RUNS } else { MAX_HELP };
        if kind != Kind::Defence && tasks >= places {
            tracing::debug!(
                tasks,
                effect = name(&effect),
                "helping others enough; this will be asked for again"
            );
            return;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let work = Work {
            tools: self.tools.clone(),
            results: self.sender.clone(),
            permits: self.permits.clone(),
            stop: Stop::on(cancelled.clone()),
            cancelled: cancelled.clone(),
            statement: match &effect {
                Effect::NeedValues { dispute, .. } | Effect::NeedWitness { dispute, .. } => {
                    self.statements.get(dispute).copied()
                }
                _ => None,
            },
        };
        let handle = tokio::spawn(work.carry_out(effect.clone()));
        self.tasks.push(Task {
            effect,
            handle,
            cancelled,
        });
    }

    fn is_under_way(&self, effect: &Effect) -> bool {
        self.tasks
            .iter()
            .any(|task| task.effect == *effect && !task.cancelled.load(Ordering::Relaxed))
    }

    /// What the operator lets the player do.
    fn wanted(&self, effect: &Effect) -> bool {
        let config = &self.tools.config;
        match effect {
            Effect::NeedResult { statement, .. } | Effect::SendJoin { statement, .. } => {
                config.join && self.tools.services.contains(&statement.service)
            }
            Effect::SendExpire { .. } | Effect::SendSettle { .. } => config.settle,
            _ => config.defend,
        }
    }
}

impl Drop for PlayerDriver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What one task needs.
struct Work {
    tools: Tools,
    results: mpsc::Sender<Input>,
    permits: Permits,
    stop: Stop,
    cancelled: Arc<AtomicBool>,
    /// What a question about the trace is about.
    statement: Option<Statement>,
}

/// Why a task came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Chain(#[from] Error),
    #[error(transparent)]
    Run(#[from] RunFailure),
    #[error("{0}")]
    Local(String),
}

impl Failure {
    /// Whether the same may work later.
    fn is_temporary(&self) -> bool {
        match self {
            Failure::Chain(e) => e.severity() == Severity::Temporary,
            // Somebody may yet come who has it, or other runs end.
            Failure::Run(RunFailure::MissingPreimage(_) | RunFailure::Memory(_)) => true,
            Failure::Run(_) | Failure::Local(_) => false,
        }
    }
}

impl Work {
    /// Tries until it is done, refused, or no longer wanted.
    async fn carry_out(self, effect: Effect) {
        let mut pause = Duration::from_secs(1);
        let longest = Duration::from_secs(self.tools.config.max_backoff_seconds);
        loop {
            let name = name(&effect);
            match self.attempt(&effect).await {
                Ok(()) => return,
                Err(failure) => {
                    self.tools.metrics.count(Count::ChainError);
                    if !failure.is_temporary() {
                        // A refusal mostly means that somebody was first, and the events will tell.
                        tracing::warn!(%failure, effect = name, "not done");
                        return;
                    }
                    // Strangers choose what is asked here. The player asks again as long as one can join.
                    if kind(&effect) == Kind::Run {
                        tracing::info!(%failure, effect = name, "not done now");
                        return;
                    }
                    tracing::warn!(%failure, effect = name, pause = pause.as_secs(), "failed; trying again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(longest);
        }
    }

    async fn attempt(&self, effect: &Effect) -> Result<(), Failure> {
        match effect {
            Effect::NeedResult { dispute, statement } => {
                let result = self.result(*statement).await?;
                self.tell(Input::Result {
                    dispute: *dispute,
                    result,
                })
                .await;
            }
            Effect::NeedValues { dispute, positions } => {
                let statement = self.statement()?;
                let (tracer, stop, at) = (self.tools.tracer.clone(), self.stop.clone(), positions.clone());
                let roots = self.blocking(move || tracer.values(&statement, &at, &stop)).await?;
                let values = positions.iter().copied().zip(roots).collect();
                self.tell(Input::Values {
                    dispute: *dispute,
                    values,
                })
                .await;
            }
            Effect::NeedWitness {
                dispute,
                position,
                kind,
            } => {
                let statement = self.statement()?;
                let (tracer, stop, at, kind) = (self.tools.tracer.clone(), self.stop.clone(), *position, *kind);
                let found = self
                    .blocking(move || tracer.witness(&statement, at, kind, &stop))
                    .await?;
                let (witness, preimage) = (found.bytes, found.preimage);
                self.tell(Input::Witness {
                    dispute: *dispute,
                    position: at,
                    witness,
                    preimage,
                })
                .await;
            }
            Effect::ShowPreimage { part, .. } => {
                if !self.tools.chain.is_shown(part.hash, part.offset).await? {
                    let (sources, runtime, hash) = (self.tools.sources.clone(), self.tools.runtime.clone(), part.hash);
                    let data = self
                        .blocking(move || preimage(&sources, &runtime, hash).ok_or(RunFailure::MissingPreimage(hash)))
                        .await?;
                    let sent = self.tools.chain.show(data, vec![part.offset]).await?;
                    tracing::info!(hash = %part.hash, offset = part.offset, gas = sent.gas, "showed a preimage");
                }
                self.tell(Input::Shown(*part)).await;
            }
            Effect::SendJoin {
                dispute,
                statement,
                opener,
                claims,
                result,
            } => {
                let _turn = self.turn().await?;
                self.join(*dispute, statement, *opener, claims, *result).await?;
            }
            Effect::SendDissect {
                dispute,
                head,
                segment,
                points,
            } => {
                if self.is_current(*dispute, *head).await? {
                    let sent = self.tools.chain.dissect(*dispute, *head, *segment, **points).await?;
                    self.moved(*dispute, *head, &sent, "dissected").await;
                }
            }
            Effect::SendStep {
                dispute,
                statement,
                opener,
                head,
                segment,
                openings,
                witness,
            } => {
                if self.is_current(*dispute, *head).await? {
                    let (openings, witness) = (openings.clone().into(), witness.clone().into());
                    let sent = self
                        .tools
                        .chain
                        .step(statement, *opener, *head, *segment, openings, witness)
                        .await?;
                    self.moved(*dispute, *head, &sent, "proved the step").await;
                }
            }
            Effect::SendExpire { dispute } => {
                let _turn = self.turn().await?;
                if self
                    .tools
                    .chain
                    .dispute(*dispute)
                    .await?
                    .is_some_and(|view| view.matchRunning)
                {
                    let sent = self.tools.chain.expire(*dispute).await?;
                    self.tools.metrics.count(Count::Expired);
                    tracing::info!(%dispute, gas = sent.gas, "expired a silent opponent");
                }
            }
            Effect::SendSettle {
                dispute,
                statement,
                opener,
                claims,
            } => {
                let _turn = self.turn().await?;
                if self.tools.chain.dispute(*dispute).await?.is_some() {
                    let sent = self.tools.chain.settle(statement, *opener, claims).await?;
                    self.tools.metrics.count(Count::Settled);
                    tracing::info!(%dispute, gas = sent.gas, "settled a dispute");
                }
            }
            Effect::Replay { .. } => {}
        }
        Ok(())
    }

    fn statement(&self) -> Result<Statement, Failure> {
        self.statement
            .ok_or_else(|| Failure::Local("asked about a dispute whose opening was not seen".into()))
    }

    async fn tell(&self, input: Input) {
        // The driver is gone only when the node stops.
        let _stopped = self.results.send(input).await;
    }

    async fn moved(&self, dispute: DisputeId, head: alloy::primitives::B256, sent: &crate::chain::Receipt, what: &str) {
        self.tools.metrics.count(Count::Move);
        tracing::info!(%dispute, gas = sent.gas, transaction = %sent.hash, "{what}");
        let (store, hash) = (self.tools.store.clone(), sent.hash);
        let noted = tokio::task::spawn_blocking(move || store.set_move(dispute.0, head, hash)).await;
        if !matches!(noted, Ok(Ok(()))) {
            // For the operator's information only: the chain knows.
            tracing::warn!(%dispute, "a move could not be noted");
        }
    }

    /// Whether the head is still the one to answer, and it is this operator's turn.
    async fn is_current(&self, dispute: DisputeId, head: alloy::primitives::B256) -> Result<bool, Failure> {
        let view = self.tools.chain.dispute(dispute).await?;
        Ok(view.is_some_and(|view| view.matchRunning && view.head == head))
    }

    /// Waits for the turn to send a transaction that helps others.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let turn = self.permits.help.acquire().await;
        turn.map_err(|e| Failure::Local(e.to_string()))
    }

    /// Runs something on a thread of its own, a few at a time.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RunFailure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.blocking_in(&self.permits.computing, work).await
    }

    async fn blocking_in<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        work: impl FnOnce() -> Result<T, RunFailure> + Send + 'static,
    ) -> Result<T, Failure> {
        let permit = places.clone().acquire_owned().await;
        let permit = permit.map_err(|e| Failure::Local(e.to_string()))?;
        // The place is free when the work has ended, which is later than when nobody waits for it any more.
        let work = move || {
            let _permit = permit;
            work()
        };
        let done = tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| Failure::Local(e.to_string()))?;
        Ok(done?)
    }

    /// The right result of a statement: what is stored, or of a run, which is stored. `None` where this node cannot
    /// tell.
    async fn result(&self, statement: Statement) -> Result<Option<ResultHash>, Failure> {
        let stored = self
            .tools
            .store
            .answer(statement.id().0)
            .map_err(|e| Failure::Local(e.to_string()))?;
        if let Some(answer) = stored {
            return outcome(&answer).map(|o| Some(o.result_hash()));
        }
        let limit = self.tools.limits.budget;
        if statement.budget.steps() > limit {
            tracing::warn!(statement = %statement.id(), limit, "a disputed statement is above the limit of steps");
            return Ok(None);
        }
        let (tools, cancelled) = (self.tools.clone(), self.cancelled.clone());
        let work = move || {
            let cancelled = Arc::new(move || cancelled.load(Ordering::Relaxed));
            let stop = Stop::after(tools.limits.program_time(), cancelled);
            run_unknown(&tools, &statement, &stop)
        };
        match self.blocking_in(&self.permits.runs, work).await {
            Ok(result) => Ok(Some(result)),
            // A run above the limits is above them the next time too.
            Err(Failure::Run(
                failure @ (RunFailure::OutputLimit { .. }
                | RunFailure::PreimageLimit { .. }
                | RunFailure::TimedOut { .. }),
            )) => {
                tracing::warn!(%failure, statement = %statement.id(), "this node cannot tell who is right");
                Ok(None)
            }
            // Anything else may be better when the player asks again.
            Err(failure) => Err(failure),
        }
    }

    async fn join(
        &self,
        dispute: DisputeId,
        statement: &Statement,
        opener: Address,
        claims: &[ClaimDetail],
        result: ResultHash,
    ) -> Result<(), Failure> {
        let operator = self.tools.signer.address();
        if !self.tools.chain.is_bonded(statement.service, operator).await? {
            return Err(Failure::Local(
                "cannot join: this operator is not bonded for the service".into(),
            ));
        }
        // Only what is durable is signed.
        let stored = self
            .tools
            .store
            .answer(statement.id().0)
            .map_err(|e| Failure::Local(e.to_string()))?;
        let durable = stored.as_ref().map(outcome).transpose()?.map(|o| o.result_hash());
        if durable != Some(result) {
            return Err(Failure::Local(format!("will not sign {result}: stored is {durable:?}")));
        }
        let Some(first) = claims.first() else {
            return Err(Failure::Local("a dispute without claims".into()));
        };
        let response = Response {
            statement: *statement,
            request: first.request,
            requester: first.requester,
            result,
        };
        let signature = self
            .tools
            .signer
            .sign_hash_sync(&response.digest(&self.tools.domain))
            .map_err(|e| Failure::Local(e.to_string()))?;
        let signed = Signed {
            request: first.request,
            requester: first.requester,
            result,
            signature: CompactSignature::from(signature),
        };
        let sent = self.tools.chain.join(statement, &signed, opener, claims).await?;
        self.tools.metrics.count(Count::DisputeJoined);
        tracing::info!(%dispute, gas = sent.gas, "joined a dispute in which nobody else was right");
        Ok(())
    }
}

/// Runs a statement this node has not answered, and stores its outcome.
fn run_unknown(tools: &Tools, statement: &Statement, stop: &Stop) -> Result<ResultHash, RunFailure> {
    let hash = statement.input.0;
    let internal = |e: &dyn std::fmt::Display| RunFailure::Internal(e.to_string());
    let until = stop.deadline();
    let input = preimage_until(&tools.sources, &tools.runtime, hash, until).ok_or(RunFailure::MissingPreimage(hash))?;
    let program = tools
        .programs
        .get(statement.program.0)
        .ok_or_else(|| RunFailure::Internal(format!("program {} is not on this machine", statement.program)))?;
    let lookup = Lookup::Network {
        runtime: tools.runtime.clone(),
        until,
    };
    let mut preimages = RunPreimages::new(
        tools.sources.clone(),
        hash,
        &input,
        tools.limits.run_preimage_bytes,
        lookup,
    );
    let output_limit = usize::try_from(tools.limits.output_bytes).unwrap_or(usize::MAX);
    let job = Job {
        statement: *statement,
        program,
        input,
        output_limit,
    };
    let mut run = tools.executor.execute(&job, &mut preimages, stop)?;
    run.preimages = preimages.into_used();
    let answer = tools
        .store
        .keep(statement.id().0, new_answer(statement, &run))
        .map_err(|e| internal(&e))?;
    outcome(&answer).map(|o| o.result_hash()).map_err(|e| internal(&e))
}

fn outcome(answer: &crate::store::Answer) -> Result<Outcome, Failure> {
    let status = Status::try_from(answer.status).map_err(|e| Failure::Local(e.to_string()))?;
    Ok(Outcome {
        status,
        exit: answer.exit,
        output_root: answer.output_root.into(),
    })
}

fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::NeedResult { .. } => "run",
        Effect::NeedValues { .. } => "state roots",
        Effect::NeedWitness { .. } => "witness",
        Effect::ShowPreimage { .. } => "show",
        Effect::SendJoin { .. } => "join",
        Effect::SendDissect { .. } => "dissect",
        Effect::SendStep { .. } => "step",
        Effect::SendExpire { .. } => "expire",
        Effect::SendSettle { .. } => "settle",
        Effect::Replay { .. } => "replay",
    }
}
