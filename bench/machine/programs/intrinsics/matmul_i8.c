/* Products of matrices of signed bytes, as a layer of a neural network does: one number of a changes before each. */
#include "../bench.h"
#include "surety_fast.h"

static int8_t a[ROWS * LENGTH], b[COLUMNS * LENGTH];
static int32_t c[ROWS * COLUMNS];

uint32_t run(void) {
    uint32_t state = 7, sum = 0;
    for (size_t i = 0; i < sizeof a; i++) a[i] = (int8_t)next_random(&state);
    for (size_t i = 0; i < sizeof b; i++) b[i] = (int8_t)next_random(&state);
    for (uint32_t call = 0; call < CALLS; call++) {
        surety_matmul_i8(c, a, b, ROWS, COLUMNS, LENGTH);
        sum = mix_in(sum, (uint32_t)c[call % (ROWS * COLUMNS)]);
        a[call % sizeof a] ^= (int8_t)sum;
    }
    return sum;
}
