//! Values in serde's data model, for values inside other documents. JSON text that is nothing but a value is read by
//! [`Value::from_json`]: some deserializers round long integers before anybody sees them.

use super::{Kind, MAX_DEPTH, Number, Value};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::fmt;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};

/// Integers up to this are exact doubles, and the ones next to them are no others rounded.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(it) => serializer.serialize_bool(*it),
            Self::Number(it) => {
                let number = it.get();
                // `5`, not `5.0`.
                if number.abs() <= EXACT && number as i64 as f64 == number {
                    serializer.serialize_i64(number as i64)
                } else {
                    serializer.serialize_f64(number)
                }
            }
            Self::String(it) => serializer.serialize_str(it),
            Self::List(list) => {
                let mut out = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|value| out.serialize_element(value))?;
                out.end()
            }
            Self::Object(object) => {
                let mut out = serializer.serialize_map(Some(object.len()))?;
                object
                    .iter()
                    .try_for_each(|(key, value)| out.serialize_entry(key, value))?;
                out.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    /// At most [`MAX_DEPTH`] levels; keys unique; integers exactly doubles.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Levels(MAX_DEPTH).deserialize(deserializer)
    }
}

/// A value with at most so many levels.
#[derive(Clone, Copy)]
struct Levels(usize);

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(below) = self.0.checked_sub(1) else {
            return Err(D::Error::custom(super::ValueError::TooDeep));
        };
        deserializer.deserialize_any(Inner(Levels(below)))
    }
}

/// Reads one value, whose inner ones have so many levels.
struct Inner(Levels);

impl Inner {
    fn integer<E: Error>(integer: i128) -> Result<Value, E> {
        let number = Number::from_integer(integer);
        number.map(Value::Number).ok_or_else(|| {
            E::custom(format!(
                "integer {integer} is not exactly a double, expected it as a decimal string"
            ))
        })
    }
}

impl<'de> Visitor<'de> for Inner {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [Kind::Boolean, Kind::Number, Kind::String, Kind::List, Kind::Object];
        write!(f, "{}", Kind::Null)?;
        kinds.iter().try_for_each(|kind| write!(f, ", {kind}"))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, it: bool) -> Result<Value, E> {
        Ok(Value::Boolean(it))
    }

    fn visit_i64<E: Error>(self, it: i64) -> Result<Value, E> {
        Self::integer(it.into())
    }

    fn visit_u64<E: Error>(self, it: u64) -> Result<Value, E> {
        Self::integer(it.into())
    }

    fn visit_i128<E: Error>(self, it: i128) -> Result<Value, E> {
        Self::integer(it)
    }

    fn visit_f64<E: Error>(self, it: f64) -> Result<Value, E> {
        let number = Number::new(it).ok_or_else(|| E::custom(format!("number is {it}, expected a finite one")));
        number.map(Value::Number)
    }

    fn visit_str<E: Error>(self, it: &str) -> Result<Value, E> {
        Ok(Value::String(it.into()))
    }

    fn visit_string<E: Error>(self, it: String) -> Result<Value, E> {
        Ok(Value::String(it))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = elements.next_element_seed(self.0)? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(key) = fields.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("key {key:?} is in its object twice")));
            }
            let value = fields.next_value_seed(self.0)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
