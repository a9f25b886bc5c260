//! The protocols a connection carries, and who gets which.

mod codec;
mod door;
mod gate;
mod topics;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use libp2p::{
    StreamProtocol, gossipsub, identify, kad, ping,
    request_response::{self, ProtocolSupport},
    swarm::NetworkBehaviour,
};

use crate::{Error, handle::Shared};

pub(crate) use self::{
    codec::Codec,
    door::{Door, DoorEvent, Refusal},
    gate::Gate,
    topics::{OwnTopics, TopicNames, topic},
};

/// One-way messages between fellows.
pub(crate) const DIRECT: StreamProtocol = StreamProtocol::new("/surety/direct/1");
const REQUEST: StreamProtocol = StreamProtocol::new("/surety/request/1");
const KAD: StreamProtocol = StreamProtocol::new("/surety/kad/1");
const IDENTIFY: &str = "/surety/1";

pub(crate) type Gossip = gossipsub::Behaviour<OwnTopics, gossipsub::MaxCountSubscriptionFilter<TopicNames>>;

/// The door first: whom it refuses, the others never see.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) door: Door,
    pub(crate) ping: ping::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) requests: request_response::Behaviour<Codec>,
    pub(crate) gossip: Gate<Gossip>,
    pub(crate) kad: Gate<kad::Behaviour<kad::store::MemoryStore>>,
}

impl Behaviour {
    pub(crate) fn new(shared: &Arc<Shared>, own: &OwnTopics) -> Result<Self, Error> {
        let config = &shared.config;
        let key = &shared.identity.keypair;
        let peer = shared.identity.peer();

        let requests = request_response::Behaviour::with_codec(
            Codec { shared: shared.clone() },
            [(REQUEST, ProtocolSupport::Full)],
            request_response::Config::default()
                .with_request_timeout(config.request_timeout)
                .with_max_concurrent_streams(config.max_requests_per_peer),
        );

        let identify = identify::Behaviour::new(
            identify::Config::new(IDENTIFY.into(), key.public())
                .with_agent_version(concat!("surety/", env!("CARGO_PKG_VERSION")).into())
                .with_hide_listen_addrs(!config.external.is_empty())
                // The cache would hand addresses that peers claim for themselves to every dial.
                .with_cache_size(0),
        );

        let ping = ping::Behaviour::new(ping::Config::new().with_interval(config.ping).with_timeout(config.ping));

        let store = kad::store::MemoryStoreConfig {
            max_records: MAX_RECORDS,
            max_value_bytes: MAX_RECORD,
            max_provided_keys: 0,
            max_providers_per_key: 0,
        };
        let store = kad::store::MemoryStore::with_config(peer, store);
        let mut kad_config = kad::Config::new(KAD);
        kad_config
            .set_query_timeout(config.handshake)
            .set_record_filtering(kad::StoreInserts::FilterBoth)
            .set_kbucket_inserts(kad::BucketInserts::Manual)
            .set_record_ttl(Some(RECORD_TTL))
            .set_provider_publication_interval(None)
            .set_publication_interval(Some(RECORD_TTL / 4))
            .set_replication_interval(Some(RECORD_TTL / 8))
            .set_max_packet_size(MAX_KAD_PACKET)
            .set_replication_factor(NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN));
        let mut kad = kad::Behaviour::with_config(peer, store, kad_config);
        kad.set_mode(Some(kad::Mode::Server));

        Ok(Self {
            door: Door::new(shared.clone()),
            ping,
            identify,
            requests,
            gossip: Gate::new(gossip(shared, own)?, shared.clone()),
            kad: Gate::new(kad, shared.clone()),
        })
    }
}

/// Records of addresses kept for others.
const MAX_RECORDS: usize = 1_024;
/// Size of one: a signed envelope with a few addresses.
const MAX_RECORD: usize = 2_048;
/// Larger than any answer with twenty peers.
const MAX_KAD_PACKET: usize = 32 << 10;
/// How long a record of somebody's addresses is kept.
const RECORD_TTL: Duration = Duration::from_secs(3_600);
/// Topics one peer may subscribe to.
const MAX_TOPICS: usize = 256;
/// Header of a signed message: signature, author, topic, sequence number, and protobuf around them.
const GOSSIP_HEADER: usize = 512;

fn gossip(shared: &Arc<Shared>, own: &OwnTopics) -> Result<Gossip, Error> {
    let config = &shared.config;
    let wrong = |error: &dyn std::fmt::Display| Error::Config(error.to_string());
    let mesh = config.mesh.max(2);
    let settings = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Strict)
        // Nothing is passed on before its author was found to be a member.
        .validate_messages()
        .max_transmit_size(config.max_gossip.saturating_add(GOSSIP_HEADER))
        .max_messages_per_rpc(Some(256))
        .flood_publish(true)
        .mesh_n(mesh)
        .mesh_n_low(mesh.div_ceil(2))
        .mesh_n_high(mesh.saturating_mul(2))
        .mesh_outbound_min(mesh.div_ceil(2).saturating_sub(1))
        .heartbeat_interval(config.heartbeat)
        .heartbeat_initial_delay(config.heartbeat)
        .duplicate_cache_time(Duration::from_secs(30))
        .connection_handler_queue_len(config.gossip_queue)
        .publish_queue_duration(config.write_timeout)
        .forward_queue_duration(config.heartbeat)
        // A member that restarts subscribes again at once.
        .prune_backoff(Duration::from_secs(5))
        .unsubscribe_backoff(2)
        .build()
        .map_err(|error| wrong(&error))?;
    let filter = gossipsub::MaxCountSubscriptionFilter {
        filter: TopicNames,
        max_subscribed_topics: MAX_TOPICS,
        max_subscriptions_per_request: MAX_TOPICS,
    };
    let author = gossipsub::MessageAuthenticity::Signed(shared.identity.keypair.clone());
    let mut gossip = Gossip::new_with_subscription_filter_and_transform(author, settings, filter, own.clone())
        .map_err(|error| wrong(&error))?;
    let params = gossipsub::PeerScoreParams {
        // The application's score is minus what the peer's misbehaviour weighs.
        app_specific_weight: 1.0,
        // Several operators may share a machine, and tests do.
        ip_colocation_factor_weight: 0.0,
        retain_score: config.forgiveness,
        ..Default::default()
    };
    gossip
        .with_peer_score(params, gossipsub::PeerScoreThresholds::default())
        .map_err(|error| wrong(&error))?;
    Ok(gossip)
}

/// How members are scored on a topic: for forged messages only. What a quiet topic lacks is nobody's fault.
pub(crate) fn topic_score() -> gossipsub::TopicScoreParams {
    gossipsub::TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: 0.5,
        ..Default::default()
    }
}
