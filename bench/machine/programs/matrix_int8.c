/* Product of matrices of signed bytes into 32-bit sums, as a small neural network does: rows by rows. */
#include "bench.h"

enum { N = 192, ROUNDS = SIZE(24, 1) };
static int8_t a[N][N], b[N][N];
static int32_t c[N][N];

uint32_t run(void) {
    uint32_t state = 7, sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = (int8_t)next_random(&state), b[i][j] = (int8_t)(next_random(&state) >> 8);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                int32_t x = 0;
                for (int k = 0; k < N; k++) x += (int32_t)a[i][k] * (int32_t)b[j][k];
                c[i][j] = x;
            }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) a[i][j] = (int8_t)(c[i][j] >> 7);
    }
    for (int i = 0; i < N; i++) sum = mix_in(sum, (uint32_t)c[i][(i * 7) % N]);
    return sum;
}
