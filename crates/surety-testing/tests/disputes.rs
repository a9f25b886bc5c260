//! Disputes on a real chain between real processes, some of which lie, are killed, or stay silent.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use surety_chain::deploy::dev_bond;
use surety_primitives::Budget;
use surety_testing::{
    devnet::{Behaviour, Devnet, DevnetConfig},
    lie::Lie,
    scenario::{bond, lied_to, open, place},
};

const PATIENCE: Duration = Duration::from_secs(180);

/// Lies at other places of a run of about 640,000 steps: a stack pointer that goes astray, a jump to nowhere, and a
/// wrong byte of output.
const LIES: [Lie; 3] = [
    Lie::Register {
        at: 100_000,
        register: 2,
        xor: 1 << 30,
    },
    Lie::Jump {
        at: 300_000,
        pc: 0xffff_fff0,
    },
    Lie::Output,
];

async fn network(behaviours: &[Behaviour], config: DevnetConfig) -> Result<Devnet> {
    let mut net = Devnet::start(&DevnetConfig {
        operators: u32::try_from(behaviours.len())?,
        ..config
    })
    .await?;
    for (index, behaviour) in behaviours.iter().enumerate() {
        net.start_node(index, *behaviour).await?;
    }
    Ok(net)
}

/// P1, P5: a player that is killed hard after each move, its own and its opponent's, goes on where the chain is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_players_killed_at_every_move_finish_the_match() -> Result<()> {
    let lying = Behaviour::Lying(Lie::Output);
    let mut net = network(&[Behaviour::Honest, lying], DevnetConfig::default()).await?;
    let (honest, liar) = (net.operators[0].address(), net.operators[1].address());
    let user = net.user().await?;
    let mut evidence = lied_to(&net, &user, Budget::new(1_000_000)?, 0, 2).await?;
    // Four dissections: the fifth move, the step, is the first claim's.
    place(&mut evidence, honest, true);
    let open = open(&net, &user, &evidence).await?;
    let (start, mut seen, mut kills) = (Instant::now(), 0, 0);
    while open.settled(&net).await?.is_none() {
        ensure!(start.elapsed() < PATIENCE, "not settled\n{}", net.logs());
        let moves = open.transactions(&net).await?.len();
        if moves > seen {
            seen = moves;
            kills += 1;
            net.operators[0].kill();
            tokio::time::sleep(Duration::from_millis(300)).await;
            net.start_node(0, Behaviour::Honest).await?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(kills >= 4, "only {kills} kills");
    ensure!(
        bond(&net, honest).await? == dev_bond(),
        "the honest operator lost\n{}",
        net.logs()
    );
    ensure!(bond(&net, liar).await?.is_zero(), "the liar kept its bond");
    let failed: Vec<_> = open
        .transactions(&net)
        .await?
        .into_iter()
        .filter(|t| !t.succeeded)
        .collect();
    ensure!(failed.is_empty(), "moves were sent twice: {failed:?}");
    Ok(())
}

/// P1, P2: two accounts dispute the same answers at once; neither shuts out the other, and both disputes are played.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_disputes_of_two_openers_are_both_played() -> Result<()> {
    let lying = Behaviour::Lying(Lie::Output);
    let net = network(&[Behaviour::Honest, lying], DevnetConfig::default()).await?;
    let (honest, liar) = (net.operators[0].address(), net.operators[1].address());
    let (user, other) = (net.user().await?, net.user().await?);
    let mut evidence = lied_to(&net, &user, Budget::new(1_000_000)?, 0, 2).await?;
    place(&mut evidence, honest, true);
    let first = open(&net, &user, &evidence).await?;
    let second = open(&net, &other, &evidence).await?;
    ensure!(first.dispute != second.dispute, "one id for two openers");
    let locked = net.contracts().operator(net.service, honest).await?.locks;
    ensure!(locked == 2, "{locked} locks");

    let right = evidence
        .answers
        .iter()
        .find(|a| a.operator == honest)
        .map(|a| a.result.0);
    for open in [first, second] {
        let (result, _) = open.wait(&net, PATIENCE).await?;
        ensure!(Some(result) == right, "{} left {result}", open.dispute);
    }
    ensure!(
        bond(&net, honest).await? == dev_bond(),
        "the honest operator lost\n{}",
        net.logs()
    );
    ensure!(bond(&net, liar).await?.is_zero(), "the liar kept its bond");
    Ok(())
}

/// P1, P2: two liars with two different lies against one honest operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_two_liars_at_once_both_lose() -> Result<()> {
    let behaviours = [Behaviour::Lying(LIES[0]), Behaviour::Honest, Behaviour::Lying(LIES[2])];
    // A liar that has to make the step itself cannot; its clock is short so that the test is.
    let net = network(
        &behaviours,
        DevnetConfig {
            clock: 25,
            ..DevnetConfig::default()
        },
    )
    .await?;
    let user = net.user().await?;
    let evidence = lied_to(&net, &user, Budget::new(1_000_000)?, 0, 3).await?;
    let open = open(&net, &user, &evidence).await?;
    let (result, slashed) = open.wait(&net, PATIENCE).await?;
    let honest = net.operators[1].address();
    let truth = evidence
        .answers
        .iter()
        .find(|a| a.operator == honest)
        .map(|a| a.result.0);
    ensure!(Some(result) == truth, "{result} was left");
    ensure!(!slashed.is_zero(), "nobody was slashed");
    ensure!(
        bond(&net, honest).await? == dev_bond(),
        "the honest operator lost\n{}",
        net.logs()
    );
    for liar in [0, 2] {
        ensure!(
            bond(&net, net.operators[liar].address()).await? < dev_bond(),
            "liar {liar} kept its bond"
        );
    }
    Ok(())
}

/// P2: a liar that signs and then says nothing loses by the clock; a silent honest co-signer changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_silent_liar_loses_by_the_clock() -> Result<()> {
    let behaviours = [Behaviour::LyingSilently(LIES[1]), Behaviour::Honest];
    let net = network(
        &behaviours,
        DevnetConfig {
            clock: 8,
            ..DevnetConfig::default()
        },
    )
    .await?;
    let user = net.user().await?;
    let mut evidence = lied_to(&net, &user, Budget::new(1_000_000)?, 0, 2).await?;
    place(&mut evidence, net.operators[0].address(), true);
    let open = open(&net, &user, &evidence).await?;
    open.wait(&net, PATIENCE).await?;
    let kinds: Vec<_> = open.transactions(&net).await?.into_iter().map(|t| t.kind).collect();
    ensure!(kinds == ["open", "expire", "settle"], "{kinds:?}");
    ensure!(bond(&net, net.operators[1].address()).await? == dev_bond());
    ensure!(bond(&net, net.operators[0].address()).await?.is_zero());
    Ok(())
}

/// P2: two liars accuse each other; an honest provider that was not asked joins and both lose.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_an_honest_provider_joins_two_liars() -> Result<()> {
    let behaviours = [Behaviour::Lying(LIES[0]), Behaviour::Lying(LIES[2]), Behaviour::Honest];
    let config = DevnetConfig {
        clock: 25,
        join_window: 10,
        ..DevnetConfig::default()
    };
    let mut net = network(&behaviours, config).await?;
    let user = net.user().await?;
    // The honest one is asleep while the question is asked.
    net.operators[2].kill();
    let evidence = lied_to(&net, &user, Budget::new(1_000_000)?, 0, 2).await?;
    net.start_node(2, Behaviour::Honest).await?;
    let open = open(&net, &user, &evidence).await?;
    open.wait(&net, PATIENCE).await?;
    let honest = net.operators[2].address();
    ensure!(
        bond(&net, honest).await? == dev_bond(),
        "the honest operator lost\n{}",
        net.logs()
    );
    for liar in [0, 1] {
        ensure!(
            bond(&net, net.operators[liar].address()).await? < dev_bond(),
            "liar {liar} kept\n{}",
            net.logs()
        );
    }
    Ok(())
}
