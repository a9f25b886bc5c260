//! A run in an engine of choice.

#[cfg(translated)]
use surety_machine::RunError;
use surety_machine::{Checkpoint, Hash, Machine, Outcome, Preimages, Program, STATE_BYTES, Status, Witness};

use crate::{Code, Error, Kind, Options, translate};

#[cfg(translated)]
use crate::x86_64::Machine as Native;

/// Steps between two comparisons of engines.
#[cfg(translated)]
const CHECK_EVERY: u64 = 1 << 24;

/// A machine in an engine.
#[derive(Debug)]
pub struct Run(Engine);

#[derive(Debug)]
enum Engine {
    Interpreter(Box<Machine>),
    #[cfg(translated)]
    Translated(Box<Native>),
    #[cfg(translated)]
    Check(Box<Check>),
}

#[cfg(translated)]
#[derive(Debug)]
struct Check {
    reference: Machine,
    translated: Native,
    code: Code,
}

/// Does the same with whichever machine it is; of two, with the reference.
macro_rules! machine {
    ($run:expr, $machine:ident => $body:expr) => {
        match &$run.0 {
            Engine::Interpreter($machine) => $body,
            #[cfg(translated)]
            Engine::Translated(native) => {
                let $machine = native.machine();
                $body
            }
            #[cfg(translated)]
            Engine::Check(check) => {
                let $machine = &check.reference;
                $body
            }
        }
    };
    (mut $run:expr, $machine:ident => $body:expr) => {
        match &mut $run.0 {
            Engine::Interpreter($machine) => $body,
            #[cfg(translated)]
            Engine::Translated(native) => {
                let $machine = native.machine_mut();
                $body
            }
            #[cfg(translated)]
            Engine::Check(check) => {
                let $machine = &mut check.reference;
                $body
            }
        }
    };
}

impl Run {
    /// The initial state of `program` with the request's input, given by its hash.
    ///
    /// The program is translated if the engine needs it; who runs it more than once calls [`translate`] and
    /// [`Run::with_code`].
    pub fn new(kind: Kind, program: &Program, input_hash: Hash) -> Result<Self, Error> {
        Self::with_options(kind, Options::default(), program, input_hash)
    }

    /// As [`Run::new`], translated as `options` say.
    pub fn with_options(kind: Kind, options: Options, program: &Program, input_hash: Hash) -> Result<Self, Error> {
        let code = match kind {
            Kind::Interpreter => None,
            Kind::Translated | Kind::Check => translate(program, options)?,
        };
        Self::with_code(kind, code.as_ref(), program, input_hash)
    }

    /// As [`Run::new`], with the program's own code. Without code the interpreter runs it.
    pub fn with_code(kind: Kind, code: Option<&Code>, program: &Program, input_hash: Hash) -> Result<Self, Error> {
        #[cfg(translated)]
        if let Some(code) = code.filter(|_| kind != Kind::Interpreter) {
            let reference = || Machine::new(program, input_hash);
            return Self::native(kind, code, reference, || {
                Native::new(program, input_hash, code.native.clone())
            });
        }
        let _ = (kind, code);
        Ok(Run(Engine::Interpreter(Box::new(Machine::new(program, input_hash)))))
    }

    /// A machine at a checkpoint. It keeps no output unless a limit is set.
    pub fn restore(kind: Kind, code: Option<&Code>, checkpoint: &Checkpoint) -> Result<Self, Error> {
        #[cfg(translated)]
        if let Some(code) = code.filter(|_| kind != Kind::Interpreter) {
            let reference = || checkpoint.restore();
            return Self::native(kind, code, reference, || {
                Native::restore(checkpoint, code.native.clone())
            });
        }
        let _ = (kind, code);
        Ok(Run(Engine::Interpreter(Box::new(checkpoint.restore()))))
    }

    #[cfg(translated)]
    fn native(
        kind: Kind,
        code: &Code,
        reference: impl FnOnce() -> Machine,
        native: impl FnOnce() -> std::io::Result<Native>,
    ) -> Result<Self, Error> {
        let translated = match native() {
            Ok(translated) => translated,
            // Where the host has no room for 4 GiB of addresses, the interpreter needs none.
            Err(_) if kind == Kind::Translated => return Ok(Run(Engine::Interpreter(Box::new(reference())))),
            Err(error) => {
                return Err(Error::Memory {
                    what: "the program's memory",
                    error,
                });
            }
        };
        Ok(Run(match kind {
            Kind::Check => Engine::Check(Box::new(Check {
                reference: reference(),
                translated,
                code: code.clone(),
            })),
            Kind::Interpreter | Kind::Translated => Engine::Translated(Box::new(translated)),
        }))
    }

    /// The engine that runs: the interpreter where programs cannot be translated.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.0 {
            Engine::Interpreter(_) => Kind::Interpreter,
            #[cfg(translated)]
            Engine::Translated(_) => Kind::Translated,
            #[cfg(translated)]
            Engine::Check(_) => Kind::Check,
        }
    }

    /// Runs until `steps()` is `until`, or the machine ends; see [`Machine::run`].
    pub fn run(&mut self, until: u64, preimages: &mut dyn Preimages) -> Result<Status, Error> {
        match &mut self.0 {
            Engine::Interpreter(machine) => Ok(machine.run(until, preimages)?),
            #[cfg(translated)]
            Engine::Translated(native) => Ok(native.run(until, preimages)?),
            #[cfg(translated)]
            Engine::Check(check) => check.run(until, preimages),
        }
    }

    /// The state roots after each of these step counts, which must not decrease; see [`Machine::roots_at`].
    pub fn roots_at(&mut self, steps: &[u64], preimages: &mut dyn Preimages) -> Result<Vec<Hash>, Error> {
        let mut roots = Vec::with_capacity(steps.len());
        let mut last = None;
        for &until in steps {
            self.run(until, preimages)?;
            let root = match last {
                Some((at, root)) if at == self.steps() => root,
                _ => self.state_root(),
            };
            last = Some((self.steps(), root));
            roots.push(root);
        }
        Ok(roots)
    }

    /// Keeps at most `limit` bytes of output; see [`Machine::set_output_limit`].
    pub fn set_output_limit(&mut self, limit: Option<usize>) {
        machine!(mut self, machine => machine.set_output_limit(limit));
        #[cfg(translated)]
        if let Engine::Check(check) = &mut self.0 {
            check.translated.machine_mut().set_output_limit(limit);
        }
    }

    /// How many steps were taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        machine!(self, machine => machine.steps())
    }

    /// Whether it runs, halted or trapped.
    #[must_use]
    pub fn status(&self) -> Status {
        machine!(self, machine => machine.status())
    }

    /// Address of the next instruction; of the faulting one when trapped.
    #[must_use]
    pub fn pc(&self) -> u32 {
        machine!(self, machine => machine.pc())
    }

    /// `x0` to `x31`.
    #[must_use]
    pub fn registers(&self) -> &[u32; 32] {
        machine!(self, machine => machine.registers())
    }

    /// The outcome if the budget ended here.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        machine!(self, machine => machine.outcome())
    }

    /// What the program has written; see [`Machine::output`].
    #[must_use]
    pub fn output(&self) -> &[u8] {
        machine!(self, machine => machine.output())
    }

    /// The lengths of the chunks it was written in.
    #[must_use]
    pub fn chunk_lengths(&self) -> &[u8] {
        machine!(self, machine => machine.chunk_lengths())
    }

    /// Whether the chunks are the canonical ones.
    #[must_use]
    pub fn output_is_canonical(&self) -> bool {
        machine!(self, machine => machine.output_is_canonical())
    }

    /// Copies `length` bytes of data memory from `address` on; `None` if they are not all within it.
    pub fn read_memory(&mut self, address: u32, length: u32) -> Option<Vec<u8>> {
        use surety_machine::DataMemory;
        machine!(mut self, machine => DataMemory::copy(machine.memory(), address, length))
    }

    /// The encoded state.
    pub fn state_bytes(&mut self) -> [u8; STATE_BYTES] {
        machine!(mut self, machine => machine.state_bytes())
    }

    /// The state root.
    pub fn state_root(&mut self) -> Hash {
        machine!(mut self, machine => machine.state_root())
    }

    /// Keeps this point of the run.
    pub fn checkpoint(&mut self) -> Checkpoint {
        machine!(mut self, machine => machine.checkpoint())
    }

    /// The witness of the next step.
    pub fn witness(&mut self, preimages: &mut dyn Preimages) -> Result<Witness, Error> {
        Ok(machine!(mut self, machine => machine.witness(preimages))?)
    }
}

/// Passes on no hints: the other engine's are enough.
#[cfg(translated)]
struct Quiet<'a>(&'a mut dyn Preimages);

#[cfg(translated)]
impl Preimages for Quiet<'_> {
    fn get(&mut self, hash: &Hash) -> Option<std::sync::Arc<[u8]>> {
        self.0.get(hash)
    }
}

#[cfg(translated)]
impl Check {
    fn run(&mut self, until: u64, preimages: &mut dyn Preimages) -> Result<Status, Error> {
        loop {
            let before = self.reference.checkpoint();
            let slice = until.min(self.reference.steps().saturating_add(CHECK_EVERY));
            let (reference, same) = self.advance(slice, preimages);
            if !same {
                return Err(self.difference(&before, preimages));
            }
            let status = reference?;
            if status != Status::Running || self.reference.steps() >= until {
                return Ok(status);
            }
        }
    }

    /// Runs both. What became of the reference, and whether the same became of the other.
    fn advance(&mut self, until: u64, preimages: &mut dyn Preimages) -> (Result<Status, RunError>, bool) {
        let reference = self.reference.run(until, preimages);
        // What the reference lacks the other is not asked for: a source may have it by then.
        let until = until.min(match reference {
            Ok(_) => u64::MAX,
            Err(_) => self.reference.steps(),
        });
        let translated = self.translated.run(until, &mut Quiet(preimages));
        let expected = reference.or(Ok(Status::Running));
        (reference, translated == expected && self.agree())
    }

    fn agree(&mut self) -> bool {
        let translated = self.translated.machine_mut();
        self.reference.steps() == translated.steps()
            && self.reference.output() == translated.output()
            && self.reference.state_bytes() == translated.state_bytes()
    }

    /// The first step after which the engines differ, which did not at `before`.
    fn difference(&mut self, before: &Checkpoint, preimages: &mut dyn Preimages) -> Error {
        let describe = |steps: u64, pc: u32, root: Hash| {
            let root: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("state 0x{root}, address {pc:#x}, step {steps}")
        };
        // They agree after `low` steps and not after `high`.
        let (mut low, mut high) = (
            before.steps(),
            self.reference.steps().max(self.translated.machine().steps()),
        );
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            let Ok(translated) = Native::restore(before, self.code.native.clone()) else {
                break;
            };
            let mut check = Check {
                reference: before.restore(),
                translated,
                code: self.code.clone(),
            };
            if check.advance(middle, preimages).1 {
                low = middle;
            } else {
                high = middle;
                *self = check;
            }
        }
        let translated = self.translated.machine_mut();
        Error::Differ {
            step: high,
            interpreter: describe(self.reference.steps(), self.reference.pc(), self.reference.state_root()),
            translated: describe(translated.steps(), translated.pc(), translated.state_root()),
        }
    }
}
