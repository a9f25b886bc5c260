//! Real nodes: what applications wait for, and how much they can have.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use surety_connector::{convert, wire};
use surety_primitives::value::Value;
use surety_testing::network::{NetworkDevnet, NetworkDevnetConfig};

use crate::{Arguments, lane::Lane, spread};

const SERVICE: &str = r#"
name = "ticks"
min_bond = "32"

[events.tick]
id = ["number"]
window = 60

[events.tick.data]
number = "Number"
text = "String"
"#;

/// Between two isolated events.
const GAP: Duration = Duration::from_millis(150);
/// Not counted at the start of a rate.
const WARM: Duration = Duration::from_secs(4);
/// What is left over gets so long before the next rate.
const DRAIN: Duration = Duration::from_secs(40);

struct Fleet {
    net: NetworkDevnet,
    lanes: Vec<Lane>,
    emitted: u64,
    /// certified by every node when the counting began
    before: u64,
}

/// CPU seconds that a process has used.
fn cpu(pid: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok());
    // utime and stime, of the fields after the name; a tick is 1/100 s.
    Ok((ticks(11).context("no utime")? + ticks(12).context("no stime")?) / 100.0)
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64() * 1e3)
}

pub(crate) async fn measure(arguments: &Arguments) -> Result<Json> {
    let config = NetworkDevnetConfig {
        operators: arguments.nodes,
        services: vec![SERVICE.into()],
        ..NetworkDevnetConfig::default()
    };
    let mut net = NetworkDevnet::start(&config).await?;
    for index in 0..net.operators.len() {
        net.start_node(index).await?;
    }
    let all: Vec<usize> = (0..net.operators.len()).collect();
    net.connected(&all, all.len() - 1).await?;
    let mut lanes = Vec::new();
    for operator in &net.operators {
        let token = operator.home.join("connector.token");
        lanes.push(Lane::open(format!("http://{}", operator.connectors), &token, "ticks", "tick").await?);
    }
    let mut fleet = Fleet {
        net,
        lanes,
        emitted: 0,
        before: 0,
    };
    println!("{} nodes, each connected to all others", all.len());
    let measured = fleet.run(arguments).await;
    if measured.is_err() {
        eprintln!(
            "{}",
            fleet.net.operators.first().map(|o| o.log("node")).unwrap_or_default()
        );
    }
    measured
}

impl Fleet {
    async fn run(&mut self, arguments: &Arguments) -> Result<Json> {
        // The first events find caches cold.
        for _ in 0..20 {
            self.emit().await?;
            tokio::time::sleep(GAP).await;
        }
        let idle = self.idle().await?;
        let latency = self.latency(arguments.isolated).await?;
        let mut rates = Vec::new();
        for rate in &arguments.rates {
            let row = self.offered(*rate, arguments.seconds).await?;
            println!("{row}");
            let kept_up = row["kept_up"].as_bool().unwrap_or_default();
            rates.push(row);
            if !kept_up {
                break;
            }
        }
        let most = match arguments.outstanding {
            0 => Json::Null,
            outstanding => self.most(outstanding, arguments.seconds).await?,
        };
        println!("{most}");
        Ok(json!({
            "machine": arguments.machine,
            "idle_cores": idle,
            "event_to_certificate_ms": latency,
            "offered": rates,
            "most": most,
        }))
    }

    /// One event, seen by all nodes at once.
    async fn emit(&mut self) -> Result<()> {
        let text = format!(
            "event {} of a benchmark, with a text that is about as long as others",
            self.emitted
        );
        let fields = BTreeMap::from([
            ("number".to_owned(), Value::from(u32::try_from(self.emitted)?)),
            ("text".to_owned(), text.into()),
        ]);
        let request = wire::EmitRequest {
            session: String::new(),
            event: "tick".to_owned(),
            data: Some(convert::to_struct(&fields.into())),
            sequence: self.emitted,
        };
        for lane in &self.lanes {
            lane.emit(request.clone()).await?;
        }
        self.emitted += 1;
        Ok(())
    }

    async fn counts(&self, field: &str) -> Result<Vec<u64>> {
        let mut counts = Vec::new();
        for index in 0..self.lanes.len() {
            let status = self.net.ask(index, "network_status", json!([])).await?;
            counts.push(status["services"][0][field].as_u64().context("no count")?);
        }
        Ok(counts)
    }

    /// CPU seconds of the nodes together, and of this process.
    fn cpu(&self) -> Result<(f64, f64)> {
        let mut nodes = 0.0;
        for operator in &self.net.operators {
            nodes += cpu(&operator.pid().context("a node ended")?.to_string())?;
        }
        Ok((nodes, cpu("self")?))
    }

    /// Cores that all nodes together take when nothing happens but blocks.
    async fn idle(&self) -> Result<f64> {
        let (before, _) = self.cpu()?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok((self.cpu()?.0 - before) / 5.0)
    }

    /// Waits until every node has every certificate; how many are missing if that takes too long.
    async fn drain(&self) -> Result<u64> {
        let deadline = Instant::now() + DRAIN;
        loop {
            let least = self.counts("certified").await?.into_iter().min().unwrap_or_default();
            let left = self.emitted.saturating_sub(least);
            if left == 0 || Instant::now() > deadline {
                return Ok(left);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Isolated events: from before the first connector's call to each node's own note that it holds the verified
    /// certificate (its clock, which is this machine's; in whole milliseconds, of which one is added).
    async fn latency(&mut self, events: usize) -> Result<Json> {
        self.drain().await?;
        for lane in &self.lanes {
            lane.keys();
        }
        let mut starts = Vec::new();
        for _ in 0..events {
            starts.push(now());
            self.emit().await?;
            tokio::time::sleep(GAP).await;
        }
        let left = self.drain().await?;
        ensure!(left == 0, "{left} isolated events have no certificate");
        let keys = self.lanes.first().context("no lane")?.keys();
        let service = self.net.service("ticks")?.address;
        let mut times: HashMap<String, Vec<f64>> = HashMap::new();
        for index in 0..self.lanes.len() {
            let recent = self.net.ask(index, "network_events", json!([service, 1_024])).await?;
            for event in recent.as_array().context("no list")? {
                let (Some(key), Some(time)) = (event["key"].as_str(), event["time"].as_f64()) else {
                    continue;
                };
                times.entry(key.to_owned()).or_default().push(time);
            }
        }
        let (mut first, mut each, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for (start, key) in starts.iter().zip(&keys) {
            let mut took: Vec<f64> = times.remove(key).context("an event is missing")?;
            took.iter_mut().for_each(|time| *time += 1.0 - start);
            took.sort_by(f64::total_cmp);
            first.extend(took.first());
            last.extend(took.last());
            each.append(&mut took);
        }
        let row = json!({"first_node": spread(first), "each_node": spread(each), "last_node": spread(last)});
        println!("event to certificate, ms: {row}");
        Ok(row)
    }

    /// So many events a second, evenly.
    async fn offered(&mut self, rate: u64, seconds: u64) -> Result<Json> {
        let left = self.drain().await?;
        ensure!(left == 0, "{left} events of the rate before have no certificate");
        let (start, first) = (Instant::now(), self.emitted);
        let end = Duration::from_secs(seconds);
        let mut counting = None;
        while start.elapsed() < end {
            let due = first + (start.elapsed().as_secs_f64() * rate as f64) as u64;
            while self.emitted < due && start.elapsed() < end {
                self.emit().await?;
            }
            if counting.is_none() && start.elapsed() >= WARM {
                counting = Some(self.begin().await?);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut row = self.end(counting.context("too short")?).await?;
        let emitted = self.emitted - first;
        row["offered"] = json!(rate);
        row["emitted_per_second"] = json!((emitted as f64 / start.elapsed().as_secs_f64()).round());
        let left = row["left"].as_u64().unwrap_or(u64::MAX);
        let certified = row["certified_per_second"].as_f64().unwrap_or_default();
        row["kept_up"] = json!(certified >= 0.97 * rate as f64 && left <= rate);
        Ok(row)
    }

    /// As many as are certified: never more than `outstanding` without a certificate.
    async fn most(&mut self, outstanding: u64, seconds: u64) -> Result<Json> {
        self.drain().await?;
        let start = Instant::now();
        let end = Duration::from_secs(seconds);
        let mut counting = None;
        while start.elapsed() < end {
            let least = self.counts("certified").await?.into_iter().min().unwrap_or_default();
            while self.emitted < least + outstanding {
                self.emit().await?;
            }
            if counting.is_none() && start.elapsed() >= WARM {
                counting = Some(self.begin().await?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut row = self.end(counting.context("too short")?).await?;
        row["outstanding"] = json!(outstanding);
        Ok(row)
    }

    async fn begin(&mut self) -> Result<(Instant, f64, f64)> {
        let (nodes, own) = self.cpu()?;
        self.before = self.counts("certified").await?.into_iter().min().unwrap_or_default();
        Ok((Instant::now(), nodes, own))
    }

    /// Rates since `begin`, of the slowest node.
    async fn end(&mut self, (since, nodes, own): (Instant, f64, f64)) -> Result<Json> {
        let counts = self.counts("certified").await?;
        let seconds = since.elapsed().as_secs_f64();
        let pending = self.counts("pending").await?.into_iter().max().unwrap_or_default();
        let (nodes_after, own_after) = self.cpu()?;
        let least = counts.into_iter().min().unwrap_or_default();
        let certified = least.saturating_sub(self.before);
        let micros = |cpu: f64| (cpu * 1e6 / certified as f64).round();
        Ok(json!({
            "seconds": (seconds * 10.0).round() / 10.0,
            "certified_per_second": (certified as f64 / seconds).round(),
            "left": self.emitted.saturating_sub(least),
            "pending_most": pending,
            "refused": self.lanes.iter().map(Lane::refused).sum::<u64>(),
            "recorded_least": self.lanes.iter().map(Lane::accepted).min(),
            "cpu_us_per_event_and_node": (micros(nodes_after - nodes) / self.lanes.len() as f64).round(),
            "cpu_us_per_event_emitting": micros(own_after - own),
            "cores_of_nodes": ((nodes_after - nodes) / seconds * 100.0).round() / 100.0,
        }))
    }
}
