//! How long a connector waits before it registers again.

use std::time::Duration;

/// Longest pause, in first pauses.
const MOST: u32 = 30;

/// Pauses that double from the first to [`MOST`] times as long. A node that was there starts them anew; another process
/// that takes over the connector's name doesn't, however often it is registered in between: else the two would end each
/// other's sessions as fast as they can.
#[derive(Debug)]
pub(super) struct Pauses {
    first: Duration,
    /// while there is no node
    absent: Duration,
    /// while there is another connector of the name
    rival: Duration,
    rival_told: bool,
}

impl Pauses {
    pub(super) fn new(first: Duration) -> Self {
        Self {
            first,
            absent: first,
            rival: first,
            rival_told: false,
        }
    }

    /// Whether nobody has been told of the other process yet.
    pub(super) fn first_rival(&mut self) -> bool {
        !std::mem::replace(&mut self.rival_told, true)
    }

    /// The node did not take the registration, or is not there.
    pub(super) fn absent(&mut self) -> Duration {
        let pause = self.absent;
        self.absent = self.longer(pause);
        pause
    }

    /// The connector was registered, and then the node went away.
    pub(super) fn lost(&mut self) -> Duration {
        self.rival = self.first;
        self.absent = self.longer(self.first);
        self.first
    }

    /// The connector was registered, and then another one under its name.
    pub(super) fn taken_over(&mut self) -> Duration {
        self.absent = self.first;
        let pause = self.rival;
        self.rival = self.longer(pause);
        pause
    }

    fn longer(&self, pause: Duration) -> Duration {
        pause.saturating_mul(2).min(self.first.saturating_mul(MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_of_the_name_is_told_once_and_makes_pauses_grow() {
        let second = Duration::from_secs(1);
        let mut pauses = Pauses::new(second);
        let found: Vec<_> = (0..7)
            .map(|_| (pauses.first_rival(), pauses.taken_over().as_secs()))
            .collect();
        let told = found.iter().map(|(told, _)| *told);
        assert_eq!(
            told.collect::<Vec<_>>(),
            [true, false, false, false, false, false, false]
        );
        let seconds = found.iter().map(|(_, seconds)| *seconds);
        assert_eq!(seconds.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses.lost(), second);
        assert_eq!(pauses.absent(), second * 2);
        assert_eq!(pauses.taken_over(), second);
        assert!(!pauses.first_rival());
    }
}
