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
use surety_engine::{Codes, Run};
use surety_machine::{Checkpoint, Program};
use surety_primitives::{Statement, StatementId};
use surety_protocol::dispute::{PreimagePart, Transition};
use tokio::runtime::Handle;

use crate::{
    executor::{RunFailure, Stop, advance, internal},
    preimages::{Lookup, RunPreimages, Sources},
    programs::Programs,
};

/// Checkpoints kept of a trace, at most: the points of three questions.
const MAX_POINTS: usize = 96;
/// Checkpoints without which a trace is not worth keeping.
const MIN_POINTS: usize = 2;

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
    codes: Arc<Codes>,
    sources: Arc<Sources>,
    runtime: Handle,
    preimage_bytes: u64,
    checkpoint_bytes: u64,
    traces: Mutex<Traces<Checkpoint>>,
}

/// The checkpoints of all statements.
struct Traces<C> {
    by_statement: HashMap<StatementId, Trace<C>>,
    /// Counts uses, to know which trace is the least recently used.
    clock: u64,
}

impl<C> Default for Traces<C> {
    fn default() -> Self {
        Self {
            by_statement: HashMap::new(),
            clock: 0,
        }
    }
}

/// The checkpoints of one statement.
struct Trace<C> {
    used: u64,
    /// Bytes of a checkpoint that differs from the others in all of its memory.
    each: u64,
    /// First and last point asked for last.
    segment: (u64, u64),
    points: BTreeMap<u64, C>,
}

impl<C> Trace<C> {
    /// Drops points until there are at most `room`. Those nearest to the segment in question stay.
    fn trim(&mut self, room: usize) {
        let (low, high) = self.segment;
        while self.points.len() > room {
            // Furthest from the segment goes first; within it, every other one has to do.
            let distance = |p: u64| low.saturating_sub(p).max(p.saturating_sub(high));
            let outside = self
                .points
                .keys()
                .copied()
                .max_by_key(|p| distance(*p))
                .filter(|p| distance(*p) > 0);
            match outside.or_else(|| self.points.keys().copied().nth(1)) {
                Some(p) => self.points.remove(&p),
                None => return,
            };
        }
    }

    fn bytes(&self) -> u64 {
        self.each.saturating_mul(self.points.len() as u64)
    }
}

impl<C> Traces<C> {
    /// Adds the points of a question, and makes room for them: first every trace keeps its share of the bytes, then the
    /// least recently used are dropped, and start over from step 0 when they are asked about again.
    fn keep(&mut self, id: StatementId, each: u64, new: BTreeMap<u64, C>, bytes: u64) {
        let (Some((low, _)), Some((high, _))) = (new.first_key_value(), new.last_key_value()) else {
            return;
        };
        let segment = (*low, *high);
        self.clock = self.clock.wrapping_add(1);
        let trace = self.by_statement.entry(id).or_insert_with(|| Trace {
            used: 0,
            each,
            segment,
            points: BTreeMap::new(),
        });
        trace.used = self.clock;
        trace.segment = segment;
        trace.points.extend(new);
        trace.trim(room(bytes, each));
        if self.bytes() <= bytes {
            return;
        }
        let share = bytes / (self.by_statement.len() as u64).max(1);
        self.by_statement.values_mut().for_each(|t| t.trim(room(share, t.each)));
        while self.bytes() > bytes {
            let others = self.by_statement.iter().filter(|(other, _)| **other != id);
            let Some(oldest) = others.min_by_key(|(_, t)| t.used).map(|(id, _)| *id) else {
                return;
            };
            self.by_statement.remove(&oldest);
        }
    }

    fn bytes(&self) -> u64 {
        self.by_statement
            .values()
            .map(Trace::bytes)
            .fold(0, u64::saturating_add)
    }
}

/// How many checkpoints of this size go into so many bytes.
fn room(bytes: u64, each: u64) -> usize {
    usize::try_from(bytes / each.max(1))
        .unwrap_or(usize::MAX)
        .clamp(MIN_POINTS, MAX_POINTS)
}

impl std::fmt::Debug for MachineTracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineTracer")
            .field("checkpoint_bytes", &self.checkpoint_bytes)
            .finish_non_exhaustive()
    }
}

impl MachineTracer {
    /// A tracer whose checkpoints take at most about `checkpoint_bytes` in all; at least two of the statement asked about
    /// last are kept.
    /// Fetches of preimages run on `runtime`.
    pub fn new(
        programs: Arc<Programs>,
        codes: Arc<Codes>,
        sources: Arc<Sources>,
        runtime: Handle,
        preimage_bytes: u64,
        checkpoint_bytes: u64,
    ) -> Self {
        Self {
            programs,
            codes,
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
    fn nearest(&self, statement: &Statement, program: &Program, position: u64) -> Result<Run, RunFailure> {
        let kept = self.traces.lock().ok().and_then(|mut traces| {
            traces.clock = traces.clock.wrapping_add(1);
            let clock = traces.clock;
            let trace = traces.by_statement.get_mut(&statement.id())?;
            trace.used = clock;
            trace.points.range(..=position).next_back().map(|(_, c)| c.clone())
        });
        match kept {
            Some(checkpoint) => self.codes.restore(&checkpoint).map_err(internal),
            None => {
                let mut machine = self.codes.run(program, statement.input.0.0).map_err(internal)?;
                machine.set_output_limit(None);
                Ok(machine)
            }
        }
    }

    /// Keeps the points asked for last, and of the older ones as many as there is room for.
    fn keep(&self, statement: &Statement, program: &Program, new: BTreeMap<u64, Checkpoint>) {
        let Ok(mut traces) = self.traces.lock() else { return };
        traces.keep(
            statement.id(),
            program.memory().size().max(1),
            new,
            self.checkpoint_bytes,
        );
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
        let mut machine = self.nearest(statement, &program, first)?;
        let room = room(self.checkpoint_bytes, program.memory().size());
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
        let mut machine = self.nearest(statement, &program, position)?;
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
pub(crate) fn preimage_until(sources: &Sources, runtime: &Handle, hash: B256, until: Option<Instant>) -> Option<Bytes> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bound_holds_for_all_traces() {
        let points = |from: u64| (0..31).map(|i| (from + i, ())).collect::<BTreeMap<_, _>>();
        let id = |n: u8| StatementId::from(B256::repeat_byte(n));
        let mut traces = Traces::default();
        for n in 0..50 {
            traces.keep(id(n), 10, points(100), 1_000);
            assert!(traces.bytes() <= 1_000, "{}", traces.bytes());
            assert!(traces.by_statement.contains_key(&id(n)));
        }
        // All have a share rather than the last ones all of it.
        assert_eq!(traces.by_statement.len(), 50);
        // A large one is kept although it alone is too much, and nothing beside it.
        traces.keep(id(60), 1_000, points(100), 1_000);
        assert_eq!(traces.by_statement.len(), 1);
        assert_eq!(traces.by_statement[&id(60)].points.len(), MIN_POINTS);
    }

    #[test]
    fn the_points_nearest_to_the_question_stay() {
        let mut traces = Traces::default();
        let id = StatementId::from(B256::ZERO);
        traces.keep(id, 1, (0..31).map(|i| (i * 100, ())).collect(), 40);
        traces.keep(id, 1, (500..531).map(|i| (i, ())).collect(), 40);
        let points = &traces.by_statement[&id].points;
        assert_eq!(points.len(), 40);
        assert!((500..531).all(|i| points.contains_key(&i)));
    }
}
