//! What a measurement costs: of a 200 MB image cold and warm, and steadily, on the host's side and the monitor's. Needs
//! root and Debian's docker.io. `bench/integrity.md` has the last results.

#![allow(clippy::print_stdout, reason = "a program for terminals")]

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use surety_integrity::{
    agent::measure::{Events, Facts, Measurer, Request, WatchRequest},
    image::{Digest, Layer, Packing, tree},
    monitor::{Monitor, Source, Target},
    probe::reference::Reference,
};
use surety_protocol::manifest::container::Container;
use surety_testing::{engine::Engine, images};

/// Gives the same facts again and again: what is left is the monitor's own work.
#[derive(Debug)]
struct Replay(std::sync::Mutex<Facts>);

#[async_trait::async_trait]
impl Source for Replay {
    async fn facts(&self, _: &Request) -> Result<Facts, String> {
        Ok(self.0.lock().map_err(|error| error.to_string())?.clone())
    }

    async fn watch(&self, _: &WatchRequest) -> Result<Events, String> {
        Ok(Events::default())
    }
}

/// Processor time of a process, seconds.
fn used(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|it| it.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

fn engine_pid(folder: &Path) -> Option<String> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let pid = entry.file_name().to_str()?.to_owned();
        (line.starts_with("dockerd") || line.contains("/dockerd")).then_some(())?;
        line.contains(folder.to_str()?).then_some(pid)
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let engine = Engine::start()?;
    let image = images::Builder::new()
        .layer(images::busybox_layer()?)
        .layer(images::ballast(200 << 20))
        .environment(&["PATH=/bin"])
        .command(&["sh", "-c", "while :; do sleep 1; done"])
        .build();
    engine.load(&image).await?;
    let id = engine
        .run("bench", &image, |body| {
            if let Some(host) = &mut body.host_config {
                host.restart_policy = Some(bollard::models::RestartPolicy {
                    name: Some(bollard::models::RestartPolicyNameEnum::ALWAYS),
                    maximum_retry_count: None,
                });
            }
        })
        .await?;
    let folder = tempfile::tempdir()?;
    let mut layers = Vec::new();
    for (number, (digest, diff_id)) in image.layers.iter().zip(&image.diff_ids).enumerate() {
        let blob = image.blobs.get(digest).context("a layer")?;
        let path = folder.path().join(number.to_string());
        fs::write(&path, blob)?;
        layers.push(Layer {
            digest: digest.parse::<Digest>()?,
            size: blob.len() as u64,
            diff_id: diff_id.parse::<Digest>()?,
            packing: if blob.starts_with(&[0x1f, 0x8b]) {
                Packing::Gzip
            } else {
                Packing::Plain
            },
            path,
        });
    }
    let files = tree::build(&layers, tree::Limits::default())?;
    println!("image: {} MB, {} names", files.size() >> 20, files.len());
    let reference = Arc::new(Reference::of(
        image.digest(),
        image.config_digest(),
        &image.config,
        image.diff_ids.clone(),
        &files,
    ));
    let text = format!(
        "[container]\nimage = \"r.example/s@{}\"\nnetwork = \"none\"\nrestart = \"always\"\nwritable = [\"/tmp\"]\n",
        image.digest()
    );
    let plan = Container::parse(&text)
        .map_err(|error| anyhow::anyhow!("{error:?}"))?
        .context("a plan")?;
    let target = Target {
        container: id.clone(),
        plan: Some(Arc::new(plan)),
        image: Some(reference),
        ..Target::default()
    };
    // Files made this moment are read again each time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let agent = Arc::new(Measurer::new(engine.socket()));
    let monitor = Monitor::new(agent.clone(), target.clone());
    let mut times = Vec::new();
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    for number in 0..21 {
        let began = Instant::now();
        let measurement = monitor.measure().await?;
        ensure!(measurement.findings().is_empty(), "{:?}", measurement.findings());
        let took = began.elapsed();
        match number {
            0 => println!("full, cold (page cache dropped): {} ms", took.as_millis()),
            _ => times.push(took),
        }
    }
    times.sort();
    println!(
        "full, warm: median {:.1} ms, longest {:.1} ms of 20",
        times.get(10).map(Duration::as_secs_f64).unwrap_or_default() * 1e3,
        times.last().map(Duration::as_secs_f64).unwrap_or_default() * 1e3
    );
    let pid = engine_pid(engine.socket().parent().context("a folder")?).unwrap_or_default();
    let (own, theirs) = (used("self"), used(&pid));
    let rounds: u32 = 30;
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        monitor.measure().await?;
    }
    let per = |seconds: f64| seconds / f64::from(rounds) * 1e3;
    let (own, theirs) = (per(used("self") - own), per(used(&pid) - theirs));
    println!(
        "each: {own:.1} ms of processor here (host and monitor), {theirs:.1} ms in dockerd; every 2 s: {:.2} % of a core",
        (own + theirs) / 20.0
    );
    // The monitor alone: a host that says what this one said, decoded from JSON each time.
    let facts = agent
        .facts(&Request {
            container: id,
            after: None,
            memory: true,
            files: None,
        })
        .await?;
    let text = serde_json::to_string(&facts)?;
    let first = monitor.measure().await?;
    let replay = Monitor::new(
        Arc::new(Replay(std::sync::Mutex::new(facts))),
        Target { image: None, ..target },
    );
    let began = Instant::now();
    for _ in 0..200 {
        let _: Value = serde_json::from_str(&text)?;
        serde_json::from_str::<Facts>(&text)?;
        replay.measure().await?;
    }
    println!(
        "monitor alone: {:.2} ms for a measurement, {} bytes from the host; document of {} bytes",
        began.elapsed().as_secs_f64() * 1e3 / 200.0,
        text.len(),
        first.encode()?.len()
    );
    Ok(())
}
