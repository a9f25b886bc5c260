//! A refusal, in the encoding that Solidity and every Ethereum tool uses.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::abi::{self, AbiError};

/// Why a program refuses a request. The caller receives it as `Error(string)` with exit code 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revert(String);

/// `bytes4(keccak256("Error(string)"))`.
pub(crate) const ERROR_SELECTOR: [u8; 4] = crate::selector("Error(string)").to_be_bytes();

impl Revert {
    /// A refusal with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.0
    }

    /// `Error(string)` with the reason, ABI-encoded.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(&ERROR_SELECTOR);
        abi::Returns::encode_into(&self.0, &mut out);
        out
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Revert {}

impl From<&str> for Revert {
    fn from(reason: &str) -> Self {
        Self(reason.into())
    }
}

impl From<String> for Revert {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<AbiError> for Revert {
    fn from(error: AbiError) -> Self {
        Self(alloc::format!("{error}"))
    }
}
