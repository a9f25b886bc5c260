/* Calls and returns: Fibonacci numbers, Ackermann's function and the towers of Hanoi, each by plain recursion. */
#include "bench.h"

enum { FIBONACCI = SIZE(37, 22), ACKERMANN = SIZE(10, 5), HANOI = SIZE(23, 12) };

__attribute__((noinline)) static uint32_t fibonacci(uint32_t n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__attribute__((noinline)) static uint32_t ackermann(uint32_t m, uint32_t n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

static uint32_t moved[3];

__attribute__((noinline)) static void hanoi(uint32_t disks, uint32_t from, uint32_t to) {
    if (disks == 0) return;
    hanoi(disks - 1, from, 3 - from - to);
    moved[to] = mix_in(moved[to], disks);
    hanoi(disks - 1, 3 - from - to, to);
}

uint32_t run(void) {
    hanoi(HANOI, 0, 2);
    return fibonacci(FIBONACCI) ^ ackermann(3, ACKERMANN) ^ moved[0] ^ moved[1] ^ moved[2];
}
