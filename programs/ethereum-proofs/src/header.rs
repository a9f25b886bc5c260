//! Block headers. Source: Yellow Paper, section 4.3; later fields by EIP-1559, 4895, 4844, 4788, 7685.

use crate::rlp::{Item, RlpError};

/// What a block header says about state and receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Root of the state trie after the block.
    pub state_root: [u8; 32],
    /// Root of the trie of the block's receipts.
    pub receipts_root: [u8; 32],
    /// The block's number.
    pub number: u64,
}

impl Header {
    /// From its RLP, whose keccak-256 is the block's hash. The fifteen fields of the first block are checked for their
    /// shape; those that forks have added and will add only for being strings.
    ///
    /// # Errors
    /// [`RlpError`] when the bytes are not a header.
    pub fn decode(rlp: &[u8]) -> Result<Self, RlpError> {
        let mut fields = Item::only(rlp)?.list()?;
        let _parent: &[u8; 32] = fields.next()?.array()?;
        let _uncles: &[u8; 32] = fields.next()?.array()?;
        let _beneficiary: &[u8; 20] = fields.next()?.array()?;
        let state_root = *fields.next()?.array()?;
        let _transactions_root: &[u8; 32] = fields.next()?.array()?;
        let receipts_root = *fields.next()?.array()?;
        let _logs_bloom: &[u8; 256] = fields.next()?.array()?;
        let _difficulty: [u8; 32] = fields.next()?.integer()?;
        let number = u64::from_be_bytes(fields.next()?.integer()?);
        let _gas_limit: [u8; 8] = fields.next()?.integer()?;
        let _gas_used: [u8; 8] = fields.next()?.integer()?;
        let _timestamp: [u8; 8] = fields.next()?.integer()?;
        let _extra_data = fields.next()?.string()?;
        let _mix_hash: &[u8; 32] = fields.next()?.array()?;
        let _nonce: &[u8; 8] = fields.next()?.array()?;
        while !fields.is_empty() {
            fields.next()?.string()?;
        }
        Ok(Self {
            state_root,
            receipts_root,
            number,
        })
    }
}
