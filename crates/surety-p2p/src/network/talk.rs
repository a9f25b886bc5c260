//! Messages on topics.

use std::time::Instant;

use alloy_primitives::Address;
use libp2p::gossipsub::{self, MessageAcceptance, PublishError};

use super::Task;
use crate::{Count, Event, Message, Misbehaviour, Via, address_of, behaviour::topic, bucket::Bucket, direct::permits};

impl Task {
    pub(super) fn publish(&mut self, service: Address, data: Vec<u8>) {
        // Kept while nobody hears; the usual message is handed over without a copy.
        let lonely = self.unheard_by_all(service);
        if lonely {
            self.keep(service, data);
            return;
        }
        match self.swarm.behaviour_mut().gossip.publish(topic(service), data) {
            Ok(_) => self.count(Count::Published),
            // A duplicate cannot be: the sequence number makes every message another one.
            Err(PublishError::NoPeersSubscribedToTopic) => self.count(Count::Unheard),
            Err(error) => {
                tracing::debug!(%service, %error, "not published");
                self.count(Count::PublishDropped);
            }
        }
    }

    fn unheard_by_all(&self, service: Address) -> bool {
        let hash = topic(service).hash();
        !self
            .swarm
            .behaviour()
            .gossip
            .all_peers()
            .any(|(_, topics)| topics.contains(&&hash))
    }

    fn keep(&mut self, service: Address, data: Vec<u8>) {
        self.count(Count::Unheard);
        self.unheard.push_back((service, data));
        while self.unheard.len() > self.shared.config.unheard {
            self.unheard.pop_front();
        }
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                let acceptance = self.on_message(propagation_source, message);
                self.swarm.behaviour_mut().gossip.report_message_validation_result(
                    &message_id,
                    &propagation_source,
                    acceptance,
                );
            }
            gossipsub::Event::Subscribed { topic, .. } => {
                let Some(service) = self.own.service(&topic) else {
                    return;
                };
                let (now, later) = std::mem::take(&mut self.unheard)
                    .into_iter()
                    .partition(|(of, _)| *of == service);
                self.unheard = later;
                let now: std::collections::VecDeque<_> = now;
                for (service, data) in now {
                    self.publish(service, data);
                }
            }
            gossipsub::Event::SlowPeer {
                peer_id,
                failed_messages,
            } => {
                self.shared
                    .counters
                    .add_many(Count::GossipSlow, failed_messages.total() as u64);
                // A burst of this node's own fills queues, and is no fault of the peer. Messages that waited in vain
                // are: it takes nothing, and what is queued for it is let go by cutting it off.
                if failed_messages.timeout > 0 {
                    self.count(Count::CutOff);
                    self.misbehaved(peer_id, Misbehaviour::Slow);
                    self.disconnect(peer_id);
                }
            }
            gossipsub::Event::Unsubscribed { .. } | gossipsub::Event::GossipsubNotSupported { .. } => {}
        }
    }

    fn on_message(&mut self, relay: libp2p::PeerId, message: gossipsub::Message) -> MessageAcceptance {
        // Strict validation gives every message a source, and its signature was checked.
        let (Some(service), Some(author)) = (self.own.service(&message.topic), message.source) else {
            return MessageAcceptance::Ignore;
        };
        let members = self.shared.members();
        let Some(operator) = address_of(&author).filter(|operator| members.is_member(service, *operator)) else {
            self.count(Count::GossipNotMember);
            if author != relay {
                // Whoever passed it on may have seen another block than this node.
                return MessageAcceptance::Ignore;
            }
            self.misbehaved(author, Misbehaviour::NotAMember);
            return MessageAcceptance::Reject;
        };
        let now = Instant::now();
        let rate = self.shared.config.gossip_rate;
        let bucket = self.gossip.entry(operator).or_insert_with(|| Bucket::new(rate, now));
        if message.data.len() > self.shared.config.max_gossip || !bucket.take(message.data.len(), now) {
            self.count(Count::GossipOverRate);
            self.misbehaved(author, Misbehaviour::Flood);
            return MessageAcceptance::Ignore;
        }
        let permit = self
            .budget
            .clone()
            .try_acquire_many_owned(permits(message.data.len()))
            .ok();
        let full = permit.is_none();
        let event = Message {
            from: operator,
            peer: author,
            service,
            data: message.data,
            via: Via::Gossip { relay },
        };
        if full || self.events.try_send((Event::Message(event), permit)).is_err() {
            self.count(Count::GossipDropped);
        } else {
            self.count(Count::GossipAccepted);
        }
        // Others may have room for it.
        MessageAcceptance::Accept
    }
}
