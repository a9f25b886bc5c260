//! Three hosts: network namespaces joined by a bridge. One is cut off and comes back.
//!
//! Needs root and iproute2, and fails without. The test starts itself once in each namespace; there it is a node that
//! takes commands on its standard input and tells what it hears on its standard output.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use surety_p2p::{Config, Event, Members, Via};

use crate::ground::{Node, PATIENCE, SERVICE, config, members, operator};

const ROLE: &str = "SURETY_P2P_NAMESPACE_NODE";
const SELF: &str = "namespaces::a_partition_heals";
const COUNT: u8 = 3;
const PORT: u16 = 9900;

/// Where a node is: its own network, behind the bridge.
fn host(index: u8) -> String {
    format!("10.77.0.{}", index + 1)
}

#[test]
fn a_partition_heals() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match std::env::var(ROLE) {
        Ok(index) => runtime.block_on(node(index.parse().expect("an index"))),
        Err(_) => orchestrate(),
    }
}

/// A node in a namespace.
async fn node(index: u8) {
    let limits = Config {
        listen: vec![
            format!("/ip4/{}/tcp/{PORT}", host(index))
                .parse()
                .expect("a multiaddress"),
        ],
        ping: Duration::from_secs(1),
        ..config()
    };
    let mut all: Members = members(COUNT);
    for other in 0..COUNT {
        all.locate(
            operator(other),
            format!("/ip4/{}/tcp/{PORT}", host(other))
                .parse()
                .expect("a multiaddress"),
        );
    }
    let mut node = Node::start(index, limits, all).await;
    let (lines, mut commands) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some(command) = command else { break };
                let (what, text) = command.split_once(' ').unwrap_or((&command, ""));
                match what {
                    "publish" => node.handle.publish(SERVICE, text.into()).await.expect("published"),
                    "send" => {
                        for other in (0..COUNT).filter(|other| *other != index) {
                            // To whom is not connected, nothing is sent.
                            let _ = node.handle.send(operator(other), SERVICE, text.into());
                        }
                    }
                    other => panic!("{other} is no command"),
                }
            }
            event = node.events.recv() => match event.expect("the network is up") {
                Event::Message(message) => {
                    let via = if message.via == Via::Direct { "direct" } else { "gossip" };
                    say(&format!("heard {via} {}", String::from_utf8(message.data).expect("text")));
                }
                Event::PeerConnected { .. } | Event::PeerDisconnected { .. } => {
                    say(&format!("connected {}", node.handle.operators().len()));
                }
                _ => {}
            },
        }
    }
    node.handle.shutdown().await;
}

fn say(line: &str) {
    // The harness writes lines of its own; these have a mark.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@ {line}").expect("written");
    out.flush().expect("flushed");
}

/// Runs `ip`, which must succeed.
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs `ip` of iproute2: {error}"));
    let says = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "this test needs root and network namespaces; `ip {arguments}`: {says}"
    );
}

/// The namespaces; deleted at the end, with everything in them.
struct Hosts {
    prefix: String,
}

impl Hosts {
    fn new() -> Self {
        let hosts = Self {
            prefix: format!("surety-p2p-{}", std::process::id()),
        };
        // The bridge has a namespace of its own: the machine's network is not touched.
        let hub = hosts.hub();
        ip(&format!("netns add {hub}"));
        ip(&format!("-n {hub} link add bridge type bridge"));
        ip(&format!("-n {hub} link set bridge up"));
        for index in 0..COUNT {
            let name = hosts.name(index);
            ip(&format!("netns add {name}"));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!(
                "-n {hub} link add port{index} type veth peer name eth0 netns {name}"
            ));
            ip(&format!("-n {hub} link set port{index} master bridge up"));
            ip(&format!("-n {name} addr add {}/24 dev eth0", host(index)));
            ip(&format!("-n {name} link set eth0 up"));
        }
        hosts
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    fn name(&self, index: u8) -> String {
        format!("{}-{index}", self.prefix)
    }

    fn link(&self, index: u8, state: &str) {
        ip(&format!("-n {} link set port{index} {state}", self.hub()));
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in (0..COUNT).map(|index| self.name(index)).chain([self.hub()]) {
            // What was never made cannot be deleted.
            let _ = Command::new("ip")
                .args(["netns", "del", &name])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// A node, seen from outside.
struct Remote {
    index: u8,
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
    log: String,
}

impl Remote {
    fn start(hosts: &Hosts, index: u8) -> Self {
        let own = std::env::current_exe().expect("this program");
        let mut child = Command::new("ip")
            .args(["netns", "exec", &hosts.name(index)])
            .arg(own)
            .args(["--exact", SELF, "--nocapture", "--test-threads=1"])
            .env(ROLE, index.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a node in a namespace");
        let input = child.stdin.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix("@ ")
                    && sender.send(line.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Self {
            index,
            child,
            input,
            lines,
            log: String::new(),
        }
    }

    fn command(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("written");
        self.input.flush().expect("flushed");
    }

    /// Waits for a line; those before it are passed over, but none of them may be `never`.
    fn expect(&mut self, line: &str, never: Option<&str>) {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(found) = self.lines.recv_timeout(left) else {
                panic!("node {} never said {line:?}; it said:\n{}", self.index, self.log)
            };
            writeln!(self.log, "{found}").expect("a string");
            if let Some(never) = never {
                assert!(!found.contains(never), "node {} said {found:?}", self.index);
            }
            if found == line {
                return;
            }
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn orchestrate() {
    let hosts = Hosts::new();
    let mut nodes: Vec<Remote> = (0..COUNT).map(|index| Remote::start(&hosts, index)).collect();
    for node in &mut nodes {
        node.expect("connected 2", None);
    }
    nodes[0].command("publish whole");
    nodes[1].expect("heard gossip whole", None);
    nodes[2].expect("heard gossip whole", None);
    nodes[2].command("send here");
    nodes[0].expect("heard direct here", None);
    nodes[1].expect("heard direct here", None);

    // Node 2 is alone.
    hosts.link(2, "down");
    nodes[2].expect("connected 0", None);
    nodes[0].expect("connected 1", None);
    nodes[1].expect("connected 1", None);
    nodes[0].command("publish majority");
    nodes[1].expect("heard gossip majority", None);
    nodes[1].command("send minority");
    nodes[0].expect("heard direct minority", None);

    // And is not any more.
    hosts.link(2, "up");
    for node in &mut nodes {
        node.expect("connected 2", None);
    }
    nodes[2].command("publish healed");
    for node in &mut nodes[..2] {
        node.expect("heard gossip healed", Some("minority-only"));
    }
    nodes[0].command("send again");
    nodes[1].expect("heard direct again", None);
    nodes[2].expect("heard direct again", Some("minority"));
}
