//! One topic a service.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use alloy_primitives::Address;
use libp2p::gossipsub::{DataTransform, IdentTopic, Message, RawMessage, TopicHash, TopicSubscriptionFilter};

const PREFIX: &str = "surety/1/";

/// The topic of a service.
pub(crate) fn topic(service: Address) -> IdentTopic {
    // Lower case, without the checksum's capitals: one service, one topic.
    IdentTopic::new(format!("{PREFIX}{service:#x}"))
}

/// Lets peers subscribe to topics of services, whichever: which services this node serves can change while they are
/// connected, and they would not say it again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopicNames;

impl TopicSubscriptionFilter for TopicNames {
    fn can_subscribe(&mut self, topic_hash: &TopicHash) -> bool {
        let Some(service) = topic_hash.as_str().strip_prefix(PREFIX) else {
            return false;
        };
        service
            .parse::<Address>()
            .is_ok_and(|address| topic(address).hash() == *topic_hash)
    }
}

/// The topics of this node's services. As a transform it refuses messages on all others before gossipsub keeps them
/// for those that might ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnTopics(Arc<RwLock<HashMap<TopicHash, Address>>>);

impl OwnTopics {
    pub(crate) fn service(&self, topic: &TopicHash) -> Option<Address> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(topic)
            .copied()
    }

    /// Sets the services, and returns those that came and those that went.
    pub(crate) fn set(&self, services: &HashSet<Address>) -> (Vec<Address>, Vec<Address>) {
        let mut own = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before: HashSet<Address> = own.values().copied().collect();
        *own = services
            .iter()
            .map(|service| (topic(*service).hash(), *service))
            .collect();
        (
            services.difference(&before).copied().collect(),
            before.difference(services).copied().collect(),
        )
    }
}

impl DataTransform for OwnTopics {
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, std::io::Error> {
        if self.service(&raw.topic).is_none() {
            return Err(std::io::Error::other("the topic is not one of this node's services"));
        }
        Ok(Message {
            source: raw.source,
            data: raw.data,
            sequence_number: raw.sequence_number,
            topic: raw.topic,
        })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, std::io::Error> {
        Ok(data)
    }
}
