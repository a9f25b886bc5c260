/* `memcmp` of two buffers that differ in their last byte, by turns one way and the other. */
#include "../bench.h"

static uint8_t buffers[2][LENGTH] __attribute__((aligned(8)));

/* Not known when this is compiled, so that a call is made. */
static volatile size_t length = LENGTH;

uint32_t run(void) {
    uint32_t state = 3, sum = 0;
    for (size_t i = 0; i < LENGTH; i++) buffers[0][i] = buffers[1][i] = (uint8_t)next_random(&state);
    for (uint32_t call = 0; call < CALLS; call++) {
        buffers[call & 1][LENGTH - 1]++;
        sum = mix_in(sum, memcmp(buffers[0], buffers[1], length) > 0);
    }
    return sum;
}
