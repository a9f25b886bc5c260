/* The Mandelbrot set in fixed point, 26 fractional bits: 64-bit products shifted down. */
#include "bench.h"

enum { SIDE = SIZE(840, 48), LIMIT = 300, BITS = 26 };

static int32_t multiply(int32_t a, int32_t b) { return (int32_t)((int64_t)a * b >> BITS); }

uint32_t run(void) {
    uint32_t sum = 0;
    const int32_t step = (int32_t)((3ll << BITS) / SIDE);
    for (int row = 0; row < SIDE; row++)
        for (int column = 0; column < SIDE; column++) {
            int32_t cx = -(2 << BITS) + column * step, cy = -(3 << (BITS - 1)) + row * step, x = 0, y = 0;
            uint32_t i = 0;
            for (; i < LIMIT; i++) {
                int32_t xx = multiply(x, x), yy = multiply(y, y);
                if (xx + yy > 4 << BITS) break;
                y = 2 * multiply(x, y) + cy;
                x = xx - yy + cx;
            }
            sum = mix_in(sum, i);
        }
    return sum;
}
