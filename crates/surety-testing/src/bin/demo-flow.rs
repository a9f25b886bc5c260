//! `make demo-flow`: a payment on-chain becomes a certified event, the event a task, the task a row in PostgreSQL; one
//! of five nodes is told lies by its connector, and pays. Tells every stage in a line, writes the figures to
//! `target/demo-flow.json`, and fails if anything came out otherwise.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program's purpose is to tell a story on standard output"
)]

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256, U256, utils::format_ether},
    sol_types::SolEvent,
};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use surety_chain::{
    Contracts, artifacts,
    bindings::{IFaults, IStaking, ITasks},
    tokens::{IDevToken, IERC20},
};
use surety_client::network::{check_event, parse_flow, seats, steps_of, trigger_of};
use surety_connectors::postgres::server::Postgres;
use surety_primitives::{
    certificate::Proven,
    value::Value,
    vote::{VoteKind, run_id, task_id},
};
use surety_testing::{
    devnet::repository,
    network::{NetworkDevnet, NetworkDevnetConfig},
    shop,
};

/// For each stage.
const PATIENCE: Duration = Duration::from_secs(120);
/// The operator whose connector lies.
const LIAR: usize = 4;

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
    let config = NetworkDevnetConfig {
        services: vec![shop::SHOP.into(), shop::LEDGER.into()],
        ..NetworkDevnetConfig::default()
    };
    let mut net = NetworkDevnet::start(&config).await?;
    let outcome = play(&mut story, &mut net).await;
    if outcome.is_err() {
        eprintln!("{}", net.logs());
    }
    outcome
}

async fn play(story: &mut Story, net: &mut NetworkDevnet) -> Result<()> {
    let (shop_service, ledger) = (net.service("shop")?.address, net.service("ledger")?.address);
    let names = ["A", "B", "C", "D", "E"];
    let mut database = Postgres::start(&net.folder().join("postgres"))?;
    std::fs::write(net.folder().join("postgres.connection"), database.connection())?;
    surety_chain::keys::restrict(&net.folder().join("postgres.connection"))?;
    let sql = connect(&database.connection()).await?;
    sql.batch_execute(shop::TABLE).await?;

    // A coin to pay with, and a till.
    let owner = net.actions(&net.owner.clone()).await?;
    let artifact = artifacts::get("DevToken").context("the artefact of DevToken")?;
    let (coin, _) = owner.sender().deploy(artifact.bytecode.clone()).await?;
    let buyer = net.user(0, U256::ZERO).await?;
    let till = Address::repeat_byte(0x71);
    let from_block = net.rpc.latest().await?.header.number;
    story.tell(&format!(
        "A chain runs here with two services: shop, whose events are payments, and ledger, whose task writes a row into \
         PostgreSQL. Five operators, A to E, have bonded {} tokens for each.",
        amount(net.bond)
    ));

    for index in 0..net.operators.len() {
        net.start_node(index).await?;
    }
    net.connected(&[0, 1, 2, 3, 4], 4).await?;
    let watch = shop::watch_payments(net.rpc.url(), coin, from_block);
    for index in 0..net.operators.len() {
        if index == LIAR {
            let config = net.connector_config(index, "lying-shop", "shop", &watch)?;
            net.start_beside(
                index,
                "lying-shop",
                "lying-connector",
                &["--config", &config.to_string_lossy()],
            )?;
        } else {
            net.start_connector(index, "ethereum", "shop", &watch)?;
        }
        net.start_connector(index, "postgres", "ledger", shop::WRITE_ROWS)?;
    }
    story.tell(
        "Their nodes have found each other; beside each run two connectors. E's multiplies what it sees by a thousand.",
    );

    let application = net.user(1, tokens(20)).await?;
    let actions = net.actions(&application).await?;
    actions.fund_tasks(tokens(10)).await?;
    let flow = parse_flow(&shop::flow(till), |name| net.service(name).ok().map(|s| s.address))
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let (trigger, steps) = (trigger_of(&flow).context("nothing starts the flow")?, steps_of(&flow));
    let (number, created) = actions
        .create_flow(flow.to_json().as_bytes().to_vec().into(), trigger, steps)
        .await?;
    for index in 0..net.operators.len() {
        net.until(PATIENCE, "the flow is known", async || {
            let status = net.ask(index, "network_status", json!([])).await?;
            Ok(status["flows"].as_array().is_some_and(|f| !f.is_empty()).then_some(()))
        })
        .await?;
    }
    story.tell(&format!(
        "An application deposits 10 tokens and creates a flow ({} gas): payments to its till are written down, validated by three.",
        created.gas
    ));

    let bonds = bonds(net, &[shop_service, ledger]).await?;
    let pays = net.actions(&buyer).await?;
    pays.sender()
        .send(
            coin,
            &IDevToken::mintCall {
                to: buyer.address(),
                amount: tokens(1_000),
            },
        )
        .await?;
    let paid = pays
        .sender()
        .send(
            coin,
            &IERC20::transferCall {
                to: till,
                amount: U256::from(42),
            },
        )
        .await?;
    let payment = Instant::now();
    story.tell("A buyer pays 42 coins into the till. All five nodes hear of it; one hears 42,000.");

    let started = net
        .until(PATIENCE, "the run is started", async || {
            let logs = logs::<ITasks::RunStarted>(&net.contracts(), net.deployment.tasks).await?;
            Ok(logs.into_iter().find(|run| run.flow == number))
        })
        .await?;
    let certified = verify_certificate(net, shop_service, &started).await?;
    ensure!(
        started.run == run_id(number, started.key),
        "the run's number is not what it should be"
    );
    story.tell(&format!(
        "{} of 5 certify the event; anybody can check the signature ({:.1} s after the payment). A run begins.",
        certified,
        payment.elapsed().as_secs_f64()
    ));

    let settled = net
        .until(PATIENCE, "the task is settled", async || {
            let logs = logs::<ITasks::Settled>(&net.contracts(), net.deployment.tasks).await?;
            Ok(logs.into_iter().find(|s| s.run == started.run))
        })
        .await?;
    let status = net.ask(0, "network_run", json!([started.run])).await?;
    let committee: Vec<Address> = serde_json::from_value(status["steps"][0]["committee"].clone())?;
    let name = |who: &Address| {
        let index = net.operators.iter().position(|o| o.address() == *who);
        index.and_then(|i| names.get(i)).copied().unwrap_or("?")
    };
    let task = task_id(started.run, 0);
    let row = sql
        .query(
            "SELECT buyer, amount::text, payment FROM payments WHERE task = $1",
            &[&format!("{task:#x}")],
        )
        .await?;
    let rows: i64 = sql.query_one("SELECT count(*) FROM payments", &[]).await?.get(0);
    let row_present = row.len() == 1
        && rows == 1
        && row[0].get::<_, String>(0) == format!("{:#x}", buyer.address())
        && row[0].get::<_, String>(1) == "42"
        && row[0].get::<_, String>(2) == format!("{:#x}", paid.hash);
    ensure!(row_present, "the row is not there, or wrong: {rows} rows");
    let validators: Vec<&str> = committee.iter().map(name).collect();
    story.tell(&format!(
        "{} was drawn to execute it; {} validated. The row is in PostgreSQL, once; {} tokens are paid.",
        name(&settled.executor),
        validators.join(", "),
        amount(U256::from(settled.paid))
    ));

    let liar = net.operators[LIAR].address();
    let punished = net
        .until(PATIENCE, "the liar is punished", async || {
            let logs = logs::<IFaults::Punished>(&net.contracts(), net.deployment.faults).await?;
            Ok(logs.into_iter().find(|p| p.operators.contains(&liar)))
        })
        .await?;
    let after = self::bonds(net, &[shop_service, ledger]).await?;
    let lost = |index: usize| bonds[index] - after[index];
    let liar_slashed = lost(LIAR) > U256::ZERO;
    let honest_slashed = (0..net.operators.len()).any(|index| index != LIAR && lost(index) > U256::ZERO);
    story.tell(&format!(
        "E's own signature under 42,000 is the evidence: it loses {} of its bond.",
        amount(lost(LIAR))
    ));

    // Everybody is paid out, and everything is accounted for.
    net.until(PATIENCE, "the run is closed", async || {
        let logs = logs::<ITasks::RunClosed>(&net.contracts(), net.deployment.tasks).await?;
        Ok(logs.iter().any(|c| c.run == started.run).then_some(()))
    })
    .await?;
    let mut earned = Vec::new();
    let mut claimed = U256::ZERO;
    let mut lie_paid = U256::ZERO;
    for index in 0..net.operators.len() {
        let key = net.operators[index].key.clone();
        let mine = net.actions(&key).await?;
        let before = net.contracts().token_balance(key.address()).await?;
        for service in [shop_service, ledger] {
            for seat in seats(&net.contracts(), service, key.address(), 1).await? {
                if index == LIAR && service == shop_service {
                    lie_paid += seat.uncollected;
                }
                if !seat.uncollected.is_zero() {
                    mine.collect(service, seat.set, seat.index).await?;
                }
            }
            let waiting = net.contracts().earned(service, key.address()).await?;
            if !waiting.is_zero() {
                claimed += waiting;
                mine.claim(service, key.address()).await?;
            }
        }
        earned.push(net.contracts().token_balance(key.address()).await? - before);
    }
    let left = net.contracts().application_deposit(application.address()).await?;
    actions.withdraw_from_tasks(left).await?;
    let burnt: U256 = net.rpc.call(net.deployment.tasks, ITasks::burntCall {}).await?;
    let held = net.contracts().token_balance(net.deployment.tasks).await?;
    let received: U256 = earned.iter().copied().sum();
    let staked: U256 = after.iter().copied().sum();
    let staking_holds = net.contracts().token_balance(net.deployment.staking).await?;
    let staking_burnt = net.contracts().burnt().await?;
    let mut credits = U256::ZERO;
    for operator in &net.operators {
        credits += net.contracts().credit(operator.address()).await?;
    }
    // To the wei: what went in is what came out, what is burnt, and nothing else.
    let payouts_balance = held == burnt
        && claimed + left == tokens(10)
        && received + burnt == claimed
        && staked + credits + staking_burnt + rewards(net, &[shop_service, ledger]).await? == staking_holds
        && lie_paid.is_zero();
    story.tell(&format!(
        "Paid out: {}. The application has {} tokens back, {} are burnt; it adds up to the wei.",
        names
            .iter()
            .zip(&earned)
            .map(|(n, e)| format!("{n} {}", amount(*e)))
            .collect::<Vec<_>>()
            .join(", "),
        amount(left),
        amount(burnt),
    ));
    ensure!(
        liar_slashed && !honest_slashed,
        "the wrong ones paid: {bonds:?} -> {after:?}"
    );
    ensure!(
        payouts_balance,
        "the money does not add up: held {held}, burnt {burnt}, claimed {claimed}, left {left}, received {received}, \
         staking {staking_holds} of {staked} + {credits} + {staking_burnt}"
    );
    let seconds = story.start.elapsed().as_secs_f64();
    let figures = json!({
        "certified": certified >= 4,
        "executed": true,
        "validated": committee.len() == 3,
        "row_present": row_present,
        "liar_slashed": liar_slashed,
        "honest_slashed": honest_slashed,
        "payouts_balance": payouts_balance,
        "seconds": seconds,
        "signers": certified,
        "executor": settled.executor,
        "committee": committee,
        "paid": settled.paid.to_string(),
        "slashed": punished.slashed.to_string(),
        "earned": earned.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "burnt": burnt.to_string(),
    });
    // Cargo's may be elsewhere.
    std::fs::create_dir_all(repository().join("target"))?;
    let path = repository().join("target/demo-flow.json");
    std::fs::write(&path, serde_json::to_string_pretty(&figures)? + "\n")?;
    println!("    The figures are in target/demo-flow.json.");
    database.kill()?;
    Ok(())
}

/// Tokens, without zeros that say nothing.
fn amount(wei: U256) -> String {
    let text = format_ether(wei);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn tokens(amount: u64) -> U256 {
    U256::from(amount) * U256::from(10).pow(U256::from(18))
}

async fn connect(connection: &str) -> Result<tokio_postgres::Client> {
    let (client, driver) = tokio_postgres::connect(connection, tokio_postgres::NoTls).await?;
    tokio::spawn(driver);
    Ok(client)
}

/// All logs of a kind.
async fn logs<E: SolEvent>(contracts: &Contracts, at: Address) -> Result<Vec<E>> {
    let filter = alloy::rpc::types::Filter::new()
        .address(at)
        .event_signature(E::SIGNATURE_HASH);
    let found = contracts.history(filter, contracts.deployment().from_block).await?;
    found.iter().map(|log| Ok(E::decode_log(&log.inner)?.data)).collect()
}

/// What a stranger does with an answer: the certificate against the set on the chain. How many signed.
async fn verify_certificate(net: &NetworkDevnet, service: Address, run: &ITasks::RunStarted) -> Result<usize> {
    let bytes: alloy::primitives::Bytes = net
        .until(PATIENCE, "a certificate", async || {
            let answer = net
                .ask(0, "network_certified", json!([service, VoteKind::Event as u8, run.key]))
                .await?;
            Ok(serde_json::from_value(answer)?)
        })
        .await?;
    let proven = Proven::from_rlp(&bytes)?;
    let checked = check_event(&net.contracts(), proven, service, run.key).await?;
    ensure!(checked.proven.vote.value == run.value, "another event");
    let data = net.ask(0, "network_value", json!([run.value])).await?;
    let value = Value::from_json(&data.to_string())?;
    ensure!(
        B256::from(value.hash()?) == run.value,
        "the data is not what was certified"
    );
    Ok(checked.signers().len())
}

/// Bond of every operator, over all services.
async fn bonds(net: &NetworkDevnet, services: &[Address]) -> Result<Vec<U256>> {
    let mut all = Vec::new();
    for operator in &net.operators {
        let mut bond = U256::ZERO;
        for service in services {
            bond += net.contracts().operator(*service, operator.address()).await?.bond;
        }
        all.push(bond);
    }
    Ok(all)
}

async fn rewards(net: &NetworkDevnet, services: &[Address]) -> Result<U256> {
    let mut all = U256::ZERO;
    for operator in &net.operators {
        for service in services {
            let call = IStaking::stakeOfCall {
                service: *service,
                operator: operator.address(),
            };
            all += U256::from(net.rpc.call(net.deployment.staking, call).await?.reward);
        }
    }
    Ok(all)
}
