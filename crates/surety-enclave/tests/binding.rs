//! What a quote is bound to.

use alloy_primitives::{Address, B256, U256, address, b256, keccak256};
use surety_enclave::{Binding, Error, Kind, Policy, Remedy, Roots, simulated::Machine, verify_binding};

const ISSUED: u64 = 1_800_000_000;

fn binding() -> Binding {
    Binding {
        chain: 31_337,
        registry: address!("00000000000000000000000000000000000000a1"),
        operator: address!("00000000000000000000000000000000000000b2"),
        key: vec![0x42; 256],
    }
}

/// Word by word, as Solidity writes `abi.encode(bytes32, uint256, address, address, bytes32)`.
#[test]
fn report_data_is_what_solidity_hashes() {
    let Binding {
        chain,
        registry,
        operator,
        key,
    } = binding();
    let words = [
        keccak256("surety.quote"),
        B256::from(U256::from(chain)),
        registry.into_word(),
        operator.into_word(),
        keccak256(&key),
    ];
    let expected = keccak256(words.concat());
    let data = binding().report_data();
    assert_eq!(data[..32], expected[..]);
    assert_eq!(data[32..], [0; 32]);
    // The same from viem: keccak256(encodeAbiParameters(…)).
    assert_eq!(
        expected,
        b256!("f8fdb95b91ee90a525a1e9123c9c31a536e41594121f08103b94f50db97c7774")
    );
    // The name's hash, so that nobody's encoding of the name can differ.
    assert_eq!(
        words[0],
        b256!("2ec7b8448cecb384062cafaeb560b57c4970fa6edc94e004f8c7ddf512350c7e")
    );
}

#[test]
fn a_bound_quote_verifies_for_its_binding_alone() {
    let machine = Machine::new(B256::repeat_byte(1), ISSUED, ISSUED + 86_400);
    let others = [
        Binding { chain: 1, ..binding() },
        Binding {
            registry: Address::ZERO,
            ..binding()
        },
        Binding {
            operator: binding().registry,
            ..binding()
        },
        Binding {
            key: vec![0x42; 255],
            ..binding()
        },
    ];
    for kind in Kind::ALL {
        let evidence = machine
            .quote(kind, B256::repeat_byte(2), binding().report_data())
            .expect("made");
        let check = |expected| verify_binding(&evidence, &Policy::default(), &Roots::simulated(), ISSUED, expected);
        let mine = binding();
        check(&mine).expect("bound");
        for other in &others {
            let refused = check(other).expect_err("bound to something else");
            assert!(matches!(refused, Error::ReportData { .. }), "{kind}: {refused}");
            assert_eq!(refused.remedy(), Remedy::Stop);
        }
    }
}
