//! The compression function of SHA-256.

use crate::call::{A0, Call, MEMORY, Random, SP};

const SYMBOL: &str = "surety_sha256_blocks";

#[test]
fn sha256_is_what_the_machine_does() {
    let mut random = Random::new(3);
    let mut taken = 0;
    for _ in 0..3_000 {
        let mut call = Call::random(SYMBOL, &mut random);
        let stack = call.registers[SP];
        let place = |random: &mut Random| match random.below(5) {
            0 => stack.wrapping_sub(4 * random.below(130)),
            1 => MEMORY - 4 * random.below(60),
            2 => random.below(MEMORY),
            _ => 4 * random.below(MEMORY / 8 - 200),
        };
        call.registers[A0] = place(&mut random);
        call.registers[A0 + 1] = place(&mut random).wrapping_add(random.below(4));
        call.registers[A0 + 2] = random.below(5);
        if random.one_in(20) {
            call.registers[A0 + 2] = random.word();
        }
        if random.one_in(16) {
            call.registers[SP] = random.below(500);
        }
        taken += u32::from(call.check().is_some());
    }
    assert!(taken > 800, "{taken}");
    let mut call = Call::random(SYMBOL, &mut random);
    call.registers[A0] = 384;
    call.registers[A0 + 1] = MEMORY - 128;
    call.registers[A0 + 2] = 2;
    call.registers[SP] = 384;
    call.check_limit();
    call.registers[A0 + 1] += 1;
    assert!(call.check().is_none());
}

/// The examples of FIPS 180-4: one block, and two.
#[test]
fn sha256_gives_the_published_hashes() {
    let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let cases: [(&[u8], [u32; 8]); 3] = [
        (
            b"",
            [
                0xe3b0c442, 0x98fc1c14, 0x9afbf4c8, 0x996fb924, 0x27ae41e4, 0x649b934c, 0xa495991b, 0x7852b855,
            ],
        ),
        (
            b"abc",
            [
                0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223, 0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad,
            ],
        ),
        (
            long,
            [
                0x248d6a61, 0xd20638b8, 0xe5c02693, 0x0c3e6039, 0xa33ce459, 0x64ff2167, 0xf6ecedd4, 0x19db06c1,
            ],
        ),
    ];
    let start = [
        0x6a09e667u32,
        0xbb67ae85,
        0x3c6ef372,
        0xa54ff53a,
        0x510e527f,
        0x9b05688c,
        0x1f83d9ab,
        0x5be0cd19,
    ];
    for (message, expected) in cases {
        let mut call = Call::random(SYMBOL, &mut Random::new(4));
        let mut padded = message.to_vec();
        padded.push(0x80);
        while padded.len() % 64 != 56 {
            padded.push(0);
        }
        padded.extend((8 * message.len() as u64).to_be_bytes());
        for (bytes, word) in call.memory[512..544].as_chunks_mut().0.iter_mut().zip(start) {
            *bytes = word.to_le_bytes();
        }
        call.memory[1025..][..padded.len()].copy_from_slice(&padded);
        call.registers[A0] = 512;
        call.registers[A0 + 1] = 1025;
        call.registers[A0 + 2] = padded.len() as u32 / 64;
        let (after, _) = call.check_limit();
        let found: Vec<u32> = after
            .bytes(512, 32)
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_le_bytes(*word))
            .collect();
        assert_eq!(found, expected);
    }
}
