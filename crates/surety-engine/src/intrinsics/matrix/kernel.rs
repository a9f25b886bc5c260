//! Sums of products of int8 numbers, modulo 2^32, with what the host's processor has for them.
//!
//! A matrix product goes by blocks of four rows of both: each number loaded is used four times.

/// A little-endian word of the result.
pub(super) type Word = [u8; 4];

/// Sums the products of one row with another of its length, in the best way this processor has.
pub(super) fn dot(a: &[u8], b: &[u8]) -> u32 {
    let kernel = best();
    let [[sum]] = kernel.block(a, b, a.len().min(b.len()), &kernel.sums::<1>(b, b.len()));
    sum
}

/// `out` = `a` times the transpose of `b`, whose rows have `k` numbers; `b` has `n` rows.
pub(super) fn product(out: &mut [Word], a: &[u8], b: &[u8], n: usize, k: usize) {
    if n == 0 {
        return;
    }
    if k == 0 {
        out.fill([0; 4]);
        return;
    }
    let kernel = best();
    // Four rows of b stay in the first cache while all of a passes.
    for (block, rows) in b.chunks(4 * k).enumerate() {
        let column = 4 * block;
        if rows.len() == 4 * k {
            columns::<4>(kernel, out, a, rows, column, n, k);
        } else {
            for (index, row) in rows.chunks_exact(k).enumerate() {
                columns::<1>(kernel, out, a, row, column + index, n, k);
            }
        }
    }
}

/// The columns of the result that belong to the `C` rows of b.
fn columns<const C: usize>(kernel: Kernel, out: &mut [Word], a: &[u8], b: &[u8], column: usize, n: usize, k: usize) {
    let sums = kernel.sums::<C>(b, k);
    for (a, out) in a.chunks(4 * k).zip(out.chunks_mut(4 * n)) {
        if a.len() == 4 * k {
            store::<4, C>(out, &kernel.block(a, b, k, &sums), column, n);
        } else {
            for (a, out) in a.chunks_exact(k).zip(out.chunks_mut(n)) {
                store::<1, C>(out, &kernel.block(a, b, k, &sums), column, n);
            }
        }
    }
}

fn store<const R: usize, const C: usize>(out: &mut [Word], sums: &[[u32; C]; R], column: usize, n: usize) {
    for (row, sums) in out.chunks_mut(n).zip(sums) {
        if let Some(words) = row.get_mut(column..column + C) {
            for (word, sum) in words.iter_mut().zip(sums) {
                *word = sum.to_le_bytes();
            }
        }
    }
}

/// What is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

#[cfg(target_arch = "x86_64")]
fn best() -> Kernel {
    if is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512f")
    {
        Kernel::Vnni
    } else if is_x86_feature_detected!("avx2") {
        Kernel::Avx2
    } else {
        Kernel::Plain
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best() -> Kernel {
    Kernel::Plain
}

impl Kernel {
    /// The sum of each row of b, for the kernel that wants it; others have zeros. [`Kernel::block`] is given them.
    fn sums<const C: usize>(self, b: &[u8], k: usize) -> [u32; C] {
        #[cfg(target_arch = "x86_64")]
        if self == Kernel::Vnni {
            let mut sums = [0; C];
            for (sum, row) in sums.iter_mut().zip(b.chunks(k.max(1))) {
                // SAFETY: this kernel is only made where the processor has what it needs.
                #[allow(unsafe_code, reason = "a function for processors that have more")]
                {
                    *sum = unsafe { x86::vnni_sum(row) };
                }
            }
            return sums;
        }
        let _ = (b, k);
        [0; C]
    }

    /// The products of `R` rows of a with `C` rows of b, each of `k` numbers and right behind the one before.
    fn block<const R: usize, const C: usize>(self, a: &[u8], b: &[u8], k: usize, sums: &[u32; C]) -> [[u32; C]; R] {
        assert!(a.len() / R >= k && b.len() / C >= k, "a block is shorter than its rows");
        match self {
            Kernel::Plain => {
                let _ = sums;
                let mut results = [[0; C]; R];
                for (r, row) in results.iter_mut().enumerate() {
                    for (c, result) in row.iter_mut().enumerate() {
                        *result = plain(&a[r * k..][..k], &b[c * k..][..k]);
                    }
                }
                results
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this kernel is only made where the processor has what it needs; the rows are there.
            #[allow(unsafe_code, reason = "a function for processors that have more")]
            Kernel::Avx2 => unsafe { x86::avx2(a, b, k) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            #[allow(unsafe_code, reason = "a function for processors that have more")]
            Kernel::Vnni => unsafe { x86::vnni(a, b, k, sums) },
        }
    }
}

fn plain(a: &[u8], b: &[u8]) -> u32 {
    let product = |(a, b): (&u8, &u8)| i32::from(a.cast_signed()) * i32::from(b.cast_signed());
    a.iter()
        .zip(b)
        .map(product)
        .fold(0, |sum, product| sum.wrapping_add(product.cast_unsigned()))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(unsafe_code, reason = "vectors are loaded through pointers")]
    #![allow(
        clippy::needless_range_loop,
        reason = "rows and columns of a block are numbers, of several arrays"
    )]

    use core::arch::x86_64::{
        __m256i, __m512i, __mmask64, _mm_add_epi32, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_madd_epi16,
        _mm256_setzero_si256, _mm256_storeu_si256, _mm512_add_epi32, _mm512_castsi512_si256, _mm512_dpbusd_epi32,
        _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_maskz_loadu_epi8, _mm512_reduce_add_epi32,
        _mm512_set1_epi8, _mm512_setzero_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
        _mm512_unpacklo_epi64, _mm512_xor_si512,
    };

    use super::plain;

    /// The sum of a row's numbers.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn vnni_sum(row: &[u8]) -> u32 {
        let ones = _mm512_set1_epi8(1);
        let (parts, rest) = row.as_chunks::<64>();
        // SAFETY: as many bytes as the mask names.
        let last = unsafe { _mm512_maskz_loadu_epi8(mask(rest.len()), rest.as_ptr().cast()) };
        let mut sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, last);
        for part in parts {
            // SAFETY: 64 bytes.
            sum = _mm512_dpbusd_epi32(sum, ones, unsafe { _mm512_loadu_si512(part.as_ptr().cast()) });
        }
        _mm512_reduce_add_epi32(sum).cast_unsigned()
    }

    /// The first `length` lanes, of 64.
    fn mask(length: usize) -> __mmask64 {
        (1 << length) - 1
    }

    /// The instruction takes one factor unsigned: each number of a is given 128 too large, and 128 times the sum of b's
    /// row is taken off at the end. Everything wraps modulo 2^32, so that is exact.
    ///
    /// # Safety
    /// `a` has `R` times `k` bytes, `b` has `C` times `k`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn vnni<const R: usize, const C: usize>(
        a: &[u8],
        b: &[u8],
        k: usize,
        sums: &[u32; C],
    ) -> [[u32; C]; R] {
        let (a, b) = (a.as_ptr(), b.as_ptr());
        let bias = _mm512_set1_epi8(-128);
        let mut totals = [[_mm512_setzero_si512(); C]; R];
        let whole = k / 64 * 64;
        for at in (0..whole).step_by(64) {
            let mut columns = [bias; C];
            for c in 0..C {
                // SAFETY: 64 bytes within row c.
                columns[c] = unsafe { _mm512_loadu_si512(b.add(c * k + at).cast()) };
            }
            for r in 0..R {
                // SAFETY: 64 bytes within row r.
                let row = _mm512_xor_si512(unsafe { _mm512_loadu_si512(a.add(r * k + at).cast()) }, bias);
                for c in 0..C {
                    totals[r][c] = _mm512_dpbusd_epi32(totals[r][c], row, columns[c]);
                }
            }
        }
        if whole != k {
            let mask = mask(k - whole);
            let mut columns = [bias; C];
            for c in 0..C {
                // SAFETY: the rest of row c. What the mask leaves out is not touched, and counts as zero.
                columns[c] = unsafe { _mm512_maskz_loadu_epi8(mask, b.add(c * k + whole).cast()) };
            }
            for r in 0..R {
                // SAFETY: the rest of row r.
                let row = unsafe { _mm512_maskz_loadu_epi8(mask, a.add(r * k + whole).cast()) };
                let row = _mm512_xor_si512(row, bias);
                for c in 0..C {
                    totals[r][c] = _mm512_dpbusd_epi32(totals[r][c], row, columns[c]);
                }
            }
        }
        let mut results = [[0; C]; R];
        for r in 0..R {
            let row = add_lanes(&totals[r]);
            for c in 0..C {
                results[r][c] = row[c].wrapping_sub(sums[c].wrapping_mul(128));
            }
        }
        results
    }

    /// The sum of the lanes of each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn add_lanes<const C: usize>(totals: &[__m512i; C]) -> [u32; C] {
        let mut sums = [0; C];
        if let (&[a, b, c, d], Some(four)) = (&totals[..], sums.first_chunk_mut::<4>()) {
            // Pairs of lanes of each two, then of all four; then the four quarters.
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            let all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
            let quarter = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
            // SAFETY: 16 bytes, anywhere.
            unsafe { _mm_storeu_si128(four.as_mut_ptr().cast(), quarter) };
        } else {
            for (sum, total) in sums.iter_mut().zip(totals) {
                *sum = _mm512_reduce_add_epi32(*total).cast_unsigned();
            }
        }
        sums
    }

    /// 16 numbers, as 16-bit ones.
    ///
    /// # Safety
    /// There are 16 bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn widen(from: *const u8) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) }
    }

    /// # Safety
    /// `a` has `R` times `k` bytes, `b` has `C` times `k`.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2<const R: usize, const C: usize>(a: &[u8], b: &[u8], k: usize) -> [[u32; C]; R] {
        let whole = k / 16 * 16;
        let mut totals = [[_mm256_setzero_si256(); C]; R];
        for at in (0..whole).step_by(16) {
            let mut columns = [_mm256_setzero_si256(); C];
            for c in 0..C {
                // SAFETY: 16 bytes within row c.
                columns[c] = unsafe { widen(b.as_ptr().add(c * k + at)) };
            }
            for r in 0..R {
                // SAFETY: 16 bytes within row r.
                let row = unsafe { widen(a.as_ptr().add(r * k + at)) };
                for c in 0..C {
                    // Two products of at most 2^14 fit.
                    totals[r][c] = _mm256_add_epi32(totals[r][c], _mm256_madd_epi16(row, columns[c]));
                }
            }
        }
        let mut results = [[0; C]; R];
        for r in 0..R {
            for c in 0..C {
                let mut lanes = [0u32; 8];
                // SAFETY: 32 bytes, anywhere.
                unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), totals[r][c]) };
                let rest = plain(&a[r * k + whole..(r + 1) * k], &b[c * k + whole..(c + 1) * k]);
                results[r][c] = lanes.iter().fold(rest, |sum, lane| sum.wrapping_add(*lane));
            }
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use super::{Kernel, best, plain};

    /// Every kernel of this processor against plain arithmetic, for every length around their steps.
    #[test]
    fn kernels_agree() {
        let mut kernels = vec![Kernel::Plain, best()];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            kernels.push(Kernel::Avx2);
        }
        let byte = |i: usize| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8;
        let (mut a, mut b): (Vec<u8>, Vec<u8>) = (0..4 * 300).map(|i| (byte(i), byte(i + 5_000))).unzip();
        for (a, b) in a.iter_mut().zip(&mut b).step_by(3) {
            (*a, *b) = (0x80, 0x80);
        }
        for k in 0..300 {
            let (a, b) = (&a[..4 * k], &b[..4 * k]);
            let row = |i: usize| i * k..(i + 1) * k;
            let expected = [0, 1, 2, 3].map(|r| [0, 1, 2, 3].map(|c| plain(&a[row(r)], &b[row(c)])));
            for kernel in &kernels {
                let found: [[u32; 4]; 4] = kernel.block(a, b, k, &kernel.sums(b, k));
                assert_eq!(found, expected, "{kernel:?}, {k}");
                let one: [[u32; 1]; 1] = kernel.block(&a[row(1)], &b[row(0)], k, &kernel.sums(&b[row(0)], k));
                assert_eq!(one, [[expected[1][0]]], "{kernel:?}, {k}");
            }
        }
        assert_eq!(plain(&[0x80; 4], &[0x80; 4]), 4 << 14);
    }
}
