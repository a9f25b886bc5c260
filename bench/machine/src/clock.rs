//! What is read before and after a run.

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};
use std::fmt;
use std::str::FromStr;

/// A clock of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The time that all threads of this process have had a processor: what others do on the machine counts little.
    Processor,
    /// The time that has passed.
    Wall,
}

impl Clock {
    /// Its number on Linux, for the programs that read it themselves.
    pub(crate) fn number(self) -> i32 {
        self.id().as_raw()
    }

    /// Seconds, from some start.
    pub(crate) fn seconds(self) -> Result<f64> {
        let now = clock_gettime(self.id())?;
        Ok(now.tv_sec() as f64 + now.tv_nsec() as f64 / 1e9)
    }

    /// Runs something; what it gives, and the seconds it took.
    pub(crate) fn time<T>(self, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
        let start = self.seconds()?;
        let done = work()?;
        Ok((done, self.seconds()? - start))
    }

    fn id(self) -> ClockId {
        match self {
            Self::Processor => ClockId::CLOCK_PROCESS_CPUTIME_ID,
            Self::Wall => ClockId::CLOCK_MONOTONIC,
        }
    }
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "processor" => Ok(Self::Processor),
            "wall" => Ok(Self::Wall),
            _ => Err(format!("expected `processor` or `wall`, found `{name}`")),
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Processor => "processor",
            Self::Wall => "wall",
        })
    }
}
