//! One Ethereum JSON-RPC endpoint: timeouts, bounded retries, errors of this crate.

use std::{future::Future, sync::Arc, time::Duration};

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    network::{Ethereum, TransactionBuilder},
    primitives::{Address, B256, Bytes, U256},
    providers::{Provider, RootProvider},
    rpc::{
        client::RpcClient,
        types::{Block, Filter, Log, TransactionReceipt, TransactionRequest},
    },
    sol_types::SolCall,
    transports::{RpcError, TransportErrorKind},
};

use crate::error::{Error, Severity};

/// How long and how often an endpoint is asked.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// One request may take this long.
    pub timeout: Duration,
    /// A request that failed for the transport is repeated this often.
    pub retries: u32,
    /// Pause before the first repetition; doubles each time, up to `max_backoff`.
    pub backoff: Duration,
    /// Longest pause.
    pub max_backoff: Duration,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            retries: 4,
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
        }
    }
}

/// A connection to an Ethereum JSON-RPC endpoint. Cheap to clone.
#[derive(Clone)]
pub struct Rpc {
    provider: RootProvider<Ethereum>,
    url: Arc<str>,
    config: RpcConfig,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc")
            .field("url", &crate::error::endpoint(&self.url))
            .finish_non_exhaustive()
    }
}

impl Rpc {
    /// Connects to `url` (`http://` or `https://`) with the default limits. Nothing is sent yet.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::with_config(url, RpcConfig::default())
    }

    /// Connects with given limits.
    pub fn with_config(url: &str, config: RpcConfig) -> Result<Self, Error> {
        let parsed: alloy::transports::http::reqwest::Url = url
            .parse()
            .map_err(|e| Error::Local(format!("`{url}` is not a URL ({e}); expected http://HOST:PORT")))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(Error::Local(format!(
                "`{url}` has scheme `{}`, expected http or https",
                parsed.scheme()
            )));
        }
        let client = alloy::transports::http::reqwest::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(Duration::from_secs(5)))
            .build()
            .map_err(|e| Error::Local(format!("the HTTP client cannot be set up: {e}")))?;
        let provider = RootProvider::new(RpcClient::new_http_with_client(client, parsed));
        Ok(Self {
            provider,
            url: url.into(),
            config,
        })
    }

    /// Where it is connected to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The alloy provider below.
    pub fn provider(&self) -> &RootProvider<Ethereum> {
        &self.provider
    }

    /// Asks once; a lost connection is retried with growing pauses, a refusal is not.
    pub(crate) async fn ask<T, F, Fut>(
        &self,
        method: &'static str,
        to: Option<Address>,
        mut request: F,
    ) -> Result<T, Error>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, RpcError<TransportErrorKind>>>,
    {
        let mut pause = self.config.backoff;
        let mut left = self.config.retries;
        loop {
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(e) => Error::from_rpc(&self.url, method, to, e),
            };
            if error.severity() != Severity::Temporary || left == 0 {
                return Err(error);
            }
            tracing::debug!(%error, left, "repeating a request to the Ethereum endpoint");
            left -= 1;
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(self.config.max_backoff);
        }
    }

    /// `eth_chainId`.
    pub async fn chain_id(&self) -> Result<u64, Error> {
        self.ask("eth_chainId", None, || async { self.provider.get_chain_id().await })
            .await
    }

    /// Fails unless the endpoint serves chain `expected`.
    pub async fn expect_chain(&self, expected: u64) -> Result<(), Error> {
        let found = self.chain_id().await?;
        if found == expected {
            Ok(())
        } else {
            Err(Error::WrongChain { expected, found })
        }
    }

    /// A block's header and transaction hashes; `None` if there is no such block.
    pub async fn block(&self, at: BlockNumberOrTag) -> Result<Option<Block>, Error> {
        self.ask("eth_getBlockByNumber", None, || async {
            self.provider.get_block_by_number(at).await
        })
        .await
    }

    /// The latest block; an endpoint always has one.
    pub async fn latest(&self) -> Result<Block, Error> {
        self.block(BlockNumberOrTag::Latest)
            .await?
            .ok_or_else(|| Error::Unreachable {
                url: self.url.to_string(),
                method: "eth_getBlockByNumber",
                cause: "no latest block".to_owned(),
            })
    }

    /// `eth_getLogs`.
    pub async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, Error> {
        self.ask("eth_getLogs", None, || async { self.provider.get_logs(filter).await })
            .await
    }

    /// `eth_getBalance` at the latest block, in wei.
    pub async fn balance(&self, account: Address) -> Result<U256, Error> {
        self.ask("eth_getBalance", None, || async {
            self.provider.get_balance(account).await
        })
        .await
    }

    /// Code at an address; empty if there is no contract.
    pub async fn code(&self, address: Address) -> Result<Bytes, Error> {
        self.ask("eth_getCode", None, || async {
            self.provider.get_code_at(address).await
        })
        .await
    }

    /// The receipt of a transaction, if it is in a block.
    pub async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, Error> {
        self.ask("eth_getTransactionReceipt", None, || async {
            self.provider.get_transaction_receipt(hash).await
        })
        .await
    }

    /// The call data of a transaction; `None` if there is no such transaction.
    pub async fn transaction_input(&self, hash: B256) -> Result<Option<Bytes>, Error> {
        let found = self
            .ask("eth_getTransactionByHash", None, || async {
                self.provider.get_transaction_by_hash(hash).await
            })
            .await?;
        Ok(found.map(|transaction| alloy::consensus::Transaction::input(&transaction).clone()))
    }

    /// Calls a view function at the latest block.
    pub async fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, Error> {
        self.call_at(to, call, BlockId::latest()).await
    }

    /// Calls a view function at a block.
    pub async fn call_at<C: SolCall>(&self, to: Address, call: C, at: BlockId) -> Result<C::Return, Error> {
        let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
        let data = self
            .ask("eth_call", Some(to), || {
                let request = request.clone();
                async move { self.provider.call(request).block(at).await }
            })
            .await?;
        C::abi_decode_returns(&data).map_err(|e| Error::Decode {
            to,
            call: C::SIGNATURE,
            cause: e.to_string(),
        })
    }

    /// Calls a view function as `from`, for functions that look at the caller or to see whether one would revert.
    pub async fn simulate<C: SolCall>(&self, from: Address, to: Address, call: C) -> Result<C::Return, Error> {
        let request = TransactionRequest::default()
            .with_from(from)
            .with_to(to)
            .with_input(call.abi_encode());
        let data = self
            .ask("eth_call", Some(to), || {
                let request = request.clone();
                async move { self.provider.call(request).await }
            })
            .await?;
        C::abi_decode_returns(&data).map_err(|e| Error::Decode {
            to,
            call: C::SIGNATURE,
            cause: e.to_string(),
        })
    }
}
