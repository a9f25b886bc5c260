//! A guest program, run with the engine's intrinsics and without.

use super::cases::Case;
use super::{ratios, spread};
use crate::builds::{Builder, Size};
use crate::clock::Clock;
use crate::isolation::Isolated;
use crate::peer::{Peer, Sample};
use crate::peers;
use crate::suite::Program;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use surety_engine::intrinsics;

/// A program, built twice: with many calls and with few.
pub(super) struct Guest {
    pub(super) case: &'static Case,
    about: String,
    many: PathBuf,
    few: PathBuf,
    /// How often the first calls.
    calls: u32,
    /// What the first computes, once it has run.
    pub(super) checksum: Option<u32>,
    /// Steps of a call, with its share of all else that the program does.
    steps: f64,
    /// Seconds of a call, by round: with intrinsics.
    pub(super) with: Vec<f64>,
    /// The same without.
    without: Vec<f64>,
}

impl Guest {
    /// Builds a case's program, and looks whether the engine knows its routines.
    pub(super) fn build(case: &'static Case, source: &Program, builder: &Builder) -> Result<Self> {
        let calls = match builder.size {
            Size::Quick => case.few,
            _ => case.calls,
        };
        let [rows, columns] = case.rows;
        let sizes = |calls| {
            [
                ("LENGTH", case.length),
                ("ROWS", rows),
                ("COLUMNS", columns),
                ("CALLS", calls),
            ]
        };
        let build = |calls| builder.routine(source, &sizes(calls), case.memory);
        let (many, few) = (build(calls)?, build(case.few)?);
        let found = known(&many)?;
        for routine in case.routines {
            ensure!(
                found.contains(routine),
                "{}: the engine does not know {routine}; it knows {found:?}",
                case.name
            );
        }
        Ok(Self {
            case,
            about: source.about.clone(),
            many,
            few,
            calls,
            checksum: None,
            steps: 0.0,
            with: Vec::new(),
            without: Vec::new(),
        })
    }

    /// How often the program calls that [`Guest::with`] is measured on.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// Runs the program with few calls once on the engine, without intrinsics, and on the interpreter: all must agree.
    pub(super) fn check(&mut self, clock: Clock) -> Result<()> {
        let name = self.case.name;
        let mut agreed: Option<(&str, u32, u64)> = None;
        for peer in &peers::of_routines() {
            let Sample { checksum, steps, .. } = run(peer, &self.few, clock)?;
            let steps = steps.with_context(|| format!("{} counts no steps", peer.name()))?;
            match agreed {
                None => agreed = Some((peer.name(), checksum, steps)),
                Some((other, sum, count)) if (sum, count) != (checksum, steps) => bail!(
                    "{name}: {} computes {checksum:08x} in {steps} steps, {other} {sum:08x} in {count}",
                    peer.name()
                ),
                Some(_) => {}
            }
            self.steps = steps as f64 / f64::from(self.case.few);
        }
        Ok(())
    }

    /// Runs it in each round with intrinsics and many calls, then without and with few; before both, what is given.
    pub(super) fn measure(
        &mut self,
        rounds: usize,
        clock: Clock,
        mut before: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let [engine, plain, _] = peers::of_routines();
        for _ in 0..rounds {
            before()?;
            let with = run(&engine, &self.many, clock)?;
            self.checksum = Some(with.checksum);
            self.with.push(with.seconds / f64::from(self.calls));
            let without = run(&plain, &self.few, clock)?;
            self.without.push(without.seconds / f64::from(self.case.few));
        }
        Ok(())
    }

    /// Its row in the results.
    pub(super) fn json(&self) -> Result<Value> {
        Ok(json!({
            "name": self.case.name,
            "about": self.about,
            "size": self.case.size(),
            "routines": self.case.routines,
            "steps_a_call": self.steps.round(),
            "with_ns": spread(&self.with, 1e9)?,
            "without_ns": spread(&self.without, 1e9)?,
            "without_over_with": spread(&ratios(&self.without, &self.with), 1.0)?,
        }))
    }
}

fn run(peer: &Isolated, built: &Path, clock: Clock) -> Result<Sample> {
    peer.prepare(built)?.run(clock)
}

/// The routines that the engine finds in a program, by its code alone.
fn known(built: &Path) -> Result<BTreeSet<&'static str>> {
    let program = surety_machine::Program::from_elf(&fs::read(built)?)?;
    let mut words = Vec::new();
    program.code().visit_pages(&mut |number, bytes| {
        words.resize(number as usize * (bytes.len() / 4), 0);
        let (page, _) = bytes.as_chunks::<4>();
        words.extend(page.iter().map(|word| u32::from_le_bytes(*word)));
    });
    let found = intrinsics::find(&words);
    Ok(found.into_iter().map(|(_, intrinsic)| intrinsic.name).collect())
}
