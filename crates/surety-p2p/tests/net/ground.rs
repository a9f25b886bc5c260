//! What every test stands on: nodes on loopback, and patience.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use surety_p2p::{Address, Config, Event, Events, Handle, Identity, Members, Message, Multiaddr, Network};
use tokio::sync::watch;

/// Longer than anything takes on a busy machine. Only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const SERVICE: Address = Address::repeat_byte(0x51);
pub(crate) const OTHER: Address = Address::repeat_byte(0x52);

pub(crate) fn identity(index: u8) -> Identity {
    Identity::new([index.wrapping_add(1).max(1); 32]).expect("a secret")
}

pub(crate) fn operator(index: u8) -> Address {
    identity(index).address()
}

/// Nodes 0 to `count` - 1 are members of `SERVICE`.
pub(crate) fn members(count: u8) -> Members {
    let mut members = Members::new();
    for index in 0..count {
        members.insert(SERVICE, operator(index));
    }
    members
}

/// Loopback, any port, and quick to notice things.
pub(crate) fn config() -> Config {
    Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddress")],
        redial: Duration::from_millis(200),
        heartbeat: Duration::from_millis(300),
        ..Config::default()
    }
}

pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) events: Events,
    /// Ends the members' changes when dropped, not the node.
    pub(crate) members: watch::Sender<Arc<Members>>,
}

impl Node {
    pub(crate) async fn start(index: u8, config: Config, members: Members) -> Self {
        let (sender, receiver) = watch::channel(Arc::new(members));
        let (handle, events) = Network::start(config, identity(index), receiver)
            .await
            .expect("a network");
        Self {
            handle,
            events,
            members: sender,
        }
    }

    pub(crate) fn address(&self) -> Multiaddr {
        self.handle
            .listen_addresses()
            .into_iter()
            .next()
            .expect("a listening address")
    }

    /// The next event that `pick` wants; others are passed over.
    pub(crate) async fn next<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the network is up");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("an event in time")
    }

    pub(crate) async fn message(&mut self) -> Message {
        self.next(|event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        })
        .await
    }

    /// Everything that is there now.
    pub(crate) fn drain(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv()).collect()
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until something comes of trying.
pub(crate) async fn retry<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => assert!(start.elapsed() < PATIENCE, "in vain: {what}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `count` members of `SERVICE`, all connected, each knowing the others' addresses.
pub(crate) async fn group(count: u8, config: Config) -> Vec<Node> {
    let mut nodes = Vec::new();
    for index in 0..count {
        nodes.push(Node::start(index, config.clone(), Members::new()).await);
    }
    let mut all = members(count);
    for (index, node) in (0..).zip(&nodes) {
        all.locate(operator(index), node.address());
    }
    for node in &nodes {
        node.members.send_replace(Arc::new(all.clone()));
    }
    connected(&nodes, count).await;
    nodes
}

/// Waits until all are connected to all.
pub(crate) async fn connected(nodes: &[Node], count: u8) {
    let others = usize::from(count) - 1;
    until("all are connected", || {
        nodes.iter().all(|node| node.handle.operators().len() == others)
    })
    .await;
}
