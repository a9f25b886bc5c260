//! A block explorer that has to be right: it answers from a block's hash alone, and checks everything it is given
//! against it.
//!
//! It reads the block's header, whose keccak-256 is the block's hash, then goes down the state trie or the receipts
//! trie from the root that the header names. Every header and node is hashed again here, so a wrong one is refused
//! (`Error(string)`, exit code 1) by whatever engine the program runs on.
//!
//! Hints, for the provider to fetch what will be read: `header 0x<block hash>`,
//! `account 0x<block hash> 0x<address>`, `receipts 0x<block hash>`.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use ethereum_proofs::{Account, Header, Receipt, receipt_key, trie};
use surety_guest::{Address, Bytes, Mismatch, Revert, U256, hint, keccak256, read_preimage_checked};

/// The account's balance in wei after the block; 0 for an account that the state does not have.
fn balance_of(block_hash: [u8; 32], account: Address) -> Result<U256, Revert> {
    let header = header(&block_hash)?;
    hint(format_args!("account {} {}", Hex(&block_hash), Hex(&account.0)));
    let Some(rlp) = lookup(&header.state_root, &keccak256(&account.0))? else {
        return Ok(U256::default());
    };
    Account::decode(&rlp)
        .map(|account| U256(account.balance))
        .map_err(|error| refusal("account", error))
}

/// Type, success, cumulative gas used and number of logs of the receipt at an index of the block, and its
/// EIP-2718 encoding.
fn receipt(block_hash: [u8; 32], index: U256) -> Result<(u8, bool, U256, U256, Bytes), Revert> {
    let header = header(&block_hash)?;
    hint(format_args!("receipts {}", Hex(&block_hash)));
    let index = u64::try_from(index).map_err(|index| refusal("no receipt at index", Hex(&index.0)))?;
    let Some(raw) = lookup(&header.receipts_root, &receipt_key(index))? else {
        return Err(refusal("no receipt at index", index));
    };
    let receipt = Receipt::decode(&raw).map_err(|error| refusal("receipts trie", error))?;
    Ok((
        receipt.kind,
        receipt.success,
        U256::from(receipt.cumulative_gas_used),
        U256::from(u64::from(receipt.logs)),
        Bytes(raw),
    ))
}

/// The header of the block with this hash.
fn header(block_hash: &[u8; 32]) -> Result<Header, Revert> {
    hint(format_args!("header {}", Hex(block_hash)));
    let rlp = read_preimage_checked(block_hash).map_err(|error| refusal("header", error))?;
    Header::decode(&rlp).map_err(|error| refusal("header", error))
}

/// The value of a key in the trie with this root; `None` where the trie shows that it has none.
fn lookup(root: &[u8; 32], key: &[u8]) -> Result<Option<Vec<u8>>, Revert> {
    trie::get::<Mismatch>(root, key, read_preimage_checked).map_err(|error| refusal("proof", error))
}

fn refusal(what: &str, why: impl fmt::Display) -> Revert {
    Revert::new(format!("{what}: {why}"))
}

/// Bytes as `0x…`.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

surety_guest::methods! {
    stack = 16 * 1024;
    "balanceOf(bytes32,address)" => balance_of,
    "receipt(bytes32,uint256)" => receipt,
}
