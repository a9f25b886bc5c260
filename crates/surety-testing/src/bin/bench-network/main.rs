//! Figures of the network: event to certificate, certified events a second, and what one costs as sets grow. Real nodes
//! (`surety node`, one process each), real connectors' wire, real peers on loopback, real disks; for more members than a
//! machine can run, the same machines and signatures in one process. Writes `bench/results/network.json`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its figures"
)]

mod fleet;
mod lane;
mod model;

use anyhow::Result;
use clap::Parser;
use serde_json::{Value as Json, json};
use surety_testing::devnet::repository;

/// What is measured.
#[derive(Debug, Parser)]
struct Arguments {
    /// Real nodes; 0 leaves this part out.
    #[arg(long, default_value_t = 16)]
    nodes: u32,
    /// Isolated events whose latency is measured.
    #[arg(long, default_value_t = 300)]
    isolated: usize,
    /// Events a second that are offered, one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [250, 500, 1_000, 2_000])]
    rates: Vec<u64>,
    /// Seconds of each rate.
    #[arg(long, default_value_t = 25)]
    seconds: u64,
    /// Events without a certificate while as many are offered as are certified; 0 leaves this part out.
    #[arg(long, default_value_t = 400)]
    outstanding: u64,
    /// Members of the sets of the cost curve; 0 leaves this part out.
    #[arg(long, value_delimiter = ',', default_values_t = [4, 8, 16, 32, 64, 128])]
    members: Vec<u16>,
    /// Name of the machine in the results.
    #[arg(long, default_value = "this machine")]
    machine: String,
}

fn percentile(sorted: &[f64], p: f64) -> f64 {
    let at = ((sorted.len().saturating_sub(1)) as f64 * p).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// p10, p50, p90 and p99.
fn spread(mut all: Vec<f64>) -> Json {
    all.sort_by(f64::total_cmp);
    let at = |p| (percentile(&all, p) * 100.0).round() / 100.0;
    json!({"p10": at(0.1), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "samples": all.len()})
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let path = repository().join("bench/results/network.json");
    let mut results: Json = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_) => json!({}),
    };
    results["command"] = json!("make bench-network");
    let members: Vec<u16> = arguments.members.iter().copied().filter(|n| *n > 0).collect();
    if !members.is_empty() {
        results["curve"] = json!({"machine": arguments.machine, "rows": model::curve(&members)?});
        results["onchain"] = model::onchain()?;
    }
    if arguments.nodes > 0 {
        let measured = fleet::measure(&arguments).await?;
        results[format!("nodes_{}", arguments.nodes)] = measured;
    }
    std::fs::write(&path, serde_json::to_string_pretty(&results)? + "\n")?;
    println!("The figures are in bench/results/network.json.");
    Ok(())
}
