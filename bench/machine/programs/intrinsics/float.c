/* 32-bit floating point: a damped oscillator, and its distance; a call is a step of it, with 17 operations of all kinds. */
#include "../bench.h"
#include "surety_fast.h"

uint32_t run(void) {
    float x = 1, v = 0, far = 0, total = 0;
    int32_t whole = 0;
    for (uint32_t call = 0; call < CALLS; call++) {
        v = v - (x * 0.01f + v * 0.003f);
        x = x + v * 0.01f;
        float distance = surety_sqrt_f32(x * x + v * v);
        if (distance > far) far = distance;
        if (distance < 0.25f) x = x + 1.0f;
        total = total + (float)(int32_t)(call & 255) / (1.0f + distance);
        whole ^= (int32_t)total;
    }
    union {
        float number;
        uint32_t bits;
    } sum = {x + far};
    return sum.bits ^ (uint32_t)whole;
}
