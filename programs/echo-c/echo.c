/* Echo in C: the same methods as programs/echo, and so every part of surety.h. The tests call both. */

#include "surety.h"

SURETY_MEMORY(524288);
SURETY_STACK(32768);

SURETY_METHOD("echo(bytes)");
SURETY_METHOD("read(bytes32,uint64,uint32)");
SURETY_METHOD("preimage(bytes32)");
SURETY_METHOD("refuse(string)");
SURETY_METHOD("panic(string)");
SURETY_METHOD("recurse(uint32)");
SURETY_METHOD("allocate(uint32)");

#define ECHO 0x624fbfdcu
#define READ_TREE 0x077c8f36u
#define PREIMAGE 0xeb45e5e5u
#define REFUSE 0x2a3b79b2u
#define PANIC 0xeb4e65bcu
#define RECURSE 0xe5aeced7u
#define ALLOCATE 0x8c107628u

/* Returns (bytes). `output` has room for the head before the contents. */
static _Noreturn void return_bytes(uint8_t *output, size_t length) {
    surety_put_uint32(output, 32);
    surety_put_uint32(output + 32, length);
    /* Memory from surety_alloc is zero, so the padding is too. */
    surety_return(output, 64 + (length + 31) / 32 * 32);
}

static _Noreturn void return_uint32(uint32_t value) {
    uint8_t SURETY_ALIGNED word[32];
    surety_put_uint32(word, value);
    surety_return(word, sizeof word);
}

/* A string argument as C has them. */
static const char *text(const struct surety_call *call) {
    size_t length;
    const uint8_t *bytes = surety_tail(call, 0, 1, &length);
    char *copy = surety_alloc(length + 1);
    memcpy(copy, bytes, length);
    return copy;
}

static uint32_t __attribute__((noinline)) down(uint32_t depth) {
    volatile uint32_t here[8];
    for (size_t i = 0; i < 8; i++) here[i] = depth;
    return depth == 0 ? 0 : down(depth - 1) + (here[7] == depth);
}

void surety_main(void) {
    struct surety_call call = surety_input();
    size_t length;
    switch (call.selector) {
    case ECHO: {
        const uint8_t *bytes = surety_tail(&call, 0, 1, &length);
        uint8_t *output = surety_alloc(64 + length + 31);
        memcpy(output + 64, bytes, length);
        return_bytes(output, length);
    }
    case READ_TREE: {
        const uint8_t *root = surety_word(&call, 0);
        const uint8_t *offset = surety_word(&call, 1);
        for (size_t i = 0; i < 24; i++)
            if (offset[i] != 0) surety_revert("argument 1 is not a valid uint64");
        uint64_t start = 0;
        for (size_t i = 24; i < 32; i++) start = start << 8 | offset[i];
        length = surety_uint32(&call, 2);
        if (length > SURETY_PREIMAGE_MAX) surety_revert("at most 98304 bytes at a time");
        uint8_t *output = surety_alloc(64 + length + 31);
        return_bytes(output, surety_tree_read(root, start, output + 64, length));
    }
    case PREIMAGE: {
        const uint8_t *hash = surety_word(&call, 0);
        char hint[] = "preimage 0x................................................................";
        for (size_t i = 0; i < 64; i++) hint[11 + i] = "0123456789abcdef"[hash[i / 2] >> (i % 2 ? 0 : 4) & 0x0f];
        surety_hint(hint, sizeof hint - 1);
        const uint8_t *bytes = surety_read_preimage(hash, &length);
        uint8_t *output = surety_alloc(64 + length + 31);
        memcpy(output + 64, bytes, length);
        return_bytes(output, length);
    }
    case REFUSE:
        surety_revert(text(&call));
    case PANIC:
        surety_panic(text(&call));
    case RECURSE:
        return_uint32(down(surety_uint32(&call, 0)));
    case ALLOCATE:
        length = surety_uint32(&call, 0);
        memset(surety_alloc(length), 1, length);
        return_uint32(length);
    default:
        surety_revert("no method has this selector");
    }
}
