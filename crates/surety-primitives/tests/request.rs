//! Requests, decoded strictly; alloy makes the transactions.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, transaction::RlpEcdsaEncodableTx};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{B256, Bytes, Signature, TxKind, U256, keccak256};
use k256::ecdsa::SigningKey;
use proptest::prelude::*;
use surety_primitives::*;

const SERVICE: Address = Address::repeat_byte(0x51);

fn chain_id() -> u64 {
    service_chain_id(31337, SERVICE)
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32].into()).expect("a scalar in range")
}

fn tx() -> TxEip1559 {
    TxEip1559 {
        chain_id: chain_id(),
        nonce: 5,
        gas_limit: 1000,
        max_fee_per_gas: 7,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(SERVICE),
        value: U256::ZERO,
        access_list: AccessList::default(),
        input: Bytes::from_static(b"\x01\x02\x03\x04hello"),
    }
}

fn signature(tx: &TxEip1559) -> Signature {
    key()
        .sign_prehash_recoverable(tx.signature_hash().as_slice())
        .expect("signs")
        .into()
}

fn encode(tx: &TxEip1559, signature: &Signature) -> Vec<u8> {
    let mut raw = vec![];
    tx.eip2718_encode(signature, &mut raw);
    raw
}

fn decode(tx: TxEip1559) -> Result<Request, RequestError> {
    Request::decode(&encode(&tx, &signature(&tx)), chain_id(), SERVICE)
}

#[test]
fn a_wallets_transaction_is_a_request() {
    let tx = tx();
    let raw = encode(&tx, &signature(&tx));
    let request = Request::decode(&raw, chain_id(), SERVICE).expect("a request");
    let envelope = TxEnvelope::from(tx.clone().into_signed(signature(&tx)));
    assert_eq!(request.hash.0, *envelope.tx_hash());
    assert_eq!(request.requester, Address::from_public_key(key().verifying_key()));
    assert_eq!(request.budget.steps(), 1_000_000);
    assert_eq!(request.nonce, 5);
    assert_eq!(request.data, tx.input);
    assert_eq!(request.selector(), Some([1, 2, 3, 4]));
    assert_eq!(request.input_hash().0, keccak256(&tx.input));
}

#[test]
fn what_is_not_a_request_is_refused_with_the_reason() {
    use RequestError as E;
    assert_eq!(Request::decode(&[], chain_id(), SERVICE), Err(E::Empty));
    assert_eq!(
        decode(TxEip1559 { chain_id: 1, ..tx() }),
        Err(E::ChainId {
            found: 1,
            expected: chain_id()
        })
    );
    assert_eq!(
        decode(TxEip1559 {
            to: TxKind::Call(Address::ZERO),
            ..tx()
        }),
        Err(E::To {
            found: Address::ZERO,
            expected: SERVICE
        })
    );
    assert_eq!(
        decode(TxEip1559 {
            to: TxKind::Create,
            ..tx()
        }),
        Err(E::Create { expected: SERVICE })
    );
    assert_eq!(
        decode(TxEip1559 {
            value: U256::from(1),
            ..tx()
        }),
        Err(E::Value { found: U256::from(1) })
    );
    let list = AccessList(vec![AccessListItem {
        address: SERVICE,
        storage_keys: vec![B256::ZERO],
    }]);
    assert!(matches!(
        decode(TxEip1559 {
            access_list: list,
            ..tx()
        }),
        Err(E::AccessList { .. })
    ));
    assert_eq!(decode(TxEip1559 { gas_limit: 0, ..tx() }), Err(E::NoGas));
    let most = Budget::MAX / Budget::STEPS_PER_GAS;
    assert!(
        decode(TxEip1559 {
            gas_limit: most,
            ..tx()
        })
        .is_ok()
    );
    assert!(matches!(
        decode(TxEip1559 {
            gas_limit: most + 1,
            ..tx()
        }),
        Err(E::Budget { .. })
    ));
    assert!(matches!(
        decode(TxEip1559 {
            gas_limit: u64::MAX,
            ..tx()
        }),
        Err(E::Budget { .. })
    ));
    assert!(
        decode(TxEip1559 {
            input: vec![1; MAX_DATA_BYTES].into(),
            ..tx()
        })
        .is_ok()
    );
    assert_eq!(
        decode(TxEip1559 {
            input: vec![1; MAX_DATA_BYTES + 1].into(),
            ..tx()
        }),
        Err(E::DataTooLong {
            found: MAX_DATA_BYTES + 1
        })
    );
    assert_eq!(
        Request::decode(&vec![2; MAX_REQUEST_BYTES + 1], chain_id(), SERVICE),
        Err(E::TooLong {
            found: MAX_REQUEST_BYTES + 1
        })
    );
    let raw = encode(&tx(), &signature(&tx()));
    let mut legacy = raw.clone();
    legacy[0] = 0xf8;
    assert_eq!(
        Request::decode(&legacy, chain_id(), SERVICE),
        Err(E::Type { found: 0xf8 })
    );
    let mut longer = raw.clone();
    longer.push(0);
    assert_eq!(
        Request::decode(&longer, chain_id(), SERVICE),
        Err(E::Trailing {
            found: 1,
            after: "transaction"
        })
    );
    let good = signature(&tx());
    let order = U256::from_be_slice(&alloy_primitives::hex!(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
    ));
    let high = Signature::new(good.r(), order - good.s(), !good.v());
    assert!(matches!(
        Request::decode(&encode(&tx(), &high), chain_id(), SERVICE),
        Err(E::Signature(SignatureError::HighS { .. }))
    ));
}

#[test]
fn a_service_chain_id_fits_every_wallet() {
    for l1 in [0, 1, 31337, u64::MAX] {
        for byte in 0..=255 {
            let id = service_chain_id(l1, Address::repeat_byte(byte));
            assert!((1 << 47..1 << 48).contains(&id));
        }
    }
}

proptest! {
    /// P4: cut, changed or lengthened anywhere, a request is refused or is another request; it never crashes.
    #[test]
    fn no_mutation_crashes_or_passes_for_the_same(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let raw = encode(&tx(), &signature(&tx()));
        let original = Request::decode(&raw, chain_id(), SERVICE).expect("a request");
        let at = at.index(raw.len());
        let mut changed = raw.clone();
        if cut { changed.truncate(at) } else { changed[at] = byte }
        match Request::decode(&changed, chain_id(), SERVICE) {
            Err(_) => {}
            Ok(request) if changed == raw => prop_assert_eq!(request, original),
            Ok(request) => {
                prop_assert_ne!(request.hash, original.hash);
                // What we accept, alloy accepts, and sees the same.
                let envelope = <TxEnvelope as alloy_eips::eip2718::Decodable2718>::decode_2718(&mut changed.as_slice()).expect("alloy takes it");
                prop_assert_eq!(*envelope.tx_hash(), request.hash.0);
            }
        }
    }

    /// P4
    #[test]
    fn no_bytes_crash_the_decoder(mut raw in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Some(first) = raw.first_mut() { *first = 2 }
        let _ = Request::decode(&raw, chain_id(), SERVICE);
    }

    #[test]
    fn every_field_survives(nonce in any::<u64>(), gas in 1u64..=35_184_372_088, fees in any::<(u128, u128)>(), data in prop::collection::vec(any::<u8>(), 0..300)) {
        let tx = TxEip1559 { nonce, gas_limit: gas, max_fee_per_gas: fees.0, max_priority_fee_per_gas: fees.1, input: data.clone().into(), ..tx() };
        let request = decode(tx).expect("a request");
        prop_assert_eq!((request.nonce, request.budget.steps(), request.data.to_vec()), (nonce, gas * 1000, data));
        prop_assert_eq!(request.requester, Address::from_public_key(key().verifying_key()));
    }
}
