//! Translations, made once: kept in memory while they are used, and on disk for the next start.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use surety_machine::{Checkpoint, Hash, Program};

use crate::{Code, Error, Kind, Options, Run, cache, translate};

/// Host code kept in memory, bytes, at most; and one program more.
const MAX_BYTES: usize = 512 << 20;

/// Translated programs of a process, for any number of threads.
#[derive(Debug)]
pub struct Codes {
    kind: Kind,
    directory: Option<PathBuf>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    codes: HashMap<Hash, Slot>,
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Slot {
    used: u64,
    /// Held while the program is translated, so that it is done once.
    code: Arc<Mutex<Option<Code>>>,
    bytes: usize,
}

impl Codes {
    /// Runs with this engine. Translations are kept in `directory` too, if there is one: it is made when first needed,
    /// for its owner alone.
    #[must_use]
    pub fn new(kind: Kind, directory: Option<PathBuf>) -> Self {
        Codes {
            kind,
            directory,
            kept: Mutex::default(),
        }
    }

    /// The engine that runs programs: the interpreter where none can be translated.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if crate::translated_here().is_ok() {
            self.kind
        } else {
            Kind::Interpreter
        }
    }

    /// The program's code; `None` if the engine needs none, or the host has no room for it: the interpreter runs it then.
    pub fn get(&self, program: &Program) -> Result<Option<Code>, Error> {
        if self.kind() == Kind::Interpreter {
            return Ok(None);
        }
        let hash = program.hash();
        let slot = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.clock += 1;
            let used = kept.clock;
            let slot = kept.codes.entry(hash).or_insert_with(|| Slot {
                used,
                code: Arc::default(),
                bytes: 0,
            });
            slot.used = used;
            slot.code.clone()
        };
        let mut place = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = self.find(program)?;
            if let Some(code) = &*place {
                self.keep(hash, code.bytes());
            }
        }
        Ok(place.clone())
    }

    fn find(&self, program: &Program) -> Result<Option<Code>, Error> {
        let options = Options::default();
        let translate = |program: &Program| match translate(program, options) {
            Err(Error::Memory { .. }) if self.kind == Kind::Translated => Ok(None),
            other => other,
        };
        let Some(directory) = &self.directory else {
            return translate(program);
        };
        if let Some(code) = cache::load(directory, program) {
            return Ok(Some(code));
        }
        let code = translate(program)?;
        if let Some(code) = &code {
            cache::save(directory, program, code);
        }
        Ok(code)
    }

    /// Notes how much code there is, and drops what was not used for longest.
    fn keep(&self, hash: Hash, bytes: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = kept.codes.get_mut(&hash) {
            slot.bytes = bytes;
        }
        while kept.codes.values().map(|slot| slot.bytes).sum::<usize>() > MAX_BYTES {
            let others = kept
                .codes
                .iter()
                .filter(|(other, slot)| **other != hash && slot.bytes > 0);
            let Some(oldest) = others.min_by_key(|(_, slot)| slot.used).map(|(other, _)| *other) else {
                return;
            };
            kept.codes.remove(&oldest);
        }
    }

    /// A run of `program` from its start.
    pub fn run(&self, program: &Program, input_hash: Hash) -> Result<Run, Error> {
        Run::with_code(self.kind(), self.get(program)?.as_ref(), program, input_hash)
    }

    /// A run from a checkpoint on.
    pub fn restore(&self, checkpoint: &Checkpoint) -> Result<Run, Error> {
        Run::restore(self.kind(), self.get(checkpoint.program())?.as_ref(), checkpoint)
    }
}

impl Default for Codes {
    /// The default engine, nothing on disk.
    fn default() -> Self {
        Codes::new(Kind::default(), None)
    }
}
