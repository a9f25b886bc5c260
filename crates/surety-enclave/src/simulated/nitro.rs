//! Simulated Nitro documents.

use alloy_primitives::{B256, B512, hex, keccak256};
use ciborium::Value;

use super::{
    Machine, measured,
    pki::{self, Authority, Key, Use},
};
use crate::{Collateral, Error, Evidence, Kind, Quote, date::Span};

/// The simulated root of AWS.
pub(super) fn root() -> Result<Authority, Error> {
    let key = Key::p384(keccak256("surety.simulated.aws"))?;
    pki::issue(
        None,
        key,
        "CN=surety.simulated.nitro-enclaves,O=Simulated by Surety",
        Use::Authority,
        pki::ROOT,
        Vec::new(),
    )
}

pub(super) fn quote(machine: &Machine, program: B256, report_data: B512) -> Result<Evidence, Error> {
    let valid = Span {
        from: machine.issued,
        until: machine.expires,
    };
    let root = root()?;
    let zone = Key::p384(machine.derive("nitro zone"))?;
    let zone = pki::issue(
        Some(&root),
        zone,
        "CN=zone.surety.simulated.nitro-enclaves,O=Simulated by Surety",
        Use::Authority,
        valid,
        Vec::new(),
    )?;
    let leaf = Key::p384(machine.derive("nitro enclave"))?;
    let module = format!("i-simulated-enc{}", hex::encode(&machine.derive("module")[..8]));
    let leaf = pki::issue(
        Some(&zone),
        leaf,
        &format!("CN={module},O=Simulated by Surety"),
        Use::Leaf,
        valid,
        Vec::new(),
    )?;
    let image = if machine.debug { [0; 48] } else { measured(program) };
    let pcrs = (0..16_u8).map(|number| {
        let value = if number == 0 { image } else { [0; 48] };
        (Value::from(number), bytes(&value))
    });
    let text = |text: &str| Value::Text(text.to_owned());
    let payload = encode(&Value::Map(vec![
        (text("module_id"), text(&module)),
        (text("digest"), text("SHA384")),
        (text("timestamp"), Value::from(machine.issued.saturating_mul(1000))),
        (text("pcrs"), Value::Map(pcrs.collect())),
        (text("certificate"), bytes(&leaf.der)),
        (text("cabundle"), Value::Array(vec![bytes(&root.der), bytes(&zone.der)])),
        (text("public_key"), Value::Null),
        (text("user_data"), bytes(report_data.as_slice())),
        (text("nonce"), Value::Null),
    ]))?;
    let protected = encode(&Value::Map(vec![(Value::from(1), Value::from(-35))]))?;
    let signed = encode(&Value::Array(vec![
        text("Signature1"),
        bytes(&protected),
        bytes(&[]),
        bytes(&payload),
    ]))?;
    let document = encode(&Value::Array(vec![
        bytes(&protected),
        Value::Map(Vec::new()),
        bytes(&payload),
        bytes(&leaf.key.sign_raw(&signed)),
    ]))?;
    Evidence::new(Quote::parse(Kind::Nitro, &document)?, Collateral::None)
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn encode(value: &Value) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(pki::failed)?;
    Ok(bytes)
}
