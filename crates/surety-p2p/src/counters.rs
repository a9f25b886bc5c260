//! What happened on the network, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Count {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Count {
            /// Everything that is counted.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name for Prometheus, without the prefix of the node.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

counts! {
    /// Messages this node published to topics.
    Published => "p2p_published_total",
    /// Published messages that nobody was there to hear; kept for the first that is.
    Unheard => "p2p_unheard_total",
    /// Published messages that all peers' queues were too full for.
    PublishDropped => "p2p_publish_dropped_total",
    /// Messages on topics that were accepted.
    GossipAccepted => "p2p_gossip_accepted_total",
    /// Messages on topics whose author is not a member of the service.
    GossipNotMember => "p2p_gossip_not_member_total",
    /// Messages on topics beyond the rate of their author or of who passed them on.
    GossipOverRate => "p2p_gossip_over_rate_total",
    /// Messages on topics dropped because the node did not take its events.
    GossipDropped => "p2p_gossip_dropped_total",
    /// Messages on topics that a slow peer's queue had no room for.
    GossipSlow => "p2p_gossip_slow_total",
    /// One-way messages queued.
    Sent => "p2p_sent_total",
    /// One-way messages dropped because the peer's queue was full.
    SendDropped => "p2p_send_dropped_total",
    /// One-way messages received.
    Received => "p2p_received_total",
    /// One-way messages refused: the sender is not a member of the service named.
    ReceivedNotMember => "p2p_received_not_member_total",
    /// One-way messages or streams that were malformed or too large.
    ReceivedMalformed => "p2p_received_malformed_total",
    /// How often a peer's one-way messages were held back because it sent faster than its rate.
    ReceivedThrottled => "p2p_received_throttled_total",
    /// Requests of others that reached the node.
    RequestsServed => "p2p_requests_served_total",
    /// Requests of others that were refused for rate or load.
    RequestsRefused => "p2p_requests_refused_total",
    /// Requests of others that were malformed or too large.
    RequestsMalformed => "p2p_requests_malformed_total",
    /// Own requests made.
    RequestsMade => "p2p_requests_made_total",
    /// Own requests that failed.
    RequestsFailed => "p2p_requests_failed_total",
    /// Connections made, both directions.
    Connected => "p2p_connected_total",
    /// Connections closed.
    Disconnected => "p2p_disconnected_total",
    /// Connections refused by a limit or a ban.
    ConnectionsRefused => "p2p_connections_refused_total",
    /// Connections that failed in the handshake.
    HandshakesFailed => "p2p_handshakes_failed_total",
    /// Dials that failed.
    DialsFailed => "p2p_dials_failed_total",
    /// Peers cut off because they did not answer or read.
    CutOff => "p2p_cut_off_total",
    /// Bans.
    Banned => "p2p_banned_total",
    /// Addresses of members found through others.
    Found => "p2p_found_total",
}

/// Counters since the start. Read by the node's metrics.
#[derive(Debug)]
pub struct Counters([AtomicU64; Count::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Count::ALL.len()])
    }
}

impl Counters {
    pub(crate) fn add(&self, what: Count) {
        self.add_many(what, 1);
    }

    pub(crate) fn add_many(&self, what: Count, many: u64) {
        // The array has one cell for each variant, in order.
        if let Some(cell) = self.0.get(what as usize) {
            cell.fetch_add(many, Ordering::Relaxed);
        }
    }

    /// One counter.
    pub fn get(&self, what: Count) -> u64 {
        self.0.get(what as usize).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Count::ALL.iter().map(|what| (what.name(), self.get(*what)))
    }
}
