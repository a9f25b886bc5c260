//! Any word decodes or does not; what decodes encodes to a word that decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_machine::decode;

fuzz_target!(|word: u32| {
    if let Some(decoded) = decode(word) {
        let row = decoded.instruction();
        assert_eq!(word & row.mask, row.value);
        assert_eq!(decode(decoded.encode()), Some(decoded));
        assert!(decoded.to_string().starts_with(row.name));
    }
});
