//! Lies: a machine that goes wrong at one step and is consistent from there on, which is the best a liar can do.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex},
};

use alloy::primitives::B256;
use surety_machine::{Hash, Machine, MemoryPreimages, Preimages, Program, RunError, Status as MachineStatus};
use surety_node::{
    executor::{Executor, Job, MachineExecutor, Run, RunFailure, Stop},
    preimages::RunPreimages,
    trace::{TraceWitness, Tracer},
};
use surety_primitives::{Outcome, Output, Statement, StatementId, Status};
use surety_protocol::dispute::Transition;

/// Steps run between two looks for the first output.
const SLICE: u64 = 1 << 18;

/// What goes wrong, and when. Step n is the transition from position n to n + 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The last byte of the first output chunk has its lowest bit flipped, just before it is written.
    Output,
    /// Before step `at`, register `register` is XORed with `xor`.
    Register {
        /// the step
        at: u64,
        /// 1 to 31
        register: u8,
        /// bits to flip
        xor: u32,
    },
    /// Before step `at`, the byte of memory at `address` is XORed with `xor`.
    Memory {
        /// the step
        at: u64,
        /// where
        address: u32,
        /// bits to flip
        xor: u8,
    },
    /// Before step `at`, the program counter becomes `pc`.
    Jump {
        /// the step
        at: u64,
        /// where to
        pc: u32,
    },
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output => write!(f, "output"),
            Self::Register { at, register, xor } => write!(f, "register:{at}:{register}:{xor}"),
            Self::Memory { at, address, xor } => write!(f, "memory:{at}:{address}:{xor}"),
            Self::Jump { at, pc } => write!(f, "jump:{at}:{pc}"),
        }
    }
}

impl FromStr for Lie {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            format!(
                "{text:?} is no lie, expected output, register:STEP:REGISTER:XOR, memory:STEP:ADDRESS:XOR or jump:STEP:PC"
            )
        };
        let parts: Vec<&str> = text.split(':').collect();
        fn number<T: FromStr>(text: &str, bad: impl Fn() -> String) -> Result<T, String> {
            text.parse().map_err(|_| bad())
        }
        match parts.as_slice() {
            ["output"] => Ok(Self::Output),
            ["register", at, register, xor] => {
                let register = number(register, bad)?;
                if !(1..32).contains(&register) {
                    return Err(bad());
                }
                Ok(Self::Register {
                    at: number(at, bad)?,
                    register,
                    xor: number(xor, bad)?,
                })
            }
            ["memory", at, address, xor] => Ok(Self::Memory {
                at: number(at, bad)?,
                address: number(address, bad)?,
                xor: number(xor, bad)?,
            }),
            ["jump", at, pc] => Ok(Self::Jump {
                at: number(at, bad)?,
                pc: number(pc, bad)?,
            }),
            _ => Err(bad()),
        }
    }
}

impl Lie {
    /// The step that goes wrong; `None` if the program never gets there. `machine` is fresh.
    fn step(
        &self,
        machine: Machine,
        budget: u64,
        preimages: &mut dyn Preimages,
        stop: &Stop,
    ) -> Result<Option<u64>, RunFailure> {
        match self {
            Self::Output => first_write(machine, budget, preimages, stop),
            Self::Register { at, .. } | Self::Memory { at, .. } | Self::Jump { at, .. } => Ok(Some(*at)),
        }
    }

    fn apply(&self, machine: &mut Machine) {
        match *self {
            Self::Output => {
                // At a WRITE: a0 is the source, a1 the length (docs/spec/machine.md, section 6).
                let (source, length) = (machine.registers()[10], machine.registers()[11]);
                let piece = length.min(32 - source % 32);
                flip(machine, source.wrapping_add(piece.wrapping_sub(1)), 1);
            }
            Self::Register { register, xor, .. } => {
                let value = machine.registers()[usize::from(register)];
                machine.set_register(register, value ^ xor);
            }
            Self::Memory { address, xor, .. } => flip(machine, address, xor),
            Self::Jump { pc, .. } => machine.set_pc(pc),
        }
    }

    /// Runs to `until`, going wrong on the way.
    fn advance(
        &self,
        machine: &mut Machine,
        wrong: Option<u64>,
        until: u64,
        preimages: &mut dyn Preimages,
        stop: &Stop,
    ) -> Result<(), RunFailure> {
        if let Some(wrong) = wrong.filter(|w| machine.steps() <= *w && *w < until) {
            advance(machine, wrong, preimages, stop)?;
            if machine.status() == MachineStatus::Running && machine.steps() == wrong {
                self.apply(machine);
            }
        }
        advance(machine, until, preimages, stop)
    }
}

fn flip(machine: &mut Machine, address: u32, xor: u8) {
    if let Some(byte) = machine.memory().copy(address, 1).and_then(|b| b.first().copied()) {
        // In range: it was just read from there.
        machine.memory().put(address, &[byte ^ xor]).unwrap_or(());
    }
}

fn advance(machine: &mut Machine, until: u64, preimages: &mut dyn Preimages, stop: &Stop) -> Result<(), RunFailure> {
    while machine.status() == MachineStatus::Running && machine.steps() < until {
        stop.check()?;
        let slice = until.min(machine.steps().saturating_add(SLICE));
        machine.run(slice, preimages).map_err(|e| match e {
            RunError::MissingPreimage(hash) => RunFailure::MissingPreimage(hash.into()),
            e => RunFailure::Internal(e.to_string()),
        })?;
    }
    Ok(())
}

/// The first step that writes output.
fn first_write(
    mut machine: Machine,
    budget: u64,
    preimages: &mut dyn Preimages,
    stop: &Stop,
) -> Result<Option<u64>, RunFailure> {
    let mut slice = SLICE;
    machine.set_output_limit(Some(usize::MAX));
    loop {
        let before = machine.checkpoint();
        advance(
            &mut machine,
            before.steps().saturating_add(slice).min(budget),
            preimages,
            stop,
        )?;
        if !machine.output().is_empty() {
            if slice == 1 {
                return Ok(Some(before.steps()));
            }
            machine = before.restore();
            // A restored machine keeps no output of its own accord.
            machine.set_output_limit(Some(usize::MAX));
            slice = (slice / 16).max(1);
        } else if machine.status() != MachineStatus::Running || machine.steps() >= budget {
            return Ok(None);
        }
    }
}

/// What a liar must remember to tell the same story in a dispute.
#[derive(Clone, Default)]
pub struct Stories(Arc<Mutex<HashMap<StatementId, (Program, MemoryPreimages)>>>);

/// Passes on what another source has, and remembers it.
struct Recorder<'a> {
    source: &'a mut RunPreimages,
    seen: MemoryPreimages,
}

impl Preimages for Recorder<'_> {
    fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        let found = self.source.get(hash)?;
        self.seen.insert(&found);
        Some(found)
    }

    fn hint(&mut self, hint: &str) {
        self.source.hint(hint);
    }
}

/// An executor that lies.
pub struct LyingExecutor {
    /// The lie.
    pub lie: Lie,
    /// Shared with the tracer.
    pub stories: Stories,
}

impl Executor for LyingExecutor {
    fn execute(&self, job: &Job, preimages: &mut RunPreimages, stop: &Stop) -> Result<Run, RunFailure> {
        // The honest run finds the same preimages, and keeps them for the others.
        let honest = MachineExecutor::default().execute(job, preimages, stop)?;
        let budget = job.statement.budget.steps();
        let mut recorder = Recorder {
            source: preimages,
            seen: MemoryPreimages::default(),
        };
        let fresh = || Machine::new(&job.program, job.statement.input.0.0);
        let wrong = self.lie.step(fresh(), budget, &mut recorder, stop)?;
        let mut machine = fresh();
        machine.set_output_limit(Some(job.output_limit));
        self.lie.advance(&mut machine, wrong, budget, &mut recorder, stop)?;
        let outcome = machine.outcome();
        let lengths = machine.chunk_lengths().iter().map(|n| u64::from(*n));
        let output =
            Output::with_chunks(machine.output().to_vec(), lengths).map_err(|e| RunFailure::Internal(e.to_string()))?;
        let status = match outcome.status {
            MachineStatus::Running => Status::OutOfSteps,
            MachineStatus::Halted => Status::Halted,
            MachineStatus::Trapped => Status::Trapped,
        };
        let outcome = Outcome {
            status,
            exit: outcome.exit,
            output_root: outcome.output_root.into(),
        };
        if let Ok(mut stories) = self.stories.0.lock() {
            stories.insert(job.statement.id(), (job.program.clone(), recorder.seen));
        }
        Ok(Run {
            outcome,
            output,
            steps: machine.steps(),
            preimages: honest.preimages,
        })
    }
}

/// A tracer that tells the same story as [`LyingExecutor`].
pub struct LyingTracer {
    /// What it says where it has told no lie; and its witnesses, which convince nobody.
    pub honest: Arc<dyn Tracer>,
    /// The lie.
    pub lie: Lie,
    /// Shared with the executor.
    pub stories: Stories,
}

impl Tracer for LyingTracer {
    fn values(&self, statement: &Statement, positions: &[u64], stop: &Stop) -> Result<Vec<B256>, RunFailure> {
        let story = self.stories.0.lock().ok().and_then(|s| s.get(&statement.id()).cloned());
        let Some((program, mut preimages)) = story else {
            return self.honest.values(statement, positions, stop);
        };
        let fresh = || {
            let mut machine = Machine::new(&program, statement.input.0.0);
            machine.set_output_limit(None);
            machine
        };
        let wrong = self.lie.step(fresh(), statement.budget.steps(), &mut preimages, stop)?;
        let mut machine = fresh();
        positions
            .iter()
            .map(|position| {
                self.lie.advance(&mut machine, wrong, *position, &mut preimages, stop)?;
                Ok(machine.state_root().into())
            })
            .collect()
    }

    fn witness(
        &self,
        statement: &Statement,
        position: u64,
        kind: Transition,
        stop: &Stop,
    ) -> Result<TraceWitness, RunFailure> {
        self.honest.witness(statement, position, kind, stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_reads_as_it_is_written() {
        for lie in [
            Lie::Output,
            Lie::Register {
                at: 7,
                register: 31,
                xor: 1,
            },
            Lie::Memory {
                at: 7,
                address: 4096,
                xor: 255,
            },
            Lie::Jump { at: 0, pc: 8 },
        ] {
            assert_eq!(lie.to_string().parse(), Ok(lie));
        }
        for text in [
            "",
            "truth",
            "register:1:0:1",
            "register:1:32:1",
            "memory:1:1:256",
            "jump:1",
        ] {
            assert!(text.parse::<Lie>().is_err(), "{text}");
        }
    }
}
