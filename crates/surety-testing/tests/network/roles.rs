//! Who executes and validates: those who are named, those who are drawn, and those who stand in for the missing.

use alloy::primitives::Address;
use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{play, with};

/// The executor that was drawn is down: the next one executes in the next attempt, and only the named take part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_executor_is_replaced_and_only_named_nodes_work() -> Result<()> {
    const NAMED: [usize; 3] = [1, 2, 4];
    const DEAD: usize = 2;
    // The dead one is missed by so many draws of one in three with a chance of 10^-8.
    const MOST: usize = 46;
    play(with(5), |lab| {
        Box::pin(async move {
            lab.start_everything().await?;
            let named: Vec<Address> = NAMED.iter().map(|index| lab.net.operators[*index].address()).collect();
            lab.net.operators[DEAD].kill();
            // Each is drawn with the same chance: eight at once, and more until the dead one has to execute.
            let mut runs = Vec::new();
            let mut missing = false;
            while runs.len() < 8 || (!missing && runs.len() < MOST) {
                let inputs = json!({"text": format!("row {}", runs.len())});
                let run = lab.request(0, "write", inputs, 1, 10, &named).await?;
                let (executor, committee) = lab.drawn(0, run, 0).await?;
                missing |= executor == DEAD;
                runs.push((run, executor, committee));
            }
            let mut replaced = 0;
            for (number, (run, executor, committee)) in runs.iter().enumerate() {
                let executor = *executor;
                ensure!(
                    NAMED.contains(&executor) && committee.iter().all(|i| NAMED.contains(i)),
                    "others were drawn"
                );
                let settled = lab.settled(*run, 1).await?;
                let by = lab.index(settled[0].executor)?;
                ensure!(NAMED.contains(&by) && by != DEAD, "operator {by} executed");
                if executor == DEAD {
                    replaced += 1;
                    ensure!(!committee.contains(&by), "a validator stood in");
                    ensure!(
                        lab.trace(by, *run, 0).iter().any(|l| l["attempt"] == 1),
                        "not in the next attempt"
                    );
                } else {
                    ensure!(by == executor, "operator {by} executed, {executor} was drawn");
                }
                ensure!(lab.row(*run, 0) == Some(format!("row {number}")), "the row is missing");
                for other in [0, 3] {
                    let trace = lab.trace(other, *run, 0);
                    // Where the only validator is down, the set decides: everybody validates, nobody else executes.
                    ensure!(
                        trace.iter().all(|l| l["at"] == "validate"),
                        "operator {other} was not named and did {trace:?}"
                    );
                    ensure!(
                        trace.is_empty() || committee.contains(&DEAD),
                        "operator {other} did {trace:?}"
                    );
                }
            }
            lab.tell(&format!("of {} tasks {replaced} had a missing executor", runs.len()));
            ensure!(replaced > 0, "the dead node was never drawn: not a test");
            lab.only_guilty(&[]).await
        })
    })
    .await
}

/// A step that nobody validates is settled by its executor's signature alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_without_validators_is_settled_by_its_executor() -> Result<()> {
    play(with(4), |lab| {
        Box::pin(async move {
            lab.start_everything().await?;
            let only = [lab.net.operators[3].address()];
            for (inputs, named) in [(json!({"text": "a"}), &only[..0]), (json!({"text": "b"}), &only[..])] {
                let run = lab.request(1, "write", inputs.clone(), 0, 12, named).await?;
                let (executor, committee) = lab.drawn(1, run, 0).await?;
                let settled = lab.settled(run, 1).await?;
                ensure!(committee.is_empty() && lab.index(settled[0].executor)? == executor);
                ensure!(named.is_empty() || executor == 3, "operator {executor} executed");
                ensure!(lab.row(run, 0).as_deref() == inputs["text"].as_str(), "no row");
                for index in lab.all() {
                    ensure!(
                        lab.trace(index, run, 0).is_empty() == (index != executor),
                        "operator {index} did it"
                    );
                }
            }
            lab.only_guilty(&[]).await
        })
    })
    .await
}
