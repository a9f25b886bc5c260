//! `google.protobuf.Struct` and the network's values.

use prost_types::{ListValue, Struct, value::Kind};
use surety_primitives::value::{MAX_DEPTH, Number, Value};

/// Why a protobuf value is no value of the network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// NaN or an infinity
    #[error("{path}: found {found}, expected a finite number")]
    NotFinite {
        /// where
        path: String,
        /// which
        found: String,
    },
    /// none of the kinds is set
    #[error("{path}: found a value without a kind, expected null, a number, a string, a boolean, an object or a list")]
    NoKind {
        /// where
        path: String,
    },
    /// nested too deep
    #[error("{path}: found more than {MAX_DEPTH} levels")]
    TooDeep {
        /// where
        path: String,
    },
    /// a message without its struct
    #[error("found no object, expected one")]
    Missing,
}

/// An object of the network from a `Struct`.
pub fn from_struct(found: Option<Struct>) -> Result<Value, ConvertError> {
    let found = found.ok_or(ConvertError::Missing)?;
    object(found, &mut Vec::new())
}

fn object(found: Struct, path: &mut Vec<String>) -> Result<Value, ConvertError> {
    let mut fields = std::collections::BTreeMap::new();
    for (name, field) in found.fields {
        path.push(name.clone());
        let field = value(field, path)?;
        path.pop();
        fields.insert(name, field);
    }
    Ok(Value::Object(fields))
}

fn value(found: prost_types::Value, path: &mut Vec<String>) -> Result<Value, ConvertError> {
    if path.len() >= MAX_DEPTH {
        return Err(ConvertError::TooDeep { path: shown(path) });
    }
    match found.kind {
        None => Err(ConvertError::NoKind { path: shown(path) }),
        Some(Kind::NullValue(_)) => Ok(Value::Null),
        Some(Kind::BoolValue(it)) => Ok(Value::Boolean(it)),
        Some(Kind::StringValue(it)) => Ok(Value::String(it)),
        Some(Kind::NumberValue(it)) => Number::new(it)
            .map(Value::Number)
            .ok_or_else(|| ConvertError::NotFinite {
                path: shown(path),
                found: it.to_string(),
            }),
        Some(Kind::StructValue(it)) => object(it, path),
        Some(Kind::ListValue(it)) => {
            let mut list = Vec::with_capacity(it.values.len());
            for (index, element) in it.values.into_iter().enumerate() {
                path.push(index.to_string());
                list.push(value(element, path)?);
                path.pop();
            }
            Ok(Value::List(list))
        }
    }
}

fn shown(path: &[String]) -> String {
    path.join(".").chars().take(200).flat_map(char::escape_debug).collect()
}

/// A `Struct` from an object; of anything else an empty one, since the outermost value of a message is an object.
pub fn to_struct(value: &Value) -> Struct {
    let fields = value.as_object().into_iter().flatten();
    Struct {
        fields: fields.map(|(name, field)| (name.clone(), to_value(field))).collect(),
    }
}

fn to_value(found: &Value) -> prost_types::Value {
    let kind = match found {
        Value::Null => Kind::NullValue(0),
        Value::Boolean(it) => Kind::BoolValue(*it),
        Value::Number(it) => Kind::NumberValue(it.get()),
        Value::String(it) => Kind::StringValue(it.clone()),
        Value::List(it) => Kind::ListValue(ListValue {
            values: it.iter().map(to_value).collect(),
        }),
        Value::Object(_) => Kind::StructValue(to_struct(found)),
    };
    prost_types::Value { kind: Some(kind) }
}
