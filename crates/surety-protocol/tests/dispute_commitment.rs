//! Geometry and commitments: every opening the player makes leads to the head, and nothing else does.

use alloy_primitives::{Address, B256, keccak256};
use proptest::prelude::*;
use surety_primitives::{Budget, ClaimDetail};
use surety_protocol::dispute::*;

fn geometry(steps: u64) -> Geometry {
    Geometry::new(Budget::new(steps).expect("a possible budget"))
}

fn noise(i: u64, j: u64) -> B256 {
    keccak256([i.to_be_bytes(), j.to_be_bytes()].concat())
}

/// A match over `levels` dissections, with these digits chosen and no two values equal.
fn history(geometry: Geometry, digits: &[u8]) -> History {
    let mut history = History::new(geometry, noise(0, 0));
    for number in 0..geometry.levels() {
        let points = Box::new(core::array::from_fn(|i| noise(1 + u64::from(number), i as u64)));
        let segment = if number == 0 {
            0
        } else {
            digits[usize::from(number) - 1]
        };
        history.push(segment, points).expect("a dissection");
    }
    history
}

#[test]
fn levels_are_as_many_as_the_trace_needs() {
    for (steps, levels) in [
        (0, 1),
        (31, 1),
        (32, 2),
        (1023, 2),
        (1024, 3),
        ((1 << 40) - 1, 8),
        (1 << 40, 9),
        (1 << 45, 10),
    ] {
        let geometry = geometry(steps);
        assert_eq!(geometry.levels(), levels, "{steps}");
        assert!(geometry.length() > steps);
        assert_eq!(geometry.stride(1) * 32, geometry.length());
        assert_eq!(geometry.stride(levels), 1);
    }
}

#[test]
fn what_follows_a_position() {
    let geometry = geometry(1000);
    assert_eq!(geometry.transition(999), Transition::Step);
    assert_eq!(geometry.transition(1000), Transition::Projection);
    assert_eq!(geometry.transition(1001), Transition::Identity);
    assert_eq!(geometry.transition(1023), Transition::Identity);
}

#[test]
fn a_match_takes_no_move_too_many() {
    let mut history = history(geometry(1000), &[3]);
    assert!(history.is_step_next());
    assert_eq!(history.push(0, Box::new([B256::ZERO; 31])), None);
    let mut history = History::new(geometry(1000), B256::ZERO);
    assert_eq!(
        history.push(1, Box::new([B256::ZERO; 31])),
        None,
        "move 1 has one segment"
    );
    assert!(history.push(0, Box::new([B256::ZERO; 31])).is_some());
    assert_eq!(
        history.push(32, Box::new([B256::ZERO; 31])),
        None,
        "there are 32 segments"
    );
}

#[test]
fn the_head_of_a_match_is_abi_encoded() {
    let detail = |n: u8| ClaimDetail {
        operator: Address::repeat_byte(n),
        request: B256::repeat_byte(n).into(),
        requester: Address::repeat_byte(n),
        result: B256::repeat_byte(n).into(),
    };
    let encoded = encode_details(Address::repeat_byte(9), &[detail(1), detail(2)]);
    assert_eq!(encoded.len(), 32 * (3 + 2 * 4));
    let dispute = B256::repeat_byte(1).into();
    let a = match_head(dispute, Address::repeat_byte(2), 1, 5, 0, 1);
    for other in [
        match_head(B256::repeat_byte(2).into(), Address::repeat_byte(2), 1, 5, 0, 1),
        match_head(dispute, Address::repeat_byte(3), 1, 5, 0, 1),
        match_head(dispute, Address::repeat_byte(2), 2, 5, 0, 1),
        match_head(dispute, Address::repeat_byte(2), 1, 6, 0, 1),
        match_head(dispute, Address::repeat_byte(2), 1, 5, 1, 1),
        match_head(dispute, Address::repeat_byte(2), 1, 5, 0, 2),
    ] {
        assert_ne!(a, other);
    }
}

proptest! {
    #[test]
    fn openings_lead_to_the_head_and_changed_ones_do_not(
        steps in prop_oneof![0u64..2_000, 0u64..=1 << 45],
        digits in prop::collection::vec(prop_oneof![Just(0u8), Just(31), 0u8..32], 9),
        segment in 0u8..32,
        spoil in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let geometry = geometry(steps);
        let history = history(geometry, &digits);
        let result = noise(99, 99);
        let t = history.segment_start(segment);
        let start = history.value(t).unwrap_or(noise(98, 98));
        let openings = history.openings(segment, result).expect("the step is next");
        let opened = open(&geometry, t, start, &openings).expect("as long as it must be");
        prop_assert_eq!(opened.head, history.head());
        prop_assert_eq!(opened.end, history.value(t + 1).unwrap_or(result));

        // Nothing else is opened: not with one bit changed, nor another start, nor another length. (At the first
        // position the start, at the last one the end is bound by something else.)
        let mut changed = openings.clone();
        let at = spoil.index(changed.len());
        changed[at] ^= 1 << bit;
        let last = t + 1 == geometry.length();
        let end_is_free = last && (32..64).contains(&at);
        let opened = open(&geometry, t, start, &changed).expect("as long");
        prop_assert_eq!(opened.head == history.head(), end_is_free);
        if t > 0 {
            let other = open(&geometry, t, noise(7, 7), &openings).expect("as long");
            prop_assert_ne!(other.head, history.head());
        }
        let longer = [openings.as_slice(), &[0; 32]].concat();
        prop_assert!(open(&geometry, t, start, &longer).is_err());
        prop_assert!(open(&geometry, t, start, &openings[..openings.len() - 1]).is_err());
        // And not for another transition.
        for other in 0..32u8 {
            let elsewhere = history.segment_start(other);
            if elsewhere != t && let Ok(opened) = open(&geometry, elsewhere, start, &openings) {
                prop_assert_ne!(opened.head, history.head());
            }
        }
    }

    /// P4
    #[test]
    fn no_openings_crash_the_verifier(steps in 0u64..=1 << 45, t in any::<u64>(), openings in prop::collection::vec(any::<u8>(), 0..800)) {
        let geometry = geometry(steps);
        let _ = open(&geometry, t % geometry.length(), B256::ZERO, &openings);
    }

    #[test]
    fn every_position_has_one_author_and_is_its_point(steps in 0u64..=1 << 45, position in any::<u64>()) {
        let geometry = geometry(steps);
        let position = position % (geometry.length() + 1);
        match geometry.author(position) {
            Author::Statement => prop_assert_eq!(position, 0),
            Author::Claim => prop_assert_eq!(position, geometry.length()),
            Author::Dissection(number) => {
                let stride = geometry.stride(number);
                let start = position / (stride * 32) * (stride * 32);
                let point = usize::from(geometry.digit(position, number)) - 1;
                prop_assert_eq!(geometry.points(number, start)[point], position);
            }
        }
    }

    #[test]
    fn clocks_share_the_time(clock in 1u64..1_000_000, moves in prop::collection::vec(0u64..1_000, 0..12)) {
        let start = 1_000;
        let mut clocks = Clocks::new(clock, start);
        let mut now = start;
        for (i, pause) in moves.iter().enumerate() {
            now += pause;
            if now > clocks.deadline(i % 2) { break }
            clocks.press(i % 2, now);
            prop_assert_eq!(2 * clock - clocks.left(0) - clocks.left(1), clocks.last_move() - start);
        }
    }
}
