//! A container of a plan on a real engine, and a monitor of it.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use surety_integrity::{
    agent::measure::Measurer,
    finding::Kind,
    image::{Digest, Layer, Packing, tree},
    measurement::Measurement,
    monitor::{Monitor, Target, Unreachable},
    probe::reference::Reference,
};
use surety_protocol::manifest::container::Container;
use surety_testing::{
    engine::Engine,
    images::{self, Builder, Image},
};

/// What runs in most tests: it starts a child a second, counts up in its writable folder, and logs.
pub(crate) const SERVICE: &str =
    "trap 'exit 3' TERM; n=0; while :; do n=$((n+1)); echo $n >/data/count; echo line $n; sleep 1; done";

pub(crate) fn image() -> Image {
    Builder::new()
        .layer(images::busybox_layer().unwrap())
        .layer(
            images::Layer::new()
                .file("etc/service.conf", 0o644, b"mode=honest\n")
                .file("lib/libservice.so", 0o644, b"library"),
        )
        .environment(&["PATH=/bin", "MODE=honest"])
        .command(&["sh", "-c", SERVICE])
        .build()
}

/// With a health check that looks for a file: it passes or fails as a test wants.
pub(crate) fn healthy_image() -> Image {
    Builder::new()
        .layer(images::busybox_layer().unwrap())
        .environment(&["PATH=/bin"])
        .command(&["sh", "-c", SERVICE])
        .health(&["CMD-SHELL", "test -f /data/count"], 1)
        .build()
}

pub(crate) fn reference(image: &Image) -> Reference {
    let folder = tempfile::tempdir().unwrap();
    let layers: Vec<Layer> = image
        .layers
        .iter()
        .zip(&image.diff_ids)
        .enumerate()
        .map(|(number, (digest, diff_id))| {
            let blob = &image.blobs[digest];
            let path = folder.path().join(number.to_string());
            fs::write(&path, blob).unwrap();
            let packing = if blob.starts_with(&[0x1f, 0x8b]) {
                Packing::Gzip
            } else {
                Packing::Plain
            };
            Layer {
                digest: digest.parse::<Digest>().unwrap(),
                size: blob.len() as u64,
                diff_id: diff_id.parse::<Digest>().unwrap(),
                packing,
                path,
            }
        })
        .collect();
    let files = tree::build(&layers, tree::Limits::default()).unwrap();
    Reference::of(
        image.digest(),
        image.config_digest(),
        &image.config,
        image.diff_ids.clone(),
        &files,
    )
}

/// A manifest's `[container]`, with some lines more.
pub(crate) fn plan(image: &Image, more: &str) -> Container {
    let has = |key: &str| more.lines().any(|line| line.starts_with(key));
    let mut text = format!("[container]\nimage = \"registry.example/service@{}\"\n", image.digest());
    for (key, line) in [
        ("network", "network = \"none\"\n"),
        ("restart", "restart = \"always\"\n"),
        ("writable", "writable = [\"/data\", \"/tmp\"]\n"),
    ] {
        if !has(key) {
            text.push_str(line);
        }
    }
    text.push_str(more);
    Container::parse(&text).unwrap().unwrap()
}

/// What the engine is told to run a plan.
pub(crate) fn body(image: &Image, plan: &Container) -> Value {
    let mut environment: Vec<String> = serde_json::from_slice::<Value>(&image.config)
        .ok()
        .and_then(|config| serde_json::from_value(config["config"]["Env"].clone()).ok())
        .unwrap_or_default();
    environment.extend(plan.environment.iter().map(|(name, value)| format!("{name}={value}")));
    let restart = plan.restart.to_string();
    let (name, most) = restart
        .split_once(':')
        .map_or((restart.as_str(), 0), |(name, most)| (name, most.parse().unwrap()));
    let mut body = json!({
        "Image": image.config_digest(),
        "Env": environment,
        "HostConfig": {
            "NetworkMode": plan.network.name(),
            "RestartPolicy": { "Name": name, "MaximumRetryCount": most },
            "ReadonlyRootfs": plan.read_only,
            "CapAdd": plan.capabilities.add,
            "CapDrop": plan.capabilities.drop,
            "Mounts": plan.mounts.iter().map(|mount| json!({
                "Type": mount.kind.name(), "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only,
            })).collect::<Vec<_>>(),
        },
    });
    for (name, given) in [("Entrypoint", &plan.entrypoint), ("Cmd", &plan.command)] {
        if let Some(words) = given {
            body[name] = json!(words);
        }
    }
    body
}

/// One request to an engine's socket: status and JSON.
pub(crate) fn ask(socket: &Path, method: &str, path: &str, body: &[u8], kind: &str) -> Result<(u16, Value)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("an answer")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok((
        status,
        serde_json::from_slice(&answer[end + 4..]).unwrap_or(Value::Null),
    ))
}

/// A container and what is needed to change it.
pub(crate) struct Subject {
    pub(crate) socket: PathBuf,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: Image,
    pub(crate) plan: Container,
    pub(crate) monitor: Monitor<Measurer>,
}

impl Subject {
    /// Starts the plan's container, changed by `adjust` before it is created.
    pub(crate) async fn start(
        engine: &Engine,
        name: &str,
        image: &Image,
        more: &str,
        adjust: impl FnOnce(&mut Value),
    ) -> Result<Self> {
        let plan = plan(image, more);
        engine.load(image).await?;
        let mut body = body(image, &plan);
        adjust(&mut body);
        let mut it = Self {
            socket: engine.socket(),
            id: String::new(),
            name: name.to_owned(),
            image: image.clone(),
            plan,
            monitor: Monitor::new(Arc::new(Measurer::new(engine.socket())), Target::default()),
        };
        it.id = it.create(name, &body)?;
        // What asks for more than this machine may give is created, and does not start.
        if let Err(error) = it.post(&format!("/containers/{}/start", it.id))
            && !error.to_string().contains("operation not permitted")
        {
            return Err(error);
        }
        it.monitor = it.another_monitor();
        Ok(it)
    }

    pub(crate) fn another_monitor(&self) -> Monitor<Measurer> {
        self.monitor_at(&self.socket)
    }

    pub(crate) fn monitor_at(&self, socket: &Path) -> Monitor<Measurer> {
        Monitor::new(
            Arc::new(Measurer::new(socket)),
            Target {
                container: self.id.clone(),
                name: Some(self.name.clone()),
                plan: Some(Arc::new(self.plan.clone())),
                image: Some(Arc::new(reference(&self.image))),
                baseline: None,
            },
        )
    }

    pub(crate) fn create(&self, name: &str, body: &Value) -> Result<String> {
        let path = format!("/containers/create?name={name}");
        let (status, answer) = ask(
            &self.socket,
            "POST",
            &path,
            body.to_string().as_bytes(),
            "application/json",
        )?;
        ensure!(status == 201, "create: {status} {answer}");
        Ok(answer["Id"].as_str().context("an id")?.to_owned())
    }

    pub(crate) fn post(&self, path: &str) -> Result<Value> {
        self.send("POST", path, &Value::Null)
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, answer) = ask(&self.socket, method, path, body.as_bytes(), "application/json")?;
        ensure!((200..400).contains(&status), "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    pub(crate) fn inspect(&self) -> Result<Value> {
        self.send("GET", &format!("/containers/{}/json", self.id), &Value::Null)
    }

    pub(crate) fn pid(&self) -> Result<u64> {
        self.inspect()?["State"]["Pid"]
            .as_u64()
            .filter(|pid| *pid != 0)
            .context("it does not run")
    }

    /// A path in its root, past the engine.
    pub(crate) fn root(&self, path: &str) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root{path}", self.pid()?)))
    }

    /// Runs a command in it through the engine, and waits for its end.
    pub(crate) fn exec(&self, command: &[&str]) -> Result<()> {
        let exec = self.send(
            "POST",
            &format!("/containers/{}/exec", self.id),
            &json!({ "Cmd": command, "AttachStdout": true }),
        )?;
        let id = exec["Id"].as_str().context("an id")?;
        ask(
            &self.socket,
            "POST",
            &format!("/exec/{id}/start"),
            b"{\"Detach\":false}",
            "application/json",
        )?;
        Ok(())
    }

    /// `docker cp` of one file.
    pub(crate) fn copy(&self, folder: &str, file: &str, mode: u32, content: &[u8]) -> Result<()> {
        let layer = images::Layer::new().file(file, mode, content).tar();
        let path = format!("/containers/{}/archive?path={folder}", self.id);
        let (status, answer) = ask(&self.socket, "PUT", &path, &layer, "application/x-tar")?;
        ensure!(status == 200, "copy: {status} {answer}");
        Ok(())
    }

    /// The tampering program, with this container's first process.
    pub(crate) fn tamper(&self, command: &str, rest: &[&str]) -> Result<()> {
        let status = Command::new(env!("CARGO_BIN_EXE_tamper"))
            .args([command, "--pid", &self.pid()?.to_string()])
            .args(rest)
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "tamper {command}: {status}");
        Ok(())
    }

    /// Something that runs in its namespaces for a while, started from outside.
    pub(crate) fn enter(&self, namespaces: &[&str], command: &[&str]) -> Result<Outsider> {
        let child = Command::new("nsenter")
            .args(["-t", &self.pid()?.to_string()])
            .args(namespaces)
            .arg("--")
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(300));
        Ok(Outsider(child))
    }

    /// Measures; waits a little for a container that is being started.
    pub(crate) async fn measure(&self) -> Result<Measurement, Unreachable> {
        self.monitor.measure().await
    }

    /// The kinds of what is found now, without doubles.
    pub(crate) async fn kinds(&self) -> Result<Vec<Kind>> {
        kinds(self.measure().await)
    }

    /// Until it has counted: then it is up.
    pub(crate) async fn up(&self) -> Result<()> {
        for _ in 0..100 {
            if self.root("/data/count").is_ok_and(|path| path.exists()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the service does not count: {}", self.inspect()?["State"])
    }
}

pub(crate) fn kinds(measurement: Result<Measurement, Unreachable>) -> Result<Vec<Kind>> {
    let measurement = measurement.map_err(anyhow::Error::new)?;
    let mut kinds: Vec<Kind> = measurement.findings().iter().map(|finding| finding.kind()).collect();
    kinds.dedup();
    Ok(kinds)
}

/// A process that a test started in a container; ended with it.
pub(crate) struct Outsider(std::process::Child);

impl Outsider {
    pub(crate) fn of(child: std::process::Child) -> Self {
        Self(child)
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        // nsenter is the parent of what it started in a pid namespace.
        let pid = self.0.id();
        for child in fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .unwrap_or_default()
            .split_whitespace()
        {
            drop(Command::new("kill").args(["-9", child]).stderr(Stdio::null()).status());
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Says which row failed, and what was found instead.
pub(crate) async fn explain(subject: &Subject) -> String {
    match subject.measure().await {
        Ok(measurement) => measurement
            .findings()
            .iter()
            .map(|finding| format!("\n    {finding}"))
            .collect(),
        Err(error) => format!("\n    {error}"),
    }
}
