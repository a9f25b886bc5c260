//! Values: data of events, inputs and outputs of tasks, and their canonical encoding (`docs/spec/network.md`,
//! section 5).

mod json;
mod path;
#[cfg(feature = "serde")]
mod serialize;

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};
use alloy_primitives::{B256, keccak256};
use core::fmt;

pub use json::JsonError;
pub use path::{Path, PathError, Segment};

/// Most levels of a value: a scalar or an empty list has one.
pub const MAX_DEPTH: usize = 16;

/// Longest encoding in bytes: 1 MiB.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const STRING: u8 = 4;
const LIST: u8 = 5;
const OBJECT: u8 = 6;

/// A number: an IEEE 754 double that is neither NaN nor infinite, and of the two zeros the positive one. So equal means
/// identical.
#[derive(Clone, Copy, Default)]
pub struct Number(f64);

impl Number {
    /// `None` of NaN and the infinities; -0 becomes 0.
    pub fn new(number: f64) -> Option<Self> {
        // Adding 0 turns -0 into it, and changes nothing else.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The double.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The integer, if it is exactly this number; `None` if it is none, or not below 2^127 in magnitude.
    pub fn from_integer(integer: i128) -> Option<Self> {
        let number = integer as f64;
        // i128::MAX would round up to 2^127, and the cast back saturates: hence the comparison of magnitudes.
        (number.abs() < 170_141_183_460_469_231_731_687_303_715_884_105_728.0 && number as i128 == integer)
            .then_some(Self(number))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    /// Numerical; total, since there is no NaN and one zero.
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl core::hash::Hash for Number {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

macro_rules! exact {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Number {
            /// Exact.
            fn from(integer: $integer) -> Self {
                Self(f64::from(integer))
            }
        }

        impl From<$integer> for Value {
            /// Exact.
            fn from(integer: $integer) -> Self {
                Self::Number(integer.into())
            }
        }
    )*};
}

exact!(u8 u16 u32 i8 i16 i32);

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A [`Number`].
    Number,
    /// UTF-8.
    String,
    /// Values in order.
    List,
    /// Values by name.
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::List => "a list",
            Self::Object => "an object",
        })
    }
}

/// Data. `Display` is JSON without spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A finite double.
    Number(Number),
    /// UTF-8. Integers beyond 2^53 are carried as decimal strings, bytes as `0x` and hex.
    String(String),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name; keys are unique, and in ascending order of their bytes.
    Object(BTreeMap<String, Value>),
}

/// Why a value can't be encoded, or bytes are no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// More than [`MAX_DEPTH`] levels.
    #[error("value has more than {MAX_DEPTH} levels")]
    TooDeep,
    /// More than [`MAX_VALUE_BYTES`].
    #[error("encoding has {found} bytes or more, expected at most {MAX_VALUE_BYTES}")]
    TooLong {
        /// How many there are at least.
        found: usize,
    },
    /// The bytes end before the value does.
    #[error("encoding ends at byte {at}, where {expected} more are needed")]
    Truncated {
        /// Where it ends.
        at: usize,
        /// How many bytes are missing at least.
        expected: usize,
    },
    /// Bytes follow the value.
    #[error("{found} bytes follow the value")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// No value has this tag.
    #[error("tag at byte {at} is {found}, expected 0 to 6")]
    Tag {
        /// Where.
        at: usize,
        /// What is there.
        found: u8,
    },
    /// NaN, an infinity, or -0.
    #[error("number at byte {at} is {bits:#018x}, expected a finite one and not -0")]
    Number {
        /// Where.
        at: usize,
        /// Its bits.
        bits: u64,
    },
    /// A string is not UTF-8.
    #[error("string at byte {at} is not UTF-8")]
    Utf8 {
        /// Where.
        at: usize,
    },
    /// The keys of an object are not unique and in ascending order.
    #[error("key at byte {at} is not above the one before it")]
    KeyOrder {
        /// Where.
        at: usize,
    },
}

impl Value {
    /// What it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Boolean(_) => Kind::Boolean,
            Self::Number(_) => Kind::Number,
            Self::String(_) => Kind::String,
            Self::List(_) => Kind::List,
            Self::Object(_) => Kind::Object,
        }
    }

    /// An object of these fields; of equal keys the last counts.
    pub fn object<K: Into<String>, V: Into<Self>>(fields: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Object(
            fields
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    /// A list of these values.
    pub fn list<V: Into<Self>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }

    /// The boolean, if it is one.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(it) => Some(*it),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub const fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(it) => Some(it.get()),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(it) => Some(it),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(it) => Some(it),
            _ => None,
        }
    }

    /// The fields, if it is an object.
    pub const fn as_object(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Object(it) => Some(it),
            _ => None,
        }
    }

    /// The field with this name, if it is an object that has one.
    pub fn field(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    /// The element with this index, if it is a list that has one.
    pub fn element(&self, index: usize) -> Option<&Self> {
        self.as_list()?.get(index)
    }

    /// What is at the end of the path, if it leads anywhere.
    pub fn at(&self, path: &Path) -> Option<&Self> {
        path.segments().iter().try_fold(self, |value, segment| match segment {
            Segment::Key(key) => value.field(key),
            Segment::Index(index) => value.element(usize::try_from(*index).ok()?),
        })
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Result<Vec<u8>, ValueError> {
        let mut out = Vec::new();
        self.encode_into(MAX_DEPTH, &mut out)?;
        Ok(out)
    }

    /// keccak-256 of the canonical encoding.
    pub fn hash(&self) -> Result<B256, ValueError> {
        self.encode().map(keccak256)
    }

    /// keccak-256 of a salt and the canonical encoding: what is on-chain of a private value, so that it can't be guessed.
    pub fn salted_hash(&self, salt: &B256) -> Result<B256, ValueError> {
        let mut bytes = salt.to_vec();
        bytes.extend(self.encode()?);
        Ok(keccak256(bytes))
    }

    /// From its canonical encoding and nothing else. Bounded: at most [`MAX_VALUE_BYTES`] are looked at, and memory grows
    /// with what was read, never with what was announced.
    pub fn decode(bytes: &[u8]) -> Result<Self, ValueError> {
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(ValueError::TooLong { found: bytes.len() });
        }
        let mut reader = Reader { rest: bytes, at: 0 };
        let value = reader.value(MAX_DEPTH)?;
        match reader.rest.len() {
            0 => Ok(value),
            found => Err(ValueError::Trailing { found }),
        }
    }

    fn encode_into(&self, levels: usize, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let below = levels.checked_sub(1).ok_or(ValueError::TooDeep)?;
        match self {
            Self::Null => put(out, &[NULL]),
            Self::Boolean(false) => put(out, &[FALSE]),
            Self::Boolean(true) => put(out, &[TRUE]),
            Self::Number(number) => {
                put(out, &[NUMBER])?;
                put(out, &number.0.to_bits().to_be_bytes())
            }
            Self::String(string) => {
                put(out, &[STRING])?;
                put_string(out, string)
            }
            Self::List(list) => {
                put(out, &[LIST])?;
                put_length(out, list.len())?;
                list.iter().try_for_each(|value| value.encode_into(below, out))
            }
            Self::Object(object) => {
                put(out, &[OBJECT])?;
                put_length(out, object.len())?;
                object.iter().try_for_each(|(key, value)| {
                    put_string(out, key)?;
                    value.encode_into(below, out)
                })
            }
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), ValueError> {
    let found = out.len().saturating_add(bytes.len());
    if found > MAX_VALUE_BYTES {
        return Err(ValueError::TooLong { found });
    }
    out.extend_from_slice(bytes);
    Ok(())
}

fn put_length(out: &mut Vec<u8>, length: usize) -> Result<(), ValueError> {
    // More than that many is longer than any encoding.
    let length = u32::try_from(length).map_err(|_| ValueError::TooLong { found: length })?;
    put(out, &length.to_be_bytes())
}

fn put_string(out: &mut Vec<u8>, string: &str) -> Result<(), ValueError> {
    put_length(out, string.len())?;
    put(out, string.as_bytes())
}

/// What is left to read, and where it is.
struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ValueError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ValueError::Truncated {
            at: self.at + self.rest.len(),
            expected: length.saturating_sub(self.rest.len()),
        })?;
        self.rest = rest;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn length(&mut self) -> Result<usize, ValueError> {
        let length = u32::from_be_bytes(self.array()?);
        usize::try_from(length).map_err(|_| ValueError::TooLong { found: usize::MAX })
    }

    fn string(&mut self) -> Result<String, ValueError> {
        let length = self.length()?;
        let at = self.at;
        let bytes = self.take(length)?;
        core::str::from_utf8(bytes)
            .map(ToString::to_string)
            .map_err(|_| ValueError::Utf8 { at })
    }

    /// A value with at most this many levels: it bounds the recursion too.
    fn value(&mut self, levels: usize) -> Result<Value, ValueError> {
        let below = levels.checked_sub(1).ok_or(ValueError::TooDeep)?;
        let at = self.at;
        let [tag] = self.array()?;
        match tag {
            NULL => Ok(Value::Null),
            FALSE => Ok(Value::Boolean(false)),
            TRUE => Ok(Value::Boolean(true)),
            NUMBER => {
                let at = self.at;
                let bits = u64::from_be_bytes(self.array()?);
                let number = Number::new(f64::from_bits(bits)).filter(|number| number.0.to_bits() == bits);
                number.map(Value::Number).ok_or(ValueError::Number { at, bits })
            }
            STRING => self.string().map(Value::String),
            LIST => {
                let count = self.length()?;
                self.can_hold(count, 1)?;
                // Nothing is reserved ahead: sixteen nested counts would each reserve for the whole.
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(self.value(below)?);
                }
                Ok(Value::List(list))
            }
            OBJECT => {
                let count = self.length()?;
                self.can_hold(count, 5)?;
                let mut object = BTreeMap::new();
                for _ in 0..count {
                    let at = self.at;
                    let key = self.string()?;
                    if object.last_key_value().is_some_and(|(last, _)| *last >= key) {
                        return Err(ValueError::KeyOrder { at });
                    }
                    object.insert(key, self.value(below)?);
                }
                Ok(Value::Object(object))
            }
            found => Err(ValueError::Tag { at, found }),
        }
    }

    /// Whether what is left is long enough for so many, of so many bytes at least.
    fn can_hold(&self, count: usize, least: usize) -> Result<(), ValueError> {
        let needed = count.saturating_mul(least);
        if needed <= self.rest.len() {
            return Ok(());
        }
        Err(ValueError::Truncated {
            at: self.at + self.rest.len(),
            expected: needed - self.rest.len(),
        })
    }
}

impl From<bool> for Value {
    fn from(it: bool) -> Self {
        Self::Boolean(it)
    }
}

impl From<Number> for Value {
    fn from(it: Number) -> Self {
        Self::Number(it)
    }
}

impl From<&str> for Value {
    fn from(it: &str) -> Self {
        Self::String(it.into())
    }
}

impl From<String> for Value {
    fn from(it: String) -> Self {
        Self::String(it)
    }
}

impl From<Vec<Value>> for Value {
    fn from(it: Vec<Value>) -> Self {
        Self::List(it)
    }
}

impl From<BTreeMap<String, Value>> for Value {
    fn from(it: BTreeMap<String, Value>) -> Self {
        Self::Object(it)
    }
}
