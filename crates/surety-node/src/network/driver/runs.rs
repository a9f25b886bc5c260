//! Runs: what the chain says about them, and what follows. Looked at again whenever something they may wait for came;
//! looking twice changes nothing.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};
use surety_chain::bindings::Step;
use surety_primitives::{
    selection::ATTEMPTS,
    value::Value,
    vote::{event_key, task_id},
};
use surety_protocol::network::{
    Flow,
    flow::{Effect, Input, Run, Start},
};

use super::{Driver, Until, now_ms, tasks::NewTask};
use crate::network::{exchange::Ask, follow::FlowRecord, relay::Wish, store::Observation};

/// Blocks after which the randomness of a run that is not settled is kept on-chain: the EVM knows 256 blocks.
const PIN_AFTER: u64 = 128;

/// How far this node has evaluated a run.
pub(crate) struct Progress {
    run: Run,
    started: bool,
    /// steps whose results were fed to the flow
    fed: Vec<u8>,
    /// steps that are due, with the hash of their inputs
    due: Vec<(u8, B256)>,
}

impl Driver {
    /// A flow was created: if it is what it says and concerns this node, it is kept.
    pub(super) fn flow_created(&mut self, record: &FlowRecord) {
        let concerns = |service: &Address| self.services.contains_key(service);
        if !concerns(&record.trigger.service) && !record.steps.iter().any(|s| concerns(&s.service)) {
            return;
        }
        match read_flow(record) {
            Ok(flow) => {
                tracing::info!(flow = %record.flow, name = flow.name(), "a flow");
                self.flows.insert(record.flow, Arc::new(flow));
                // Runs of it may have been told before, after a reorganisation.
                self.stir_all();
            }
            Err(why) => tracing::warn!(flow = %record.flow, why, "a flow that cannot be run"),
        }
    }

    /// Everything that is under way is looked at again.
    pub(super) fn stir_all(&mut self) {
        let open = self
            .ledger
            .runs
            .iter()
            .filter(|(_, run)| !run.closed)
            .map(|(id, _)| *id);
        self.stirred.extend(open);
    }

    /// Looks at what may have something to do.
    pub(super) async fn reconsider(&mut self) {
        self.give_verdicts().await;
        if self.stirred.is_empty() || !self.caught_up {
            return;
        }
        for run in std::mem::take(&mut self.stirred) {
            self.progress_run(run).await;
            let tasks: Vec<B256> = self
                .tasks
                .iter()
                .filter(|(_, t)| t.run == run)
                .map(|(id, _)| *id)
                .collect();
            for task in tasks {
                self.progress_task(task);
            }
        }
        self.give_verdicts().await;
        self.see_results();
        self.forget_tasks();
    }

    async fn progress_run(&mut self, id: B256) {
        let Some(run) = self.ledger.runs.get(&id).cloned() else {
            self.runs.remove(&id);
            return;
        };
        for (step, (result, _)) in &run.settled {
            self.settled(id, *step, *result).await;
        }
        if run.closed {
            self.runs.remove(&id);
            return;
        }
        if let Some(step) = &run.request {
            let Some(nodes) = self.nodes_of(step) else { return };
            if !run.settled.contains_key(&0) {
                let new = NewTask {
                    run: id,
                    index: 0,
                    block: run.block,
                    step: step.as_ref().clone(),
                    nodes,
                    inputs: run.value,
                };
                self.begin_task(new).await;
            }
            let (service, windows) = (step.service, u64::from(step.window));
            self.close_if_over(id, service, run.settled.contains_key(&0), windows, run.block);
            return;
        }
        let Some(flow) = self.flows.get(&run.flow).cloned() else {
            return;
        };
        let (trigger, windows) = match flow.start() {
            Some(start) => (start.service(), flow.steps().map(|s| u64::from(s.window)).sum::<u64>()),
            None => return,
        };
        let new = !self.runs.contains_key(&id);
        self.runs.entry(id).or_insert_with(|| Progress {
            run: Run::new(flow.clone()),
            started: false,
            fed: Vec::new(),
            due: Vec::new(),
        });
        if new {
            let words = serde_json::json!({"run": id, "event": run.key, "block": run.block});
            self.log_flow(run.flow, "started", &words);
        }
        let mut effects = Vec::new();
        if self.runs.get(&id).is_some_and(|p| !p.started) {
            let Some(data) = self.payload(run.value, trigger) else {
                return;
            };
            if let Some(progress) = self.runs.get_mut(&id) {
                progress.started = true;
                effects.extend(progress.run.step(Input::Started { data: data.value }));
            }
        }
        let new: Vec<(u8, B256)> = run
            .settled
            .iter()
            .filter(|(step, _)| self.runs.get(&id).is_some_and(|p| !p.fed.contains(step)))
            .map(|(step, (result, _))| (*step, *result))
            .collect();
        for (step, result) in new {
            let Some(service) = flow.steps().nth(usize::from(step)).map(|s| s.service) else {
                continue;
            };
            let Some(output) = self.output_of(result, service) else {
                continue;
            };
            if let Some(progress) = self.runs.get_mut(&id) {
                progress.fed.push(step);
                effects.extend(progress.run.step(Input::Done { step, output }));
            }
        }
        for effect in effects {
            match effect {
                Effect::RunTask { step, inputs } => self.due(id, step, inputs),
                Effect::Skipped { step } => {
                    self.log_flow(run.flow, "skipped", &serde_json::json!({"run": id, "step": step}));
                }
                Effect::Contradicts { step } => {
                    tracing::error!(run = %id, step, "a step was settled with two results");
                }
                Effect::Ended => self.log_flow(run.flow, "ended", &serde_json::json!({"run": id})),
            }
        }
        let due = self.runs.get(&id).map(|p| p.due.clone()).unwrap_or_default();
        for (index, inputs) in due {
            if run.settled.contains_key(&index) {
                continue;
            }
            let (Some(step), Some(nodes)) = (
                self.ledger.step(&run, index),
                flow.steps().nth(usize::from(index)).map(|s| s.nodes.clone()),
            ) else {
                continue;
            };
            let new = NewTask {
                run: id,
                index,
                block: run.block,
                step,
                nodes,
                inputs,
            };
            self.begin_task(new).await;
        }
        let all = run.settled.len() >= flow.steps().count();
        self.close_if_over(id, trigger, all, windows, run.block);
    }

    /// The step is due: its inputs are kept for whoever executes it.
    fn due(&mut self, run: B256, step: u8, inputs: Option<Value>) {
        // They depend on what is sealed for others: those others execute it.
        let Some(inputs) = inputs else { return };
        let Ok(encoded) = inputs.encode() else { return };
        let hash = keccak256(&encoded);
        if let Err(error) = self.store.put_values(&[(hash, encoded)]) {
            tracing::error!(%error, "inputs cannot be kept");
        }
        if let Some(progress) = self.runs.get_mut(&run)
            && !progress.due.iter().any(|(due, _)| *due == step)
        {
            progress.due.push((step, hash));
        }
    }

    /// The output of a settled result: `None` while it is not here; `Some(None)` if it is sealed for others.
    fn output_of(&mut self, result: B256, service: Address) -> Option<Option<Value>> {
        let bytes = match self.store.value(result) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                self.fetch(result, Ask::Result(result), service);
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "a result cannot be read");
                return None;
            }
        };
        let output = super::tasks::decode_result(&bytes)?.output;
        if let Some(payload) = self.payload(output, service) {
            // What was sealed stays with those it was sealed for: flows are evaluated by everybody.
            return Some((!payload.private).then_some(payload.value));
        }
        // Here, and not readable.
        self.store.value(output).ok()?.map(|_| None)
    }

    /// A step was paid for.
    async fn settled(&mut self, run: B256, step: u8, result: B256) {
        let task = task_id(run, step);
        let Some(found) = self.tasks.get_mut(&task) else { return };
        if std::mem::replace(&mut found.paid, true) {
            return;
        }
        let (service, name) = (found.service, found.name.clone());
        self.take_back(task);
        self.log_task(task, "settled", &serde_json::json!({"result": result}));
        let paid = surety_protocol::network::task::Input::Settled { result: Some(result) };
        self.feed_task(task, paid).await;
        let waits = self.flows.values().any(|flow| {
            matches!(flow.start(), Some(Start::Result { service: s, task: t, .. }) if *s == service && *t == name)
        });
        if waits {
            self.results.push((service, name, result));
        }
    }

    /// Results that other flows wait for are events: every member sees the same, from the chain and the payload.
    pub(super) fn see_results(&mut self) {
        for (service, name, result) in std::mem::take(&mut self.results) {
            let Some(output) = self.output_of(result, service) else {
                self.results.push((service, name, result));
                continue;
            };
            // What only some can read, not all can vouch for.
            let Some(output) = output else { continue };
            let id = Value::list([result.to_string()]);
            let data = Value::object([("result", Value::from(result.to_string())), ("output", output)]);
            let (Ok(id), Ok(data_hash), Ok(encoded)) = (id.hash(), data.hash(), data.encode()) else {
                continue;
            };
            let event = format!("{name}.result");
            let observation = Observation {
                service,
                key: event_key(service, &event, id),
                name: event,
                id,
                value: data_hash,
                until: now_ms().saturating_add(600_000),
            };
            self.see(observation, encoded);
        }
    }

    /// Has the rest of the application's money returned when nothing more can come, and the block's randomness kept while
    /// something can.
    fn close_if_over(&mut self, run: B256, service: Address, all_settled: bool, windows: u64, block: u64) {
        let attempts = windows.saturating_mul(u64::from(ATTEMPTS));
        // The contract knows the time exactly; before the last attempt's end it is never.
        let over = self
            .mixes
            .get(&block)
            .is_some_and(|draw| self.ledger.time > draw.time.saturating_add(attempts));
        if all_settled || over {
            let id = keccak256([b"close".as_slice(), run.as_slice()].concat());
            self.intend(id, Wish::Close(run), service, Until::Closed(run));
        } else if self.ledger.block > block.saturating_add(PIN_AFTER) {
            let id = keccak256([b"pin".as_slice(), &block.to_be_bytes()].concat());
            self.intend(id, Wish::Pin(block.saturating_add(1)), service, Until::Tried);
        }
    }

    /// The nodes that a request names: their list is a payload, known by its hash.
    fn nodes_of(&mut self, step: &Step) -> Option<Vec<Address>> {
        if step.nodes.is_zero() {
            return Some(Vec::new());
        }
        match self.store.value(step.nodes) {
            Ok(Some(bytes)) => Vec::<Address>::abi_decode(&bytes).ok(),
            Ok(None) => {
                self.fetch(step.nodes, Ask::Value(step.nodes), step.service);
                None
            }
            Err(error) => {
                tracing::error!(%error, "named nodes cannot be read");
                None
            }
        }
    }

    /// Adds to the log of a flow.
    pub(super) fn log_flow(&self, flow: U256, what: &str, words: &serde_json::Value) {
        let mut line = serde_json::json!({"time": now_ms(), "what": what});
        if let (Some(line), Some(words)) = (line.as_object_mut(), words.as_object()) {
            line.extend(words.clone());
        }
        tracing::info!(flow = %flow, what, line = %line, "flow");
        let (store, text) = (self.store.clone(), line.to_string());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.log(B256::from(flow), &text) {
                tracing::warn!(%error, "a flow's log cannot be written");
            }
        });
    }
}

/// A flow whose steps and trigger on-chain are those of its definition.
fn read_flow(record: &FlowRecord) -> Result<Flow, String> {
    let text = std::str::from_utf8(&record.definition).map_err(|e| e.to_string())?;
    let value = Value::from_json(text).map_err(|e| e.to_string())?;
    let flow = Flow::from_value(&value).map_err(|e| e.to_string())?;
    let start = flow.start().ok_or("nothing starts it")?;
    let same = start.service() == record.trigger.service
        && keccak256(start.event_name()) == record.trigger.eventName
        && flow.steps().count() == record.steps.len()
        && flow.steps().zip(&record.steps).all(|(defined, on_chain)| {
            let nodes = if defined.nodes.is_empty() {
                B256::ZERO
            } else {
                keccak256(defined.nodes.abi_encode())
            };
            defined.service == on_chain.service
                && keccak256(&defined.task) == on_chain.task
                && defined.validators == on_chain.validators
                && defined.window == on_chain.window
                && nodes == on_chain.nodes
        });
    if same {
        Ok(flow)
    } else {
        Err("its steps or its trigger on-chain are not those of its definition".into())
    }
}
