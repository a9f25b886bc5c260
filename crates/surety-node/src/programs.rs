//! The programs this node can run: ELF files in some directories, known by their program hash.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use alloy::primitives::B256;
use surety_machine::Program;

/// Longest ELF that is read, bytes.
const MAX_ELF: u64 = 64 << 20;
/// Programs kept, at most.
const MAX_PROGRAMS: usize = 1_024;
/// Files looked at per directory, at most.
const MAX_FILES: usize = 4_096;
/// Pause between two looks at the directories for an unknown program.
const RESCAN: Duration = Duration::from_secs(1);

/// The programs found, kept loaded. An unknown hash makes it look again, so a program can be added while it runs.
#[derive(Debug)]
pub struct Programs {
    directories: Vec<PathBuf>,
    max_memory: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_hash: HashMap<B256, Program>,
    seen: HashSet<(PathBuf, Option<SystemTime>, u64)>,
    scanned: Option<Instant>,
}

impl Programs {
    /// Loads every program found. A file that is none, or declares more than `max_memory` bytes of data memory, is
    /// left out with a warning.
    pub fn open(directories: &[PathBuf], max_memory: u64) -> std::io::Result<Self> {
        for path in directories {
            // A missing directory is a mistake in the configuration; a bad file in it is not ours to judge.
            std::fs::read_dir(path)
                .map_err(|e| std::io::Error::new(e.kind(), format!("program directory {}: {e}", path.display())))?;
        }
        let this = Self {
            directories: directories.to_vec(),
            max_memory,
            state: Mutex::default(),
        };
        if let Ok(mut state) = this.state.lock() {
            this.scan(&mut state);
        }
        Ok(this)
    }

    /// A program, by hash. Reads files when it is unknown: not for a reactor's thread.
    pub fn get(&self, hash: B256) -> Option<Program> {
        let mut state = self.state.lock().ok()?;
        if let Some(found) = state.by_hash.get(&hash) {
            return Some(found.clone());
        }
        if state.scanned.is_some_and(|at| at.elapsed() < RESCAN) {
            return None;
        }
        self.scan(&mut state);
        state.by_hash.get(&hash).cloned()
    }

    /// A program that is loaded already.
    pub fn loaded(&self, hash: B256) -> Option<Program> {
        self.state.lock().ok()?.by_hash.get(&hash).cloned()
    }

    /// The hashes of all loaded programs.
    pub fn hashes(&self) -> Vec<B256> {
        let mut all: Vec<_> = self
            .state
            .lock()
            .map(|s| s.by_hash.keys().copied().collect())
            .unwrap_or_default();
        all.sort();
        all
    }

    fn scan(&self, state: &mut State) {
        state.scanned = Some(Instant::now());
        for directory in &self.directories {
            let entries = match std::fs::read_dir(directory) {
                Ok(entries) => entries,
                Err(error) => {
                    tracing::warn!(%error, directory = %directory.display(), "cannot read a program directory");
                    continue;
                }
            };
            for entry in entries.take(MAX_FILES).flatten() {
                let Ok(meta) = entry.metadata() else { continue };
                let path = entry.path();
                if !meta.is_file() || meta.len() > MAX_ELF || state.by_hash.len() >= MAX_PROGRAMS {
                    continue;
                }
                if !state.seen.insert((path.clone(), meta.modified().ok(), meta.len())) {
                    continue;
                }
                match load(&path, self.max_memory) {
                    Ok(Some(program)) => {
                        let hash = B256::from(program.hash());
                        tracing::info!(program = %hash, file = %path.display(), "loaded a program");
                        state.by_hash.insert(hash, program);
                    }
                    Ok(None) => {}
                    Err(reason) => tracing::warn!(file = %path.display(), reason, "not a program for this node"),
                }
            }
        }
        // A file that keeps changing must not fill memory.
        if state.seen.len() > MAX_FILES {
            state.seen.clear();
        }
    }
}

/// Loads one file; `None` if it is no ELF at all.
fn load(path: &Path, max_memory: u64) -> Result<Option<Program>, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let program = Program::from_elf(&bytes).map_err(|e| e.to_string())?;
    let memory = program.memory().size();
    if memory > max_memory {
        return Err(format!(
            "declares {memory} bytes of memory, at most {max_memory} allowed (limits.program_memory)"
        ));
    }
    Ok(Some(program))
}
