//! The Montgomery product of 256-bit numbers.

use crate::call::{A0, Call, MEMORY, Random, SP};

const SYMBOL: &str = "surety_montgomery_256";
/// The order of secp256k1's field, and of its group.
const PRIMES: [[u64; 4]; 2] = [
    [0xffff_fffe_ffff_fc2f, u64::MAX, u64::MAX, u64::MAX],
    [
        0xbfd2_5e8c_d036_4141,
        0xbaae_dce6_af48_a03b,
        0xffff_ffff_ffff_fffe,
        u64::MAX,
    ],
];

fn put(call: &mut Call, address: u32, number: [u64; 4]) {
    let bytes = number.map(u64::to_le_bytes);
    call.memory[address as usize..][..32].copy_from_slice(bytes.as_flattened());
}

fn number(random: &mut Random) -> [u64; 4] {
    let mut word = || match random.below(6) {
        0 => 0,
        1 => u64::MAX,
        2 => random.next() >> random.below(64),
        _ => random.next(),
    };
    [word(), word(), word(), word()]
}

#[test]
fn montgomery_is_what_the_machine_does() {
    let mut random = Random::new(14);
    let mut taken = 0;
    for _ in 0..12_000 {
        let mut call = Call::random(SYMBOL, &mut random);
        for register in A0..A0 + 4 {
            call.registers[register] = match random.below(12) {
                0 => call.registers[SP].wrapping_sub(4 * random.below(25)),
                1 => MEMORY - 4 * random.below(12),
                2 => random.below(MEMORY),
                _ => 4 * random.below(64),
            };
        }
        if random.one_in(3) {
            call.registers[A0] = call.registers[A0 + 1];
        }
        for register in A0 + 1..A0 + 4 {
            let number = number(&mut random);
            let address = call.registers[register];
            if address <= MEMORY - 32 {
                put(&mut call, address, number);
            }
        }
        let modulus = call.registers[A0 + 3] as usize;
        if modulus < MEMORY as usize && !random.one_in(8) {
            call.memory[modulus] |= 1;
        }
        taken += u32::from(call.check().is_some());
    }
    assert!(taken > 4_000, "{taken}");
}

/// a b modulo m, bit by bit.
fn multiply(a: [u64; 4], b: [u64; 4], m: [u64; 4]) -> [u64; 4] {
    let add = |a: [u64; 4], b: [u64; 4]| {
        let mut carry = 0u128;
        let mut sum = [0; 4];
        for i in 0..4 {
            carry += u128::from(a[i]) + u128::from(b[i]);
            sum[i] = carry as u64;
            carry >>= 64;
        }
        let below = carry == 0 && sum.iter().rev().lt(m.iter().rev());
        if below {
            return sum;
        }
        let mut borrow = 0i128;
        for i in 0..4 {
            borrow += i128::from(sum[i]) - i128::from(m[i]);
            sum[i] = borrow as u64;
            borrow >>= 64;
        }
        sum
    };
    let mut product = [0; 4];
    for bit in (0..256).rev() {
        product = add(product, product);
        if b[bit / 64] >> (bit % 64) & 1 == 1 {
            product = add(product, a);
        }
    }
    product
}

/// (a b / R) R = a b, for the primes of secp256k1, aliased and not.
#[test]
fn montgomery_divides_by_r() {
    let mut random = Random::new(15);
    for prime in PRIMES {
        // R modulo the prime, which is above R / 2: R less the prime.
        let mut r = prime.map(|word| !word);
        r[0] += 1;
        for turn in 0..50 {
            let mut below = || loop {
                let number = number(&mut random);
                if number.iter().rev().lt(prime.iter().rev()) {
                    return number;
                }
            };
            let (a, b) = (below(), below());
            let mut call = Call::random(SYMBOL, &mut Random::new(turn));
            call.registers[A0..A0 + 4].copy_from_slice(&[if turn % 2 == 0 { 64 } else { 0 }, 0, 32, 96]);
            put(&mut call, 0, a);
            put(&mut call, 32, b);
            put(&mut call, 96, prime);
            let (after, _) = call.check_limit();
            let bytes = after.bytes(call.registers[A0], 32).as_chunks().0;
            let found = [0, 1, 2, 3].map(|i| u64::from_le_bytes(bytes[i]));
            assert!(found.iter().rev().lt(prime.iter().rev()));
            assert_eq!(multiply(found, r, prime), multiply(a, b, prime));
        }
    }
}
