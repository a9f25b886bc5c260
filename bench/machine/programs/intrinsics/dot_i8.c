/* Scalar products of vectors of signed bytes: one number changes before each. */
#include "../bench.h"
#include "surety_fast.h"

static int8_t a[LENGTH], b[LENGTH];

uint32_t run(void) {
    uint32_t state = 7, sum = 0;
    for (size_t i = 0; i < LENGTH; i++) a[i] = (int8_t)next_random(&state), b[i] = (int8_t)(next_random(&state) >> 8);
    for (uint32_t call = 0; call < CALLS; call++) {
        sum = mix_in(sum, (uint32_t)surety_dot_i8(a, b, LENGTH));
        a[call % LENGTH] ^= (int8_t)sum;
    }
    return sum;
}
