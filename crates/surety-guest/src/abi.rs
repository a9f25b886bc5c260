//! The contract ABI, as far as a program's calls need it: words, `bytes`, `string`, and arrays of words.
//!
//! Source: the Solidity documentation, "Contract ABI Specification". Decoding is strict about values (an `address`
//! with non-zero padding, a `bool` of 2, an offset or length outside the data are refused) and, as Solidity's own,
//! indifferent to bytes that nothing refers to.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The size of an ABI word in bytes.
const WORD: usize = 32;

/// Arguments that do not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbiError {
    /// The data ends before the argument does.
    Short {
        /// Which argument, from 0.
        argument: usize,
        /// Bytes that would be needed.
        needed: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// A word that is not a value of the type.
    Range {
        /// Which argument, from 0.
        argument: usize,
        /// The ABI name of the type.
        expected: &'static str,
    },
    /// `string` with bytes that are not UTF-8.
    Utf8 {
        /// Which argument, from 0.
        argument: usize,
    },
}

impl fmt::Display for AbiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short {
                argument,
                needed,
                found,
            } => {
                write!(f, "argument {argument} needs {needed} bytes of data, found {found}")
            }
            Self::Range { argument, expected } => write!(f, "argument {argument} is not a valid {expected}"),
            Self::Utf8 { argument } => write!(f, "argument {argument} is not UTF-8"),
        }
    }
}

impl core::error::Error for AbiError {}

/// A call's arguments: everything after the selector.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    /// Over the ABI encoding of a tuple.
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    fn word_at(&self, argument: usize, at: usize) -> Result<&'a [u8; WORD], AbiError> {
        let short = AbiError::Short {
            argument,
            needed: at.saturating_add(WORD),
            found: self.0.len(),
        };
        self.0.get(at..).and_then(<[u8]>::first_chunk).ok_or(short)
    }

    /// The word in the head at `argument`.
    ///
    /// # Errors
    /// [`AbiError::Short`] when the data ends before.
    pub fn word(&self, argument: usize) -> Result<&'a [u8; WORD], AbiError> {
        self.word_at(argument, argument.saturating_mul(WORD))
    }

    /// Follows the offset at `argument` to a length and as many elements of `size` bytes.
    fn tail(&self, argument: usize, size: usize, expected: &'static str) -> Result<&'a [u8], AbiError> {
        let range = AbiError::Range { argument, expected };
        let offset = small(self.word(argument)?).ok_or(range)?;
        let count = small(self.word_at(argument, offset)?).ok_or(range)?;
        let start = offset.checked_add(WORD).ok_or(range)?;
        let end = count
            .checked_mul(size)
            .and_then(|length| start.checked_add(length))
            .ok_or(range)?;
        self.0.get(start..end).ok_or(AbiError::Short {
            argument,
            needed: end,
            found: self.0.len(),
        })
    }
}

/// A word as a number that can index memory.
fn small(word: &[u8; WORD]) -> Option<usize> {
    let (high, low) = word.split_last_chunk::<4>()?;
    if high.iter().any(|&byte| byte != 0) {
        return None;
    }
    usize::try_from(u32::from_be_bytes(*low)).ok()
}

/// A type of the ABI: how to decode it from arguments and encode it into results.
pub trait AbiType: Sized {
    /// Its canonical name, as signatures spell it.
    const NAME: &'static str;
    /// Whether its value lies in the tail, with only an offset in the head.
    const DYNAMIC: bool;

    /// The argument with this index.
    ///
    /// # Errors
    /// [`AbiError`] when the data is short or is no value of this type.
    fn decode(arguments: &Arguments<'_>, argument: usize) -> Result<Self, AbiError>;

    /// Appends the value: the word of a static type, length and padded contents of a dynamic one.
    fn encode_value(&self, out: &mut Vec<u8>);
}

/// A type of one word, which can be an element of an array.
pub trait AbiWord: AbiType {
    /// The name of an array of it.
    const ARRAY_NAME: &'static str;

    /// From the word, if it is a value of the type.
    fn from_word(word: &[u8; WORD]) -> Option<Self>;

    /// To the word.
    fn to_word(&self) -> [u8; WORD];
}

macro_rules! word_type {
    ($type:ty, $name:literal) => {
        impl AbiType for $type {
            const NAME: &'static str = $name;
            const DYNAMIC: bool = false;

            fn decode(arguments: &Arguments<'_>, argument: usize) -> Result<Self, AbiError> {
                Self::from_word(arguments.word(argument)?).ok_or(AbiError::Range {
                    argument,
                    expected: Self::NAME,
                })
            }

            fn encode_value(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_word());
            }
        }
    };
}

macro_rules! unsigned {
    ($($type:ty, $name:literal);+) => {$(
        word_type!($type, $name);

        impl AbiWord for $type {
            const ARRAY_NAME: &'static str = concat!($name, "[]");

            fn from_word(word: &[u8; WORD]) -> Option<Self> {
                let (high, low) = word.split_last_chunk()?;
                high.iter().all(|&byte| byte == 0).then(|| <$type>::from_be_bytes(*low))
            }

            fn to_word(&self) -> [u8; WORD] {
                let mut word = [0; WORD];
                word[WORD - size_of::<$type>()..].copy_from_slice(&self.to_be_bytes());
                word
            }
        }
    )+};
}

unsigned!(u8, "uint8"; u16, "uint16"; u32, "uint32"; u64, "uint64"; u128, "uint128");

word_type!(bool, "bool");
impl AbiWord for bool {
    const ARRAY_NAME: &'static str = "bool[]";

    fn from_word(word: &[u8; WORD]) -> Option<Self> {
        match u8::from_word(word)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn to_word(&self) -> [u8; WORD] {
        u8::from(*self).to_word()
    }
}

word_type!([u8; 32], "bytes32");
impl AbiWord for [u8; 32] {
    const ARRAY_NAME: &'static str = "bytes32[]";

    fn from_word(word: &[u8; WORD]) -> Option<Self> {
        Some(*word)
    }

    fn to_word(&self) -> [u8; WORD] {
        *self
    }
}

/// An Ethereum address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 20]);

word_type!(Address, "address");
impl AbiWord for Address {
    const ARRAY_NAME: &'static str = "address[]";

    fn from_word(word: &[u8; WORD]) -> Option<Self> {
        let (high, low) = word.split_last_chunk()?;
        high.iter().all(|&byte| byte == 0).then_some(Self(*low))
    }

    fn to_word(&self) -> [u8; WORD] {
        let mut word = [0; WORD];
        word[12..].copy_from_slice(&self.0);
        word
    }
}

/// A `uint256` as its 32 bytes, big-endian. It orders and converts; for arithmetic, use an integer crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct U256(pub [u8; 32]);

word_type!(U256, "uint256");
impl AbiWord for U256 {
    const ARRAY_NAME: &'static str = "uint256[]";

    fn from_word(word: &[u8; WORD]) -> Option<Self> {
        Some(Self(*word))
    }

    fn to_word(&self) -> [u8; WORD] {
        self.0
    }
}

impl From<u64> for U256 {
    fn from(value: u64) -> Self {
        Self(value.to_word())
    }
}

impl From<u128> for U256 {
    fn from(value: u128) -> Self {
        Self(value.to_word())
    }
}

impl TryFrom<U256> for u64 {
    type Error = U256;

    /// The value, or itself where it is 2^64 or more.
    fn try_from(value: U256) -> Result<Self, U256> {
        Self::from_word(&value.0).ok_or(value)
    }
}

/// Arrays of one-word types.
impl<T: AbiWord> AbiType for Vec<T> {
    const NAME: &'static str = T::ARRAY_NAME;
    const DYNAMIC: bool = true;

    fn decode(arguments: &Arguments<'_>, argument: usize) -> Result<Self, AbiError> {
        let (words, _) = arguments.tail(argument, WORD, Self::NAME)?.as_chunks();
        let range = AbiError::Range {
            argument,
            expected: T::NAME,
        };
        words.iter().map(|word| T::from_word(word).ok_or(range)).collect()
    }

    fn encode_value(&self, out: &mut Vec<u8>) {
        out.reserve(WORD.saturating_mul(self.len().saturating_add(1)));
        out.extend_from_slice(&(self.len() as u64).to_word());
        for element in self {
            out.extend_from_slice(&element.to_word());
        }
    }
}

/// `bytes`. A type of its own, since `Vec<u8>` is `uint8[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AbiType for Bytes {
    const NAME: &'static str = "bytes";
    const DYNAMIC: bool = true;

    fn decode(arguments: &Arguments<'_>, argument: usize) -> Result<Self, AbiError> {
        Ok(Self(arguments.tail(argument, 1, Self::NAME)?.to_vec()))
    }

    fn encode_value(&self, out: &mut Vec<u8>) {
        encode_bytes(&self.0, out);
    }
}

impl AbiType for String {
    const NAME: &'static str = "string";
    const DYNAMIC: bool = true;

    fn decode(arguments: &Arguments<'_>, argument: usize) -> Result<Self, AbiError> {
        let bytes = arguments.tail(argument, 1, Self::NAME)?;
        Self::from_utf8(bytes.to_vec()).map_err(|_| AbiError::Utf8 { argument })
    }

    fn encode_value(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let padded = bytes.len().next_multiple_of(WORD);
    out.reserve(WORD + padded);
    out.extend_from_slice(&(bytes.len() as u64).to_word());
    out.extend_from_slice(bytes);
    out.resize(out.len() + padded - bytes.len(), 0);
}

/// What a method returns: nothing, one value, or a tuple of values.
pub trait Returns {
    /// Appends the ABI encoding of the return values.
    fn encode_into(&self, out: &mut Vec<u8>);
}

impl Returns for () {
    fn encode_into(&self, _: &mut Vec<u8>) {}
}

impl<T: AbiType> Returns for T {
    fn encode_into(&self, out: &mut Vec<u8>) {
        let start = out.len();
        encode_element(self, start, start, WORD, out);
    }
}

/// Puts one element of a tuple that starts at `start`, whose heads take `heads` bytes, into its place. The heads
/// before it and the tails so far are already there.
fn encode_element<T: AbiType>(value: &T, start: usize, head: usize, heads: usize, out: &mut Vec<u8>) {
    if out.len() < start + heads {
        out.resize(start + heads, 0);
    }
    let word = if T::DYNAMIC {
        let offset = (out.len() - start) as u64;
        value.encode_value(out);
        offset.to_word()
    } else {
        let end = out.len();
        value.encode_value(out);
        let mut word = [0; WORD];
        word.copy_from_slice(&out[end..]);
        out.truncate(end);
        word
    };
    out[head..head + WORD].copy_from_slice(&word);
}

macro_rules! returns_tuple {
    ($count:literal: $($type:ident $index:tt),+) => {
        impl<$($type: AbiType),+> Returns for ($($type,)+) {
            fn encode_into(&self, out: &mut Vec<u8>) {
                let start = out.len();
                $(encode_element(&self.$index, start, start + WORD * $index, WORD * $count, out);)+
            }
        }
    };
}

returns_tuple!(1: A 0);
returns_tuple!(2: A 0, B 1);
returns_tuple!(3: A 0, B 1, C 2);
returns_tuple!(4: A 0, B 1, C 2, D 3);
returns_tuple!(5: A 0, B 1, C 2, D 3, E 4);
returns_tuple!(6: A 0, B 1, C 2, D 3, E 4, F 5);
returns_tuple!(7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
returns_tuple!(8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
