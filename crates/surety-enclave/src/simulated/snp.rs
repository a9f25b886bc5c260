//! Simulated SEV-SNP reports (version 2, of a Milan processor) with the certificate of their key.

use alloy_primitives::{B256, B512};
use rsa::{RsaPrivateKey, pkcs8::DecodePrivateKey, pss::SigningKey};

use super::{
    Machine, measured,
    pki::{self, Authority, Key, Use},
};
use crate::{Collateral, Error, Evidence, Kind, Quote, SnpChain, date::Span, quote::SNP_REPORT};

/// Keys of the simulated roots, for everybody to read: AMD's are RSA keys, which take too long to derive from a seed.
const ARK: &[u8] = include_bytes!("ark.pk8");
const ASK: &[u8] = include_bytes!("ask.pk8");
/// AMD's names of this extension's OIDs are in `src/snp.rs`. Versions: boot loader, system, firmware, microcode.
const VERSIONS: [(&str, u8); 4] = [
    ("1.3.6.1.4.1.3704.1.3.1", 4),
    ("1.3.6.1.4.1.3704.1.3.2", 0),
    ("1.3.6.1.4.1.3704.1.3.3", 24),
    ("1.3.6.1.4.1.3704.1.3.8", 115),
];

fn key(pkcs8: &[u8]) -> Result<Key, Error> {
    let key = RsaPrivateKey::from_pkcs8_der(pkcs8).map_err(pki::failed)?;
    Ok(Key::Rsa(Box::new(SigningKey::new(key))))
}

fn authorities() -> Result<(Authority, Authority), Error> {
    let name = |key: &str| format!("CN={key}-Milan,O=Simulated by Surety");
    let issue = |issuer, key, name: &str| pki::issue(issuer, key, name, Use::Authority, pki::ROOT, Vec::new());
    let ark = issue(None, key(ARK)?, &name("ARK"))?;
    let ask = issue(Some(&ark), key(ASK)?, &name("SEV"))?;
    Ok((ark, ask))
}

/// DER of the simulated ARK and ASK.
pub(super) fn roots() -> Result<(Vec<u8>, Vec<u8>), Error> {
    let (ark, ask) = authorities()?;
    Ok((ark.der, ask.der))
}

pub(super) fn quote(machine: &Machine, program: B256, report_data: B512) -> Result<Evidence, Error> {
    let valid = Span {
        from: machine.issued,
        until: machine.expires,
    };
    let (_, ask) = authorities()?;
    let chip = [machine.derive("chip"), machine.derive("chip, second half")].concat();
    let mut extensions = vec![pki::extension("1.3.6.1.4.1.3704.1.4", false, &chip)?];
    for (id, version) in VERSIONS {
        extensions.push(pki::extension(id, false, &[0x02, 0x01, version])?);
    }
    let vcek = Key::p384(machine.derive("vcek"))?;
    let vcek = pki::issue(
        Some(&ask),
        vcek,
        "CN=SEV-VCEK,O=Simulated by Surety",
        Use::Leaf,
        valid,
        extensions,
    )?;
    // Bit 17 is reserved and one, bit 16 allows SMT, bit 19 is DEBUG.
    let policy: u64 = 0x3_0000 | if machine.debug { 1 << 19 } else { 0 };
    let [bootloader, system, firmware, microcode] = VERSIONS.map(|(_, version)| version);
    let tcb = [bootloader, system, 0, 0, 0, 0, firmware, microcode];
    let mut report = [0; SNP_REPORT];
    for (offset, value) in [
        (0x000, &2_u32.to_le_bytes()[..]),
        (0x008, &policy.to_le_bytes()),
        (0x034, &1_u32.to_le_bytes()),
        (0x038, &tcb),
        (0x050, report_data.as_slice()),
        (0x090, &measured(program)),
        (0x180, &tcb),
        (0x1a0, &chip),
        (0x1e0, &tcb),
        (0x1f0, &tcb),
    ] {
        put(&mut report, offset, value);
    }
    let signature = vcek.key.sign_raw(&report[..0x2a0]);
    let (r, s) = signature.split_at(48);
    for (offset, scalar) in [(0x2a0, r), (0x2a0 + 72, s)] {
        let little: Vec<u8> = scalar.iter().rev().copied().collect();
        put(&mut report, offset, &little);
    }
    Evidence::new(
        Quote::parse(Kind::SevSnp, &report)?,
        Collateral::Snp(SnpChain {
            key: vcek.der,
            intermediate: None,
        }),
    )
}

fn put(report: &mut [u8; SNP_REPORT], offset: usize, value: &[u8]) {
    let target = report.iter_mut().skip(offset);
    for (to, from) in target.zip(value) {
        *to = *from;
    }
}
