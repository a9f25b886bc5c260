//! ABI values as people read them.

use alloy::dyn_abi::DynSolValue;

/// A value in the notation of `cast`: decimal integers, `0x` bytes, quoted strings, `(tuples)`, `[arrays]`.
pub fn value(value: &DynSolValue) -> String {
    let list = |items: &[DynSolValue], open: char, close: char| {
        let inner: Vec<String> = items.iter().map(self::value).collect();
        format!("{open}{}{close}", inner.join(", "))
    };
    match value {
        DynSolValue::Bool(b) => b.to_string(),
        DynSolValue::Int(i, _) => i.to_string(),
        DynSolValue::Uint(u, _) => u.to_string(),
        DynSolValue::FixedBytes(word, size) => {
            alloy::hex::encode_prefixed(word.get(..*size).unwrap_or(word.as_slice()))
        }
        DynSolValue::Address(a) => a.to_string(),
        DynSolValue::Function(x) => x.to_string(),
        DynSolValue::Bytes(b) => alloy::hex::encode_prefixed(b),
        DynSolValue::String(s) => format!("{s:?}"),
        DynSolValue::Array(items) | DynSolValue::FixedArray(items) => list(items, '[', ']'),
        DynSolValue::Tuple(items) => list(items, '(', ')'),
        #[allow(unreachable_patterns, reason = "a feature of the ABI crate adds a variant")]
        _ => format!("{value:?}"),
    }
}
