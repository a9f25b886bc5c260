/* Heap sort of 32-bit keys. */
#include "bench.h"

enum { N = 60000, ROUNDS = SIZE(60, 1) };
static uint32_t keys[N];

static void sift(uint32_t root, uint32_t end) {
    uint32_t key = keys[root];
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= end) break;
        if (child + 1 < end && keys[child] < keys[child + 1]) child++;
        if (key >= keys[child]) break;
        keys[root] = keys[child];
        root = child;
    }
    keys[root] = key;
}

uint32_t run(void) {
    uint32_t state = 4, sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) keys[i] = next_random(&state);
        for (uint32_t i = N / 2; i-- > 0;) sift(i, N);
        for (uint32_t end = N - 1; end > 0; end--) {
            uint32_t t = keys[0];
            keys[0] = keys[end];
            keys[end] = t;
            sift(0, end);
        }
        for (int i = 0; i < N; i += 101) sum = mix_in(sum, keys[i]);
    }
    return sum;
}
