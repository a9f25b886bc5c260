//! Measures the network: nodes in one process, over loopback. One-hop latency of messages on a topic and of one-way
//! messages, then how many one-way messages a second go from everybody to everybody.
//!
//! `cargo run --release -p surety-p2p --example latency -- 16`

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use surety_p2p::{Address, Config, Event, Events, Handle, Identity, Members, Network, Rate};
use tokio::sync::{mpsc, watch};

const SERVICE: Address = Address::repeat_byte(0x51);
/// Messages of which the latency is measured, each way.
const ROUNDS: u32 = 200;
/// One-way messages of one node to each other one, for the rate.
const MANY: u32 = 2_000;
/// About a vote with its signature.
const SIZE: usize = 256;

/// When somebody heard a message, and how it came.
type Heard = mpsc::UnboundedSender<Instant>;

async fn listen(mut events: Events, heard: Heard) {
    while let Some(event) = events.recv().await {
        if matches!(event, Event::Message(_)) && heard.send(Instant::now()).is_err() {
            return;
        }
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| {
        times
            .get(times.len().saturating_mul(percent) / 100)
            .copied()
            .unwrap_or_default()
    };
    say(&format!(
        "{what}: {} deliveries, p50 {:?}, p99 {:?}",
        times.len(),
        at(50),
        at(99)
    ));
}

#[expect(clippy::print_stdout, reason = "the example's result")]
fn say(line: &str) {
    println!("{line}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let count: u8 = std::env::args().nth(1).map_or(Ok(16), |count| count.parse())?;
    let others = u32::from(count.saturating_sub(1));
    let wide = Rate {
        messages: 1e6,
        bytes: 1e9,
        burst: 2.0,
    };
    let config = Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
        direct_rate: wide,
        gossip_rate: wide,
        ..Config::default()
    };
    let (members, followed) = watch::channel(Arc::new(Members::new()));
    let (heard, mut hears) = mpsc::unbounded_channel();
    let mut handles: Vec<Handle> = Vec::new();
    let mut all = Members::new();
    for index in 0..count {
        let identity = Identity::new([index.saturating_add(1); 32])?;
        let operator = identity.address();
        let (handle, events) = Network::start(config.clone(), identity, followed.clone()).await?;
        all.insert(SERVICE, operator);
        for address in handle.listen_addresses() {
            all.locate(operator, address);
        }
        tokio::spawn(listen(events, heard.clone()));
        handles.push(handle);
    }
    members.send_replace(Arc::new(all));
    let start = Instant::now();
    while handles
        .iter()
        .any(|handle| handle.operators().len() < usize::from(count.saturating_sub(1)))
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    say(&format!(
        "{count} nodes, all connected to all after {:?}",
        start.elapsed()
    ));
    // Subscriptions travel.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let (mut gossip, mut direct) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let Some(from) = handles.get(round as usize % handles.len()) else {
            break;
        };
        let start = Instant::now();
        from.publish(SERVICE, vec![0; SIZE]).await?;
        for _ in 0..others {
            gossip.extend(hears.recv().await.map(|at| at.duration_since(start)));
        }
        let start = Instant::now();
        for operator in from.operators() {
            from.send(operator, SERVICE, vec![0; SIZE])?;
        }
        for _ in 0..others {
            direct.extend(hears.recv().await.map(|at| at.duration_since(start)));
        }
    }
    report("a message on the topic", gossip);
    report("a one-way message to all", direct);

    let start = Instant::now();
    for handle in &handles {
        let handle = handle.clone();
        tokio::spawn(async move {
            for _ in 0..MANY {
                for operator in handle.operators() {
                    while handle.send(operator, SERVICE, vec![0; SIZE]).is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        });
    }
    let expected = u64::from(others) * u64::from(count) * u64::from(MANY);
    for _ in 0..expected {
        hears.recv().await;
    }
    let rate = expected as f64 / start.elapsed().as_secs_f64();
    say(&format!(
        "{expected} one-way messages of {SIZE} bytes in {:?}: {rate:.0} a second",
        start.elapsed()
    ));

    let start = Instant::now();
    let rounds = 500u32;
    for round in 0..rounds {
        if let Some(from) = handles.get(round as usize % handles.len()) {
            from.publish(SERVICE, vec![0; SIZE]).await?;
        }
        // A few on their way at once.
        if round >= 8 {
            for _ in 0..others {
                hears.recv().await;
            }
        }
    }
    let rate = f64::from(rounds) / start.elapsed().as_secs_f64();
    say(&format!("{rounds} messages on the topic, to all: {rate:.0} a second"));
    Ok(())
}
