//! Products of int8 vectors and matrices.

use crate::call::{A0, Call, MEMORY, Random, SP};

const MATMUL: &str = "surety_matmul_i8";

#[test]
fn dot_is_what_the_machine_does() {
    let mut random = Random::new(10);
    let mut taken = 0;
    for _ in 0..4_000 {
        let mut call = Call::random("surety_dot_i8", &mut random);
        let length = match random.below(8) {
            0 => random.word(),
            1 => random.below(MEMORY),
            2..=4 => random.below(20),
            _ => random.below(600),
        };
        for register in [A0, A0 + 1] {
            call.registers[register] = match random.below(4) {
                0 => MEMORY.wrapping_sub(length),
                1 => MEMORY.wrapping_sub(length).wrapping_add(1),
                _ => random.below(MEMORY.saturating_sub(length).max(1)),
            };
        }
        call.registers[A0 + 2] = length;
        if random.one_in(8) {
            call.memory.fill(0x80);
        }
        taken += u32::from(call.check().is_some());
    }
    assert!(taken > 1_500, "{taken}");
}

#[test]
fn dot_is_the_sum_of_the_products() {
    let mut call = Call::random("surety_dot_i8", &mut Random::new(11));
    call.memory[100..105].copy_from_slice(&[1, 255, 127, 128, 9]);
    call.memory[200..205].copy_from_slice(&[5, 7, 128, 128, 0]);
    call.registers[A0..A0 + 3].copy_from_slice(&[100, 200, 5]);
    let (after, _) = call.check_limit();
    assert_eq!(after.registers[A0] as i32, 5 - 7 - 127 * 128 + 128 * 128);
}

fn matmul(random: &mut Random, [m, n, k]: [u32; 3]) -> Call {
    let mut call = Call::random(MATMUL, random);
    let places = [4 * random.below(16), 0x8000 + random.below(9), 0xa000 + random.below(9)];
    call.registers[A0..A0 + 3].copy_from_slice(&places);
    call.registers[A0 + 3..A0 + 6].copy_from_slice(&[m, n, k]);
    call.registers[SP] = 0x7800;
    call
}

#[test]
fn matmul_is_what_the_machine_does() {
    let mut random = Random::new(12);
    for _ in 0..1_500 {
        let sides = [random.below(11), random.below(14), random.below(150)];
        let mut call = matmul(&mut random, sides);
        if random.one_in(6) {
            call.memory.fill(0x80);
        }
        call.check_limit();
    }
    let mut taken = 0;
    for _ in 0..3_000 {
        let mut call = Call::random(MATMUL, &mut random);
        for register in A0..A0 + 3 {
            call.registers[register] = match random.below(6) {
                0 => call.registers[SP].wrapping_sub(4 * random.below(20)),
                1 => MEMORY - 4 * random.below(100),
                2 => random.below(MEMORY),
                _ => 4 * random.below(MEMORY / 4),
            };
        }
        for register in A0 + 3..A0 + 6 {
            call.registers[register] = match random.below(12) {
                0 => random.word(),
                1 => 0,
                _ => random.below(20),
            };
        }
        taken += u32::from(call.check().is_some());
    }
    assert!(taken > 800, "{taken}");
}

#[test]
fn p3_a_product_without_numbers_may_have_sides_of_any_length() {
    let mut random = Random::new(16);
    for sides in [
        [0, u32::MAX, u32::MAX],
        [0, u32::MAX, 0],
        [0, 0, u32::MAX],
        [1_000, 0, u32::MAX],
    ] {
        matmul(&mut random, sides).check_limit();
    }
}

#[test]
fn matmul_is_the_product_with_the_transpose() {
    let mut random = Random::new(13);
    for sides in [[1, 1, 1], [1, 5, 64], [3, 4, 7], [4, 8, 16], [5, 9, 130], [9, 3, 65]] {
        let call = matmul(&mut random, sides);
        let [m, n, k] = sides.map(|side| side as usize);
        let [out, a, b] = [0, 1, 2].map(|i| call.registers[A0 + i]);
        let (after, _) = call.check_limit();
        for (i, j) in (0..m * n).map(|both| (both / n, both % n)) {
            let row = |at: u32, row: usize| call.bytes(at + (row * k) as u32, k);
            let pairs = row(a, i).iter().zip(row(b, j));
            let expected: i32 = pairs.map(|(a, b)| i32::from(*a as i8) * i32::from(*b as i8)).sum();
            assert_eq!(after.bytes(out + 4 * (i * n + j) as u32, 4), expected.to_le_bytes());
        }
    }
}
