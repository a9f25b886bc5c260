//! P5: nothing acknowledged is lost, and no statement gets a second answer, over kill -9 before and after any commit.
//!
//! The node runs in a child process (this test binary again). At the n-th commit point it tells us and stands still, and
//! is killed there.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy::primitives::{B256, Bytes};
use serde_json::json;
use support::*;
use surety_node::Node;
use surety_primitives::Answer;

const DIR: &str = "SURETY_CRASH_TEST_DIR";
const AT: &str = "SURETY_CRASH_TEST_AT";

/// Not a test by itself: the node that the tests below kill. Returns at once when nobody started it as that.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else {
        return;
    };
    let at: u64 = std::env::var(AT).unwrap().parse().unwrap();
    let seen = AtomicU64::new(0);
    let reached = dir.join("reached");
    let hook = Arc::new(move |_| {
        if seen.fetch_add(1, Ordering::SeqCst) + 1 == at {
            std::fs::write(&reached, b"").unwrap();
            loop {
                std::thread::park();
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let hashes = install(&dir.join("programs"), &[("echo", echo(0)), ("fail", echo(7))]);
        let programs = hashes.iter().map(|(name, hash)| (selector(name), *hash)).collect();
        let methods = Arc::new(Methods {
            programs,
            ..Methods::default()
        });
        let mut config = config(&dir);
        config.metrics = None;
        let node = Node::builder(config)
            .signer(operator())
            .chain(parts(methods))
            .commit_hook(hook)
            .start()
            .await
            .unwrap();
        let address = node.endpoints()[0].1.to_string();
        std::fs::write(dir.join("address.new"), address).unwrap();
        std::fs::rename(dir.join("address.new"), dir.join("address")).unwrap();
        std::future::pending::<()>().await;
    });
}

#[allow(clippy::zombie_processes, reason = "the caller kills the child and waits for it")]
fn start(dir: &Path, at: u64) -> (Child, Client) {
    for name in ["address", "reached"] {
        let _absent = std::fs::remove_file(dir.join(name));
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(DIR, dir)
        .env(AT, at.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    loop {
        if let Ok(address) = std::fs::read_to_string(dir.join("address")) {
            return (child, Client::new(address.parse().unwrap()));
        }
        if begin.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the child does not start: {:?}", child.wait());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends until a kill point is reached; returns what was acknowledged.
async fn drive(dir: &Path, at: u64, requests: &[(Bytes, B256)]) -> (BTreeMap<B256, Answer>, bool) {
    let (mut child, client) = start(dir, at);
    let mut acknowledged = BTreeMap::new();
    let mut killed = false;
    for (raw, hash) in requests {
        let reached = async {
            while !dir.join("reached").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            sent = client.try_call("eth_sendRawTransaction", json!([raw])) => {
                assert_eq!(sent.unwrap().unwrap(), json!(hash));
                acknowledged.insert(*hash, client.answer(*hash).await);
            }
            () = reached => {
                killed = true;
                break;
            }
        }
    }
    // SIGKILL: no destructor, no flush.
    child.kill().unwrap();
    child.wait().unwrap();
    (acknowledged, killed)
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_kill_9_at_any_commit_loses_and_changes_nothing() {
    // Two requests of one statement among them.
    let requests: Vec<_> = [
        (0, "echo", b'a'),
        (1, "echo", b'a'),
        (2, "fail", b'b'),
        (3, "echo", b'c'),
    ]
    .map(|(nonce, name, byte)| request(nonce, 100, data(name, &[byte])))
    .into();
    let dir = tempfile::tempdir().unwrap();
    let (golden, killed) = drive(dir.path(), u64::MAX, &requests).await;
    assert!(!killed && golden.len() == requests.len());
    for answer in golden.values() {
        answer.verify(&domain()).unwrap();
    }

    let mut points = 0;
    for at in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let (acknowledged, killed) = drive(dir.path(), at, &requests).await;
        if !killed {
            break;
        }
        points += 1;
        let (mut child, client) = start(dir.path(), u64::MAX);
        for (hash, answer) in &acknowledged {
            assert_eq!(
                &client.answer(*hash).await,
                answer,
                "kill point {at}: acknowledged, then lost or changed"
            );
        }
        for (raw, hash) in &requests {
            assert_eq!(client.send(raw).await.unwrap(), json!(hash));
            assert_eq!(
                client.answer(*hash).await,
                golden[hash],
                "kill point {at}: another answer"
            );
        }
        assert_eq!(
            client.call("eth_blockNumber", json!([])).await.unwrap(),
            "0x4",
            "kill point {at}"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(
        points,
        2 * requests.len() as u64,
        "before and after the commit of each request"
    );
}
