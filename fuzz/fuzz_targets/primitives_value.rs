//! Any bytes are the one encoding of a value, or are refused; any text is JSON of a value, or is refused; and what is
//! read is written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_primitives::value::{Path, Value};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = Value::decode(bytes) {
        assert_eq!(value.encode().expect("was encoded"), bytes);
        let json = value.to_string();
        assert_eq!(Value::from_json(&json).expect("is JSON"), value);
        serde_json::from_str::<serde_json::Value>(&json).expect("is JSON to others");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(value) = Value::from_json(text) {
        serde_json::from_str::<serde_json::Value>(text).expect("is JSON to others");
        if let Ok(encoding) = value.encode() {
            assert_eq!(Value::decode(&encoding).expect("is an encoding"), value);
        }
    }
    if let Ok(path) = text.parse::<Path>() {
        assert_eq!(path.to_string(), text);
    }
});
