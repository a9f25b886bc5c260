//! The envelope: a quote with its collateral, as one byte string that can be hashed, registered and served.
//!
//! ```text
//! 0        1     version, 1
//! 1        1     kind: 1 SGX v3, 2 TDX v4, 3 TDX v5, 4 SEV-SNP, 5 Nitro
//! 2        4     length of the quote, big-endian
//! 6        q     the quote
//! 6 + q    4     length of the collateral, big-endian
//! 10 + q   c     the collateral
//! ```

use alloy_primitives::{B256, keccak256};

use crate::{Collateral, Error, Kind, Quote};

/// Longest envelope, in bytes.
pub const MAX_ENVELOPE: usize = 128 * 1024;

const VERSION: u8 = 1;

/// A quote with its collateral. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    quote: Quote,
    collateral: Collateral,
}

impl Evidence {
    /// A quote with what comes with it.
    ///
    /// # Errors
    ///
    /// [`Error::NoCollateral`] if the collateral is not of the quote's kind, [`Error::Malformed`] if its certificates are
    /// none, or both together are longer than [`MAX_ENVELOPE`].
    pub fn new(quote: Quote, collateral: Collateral) -> Result<Self, Error> {
        let kind = quote.kind();
        let expected = match (kind, &collateral) {
            (Kind::SgxV3 | Kind::TdxV4 | Kind::TdxV5, Collateral::Dcap(_))
            | (Kind::SevSnp, Collateral::Snp(_))
            | (Kind::Nitro, Collateral::None) => None,
            (Kind::SgxV3 | Kind::TdxV4 | Kind::TdxV5, _) => Some("Intel's collateral as JSON"),
            (Kind::SevSnp, _) => Some("the certificate of the key that signed the report (VCEK or VLEK)"),
            (Kind::Nitro, _) => Some("none: a Nitro document brings its certificates"),
        };
        if let Some(expected) = expected {
            return Err(Error::NoCollateral { kind, expected });
        }
        if let Collateral::Snp(chain) = &collateral {
            chain.check()?;
        }
        let evidence = Self { quote, collateral };
        let length = evidence.encode().len();
        if length > MAX_ENVELOPE {
            return Err(Error::malformed(
                "the envelope",
                format!("{length} bytes"),
                format!("at most {MAX_ENVELOPE}"),
            ));
        }
        Ok(evidence)
    }

    /// The quote.
    pub fn quote(&self) -> &Quote {
        &self.quote
    }

    /// What comes with it.
    pub fn collateral(&self) -> &Collateral {
        &self.collateral
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.quote.kind() as u8];
        for part in [self.quote.as_bytes(), &self.collateral.to_bytes()] {
            // Both are bounded far below, by `MAX_QUOTE` and `MAX_ENVELOPE`.
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Reads an envelope. There is one byte string for one evidence: what [`Evidence::encode`] writes.
    ///
    /// # Errors
    ///
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "the envelope";
        if bytes.len() > MAX_ENVELOPE {
            return Err(Error::malformed(
                WHAT,
                format!("{} bytes", bytes.len()),
                format!("at most {MAX_ENVELOPE}"),
            ));
        }
        let Some((&[version, number], rest)) = bytes.split_first_chunk::<2>() else {
            return Err(Error::malformed(WHAT, format!("{} bytes", bytes.len()), "at least 10"));
        };
        if version != VERSION {
            return Err(Error::malformed(
                WHAT,
                format!("version {version}"),
                format!("version {VERSION}"),
            ));
        }
        let Some(kind) = Kind::from_number(number) else {
            return Err(Error::malformed(WHAT, format!("kind {number}"), "a kind from 1 to 5"));
        };
        let (quote, rest) = part(rest)?;
        let (collateral, rest) = part(rest)?;
        if !rest.is_empty() {
            return Err(Error::malformed(
                WHAT,
                format!("{} bytes after the collateral", rest.len()),
                "none",
            ));
        }
        let evidence = Self::new(Quote::parse(kind, quote)?, Collateral::from_bytes(kind, collateral)?)?;
        if evidence.encode() != bytes {
            return Err(Error::malformed(
                WHAT,
                "another encoding of the same evidence",
                "the quote without padding, and the collateral as this crate writes it",
            ));
        }
        Ok(evidence)
    }

    /// Reads an envelope that was registered by its hash.
    ///
    /// # Errors
    ///
    /// [`Error::Hash`] for other bytes; otherwise as [`Evidence::decode`].
    pub fn decode_registered(bytes: &[u8], hash: B256) -> Result<Self, Error> {
        let found = keccak256(bytes);
        if found != hash {
            return Err(Error::Hash { found, expected: hash });
        }
        Self::decode(bytes)
    }

    /// keccak256 of its bytes: what is registered.
    pub fn hash(&self) -> B256 {
        keccak256(self.encode())
    }
}

/// A length and as many bytes; and what follows.
fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let cut = |bytes: &[u8]| Error::malformed("the envelope", format!("{} bytes", bytes.len()), "a length and a part");
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| cut(bytes))?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    rest.split_at_checked(length).ok_or_else(|| cut(rest))
}
