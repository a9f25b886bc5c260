//! What is measured beside the programs: translation, a start from the cache, the first dissection of a dispute.

use crate::builds::{Builder, Size};
use crate::clock::Clock;
use crate::statistics::{Spread, rounded};
use crate::suite;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use surety_engine::{Codes, Kind, Options, Run};
use surety_machine::{Checkpoint, MemoryPreimages, Program, Status};

/// Parts of a dissection: 31 roots between its ends.
const PARTS: u64 = 32;
/// Programs dissected: much memory written in turn, at random, and little.
const DISSECTED: [&str; 4] = ["sieve", "hash_table", "mix", "sha256"];

/// All figures: a name in the results, and its value.
pub(crate) fn measure(
    explorer: &Path,
    programs: &[suite::Program],
    builder: &Builder,
    rounds: usize,
    clock: Clock,
) -> Result<Vec<(&'static str, Value)>> {
    let explorer = fs::read(explorer).context("programs/elf/explorer.elf cannot be read")?;
    let mut figures = translation(&explorer, rounds, clock)?;
    figures.push(("warm_start_ms", warm_start(&explorer, rounds, clock)?));
    let mut dissections = Map::new();
    for program in programs
        .iter()
        .filter(|program| DISSECTED.contains(&program.name.as_str()))
    {
        if builder.size != Size::Full {
            continue;
        }
        let elf = fs::read(builder.long(program)?)?;
        dissections.insert(program.name.clone(), dissection(&elf, rounds, clock)?);
    }
    figures.push(("dissection_over_run", dissections.into()));
    Ok(figures)
}

/// Guest code translated in a second.
fn translation(elf: &[u8], rounds: usize, clock: Clock) -> Result<Vec<(&'static str, Value)>> {
    let program = Program::from_elf(elf)?;
    let guest = 4 * program
        .instructions()
        .iter()
        .filter(|instruction| instruction.is_some())
        .count();
    let (mut host, mut speeds) = (0, Vec::new());
    for _ in 0..rounds {
        // A few milliseconds each, often, are a time that can be measured.
        let (mut seconds, mut done) = (0.0, 0);
        while seconds < 0.1 {
            let translate = || Ok(surety_engine::translate(&program, Options::default())?);
            let (code, took) = clock.time(translate)?;
            host = code.context("the program cannot be translated here")?.bytes();
            seconds += took;
            done += guest;
        }
        speeds.push(done as f64 / seconds / 1e6);
    }
    let speed = Spread::of(speeds).context("no rounds")?;
    let details = json!({
        "program": "explorer",
        "guest_code_bytes": guest,
        "host_code_bytes": host,
        "mb_per_s": speed.json(),
    });
    Ok(vec![
        ("translation_mb_per_s", json!(rounded(speed.median))),
        ("translation", details),
    ])
}

/// From a program in memory and its code on disk to its first step.
fn warm_start(elf: &[u8], rounds: usize, clock: Clock) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let cache = directory.path().join("codes");
    let codes = || Codes::new(Kind::Translated, Some(cache.clone()));
    let mut preimages = MemoryPreimages::default();
    let input = preimages.insert(b"");
    let start = |preimages: &mut MemoryPreimages| -> Result<(f64, f64)> {
        let (program, reading) = clock.time(|| Ok(Program::from_elf(elf)?))?;
        let (steps, starting) = clock.time(|| {
            let mut run = codes().run(&program, input)?;
            run.run(1, preimages)?;
            Ok(run.steps())
        })?;
        ensure!(steps == 1, "expected one step, found {steps}");
        Ok((reading, starting))
    };
    let (_, cold) = start(&mut preimages)?;
    let mut starts = Vec::new();
    for _ in 0..rounds.max(5) {
        starts.push(start(&mut preimages)?);
    }
    let ms = |values: Vec<f64>| Spread::of(values.into_iter().map(|seconds| seconds * 1e3)).map(|spread| spread.json());
    Ok(json!({
        "program": "explorer",
        "from_cache": ms(starts.iter().map(|&(_, starting)| starting).collect()),
        "reading_the_elf": ms(starts.iter().map(|&(reading, _)| reading).collect()),
        "without_cache": rounded(cold * 1e3),
    }))
}

/// What a dispute runs, over the plain run of some 10^10 steps: the first dissection (31 state roots of the whole run, with
/// a checkpoint at each), and the two after it (31 of a part of the one before, from its checkpoint).
fn dissection(elf: &[u8], rounds: usize, clock: Clock) -> Result<Value> {
    let program = Program::from_elf(elf)?;
    let code = surety_engine::translate(&program, Options::default())?;
    let mut preimages = MemoryPreimages::default();
    let input = preimages.insert(b"");
    let mut ratios = [const { Vec::new() }; 3];
    let mut steps = 0;
    for _ in 0..rounds.min(3) {
        let mut plain = Run::with_code(Kind::Translated, code.as_ref(), &program, input)?;
        let (status, plain_seconds) = clock.time(|| Ok(plain.run(u64::MAX, &mut preimages)?))?;
        ensure!(
            status == Status::Halted,
            "expected that the program halts, found it {status}"
        );
        steps = plain.steps();
        let (mut low, mut high) = (0, steps);
        let mut from: Option<Checkpoint> = None;
        for ratios in &mut ratios {
            let at: Vec<u64> = (1..PARTS)
                .map(|part| low + (u128::from(high - low) * u128::from(part) / u128::from(PARTS)) as u64)
                .collect();
            let (points, seconds) = clock.time(|| {
                let mut run = match &from {
                    Some(checkpoint) => Run::restore(Kind::Translated, code.as_ref(), checkpoint)?,
                    None => Run::with_code(Kind::Translated, code.as_ref(), &program, input)?,
                };
                let mut points = Vec::with_capacity(at.len());
                for until in &at {
                    run.run(*until, &mut preimages)?;
                    let _root = run.state_root();
                    points.push(run.checkpoint());
                }
                Ok(points)
            })?;
            ratios.push(seconds / plain_seconds);
            // Somewhere in the middle.
            let (Some(start), Some(end)) = (points.get(14), points.get(15)) else {
                break;
            };
            (low, high) = (start.steps(), end.steps());
            from = Some(start.clone());
        }
    }
    let [first, second, third] = ratios.map(|ratios| Spread::of(ratios).map(|spread| spread.json()));
    Ok(json!({ "steps": steps, "roots": PARTS - 1, "first": first, "second": second, "third": third }))
}
