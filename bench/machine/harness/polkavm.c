/* PolkaVM, which is RV32EM: `run` exported in the sections that its linker reads, and what the compiler asks for. */
#include "../programs/bench.h"

struct metadata {
    uint8_t version;
    uint32_t flags;
    uint32_t name_length;
    const char *name;
    uint8_t inputs;
    uint8_t outputs;
} __attribute__((packed));

__attribute__((used, section(".polkavm_metadata"))) struct metadata run_metadata = {1, 0, 3, "run", 0, 1};

__asm__(".pushsection .polkavm_exports, \"aR\", @note\n"
        ".byte 1\n"
        ".word run_metadata\n"
        ".word run\n"
        ".popsection\n"
        ".pushsection .polkavm_min_stack_size, \"\", @progbits\n"
        ".word 0x40000\n"
        ".popsection");
