//! A task is a transaction: sent once however often it is assigned, validated by its receipt.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy::{
    consensus::{SignableTransaction, Transaction as _, TxEip1559, TxEnvelope},
    dyn_abi::{DynSolType, DynSolValue, JsonAbiExt, Specifier},
    eips::{Encodable2718, eip2930::AccessList},
    json_abi::Function,
    network::{TransactionBuilder, TransactionResponse},
    primitives::{Address, B256, Bytes, TxKind, U256},
    providers::Provider,
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::{SignerSync, local::PrivateKeySigner},
    transports::{RpcError, TransportErrorKind},
};
use anyhow::{Context, Result};
use surety_chain::Rpc;
use surety_connector::sdk::{Failure, Job, Verdict};
use surety_primitives::value::{Number, Value};
use tokio::sync::Mutex;

use super::{
    CallConfig, abi, finality,
    journal::{Entry, Journal, Version},
};

/// After so long without a receipt the fees are raised.
const RAISE_AFTER: Duration = Duration::from_secs(60);
/// Most versions of one transaction: by then its fees are 25 times the first.
const MAX_VERSIONS: usize = 16;

struct Method {
    contract: Address,
    function: Function,
    parameters: Vec<(String, DynSolType)>,
}

pub(super) struct Transactions {
    rpc: Rpc,
    methods: BTreeMap<String, Method>,
    journal: Mutex<Journal>,
    signer: Option<PrivateKeySigner>,
    confirmations: u64,
    poll: Duration,
}

fn later(cause: impl std::fmt::Display) -> Failure {
    Failure::later(format!("Ethereum: {cause}"))
}

/// A question that the endpoint did not answer. Its words could quote the call's values, or the endpoint's key.
fn asked(what: &str, error: &RpcError<TransportErrorKind>) -> Failure {
    match error.as_error_resp() {
        Some(refusal) => later(format!("{what}: the endpoint refuses (code {})", refusal.code)),
        None => later(format!("{what}: the endpoint doesn't answer")),
    }
}

impl Transactions {
    pub(super) fn new(
        rpc: Rpc,
        calls: &[CallConfig],
        journal: &Path,
        key: Option<&str>,
        confirmations: u64,
        poll: Duration,
    ) -> Result<Self> {
        let mut methods = BTreeMap::new();
        for call in calls {
            let function = Function::parse(&call.signature)
                .with_context(|| format!("ethereum: `{}` is no method in Solidity's notation", call.signature))?;
            let mut parameters = Vec::new();
            for input in &function.inputs {
                let kind = input.resolve().with_context(|| call.signature.clone())?;
                parameters.push((input.name.clone(), kind));
            }
            anyhow::ensure!(
                parameters.iter().all(|(name, _)| !name.is_empty()),
                "ethereum: `{}`: every parameter needs a name",
                call.signature
            );
            let method = Method {
                contract: call.contract,
                function,
                parameters,
            };
            anyhow::ensure!(
                methods.insert(call.task.clone(), method).is_none(),
                "ethereum: task `{}` is there twice",
                call.task
            );
        }
        let signer = match key {
            // The cause could quote the key.
            Some(key) => Some(
                key.parse()
                    .map_err(|_| anyhow::anyhow!("ethereum: the key is not 32 bytes in hexadecimal"))?,
            ),
            None => None,
        };
        Ok(Self {
            rpc,
            methods,
            journal: Mutex::new(Journal::open(journal)?),
            signer,
            confirmations,
            poll,
        })
    }

    /// What the task's transaction calls.
    fn call(&self, job: &Job) -> Result<(Address, Bytes), Failure> {
        let method = self
            .methods
            .get(&job.name)
            .ok_or_else(|| Failure::never(format!("task `{}` is no call", job.name)))?;
        let mut arguments = Vec::new();
        for (name, kind) in &method.parameters {
            let argument = match job.inputs.field(name) {
                Some(found) => abi::from_value(kind, found).map_err(|e| Failure::never(format!("{name}: {e}")))?,
                None if name == "task" && *kind == DynSolType::FixedBytes(32) => {
                    DynSolValue::FixedBytes(task_id(job)?, 32)
                }
                None => return Err(Failure::never(format!("{name}: found nothing, expected {kind}"))),
            };
            arguments.push(argument);
        }
        let input = method
            .function
            .abi_encode_input(&arguments)
            .map_err(|_| Failure::never(format!("{}: the inputs don't fit the method", job.name)))?;
        Ok((method.contract, input.into()))
    }

    /// Sends the task's transaction, or finds the one it sent, and waits until it is final.
    pub(super) async fn send(&self, job: &Job) -> Result<Value, Failure> {
        let task = task_id(job)?;
        let (contract, input) = self.call(job)?;
        let mut entry = self.entry(task, contract, &input).await?;
        let mut since = Instant::now();
        loop {
            // At every look: a node forgets what it had not mined when it restarts.
            self.offer(&entry).await?;
            for version in &entry.versions {
                if let Some(receipt) = self.rpc.receipt(version.hash).await.map_err(later)?
                    && let Some(output) = self.final_output(&receipt).await?
                {
                    return Ok(output);
                }
            }
            if now_ms() >= job.deadline_ms {
                return Err(later("the transaction is not final in time; it may still become so"));
            }
            if since.elapsed() >= RAISE_AFTER && entry.versions.len() < MAX_VERSIONS {
                entry = self.raise(task, entry).await?;
                since = Instant::now();
            }
            tokio::time::sleep(self.poll).await;
        }
    }

    /// The journal's entry of a task, made if there is none yet.
    async fn entry(&self, task: B256, contract: Address, input: &Bytes) -> Result<Entry, Failure> {
        let signer = self
            .signer
            .as_ref()
            .ok_or_else(|| Failure::never("this connector validates only: it has no key_file"))?;
        let account = signer.address();
        let chain = self.rpc.chain_id().await.map_err(later)?;
        // Held over the questions to the chain: two tasks must not get one nonce.
        let mut journal = self.journal.lock().await;
        if let Some(entry) = journal.get(&task) {
            if (entry.chain, entry.contract, &entry.input) != (chain, contract, input) {
                return Err(Failure::never(format!(
                    "task {task:#x} was sent with another call before"
                )));
            }
            return Ok(entry.clone());
        }
        let provider = self.rpc.provider();
        let request = TransactionRequest::default()
            .with_from(account)
            .with_to(contract)
            .with_input(input.clone());
        let gas = match provider.estimate_gas(request).await {
            Ok(gas) => gas.saturating_mul(13) / 10,
            // What the contract refuses now was not sent, so it costs nothing to try again, or elsewhere.
            Err(error) => return Err(asked("the call's gas", &error)),
        };
        let count = provider.get_transaction_count(account).pending().await;
        let count = count.map_err(|e| asked("the account's nonce", &e))?;
        let fees = provider.estimate_eip1559_fees().await;
        let fees = fees.map_err(|e| asked("the fees", &e))?;
        let nonce = count.max(journal.next_nonce(chain, account));
        let mut entry = Entry {
            chain,
            account,
            nonce,
            contract,
            input: input.clone(),
            versions: Vec::new(),
        };
        let version = sign(signer, &entry, gas, fees.max_fee_per_gas, fees.max_priority_fee_per_gas)?;
        entry.versions.push(version);
        journal.put(task, entry.clone()).map_err(later)?;
        Ok(entry)
    }

    /// The same transaction with fees a quarter higher.
    async fn raise(&self, task: B256, mut entry: Entry) -> Result<Entry, Failure> {
        let (Some(signer), Some(last)) = (&self.signer, entry.versions.last()) else {
            return Ok(entry);
        };
        let more = |fee: u128| fee.saturating_add(fee / 4).saturating_add(1);
        let version = sign(signer, &entry, last.gas, more(last.max_fee), more(last.priority_fee))?;
        tracing::info!(%task, nonce = entry.nonce, max_fee = version.max_fee, "raising the fees of a transaction");
        entry.versions.push(version);
        self.journal.lock().await.put(task, entry.clone()).map_err(later)?;
        Ok(entry)
    }

    async fn offer(&self, entry: &Entry) -> Result<(), Failure> {
        let Some(version) = entry.versions.last() else {
            return Ok(());
        };
        match self.rpc.provider().send_raw_transaction(&version.raw).await {
            Ok(_) => Ok(()),
            // "Already known", "nonce too low": the receipts say which.
            Err(error) if error.is_error_resp() => {
                let code = error.as_error_resp().map(|refusal| refusal.code);
                tracing::debug!(code, "offered again");
                Ok(())
            }
            Err(error) => Err(asked("the transaction", &error)),
        }
    }

    /// The output of a transaction whose block is deep enough and in the chain.
    async fn final_output(&self, receipt: &TransactionReceipt) -> Result<Option<Value>, Failure> {
        let (Some(number), Some(hash)) = (receipt.block_number, receipt.block_hash) else {
            return Ok(None);
        };
        Ok((self.final_hash(number).await? == Some(hash)).then(|| outcome(receipt, number, hash)))
    }

    /// The hash of a block that is deep enough; nothing if it isn't (yet).
    async fn final_hash(&self, number: u64) -> Result<Option<B256>, Failure> {
        let blocks = finality::final_blocks(&self.rpc, self.confirmations, number, number).await;
        Ok(blocks.map_err(later)?.first().map(|(_, hash)| *hash))
    }

    /// Valid if that transaction is this task's call and final with that outcome. Invalid only if the chain says
    /// otherwise at a depth at which it doesn't change its mind.
    pub(super) async fn validate(&self, job: &Job, output: &Value) -> Verdict {
        match self.compare(job, output).await {
            Ok(verdict) => verdict,
            Err(failure) => Verdict::Unknown(failure.message),
        }
    }

    async fn compare(&self, job: &Job, output: &Value) -> Result<Verdict, Failure> {
        let (contract, input) = match self.call(job) {
            Ok(call) => call,
            // The inputs are the flow's; that nothing can be sent for them is no output.
            Err(failure) => return Ok(Verdict::Invalid(format!("the task is no call: {}", failure.message))),
        };
        let text = |name: &str| output.field(name).and_then(Value::as_str);
        let hash: Option<B256> = text("transaction").and_then(|hash| hash.parse().ok());
        let number = output.field("block_number").and_then(Value::as_number);
        let (Some(hash), Some(number)) = (
            hash,
            number.filter(|number| number.fract() == 0.0 && (0.0..9e15).contains(number)),
        ) else {
            return Ok(Verdict::Invalid("the output names no transaction and block".to_owned()));
        };
        // Checked to be an integer below 2^53.
        let number = number as u64;
        let Some(block) = self.final_hash(number).await? else {
            return Ok(Verdict::Unknown(format!("block {number} is not final here yet")));
        };
        // What the block of this hash holds is the same whoever answers. That a receipt or a transaction isn't found by
        // its own hash proves nothing: another machine than the one that has the block may have been asked.
        let content = self.rpc.provider().get_block_by_hash(block).full().await;
        let content = content.map_err(|e| asked("the block", &e))?;
        let Some(content) = content.filter(|content| content.header.hash == block) else {
            return Ok(Verdict::Unknown(format!("block {number} can't be read now")));
        };
        let Some(transactions) = content.transactions.as_transactions() else {
            return Ok(Verdict::Unknown(format!(
                "block {number} came without its transactions"
            )));
        };
        let Some(transaction) = transactions.iter().find(|it| it.tx_hash() == hash) else {
            return Ok(Verdict::Invalid(format!(
                "transaction {hash:#x} is not in the final block {number}"
            )));
        };
        if transaction.to() != Some(contract) || *transaction.input() != input || transaction.value() != U256::ZERO {
            return Ok(Verdict::Invalid(format!("transaction {hash:#x} is another call")));
        }
        let receipt = self.rpc.receipt(hash).await.map_err(later)?;
        let receipt = receipt.filter(|it| (it.block_hash, it.block_number) == (Some(block), Some(number)));
        let Some(receipt) = receipt else {
            return Ok(Verdict::Unknown(format!(
                "transaction {hash:#x} is in the final block {number}, but its receipt can't be read now"
            )));
        };
        let expected = outcome(&receipt, number, block);
        let other = differing(output, &expected);
        Ok(if other.is_empty() {
            Verdict::Valid
        } else {
            Verdict::Invalid(format!("the output differs from the chain in {}", other.join(", ")))
        })
    }
}

/// A task's output.
fn outcome(receipt: &TransactionReceipt, number: u64, block: B256) -> Value {
    Value::object([
        ("transaction", Value::String(format!("{:#x}", receipt.transaction_hash))),
        ("block_hash", Value::String(format!("{block:#x}"))),
        (
            "block_number",
            Number::from_integer(i128::from(number)).map_or(Value::Null, Value::Number),
        ),
        (
            "status",
            Value::from(if receipt.status() { "success" } else { "reverted" }),
        ),
    ])
}

/// Names of the fields in which two objects differ.
fn differing(found: &Value, expected: &Value) -> Vec<String> {
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (found, expected) = (fields(found), fields(expected));
    let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let names = names.into_iter().filter(|name| found.get(*name) != expected.get(*name));
    names.cloned().collect()
}

fn sign(
    signer: &PrivateKeySigner,
    entry: &Entry,
    gas: u64,
    max_fee: u128,
    priority_fee: u128,
) -> Result<Version, Failure> {
    let transaction = TxEip1559 {
        chain_id: entry.chain,
        nonce: entry.nonce,
        gas_limit: gas,
        max_fee_per_gas: max_fee,
        max_priority_fee_per_gas: priority_fee.min(max_fee),
        to: TxKind::Call(entry.contract),
        value: U256::ZERO,
        access_list: AccessList::default(),
        input: entry.input.clone(),
    };
    let signature = signer
        .sign_hash_sync(&transaction.signature_hash())
        .map_err(|e| Failure::never(format!("the transaction can't be signed: {e}")))?;
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    Ok(Version {
        hash: *envelope.tx_hash(),
        raw: envelope.encoded_2718().into(),
        max_fee,
        priority_fee,
        gas,
    })
}

fn task_id(job: &Job) -> Result<B256, Failure> {
    job.task.parse().map_err(|_| {
        Failure::never(format!(
            "task: found {} bytes, expected 0x and 64 hex digits",
            job.task.len()
        ))
    })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
