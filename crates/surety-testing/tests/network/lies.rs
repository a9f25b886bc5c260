//! Connectors that lie, and what it costs their nodes.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{play, with};

const LIAR: usize = 2;

/// A validator calls a good result invalid: all validate, the quorum decides, and the executor is paid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_validator_that_lies_is_outvoted_and_slashed() -> Result<()> {
    play(with(5), |lab| {
        Box::pin(async move {
            for index in lab.all() {
                lab.net.start_node(index).await?;
                lab.connector(index, if index == LIAR { &["--lie", "invalid"] } else { &[] })?;
            }
            lab.ready(&lab.all()).await?;
            // Of five, one executes and four validate: the liar does, unless it executes (12 times: 10^-8).
            let mut judged = false;
            for number in 0..12 {
                let inputs = json!({"text": format!("row {number}")});
                let run = lab.request(0, "write", inputs, 4, 12, &[]).await?;
                let (executor, _) = lab.drawn(0, run, 0).await?;
                let settled = lab.settled(run, 1).await?;
                ensure!(lab.index(settled[0].executor)? == executor, "the executor lost its pay");
                if executor != LIAR {
                    judged = true;
                    break;
                }
            }
            ensure!(judged, "the liar executed every time: not a test");
            lab.tell("settled against its objection");
            let lost = lab.slashed(LIAR).await?;
            lab.tell(&format!("it lost {lost} wei"));
            lab.only_guilty(&[LIAR]).await
        })
    })
    .await
}

/// An executor claims a row that it has not written: the quorum says so, it is slashed, the next one writes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_an_executor_that_claims_what_it_did_not_do_is_slashed_and_replaced() -> Result<()> {
    play(with(5), |lab| {
        Box::pin(async move {
            for index in lab.all() {
                lab.net.start_node(index).await?;
                lab.connector(index, if index == LIAR { &["--lie", "claim"] } else { &[] })?;
            }
            lab.ready(&lab.all()).await?;
            // Three are named, so that it is drawn soon: one executes, one validates, one stands in.
            // It is missed by 46 draws with a chance of 10^-8.
            let named = [0, LIAR, 4].map(|index| lab.net.operators[index].address());
            let mut judged = false;
            for number in 0..46 {
                let text = format!("row {number}");
                let run = lab.request(0, "write", json!({"text": text}), 1, 10, &named).await?;
                let (executor, _) = lab.drawn(0, run, 0).await?;
                let settled = lab.settled(run, 1).await?;
                let by = lab.index(settled[0].executor)?;
                ensure!(lab.row(run, 0) == Some(text), "what was paid is not there");
                ensure!(by != LIAR, "the liar was paid");
                if executor == LIAR {
                    ensure!(
                        lab.trace(by, run, 0)
                            .iter()
                            .any(|l| l["at"] == "before" && l["attempt"] == 1)
                    );
                    judged = true;
                    break;
                }
                ensure!(by == executor, "operator {by} executed, {executor} was drawn");
            }
            ensure!(judged, "the liar was never drawn: not a test");
            lab.tell("another has written the row");
            let lost = lab.slashed(LIAR).await?;
            lab.tell(&format!("it lost {lost} wei"));
            lab.only_guilty(&[LIAR]).await
        })
    })
    .await
}
