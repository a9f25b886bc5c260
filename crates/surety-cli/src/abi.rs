//! Methods and arguments on the command line, in the notation of `cast`.

use alloy::{
    dyn_abi::{DynSolType, FunctionExt, JsonAbiExt, Specifier},
    json_abi::Function,
    primitives::Bytes,
};

use crate::exit::Failure;

/// A method by its signature: `name(types)`, `name(types)(returned types)` or `name(types) returns (types)`.
pub fn method(signature: &str) -> Result<Function, Failure> {
    let text = signature.trim();
    let parsed = match split(text) {
        Some((call, returned)) => Function::parse(&format!("function {call} returns {returned}")),
        None => Function::parse(text),
    };
    parsed.map_err(|e| {
        Failure::usage(
            format!("`{signature}` is no method signature: {e}"),
            "write it as balanceOf(bytes32,address) or balanceOf(bytes32,address)(uint256)",
        )
    })
}

/// Cuts `name(a,b)(c)` before the second list.
fn split(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_u32;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    let (call, rest) = text.split_at_checked(i + 1)?;
                    let rest = rest.trim();
                    return rest.starts_with('(').then_some((call, rest));
                }
            }
            _ => {}
        }
    }
    None
}

/// Call data: selector and arguments.
pub fn encode(method: &Function, arguments: &[String]) -> Result<Bytes, Failure> {
    if method.inputs.len() != arguments.len() {
        return Err(Failure::usage(
            format!(
                "{} takes {} arguments, found {}",
                method.signature(),
                method.inputs.len(),
                arguments.len()
            ),
            "give one argument for each type, tuples as (a,b) and arrays as [a,b]",
        ));
    }
    let fail = |text: &str, kind: &DynSolType, e: String| {
        Failure::usage(
            format!("`{text}` is no {kind}: {e}"),
            "write numbers in decimal or 0x hex, bytes in 0x hex",
        )
    };
    let mut values = Vec::new();
    for (input, text) in method.inputs.iter().zip(arguments) {
        let kind = input
            .resolve()
            .map_err(|e| Failure::usage(e, "use Solidity's type names"))?;
        values.push(kind.coerce_str(text).map_err(|e| fail(text, &kind, e.to_string()))?);
    }
    method
        .abi_encode_input(&values)
        .map(Into::into)
        .map_err(|e| Failure::usage(e, "check the arguments against the signature"))
}

/// Returned values as text; `None` where the signature does not say what is returned, or the output is not that.
pub fn decode(method: &Function, output: &[u8]) -> Option<Vec<String>> {
    if method.outputs.is_empty() {
        return None;
    }
    let values = method.abi_decode_output(output).ok()?;
    Some(values.iter().map(surety_chain::show::value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_with_and_without_what_they_return() {
        for text in [
            "balanceOf(bytes32,address)(uint256)",
            "balanceOf(bytes32,address) returns (uint256)",
            "function balanceOf(bytes32,address) returns (uint256)",
        ] {
            let f = method(text).expect(text);
            assert_eq!(f.signature(), "balanceOf(bytes32,address)");
            assert_eq!(f.outputs.len(), 1, "{text}");
        }
        assert!(method("balanceOf(bytes32,address)").expect("plain").outputs.is_empty());
        assert_eq!(
            method("f((uint256,bytes)[])(bool,bytes)")
                .expect("nested")
                .outputs
                .len(),
            2
        );
        for text in ["", "f", "f(", "f)", "f(uint257)", "f(()", "1f()"] {
            let outcome = method(text).and_then(|f| encode(&f, &vec!["0".to_owned(); f.inputs.len()]));
            assert_eq!(outcome.expect_err(text).code, crate::exit::code::USAGE, "{text}");
        }
    }

    #[test]
    fn arguments_are_checked_against_the_types() {
        let f = method("f(uint8,address)(bool)").expect("signature");
        let good = ["7".to_owned(), "0x1111111111111111111111111111111111111111".to_owned()];
        assert_eq!(encode(&f, &good).expect("encodes").len(), 68);
        assert!(encode(&f, &good[..1]).is_err());
        assert!(encode(&f, &["256".to_owned(), good[1].clone()]).is_err());
        assert!(encode(&f, &["7".to_owned(), "0x11".to_owned()]).is_err());
        let mut word = [0; 32];
        word[31] = 1;
        assert_eq!(decode(&f, &word), Some(vec!["true".to_owned()]));
        assert_eq!(decode(&f, &[1, 2]), None);
    }
}
