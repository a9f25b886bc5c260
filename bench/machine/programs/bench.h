/* What every program of the suite includes: it defines `uint32_t run(void)`, which computes and returns a checksum. The
 * program uses nothing of the machine, the operating system or a C library; memcpy, memset and memcmp are there. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

/* The amount of work: the first for measuring (about 10^9 steps), the second for a quick check of all engines; ten times
 * the first for what needs a long run. */
#if defined QUICK
#define SIZE(full, quick) (quick)
#elif defined LONG
#define SIZE(full, quick) (10 * (full))
#else
#define SIZE(full, quick) (full)
#endif

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);

/* Computes, and returns a checksum of the results. Called once in the life of a program. */
uint32_t run(void);

/* Marsaglia's xorshift. */
static inline uint32_t next_random(uint32_t *state) {
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

/* FNV-1a, word by word. */
static inline uint32_t mix_in(uint32_t sum, uint32_t value) { return (sum ^ value) * 16777619u; }

static inline uint32_t rotate_left(uint32_t x, int n) { return x << n | x >> (32 - n); }
static inline uint32_t rotate_right(uint32_t x, int n) { return x >> n | x << (32 - n); }

#endif
