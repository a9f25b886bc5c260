/* A mix of small kernels: a sieve (bytes), a matrix product (loads, multiplies), a sort (branches, stores), an xorshift
 * with a hash table (shifts, scattered memory). */
#include "bench.h"

typedef uint32_t u32;
typedef uint8_t u8;

enum { ROUNDS = SIZE(50, 1) };
#define N 200000u
static u8 composite[N];
static u32 a[64][64], b[64][64], c[64][64];
static u32 keys[20000];
static u32 table[1 << 16];

static u32 state = 2463534242u;

static u32 next(void) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static u32 sieve(void) {
    u32 count = 0;
    for (u32 i = 0; i < N; i++) composite[i] = 0;
    for (u32 i = 2; i < N; i++) {
        if (composite[i]) continue;
        count++;
        for (u32 j = 2 * i; j < N; j += i) composite[j] = 1;
    }
    return count;
}

static u32 matrix(void) {
    u32 sum = 0;
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 64; j++) a[i][j] = next(), b[i][j] = next();
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 64; j++) {
            u32 x = 0;
            for (int k = 0; k < 64; k++) x += a[i][k] * b[k][j];
            c[i][j] = x;
            sum ^= x;
        }
    return sum;
}

static void sift(u32 root, u32 end) {
    for (;;) {
        u32 child = 2 * root + 1;
        if (child >= end) return;
        if (child + 1 < end && keys[child] < keys[child + 1]) child++;
        if (keys[root] >= keys[child]) return;
        u32 t = keys[root];
        keys[root] = keys[child];
        keys[child] = t;
        root = child;
    }
}

static u32 sort(void) {
    u32 n = sizeof keys / sizeof *keys;
    for (u32 i = 0; i < n; i++) keys[i] = next();
    for (u32 i = n / 2; i-- > 0;) sift(i, n);
    for (u32 end = n - 1; end > 0; end--) {
        u32 t = keys[0];
        keys[0] = keys[end];
        keys[end] = t;
        sift(0, end);
    }
    return keys[n / 2];
}

static u32 scatter(void) {
    u32 sum = 0;
    for (u32 i = 0; i < 300000; i++) {
        u32 x = next();
        table[x & 0xffff] += x >> 7;
        sum += table[(x >> 16) ^ (sum & 0xff)] % ((x & 0xff) | 1);
    }
    return sum;
}

uint32_t run(void) {
    u32 sum = 0;
    for (int round = 0; round < ROUNDS; round++) sum += sieve() + matrix() + sort() + scatter();
    return sum;
}
