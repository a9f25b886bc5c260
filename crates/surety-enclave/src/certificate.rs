//! X.509 certificates: reading, names, fingerprints, dates.

use alloy_primitives::hex;
use sha2::{Digest, Sha256};
use x509_cert::{
    Certificate,
    der::{Decode, DecodePem, Encode, oid::ObjectIdentifier},
};

use crate::{Error, date::Span};

/// Longest certificate that is read, in bytes. AMD's roots have 1,600, AWS allows 1,024.
pub(crate) const MAX_CERTIFICATE: usize = 4096;

/// A certificate from DER.
pub(crate) fn read(what: &'static str, der: &[u8]) -> Result<Certificate, Error> {
    if der.len() > MAX_CERTIFICATE {
        return Err(Error::malformed(
            what,
            format!("a certificate of {} bytes", der.len()),
            format!("at most {MAX_CERTIFICATE}"),
        ));
    }
    Certificate::from_der(der).map_err(|e| Error::malformed(what, format!("no DER certificate ({e})"), "X.509 in DER"))
}

/// All certificates of PEM text, as DER; at most `limit`.
pub(crate) fn pem_chain(what: &'static str, pem: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, Error> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::str::from_utf8(pem).map_err(|e| Error::malformed(what, format!("no text ({e})"), "PEM"))?;
    let mut chain = Vec::new();
    // Quotes end their chain with a zero byte.
    let mut rest = text.trim_end_matches('\0').trim();
    while !rest.is_empty() {
        if chain.len() == limit {
            return Err(Error::malformed(
                what,
                format!("more than {limit} certificates"),
                format!("at most {limit}"),
            ));
        }
        let Some(end) = rest.find(END) else {
            return Err(Error::malformed(
                what,
                "text without an end of certificate",
                "PEM certificates",
            ));
        };
        let (one, after) = rest.split_at(end.saturating_add(END.len()));
        let parsed = Certificate::from_pem(one.trim().as_bytes())
            .map_err(|e| Error::malformed(what, format!("no PEM certificate ({e})"), "PEM certificates"))?;
        let der = parsed
            .to_der()
            .map_err(|e| Error::malformed(what, format!("no DER certificate ({e})"), "X.509"))?;
        chain.push(der);
        rest = after.trim_start();
    }
    Ok(chain)
}

/// SHA-256 of the DER, in hex.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}

/// Subject and fingerprint, for error messages.
pub(crate) fn describe(der: &[u8]) -> String {
    let subject = Certificate::from_der(der).map_or_else(
        |_| "an unreadable certificate".to_owned(),
        |cert| cert.tbs_certificate.subject.to_string(),
    );
    format!("{subject} (SHA-256 {})", fingerprint(der))
}

/// The common name of a distinguished name, if it has one.
pub(crate) fn common_name(name: &x509_cert::name::Name) -> Option<String> {
    const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
    let attribute = name
        .0
        .iter()
        .flat_map(|set| set.0.iter())
        .find(|a| a.oid == COMMON_NAME)?;
    std::str::from_utf8(attribute.value.value()).ok().map(str::to_owned)
}

/// When it is valid.
pub(crate) fn span(certificate: &Certificate) -> Span {
    Span::from(&certificate.tbs_certificate.validity)
}

/// Content of an extension, if there is exactly one.
pub(crate) fn extension<'a>(certificate: &'a Certificate, id: &str) -> Option<&'a [u8]> {
    let id = ObjectIdentifier::new(id).ok()?;
    let mut found = certificate
        .tbs_certificate
        .extensions
        .iter()
        .flatten()
        .filter(|extension| extension.extn_id == id);
    let one = found.next()?;
    found.next().is_none().then(|| one.extn_value.as_bytes())
}
