//! RLP, decoding only, and only its canonical form. Source: Yellow Paper, appendix B.

use core::fmt;

/// Bytes that are not canonical RLP, or not the RLP that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RlpError {
    /// The bytes end before the item does.
    Short,
    /// A length or a single byte in a longer form than needed.
    NotCanonical,
    /// A list where a string was expected, or the other way round.
    Kind,
    /// A string of another length than expected.
    Length {
        /// Bytes.
        expected: usize,
        /// Bytes.
        found: usize,
    },
    /// An integer with leading zeros, or too large.
    Integer,
    /// Bytes after the last item expected.
    Trailing,
}

impl fmt::Display for RlpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("RLP item is cut short"),
            Self::NotCanonical => f.write_str("RLP is not canonical"),
            Self::Kind => f.write_str("RLP has a list for a string or a string for a list"),
            Self::Length { expected, found } => write!(f, "RLP string has {found} bytes, expected {expected}"),
            Self::Integer => f.write_str("RLP integer has leading zeros or is too large"),
            Self::Trailing => f.write_str("RLP has bytes after its last item"),
        }
    }
}

impl core::error::Error for RlpError {}

/// One item, undecoded within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A byte string.
    String(&'a [u8]),
    /// A list; its payload is items, one after the other.
    List(Items<'a>),
}

impl<'a> Item<'a> {
    /// The only item in `data`.
    ///
    /// # Errors
    /// [`RlpError`] when that is not one canonical item and nothing else.
    pub fn only(data: &'a [u8]) -> Result<Self, RlpError> {
        let mut items = Items(data);
        let item = items.next()?;
        items.end()?;
        Ok(item)
    }

    /// The item as a string.
    ///
    /// # Errors
    /// [`RlpError::Kind`] for a list.
    pub fn string(self) -> Result<&'a [u8], RlpError> {
        match self {
            Self::String(bytes) => Ok(bytes),
            Self::List(_) => Err(RlpError::Kind),
        }
    }

    /// The item as a list.
    ///
    /// # Errors
    /// [`RlpError::Kind`] for a string.
    pub fn list(self) -> Result<Items<'a>, RlpError> {
        match self {
            Self::List(items) => Ok(items),
            Self::String(_) => Err(RlpError::Kind),
        }
    }

    /// The item as a string of `N` bytes.
    ///
    /// # Errors
    /// [`RlpError::Kind`] and [`RlpError::Length`].
    pub fn array<const N: usize>(self) -> Result<&'a [u8; N], RlpError> {
        let bytes = self.string()?;
        bytes.try_into().map_err(|_| RlpError::Length {
            expected: N,
            found: bytes.len(),
        })
    }

    /// The item as an integer of at most `N` bytes, big-endian.
    ///
    /// # Errors
    /// [`RlpError::Kind`] and [`RlpError::Integer`].
    pub fn integer<const N: usize>(self) -> Result<[u8; N], RlpError> {
        let bytes = self.string()?;
        if bytes.first() == Some(&0) {
            return Err(RlpError::Integer);
        }
        let mut value = [0; N];
        let start = N.checked_sub(bytes.len()).ok_or(RlpError::Integer)?;
        value.get_mut(start..).ok_or(RlpError::Integer)?.copy_from_slice(bytes);
        Ok(value)
    }
}

/// Items that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Whether no item is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next item.
    ///
    /// # Errors
    /// [`RlpError::Short`] and [`RlpError::NotCanonical`].
    #[allow(clippy::should_implement_trait, reason = "fails where an iterator would end")]
    pub fn next(&mut self) -> Result<Item<'a>, RlpError> {
        let (&first, rest) = self.0.split_first().ok_or(RlpError::Short)?;
        let (payload_length, rest) = match first {
            0x00..=0x7f => {
                let (byte, rest) = self.0.split_at_checked(1).ok_or(RlpError::Short)?;
                self.0 = rest;
                return Ok(Item::String(byte));
            }
            0x80..=0xb7 => (usize::from(first & 0x3f), rest),
            0xb8..=0xbf => long_length(first & 0x07, rest)?,
            0xc0..=0xf7 => (usize::from(first & 0x3f), rest),
            0xf8..=0xff => long_length(first & 0x07, rest)?,
        };
        let (payload, rest) = rest.split_at_checked(payload_length).ok_or(RlpError::Short)?;
        self.0 = rest;
        if first >= 0xc0 {
            return Ok(Item::List(Items(payload)));
        }
        match payload {
            [0x00..=0x7f] => Err(RlpError::NotCanonical),
            payload => Ok(Item::String(payload)),
        }
    }

    /// Checks that no item is left.
    ///
    /// # Errors
    /// [`RlpError::Trailing`].
    pub fn end(&self) -> Result<(), RlpError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(RlpError::Trailing)
        }
    }

    /// The next `N` items, which must be all.
    ///
    /// # Errors
    /// As [`Self::next`] and [`Self::end`].
    pub fn exactly<const N: usize>(mut self) -> Result<[Item<'a>; N], RlpError> {
        let mut items = [Item::String(&[]); N];
        for item in &mut items {
            *item = self.next()?;
        }
        self.end()?;
        Ok(items)
    }

    /// How many items these are; every one is looked at.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn count(mut self) -> Result<u32, RlpError> {
        let mut count = 0u32;
        while !self.is_empty() {
            self.next()?;
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// The bytes these items are encoded in.
    pub fn payload(&self) -> &'a [u8] {
        self.0
    }
}

/// A payload length in `extra + 1` big-endian bytes, which must be over 55 and without leading zeros.
fn long_length(extra: u8, rest: &[u8]) -> Result<(usize, &[u8]), RlpError> {
    let (bytes, rest) = rest
        .split_at_checked(usize::from(extra).saturating_add(1))
        .ok_or(RlpError::Short)?;
    if bytes.first() == Some(&0) {
        return Err(RlpError::NotCanonical);
    }
    // Nothing here is 4 GiB long, so more than four bytes of length run past the end.
    let length = match *bytes {
        [a] => u32::from_be_bytes([0, 0, 0, a]),
        [a, b] => u32::from_be_bytes([0, 0, a, b]),
        [a, b, c] => u32::from_be_bytes([0, a, b, c]),
        [a, b, c, d] => u32::from_be_bytes([a, b, c, d]),
        _ => return Err(RlpError::Short),
    };
    if length <= 55 {
        return Err(RlpError::NotCanonical);
    }
    Ok((usize::try_from(length).map_err(|_| RlpError::Short)?, rest))
}
