//! A whole connector: emits one event, and does a task that leaves a file. The folder stands for whatever technology a
//! connector connects. `cargo run -p surety-connector --example greeter -- http://127.0.0.1:50051 node.token FOLDER`
//! (try it with the example `trial`).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

use std::{path::PathBuf, process::ExitCode};

use surety_connector::sdk::{Config, Connector, Failure, Job, Verdict, Work};
use surety_primitives::value::Value;

struct Greeter {
    folder: PathBuf,
}

impl Greeter {
    fn greeting(job: &Job) -> String {
        let visitor = job.inputs.field("visitor").and_then(Value::as_str);
        format!("Hello, {}!", visitor.unwrap_or("stranger"))
    }

    /// One file a task: its id is the key under which the task is done once.
    fn file(&self, job: &Job) -> PathBuf {
        self.folder.join(format!("{}.txt", job.task))
    }
}

#[tonic::async_trait]
impl Work for Greeter {
    async fn execute(&self, job: &Job) -> Result<Value, Failure> {
        let greeting = Self::greeting(job);
        // Twice the same file with the same content is once.
        std::fs::write(self.file(job), &greeting).map_err(Failure::later)?;
        Ok(Value::object([("greeting", greeting)]))
    }

    async fn validate(&self, job: &Job, output: &Value) -> Verdict {
        let claimed = output.field("greeting").and_then(Value::as_str);
        if claimed != Some(Self::greeting(job).as_str()) {
            return Verdict::Invalid("that is not the greeting".to_owned());
        }
        match std::fs::read_to_string(self.file(job)) {
            Ok(found) if Some(found.as_str()) == claimed => Verdict::Valid,
            Ok(_) => Verdict::Invalid("the file says something else".to_owned()),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Verdict::Invalid("no file".to_owned()),
            // A folder that can't be read proves nothing.
            Err(cause) => Verdict::Unknown(cause.to_string()),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [node, token, folder] = arguments.as_slice() else {
        eprintln!("usage: greeter NODE TOKEN_FILE FOLDER");
        return ExitCode::FAILURE;
    };
    let config = Config::new(node, token, "greeter", "greeter-rust")
        .event("visited")
        .task("greet");
    let folder = PathBuf::from(folder);
    let connector = match Connector::new(config, Greeter { folder }) {
        Ok(connector) => connector,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let emitter = connector.emitter();
    let visit = async {
        let data = Value::object([("number", Value::from(1)), ("visitor", Value::from("Ada"))]);
        println!("{:?}", emitter.emit("visited", &data).await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = connector.run() => eprintln!("{ended:?}"),
        () = visit => {}
    }
    ExitCode::FAILURE
}
