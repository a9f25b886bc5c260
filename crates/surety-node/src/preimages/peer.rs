//! Other providers: `surety_getPreimage`. They hold the preimages of what they signed.

use std::time::Duration;

use alloy::primitives::{B256, Bytes};
use async_trait::async_trait;
use serde_json::json;

use super::{Hint, MAX_PREIMAGE, RemoteSource};
use crate::json_rpc::{CallError, JsonRpc};

/// One other provider.
#[derive(Debug)]
pub struct Peer {
    rpc: JsonRpc,
}

impl Peer {
    /// A provider's endpoint.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, CallError> {
        // Hex doubles; the envelope is small.
        Ok(Self {
            rpc: JsonRpc::new(url, timeout, 2 * MAX_PREIMAGE as u64 + 4_096)?,
        })
    }
}

#[async_trait]
impl RemoteSource for Peer {
    fn name(&self) -> &str {
        self.rpc.name()
    }

    async fn by_hash(&self, hash: B256) -> Result<Option<Bytes>, CallError> {
        self.rpc.call("surety_getPreimage", json!([hash])).await
    }

    async fn by_hint(&self, hint: &Hint) -> Result<Vec<Bytes>, CallError> {
        match hint {
            Hint::Preimage(hash) => Ok(self.by_hash(*hash).await?.into_iter().collect()),
            _ => Ok(vec![]),
        }
    }
}
