//! Values on the command line.

use std::{io::Read, path::PathBuf};

use alloy::primitives::{Bytes, U256};

use crate::exit::Failure;

/// Longest input of a program, bytes: one preimage (`docs/spec/machine.md`, section 6).
const MAX_INPUT: usize = surety_machine::MAX_PREIMAGE_BYTES;

/// Where an input comes from: `0x` hex, `-` for standard input, or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSource {
    /// the bytes themselves
    Hex(Bytes),
    /// standard input
    Stdin,
    /// a file
    File(PathBuf),
}

impl std::str::FromStr for InputSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            return alloy::hex::decode(digits)
                .map(|bytes| Self::Hex(bytes.into()))
                .map_err(|e| format!("not hex ({e}); a file whose name begins with 0x is written ./{text}"));
        }
        if text.is_empty() {
            return Err("empty; write 0x for an empty input".to_owned());
        }
        Ok(Self::File(text.into()))
    }
}

impl InputSource {
    /// The bytes, at most 96 KiB.
    pub fn read(&self) -> Result<Bytes, Failure> {
        let limit = |reader: &mut dyn Read| {
            let mut bytes = Vec::new();
            reader.take(MAX_INPUT as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
        };
        let bytes: Bytes = match self {
            Self::Hex(bytes) => bytes.clone(),
            Self::Stdin => limit(&mut std::io::stdin().lock())
                .map_err(|e| Failure::new(format!("standard input cannot be read: {e}"), "give a file or 0x hex"))?
                .into(),
            Self::File(path) => std::fs::File::open(path)
                .and_then(|mut file| limit(&mut file))
                .map_err(|e| {
                    Failure::new(
                        format!("the input file {} cannot be read: {e}", path.display()),
                        "give the name of a file, - for standard input, or 0x and hex digits",
                    )
                })?
                .into(),
        };
        if bytes.len() > MAX_INPUT {
            return Err(Failure::new(
                format!("the input is longer than {MAX_INPUT} bytes (96 KiB), the most a preimage may have"),
                "put large data into preimages (--preimages) and give their hashes as input",
            ));
        }
        Ok(bytes)
    }
}

/// A count of steps: decimal (`1_000_000`, `1,000,000`), hex (`0x10`), `2^36`, `10^9` or `1e9`.
pub fn steps(text: &str) -> Result<u64, String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '_' | ',')).collect();
    let power =
        |base: &str, exponent: &str| -> Option<u64> { base.parse::<u64>().ok()?.checked_pow(exponent.parse().ok()?) };
    let number = if let Some(digits) = plain.strip_prefix("0x") {
        u64::from_str_radix(digits, 16).ok()
    } else if let Some((base, exponent)) = plain.split_once('^') {
        power(base, exponent)
    } else if let Some((factor, exponent)) = plain.split_once(['e', 'E']) {
        power("10", exponent).and_then(|p| factor.parse::<u64>().ok()?.checked_mul(p))
    } else {
        plain.parse().ok()
    };
    number.ok_or_else(|| "expected a number of steps from 0 to 2^64-1, such as 1000000, 2^36 or 1e9".to_owned())
}

/// An amount of the token: whole units with a fraction (`32.5`), or `123wei`.
pub fn amount(text: &str) -> Result<U256, String> {
    if let Some(wei) = text.strip_suffix("wei") {
        return wei
            .trim()
            .parse()
            .map_err(|_| format!("`{wei}` is not a whole number of wei"));
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("expected an amount such as 32.5, or 123wei".to_owned());
    }
    surety_client::network::parse_amount(text)
        .ok_or_else(|| "expected an amount such as 32.5 with at most 18 decimals, or 123wei".to_owned())
}

/// An amount as people read it.
pub fn show_amount(wei: U256) -> String {
    let text = alloy::primitives::utils::format_units(wei, 18).unwrap_or_else(|_| wei.to_string());
    let trimmed = text.trim_end_matches('0').trim_end_matches('.');
    if trimmed.is_empty() {
        "0".to_owned()
    } else {
        trimmed.to_owned()
    }
}

/// A probability.
pub fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("expected a probability from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_in_the_usual_notations() {
        for (text, number) in [
            ("0", 0),
            ("1_000", 1000),
            ("1,000", 1000),
            ("0x10", 16),
            ("2^36", 1 << 36),
            ("1e9", 1_000_000_000),
        ] {
            assert_eq!(steps(text), Ok(number), "{text}");
        }
        for text in ["", "-1", "1.5", "2^64", "1e20", "x", "0x", "^", "e"] {
            assert!(steps(text).is_err(), "{text}");
        }
        assert_eq!(steps("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn amounts_are_in_units_or_wei() {
        assert_eq!(amount("1.5"), Ok(U256::from(1_500_000_000_000_000_000_u64)));
        assert_eq!(amount("7wei"), Ok(U256::from(7)));
        assert!(amount("-1").is_err() && amount("x").is_err() && amount("").is_err());
        // Nothing is cut off in silence.
        assert!(amount("0.1234567890123456789").is_err() && amount("1e3").is_err());
        assert_eq!(show_amount(U256::from(1_500_000_000_000_000_000_u64)), "1.5");
        assert_eq!(show_amount(U256::ZERO), "0");
    }

    #[test]
    fn inputs_are_hex_files_or_stdin() {
        assert_eq!("0x".parse(), Ok(InputSource::Hex(Bytes::new())));
        assert_eq!("0x0aFF".parse(), Ok(InputSource::Hex(vec![0x0a, 0xff].into())));
        assert_eq!("-".parse(), Ok(InputSource::Stdin));
        assert_eq!("x.bin".parse(), Ok(InputSource::File("x.bin".into())));
        assert!("0xabc".parse::<InputSource>().is_err());
        assert!("0xzz".parse::<InputSource>().is_err());
        let failure = InputSource::Hex(vec![0; MAX_INPUT + 1].into())
            .read()
            .expect_err("too long");
        assert!(failure.message.contains("98304"), "{failure}");
        assert!(InputSource::Hex(vec![0; MAX_INPUT].into()).read().is_ok());
    }
}
