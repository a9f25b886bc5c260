//! Runs the programs on the engines, interleaved, and checks that all compute the same.

use crate::builds::Builds;
use crate::clock::Clock;
use crate::peer::{Peer, Prepared};
use crate::statistics::Spread;
use crate::suite::Program;
use anyhow::{Result, bail};

/// What one engine did on one program.
pub(crate) struct Column {
    /// The engine's name.
    pub(crate) peer: &'static str,
    /// Seconds of every round it took part in, the first round's first.
    pub(crate) seconds: Vec<f64>,
    /// The machine's steps, where they are counted.
    pub(crate) steps: Option<u64>,
    /// Why there is nothing, or not more.
    pub(crate) error: Option<String>,
}

/// What all did on one program.
pub(crate) struct Row {
    /// The program.
    pub(crate) program: Program,
    /// What it computes, which all agree on.
    pub(crate) checksum: u32,
    /// One for each engine, in their order.
    pub(crate) columns: Vec<Column>,
}

impl Row {
    /// An engine's column.
    pub(crate) fn column(&self, peer: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.peer == peer)
    }

    /// The seconds of an engine.
    pub(crate) fn seconds(&self, peer: &str) -> Option<Spread> {
        Spread::of(self.column(peer)?.seconds.iter().copied())
    }

    /// One engine's time over another's, of the same round.
    pub(crate) fn ratio(&self, peer: &str, to: &str) -> Option<Spread> {
        let (peer, to) = (self.column(peer)?, self.column(to)?);
        Spread::of(peer.seconds.iter().zip(&to.seconds).map(|(one, other)| one / other))
    }

    /// The machine's steps, by any engine that counts them; all that do agree.
    pub(crate) fn steps(&self) -> Option<u64> {
        self.columns.iter().find_map(|column| column.steps)
    }
}

/// Measures one program: in each round every engine once.
pub(crate) fn measure(
    program: &Program,
    peers: &[Box<dyn Peer>],
    builds: &Builds,
    rounds: usize,
    clock: Clock,
) -> Result<Row> {
    let mut prepared: Vec<Result<Box<dyn Prepared>, String>> = Vec::new();
    for peer in peers {
        prepared.push(prepare(program, peer.as_ref(), builds));
    }
    let mut columns: Vec<Column> = peers
        .iter()
        .zip(&prepared)
        .map(|(peer, prepared)| Column {
            peer: peer.name(),
            seconds: Vec::new(),
            steps: None,
            error: prepared.as_ref().err().cloned(),
        })
        .collect();
    let mut agreed: Option<(&str, u32)> = None;
    for round in 0..rounds {
        for ((peer, prepared), column) in peers.iter().zip(&mut prepared).zip(&mut columns) {
            let Ok(prepared) = prepared else { continue };
            if round >= peer.most_rounds() || column.error.is_some() {
                continue;
            }
            let sample = match prepared.run(clock) {
                Ok(sample) => sample,
                Err(error) => {
                    column.error = Some(format!("{error:#}"));
                    continue;
                }
            };
            match agreed {
                None => agreed = Some((peer.name(), sample.checksum)),
                Some((other, checksum)) if checksum != sample.checksum => bail!(
                    "{}: {} computes {:08x}, {other} {checksum:08x}",
                    program.name,
                    peer.name(),
                    sample.checksum
                ),
                Some(_) => {}
            }
            column.seconds.push(sample.seconds);
            column.steps = sample.steps;
        }
    }
    let mut counts = columns.iter().filter_map(|column| Some((column.peer, column.steps?)));
    if let Some((first, steps)) = counts.next()
        && let Some((other, found)) = counts.find(|&(_, found)| found != steps)
    {
        bail!("{}: {first} counts {steps} steps, {other} {found}", program.name);
    }
    let Some((_, checksum)) = agreed else {
        bail!("{}: no engine runs it", program.name)
    };
    Ok(Row {
        program: program.clone(),
        checksum,
        columns,
    })
}

fn prepare(program: &Program, peer: &dyn Peer, builds: &Builds) -> Result<Box<dyn Prepared>, String> {
    let built = builds.get(&(program.name.clone(), peer.target()));
    let built = built
        .ok_or_else(|| "not built".to_owned())?
        .as_ref()
        .map_err(|error| format!("not built: {error}"))?;
    peer.prepare(built).map_err(|error| format!("{error:#}"))
}
