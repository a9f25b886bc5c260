//! 32-byte hashes that must not be mistaken for one another.

use alloy_primitives::{Address, B256, hex, keccak256};
use core::{fmt, ops::Deref, str::FromStr};

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub B256);

        impl $name {
            /// 32 zero bytes.
            pub const ZERO: Self = Self(B256::ZERO);
        }

        impl Deref for $name {
            type Target = B256;

            fn deref(&self) -> &B256 {
                &self.0
            }
        }

        impl From<B256> for $name {
            fn from(hash: B256) -> Self {
                Self(hash)
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(hash: [u8; 32]) -> Self {
                Self(B256::new(hash))
            }
        }

        impl From<$name> for B256 {
            fn from(hash: $name) -> Self {
                hash.0
            }
        }

        impl From<$name> for [u8; 32] {
            fn from(hash: $name) -> Self {
                hash.0.0
            }
        }

        impl FromStr for $name {
            type Err = hex::FromHexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        /// All 32 bytes, `0x` first.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

hash! {
    /// Hash of a freshly loaded program: code root and height, memory root and height, entry
    /// (`docs/spec/machine.md`, section 1).
    ProgramHash
}

hash! {
    /// keccak-256 of a request's input.
    InputHash
}

hash! {
    /// Commitment to what a program has written; see [`crate::Output`].
    OutputRoot
}

hash! {
    /// Hash of an [`crate::Outcome`]: what a claim asserts.
    ResultHash
}

hash! {
    /// Hash of a request: its transaction hash, or, on the forced path, [`crate::forced_request_hash`].
    RequestHash
}

hash! {
    /// Hash of a [`crate::Statement`].
    StatementId
}

hash! {
    /// Which dispute: what it is about, and who opened it (`docs/spec/dispute.md`, section 1). One account has at most
    /// one dispute about a statement open at a time; several accounts can each have one.
    DisputeId
}

impl DisputeId {
    /// keccak256(abi.encode(statement id, opener)): two words, 64 bytes.
    pub fn new(statement: StatementId, opener: Address) -> Self {
        let mut words = [0; 64];
        let (first, second) = words.split_at_mut(32);
        first.copy_from_slice(statement.as_slice());
        second.copy_from_slice(opener.into_word().as_slice());
        keccak256(words).into()
    }
}
