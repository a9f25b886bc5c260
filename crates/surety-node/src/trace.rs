//! What a dispute asks of the machine: state roots at some steps, a witness of one. Found by running the program again
//! from the nearest kept point.
//!
//! A dissection asks for 31 points of a segment, the next one for 31 points between two of those. So the points asked
//! for last are kept as checkpoints (their memory is shared where it does not differ), and each question runs a
//! thirty-second of what the one before ran.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Instant,
};

use alloy::primitives::{B256, Bytes};
use surety_machine::{Checkpoint, Machine, Program};
use surety_primitives::{Statement, StatementId};
use surety_protocol::dispute::{PreimagePart, Transition};
use tokio::runtime::Handle;

use crate::{
    executor::{RunFailure, Stop, advance},
    preimages::{Lookup, RunPreimages, Sources},
    programs::Programs,
};

/// Statements whose checkpoints are kept at a time; a dispute beyond starts over from step 0.
const MAX_TRACES: usize = 8;

/// A witness, and what the contract must have been shown for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceWitness {
    /// The step witness, or the state at the projection.
    pub bytes: Vec<u8>,
    /// A part of a preimage that the step reads.
    pub preimage: Option<PreimagePart>,
}

/// Answers what the dispute player asks about a statement's trace. The trait is there so that tests can put a
/// dishonest one in its place.
pub trait Tracer: Send + Sync {
    /// State roots after each of these step counts, ascending. Blocks.
    fn values(&self, statement: &Statement, positions: &[u64], stop: &Stop) -> Result<Vec<B256>, RunFailure>;
    /// The witness of the transition at `position`. Blocks.
    fn witness(
        &self,
        statement: &Statement,
        position: u64,
        kind: Transition,
        stop: &Stop,
    ) -> Result<TraceWitness, RunFailure>;
}

/// The honest tracer.
pub struct MachineTracer {
    programs: Arc<Programs>,
    sources: Arc<Sources>,
    runtime: Handle,
    preimage_bytes: u64,
    checkpoint_bytes: u64,
    traces: Mutex<Traces>,
}

#[derive(Default)]
struct Traces {
    by_statement: HashMap<StatementId, (u64, BTreeMap<u64, Checkpoint>)>,
    /// Counts uses, to know which trace is the least recently used.
    clock: u64,
}

impl std::fmt::Debug for MachineTracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineTracer")
            .field("checkpoint_bytes", &self.checkpoint_bytes)
            .finish_non_exhaustive()
    }
}

impl MachineTracer {
    /// A tracer whose checkpoints take at most about `checkpoint_bytes` per statement, and at least two of them.
    /// Fetches of preimages run on `runtime`.
    pub fn new(
        programs: Arc<Programs>,
        sources: Arc<Sources>,
        runtime: Handle,
        preimage_bytes: u64,
        checkpoint_bytes: u64,
    ) -> Self {
        Self {
            programs,
            sources,
            runtime,
            preimage_bytes,
            checkpoint_bytes,
            traces: Mutex::default(),
        }
    }

    fn program(&self, statement: &Statement) -> Result<Program, RunFailure> {
        self.programs
            .get(statement.program.0)
            .ok_or_else(|| RunFailure::Internal(format!("program {} is not on this machine", statement.program)))
    }

    /// Preimages for a statement, its input first.
    fn preimages(&self, statement: &Statement) -> Result<RunPreimages, RunFailure> {
        let hash = statement.input.0;
        let input = match self.sources.local(hash) {
            Some(input) => input,
            None => self
                .runtime
                .block_on(self.sources.remote(hash, &mut Vec::new()))
                .ok_or(RunFailure::MissingPreimage(hash))?,
        };
        let lookup = Lookup::Network {
            runtime: self.runtime.clone(),
            until: None,
        };
        Ok(RunPreimages::new(
            self.sources.clone(),
            hash,
            &input,
            self.preimage_bytes,
            lookup,
        ))
    }

    /// A machine at the nearest kept point at or before `position`.
    fn nearest(&self, statement: &Statement, program: &Program, position: u64) -> Machine {
        let kept = self.traces.lock().ok().and_then(|mut traces| {
            traces.clock = traces.clock.wrapping_add(1);
            let clock = traces.clock;
            let (used, points) = traces.by_statement.get_mut(&statement.id())?;
            *used = clock;
            points.range(..=position).next_back().map(|(_, c)| c.clone())
        });
        match kept {
            Some(checkpoint) => checkpoint.restore(),
            None => {
                let mut machine = Machine::new(program, statement.input.0.0);
                machine.set_output_limit(None);
                machine
            }
        }
    }

    /// How many checkpoints a trace of this program may have, if each differs from the others in all of its memory.
    fn room(&self, program: &Program) -> usize {
        let each = program.memory().size().max(1);
        usize::try_from(self.checkpoint_bytes / each)
            .unwrap_or(usize::MAX)
            .clamp(2, 96)
    }

    /// Keeps the points asked for last, and of the older ones as many as there is room for, nearest first.
    fn keep(&self, statement: &Statement, program: &Program, new: BTreeMap<u64, Checkpoint>) {
        let room = self.room(program);
        let Ok(mut traces) = self.traces.lock() else { return };
        traces.clock = traces.clock.wrapping_add(1);
        let clock = traces.clock;
        let (used, points) = traces.by_statement.entry(statement.id()).or_default();
        *used = clock;
        let (low, high) = match (new.first_key_value(), new.last_key_value()) {
            (Some((low, _)), Some((high, _))) => (*low, *high),
            _ => return,
        };
        points.extend(new);
        while points.len() > room {
            // Furthest from the segment in question goes first; within it, every other one has to do.
            let distance = |p: u64| low.saturating_sub(p).max(p.saturating_sub(high));
            let outside = points
                .keys()
                .copied()
                .max_by_key(|p| distance(*p))
                .filter(|p| distance(*p) > 0);
            match outside.or_else(|| points.keys().copied().nth(1)) {
                Some(p) => points.remove(&p),
                None => break,
            };
        }
        while traces.by_statement.len() > MAX_TRACES {
            let oldest = traces
                .by_statement
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(id, _)| *id);
            match oldest {
                Some(id) => traces.by_statement.remove(&id),
                None => break,
            };
        }
    }
}

impl Tracer for MachineTracer {
    fn values(&self, statement: &Statement, positions: &[u64], stop: &Stop) -> Result<Vec<B256>, RunFailure> {
        let Some(&first) = positions.first() else {
            return Ok(vec![]);
        };
        if !positions.is_sorted() {
            return Err(RunFailure::Internal("positions are not ascending".into()));
        }
        let program = self.program(statement)?;
        let mut preimages = self.preimages(statement)?;
        let mut machine = self.nearest(statement, &program, first);
        let room = self.room(&program);
        // Where there is no room for all points, every n-th is kept.
        let every = positions.len().div_ceil(room.saturating_sub(1).max(1)).max(1);
        let mut roots = Vec::with_capacity(positions.len());
        let mut kept = BTreeMap::new();
        for (i, &position) in positions.iter().enumerate() {
            advance(&mut machine, position, &mut preimages, stop)?;
            roots.push(machine.state_root().into());
            if i.is_multiple_of(every) {
                kept.insert(position, machine.checkpoint());
            }
        }
        self.keep(statement, &program, kept);
        Ok(roots)
    }

    fn witness(
        &self,
        statement: &Statement,
        position: u64,
        kind: Transition,
        stop: &Stop,
    ) -> Result<TraceWitness, RunFailure> {
        let program = self.program(statement)?;
        let mut preimages = self.preimages(statement)?;
        let mut machine = self.nearest(statement, &program, position);
        advance(&mut machine, position, &mut preimages, stop)?;
        match kind {
            Transition::Step => {
                let witness = machine
                    .witness(&mut preimages)
                    .map_err(|e| RunFailure::Internal(e.to_string()))?;
                let part = |(hash, offset)| PreimagePart {
                    hash: B256::from(hash),
                    offset,
                };
                Ok(TraceWitness {
                    bytes: witness.bytes,
                    preimage: witness.preimage.map(part),
                })
            }
            Transition::Projection => Ok(TraceWitness {
                bytes: machine.state_bytes().to_vec(),
                preimage: None,
            }),
            Transition::Identity => Err(RunFailure::Internal("the identity has no witness".into())),
        }
    }
}

/// The preimage of `hash`, from this machine or over the network. Blocks.
pub(crate) fn preimage(sources: &Sources, runtime: &Handle, hash: B256) -> Option<Bytes> {
    preimage_until(sources, runtime, hash, None)
}

/// The preimage of `hash`, looked for until a time. Blocks.
pub(crate) fn preimage_until(
    sources: &Sources,
    runtime: &Handle,
    hash: B256,
    until: Option<Instant>,
) -> Option<Bytes> {
    if let Some(found) = sources.local(hash) {
        return Some(found);
    }
    let mut hints = Vec::new();
    let search = sources.remote(hash, &mut hints);
    match until {
        None => runtime.block_on(search),
        Some(until) => {
            let until = tokio::time::Instant::from_std(until);
            runtime.block_on(async { tokio::time::timeout_at(until, search).await.ok().flatten() })
        }
    }
}
