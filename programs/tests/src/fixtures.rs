//! The JSON of a real block, as Ethereum's RPC returned it.

use std::path::{Path, PathBuf};

use alloy_consensus::{Header, ReceiptEnvelope};
use alloy_primitives::{Address, B256, Bytes, U256};
use anyhow::Context;
use serde::Deserialize;

/// `testdata/mainnet` of this repository.
pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/mainnet")
}

/// What `eth_getProof` says of an account.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountProof {
    /// Whose.
    pub address: Address,
    /// In wei.
    pub balance: U256,
    /// The nodes from the state root to the account.
    pub account_proof: Vec<Bytes>,
}

#[derive(Debug, Deserialize)]
struct Block {
    hash: B256,
    #[serde(flatten)]
    header: Header,
}

/// Block 21,925,176 of Ethereum's main network, with what is known of its state.
#[derive(Debug)]
pub struct Fixtures {
    /// The block's hash.
    pub hash: B256,
    /// Its header.
    pub header: Header,
    /// All its receipts, in order.
    pub receipts: Vec<ReceiptEnvelope>,
    /// The proofs of the deposit contract and of the block's fee recipient.
    pub accounts: Vec<AccountProof>,
}

impl Fixtures {
    /// Reads the JSON files of a directory.
    ///
    /// # Errors
    /// When a file is missing or is not the RPC answer it should be.
    pub fn load(directory: &Path) -> anyhow::Result<Self> {
        let block: Block = json(directory, "block.json")?;
        Ok(Self {
            hash: block.hash,
            header: block.header,
            receipts: json(directory, "receipts.json")?,
            accounts: vec![
                json(directory, "proof.json")?,
                json(directory, "block_miner_proof.json")?,
            ],
        })
    }
}

fn json<T: for<'de> Deserialize<'de>>(directory: &Path, name: &str) -> anyhow::Result<T> {
    let path = directory.join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))
}
