//! Flows and their runs, from the contract's logs: the chain is the log of a flow.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    rpc::types::{Filter, Log},
    sol_types::{SolCall, SolEvent},
};
use surety_chain::{
    Contracts,
    bindings::{ITasks, Step, Trigger},
};
use surety_primitives::vote::{TaskResult, task_id};

use super::NetworkError;

/// A flow as it was created, and whether new runs of it still start.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowRecord {
    /// its number, from 1
    pub flow: U256,
    /// who pays
    pub owner: Address,
    /// not deleted
    pub active: bool,
    /// its definition: canonical JSON
    pub definition: Bytes,
    /// what starts it
    pub trigger: Trigger,
    /// its tasks
    pub steps: Vec<Step>,
    /// block it was created in
    pub block: u64,
}

/// A step that was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettledStep {
    /// its number
    pub step: u8,
    /// attempt that succeeded, from 0
    pub attempt: u8,
    /// who executed it
    pub executor: Address,
    /// hash of its result
    pub result: B256,
    /// wei of the token
    pub paid: U256,
    /// transaction that settled it
    pub transaction: B256,
    /// block it was settled in
    pub block: u64,
}

/// A run, from its logs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// its id
    pub run: B256,
    /// number of its flow; a request has one of its own
    pub flow: U256,
    /// key of the event that started it; `None` of a request
    pub key: Option<B256>,
    /// value hash of the event's data; hash of a request's inputs
    pub value: B256,
    /// block it was recorded in
    pub block: u64,
    /// a request's only step
    pub request: Option<Step>,
    /// steps that were paid, in the order they were
    pub settled: Vec<SettledStep>,
    /// what went back to the owner when it ended, in wei of the token
    pub closed: Option<U256>,
}

async fn history(contracts: &Contracts, event: B256, topics: [Option<B256>; 2]) -> Result<Vec<Log>, NetworkError> {
    let mut filter = Filter::new()
        .address(contracts.deployment().tasks)
        .event_signature(event);
    let [first, second] = topics;
    if let Some(topic) = first {
        filter = filter.topic1(topic);
    }
    if let Some(topic) = second {
        filter = filter.topic2(topic);
    }
    let from = contracts.deployment().from_block;
    Ok(contracts.history(filter, from).await?)
}

/// All flows, oldest first; of one owner, if one is given.
pub async fn flows(contracts: &Contracts, owner: Option<Address>) -> Result<Vec<FlowRecord>, NetworkError> {
    let created = history(
        contracts,
        ITasks::FlowCreated::SIGNATURE_HASH,
        [None, owner.map(|o| o.into_word())],
    )
    .await?;
    let deleted = history(contracts, ITasks::FlowDeleted::SIGNATURE_HASH, [None, None]).await?;
    let deleted: Vec<U256> = deleted
        .iter()
        .filter_map(|log| Some(ITasks::FlowDeleted::decode_log(&log.inner).ok()?.flow))
        .collect();
    Ok(created.iter().filter_map(|log| record(log, &deleted)).collect())
}

/// One flow; `None` if there is none with this number.
pub async fn flow(contracts: &Contracts, number: U256) -> Result<Option<FlowRecord>, NetworkError> {
    let topics = [Some(number.into()), None];
    let created = history(contracts, ITasks::FlowCreated::SIGNATURE_HASH, topics).await?;
    let Some(log) = created.first() else {
        return Ok(None);
    };
    let deleted = history(contracts, ITasks::FlowDeleted::SIGNATURE_HASH, topics).await?;
    let deleted: &[U256] = if deleted.is_empty() { &[] } else { &[number] };
    Ok(record(log, deleted))
}

fn record(log: &Log, deleted: &[U256]) -> Option<FlowRecord> {
    let event = ITasks::FlowCreated::decode_log(&log.inner).ok()?.data;
    Some(FlowRecord {
        active: !deleted.contains(&event.flow),
        flow: event.flow,
        owner: event.owner,
        definition: event.definition,
        trigger: event.trigger,
        steps: event.steps,
        block: log.block_number?,
    })
}

/// The runs of a flow, oldest first.
pub async fn runs(contracts: &Contracts, flow: U256) -> Result<Vec<RunRecord>, NetworkError> {
    let topics = [None, Some(flow.into())];
    let mut runs = Vec::new();
    for log in history(contracts, ITasks::RunStarted::SIGNATURE_HASH, topics).await? {
        if let Some(run) = started(&log) {
            runs.push(complete(contracts, run).await?);
        }
    }
    for log in history(contracts, ITasks::Requested::SIGNATURE_HASH, topics).await? {
        if let Some(run) = requested(&log) {
            runs.push(complete(contracts, run).await?);
        }
    }
    Ok(runs)
}

/// One run, of a flow or a request; `None` if there is none with this id.
pub async fn run(contracts: &Contracts, id: B256) -> Result<Option<RunRecord>, NetworkError> {
    let topics = [Some(id), None];
    let log = history(contracts, ITasks::RunStarted::SIGNATURE_HASH, topics).await?;
    let mut found = log.first().and_then(started);
    if found.is_none() {
        let log = history(contracts, ITasks::Requested::SIGNATURE_HASH, topics).await?;
        found = log.first().and_then(requested);
    }
    match found {
        Some(run) => complete(contracts, run).await.map(Some),
        None => Ok(None),
    }
}

/// The contract's own record of a run: what is reserved, which steps are settled. All zero if there is none.
pub async fn task_run(contracts: &Contracts, run: B256) -> Result<surety_chain::bindings::Run, NetworkError> {
    let call = ITasks::runOfCall { run };
    Ok(contracts.rpc().call(contracts.deployment().tasks, call).await?)
}

fn started(log: &Log) -> Option<RunRecord> {
    let event = ITasks::RunStarted::decode_log(&log.inner).ok()?.data;
    Some(RunRecord {
        run: event.run,
        flow: event.flow,
        key: Some(event.key),
        value: event.value,
        block: log.block_number?,
        request: None,
        settled: Vec::new(),
        closed: None,
    })
}

fn requested(log: &Log) -> Option<RunRecord> {
    let event = ITasks::Requested::decode_log(&log.inner).ok()?.data;
    Some(RunRecord {
        run: event.run,
        flow: event.flow,
        key: None,
        value: event.inputs,
        block: log.block_number?,
        request: Some(event.step),
        settled: Vec::new(),
        closed: None,
    })
}

/// Adds what was paid and returned.
async fn complete(contracts: &Contracts, mut run: RunRecord) -> Result<RunRecord, NetworkError> {
    let topics = [Some(run.run), None];
    for log in history(contracts, ITasks::Settled::SIGNATURE_HASH, topics).await? {
        let (Ok(event), Some(transaction), Some(block)) = (
            ITasks::Settled::decode_log(&log.inner),
            log.transaction_hash,
            log.block_number,
        ) else {
            continue;
        };
        run.settled.push(SettledStep {
            step: event.step,
            attempt: event.attempt,
            executor: event.executor,
            result: event.result,
            paid: U256::from(event.paid),
            transaction,
            block,
        });
    }
    let closed = history(contracts, ITasks::RunClosed::SIGNATURE_HASH, topics).await?;
    run.closed = closed
        .first()
        .and_then(|log| Some(U256::from(ITasks::RunClosed::decode_log(&log.inner).ok()?.returned)));
    Ok(run)
}

/// What a settled step returned and was billed for: read from the transaction that settled it, and checked against the
/// result in the contract's log. `None` where the transaction is not a plain call of `settle`.
pub async fn output(
    contracts: &Contracts,
    run: B256,
    settled: &SettledStep,
) -> Result<Option<TaskResult>, NetworkError> {
    let Some(input) = contracts.rpc().transaction_input(settled.transaction).await? else {
        return Ok(None);
    };
    let Ok(call) = ITasks::settleCall::abi_decode(&input) else {
        return Ok(None);
    };
    let told = call.settlement;
    let result = TaskResult {
        task: task_id(run, settled.step),
        attempt: settled.attempt,
        inputs: told.inputs,
        output: told.output,
        seconds: told.secondsSpent,
        bytes: told.size,
    };
    Ok((result.hash() == settled.result).then_some(result))
}
