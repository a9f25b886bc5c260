//! Sending transactions so that doing it twice does no harm.
//!
//! A call is simulated first, so that one that would revert is never paid for and comes back as a typed error. Then
//! one transaction is signed for one nonce and its bytes are sent again and again until a receipt is seen: sending the
//! same bytes twice is harmless. When it is stuck, a version with the same nonce and higher fees replaces it: at most
//! one of the versions is ever included. When somebody else used the nonce, the call is simulated anew. (Two
//! programs that send the same call from one account with the same nonce send one and the same transaction: each sees
//! it done once. Within one [`Sender`] calls go one after the other.)

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::{Encodable2718, eip2930::AccessList},
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, TxKind, U256},
    providers::Provider,
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::SolCall,
};
use tokio::sync::Mutex;

use crate::{
    error::{Error, Revert},
    rpc::Rpc,
};

/// Times and limits of a [`Sender`].
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// Pause between looks for the receipt.
    pub poll: Duration,
    /// After this long without a receipt the transaction is replaced by one with higher fees.
    pub replace_after: Duration,
    /// After this long the send is given up as [`Error::NotIncluded`].
    pub give_up_after: Duration,
    /// Gas limit = estimate x this / 100.
    pub gas_percent: u64,
    /// Most the sender will ever pay for a unit of gas, in wei.
    pub max_fee_per_gas: u128,
    /// Most of it that goes to whoever builds the block, in wei: an endpoint that suggests more is not believed.
    pub max_priority_fee_per_gas: u128,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(500),
            replace_after: Duration::from_secs(36),
            give_up_after: Duration::from_secs(600),
            gas_percent: 115,
            // 1,000 gwei: twice the highest daily average Ethereum has seen.
            max_fee_per_gas: 1_000_000_000_000,
            max_priority_fee_per_gas: 20_000_000_000,
        }
    }
}

impl SenderConfig {
    /// A priority fee within the bounds. It is a part of the whole fee, so never above that.
    fn priority(&self, fee: u128) -> u128 {
        fee.min(self.max_priority_fee_per_gas).min(self.max_fee_per_gas)
    }
}

/// What a transaction did.
#[derive(Debug, Clone)]
pub struct Sent {
    /// transaction hash
    pub hash: B256,
    /// gas used by the whole transaction
    pub gas: u64,
    /// wei paid for a unit of gas
    pub gas_price: u128,
    /// block it is in
    pub block: u64,
    /// the whole receipt
    pub receipt: TransactionReceipt,
}

/// A destination and its call data, with the interface forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// the contract; `None` deploys `input`
    pub to: Option<Address>,
    /// call data, or creation code
    pub input: Bytes,
}

impl Call {
    /// A typed call.
    pub fn new<C: SolCall>(to: Address, call: &C) -> Self {
        Self {
            to: Some(to),
            input: call.abi_encode().into(),
        }
    }
}

/// Sends transactions of one account, one at a time. Cheap to clone; clones share the order.
#[derive(Clone)]
pub struct Sender {
    rpc: Rpc,
    signer: PrivateKeySigner,
    config: SenderConfig,
    chain_id: u64,
    order: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("account", &self.signer.address())
            .field("rpc", &self.rpc)
            .finish_non_exhaustive()
    }
}

/// One version of a transaction.
struct Version {
    hash: B256,
    raw: Vec<u8>,
}

impl Sender {
    /// A sender for `signer` on the chain the endpoint serves.
    pub async fn new(rpc: Rpc, signer: PrivateKeySigner) -> Result<Self, Error> {
        Self::with_config(rpc, signer, SenderConfig::default()).await
    }

    /// A sender with given limits.
    pub async fn with_config(rpc: Rpc, signer: PrivateKeySigner, config: SenderConfig) -> Result<Self, Error> {
        let chain_id = rpc.chain_id().await?;
        Ok(Self {
            rpc,
            signer,
            config,
            chain_id,
            order: Arc::default(),
        })
    }

    /// The sending account.
    pub fn account(&self) -> Address {
        self.signer.address()
    }

    /// The endpoint.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Simulates, sends and waits for a typed call.
    pub async fn send<C: SolCall>(&self, to: Address, call: &C) -> Result<Sent, Error> {
        self.send_call(Call::new(to, call)).await
    }

    /// Deploys a contract; `Sent::receipt` has its address.
    pub async fn deploy(&self, creation: Bytes) -> Result<(Address, Sent), Error> {
        let sent = self
            .send_call(Call {
                to: None,
                input: creation,
            })
            .await?;
        let address = sent
            .receipt
            .contract_address
            .ok_or_else(|| Error::Local(format!("the receipt of {} names no contract", sent.hash)))?;
        Ok((address, sent))
    }

    /// Simulates, sends and waits for a call.
    pub async fn send_call(&self, call: Call) -> Result<Sent, Error> {
        let _turn = self.order.lock().await;
        // Somebody else with the same key can take the nonce between simulation and inclusion.
        let mut attempts = 3_u32;
        loop {
            match self.attempt(&call, U256::ZERO).await {
                Err(Error::NonceTaken { nonce, .. }) if attempts > 0 => {
                    tracing::warn!(nonce, account = %self.account(), "nonce used elsewhere, simulating again");
                    attempts -= 1;
                }
                other => return other,
            }
        }
    }

    /// Sends ether.
    pub async fn transfer(&self, to: Address, wei: U256) -> Result<Sent, Error> {
        let _turn = self.order.lock().await;
        self.attempt(
            &Call {
                to: Some(to),
                input: Bytes::new(),
            },
            wei,
        )
        .await
    }

    async fn attempt(&self, call: &Call, value: U256) -> Result<Sent, Error> {
        let account = self.account();
        let mut request = TransactionRequest::default().with_from(account).with_value(value);
        request.input = call.input.clone().into();
        request.to = Some(call.to.map_or(TxKind::Create, TxKind::Call));
        let estimate = self
            .rpc
            .ask("eth_estimateGas", call.to, || {
                let request = request.clone();
                async move { self.rpc.provider().estimate_gas(request).await }
            })
            .await
            .map_err(|e| self.sort(e))?;
        let gas_limit = estimate.saturating_mul(self.config.gas_percent) / 100;
        let nonce = self
            .rpc
            .ask("eth_getTransactionCount", None, || async {
                self.rpc.provider().get_transaction_count(account).await
            })
            .await?;
        let fees = self
            .rpc
            .ask("eth_feeHistory", None, || async {
                self.rpc.provider().estimate_eip1559_fees().await
            })
            .await?;
        let mut transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max_fee_per_gas.min(self.config.max_fee_per_gas),
            max_priority_fee_per_gas: self.config.priority(fees.max_priority_fee_per_gas),
            to: call.to.map_or(TxKind::Create, TxKind::Call),
            value,
            access_list: AccessList::default(),
            input: call.input.clone(),
        };

        let start = Instant::now();
        let mut versions = vec![self.sign(&transaction)?];
        let mut version_since = start;
        self.offer(versions.last(), nonce).await?;
        let mut taken = false;
        loop {
            // Before the receipts, so that a count above the nonce without a receipt means another transaction's.
            let count = self
                .rpc
                .ask("eth_getTransactionCount", None, || async {
                    self.rpc.provider().get_transaction_count(account).await
                })
                .await?;
            for version in &versions {
                if let Some(receipt) = self.rpc.receipt(version.hash).await? {
                    return self.included(call, receipt).await;
                }
            }
            // Seen twice, for endpoints whose parts are not equally far.
            if count > nonce && std::mem::replace(&mut taken, true) {
                return Err(Error::NonceTaken { account, nonce });
            }
            if start.elapsed() >= self.config.give_up_after {
                let hash = versions.last().map(|v| v.hash).unwrap_or_default();
                return Err(Error::NotIncluded {
                    hash,
                    seconds: start.elapsed().as_secs(),
                });
            }
            if version_since.elapsed() >= self.config.replace_after {
                // Nodes ask for at least 10 % more to replace a transaction; 25 % gets there in fewer steps.
                let more = |fee: u128| fee.saturating_add(fee / 4).saturating_add(1);
                transaction.max_fee_per_gas = more(transaction.max_fee_per_gas).min(self.config.max_fee_per_gas);
                transaction.max_priority_fee_per_gas = self.config.priority(more(transaction.max_priority_fee_per_gas));
                let version = self.sign(&transaction)?;
                if versions.iter().all(|v| v.hash != version.hash) {
                    tracing::info!(
                        nonce,
                        fee = transaction.max_fee_per_gas,
                        "replacing a stuck transaction"
                    );
                    versions.push(version);
                }
                version_since = Instant::now();
                if let Err(Error::NonceTaken { .. }) = self.offer(versions.last(), nonce).await {
                    if self.any_receipt(&versions).await? {
                        continue;
                    }
                    return Err(Error::NonceTaken { account, nonce });
                }
            }
            tokio::time::sleep(self.config.poll).await;
        }
    }

    async fn any_receipt(&self, versions: &[Version]) -> Result<bool, Error> {
        for version in versions {
            if self.rpc.receipt(version.hash).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn sign(&self, transaction: &TxEip1559) -> Result<Version, Error> {
        let signature = self
            .signer
            .sign_hash_sync(&transaction.signature_hash())
            .map_err(|e| Error::Local(format!("the transaction cannot be signed: {e}")))?;
        let envelope = TxEnvelope::from(transaction.clone().into_signed(signature));
        Ok(Version {
            hash: *envelope.tx_hash(),
            raw: envelope.encoded_2718(),
        })
    }

    /// Hands the bytes to the endpoint. "Already known" is success; whether a nonce that is too low was used by
    /// these very bytes is for the receipt to say.
    async fn offer(&self, version: Option<&Version>, nonce: u64) -> Result<(), Error> {
        let Some(version) = version else { return Ok(()) };
        let outcome = self
            .rpc
            .ask("eth_sendRawTransaction", None, || async {
                self.rpc.provider().send_raw_transaction(&version.raw).await.map(|_| ())
            })
            .await;
        match outcome {
            Ok(()) => Ok(()),
            Err(Error::Refused { message, code, method }) => {
                let lower = message.to_ascii_lowercase();
                if lower.contains("already known")
                    || lower.contains("already imported")
                    || lower.contains("alreadyknown")
                    || lower.contains("underpriced")
                {
                    return Ok(());
                }
                if lower.contains("nonce too low") {
                    return match self.rpc.receipt(version.hash).await? {
                        Some(_) => Ok(()),
                        None => Err(Error::NonceTaken {
                            account: self.account(),
                            nonce,
                        }),
                    };
                }
                Err(self.sort(Error::Refused { message, code, method }))
            }
            Err(other) => Err(other),
        }
    }

    /// Lack of money is said in several ways.
    fn sort(&self, error: Error) -> Error {
        match error {
            Error::Refused { message, .. } if message.to_ascii_lowercase().contains("insufficient funds") => {
                Error::Funds {
                    account: self.account(),
                    message,
                }
            }
            other => other,
        }
    }

    async fn included(&self, call: &Call, receipt: TransactionReceipt) -> Result<Sent, Error> {
        if !receipt.status() {
            // It passed the simulation, so the state changed in between: ask again what it says now.
            let mut request = TransactionRequest::default().with_from(self.account());
            request.input = call.input.clone().into();
            request.to = Some(call.to.map_or(TxKind::Create, TxKind::Call));
            let said = self
                .rpc
                .ask("eth_call", call.to, || {
                    let request = request.clone();
                    async move { self.rpc.provider().call(request).await }
                })
                .await;
            return Err(match said {
                Err(e @ Error::Reverted { .. }) => e,
                _ => Error::Reverted {
                    to: call.to.unwrap_or_default(),
                    revert: Revert::new(Bytes::new()),
                },
            });
        }
        Ok(Sent {
            hash: receipt.transaction_hash,
            gas: receipt.gas_used,
            gas_price: receipt.effective_gas_price,
            block: receipt.block_number.unwrap_or_default(),
            receipt,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_priority_fee_is_bounded() {
        let gwei = 1_000_000_000;
        let mut config = SenderConfig::default();
        assert_eq!(config.priority(2 * gwei), 2 * gwei);
        assert_eq!(config.priority(900 * gwei), 20 * gwei);
        config.max_fee_per_gas = gwei;
        assert_eq!(config.priority(2 * gwei), gwei);
    }
}
