//! The worker threads that run programs. They are threads of their own, not the reactor's, so that no program can keep
//! the node from answering; there are a fixed number of them, with a bounded queue before them; and two runs of one
//! statement at a time are one run.
//!
//! The dispute player does not use them, so that a flood of requests cannot make it miss a clock.

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use surety_primitives::StatementId;
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    executor::{Executor, Job, Run, RunFailure, Stop},
    metrics::Metrics,
    preimages::{Lookup, RunPreimages, Sources},
};

/// Requests that wait for one run, at most.
const MAX_WAITERS: usize = 1_024;

/// Why the pool returned no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The queue is full.
    #[error("busy: {queued} runs are waiting, the most this provider lets wait; retry later")]
    Busy {
        /// Runs waiting.
        queued: usize,
    },
    /// The run has no result.
    #[error(transparent)]
    Run(#[from] RunFailure),
}

/// Bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolLimits {
    /// Threads.
    pub workers: usize,
    /// Runs waiting.
    pub queue: usize,
    /// Time one run may take.
    pub run_time: Duration,
    /// Bytes of preimages one run may use.
    pub preimage_bytes: u64,
}

type Outcome = Result<Arc<Run>, RunFailure>;
type Waiters = Arc<Mutex<Vec<oneshot::Sender<Outcome>>>>;

struct Task {
    job: Job,
    key: StatementId,
    waiters: Waiters,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Task>,
    in_flight: HashMap<StatementId, Waiters>,
    running: usize,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    stopping: AtomicBool,
    executor: Arc<dyn Executor>,
    sources: Arc<Sources>,
    runtime: Handle,
    limits: PoolLimits,
    metrics: Arc<Metrics>,
}

/// A fixed number of worker threads.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts the threads. Fetches of preimages run on `runtime`.
    pub fn start(
        executor: Arc<dyn Executor>,
        sources: Arc<Sources>,
        limits: PoolLimits,
        runtime: Handle,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            stopping: AtomicBool::new(false),
            executor,
            sources,
            runtime,
            limits,
            metrics,
        });
        let workers = (0..limits.workers.max(1))
            .map(|i| {
                let shared = shared.clone();
                std::thread::Builder::new()
                    .name(format!("worker-{i}"))
                    .spawn(move || work(&shared))
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            shared,
            workers: Mutex::new(workers),
        })
    }

    /// Runs a job, or waits for the same statement's run that is under way. When everyone who waits has gone, the run
    /// is given up.
    pub async fn run(&self, job: Job) -> Result<Arc<Run>, PoolError> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.shared.state.lock().map_err(|_| RunFailure::Cancelled)?;
            if state.closed {
                return Err(RunFailure::Cancelled.into());
            }
            let queued = state.queue.len();
            let key = job.statement.id();
            let joined = match state.in_flight.get(&key) {
                Some(waiters) => {
                    let mut waiters = waiters.lock().map_err(|_| RunFailure::Cancelled)?;
                    // A run that everyone has left is being given up: start anew rather than join it.
                    if waiters.iter().all(oneshot::Sender::is_closed) {
                        Some(sender)
                    } else if waiters.len() >= MAX_WAITERS {
                        return Err(PoolError::Busy { queued });
                    } else {
                        waiters.push(sender);
                        None
                    }
                }
                None => Some(sender),
            };
            if let Some(sender) = joined {
                // A free worker takes it at once; otherwise it waits, if it may.
                let free = self.shared.limits.workers.saturating_sub(state.running);
                if queued >= self.shared.limits.queue.saturating_add(free) {
                    return Err(PoolError::Busy { queued });
                }
                let waiters: Waiters = Arc::new(Mutex::new(vec![sender]));
                state.in_flight.insert(key, waiters.clone());
                state.queue.push_back(Task { job, key, waiters });
                self.shared.wake.notify_one();
            }
        }
        match receiver.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(RunFailure::Cancelled.into()),
        }
    }

    /// Runs waiting, and runs under way.
    pub fn load(&self) -> (usize, usize) {
        self.shared
            .state
            .lock()
            .map(|s| (s.queue.len(), s.running))
            .unwrap_or_default()
    }

    /// Gives up what runs and what waits, and joins the threads.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Ok(mut state) = self.shared.state.lock() {
            state.closed = true;
            state.queue.clear();
            state.in_flight.clear();
        }
        self.shared.wake.notify_all();
        let workers = self
            .workers
            .lock()
            .map(|mut w| std::mem::take(&mut *w))
            .unwrap_or_default();
        for worker in workers {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

fn work(shared: &Arc<Shared>) {
    loop {
        let task = {
            let Ok(mut state) = shared.state.lock() else { return };
            loop {
                if state.closed {
                    return;
                }
                if let Some(task) = state.queue.pop_front() {
                    state.running += 1;
                    break task;
                }
                let Ok(woken) = shared.wake.wait(state) else { return };
                state = woken;
            }
        };
        let outcome = run(shared, &task);
        let waiters = {
            let Ok(mut state) = shared.state.lock() else { return };
            state.running -= 1;
            // Only our own entry: a later run of the statement may have taken the place of one that was given up.
            if state
                .in_flight
                .get(&task.key)
                .is_some_and(|w| Arc::ptr_eq(w, &task.waiters))
            {
                state.in_flight.remove(&task.key);
            }
            task.waiters
                .lock()
                .map(|mut w| std::mem::take(&mut *w))
                .unwrap_or_default()
        };
        for waiter in waiters {
            // One that has gone needs no answer.
            let _gone = waiter.send(outcome.clone());
        }
    }
}

fn run(shared: &Arc<Shared>, task: &Task) -> Outcome {
    let (waiters, flag) = (task.waiters.clone(), shared.clone());
    let cancelled = move || {
        flag.stopping.load(Ordering::Relaxed)
            || waiters
                .lock()
                .map_or(true, |w| w.iter().all(oneshot::Sender::is_closed))
    };
    let stop = Stop::after(shared.limits.run_time, Arc::new(cancelled));
    stop.check()?;
    let started = Instant::now();
    let lookup = Lookup::Network {
        runtime: shared.runtime.clone(),
        until: stop.deadline(),
    };
    let mut preimages = RunPreimages::new(
        shared.sources.clone(),
        task.job.statement.input.0,
        &task.job.input,
        shared.limits.preimage_bytes,
        lookup,
    );
    // A panic in a run is a bug of ours; it must not take a worker with it.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        shared.executor.execute(&task.job, &mut preimages, &stop)
    }))
    .unwrap_or_else(|_| Err(RunFailure::Internal("the engine panicked".into())));
    shared
        .metrics
        .execution(started.elapsed(), outcome.as_ref().map_or(0, |r| r.steps));
    outcome.map(|mut run| {
        run.preimages = preimages.into_used();
        Arc::new(run)
    })
}
