/* Product of matrices of 32-bit integers, row by column. */
#include "bench.h"

enum { N = 160, ROUNDS = SIZE(45, 1) };
static uint32_t a[N][N], b[N][N], c[N][N];

uint32_t run(void) {
    uint32_t state = 1, sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = next_random(&state), b[i][j] = next_random(&state);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                uint32_t x = 0;
                for (int k = 0; k < N; k++) x += a[i][k] * b[k][j];
                c[i][j] = x;
            }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) a[i][j] ^= c[j][i];
    }
    for (int i = 0; i < N; i++) sum = mix_in(sum, c[i][i]);
    return sum;
}
