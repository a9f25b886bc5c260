/* RV32IM Linux, for qemu-riscv32: the objects of the machine's build, with another start. Prints what native.c prints. */
#include "../programs/bench.h"

enum { WRITE = 64, EXIT = 93, CLOCK_GETTIME64 = 403 };

static long call(long number, long x, long y, long z) {
    register long a0 __asm__("a0") = x, a1 __asm__("a1") = y, a2 __asm__("a2") = z, a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

struct timespec64 {
    int64_t seconds, nanoseconds;
};

/* Linux keeps what a program was started with on the stack: a count, then pointers. */
__attribute__((used)) void linux_main(const long *stack) {
    const char *argument = stack[0] > 1 ? (const char *)stack[2] : "2";
    long clock = 0;
    while (*argument) clock = clock * 10 + (*argument++ - '0');
    struct timespec64 start, end;
    if (call(CLOCK_GETTIME64, clock, (long)&start, 0) != 0) call(EXIT, 2, 0, 0);
    uint32_t sum = run();
    call(CLOCK_GETTIME64, clock, (long)&end, 0);
    uint64_t time = (uint64_t)(end.seconds - start.seconds) * 1000000000u + (uint64_t)(end.nanoseconds - start.nanoseconds);
    char line[32], *p = line;
    for (int shift = 28; shift >= 0; shift -= 4) *p++ = "0123456789abcdef"[sum >> shift & 15];
    *p++ = ' ';
    char digits[20];
    int count = 0;
    do digits[count++] = (char)('0' + time % 10), time /= 10;
    while (time > 0);
    while (count > 0) *p++ = digits[--count];
    *p++ = '\n';
    call(WRITE, 1, (long)line, p - line);
    call(EXIT, 0, 0, 0);
}

__asm__(".pushsection .text.linux_start, \"ax\", @progbits\n"
        ".globl linux_start\n"
        "linux_start:\n"
        "    mv a0, sp\n"
        "    call linux_main\n"
        ".popsection");
