//! The reference interpreter, `surety-machine`.

use crate::builds::Target;
use crate::clock::Clock;
use crate::peer::{Peer, Prepared, Sample};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use surety_machine::{Machine, MemoryPreimages, Program, Status};

/// Runs `surety_machine::Machine`.
pub(crate) struct Interpreter;

impl Peer for Interpreter {
    fn name(&self) -> &'static str {
        "interpreter"
    }

    fn version(&self) -> Result<String> {
        Ok("surety-machine of this repository".into())
    }

    fn target(&self) -> Target {
        Target::Machine
    }

    fn prepare(&self, built: &Path) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Loaded(Program::from_elf(&fs::read(built)?)?)))
    }

    fn most_rounds(&self) -> usize {
        1
    }
}

struct Loaded(Program);

impl Prepared for Loaded {
    fn run(&mut self, clock: Clock) -> Result<Sample> {
        let mut preimages = MemoryPreimages::default();
        let input = preimages.insert(b"");
        let mut machine = Machine::new(&self.0, input);
        let (status, seconds) = clock.time(|| Ok(machine.run(u64::MAX, &mut preimages)?))?;
        ensure!(
            status == Status::Halted,
            "expected that the program halts, found it {status}"
        );
        Ok(Sample {
            seconds,
            checksum: checksum(machine.output())?,
            steps: Some(machine.steps()),
        })
    }
}

/// The checksum that a program of the suite returned.
pub(crate) fn checksum(output: &[u8]) -> Result<u32> {
    let bytes: [u8; 4] = output
        .try_into()
        .with_context(|| format!("expected 4 bytes, found {}", output.len()))?;
    Ok(u32::from_le_bytes(bytes))
}
