//! Two engines, one program: whatever step they stop at, they must be in the same state.

use surety_engine::{Code, Kind, Run};
use surety_machine::{Machine, MemoryPreimages, Program, RunError, Status, keccak256};

use super::generate::Source;

pub const INPUT: &[u8] = b"the request's input, which is longer than a leaf of memory, so that it is read in pieces";

pub fn preimages() -> MemoryPreimages {
    let mut preimages = MemoryPreimages::default();
    preimages.insert(INPUT);
    preimages
}

fn same(reference: &mut Machine, run: &mut Run, roots: bool, what: &str) -> Result<(), String> {
    let seen = (run.status(), run.steps(), run.pc(), run.outcome(), *run.registers());
    let expected = (
        reference.status(),
        reference.steps(),
        reference.pc(),
        reference.outcome(),
        *reference.registers(),
    );
    if seen != expected {
        return Err(format!("{what}:\n expected {expected:x?}\n found    {seen:x?}"));
    }
    if reference.output() != run.output() || reference.chunk_lengths() != run.chunk_lengths() {
        return Err(format!("{what}: the outputs differ"));
    }
    if roots && reference.state_root() != run.state_root() {
        return Err(format!("{what}: memory differs"));
    }
    Ok(())
}

fn advance(reference: &mut Machine, run: &mut Run, until: u64) -> Result<(), String> {
    let expected: Result<Status, RunError> = reference.run(until, &mut preimages());
    let found = match run.run(until, &mut preimages()) {
        Ok(status) => Ok(status),
        Err(surety_engine::Error::Run(error)) => Err(error),
        Err(error) => return Err(error.to_string()),
    };
    if expected != found {
        return Err(format!("until {until}: expected {expected:?}, found {found:?}"));
    }
    Ok(())
}

/// Compares the engines on a program: stopped at every one of the first `every` steps, one run after the other and from
/// the start each time; then at steps that `source` picks; then at `most`.
pub fn engines_agree(program: &Program, source: &mut Source<'_>, every: u64, most: u64) -> Result<(), String> {
    let code: Option<Code> =
        surety_engine::translate(program, surety_engine::Options::default()).map_err(|e| e.to_string())?;
    let input = keccak256(INPUT);
    let start = || Run::with_code(Kind::Translated, code.as_ref(), program, input).map_err(|e| e.to_string());

    let mut reference = Machine::new(program, input);
    let mut run = start()?;
    for until in 1..=every {
        advance(&mut reference, &mut run, until)?;
        same(
            &mut reference,
            &mut run,
            until % 16 == 0,
            &format!("step by step, {until}"),
        )?;
        let mut fresh = start()?;
        let mut other = Machine::new(program, input);
        advance(&mut other, &mut fresh, until)?;
        same(
            &mut other,
            &mut fresh,
            until % 8 == 0,
            &format!("from the start, {until}"),
        )?;
        if reference.status() != Status::Running {
            break;
        }
    }
    let mut run = start()?;
    let mut reference = Machine::new(program, input);
    let mut until = 0;
    while until < most {
        until = (until + 1 + u64::from(source.below(source_reach(until)))).min(most);
        advance(&mut reference, &mut run, until)?;
        same(&mut reference, &mut run, true, &format!("at picked steps, {until}"))?;
        if source.below(4) == 0 {
            // Going on from a checkpoint is going on.
            run = Run::restore(Kind::Translated, code.as_ref(), &run.checkpoint()).map_err(|e| e.to_string())?;
            reference = reference.checkpoint().restore();
        }
        if reference.status() != Status::Running {
            break;
        }
    }
    Ok(())
}

fn source_reach(until: u64) -> u32 {
    (until / 2).clamp(40, 4000) as u32
}
