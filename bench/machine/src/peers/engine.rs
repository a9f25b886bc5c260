//! The fast engine, `surety-engine`; the same engine with counting compiled out; and without host code for known routines.

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
    /// Has host code for the routines it knows, as it always does outside of this benchmark.
    pub(crate) intrinsics: bool,
}

impl Engine {
    /// As it is used.
    pub(crate) const WHOLE: Self = Self {
        metered: true,
        intrinsics: true,
    };
    /// Counting compiled out.
    pub(crate) const UNMETERED: Self = Self {
        metered: false,
        ..Self::WHOLE
    };
    /// Known routines translated as any other code.
    pub(crate) const PLAIN: Self = Self {
        intrinsics: false,
        ..Self::WHOLE
    };
}

impl Peer for Engine {
    fn name(&self) -> &'static str {
        match (self.metered, self.intrinsics) {
            (true, true) => "engine",
            (true, false) => "engine_plain",
            (false, _) => "engine_unmetered",
        }
    }

    fn version(&self) -> Result<String> {
        surety_engine::translated_here().map_err(|why| anyhow!("{why}"))?;
        Ok(match (self.metered, self.intrinsics) {
            (true, true) => "surety-engine of this repository",
            (true, false) => "the same, without host code for known routines",
            (false, _) => "the same, counting compiled out",
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
            intrinsics: self.intrinsics,
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
