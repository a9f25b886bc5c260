//! Calls the committed ELFs.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use surety_machine::{Hash, Machine, MemoryPreimages, Preimages, RunError, Status, TrapCause, WithInput, keccak256};

use crate::{read_directory, testdata};

/// Steps no call here comes near.
const BUDGET: u64 = 1_000_000_000;

/// An example program, and what it can read.
#[derive(Clone, Debug)]
pub struct Program {
    program: surety_machine::Program,
    preimages: MemoryPreimages,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Halted or trapped.
    pub status: Status,
    /// The exit code, or the trap's cause.
    pub exit: u32,
    /// What was written.
    pub output: Vec<u8>,
    /// Whether that was in canonical chunks.
    pub canonical: bool,
    /// How many steps it took.
    pub steps: u64,
    /// The hints, in order.
    pub hints: Vec<String>,
}

impl Answer {
    /// The output, of a call that must have succeeded.
    ///
    /// # Errors
    /// With what it said otherwise.
    pub fn success(&self) -> anyhow::Result<&[u8]> {
        anyhow::ensure!(self.status == Status::Halted && self.exit == 0, "{self}");
        anyhow::ensure!(self.canonical, "the output is not in canonical chunks");
        Ok(&self.output)
    }

    /// The reason, of a call that must have been refused.
    ///
    /// # Errors
    /// With what it did otherwise.
    pub fn refusal(&self) -> anyhow::Result<String> {
        anyhow::ensure!(self.status == Status::Halted && self.exit == 1, "{self}");
        self.reason().context("a refusal without Error(string)")
    }

    /// The message, of a call that must have panicked.
    ///
    /// # Errors
    /// With what it did otherwise.
    pub fn panic(&self) -> anyhow::Result<String> {
        let illegal = self.status == Status::Trapped && self.exit == TrapCause::Illegal as u32;
        anyhow::ensure!(illegal, "{self}");
        self.reason().context("a panic without Error(string)")
    }

    /// What an output of `Error(string)` says.
    pub fn reason(&self) -> Option<String> {
        use alloy_sol_types::{Revert, SolError};
        Revert::abi_decode(&self.output)
            .ok()
            .filter(|_| self.canonical)
            .map(|revert| revert.reason)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} with {} after {} steps: {:?}",
            self.status,
            self.exit,
            self.steps,
            self.reason()
        )
    }
}

impl Program {
    /// One of `programs/elf`, without preimages.
    ///
    /// # Errors
    /// When there is no such file, or the machine does not load it.
    pub fn load(name: &str) -> anyhow::Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../elf/{name}.elf"));
        let elf = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let program = surety_machine::Program::from_elf(&elf).with_context(|| format!("loading {}", path.display()))?;
        Ok(Self {
            program,
            preimages: MemoryPreimages::default(),
        })
    }

    /// `explorer`, with all that is known of the block.
    ///
    /// # Errors
    /// As [`Self::load`], and when the test data cannot be read.
    pub fn explorer() -> anyhow::Result<Self> {
        let mut program = Self::load("explorer")?;
        for preimage in read_directory(&testdata().join("preimages"))? {
            program.add(&preimage);
        }
        Ok(program)
    }

    /// The program itself.
    pub fn program(&self) -> &surety_machine::Program {
        &self.program
    }

    /// Gives it a preimage to read; returns the hash.
    pub fn add(&mut self, preimage: &[u8]) -> Hash {
        self.preimages.insert(preimage)
    }

    /// Calls it.
    ///
    /// # Errors
    /// When it reads what it was not given, or goes on for ever.
    pub fn call(&self, input: &[u8]) -> anyhow::Result<Answer> {
        let mut preimages = self.preimages.clone();
        let mut hints = Hints {
            hints: Vec::new(),
            rest: &mut preimages,
        };
        let mut preimages = WithInput::new(input, &mut hints);
        // Both engines, compared.
        let mut run = surety_engine::Run::new(surety_engine::Kind::Check, &self.program, keccak256(input))?;
        anyhow::ensure!(
            run.run(BUDGET, &mut preimages)? != Status::Running,
            "still running after {BUDGET} steps"
        );
        let outcome = run.outcome();
        Ok(Answer {
            status: outcome.status,
            exit: outcome.exit,
            output: run.output().to_vec(),
            canonical: run.output_is_canonical(),
            steps: run.steps(),
            hints: hints.hints,
        })
    }

    /// Calls it on an engine that lies: where the program reads the preimage of `hash`, it gets `lie`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn call_with_lie(&self, input: &[u8], hash: Hash, lie: &[u8]) -> anyhow::Result<Answer> {
        let mut preimages = Without {
            hash,
            rest: self.preimages.clone(),
        };
        self.run(input, &mut preimages, &mut |machine, error| match error {
            RunError::MissingPreimage(missing) if missing == hash => read(machine, lie),
            error => Err(error.into()),
        })
    }

    fn run(
        &self,
        input: &[u8],
        preimages: &mut dyn Preimages,
        stopped: &mut dyn FnMut(&mut Machine, RunError) -> anyhow::Result<()>,
    ) -> anyhow::Result<Answer> {
        let mut hints = Hints {
            hints: Vec::new(),
            rest: preimages,
        };
        let mut preimages = WithInput::new(input, &mut hints);
        let mut machine = Machine::new(&self.program, keccak256(input));
        while let Err(error) = machine.run(BUDGET, &mut preimages) {
            stopped(&mut machine, error)?;
        }
        anyhow::ensure!(
            machine.status() != Status::Running,
            "still running after {BUDGET} steps"
        );
        let outcome = machine.outcome();
        Ok(Answer {
            status: outcome.status,
            exit: outcome.exit,
            output: machine.output().to_vec(),
            canonical: machine.output_is_canonical(),
            steps: machine.steps(),
            hints: hints.hints,
        })
    }
}

/// Does a whole READ at the machine's `pc`, with bytes that need not have the hash.
fn read(machine: &mut Machine, preimage: &[u8]) -> anyhow::Result<()> {
    let [into, offset, wanted] = [10, 11, 12].map(|register| machine.registers()[register]);
    let rest = preimage.get(offset as usize..).unwrap_or_default();
    let piece = &rest[..rest.len().min(wanted as usize)];
    machine.memory().put(into, piece).context("a READ outside memory")?;
    let copied = piece.len() as u32;
    machine.set_register(10, into + copied);
    machine.set_register(11, offset + copied);
    machine.set_register(12, wanted - copied);
    machine.set_pc(machine.pc() + 4);
    Ok(())
}

/// Keeps what the program hints.
struct Hints<'a> {
    hints: Vec<String>,
    rest: &'a mut dyn Preimages,
}

impl Preimages for Hints<'_> {
    fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        self.rest.get(hash)
    }

    fn hint(&mut self, hint: &str) {
        self.hints.push(hint.to_owned());
    }
}

/// All but one preimage.
struct Without {
    hash: Hash,
    rest: MemoryPreimages,
}

impl Preimages for Without {
    fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        if *hash == self.hash { None } else { self.rest.get(hash) }
    }
}
