//! memcpy, memset, memcmp.

use crate::call::{A0, Call, MEMORY, Random};

/// A length: every short one often, long ones too, and now and then one that no memory has.
fn length(random: &mut Random) -> u32 {
    match random.below(16) {
        0..=5 => random.below(20),
        6..=10 => random.below(140),
        11..=14 => random.below(5_000),
        _ if random.one_in(4) => random.word(),
        _ => random.below(MEMORY + 2),
    }
}

/// A place: anywhere, but often one that `length` bytes just fit behind, or before the end of memory.
fn place(random: &mut Random, length: u32) -> u32 {
    match random.below(8) {
        0 => MEMORY.wrapping_sub(length),
        1 => MEMORY
            .wrapping_sub(length)
            .wrapping_add(random.below(3))
            .wrapping_sub(1),
        2 => random.below(5),
        3 if random.one_in(4) => random.word(),
        _ => random.below(MEMORY.saturating_sub(length).max(1)),
    }
}

#[test]
fn memcpy_is_what_the_machine_does() {
    let mut random = Random::new(5);
    let mut taken = 0;
    for _ in 0..12_000 {
        let mut call = Call::random("memcpy", &mut random);
        let length = length(&mut random);
        call.registers[A0] = place(&mut random, length);
        call.registers[A0 + 1] = place(&mut random, length);
        call.registers[A0 + 2] = length;
        if random.one_in(10) {
            call.registers[A0 + 1] = call.registers[A0].wrapping_add(random.below(9)).wrapping_sub(4);
        }
        taken += u32::from(call.check().is_some());
    }
    assert!(taken > 6_000, "{taken}");
}

/// Every length up to 70 with every alignment of both addresses, up against the end of memory.
#[test]
fn memcpy_copies_at_every_alignment() {
    let mut random = Random::new(6);
    for length in 0..70 {
        for (to, from) in (0..16).map(|both| (both / 4, both % 4)) {
            let mut call = Call::random("memcpy", &mut random);
            call.registers[A0] = 0x1000 + to;
            call.registers[A0 + 1] = MEMORY - length - from;
            call.registers[A0 + 2] = length;
            let expected = call.bytes(MEMORY - length - from, length as usize).to_vec();
            let (after, _) = call.check_limit();
            assert_eq!(after.bytes(0x1000 + to, length as usize), expected);
            assert_eq!(after.registers[A0], 0x1000 + to);
            call.registers[A0] = MEMORY - length - to;
            call.registers[A0 + 1] = from;
            call.check_limit();
        }
    }
}

#[test]
fn memset_is_what_the_machine_does() {
    let mut random = Random::new(7);
    let mut taken = 0;
    for _ in 0..6_000 {
        let mut call = Call::random("memset", &mut random);
        let length = length(&mut random);
        call.registers[A0] = place(&mut random, length);
        call.registers[A0 + 2] = length;
        taken += u32::from(call.check().is_some());
    }
    assert!(taken > 3_000, "{taken}");
    for length in 0..70 {
        for to in 0..4 {
            let mut call = Call::random("memset", &mut random);
            call.registers[A0] = MEMORY - length - to;
            call.registers[A0 + 2] = length;
            let byte = call.registers[A0 + 1] as u8;
            let (after, _) = call.check_limit();
            assert!(
                after
                    .bytes(MEMORY - length - to, length as usize)
                    .iter()
                    .all(|found| *found == byte)
            );
        }
    }
}

#[test]
fn memcmp_is_what_the_machine_does() {
    let mut random = Random::new(8);
    let mut taken = 0;
    for _ in 0..8_000 {
        let mut call = Call::random("memcmp", &mut random);
        let length = length(&mut random);
        let (a, b) = (place(&mut random, length), place(&mut random, length));
        call.registers[A0] = a;
        call.registers[A0 + 1] = b;
        call.registers[A0 + 2] = length;
        // Equal, or all but a byte.
        let (from, to) = (a as usize, b as usize);
        if !random.one_in(4) && from.max(to) + length as usize <= MEMORY as usize {
            call.memory.copy_within(from..from + length as usize, to);
            if length > 0 && !random.one_in(3) {
                call.memory[to + random.below(length) as usize] ^= 1 << random.below(8);
            }
        }
        taken += u32::from(call.check().is_some());
    }
    assert!(taken > 4_000, "{taken}");
}

/// Every short length, alignment and place of the difference.
#[test]
fn memcmp_finds_the_first_difference() {
    let mut random = Random::new(9);
    let mut call = Call::random("memcmp", &mut random);
    call.memory.fill(0x55);
    for length in 0..22 {
        for (left, right) in (0..16).map(|both| (both / 4, both % 4)) {
            for at in 0..=length {
                let mut call = call.clone();
                call.registers[A0] = 0x2000 + left;
                call.registers[A0 + 1] = MEMORY - length - right;
                call.registers[A0 + 2] = length;
                call.memory[(0x2000 + left + at) as usize] = 0x50;
                call.memory[(0x2000 + left + at + 1) as usize] = 0x60;
                let (after, _) = call.check_limit();
                let expected = if at < length { 5u32.wrapping_neg() } else { 0 };
                assert_eq!(after.registers[A0], expected, "{length} {left} {right} {at}");
            }
        }
    }
}
