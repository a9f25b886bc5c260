/* Keccak-256 of a message, again and again: each hash replaces the first 32 bytes of the next message. */
#include "../bench.h"
#include "surety_fast.h"

static uint8_t message[LENGTH] __attribute__((aligned(8)));

uint32_t run(void) {
    uint32_t state = 5, first;
    for (size_t i = 0; i < LENGTH; i++) message[i] = (uint8_t)next_random(&state);
    for (uint32_t call = 0; call < CALLS; call++) {
        uint8_t hash[32];
        surety_keccak256(hash, message, LENGTH);
        memcpy(message, hash, sizeof hash);
    }
    memcpy(&first, message, sizeof first);
    return first;
}
