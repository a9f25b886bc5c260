//! Certificates and revocation lists, written and signed. Signatures are deterministic (RFC 6979; for RSA-PSS the salt
//! follows from the message), so that the same seed gives the same bytes.

use alloy_primitives::{B256, keccak256};
use p256::pkcs8::EncodePublicKey;
use rsa::{
    pss,
    rand_core::{CryptoRng, RngCore},
    signature::{Keypair, RandomizedSigner, SignatureEncoding, Signer as _},
};
use sha2::Sha384;
use x509_cert::{
    TbsCertificate, Version,
    certificate::CertificateInner,
    crl::{CertificateList, RevokedCert, TbsCertList},
    der::{
        Decode, Encode,
        asn1::{BitString, GeneralizedTime, OctetString, UtcTime},
        oid::ObjectIdentifier,
    },
    ext::Extension,
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};

use crate::{Error, date::Span};

/// Validity of the simulated roots: 2020 to 2120.
pub(super) const ROOT: Span = Span {
    from: 1_577_836_800,
    until: 4_733_510_399,
};

/// Whatever goes wrong when bytes are written.
pub(super) fn failed(error: impl ToString) -> Error {
    Error::malformed("a simulated quote", error, "fields that can be encoded")
}

/// A key that signs certificates.
pub(super) enum Key {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Rsa(Box<pss::SigningKey<Sha384>>),
}

impl Key {
    /// The P-256 key of a secret. All but a vanishing part of 32-byte strings are keys.
    pub(super) fn p256(secret: B256) -> Result<Self, Error> {
        p256::ecdsa::SigningKey::from_slice(secret.as_slice())
            .map(Self::P256)
            .map_err(failed)
    }

    /// The P-384 key of a secret.
    pub(super) fn p384(secret: B256) -> Result<Self, Error> {
        let more = keccak256(secret);
        let bytes: Vec<u8> = secret.iter().chain(more.iter()).copied().take(48).collect();
        p384::ecdsa::SigningKey::from_slice(&bytes)
            .map(Self::P384)
            .map_err(failed)
    }

    /// Raw signature, r and s: 64 bytes (P-256) or 96 (P-384).
    pub(super) fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
            Self::Rsa(key) => key.sign_with_rng(&mut Stream::new(message), message).to_vec(),
        }
    }

    /// Signature as certificates have it.
    fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Self::Rsa(_) => self.sign_raw(message),
        }
    }

    fn algorithm(&self) -> Result<AlgorithmIdentifierOwned, Error> {
        match self {
            Self::P256(key) => key.signature_algorithm_identifier(),
            Self::P384(key) => key.signature_algorithm_identifier(),
            Self::Rsa(key) => key.signature_algorithm_identifier(),
        }
        .map_err(failed)
    }

    fn public(&self) -> Result<SubjectPublicKeyInfoOwned, Error> {
        let document = match self {
            Self::P256(key) => key.verifying_key().to_public_key_der(),
            Self::P384(key) => key.verifying_key().to_public_key_der(),
            Self::Rsa(key) => key.verifying_key().to_public_key_der(),
        };
        SubjectPublicKeyInfoOwned::from_der(document.map_err(failed)?.as_bytes()).map_err(failed)
    }

    /// The public point without its prefix: x and y. Empty for RSA.
    pub(super) fn point(&self) -> Vec<u8> {
        let bytes = match self {
            Self::P256(key) => key.verifying_key().to_encoded_point(false).as_bytes().to_vec(),
            Self::P384(key) => key.verifying_key().to_encoded_point(false).as_bytes().to_vec(),
            Self::Rsa(_) => Vec::new(),
        };
        bytes.get(1..).unwrap_or_default().to_vec()
    }
}

/// A key with its certificate.
pub(super) struct Authority {
    pub(super) key: Key,
    pub(super) name: Name,
    pub(super) der: Vec<u8>,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// signs certificates and revocation lists
    Authority,
    /// signs messages
    Leaf,
}

/// Issues a certificate; under its own key if there is no issuer.
pub(super) fn issue(
    issuer: Option<&Authority>,
    key: Key,
    name: &str,
    usage: Use,
    valid: Span,
    more: Vec<Extension>,
) -> Result<Authority, Error> {
    let subject: Name = name.parse().map_err(failed)?;
    let public = key.public()?;
    let signer = issuer.map_or(&key, |issuer| &issuer.key);
    let algorithm = signer.algorithm()?;
    let mut extensions = match usage {
        // CA:TRUE; keyCertSign and cRLSign
        Use::Authority => vec![
            extension("2.5.29.19", true, &[0x30, 0x03, 0x01, 0x01, 0xff])?,
            extension("2.5.29.15", true, &[0x03, 0x02, 0x01, 0x06])?,
        ],
        // not a CA; digitalSignature
        Use::Leaf => vec![
            extension("2.5.29.19", true, &[0x30, 0x00])?,
            extension("2.5.29.15", true, &[0x03, 0x02, 0x07, 0x80])?,
        ],
    };
    extensions.extend(more);
    let tbs = TbsCertificate {
        version: Version::V3,
        serial_number: serial(&public)?,
        signature: algorithm.clone(),
        issuer: issuer.map_or(&subject, |issuer| &issuer.name).clone(),
        validity: Validity {
            not_before: time(valid.from)?,
            not_after: time(valid.until)?,
        },
        subject: subject.clone(),
        subject_public_key_info: public,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    };
    let signature = signer.sign_der(&tbs.to_der().map_err(failed)?);
    let certificate: CertificateInner = CertificateInner {
        tbs_certificate: tbs,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&signature).map_err(failed)?,
    };
    let der = certificate.to_der().map_err(failed)?;
    Ok(Authority {
        key,
        name: subject,
        der,
    })
}

/// A revocation list, with one certificate or none.
pub(super) fn revocation_list(issuer: &Authority, valid: Span, revoked: Option<&Authority>) -> Result<Vec<u8>, Error> {
    let entry = |leaf: &Authority| -> Result<RevokedCert, Error> {
        Ok(RevokedCert {
            serial_number: serial(&leaf.key.public()?)?,
            revocation_date: time(valid.from)?,
            crl_entry_extensions: None,
        })
    };
    let algorithm = issuer.key.algorithm()?;
    let tbs = TbsCertList {
        version: Version::V2,
        signature: algorithm.clone(),
        issuer: issuer.name.clone(),
        this_update: time(valid.from)?,
        // A list expires at the second of its next update; a certificate after its last.
        next_update: Some(time(valid.until.saturating_add(1))?),
        revoked_certificates: revoked.map(|leaf| entry(leaf).map(|entry| vec![entry])).transpose()?,
        // cRLNumber 1
        crl_extensions: Some(vec![extension("2.5.29.20", false, &[0x02, 0x01, 0x01])?]),
    };
    let signature = issuer.key.sign_der(&tbs.to_der().map_err(failed)?);
    let list = CertificateList {
        tbs_cert_list: tbs,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&signature).map_err(failed)?,
    };
    list.to_der().map_err(failed)
}

/// An extension of given content.
pub(super) fn extension(id: &str, critical: bool, content: &[u8]) -> Result<Extension, Error> {
    Ok(Extension {
        extn_id: ObjectIdentifier::new(id).map_err(failed)?,
        critical,
        extn_value: OctetString::new(content).map_err(failed)?,
    })
}

/// PEM of certificates in DER.
pub(super) fn pem(ders: &[&[u8]]) -> Result<String, Error> {
    use x509_cert::der::{EncodePem, pem::LineEnding};
    let mut text = String::new();
    for der in ders {
        let certificate = x509_cert::Certificate::from_der(der).map_err(failed)?;
        text.push_str(&certificate.to_pem(LineEnding::LF).map_err(failed)?);
    }
    Ok(text)
}

/// The serial number follows from the key: positive, 16 bytes.
fn serial(public: &SubjectPublicKeyInfoOwned) -> Result<SerialNumber, Error> {
    let mut bytes = keccak256(public.to_der().map_err(failed)?).0;
    bytes[0] = 0x40 | bytes[0] & 0x3f;
    SerialNumber::new(&bytes[..16]).map_err(failed)
}

/// RFC 5280 wants the short form until 2049 and the long one from 2050 on.
fn time(seconds: u64) -> Result<Time, Error> {
    const YEAR_2050: u64 = 2_524_608_000;
    let duration = std::time::Duration::from_secs(seconds);
    if seconds < YEAR_2050 {
        return UtcTime::from_unix_duration(duration).map(Time::UtcTime).map_err(failed);
    }
    GeneralizedTime::from_unix_duration(duration)
        .map(Time::GeneralTime)
        .map_err(failed)
}

/// Bytes that follow from a seed, where `rsa` wants randomness for its salt and for blinding. The keys are public.
struct Stream {
    state: B256,
    counter: u64,
}

impl Stream {
    fn new(seed: &[u8]) -> Self {
        Self {
            state: keccak256(seed),
            counter: 0,
        }
    }
}

impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        rsa::rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rsa::rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, target: &mut [u8]) {
        for chunk in target.chunks_mut(32) {
            let block = keccak256([self.state.as_slice(), &self.counter.to_be_bytes()].concat());
            self.counter = self.counter.wrapping_add(1);
            for (to, from) in chunk.iter_mut().zip(block) {
                *to = from;
            }
        }
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(target);
        Ok(())
    }
}

impl CryptoRng for Stream {}
