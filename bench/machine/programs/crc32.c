/* CRC-32 (IEEE 802.3), by bytes with a table of 256 words. */
#include "bench.h"

enum { LENGTH = 1 << 18, ROUNDS = SIZE(500, 4) };
static uint32_t table[256];
static uint8_t data[LENGTH];

uint32_t run(void) {
    uint32_t state = 3, crc = 0xffffffff;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t x = i;
        for (int bit = 0; bit < 8; bit++) x = x >> 1 ^ (0xedb88320 & -(x & 1));
        table[i] = x;
    }
    for (int i = 0; i < LENGTH; i++) data[i] = (uint8_t)next_random(&state);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < LENGTH; i++) crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xff];
    return ~crc;
}
