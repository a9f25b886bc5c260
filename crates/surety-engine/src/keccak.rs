//! keccak-256 of many pairs of tree nodes at once, one in each lane of the host's vector registers.
//!
//! Source: FIPS 202, section 3; the padding is that of the original Keccak submission, which Ethereum uses.

use surety_machine::{Hash, PairHasher, keccak256};

/// How many pairs are hashed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// One: any processor.
    One,
    /// Four: AVX2.
    Four,
    /// Eight: AVX-512.
    Eight,
}

impl Lanes {
    /// The widest that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return Lanes::Eight;
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                return Lanes::Four;
            }
        }
        Lanes::One
    }
}

impl PairHasher for Lanes {
    fn hash_pairs(&self, pairs: &[[u8; 64]], hashes: &mut [Hash]) {
        #[cfg(target_arch = "x86_64")]
        {
            match self {
                // SAFETY: `detect` found AVX-512.
                Lanes::Eight => return unsafe { x86::hash_eight(pairs, hashes) },
                // SAFETY: `detect` found AVX2.
                Lanes::Four => return unsafe { x86::hash_four(pairs, hashes) },
                Lanes::One => {}
            }
        }
        for (pair, hash) in pairs.iter().zip(hashes) {
            *hash = keccak256(pair);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_andnot_si256, _mm256_or_si256, _mm256_set1_epi64x, _mm256_setr_epi64x,
        _mm256_storeu_si256, _mm256_xor_si256, _mm512_rolv_epi64, _mm512_set1_epi64, _mm512_setr_epi64,
        _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_xor_si512,
    };

    use surety_machine::Hash;

    /// Constants of the step ι.
    const ROUNDS: [u64; 24] = [
        0x0000_0000_0000_0001,
        0x0000_0000_0000_8082,
        0x8000_0000_0000_808a,
        0x8000_0000_8000_8000,
        0x0000_0000_0000_808b,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8009,
        0x0000_0000_0000_008a,
        0x0000_0000_0000_0088,
        0x0000_0000_8000_8009,
        0x0000_0000_8000_000a,
        0x0000_0000_8000_808b,
        0x8000_0000_0000_008b,
        0x8000_0000_0000_8089,
        0x8000_0000_0000_8003,
        0x8000_0000_0000_8002,
        0x8000_0000_0000_0080,
        0x0000_0000_0000_800a,
        0x8000_0000_8000_000a,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8080,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8008,
    ];

    /// The steps ρ and π: lane `FROM[i]`, turned by `TURN[i]`, becomes lane `TO[i]`.
    const STEPS: [(usize, u32); 25] = {
        let mut steps = [(0, 0); 25];
        let (mut x, mut y, mut t) = (1, 0, 0);
        while t < 24 {
            let from = x + 5 * y;
            let to = y + 5 * ((2 * x + 3 * y) % 5);
            steps[to] = (from, ((t + 1) * (t + 2) / 2 % 64) as u32);
            (x, y) = (y, (2 * x + 3 * y) % 5);
            t += 1;
        }
        steps
    };

    macro_rules! permutation {
        ($name:ident, $feature:literal, $vector:ty, $set:path, $xor:path, $xor3:expr, $chi:expr, $turn:expr) => {
            #[target_feature(enable = $feature)]
            #[inline]
            fn $name(state: &mut [$vector; 25]) {
                for constant in ROUNDS {
                    let mut columns = [state[0]; 5];
                    for x in 0..5 {
                        columns[x] = $xor3(
                            $xor3(state[x], state[x + 5], state[x + 10]),
                            state[x + 15],
                            state[x + 20],
                        );
                    }
                    let mut moved = [state[0]; 25];
                    let mut effect = [state[0]; 5];
                    for x in 0..5 {
                        effect[x] = $xor(columns[(x + 4) % 5], $turn(columns[(x + 1) % 5], 1));
                    }
                    for (to, (from, turn)) in STEPS.into_iter().enumerate() {
                        moved[to] = $turn($xor(state[from], effect[from % 5]), turn);
                    }
                    for y in 0..5 {
                        for x in 0..5 {
                            state[5 * y + x] = $chi(
                                moved[5 * y + x],
                                moved[5 * y + (x + 1) % 5],
                                moved[5 * y + (x + 2) % 5],
                            );
                        }
                    }
                    state[0] = $xor(state[0], $set(constant as i64));
                }
            }
        };
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn xor3_eight(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        _mm512_ternarylogic_epi64::<0x96>(a, b, c)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn chi_eight(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        _mm512_ternarylogic_epi64::<0xd2>(a, b, c)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn turn_eight(a: __m512i, by: u32) -> __m512i {
        _mm512_rolv_epi64(a, _mm512_set1_epi64(i64::from(by)))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn xor3_four(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        _mm256_xor_si256(_mm256_xor_si256(a, b), c)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn chi_four(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        _mm256_xor_si256(a, _mm256_andnot_si256(b, c))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn turn_four(a: __m256i, by: u32) -> __m256i {
        use std::arch::x86_64::{_mm256_sllv_epi64, _mm256_srlv_epi64};
        // Shifts by 64 give zero, so that a turn by 0 is right too.
        let (up, down) = (
            _mm256_set1_epi64x(i64::from(by)),
            _mm256_set1_epi64x(64 - i64::from(by)),
        );
        _mm256_or_si256(_mm256_sllv_epi64(a, up), _mm256_srlv_epi64(a, down))
    }

    permutation!(
        permute_eight,
        "avx512f",
        __m512i,
        _mm512_set1_epi64,
        _mm512_xor_si512,
        xor3_eight,
        chi_eight,
        turn_eight
    );
    permutation!(
        permute_four,
        "avx2",
        __m256i,
        _mm256_set1_epi64x,
        _mm256_xor_si256,
        xor3_four,
        chi_four,
        turn_four
    );

    /// Word `i` of a pair.
    fn word(pair: &[u8; 64], i: usize) -> i64 {
        pair.as_chunks::<8>()
            .0
            .get(i)
            .map_or(0, |bytes| i64::from_le_bytes(*bytes))
    }

    /// # Safety
    /// The processor has AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn hash_eight(pairs: &[[u8; 64]], hashes: &mut [Hash]) {
        for (pairs, hashes) in pairs.chunks(8).zip(hashes.chunks_mut(8)) {
            // Where there are fewer, the last is hashed again.
            let lane = |n: usize| &pairs[n.min(pairs.len() - 1)];
            let mut state = [_mm512_set1_epi64(0); 25];
            for (i, words) in state.iter_mut().take(8).enumerate() {
                let w = |n: usize| word(lane(n), i);
                *words = _mm512_setr_epi64(w(0), w(1), w(2), w(3), w(4), w(5), w(6), w(7));
            }
            state[8] = _mm512_set1_epi64(1);
            state[16] = _mm512_set1_epi64(i64::MIN);
            permute_eight(&mut state);
            let mut words = [[0_u64; 8]; 4];
            for (from, to) in state.iter().zip(&mut words) {
                // SAFETY: 64 bytes.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), *from) };
            }
            put(&words, hashes);
        }
    }

    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn hash_four(pairs: &[[u8; 64]], hashes: &mut [Hash]) {
        for (pairs, hashes) in pairs.chunks(4).zip(hashes.chunks_mut(4)) {
            let lane = |n: usize| &pairs[n.min(pairs.len() - 1)];
            let mut state = [_mm256_set1_epi64x(0); 25];
            for (i, words) in state.iter_mut().take(8).enumerate() {
                let w = |n: usize| word(lane(n), i);
                *words = _mm256_setr_epi64x(w(0), w(1), w(2), w(3));
            }
            state[8] = _mm256_set1_epi64x(1);
            state[16] = _mm256_set1_epi64x(i64::MIN);
            permute_four(&mut state);
            let mut words = [[0_u64; 4]; 4];
            for (from, to) in state.iter().zip(&mut words) {
                // SAFETY: 32 bytes.
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), *from) };
            }
            put(&words, hashes);
        }
    }

    /// Word `i` of hash `n` is `words[i][n]`.
    fn put<const N: usize>(words: &[[u64; N]; 4], hashes: &mut [Hash]) {
        for (n, hash) in hashes.iter_mut().enumerate() {
            for (bytes, lanes) in hash.as_chunks_mut::<8>().0.iter_mut().zip(words) {
                *bytes = lanes[n].to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_every_width_hashes_alike() {
        let detected = Lanes::detect();
        let pairs: Vec<[u8; 64]> = (0..37_u8)
            .map(|n| std::array::from_fn(|i| n.wrapping_mul(31) ^ (i as u8).wrapping_mul(7)))
            .collect();
        let expected: Vec<Hash> = pairs.iter().map(|pair| keccak256(pair)).collect();
        for lanes in [Lanes::One, Lanes::Four, Lanes::Eight] {
            if lanes == Lanes::Eight && detected != Lanes::Eight || lanes == Lanes::Four && detected == Lanes::One {
                continue;
            }
            for count in 0..pairs.len() {
                let mut hashes = vec![[0; 32]; count];
                lanes.hash_pairs(&pairs[..count], &mut hashes);
                assert_eq!(hashes, expected[..count], "{lanes:?}, {count}");
            }
        }
    }
}
