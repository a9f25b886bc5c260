/* Sort: numbers in, the same numbers out in ascending order. In C, with nothing but surety.h. */

#include "surety.h"

SURETY_METHOD("sort(uint256[])");

/* The first four bytes of keccak-256("sort(uint256[])"). */
#define SELECTOR 0x9ec8b026u

enum { WORDS = 8 };

/* A number as eight 32-bit words, the most significant first, so that comparing takes words and not bytes. */
struct number {
    uint32_t words[WORDS];
};

static int less(const struct number *a, const struct number *b) {
    for (size_t i = 0; i < WORDS; i++)
        if (a->words[i] != b->words[i]) return a->words[i] < b->words[i];
    return 0;
}

/* Merge sort from the bottom up, over pointers: n log n at worst, on every input, for the budget is fixed. Returns the one
 * of the two arrays that holds the result. */
static const struct number **merge_sort(const struct number **from, const struct number **to, size_t count) {
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t start = 0; start < count; start += 2 * width) {
            size_t middle = start + width < count ? start + width : count;
            size_t end = start + 2 * width < count ? start + 2 * width : count;
            size_t left = start, right = middle;
            for (size_t i = start; i < end; i++)
                to[i] = left < middle && (right == end || !less(from[right], from[left])) ? from[left++] : from[right++];
        }
        const struct number **swap = from;
        from = to;
        to = swap;
    }
    return from;
}

static uint32_t swap_bytes(uint32_t word) {
    return word << 24 | (word & 0xff00) << 8 | (word >> 8 & 0xff00) | word >> 24;
}

void surety_main(void) {
    struct surety_call call = surety_input();
    if (call.selector != SELECTOR) surety_revert("no method has this selector; there is sort(uint256[])");

    size_t count;
    const uint8_t *elements = surety_tail(&call, 0, 32, &count);
    struct number *numbers = surety_alloc(count * sizeof *numbers);
    const struct number **from = surety_alloc(count * sizeof *from);
    const struct number **to = surety_alloc(count * sizeof *to);
    memcpy(numbers, elements, count * sizeof *numbers);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < WORDS; j++) numbers[i].words[j] = swap_bytes(numbers[i].words[j]);
        from[i] = &numbers[i];
    }

    const struct number **sorted = merge_sort(from, to, count);

    /* Returns (uint256[]): the offset of the array, its length, its elements. */
    uint8_t *output = surety_alloc(64 + 32 * count);
    surety_put_uint32(output, 32);
    surety_put_uint32(output + 32, count);
    uint32_t *words = (uint32_t *)(output + 64);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < WORDS; j++) *words++ = swap_bytes(sorted[i]->words[j]);
    surety_return(output, 64 + 32 * count);
}
