//! The connector of the network's tests: quick, keyed by the task's id, and told by files what to do. It emits the
//! lines of a feed, writes a file for each `write`, joins two texts for each `join`; it can be held at any point, so
//! that its node is killed just there, and it can lie.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde_json::json;
use surety_connector::sdk::{Config, Connector, EmitError, Failure, Job, Verdict, Work};
use surety_primitives::value::Value;

/// Looks for what changed this often.
const LOOK: Duration = Duration::from_millis(25);

/// What it says instead of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lie {
    /// Every result of others is invalid.
    Invalid,
    /// It has written what it has not.
    Claim,
}

/// Emits and works as files say.
#[derive(Parser)]
struct Arguments {
    /// `http://ADDRESS` of the node
    #[arg(long)]
    node: String,
    /// the file with its token
    #[arg(long)]
    token: PathBuf,
    /// the service
    #[arg(long)]
    service: String,
    /// events to emit: lines `{"event": …, "data": …}`; grows
    #[arg(long)]
    feed: PathBuf,
    /// where `write` writes; the same for everybody, as a database is
    #[arg(long)]
    effects: PathBuf,
    /// files called `before`, `after` and `validate` here hold it there; `trace` gets a line for each point reached
    #[arg(long)]
    control: PathBuf,
    /// lie
    #[arg(long)]
    lie: Option<Lie>,
}

struct Lab {
    effects: PathBuf,
    control: PathBuf,
    lie: Option<Lie>,
}

impl Lab {
    /// Notes that it is here, and waits while it is to be held here.
    async fn at(&self, point: &str, job: &Job) {
        let line = json!({"at": point, "task": job.task, "attempt": job.attempt, "name": job.name});
        let noted = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.control.join("trace"))
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = noted {
            tracing::error!(%error, "no trace");
        }
        while self.control.join(point).exists() {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn row(&self, task: &str) -> PathBuf {
        self.effects.join(task)
    }
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.field(field).and_then(Value::as_str).map(str::to_owned)
}

#[tonic::async_trait]
impl Work for Lab {
    async fn execute(&self, job: &Job) -> Result<Value, Failure> {
        self.at("before", job).await;
        let input = |field: &str| text(&job.inputs, field).ok_or_else(|| Failure::never(format!("no {field}")));
        let output = match job.name.as_str() {
            "write" => {
                if self.lie != Some(Lie::Claim) {
                    write_once(&self.row(&job.task), &input("text")?).map_err(Failure::later)?;
                }
                Value::object([("row", job.task.clone())])
            }
            "join" => Value::object([("text", format!("{}{}", input("left")?, input("right")?))]),
            other => return Err(Failure::never(format!("what is {other}?"))),
        };
        self.at("after", job).await;
        Ok(output)
    }

    async fn validate(&self, job: &Job, output: &Value) -> Verdict {
        self.at("validate", job).await;
        if self.lie == Some(Lie::Invalid) {
            return Verdict::Invalid("so it says".to_owned());
        }
        let right = match job.name.as_str() {
            "write" => {
                text(output, "row").as_deref() == Some(&job.task)
                    && fs::read_to_string(self.row(&job.task)).ok() == text(&job.inputs, "text")
            }
            other => return Verdict::Unknown(format!("what is {other}?")),
        };
        if right {
            Verdict::Valid
        } else {
            Verdict::Invalid("no such row".to_owned())
        }
    }
}

/// As a table with a primary key: the first stays, the same again is fine.
fn write_once(path: &Path, text: &str) -> io::Result<()> {
    // Whole or not at all: written beside, then linked under its name, which fails if there is one.
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&beside, text)?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::read_to_string(path)?;
            if found == text {
                Ok(())
            } else {
                Err(io::Error::other(format!("found {found}, expected {text}")))
            }
        }
        other => other,
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let arguments = Arguments::parse();
    let config = Config::new(&arguments.node, &arguments.token, &arguments.service, "lab")
        .event("seen")
        .task("write")
        .task("join");
    let work = Lab {
        effects: arguments.effects,
        control: arguments.control,
        lie: arguments.lie,
    };
    let connector = Connector::new(config, work)?;
    let emitter = connector.emitter();
    let feed = async {
        let mut done = 0;
        loop {
            let all = fs::read_to_string(&arguments.feed).unwrap_or_default();
            // Only whole lines: the last may be on its way.
            let whole = all.rfind('\n').map_or("", |end| all.get(..=end).unwrap_or_default());
            for line in whole.lines().skip(done) {
                done += 1;
                let line: Value = line.parse().context("the feed")?;
                let event = text(&line, "event").context("no event")?;
                let data = line.field("data").context("no data")?;
                match emitter.emit(&event, data).await {
                    Ok(key) => tracing::info!(key, "emitted"),
                    Err(refused @ EmitError::Refused { .. }) => tracing::warn!(%refused, "not taken"),
                    Err(ended) => return Err(ended.into()),
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        #[allow(unreachable_code, reason = "the type of the block")]
        anyhow::Ok(())
    };
    tokio::select! {
        ended = connector.run() => Ok(ended?),
        ended = feed => ended,
    }
}
