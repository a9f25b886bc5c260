//! A token bucket over messages and bytes.

use std::time::{Duration, Instant};

use crate::Rate;

/// Starts full. Time is handed in, so that tests need no clock.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: Rate,
    messages: f64,
    bytes: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            messages: rate.messages * rate.burst,
            bytes: rate.bytes * rate.burst,
            at: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.messages = (self.messages + seconds * self.rate.messages).min(self.rate.messages * self.rate.burst);
        self.bytes = (self.bytes + seconds * self.rate.bytes).min(self.rate.bytes * self.rate.burst);
    }

    /// Takes one message of `size` bytes if the bucket is not overdrawn. A message larger than what is left is allowed
    /// and overdraws it, else one larger than the burst could never pass.
    pub(crate) fn take(&mut self, size: usize, now: Instant) -> bool {
        self.refill(now);
        if self.messages < 1.0 || self.bytes <= 0.0 {
            return false;
        }
        self.messages -= 1.0;
        self.bytes -= size as f64;
        true
    }

    /// How long until [`Bucket::take`] succeeds.
    pub(crate) fn wait(&mut self, now: Instant) -> Duration {
        self.refill(now);
        let messages = (1.0 - self.messages) / self.rate.messages;
        let bytes = if self.bytes > 0.0 {
            0.0
        } else {
            (1.0 - self.bytes) / self.rate.bytes
        };
        // A millisecond is the timer's grain; the ceiling keeps the sum finite if a rate is nearly nothing.
        Duration::from_secs_f64(messages.max(bytes).clamp(0.001, 3_600.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_the_burst_pass_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(
            Rate {
                messages: 10.0,
                bytes: 1e9,
                burst: 2.0,
            },
            start,
        );
        assert_eq!((0..100).filter(|_| bucket.take(1, start)).count(), 20);
        let wait = bucket.wait(start);
        assert!(!bucket.take(1, start + wait / 2));
        assert!(bucket.take(1, start + wait + Duration::from_millis(1)));
        let later = start + Duration::from_secs(1_000);
        assert_eq!(
            (0..100).filter(|_| bucket.take(1, later)).count(),
            20,
            "no more than the burst is ever saved up"
        );
    }

    #[test]
    fn a_large_message_overdraws_once() {
        let start = Instant::now();
        let mut bucket = Bucket::new(
            Rate {
                messages: 1e6,
                bytes: 100.0,
                burst: 1.0,
            },
            start,
        );
        assert!(bucket.take(1_000, start));
        assert!(!bucket.take(1, start + Duration::from_secs(8)));
        assert!(bucket.take(1, start + Duration::from_secs(10)));
    }

    #[test]
    fn time_that_runs_backwards_gives_nothing() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut bucket = Bucket::new(
            Rate {
                messages: 1.0,
                bytes: 1e9,
                burst: 1.0,
            },
            start,
        );
        assert!(bucket.take(1, start));
        assert!(!bucket.take(1, start - Duration::from_secs(50)));
        assert!(!bucket.take(1, start));
    }
}
