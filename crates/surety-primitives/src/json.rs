//! JSON of what goes over the wire (`docs/spec/wire.md`, section 2). Quantities and data as in EIP-1474, strictly:
//! `0x`, no leading zeros in quantities, whole bytes in data, unknown and missing fields refused.

use crate::{
    Answer, Budget, CompactSignature, DisputeId, InputHash, Outcome, Output, OutputRoot, ProgramHash, RequestHash,
    ResultHash, Statement, StatementId, Status,
};
use alloc::{format, string::String, vec::Vec};
use alloy_primitives::{Address, hex};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// `0x` and lower-case hex of whole bytes.
pub(crate) struct Data(pub(crate) Vec<u8>);

/// `0x` and hex without leading zeros; `0x0` for zero.
pub(crate) struct Quantity(pub(crate) u64);

/// What follows `0x`: hexadecimal digits only (the parsers below also take a sign, or a second `0x`).
pub(crate) fn digits<E: Error>(text: &str) -> Result<&str, E> {
    let digits = text
        .strip_prefix("0x")
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    digits.ok_or_else(|| E::custom("expected 0x and hexadecimal digits"))
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_prefixed(&self.0))
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(digits(&text)?).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:#x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = digits(&text)?;
        if digits != "0" && digits.starts_with('0') {
            return Err(D::Error::custom("found leading zeros, expected a quantity without"));
        }
        u64::from_str_radix(digits, 16).map(Self).map_err(D::Error::custom)
    }
}

pub(crate) fn fixed<const N: usize, E: Error>(data: &Data) -> Result<[u8; N], E> {
    let found = data.0.len();
    <[u8; N]>::try_from(data.0.as_slice()).map_err(|_| E::custom(format!("found {found} bytes, expected {N}")))
}

macro_rules! hash_json {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Data(self.0.to_vec()).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(fixed::<32, D::Error>(&Data::deserialize(deserializer)?)?.into())
            }
        }
    )*};
}

hash_json!(ProgramHash InputHash OutputRoot ResultHash RequestHash StatementId DisputeId);

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Quantity(self.steps()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Quantity::deserialize(deserializer)?.0).map_err(D::Error::custom)
    }
}

impl Serialize for CompactSignature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Data(self.to_bytes().to_vec()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CompactSignature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_bytes(&fixed::<64, D::Error>(&Data::deserialize(
            deserializer,
        )?)?))
    }
}

pub(crate) mod address {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
        Data(address.to_vec()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        Ok(fixed::<20, D::Error>(&Data::deserialize(deserializer)?)?.into())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementJson {
    #[serde(with = "address")]
    service: Address,
    program: ProgramHash,
    input: InputHash,
    budget: Budget,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StatusJson {
    Halted,
    Trapped,
    OutOfSteps,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OutcomeJson {
    status: StatusJson,
    exit: Quantity,
    output_root: OutputRoot,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerJson {
    statement: Statement,
    request: RequestHash,
    #[serde(with = "address")]
    requester: Address,
    outcome: Outcome,
    result: ResultHash,
    output: Data,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunks: Option<Vec<Quantity>>,
    #[serde(with = "address")]
    operator: Address,
    signature: CompactSignature,
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            service,
            program,
            input,
            budget,
        } = *self;
        StatementJson {
            service,
            program,
            input,
            budget,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Statement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StatementJson {
            service,
            program,
            input,
            budget,
        } = StatementJson::deserialize(deserializer)?;
        Ok(Self {
            service,
            program,
            input,
            budget,
        })
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = match self.status {
            Status::OutOfSteps => StatusJson::OutOfSteps,
            Status::Halted => StatusJson::Halted,
            Status::Trapped => StatusJson::Trapped,
        };
        OutcomeJson {
            status,
            exit: Quantity(self.exit.into()),
            output_root: self.output_root,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OutcomeJson {
            status,
            exit,
            output_root,
        } = OutcomeJson::deserialize(deserializer)?;
        let status = match status {
            StatusJson::OutOfSteps => Status::OutOfSteps,
            StatusJson::Halted => Status::Halted,
            StatusJson::Trapped => Status::Trapped,
        };
        let exit = u32::try_from(exit.0).map_err(|_| D::Error::custom("exit is above 0xffffffff"))?;
        Ok(Self {
            status,
            exit,
            output_root,
        })
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AnswerJson {
            statement: self.statement,
            request: self.request,
            requester: self.requester,
            outcome: self.outcome,
            result: self.result,
            output: Data(self.output.bytes().to_vec()),
            chunks: self
                .output
                .chunks()
                .map(|chunks| chunks.iter().map(|n| Quantity((*n).into())).collect()),
            operator: self.operator,
            signature: self.signature,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = AnswerJson::deserialize(deserializer)?;
        let bytes = json.output.0;
        let output = match json.chunks {
            None => Output::canonical(bytes),
            Some(chunks) => Output::with_chunks(bytes, chunks.into_iter().map(|n| n.0)).and_then(|output| {
                output
                    .chunks()
                    .is_some()
                    .then_some(output)
                    .ok_or(crate::OutputError::CanonicalGiven)
            }),
        };
        Ok(Self {
            statement: json.statement,
            request: json.request,
            requester: json.requester,
            outcome: json.outcome,
            result: json.result,
            output: output.map_err(D::Error::custom)?,
            operator: json.operator,
            signature: json.signature,
        })
    }
}
