//! The permutation itself, compiled for what the host's processor has.
//!
//! The library's is compiled for the least of them; one with `andn` and `rorx` takes three quarters of its time.

/// Keccak-f\[1600\], in the best way this processor has.
pub(super) fn f1600(state: &mut [u64; 25]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has both.
        #[allow(unsafe_code, reason = "a function for processors that have more")]
        unsafe {
            with_bmi(state);
        }
        return;
    }
    keccak::Keccak::new().with_f1600(|f1600| f1600(state));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn with_bmi(state: &mut [u64; 25]) {
    let mut lanes = *state;
    for [first, second] in crate::keccak::ROUND_CONSTANTS.as_chunks().0 {
        lanes = round(&round(&lanes, *first), *second);
    }
    *state = lanes;
}

/// By how much a lane is rotated, by its index x + 5y.
#[cfg(target_arch = "x86_64")]
const TURNS: [u32; 25] = [
    0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14,
];

/// Loops of constant length over arrays: unrolled, and kept in registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn round(lanes: &[u64; 25], constant: u64) -> [u64; 25] {
    let mut parity = [0; 5];
    for (x, parity) in parity.iter_mut().enumerate() {
        *parity = lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20];
    }
    let mut mixed = [0; 25];
    for y in 0..5 {
        // Theta, rho and pi: what comes into row y.
        let mut row = [0; 5];
        for (x, lane) in row.iter_mut().enumerate() {
            let from = (x + 3 * y) % 5;
            let theta = parity[(from + 4) % 5] ^ parity[(from + 1) % 5].rotate_left(1);
            *lane = (lanes[from + 5 * x] ^ theta).rotate_left(TURNS[from + 5 * x]);
        }
        for x in 0..5 {
            mixed[x + 5 * y] = row[x] ^ (!row[(x + 1) % 5] & row[(x + 2) % 5]);
        }
    }
    mixed[0] ^= constant;
    mixed
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_permutation_is_the_librarys() {
        let mut state = [0x0123_4567_89ab_cdef_u64; 25];
        for _ in 0..100 {
            let mut expected = state;
            keccak::Keccak::new().with_f1600(|f1600| f1600(&mut expected));
            super::f1600(&mut state);
            assert_eq!(state, expected);
        }
    }
}
