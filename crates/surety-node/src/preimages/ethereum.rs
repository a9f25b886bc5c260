//! An Ethereum JSON-RPC endpoint as a source of preimages: block headers, account and storage proofs (EIP-1186), and
//! receipts tries, rebuilt here from `eth_getBlockReceipts`. The endpoint is not believed: its answers are only of use
//! where they have the hash that was asked for.

use std::time::Duration;

use alloy::{
    eips::Encodable2718,
    primitives::{Address, B256, Bytes},
    rpc::types::{Block, EIP1186AccountProofResponse, TransactionReceipt},
};
use alloy_trie::{HashBuilder, Nibbles, proof::ProofRetainer, root::adjust_index_for_rlp};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Hint, RemoteSource};
use crate::json_rpc::{CallError, JsonRpc};

/// One endpoint.
#[derive(Debug)]
pub struct Ethereum {
    rpc: JsonRpc,
}

impl Ethereum {
    /// An endpoint, with bounds per call.
    pub fn new(url: &str, timeout: Duration, max_bytes: u64) -> Result<Self, CallError> {
        Ok(Self {
            rpc: JsonRpc::new(url, timeout, max_bytes)?,
        })
    }

    async fn header(&self, block: B256) -> Result<Vec<Bytes>, CallError> {
        let found: Option<Block> = self.rpc.call("eth_getBlockByHash", json!([block, false])).await?;
        Ok(found
            .map(|b| alloy_rlp::encode(&b.header.inner).into())
            .into_iter()
            .collect())
    }

    async fn proof(&self, block: B256, account: Address, slots: Value) -> Result<Vec<Bytes>, CallError> {
        // By hash (EIP-1898); some endpoints only take numbers.
        let by_hash = json!([account, slots, {"blockHash": block}]);
        let proof: EIP1186AccountProofResponse = match self.rpc.call("eth_getProof", by_hash).await {
            Ok(proof) => proof,
            Err(CallError::Refused { .. }) => {
                let Some(b): Option<Block> = self.rpc.call("eth_getBlockByHash", json!([block, false])).await? else {
                    return Ok(vec![]);
                };
                let number = format!("{:#x}", b.header.inner.number);
                self.rpc.call("eth_getProof", json!([account, slots, number])).await?
            }
            Err(e) => return Err(e),
        };
        let storage = proof.storage_proof.into_iter().flat_map(|s| s.proof);
        Ok(proof.account_proof.into_iter().chain(storage).collect())
    }

    async fn receipts(&self, block: B256) -> Result<Vec<Bytes>, CallError> {
        let receipts: Option<Vec<TransactionReceipt>> = self.rpc.call("eth_getBlockReceipts", json!([block])).await?;
        Ok(receipts.map(receipts_trie).unwrap_or_default())
    }
}

/// The nodes of the trie of a block's receipts.
pub(super) fn receipts_trie(receipts: Vec<TransactionReceipt>) -> Vec<Bytes> {
    let encoded: Vec<Vec<u8>> = receipts
        .into_iter()
        .map(|r| r.into_inner().into_primitives_receipt().encoded_2718())
        .collect();
    ordered_trie(&encoded)
}

/// The nodes of the trie that maps rlp(index) to each item.
fn ordered_trie(items: &[Vec<u8>]) -> Vec<Bytes> {
    let key = |index: usize| Nibbles::unpack(alloy_rlp::encode_fixed_size(&index));
    let keys: Vec<Nibbles> = (0..items.len()).map(key).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(keys));
    for i in 0..items.len() {
        // Keys must come in order, and rlp(0) sorts after rlp(127).
        let index = adjust_index_for_rlp(i, items.len());
        if let Some(item) = items.get(index) {
            builder.add_leaf(key(index), item);
        }
    }
    builder.root();
    builder.take_proof_nodes().into_inner().into_values().collect()
}

#[async_trait]
impl RemoteSource for Ethereum {
    fn name(&self) -> &str {
        self.rpc.name()
    }

    async fn by_hash(&self, _: B256) -> Result<Option<Bytes>, CallError> {
        Ok(None)
    }

    async fn by_hint(&self, hint: &Hint) -> Result<Vec<Bytes>, CallError> {
        match *hint {
            Hint::Preimage(_) => Ok(vec![]),
            Hint::Header(block) => self.header(block).await,
            Hint::Account(block, account) => self.proof(block, account, json!([])).await,
            Hint::Storage(block, account, slot) => self.proof(block, account, json!([slot])).await,
            Hint::Receipts(block) => self.receipts(block).await,
        }
    }
}
