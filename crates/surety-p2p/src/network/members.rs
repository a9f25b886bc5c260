//! Finding fellows and staying connected to them.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use libp2p::{
    Multiaddr, PeerId,
    core::{PeerRecord, SignedEnvelope},
    kad::{self, store::RecordStore as _},
    multiaddr::Protocol,
    swarm::dial_opts::{DialOpts, PeerCondition},
};
use tokio::sync::oneshot;

use super::{Dial, Task};
use crate::{
    Count, Error, address_of,
    behaviour::{topic, topic_score},
    handle::Shared,
};

/// Addresses of one fellow that others told.
const FOUND: usize = 4;
/// Doublings of the pause between dials.
const DOUBLINGS: u32 = 4;
/// How often this node's addresses are put where others find them.
const ANNOUNCE: Duration = Duration::from_secs(300);

/// A fellow that is to be connected.
#[derive(Debug)]
struct Fellow {
    /// Once it is known.
    peer: Option<PeerId>,
    /// Told by itself or signed by it; the registry's come from `Members`.
    found: Vec<Multiaddr>,
    next: Instant,
    failures: u32,
    dialling: bool,
    /// Which of its addresses is next.
    turn: usize,
}

/// What is known of where fellows are.
#[derive(Debug, Default)]
pub(super) struct Directory {
    fellows: BTreeMap<Address, Fellow>,
    bootstrap: Option<Instant>,
    announced: Option<Instant>,
}

impl Directory {
    /// There is a connection.
    pub(super) fn reached(&mut self, operator: Address, peer: PeerId) {
        if let Some(fellow) = self.fellows.get_mut(&operator) {
            fellow.peer = Some(peer);
            fellow.failures = 0;
            fellow.dialling = false;
        }
    }

    /// A dial failed.
    pub(super) fn missed(&mut self, operator: Address) {
        if let Some(fellow) = self.fellows.get_mut(&operator) {
            fellow.dialling = false;
            fellow.failures = fellow.failures.saturating_add(1);
        }
    }

    /// The last connection was closed. The one with the lower address dials first, so that most of the time only one
    /// of two connections is made.
    pub(super) fn lost(&mut self, operator: Address, shared: &Shared, now: Instant) {
        let redial = shared.config.redial;
        if let Some(fellow) = self.fellows.get_mut(&operator) {
            fellow.dialling = false;
            fellow.next = now
                + if shared.identity.address() < operator {
                    redial / 2
                } else {
                    redial
                };
        }
    }

    fn learn(&mut self, operator: Address, address: Multiaddr) -> bool {
        let Some(fellow) = self.fellows.get_mut(&operator) else {
            return false;
        };
        if fellow.found.contains(&address) {
            return false;
        }
        // The newest are likelier to be true.
        fellow.found.insert(0, address);
        fellow.found.truncate(FOUND);
        true
    }
}

/// An address without who is there, if it is one this node can dial: an IP address and a TCP port.
fn dialable(address: &Multiaddr) -> Option<Multiaddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        ip @ (Protocol::Ip4(_) | Protocol::Ip6(_)) => ip,
        _ => return None,
    };
    let port = match parts.next()? {
        port @ Protocol::Tcp(1..) => port,
        _ => return None,
    };
    match (parts.next(), parts.next()) {
        (None | Some(Protocol::P2p(_)), None) => Some(Multiaddr::from_iter([ip, port])),
        _ => None,
    }
}

fn ip(address: &Multiaddr) -> Option<Protocol<'_>> {
    address.iter().next()
}

/// Where in kad an operator's addresses are.
fn record_key(operator: Address) -> kad::RecordKey {
    kad::RecordKey::new(&operator)
}

/// The addresses in a record, if its operator signed it.
fn verified(record: &kad::Record) -> Option<(Address, Vec<Multiaddr>)> {
    let envelope = SignedEnvelope::from_protobuf_encoding(&record.value).ok()?;
    let signed = PeerRecord::from_signed_envelope(envelope).ok()?;
    let operator = address_of(&signed.peer_id())?;
    (record.key == record_key(operator)).then(|| {
        (
            operator,
            signed.addresses().iter().filter_map(dialable).take(FOUND).collect(),
        )
    })
}

impl Task {
    /// The members changed.
    pub(super) fn on_members(&mut self) {
        let members = self.members.borrow_and_update().clone();
        let own = self.shared.identity.address();

        let services: HashSet<Address> = members.services_of(own).collect();
        let (joined, left) = self.own.set(&services);
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        for service in joined {
            let topic = topic(service);
            if let Err(error) = gossip.set_topic_params(topic.clone(), topic_score()) {
                tracing::error!(%service, %error, "a topic has no score");
            }
            if let Err(error) = gossip.subscribe(&topic) {
                tracing::error!(%service, %error, "a topic cannot be joined");
            }
        }
        for service in left {
            gossip.unsubscribe(&topic(service));
        }

        let fellows = members.fellows_of(own);
        let now = Instant::now();
        self.directory.fellows.retain(|operator, _| fellows.contains(operator));
        let redial = self.shared.config.redial;
        for operator in fellows {
            // The lower address dials at once.
            let next = now + if own < operator { Duration::ZERO } else { redial };
            self.directory.fellows.entry(operator).or_insert_with(|| Fellow {
                peer: None,
                found: Vec::new(),
                next,
                failures: 0,
                dialling: false,
                turn: 0,
            });
        }

        // Who became a fellow, or is none any more, comes back as what it is now.
        let changed: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(peer, one)| self.shared.fellow(peer) != one.operator)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in changed {
            self.disconnect(peer);
        }
        self.dial_fellows(now);
    }

    /// Dials fellows that are not connected and whose time has come.
    pub(super) fn dial_fellows(&mut self, now: Instant) {
        let members = self.shared.members();
        let redial = self.shared.config.redial;
        let connected: HashSet<Address> = self.peers.values().filter_map(|one| one.operator).collect();
        let mut dials = Vec::new();
        let mut lost = Vec::new();
        for (operator, fellow) in &mut self.directory.fellows {
            if fellow.dialling || fellow.next > now || connected.contains(operator) {
                continue;
            }
            if fellow
                .peer
                .is_some_and(|peer| self.swarm.behaviour().door.is_banned(&peer))
            {
                continue;
            }
            fellow.next = now + redial.saturating_mul(1 << fellow.failures.min(DOUBLINGS));
            let registered = members.addresses_of(*operator).iter().filter_map(dialable);
            let mut addresses: Vec<Multiaddr> = registered.chain(fellow.found.iter().cloned()).collect();
            addresses.dedup();
            if addresses.is_empty() || fellow.failures > 0 {
                lost.push(*operator);
            }
            let turn = fellow.turn.checked_rem(addresses.len()).unwrap_or(0);
            fellow.turn = turn.wrapping_add(1);
            let options = match (fellow.peer, addresses.get(turn)) {
                (_, None) => continue,
                (Some(peer), _) => DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(addresses)
                    // Two that dial each other from their listening ports would meet in one connection.
                    .allocate_new_port()
                    .build(),
                (None, Some(address)) => DialOpts::unknown_peer_id()
                    .address(address.clone())
                    .allocate_new_port()
                    .build(),
            };
            fellow.dialling = true;
            dials.push((*operator, options));
        }
        for (operator, options) in dials {
            let id = options.connection_id();
            self.swarm.behaviour_mut().door.expect(id, operator);
            self.dials.insert(id, Dial::Fellow(operator));
            if let Err(error) = self.swarm.dial(options) {
                self.on_dial_failed(id, error);
            }
        }
        if !connected.is_empty() {
            for operator in lost {
                self.swarm.behaviour_mut().kad.get_record(record_key(operator));
            }
            self.announce(now);
        }
        if connected.len() < self.directory.fellows.len() {
            self.dial_bootstrap(now);
        }
    }

    /// Dials the configured peers, as long as fellows are missing.
    fn dial_bootstrap(&mut self, now: Instant) {
        if self.directory.bootstrap.is_some_and(|next| next > now) {
            return;
        }
        self.directory.bootstrap = Some(now + self.shared.config.redial.saturating_mul(1 << DOUBLINGS));
        for address in self.shared.config.bootstrap.clone() {
            let known = dialable(&address);
            if self
                .peers
                .values()
                .any(|one| one.connections.values().any(|remote| dialable(remote) == known))
            {
                continue;
            }
            let options: DialOpts = DialOpts::from(address);
            let id = options.connection_id();
            self.swarm.behaviour_mut().door.want(id);
            self.dials.insert(id, Dial::Bootstrap);
            if let Err(error) = self.swarm.dial(options) {
                self.on_dial_failed(id, error);
            }
        }
    }

    pub(super) fn dial_for(&mut self, address: Multiaddr, reply: oneshot::Sender<Result<PeerId, Error>>) {
        let options: DialOpts = DialOpts::from(address.clone());
        let id = options.connection_id();
        self.swarm.behaviour_mut().door.want(id);
        self.dials.insert(id, Dial::Asked(address, reply));
        if let Err(error) = self.swarm.dial(options) {
            self.on_dial_failed(id, error);
        }
    }

    /// A peer said where it listens. Only what fits its connection is believed: the same IP address.
    pub(super) fn on_identified(&mut self, peer: PeerId, listening: &[Multiaddr]) {
        let Some(one) = self.peers.get(&peer) else { return };
        let Some(operator) = one.operator else { return };
        let remotes: Vec<Multiaddr> = one.connections.values().cloned().collect();
        let plausible = listening
            .iter()
            .filter_map(dialable)
            .filter(|address| remotes.iter().any(|remote| ip(remote) == ip(address)))
            .take(FOUND);
        let mut news = false;
        for address in plausible {
            self.directory.learn(operator, address.clone());
            self.swarm.behaviour_mut().kad.add_address(&peer, address);
            news = true;
        }
        if news {
            // Who else is there? Fails only if nobody is known.
            let _ = self.swarm.behaviour_mut().kad.bootstrap();
            self.directory.announced = None;
        }
    }

    /// Puts this node's addresses, signed, where other fellows look for them.
    fn announce(&mut self, now: Instant) {
        if self
            .directory
            .announced
            .is_some_and(|at| now.saturating_duration_since(at) < ANNOUNCE)
        {
            return;
        }
        self.directory.announced = Some(now);
        let config = &self.shared.config;
        let addresses: Vec<Multiaddr> = if config.external.is_empty() {
            self.swarm.listeners().filter_map(dialable).take(FOUND).collect()
        } else {
            config.external.iter().filter_map(dialable).take(FOUND).collect()
        };
        if addresses.is_empty() {
            return;
        }
        let Ok(signed) = PeerRecord::new(&self.shared.identity.keypair, addresses) else {
            return;
        };
        let value = signed.into_signed_envelope().into_protobuf_encoding();
        let record = kad::Record::new(record_key(self.shared.identity.address()), value);
        if let Err(error) = self.swarm.behaviour_mut().kad.put_record(record, kad::Quorum::One) {
            tracing::debug!(%error, "this node's addresses are not announced");
        }
    }

    /// Somebody wants a record kept: kept if it is a fellow's, and the fellow signed it.
    pub(super) fn on_kad_request(&mut self, request: kad::InboundRequest) {
        let kad::InboundRequest::PutRecord {
            record: Some(record), ..
        } = request
        else {
            return;
        };
        let own = self.shared.identity.address();
        let Some((operator, addresses)) = verified(&record) else {
            return;
        };
        if operator != own && !self.shared.members.borrow().are_fellows(own, operator) {
            return;
        }
        if operator != own {
            self.found(operator, addresses);
        }
        if let Err(error) = self.swarm.behaviour_mut().kad.store_mut().put(record) {
            tracing::debug!(%error, "a record is not kept");
        }
    }

    pub(super) fn on_kad_result(&mut self, result: kad::QueryResult) {
        if let kad::QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))) = result
            && let Some((operator, addresses)) = verified(&found.record)
        {
            self.found(operator, addresses);
        }
    }

    fn found(&mut self, operator: Address, addresses: Vec<Multiaddr>) {
        for address in addresses {
            if self.directory.learn(operator, address) {
                self.count(Count::Found);
                if let Some(fellow) = self.directory.fellows.get_mut(&operator) {
                    fellow.next = Instant::now();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ip_address_and_a_port_are_dialled() {
        let dial = |text: &str| dialable(&text.parse().expect("a multiaddress")).map(|address| address.to_string());
        let peer = PeerId::random();
        assert_eq!(
            dial("/ip4/10.0.0.1/tcp/9900").as_deref(),
            Some("/ip4/10.0.0.1/tcp/9900")
        );
        assert_eq!(
            dial(&format!("/ip4/10.0.0.1/tcp/9900/p2p/{peer}")).as_deref(),
            Some("/ip4/10.0.0.1/tcp/9900")
        );
        assert_eq!(dial("/ip6/::1/tcp/1").as_deref(), Some("/ip6/::1/tcp/1"));
        for wrong in [
            "/ip4/10.0.0.1/tcp/0".to_owned(),
            "/ip4/10.0.0.1/udp/9900/quic-v1".to_owned(),
            "/dns4/example.org/tcp/9900".to_owned(),
            format!("/ip4/10.0.0.1/tcp/9900/p2p/{peer}/p2p-circuit"),
            "/memory/1".to_owned(),
        ] {
            assert_eq!(dial(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_record_counts_only_under_its_signers_key() {
        let identity = crate::Identity::new([7; 32]).expect("a secret");
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/9900".parse().expect("a multiaddress");
        let signed = PeerRecord::new(&identity.keypair, vec![address.clone()]).expect("a signature");
        let value = signed.into_signed_envelope().into_protobuf_encoding();
        let record = kad::Record::new(record_key(identity.address()), value.clone());
        assert_eq!(verified(&record), Some((identity.address(), vec![address])));

        let stolen = kad::Record::new(record_key(Address::repeat_byte(1)), value.clone());
        assert_eq!(verified(&stolen), None);
        for at in 0..value.len() {
            let mut bent = value.clone();
            bent[at] ^= 1;
            let bent = kad::Record::new(record_key(identity.address()), bent);
            if let Some((operator, addresses)) = verified(&bent) {
                // Bits that protobuf ignores change nothing.
                assert_eq!(Some((operator, addresses)), verified(&record), "byte {at}");
            }
        }
    }
}
