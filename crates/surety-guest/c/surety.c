/* The start of a C program and what surety.h declares. */

#include "surety.h"

enum { HALT = 1, WRITE = 2, READ = 3, INPUT = 4, HINT = 5 };

enum { WORD = 32, MESSAGE_MAX = 512 };

extern uint8_t __heap_start[], __heap_end[];

__asm__(".pushsection .text.start, \"ax\", @progbits\n"
        ".globl _start\n"
        "_start:\n"
        "    la sp, __stack_top\n"
        "    call surety_main\n"
        "    li a0, 0\n"
        "    li a7, 1\n"
        "    ecall\n"
        ".popsection");

/* --- system calls --- */

_Noreturn void surety_halt(uint32_t code) {
    register uint32_t a0 __asm__("a0") = code;
    register uint32_t a7 __asm__("a7") = HALT;
    __asm__ volatile("ecall" : : "r"(a0), "r"(a7) : "memory");
    __builtin_unreachable();
}

_Noreturn void surety_trap(void) {
    __asm__ volatile("ebreak" : : : "memory");
    __builtin_unreachable();
}

void surety_write(const void *bytes, size_t length) {
    register uint32_t a0 __asm__("a0") = (uint32_t)bytes;
    register uint32_t a1 __asm__("a1") = length;
    register uint32_t a7 __asm__("a7") = WRITE;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a7) : "memory");
}

void surety_hint(const char *text, size_t length) {
    register uint32_t a0 __asm__("a0") = (uint32_t)text;
    register uint32_t a1 __asm__("a1") = length;
    register uint32_t a7 __asm__("a7") = HINT;
    __asm__ volatile("ecall" : : "r"(a0), "r"(a1), "r"(a7) : "memory");
}

size_t surety_read(const uint8_t hash[32], uint32_t offset, void *into, size_t length) {
    uint32_t words[8];
    memcpy(words, hash, sizeof words);
    register uint32_t s2 __asm__("s2") = words[0];
    register uint32_t s3 __asm__("s3") = words[1];
    register uint32_t s4 __asm__("s4") = words[2];
    register uint32_t s5 __asm__("s5") = words[3];
    register uint32_t s6 __asm__("s6") = words[4];
    register uint32_t s7 __asm__("s7") = words[5];
    register uint32_t s8 __asm__("s8") = words[6];
    register uint32_t s9 __asm__("s9") = words[7];
    register uint32_t a0 __asm__("a0") = (uint32_t)into;
    register uint32_t a1 __asm__("a1") = offset;
    register uint32_t a2 __asm__("a2") = length;
    register uint32_t a7 __asm__("a7") = READ;
    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1), "+r"(a2)
                     : "r"(a7), "r"(s2), "r"(s3), "r"(s4), "r"(s5), "r"(s6), "r"(s7), "r"(s8), "r"(s9)
                     : "memory");
    return length - a2;
}

size_t surety_input_hash(uint8_t hash[32]) {
    register uint32_t s2 __asm__("s2");
    register uint32_t s3 __asm__("s3");
    register uint32_t s4 __asm__("s4");
    register uint32_t s5 __asm__("s5");
    register uint32_t s6 __asm__("s6");
    register uint32_t s7 __asm__("s7");
    register uint32_t s8 __asm__("s8");
    register uint32_t s9 __asm__("s9");
    register uint32_t a0 __asm__("a0");
    register uint32_t a7 __asm__("a7") = INPUT;
    __asm__ volatile("ecall"
                     : "=r"(a0), "=r"(s2), "=r"(s3), "=r"(s4), "=r"(s5), "=r"(s6), "=r"(s7), "=r"(s8), "=r"(s9)
                     : "r"(a7));
    uint32_t length = a0;
    uint32_t words[8] = {s2, s3, s4, s5, s6, s7, s8, s9};
    memcpy(hash, words, sizeof words);
    return length;
}

/* --- memory --- */

static uint8_t *heap_next;

void *surety_alloc(size_t size) {
    if (!heap_next) heap_next = __heap_start;
    if (size > (size_t)(__heap_end - heap_next)) surety_panic("out of memory");
    void *block = heap_next;
    size_t left = (size_t)(__heap_end - heap_next);
    size_t rounded = (size + WORD - 1) / WORD * WORD;
    heap_next += rounded < left ? rounded : left;
    return block;
}

/* --- input and output --- */

static uint32_t load_be32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

struct surety_call surety_input(void) {
    uint8_t hash[32];
    size_t length = surety_input_hash(hash);
    if (length < 4) surety_revert("the call is shorter than a selector, which has 4 bytes");
    uint8_t *input = surety_alloc(length);
    surety_read(hash, 0, input, length);
    return (struct surety_call){load_be32(input), input + 4, length - 4};
}

const uint8_t *surety_word(const struct surety_call *call, size_t index) {
    if (index >= call->length / WORD) surety_revert("the arguments are cut short");
    return call->arguments + WORD * index;
}

static uint32_t word_uint32(const uint8_t *word) {
    for (size_t i = 0; i < WORD - 4; i++)
        if (word[i] != 0) surety_revert("an argument is not below 2^32");
    return load_be32(word + WORD - 4);
}

uint32_t surety_uint32(const struct surety_call *call, size_t index) {
    return word_uint32(surety_word(call, index));
}

const uint8_t *surety_tail(const struct surety_call *call, size_t index, size_t size, size_t *count) {
    size_t offset = surety_uint32(call, index);
    if (call->length < WORD || offset > call->length - WORD) surety_revert("an argument's offset lies outside the call");
    size_t elements = word_uint32(call->arguments + offset);
    size_t room = call->length - WORD - offset;
    if (elements > room / size) surety_revert("an argument is longer than the call");
    *count = elements;
    return call->arguments + offset + WORD;
}

void surety_put_uint32(uint8_t word[32], uint32_t value) {
    memset(word, 0, WORD - 4);
    word[28] = (uint8_t)(value >> 24);
    word[29] = (uint8_t)(value >> 16);
    word[30] = (uint8_t)(value >> 8);
    word[31] = (uint8_t)value;
}

void surety_output(const void *bytes, size_t length) {
    static uint8_t SURETY_ALIGNED buffer[512];
    if ((uint32_t)bytes % WORD == 0) {
        surety_write(bytes, length);
        return;
    }
    /* WRITE splits where addresses are multiples of 32, so what lies elsewhere is moved first. */
    const uint8_t *from = bytes;
    while (length > 0) {
        size_t part = length < sizeof buffer ? length : sizeof buffer;
        memcpy(buffer, from, part);
        surety_write(buffer, part);
        from += part;
        length -= part;
    }
}

_Noreturn void surety_return(const void *bytes, size_t length) {
    surety_output(bytes, length);
    surety_halt(0);
}

/* Error(string), ABI-encoded. */
static void output_error(const char *text) {
    static uint8_t SURETY_ALIGNED error[4 + 2 * WORD + MESSAGE_MAX];
    static const uint8_t selector[4] = {0x08, 0xc3, 0x79, 0xa0};
    size_t length = strlen(text);
    if (length > MESSAGE_MAX) length = MESSAGE_MAX;
    memcpy(error, selector, sizeof selector);
    surety_put_uint32(error + 4, WORD);
    surety_put_uint32(error + 4 + WORD, length);
    memcpy(error + 4 + 2 * WORD, text, length);
    surety_write(error, 4 + 2 * WORD + (length + WORD - 1) / WORD * WORD);
}

_Noreturn void surety_revert(const char *reason) {
    output_error(reason);
    surety_halt(1);
}

_Noreturn void surety_panic(const char *message) {
    output_error(message);
    surety_trap();
}

/* --- preimages --- */

const uint8_t *surety_read_preimage(const uint8_t hash[32], size_t *length) {
    /* The length shows only when a read comes back short, so the block grows, in place, until one does. */
    enum { STEP = 1024 };
    uint8_t *bytes = surety_alloc(STEP);
    size_t have = 0;
    for (;;) {
        size_t read = surety_read(hash, have, bytes + have, STEP);
        have += read;
        if (read < STEP || have >= SURETY_PREIMAGE_MAX) break;
        surety_alloc(STEP);
    }
    *length = have;
    return bytes;
}

enum { TREE_HEAD = 32, TREE_FANOUT = (SURETY_PREIMAGE_MAX - TREE_HEAD) / WORD };

static uint64_t tree_node_length(const uint8_t node[32]) {
    uint8_t SURETY_ALIGNED head[TREE_HEAD];
    static const uint8_t magic[24] = "surety data tree";
    if (surety_read(node, 0, head, sizeof head) != sizeof head || memcmp(head, magic, sizeof magic) != 0)
        surety_panic("a preimage is not a node of a data tree");
    return (uint64_t)load_be32(head + 24) << 32 | load_be32(head + 28);
}

static void tree_read_node(const uint8_t node[32], uint64_t total, uint64_t offset, uint8_t *into, size_t length) {
    uint64_t span = SURETY_PREIMAGE_MAX;
    /* Grows to the span of one child: the next level would cover everything. */
    while (span <= UINT64_MAX / TREE_FANOUT && span * TREE_FANOUT < total) span *= TREE_FANOUT;
    while (length > 0) {
        uint64_t index = offset / span, within = offset - index * span;
        uint64_t child_length = total - index * span < span ? total - index * span : span;
        size_t part = child_length - within < length ? (size_t)(child_length - within) : length;
        uint8_t SURETY_ALIGNED child[WORD];
        if (surety_read(node, TREE_HEAD + WORD * (uint32_t)index, child, WORD) != WORD)
            surety_panic("a node of a data tree is cut short");
        if (span == SURETY_PREIMAGE_MAX) {
            if (surety_read(child, (uint32_t)within, into, part) != part)
                surety_panic("a chunk of a data tree is cut short");
        } else {
            if (tree_node_length(child) != child_length)
                surety_panic("a node of a data tree has another length than its place says");
            tree_read_node(child, child_length, within, into, part);
        }
        offset += part;
        into += part;
        length -= part;
    }
}

size_t surety_tree_read(const uint8_t root[32], uint64_t offset, void *into, size_t length) {
    uint64_t total = tree_node_length(root);
    uint64_t available = offset < total ? total - offset : 0;
    if (length > available) length = (size_t)available;
    tree_read_node(root, total, offset, into, length);
    return length;
}

/* --- what freestanding C needs --- */

#ifndef SURETY_FAST_MEMORY /* else asm/ has memcpy, memset and memcmp */
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
#endif

void *memmove(void *to, const void *from, size_t length) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if ((uint32_t)d - (uint32_t)s >= length) return memcpy(to, from, length);
    while (length-- > 0) d[length] = s[length];
    return to;
}

#ifndef SURETY_FAST_MEMORY
void *memset(void *to, int byte, size_t length) {
    uint8_t *d = to;
    for (; length > 0 && ((uint32_t)d & 3) != 0; length--) *d++ = (uint8_t)byte;
    uint32_t word = (uint8_t)byte * 0x01010101u;
    for (; length >= 4; length -= 4, d += 4) *(uint32_t *)d = word;
    for (; length > 0; length--) *d++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t length) {
    const uint8_t *p = a, *q = b;
    for (; length > 0; length--, p++, q++)
        if (*p != *q) return *p < *q ? -1 : 1;
    return 0;
}
#endif

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length] != 0) length++;
    return length;
}
