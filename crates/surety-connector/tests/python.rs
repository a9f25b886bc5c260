//! The Python SDK, its example, and a client that has nothing but reflection, against the real server.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use surety_connector::{
    host::{Answer, Kind, Verdict},
    server::{Limits, Listen},
    trial::Trial,
};
use surety_primitives::{Address, B256, value::Value};
use surety_protocol::manifest::Network;

/// Python starts slowly on a busy machine.
const MOST: Duration = Duration::from_secs(60);

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../sdk/python")
        .canonicalize()
        .unwrap()
}

/// A virtual environment with the pinned packages, made once for each version of the list.
fn python() -> PathBuf {
    let list = std::fs::read(sdk().join("requirements-test.txt")).unwrap();
    let pins = std::fs::read(sdk().join("requirements.txt")).unwrap();
    let version = Value::list([hex(&list), hex(&pins)]).hash().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{version:.8}"));
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    // The tests run side by side, in processes of their own.
    let making = std::fs::File::create(folder.with_extension("lock")).unwrap();
    making.lock().unwrap();
    if !complete.is_file() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--only-binary",
                ":all:",
                "-r",
            ])
            .arg(sdk().join("requirements-test.txt")));
        std::fs::write(complete, "").unwrap();
    }
    python
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    let status = command
        .status()
        .unwrap_or_else(|e| panic!("{shown}: {e}; is python3-venv installed (make deps)?"));
    assert!(status.success(), "{shown}: {status}");
}

/// Killed when the test ends, however it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _no_zombie = self.0.wait();
    }
}

async fn trial(folder: &Path, listen: &str) -> Trial {
    let network = Network::parse(include_str!("../examples/service.toml"), &[]).unwrap();
    let listen = Listen::parse(listen).unwrap();
    let service = Address::repeat_byte(0x11);
    Trial::start(network, service, &listen, &folder.join("token"), Limits::default())
        .await
        .unwrap()
}

fn start(python: &Path, script: &str, arguments: &[&str]) -> Running {
    let child = Command::new(python)
        .env("PYTHONPATH", sdk())
        .arg(sdk().join("examples").join(script))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn();
    Running(child.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdk_in_python_holds_what_the_one_in_rust_does() {
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let trial = trial(folder.path(), "127.0.0.1:0").await;
    let mut tests = Command::new(&python);
    tests
        .env("PYTHONPATH", sdk())
        .env("SURETY_NODE", trial.address().url())
        .env("SURETY_TOKEN", folder.path().join("token"))
        .args(["-B", "-m", "unittest", "discover", "--verbose", "--start-directory"])
        .arg(sdk().join("tests"));
    tokio::task::spawn_blocking(move || run(&mut tests)).await.unwrap();
    let numbers = trial.emissions().into_iter().map(|emission| emission.data);
    let numbers: Vec<_> = numbers.filter_map(|data| data.field("number")?.as_number()).collect();
    assert_eq!(numbers.len(), 6, "{numbers:?}");
    trial.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_in_python_work() {
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token").display().to_string();
    let trial_one = trial(folder.path(), "127.0.0.1:0").await;
    let url = trial_one.address().url();

    // Reflection, health and the wire alone.
    let raw = start(&python, "raw.py", &[url.trim_start_matches("http://"), &token]);
    let ada = Value::object([("visitor", "Ada")]);
    let output = Value::object([("greeting", "Hello, Ada!")]);
    let answer = trial_one
        .ask(B256::repeat_byte(1), "greet", ada.clone(), Kind::Execute, MOST)
        .await
        .unwrap();
    assert_eq!(answer, Answer::Output(output.clone()));
    assert_eq!(trial_one.emissions().len(), 1);
    let mut raw = raw;
    let mut said = String::new();
    std::io::Read::read_to_string(raw.0.stdout.as_mut().unwrap(), &mut said).unwrap();
    assert!(raw.0.wait().unwrap().success());
    let refused = "refused number: found a string, expected Number; visitor: found nothing, expected String";
    assert!(said.contains(refused), "{said}");

    // The example of the SDK: does, validates, and comes back to a node that restarts.
    let _greeter = start(
        &python,
        "greeter.py",
        &[&url, &token, &folder.path().display().to_string()],
    );
    trial_one
        .wait("the event", MOST, |trial| trial.emissions().len() == 2)
        .await
        .unwrap();
    let validate = |claimed: &str| Kind::Validate {
        output: Value::object([("greeting", claimed)]),
    };
    let task = B256::repeat_byte(2);
    let verdict = |answer: Answer| match answer {
        Answer::Verdict { verdict, .. } => verdict,
        other => panic!("found {other:?}, expected a verdict"),
    };
    let answer = trial_one
        .ask(task, "greet", ada.clone(), validate("Hello, Ada!"), MOST)
        .await
        .unwrap();
    assert_eq!(verdict(answer), Verdict::Invalid, "nothing was written yet");
    let answer = trial_one
        .ask(task, "greet", ada.clone(), Kind::Execute, MOST)
        .await
        .unwrap();
    assert_eq!(answer, Answer::Output(output.clone()));
    trial_one.stop().await.unwrap();

    let trial_two = trial(folder.path(), url.trim_start_matches("http://")).await;
    let answer = trial_two
        .ask(task, "greet", ada.clone(), Kind::Execute, MOST)
        .await
        .unwrap();
    assert_eq!(answer, Answer::Output(output));
    let answer = trial_two
        .ask(task, "greet", ada.clone(), validate("Hello, Ada!"), MOST)
        .await
        .unwrap();
    assert_eq!(verdict(answer), Verdict::Valid);
    let answer = trial_two.ask(task, "greet", ada, validate("Bye"), MOST).await.unwrap();
    assert_eq!(verdict(answer), Verdict::Invalid);
}
