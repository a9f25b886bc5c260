//! Any bytes are a request or are refused; a request's bytes are the one encoding of what was decoded.
#![no_main]

use alloy_rlp::{Encodable, Header};
use libfuzzer_sys::fuzz_target;
use surety_primitives::{Address, MAX_DATA_BYTES, MAX_REQUEST_BYTES, Request};

/// Finds the transaction's own chain id and recipient, so that a mutated one still gets past both checks.
fn named(raw: &[u8]) -> Option<(u64, Address)> {
    let mut rest = raw.split_first()?.1;
    let mut fields = Header::decode_bytes(&mut rest, true).ok()?;
    let mut next = || -> Option<&[u8]> {
        let field = Header::decode_bytes(&mut fields, false).ok()?;
        Some(field)
    };
    let id = next()?
        .iter()
        .try_fold(0_u64, |id, byte| id.checked_mul(256)?.checked_add(u64::from(*byte)))?;
    let to = (0..5).map(|_| next()).last()??;
    Some((id, Address::try_from(to).ok()?))
}

fuzz_target!(|raw: &[u8]| {
    let (chain_id, service) = named(raw).unwrap_or_default();
    let Ok(request) = Request::decode(raw, chain_id, service) else {
        return;
    };
    assert!(raw.len() <= MAX_REQUEST_BYTES && request.data.len() <= MAX_DATA_BYTES);
    assert_eq!(request.hash.0, alloy_primitives::keccak256(raw));
    assert_eq!((request.service, request.budget.steps() % 1000), (service, 0));
    // Decode what was not kept, and put everything together again: the same bytes.
    let mut rest = &raw[1..];
    let mut fields = Header::decode_bytes(&mut rest, true).expect("a request is a list");
    let mut kept = Vec::new();
    for field in 0..12 {
        if field == 8 {
            assert!(
                Header::decode_bytes(&mut fields, true)
                    .expect("the access list")
                    .is_empty()
            );
            Header {
                list: true,
                payload_length: 0,
            }
            .encode(&mut kept);
        } else {
            Header::decode_bytes(&mut fields, false)
                .expect("twelve fields")
                .encode(&mut kept);
        }
    }
    let mut again = vec![2];
    Header {
        list: true,
        payload_length: kept.len(),
    }
    .encode(&mut again);
    again.extend(kept);
    assert_eq!(again, raw, "two encodings of one request");
    // For nobody else.
    assert!(Request::decode(raw, chain_id ^ 1, service).is_err());
    assert!(
        Request::decode(raw, chain_id, Address::repeat_byte(0xee)).is_err() || service == Address::repeat_byte(0xee)
    );
    let longer = [raw, &[0]].concat();
    assert!(Request::decode(&longer, chain_id, service).is_err());
});
