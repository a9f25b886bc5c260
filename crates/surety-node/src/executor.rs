//! Running a program: the [`Executor`] trait, and the honest one. The trait is there so that tests can put a dishonest
//! one in its place; nothing in a configuration can.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use alloy::primitives::{B256, Bytes};
use surety_engine::{Codes, Error as EngineError};
use surety_machine::{Program, RunError, Status as MachineStatus};
use surety_primitives::{Outcome, Output, Statement, Status};

use crate::preimages::RunPreimages;

/// Steps between two looks at the clock: some tens of milliseconds.
const SLICE: u64 = 16_000_000;

/// What to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// The statement that the result will be about.
    pub statement: Statement,
    /// Its program.
    pub program: Program,
    /// Its input.
    pub input: Bytes,
    /// Bytes of output it may write.
    pub output_limit: usize,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// What it wrote.
    pub output: Output,
    /// Steps it took; at most the budget.
    pub steps: u64,
    /// Preimages it used, the input included.
    pub preimages: Vec<(B256, Bytes)>,
}

/// Why a run has no result. Nothing is signed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunFailure {
    /// Nobody has the data.
    #[error("the preimage of {0} cannot be found")]
    MissingPreimage(B256),
    /// More output than a response carries.
    #[error("the program writes more than {limit} bytes of output")]
    OutputLimit {
        /// The limit, bytes.
        limit: usize,
    },
    /// More preimages than a run may use.
    #[error("the program reads more than {limit} bytes of preimages")]
    PreimageLimit {
        /// The limit, bytes.
        limit: u64,
    },
    /// It took too long.
    #[error("the program ran for {seconds} s without ending, the most this provider allows")]
    TimedOut {
        /// The limit, seconds.
        seconds: u64,
    },
    /// Nobody waits for the result any more, or the node stops.
    #[error("the run was cancelled")]
    Cancelled,
    /// This host is short of memory now; it may work when other runs have ended.
    #[error("no memory for the run: {0}; it may work later")]
    Memory(String),
    /// A fault of this node.
    #[error("the run failed: {0}")]
    Internal(String),
}

/// When a run has to stop. Looked at between slices of steps.
#[derive(Clone)]
pub struct Stop {
    deadline: Option<Instant>,
    allowed: Duration,
    cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stop")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl Stop {
    /// Stops `allowed` from now, or when `cancelled` says so.
    pub fn after(allowed: Duration, cancelled: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self {
            deadline: Instant::now().checked_add(allowed),
            allowed,
            cancelled,
        }
    }

    /// Stops only when a flag is set.
    pub fn on(flag: Arc<AtomicBool>) -> Self {
        Self {
            deadline: None,
            allowed: Duration::MAX,
            cancelled: Arc::new(move || flag.load(Ordering::Relaxed)),
        }
    }

    /// When the time is up.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Fails when the run has to stop.
    pub fn check(&self) -> Result<(), RunFailure> {
        if (self.cancelled)() {
            return Err(RunFailure::Cancelled);
        }
        if self.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(RunFailure::TimedOut {
                seconds: self.allowed.as_secs(),
            });
        }
        Ok(())
    }
}

/// Runs programs.
pub trait Executor: Send + Sync {
    /// Runs `job` to its end or its budget. Called on a worker thread. Looks at `stop` at least every few tens of
    /// milliseconds.
    fn execute(&self, job: &Job, preimages: &mut RunPreimages, stop: &Stop) -> Result<Run, RunFailure>;
}

/// The honest executor: an engine of the machine.
#[derive(Debug, Clone, Default)]
pub struct MachineExecutor {
    codes: Arc<Codes>,
}

impl MachineExecutor {
    /// Runs programs with the engine and the translations of `codes`.
    pub fn new(codes: Arc<Codes>) -> Self {
        Self { codes }
    }
}

impl Executor for MachineExecutor {
    fn execute(&self, job: &Job, preimages: &mut RunPreimages, stop: &Stop) -> Result<Run, RunFailure> {
        let budget = job.statement.budget.steps();
        let mut machine = self
            .codes
            .run(&job.program, job.statement.input.0.0)
            .map_err(internal)?;
        machine.set_output_limit(Some(job.output_limit));
        advance(&mut machine, budget, preimages, stop)?;
        let outcome = machine.outcome();
        let lengths = machine.chunk_lengths().iter().map(|n| u64::from(*n));
        let output =
            Output::with_chunks(machine.output().to_vec(), lengths).map_err(|e| RunFailure::Internal(e.to_string()))?;
        let outcome = Outcome {
            status: match outcome.status {
                MachineStatus::Running => Status::OutOfSteps,
                MachineStatus::Halted => Status::Halted,
                MachineStatus::Trapped => Status::Trapped,
            },
            exit: outcome.exit,
            output_root: outcome.output_root.into(),
        };
        Ok(Run {
            outcome,
            output,
            steps: machine.steps(),
            preimages: vec![],
        })
    }
}

/// Runs `machine` until its step count is `until` or it ends, in slices.
pub fn advance(
    machine: &mut surety_engine::Run,
    until: u64,
    preimages: &mut RunPreimages,
    stop: &Stop,
) -> Result<(), RunFailure> {
    while machine.status() == MachineStatus::Running && machine.steps() < until {
        stop.check()?;
        let slice = until.min(machine.steps().saturating_add(SLICE));
        machine.run(slice, preimages).map_err(|e| match e {
            EngineError::Run(RunError::MissingPreimage(_)) if preimages.exceeded() => RunFailure::PreimageLimit {
                limit: preimages.max_bytes(),
            },
            EngineError::Run(RunError::MissingPreimage(hash)) => match stop.check() {
                // The search was given up because the time was up.
                Err(stopped) => stopped,
                Ok(()) => RunFailure::MissingPreimage(hash.into()),
            },
            EngineError::Run(RunError::OutputLimit { limit }) => RunFailure::OutputLimit { limit },
            e => internal(e),
        })?;
    }
    Ok(())
}

pub(crate) fn internal(error: EngineError) -> RunFailure {
    match error {
        EngineError::Memory { .. } => RunFailure::Memory(error.to_string()),
        EngineError::Run(_) | EngineError::Differ { .. } => RunFailure::Internal(error.to_string()),
    }
}
