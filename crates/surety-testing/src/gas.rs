//! What the transactions of a dispute cost, read from the chain.

use std::collections::BTreeMap;

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, B256},
    providers::Provider,
    sol_types::SolCall,
};
use anyhow::{Context, Result};
use surety_chain::{
    Deployment, Rpc,
    bindings::{IDisputes, IPreimages},
};

/// One transaction to the dispute contracts.
#[derive(Debug, Clone)]
pub struct Spent {
    /// its hash
    pub hash: B256,
    /// what it is: open, join, dissect, step, expire, settle, show preimage
    pub kind: &'static str,
    /// who paid for it
    pub from: Address,
    /// gas used
    pub gas: u64,
    /// whether it did something; a move that came too late reverts
    pub succeeded: bool,
    /// number of its block
    pub block: u64,
}

/// All transactions to `Disputes` and `Preimages` in blocks `from..=to`, in order.
pub async fn spent(rpc: &Rpc, deployment: &Deployment, from: u64, to: u64) -> Result<Vec<Spent>> {
    let kinds: BTreeMap<[u8; 4], &'static str> = BTreeMap::from([
        (IDisputes::openCall::SELECTOR, "open"),
        (IDisputes::joinCall::SELECTOR, "join"),
        (IDisputes::dissectCall::SELECTOR, "dissect"),
        (IDisputes::stepCall::SELECTOR, "step"),
        (IDisputes::expireCall::SELECTOR, "expire"),
        (IDisputes::settleCall::SELECTOR, "settle"),
        (IPreimages::showCall::SELECTOR, "show preimage"),
    ]);
    let mut all = Vec::new();
    for number in from..=to {
        let block = rpc
            .provider()
            .get_block_by_number(number.into())
            .full()
            .await?
            .context("a block is gone")?;
        for transaction in block.transactions.txns() {
            let ours = transaction
                .to()
                .is_some_and(|to| to == deployment.disputes || to == deployment.preimages);
            let kind = transaction
                .input()
                .first_chunk()
                .and_then(|selector: &[u8; 4]| kinds.get(selector));
            let (true, Some(kind)) = (ours, kind) else { continue };
            let hash = *transaction.inner.tx_hash();
            let receipt = rpc.receipt(hash).await?.context("a receipt is gone")?;
            all.push(Spent {
                hash,
                kind,
                from: receipt.from,
                gas: receipt.gas_used,
                succeeded: receipt.status(),
                block: number,
            });
        }
    }
    Ok(all)
}

/// Gas of every contract deployed in blocks 0 to `to`.
pub async fn deployments(rpc: &Rpc, to: u64) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    for number in 0..=to {
        let block = rpc
            .provider()
            .get_block_by_number(number.into())
            .await?
            .context("a block is gone")?;
        for hash in block.transactions.hashes() {
            let receipt = rpc.receipt(hash).await?.context("a receipt is gone")?;
            if receipt.contract_address.is_some() {
                all.push(receipt.gas_used);
            }
        }
    }
    Ok(all)
}
