/* ChaCha20 (RFC 8439): a keystream over a buffer. */
#include "bench.h"

enum { BLOCKS = 1024, ROUNDS = SIZE(900, 8) };
static uint32_t data[BLOCKS][16];

#define QUARTER(a, b, c, d)                                                                                            \
    a += b, d = rotate_left(d ^ a, 16), c += d, b = rotate_left(b ^ c, 12), a += b, d = rotate_left(d ^ a, 8), c += d, \
        b = rotate_left(b ^ c, 7)

static void block(const uint32_t in[16], uint32_t out[16]) {
    uint32_t x[16];
    for (int i = 0; i < 16; i++) x[i] = in[i];
    for (int i = 0; i < 10; i++) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
    }
    for (int i = 0; i < 16; i++) out[i] ^= x[i] + in[i];
}

uint32_t run(void) {
    uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, 1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 10, 11}, sum = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < BLOCKS; i++, in[12]++) block(in, data[i]);
    for (int i = 0; i < BLOCKS; i++) sum = mix_in(sum, data[i][i % 16]);
    return sum;
}
