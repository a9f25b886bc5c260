//! Keccak-f.

use surety_machine::keccak256;

use crate::call::{A0, Call, MEMORY, Random, SP};

const SYMBOL: &str = "surety_keccak_f";

#[test]
fn keccak_f_is_what_the_machine_does() {
    let mut random = Random::new(1);
    let mut taken = 0;
    for _ in 0..2_000 {
        let mut call = Call::random(SYMBOL, &mut random);
        call.registers[A0] = match random.below(4) {
            0 => call.registers[SP].wrapping_sub(4 * random.below(170)),
            1 => MEMORY - 4 * random.below(60),
            2 => random.below(MEMORY),
            _ => 4 * random.below(MEMORY / 8 - 200),
        };
        if random.one_in(16) {
            call.registers[SP] = random.below(500);
        }
        taken += u32::from(call.check().is_some());
    }
    assert!(taken > 500, "{taken}");
    let mut call = Call::random(SYMBOL, &mut random);
    call.registers[A0] = MEMORY - 200;
    call.registers[SP] = MEMORY - 200;
    call.check_limit();
    call.registers[A0] = 448;
    call.registers[SP] = 448;
    call.check_limit();
    call.registers[SP] = 452;
    assert!(call.check().is_none());
    call.registers[1] += 2;
    call.registers[SP] = 448;
    assert!(call.check().is_none());
}

/// Through the sponge: keccak-256 of nothing, and of a block.
#[test]
fn keccak_f_gives_keccak_256() {
    let mut random = Random::new(2);
    for message in [&b""[..], b"abc", &[0xa5; 135]] {
        let mut call = Call::random(SYMBOL, &mut random);
        call.registers[A0] = 1024;
        let state = &mut call.memory[1024..1224];
        state.fill(0);
        state[..message.len()].copy_from_slice(message);
        state[message.len()] ^= 1;
        state[135] ^= 0x80;
        let (after, _) = call.check_limit();
        assert_eq!(after.bytes(1024, 32), keccak256(message));
    }
}
