//! Bytes of a quote: which kind, and where it ends.

use alloy_primitives::hex;

use crate::{Error, Kind, nitro};

/// Longest quote, in bytes. Intel's have 5,000 to 10,000, Nitro documents 4,700.
pub const MAX_QUOTE: usize = 32 * 1024;

/// Bytes of a SEV-SNP report.
pub(crate) const SNP_REPORT: usize = 1184;

/// Bytes of a quote, of a known kind, without what some sources put after it. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    kind: Kind,
    bytes: Vec<u8>,
}

impl Quote {
    /// Reads a quote and finds out its kind.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if it is none of the known kinds, or not well formed as the one it seems to be.
    pub fn detect(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse(detect(bytes)?, bytes)
    }

    /// Reads a quote of a given kind. Zero bytes after an Intel quote, and the CBOR tag of a Nitro document, are
    /// dropped; anything else that does not belong there is an error.
    ///
    /// # Errors
    ///
    /// [`Error::WrongKind`] if it is another kind's, [`Error::Malformed`] if it is none's.
    pub fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_QUOTE {
            return Err(Error::malformed(
                "the quote",
                format!("{} bytes", bytes.len()),
                format!("at most {MAX_QUOTE}"),
            ));
        }
        let found = detect(bytes)?;
        if found != kind {
            return Err(Error::WrongKind { found, expected: kind });
        }
        let bytes = match kind {
            Kind::SgxV3 | Kind::TdxV4 | Kind::TdxV5 => intel_extent(kind, bytes)?,
            Kind::SevSnp => bytes,
            Kind::Nitro => nitro::untagged(bytes),
        };
        if kind == Kind::Nitro {
            nitro::Document::parse(bytes)?;
        }
        Ok(Self {
            kind,
            bytes: bytes.to_vec(),
        })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The kind that the first bytes (and for SEV-SNP the length) tell.
fn detect(bytes: &[u8]) -> Result<Kind, Error> {
    let expected = "an SGX quote (version 3), a TDX quote (4 or 5), a SEV-SNP report (1184 bytes, version 2 to 5) or a Nitro \
                    document (COSE_Sign1)";
    let Some(&[a, b, c, d, e, f, g, h]) = bytes.first_chunk::<8>() else {
        return Err(Error::malformed(
            "the quote",
            format!("{} bytes", bytes.len()),
            expected,
        ));
    };
    // Little-endian: version, type of the attestation key, type of the enclave; for SEV-SNP the version alone.
    let (version, key, tee) = (
        u16::from_le_bytes([a, b]),
        u16::from_le_bytes([c, d]),
        u32::from_le_bytes([e, f, g, h]),
    );
    match (version, key, tee) {
        (3, 2, 0) => return Ok(Kind::SgxV3),
        (4, 2, 0x81) => return Ok(Kind::TdxV4),
        (5, 2, 0x81) => return Ok(Kind::TdxV5),
        (3..=5, 2 | 3, 0 | 0x81) => {
            let tee = if tee == 0 { "SGX" } else { "TDX" };
            let key = if key == 2 { "P-256" } else { "P-384" };
            return Err(Error::malformed(
                "the quote",
                format!("an {tee} quote of version {version} with a {key} attestation key"),
                expected,
            ));
        }
        _ => {}
    }
    if bytes.len() == SNP_REPORT && (2..=5).contains(&version) && key == 0 {
        return Ok(Kind::SevSnp);
    }
    if nitro::looks_like(bytes) {
        return Ok(Kind::Nitro);
    }
    let start = bytes.get(..8).unwrap_or_default();
    Err(Error::malformed(
        "the quote",
        format!("{} bytes that begin with {}", bytes.len(), hex::encode(start)),
        expected,
    ))
}

/// An Intel quote without the zero bytes that some sources put after it.
fn intel_extent(kind: Kind, bytes: &[u8]) -> Result<&[u8], Error> {
    const HEADER: usize = 48;
    let at = |offset: usize| -> Result<usize, Error> {
        let word = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
        word.map(|word| usize::try_from(u32::from_le_bytes(*word)).unwrap_or(usize::MAX))
            .ok_or_else(|| {
                Error::malformed(
                    "the quote",
                    format!("{} bytes", bytes.len()),
                    "a length after the report",
                )
            })
    };
    let signatures = match kind {
        Kind::SgxV3 => HEADER + 384,
        Kind::TdxV4 => HEADER + 584,
        // Two bytes say which report, four how long it is.
        _ => at(HEADER + 2)?.saturating_add(HEADER + 6),
    };
    let end = at(signatures)?.saturating_add(signatures).saturating_add(4);
    let (Some(quote), Some(rest)) = (bytes.get(..end), bytes.get(end..)) else {
        return Err(Error::malformed(
            "the quote",
            format!("{} bytes", bytes.len()),
            format!("{end}, as its lengths say"),
        ));
    };
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Error::malformed(
            "the quote",
            format!("{} bytes after its end that are not all zero", rest.len()),
            "nothing, or zeros",
        ));
    }
    Ok(quote)
}
