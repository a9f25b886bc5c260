/* `memset` of a buffer, each time with another byte. */
#include "../bench.h"

static uint8_t buffer[LENGTH] __attribute__((aligned(8)));

/* Not known when this is compiled, so that a call is made. */
static volatile size_t length = LENGTH;

uint32_t run(void) {
    uint32_t sum = 0;
    for (uint32_t call = 0; call < CALLS; call++) {
        memset(buffer, (uint8_t)(call ^ sum), length);
        sum = mix_in(sum, buffer[(call * 31) % LENGTH]);
    }
    return sum;
}
