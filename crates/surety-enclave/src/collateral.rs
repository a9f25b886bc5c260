//! What comes with a quote so that it can be verified without a network.

use alloy_primitives::hex;
use dcap_qvl::QuoteCollateralV3;
use serde::{Deserialize, Serialize};
use x509_cert::der::Encode;

use crate::{Error, Kind, certificate, envelope::MAX_ENVELOPE};

/// What a quote of one kind needs beside the roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collateral {
    /// SGX and TDX: what Intel publishes about the platform
    Dcap(Box<DcapCollateral>),
    /// SEV-SNP: the certificate of the key that signed
    Snp(SnpChain),
    /// Nitro: the document brings its certificates
    None,
}

impl Collateral {
    /// Intel's collateral from JSON, see [`DcapCollateral::from_json`].
    ///
    /// # Errors
    ///
    /// Text that is no such JSON, or longer than an envelope.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        DcapCollateral::from_json(text).map(|collateral| Self::Dcap(Box::new(collateral)))
    }

    /// Reads a file that comes with a quote of this kind: JSON (SGX, TDX), certificates in DER or PEM (SEV-SNP).
    ///
    /// # Errors
    ///
    /// Bytes that are not what the kind needs; any for Nitro.
    pub fn read(kind: Kind, bytes: &[u8]) -> Result<Self, Error> {
        match kind {
            Kind::SgxV3 | Kind::TdxV4 | Kind::TdxV5 => {
                let text = std::str::from_utf8(bytes)
                    .map_err(|e| Error::malformed("the collateral", format!("no text ({e})"), "JSON"))?;
                Self::from_json(text)
            }
            Kind::SevSnp => SnpChain::from_certificates(bytes).map(Self::Snp),
            Kind::Nitro => Err(Error::malformed(
                "the collateral",
                format!("{} bytes", bytes.len()),
                "none: a Nitro document brings its certificates",
            )),
        }
    }

    /// The bytes that the envelope holds.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Dcap(collateral) => collateral.to_json().into_bytes(),
            Self::Snp(chain) => chain.to_bytes(),
            Self::None => Vec::new(),
        }
    }

    /// From the bytes that the envelope holds.
    pub(crate) fn from_bytes(kind: Kind, bytes: &[u8]) -> Result<Self, Error> {
        match kind {
            Kind::SevSnp => SnpChain::from_bytes(bytes).map(Self::Snp),
            Kind::Nitro if bytes.is_empty() => Ok(Self::None),
            _ => Self::read(kind, bytes),
        }
    }
}

/// Intel's collateral: TCB info, identity of the quoting enclave, revocation lists, each with its signers' chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DcapCollateral(pub(crate) QuoteCollateralV3);

impl DcapCollateral {
    /// From the JSON that collateral clients write: `pck_crl_issuer_chain`, `root_ca_crl`, `pck_crl`,
    /// `tcb_info_issuer_chain`, `tcb_info`, `tcb_info_signature`, `qe_identity_issuer_chain`, `qe_identity`,
    /// `qe_identity_signature` and, where the quote lacks it, `pck_certificate_chain`. Chains are PEM; lists and
    /// signatures hex; `tcb_info` and `qe_identity` the signed JSON as a string. Other fields are ignored, and not kept.
    ///
    /// # Errors
    ///
    /// Text that is no such JSON, or longer than an envelope.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_ENVELOPE {
            return Err(Error::malformed(
                "the collateral",
                format!("{} bytes", text.len()),
                format!("at most {MAX_ENVELOPE}"),
            ));
        }
        let expected = "the JSON of Intel's collateral (tcb_info, qe_identity, root_ca_crl, pck_crl and their chains)";
        let json: Json = serde_json::from_str(text).map_err(|e| Error::malformed("the collateral", e, expected))?;
        json.read().map(Self)
    }

    /// Its JSON: the same fields, in the order above, without spaces.
    pub fn to_json(&self) -> String {
        // Strings have a JSON always.
        serde_json::to_string(&Json::from(&self.0)).unwrap_or_default()
    }
}

/// The JSON of the envelope, in this order: ours, so that the bytes that are hashed are no library's affair.
#[derive(Serialize, Deserialize)]
struct Json {
    pck_crl_issuer_chain: String,
    root_ca_crl: String,
    pck_crl: String,
    tcb_info_issuer_chain: String,
    tcb_info: String,
    tcb_info_signature: String,
    qe_identity_issuer_chain: String,
    qe_identity: String,
    qe_identity_signature: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pck_certificate_chain: Option<String>,
}

impl Json {
    fn read(self) -> Result<QuoteCollateralV3, Error> {
        let bytes = |what, digits: &str| {
            hex::decode(digits).map_err(|e| Error::malformed(what, format!("no hex ({e})"), "hex"))
        };
        Ok(QuoteCollateralV3 {
            pck_crl_issuer_chain: self.pck_crl_issuer_chain,
            root_ca_crl: bytes("`root_ca_crl`", &self.root_ca_crl)?,
            pck_crl: bytes("`pck_crl`", &self.pck_crl)?,
            tcb_info_issuer_chain: self.tcb_info_issuer_chain,
            tcb_info: self.tcb_info,
            tcb_info_signature: bytes("`tcb_info_signature`", &self.tcb_info_signature)?,
            qe_identity_issuer_chain: self.qe_identity_issuer_chain,
            qe_identity: self.qe_identity,
            qe_identity_signature: bytes("`qe_identity_signature`", &self.qe_identity_signature)?,
            pck_certificate_chain: self.pck_certificate_chain,
        })
    }
}

impl From<&QuoteCollateralV3> for Json {
    fn from(collateral: &QuoteCollateralV3) -> Self {
        Self {
            pck_crl_issuer_chain: collateral.pck_crl_issuer_chain.clone(),
            root_ca_crl: hex::encode(&collateral.root_ca_crl),
            pck_crl: hex::encode(&collateral.pck_crl),
            tcb_info_issuer_chain: collateral.tcb_info_issuer_chain.clone(),
            tcb_info: collateral.tcb_info.clone(),
            tcb_info_signature: hex::encode(&collateral.tcb_info_signature),
            qe_identity_issuer_chain: collateral.qe_identity_issuer_chain.clone(),
            qe_identity: collateral.qe_identity.clone(),
            qe_identity_signature: hex::encode(&collateral.qe_identity_signature),
            pck_certificate_chain: collateral.pck_certificate_chain.clone(),
        }
    }
}

/// The certificate of the key that signed a SEV-SNP report: the chip's (VCEK) or the cloud provider's (VLEK).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpChain {
    /// certificate of the signing key, DER
    pub key: Vec<u8>,
    /// Certificate of the key that signed that one, DER: needed for a VLEK. For a VCEK the pinned one is used.
    pub intermediate: Option<Vec<u8>>,
}

impl SnpChain {
    /// From one certificate in DER, or one to three in PEM, in any order. A self-signed one is left out: roots are
    /// pinned.
    ///
    /// # Errors
    ///
    /// Bytes that are no certificates, or not exactly one with a P-384 key.
    pub fn from_certificates(bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "the certificates of the report's key";
        let ders = if bytes.windows(11).take(64).any(|part| part == b"-----BEGIN ") {
            certificate::pem_chain(WHAT, bytes, 3)?
        } else {
            vec![bytes.to_vec()]
        };
        let (mut keys, mut intermediates) = (Vec::new(), Vec::new());
        for der in ders {
            let cert = certificate::read(WHAT, &der)?;
            let tbs = &cert.tbs_certificate;
            if is_p384(&cert) {
                keys.push(der);
            } else if tbs.subject != tbs.issuer {
                intermediates.push(der);
            }
        }
        let (Some(key), 0) = (keys.pop(), keys.len()) else {
            return Err(Error::malformed(
                WHAT,
                "none, or several, with a P-384 key",
                "one VCEK or VLEK certificate",
            ));
        };
        if intermediates.len() > 1 {
            return Err(Error::malformed(
                WHAT,
                "two intermediates",
                "one ASK or ASVK certificate",
            ));
        }
        Ok(Self {
            key,
            intermediate: intermediates.pop(),
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for der in [Some(&self.key), self.intermediate.as_ref()].into_iter().flatten() {
            // `check` refuses longer ones.
            let length = u16::try_from(der.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(der);
        }
        bytes
    }

    /// Refuses what has no encoding: certificates that are none, or too long.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for der in [Some(&self.key), self.intermediate.as_ref()].into_iter().flatten() {
            certificate::read("the chain of the report's key", der)?;
        }
        Ok(())
    }

    fn from_bytes(mut bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "the chain of the report's key";
        let mut ders = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((der, rest)) = rest.split_at_checked(length) else {
                return Err(Error::malformed(
                    WHAT,
                    format!("{} bytes", rest.len()),
                    format!("a certificate of {length}"),
                ));
            };
            certificate::read(WHAT, der)?;
            ders.push(der.to_vec());
            if ders.len() > 2 {
                return Err(Error::malformed(WHAT, "more than two certificates", "one or two"));
            }
            bytes = rest;
        }
        if !bytes.is_empty() {
            return Err(Error::malformed(WHAT, "one byte after the last certificate", "none"));
        }
        let mut ders = ders.into_iter();
        let Some(key) = ders.next() else {
            return Err(Error::malformed(WHAT, "no certificate", "one or two"));
        };
        Ok(Self {
            key,
            intermediate: ders.next(),
        })
    }
}

fn is_p384(certificate: &x509_cert::Certificate) -> bool {
    const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    let key = &certificate.tbs_certificate.subject_public_key_info;
    key.algorithm
        .parameters
        .as_ref()
        .and_then(|curve| curve.to_der().ok())
        .is_some_and(|curve| curve == P384)
}
