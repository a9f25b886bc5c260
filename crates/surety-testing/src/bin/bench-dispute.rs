//! What a whole dispute over 2^40 steps costs, measured on anvil between real nodes. Writes
//! `bench/results/dispute.json`.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use serde_json::json;
use surety_primitives::Budget;
use surety_testing::{
    devnet::{Behaviour, Devnet, DevnetConfig, repository},
    lie::Lie,
    scenario::{bond, lied_to, open, place},
};

/// The largest budget below 2^40 that a request can have: budgets are in thousands.
const BUDGET: u64 = 1_099_511_627_000;

#[tokio::main]
async fn main() -> Result<()> {
    let config = DevnetConfig {
        operators: 2,
        adjust: |node| {
            node.limits.budget = 1 << 45;
            node.limits.call_budget = 1 << 45;
        },
        ..DevnetConfig::default()
    };
    let mut net = Devnet::start(&config).await?;
    net.start_node(0, Behaviour::Honest).await?;
    net.start_node(1, Behaviour::Lying(Lie::Output)).await?;
    let user = net.user().await?;
    let mut evidence = lied_to(&net, &user, Budget::new(BUDGET)?, 0, 2).await?;
    // Eight dissections: the ninth move, the step, is the first claim's.
    place(&mut evidence, net.operators[0].address(), true);
    let open = open(&net, &user, &evidence).await?;
    open.wait(&net, Duration::from_secs(300)).await?;
    ensure!(
        bond(&net, net.operators[1].address()).await?.is_zero(),
        "the liar kept its bond"
    );

    let transactions = open.transactions(&net).await?;
    let mut by_kind: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for one in &transactions {
        by_kind.entry(one.kind).or_default().push(one.gas);
    }
    let sum = |kind: &str| by_kind.get(kind).map_or(0, |all| all.iter().sum::<u64>());
    let count = |kind: &str| by_kind.get(kind).map_or(0, Vec::len);
    let (moves, all) = (
        count("dissect") + count("step"),
        transactions.iter().map(|t| t.gas).sum::<u64>(),
    );
    println!("| transaction | count | gas, all | gas, dearest |\n|---|---:|---:|---:|");
    for (kind, gas) in &by_kind {
        println!(
            "| {kind} | {} | {} | {} |",
            gas.len(),
            gas.iter().sum::<u64>(),
            gas.iter().max().unwrap_or(&0)
        );
    }
    println!("| all | {} | {all} | |", transactions.len());
    let result = json!({
        "command": "make bench-dispute",
        "budget": BUDGET,
        "moves": moves,
        "gas": by_kind,
        "gas_moves": sum("dissect") + sum("step"),
        "gas_all": all,
    });
    let path = repository().join("bench/results/dispute.json");
    std::fs::write(path, serde_json::to_string_pretty(&result)? + "\n")?;
    Ok(())
}
