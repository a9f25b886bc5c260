/* Library: the routines that engines know, as the program of the same name in Rust has them; the methods that are worth it
 * in C. */

#include "surety.h"
#include "surety_fast.h"

SURETY_METHOD("keccak256(bytes)");
SURETY_METHOD("sha256(bytes)");
SURETY_METHOD("dot(bytes,bytes)");
SURETY_METHOD("float(uint32,uint32,uint32)");

/* The first four bytes of the signatures' keccak-256. */
enum selector { KECCAK256 = 0x8019f9b1u, SHA256 = 0xbebc76ddu, DOT = 0x03421bcbu, FLOAT = 0xb536de3bu };

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The list is in the program in Rust. A conversion is the routine's, not C's, which knows no number that is too large. */
static uint32_t operate(uint32_t operation, uint32_t a, uint32_t b) {
    extern int32_t __fixsfsi(float);
    extern uint32_t __fixunssfsi(float);
    float x = from_bits(a), y = from_bits(b);
    switch (operation) {
    case 0: return to_bits(x + y);
    case 1: return to_bits(x - y);
    case 2: return to_bits(x * y);
    case 3: return to_bits(x / y);
    case 4: return to_bits(surety_sqrt_f32(x));
    case 5: return x < y;
    case 6: return x == y;
    case 7: return to_bits((float)(int32_t)a);
    case 8: return to_bits((float)a);
    case 9: return (uint32_t)__fixsfsi(x);
    case 10: return __fixunssfsi(x);
    default: surety_revert("there is no such operation");
    }
}

void surety_main(void) {
    struct surety_call call = surety_input();
    static uint8_t SURETY_ALIGNED word[32];
    size_t length, other;
    const uint8_t *a, *b;
    switch (call.selector) {
    case KECCAK256:
        a = surety_tail(&call, 0, 1, &length);
        surety_keccak256(word, a, length);
        break;
    case SHA256:
        a = surety_tail(&call, 0, 1, &length);
        surety_sha256(word, a, length);
        break;
    case DOT:
        a = surety_tail(&call, 0, 1, &length);
        b = surety_tail(&call, 1, 1, &other);
        if (length != other) surety_revert("the vectors have different lengths");
        surety_put_uint32(word, (uint32_t)surety_dot_i8((const int8_t *)a, (const int8_t *)b, length));
        break;
    case FLOAT:
        surety_put_uint32(word, operate(surety_uint32(&call, 0), surety_uint32(&call, 1), surety_uint32(&call, 2)));
        break;
    default:
        surety_revert("no method has this selector; there are keccak256, sha256, dot and float");
    }
    surety_return(word, sizeof word);
}
