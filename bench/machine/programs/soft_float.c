/* 32-bit floating point in integers: IEEE 754 addition and multiplication, rounding to nearest even (results below the
 * normal range become zero), in a loop that follows a damped oscillator. What a compiler's library does for a machine
 * without floating point, and so the same work everywhere. */
#include "bench.h"

enum { STEPS = SIZE(4000000, 40000) };

static uint32_t leading_zeros(uint32_t x) {
    uint32_t n = 0;
    if (x >> 16 == 0) n += 16, x <<= 16;
    if (x >> 24 == 0) n += 8, x <<= 8;
    if (x >> 28 == 0) n += 4, x <<= 4;
    if (x >> 30 == 0) n += 2, x <<= 2;
    return n + (x >> 31 == 0);
}

/* From a significand with its leading bit at bit 30: seven bits below the last one kept. */
static uint32_t round_and_pack(uint32_t sign, int32_t exponent, uint32_t significand) {
    uint32_t low = significand & 0x7f;
    significand = (significand + 0x40) >> 7;
    if (low == 0x40) significand &= ~1u;
    if (significand >> 24) significand >>= 1, exponent++;
    if (exponent <= 0) return sign;
    if (exponent >= 255) return sign | 0x7f800000;
    return sign | (uint32_t)exponent << 23 | (significand & 0x7fffff);
}

__attribute__((noinline)) static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t sign = (a ^ b) & 0x80000000;
    int32_t ea = (int32_t)(a >> 23 & 0xff), eb = (int32_t)(b >> 23 & 0xff);
    if (ea == 255 || eb == 255) return sign | 0x7f800000;
    if (ea == 0 || eb == 0) return sign;
    uint64_t product = (uint64_t)((a & 0x7fffff) | 0x800000) * ((b & 0x7fffff) | 0x800000);
    uint32_t significand = (uint32_t)(product >> 16) | ((uint32_t)product << 16 != 0);
    int32_t exponent = ea + eb - 126;
    if (!(significand >> 31)) exponent--;
    else significand = significand >> 1 | (significand & 1);
    return round_and_pack(sign, exponent, significand);
}

__attribute__((noinline)) static uint32_t add(uint32_t a, uint32_t b) {
    if ((a & 0x7fffffff) < (b & 0x7fffffff)) {
        uint32_t t = a;
        a = b, b = t;
    }
    int32_t ea = (int32_t)(a >> 23 & 0xff), eb = (int32_t)(b >> 23 & 0xff);
    if (ea == 255 || eb == 0) return a;
    uint32_t sa = ((a & 0x7fffff) | 0x800000) << 6, sb = ((b & 0x7fffff) | 0x800000) << 6, sign = a & 0x80000000;
    int32_t shift = ea - eb;
    if (shift > 31) sb = 1;
    else if (shift > 0) sb = sb >> shift | (sb << (32 - shift) != 0);
    uint32_t sum = (a ^ b) & 0x80000000 ? sa - sb : sa + sb;
    if (sum == 0) return 0;
    uint32_t zeros = leading_zeros(sum) - 1;
    return round_and_pack(sign, ea + 1 - (int32_t)zeros, sum << zeros);
}

uint32_t run(void) {
    /* x'' = -x - 0.001 x' + 0.25, steps of 1/1024. */
    uint32_t x = 0x3f800000, v = 0, dt = 0x3a800000, damping = 0xba83126f, force = 0x3e800000, sum = 0;
    for (int i = 0; i < STEPS; i++) {
        uint32_t a = add(add(x ^ 0x80000000, multiply(v, damping)), force);
        v = add(v, multiply(a, dt));
        x = add(x, multiply(v, dt));
        if (i % 64 == 0) sum = mix_in(mix_in(sum, x), v);
    }
    return sum;
}
