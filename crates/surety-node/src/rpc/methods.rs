//! The methods.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, Bytes, U64};
use jsonrpsee::{
    RpcModule,
    core::RegisterMethodError,
    types::{ErrorObjectOwned, Params, params::ParamsSequence},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    block::{self, quantity},
    code,
    error::{invalid, object, reverted},
};
use crate::{
    provider::{Provider, ProviderError},
    store::{StoreError, StoredResponse},
};

type Answer = Result<Value, ErrorObjectOwned>;

/// Blocks of `eth_feeHistory`, at most.
const MAX_FEE_BLOCKS: u64 = 1_024;
/// Percentiles of `eth_feeHistory`, at most.
const MAX_PERCENTILES: usize = 100;

/// All methods of a service's endpoint.
pub(super) fn module(provider: Arc<Provider>) -> Result<RpcModule<Provider>, RegisterMethodError> {
    let mut m = RpcModule::from_arc(provider);

    // Fixed answers.
    m.register_method("web3_clientVersion", |_, _, _| {
        concat!("surety/", env!("CARGO_PKG_VERSION"))
    })?;
    m.register_method("net_listening", |_, _, _| true)?;
    m.register_method("eth_syncing", |_, _, _| false)?;
    m.register_method("eth_accounts", |_, _, _| Vec::<Address>::new())?;
    m.register_method("eth_gasPrice", |_, _, _| "0x0")?;
    m.register_method("eth_maxPriorityFeePerGas", |_, _, _| "0x0")?;
    m.register_method("eth_blobBaseFee", |_, _, _| "0x0")?;
    m.register_method("eth_getBalance", |_, _, _| json!(block::balance()))?;
    m.register_method("eth_chainId", |_, p, _| quantity(p.chain_id()))?;
    m.register_method("net_version", |_, p, _| p.chain_id().to_string())?;
    m.register_method("eth_getCode", |params, p, _| {
        let account: Address = params.sequence().next()?;
        // Tools take an address without code for a mistake. 0xfe: the invalid opcode.
        Answer::Ok(json!(if account == p.service() { "0xfe" } else { "0x" }))
    })?;

    // From the store.
    m.register_method("eth_blockNumber", |_, p, _| Answer::Ok(json!(quantity(count(p)?))))?;
    m.register_method("eth_getTransactionCount", |params, p, _| {
        let account: Address = params.sequence().next()?;
        Answer::Ok(json!(quantity(
            p.store().account_count(p.service(), account).map_err(fault)?
        )))
    })?;
    m.register_method("eth_getTransactionReceipt", |params, p, _| {
        let stored = stored(p, params.sequence().next()?)?;
        Answer::Ok(stored.map_or(Value::Null, |s| block::receipt(p.service(), &s)))
    })?;
    m.register_method("eth_getTransactionByHash", |params, p, _| {
        let hash: B256 = params.sequence().next()?;
        transaction(p, hash)
    })?;
    m.register_method("eth_getBlockByNumber", |params, p, _| {
        let mut params = params.sequence();
        let tag: Value = params.next()?;
        let full = params.optional_next::<bool>()?.unwrap_or(false);
        let last = count(p)?;
        let number = match block_number(&tag, last)? {
            number if number <= last => number,
            _ => return Ok(Value::Null),
        };
        block_at(p, number, full)
    })?;
    m.register_method("eth_getBlockByHash", |params, p, _| {
        let mut params = params.sequence();
        let hash: B256 = params.next()?;
        let full = params.optional_next::<bool>()?.unwrap_or(false);
        match block::number(p.service(), hash) {
            Some(number) if number <= count(p)? => block_at(p, number, full),
            _ => Ok(Value::Null),
        }
    })?;
    m.register_method("eth_feeHistory", |params, p, _| fee_history(&params, p))?;
    m.register_method("surety_getResponse", |params, p, _| {
        let hash: B256 = params.sequence().next()?;
        let answer = p.response(hash).map_err(|e| object(&e))?;
        serde_json::to_value(answer).map_err(|e| object(&ProviderError::Internal(e.to_string())))
    })?;
    m.register_method("surety_status", |_, p, _| status(p))?;

    // Runs.
    m.register_async_method("surety_getPreimage", |params, p, _| async move {
        let hash: B256 = params.sequence().next()?;
        Answer::Ok(json!(p.preimage(hash).await))
    })?;
    m.register_async_method("eth_call", |params, p, _| async move {
        let call = CallRequest::read(&mut params.sequence())?;
        let to = call
            .to
            .ok_or_else(|| invalid("`to` is missing, expected the service's address"))?;
        let run = timed(&p, p.call(to, call.data()?, call.budget())).await?;
        if run.outcome.status == surety_primitives::Status::OutOfSteps && call.budget().is_none() {
            return Err(object(&ProviderError::CallBudget {
                limit: p.limits().call_budget,
            }));
        }
        match reverted(&run) {
            Some(error) => Err(error),
            None => Answer::Ok(json!(alloy::primitives::hex::encode_prefixed(run.output.bytes()))),
        }
    })?;
    m.register_async_method("eth_estimateGas", |params, p, _| async move {
        let call = CallRequest::read(&mut params.sequence())?;
        let to = call
            .to
            .ok_or_else(|| invalid("`to` is missing, expected the service's address"))?;
        let run = timed(&p, p.call(to, call.data()?, None)).await?;
        if run.outcome.status == surety_primitives::Status::OutOfSteps {
            return Err(object(&ProviderError::CallBudget {
                limit: p.limits().call_budget,
            }));
        }
        if let Some(error) = reverted(&run) {
            return Err(error);
        }
        let thousands = run.steps.div_ceil(1_000);
        Answer::Ok(json!(quantity(thousands.saturating_add(thousands / 10).max(1))))
    })?;
    m.register_async_method("eth_sendRawTransaction", |params, p, _| async move {
        let raw: Bytes = params.sequence().next()?;
        let hash = timed(&p, p.submit(raw)).await?;
        Answer::Ok(json!(hash.0))
    })?;
    Ok(m)
}

/// The fields of a call object that mean something here. Others (from, fees, value ...) are accepted and ignored, since
/// tools send them; a type other than the expected one is an error.
#[derive(Debug, Default, Deserialize)]
struct CallRequest {
    to: Option<Address>,
    gas: Option<U64>,
    data: Option<Bytes>,
    input: Option<Bytes>,
}

impl CallRequest {
    fn read(params: &mut ParamsSequence<'_>) -> Result<Self, ErrorObjectOwned> {
        params.next()
    }

    fn data(&self) -> Result<Bytes, ErrorObjectOwned> {
        match (&self.input, &self.data) {
            (Some(input), Some(data)) if input != data => Err(invalid("`input` and `data` differ; give one of them")),
            (Some(bytes), _) | (None, Some(bytes)) => Ok(bytes.clone()),
            (None, None) => Ok(Bytes::new()),
        }
    }

    /// Steps, where the caller gave gas.
    fn budget(&self) -> Option<u64> {
        self.gas
            .map(|g| g.to::<u64>().saturating_mul(surety_primitives::Budget::STEPS_PER_GAS))
    }
}

/// Bounds a call in time.
async fn timed<T>(
    provider: &Provider,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ErrorObjectOwned> {
    let seconds = provider.limits().request_seconds;
    match tokio::time::timeout(Duration::from_secs(seconds), call).await {
        Ok(outcome) => outcome.map_err(|e| object(&e)),
        Err(_) => Err(ErrorObjectOwned::owned(
            code::BUSY,
            format!("busy: no answer within {seconds} s; send the same request again later"),
            None::<()>,
        )),
    }
}

fn fault(error: StoreError) -> ErrorObjectOwned {
    object(&error.into())
}

fn count(p: &Provider) -> Result<u64, ErrorObjectOwned> {
    p.store().count(p.service()).map_err(fault)
}

/// A stored response of this service.
fn stored(p: &Provider, hash: B256) -> Result<Option<StoredResponse>, ErrorObjectOwned> {
    let found = p.store().response(hash).map_err(fault)?;
    Ok(found.filter(|s| s.answer.service == p.service()))
}

fn transaction(p: &Provider, hash: B256) -> Answer {
    let Some(stored) = stored(p, hash)? else {
        return Ok(Value::Null);
    };
    let raw = p.store().request(hash).map_err(fault)?;
    Ok(raw
        .and_then(|raw| block::transaction(p.service(), &stored, &raw))
        .unwrap_or(Value::Null))
}

fn block_at(p: &Provider, number: u64, full: bool) -> Answer {
    let hash = p.store().by_number(p.service(), number).map_err(fault)?;
    let transactions = match hash {
        None => vec![],
        Some(hash) if full => vec![transaction(p, hash)?]
            .into_iter()
            .filter(|t| !t.is_null())
            .collect(),
        Some(hash) => vec![json!(hash)],
    };
    Ok(block::block(p.service(), number, transactions))
}

fn block_number(tag: &Value, last: u64) -> Result<u64, ErrorObjectOwned> {
    match tag.as_str() {
        Some("latest" | "pending" | "safe" | "finalized") => Ok(last),
        Some("earliest") => Ok(0),
        _ => serde_json::from_value::<U64>(tag.clone())
            .map(|n| n.to::<u64>())
            .map_err(|_| {
                invalid(format!(
                    "{tag} is no block number, expected a quantity or a tag such as \"latest\""
                ))
            }),
    }
}

fn fee_history(params: &Params<'_>, p: &Provider) -> Answer {
    let mut params = params.sequence();
    let wanted: U64 = params.next()?;
    let newest: Value = params.optional_next()?.unwrap_or(json!("latest"));
    let percentiles: Vec<f64> = params.optional_next()?.unwrap_or_default();
    if percentiles.len() > MAX_PERCENTILES {
        return Err(invalid(format!(
            "{} percentiles, at most {MAX_PERCENTILES} expected",
            percentiles.len()
        )));
    }
    let last = count(p)?;
    let newest = block_number(&newest, last)?.min(last);
    let blocks = wanted.to::<u64>().min(MAX_FEE_BLOCKS).min(newest.saturating_add(1));
    let zeros = |n: u64| (0..n).map(|_| "0x0").collect::<Vec<_>>();
    let rewards: Vec<_> = (0..blocks).map(|_| zeros(percentiles.len() as u64)).collect();
    let mut history = json!({
        "oldestBlock": quantity(newest.saturating_add(1).saturating_sub(blocks)),
        "baseFeePerGas": zeros(blocks.saturating_add(1)),
        "gasUsedRatio": (0..blocks).map(|_| 0.0).collect::<Vec<_>>(),
    });
    if !percentiles.is_empty()
        && let Some(map) = history.as_object_mut()
    {
        map.insert("reward".into(), json!(rewards));
    }
    Ok(history)
}

fn status(p: &Provider) -> Answer {
    let (queued, running) = p.pool().load();
    let limits = p.limits();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "operator": p.operator(),
        "service": p.service(),
        "chainId": quantity(p.chain_id()),
        "domain": {
            "name": "Surety",
            "version": "1",
            "chainId": quantity(p.domain().chain_id),
            "verifyingContract": p.domain().verifying_contract,
        },
        "programs": p.programs().hashes(),
        "responses": quantity(count(p)?),
        "load": { "queued": queued, "running": running, "workers": limits.workers, "queue": limits.queue },
        "limits": {
            "budget": quantity(limits.budget),
            "callBudget": quantity(limits.call_budget),
            "bodyBytes": limits.body_bytes,
            "batch": limits.batch,
        },
        // How to verify what this endpoint says: docs/spec/wire.md, section 2.
        "verify": "surety_getResponse: EIP-712 signature by `operator` over Response under `domain`",
    }))
}
