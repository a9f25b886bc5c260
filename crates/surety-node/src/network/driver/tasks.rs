//! Tasks: from the draw to a settled result; what connectors are given to do, and what they answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy::primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use rand::RngCore;
use surety_chain::bindings::{Settlement, Step};
use surety_connector::{
    host::{Answer, Assignment, Kind, Refusal, Registration, Submission, Verdict as ConnectorVerdict},
    server::AssignError,
    wire::refusal::Code,
};
use surety_primitives::{
    sealed::{PublicKey, Sealed, SealedError},
    selection::{ATTEMPTS, Roles, among},
    set::Set,
    value::Value,
    vote::{TaskResult, VoteKind, seed, task_id},
};
use surety_protocol::{
    manifest::Verification,
    network::{
        Roster, TaskConsensus,
        task::{Drawn, Effect, Input, Verdict},
    },
};
use tokio::sync::oneshot;

use super::{Completion, Driver, Target, Until, now_ms};
use crate::{
    network::{exchange::Ask, relay::Wish, store::OwnAnswer},
    store::StoreError,
};

/// Pause before a connector is given again what it could not do.
const RETRY_MS: u64 = 1_000;

/// One task of this node's services.
pub(crate) struct Task {
    pub(crate) machine: TaskConsensus,
    pub(crate) run: B256,
    pub(crate) index: u8,
    pub(crate) service: Address,
    pub(crate) name: String,
    pub(crate) set: Arc<Set>,
    pub(crate) roles: Roles,
    pub(crate) start: u64,
    pub(crate) window: u64,
    pub(crate) nodes: Vec<Address>,
    /// hash of the inputs: of the value, or its commitment
    pub(crate) inputs: B256,
    /// block the run was recorded in
    pub(crate) block: u64,
    /// attempts that a connector of this node executes
    executing: BTreeMap<u8, bool>,
    /// results to validate, by attempt; whether a connector has it
    validating: BTreeMap<u8, (TaskResult, bool)>,
    /// what to give to a connector again, and when
    again: Vec<(u64, u8)>,
    pub(crate) settling: bool,
    pub(crate) result: Option<TaskResult>,
    pub(crate) failed: bool,
    /// the contract paid
    pub(crate) paid: bool,
}

/// An answer that is on disk.
#[derive(Debug)]
pub(crate) struct Answered {
    task: B256,
    attempt: u8,
    kept: Result<OwnAnswer, StoreError>,
    reply: Option<oneshot::Sender<Result<(), Refusal>>>,
}

/// A payload that this node can read.
pub(crate) struct Payload {
    pub(crate) value: Value,
    /// bytes of its encoding
    pub(crate) size: usize,
    /// it was sealed
    pub(crate) private: bool,
}

/// `TaskResult` on the wire.
#[derive(RlpEncodable, RlpDecodable)]
struct WireResult {
    task: B256,
    attempt: u8,
    inputs: B256,
    output: B256,
    seconds: u32,
    bytes: u32,
}

/// Reads a result as peers send it.
pub(crate) fn decode_result(bytes: &[u8]) -> Option<TaskResult> {
    let wire: WireResult = alloy_rlp::decode_exact(bytes).ok()?;
    Some(TaskResult {
        task: wire.task,
        attempt: wire.attempt,
        inputs: wire.inputs,
        output: wire.output,
        seconds: wire.seconds,
        bytes: wire.bytes,
    })
}

fn encode_result(result: &TaskResult) -> Vec<u8> {
    alloy_rlp::encode(WireResult {
        task: result.task,
        attempt: result.attempt,
        inputs: result.inputs,
        output: result.output,
        seconds: result.seconds,
        bytes: result.bytes,
    })
}

/// A task as it is to be made; everything about it is known.
pub(crate) struct NewTask {
    pub(crate) run: B256,
    pub(crate) index: u8,
    pub(crate) block: u64,
    pub(crate) step: Step,
    pub(crate) nodes: Vec<Address>,
    pub(crate) inputs: B256,
}

impl Driver {
    /// Makes the machine of a task, if this node is a member of its set and what it takes is known.
    pub(super) async fn begin_task(&mut self, new: NewTask) {
        let task = task_id(new.run, new.index);
        if self.tasks.contains_key(&task) {
            return;
        }
        let service = new.step.service;
        let Some(name) = self.services.get(&service).and_then(|found| {
            let tasks = found.network.tasks.keys();
            tasks
                .clone()
                .find(|name| keccak256(name.as_bytes()) == new.step.task)
                .cloned()
        }) else {
            return;
        };
        let Some((set, quorum)) = self.ledger.set_at(service, new.block) else {
            return;
        };
        let Some(draw) = self.mix(new.block) else { return };
        let window = u64::from(new.step.window);
        if self.ledger.time > draw.time.saturating_add(window.saturating_mul(u64::from(ATTEMPTS) + 1)) {
            return;
        }
        let weights = if new.nodes.is_empty() {
            set.weights()
        } else {
            let named = set.among(&new.nodes);
            among(&set.weights(), |index| named.contains(index))
        };
        let roles = Roles::draw(seed(new.run, new.index, draw.mix), &weights, new.step.validators);
        let drawn = Drawn {
            task,
            roster: Arc::new(Roster::of(&set, self.domain, quorum)),
            roles: roles.clone(),
            validators: new.step.validators,
            start: draw.time,
            window: u64::from(new.step.window),
            inputs: Some(new.inputs),
        };
        let machine = TaskConsensus::new(drawn, Some(self.me), now_ms());
        let names = |indices: &[usize]| -> Vec<Address> {
            indices
                .iter()
                .filter_map(|i| set.member(*i))
                .map(|m| m.operator)
                .collect()
        };
        let executor = roles.executor(0).and_then(|i| set.member(i)).map(|m| m.operator);
        let committee = names(roles.committee());
        if let Some(run) = self.ledger.runs.get(&new.run) {
            let flow = run.flow;
            let words = serde_json::json!({
                "run": new.run, "step": new.index, "task": name, "executor": executor, "committee": committee,
            });
            self.log_flow(flow, "drawn", &words);
        }
        let (number, inputs) = (set.number(), new.inputs);
        let mine = set.index_of(self.me);
        let executors: Vec<Option<usize>> = (0..ATTEMPTS).map(|attempt| roles.executor(attempt)).collect();
        let executes = |attempt: u8| mine.is_some() && executors.get(usize::from(attempt)).copied().flatten() == mine;
        self.tasks.insert(
            task,
            Task {
                machine,
                run: new.run,
                index: new.index,
                service,
                name,
                set,
                roles,
                start: draw.time,
                window: u64::from(new.step.window),
                nodes: new.nodes,
                inputs: new.inputs,
                block: new.block,
                executing: BTreeMap::new(),
                validating: BTreeMap::new(),
                again: Vec::new(),
                settling: false,
                result: None,
                failed: false,
                paid: false,
            },
        );
        match self.store.recorded(task, number) {
            Ok(mut recorded) if !recorded.is_empty() => {
                // Drawn otherwise after a reorganisation, this node is no executor any more.
                recorded.retain(|r| {
                    r.vote.kind != VoteKind::Result || (executes(r.result.attempt) && r.result.inputs == inputs)
                });
                for vote in &recorded {
                    self.offer(&vote.result);
                }
                for attempt in 0..ATTEMPTS {
                    if let Ok(Some(answer)) = self.store.own_answer(task, attempt) {
                        self.offer_output(&answer);
                    }
                }
                self.feed_task(task, Input::Restarted { recorded }).await;
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "what was voted before cannot be read"),
        }
        let time = self.ledger.time;
        self.feed_task(task, Input::Block { time }).await;
    }

    /// One input, and what follows from it.
    pub(super) async fn feed_task(&mut self, task: B256, input: Input) {
        let Some(found) = self.tasks.get_mut(&task) else { return };
        let (service, run) = (found.service, found.run);
        for effect in found.machine.step(now_ms(), input) {
            match effect {
                Effect::Execute { attempt, .. } => self.execute(task, attempt),
                Effect::Validate { result } => {
                    if let Some(found) = self.tasks.get_mut(&task) {
                        found.validating.entry(result.attempt).or_insert((result, false));
                    }
                    self.offer(&result);
                    self.stirred.insert(run);
                }
                Effect::Store { ticket, set, recorded } => {
                    let store = self.store.clone();
                    self.write(move || {
                        Completion::TaskStored(task, ticket, store.record_task(service, set, &recorded))
                    });
                }
                Effect::Compute { ticket, work } => self.compute(Target::Task(task), service, ticket, work),
                Effect::Broadcast { message } => self.broadcast(&message).await,
                Effect::Settleable { result, votes, turn } => self.settleable(task, result, &votes, turn),
                Effect::Escalate { result } => {
                    tracing::warn!(%task, attempt = result.attempt, "validators differ: every member validates");
                    self.log_task(task, "escalated", &serde_json::json!({"result": result.hash()}));
                }
                Effect::Rejected { result, .. } => {
                    tracing::warn!(%task, attempt = result.attempt, "the quorum found a result invalid");
                    self.log_task(task, "rejected", &serde_json::json!({"result": result.hash()}));
                }
                Effect::Evidence(evidence) => self.convict(service, &evidence),
                Effect::Failed => {
                    tracing::warn!(%task, "no attempt had a result that counts");
                    self.log_task(task, "failed", &serde_json::json!({}));
                    if let Some(found) = self.tasks.get_mut(&task) {
                        found.failed = true;
                    }
                    self.stirred.insert(run);
                }
                Effect::Misbehaved { peer, what } => self.accuse_operator(peer, what).await,
            }
        }
    }

    /// The contract paid: connectors have nothing more to do.
    pub(super) fn take_back(&mut self, task: B256) {
        let Some(found) = self.tasks.get_mut(&task) else { return };
        found.again.clear();
        let attempts: Vec<u8> = found.executing.keys().chain(found.validating.keys()).copied().collect();
        let service = found.service;
        for attempt in attempts {
            self.connectors.withdraw(service, task, u32::from(attempt));
        }
    }

    /// Lets other members have a result by its hash.
    fn offer(&self, result: &TaskResult) {
        if let Err(error) = self.store.put_values(&[(result.hash(), encode_result(result))]) {
            tracing::error!(%error, "a result cannot be kept");
        }
    }

    fn offer_output(&self, answer: &OwnAnswer) {
        if let Err(error) = self.store.put_values(&[(answer.output, answer.payload.to_vec())]) {
            tracing::error!(%error, "an output cannot be kept");
        }
    }

    pub(super) async fn tick_tasks(&mut self, now: u64) {
        let due: Vec<B256> = self
            .tasks
            .iter()
            .filter(|(_, t)| t.machine.next_tick().is_some_and(|at| at <= now))
            .map(|(task, _)| *task)
            .collect();
        for task in due {
            self.feed_task(task, Input::Tick).await;
        }
        let again: Vec<(B256, B256)> = self
            .tasks
            .iter_mut()
            .filter_map(|(task, t)| {
                let due: Vec<u8> = t.again.iter().filter(|(at, _)| *at <= now).map(|(_, a)| *a).collect();
                t.again.retain(|(at, _)| *at > now);
                for attempt in &due {
                    t.executing.entry(*attempt).and_modify(|given| *given = false);
                    t.validating.entry(*attempt).and_modify(|(_, given)| *given = false);
                }
                (!due.is_empty()).then_some((*task, t.run))
            })
            .collect();
        for (_, run) in again {
            self.stirred.insert(run);
        }
    }

    /// A new block: the L1's clock.
    pub(super) async fn tick_tasks_block(&mut self) {
        let time = self.ledger.time;
        let all: Vec<B256> = self.tasks.keys().copied().collect();
        for task in all {
            self.feed_task(task, Input::Block { time }).await;
        }
    }

    /// Drops what is out of time: nobody votes on it any more, and what is to be settled is wanted elsewhere.
    pub(super) fn forget_tasks(&mut self) {
        let time = self.ledger.time;
        self.tasks
            .retain(|_, t| time <= t.start.saturating_add(t.window.saturating_mul(u64::from(ATTEMPTS) + 1)));
    }

    /// This node is the executor: a connector does it, unless it was done before a restart.
    fn execute(&mut self, task: B256, attempt: u8) {
        match self.store.own_answer(task, attempt) {
            Ok(Some(answer)) if self.tasks.get(&task).is_some_and(|t| t.inputs != answer.inputs) => {
                tracing::error!(%task, attempt, "it was done with other inputs before a reorganisation: not done again");
            }
            Ok(Some(answer)) => {
                let (completions, epoch) = (self.completions.clone(), self.epoch);
                let answered = Answered {
                    task,
                    attempt,
                    kept: Ok(answer),
                    reply: None,
                };
                tokio::spawn(async move {
                    let _stopping = completions
                        .send((epoch, Completion::Answered(Box::new(answered))))
                        .await;
                });
            }
            Ok(None) => {
                if let Some(found) = self.tasks.get_mut(&task) {
                    found.executing.insert(attempt, false);
                    let run = found.run;
                    self.stirred.insert(run);
                }
            }
            Err(error) => tracing::error!(%error, "whether a task was done before cannot be read: not done"),
        }
    }

    /// Gives connectors what they have to do, as far as its payloads are here.
    pub(super) fn progress_task(&mut self, task: B256) {
        let Some(found) = self.tasks.get(&task) else { return };
        let (service, inputs_hash) = (found.service, found.inputs);
        let executing: Vec<u8> = found
            .executing
            .iter()
            .filter(|(_, given)| !**given)
            .map(|(a, _)| *a)
            .collect();
        let validating: Vec<TaskResult> = found
            .validating
            .values()
            .filter(|(_, given)| !given)
            .map(|(r, _)| *r)
            .collect();
        if executing.is_empty() && validating.is_empty() {
            return;
        }
        let Some(inputs) = self.payload(inputs_hash, service) else {
            return;
        };
        let asked = request_of(&inputs);
        for attempt in executing {
            self.assign(task, attempt, asked.inputs.clone(), Kind::Execute);
        }
        for result in validating {
            self.validate(task, &result, &asked);
        }
    }

    /// A payload, if it is here and can be read; asks the members for it if not.
    pub(super) fn payload(&mut self, hash: B256, service: Address) -> Option<Payload> {
        let bytes = match self.store.value(hash) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                self.fetch(hash, Ask::Value(hash), service);
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "a payload cannot be read");
                return None;
            }
        };
        if keccak256(&bytes) == hash {
            let value = Value::decode(&bytes).ok()?;
            return Some(Payload {
                value,
                size: bytes.len(),
                private: false,
            });
        }
        let sealed = Sealed::from_rlp(&bytes).ok()?;
        match sealed.open(self.me, &self.encryption, hash) {
            Ok(opened) => Some(Payload {
                size: opened.value.encode().map(|e| e.len()).unwrap_or_default(),
                value: opened.value,
                private: true,
            }),
            Err(SealedError::NotARecipient { .. }) => None,
            Err(error) => {
                // Somebody made it up: a peer may have the real one.
                tracing::debug!(%hash, %error, "a payload that does not open");
                self.fetch(hash, Ask::Value(hash), service);
                None
            }
        }
    }

    fn deadline(&self, task: &Task, attempt: u8) -> u64 {
        let end = task
            .start
            .saturating_add(task.window.saturating_mul(u64::from(attempt).saturating_add(1)));
        let left = end.saturating_sub(self.ledger.time);
        now_ms().saturating_add(left.saturating_mul(1_000))
    }

    fn assign(&mut self, task: B256, attempt: u8, inputs: Value, kind: Kind) {
        let Some(found) = self.tasks.get(&task) else { return };
        let validates = matches!(kind, Kind::Validate { .. });
        let assignment = Assignment {
            service: found.service,
            task,
            attempt: u32::from(attempt),
            name: found.name.clone(),
            inputs,
            kind,
            deadline_ms: self.deadline(found, attempt),
        };
        match self.connectors.assign(assignment) {
            Ok(delivery) => tracing::info!(%task, attempt, ?delivery, validates, "given to a connector"),
            Err(error @ AssignError::Full { .. }) => {
                tracing::warn!(%task, attempt, %error, "not given to a connector yet");
                self.later(task, attempt);
                return;
            }
            Err(error) => tracing::warn!(%task, attempt, %error, "not given to a connector"),
        }
        if let Some(found) = self.tasks.get_mut(&task) {
            found.executing.entry(attempt).and_modify(|given| *given = true);
            found.validating.entry(attempt).and_modify(|(_, given)| *given = true);
        }
    }

    fn later(&mut self, task: B256, attempt: u8) {
        if let Some(found) = self.tasks.get_mut(&task) {
            found.executing.entry(attempt).and_modify(|given| *given = true);
            found.validating.entry(attempt).and_modify(|(_, given)| *given = true);
            found.again.push((now_ms().saturating_add(RETRY_MS), attempt));
        }
    }

    /// What can be found wrong without a connector is; the rest a connector finds out.
    fn validate(&mut self, task: B256, result: &TaskResult, asked: &Asked) {
        let Some(found) = self.tasks.get(&task) else { return };
        let (service, name, window) = (found.service, found.name.clone(), found.window);
        // An executor that is called to judge itself has seen to it already.
        if let Ok(Some(own)) = self.store.own_answer(task, result.attempt)
            && own.output == result.output
        {
            return self.found(task, result, Verdict::Valid);
        }
        if u64::from(result.seconds) > window {
            return self.found(task, result, Verdict::Invalid);
        }
        let Some(output) = self.payload(result.output, service) else {
            return;
        };
        let Some(network) = self.services.get(&service).map(|s| s.network.clone()) else {
            return;
        };
        let fits = usize::try_from(result.bytes).is_ok_and(|bytes| bytes == output.size)
            && network.check_outputs(&name, &output.value).is_ok()
            && output.private == asked.private;
        if !fits {
            return self.found(task, result, Verdict::Invalid);
        }
        let verification = network.tasks.get(&name).map_or(Verification::None, |t| t.verification);
        match Assignment::validation(verification, output.value) {
            Some(kind) => self.assign(task, result.attempt, asked.inputs.clone(), kind),
            None => self.found(task, result, Verdict::Valid),
        }
    }

    /// A verdict, without waiting for anybody.
    fn found(&mut self, task: B256, result: &TaskResult, verdict: Verdict) {
        if let Some(found) = self.tasks.get_mut(&task) {
            found
                .validating
                .entry(result.attempt)
                .and_modify(|(_, given)| *given = true);
        }
        self.verdicts.push((task, result.hash(), verdict));
    }

    /// A connector came: what it may have to do is looked at again.
    pub(super) fn connector_came(&mut self, registration: &Registration) {
        let runs: Vec<B256> = self
            .tasks
            .values()
            .filter(|t| t.service == registration.service)
            .map(|t| t.run)
            .collect();
        self.stirred.extend(runs);
    }

    /// A connector answers.
    pub(super) fn submit(&mut self, submission: Submission, reply: oneshot::Sender<Result<(), Refusal>>) {
        let refuse = |reply: oneshot::Sender<_>, code, message: &str| {
            let _connector_left = reply.send(Err(Refusal::new(code, message)));
        };
        let Ok(attempt) = u8::try_from(submission.attempt) else {
            return refuse(reply, Code::Unknown, "there is no such attempt");
        };
        let task = submission.task;
        if !self.caught_up {
            return refuse(reply, Code::Busy, "the node is reading the chain");
        }
        let Some(found) = self.tasks.get(&task) else {
            return refuse(reply, Code::Late, "the task is over, or is none of this node's");
        };
        let executes = found.executing.contains_key(&attempt);
        let validates = found.validating.get(&attempt).map(|(result, _)| *result);
        match submission.answer {
            Answer::Output(output) if executes => {
                let seconds = u32::try_from(submission.took.as_secs().saturating_add(1))
                    .unwrap_or(u32::MAX)
                    .min(u32::try_from(found.window).unwrap_or(u32::MAX));
                let answer = match self.pack(task, output, seconds) {
                    Ok(answer) => answer,
                    Err(message) => return refuse(reply, Code::Internal, &message),
                };
                let store = self.store.clone();
                self.write(move || {
                    let kept = store.record_answer(task, attempt, &answer);
                    Completion::Answered(Box::new(Answered {
                        task,
                        attempt,
                        kept,
                        reply: Some(reply),
                    }))
                });
                return;
            }
            Answer::Output(output) => {
                let Some(result) = validates else {
                    return refuse(reply, Code::Unknown, "this node does not execute the task");
                };
                // A deterministic task done again: equal outputs, or somebody is wrong.
                let service = found.service;
                let theirs = self.payload(result.output, service).and_then(|p| p.value.hash().ok());
                let verdict = match (theirs, output.hash()) {
                    (Some(theirs), Ok(ours)) if theirs == ours => Verdict::Valid,
                    (Some(_), Ok(_)) => Verdict::Invalid,
                    _ => Verdict::Unknown,
                };
                self.verdicts.push((task, result.hash(), verdict));
            }
            Answer::Verdict { verdict, reason } => {
                let Some(result) = validates else {
                    return refuse(reply, Code::Unknown, "this node does not validate the task");
                };
                tracing::info!(%task, attempt, ?verdict, "a connector's verdict");
                tracing::debug!(%task, reason, "for this reason");
                let verdict = match verdict {
                    ConnectorVerdict::Valid => Verdict::Valid,
                    ConnectorVerdict::Invalid => Verdict::Invalid,
                    ConnectorVerdict::Unknown => {
                        // It may be able to tell a little later.
                        self.later(task, attempt);
                        Verdict::Unknown
                    }
                };
                self.verdicts.push((task, result.hash(), verdict));
            }
            Answer::Failed { message, retry } => {
                tracing::warn!(%task, attempt, retry, "a connector could not do it");
                tracing::debug!(%task, message, "for this reason");
                if retry {
                    self.later(task, attempt);
                }
            }
        }
        let _connector_left = reply.send(Ok(()));
    }

    /// An output as it is kept and billed: sealed, if the inputs were.
    fn pack(&mut self, task: B256, output: Value, seconds: u32) -> Result<OwnAnswer, String> {
        let encoded = output.encode().map_err(|e| e.to_string())?;
        let bytes = u32::try_from(encoded.len()).map_err(|e| e.to_string())?;
        let (service, inputs_hash, committee) = {
            let found = self.tasks.get(&task).ok_or("the task is over")?;
            let members = found.roles.ranked().iter().filter_map(|i| found.set.member(*i));
            let committee: Vec<Address> = members.map(|m| m.operator).collect();
            (found.service, found.inputs, committee)
        };
        let inputs = self.payload(inputs_hash, service).ok_or("the inputs are gone")?;
        if !inputs.private {
            return Ok(OwnAnswer {
                inputs: inputs_hash,
                output: keccak256(&encoded),
                seconds,
                bytes,
                payload: encoded.into(),
            });
        }
        let asked = request_of(&inputs);
        let keys: HashMap<Address, B256> = self
            .ledger
            .members
            .get(&service)
            .into_iter()
            .flatten()
            .map(|m| (m.operator, m.encryption))
            .collect();
        let mut recipients: Vec<(Address, PublicKey)> = committee
            .iter()
            .filter_map(|operator| Some((*operator, PublicKey::from_word(*keys.get(operator)?))))
            .collect();
        if let Some((account, key)) = asked.reply {
            recipients.retain(|(who, _)| *who != account);
            recipients.push((account, key));
        }
        let mut random = [0; 32];
        rand::rng().fill_bytes(&mut random);
        let sealing = loop {
            match Sealed::seal(&random, task, &output, recipients.clone()) {
                // Nothing can be sealed for that key, and its owner chose it.
                Err(SealedError::WeakKey { recipient }) => recipients.retain(|(who, _)| *who != recipient),
                sealed => break sealed.map_err(|e| e.to_string())?,
            }
        };
        Ok(OwnAnswer {
            inputs: inputs_hash,
            output: sealing.hash,
            seconds,
            bytes,
            payload: Bytes::from(sealing.sealed.to_rlp()),
        })
    }

    pub(super) async fn answered(&mut self, answered: Answered) {
        let Answered {
            task,
            attempt,
            kept,
            reply,
        } = answered;
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) => {
                if let Some(reply) = reply {
                    let _connector_left = reply.send(Err(Refusal::new(Code::Internal, error.to_string())));
                }
                return;
            }
        };
        if let Some(reply) = reply {
            let _connector_left = reply.send(Ok(()));
        }
        self.offer_output(&kept);
        let Some(found) = self.tasks.get(&task) else { return };
        let result = TaskResult {
            task,
            attempt,
            inputs: found.inputs,
            output: kept.output,
            seconds: kept.seconds,
            bytes: kept.bytes,
        };
        self.offer(&result);
        self.log_task(
            task,
            "executed",
            &serde_json::json!({"attempt": attempt, "result": result.hash()}),
        );
        self.feed_task(task, Input::Executed { result }).await;
    }

    /// Verdicts that were found on the way.
    pub(super) async fn give_verdicts(&mut self) {
        for (task, result, verdict) in std::mem::take(&mut self.verdicts) {
            self.feed_task(task, Input::Validated { result, verdict }).await;
        }
    }

    fn settleable(&mut self, task: B256, result: TaskResult, votes: &surety_protocol::network::Proven, turn: usize) {
        self.offer(&result);
        let Some(found) = self.tasks.get_mut(&task) else { return };
        found.result = Some(result);
        let proven = match votes.to_proven() {
            Ok(proven) => proven,
            Err(error) => {
                tracing::error!(%error, "votes that are no points");
                return;
            }
        };
        let settlement = Settlement {
            run: found.run,
            step: found.index,
            attempt: result.attempt,
            inputs: result.inputs,
            output: result.output,
            secondsSpent: result.seconds,
            size: result.bytes,
            votes: (&proven).into(),
            nodes: found.nodes.clone(),
            header: Bytes::new(),
        };
        found.settling = true;
        let (service, block) = (found.service, found.block.saturating_add(1));
        let (run, step) = (found.run, found.index);
        let wish = Wish::Settle {
            settlement: Box::new(settlement),
            block,
        };
        self.log_task(
            task,
            "validated",
            &serde_json::json!({"attempt": result.attempt, "result": result.hash(), "turn": turn}),
        );
        let until = Until::Settled(run, step);
        self.intend(
            keccak256([b"settle".as_slice(), task.as_slice()].concat()),
            wish,
            service,
            until,
        );
    }

    pub(super) fn log_task(&self, task: B256, what: &str, words: &serde_json::Value) {
        let Some(found) = self.tasks.get(&task) else { return };
        let Some(run) = self.ledger.runs.get(&found.run) else {
            return;
        };
        let mut line = serde_json::json!({"run": found.run, "step": found.index, "task": found.name});
        if let (Some(line), Some(words)) = (line.as_object_mut(), words.as_object()) {
            line.extend(words.clone());
        }
        self.log_flow(run.flow, what, &line);
    }
}

/// What a task is given: the inputs, and for private ones who else reads the output.
pub(crate) struct Asked {
    pub(crate) inputs: Value,
    pub(crate) private: bool,
    pub(crate) reply: Option<(Address, PublicKey)>,
}

/// Private inputs come with the account and key that the output is sealed for as well: `{"inputs": …, "account": "0x…",
/// "reply": "0x…"}`.
fn request_of(payload: &Payload) -> Asked {
    if !payload.private {
        return Asked {
            inputs: payload.value.clone(),
            private: false,
            reply: None,
        };
    }
    let word = |name: &str| payload.value.field(name).and_then(Value::as_str).map(str::to_owned);
    let account = word("account").and_then(|text| text.parse::<Address>().ok());
    let key = word("reply").and_then(|text| text.parse::<B256>().ok());
    Asked {
        inputs: payload.value.field("inputs").cloned().unwrap_or(Value::Null),
        private: true,
        reply: account.zip(key.map(PublicKey::from_word)),
    }
}
