//! The fast engine, `surety-engine`; and the same engine with counting compiled out.

use super::interpreter::checksum;
use crate::builds::Target;
use crate::clock::Clock;
use crate::peer::{Peer, Prepared, Sample};
use anyhow::{Context, Result, anyhow, ensure};
use std::fs;
use std::path::Path;
use surety_engine::{Code, Kind, Options, Run};
use surety_machine::{MemoryPreimages, Program, Status};

/// The translated engine.
pub(crate) struct Engine {
    /// Counts steps, as it always does outside of this benchmark.
    pub(crate) metered: bool,
}

impl Peer for Engine {
    fn name(&self) -> &'static str {
        if self.metered { "engine" } else { "engine_unmetered" }
    }

    fn version(&self) -> Result<String> {
        surety_engine::translated_here().map_err(|why| anyhow!("{why}"))?;
        Ok(if self.metered {
            "surety-engine of this repository"
        } else {
            "the same, counting compiled out"
        }
        .into())
    }

    fn target(&self) -> Target {
        Target::Machine
    }

    fn prepare(&self, built: &Path) -> Result<Box<dyn Prepared>> {
        let program = Program::from_elf(&fs::read(built)?)?;
        let options = Options {
            metered: self.metered,
            ..Options::default()
        };
        let code = surety_engine::translate(&program, options)?.context("the program cannot be translated here")?;
        Ok(Box::new(Translated {
            metered: self.metered,
            program,
            code,
        }))
    }
}

struct Translated {
    metered: bool,
    program: Program,
    code: Code,
}

impl Prepared for Translated {
    fn run(&mut self, clock: Clock) -> Result<Sample> {
        let mut preimages = MemoryPreimages::default();
        let input = preimages.insert(b"");
        let mut run = Run::with_code(Kind::Translated, Some(&self.code), &self.program, input)?;
        let (status, seconds) = clock.time(|| Ok(run.run(u64::MAX, &mut preimages)?))?;
        ensure!(
            status == Status::Halted,
            "expected that the program halts, found it {status}"
        );
        let steps = self.metered.then_some(run.steps());
        Ok(Sample {
            seconds,
            checksum: checksum(run.output())?,
            steps,
        })
    }
}
