/* Compression in the manner of LZ4: matches found through a hash of four bytes, then decompressed and compared. */
#include "bench.h"

enum { LENGTH = 1 << 18, HASH_BITS = 13, ROUNDS = SIZE(90, 2) };
static uint8_t text[LENGTH], packed[LENGTH + LENGTH / 2], unpacked[LENGTH + 16];
static uint32_t heads[1 << HASH_BITS];

static uint32_t word_at(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint8_t *put_length(uint8_t *out, uint32_t length) {
    for (; length >= 255; length -= 255) *out++ = 255;
    *out++ = (uint8_t)length;
    return out;
}

static uint32_t compress(const uint8_t *in, uint32_t length, uint8_t *out) {
    uint8_t *start = out;
    uint32_t at = 0, literal = 0;
    memset(heads, 0, sizeof heads);
    while (at + 8 < length) {
        uint32_t word = word_at(in + at), slot = word * 2654435761u >> (32 - HASH_BITS), from = heads[slot];
        heads[slot] = at + 1;
        if (from == 0 || at + 1 - from > 65535 || word_at(in + from - 1) != word) {
            at++;
            continue;
        }
        uint32_t match = 4;
        from--;
        while (at + match < length && in[from + match] == in[at + match]) match++;
        out = put_length(out, at - literal);
        for (uint32_t i = literal; i < at; i++) *out++ = in[i];
        uint32_t distance = at - from;
        *out++ = (uint8_t)distance;
        *out++ = (uint8_t)(distance >> 8);
        out = put_length(out, match - 4);
        at += match;
        literal = at;
    }
    out = put_length(out, length - literal);
    for (uint32_t i = literal; i < length; i++) *out++ = in[i];
    return (uint32_t)(out - start);
}

static uint32_t decompress(const uint8_t *in, uint32_t length, uint8_t *out) {
    const uint8_t *end = in + length;
    uint8_t *start = out;
    for (;;) {
        uint32_t count = 0;
        do count += *in;
        while (*in++ == 255);
        for (uint32_t i = 0; i < count; i++) *out++ = *in++;
        if (in >= end) return (uint32_t)(out - start);
        uint32_t distance = (uint32_t)in[0] | (uint32_t)in[1] << 8;
        in += 2;
        count = 4;
        do count += *in;
        while (*in++ == 255);
        for (uint32_t i = 0; i < count; i++, out++) *out = out[-(int32_t)distance];
    }
}

/* Words drawn from a small dictionary of random syllables, some more often than others. */
static void write_text(uint32_t *state) {
    static const char syllables[] = "balacodidofafegahohulajujekiloremiminonapapeseraristatetuvewozy";
    uint32_t at = 0;
    while (at < LENGTH) {
        uint32_t r = next_random(state), word = (r & 255) * (r >> 8 & 255) >> 8;
        for (uint32_t i = 0; i < 2 + word % 3 && at + 1 < LENGTH; i++) {
            uint32_t s = (word * 7 + i * 13) % 31;
            text[at++] = (uint8_t)syllables[2 * s];
            text[at++] = (uint8_t)syllables[2 * s + 1];
        }
        if (at < LENGTH) text[at++] = r >> 30 ? ' ' : '\n';
    }
}

uint32_t run(void) {
    uint32_t state = 11, sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 8 == 0) write_text(&state);
        text[next_random(&state) % LENGTH] ^= 1;
        uint32_t length = compress(text, LENGTH, packed);
        sum = mix_in(sum, length);
        if (decompress(packed, length, unpacked) != LENGTH || memcmp(text, unpacked, LENGTH) != 0) return 0xdeadbeef;
    }
    return sum;
}
