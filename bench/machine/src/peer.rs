//! What every engine that is measured offers.

use crate::builds::Target;
use crate::clock::Clock;
use anyhow::Result;
use std::fmt;
use std::path::Path;

/// An engine, or a way to run one.
pub(crate) trait Peer {
    /// The column's name: `native`, `engine`, ...
    fn name(&self) -> &'static str;

    /// What it is and which version, as the results say it. An error says that it is missing here.
    fn version(&self) -> Result<String>;

    /// What programs are built for it.
    fn target(&self) -> Target;

    /// Makes a built program ready to be run: reads it, compiles it.
    fn prepare(&self, built: &Path) -> Result<Box<dyn Prepared>>;

    /// Slow ones are run in the first rounds only.
    fn most_rounds(&self) -> usize {
        usize::MAX
    }
}

/// A program ready to be run.
pub(crate) trait Prepared {
    /// Runs it once, in memory of its own. Only execution is timed.
    fn run(&mut self, clock: Clock) -> Result<Sample>;
}

/// A run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// How long it took.
    pub(crate) seconds: f64,
    /// What the program computed.
    pub(crate) checksum: u32,
    /// How many of the machine's steps that were, where they are counted.
    pub(crate) steps: Option<u64>,
}

impl Sample {
    /// Reads `CHECKSUM NANOSECONDS [STEPS]`, as programs that time themselves print it.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let checksum = u32::from_str_radix(words.next()?, 16).ok()?;
        let nanoseconds: u64 = words.next()?.parse().ok()?;
        let steps = match words.next() {
            Some(steps) => Some(steps.parse().ok()?),
            None => None,
        };
        Some(Self {
            seconds: nanoseconds as f64 / 1e9,
            checksum,
            steps,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x} {:.0}", self.checksum, self.seconds * 1e9)?;
        self.steps.map_or(Ok(()), |steps| write!(f, " {steps}"))
    }
}
