/* Montgomery products modulo 2^256 - 2^32 - 977 (the field of secp256k1), each of the one before. */
#include "../bench.h"
#include "surety_fast.h"

static const uint32_t modulus[8] = {0xfffffc2f, 0xfffffffe, 0xffffffff, 0xffffffff,
                                    0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};

uint32_t run(void) {
    uint32_t state = 9, a[8], b[8];
    for (int i = 0; i < 8; i++) a[i] = next_random(&state), b[i] = next_random(&state);
    for (uint32_t call = 0; call < CALLS; call++) surety_montgomery_256(a, a, b, modulus);
    return a[0] ^ a[7];
}
