/* Multiplication modulo 2^256 - 2^32 - 977 (the field of secp256k1), eight words of 32 bits: products, then folding. */
#include "bench.h"

enum { ROUNDS = SIZE(1000000, 20000) };

static void multiply(uint32_t r[8], const uint32_t a[8], const uint32_t b[8]) {
    uint32_t t[16] = {0};
    for (int i = 0; i < 8; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < 8; j++) {
            carry += (uint64_t)a[i] * b[j] + t[i + j];
            t[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        t[i + 8] = (uint32_t)carry;
    }
    /* 2^256 = 2^32 + 977: the upper half comes back in multiplied by that. */
    uint64_t carry = 0;
    uint32_t previous = 0;
    for (int i = 0; i < 8; i++) {
        carry += (uint64_t)t[i] + (uint64_t)t[i + 8] * 977 + previous;
        previous = t[i + 8];
        r[i] = (uint32_t)carry;
        carry >>= 32;
    }
    uint64_t over = carry + previous;
    while (over != 0) {
        uint32_t low = (uint32_t)over, high = (uint32_t)(over >> 32);
        carry = (uint64_t)low * 977 + r[0];
        r[0] = (uint32_t)carry;
        carry = (carry >> 32) + (uint64_t)high * 977 + low + r[1];
        r[1] = (uint32_t)carry;
        carry = (carry >> 32) + high + r[2];
        r[2] = (uint32_t)carry;
        carry >>= 32;
        for (int i = 3; i < 8; i++) {
            carry += r[i];
            r[i] = (uint32_t)carry;
            carry >>= 32;
        }
        over = carry;
    }
}

uint32_t run(void) {
    uint32_t a[8], b[8], state = 41, sum = 0;
    for (int i = 0; i < 8; i++) a[i] = next_random(&state), b[i] = next_random(&state);
    for (int round = 0; round < ROUNDS; round++) {
        multiply(a, a, b);
        multiply(b, b, b);
    }
    for (int i = 0; i < 8; i++) sum = mix_in(mix_in(sum, a[i]), b[i]);
    return sum;
}
