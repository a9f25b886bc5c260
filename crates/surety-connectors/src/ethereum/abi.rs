//! Values of the network and values of the contract ABI. Integers are decimal strings (a double would round them),
//! bytes and addresses lower-case `0x` hex, arrays and tuples lists.

use alloy::{
    dyn_abi::{DynSolType, DynSolValue},
    hex,
};
use surety_primitives::value::Value;

/// A value of a log as a value of the network.
pub(super) fn to_value(found: &DynSolValue) -> Value {
    match found {
        DynSolValue::Bool(it) => Value::Boolean(*it),
        DynSolValue::Int(it, _) => Value::String(it.to_string()),
        DynSolValue::Uint(it, _) => Value::String(it.to_string()),
        DynSolValue::FixedBytes(word, size) => {
            Value::String(hex::encode_prefixed(word.get(..*size).unwrap_or_default()))
        }
        DynSolValue::Address(it) => Value::String(hex::encode_prefixed(it)),
        DynSolValue::Function(it) => Value::String(hex::encode_prefixed(it)),
        DynSolValue::Bytes(it) => Value::String(hex::encode_prefixed(it)),
        DynSolValue::String(it) => Value::String(it.clone()),
        DynSolValue::Array(it) | DynSolValue::FixedArray(it) | DynSolValue::Tuple(it) => {
            Value::List(it.iter().map(to_value).collect())
        }
    }
}

/// A task's input as an argument of that type.
pub(super) fn from_value(kind: &DynSolType, found: &Value) -> Result<DynSolValue, String> {
    let wrong = || format!("found {}, expected {kind}", found.kind());
    match (kind, found) {
        (DynSolType::String, Value::String(text)) => Ok(DynSolValue::String(text.clone())),
        // No causes: they quote the value, and this goes to logs.
        (_, Value::String(text)) => kind
            .coerce_str(text)
            .map_err(|_| format!("found a string that is none, expected {kind}")),
        (DynSolType::Bool, Value::Boolean(it)) => Ok(DynSolValue::Bool(*it)),
        (DynSolType::Uint(_) | DynSolType::Int(_), Value::Number(number)) => {
            // Above 2^53 a double may have been another integer before.
            let number = number.get();
            if number.fract() != 0.0 || number.abs() > 9_007_199_254_740_992.0 {
                return Err("found another number, expected an integer up to 2^53, or a decimal string".to_owned());
            }
            kind.coerce_str(&format!("{number:.0}"))
                .map_err(|_| format!("found a number out of range, expected {kind}"))
        }
        (DynSolType::Array(inner), Value::List(list)) => Ok(DynSolValue::Array(elements(
            list.iter().map(|it| (inner.as_ref(), it)),
        )?)),
        (DynSolType::FixedArray(inner, length), Value::List(list)) if list.len() == *length => Ok(
            DynSolValue::FixedArray(elements(list.iter().map(|it| (inner.as_ref(), it)))?),
        ),
        (DynSolType::Tuple(kinds), Value::List(list)) if list.len() == kinds.len() => {
            Ok(DynSolValue::Tuple(elements(kinds.iter().zip(list))?))
        }
        _ => Err(wrong()),
    }
}

fn elements<'a>(pairs: impl Iterator<Item = (&'a DynSolType, &'a Value)>) -> Result<Vec<DynSolValue>, String> {
    pairs
        .enumerate()
        .map(|(index, (kind, value))| from_value(kind, value).map_err(|e| format!("[{index}]: {e}")))
        .collect()
}
