//! Events: from a connector's emission to a certificate, and to the flows that wait for it.

use std::{collections::HashSet, sync::Arc};

use alloy::primitives::{Address, B256, keccak256};
use surety_connector::{
    host::{Emission, Refusal},
    wire::refusal::Code,
};
use surety_primitives::{
    certificate::{Proven, Quorum},
    set::Set,
    value::Value,
    vote::{Vote, VoteKind, VoteTree, event_key, run_id},
};
use surety_protocol::network::{
    EventConsensus, Roster, Seal, Ticket, event,
    flow::{self, Start},
    message::Sighting,
};
use tokio::sync::oneshot;

use super::{Completion, Driver, EMISSIONS, Emitted, RECENT, RecentEvent, Target, Until, now_ms};
use crate::network::{
    relay::Wish,
    store::{EventCertificates, EventVotes, Group, Observation},
};

/// Certified events remembered in memory; older ones are on disk.
const KNOWN: usize = 65_536;
/// Observations read back after a restart.
const RESTORED: usize = 131_072;

/// What waits for a commit: emissions, and votes by service and ticket.
#[derive(Debug)]
pub(crate) struct Committed {
    emitted: Vec<Emitted>,
    tickets: Vec<(Address, Ticket)>,
}

impl Driver {
    /// A connector saw something: it is answered when that is on disk.
    pub(super) fn emit(&mut self, emission: Emission, reply: oneshot::Sender<Result<B256, Refusal>>) {
        let refuse = |reply: oneshot::Sender<_>, code, message: String| {
            let _connector_left = reply.send(Err(Refusal::new(code, message)));
        };
        let Some(service) = self.services.get(&emission.service) else {
            return refuse(reply, Code::Unknown, format!("{} is not served here", emission.service));
        };
        let key = event_key(emission.service, &emission.event, emission.id_hash);
        if let Some(value) = service.arriving.get(&key) {
            let (code, message) = if *value == emission.data_hash {
                (Code::Busy, format!("event {key} is being recorded"))
            } else {
                (
                    Code::Conflict,
                    format!("event {key} has data {value}, found {}", emission.data_hash),
                )
            };
            return refuse(reply, code, message);
        }
        let certifying = service.certified_keys.contains(&key);
        let known = match service.pending.get(&key) {
            Some(observation) => Some(observation.value),
            None => match self.store.certified(emission.service, VoteKind::Event, key) {
                Ok(found) => found
                    .and_then(|bytes| Proven::from_rlp(&bytes).ok())
                    .map(|p| p.vote.value),
                Err(error) => return refuse(reply, Code::Internal, error.to_string()),
            },
        };
        if let Some(known) = known {
            let answer = if known == emission.data_hash {
                Ok(key)
            } else {
                Err(Refusal::new(
                    Code::Conflict,
                    format!("event {key} has data {known}, found {}", emission.data_hash),
                ))
            };
            let _connector_left = reply.send(answer);
            return;
        }
        if certifying {
            // Certified a moment ago; what is not on disk is not acknowledged.
            return refuse(reply, Code::Busy, format!("event {key} is being recorded"));
        }
        let waiting = service.pending.len().saturating_add(self.emissions.len());
        if waiting >= self.max_pending {
            return refuse(
                reply,
                Code::Busy,
                format!("{waiting} events wait for their certificates"),
            );
        }
        let window = service.network.events.get(&emission.event).map_or(60, |e| e.window);
        let data = match emission.data.encode() {
            Ok(data) => data,
            Err(error) => return refuse(reply, Code::Invalid, error.to_string()),
        };
        let observation = Observation {
            service: emission.service,
            name: emission.event,
            id: emission.id_hash,
            key,
            value: emission.data_hash,
            until: now_ms().saturating_add(u64::from(window).saturating_mul(1_000)),
        };
        if let Some(service) = self.services.get_mut(&emission.service) {
            service.arriving.insert(key, emission.data_hash);
        }
        self.emissions.push(Emitted {
            observation,
            data,
            reply: Some(reply),
        });
        if self.emissions.len() >= EMISSIONS {
            self.commit();
        }
    }

    /// What the node saw itself, on the chain.
    pub(super) fn see(&mut self, observation: Observation, data: Vec<u8>) {
        let Some(service) = self.services.get_mut(&observation.service) else {
            return;
        };
        let known = service.pending.contains_key(&observation.key)
            || service.arriving.contains_key(&observation.key)
            || service.certified_keys.contains(&observation.key);
        if !known {
            service.arriving.insert(observation.key, observation.value);
            self.emissions.push(Emitted {
                observation,
                data,
                reply: None,
            });
        }
    }

    /// Writes what waits, unless the write before is still under way: then it gathers for the next one, and all of it
    /// waits for the disk once.
    pub(super) fn commit(&mut self) {
        let nothing = self.emissions.is_empty() && self.votes.is_empty() && self.certificates.is_empty();
        if self.committing || nothing {
            return;
        }
        self.committing = true;
        let rest = self.emissions.split_off(self.emissions.len().min(EMISSIONS));
        let emitted = std::mem::replace(&mut self.emissions, rest);
        let (tickets, votes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.votes)
            .into_iter()
            .map(|(ticket, votes)| ((votes.service, ticket), votes))
            .unzip();
        let group = Group {
            observed: emitted
                .iter()
                .map(|e| (e.observation.clone(), e.data.clone()))
                .collect(),
            votes,
            certified: std::mem::take(&mut self.certificates),
        };
        let store = self.store.clone();
        self.write(move || {
            let result = store.commit_group(&group);
            Completion::Committed(Committed { emitted, tickets }, result)
        });
    }

    /// What was waited for goes on.
    pub(super) async fn committed(
        &mut self,
        Committed { emitted, tickets }: Committed,
        result: Result<Vec<Vec<Vote>>, crate::store::StoreError>,
        current: bool,
    ) {
        self.committing = false;
        match &result {
            // The machines that waited for these are gone.
            Ok(_) if !current => {}
            Ok(refused) => {
                for ((service, ticket), refused) in tickets.into_iter().zip(refused) {
                    let refused = refused
                        .iter()
                        .map(|vote| Sighting {
                            key: vote.subject,
                            value: vote.value,
                        })
                        .collect();
                    self.feed_events(service, event::Input::Stored { ticket, refused })
                        .await;
                }
            }
            Err(error) => {
                // Nothing is signed that is not on disk: this node is silent until it can write again.
                tracing::error!(%error, "observations, votes or certificates could not be recorded; no vote is cast");
            }
        }
        for emitted in emitted {
            let Emitted { observation, reply, .. } = emitted;
            if let Some(service) = self.services.get_mut(&observation.service) {
                service.arriving.remove(&observation.key);
            }
            let answer = match &result {
                Ok(_) => Ok(observation.key),
                Err(error) => Err(Refusal::new(Code::Internal, error.to_string())),
            };
            let taken = answer.is_ok();
            if let Some(reply) = reply {
                let _connector_left = reply.send(answer);
            }
            if taken {
                self.observe(observation).await;
            }
        }
        self.commit();
    }

    /// Feeds what is on disk to the machine.
    async fn observe(&mut self, observation: Observation) {
        let (service, key, value, until) = (
            observation.service,
            observation.key,
            observation.value,
            observation.until,
        );
        let Some(found) = self.services.get_mut(&service) else {
            return;
        };
        if found.pending.contains_key(&key) {
            return;
        }
        // The certificate was faster than this node's own connector: the data is kept, nothing is left to do.
        if found.certified_keys.contains(&key) {
            let store = self.store.clone();
            self.write(move || {
                if let Err(error) = store.keep_observed(&[key]).and_then(|()| store.forget_observed(&[key])) {
                    tracing::warn!(%error, "an observation stays");
                }
                Completion::Written
            });
            return;
        }
        found.pending.insert(key, observation);
        self.feed_events(service, event::Input::Observed { key, value, until })
            .await;
    }

    /// A new set: the machine changes over to it, or comes into being.
    pub(super) async fn set_fixed(&mut self, set: Arc<Set>, quorum: Quorum) {
        let service = set.service();
        let roster = Arc::new(Roster::of(&set, self.domain, quorum));
        let me = self.me;
        let Some(found) = self.services.get_mut(&service) else {
            return;
        };
        if quorum.basis_points() < found.network.quorum {
            tracing::error!(
                %service,
                set = set.number(),
                quorum = quorum.basis_points(),
                agreed = found.network.quorum,
                "the set's quorum is below the one in the manifest this operator agreed to: no part in it"
            );
            return;
        }
        tracing::info!(
            %service,
            set = set.number(),
            members = set.members().len(),
            member = set.index_of(me).is_some(),
            "a set is in force"
        );
        if found.events.is_some() {
            return self.feed_events(service, event::Input::SetChanged(roster)).await;
        }
        let window = found
            .network
            .events
            .values()
            .map(|e| u64::from(e.window))
            .max()
            .unwrap_or(60);
        let config = event::Config::new(Some(me), window.saturating_mul(1_000), set.members().len());
        found.events = Some(EventConsensus::new(config, roster, now_ms()));
        self.restore(service, set.number()).await;
    }

    /// What this node knew of a service before it was started.
    async fn restore(&mut self, service: Address, set: u64) {
        let (observed, votes) = match (self.store.observed(RESTORED), self.store.votes(service, set)) {
            (Ok(observed), Ok(votes)) => (observed, votes),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "what was observed before cannot be read");
                return;
            }
        };
        let now = now_ms();
        // What connectors told before there was a machine is on disk as well, and fed from there.
        if let Some(found) = self.services.get_mut(&service) {
            found.pending.clear();
        }
        let (fresh, old): (Vec<_>, Vec<_>) = observed
            .into_iter()
            .filter(|observation| observation.service == service)
            .partition(|observation| observation.until > now);
        let old: Vec<B256> = old.into_iter().map(|observation| observation.key).collect();
        if let Err(error) = self.store.forget_observed(&old) {
            tracing::warn!(%error, "old observations stay");
        }
        let waiting: HashSet<B256> = fresh.iter().map(|observation| observation.key).collect();
        let votes = votes
            .into_iter()
            .filter(|vote| vote.kind == VoteKind::Event && waiting.contains(&vote.subject))
            .map(|vote| Sighting {
                key: vote.subject,
                value: vote.value,
            })
            .collect();
        self.feed_events(service, event::Input::Restarted { votes }).await;
        for observation in fresh {
            self.observe(observation).await;
        }
    }

    /// One input, and what follows from it.
    pub(super) async fn feed_events(&mut self, service: Address, input: event::Input) {
        let Some(machine) = self.services.get_mut(&service).and_then(|s| s.events.as_mut()) else {
            return;
        };
        let mut dropped = Vec::new();
        for effect in machine.step(now_ms(), input) {
            match effect {
                event::Effect::Send { to, message } => {
                    if let Err(error) = self.peers.send(to, service, message.encode()) {
                        tracing::debug!(%to, %error, "not sent");
                    }
                }
                event::Effect::Broadcast { message } => self.broadcast(&message).await,
                event::Effect::Store { ticket, set, votes } => {
                    self.votes.push((ticket, EventVotes { service, set, votes }));
                }
                event::Effect::Compute { ticket, work } => {
                    self.compute(Target::Events(service), service, ticket, work);
                }
                event::Effect::Certified { seal, votes, fresh } => self.certified(service, seal, votes, fresh),
                event::Effect::Expired { key } => {
                    tracing::info!(%service, %key, "an event was not certified in its window");
                    dropped.push(key);
                }
                event::Effect::Refused { key, reason } => {
                    tracing::info!(%service, %key, ?reason, "an observation does not count");
                    dropped.push(key);
                }
                event::Effect::Evidence(evidence) => self.convict(service, &evidence),
                event::Effect::Misbehaved { peer, what } => self.accuse_operator(peer, what).await,
            }
        }
        if dropped.is_empty() {
            return;
        }
        if let Some(found) = self.services.get_mut(&service) {
            for key in &dropped {
                found.pending.remove(key);
            }
        }
        let store = self.store.clone();
        self.write(move || {
            if let Err(error) = store.forget_observed(&dropped) {
                tracing::warn!(%error, "observations stay");
            }
            Completion::Written
        });
    }

    /// Keeps the certificate with the data, and starts what waits for it.
    fn certified(&mut self, service: Address, seal: Seal, votes: Arc<[Sighting]>, fresh: Vec<usize>) {
        let certificate = match seal.to_certificate() {
            Ok(certificate) => certificate,
            Err(error) => {
                tracing::error!(%error, "a verified certificate that is no point");
                return;
            }
        };
        let all: Vec<_> = votes.iter().map(Sighting::vote).collect();
        let Ok(tree) = VoteTree::new(&all) else {
            return;
        };
        let mut rows = Vec::with_capacity(fresh.len());
        let mut starts = Vec::new();
        {
            let Some(found) = self.services.get_mut(&service) else {
                return;
            };
            let waits = self
                .flows
                .values()
                .any(|f| f.start().is_some_and(|s| s.service() == service));
            for index in fresh {
                let (Some(vote), Some(proof)) = (all.get(index), tree.proof(index)) else {
                    continue;
                };
                let proven = Proven {
                    certificate,
                    vote: *vote,
                    proof,
                };
                found.certified = found.certified.saturating_add(1);
                if found.certified_keys.insert(vote.subject) {
                    found.certified_order.push_back(vote.subject);
                }
                if found.certified_order.len() > KNOWN
                    && let Some(old) = found.certified_order.pop_front()
                {
                    found.certified_keys.remove(&old);
                }
                let observation = found.pending.remove(&vote.subject);
                found.recent.push_back(RecentEvent {
                    key: vote.subject,
                    name: observation.as_ref().map(|o| o.name.clone()),
                    value: vote.value,
                    set: seal.set,
                    time: now_ms(),
                });
                if found.recent.len() > RECENT {
                    found.recent.pop_front();
                }
                rows.push((*vote, proven.to_rlp()));
                if let Some(observation) = observation
                    && observation.value == vote.value
                    && waits
                {
                    starts.push((observation, proven));
                }
            }
        }
        for (observation, proven) in starts {
            self.start_flows(&observation, &proven);
        }
        // These are seen again after a restart, and the runs asked for again, until the chain has them.
        let unstarted = rows
            .iter()
            .map(|(vote, _)| vote.subject)
            .filter(|key| self.unstarted.contains_key(key))
            .collect();
        self.certificates.push(EventCertificates {
            service,
            rows,
            unstarted,
        });
    }

    /// Starts a run of every flow that this event makes do something.
    fn start_flows(&mut self, observation: &Observation, proven: &Proven) {
        let waiting: Vec<_> = self
            .flows
            .iter()
            .filter(|(id, flow)| {
                self.ledger.is_active(**id)
                    && flow.start().is_some_and(|start| {
                        matches!(start, Start::Event { .. } | Start::Result { .. })
                            && start.service() == observation.service
                            && start.event_name() == observation.name
                    })
            })
            .map(|(id, flow)| (*id, flow.clone()))
            .collect();
        if waiting.is_empty() {
            return;
        }
        let data = self.store.observed_data(observation.key).unwrap_or_else(|error| {
            tracing::error!(%error, "an event's data cannot be read");
            None
        });
        let Some(data) = data.and_then(|bytes| Value::decode(&bytes).ok()) else {
            return;
        };
        for (id, flow) in waiting {
            let run = run_id(id, observation.key);
            if self.ledger.runs.contains_key(&run) {
                continue;
            }
            // Filters that let nothing through make the run a waste of the application's money.
            let mut trial = flow::Run::new(flow);
            let effects = trial.step(flow::Input::Started { data: data.clone() });
            if !effects.iter().any(|e| matches!(e, flow::Effect::RunTask { .. })) {
                self.log_flow(id, "filtered", &serde_json::json!({"event": observation.key}));
                continue;
            }
            self.log_flow(
                id,
                "certified",
                &serde_json::json!({"event": observation.key, "run": run}),
            );
            let wish = Wish::Start {
                flow: id,
                id_hash: observation.id,
                certified: Box::new(proven.into()),
            };
            let wanted = keccak256([b"start".as_slice(), run.as_slice()].concat());
            self.intend(wanted, wish, observation.service, Until::Started(run));
            // Bounded: of more, the start is only wished for.
            if self.unstarted.len() < KNOWN {
                self.unstarted.entry(observation.key).or_default().insert(run);
            }
        }
    }

    /// The chain has a run: the observation it began with is not needed any more, unless another run is to.
    pub(super) fn started(&mut self, run: B256) {
        let Some(key) = self.ledger.runs.get(&run).map(|run| run.key) else {
            return;
        };
        let Some(runs) = self.unstarted.get_mut(&key) else {
            return;
        };
        runs.remove(&run);
        if runs.is_empty() {
            self.unstarted.remove(&key);
            let store = self.store.clone();
            self.write(move || {
                if let Err(error) = store.forget_observed(&[key]) {
                    tracing::warn!(%error, "an observation stays");
                }
                Completion::Written
            });
        }
    }
}
