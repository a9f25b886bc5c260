//! Requests and replies.

use std::{net::IpAddr, time::Instant};

use libp2p::{
    PeerId,
    request_response::{self, OutboundFailure, ResponseChannel},
};
use tokio::{sync::oneshot, time::timeout};

use super::{Answer, Task};
use crate::{Count, Error, Event, Misbehaviour, Reply, Request, bucket::Bucket, direct::permits};

type Asked = oneshot::Sender<Result<Vec<u8>, Error>>;

impl Task {
    pub(super) fn ask(&mut self, peer: PeerId, data: Vec<u8>, reply: Asked) {
        // Who gave up waiting makes room.
        self.asked.retain(|_, reply| !reply.is_closed());
        let limit = self.shared.config.max_requests;
        let answer = if !self.peers.contains_key(&peer) {
            Err(Error::NoSuchPeer(peer))
        } else if self.asked.len() >= limit {
            Err(Error::TooManyRequests { limit })
        } else {
            Ok(())
        };
        if let Err(error) = answer {
            // The asker's deadline passed.
            let _ = reply.send(Err(error));
            return;
        }
        self.count(Count::RequestsMade);
        let id = self.swarm.behaviour_mut().requests.send_request(&peer, data);
        self.asked.insert(id, reply);
    }

    pub(super) fn on_requests(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                request_response::Message::Request { request, channel, .. } => self.on_request(peer, request, channel),
                request_response::Message::Response { request_id, response } => {
                    if let Some(reply) = self.asked.remove(&request_id) {
                        // The asker's deadline passed.
                        let _ = reply.send(Ok(response));
                    }
                }
            },
            request_response::Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                self.count(Count::RequestsFailed);
                let Some(reply) = self.asked.remove(&request_id) else {
                    return;
                };
                let error = match error {
                    OutboundFailure::Timeout => Error::Timeout {
                        peer,
                        deadline: self.shared.config.request_timeout,
                    },
                    other => Error::Refused {
                        peer,
                        reason: other.to_string(),
                    },
                };
                // The asker's deadline passed.
                let _ = reply.send(Err(error));
            }
            // The asker left, or the node did not reply: either is known elsewhere.
            request_response::Event::InboundFailure { .. } | request_response::Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(&mut self, peer: PeerId, data: Vec<u8>, channel: ResponseChannel<Vec<u8>>) {
        if !self.may_ask(peer, data.len()) {
            // Dropping the channel tells the asker.
            self.count(Count::RequestsRefused);
            self.misbehaved(peer, Misbehaviour::Flood);
            return;
        }
        let config = &self.shared.config;
        let Some(one) = self.peers.get_mut(&peer) else { return };
        let permit = self.budget.clone().try_acquire_many_owned(permits(data.len())).ok();
        if self.answers.len() >= config.max_requests || one.waiting >= config.max_requests_per_peer || permit.is_none()
        {
            self.shared.counters.add(Count::RequestsRefused);
            return;
        }
        let (sender, answer) = oneshot::channel();
        let reply = Reply {
            sender,
            limit: config.max_message,
        };
        let request = Request {
            from: one.operator,
            peer,
            data,
            reply,
        };
        if self.events.try_send((Event::Request(request), permit)).is_err() {
            self.shared.counters.add(Count::RequestsRefused);
            return;
        }
        one.waiting = one.waiting.saturating_add(1);
        self.shared.counters.add(Count::RequestsServed);
        let patience = config.request_timeout;
        self.answers.push(Box::pin(async move {
            let data = timeout(patience, answer).await.ok().and_then(Result::ok);
            Answer { peer, channel, data }
        }));
    }

    /// Takes a request off the rates that bind the peer.
    fn may_ask(&mut self, peer: PeerId, size: usize) -> bool {
        let now = Instant::now();
        let Some(one) = self.peers.get_mut(&peer) else {
            return false;
        };
        if one.operator.is_some() {
            return one.requests.take(size, now);
        }
        let rate = self.shared.config.stranger_rate;
        let unknown = IpAddr::from([0u8; 4]);
        let bucket = self
            .strangers
            .entry(one.ip.unwrap_or(unknown))
            .or_insert_with(|| Bucket::new(rate, now));
        one.requests.take(size, now) && bucket.take(size, now) && self.all_strangers.take(size, now)
    }

    pub(super) fn on_answer(&mut self, answer: Answer) {
        let Answer { peer, channel, data } = answer;
        if let Some(one) = self.peers.get_mut(&peer) {
            one.waiting = one.waiting.saturating_sub(1);
        }
        if let Some(data) = data {
            // The asker is gone.
            let _ = self.swarm.behaviour_mut().requests.send_response(channel, data);
        }
    }
}
