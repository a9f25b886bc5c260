/* Quicksort, recursive, median of three, insertion sort for short parts; then a check by binary searches. */
#include "bench.h"

enum { N = 100000, ROUNDS = SIZE(70, 1) };
static uint32_t keys[N];

static void sort(uint32_t *low, uint32_t *high) {
    while (high - low > 12) {
        uint32_t *middle = low + (high - low) / 2, t;
        if (*middle < *low) t = *middle, *middle = *low, *low = t;
        if (*high < *low) t = *high, *high = *low, *low = t;
        if (*high < *middle) t = *high, *high = *middle, *middle = t;
        uint32_t pivot = *middle, *i = low, *j = high;
        for (;;) {
            do i++;
            while (*i < pivot);
            do j--;
            while (pivot < *j);
            if (i >= j) break;
            t = *i, *i = *j, *j = t;
        }
        if (j - low < high - j) {
            sort(low, j);
            low = j + 1;
        } else {
            sort(j + 1, high);
            high = j;
        }
    }
    for (uint32_t *i = low + 1; i <= high; i++) {
        uint32_t key = *i, *j = i;
        for (; j > low && j[-1] > key; j--) *j = j[-1];
        *j = key;
    }
}

static uint32_t find(uint32_t key) {
    uint32_t low = 0, high = N;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (keys[middle] < key) low = middle + 1;
        else high = middle;
    }
    return low;
}

uint32_t run(void) {
    uint32_t state = 99, sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) keys[i] = next_random(&state);
        sort(keys, keys + N - 1);
        for (int i = 0; i < N / 4; i++) sum = mix_in(sum, find(next_random(&state)));
    }
    return sum;
}
