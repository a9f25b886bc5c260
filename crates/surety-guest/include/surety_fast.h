/* Routines that engines know: a program that spends its time here runs at the speed of the host's own code.
 *
 * Each is plain RV32IM code (asm/), which any engine, and a dispute, executes step by step. The fast engine knows it by the
 * hash of its machine code and does the same with the host's; the steps are those of the code, given with each.
 *
 * Link what is used of asm/ and c/surety_fast.c; the linker drops the rest:
 *
 *   keccak_f.S sha256_blocks.S dot_i8.S matmul_i8.S montgomery_256.S   what this header declares
 *   memcpy.S memset.S memcmp.S   instead of those of c/surety.c, which then wants -DSURETY_FAST_MEMORY
 *   float.S                      what the compiler calls for `float`, instead of libgcc's; and surety_sqrt_f32 */
#ifndef SURETY_FAST_H
#define SURETY_FAST_H

#include <stddef.h>
#include <stdint.h>

/* Keccak-f[1600]: lane x + 5y is at index x + 5y. 13,418 steps. */
void surety_keccak_f(uint64_t state[25]);

/* Keccak-256, as Ethereum uses it. */
void surety_keccak256(uint8_t hash[32], const void *data, size_t length);

/* The compression function of SHA-256 on `count` blocks of 64 bytes, which lie anywhere. 350 steps, and 3,900 a block. */
void surety_sha256_blocks(uint32_t state[8], const uint8_t *blocks, size_t count);

/* SHA-256. */
void surety_sha256(uint8_t hash[32], const void *data, size_t length);

/* The sum of the products of two vectors, modulo 2^32. 12 steps, and 4.5 for each product. */
int32_t surety_dot_i8(const int8_t *a, const int8_t *b, size_t length);

/* out = a times the transpose of b, modulo 2^32: a has m rows of k numbers, b has n rows of k, out has m rows of n; all
 * without gaps. `out` overlaps neither. 3.7 steps for each product, and 22 for each four results. */
void surety_matmul_i8(int32_t *out, const int8_t *a, const int8_t *b, size_t m, size_t n, size_t k);

/* The Montgomery product: a b / 2^256 modulo an odd m. Eight words each, the lowest first; `out` may be a or b, but does not
 * overlap m. Below m if a or b is; else a number below 2^256 that is the same modulo m. 1,424 steps. */
void surety_montgomery_256(uint32_t out[8], const uint32_t a[8], const uint32_t b[8], const uint32_t m[8]);

/* The square root, rounded as IEEE 754 says. 486 steps. */
float surety_sqrt_f32(float a);

#endif
