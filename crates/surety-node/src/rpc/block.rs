//! Virtual blocks, one a response, for tools that ask for blocks. They commit to nothing: an answer is verified by its
//! signature (`surety_getResponse`). A block's hash is 24 bytes of a hash and its number, so that it can be looked up.

use alloy::{
    consensus::{TxEnvelope, transaction::SignerRecoverable},
    eips::Decodable2718,
    primitives::{Address, B64, B256, Bloom, U256, keccak256},
    rpc::types::Transaction,
};
use serde_json::{Value, json};
use surety_primitives::Status;

use crate::store::{RawRequest, StoredResponse};

/// Hash of virtual block `number` of a service.
pub(super) fn hash(service: Address, number: u64) -> B256 {
    let mut hash = keccak256([b"surety.block".as_slice(), service.as_slice(), &number.to_be_bytes()].concat());
    for (to, from) in hash.0.iter_mut().skip(24).zip(number.to_be_bytes()) {
        *to = from;
    }
    hash
}

/// The number of the virtual block with this hash, if it is one of the service's.
pub(super) fn number(service: Address, block: B256) -> Option<u64> {
    let number = block.0.last_chunk::<8>().copied().map(u64::from_be_bytes)?;
    (hash(service, number) == block).then_some(number)
}

/// A block as `eth_getBlockByNumber` gives it. Block 0 has no transaction.
pub(super) fn block(service: Address, number: u64, transactions: Vec<Value>) -> Value {
    let parent = number.checked_sub(1).map_or(B256::ZERO, |n| hash(service, n));
    json!({
        "number": quantity(number),
        "hash": hash(service, number),
        "parentHash": parent,
        "nonce": B64::ZERO,
        "mixHash": B256::ZERO,
        "sha3Uncles": alloy::consensus::EMPTY_OMMER_ROOT_HASH,
        "logsBloom": Bloom::ZERO,
        "transactionsRoot": B256::ZERO,
        "stateRoot": B256::ZERO,
        "receiptsRoot": B256::ZERO,
        "miner": service,
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": "0x",
        "size": "0x0",
        "gasLimit": quantity(u64::MAX >> 11),
        "gasUsed": "0x0",
        // Blocks are virtual and so is their time: seconds would say when this provider happened to be asked.
        "timestamp": quantity(number),
        "baseFeePerGas": "0x0",
        "transactions": transactions,
        "uncles": [],
    })
}

/// A receipt: status 1 when the program halted with 0.
pub(super) fn receipt(service: Address, stored: &StoredResponse) -> Value {
    let a = &stored.answer;
    let ok = a.status == Status::Halted as u8 && a.exit == 0;
    let gas = quantity(a.budget / surety_primitives::Budget::STEPS_PER_GAS);
    json!({
        "transactionHash": stored.request,
        "transactionIndex": "0x0",
        "blockHash": hash(service, stored.number),
        "blockNumber": quantity(stored.number),
        "from": stored.requester,
        "to": service,
        "cumulativeGasUsed": gas,
        "gasUsed": gas,
        "effectiveGasPrice": "0x0",
        "contractAddress": null,
        "logs": [],
        "logsBloom": Bloom::ZERO,
        "type": "0x2",
        "status": quantity(ok.into()),
    })
}

/// A stored request as `eth_getTransactionByHash` gives it; `None` for a forced one, which is no transaction.
pub(super) fn transaction(service: Address, stored: &StoredResponse, raw: &RawRequest) -> Option<Value> {
    let RawRequest::Transaction(raw) = raw else { return None };
    let inner = TxEnvelope::decode_2718(&mut raw.as_ref())
        .ok()?
        .try_into_recovered()
        .ok()?;
    let transaction = Transaction {
        inner,
        block_hash: Some(hash(service, stored.number)),
        block_number: Some(stored.number),
        transaction_index: Some(0),
        effective_gas_price: Some(0),
        block_timestamp: Some(stored.number),
    };
    serde_json::to_value(transaction).ok()
}

/// What every account seems to have: nothing is charged.
pub(super) fn balance() -> U256 {
    U256::from(1) << 96
}

/// A number as EIP-1474 writes it.
pub(super) fn quantity(n: u64) -> String {
    format!("{n:#x}")
}
