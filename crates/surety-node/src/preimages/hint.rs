//! Hints: what a program says it is about to read (`HINT`, docs/spec/machine.md, section 6). They come from programs
//! that strangers wrote, so they are parsed strictly and can name nothing but hashes and addresses.

use alloy::primitives::{Address, B256};

/// Longest hint that is looked at, bytes.
pub const MAX_HINT: usize = 1_024;

/// A hint that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hint {
    /// `preimage 0x<hash>`: one preimage, by hash.
    Preimage(B256),
    /// `header 0x<block hash>`: the block's RLP header.
    Header(B256),
    /// `account 0x<block hash> 0x<address>`: the nodes of the account's proof in the block's state.
    Account(B256, Address),
    /// `storage 0x<block hash> 0x<address> 0x<slot>`: the nodes of the account's and the slot's proofs.
    Storage(B256, Address, B256),
    /// `receipts 0x<block hash>`: the nodes of the block's receipts trie.
    Receipts(B256),
}

impl Hint {
    /// Parses a hint; `None` for one that is not understood, which is not an error: hints change nothing.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_HINT {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok()?;
        let words: Vec<&str> = text.split(' ').collect();
        Some(match words.as_slice() {
            ["preimage", hash] => Self::Preimage(hash_of(hash)?),
            ["header", block] => Self::Header(hash_of(block)?),
            ["account", block, address] => Self::Account(hash_of(block)?, address_of(address)?),
            ["storage", block, address, slot] => Self::Storage(hash_of(block)?, address_of(address)?, hash_of(slot)?),
            ["receipts", block] => Self::Receipts(hash_of(block)?),
            _ => return None,
        })
    }
}

fn hash_of(word: &str) -> Option<B256> {
    word.strip_prefix("0x")?;
    word.parse().ok()
}

fn address_of(word: &str) -> Option<Address> {
    word.strip_prefix("0x")?;
    word.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_parsed_strictly() {
        let h = B256::repeat_byte(0xab);
        let a = Address::repeat_byte(0xcd);
        assert_eq!(Hint::parse(format!("preimage {h}").as_bytes()), Some(Hint::Preimage(h)));
        assert_eq!(Hint::parse(format!("header {h}").as_bytes()), Some(Hint::Header(h)));
        assert_eq!(
            Hint::parse(format!("account {h} {a:#x}").as_bytes()),
            Some(Hint::Account(h, a))
        );
        assert_eq!(
            Hint::parse(format!("storage {h} {a:#x} {h}").as_bytes()),
            Some(Hint::Storage(h, a, h))
        );
        assert_eq!(Hint::parse(format!("receipts {h}").as_bytes()), Some(Hint::Receipts(h)));
        for bad in [
            "",
            "header",
            "header 0x12",
            "header  0x12",
            "account 0x 0x",
            "file /etc/passwd",
            "http://x",
            "\u{0}",
        ] {
            assert_eq!(Hint::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Hint::parse(&[0xff; 10]), None);
        assert_eq!(Hint::parse(&[b'a'; MAX_HINT + 1]), None);
        assert_eq!(Hint::parse(format!("header {h} ").as_bytes()), None, "trailing space");
    }
}
