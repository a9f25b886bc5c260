//! Values: one encoding for each, and JSON without silent rounding.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use proptest::prelude::*;
use surety_primitives::value::{
    JsonError, Kind, MAX_DEPTH, MAX_VALUE_BYTES, Number, Path, PathError, Segment, Value, ValueError,
};

fn number(number: f64) -> Value {
    Value::Number(Number::new(number).unwrap())
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>()
            .prop_filter_map("finite", Number::new)
            .prop_map(Value::Number),
        any::<i32>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..6).prop_map(Value::from),
        ]
    })
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(Value::Null, |inner, _| Value::list([inner]))
}

#[test]
fn numbers_have_one_form() {
    for refused in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Number::new(refused), None);
    }
    assert_eq!(Number::new(-0.0).unwrap().get().to_bits(), 0);
    assert_eq!(number(-0.0), 0.into());
    assert_eq!(number(-0.0).encode(), Value::from(0).encode());
    let exact = [
        0,
        1,
        -1,
        1 << 53,
        (1 << 53) + 2,
        10_i128.pow(18),
        -(10_i128.pow(22)),
        i64::MIN.into(),
        1 << 126,
    ];
    for integer in exact {
        assert_eq!(Number::from_integer(integer).unwrap().get() as i128, integer);
    }
    for integer in [
        (1 << 53) + 1,
        10_i128.pow(18) + 1,
        u64::MAX.into(),
        i64::MAX.into(),
        i128::MAX,
        i128::MIN,
    ] {
        assert_eq!(Number::from_integer(integer), None, "{integer}");
    }
}

#[test]
fn depth_is_bounded_both_ways() {
    let deepest = nested(MAX_DEPTH);
    let encoding = deepest.encode().unwrap();
    assert_eq!(Value::decode(&encoding), Ok(deepest.clone()));
    assert_eq!(nested(MAX_DEPTH + 1).encode(), Err(ValueError::TooDeep));
    let deeper = [&[5, 0, 0, 0, 1], encoding.as_slice()].concat();
    assert_eq!(Value::decode(&deeper), Err(ValueError::TooDeep));
    let json = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(Value::from_json(&json(MAX_DEPTH)).is_ok());
    assert_eq!(
        Value::from_json(&json(MAX_DEPTH + 1)),
        Err(JsonError::TooDeep { at: MAX_DEPTH })
    );
    // Far beyond what a stack holds.
    assert_eq!(
        Value::from_json(&"[".repeat(1 << 20)),
        Err(JsonError::TooDeep { at: MAX_DEPTH })
    );
    let bomb: Vec<u8> = [5, 0, 0, 0, 1].into_iter().cycle().take(1 << 20).collect();
    assert_eq!(Value::decode(&bomb), Err(ValueError::TooDeep));
}

#[test]
fn size_is_bounded_both_ways() {
    let text = |bytes: usize| Value::from("x".repeat(bytes - 5));
    let largest = text(MAX_VALUE_BYTES);
    assert_eq!(Value::decode(&largest.encode().unwrap()), Ok(largest));
    let found = MAX_VALUE_BYTES + 1;
    assert_eq!(text(found).encode(), Err(ValueError::TooLong { found }));
    assert_eq!(Value::decode(&vec![0; found]), Err(ValueError::TooLong { found }));
    let many = Value::List(vec![Value::Null; MAX_VALUE_BYTES]);
    assert!(matches!(many.encode(), Err(ValueError::TooLong { .. })));
    let large = "1".repeat(7 << 20);
    assert!(matches!(Value::from_json(&large), Err(JsonError::TooLong { .. })));
}

/// What is announced costs nothing: counts are held against what is there.
#[test]
fn counts_are_held_against_what_is_there() {
    for tag in [5, 6] {
        let announced = [&[tag, 0xff, 0xff, 0xff, 0xff][..], &[0; 100]].concat();
        assert!(matches!(
            Value::decode(&announced),
            Err(ValueError::Truncated { at: 105, .. })
        ));
    }
    let nested: Vec<u8> = [5, 0, 0x0f, 0xff, 0].into_iter().cycle().take(60).collect();
    assert!(matches!(Value::decode(&nested), Err(ValueError::Truncated { .. })));
}

#[test]
fn every_changed_bit_is_another_value_or_none() {
    let value = Value::from_json(r#"{"a":[1,true,null,"text"],"b":{"c":0.5}}"#).unwrap();
    let bytes = value.encode().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Value::decode(&bytes) {
            assert_ne!(other, value, "bit {bit}");
            assert_eq!(other.encode().unwrap(), bytes, "bit {bit}");
        }
    }
    for length in 0..bytes.len() {
        assert!(Value::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn json_keeps_what_it_says_or_is_refused() {
    let good = [
        ("0", 0.into()),
        ("-0", 0.into()),
        ("-0.0", 0.into()),
        ("1e3", 1000.into()),
        ("1E+3", 1000.into()),
        ("0.1", number(0.1)),
        ("1000000000000000000", number(1e18)),
        ("1e308", number(1e308)),
        (" [ 1 , \"a\" ]\n", Value::list([Value::from(1), "a".into()])),
        (r#""\u00fc\ud834\udd1e\n\/\"""#, "ü𝄞\n/\"".into()),
        ("{}", Value::object::<&str, Value>([])),
    ];
    for (text, value) in good {
        assert_eq!(Value::from_json(text), Ok(value.clone()), "{text}");
    }
    let inexact = [
        "9007199254740993",
        "1000000000000000001",
        "18446744073709551615",
        "100000000000000000001",
        "1e400",
    ];
    for text in inexact {
        assert_eq!(Value::from_json(text), Err(JsonError::Number { at: 0 }), "{text}");
    }
    let bad = [
        "",
        " ",
        "nul",
        "nullx",
        "tru",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "0x1",
        "NaN",
        "Infinity",
        "[1,]",
        "[1 2]",
        "[",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\t\"",
        "1 2",
        "[1]]",
        "'a'",
        "\u{feff}1",
    ];
    for text in bad {
        assert!(
            matches!(Value::from_json(text), Err(JsonError::Syntax { .. })),
            "{text:?}"
        );
        assert!(
            serde_json::from_str::<serde_json::Value>(text).is_err(),
            "{text:?}: serde_json reads it"
        );
    }
    let twice = r#"{"a":1,"b":2,"a":1}"#;
    assert_eq!(Value::from_json(twice), Err(JsonError::Twice { at: 13 }));
}

#[test]
fn paths_lead_to_what_they_say() {
    let value = Value::from_json(r#"{"a":{"b":[{"c":7},[1,[2]]]},"":1,"x y":2}"#).unwrap();
    let at = |path: &str| value.at(&path.parse().unwrap());
    assert_eq!(at("a.b[0].c"), Some(&7.into()));
    assert_eq!(at("a.b[1][1][0]"), Some(&2.into()));
    assert_eq!(at("x y"), Some(&2.into()));
    assert_eq!(at(""), Some(&value));
    for nowhere in ["b", "a.b.c", "a[0]", "a.b[2]", "a.b[0].c.d", "a.b[4294967295]"] {
        assert_eq!(at(nowhere), None, "{nowhere}");
    }
    let path: Path = "a.b[10].c".parse().unwrap();
    let key = |name: &str| Segment::Key(name.into());
    assert_eq!(path.segments(), [key("a"), key("b"), Segment::Index(10), key("c")]);
    assert_eq!(
        "[0].a".parse::<Path>().unwrap().segments(),
        [Segment::Index(0), key("a")]
    );
    let refused = [
        ".",
        ".a",
        "a.",
        "a..b",
        "a[",
        "a[]",
        "a[01]",
        "a[-1]",
        "a[1",
        "a]",
        "[x]",
        "a[0]b",
        "a.[0]",
        "a[4294967296]",
    ];
    for path in refused {
        assert!(path.parse::<Path>().is_err(), "{path}");
    }
    let found = MAX_DEPTH;
    assert_eq!("[0]".repeat(found).parse::<Path>(), Err(PathError::TooDeep { found }));
    assert!("[0]".repeat(found - 1).parse::<Path>().is_ok());
    assert_eq!(
        "a".repeat(1025).parse::<Path>(),
        Err(PathError::TooLong { found: 1025 })
    );
}

#[test]
fn a_value_says_what_it_is() {
    let value = Value::object([("list", Value::list([1, 2]))]);
    assert_eq!(
        (value.kind(), value.field("list").unwrap().kind()),
        (Kind::Object, Kind::List)
    );
    assert_eq!(value.field("list").unwrap().element(1).unwrap().as_number(), Some(2.0));
    assert_eq!(
        (value.as_str(), value.as_bool(), value.as_number(), value.as_list()),
        (None, None, None, None)
    );
    assert_eq!(
        (Value::from("a").as_str(), Value::from(true).as_bool()),
        (Some("a"), Some(true))
    );
    assert_eq!(value.to_string(), r#"{"list":[1,2]}"#);
}

proptest! {
    #[test]
    fn values_round_trip(value in any_value()) {
        let bytes = value.encode().unwrap();
        prop_assert_eq!(Value::decode(&bytes).unwrap(), value.clone());
        let text = value.to_string();
        prop_assert_eq!(&Value::from_json(&text).unwrap(), &value, "{}", text);
        // Through serde, and into what others make of the text.
        let json = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(&Value::from_json(&json).unwrap(), &value, "{}", json);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
    }

    #[test]
    fn different_values_have_different_encodings(a in any_value(), b in any_value()) {
        prop_assert_eq!(a == b, a.encode().unwrap() == b.encode().unwrap());
        prop_assert_eq!(a == b, a.hash().unwrap() == b.hash().unwrap());
    }

    /// P4, and one encoding for each.
    #[test]
    fn p4_any_bytes_are_canonical_or_refused(
        noise in prop::collection::vec(prop_oneof![0..8_u8, any::<u8>()], 0..64),
        value in any_value(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = value.encode().unwrap();
        for (index, byte) in edits {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        for bytes in [bytes, noise] {
            if let Ok(value) = Value::decode(&bytes) {
                prop_assert_eq!(value.encode().unwrap(), bytes);
            }
        }
    }

    /// P4: no text makes the reader of JSON fail, and what it reads is JSON to serde_json too.
    #[test]
    fn p4_any_text_is_json_or_refused(text in prop_oneof![".{0,40}", r#"[\[\]{}",:0-9eE+.\\untrflase -]{0,24}"#]) {
        if let Ok(value) = Value::from_json(&text) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            prop_assert_eq!(Value::from_json(&value.to_string()).unwrap(), value);
        } else if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) {
            // What only serde_json reads has a key twice, or a number that it rounds.
            prop_assert!(text.contains('{') || json.to_string().bytes().any(|b| b.is_ascii_digit()), "{}", text);
        }
    }

    #[test]
    fn p4_any_text_is_a_path_or_refused(text in prop_oneof![".{0,20}", r"[a-c.\[\]0-9]{0,16}"]) {
        if let Ok(path) = text.parse::<Path>() {
            prop_assert_eq!(path.to_string(), text);
            let _ = Value::Null.at(&path);
        }
    }
}
