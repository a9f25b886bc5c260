/* `memcpy` between two buffers, there and back: a byte changes before each. */
#include "../bench.h"

static uint8_t buffers[2][LENGTH] __attribute__((aligned(8)));

/* Not known when this is compiled, so that a call is made. */
static volatile size_t length = LENGTH;

uint32_t run(void) {
    uint32_t state = 3, sum = 0;
    for (size_t i = 0; i < LENGTH; i++) buffers[0][i] = (uint8_t)next_random(&state);
    for (uint32_t call = 0; call < CALLS; call++) {
        uint8_t *from = buffers[call & 1], *to = buffers[~call & 1];
        from[call % LENGTH] ^= (uint8_t)sum;
        memcpy(to, from, length);
        sum = mix_in(sum, to[(call * 31) % LENGTH]);
    }
    return sum;
}
