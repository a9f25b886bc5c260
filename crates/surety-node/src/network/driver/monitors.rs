//! Containers (`docs/spec/integrity.md`): what the chain says of deployments, what is measured, what monitors vote.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::{Address, U256, keccak256};
use surety_primitives::{certificate::Quorum, measurement::DeploymentId, selection::order, set::Set, value::Value};
use surety_protocol::network::{
    Message, Roster, Seal, event,
    measure::{Config, Effect, Input, MeasurementConsensus, Misbehaviour, Seen, Statement},
};

use super::{Completion, Driver, Target, Until, now_ms};
use crate::{
    integrity::{
        config::IntegrityConfig,
        ledger::{Deployment, Status},
        watch::{Order, Subject, Watch, Watchers},
    },
    network::relay::Wish,
};

/// Epochs after its end for which a deployment's ballots are still looked at: who signed against the quorum answers.
const AFTERWARDS: u64 = 4;
/// Epochs after it was retired in which drift is recorded, by the contract.
const RETIRING: u64 = 2;

/// Of the integrity part: what is monitored, and by which means.
pub(crate) struct Integrity {
    pub(crate) config: IntegrityConfig,
    /// the contract
    pub(crate) contract: Address,
    pub(crate) watchers: Watchers,
    pub(crate) watched: BTreeMap<U256, Watched>,
}

/// One deployment under way.
pub(crate) struct Watched {
    machine: MeasurementConsensus,
    watch: Watch,
    /// the last measurement, whole
    pub(crate) document: Option<Arc<Value>>,
    /// Unix milliseconds at which that began
    pub(crate) measured_at: u64,
    /// why the host did not answer, if it did not
    pub(crate) unreachable: Option<String>,
    /// rank in the order of deployers, once drawn; `None` inside: not drawn
    rank: Option<Option<usize>>,
    /// the measurement root at deployment, once the chain has it
    baseline: Option<alloy::primitives::B256>,
    /// that it was not as planned before that was told
    noticed: bool,
    deploying: bool,
    /// Unix milliseconds at which this node saw that it was retired
    retired: Option<u64>,
    /// and until when it is measured all the same: what was changed before is seen then
    closing: Option<u64>,
    /// Unix milliseconds after which it is forgotten; set when it is over
    until: Option<u64>,
}

impl Driver {
    /// Everything that is live on the chain and this node monitors is watched.
    pub(super) async fn watch_all(&mut self) {
        let Some(integrity) = &self.integrity else { return };
        let known: Vec<Deployment> = self
            .ledger
            .deployments
            .iter()
            .filter(|d| d.status.is_live() && !integrity.watched.contains_key(&d.id.0))
            .filter(|d| integrity.watchers.serves(d.id.service()))
            .cloned()
            .collect();
        for deployment in known {
            if self.watch(&deployment).await {
                self.tell_chain(&deployment).await;
            }
        }
    }

    async fn watch(&mut self, deployment: &Deployment) -> bool {
        let (id, service, me) = (deployment.id, deployment.id.service(), self.me);
        let findings = match self.store.findings(id.0) {
            Ok(findings) => findings,
            Err(error) => {
                // Without what it found before a restart, it might say that all is well.
                tracing::error!(deployment = %id, %error, "not monitored: what was found there cannot be read");
                return false;
            }
        };
        let (completions, epoch) = (self.completions.clone(), self.epoch);
        let Some(integrity) = &mut self.integrity else {
            return false;
        };
        // One service's owner must not take the others' places by asking for many deployments.
        let most = share(integrity.config.deployments, integrity.config.services.len());
        let of_service = integrity
            .watched
            .keys()
            .filter(|id| DeploymentId(**id).service() == service);
        if of_service.count() >= most {
            tracing::warn!(deployment = %id, most, "not monitored: there are enough of the service");
            return false;
        }
        if deployment.host == me {
            tracing::warn!(deployment = %id, "this node's own operator hosts it and does not monitor it");
            return false;
        }
        let subject = Subject {
            id,
            host: deployment.host,
            baseline: deployment.baseline,
            image: deployment.image,
            specification: deployment.specification,
        };
        let Some((watch, period)) = integrity.watchers.start(subject, completions, epoch) else {
            return false;
        };
        tracing::info!(deployment = %id, %service, host = %deployment.host, "monitoring");
        let config = Config::new(Some(me), integrity.contract, id.0, period);
        integrity.watched.insert(
            id.0,
            Watched {
                machine: MeasurementConsensus::new(config, now_ms()),
                watch,
                document: None,
                measured_at: 0,
                unreachable: None,
                rank: None,
                baseline: deployment.baseline,
                noticed: false,
                deploying: false,
                retired: None,
                closing: None,
                until: None,
            },
        );
        if !findings.is_empty() {
            tracing::warn!(deployment = %id, findings = findings.len(), "drift was found here before");
        }
        self.feed_monitor(id.0, Input::Restarted { findings }).await;
        if let Some((set, quorum)) = self.ledger.newest_set(service) {
            let roster = Arc::new(Roster::of(&set, self.domain, quorum));
            self.feed_monitor(id.0, Input::SetChanged(roster)).await;
        }
        true
    }

    /// Something about a deployment changed on-chain.
    pub(super) async fn deployment_changed(&mut self, id: DeploymentId) {
        let Some(deployment) = self.ledger.deployments.get(id).cloned() else {
            return;
        };
        let watched = self
            .integrity
            .as_ref()
            .is_some_and(|integrity| integrity.watched.contains_key(&id.0));
        if !watched && deployment.status.is_live() {
            return self.watch_all().await;
        }
        self.tell_chain(&deployment).await;
    }

    /// Tells a deployment's machine and task what the chain says.
    async fn tell_chain(&mut self, deployment: &Deployment) {
        let id = deployment.id;
        if let Some(root) = deployment.baseline {
            if let Some(found) = self.watched(id.0) {
                found.baseline = Some(root);
                found.watch.order(Order::Baseline(root));
            }
            let input = Input::Running {
                baseline: root,
                start: deployment.start.saturating_mul(1_000),
                epoch: deployment.epoch_seconds.saturating_mul(1_000),
            };
            self.feed_monitor(id.0, input).await;
            let epoch = deployment.last_epoch;
            self.feed_monitor(id.0, Input::Recorded { epoch }).await;
        }
        if deployment.status == Status::Retiring {
            let epoch = deployment.epoch_seconds.saturating_mul(1_000);
            if let Some(found) = self.watched(id.0)
                && found.closing.is_none()
            {
                tracing::info!(deployment = %id, "retired: monitored for two more epochs");
                let now = now_ms();
                found.retired = Some(now);
                found.closing = Some(now.saturating_add(epoch.saturating_mul(RETIRING)));
            }
        } else if !deployment.status.is_live() {
            self.close(deployment).await;
        }
        if deployment.status == Status::Drifted && !deployment.punished {
            let wish = Wish::PunishHost(id.0);
            let name = keccak256([id.0.to_be_bytes::<32>().as_slice(), b"punish"].concat());
            let monitors = self.monitors(id.service());
            self.intend_among(name, wish, id.service(), Until::HostPunished(id.0), &monitors);
        }
    }

    /// Nothing more is measured; evidence is still looked at for a while.
    async fn close(&mut self, deployment: &Deployment) {
        let id = deployment.id;
        self.feed_monitor(id.0, Input::Ended).await;
        let afterwards = deployment
            .epoch_seconds
            .saturating_mul(AFTERWARDS)
            .saturating_mul(1_000);
        if let Some(found) = self.watched(id.0)
            && found.until.is_none()
        {
            tracing::info!(deployment = %id, status = deployment.status.name(), "no longer monitored");
            found.until = Some(now_ms().saturating_add(afterwards));
        }
    }

    /// A set is in force: its members are those who monitor.
    pub(super) async fn monitors_changed(&mut self, set: &Set, quorum: Quorum) {
        let Some(integrity) = &self.integrity else { return };
        let roster = Arc::new(Roster::of(set, self.domain, quorum));
        let ids: Vec<U256> = integrity.watched.keys().copied().collect();
        for id in ids {
            if DeploymentId(id).service() == set.service() {
                self.feed_monitor(id, Input::SetChanged(roster.clone())).await;
            }
        }
    }

    /// What a new block calls for: a deployment that nobody has made yet, and forgetting those that are over.
    pub(super) async fn head_monitors(&mut self) {
        let Some(integrity) = &mut self.integrity else { return };
        let now = now_ms();
        let over: Vec<U256> = integrity
            .watched
            .extract_if(.., |_, watched| watched.until.is_some_and(|until| until <= now))
            .map(|(id, _)| id)
            .collect();
        let closing: Vec<U256> = integrity
            .watched
            .iter()
            .filter(|(_, watched)| watched.until.is_none() && watched.closing.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        let ids: Vec<U256> = integrity
            .watched
            .iter()
            .filter(|(_, watched)| watched.machine.epoch().is_none() && !watched.deploying)
            .map(|(id, _)| *id)
            .collect();
        if !over.is_empty()
            && let Err(error) = self.store.forget_findings(&over)
        {
            tracing::error!(%error, "findings of what is over are not forgotten");
        }
        for id in closing {
            if let Some(deployment) = self.ledger.deployments.get(DeploymentId(id)).cloned() {
                self.close(&deployment).await;
            }
        }
        for id in ids {
            self.consider_deploying(DeploymentId(id));
        }
    }

    /// The deployer is drawn by the block after the request; the next one is when there is no baseline after an epoch.
    fn consider_deploying(&mut self, id: DeploymentId) {
        let Some(deployment) = self.ledger.deployments.get(id).cloned() else {
            return;
        };
        if deployment.status != Status::Requested {
            return;
        }
        let Some(draw) = self.mix(deployment.requested) else {
            return;
        };
        let Some((set, _)) = self.ledger.set_at(id.service(), deployment.requested) else {
            return;
        };
        let (me, time) = (self.me, self.ledger.time);
        let Some(found) = self.watched(id.0) else { return };
        let rank = *found.rank.get_or_insert_with(|| {
            let seed = keccak256([id.0.to_be_bytes::<32>(), draw.mix.0].concat());
            let mine = set.index_of(me)?;
            let weights = set.weights();
            order(seed, &weights, weights.len())
                .iter()
                .position(|index| *index == mine)
        });
        let passed = time.saturating_sub(draw.time) / deployment.epoch_seconds.max(1);
        if rank.is_some_and(|rank| rank as u64 <= passed) {
            found.deploying = true;
            tracing::info!(deployment = %id, rank, "deploying");
            found.watch.order(Order::Deploy);
        }
    }

    /// An attempt to deploy is over.
    pub(super) async fn deployed(&mut self, id: U256, result: Result<(), String>) {
        if let Some(found) = self.watched(id) {
            found.deploying = false;
        }
        match result {
            Ok(()) => {
                tracing::info!(deployment = %DeploymentId(id), "deployed");
                self.feed_monitor(id, Input::Stirred).await;
            }
            Err(error) => tracing::warn!(deployment = %DeploymentId(id), %error, "not deployed, trying again"),
        }
    }

    fn watched(&mut self, id: U256) -> Option<&mut Watched> {
        self.integrity.as_mut()?.watched.get_mut(&id)
    }

    /// A measurement is done.
    pub(super) async fn measured(&mut self, id: U256, measured: crate::integrity::watch::Measured) {
        let Some(found) = self.watched(id) else { return };
        found.measured_at = measured.began;
        if measured.document.is_some() {
            found.document = measured.document;
        }
        if let Some(why) = &measured.unreachable
            && found.unreachable.is_none()
        {
            tracing::warn!(deployment = %DeploymentId(id), why, "not measured");
        }
        found.unreachable = measured.unreachable;
        if let Seen::Drifted(findings) = &measured.seen
            && found.baseline.is_none()
        {
            // It is not there yet, or about to start.
            if !std::mem::replace(&mut found.noticed, true) {
                let first = findings
                    .first()
                    .map(|finding| finding.field("kind").unwrap_or_default().to_owned());
                tracing::info!(
                    deployment = %DeploymentId(id),
                    findings = findings.len(),
                    first,
                    "there is no container as planned yet"
                );
            }
        } else if let Seen::Drifted(findings) = &measured.seen {
            for finding in findings
                .iter()
                .filter(|f| !found.machine.drift().contains_key(&f.hash()))
            {
                let field = |name| finding.field(name).unwrap_or_default();
                tracing::warn!(
                    deployment = %DeploymentId(id),
                    kind = field("kind"),
                    subject = field("subject"),
                    expected = field("expected"),
                    found = field("found"),
                    evidence = %finding.hash(),
                    "the container is not what it should be"
                );
            }
        }
        let (began, seen) = (measured.began, measured.seen);
        self.feed_monitor(id, Input::Observed { began, seen }).await;
    }

    /// A message about a deployment.
    pub(super) async fn hear_monitor(&mut self, from: Address, message: Message) {
        let Some(id) = message.body.deployment() else { return };
        self.feed_monitor(id, Input::Message { from, message }).await;
    }

    pub(super) fn next_monitor_tick(&self) -> Option<u64> {
        let watched = self.integrity.as_ref()?.watched.values();
        watched.filter_map(|watched| watched.machine.next_tick()).min()
    }

    pub(super) async fn tick_monitors(&mut self, now: u64) {
        let Some(integrity) = &self.integrity else { return };
        let due: Vec<U256> = integrity
            .watched
            .iter()
            .filter(|(_, watched)| watched.machine.next_tick().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.feed_monitor(id, Input::Tick).await;
        }
    }

    pub(super) async fn feed_monitor(&mut self, id: U256, input: Input) {
        let service = DeploymentId(id).service();
        let Some(found) = self.watched(id) else { return };
        for effect in found.machine.step(now_ms(), input) {
            match effect {
                Effect::Measure => {
                    if let Some(found) = self.watched(id) {
                        found.watch.order(Order::Measure);
                    }
                }
                Effect::Send { to, message } => {
                    if let Err(error) = self.peers.send(to, service, message.encode()) {
                        tracing::debug!(%to, %error, "not sent");
                    }
                }
                Effect::Broadcast { message } => self.broadcast(&message).await,
                Effect::Record {
                    ticket,
                    set,
                    votes,
                    findings,
                } => {
                    let store = self.store.clone();
                    self.write(move || {
                        let kept = store.record_measurement(service, set, &votes, id, &findings);
                        Completion::MeasurementStored(id, ticket, kept)
                    });
                }
                Effect::Compute { ticket, work } => self.compute(Target::Deployment(id), service, ticket, work),
                Effect::Certified { seal, epoch, statement } => self.certified_epoch(id, seal, epoch, statement),
                Effect::Evidence(evidence) => self.convict(service, &evidence),
                Effect::Misbehaved { peer, what } => {
                    let what = match what {
                        Misbehaviour::NotAMember => event::Misbehaviour::NotAMember,
                        Misbehaviour::WrongService => event::Misbehaviour::WrongService,
                        Misbehaviour::Contradicts => event::Misbehaviour::Malformed,
                        Misbehaviour::NoQuorum => event::Misbehaviour::NoQuorum,
                        Misbehaviour::BadSignature => event::Misbehaviour::BadSignature,
                        Misbehaviour::Flood => event::Misbehaviour::Flood,
                    };
                    self.accuse_operator(peer, what).await;
                }
            }
        }
    }

    /// A quorum said something of an epoch: to the chain with it.
    fn certified_epoch(&mut self, id: U256, seal: Seal, epoch: u64, statement: Statement) {
        let deployment = DeploymentId(id);
        if matches!(statement, Statement::Intact | Statement::Unreachable) {
            let known = self.ledger.deployments.get(deployment);
            let end = known.map(|d| d.start.saturating_add(epoch.saturating_mul(d.epoch_seconds)));
            let retired = self.watched(id).and_then(|found| found.retired);
            if let (Some(end), Some(retired)) = (end, retired)
                && end.saturating_mul(1_000) > retired
            {
                // Of the time after it was retired nothing but drift counts.
                return;
            }
        }
        match statement {
            Statement::Drifted(evidence) => {
                tracing::warn!(%deployment, epoch, %evidence, "a quorum found that the container has changed");
                self.fetch(
                    evidence,
                    crate::network::exchange::Ask::Value(evidence),
                    deployment.service(),
                );
            }
            _ => tracing::info!(%deployment, epoch, ?statement, "a quorum agrees"),
        }
        let Ok(signature) = surety_primitives::bls::Signature::from_compressed(&seal.signature.0) else {
            tracing::error!(%deployment, epoch, "a certificate with a signature that is no point");
            return;
        };
        let name = keccak256([id.to_be_bytes::<32>().as_slice(), &epoch.to_be_bytes()].concat());
        let wish = Wish::ReportEpoch(Box::new(Report {
            deployment: id,
            epoch,
            statement,
            set: seal.set,
            signers: seal.signers.to_u256(),
            signature: signature.to_eip2537().to_vec(),
        }));
        // Drift is not recorded with a later epoch.
        let until = match statement {
            Statement::Drifted(_) => Until::Recorded(id, u64::MAX),
            _ => Until::Recorded(id, epoch),
        };
        let service = deployment.service();
        let monitors = self.monitors(service);
        self.intend_among(name, wish, service, until, &monitors);
    }

    /// Those who have the certificates, and so take turns.
    pub(super) fn monitors(&self, service: Address) -> Vec<Address> {
        let set = self.ledger.newest_set(service);
        let members = set.iter().flat_map(|(set, _)| set.members());
        members.map(|member| member.operator).collect()
    }
}

/// Of so many deployments, those of each service.
fn share(deployments: u32, services: usize) -> usize {
    (deployments as usize).checked_div(services).unwrap_or(0).max(1)
}

/// What is reported of an epoch.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) deployment: U256,
    /// 0: the baseline
    pub(crate) epoch: u64,
    pub(crate) statement: Statement,
    pub(crate) set: u64,
    pub(crate) signers: U256,
    /// EIP-2537
    pub(crate) signature: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn p4_no_service_takes_the_places_of_others() {
        assert_eq!(share(256, 1), 256);
        assert_eq!(share(256, 4), 64);
        assert_eq!(share(3, 8), 1);
        assert_eq!(share(3, 0), 1);
    }
}
