//! SEV-SNP reports. The `sev` crate reads them and checks RSA signatures; here is what it leaves to its caller: pinned
//! roots, dates, the certificate against the report (chip, firmware, product), debug, reserved bytes under the
//! signature.

use std::collections::BTreeMap;

use alloy_primitives::{B512, Bytes, hex};
use p384::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use sev::{
    certs::snp::{Certificate, Verifiable},
    firmware::{guest::AttestationReport, host::TcbVersion},
    parser::ByteParser,
};

use crate::{
    AmdPolicy, Error, Kind, Quote, Roots, SnpChain, TcbStatus, Unverified, Vendor, Verified, certificate, date::Span,
    quote::SNP_REPORT, roots::AmdRoot,
};

/// The report without its signature.
const SIGNED: usize = 0x2a0;
/// r and s, 72 bytes each, little-endian, of which 48 are used; then zeros.
const SCALAR: usize = 72;

/// Names of the certificates' extensions (AMD 57230, "VCEK Certificate and KDS Interface Specification", 3.1).
mod oid {
    pub(super) const BOOTLOADER: &str = "1.3.6.1.4.1.3704.1.3.1";
    pub(super) const TEE: &str = "1.3.6.1.4.1.3704.1.3.2";
    pub(super) const SNP: &str = "1.3.6.1.4.1.3704.1.3.3";
    pub(super) const MICROCODE: &str = "1.3.6.1.4.1.3704.1.3.8";
    pub(super) const FMC: &str = "1.3.6.1.4.1.3704.1.3.9";
    pub(super) const CHIP: &str = "1.3.6.1.4.1.3704.1.4";
    pub(super) const PROVIDER: &str = "1.3.6.1.4.1.3704.1.5";
}

/// Which key signed the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SigningKey {
    /// the chip's
    Vcek,
    /// the cloud provider's
    Vlek,
}

impl SigningKey {
    fn name(self) -> &'static str {
        match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        }
    }
}

pub(crate) fn verify(
    quote: &Quote,
    chain: &SnpChain,
    policy: &AmdPolicy,
    roots: &Roots,
    now: u64,
) -> Result<Verified, Error> {
    let (report, raw) = parse(quote)?;
    check_not_debug(&report)?;
    let signer = signing_key(&report)?;
    let key = certificate::read("the certificate of the report's key", &chain.key)?;
    let (root, intermediate) = pinned(&key, chain, signer, roots)?;
    let dates = check_chain(&key, chain, &root, &intermediate, now)?;
    check_report_signature(&raw, &key)?;
    check_certificate(&report, &raw, &key, signer, root.product)?;
    apply(policy, &report, signer)?;
    let (measurements, signers) = registers(&report);
    let mut platform = platform(&report, &raw);
    platform.insert("processor".to_owned(), root.product.to_owned());
    if let (SigningKey::Vlek, Some(provider)) = (signer, certificate::extension(&key, oid::PROVIDER)) {
        platform.insert("provider".to_owned(), ia5_text(provider));
    }
    Ok(Verified {
        kind: Kind::SevSnp,
        vendor: Vendor::Amd,
        simulated: roots.is_simulated(),
        measurements,
        signers,
        report_data: Some(B512::from(report.report_data)),
        tcb_status: TcbStatus::Unrated,
        advisories: Vec::new(),
        platform,
        issued: None,
        valid_from: dates.from,
        valid_until: dates.until,
    })
}

pub(crate) fn inspect(quote: &Quote) -> Result<Unverified, Error> {
    let (report, raw) = parse(quote)?;
    let (measurements, signers) = registers(&report);
    let mut platform = platform(&report, &raw);
    platform.insert("debug".to_owned(), report.policy.debug_allowed().to_string());
    Ok(Unverified {
        kind: Kind::SevSnp,
        measurements,
        signers,
        report_data: Some(B512::from(report.report_data)),
        platform,
    })
}

fn parse(quote: &Quote) -> Result<(AttestationReport, [u8; SNP_REPORT]), Error> {
    const WHAT: &str = "the SEV-SNP report";
    let Ok(raw) = <[u8; SNP_REPORT]>::try_from(quote.as_bytes()) else {
        return Err(Error::malformed(
            WHAT,
            format!("{} bytes", quote.as_bytes().len()),
            format!("{SNP_REPORT}"),
        ));
    };
    let report = AttestationReport::from_bytes(&raw).map_err(|e| {
        Error::malformed(
            WHAT,
            e,
            "a report of version 2 to 5, with its chip's id if of version 2",
        )
    })?;
    if !(2..=5).contains(&report.version) {
        return Err(Error::malformed(
            WHAT,
            format!("version {}", report.version),
            "version 2 to 5",
        ));
    }
    if report.sig_algo != 1 {
        return Err(Error::malformed(
            WHAT,
            format!("signature algorithm {}", report.sig_algo),
            "1 (ECDSA P-384 with SHA-384)",
        ));
    }
    Ok((report, raw))
}

fn check_not_debug(report: &AttestationReport) -> Result<(), Error> {
    if report.policy.debug_allowed() {
        return Err(Error::Debug {
            found: format!("guest policy {:#x}", u64::from(report.policy)),
            expected: "bit 19 (DEBUG) clear",
        });
    }
    Ok(())
}

fn signing_key(report: &AttestationReport) -> Result<SigningKey, Error> {
    match report.key_info.signing_key() {
        0 => Ok(SigningKey::Vcek),
        1 => Ok(SigningKey::Vlek),
        other => Err(Error::malformed(
            "the SEV-SNP report",
            format!("signing key {other}"),
            "0 (VCEK) or 1 (VLEK)",
        )),
    }
}

/// The pinned root of the certificate's processor, and the certificate below it: the pinned one for a VCEK, the one
/// that came along for a VLEK.
fn pinned(
    key: &x509_cert::Certificate,
    chain: &SnpChain,
    signer: SigningKey,
    roots: &Roots,
) -> Result<(AmdRoot, Certificate), Error> {
    let issuer = certificate::common_name(&key.tbs_certificate.issuer).unwrap_or_default();
    let wanted = |product: &str| match signer {
        SigningKey::Vcek => format!("SEV-{product}"),
        SigningKey::Vlek => format!("SEV-VLEK-{product}"),
    };
    let all = roots.amd()?;
    let expected = all
        .iter()
        .map(|root| wanted(root.product))
        .collect::<Vec<_>>()
        .join(", ");
    let Some(root) = all.into_iter().find(|root| issuer == wanted(root.product)) else {
        return Err(Error::Root {
            what: "the report's key",
            found: format!("its issuer is `{issuer}`, the report is signed by a {}", signer.name()),
            expected: format!("one of {expected}"),
        });
    };
    let intermediate = match (signer, &chain.intermediate) {
        (SigningKey::Vcek, _) => root.ask.clone(),
        (SigningKey::Vlek, Some(der)) => {
            certificate::read("the intermediate certificate", der)?;
            Certificate::from_der(der).map_err(|e| Error::malformed("the intermediate certificate", e, "X.509"))?
        }
        (SigningKey::Vlek, None) => {
            return Err(Error::NoCollateral {
                kind: Kind::SevSnp,
                expected: "the ASVK certificate beside the VLEK certificate",
            });
        }
    };
    Ok((root, intermediate))
}

/// Signatures (RSA-PSS with SHA-384) from the root to the key, and the dates of all three certificates.
fn check_chain(
    key: &x509_cert::Certificate,
    chain: &SnpChain,
    root: &AmdRoot,
    intermediate: &Certificate,
    now: u64,
) -> Result<Span, Error> {
    let mut dates = Span::ALWAYS;
    let parsed = x509_cert::Certificate::from(intermediate.clone());
    let ark = x509_cert::Certificate::from(root.ark.clone());
    for (what, cert) in [
        ("AMD's root certificate (ARK)", &ark),
        ("AMD's intermediate certificate", &parsed),
        ("the certificate of the report's key", key),
    ] {
        dates = dates.and(certificate::span(cert).check(what, now)?);
    }
    if parsed.tbs_certificate.subject != key.tbs_certificate.issuer {
        return Err(Error::Root {
            what: "the report's key",
            found: format!("its issuer is {}", key.tbs_certificate.issuer),
            expected: parsed.tbs_certificate.subject.to_string(),
        });
    }
    let signed = |what, signer: &Certificate, signee: &Certificate| {
        (signer, signee).verify().map_err(|e| Error::Root {
            what,
            found: e.to_string(),
            expected: certificate::describe(&root.ark_der),
        })
    };
    let leaf = Certificate::from_der(&chain.key)
        .map_err(|e| Error::malformed("the certificate of the report's key", e, "X.509"))?;
    signed("AMD's intermediate certificate", &root.ark, intermediate)?;
    signed("the report's key", intermediate, &leaf)?;
    Ok(dates)
}

/// Over the bytes as they came: the `sev` crate would sign what it understood of them, without reserved fields.
fn check_report_signature(raw: &[u8; SNP_REPORT], key: &x509_cert::Certificate) -> Result<(), Error> {
    let fail = |found: String| Error::Signature {
        what: "the report",
        found,
        expected: "the key of its certificate (VCEK or VLEK)",
    };
    let (message, signature) = raw.split_at(SIGNED);
    let (Some((r, rest)), true) = (signature.split_at_checked(SCALAR), signature.len() > 2 * SCALAR) else {
        return Err(fail(format!("{} bytes", signature.len())));
    };
    let (s, zeros) = rest.split_at(SCALAR);
    let scalar = |bytes: &[u8]| -> Result<[u8; 48], Error> {
        let (low, high) = bytes.split_at(48);
        let mut big: [u8; 48] = low.try_into().map_err(|_| fail(format!("{} bytes", low.len())))?;
        big.reverse();
        if high.iter().any(|byte| *byte != 0) {
            return Err(fail("a number of more than 384 bits".to_owned()));
        }
        Ok(big)
    };
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(fail("bytes after it that are not zero".to_owned()));
    }
    let signature = Signature::from_scalars(scalar(r)?, scalar(s)?).map_err(|_| fail("no signature".to_owned()))?;
    let point = &key.tbs_certificate.subject_public_key_info.subject_public_key;
    let key = VerifyingKey::from_sec1_bytes(point.raw_bytes())
        .map_err(|_| fail("a certificate without a P-384 key".to_owned()))?;
    key.verify(message, &signature)
        .map_err(|_| fail("another signature".to_owned()))
}

/// The certificate must be of the chip and of the firmware that the report names.
fn check_certificate(
    report: &AttestationReport,
    raw: &[u8; SNP_REPORT],
    key: &x509_cert::Certificate,
    signer: SigningKey,
    product: &str,
) -> Result<(), Error> {
    let mismatch = |what, found: String, expected: String| Error::CertificateMismatch { what, found, expected };
    if let Some(processor) = processor(report)
        && processor != product
    {
        return Err(mismatch("the processor", product.to_owned(), processor.to_owned()));
    }
    let tcb = tcb(raw, product);
    for (what, id, expected) in [
        ("the boot loader's version", oid::BOOTLOADER, Some(tcb.bootloader)),
        ("the security processor's version", oid::TEE, Some(tcb.tee)),
        ("the SNP firmware's version", oid::SNP, Some(tcb.snp)),
        ("the microcode's version", oid::MICROCODE, Some(tcb.microcode)),
        ("the FMC's version", oid::FMC, tcb.fmc),
    ] {
        let Some(expected) = expected else { continue };
        let found = certificate::extension(key, id).and_then(small_integer);
        if found != Some(expected) {
            let found = found.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return Err(mismatch(what, found, expected.to_string()));
        }
    }
    if signer == SigningKey::Vcek {
        // The id is masked (all zero) where the platform's owner wants it so; the signature is the chip's all the same.
        let masked = report.chip_id.iter().all(|byte| *byte == 0);
        let found = certificate::extension(key, oid::CHIP).unwrap_or_default();
        // Turin's ids have 8 bytes.
        let length = if product == "Turin" { 8 } else { 64 };
        let (id, rest) = report.chip_id.split_at(length);
        let fits = found == id && rest.iter().all(|byte| *byte == 0);
        if !masked && !fits {
            return Err(mismatch(
                "the chip's id",
                hex::encode(found),
                hex::encode(report.chip_id),
            ));
        }
    }
    Ok(())
}

/// The processor that a report of version 3 or later names.
fn processor(report: &AttestationReport) -> Option<&'static str> {
    use sev::Generation;
    let (family, model) = (report.cpuid_fam_id?, report.cpuid_mod_id?);
    Some(match Generation::identify_cpu(family, model).ok()? {
        Generation::Milan => "Milan",
        Generation::Genoa => "Genoa",
        Generation::Turin => "Turin",
        _ => "another",
    })
}

/// REPORTED_TCB, in the layout of the processor whose certificate it is (offset 0x180, AMD 56860, tables 3 and 4).
fn tcb(raw: &[u8; SNP_REPORT], product: &str) -> TcbVersion {
    let field = raw
        .get(0x180..)
        .and_then(|rest| rest.first_chunk::<8>())
        .copied()
        .unwrap_or_default();
    let [a, b, c, d, _, _, f, microcode] = field;
    if product == "Turin" {
        return TcbVersion {
            fmc: Some(a),
            bootloader: b,
            tee: c,
            snp: d,
            microcode,
        };
    }
    TcbVersion {
        fmc: None,
        bootloader: a,
        tee: b,
        snp: f,
        microcode,
    }
}

fn apply(policy: &AmdPolicy, report: &AttestationReport, signer: SigningKey) -> Result<(), Error> {
    let refuse = |what, found: String, expected: &str| Error::Policy {
        what,
        found,
        expected: expected.to_owned(),
    };
    if signer == SigningKey::Vlek && policy.refuse_vlek {
        return Err(refuse("the key that signed", "VLEK".to_owned(), "VCEK"));
    }
    if report.policy.migrate_ma_allowed() && !policy.allow_migration {
        return Err(refuse(
            "a migration agent",
            "bit 18 of the guest policy".to_owned(),
            "clear",
        ));
    }
    if report.vmpl > u32::from(policy.max_vmpl) {
        return Err(refuse(
            "the privilege level (VMPL) of the report",
            report.vmpl.to_string(),
            &format!("{} or lower", policy.max_vmpl),
        ));
    }
    let tcb = report.reported_tcb;
    for (what, found, expected) in [
        ("the boot loader", tcb.bootloader, policy.min_bootloader),
        ("the security processor's system", tcb.tee, policy.min_tee),
        ("the SNP firmware", tcb.snp, policy.min_snp),
        ("the microcode", tcb.microcode, policy.min_microcode),
    ] {
        if found < expected {
            return Err(Error::Firmware {
                what,
                found: found.into(),
                expected: expected.into(),
            });
        }
    }
    Ok(())
}

fn registers(report: &AttestationReport) -> (BTreeMap<String, Bytes>, BTreeMap<String, Bytes>) {
    let named = |name: &str, value: &[u8]| (name.to_owned(), Bytes::copy_from_slice(value));
    (
        [named("launch", &report.measurement)].into(),
        [
            named("hostdata", &report.host_data),
            named("idkeydigest", &report.id_key_digest),
            named("authorkeydigest", &report.author_key_digest),
        ]
        .into(),
    )
}

fn platform(report: &AttestationReport, raw: &[u8; SNP_REPORT]) -> BTreeMap<String, String> {
    let tcb = report.reported_tcb;
    let tcb_bytes = raw.get(0x180..0x188).unwrap_or_default();
    [
        ("report", report.version.to_string()),
        ("guest_policy", format!("{:#x}", u64::from(report.policy))),
        ("guest_version", report.guest_svn.to_string()),
        ("vmpl", report.vmpl.to_string()),
        ("reported_tcb", hex::encode(tcb_bytes)),
        ("bootloader", tcb.bootloader.to_string()),
        ("tee", tcb.tee.to_string()),
        ("snp", tcb.snp.to_string()),
        ("microcode", tcb.microcode.to_string()),
        ("chip", hex::encode(report.chip_id)),
        (
            "smt",
            if report.plat_info.smt_enabled() { "yes" } else { "no" }.to_owned(),
        ),
        (
            "key",
            signing_key(report).map_or("unknown", SigningKey::name).to_owned(),
        ),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// A DER INTEGER of 0 to 255.
fn small_integer(der: &[u8]) -> Option<u8> {
    match der {
        [2, 1, value @ 0..=127] | [2, 2, 0, value @ 128..=255] => Some(*value),
        _ => None,
    }
}

/// A DER IA5String, as text.
fn ia5_text(der: &[u8]) -> String {
    let text = match der {
        [0x16, length, text @ ..] if usize::from(*length) == text.len() => text,
        other => other,
    };
    String::from_utf8_lossy(text).into_owned()
}
