//! Nodes that die.

use anyhow::Result;

use crate::support::{play, with};

/// P1: of sixteen nodes five are killed hard. Events go on being certified, those that come back catch up, and nobody
/// loses anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_five_of_sixteen_nodes_are_killed_and_come_back() -> Result<()> {
    const DEAD: [usize; 5] = [1, 4, 7, 10, 13];
    play(with(16), |lab| {
        Box::pin(async move {
            lab.start_everything().await?;
            let all = lab.all();
            (1..=20).try_for_each(|number| lab.emit(number, "before"))?;
            lab.certified(&all, 1..=20, "before").await?;
            lab.tell("20 events are certified at all nodes");

            for index in DEAD {
                lab.net.operators[index].kill();
            }
            let alive: Vec<usize> = all.iter().copied().filter(|index| !DEAD.contains(index)).collect();
            (21..=40).try_for_each(|number| lab.emit(number, "without"))?;
            lab.certified(&alive, 21..=40, "without").await?;
            lab.tell("20 more are certified by the eleven that live");

            for index in DEAD {
                lab.net.start_node(index).await?;
            }
            (41..=60).try_for_each(|number| lab.emit(number, "after"))?;
            lab.certified(&DEAD, 1..=20, "before").await?;
            lab.certified(&DEAD, 21..=40, "without").await?;
            lab.certified(&all, 41..=60, "after").await?;
            lab.tell("those that came back have all of them");
            lab.only_guilty(&[]).await
        })
    })
    .await
}
