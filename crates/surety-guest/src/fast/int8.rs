//! Vectors and matrices of 8-bit integers, as quantised neural networks use them.

core::arch::global_asm!(include_str!("../../asm/dot_i8.S"), options(raw));
core::arch::global_asm!(include_str!("../../asm/matmul_i8.S"), options(raw));

unsafe extern "C" {
    fn surety_dot_i8(a: *const i8, b: *const i8, length: usize) -> i32;
    fn surety_matmul_i8(out: *mut i32, a: *const i8, b: *const i8, m: usize, n: usize, k: usize);
}

/// The sum of the products of two vectors, modulo 2^32.
///
/// # Panics
/// If their lengths differ.
#[must_use]
pub fn dot(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len(), "the vectors have different lengths");
    // SAFETY: reads as many bytes of each.
    unsafe { surety_dot_i8(a.as_ptr(), b.as_ptr(), a.len()) }
}

/// `out` = `a` times the transpose of `b`, modulo 2^32: `a` has rows of `k` numbers, `b` has `n` rows of `k`, and `out` as many
/// rows of `n` as `a` has; all without gaps.
///
/// # Panics
/// If a slice is not as long as that.
pub fn matmul(out: &mut [i32], a: &[i8], b: &[i8], n: usize, k: usize) {
    let m = a.len().checked_div(k).or(out.len().checked_div(n)).unwrap_or(0);
    let long = |rows: usize, columns: usize, length: usize| rows.checked_mul(columns) == Some(length);
    assert!(long(m, k, a.len()), "a is not of rows of k numbers");
    assert!(long(n, k, b.len()), "b is not of n rows of k numbers");
    assert!(long(m, n, out.len()), "out has not a row of n numbers for each of a's");
    // SAFETY: reads a and b, writes out, of the lengths just checked.
    unsafe { surety_matmul_i8(out.as_mut_ptr(), a.as_ptr(), b.as_ptr(), m, n, k) }
}
