//! A match of any moves opens at its step to its own head and end, and to no other when a bit of the openings changes;
//! any bytes at any position open to something or are refused.
#![no_main]

use alloy_primitives::keccak256;
use libfuzzer_sys::fuzz_target;
use surety_primitives::{B256, Budget};
use surety_protocol::dispute::{Geometry, History, POINTS, open};

fuzz_target!(|input: (u64, u64, Vec<u8>, u8, u16, Vec<u8>)| {
    let (budget, seed, segments, segment, flip, any) = input;
    let Ok(budget) = Budget::new(budget & ((1 << 46) - 1)) else {
        return;
    };
    let geometry = Geometry::new(budget);
    let value = |n: u64| keccak256([seed.to_be_bytes(), n.to_be_bytes()].concat());
    let mut history = History::new(geometry, value(u64::MAX));
    for level in 0..geometry.levels() {
        let segment = if level == 0 {
            0
        } else {
            segments.get(usize::from(level)).copied().unwrap_or_default() % 32
        };
        let points: [B256; POINTS] = std::array::from_fn(|n| value(u64::from(level) << 8 | n as u64));
        history.push(segment, Box::new(points)).expect("a move");
    }
    assert!(history.is_step_next());
    let segment = segment % 32;
    let t = history.segment_start(segment);
    let result = value(1 << 60);
    let openings = history.openings(segment, result).expect("the step is next");
    let start = history.value(t).unwrap_or_else(|| value(1 << 61));
    let opened = open(&geometry, t, start, &openings).expect("its own openings");
    assert_eq!(
        (opened.head, opened.end),
        (history.head(), history.value(t + 1).unwrap_or(result))
    );
    // A word too many, a byte too few, a bit changed, another start.
    assert!(open(&geometry, t, start, &[openings.as_slice(), &[0; 32]].concat()).is_err());
    assert!(open(&geometry, t, start, &openings[..openings.len() - 1]).is_err());
    let mut changed = openings.clone();
    let bit = usize::from(flip) % (8 * changed.len());
    changed[bit / 8] ^= 1 << (bit % 8);
    let other = open(&geometry, t, start, &changed).expect("the same length");
    assert_ne!(other, opened, "bit {bit} of the openings at {t} says nothing");
    if t > 0 {
        let other = open(&geometry, t, !start, &openings).expect("the same length");
        assert_ne!(other.head, opened.head);
    }
    // Anything at all, anywhere.
    let last = geometry.segment_start(geometry.levels(), history.position(), 31);
    for t in [0, t, last] {
        if let Ok(opened) = open(&geometry, t, start, &any) {
            assert_eq!(open(&geometry, t, start, &any), Ok(opened));
        }
    }
});
