//! keccak-256 of many pairs of tree nodes at once, one in each lane of the host's vector registers.
//!
//! Source: FIPS 202, section 3; the padding is that of the original Keccak submission, which Ethereum uses.

use surety_machine::{Hash, PairHasher, keccak256};

/// What the step ι adds, by round.
#[cfg(target_arch = "x86_64")]
pub(crate) static ROUND_CONSTANTS: [u64; 24] = [
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

/// How many pairs are hashed at once: never more than this processor can, since only [`Lanes::all`] makes these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes(Width);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// Any processor.
    One,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Four,
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Eight,
}

impl Lanes {
    /// One pair, on any processor.
    pub const ONE: Self = Lanes(Width::One);

    /// All widths that this processor has, the widest last.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let all = [
            (Width::One, true),
            #[cfg(target_arch = "x86_64")]
            (Width::Four, std::arch::is_x86_feature_detected!("avx2")),
            #[cfg(target_arch = "x86_64")]
            (Width::Eight, std::arch::is_x86_feature_detected!("avx512f")),
        ];
        all.into_iter()
            .filter_map(|(width, here)| here.then_some(Lanes(width)))
            .collect()
    }

    /// The widest that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        Self::all().pop().unwrap_or(Self::ONE)
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> usize {
        match self.0 {
            Width::One => 1,
            #[cfg(target_arch = "x86_64")]
            Width::Four => 4,
            #[cfg(target_arch = "x86_64")]
            Width::Eight => 8,
        }
    }
}

impl PairHasher for Lanes {
    fn hash_pairs(&self, pairs: &[[u8; 64]], hashes: &mut [Hash]) {
        match self.0 {
            Width::One => {
                for (pair, hash) in pairs.iter().zip(hashes) {
                    *hash = keccak256(pair);
                }
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `all` found AVX2.
            Width::Four => unsafe { x86::hash_four(pairs, hashes) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `all` found AVX-512.
            Width::Eight => unsafe { x86::hash_eight(pairs, hashes) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_andnot_si256, _mm256_or_si256, _mm256_set1_epi64x, _mm256_setr_epi64x,
        _mm256_slli_epi64, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256, _mm512_rol_epi64,
        _mm512_set1_epi64, _mm512_setr_epi64, _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_xor_si512,
    };

    use surety_machine::Hash;

    use super::ROUND_CONSTANTS;

    /// A round: the steps of the standard, spelled out so that the state stays in registers. Lanes are counted
    /// by x + 5 y.
    macro_rules! permutation {
        ($name:ident, $feature:literal, $vector:ty, $set:path, $xor:path, $xor3:path, $chi:path, $turn:ident) => {
            #[target_feature(enable = $feature)]
            #[inline]
            fn $name(s: &mut [$vector; 25]) {
                for constant in ROUND_CONSTANTS {
                    // θ
                    let c0 = $xor3($xor3(s[0], s[5], s[10]), s[15], s[20]);
                    let c1 = $xor3($xor3(s[1], s[6], s[11]), s[16], s[21]);
                    let c2 = $xor3($xor3(s[2], s[7], s[12]), s[17], s[22]);
                    let c3 = $xor3($xor3(s[3], s[8], s[13]), s[18], s[23]);
                    let c4 = $xor3($xor3(s[4], s[9], s[14]), s[19], s[24]);
                    let d0 = $xor(c4, $turn::<1, 63>(c1));
                    let d1 = $xor(c0, $turn::<1, 63>(c2));
                    let d2 = $xor(c1, $turn::<1, 63>(c3));
                    let d3 = $xor(c2, $turn::<1, 63>(c4));
                    let d4 = $xor(c3, $turn::<1, 63>(c0));
                    // ρ and π, then χ and ι
                    let b0 = $xor(s[0], d0);
                    let b1 = $turn::<44, 20>($xor(s[6], d1));
                    let b2 = $turn::<43, 21>($xor(s[12], d2));
                    let b3 = $turn::<21, 43>($xor(s[18], d3));
                    let b4 = $turn::<14, 50>($xor(s[24], d4));
                    let b5 = $turn::<28, 36>($xor(s[3], d3));
                    let b6 = $turn::<20, 44>($xor(s[9], d4));
                    let b7 = $turn::<3, 61>($xor(s[10], d0));
                    let b8 = $turn::<45, 19>($xor(s[16], d1));
                    let b9 = $turn::<61, 3>($xor(s[22], d2));
                    let b10 = $turn::<1, 63>($xor(s[1], d1));
                    let b11 = $turn::<6, 58>($xor(s[7], d2));
                    let b12 = $turn::<25, 39>($xor(s[13], d3));
                    let b13 = $turn::<8, 56>($xor(s[19], d4));
                    let b14 = $turn::<18, 46>($xor(s[20], d0));
                    let b15 = $turn::<27, 37>($xor(s[4], d4));
                    let b16 = $turn::<36, 28>($xor(s[5], d0));
                    let b17 = $turn::<10, 54>($xor(s[11], d1));
                    let b18 = $turn::<15, 49>($xor(s[17], d2));
                    let b19 = $turn::<56, 8>($xor(s[23], d3));
                    let b20 = $turn::<62, 2>($xor(s[2], d2));
                    let b21 = $turn::<55, 9>($xor(s[8], d3));
                    let b22 = $turn::<39, 25>($xor(s[14], d4));
                    let b23 = $turn::<41, 23>($xor(s[15], d0));
                    let b24 = $turn::<2, 62>($xor(s[21], d1));
                    s[0] = $chi(b0, b1, b2);
                    s[1] = $chi(b1, b2, b3);
                    s[2] = $chi(b2, b3, b4);
                    s[3] = $chi(b3, b4, b0);
                    s[4] = $chi(b4, b0, b1);
                    s[5] = $chi(b5, b6, b7);
                    s[6] = $chi(b6, b7, b8);
                    s[7] = $chi(b7, b8, b9);
                    s[8] = $chi(b8, b9, b5);
                    s[9] = $chi(b9, b5, b6);
                    s[10] = $chi(b10, b11, b12);
                    s[11] = $chi(b11, b12, b13);
                    s[12] = $chi(b12, b13, b14);
                    s[13] = $chi(b13, b14, b10);
                    s[14] = $chi(b14, b10, b11);
                    s[15] = $chi(b15, b16, b17);
                    s[16] = $chi(b16, b17, b18);
                    s[17] = $chi(b17, b18, b19);
                    s[18] = $chi(b18, b19, b15);
                    s[19] = $chi(b19, b15, b16);
                    s[20] = $chi(b20, b21, b22);
                    s[21] = $chi(b21, b22, b23);
                    s[22] = $chi(b22, b23, b24);
                    s[23] = $chi(b23, b24, b20);
                    s[24] = $chi(b24, b20, b21);
                    s[0] = $xor(s[0], $set(constant as i64));
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
    fn turn_eight<const UP: i32, const DOWN: i32>(a: __m512i) -> __m512i {
        _mm512_rol_epi64::<UP>(a)
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
    fn turn_four<const UP: i32, const DOWN: i32>(a: __m256i) -> __m256i {
        _mm256_or_si256(_mm256_slli_epi64::<UP>(a), _mm256_srli_epi64::<DOWN>(a))
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
        let pairs: Vec<[u8; 64]> = (0..37_u8)
            .map(|n| std::array::from_fn(|i| n.wrapping_mul(31) ^ (i as u8).wrapping_mul(7)))
            .collect();
        let expected: Vec<Hash> = pairs.iter().map(|pair| keccak256(pair)).collect();
        for lanes in Lanes::all() {
            for count in 0..pairs.len() {
                let mut hashes = vec![[0; 32]; count];
                lanes.hash_pairs(&pairs[..count], &mut hashes);
                assert_eq!(hashes, expected[..count], "{lanes:?}, {count}");
            }
        }
    }
}
