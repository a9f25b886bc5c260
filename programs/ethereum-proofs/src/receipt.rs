//! Transaction receipts. Sources: Yellow Paper, section 4.3.1; EIP-658 (status), EIP-2718 (types).

use alloc::vec::Vec;
use core::fmt;

use crate::rlp::{Item, RlpError};

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction's EIP-2718 type; 0 for a legacy one.
    pub kind: u8,
    /// Whether the transaction succeeded.
    pub success: bool,
    /// Gas used by the block up to and with this transaction.
    pub cumulative_gas_used: u64,
    /// How many logs it emitted.
    pub logs: u32,
}

/// Bytes that are not a receipt with a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptError {
    /// Malformed RLP.
    Rlp(RlpError),
    /// No bytes at all.
    Empty,
    /// A state root in place of the status, as before the Byzantium fork (block 4,370,000): it does not say whether the
    /// transaction succeeded.
    NoStatus,
    /// A status other than 0 and 1.
    Status,
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rlp(error) => write!(f, "receipt: {error}"),
            Self::Empty => f.write_str("receipt is empty"),
            Self::NoStatus => f.write_str("receipt from before Byzantium has no status"),
            Self::Status => f.write_str("receipt has a status other than 0 and 1"),
        }
    }
}

impl core::error::Error for ReceiptError {}

impl From<RlpError> for ReceiptError {
    fn from(error: RlpError) -> Self {
        Self::Rlp(error)
    }
}

impl Receipt {
    /// From its EIP-2718 encoding, as the receipts trie holds it.
    ///
    /// # Errors
    /// [`ReceiptError`] when the bytes are not a receipt, down to its last log.
    pub fn decode(encoded: &[u8]) -> Result<Self, ReceiptError> {
        let (kind, rlp) = match encoded.split_first() {
            None => return Err(ReceiptError::Empty),
            Some((&kind @ 1..=0x7f, rlp)) => (kind, rlp),
            // Type 0 has no typed form, and a list is a legacy receipt; anything else fails as RLP.
            Some(_) => (0, encoded),
        };
        let [status, cumulative_gas_used, bloom, logs] = Item::only(rlp)?.list()?.exactly()?;
        let success = match status.string()? {
            [] => false,
            [1] => true,
            root if root.len() == 32 => return Err(ReceiptError::NoStatus),
            _ => return Err(ReceiptError::Status),
        };
        let _bloom: &[u8; 256] = bloom.array()?;
        let mut logs = logs.list()?;
        let mut count = 0u32;
        while !logs.is_empty() {
            let [address, topics, data] = logs.next()?.list()?.exactly()?;
            let _address: &[u8; 20] = address.array()?;
            let mut topics = topics.list()?;
            while !topics.is_empty() {
                let _topic: &[u8; 32] = topics.next()?.array()?;
            }
            data.string()?;
            count = count.saturating_add(1);
        }
        Ok(Self {
            kind,
            success,
            cumulative_gas_used: u64::from_be_bytes(cumulative_gas_used.integer()?),
            logs: count,
        })
    }
}

/// The key of a transaction's receipt in the receipts trie: the RLP of its index in the block.
pub fn receipt_key(index: u64) -> Vec<u8> {
    let bytes = index.to_be_bytes();
    let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    let significant = bytes.get(first..).unwrap_or_default();
    match significant {
        [byte @ 0x01..=0x7f] => [*byte].to_vec(),
        // At most eight bytes, so the length fits the one-byte header.
        _ => {
            let mut key = Vec::with_capacity(9);
            key.push(u8::try_from(significant.len()).unwrap_or_default() | 0x80);
            key.extend_from_slice(significant);
            key
        }
    }
}
