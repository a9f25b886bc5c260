//! AWS Nitro attestation documents: a COSE_Sign1 (RFC 9052) with ES384 over a CBOR map, and certificates up to the
//! pinned root. Format and rules: AWS, "Nitro Enclaves attestation process" (docs/attestation_process.md of
//! aws-nitro-enclaves-nsm-api), sections 2.2 and 3.

use std::{collections::BTreeMap, time::Duration};

use alloy_primitives::{B512, Bytes, hex};
use ciborium::Value;
use p384::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{Error, Kind, Quote, Roots, TcbStatus, Unverified, Vendor, Verified, certificate, date::Span};

/// Longest certificate of a document, in bytes.
const MAX_CERTIFICATE: usize = 1024;
/// Longest chain above the document's certificate. AWS has four.
const MAX_BUNDLE: usize = 8;
/// Nesting of CBOR: a map in an array in a string needs three.
const MAX_DEPTH: usize = 8;
/// Longest user data and nonce, in bytes; the public key may be twice as long.
const MAX_FIELD: usize = 512;
/// Algorithm ES384 in the protected header: `{1: -35}`.
const PROTECTED: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

/// Whether bytes begin like a COSE_Sign1, with or without its tag (18).
pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    matches!(bytes, [0xd2, 0x84, ..] | [0x84, 0x44, ..])
}

/// Without the tag.
pub(crate) fn untagged(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&[0xd2]).unwrap_or(bytes)
}

/// A document, taken apart. Nothing is verified.
pub(crate) struct Document {
    payload: Vec<u8>,
    signature: Vec<u8>,
    module: String,
    /// milliseconds since 1970
    timestamp: u64,
    pcrs: BTreeMap<u8, Vec<u8>>,
    certificate: Vec<u8>,
    bundle: Vec<Vec<u8>>,
    public_key: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
}

impl Document {
    /// Reads an untagged document. One byte string for one document: the outer array must be in CBOR's shortest form.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "the Nitro document";
        let outer = cbor(WHAT, bytes)?;
        let mut again = Vec::new();
        ciborium::into_writer(&outer, &mut again).map_err(|e| Error::malformed(WHAT, e, "CBOR"))?;
        if again != bytes {
            return Err(Error::malformed(
                WHAT,
                "CBOR in a longer form than needed",
                "the shortest form",
            ));
        }
        let Value::Array(parts) = outer else {
            return Err(Error::malformed(WHAT, "CBOR that is no array", "a COSE_Sign1"));
        };
        let [
            Value::Bytes(protected),
            Value::Map(unprotected),
            Value::Bytes(payload),
            Value::Bytes(signature),
        ] = parts.as_slice()
        else {
            return Err(Error::malformed(
                WHAT,
                format!("an array of {} parts", parts.len()),
                "protected header, unprotected header, payload, signature",
            ));
        };
        if protected.as_slice() != PROTECTED {
            return Err(Error::malformed(
                "the Nitro document's protected header",
                hex::encode(protected),
                hex::encode(PROTECTED),
            ));
        }
        // Nothing signs it, so nothing may be in it.
        if !unprotected.is_empty() {
            return Err(Error::malformed(
                "the Nitro document's unprotected header",
                format!("{} entries", unprotected.len()),
                "none",
            ));
        }
        if signature.len() != 96 {
            return Err(Error::malformed(
                "the Nitro document's signature",
                format!("{} bytes", signature.len()),
                "96",
            ));
        }
        Self::fields(payload, signature)
    }

    fn fields(payload: &[u8], signature: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "the Nitro document's payload";
        let Value::Map(entries) = cbor(WHAT, payload)? else {
            return Err(Error::malformed(WHAT, "CBOR that is no map", "a map"));
        };
        let mut fields = BTreeMap::new();
        for (name, value) in entries {
            let Value::Text(name) = name else {
                return Err(Error::malformed(WHAT, "a key that is no text", "text"));
            };
            if fields.contains_key(&name) {
                return Err(Error::malformed(WHAT, format!("`{name}` twice"), "once"));
            }
            fields.insert(name, value);
        }
        if fields.contains_key("nitrotpm_pcrs") {
            return Err(Error::malformed(
                WHAT,
                "`nitrotpm_pcrs`: an instance with a NitroTPM",
                "`pcrs`: a Nitro enclave",
            ));
        }
        let missing = |name: &str, found: Option<Value>, expected: &str| {
            let found = found.map_or("nothing".to_owned(), |value| format!("{} as", shape(&value)));
            Error::malformed(WHAT, format!("{found} `{name}`"), expected)
        };
        let module = match fields.remove("module_id") {
            Some(Value::Text(module)) if !module.is_empty() => module,
            other => return Err(missing("module_id", other, "text")),
        };
        match fields.remove("digest") {
            Some(Value::Text(digest)) if digest == "SHA384" => {}
            other => return Err(missing("digest", other, "SHA384")),
        }
        let timestamp = match fields.remove("timestamp") {
            Some(Value::Integer(time)) => u64::try_from(time).ok().filter(|time| *time > 0),
            other => return Err(missing("timestamp", other, "milliseconds since 1970")),
        }
        .ok_or_else(|| missing("timestamp", None, "milliseconds since 1970, above zero"))?;
        let pcrs = match fields.remove("pcrs") {
            Some(Value::Map(pcrs)) => registers(&pcrs)?,
            other => return Err(missing("pcrs", other, "a map of 1 to 32 registers")),
        };
        let is_certificate = |der: &Vec<u8>| (1..=MAX_CERTIFICATE).contains(&der.len());
        let certificate = match fields.remove("certificate") {
            Some(Value::Bytes(der)) if is_certificate(&der) => der,
            other => return Err(missing("certificate", other, "1 to 1024 bytes")),
        };
        let bundle = match fields.remove("cabundle") {
            Some(Value::Array(list)) if (1..=MAX_BUNDLE).contains(&list.len()) => list,
            other => return Err(missing("cabundle", other, "1 to 8 certificates")),
        };
        let bundle = bundle
            .into_iter()
            .map(|entry| match entry {
                Value::Bytes(der) if is_certificate(&der) => Ok(der),
                other => Err(missing("a certificate of cabundle", Some(other), "1 to 1024 bytes")),
            })
            .collect::<Result<_, _>>()?;
        let mut optional = |name: &'static str, limit: usize| match fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bytes(bytes)) if bytes.len() <= limit => Ok(Some(bytes)),
            other => Err(missing(name, other, "bytes, of the length that AWS allows, or null")),
        };
        Ok(Self {
            public_key: optional("public_key", 2 * MAX_FIELD)?,
            user_data: optional("user_data", MAX_FIELD)?,
            nonce: optional("nonce", MAX_FIELD)?,
            payload: payload.to_vec(),
            signature: signature.to_vec(),
            module,
            timestamp,
            pcrs,
            certificate,
            bundle,
        })
    }

    /// PCR0 is the hash of the image; in debug mode all zero.
    fn is_debug(&self) -> bool {
        self.pcrs
            .get(&0)
            .is_none_or(|image| image.iter().all(|byte| *byte == 0))
    }

    fn measurements(&self) -> BTreeMap<String, Bytes> {
        let named = |(number, value): (&u8, &Vec<u8>)| (format!("pcr{number}"), Bytes::copy_from_slice(value));
        self.pcrs.iter().map(named).collect()
    }

    /// The user data, with zeros after it.
    fn report_data(&self) -> Option<B512> {
        let data = self.user_data.as_ref()?;
        let mut padded = B512::ZERO;
        padded.get_mut(..data.len())?.copy_from_slice(data);
        Some(padded)
    }

    fn platform(&self) -> BTreeMap<String, String> {
        let mut text: BTreeMap<_, _> = [
            ("module".to_owned(), self.module.clone()),
            ("time".to_owned(), crate::date(self.timestamp / 1000)),
        ]
        .into();
        for (name, value) in [("nonce", &self.nonce), ("public_key", &self.public_key)] {
            if let Some(value) = value {
                text.insert(name.to_owned(), hex::encode(value));
            }
        }
        text
    }
}

pub(crate) fn verify(quote: &Quote, roots: &Roots, now: u64) -> Result<Verified, Error> {
    let document = Document::parse(quote.as_bytes())?;
    if document.is_debug() {
        return Err(Error::Debug {
            found: "PCR0 is zero, or absent".to_owned(),
            expected: "the hash of an image in PCR0",
        });
    }
    // The document says when it was made, to the millisecond; from the next second on it is not from the future.
    let made = document.timestamp.div_ceil(1000);
    let dates = check_chain(&document, roots, now)?;
    let dates = dates.and(
        Span {
            from: made,
            until: u64::MAX,
        }
        .check("the Nitro document", now)?,
    );
    check_signature(&document)?;
    Ok(Verified {
        kind: Kind::Nitro,
        vendor: Vendor::Aws,
        simulated: roots.is_simulated(),
        measurements: document.measurements(),
        signers: BTreeMap::new(),
        report_data: document.report_data(),
        tcb_status: TcbStatus::Unrated,
        advisories: Vec::new(),
        platform: document.platform(),
        issued: Some(made),
        valid_from: dates.from,
        valid_until: dates.until,
    })
}

pub(crate) fn inspect(quote: &Quote) -> Result<Unverified, Error> {
    let document = Document::parse(quote.as_bytes())?;
    let mut platform = document.platform();
    platform.insert("debug".to_owned(), document.is_debug().to_string());
    Ok(Unverified {
        kind: Kind::Nitro,
        measurements: document.measurements(),
        signers: BTreeMap::new(),
        report_data: document.report_data(),
        platform,
    })
}

/// From the document's certificate to the pinned root. The bundle begins with the root.
fn check_chain(document: &Document, roots: &Roots, now: u64) -> Result<Span, Error> {
    const WHAT: &str = "a certificate of the Nitro document";
    let root = roots.aws();
    let Some((first, above)) = document.bundle.split_first() else {
        return Err(Error::malformed(
            "the Nitro document's cabundle",
            "nothing",
            "the root first",
        ));
    };
    if first != root {
        return Err(Error::Root {
            what: "the Nitro document",
            found: certificate::describe(first),
            expected: certificate::describe(root),
        });
    }
    let mut dates = Span::ALWAYS;
    for der in document.bundle.iter().chain([&document.certificate]) {
        let cert = certificate::read(WHAT, der)?;
        dates = dates.and(certificate::span(&cert).check(WHAT, now)?);
    }
    let broken = |e: webpki::Error| Error::Root {
        what: "the Nitro document",
        found: format!("{e:?}"),
        expected: certificate::describe(root),
    };
    let root_der = CertificateDer::from(root);
    let anchor = webpki::anchor_from_trusted_cert(&root_der).map_err(broken)?;
    let leaf_der = CertificateDer::from(document.certificate.as_slice());
    let leaf = webpki::EndEntityCert::try_from(&leaf_der).map_err(broken)?;
    let intermediates: Vec<_> = above.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    leaf.verify_for_usage(
        &[webpki::ring::ECDSA_P384_SHA384],
        &[anchor],
        &intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(now)),
        webpki::KeyUsage::client_auth(),
        None,
        None,
    )
    .map_err(broken)?;
    Ok(dates)
}

/// ES384 over the Sig_structure of RFC 9052, section 4.4.
fn check_signature(document: &Document) -> Result<(), Error> {
    let fail = |found: &str| Error::Signature {
        what: "the Nitro document",
        found: found.to_owned(),
        expected: "the key of its certificate",
    };
    let structure = Value::Array(vec![
        Value::Text("Signature1".to_owned()),
        Value::Bytes(PROTECTED.to_vec()),
        Value::Bytes(Vec::new()),
        Value::Bytes(document.payload.clone()),
    ]);
    let mut message = Vec::new();
    ciborium::into_writer(&structure, &mut message).map_err(|_| fail("nothing to hash"))?;
    let signature = Signature::from_slice(&document.signature).map_err(|_| fail("no signature"))?;
    let leaf = certificate::read("a certificate of the Nitro document", &document.certificate)?;
    let point = &leaf.tbs_certificate.subject_public_key_info.subject_public_key;
    let key =
        VerifyingKey::from_sec1_bytes(point.raw_bytes()).map_err(|_| fail("a certificate without a P-384 key"))?;
    key.verify(&message, &signature).map_err(|_| fail("another signature"))
}

/// PCRs: numbers to hashes of 48 bytes.
fn registers(entries: &[(Value, Value)]) -> Result<BTreeMap<u8, Vec<u8>>, Error> {
    const WHAT: &str = "the Nitro document's PCRs";
    if !(1..=32).contains(&entries.len()) {
        return Err(Error::malformed(
            WHAT,
            format!("{} registers", entries.len()),
            "1 to 32",
        ));
    }
    let mut registers = BTreeMap::new();
    for (number, value) in entries {
        let number = match number {
            Value::Integer(number) => u8::try_from(*number).ok().filter(|number| *number < 32),
            _ => None,
        };
        let (Some(number), Value::Bytes(value)) = (number, value) else {
            return Err(Error::malformed(
                WHAT,
                "another key or value",
                "numbers below 32, and bytes",
            ));
        };
        if value.len() != 48 {
            return Err(Error::malformed(WHAT, format!("{} bytes", value.len()), "48 (SHA-384)"));
        }
        if registers.insert(number, value.clone()).is_some() {
            return Err(Error::malformed(WHAT, format!("register {number} twice"), "once"));
        }
    }
    Ok(registers)
}

/// One CBOR value, and nothing after it.
fn cbor(what: &'static str, bytes: &[u8]) -> Result<Value, Error> {
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH)
        .map_err(|e| Error::malformed(what, format!("no CBOR ({e})"), "one CBOR value"))?;
    if !rest.is_empty() {
        return Err(Error::malformed(what, format!("{} bytes after it", rest.len()), "none"));
    }
    Ok(value)
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a number",
        Value::Bytes(_) => "bytes",
        Value::Float(_) => "a float",
        Value::Text(_) => "text",
        Value::Bool(_) => "a truth value",
        Value::Null => "null",
        Value::Tag(..) => "a tag",
        Value::Array(_) => "a list",
        Value::Map(_) => "a map",
        _ => "something",
    }
}
