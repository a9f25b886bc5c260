//! Engines that run inside of a process get one of their own for every run: each installs its handlers of faults, and they
//! would get in each other's way. The process is this program, started with [`ARGUMENT`].

use crate::builds::Target;
use crate::clock::Clock;
use crate::peer::{Peer, Prepared, Sample};
use anyhow::{Context, Result};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Comes before the engine's name, the program's file, the clock.
pub(crate) const ARGUMENT: &str = "run-in-process";

/// An engine, started in a process of its own.
pub(crate) struct Isolated(pub(crate) Box<dyn Peer>);

impl Peer for Isolated {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> Result<String> {
        self.0.version()
    }

    fn target(&self) -> Target {
        self.0.target()
    }

    fn most_rounds(&self) -> usize {
        self.0.most_rounds()
    }

    fn prepare(&self, built: &Path) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Process {
            peer: self.name(),
            built: built.to_owned(),
        }))
    }
}

struct Process {
    peer: &'static str,
    built: PathBuf,
}

impl Prepared for Process {
    fn run(&mut self, clock: Clock) -> Result<Sample> {
        let mut command = Command::new(env::current_exe()?);
        command
            .args([ARGUMENT, self.peer])
            .arg(&self.built)
            .arg(clock.to_string());
        let line = crate::builds::run(&mut command)?;
        Sample::parse(&line).with_context(|| format!("expected a checksum, nanoseconds and steps, found {line:?}"))
    }
}

/// What the other process does: prepares the program, runs it, prints the sample.
pub(crate) fn run(peers: &[Box<dyn Peer>], arguments: &[String]) -> Result<()> {
    let [name, built, clock] = arguments else {
        anyhow::bail!("expected an engine, a file and a clock")
    };
    let clock: Clock = clock.parse().map_err(anyhow::Error::msg)?;
    let peer = peers
        .iter()
        .find(|peer| peer.name() == name)
        .context("no engine has this name")?;
    let sample = peer.prepare(Path::new(built))?.run(clock)?;
    println!("{sample}");
    Ok(())
}
