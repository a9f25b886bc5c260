//! Levenshtein distances between words, by rows of a table: slices, iterators, minima.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use bench_programs::{Random, mix_in, size};

fn distance(a: &[u8], b: &[u8], row: &mut Vec<u32>) -> u32 {
    row.clear();
    row.extend(0..=b.len() as u32);
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = i as u32;
        row[0] = i as u32 + 1;
        for (j, &y) in b.iter().enumerate() {
            let change = diagonal + u32::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The distances of random words, summed.
#[unsafe(no_mangle)]
pub extern "C" fn run() -> u32 {
    let mut random = Random(77);
    let words: Vec<Vec<u8>> = (0..64)
        .map(|_| {
            let length = 100 + random.next() % 200;
            (0..length).map(|_| b'a' + (random.next() % 5) as u8).collect()
        })
        .collect();
    let mut row = Vec::with_capacity(512);
    let mut sum = 0;
    for i in 0..size(2400, 20) {
        let (a, b) = (&words[i % 64], &words[(i * 7 + i / 64 + 1) % 64]);
        sum = mix_in(sum, distance(a, b, &mut row));
    }
    sum
}
