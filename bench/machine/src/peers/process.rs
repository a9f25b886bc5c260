//! What runs as a process of its own and times itself: native code, and qemu.

use crate::builds::{Target, first_line};
use crate::clock::Clock;
use crate::peer::{Peer, Prepared, Sample};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program started by itself, or by an emulator.
pub(crate) struct Process {
    name: &'static str,
    target: Target,
    /// Which program says its version.
    tool: &'static str,
    emulator: Option<&'static str>,
    most_rounds: usize,
}

impl Process {
    /// Scalar native code: what all else is measured against.
    pub(crate) const NATIVE: Self = Self {
        name: "native",
        target: Target::Native,
        tool: "gcc",
        emulator: None,
        most_rounds: usize::MAX,
    };
    /// Native code with vectors.
    pub(crate) const NATIVE_VECTORISED: Self = Self {
        name: "native_vectorised",
        target: Target::NativeVectorised,
        tool: "gcc",
        emulator: None,
        most_rounds: usize::MAX,
    };
    /// qemu's user mode. It translates while it runs, so its time holds that.
    pub(crate) const QEMU: Self = Self {
        name: "qemu",
        target: Target::Linux,
        tool: "qemu-riscv32",
        emulator: Some("qemu-riscv32"),
        most_rounds: 3,
    };
}

impl Peer for Process {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> Result<String> {
        first_line(self.tool, "--version")
    }

    fn target(&self) -> Target {
        self.target
    }

    fn prepare(&self, built: &Path) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Started {
            emulator: self.emulator,
            program: built.to_owned(),
        }))
    }

    fn most_rounds(&self) -> usize {
        self.most_rounds
    }
}

struct Started {
    emulator: Option<&'static str>,
    program: PathBuf,
}

impl Prepared for Started {
    fn run(&mut self, clock: Clock) -> Result<Sample> {
        let mut command = match self.emulator {
            Some(emulator) => {
                let mut command = Command::new(emulator);
                command.arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        let line = crate::builds::run(command.arg(clock.number().to_string()))?;
        Sample::parse(&line).with_context(|| format!("expected a checksum and nanoseconds, found {line:?}"))
    }
}
