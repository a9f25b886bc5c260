//! SGX and TDX quotes. Signatures, revocation and TCB matching are `dcap-qvl`'s work; here dates, roots and debug
//! flags are checked first, so that the common refusals have a type of their own.

use std::collections::BTreeMap;

use alloy_primitives::{B512, Bytes, hex};
use dcap_qvl::{
    PckCertFlag, QuoteClaims, QuotePolicy, TcbStatus as Status,
    configs::RustCryptoConfig,
    intel::{extract_cert_chain, parse_pck_extension_with},
    quote::{AuthData, EnclaveReport, Report, TDReport10},
    verify::QuoteVerifier,
};
use serde::Deserialize;
use x509_cert::{
    crl::CertificateList,
    der::{DateTime, Decode},
};

use crate::{
    DcapCollateral, Error, IntelPolicy, Kind, Quote, Roots, TcbStatus, Unverified, Vendor, Verified, certificate,
    date::Span,
};

/// Certificates of one chain: leaf, intermediate, root; and one to spare.
const MAX_CHAIN: usize = 4;

/// The type of the certification data around a quoting enclave's report (Intel TDX DCAP Quoting Library API, A.3.9).
const QE_REPORT: u16 = 6;

type Registers = BTreeMap<String, Bytes>;

pub(crate) fn verify(
    quote: &Quote,
    collateral: &DcapCollateral,
    policy: &IntelPolicy,
    roots: &Roots,
    now: u64,
) -> Result<Verified, Error> {
    let parsed = parse(quote)?;
    check_not_debug(&parsed.report)?;
    let pck = pck_chain(&parsed, collateral)?;
    check_roots(&pck, collateral, roots)?;
    let (issued, dates) = check_dates(&pck, collateral, now)?;
    // The policy is ours, applied to the claims; this one lets the claims out.
    let claims = QuoteVerifier::<RustCryptoConfig>::new_with_config(roots.intel().to_vec())
        .allow_service_td(policy.allow_service_td)
        .verify_with_policy(quote.as_bytes(), &collateral.0, now, &QuotePolicy::claims_only(now))
        .map_err(|e| refusal(&e))?;
    apply(policy, &claims)?;
    let (measurements, signers, report_data) = registers(&claims.report);
    Ok(Verified {
        kind: quote.kind(),
        vendor: Vendor::Intel,
        simulated: roots.is_simulated(),
        measurements,
        signers,
        report_data: Some(report_data),
        tcb_status: status(claims.tcb.status)?,
        advisories: claims.tcb.advisory_ids.clone(),
        platform: platform(&claims),
        issued: Some(issued),
        valid_from: dates.from.max(claims.latest_issue_date),
        valid_until: dates.until.min(claims.earliest_expiration_date),
    })
}

pub(crate) fn inspect(quote: &Quote) -> Result<Unverified, Error> {
    let parsed = parse(quote)?;
    let (measurements, signers, report_data) = registers(&parsed.report);
    let mut platform = versions(&parsed.report);
    platform.insert("debug".to_owned(), debug_flags(&parsed.report).is_some().to_string());
    // A quote without its certificate is no error yet: the collateral may have it.
    let leaf = extract_cert_chain(&parsed)
        .ok()
        .and_then(|chain| chain.into_iter().next());
    if let Some(Ok(pck)) = leaf.map(|leaf| parse_pck_extension_with::<RustCryptoConfig>(&leaf)) {
        platform.insert("fmspc".to_owned(), hex::encode(pck.fmspc));
    }
    Ok(Unverified {
        kind: quote.kind(),
        measurements,
        signers,
        report_data: Some(report_data),
        platform,
    })
}

fn parse(quote: &Quote) -> Result<dcap_qvl::quote::Quote, Error> {
    let parsed = dcap_qvl::quote::Quote::parse(quote.as_bytes())
        .map_err(|e| Error::malformed("the quote", format!("{e:#}"), format!("a {} quote", quote.kind())))?;
    let fits = match (quote.kind(), &parsed.report) {
        (Kind::SgxV3, report) => report.is_sgx(),
        (Kind::TdxV4, report) => matches!(report, Report::TD10(_)),
        (_, report) => !report.is_sgx(),
    };
    if !fits {
        return Err(Error::malformed(
            "the quote",
            "a report of another technology",
            format!("the report of a {} quote", quote.kind()),
        ));
    }
    // `dcap-qvl` reads past this type, which no signature covers.
    if let AuthData::V4(data) = &parsed.auth_data
        && data.certification_data.cert_type != QE_REPORT
    {
        return Err(Error::malformed(
            "the quote",
            format!("certification data of type {}", data.certification_data.cert_type),
            format!("type {QE_REPORT}, the quoting enclave's report"),
        ));
    }
    Ok(parsed)
}

/// The quote's PCK certificate with its chain: from the collateral where the quote has none, as `dcap-qvl` prefers.
fn pck_chain(parsed: &dcap_qvl::quote::Quote, collateral: &DcapCollateral) -> Result<Vec<Vec<u8>>, Error> {
    const WHAT: &str = "the platform's (PCK) certificate chain";
    if let Some(chain) = &collateral.0.pck_certificate_chain {
        return certificate::pem_chain(WHAT, chain.as_bytes(), MAX_CHAIN);
    }
    match parsed.inner_cert_type() {
        5 => certificate::pem_chain(WHAT, parsed.inner_cert_data(), MAX_CHAIN),
        other => Err(Error::malformed(
            WHAT,
            format!(
                "certification data of type {other} in the quote, and no `pck_certificate_chain` in the collateral"
            ),
            "type 5 (a PEM chain), or the chain in the collateral",
        )),
    }
}

/// Refuses chains under another root with its name, before any signature is looked at.
fn check_roots(pck: &[Vec<u8>], collateral: &DcapCollateral, roots: &Roots) -> Result<(), Error> {
    let tcb = certificate::pem_chain(
        "the TCB info's chain",
        collateral.0.tcb_info_issuer_chain.as_bytes(),
        MAX_CHAIN,
    )?;
    let qe = certificate::pem_chain(
        "the quoting enclave identity's chain",
        collateral.0.qe_identity_issuer_chain.as_bytes(),
        MAX_CHAIN,
    )?;
    let root = roots.intel();
    for (what, chain) in [
        ("the platform (PCK)", pck),
        ("the TCB info", &tcb),
        ("the quoting enclave's identity", &qe),
    ] {
        let Some(last) = chain.last() else {
            return Err(Error::malformed(
                "a certificate chain",
                "no certificate",
                "PEM certificates",
            ));
        };
        let cert = certificate::read("a certificate chain", last)?;
        let tbs = &cert.tbs_certificate;
        // A chain may leave out the root; one that ends in another root is another's.
        if tbs.subject == tbs.issuer && last != root {
            return Err(Error::Root {
                what,
                found: certificate::describe(last),
                expected: certificate::describe(root),
            });
        }
    }
    Ok(())
}

/// Dates of the signed JSON of Intel's collateral.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dates {
    issue_date: String,
    next_update: String,
}

impl Dates {
    fn read(what: &'static str, json: &str) -> Result<Span, Error> {
        let dates: Self =
            serde_json::from_str(json).map_err(|e| Error::malformed(what, e, "JSON with issueDate and nextUpdate"))?;
        let seconds = |text: &str| -> Result<u64, Error> {
            let date: DateTime = text
                .parse()
                .map_err(|_| Error::malformed(what, format!("the date `{text}`"), "such as 2026-03-20T10:58:51Z"))?;
            Ok(date.unix_duration().as_secs())
        };
        Ok(Span {
            from: seconds(&dates.issue_date)?,
            until: seconds(&dates.next_update)?,
        })
    }
}

/// Checks every date. Returns when the oldest of the parts that are renewed every month was issued, and when all are
/// valid.
fn check_dates(pck: &[Vec<u8>], collateral: &DcapCollateral, now: u64) -> Result<(u64, Span), Error> {
    let collateral = &collateral.0;
    let tcb = Dates::read("the TCB info", &collateral.tcb_info)?.check("the TCB info", now)?;
    let qe = Dates::read("the quoting enclave's identity", &collateral.qe_identity)?
        .check("the quoting enclave's identity", now)?;
    let pck_crl = crl_span("the revocation list of PCK certificates", &collateral.pck_crl, now)?;
    let root_crl = crl_span("the revocation list of the root", &collateral.root_ca_crl, now)?;
    let mut all = tcb.and(qe).and(pck_crl).and(root_crl);
    for der in pck {
        const WHAT: &str = "a certificate of the platform's (PCK) chain";
        all = all.and(certificate::span(&certificate::read(WHAT, der)?).check(WHAT, now)?);
    }
    for chain in [&collateral.tcb_info_issuer_chain, &collateral.qe_identity_issuer_chain] {
        const WHAT: &str = "a certificate of the collateral's signer";
        for der in certificate::pem_chain(WHAT, chain.as_bytes(), MAX_CHAIN)? {
            all = all.and(certificate::span(&certificate::read(WHAT, &der)?).check(WHAT, now)?);
        }
    }
    Ok((tcb.from.min(qe.from).min(pck_crl.from), all))
}

/// At the second of its next update a list has expired already, unlike a certificate at its last.
fn crl_span(what: &'static str, der: &[u8], now: u64) -> Result<Span, Error> {
    let list = CertificateList::from_der(der)
        .map_err(|e| Error::malformed(what, format!("no DER list ({e})"), "X.509 CRL"))?;
    let dates = &list.tbs_cert_list;
    let Some(next) = dates.next_update else {
        return Err(Error::malformed(what, "no date of its next update", "nextUpdate"));
    };
    Span {
        from: dates.this_update.to_unix_duration().as_secs(),
        until: next.to_unix_duration().as_secs().saturating_sub(1),
    }
    .check(what, now)
}

/// Debug bits of SGX (ATTRIBUTES bit 1) and TDX (TD attributes: TUD, the lowest byte, which includes profiling).
fn debug_flags(report: &Report) -> Option<String> {
    match report {
        Report::SgxEnclave(report) => {
            let [flags, ..] = report.attributes;
            (flags & 0x02 != 0).then(|| format!("ATTRIBUTES {}", hex::encode(report.attributes)))
        }
        _ => report.as_td10().and_then(|report| {
            let [under_debug, ..] = report.td_attributes;
            (under_debug != 0).then(|| format!("TD attributes {}", hex::encode(report.td_attributes)))
        }),
    }
}

fn check_not_debug(report: &Report) -> Result<(), Error> {
    match debug_flags(report) {
        Some(found) => Err(Error::Debug {
            found,
            expected: match report {
                Report::SgxEnclave(_) => "bit 1 (DEBUG) clear",
                _ => "the lowest byte (debug and profiling) zero",
            },
        }),
        None => Ok(()),
    }
}

/// `dcap-qvl` says in text what it found. Signatures and roots are told from the rest.
fn refusal(error: &impl std::fmt::Display) -> Error {
    let found = format!("{error:#}");
    let signed = |what, expected| Error::Signature {
        what,
        found: found.clone(),
        expected,
    };
    if found.contains("ISV enclave report signature") {
        return signed("the report", "the quoting enclave's attestation key");
    }
    if found.contains("QE report hash") || found.contains("qe_report") {
        return signed("the quoting enclave's report", "the platform's (PCK) key");
    }
    if found.contains("tcb_info in quote_collateral") {
        return signed("the TCB info", "the collateral's signer");
    }
    if found.contains("qe_identity in quote_collateral") {
        return signed("the quoting enclave's identity", "the collateral's signer");
    }
    Error::NotVouched {
        vendor: Vendor::Intel,
        found,
    }
}

fn apply(policy: &IntelPolicy, claims: &QuoteClaims) -> Result<(), Error> {
    let pck = &claims.platform.pck;
    for (what, flag, allowed) in [
        ("hyperthreading (SMT)", pck.smt_enabled, policy.allow_smt),
        (
            "a dynamic platform",
            pck.dynamic_platform,
            policy.allow_dynamic_platform,
        ),
        ("keys that Intel keeps", pck.cached_keys, policy.allow_cached_keys),
    ] {
        if flag == PckCertFlag::True && !allowed {
            return Err(Error::Policy {
                what,
                found: "the flag in the platform's certificate".to_owned(),
                expected: "none".to_owned(),
            });
        }
    }
    if claims.tcb.eval_data_number < policy.min_tcb_evaluation {
        return Err(Error::Policy {
            what: "the collateral's tcbEvaluationDataNumber",
            found: claims.tcb.eval_data_number.to_string(),
            expected: format!("{} or more", policy.min_tcb_evaluation),
        });
    }
    Ok(())
}

fn status(status: Status) -> Result<TcbStatus, Error> {
    Ok(match status {
        Status::UpToDate => TcbStatus::UpToDate,
        Status::SWHardeningNeeded => TcbStatus::SWHardeningNeeded,
        Status::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        Status::ConfigurationAndSWHardeningNeeded => TcbStatus::ConfigurationAndSWHardeningNeeded,
        Status::OutOfDate => TcbStatus::OutOfDate,
        Status::OutOfDateConfigurationNeeded => TcbStatus::OutOfDateConfigurationNeeded,
        Status::TDRelaunchAdvised => TcbStatus::TDRelaunchAdvised,
        Status::TDRelaunchAdvisedConfigurationNeeded => TcbStatus::TDRelaunchAdvisedConfigurationNeeded,
        // `dcap-qvl` refuses it before; no policy can accept it.
        Status::Revoked => {
            return Err(Error::NotVouched {
                vendor: Vendor::Intel,
                found: "the platform is revoked".to_owned(),
            });
        }
    })
}

/// What runs, who signed it, and the report data.
fn registers(report: &Report) -> (Registers, Registers, B512) {
    let name = |pairs: &[(&str, &[u8])]| -> Registers {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value)))
            .collect()
    };
    let sgx = |report: &EnclaveReport| {
        (
            name(&[("mrenclave", &report.mr_enclave)]),
            name(&[("mrsigner", &report.mr_signer)]),
            B512::from(report.report_data),
        )
    };
    let tdx = |report: &TDReport10| {
        (
            name(&[
                ("mrtd", &report.mr_td),
                ("rtmr0", &report.rt_mr0),
                ("rtmr1", &report.rt_mr1),
                ("rtmr2", &report.rt_mr2),
                ("rtmr3", &report.rt_mr3),
            ]),
            name(&[
                ("mrconfigid", &report.mr_config_id),
                ("mrowner", &report.mr_owner),
                ("mrownerconfig", &report.mr_owner_config),
                ("mrseam", &report.mr_seam),
                ("mrsignerseam", &report.mr_signer_seam),
            ]),
            B512::from(report.report_data),
        )
    };
    match report {
        Report::SgxEnclave(report) => sgx(report),
        Report::TD10(report) => tdx(report),
        Report::TD15(report) => with_service(tdx(&report.base), &report.mr_service_td),
        Report::TD15Ex(report) => with_service(tdx(&report.base.base), &report.base.mr_service_td),
    }
}

fn with_service(mut parts: (Registers, Registers, B512), service: &[u8]) -> (Registers, Registers, B512) {
    parts
        .1
        .insert("mrservicetd".to_owned(), Bytes::copy_from_slice(service));
    parts
}

/// Product and versions that the report itself has.
fn versions(report: &Report) -> BTreeMap<String, String> {
    let text = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    };
    match report {
        Report::SgxEnclave(report) => text(&[
            ("attributes", hex::encode(report.attributes)),
            ("product", report.isv_prod_id.to_string()),
            ("version", report.isv_svn.to_string()),
        ]),
        other => other.as_td10().map_or_else(BTreeMap::new, |td| {
            text(&[
                ("attributes", hex::encode(td.td_attributes)),
                ("xfam", hex::encode(td.xfam)),
                ("tee_tcb_svn", hex::encode(td.tee_tcb_svn)),
            ])
        }),
    }
}

fn platform(claims: &QuoteClaims) -> BTreeMap<String, String> {
    let mut text = versions(&claims.report);
    let pck = &claims.platform.pck;
    let flag = |flag: PckCertFlag| match flag {
        PckCertFlag::True => "yes",
        PckCertFlag::False => "no",
        PckCertFlag::Undefined => "not said",
    };
    for (name, value) in [
        ("fmspc", hex::encode(pck.fmspc)),
        ("tcb_date", claims.platform.tcb_level.tcb_date.clone()),
        ("tcb_evaluation", claims.tcb.eval_data_number.to_string()),
        ("platform_status", claims.platform.tcb_level.tcb_status.to_string()),
        ("qe_status", claims.qe.tcb_level.tcb_status.to_string()),
        ("smt", flag(pck.smt_enabled).to_owned()),
        ("dynamic_platform", flag(pck.dynamic_platform).to_owned()),
        ("cached_keys", flag(pck.cached_keys).to_owned()),
    ] {
        text.insert(name.to_owned(), value);
    }
    text
}
