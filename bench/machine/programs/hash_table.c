/* A hash table with open addressing: words counted, looked up and taken out. */
#include "bench.h"

enum { SLOTS = 1 << 16, ROUNDS = SIZE(400, 6), KEYS = 40000 };
struct entry {
    uint32_t key, count;
};
static struct entry table[SLOTS];

static uint32_t hash(uint32_t key) {
    key = (key ^ key >> 16) * 0x7feb352d;
    key = (key ^ key >> 15) * 0x846ca68b;
    return key ^ key >> 16;
}

static struct entry *find(uint32_t key) {
    uint32_t slot = hash(key) % SLOTS;
    while (table[slot].key != 0 && table[slot].key != key) slot = (slot + 1) % SLOTS;
    return &table[slot];
}

static void take_out(uint32_t key) {
    struct entry *entry = find(key);
    if (entry->key == 0) return;
    uint32_t hole = (uint32_t)(entry - table), at = hole;
    for (;;) {
        at = (at + 1) % SLOTS;
        if (table[at].key == 0) break;
        uint32_t home = hash(table[at].key) % SLOTS;
        if ((at - home) % SLOTS >= (at - hole) % SLOTS) table[hole] = table[at], hole = at;
    }
    table[hole] = (struct entry){0, 0};
}

uint32_t run(void) {
    uint32_t state = 17, sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 20000; i++) {
            uint32_t key = next_random(&state) % KEYS + 1;
            struct entry *entry = find(key);
            entry->key = key;
            entry->count++;
        }
        for (int i = 0; i < 20000; i++) sum += find(next_random(&state) % KEYS + 1)->count;
        for (int i = 0; i < 5000; i++) take_out(next_random(&state) % KEYS + 1);
        sum = mix_in(sum, (uint32_t)round);
    }
    return sum;
}
