//! What a provider adds to running the function: latency of a signed request over the run alone, and requests a second
//! against the same server library answering a constant. Writes `bench/results/provider.json`.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::primitives::{B256, Bytes, keccak256};
use anyhow::{Context, Result};
use jsonrpsee::server::{RpcModule, Server, ServerConfig};
use serde_json::json;
use surety_client::rpc::{Limits, ProviderRpc};
use surety_engine::Codes;
use surety_machine::{Preimages, Program};
use surety_primitives::Budget;
use surety_testing::{
    devnet::{Behaviour, Devnet, DevnetConfig, repository},
    scenario::question,
};
use tokio::task::JoinSet;

/// Requests sent one after the other.
const SEQUENTIAL: usize = 400;
/// Requests sent at the same time.
const PARALLEL: usize = 16;
/// Requests of a throughput run.
const THROUGHPUT: usize = 2_000;

/// The test data's preimages.
struct Files(std::collections::HashMap<[u8; 32], Arc<[u8]>>);

impl Files {
    fn read() -> Result<Self> {
        let mut all = std::collections::HashMap::new();
        let mut add = |bytes: &[u8]| {
            all.insert(keccak256(bytes).0, Arc::from(bytes));
        };
        for entry in std::fs::read_dir(repository().join("testdata/mainnet/preimages"))? {
            let path = entry?.path();
            let bytes = std::fs::read(&path)?;
            match path.extension().and_then(|e| e.to_str()) {
                Some("bin") => add(&bytes),
                Some("pack") => {
                    let mut rest = bytes.as_slice();
                    while let Some((length, after)) = rest.split_first_chunk::<4>() {
                        let length = u32::from_be_bytes(*length) as usize;
                        let (one, after) = after.split_at_checked(length).context("a cut pack")?;
                        add(one);
                        rest = after;
                    }
                }
                _ => {}
            }
        }
        Ok(Self(all))
    }
}

impl Preimages for Files {
    fn get(&mut self, hash: &[u8; 32]) -> Option<Arc<[u8]>> {
        self.0.get(hash).cloned()
    }
}

fn percentile(sorted: &[f64], p: f64) -> f64 {
    let at = ((sorted.len().saturating_sub(1)) as f64 * p).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

fn sorted(mut all: Vec<f64>) -> Vec<f64> {
    all.sort_by(f64::total_cmp);
    all
}

/// The function alone, milliseconds.
fn run_alone(runs: usize) -> Result<Vec<f64>> {
    let program = Program::from_elf(&std::fs::read(repository().join("programs/elf/explorer.elf"))?)?;
    let input = question();
    let mut files = Files::read()?;
    files.0.insert(keccak256(&input).0, Arc::from(input.as_ref()));
    // As the provider runs it: translated once.
    let codes = Codes::default();
    codes.get(&program)?;
    let mut all = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        let mut machine = codes.run(&program, keccak256(&input).0)?;
        machine.run(1_000_000_000, &mut files)?;
        std::hint::black_box(machine.outcome());
        all.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(sorted(all))
}

/// Requests a second, `PARALLEL` at a time.
async fn throughput(url: &str, requests: Vec<Bytes>) -> Result<f64> {
    let mut lanes: Vec<Vec<Bytes>> = vec![Vec::new(); PARALLEL];
    let total = requests.len();
    for (i, request) in requests.into_iter().enumerate() {
        lanes[i % PARALLEL].push(request);
    }
    let start = Instant::now();
    let mut running = JoinSet::new();
    for lane in lanes {
        let rpc = ProviderRpc::new(url, Limits::default())?;
        running.spawn(async move {
            for raw in lane {
                rpc.send_request(&raw).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(total as f64 / start.elapsed().as_secs_f64())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut net = Devnet::start(&DevnetConfig {
        operators: 1,
        ..DevnetConfig::default()
    })
    .await?;
    net.start_node(0, Behaviour::Honest).await?;
    let (user, client, url) = (net.user().await?, net.client(), net.operators[0].url());
    // Every request is new: each is run, signed and stored. (Another budget makes it another statement.)
    let mut requests = Vec::new();
    for nonce in 0..(SEQUENTIAL + THROUGHPUT) as u64 {
        let budget = Budget::new(1_000_000 + nonce * Budget::STEPS_PER_GAS)?;
        requests.push(
            client
                .question(&user, net.service, question(), budget, nonce)
                .await?
                .raw,
        );
    }
    let rest = requests.split_off(SEQUENTIAL);

    let alone = run_alone(SEQUENTIAL)?;
    let rpc = ProviderRpc::new(&url, Limits::default())?;
    let mut whole = Vec::new();
    for raw in &requests {
        let start = Instant::now();
        rpc.send_request(raw).await?;
        whole.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let whole = sorted(whole);
    let run = percentile(&alone, 0.5);

    let computed = throughput(&url, rest.clone()).await?;
    // The same requests again: answered from the store.
    let stored = throughput(&url, rest.clone()).await?;

    let server = Server::builder()
        .set_config(ServerConfig::builder().build())
        .build("127.0.0.1:0")
        .await?;
    let constant_url = format!("http://{}", server.local_addr()?);
    let mut module = RpcModule::new(());
    module.register_method("eth_sendRawTransaction", |_, (), _| B256::ZERO.to_string())?;
    let handle = server.start(module);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let constant = throughput(&constant_url, rest).await?;
    handle.stop()?;

    println!("run alone, p50                      {run:8.2} ms");
    println!(
        "request, p50                        {:8.2} ms  (+{:.2})",
        percentile(&whole, 0.5),
        percentile(&whole, 0.5) - run
    );
    println!(
        "request, p99                        {:8.2} ms  (+{:.2})",
        percentile(&whole, 0.99),
        percentile(&whole, 0.99) - run
    );
    println!("requests/s, each run and stored     {computed:8.0}");
    println!("requests/s, answered from the store {stored:8.0}");
    println!(
        "requests/s, constant                {constant:8.0}  (stored: {:.2} of it)",
        stored / constant
    );
    let result = json!({
        "command": "make bench-provider",
        "run_ms_p50": run,
        "request_ms_p50": percentile(&whole, 0.5),
        "request_ms_p99": percentile(&whole, 0.99),
        "added_ms_p50": percentile(&whole, 0.5) - run,
        "added_ms_p99": percentile(&whole, 0.99) - run,
        "requests_per_second_computed": computed,
        "requests_per_second_stored": stored,
        "requests_per_second_constant": constant,
        "stored_over_constant": stored / constant,
        "parallel": PARALLEL,
    });
    let path = repository().join("bench/results/provider.json");
    std::fs::write(path, serde_json::to_string_pretty(&result)? + "\n")?;
    Ok(())
}
