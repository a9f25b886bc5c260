/* A tokeniser and checker of JSON: strings with escapes, numbers, nesting; sums what it reads. */
#include "bench.h"

enum { LENGTH = 1 << 17, ROUNDS = SIZE(900, 6) };
static char text[LENGTH + 64];
static uint32_t length;

static void put(const char *s) {
    while (*s) text[length++] = *s++;
}

static void put_number(uint32_t n) {
    char digits[10];
    int count = 0;
    do digits[count++] = (char)('0' + n % 10), n /= 10;
    while (n > 0);
    while (count > 0) text[length++] = digits[--count];
}

static void write_document(void) {
    uint32_t state = 31;
    put("[");
    while (length < LENGTH - 256) {
        if (length > 1) put(",\n  ");
        put("{\"id\": ");
        put_number(next_random(&state) >> 8);
        put(", \"name\": \"");
        for (uint32_t i = next_random(&state) % 20; i > 0; i--) text[length++] = (char)('a' + next_random(&state) % 26);
        put(next_random(&state) & 1 ? "\", \"tags\": [true, null, " : "\\n\\u00e9\", \"tags\": [false, ");
        put_number(next_random(&state) % 100);
        put("], \"place\": {\"x\": -");
        put_number(next_random(&state) % 1000);
        put(".25, \"y\": ");
        put_number(next_random(&state) % 1000);
        put("e3}}");
    }
    put("]");
}

struct totals {
    uint32_t strings, numbers, words, depth;
};
static const char *at;

static void skip_space(void) {
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
}

static int read_string(struct totals *t) {
    uint32_t hash = 2166136261u;
    for (at++; *at != '"'; at++) {
        if ((unsigned char)*at < ' ') return 0;
        if (*at == '\\') {
            at++;
            switch (*at) {
            case 'n': case 't': case 'r': case 'b': case 'f': case '"': case '\\': case '/': break;
            case 'u':
                for (int i = 0; i < 4; i++) {
                    char c = *++at;
                    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) return 0;
                }
                break;
            default: return 0;
            }
        }
        hash = mix_in(hash, (unsigned char)*at);
    }
    at++;
    t->strings ^= hash;
    return 1;
}

static int read_number(struct totals *t) {
    uint32_t value = 0;
    if (*at == '-') at++;
    if (*at < '0' || *at > '9') return 0;
    while (*at >= '0' && *at <= '9') value = value * 10 + (uint32_t)(*at++ - '0');
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) value = value * 31 + (uint32_t)(*at - '0');
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-') at++;
        for (; *at >= '0' && *at <= '9'; at++) value += (uint32_t)(*at - '0') << 8;
    }
    t->numbers += value;
    return 1;
}

static int read_word(const char *word, struct totals *t) {
    while (*word)
        if (*at++ != *word++) return 0;
    t->words++;
    return 1;
}

static int read_value(struct totals *t, uint32_t depth) {
    if (depth > 64) return 0;
    if (depth > t->depth) t->depth = depth;
    skip_space();
    switch (*at) {
    case '{':
        at++;
        skip_space();
        if (*at == '}') return at++, 1;
        for (;;) {
            skip_space();
            if (*at != '"' || !read_string(t)) return 0;
            skip_space();
            if (*at++ != ':' || !read_value(t, depth + 1)) return 0;
            skip_space();
            if (*at == '}') return at++, 1;
            if (*at++ != ',') return 0;
        }
    case '[':
        at++;
        skip_space();
        if (*at == ']') return at++, 1;
        for (;;) {
            if (!read_value(t, depth + 1)) return 0;
            skip_space();
            if (*at == ']') return at++, 1;
            if (*at++ != ',') return 0;
        }
    case '"': return read_string(t);
    case 't': return read_word("true", t);
    case 'f': return read_word("false", t);
    case 'n': return read_word("null", t);
    default: return read_number(t);
    }
}

uint32_t run(void) {
    uint32_t sum = 0;
    write_document();
    for (int round = 0; round < ROUNDS; round++) {
        struct totals t = {0, 0, 0, 0};
        at = text;
        if (!read_value(&t, 0)) return 0xdeadbeef;
        text[9] = (char)('0' + round % 10);
        sum = mix_in(mix_in(mix_in(sum, t.strings), t.numbers), t.words + t.depth);
    }
    return sum;
}
