//! Counters in Prometheus' text format, and the endpoint that serves them.
//!
//! Few enough that a library would be more code than this: fixed names, atomics, no labels made of outside data.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds of the execution time histogram, milliseconds.
const BUCKETS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 15_000, 60_000];

/// All of a node's metrics.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: AtomicU64,
    answered: AtomicU64,
    declined: AtomicU64,
    busy: AtomicU64,
    calls: AtomicU64,
    contradictions: AtomicU64,
    forced: AtomicU64,
    disputes_joined: AtomicU64,
    disputes_defended: AtomicU64,
    moves: AtomicU64,
    expired: AtomicU64,
    settled: AtomicU64,
    chain_errors: AtomicU64,
    steps: AtomicU64,
    executions: AtomicU64,
    execution_ms: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len()],
}

/// What can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// A signed request came.
    Request,
    /// It was answered.
    Answered,
    /// It was declined, for whatever reason but load.
    Declined,
    /// Something was refused for load.
    Busy,
    /// An unsigned call came.
    Call,
    /// A run contradicted the stored outcome of its statement.
    Contradiction,
    /// A request made on-chain was answered there.
    Forced,
    /// A dispute was joined.
    DisputeJoined,
    /// A dispute against one of our claims began.
    DisputeDefended,
    /// A move was made.
    Move,
    /// A silent opponent was expired.
    Expired,
    /// A dispute was settled.
    Settled,
    /// The L1 endpoint or a transaction failed.
    ChainError,
}

impl Metrics {
    /// Counts one.
    pub fn count(&self, what: Count) {
        self.cell(what).fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn get(&self, what: Count) -> u64 {
        self.cell(what).load(Ordering::Relaxed)
    }

    /// A run took this long, for so many steps.
    pub fn execution(&self, time: Duration, steps: u64) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.executions.fetch_add(1, Ordering::Relaxed);
        self.execution_ms.fetch_add(ms, Ordering::Relaxed);
        self.steps.fetch_add(steps, Ordering::Relaxed);
        for (bound, cell) in BUCKETS.iter().zip(&self.buckets) {
            if ms <= *bound {
                cell.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn cell(&self, what: Count) -> &AtomicU64 {
        match what {
            Count::Request => &self.requests,
            Count::Answered => &self.answered,
            Count::Declined => &self.declined,
            Count::Busy => &self.busy,
            Count::Call => &self.calls,
            Count::Contradiction => &self.contradictions,
            Count::Forced => &self.forced,
            Count::DisputeJoined => &self.disputes_joined,
            Count::DisputeDefended => &self.disputes_defended,
            Count::Move => &self.moves,
            Count::Expired => &self.expired,
            Count::Settled => &self.settled,
            Count::ChainError => &self.chain_errors,
        }
    }

    /// The text of `GET /metrics`. `gauges` are read by the caller: name, help, value.
    pub fn render(&self, gauges: &[(&str, &str, u64)]) -> String {
        let mut out = String::new();
        let counters: [(&str, &str, &AtomicU64); 14] = [
            ("surety_requests_total", "Signed requests received", &self.requests),
            ("surety_answered_total", "Signed requests answered", &self.answered),
            (
                "surety_declined_total",
                "Signed requests declined, unsigned",
                &self.declined,
            ),
            (
                "surety_busy_total",
                "Runs refused because the queue was full",
                &self.busy,
            ),
            ("surety_calls_total", "Unsigned calls received", &self.calls),
            (
                "surety_contradictions_total",
                "Runs that contradicted the stored outcome; must be 0",
                &self.contradictions,
            ),
            (
                "surety_forced_total",
                "On-chain requests answered on-chain",
                &self.forced,
            ),
            ("surety_disputes_joined_total", "Disputes joined", &self.disputes_joined),
            (
                "surety_disputes_defended_total",
                "Disputes with a claim of ours",
                &self.disputes_defended,
            ),
            ("surety_dispute_moves_total", "Moves made in disputes", &self.moves),
            (
                "surety_disputes_expired_total",
                "Silent opponents expired",
                &self.expired,
            ),
            (
                "surety_disputes_settled_total",
                "Disputes settled by this node",
                &self.settled,
            ),
            (
                "surety_chain_errors_total",
                "Failures of the L1 endpoint or of transactions",
                &self.chain_errors,
            ),
            (
                "surety_steps_total",
                "Machine steps run for requests and calls",
                &self.steps,
            ),
        ];
        for (name, help, cell) in counters {
            line(&mut out, name, help, "counter", cell.load(Ordering::Relaxed));
        }
        for (name, help, value) in gauges {
            line(&mut out, name, help, "gauge", *value);
        }
        let name = "surety_execution_seconds";
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {name} Time to run a program\n# TYPE {name} histogram");
        for (bound, cell) in BUCKETS.iter().zip(&self.buckets) {
            let _ = writeln!(
                out,
                "{name}_bucket{{le=\"{}\"}} {}",
                *bound as f64 / 1e3,
                cell.load(Ordering::Relaxed)
            );
        }
        let count = self.executions.load(Ordering::Relaxed);
        let sum = self.execution_ms.load(Ordering::Relaxed) as f64 / 1e3;
        let _ = writeln!(
            out,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}"
        );
        out
    }
}

fn line(out: &mut String, name: &str, help: &str, kind: &str, value: u64) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_prometheus_text() {
        let m = Metrics::default();
        m.count(Count::Request);
        m.execution(Duration::from_millis(3), 1_000);
        let text = m.render(&[("surety_queue", "Runs waiting", 2)]);
        for expected in [
            "surety_requests_total 1\n",
            "surety_queue 2\n",
            "surety_execution_seconds_bucket{le=\"0.002\"} 0\n",
            "surety_execution_seconds_bucket{le=\"0.005\"} 1\n",
            "surety_execution_seconds_bucket{le=\"+Inf\"} 1\n",
            "surety_steps_total 1000\n",
        ] {
            assert!(text.contains(expected), "{expected} not in\n{text}");
        }
    }
}
