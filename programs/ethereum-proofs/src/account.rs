//! Accounts, the values of the state trie. Source: Yellow Paper, section 4.1.

use crate::rlp::{Item, RlpError};

/// An account, as the state trie holds it under the keccak-256 of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// In wei, big-endian.
    pub balance: [u8; 32],
    /// Root of the account's storage trie.
    pub storage_root: [u8; 32],
    /// keccak-256 of the account's code.
    pub code_hash: [u8; 32],
}

impl Account {
    /// From its RLP.
    ///
    /// # Errors
    /// [`RlpError`] when the bytes are not an account.
    pub fn decode(rlp: &[u8]) -> Result<Self, RlpError> {
        let [nonce, balance, storage_root, code_hash] = Item::only(rlp)?.list()?.exactly()?;
        Ok(Self {
            nonce: u64::from_be_bytes(nonce.integer()?),
            balance: balance.integer()?,
            storage_root: *storage_root.array()?,
            code_hash: *code_hash.array()?,
        })
    }
}
