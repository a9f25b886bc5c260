//! From a call's bytes to a method, and back.

use alloc::format;
use alloc::vec::Vec;

use crate::abi::{AbiType, Arguments, Returns};
use crate::revert::Revert;

/// The first four bytes of the keccak-256 of a signature such as `balanceOf(bytes32,address)`, big-endian.
pub const fn selector(signature: &str) -> u32 {
    let hash = keccak_const::Keccak256::new().update(signature.as_bytes()).finalize();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// Splits a call into selector and arguments, and encodes what the method found by `route` answers.
#[doc(hidden)]
pub fn dispatch(
    call: &[u8],
    route: impl FnOnce(u32, &[u8]) -> Option<Result<Vec<u8>, Revert>>,
) -> Result<Vec<u8>, Revert> {
    let Some((selector, arguments)) = call.split_first_chunk() else {
        return Err(Revert::new(format!("call has {} bytes, a selector has 4", call.len())));
    };
    let selector = u32::from_be_bytes(*selector);
    route(selector, arguments)
        .unwrap_or_else(|| Err(Revert::new(format!("no method has the selector 0x{selector:08x}"))))
}

/// A function that can answer a call: it takes ABI types and returns `Result<impl Returns, Revert>`.
#[doc(hidden)]
pub trait Handler<Parameters> {
    /// The ABI names of its parameters.
    const PARAMETERS: &'static [&'static str];

    /// Decodes the arguments, calls the function, encodes the result.
    fn call(&self, arguments: &[u8]) -> Result<Vec<u8>, Revert>;
}

macro_rules! handler {
    ($($type:ident $index:literal),*) => {
        impl<F, R, $($type: AbiType),*> Handler<($($type,)*)> for F
        where
            F: Fn($($type),*) -> Result<R, Revert>,
            R: Returns,
        {
            const PARAMETERS: &'static [&'static str] = &[$($type::NAME),*];

            fn call(&self, arguments: &[u8]) -> Result<Vec<u8>, Revert> {
                let arguments = Arguments::new(arguments);
                let result = self($($type::decode(&arguments, $index)?),*)?;
                let _ = arguments;
                let mut out = Vec::with_capacity(256);
                result.encode_into(&mut out);
                Ok(out)
            }
        }
    };
}

handler!();
handler!(A 0);
handler!(A 0, B 1);
handler!(A 0, B 1, C 2);
handler!(A 0, B 1, C 2, D 3);
handler!(A 0, B 1, C 2, D 3, E 4);
handler!(A 0, B 1, C 2, D 3, E 4, G 5);

/// Fails to compile when a function's parameters are not those of its signature.
#[doc(hidden)]
pub const fn assert_signature<Parameters, H: Handler<Parameters>>(_: &H, signature: &str) {
    let signature = signature.as_bytes();
    let mut at = 0;
    while at < signature.len() && signature[at] != b'(' {
        at += 1;
    }
    assert!(
        at > 0 && at < signature.len(),
        "a signature is a name and its types in parentheses"
    );
    at += 1;
    let mut parameter = 0;
    while parameter < H::PARAMETERS.len() {
        let name = H::PARAMETERS[parameter].as_bytes();
        if parameter > 0 {
            assert!(
                at < signature.len() && signature[at] == b',',
                "the function takes more than its signature says"
            );
            at += 1;
        }
        let mut i = 0;
        while i < name.len() {
            assert!(
                at < signature.len() && signature[at] == name[i],
                "the function's parameter types are not those of its signature"
            );
            at += 1;
            i += 1;
        }
        parameter += 1;
    }
    assert!(
        at + 1 == signature.len() && signature[at] == b')',
        "the function's parameter types are not those of its signature"
    );
}
