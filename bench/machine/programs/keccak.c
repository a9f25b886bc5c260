/* Keccak-f[1600] (FIPS 202) as a sponge of rate 136: what keccak-256 does. 64-bit words, on a 32-bit machine in pairs. */
#include "bench.h"

enum { LENGTH = 136 * 400, ROUNDS = SIZE(120, 2) };
static uint8_t data[LENGTH];

static const uint64_t constants[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b, 0x0000000080000001,
    0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
    0x000000000000800a, 0x800000008000000a, 0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};
static const uint8_t offsets[24] = {1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44};
static const uint8_t lanes[24] = {10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1};

static uint64_t rotate64(uint64_t x, int n) { return x << n | x >> (64 - n); }

static void permute(uint64_t s[25]) {
    for (int round = 0; round < 24; round++) {
        uint64_t c[5];
        for (int x = 0; x < 5; x++) c[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20];
        for (int x = 0; x < 5; x++) {
            uint64_t d = c[(x + 4) % 5] ^ rotate64(c[(x + 1) % 5], 1);
            for (int y = 0; y < 25; y += 5) s[x + y] ^= d;
        }
        uint64_t t = s[1];
        for (int i = 0; i < 24; i++) {
            uint64_t next = s[lanes[i]];
            s[lanes[i]] = rotate64(t, offsets[i]);
            t = next;
        }
        for (int y = 0; y < 25; y += 5) {
            for (int x = 0; x < 5; x++) c[x] = s[x + y];
            for (int x = 0; x < 5; x++) s[x + y] = c[x] ^ (~c[(x + 1) % 5] & c[(x + 2) % 5]);
        }
        s[0] ^= constants[round];
    }
}

uint32_t run(void) {
    uint32_t random = 5;
    uint64_t s[25] = {0};
    for (int i = 0; i < LENGTH; i++) data[i] = (uint8_t)next_random(&random);
    for (int round = 0; round < ROUNDS; round++)
        for (int at = 0; at < LENGTH; at += 136) {
            for (int i = 0; i < 17; i++) {
                uint64_t word;
                memcpy(&word, data + at + 8 * i, 8);
                s[i] ^= word;
            }
            permute(s);
        }
    return (uint32_t)s[0] ^ (uint32_t)(s[24] >> 32);
}
