//! Simulated SGX (version 3) and TDX (versions 4 and 5) quotes with their collateral. Layouts: Intel, "SGX ECDSA Quote
//! Library Reference", appendix A; "TDX DCAP Quoting Library API", appendix A; PCK extensions: "SGX PCK Certificate and
//! Certificate Revocation List Profile Specification", 1.3.5.

use alloy_primitives::{B256, B512, hex, keccak256};
use dcap_qvl::{INTEL_QE_VENDOR_ID, QuoteCollateralV3};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    Machine, measured,
    pki::{self, Authority, Key, Use},
};
use crate::{Collateral, DcapCollateral, Error, Evidence, Kind, Quote, TcbStatus, date, date::Span};

/// Model of the simulated platform.
const FMSPC: [u8; 6] = *b"SIMUL8";
/// ATTRIBUTES of a 64-bit enclave that is initialised; bit 1 would be DEBUG.
const SGX_ATTRIBUTES: u8 = 0x05;
/// Attributes of the quoting enclave: initialised, may use the provisioning key.
const QE_ATTRIBUTES: u8 = 0x11;
/// TD attributes: SEPT_VE_DISABLE, bit 28.
const TD_ATTRIBUTES: [u8; 8] = [0, 0, 0, 0x10, 0, 0, 0, 0];

/// The simulated root of Intel.
pub(super) fn root() -> Result<Authority, Error> {
    let key = Key::p256(keccak256("surety.simulated.intel"))?;
    pki::issue(
        None,
        key,
        "CN=Surety Simulated SGX Root CA,O=Simulated by Surety",
        Use::Authority,
        pki::ROOT,
        Vec::new(),
    )
}

pub(super) fn quote(machine: &Machine, kind: Kind, program: B256, report_data: B512) -> Result<Evidence, Error> {
    let valid = Span {
        from: machine.issued,
        until: machine.expires,
    };
    let tdx = kind != Kind::SgxV3;
    let root = root()?;
    let issue = |issuer: &Authority, name: &str, usage, more| {
        let key = Key::p256(machine.derive(name))?;
        let subject = format!("CN=Surety Simulated {name},O=Simulated by Surety");
        pki::issue(Some(issuer), key, &subject, usage, valid, more)
    };
    let ca = issue(&root, "SGX PCK Platform CA", Use::Authority, Vec::new())?;
    let pck_extension = pki::extension("1.2.840.113741.1.13.1", false, &pck_extension(machine))?;
    let pck = issue(&ca, "SGX PCK Certificate", Use::Leaf, vec![pck_extension])?;
    let signer = issue(&root, "SGX TCB Signing", Use::Leaf, Vec::new())?;

    let body = if tdx {
        td_report(machine, kind, program, report_data)
    } else {
        sgx_report(
            program,
            *b"simulated signer of no enclave..",
            attributes(machine),
            0,
            report_data,
        )
    };
    let mut signed = header(kind);
    if kind == Kind::TdxV5 {
        signed.extend_from_slice(&3_u16.to_le_bytes());
        push_length32(&mut signed, &body)?;
    }
    signed.extend_from_slice(&body);

    // The attestation key, vouched for by the quoting enclave, which the platform's key vouches for.
    let attestation = Key::p256(machine.derive("attestation key"))?;
    let authentication = machine.derive("authentication data");
    let digest = Sha256::digest([attestation.point(), authentication.to_vec()].concat());
    let mut qe_data = B512::ZERO;
    qe_data[..32].copy_from_slice(&digest);
    let qe_report = sgx_report(B256::ZERO, qe_signer(), QE_ATTRIBUTES, qe_product(tdx), qe_data);

    let chain = pki::pem(&[&pck.der, &ca.der, &root.der])?;
    let mut certified = [qe_report.clone(), pck.key.sign_raw(&qe_report)].concat();
    certified.extend_from_slice(&32_u16.to_le_bytes());
    certified.extend_from_slice(authentication.as_slice());
    certified.extend_from_slice(&5_u16.to_le_bytes());
    push_length32(&mut certified, chain.as_bytes())?;
    certified.extend_from_slice(chain.as_bytes());

    let mut signatures = [attestation.sign_raw(&signed), attestation.point()].concat();
    if tdx {
        signatures.extend_from_slice(&6_u16.to_le_bytes());
        push_length32(&mut signatures, &certified)?;
    }
    signatures.extend_from_slice(&certified);
    let mut bytes = signed;
    push_length32(&mut bytes, &signatures)?;
    bytes.extend_from_slice(&signatures);

    let signer_chain = pki::pem(&[&signer.der, &root.der])?;
    let tcb_info = tcb_info(machine, tdx);
    let qe_identity = qe_identity(machine, tdx);
    let collateral = QuoteCollateralV3 {
        pck_crl_issuer_chain: pki::pem(&[&ca.der, &root.der])?,
        root_ca_crl: pki::revocation_list(&root, valid, None)?,
        pck_crl: pki::revocation_list(&ca, valid, machine.revoked.then_some(&pck))?,
        tcb_info_issuer_chain: signer_chain.clone(),
        tcb_info_signature: signer.key.sign_raw(tcb_info.as_bytes()),
        tcb_info,
        qe_identity_issuer_chain: signer_chain,
        qe_identity_signature: signer.key.sign_raw(qe_identity.as_bytes()),
        qe_identity,
        pck_certificate_chain: None,
    };
    Evidence::new(
        Quote::parse(kind, &bytes)?,
        Collateral::Dcap(Box::new(DcapCollateral(collateral))),
    )
}

fn attributes(machine: &Machine) -> u8 {
    SGX_ATTRIBUTES | if machine.debug { 0x02 } else { 0 }
}

fn header(kind: Kind) -> Vec<u8> {
    let (version, tee): (u16, u32) = match kind {
        Kind::SgxV3 => (3, 0),
        Kind::TdxV4 => (4, 0x81),
        _ => (5, 0x81),
    };
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend_from_slice(&2_u16.to_le_bytes());
    bytes.extend_from_slice(&tee.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&INTEL_QE_VENDOR_ID);
    bytes.extend_from_slice(&[0; 20]);
    bytes
}

/// An SGX report: 384 bytes.
fn sgx_report(program: B256, signer: [u8; 32], attributes: u8, product: u16, report_data: B512) -> Vec<u8> {
    let mut bytes = vec![0; 16 + 4 + 28];
    bytes.push(attributes);
    bytes.extend_from_slice(&[0; 15]);
    bytes.extend_from_slice(program.as_slice());
    bytes.extend_from_slice(&[0; 32]);
    bytes.extend_from_slice(&signer);
    bytes.extend_from_slice(&[0; 96]);
    bytes.extend_from_slice(&product.to_le_bytes());
    // Security version 1.
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.extend_from_slice(&[0; 60]);
    bytes.extend_from_slice(report_data.as_slice());
    bytes
}

/// A TDX 1.0 report, 584 bytes; for version 5 a 1.5 one, 648.
fn td_report(machine: &Machine, kind: Kind, program: B256, report_data: B512) -> Vec<u8> {
    // TEE_TCB_SVN, MRSEAM, MRSIGNERSEAM, SEAMATTRIBUTES
    let mut bytes = vec![0; 16 + 48 + 48 + 8];
    let [_, rest @ ..] = TD_ATTRIBUTES;
    bytes.push(u8::from(machine.debug));
    bytes.extend_from_slice(&rest);
    // XFAM
    bytes.extend_from_slice(&[0xe7, 0x02, 0x06, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&measured(program));
    // MRCONFIGID, MROWNER, MROWNERCONFIG, four RTMRs
    bytes.extend_from_slice(&[0; 7 * 48]);
    bytes.extend_from_slice(report_data.as_slice());
    if kind == Kind::TdxV5 {
        // TEE_TCB_SVN2, MRSERVICETD
        bytes.extend_from_slice(&[0; 16 + 48]);
    }
    bytes
}

fn qe_signer() -> [u8; 32] {
    keccak256("surety.simulated.quoting-enclave").0
}

fn qe_product(tdx: bool) -> u16 {
    if tdx { 2 } else { 1 }
}

fn qe_identity(machine: &Machine, tdx: bool) -> String {
    let level = json!({"tcb": {"isvsvn": 1}, "tcbDate": date(machine.issued), "tcbStatus": "UpToDate"});
    json!({
        "id": if tdx { "TD_QE" } else { "QE" }, "version": 2,
        "issueDate": date(machine.issued), "nextUpdate": date(machine.expires), "tcbEvaluationDataNumber": 1,
        "miscselect": "00000000", "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000", "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": hex::encode_upper(qe_signer()), "isvprodid": qe_product(tdx), "tcbLevels": [level],
    })
    .to_string()
}

fn tcb_info(machine: &Machine, tdx: bool) -> String {
    let component = || vec![json!({"svn": 0}); 16];
    let mut tcb = json!({"sgxtcbcomponents": component(), "pcesvn": 0});
    if tdx {
        tcb["tdxtcbcomponents"] = component().into();
    }
    let advisories: &[&str] = match machine.status {
        TcbStatus::UpToDate => &[],
        _ => &["SIMULATED-SA-00001"],
    };
    let level = json!({"tcb": tcb, "tcbDate": date(machine.issued), "tcbStatus": machine.status.to_string(),
        "advisoryIDs": advisories});
    let mut info = json!({
        "id": if tdx { "TDX" } else { "SGX" }, "version": 3,
        "issueDate": date(machine.issued), "nextUpdate": date(machine.expires),
        "fmspc": hex::encode_upper(FMSPC), "pceId": "0000", "tcbType": 0, "tcbEvaluationDataNumber": 1,
        "tcbLevels": [level],
    });
    if tdx {
        info["tdxModule"] = json!({"mrsigner": "0".repeat(96), "attributes": "0".repeat(16),
            "attributesMask": "F".repeat(16)});
    }
    info.to_string()
}

/// The SGX extension of a PCK certificate: PPID, TCB (all components zero), PCE id, FMSPC, type.
fn pck_extension(machine: &Machine) -> Vec<u8> {
    // 1.2.840.113741.1.13.1 and what follows it
    let id = |last: &[u8]| {
        tlv(
            0x06,
            &[&[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01], last].concat(),
        )
    };
    let pair = |last: &[u8], value: Vec<u8>| tlv(0x30, &[id(last), value].concat());
    let components = (1..=17_u8).flat_map(|component| pair(&[2, component], tlv(0x02, &[0])));
    let tcb: Vec<u8> = components.chain(pair(&[2, 18], tlv(0x04, &[0; 16]))).collect();
    let ppid = machine.derive("ppid");
    let fields = [
        pair(&[1], tlv(0x04, &ppid[..16])),
        pair(&[2], tlv(0x30, &tcb)),
        pair(&[3], tlv(0x04, &[0, 0])),
        pair(&[4], tlv(0x04, &FMSPC)),
        pair(&[5], tlv(0x0a, &[0])),
    ];
    tlv(0x30, &fields.concat())
}

/// A DER element of at most 65,535 bytes.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = match (high, low) {
        (0, 0..=127) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

fn push_length32(bytes: &mut Vec<u8>, part: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(part.len()).map_err(pki::failed)?;
    bytes.extend_from_slice(&length.to_le_bytes());
    Ok(())
}
