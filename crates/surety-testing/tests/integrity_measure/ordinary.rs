//! Ordinary days: nothing is reported.

use std::{fs, process::Command, sync::Arc, thread::sleep, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};
use surety_integrity::agent::measure::Measurer;
use surety_testing::engine::{Engine, EngineConfig};

use crate::setting::{Subject, ask, explain, healthy_image, image, kinds};

struct Day {
    name: &'static str,
    /// Lines of the plan.
    plan: &'static str,
    healthy: bool,
    passes: fn(&Subject) -> Result<()>,
}

const fn day(name: &'static str, passes: fn(&Subject) -> Result<()>) -> Day {
    Day {
        name,
        plan: "",
        healthy: false,
        passes,
    }
}

/// Until its first process is another one, and counts.
fn until_restarted(it: &Subject, before: u64) -> Result<()> {
    for _ in 0..100 {
        if it.pid().is_ok_and(|pid| pid != before) {
            sleep(Duration::from_millis(300));
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    anyhow::bail!("it does not come back: {}", it.inspect()?["State"])
}

/// A day on which nothing happens.
#[allow(clippy::unnecessary_wraps, reason = "one of the days")]
fn wait(time: Duration) -> Result<()> {
    sleep(time);
    Ok(())
}

fn crash(it: &Subject, signal: &str) -> Result<()> {
    let pid = it.pid()?;
    Command::new("kill").args([signal, &pid.to_string()]).status()?;
    until_restarted(it, pid)
}

fn get(it: &Subject, path: &str) -> Result<()> {
    let path = path.replace("ID", &it.id);
    let (status, answer) = ask(&it.socket, "GET", &path, b"", "application/json")?;
    anyhow::ensure!(status == 200, "{path}: {status} {answer}");
    Ok(())
}

const DAYS: &[Day] = &[
    day("time-passes", |_| wait(Duration::from_millis(1_500))),
    day("crash-and-restart-by-policy", |it| crash(it, "-9")),
    Day {
        name: "failure-and-restart-by-policy",
        plan: "restart = \"on-failure:3\"\n",
        healthy: false,
        passes: |it| crash(it, "-TERM"),
    },
    day("log-grows", |it| {
        let path = it.inspect()?["LogPath"].as_str().unwrap_or_default().to_owned();
        let line = "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n".repeat(100_000);
        Ok(std::io::Write::write_all(
            &mut fs::OpenOptions::new().append(true).open(path)?,
            line.as_bytes(),
        )?)
    }),
    day("temporary-files", |it| {
        let folder = it.root("/tmp/a")?;
        fs::create_dir_all(&folder)?;
        for number in 0..200 {
            fs::write(folder.join(number.to_string()), "x")?;
        }
        Ok(fs::remove_dir_all(folder)?)
    }),
    day("writable-files-rewritten", |it| {
        fs::write(it.root("/data/state")?, "1")?;
        fs::write(it.root("/data/state.new")?, "2")?;
        Ok(fs::rename(it.root("/data/state.new")?, it.root("/data/state")?)?)
    }),
    Day {
        name: "data-in-a-volume",
        plan: "[[container.mount]]\ntarget = \"/volume\"\nkind = \"volume\"\nsource = \"ordinary-data\"\n",
        healthy: false,
        passes: |it| Ok(fs::write(it.root("/volume/data")?, vec![1; 1 << 20])?),
    },
    Day {
        name: "read-only-root-and-tmpfs",
        plan: "read_only = true\n[[container.mount]]\ntarget = \"/data\"\nkind = \"tmpfs\"\n",
        healthy: false,
        passes: |it| Ok(fs::write(it.root("/data/more")?, "x")?),
    },
    day("name-servers-change", |it| {
        Ok(fs::write(
            it.inspect()?["ResolvConfPath"].as_str().unwrap_or_default(),
            "nameserver 10.9.8.7\n",
        )?)
    }),
    day("hosts-change", |it| {
        Ok(fs::write(
            it.inspect()?["HostsPath"].as_str().unwrap_or_default(),
            "127.0.0.1 localhost other\n",
        )?)
    }),
    day("times-of-files-step", |it| {
        let file = fs::File::options().write(true).open(it.root("/etc/service.conf")?)?;
        let later = std::time::SystemTime::now() + Duration::from_secs(86_400);
        file.set_modified(later)?;
        Ok(file.set_modified(std::time::UNIX_EPOCH)?)
    }),
    day("load", |_| {
        let busy = |_| std::thread::spawn(|| (0..60_000_000_u64).fold(0_u64, |sum, n| sum.wrapping_mul(31) ^ n));
        (0..3)
            .map(busy)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|thread| drop(thread.join()));
        Ok(())
    }),
    Day {
        name: "health-checks-pass",
        plan: "[container.policy]\nexec = \"health\"\n",
        healthy: true,
        passes: |_| wait(Duration::from_millis(2_600)),
    },
    Day {
        name: "health-checks-fail",
        plan: "[container.policy]\nexec = \"health\"\n",
        healthy: true,
        passes: |it| {
            for _ in 0..20 {
                drop(fs::remove_file(it.root("/data/count")?));
                sleep(Duration::from_millis(120));
            }
            Ok(())
        },
    },
    day("images-are-collected", |it| {
        it.post("/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D")?;
        it.post("/containers/prune").map(drop)
    }),
    day("others-come-and-go", |it| {
        for number in 0..3 {
            let body = json!({ "Image": it.image.config_digest(), "HostConfig": { "NetworkMode": "none" } });
            let id = it.create(&format!("other-{number}"), &body)?;
            it.post(&format!("/containers/{id}/start"))?;
            it.send("DELETE", &format!("/containers/{id}?force=true"), &Value::Null)?;
        }
        Ok(())
    }),
    day("operator-looks", |it| {
        get(it, "/containers/ID/top")?;
        get(it, "/containers/ID/stats?stream=false")?;
        get(it, "/containers/ID/logs?stdout=true")?;
        get(it, "/containers/ID/changes")?;
        get(it, "/containers/ID/archive?path=/etc/service.conf")?;
        get(it, "/containers/ID/json?size=true")
    }),
    Day {
        name: "many-short-children",
        plan: "command = [\"sh\", \"-c\", \"echo 1 >/data/count; while :; do (true; ls / >/dev/null); cat /data/count >/dev/null; done\"]\n",
        healthy: false,
        passes: |_| wait(Duration::from_millis(500)),
    },
    day("page-cache-is-dropped", |_| {
        Ok(fs::write("/proc/sys/vm/drop_caches", "3")?)
    }),
    day("signalled-to-read-its-configuration", |it| {
        it.post(&format!("/containers/{}/kill?signal=WINCH", it.id)).map(drop)
    }),
];

#[tokio::test]
async fn p6_ordinary_days_are_not_reported() {
    let engine = Engine::start().unwrap();
    let only = std::env::var("ROW").ok();
    let mut alarms = String::new();
    for day in DAYS
        .iter()
        .filter(|day| only.as_deref().is_none_or(|only| day.name == only))
    {
        let image = if day.healthy { healthy_image() } else { image() };
        let subject = Subject::start(&engine, day.name, &image, day.plan, |_| {})
            .await
            .unwrap_or_else(|error| panic!("{}: {error:#}", day.name));
        // Also while it starts.
        let mut found = vec![kinds(subject.measure().await)];
        subject.up().await.unwrap();
        found.push(kinds(subject.measure().await));
        (day.passes)(&subject).unwrap_or_else(|error| panic!("{}: {error:#}", day.name));
        for _ in 0..3 {
            found.push(kinds(subject.measure().await));
        }
        if !found.iter().all(|kinds| kinds.as_ref().is_ok_and(Vec::is_empty)) {
            alarms += &format!("\n{}: {found:?}{}", day.name, explain(&subject).await);
        }
        subject
            .send(
                "DELETE",
                &format!("/containers/{}?force=true", subject.id),
                &Value::Null,
            )
            .unwrap();
    }
    assert!(alarms.is_empty(), "{alarms}");
}

#[tokio::test]
async fn p6_an_engine_that_restarts_with_live_restore_is_not_reported() {
    let mut engine = Engine::start_with(EngineConfig {
        live_restore: true,
        ..EngineConfig::default()
    })
    .unwrap();
    let subject = Subject::start(&engine, "one", &image(), "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    assert!(subject.measure().await.unwrap().events_complete());
    let pid = subject.pid().unwrap();
    engine.restart().unwrap();
    assert_eq!(subject.pid().unwrap(), pid, "live restore");
    // Time for the stream of events to be opened again.
    sleep(Duration::from_millis(800));
    let after = subject.measure().await.unwrap();
    assert_eq!(after.findings(), []);
    assert!(
        !after.events_complete(),
        "what happened meanwhile is not known, and that is said"
    );
    let later = subject.measure().await.unwrap();
    assert!(later.events_complete() && later.findings().is_empty());
}

#[tokio::test]
async fn p6_an_engine_that_restarts_and_starts_its_containers_is_not_reported() {
    let mut engine = Engine::start().unwrap();
    let subject = Subject::start(&engine, "one", &image(), "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    assert_eq!(subject.kinds().await.unwrap(), []);
    engine.restart().unwrap();
    subject.up().await.unwrap();
    sleep(Duration::from_millis(800));
    for _ in 0..2 {
        assert_eq!(subject.kinds().await.unwrap(), [], "{}", explain(&subject).await);
    }
}

#[tokio::test]
async fn p6_two_monitors_at_once_see_the_same() {
    let engine = Engine::start().unwrap();
    let subject = Subject::start(&engine, "one", &image(), "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    let others: Vec<_> = (0..4).map(|_| Arc::new(subject.another_monitor())).collect();
    let tasks: Vec<_> = others
        .into_iter()
        .map(|monitor| {
            tokio::spawn(async move {
                let mut last = None;
                for _ in 0..5 {
                    last = Some(monitor.measure().await.unwrap());
                }
                last.unwrap()
            })
        })
        .collect();
    let own = subject.measure().await.unwrap();
    assert_eq!(own.findings(), []);
    for task in tasks {
        let other = task.await.unwrap();
        assert_eq!(other.findings(), []);
        assert_eq!(other.root(), own.root(), "{}\n{}", other.identity(), own.identity());
    }
}

#[tokio::test]
async fn a_change_is_told_when_it_happens() {
    let engine = Engine::start().unwrap();
    let subject = Subject::start(&engine, "one", &image(), "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    subject.measure().await.unwrap();
    assert!(!subject.monitor.changed(Duration::from_millis(100)).await.unwrap());
    let waits = subject.monitor.changed(Duration::from_secs(20));
    let acts = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        subject.exec(&["true"]).unwrap();
    };
    let (changed, ()) = tokio::join!(waits, acts);
    assert!(changed.unwrap());
}

/// The same agent for several monitors: what one has seen is not lost to the other.
#[tokio::test]
async fn each_monitor_sees_every_event() {
    let engine = Engine::start().unwrap();
    let subject = Subject::start(&engine, "one", &image(), "", |_| {}).await.unwrap();
    subject.up().await.unwrap();
    let agent = Arc::new(Measurer::new(engine.socket()));
    let target = subject.monitor.target().clone();
    let monitors: Vec<_> = (0..2)
        .map(|_| surety_integrity::monitor::Monitor::new(agent.clone(), target.clone()))
        .collect();
    for monitor in &monitors {
        assert_eq!(kinds(monitor.measure().await).unwrap(), []);
    }
    subject.exec(&["true"]).unwrap();
    for monitor in &monitors {
        assert_eq!(
            kinds(monitor.measure().await).unwrap(),
            [surety_integrity::finding::Kind::Exec]
        );
        // It stays.
        assert_eq!(
            kinds(monitor.measure().await).unwrap(),
            [surety_integrity::finding::Kind::Exec]
        );
    }
}
