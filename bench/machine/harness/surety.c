/* The machine: the checksum is the output, four bytes, least significant first. */
#include "../programs/bench.h"
#include "surety.h"

SURETY_MEMORY(0x4000000);
SURETY_STACK(0x40000);

void surety_main(void) {
    uint32_t sum = run();
    surety_return(&sum, sizeof sum);
}
