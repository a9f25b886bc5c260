//! `make demo`: a real question, three providers, one of them starts to lie, and the chain finds out.
//! Tells every stage in a line, writes the figures to `target/demo.json`, and fails if anything came out otherwise.

#![allow(
    clippy::print_stdout,
    reason = "this program's purpose is to tell a story on standard output"
)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256, U256, utils::format_ether};
use anyhow::{Context, Result, bail, ensure};
use rand::SeedableRng;
use serde_json::json;
use surety_client::{Policy, Verdict, dispute};
use surety_primitives::Budget;
use surety_protocol::dispute::Geometry;
use surety_testing::{
    devnet::{Behaviour, Devnet, DevnetConfig, repository},
    gas::{Spent, deployments, spent},
    lie::Lie,
    scenario::{BLOCK, question},
};

/// How long the nodes may take for the whole dispute.
const PATIENCE: Duration = Duration::from_secs(240);

struct Story {
    start: Instant,
    stage: u32,
}

impl Story {
    fn tell(&mut self, line: &str) {
        self.stage += 1;
        println!(
            "{:>2}. [{:>5.1} s] {line}",
            self.stage,
            self.start.elapsed().as_secs_f64()
        );
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(std::env::var("RUST_LOG").unwrap_or_else(|_| "error".into()))
        .with_writer(std::io::stderr)
        .init();
    let mut story = Story {
        start: Instant::now(),
        stage: 0,
    };
    let mut net = Devnet::start(&DevnetConfig::default()).await?;
    let outcome = play(&mut story, &mut net).await;
    if outcome.is_err() {
        eprintln_logs(&net);
    }
    outcome
}

#[allow(
    clippy::print_stderr,
    reason = "what the nodes logged helps whoever sees the demo fail"
)]
fn eprintln_logs(net: &Devnet) {
    eprintln!("{}", net.logs());
}

async fn play(story: &mut Story, net: &mut Devnet) -> Result<()> {
    let (block_hash, expected) = real_balance()?;
    ensure!(
        block_hash == BLOCK,
        "testdata/mainnet holds block {block_hash}, expected {BLOCK}"
    );
    let deploy_gas = deployments(&net.rpc, net.rpc.latest().await?.header.number).await?;
    let deployed: u64 = deploy_gas.iter().sum();
    story.tell(&format!(
        "A chain runs here, with Surety's contracts ({deployed} gas) and a service: explorer, at {}.",
        net.service
    ));
    for index in 0..net.operators.len() {
        net.start_node(index, Behaviour::Honest).await?;
    }
    let names: BTreeMap<Address, char> = net
        .operators
        .iter()
        .zip('A'..='Z')
        .map(|(operator, name)| (operator.address(), name))
        .collect();
    let bonds = balances(net, &names).await?;
    story.tell("Three providers, A, B and C, have put up a bond of 32 tokens each and serve it.");

    let (user, client) = (net.user().await?, net.client());
    let data = question();
    let providers = client.providers(net.service).await?;
    let budget = client.estimate(net.service, user.address(), &data, &providers).await?;
    let mut rng = rand::rngs::StdRng::seed_from_u64(21_925_176);
    let everybody = Policy {
        k: 3,
        ..Policy::default()
    };

    let before = net.rpc.latest().await?.header.number;
    let asking = client.question(&user, net.service, data.clone(), budget, 0).await?;
    let asked = Instant::now();
    let called = client.ask(asking, &everybody, &mut rng).await?;
    let Verdict::Agreed(answer) = &called.verdict else {
        bail!("the honest providers do not agree: {:#?}", called.reports)
    };
    let balance = U256::from_be_slice(answer.output.bytes());
    ensure!(balance == expected, "the balance is {balance}, expected {expected}");
    let agreed = spent(
        &net.rpc,
        &net.deployment,
        before + 1,
        net.rpc.latest().await?.header.number,
    )
    .await?;
    ensure!(agreed.is_empty(), "agreeing cost transactions: {agreed:?}");
    story.tell(&format!(
        "A client asks all three: what did the deposit contract hold in Ethereum block 21925176? All three prove it from \
         the block's hash and sign the same answer: {} ether. {} ms, nothing on-chain.",
        format_ether(balance),
        asked.elapsed().as_millis()
    ));

    // Another budget makes it another statement: what a node has answered it answers for ever, lying or not.
    let budget = Budget::new(budget.steps() + Budget::STEPS_PER_GAS)?;
    // The second claim is on move at the step when the number of dissections is odd; so that the story ends with a
    // step and not with a clock, the honest claim is put there.
    let levels = Geometry::new(budget).levels();
    let liar = 1_usize;
    net.start_node(liar, Behaviour::Lying(Lie::Output)).await?;
    story.tell("Provider B is taken over: from now on it flips a bit of its answers, and defends them.");

    let asking = client.question(&user, net.service, data, budget, 1).await?;
    let called = client.ask(asking, &everybody, &mut rng).await?;
    let Verdict::Differ(evidence) = called.verdict else {
        bail!(
            "the lie went unnoticed: {:?}",
            called
                .reports
                .iter()
                .map(|r| r.outcome.as_ref().map(|a| a.result))
                .collect::<Vec<_>>()
        )
    };
    let mut evidence = *evidence;
    let lied = net.operators[liar].address();
    let liar_first = u8::from(levels.is_multiple_of(2));
    evidence
        .answers
        .sort_by_key(|answer| u8::from(answer.operator == lied) ^ u8::from(liar_first == 0));
    let told: Vec<String> = evidence
        .answers
        .iter()
        .map(|a| {
            let name = names.get(&a.operator).copied().unwrap_or('?');
            format!("{name}: {} wei", U256::from_be_slice(a.output.bytes()))
        })
        .collect();
    story.tell(&format!(
        "The client asks again, and now the answers differ. {}. Each is signed.",
        told.join("; ")
    ));

    let actions = net.actions(&user).await?;
    let credit_before = net.contracts().credit(user.address()).await?;
    let from = net.rpc.latest().await?.header.number;
    let opened = dispute::open(&actions, &evidence).await?;
    story.tell(&format!(
        "It opens a dispute with the signed answers ({} gas) and goes home. The nodes play by themselves.",
        opened.sent.gas
    ));

    let started = Instant::now();
    let mut seen = 0;
    let settled = loop {
        let all = spent(&net.rpc, &net.deployment, from, net.rpc.latest().await?.header.number).await?;
        for one in all.iter().skip(seen) {
            tell_move(story, one, &names);
        }
        seen = all.len();
        let info = net
            .contracts()
            .dispute(opened.dispute)
            .await?
            .context("the dispute is gone")?;
        if let Some(settled) = info.settled {
            break settled;
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "the dispute is not over after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let truth = evidence
        .answers
        .iter()
        .find(|a| a.operator != lied)
        .map(|a| a.result)
        .context("no honest answer")?;
    ensure!(settled.0 == truth.0, "the dispute left {}, expected {truth}", settled.0);

    let transactions = spent(&net.rpc, &net.deployment, from, net.rpc.latest().await?.header.number).await?;
    let after = balances(net, &names).await?;
    let credit = net.contracts().credit(user.address()).await?;
    let compensation = credit - credit_before;
    let wallet = net.contracts().token_balance(user.address()).await?;
    actions.withdraw().await?;
    let paid = net.contracts().token_balance(user.address()).await? - wallet;

    let total = |all: &BTreeMap<char, (U256, U256)>, name: char| all[&name].0 + all[&name].1;
    let bond = |all: &BTreeMap<char, (U256, U256)>, name: char| all[&name].0;
    let liar_slashed = bond(&after, 'B') < bond(&bonds, 'B');
    let honest_slashed = ['A', 'C'].iter().any(|n| bond(&after, *n) < bond(&bonds, *n));
    let slashed = bond(&bonds, 'B') - bond(&after, 'B');
    let burnt = net.contracts().burnt().await?;
    // The user asked, was lied to, opened the dispute: it gets at least 40 % of what the liar lost, and 30 % are
    // burnt (`docs/spec/dispute.md`, section 6).
    let user_made_whole = paid == compensation && compensation >= slashed * U256::from(2) / U256::from(5);
    story.tell(&format!(
        "B loses {} of its 32 tokens; the user gets {}, A {} and C {}, {} are burnt.",
        format_ether(slashed),
        format_ether(paid),
        format_ether(total(&after, 'A') - total(&bonds, 'A')),
        format_ether(total(&after, 'C') - total(&bonds, 'C')),
        format_ether(burnt),
    ));

    let mut by_kind: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for one in transactions.iter().filter(|t| t.succeeded) {
        by_kind.entry(one.kind).or_default().push(one.gas);
    }
    let moves = by_kind.get("dissect").map_or(0, Vec::len) + by_kind.get("step").map_or(0, Vec::len);
    let gas_total: u64 = transactions.iter().map(|t| t.gas).sum();
    let step_max = by_kind.get("step").and_then(|g| g.iter().max()).copied().unwrap_or(0);
    ensure!(step_max > 0, "the dispute ended without a step on-chain");
    ensure!(
        liar_slashed && !honest_slashed && user_made_whole,
        "the wrong ones paid: {bonds:?} -> {after:?}, user {paid}"
    );
    let seconds = story.start.elapsed().as_secs_f64();
    story.tell(&format!(
        "{moves} moves, {gas_total} gas in all, {step_max} for the one instruction that Ethereum executed. Done in {seconds:.0} s."
    ));

    let money = |all: &BTreeMap<char, (U256, U256)>| -> serde_json::Map<String, serde_json::Value> {
        all.iter()
            .map(|(name, (bond, reward))| {
                (
                    name.to_string(),
                    json!({"bond": bond.to_string(), "reward": reward.to_string()}),
                )
            })
            .collect()
    };
    let gas_by_kind: serde_json::Map<String, serde_json::Value> = by_kind
        .iter()
        .map(|(kind, gas)| {
            let sum: u64 = gas.iter().sum();
            let max = gas.iter().max().copied().unwrap_or(0);
            (
                (*kind).to_owned(),
                json!({"count": gas.len(), "total": sum, "max": max}),
            )
        })
        .collect();
    let figures = json!({
        "agreed_without_chain": true,
        "dispute": {
            "moves": moves,
            "budget": budget.steps(),
            "dissections_needed": levels,
            "gas_total": gas_total,
            "step_gas_max": step_max,
            "gas_by_kind": gas_by_kind,
            "transactions": transactions.len(),
            "seconds": started.elapsed().as_secs_f64(),
        },
        "liar_slashed": liar_slashed,
        "honest_slashed": honest_slashed,
        "user_made_whole": user_made_whole,
        "slashed": slashed.to_string(),
        "balances": {
            "before": money(&bonds),
            "after": money(&after),
            "user": {"before": wallet.to_string(), "after": (wallet + paid).to_string()},
        },
        "deploy_gas": deployed,
        "seconds": seconds,
    });
    // Cargo's may be elsewhere.
    std::fs::create_dir_all(repository().join("target"))?;
    let path = repository().join("target/demo.json");
    std::fs::write(&path, serde_json::to_string_pretty(&figures)? + "\n")?;
    println!("    The figures are in target/demo.json.");
    Ok(())
}

fn tell_move(story: &mut Story, one: &Spent, names: &BTreeMap<Address, char>) {
    if !one.succeeded {
        return;
    }
    let who = names
        .get(&one.from)
        .map_or_else(|| "the client".to_owned(), ToString::to_string);
    let line = match one.kind {
        "dissect" => format!(
            "{who} picks the part it disagrees with and cuts it into 32 ({} gas).",
            one.gas
        ),
        "step" => format!(
            "{who} has one instruction left, and lets Ethereum execute it: proved ({} gas).",
            one.gas
        ),
        "show preimage" => format!("{who} shows the data that the instruction reads ({} gas).", one.gas),
        "expire" => format!("{who} points out that the other's clock ran out ({} gas).", one.gas),
        "join" => format!("{who} joins with its own signed answer ({} gas).", one.gas),
        "settle" => format!("{who} settles: the liar's bond is shared out ({} gas).", one.gas),
        _ => return,
    };
    story.tell(&line);
}

/// Bond and reward of every operator.
async fn balances(net: &Devnet, names: &BTreeMap<Address, char>) -> Result<BTreeMap<char, (U256, U256)>> {
    let mut all = BTreeMap::new();
    for (address, name) in names {
        let info = net.contracts().operator(net.service, *address).await?;
        all.insert(*name, (info.bond, info.reward));
    }
    Ok(all)
}

/// The block's hash and the deposit contract's balance, as an Ethereum node gave them.
fn real_balance() -> Result<(B256, U256)> {
    let read = |name: &str| -> Result<serde_json::Value> {
        let path = repository().join("testdata/mainnet").join(name);
        Ok(serde_json::from_str(
            &std::fs::read_to_string(&path).with_context(|| path.display().to_string())?,
        )?)
    };
    let text = |value: &serde_json::Value, key: &str| -> Result<String> {
        let found = value.get(key).or_else(|| value.get("result").and_then(|r| r.get(key)));
        Ok(found
            .and_then(|v| v.as_str())
            .with_context(|| format!("no {key}"))?
            .to_owned())
    };
    let (block, proof) = (read("block.json")?, read("proof.json")?);
    Ok((text(&block, "hash")?.parse()?, text(&proof, "balance")?.parse()?))
}
