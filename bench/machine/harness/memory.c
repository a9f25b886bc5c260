/* What compilers ask for, where no library brings it. */
#include "../programs/bench.h"

#ifdef __wasm__
/* Single instructions. */
void *memcpy(void *restrict to, const void *restrict from, size_t length) { return __builtin_memcpy(to, from, length); }
void *memset(void *to, int byte, size_t length) { return __builtin_memset(to, byte, length); }
void *memmove(void *to, const void *from, size_t length) { return __builtin_memmove(to, from, length); }
#else
/* As crates/surety-guest/c/surety.c. */
void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if ((((uint32_t)d ^ (uint32_t)s) & 3) == 0) {
        for (; length > 0 && ((uint32_t)d & 3) != 0; length--) *d++ = *s++;
        for (; length >= 4; length -= 4, d += 4, s += 4) *(uint32_t *)d = *(const uint32_t *)s;
    }
    for (; length > 0; length--) *d++ = *s++;
    return to;
}

void *memmove(void *to, const void *from, size_t length) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if ((uint32_t)d - (uint32_t)s >= length) return memcpy(to, from, length);
    while (length-- > 0) d[length] = s[length];
    return to;
}

void *memset(void *to, int byte, size_t length) {
    uint8_t *d = to;
    for (; length > 0 && ((uint32_t)d & 3) != 0; length--) *d++ = (uint8_t)byte;
    uint32_t word = (uint8_t)byte * 0x01010101u;
    for (; length >= 4; length -= 4, d += 4) *(uint32_t *)d = word;
    for (; length > 0; length--) *d++ = (uint8_t)byte;
    return to;
}
#endif

int memcmp(const void *a, const void *b, size_t length) {
    const uint8_t *p = a, *q = b;
    for (; length > 0; length--, p++, q++)
        if (*p != *q) return *p < *q ? -1 : 1;
    return 0;
}
