//! Sets and their rolls.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use alloy_primitives::{Address, U256, keccak256};
use proptest::prelude::*;
use std::sync::LazyLock;
use surety_primitives::{
    bls::{BlsError, PublicKey, SecretKey},
    set::{MAX_MEMBERS, MEMBER_BYTES, Member, PAGE_MEMBERS, Set, SetError, Signers},
};

const SERVICE: Address = Address::repeat_byte(0x5e);

static MEMBERS: LazyLock<Vec<Member>> = LazyLock::new(|| {
    let member = |i: usize| Member {
        operator: Address::from_word(keccak256(format!("operator {i}"))),
        power: [7, 1_000_000_000, u64::MAX][i % 3],
        weight: i as u64 + 1,
        key: SecretKey::generate(&keccak256(i.to_be_bytes())).public_key(),
    };
    (0..=MAX_MEMBERS).map(member).collect()
});

fn set(members: usize) -> Set {
    Set::new(SERVICE, 1, 2, MEMBERS[..members].to_vec()).unwrap()
}

fn read(pages: &[Vec<u8>; 2]) -> Result<Set, SetError> {
    Set::from_pages(SERVICE, 1, 2, [&pages[0], &pages[1]])
}

#[test]
fn rolls_round_trip() {
    for members in [1, 2, PAGE_MEMBERS - 1, PAGE_MEMBERS, PAGE_MEMBERS + 1, MAX_MEMBERS] {
        let set = set(members);
        assert_eq!(set.to_roll().len(), 192 + members * MEMBER_BYTES);
        assert_eq!(Set::from_roll(SERVICE, 1, 2, &set.to_roll()), Ok(set.clone()));
        let pages = set.to_pages();
        assert_eq!(pages[1].is_empty(), members <= PAGE_MEMBERS);
        assert_eq!(read(&pages), Ok(set));
    }
}

#[test]
fn sets_have_members_and_not_too_many() {
    assert_eq!(Set::new(SERVICE, 1, 2, Vec::new()), Err(SetError::Members { found: 0 }));
    let found = MAX_MEMBERS + 1;
    assert_eq!(
        Set::new(SERVICE, 1, 2, MEMBERS.clone()),
        Err(SetError::Members { found })
    );
    let mut roll = set(MAX_MEMBERS).to_roll();
    roll.extend(MEMBERS[MAX_MEMBERS].to_bytes());
    assert_eq!(Set::from_roll(SERVICE, 1, 2, &roll), Err(SetError::Members { found }));
    assert_eq!(
        Set::from_roll(SERVICE, 1, 2, &roll[..192]),
        Err(SetError::Members { found: 0 })
    );
    let twice = vec![MEMBERS[0], MEMBERS[1], MEMBERS[0]];
    assert_eq!(
        Set::new(SERVICE, 1, 2, twice),
        Err(SetError::Twice {
            operator: MEMBERS[0].operator
        })
    );
}

#[test]
fn rolls_are_read_whole_or_not_at_all() {
    let roll = set(3).to_roll();
    for length in 0..roll.len() {
        let whole = length >= 192 && (length - 192).is_multiple_of(MEMBER_BYTES);
        match Set::from_roll(SERVICE, 1, 2, &roll[..length]) {
            // Whole members, but the sum is of others.
            Err(SetError::Sum | SetError::Members { found: 0 }) => assert!(whole, "{length} bytes"),
            Err(SetError::Length { found }) => assert!(!whole && found == length, "{length} bytes"),
            other => panic!("{length} bytes: {other:?}"),
        }
    }
}

#[test]
fn pages_are_those_of_the_contract() {
    let pages = set(PAGE_MEMBERS + 2).to_pages();
    let page = |page: usize, code: &[u8]| {
        let mut pages = pages.clone();
        pages[page] = code.to_vec();
        read(&pages)
    };
    for (i, code) in pages.iter().enumerate() {
        let mut code = code.clone();
        code[0] = 1;
        assert_eq!(
            page(i, &code),
            Err(SetError::Page {
                page: i,
                found: Some(1)
            })
        );
    }
    assert_eq!(page(0, &[]), Err(SetError::Page { page: 0, found: None }));
    // Half of the members are missing.
    assert_eq!(page(1, &[]), Err(SetError::Sum));
    // Members in the second page while there is place in the first.
    let shorter = &pages[0][..pages[0].len() - MEMBER_BYTES];
    assert_eq!(
        page(0, shorter),
        Err(SetError::FirstPage {
            found: PAGE_MEMBERS - 1
        })
    );
    let longer = [pages[0].clone(), MEMBERS[0].to_bytes().to_vec()].concat();
    assert!(matches!(read(&[longer, Vec::new()]), Err(SetError::Length { .. })));
    // Two first pages make no second.
    assert!(matches!(page(1, &pages[0]), Err(SetError::Length { .. })));
}

/// The head says again what is in the roll, for the contract; it must be the same.
#[test]
fn every_changed_bit_of_the_head_is_refused() {
    let pages = set(3).to_pages();
    assert_eq!(
        U256::from_be_slice(&pages[0][1..33]),
        (U256::from(set(3).power()) << 8) | U256::from(3)
    );
    for bit in 0..288 * 8 {
        let mut changed = pages.clone();
        changed[0][1 + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(read(&changed), Err(SetError::Sum), "bit {bit}");
    }
}

#[test]
fn keys_are_checked_though_the_contract_did() {
    let set = set(3);
    let roll = set.to_roll();
    let key = 192 + MEMBER_BYTES + 36;
    let mut infinity = roll.clone();
    infinity[key..key + 192].fill(0);
    let error = BlsError::Infinity;
    assert_eq!(
        Set::from_roll(SERVICE, 1, 2, &infinity),
        Err(SetError::Key { index: 1, error })
    );
    let mut another = roll.clone();
    another[key..key + 192].copy_from_slice(&MEMBERS[9].key.to_unpadded());
    assert_eq!(Set::from_roll(SERVICE, 1, 2, &another), Err(SetError::Sum));
    let mut sum = roll;
    sum[..192].copy_from_slice(&MEMBERS[9].key.to_unpadded());
    assert_eq!(Set::from_roll(SERVICE, 1, 2, &sum), Err(SetError::Sum));
}

#[test]
fn power_is_counted_without_overflow() {
    let largest = |i: usize| Member {
        power: u64::MAX,
        ..MEMBERS[i]
    };
    let set = Set::new(SERVICE, 1, 2, (0..MAX_MEMBERS).map(largest).collect()).unwrap();
    assert_eq!(set.power(), 128 * u128::from(u64::MAX));
    assert_eq!(set.power_of(set.all()), set.power());
    assert_eq!(set.power_of(Signers::NONE), 0);
    assert_eq!(
        self::set(3).power_of(Signers::from_bits(u128::MAX)),
        self::set(3).power()
    );
}

#[test]
fn members_are_found_by_operator() {
    let set = set(5);
    for (i, member) in set.members().iter().enumerate() {
        assert_eq!(set.index_of(member.operator), Some(i));
        assert_eq!(set.member(i), Some(member));
    }
    assert_eq!(set.index_of(MEMBERS[5].operator), None);
    assert_eq!(set.member(5), None);
    let named = [MEMBERS[4].operator, MEMBERS[7].operator, MEMBERS[1].operator];
    assert_eq!(set.among(&named).iter().collect::<Vec<_>>(), [1, 4]);
    assert_eq!(set.weights(), [1, 2, 3, 4, 5]);
}

#[test]
fn bitmaps_end_at_the_last_possible_member() {
    let mut signers = Signers::NONE;
    assert!(!signers.insert(MAX_MEMBERS) && signers.is_empty());
    assert!(signers.insert(127) && !signers.insert(127) && signers.contains(127));
    assert!(signers.remove(127) && !signers.remove(127) && !signers.remove(500));
    assert_eq!(Signers::try_from(U256::from(1) << 128), Err(U256::from(1) << 128));
    assert_eq!(
        Signers::try_from(U256::from(u128::MAX)),
        Ok(Signers::from_bits(u128::MAX))
    );
    assert_eq!(Signers::from_bits(u128::MAX).len(), MAX_MEMBERS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn keys_of_some_are_sums(bits in any::<u16>()) {
        let set = set(16);
        let signers = Signers::from_bits(bits.into());
        let keys: Vec<_> = signers.iter().map(|i| MEMBERS[i].key).collect();
        prop_assert_eq!(set.key_of(signers), PublicKey::sum(&keys).ok());
        prop_assert_eq!(signers.len(), keys.len());
        prop_assert_eq!(set.key_of(signers.with(Signers::from_bits(1 << 16))), None);
    }

    /// P4: no bytes make it fail, and what is read is what was written.
    #[test]
    fn p4_any_roll_is_read_or_refused(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..3),
        cut in any::<prop::sample::Index>(),
        whole: bool,
    ) {
        let mut roll = set(2).to_roll();
        for (index, bit) in flips {
            roll[index.index(648)] ^= 1 << bit;
        }
        if !whole {
            roll.truncate(cut.index(648));
        }
        if let Ok(set) = Set::from_roll(SERVICE, 1, 2, &roll) {
            prop_assert_eq!(set.to_roll(), roll);
        }
    }
}
