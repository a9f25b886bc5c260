//! The standard library's `BTreeMap`: insertions, searches, ranges, and keys taken out.
#![no_std]

extern crate alloc;

use alloc::collections::BTreeMap;
use bench_programs::{Random, mix_in, size};

/// What was found, summed.
#[unsafe(no_mangle)]
pub extern "C" fn run() -> u32 {
    let mut random = Random(123);
    let mut map = BTreeMap::new();
    let mut sum = 0;
    for _ in 0..20_000 {
        map.insert(random.next() % 100_000, random.next());
    }
    for round in 0..size(900_000, 10_000) as u32 {
        let key = random.next() % 100_000;
        if let Some(value) = map.get_mut(&key) {
            *value = value.wrapping_add(round);
            sum = mix_in(sum, *value);
        }
        let near = map.range(key..).next().map_or(0, |(&key, &value)| key ^ value);
        sum = mix_in(sum, near);
        if round % 64 == 0 {
            let first = map.range(key..).take(100).fold(0u32, |sum, (_, &value)| sum.wrapping_add(value));
            sum = mix_in(sum, first);
        }
        // Values change, keys come and go in place: nodes split and merge seldom, so that the heap lasts.
        if round % 16 == 0
            && let Some(value) = map.remove(&key)
        {
            map.insert(key ^ 1, value);
        }
    }
    mix_in(sum, map.len() as u32)
}
