//! `surety quote`: verify an enclave's quote here, against the vendors' pinned roots.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::{
    hex,
    primitives::{B512, Bytes},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use surety_enclave::{
    Collateral, Error, Evidence, Kind, MAX_ENVELOPE, Policy, Quote, Remedy, Roots, Verified, date, inspect,
};

use crate::{
    exit::{Failure, code},
    ui::Ui,
};

/// Longest file that is read: an envelope as hex, and JSON around it.
const MAX_FILE: u64 = 4 * MAX_ENVELOPE as u64;
/// Longest frame before a Nitro document.
const MAX_FRAME: usize = 64;

/// Verify the quotes of enclaves (SGX, TDX, SEV-SNP, Nitro): nothing is asked of a network, roots are pinned.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify a quote with its collateral; exit code 19 if it is refused.
    Verify(Verify),
    /// Show what a quote claims, without verifying anything.
    Show(Show),
}

/// Arguments of `surety quote verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The quote (binary, hex, base64, or JSON with a field `quote`), or an envelope that `--out` wrote.
    file: PathBuf,
    /// What comes with it: Intel's collateral as JSON (SGX, TDX); the VCEK or VLEK certificate, DER or PEM (SEV-SNP);
    /// nothing for Nitro and envelopes.
    #[arg(long, value_name = "FILE")]
    collateral: Option<PathBuf>,
    /// Its kind, instead of finding it out: sgx-v3, tdx-v4, tdx-v5, sev-snp, nitro.
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// Time of verification, such as 2026-03-20T10:58:51Z, or in seconds since 1970. Default: now.
    #[arg(long, value_name = "TIME", value_parser = surety_enclave::parse_date)]
    at: Option<u64>,
    /// What is accepted, as JSON or TOML (docs/spec/quotes.md). Default: any vendor and program, platforms up to date.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What the quote must be bound to: 64 bytes of hex, or 32, which zeros follow.
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    report_data: Option<B512>,
    /// Accept simulated quotes, and no others. They say nothing about hardware.
    #[arg(long)]
    simulated: bool,
    /// Write the envelope (the quote with its collateral, to register and serve) here if it verifies.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments of `surety quote show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The quote, or an envelope.
    file: PathBuf,
    /// Its kind, instead of finding it out.
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
}

/// Does what was asked.
pub fn run(command: Command, ui: Ui) -> Result<(), Failure> {
    match command {
        Command::Verify(args) => verify(&args, ui),
        Command::Show(args) => show(&args, ui),
    }
}

fn verify(args: &Verify, ui: Ui) -> Result<(), Failure> {
    let policy = args.policy.as_deref().map(policy).transpose()?.unwrap_or_default();
    let roots = if args.simulated {
        Roots::simulated()
    } else {
        Roots::vendors()
    };
    let now = args.at.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    });
    let evidence = match (load(&args.file, args.kind)?, &args.collateral) {
        (Input::Envelope(evidence), None) => *evidence,
        (Input::Envelope(_), Some(path)) => {
            return Err(Failure::usage(
                format!("{} is an envelope, which has its collateral", args.file.display()),
                format!("leave out --collateral {}", path.display()),
            ));
        }
        (Input::Quote(quote), path) => {
            let collateral = match path {
                Some(path) => Collateral::read(quote.kind(), &read(path)?).map_err(|e| refused(&e, path, None))?,
                None => Collateral::None,
            };
            let hint = hint(&quote);
            Evidence::new(quote, collateral).map_err(|e| refused(&e, &args.file, Some(&hint)))?
        }
    };
    let verified = surety_enclave::verify(&evidence, &policy, &roots, now).map_err(|error| {
        let other = if args.simulated {
            Roots::vendors()
        } else {
            Roots::simulated()
        };
        let elsewhere = surety_enclave::verify(&evidence, &policy, &other, now);
        let under_other = matches!(error, Error::Root { .. }) && !matches!(elsewhere, Err(Error::Root { .. }));
        let next = match (under_other, args.simulated) {
            (true, false) => Some("it is a simulated quote: --simulated accepts it, for development only".to_owned()),
            (true, true) => Some("it is a vendor's quote: leave out --simulated".to_owned()),
            _ => None,
        };
        refused(
            &error,
            &args.file,
            next.as_deref().or(Some(hint(evidence.quote()).as_str())),
        )
    })?;
    if let Some(expected) = args.report_data
        && !verified.carries(&expected)
    {
        let error = Error::ReportData {
            found: verified.report_data.map(Box::new),
            expected: Box::new(expected),
        };
        return Err(refused(&error, &args.file, None));
    }
    if let Some(path) = &args.out {
        std::fs::write(path, evidence.encode()).map_err(|e| {
            let message = format!("{} cannot be written: {e}", path.display());
            Failure::new(message, "give a writable --out FILE")
        })?;
    }
    if verified.simulated {
        ui.note("simulated: verified under a root whose key is public; says nothing about hardware");
    }
    print(&verified, &evidence, now, ui);
    Ok(())
}

fn show(args: &Show, ui: Ui) -> Result<(), Failure> {
    let quote = match load(&args.file, args.kind)? {
        Input::Envelope(evidence) => evidence.quote().clone(),
        Input::Quote(quote) => quote,
    };
    let claims = inspect(&quote).map_err(|e| refused(&e, &args.file, None))?;
    let mut text = vec![
        "NOT verified: anybody can write this".to_owned(),
        format!("kind         {}", claims.kind),
        format!("bytes        {}", quote.as_bytes().len()),
    ];
    text.extend(claims.measurements.iter().map(register));
    text.extend(claims.signers.iter().map(register));
    text.push(format!("report data  {}", shown(claims.report_data)));
    text.extend(
        claims
            .platform
            .iter()
            .map(|(name, value)| format!("{name:<12} {value}")),
    );
    let mut value = json!(claims);
    value["verified"] = false.into();
    ui.result(&text.join("\n"), &value);
    Ok(())
}

fn print(verified: &Verified, evidence: &Evidence, now: u64, ui: Ui) {
    let mut text = vec![
        format!(
            "verified: signatures to the {} root, dates, platform, no debug, policy",
            if verified.simulated { "simulated" } else { "vendor's" }
        ),
        format!("kind         {} ({})", verified.kind, verified.vendor),
    ];
    text.extend(verified.measurements.iter().map(register));
    let named = verified
        .signers
        .iter()
        .filter(|(_, value)| value.iter().any(|byte| *byte != 0));
    text.extend(named.map(register));
    text.push(format!("report data  {}", shown(verified.report_data)));
    text.push(format!("platform     {}", verified.tcb_status));
    if !verified.advisories.is_empty() {
        text.push(format!("advisories   {}", verified.advisories.join(" ")));
    }
    text.push(format!("at           {}", date(now)));
    text.push(format!("valid until  {}", date(verified.valid_until)));
    text.push(format!(
        "envelope     {} ({} bytes)",
        evidence.hash(),
        evidence.encode().len()
    ));
    let mut value = json!(verified);
    value["verified"] = true.into();
    value["at"] = now.into();
    value["envelope_hash"] = json!(evidence.hash());
    ui.result(&text.join("\n"), &value);
}

fn register((name, value): (&String, &Bytes)) -> String {
    format!("{name:<12} {}", hex::encode(value))
}

fn shown(report_data: Option<B512>) -> String {
    report_data.map_or_else(|| "none, or longer than 64 bytes".to_owned(), hex::encode)
}

/// A file's content.
enum Input {
    Quote(Quote),
    Envelope(Box<Evidence>),
}

/// Reads a quote or an envelope, whatever it is written in.
fn load(path: &Path, kind: Option<Kind>) -> Result<Input, Failure> {
    let raw = read(path)?;
    let bytes = plain(&raw);
    // No quote begins like an envelope: version 1, and a kind.
    if let [1, 1..=5, ..] = bytes.as_ref() {
        let evidence = Evidence::decode(&bytes).map_err(|e| refused(&e, path, None))?;
        let found = evidence.quote().kind();
        return match kind {
            Some(expected) if expected != found => Err(refused(&Error::WrongKind { found, expected }, path, None)),
            _ => Ok(Input::Envelope(Box::new(evidence))),
        };
    }
    let bytes = unframed(&bytes);
    let quote = match kind {
        Some(kind) => Quote::parse(kind, bytes),
        None => Quote::detect(bytes),
    };
    quote.map(Input::Quote).map_err(|e| refused(&e, path, None))
}

/// The bytes that text stands for: hex, base64, or JSON with one of them in `quote`; other bytes as they are.
fn plain(raw: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(raw) else {
        return Cow::Borrowed(raw);
    };
    let text = text.trim();
    let field = |name: &str| -> Option<String> {
        let value: Value = serde_json::from_str(text).ok()?;
        value.get(name)?.as_str().map(str::to_owned)
    };
    let json = text.starts_with('{').then(|| field("quote")).flatten();
    let text: String = json.as_deref().unwrap_or(text).split_whitespace().collect();
    if let Ok(bytes) = hex::decode(&text) {
        return Cow::Owned(bytes);
    }
    base64(&text).map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// Base64 (RFC 4648), standard or for URLs, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let (mut bytes, mut word, mut bits) = (Vec::new(), 0_u32, 0_u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        word = (word << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits).to_le_bytes()[0]);
        }
    }
    Some(bytes)
}

/// A Nitro document without the frame that some tools store it in: from its protected header to its signature's end.
fn unframed(bytes: &[u8]) -> &[u8] {
    // An array of four, the protected header {1: -35}, an empty map, a string of two length bytes.
    const START: &[u8] = &[0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59];
    let starts = bytes
        .windows(START.len())
        .take(MAX_FRAME)
        .position(|part| part == START);
    let Some(document) = starts.and_then(|start| bytes.get(start..)) else {
        return bytes;
    };
    let length = document.get(START.len()..).and_then(|rest| rest.first_chunk::<2>());
    let payload = length.map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    // Two bytes of length, the payload, two bytes before the signature, and that.
    let end = START.len() + 2 + payload + 2 + 96;
    document.get(..end).unwrap_or(document)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let missing = |e: std::io::Error| {
        Failure::new(
            format!("{} cannot be read: {e}", path.display()),
            "give the quote's (or its collateral's) file",
        )
    };
    let length = std::fs::metadata(path).map_err(missing)?.len();
    if length > MAX_FILE {
        return Err(Failure::new(
            format!("{} has {length} bytes, expected at most {MAX_FILE}", path.display()),
            "give the quote alone, and its collateral with --collateral",
        ));
    }
    std::fs::read(path).map_err(missing)
}

fn policy(path: &Path) -> Result<Policy, Failure> {
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let parsed = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|e| e.to_string())
    } else {
        toml::from_str(&text).map_err(|e| e.to_string())
    };
    parsed.map_err(|e| {
        Failure::usage(
            format!("{} is no policy: {e}", path.display()),
            "write it as docs/spec/quotes.md says, in JSON or TOML",
        )
    })
}

fn report_data(text: &str) -> Result<B512, String> {
    let bytes = hex::decode(text).map_err(|e| e.to_string())?;
    if ![32, 64].contains(&bytes.len()) {
        return Err(format!(
            "found {} bytes, expected 64, or 32 that zeros follow",
            bytes.len()
        ));
    }
    let mut data = B512::ZERO;
    for (to, from) in data.iter_mut().zip(bytes) {
        *to = from;
    }
    Ok(data)
}

/// What a quote's collateral is asked by.
fn hint(quote: &Quote) -> String {
    let claims = inspect(quote).ok();
    let claim = |name: &str| claims.as_ref().and_then(|claims| claims.platform.get(name)).cloned();
    match quote.kind() {
        Kind::SgxV3 | Kind::TdxV4 | Kind::TdxV5 => {
            let fmspc = claim("fmspc").map_or_else(String::new, |fmspc| format!(" for FMSPC {fmspc}"));
            format!("fetch Intel's collateral{fmspc} (a PCCS, or Intel's PCS), and give it with --collateral FILE")
        }
        Kind::SevSnp => {
            let (chip, tcb) = (
                claim("chip").unwrap_or_default(),
                claim("reported_tcb").unwrap_or_default(),
            );
            format!(
                "fetch the VCEK certificate from AMD's KDS (chip {chip}, reported TCB {tcb}; for a VLEK: it and its ASVK, \
                 from the cloud provider), and give it with --collateral FILE"
            )
        }
        Kind::Nitro => "ask the enclave for a new document: its certificates are valid for three hours".to_owned(),
    }
}

/// A refusal, with what can be done about it.
fn refused(error: &Error, path: &Path, renew: Option<&str>) -> Failure {
    let next = match error {
        Error::Malformed { .. } => "give the quote as the hardware wrote it, and what belongs to it with --collateral",
        Error::WrongKind { .. } => "leave out --kind, or give the right one",
        Error::TcbStatus { .. } | Error::Firmware { .. } | Error::Policy { .. } | Error::Measurement { .. } => {
            "update the platform, or write a policy that accepts it (--policy, docs/spec/quotes.md)"
        }
        Error::Debug { .. } => "run the enclave in production mode: debug is never accepted",
        Error::ReportData { .. } => "ask the enclave for a quote about the expected report data",
        Error::Root { .. } => renew.unwrap_or("do not trust it: no pinned root vouches for it"),
        _ if error.remedy() == Remedy::Renew => renew.unwrap_or("fetch the collateral again"),
        _ => "do not trust it",
    };
    let next = match error {
        // The hint about collateral does not mend a wrong root.
        Error::Root { .. } if !next.contains("simulated") => "do not trust it: no pinned root vouches for it",
        Error::NotYetValid { .. } | Error::Expired { .. } => {
            return Failure::new(
                format!("{}: {error}", path.display()),
                format!("{next}; or verify for another time with --at TIME"),
            )
            .with_code(code::QUOTE);
        }
        _ => next,
    };
    Failure::new(format!("{}: {error}", path.display()), next).with_code(code::QUOTE)
}

#[cfg(test)]
mod tests {
    use super::{base64, plain, unframed};

    #[test]
    fn base64_is_read_with_and_without_padding() {
        // RFC 4648, section 10; and the alphabet for URLs.
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zg", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(base64("-_8"), base64("+/8="));
        assert_eq!(base64("a b"), None);
        assert_eq!(plain(b"AwACAA AAAAA=\n").as_ref(), [3, 0, 2, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_frame_that_promises_too_much_is_cut_at_the_end() {
        let bytes = [0, 0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59, 0xff, 0xff, 1];
        assert_eq!(unframed(&bytes), &bytes[1..]);
        assert_eq!(unframed(&bytes[..9]), &bytes[1..9]);
        assert_eq!(unframed(&[]), [0; 0]);
    }
}
