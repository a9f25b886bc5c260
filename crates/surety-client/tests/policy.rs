//! Whom the client asks.

use alloy::primitives::{Address, U256};
use rand::{SeedableRng, rngs::StdRng};
use surety_chain::OperatorInfo;
use surety_client::Policy;

fn operator(n: u8, bond: u64) -> OperatorInfo {
    OperatorInfo {
        operator: Address::repeat_byte(n),
        owner: Address::repeat_byte(n),
        endpoint: String::new(),
        bond: U256::from(bond),
        reward: U256::ZERO,
        leaving_until: None,
        locks: 0,
        bonded: true,
    }
}

#[test]
fn the_choice_is_weighted_by_stake_and_without_repetition() {
    let mut rng = StdRng::seed_from_u64(1);
    let policy = Policy {
        k: 2,
        ..Policy::default()
    };
    let mut first = [0_u32; 3];
    for _ in 0..3_000 {
        let choice = policy.choose(vec![operator(0, 1), operator(1, 2), operator(2, 3)], &mut rng);
        assert_eq!((choice.wanted, choice.order.len()), (2, 3));
        let mut all: Vec<Address> = choice.order.iter().map(|o| o.operator).collect();
        first[usize::from(all[0].0[0])] += 1;
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3);
    }
    // 1/6, 2/6, 3/6 of 3,000; five standard deviations are about 140.
    for (found, wanted) in first.into_iter().zip([500_u32, 1_000, 1_500]) {
        assert!(found.abs_diff(wanted) < 140, "{first:?}");
    }
}

#[test]
fn audits_happen_as_often_as_asked() {
    let mut rng = StdRng::seed_from_u64(2);
    let policy = Policy {
        k: 1,
        audit: 0.1,
        ..Policy::default()
    };
    let audited = (0..10_000)
        .map(|_| policy.choose(vec![operator(0, 1), operator(1, 1)], &mut rng))
        .filter(|c| c.audited && c.wanted == 2)
        .count();
    assert!((850..1_150).contains(&audited), "{audited}");
    let never = Policy {
        k: 1,
        ..Policy::default()
    };
    assert!((0..100).all(|_| !never.choose(vec![operator(0, 1)], &mut rng).audited));
}

#[test]
fn a_fixed_list_is_asked_in_its_order_and_nobody_else() {
    let mut rng = StdRng::seed_from_u64(3);
    let fixed = vec![Address::repeat_byte(2), Address::repeat_byte(0)];
    let policy = Policy {
        k: 1,
        audit: 1.0,
        fixed: fixed.clone(),
    };
    let choice = policy.choose(vec![operator(0, 1), operator(1, 2), operator(2, 3)], &mut rng);
    assert_eq!(choice.order.iter().map(|o| o.operator).collect::<Vec<_>>(), fixed);
    assert_eq!(choice.wanted, 2);
}

#[test]
fn stakes_of_nothing_and_of_everything() {
    let mut rng = StdRng::seed_from_u64(4);
    let policy = Policy::default();
    assert!(policy.choose(vec![], &mut rng).order.is_empty());
    assert_eq!(
        policy
            .choose(vec![operator(0, 0), operator(1, 0)], &mut rng)
            .order
            .len(),
        2
    );
    let mut huge = operator(0, 1);
    huge.bond = U256::MAX;
    assert_eq!(policy.choose(vec![huge.clone(), huge], &mut rng).order.len(), 2);
}
