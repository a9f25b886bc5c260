/* The program of a service: a function of its input, the same on every machine. */

#include "surety.h"

SURETY_METHOD("add(uint32,uint32)");

/* The first four bytes of keccak-256("add(uint32,uint32)"): `cast sig` prints them. */
#define ADD 0x3ad14af3u

void surety_main(void) {
    struct surety_call call = surety_input();
    if (call.selector != ADD) surety_revert("no method has this selector; there is add(uint32,uint32)");
    uint32_t a = surety_uint32(&call, 0), b = surety_uint32(&call, 1);
    if (a > UINT32_MAX - b) surety_revert("the sum does not fit 32 bits");
    SURETY_ALIGNED uint8_t word[32];
    surety_put_uint32(word, a + b);
    surety_return(word, sizeof word);
}
