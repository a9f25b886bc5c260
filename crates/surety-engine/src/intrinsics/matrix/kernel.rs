//! Sums of products of int8 numbers, modulo 2^32, with what the host's processor has for them.
//!
//! A matrix product goes by blocks of four rows of both: each number loaded is used four times.

/// A little-endian word of the result.
pub(super) type Word = [u8; 4];

/// Sums the products of one row with another, in the best way this processor has.
pub(super) fn dot(a: &[u8], b: &[u8]) -> u32 {
    let [[sum]] = best().block([a], [b], [None]);
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
        match rows_of::<4>(rows, k) {
            Some(rows) => columns(kernel, out, a, rows, column, n, k),
            None => {
                for (index, row) in rows.chunks_exact(k).enumerate() {
                    columns(kernel, out, a, [row], column + index, n, k);
                }
            }
        }
    }
}

/// The columns of the result that belong to some rows of b.
fn columns<const C: usize>(
    kernel: Kernel,
    out: &mut [Word],
    a: &[u8],
    b: [&[u8]; C],
    column: usize,
    n: usize,
    k: usize,
) {
    let sums = kernel.sums(b);
    for (a, out) in a.chunks(4 * k).zip(out.chunks_mut(4 * n)) {
        match rows_of::<4>(a, k) {
            Some(a) => store(out, &kernel.block(a, b, sums), column, n),
            None => {
                for (a, out) in a.chunks_exact(k).zip(out.chunks_mut(n)) {
                    store(out, &kernel.block([a], b, sums), column, n);
                }
            }
        }
    }
}

fn store<const R: usize, const C: usize>(out: &mut [Word], sums: &[[u32; C]; R], column: usize, n: usize) {
    for (row, sums) in out.chunks_mut(n).zip(sums) {
        for (word, sum) in row.iter_mut().skip(column).zip(sums) {
            *word = sum.to_le_bytes();
        }
    }
}

/// The first `N` rows, if there are so many.
fn rows_of<const N: usize>(rows: &[u8], k: usize) -> Option<[&[u8]; N]> {
    let mut found = [&[][..]; N];
    let mut rows = rows.chunks_exact(k);
    for row in &mut found {
        *row = rows.next()?;
    }
    Some(found)
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
    /// What [`Kernel::block`] wants to know of rows of b that it is given many times.
    fn sums<const C: usize>(self, b: [&[u8]; C]) -> [Option<u32>; C] {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this kernel is only made where the processor has what it needs.
            #[allow(unsafe_code, reason = "a function for processors that have more")]
            Kernel::Vnni => b.map(|row| Some(unsafe { x86::vnni_sum(row) })),
            _ => [None; C],
        }
    }

    /// The products of each row of a with each row of b, all of one length.
    fn block<const R: usize, const C: usize>(
        self,
        a: [&[u8]; R],
        b: [&[u8]; C],
        sums: [Option<u32>; C],
    ) -> [[u32; C]; R] {
        match self {
            Kernel::Plain => a.map(|a| b.map(|b| plain(a, b))),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this kernel is only made where the processor has what it needs.
            #[allow(unsafe_code, reason = "a function for processors that have more")]
            Kernel::Avx2 => unsafe { x86::avx2(a, b) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            #[allow(unsafe_code, reason = "a function for processors that have more")]
            Kernel::Vnni => unsafe {
                let mut all = [0; C];
                for ((sum, known), row) in all.iter_mut().zip(sums).zip(b) {
                    *sum = known.unwrap_or_else(|| x86::vnni_sum(row));
                }
                x86::vnni(a, b, all)
            },
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

    use core::arch::x86_64::{
        __m256i, __m512i, __mmask64, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_madd_epi16,
        _mm256_setzero_si256, _mm256_storeu_si256, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_maskz_loadu_epi8,
        _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_xor_si512,
    };

    use super::plain;

    /// 64 bytes from `at` on; zeros past the end. `at` is not past the end.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn load(row: &[u8], at: usize) -> __m512i {
        let left = row.len() - at;
        // SAFETY: 64 bytes where there are so many, else only those that the mask names.
        unsafe {
            let from = row.as_ptr().add(at);
            if left >= 64 {
                _mm512_loadu_si512(from.cast())
            } else {
                let mask: __mmask64 = (1 << left) - 1;
                _mm512_maskz_loadu_epi8(mask, from.cast())
            }
        }
    }

    /// The sum of a row's numbers.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn vnni_sum(row: &[u8]) -> u32 {
        let ones = _mm512_set1_epi8(1);
        let mut sum = _mm512_setzero_si512();
        for at in (0..row.len()).step_by(64) {
            sum = _mm512_dpbusd_epi32(sum, ones, load(row, at));
        }
        _mm512_reduce_add_epi32(sum).cast_unsigned()
    }

    /// The instruction takes one factor unsigned: each number of a is given 128 too large, and 128 times the sum of b's
    /// row is taken off at the end. Everything wraps modulo 2^32, so that is exact.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn vnni<const R: usize, const C: usize>(a: [&[u8]; R], b: [&[u8]; C], sums: [u32; C]) -> [[u32; C]; R] {
        let length = a.iter().chain(&b).map(|row| row.len()).min().unwrap_or(0);
        let (a, b) = (a.map(|row| &row[..length]), b.map(|row| &row[..length]));
        let bias = _mm512_set1_epi8(-128);
        let mut totals = [[_mm512_setzero_si512(); C]; R];
        let mut add = |at: usize| {
            let mut right = [bias; C];
            for c in 0..C {
                right[c] = load(b[c], at);
            }
            for r in 0..R {
                let left = _mm512_xor_si512(load(a[r], at), bias);
                for c in 0..C {
                    totals[r][c] = _mm512_dpbusd_epi32(totals[r][c], left, right[c]);
                }
            }
        };
        for at in (0..length).step_by(64) {
            add(at);
        }
        let mut results = [[0; C]; R];
        for r in 0..R {
            for c in 0..C {
                let total = _mm512_reduce_add_epi32(totals[r][c]).cast_unsigned();
                results[r][c] = total.wrapping_sub(sums[c].wrapping_mul(128));
            }
        }
        results
    }

    /// 16 numbers, as 16-bit ones.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn widen(row: &[u8; 16]) -> __m256i {
        // SAFETY: 16 bytes, anywhere.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(row.as_ptr().cast())) }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2<const R: usize, const C: usize>(a: [&[u8]; R], b: [&[u8]; C]) -> [[u32; C]; R] {
        let parts = |row: &'_ [u8]| row.len() / 16;
        let length = a.iter().chain(&b).map(|row| parts(row)).min().unwrap_or(0);
        let (left, right) = (
            a.map(|row| &row.as_chunks::<16>().0[..length]),
            b.map(|row| &row.as_chunks::<16>().0[..length]),
        );
        let mut totals = [[_mm256_setzero_si256(); C]; R];
        for at in 0..length {
            let mut wide = [_mm256_setzero_si256(); C];
            for c in 0..C {
                wide[c] = widen(&right[c][at]);
            }
            for r in 0..R {
                let row = widen(&left[r][at]);
                for c in 0..C {
                    // Two products of at most 2^14 fit.
                    totals[r][c] = _mm256_add_epi32(totals[r][c], _mm256_madd_epi16(row, wide[c]));
                }
            }
        }
        let mut results = [[0; C]; R];
        for r in 0..R {
            for c in 0..C {
                let mut lanes = [0u32; 8];
                // SAFETY: 32 bytes, anywhere.
                unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), totals[r][c]) };
                let rest = plain(&a[r][16 * length..], &b[c][16 * length..]);
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
        let mut bytes: Vec<u8> = (0..8 * 300).map(byte).collect();
        bytes[..300].fill(0x80);
        bytes[4 * 300..5 * 300].fill(0x80);
        for length in 0..300 {
            let row = |i: usize| &bytes[300 * i..][..length];
            let (a, b) = ([row(0), row(1), row(2), row(3)], [row(4), row(5), row(6), row(7)]);
            let expected = a.map(|a| b.map(|b| plain(a, b)));
            for kernel in &kernels {
                assert_eq!(kernel.block(a, b, kernel.sums(b)), expected, "{kernel:?}, {length}");
                assert_eq!(
                    kernel.block([a[1]], [b[0]], [None]),
                    [[expected[1][0]]],
                    "{kernel:?}, {length}"
                );
            }
        }
        assert_eq!(plain(&[0x80; 4], &[0x80; 4]), 4 << 14);
    }
}
