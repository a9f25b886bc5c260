//! The permutation itself, compiled for what the host's processor has.
//!
//! The library's is compiled for the least of them; one with `andn` and `rorx` takes three quarters of its time.

/// Keccak-f\[1600\], in the best way this processor has.
pub(super) fn f1600(state: &mut [u64; 25]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vl") {
        // SAFETY: the processor has it, and these are 25 lanes.
        #[allow(unsafe_code, reason = "a function for processors that have more")]
        unsafe {
            with_vectors(state.as_mut_ptr());
        }
        return;
    }
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

/// The same, each lane in a vector register of its own: no loads and stores, and three operands to an instruction.
///
/// It may be called while alignment is checked: it reads and writes whole lanes, and nothing else. What it changes
/// besides vector registers is RAX and RCX.
///
/// # Safety
/// The processor has AVX-512VL; the state is 25 lanes that can be written.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[allow(unsafe_code, reason = "a function for processors that have more")]
pub(crate) unsafe extern "sysv64" fn with_vectors(state: *mut u64) {
    macro_rules! lanes {
        ($before:literal, $between:literal, $after:literal) => {
            lanes!($before, $between, $after, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24)
        };
        ($before:literal, $between:literal, $after:literal, $($lane:literal)*) => {
            concat!($($before, $lane, $between, $lane, $after, "\n"),*)
        };
    }
    macro_rules! parity {
        ($to:literal, $a:literal, $b:literal, $c:literal, $d:literal, $e:literal) => {
            concat!(
                "vmovdqa64 xmm",
                $to,
                ", xmm",
                $a,
                "\n",
                "vpternlogq xmm",
                $to,
                ", xmm",
                $b,
                ", xmm",
                $c,
                ", 0x96\n",
                "vpternlogq xmm",
                $to,
                ", xmm",
                $d,
                ", xmm",
                $e,
                ", 0x96"
            )
        };
    }
    macro_rules! mix {
        ($right:literal, $left:literal, $turned:literal, $($lane:literal),*) => {
            concat!(
                "vprolq xmm", $turned, ", xmm", $right, ", 1\n",
                $("vpternlogq xmm", $lane, ", xmm", $left, ", xmm", $turned, ", 0x96\n"),*
            )
        };
    }
    macro_rules! turn {
        ($to:literal, $from:literal, $by:literal) => {
            concat!("vprolq xmm", $to, ", xmm", $from, ", ", $by)
        };
    }
    macro_rules! chi {
        ($a:literal, $b:literal, $c:literal, $d:literal, $e:literal, $first:literal, $second:literal) => {
            concat!(
                "vmovdqa64 xmm",
                $first,
                ", xmm",
                $a,
                "\n",
                "vmovdqa64 xmm",
                $second,
                ", xmm",
                $b,
                "\n",
                "vpternlogq xmm",
                $a,
                ", xmm",
                $b,
                ", xmm",
                $c,
                ", 0xd2\n",
                "vpternlogq xmm",
                $b,
                ", xmm",
                $c,
                ", xmm",
                $d,
                ", 0xd2\n",
                "vpternlogq xmm",
                $c,
                ", xmm",
                $d,
                ", xmm",
                $e,
                ", 0xd2\n",
                "vpternlogq xmm",
                $d,
                ", xmm",
                $e,
                ", xmm",
                $first,
                ", 0xd2\n",
                "vpternlogq xmm",
                $e,
                ", xmm",
                $first,
                ", xmm",
                $second,
                ", 0xd2"
            )
        };
    }
    std::arch::naked_asm!(
        lanes!("vmovq xmm", ", [rdi + 8 * ", "]"),
        "lea rax, [rip + {constants}]",
        "mov ecx, {rounds}",
        ".p2align 5",
        "2:",
        // Theta: the parities of the columns, and what those beside it do to each.
        parity!(25, 0, 5, 10, 15, 20),
        parity!(26, 1, 6, 11, 16, 21),
        parity!(27, 2, 7, 12, 17, 22),
        parity!(28, 3, 8, 13, 18, 23),
        parity!(29, 4, 9, 14, 19, 24),
        mix!(26, 29, 30, 0, 5, 10, 15, 20),
        mix!(27, 25, 31, 1, 6, 11, 16, 21),
        mix!(28, 26, 30, 2, 7, 12, 17, 22),
        mix!(29, 27, 31, 3, 8, 13, 18, 23),
        mix!(25, 28, 30, 4, 9, 14, 19, 24),
        // Rho and pi: a circle of 24 lanes.
        "vmovdqa64 xmm30, xmm1",
        turn!(1, 6, 44),
        turn!(6, 9, 20),
        turn!(9, 22, 61),
        turn!(22, 14, 39),
        turn!(14, 20, 18),
        turn!(20, 2, 62),
        turn!(2, 12, 43),
        turn!(12, 13, 25),
        turn!(13, 19, 8),
        turn!(19, 23, 56),
        turn!(23, 15, 41),
        turn!(15, 4, 27),
        turn!(4, 24, 14),
        turn!(24, 21, 2),
        turn!(21, 8, 55),
        turn!(8, 16, 45),
        turn!(16, 5, 36),
        turn!(5, 3, 28),
        turn!(3, 18, 21),
        turn!(18, 17, 15),
        turn!(17, 11, 10),
        turn!(11, 7, 6),
        turn!(7, 10, 3),
        turn!(10, 30, 1),
        // Chi, row by row.
        chi!(0, 1, 2, 3, 4, 25, 26),
        chi!(5, 6, 7, 8, 9, 27, 28),
        chi!(10, 11, 12, 13, 14, 29, 30),
        chi!(15, 16, 17, 18, 19, 25, 26),
        chi!(20, 21, 22, 23, 24, 27, 28),
        // Iota.
        "vmovq xmm31, [rax]",
        "vpxorq xmm0, xmm0, xmm31",
        "add rax, 8",
        "dec ecx",
        "jnz 2b",
        lanes!("vmovq [rdi + 8 * ", "], xmm", ""),
        "vzeroupper",
        "ret",
        constants = sym crate::keccak::ROUND_CONSTANTS,
        rounds = const crate::keccak::ROUND_CONSTANTS.len(),
    )
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
    /// In each way that this processor has, and in the one that is chosen.
    #[test]
    fn the_permutation_is_the_librarys() {
        let mut ways: Vec<fn(&mut [u64; 25])> = vec![super::f1600];
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code, reason = "functions for processors that have more")]
        {
            if is_x86_feature_detected!("avx512vl") {
                // SAFETY: the processor has it, and these are 25 lanes.
                ways.push(|state| unsafe { super::with_vectors(state.as_mut_ptr()) });
            }
            if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
                // SAFETY: the processor has both.
                ways.push(|state| unsafe { super::with_bmi(state) });
            }
        }
        for way in ways {
            let mut state = [0x0123_4567_89ab_cdef_u64; 25];
            for _ in 0..100 {
                let mut expected = state;
                keccak::Keccak::new().with_f1600(|f1600| f1600(&mut expected));
                way(&mut state);
                assert_eq!(state, expected);
            }
        }
    }
}
