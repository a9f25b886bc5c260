//! Values written through serde, into other documents. They are not read that way: some deserializers round decimals in
//! the last place (serde_json does, unless told otherwise), and two nodes with different roundings have different
//! hashes. [`Value::from_json`] is the one reader of JSON.

use super::Value;
use serde::{
    Serialize, Serializer,
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
