/* The sieve of Eratosthenes over bytes. */
#include "bench.h"

enum { LIMIT = 2000000, ROUNDS = SIZE(40, 1) };
static uint8_t composite[LIMIT];

uint32_t run(void) {
    uint32_t sum = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        memset(composite, 0, sizeof composite);
        uint32_t count = 0;
        for (uint32_t i = 2; i < LIMIT - round; i++) {
            if (composite[i]) continue;
            count++;
            for (uint32_t j = 2 * i; j < LIMIT; j += i) composite[j] = 1;
        }
        sum = mix_in(sum, count);
    }
    return sum;
}
