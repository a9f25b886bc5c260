/* What surety_fast.h declares, but for the routines themselves, which are in asm/. */

#include "surety_fast.h"

#include "surety.h"

enum { RATE = 136, BLOCK = 64, LANES = RATE / 8 };

static void absorb(uint64_t state[25], const uint8_t block[RATE]) {
    uint64_t lane;
    if ((uintptr_t)block % 4 == 0) {
        /* Two loads, where a call takes some twenty steps. */
        const uint8_t *words = __builtin_assume_aligned(block, 4);
        for (size_t i = 0; i < LANES; i++) {
            __builtin_memcpy(&lane, words + 8 * i, sizeof lane);
            state[i] ^= lane;
        }
    } else {
        for (size_t i = 0; i < LANES; i++) {
            memcpy(&lane, block + 8 * i, sizeof lane);
            state[i] ^= lane;
        }
    }
    surety_keccak_f(state);
}

void surety_keccak256(uint8_t hash[32], const void *data, size_t length) {
    uint64_t state[25] = {0};
    const uint8_t *from = data;
    for (; length >= RATE; length -= RATE, from += RATE) absorb(state, from);
    SURETY_ALIGNED uint8_t last[RATE] = {0};
    memcpy(last, from, length);
    last[length] = 1;
    last[RATE - 1] |= 0x80;
    absorb(state, last);
    memcpy(hash, state, 32);
}

void surety_sha256(uint8_t hash[32], const void *data, size_t length) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint8_t *from = data;
    size_t whole = length / BLOCK;
    surety_sha256_blocks(state, from, whole);
    /* The rest, a bit, zeros, and the length in bits: one block, or two. */
    size_t rest = length % BLOCK;
    uint8_t last[2 * BLOCK] = {0};
    memcpy(last, from + whole * BLOCK, rest);
    last[rest] = 0x80;
    size_t count = rest < BLOCK - 8 ? 1 : 2;
    uint64_t bits = (uint64_t)length * 8;
    for (size_t i = 0; i < 8; i++) last[count * BLOCK - 1 - i] = (uint8_t)(bits >> 8 * i);
    surety_sha256_blocks(state, last, count);
    for (size_t i = 0; i < 32; i++) hash[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}
