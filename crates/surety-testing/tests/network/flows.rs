//! Flows are durable: whoever dies, and when, every step is settled once and its effect is there once.

use alloy::primitives::{Address, B256, keccak256};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use surety_chain::bindings::ITasks;
use surety_primitives::vote::task_id;

use crate::support::{Lab, PATIENCE, drop_waiting, play, with};

/// Two tasks in parallel, and one that needs both.
const DIAMOND: &str = r#"
name = "diamond"

[[node]]
key = "seen"
type = "event"
service = "lab"
event = "seen"
fee = "0.01"

[[node]]
key = "left"
type = "task"
service = "lab"
task = "write"
validators = 2
window = 15
most = "1"
inputs = { text = { ref = "seen.text" } }

[[node]]
key = "right"
type = "task"
service = "lab"
task = "write"
validators = 2
window = 15
most = "1"
inputs = { text = "right" }

[[node]]
key = "both"
type = "task"
service = "lab"
task = "join"
validators = 2
window = 15
most = "1"
inputs = { left = { ref = "left.row" }, right = { ref = "right.row" } }
"#;

/// The run is done as it should be: three steps, each settled once, two rows.
async fn finished(lab: &Lab, run: B256) -> Result<()> {
    lab.settled(run, 3).await?;
    ensure!(
        lab.row(run, 0).as_deref() == Some("left"),
        "the left row is {:?}",
        lab.row(run, 0)
    );
    ensure!(
        lab.row(run, 1).as_deref() == Some("right"),
        "the right row is {:?}",
        lab.row(run, 1)
    );
    Ok(())
}

async fn everybody(lab: &Lab, hold: bool, point: &str) -> Result<()> {
    for index in lab.all() {
        if hold {
            lab.hold(index, point)?
        } else {
            lab.release(index, point)?
        }
    }
    Ok(())
}

/// Who sends a task's settlement first: the order of the nodes' relays.
fn first_relayer(lab: &Lab, run: B256, step: u8) -> Result<usize> {
    let id = keccak256([b"settle".as_slice(), task_id(run, step).as_slice()].concat());
    let rank = |who: Address| keccak256([id.as_slice(), who.as_slice()].concat());
    let first = lab
        .all()
        .into_iter()
        .min_by_key(|index| rank(lab.net.operators[*index].address()));
    first.context("nobody")
}

/// P1, P5: the executor is killed before and after it has executed, a validator before it has a verdict, and the node
/// that settles before it could; each time with what it had in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_node_killed_at_any_point_of_a_flow_loses_no_step_and_repeats_none() -> Result<()> {
    play(with(5), |lab| {
        Box::pin(async move {
            lab.start_everything().await?;
            let all = lab.all();
            let flow = lab.create_flow(DIAMOND, &all).await?;

            for (number, point) in [(1, "before"), (2, "after")] {
                everybody(lab, true, point).await?;
                lab.emit(number, "left")?;
                let run = lab.run_of(flow, number)?;
                let (executor, _) = lab.drawn(0, run, 0).await?;
                lab.reached(executor, run, 0, point).await?;
                lab.net.operators[executor].kill();
                if number == 1 {
                    // Its connector as well: nobody is left who knows that it had begun.
                    lab.net.operators[executor].kill_beside("lab");
                    lab.connector(executor, &[])?;
                }
                everybody(lab, false, point).await?;
                lab.net.start_node(executor).await?;
                finished(lab, run).await?;
                lab.tell(&format!(
                    "the executor, operator {executor}, was killed {point} it executed"
                ));
            }

            everybody(lab, true, "validate").await?;
            lab.emit(3, "left")?;
            let run = lab.run_of(flow, 3)?;
            let (_, committee) = lab.drawn(0, run, 0).await?;
            lab.reached(committee[0], run, 0, "validate").await?;
            lab.net.operators[committee[0]].kill();
            everybody(lab, false, "validate").await?;
            lab.net.start_node(committee[0]).await?;
            finished(lab, run).await?;
            lab.tell(&format!(
                "a validator, operator {}, was killed before its verdict",
                committee[0]
            ));

            everybody(lab, true, "validate").await?;
            lab.emit(4, "left")?;
            let run = lab.run_of(flow, 4)?;
            let relayer = first_relayer(lab, run, 0)?;
            let (_, committee) = lab.drawn(0, run, 0).await?;
            for validator in &committee {
                lab.reached(*validator, run, 0, "validate").await?;
            }
            // No block is made, so whatever it sends is not on the chain when it dies.
            lab.net.anvil.mine_every(&lab.net.rpc, 0).await?;
            everybody(lab, false, "validate").await?;
            validated(lab, relayer, run, 0).await?;
            lab.net.operators[relayer].kill();
            lab.net.anvil.mine_every(&lab.net.rpc, 1).await?;
            lab.net.start_node(relayer).await?;
            finished(lab, run).await?;
            lab.tell(&format!(
                "operator {relayer}, which settles first, was killed before it was settled"
            ));

            ensure!(lab.rows()? == 8, "there are {} rows, expected 8", lab.rows()?);
            lab.only_guilty(&[]).await
        })
    })
    .await
}

/// Waits until a node knows the votes that settle a step.
async fn validated(lab: &Lab, node: usize, run: B256, step: usize) -> Result<()> {
    lab.net
        .until(PATIENCE, "the step is validated", async || {
            let status = lab.net.ask(node, "network_run", json!([run])).await?;
            Ok((status["steps"][step]["state"] == "validated").then_some(()))
        })
        .await
}

/// P5: all nodes are killed at once, first with an event that is certified and has not started its run, then with a
/// result that is validated and not settled; what was sent to the chain is lost as well. All of it is done afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_all_nodes_killed_at_once_go_on_where_they_were() -> Result<()> {
    play(with(5), |lab| {
        Box::pin(async move {
            lab.start_everything().await?;
            let all = lab.all();
            let flow = lab.create_flow(DIAMOND, &all).await?;
            let run = lab.run_of(flow, 1)?;

            lab.net.anvil.mine_every(&lab.net.rpc, 0).await?;
            lab.emit(1, "left")?;
            lab.certified(&all, 1..=1, "left").await?;
            let started = lab.logs::<ITasks::RunStarted>(lab.net.deployment.tasks).await?;
            ensure!(started.is_empty(), "a block was made: not a test");
            restart(lab).await?;
            lab.net
                .until(PATIENCE, "the run is started", async || {
                    let started = lab.logs::<ITasks::RunStarted>(lab.net.deployment.tasks).await?;
                    Ok(started.iter().any(|s| s.run == run).then_some(()))
                })
                .await?;
            lab.tell("killed between certificate and run: the run is started");

            everybody(lab, true, "validate").await?;
            let (executor, committee) = lab.drawn(0, run, 0).await?;
            for validator in &committee {
                lab.reached(*validator, run, 0, "validate").await?;
            }
            lab.net.anvil.mine_every(&lab.net.rpc, 0).await?;
            everybody(lab, false, "validate").await?;
            validated(lab, executor, run, 0).await?;
            ensure!(lab.settlements(run).await?.is_empty(), "a block was made: not a test");
            restart(lab).await?;
            finished(lab, run).await?;
            lab.tell("killed between votes and settlement: every step is settled");
            ensure!(lab.rows()? == 2, "there are {} rows, expected 2", lab.rows()?);
            lab.only_guilty(&[]).await
        })
    })
    .await
}

/// Kills all nodes, loses what they had sent, starts them, and lets blocks be made again.
async fn restart(lab: &mut Lab) -> Result<()> {
    let all = lab.all();
    for index in &all {
        lab.net.operators[*index].kill();
    }
    drop_waiting(&lab.net.rpc).await?;
    lab.net.anvil.mine_every(&lab.net.rpc, 1).await?;
    for index in &all {
        lab.net.start_node(*index).await?;
    }
    Ok(())
}

/// A flow begins with the result of another one's task: every node sees the same result, and certifies it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_starts_another_flow() -> Result<()> {
    const FIRST: &str = r#"
name = "first"

[[node]]
key = "seen"
type = "event"
service = "lab"
event = "seen"
fee = "0.01"

[[node]]
key = "write"
type = "task"
service = "lab"
task = "write"
validators = 1
window = 15
most = "1"
inputs = { text = { ref = "seen.text" } }
"#;
    const SECOND: &str = r#"
name = "second"

[[node]]
key = "written"
type = "result"
service = "lab"
task = "write"
fee = "0.01"

[[node]]
key = "told"
type = "task"
service = "lab"
task = "join"
validators = 1
window = 15
most = "1"
inputs = { left = "row ", right = { ref = "written.output.row" } }
"#;
    play(with(4), |lab| {
        Box::pin(async move {
            lab.start_everything().await?;
            let all = lab.all();
            let first = lab.create_flow(FIRST, &all).await?;
            let second = lab.create_flow(SECOND, &all).await?;
            lab.emit(1, "one")?;
            let run = lab.run_of(first, 1)?;
            let settled = lab.settled(run, 1).await?;
            lab.tell("the first flow's task is settled");
            let followed = lab
                .net
                .until(PATIENCE, "the second flow's run", async || {
                    let started = lab.logs::<ITasks::RunStarted>(lab.net.deployment.tasks).await?;
                    Ok(started.into_iter().find(|s| s.flow == second))
                })
                .await?;
            lab.tell("the second flow is started");
            let executor = lab.index(lab.settled(followed.run, 1).await?[0].executor)?;
            let data = lab.net.ask(0, "network_value", json!([followed.value])).await?;
            let row = format!("{:#x}", task_id(run, 0));
            ensure!(
                data["output"]["row"] == row && data["result"] == format!("{:#x}", settled[0].result),
                "the event is {data}"
            );
            let output = lab
                .net
                .until(PATIENCE, "the executor's node knows the output", async || {
                    let told = lab.net.ask(executor, "network_run", json!([followed.run])).await?;
                    let output: B256 = serde_json::from_value(told["steps"][0]["output"].clone())?;
                    Ok(Some(lab.net.ask(executor, "network_value", json!([output])).await?))
                })
                .await?;
            ensure!(
                output == json!({"text": format!("row {row}")}),
                "the second task says {output}"
            );
            // Its own task is no `write`, so nothing follows from it.
            let runs = lab.logs::<ITasks::RunStarted>(lab.net.deployment.tasks).await?.len();
            ensure!(runs == 2, "there are {runs} runs, expected 2");
            lab.only_guilty(&[]).await
        })
    })
    .await
}
