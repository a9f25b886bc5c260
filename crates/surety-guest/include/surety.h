/* What a Surety program written in C links against: system calls, input, output, preimages.
 *
 * The same as the Rust crate beside it, and with the same endings:
 *
 *   surety_return(...)   halted, exit 0, the bytes are the output
 *   surety_revert("...") halted, exit 1, the output is Error(string), as Solidity encodes a revert
 *   surety_panic("...")  trapped (illegal instruction), the output is Error(string) with the message
 *
 * A program defines `void surety_main(void)` and is built with c/surety.c and the linker script surety.ld;
 * docs/guides/programs.md shows the command. The machine: docs/spec/machine.md. */
#ifndef SURETY_H
#define SURETY_H

#include <stddef.h>
#include <stdint.h>

/* The longest preimage, and so the longest input, in bytes. */
#define SURETY_PREIMAGE_MAX 98304u

/* Bytes that lie where READ and WRITE move a whole 32-byte leaf a step. */
#define SURETY_ALIGNED __attribute__((aligned(32)))

/* Solidity signatures for tools to show, one SURETY_METHOD each, at file scope. */
#define SURETY_METHOD(signature) \
    __asm__(".pushsection .surety.methods, \"\", @progbits\n.ascii \"" signature "\\n\"\n.popsection")

/* Memory in all (stack, code, data and heap; 512 KiB unless given) and the stack's part of it (32 KiB unless given), in
 * bytes, multiples of 32. Plain numbers, at file scope. */
#define SURETY_MEMORY(bytes) __asm__(".globl __memory_size\n.set __memory_size, " #bytes)
#define SURETY_STACK(bytes) __asm__(".globl __stack_size\n.set __stack_size, " #bytes)

/* The program. Returning ends it with exit code 0. */
void surety_main(void);

/* --- system calls ------------------------------------------------------------------------------------------ */

/* Ends the program with an exit code. */
_Noreturn void surety_halt(uint32_t code);

/* Ends the program in a trap with cause `illegal`. */
_Noreturn void surety_trap(void);

/* Appends to the output as the bytes lie in memory, split where addresses are multiples of 32. surety_output is what a
 * program wants: it makes the chunks canonical. */
void surety_write(const void *bytes, size_t length);

/* Copies from the preimage of a keccak-256 hash, from byte `offset` on, until `length` bytes or the preimage's end.
 * Returns how many bytes that were. */
size_t surety_read(const uint8_t hash[32], uint32_t offset, void *into, size_t length);

/* Stores the hash of the request's input; returns its length in bytes. */
size_t surety_input_hash(uint8_t hash[32]);

/* Tells the provider what will be read, e.g. "preimage 0x...". Longer than 1,024 bytes, it is ignored. */
void surety_hint(const char *text, size_t length);

/* --- memory ------------------------------------------------------------------------------------------------ */

/* Zero-filled memory for good, 32-byte aligned. A panic when there is no more. */
void *surety_alloc(size_t size);

/* --- input and output -------------------------------------------------------------------------------------- */

/* A call: a selector (big-endian) and ABI-encoded arguments. */
struct surety_call {
    uint32_t selector;
    const uint8_t *arguments;
    size_t length; /* of the arguments, in bytes */
};

/* The request's input, read whole. Reverts when it is too short for a selector. The arguments are 4 bytes off a
 * multiple of 32, as they are in the input. */
struct surety_call surety_input(void);

/* The word of argument `index`; reverts when the arguments end before. */
const uint8_t *surety_word(const struct surety_call *call, size_t index);

/* The argument `index` as a number below 2^32; reverts for a larger one. */
uint32_t surety_uint32(const struct surety_call *call, size_t index);

/* The contents of the dynamic argument `index` (bytes, string, or an array of words): stores how many elements of
 * `size` bytes there are, returns the first. Reverts when offset or length lie outside the arguments. */
const uint8_t *surety_tail(const struct surety_call *call, size_t index, size_t size, size_t *count);

/* Stores a number as an ABI word. */
void surety_put_uint32(uint8_t word[32], uint32_t value);

/* Writes the output in the canonical chunks. Once. */
void surety_output(const void *bytes, size_t length);

/* Ends the program with these bytes as output and exit code 0. */
_Noreturn void surety_return(const void *bytes, size_t length);

/* Refuses the request. The reason is cut at 512 bytes. */
_Noreturn void surety_revert(const char *reason);

/* Ends the program in a trap. The message is cut at 512 bytes. */
_Noreturn void surety_panic(const char *message);

/* --- preimages --------------------------------------------------------------------------------------------- */

/* The preimage of a hash, whole, in memory of its own; stores its length. */
const uint8_t *surety_read_preimage(const uint8_t hash[32], size_t *length);

/* Copies from the data under the root of a tree of preimages (for its form see src/tree.rs), from byte `offset` on; returns
 * how many bytes that were, fewer than asked only where the data ends. Panics when it is no such tree. */
size_t surety_tree_read(const uint8_t root[32], uint64_t offset, void *into, size_t length);

/* --- what freestanding C needs ----------------------------------------------------------------------------- */

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);
size_t strlen(const char *text);

#endif
