//! Every limit of the network, with the defaults `node.toml` starts from.

use std::time::Duration;

use libp2p::Multiaddr;

/// A token bucket's measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Messages per second.
    pub messages: f64,
    /// Bytes per second.
    pub bytes: f64,
    /// How many seconds' worth may come at once.
    pub burst: f64,
}

/// What a node of the network is told at its start. Sizes are bytes of payload; headers come on top.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to listen: `/ip4/0.0.0.0/tcp/9900`. May be empty: then the node only dials.
    pub listen: Vec<Multiaddr>,
    /// What is announced to others as this node's address. Nothing else is, whatever peers believe to observe.
    pub external: Vec<Multiaddr>,
    /// Peers to dial besides the members' known addresses.
    pub bootstrap: Vec<Multiaddr>,

    /// Largest message on a topic.
    pub max_gossip: usize,
    /// Largest one-way message and largest reply.
    pub max_message: usize,
    /// Largest request.
    pub max_request: usize,

    /// Connections in all, in both directions.
    pub max_connections: usize,
    /// Of those, kept free for members of services in common.
    pub reserved_connections: usize,
    /// Connections of one peer.
    pub max_per_peer: usize,
    /// Connections of strangers from one IP address.
    pub max_per_ip: usize,
    /// Connections whose handshake is not finished.
    pub max_pending: usize,
    /// Time for dialling and for the handshake.
    pub handshake: Duration,
    /// A stranger's connection without a stream is closed after this.
    pub idle: Duration,
    /// How often a connection is tried; after this time again without an answer it is closed.
    pub ping: Duration,
    /// How often members that are not connected are dialled, at first; the pause doubles up to sixteen times that.
    pub redial: Duration,

    /// Of each fellow, for messages on topics that it authored or passed on.
    pub gossip_rate: Rate,
    /// Of each fellow, for one-way messages. Beyond that they wait on the wire.
    pub direct_rate: Rate,
    /// Of each fellow, for requests.
    pub request_rate: Rate,
    /// Of each stranger, for requests.
    pub stranger_rate: Rate,
    /// Of all strangers together, for requests.
    pub strangers_rate: Rate,

    /// Requests one peer may have waiting for a reply.
    pub max_requests_per_peer: usize,
    /// Requests that wait for this node's reply, and this node's own that wait for others'.
    pub max_requests: usize,
    /// A request that got no reply by then fails, on both sides.
    pub request_timeout: Duration,

    /// Events that wait for the node.
    pub event_queue: usize,
    /// Bytes of payload that wait for the node in events. At least `max_message`.
    pub event_bytes: usize,
    /// Commands of the node that wait for the network; callers wait beyond that.
    pub command_queue: usize,
    /// One-way messages that wait for one peer.
    pub send_queue: usize,
    /// Bytes of one-way messages that wait for one peer.
    pub send_bytes: usize,
    /// Messages on topics that wait for one peer; beyond that they are dropped and the peer counts as slow.
    pub gossip_queue: usize,
    /// A peer that takes nothing off its stream for so long is cut off.
    pub write_timeout: Duration,
    /// Messages published while nobody listened yet, kept for the first that does.
    pub unheard: usize,

    /// Peers in the mesh of a topic; it is redundancy only, since a message goes to every connected member at once.
    pub mesh: usize,
    /// Pause between gossipsub's heartbeats.
    pub heartbeat: Duration,
    /// Weight of misbehaviour (`Misbehaviour::weight`) at which a peer is banned.
    pub ban_at: f64,
    /// In this time half of a peer's misbehaviour is forgotten.
    pub forgiveness: Duration,
    /// How long a ban lasts.
    pub ban: Duration,
    /// How many peers, banned or not, are remembered besides the connected ones.
    pub remembered: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            external: Vec::new(),
            bootstrap: Vec::new(),
            max_gossip: 256 << 10,
            max_message: 1 << 20,
            max_request: 64 << 10,
            max_connections: 512,
            reserved_connections: 256,
            max_per_peer: 4,
            max_per_ip: 16,
            max_pending: 128,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            ping: Duration::from_secs(10),
            redial: Duration::from_secs(1),
            gossip_rate: Rate {
                messages: 2_000.0,
                bytes: 16e6,
                burst: 2.0,
            },
            direct_rate: Rate {
                messages: 20_000.0,
                bytes: 32e6,
                burst: 2.0,
            },
            request_rate: Rate {
                messages: 200.0,
                bytes: 4e6,
                burst: 2.0,
            },
            stranger_rate: Rate {
                messages: 10.0,
                bytes: 128e3,
                burst: 3.0,
            },
            strangers_rate: Rate {
                messages: 200.0,
                bytes: 2e6,
                burst: 2.0,
            },
            max_requests_per_peer: 32,
            max_requests: 512,
            request_timeout: Duration::from_secs(10),
            event_queue: 8_192,
            event_bytes: 64 << 20,
            command_queue: 256,
            send_queue: 4_096,
            send_bytes: 8 << 20,
            gossip_queue: 512,
            write_timeout: Duration::from_secs(10),
            unheard: 64,
            mesh: 4,
            heartbeat: Duration::from_millis(700),
            ban_at: 100.0,
            forgiveness: Duration::from_secs(60),
            ban: Duration::from_secs(600),
            remembered: 4_096,
        }
    }
}
