/* void surety_sha256_blocks(uint32_t state[8], const uint8_t *blocks, size_t count)

   The compression function of SHA-256 on `count` blocks of 64 bytes. The state is aligned to 4 bytes; the blocks are
   big-endian as SHA-256 reads them, and lie anywhere.

   The steps depend on `count` only. Uses 384 bytes of stack, zero at the return, as are the registers it uses and
   need not keep. The same bytes wherever it is linked: engines know it by the hash of its words. */
    .section .text.surety_sha256_blocks, "ax", @progbits
    .option push
    .option norelax
    .option norvc
    .option arch, +m
    .p2align 2
    .globl surety_sha256_blocks
    .type surety_sha256_blocks, @function
/* Stack: the last 16 words of the message schedule, the 64 constants, then what must be kept. */
    .set .Lsha256_constants, 64
    .set .Lsha256_saved, 320
    .set .Lsha256_frame, 384

.macro SHA256_CONSTANT index, upper, lower
    lui t0, \upper
    addi t0, t0, \lower
    sw t0, .Lsha256_constants + 4 * \index(sp)
.endm

/* A word of the block, big-endian. */
.macro SHA256_LOAD index
    lbu t0, 4 * \index(a1)
    lbu t1, 4 * \index + 1(a1)
    lbu t2, 4 * \index + 2(a1)
    lbu t3, 4 * \index + 3(a1)
    slli t0, t0, 24
    slli t1, t1, 16
    slli t2, t2, 8
    or t0, t0, t1
    or t2, t2, t3
    or t0, t0, t2
    sw t0, 4 * \index(sp)
.endm

/* into = from rotated right by x, xor by y, xor by z. Uses t5, t6. */
.macro SHA256_ROTATE into, from, x, y, z
    srli \into, \from, \x
    slli t5, \from, 32 - \x
    or \into, \into, t5
    srli t5, \from, \y
    slli t6, \from, 32 - \y
    or t5, t5, t6
    xor \into, \into, t5
    srli t5, \from, \z
    slli t6, \from, 32 - \z
    or t5, t5, t6
    xor \into, \into, t5
.endm

/* The same, but for a shift by z. */
.macro SHA256_SHIFT into, from, x, y, z
    srli \into, \from, \x
    slli t5, \from, 32 - \x
    or \into, \into, t5
    srli t5, \from, \y
    slli t6, \from, 32 - \y
    or t5, t5, t6
    xor \into, \into, t5
    srli t5, \from, \z
    xor \into, \into, t5
.endm

/* The schedule's word 16 further on, in the place of the word at `index`. */
.macro SHA256_SCHEDULE index
    lw t0, 4 * ((\index + 1) % 16)(sp)
    SHA256_SHIFT t1, t0, 7, 18, 3
    lw t0, 4 * ((\index + 14) % 16)(sp)
    SHA256_SHIFT t2, t0, 17, 19, 10
    lw t0, 4 * \index(sp)
    add t1, t1, t2
    lw t2, 4 * ((\index + 9) % 16)(sp)
    add t1, t1, t0
    add t1, t1, t2
    sw t1, 4 * \index(sp)
.endm

/* A round; the caller renames the registers. s8 is at the round's 16 constants. */
.macro SHA256_ROUND index, a, b, c, d, e, f, g, h
    SHA256_ROTATE t0, \e, 6, 11, 25
    xor t1, \f, \g
    and t1, t1, \e
    xor t1, t1, \g
    lw t2, 4 * \index(s8)
    lw t3, 4 * \index(sp)
    add \h, \h, t0
    add \h, \h, t1
    add \h, \h, t2
    add \h, \h, t3
    add \d, \d, \h
    SHA256_ROTATE t0, \a, 2, 13, 22
    or t1, \a, \b
    and t1, t1, \c
    and t2, \a, \b
    or t1, t1, t2
    add \h, \h, t0
    add \h, \h, t1
.endm

.macro SHA256_ADD offset, register
    lw t0, \offset(a0)
    add \register, \register, t0
    sw \register, \offset(a0)
.endm

surety_sha256_blocks:
    addi sp, sp, -.Lsha256_frame
    sw s0, .Lsha256_saved + 0(sp)
    sw s1, .Lsha256_saved + 4(sp)
    sw s2, .Lsha256_saved + 8(sp)
    sw s3, .Lsha256_saved + 12(sp)
    sw s4, .Lsha256_saved + 16(sp)
    sw s5, .Lsha256_saved + 20(sp)
    sw s6, .Lsha256_saved + 24(sp)
    sw s7, .Lsha256_saved + 28(sp)
    sw s8, .Lsha256_saved + 32(sp)
    SHA256_CONSTANT 0, 0x428a3, -104
    SHA256_CONSTANT 1, 0x71374, 1169
    SHA256_CONSTANT 2, 0xb5c10, -1073
    SHA256_CONSTANT 3, 0xe9b5e, -1115
    SHA256_CONSTANT 4, 0x3956c, 603
    SHA256_CONSTANT 5, 0x59f11, 497
    SHA256_CONSTANT 6, 0x923f8, 676
    SHA256_CONSTANT 7, 0xab1c6, -299
    SHA256_CONSTANT 8, 0xd807b, -1384
    SHA256_CONSTANT 9, 0x12836, -1279
    SHA256_CONSTANT 10, 0x24318, 1470
    SHA256_CONSTANT 11, 0x550c8, -573
    SHA256_CONSTANT 12, 0x72be6, -652
    SHA256_CONSTANT 13, 0x80deb, 510
    SHA256_CONSTANT 14, 0x9bdc0, 1703
    SHA256_CONSTANT 15, 0xc19bf, 372
    SHA256_CONSTANT 16, 0xe49b7, -1599
    SHA256_CONSTANT 17, 0xefbe4, 1926
    SHA256_CONSTANT 18, 0xfc1a, -570
    SHA256_CONSTANT 19, 0x240ca, 460
    SHA256_CONSTANT 20, 0x2de93, -913
    SHA256_CONSTANT 21, 0x4a748, 1194
    SHA256_CONSTANT 22, 0x5cb0b, -1572
    SHA256_CONSTANT 23, 0x76f99, -1830
    SHA256_CONSTANT 24, 0x983e5, 338
    SHA256_CONSTANT 25, 0xa831c, 1645
    SHA256_CONSTANT 26, 0xb0032, 1992
    SHA256_CONSTANT 27, 0xbf598, -57
    SHA256_CONSTANT 28, 0xc6e01, -1037
    SHA256_CONSTANT 29, 0xd5a79, 327
    SHA256_CONSTANT 30, 0x6ca6, 849
    SHA256_CONSTANT 31, 0x14293, -1689
    SHA256_CONSTANT 32, 0x27b71, -1403
    SHA256_CONSTANT 33, 0x2e1b2, 312
    SHA256_CONSTANT 34, 0x4d2c7, -516
    SHA256_CONSTANT 35, 0x53381, -749
    SHA256_CONSTANT 36, 0x650a7, 852
    SHA256_CONSTANT 37, 0x766a1, -1349
    SHA256_CONSTANT 38, 0x81c2d, -1746
    SHA256_CONSTANT 39, 0x92723, -891
    SHA256_CONSTANT 40, 0xa2bff, -1887
    SHA256_CONSTANT 41, 0xa81a6, 1611
    SHA256_CONSTANT 42, 0xc24b9, -1168
    SHA256_CONSTANT 43, 0xc76c5, 419
    SHA256_CONSTANT 44, 0xd192f, -2023
    SHA256_CONSTANT 45, 0xd6990, 1572
    SHA256_CONSTANT 46, 0xf40e3, 1413
    SHA256_CONSTANT 47, 0x106aa, 112
    SHA256_CONSTANT 48, 0x19a4c, 278
    SHA256_CONSTANT 49, 0x1e377, -1016
    SHA256_CONSTANT 50, 0x27487, 1868
    SHA256_CONSTANT 51, 0x34b0c, -843
    SHA256_CONSTANT 52, 0x391c1, -845
    SHA256_CONSTANT 53, 0x4ed8b, -1462
    SHA256_CONSTANT 54, 0x5b9cd, -1457
    SHA256_CONSTANT 55, 0x682e7, -13
    SHA256_CONSTANT 56, 0x748f8, 750
    SHA256_CONSTANT 57, 0x78a56, 879
    SHA256_CONSTANT 58, 0x84c88, -2028
    SHA256_CONSTANT 59, 0x8cc70, 520
    SHA256_CONSTANT 60, 0x90bf0, -6
    SHA256_CONSTANT 61, 0xa4507, -789
    SHA256_CONSTANT 62, 0xbef9a, 1015
    SHA256_CONSTANT 63, 0xc6718, -1806
    lw s0, 0(a0)
    lw s1, 4(a0)
    lw s2, 8(a0)
    lw s3, 12(a0)
    lw s4, 16(a0)
    lw s5, 20(a0)
    lw s6, 24(a0)
    lw s7, 28(a0)
.Lsha256_block:
    bne a2, zero, .Lsha256_load
    jal zero, .Lsha256_done
.Lsha256_load:
    .irp index, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    SHA256_LOAD \index
    .endr
    addi a1, a1, 64
    addi s8, sp, .Lsha256_constants
.Lsha256_rounds:
    SHA256_ROUND 0, s0, s1, s2, s3, s4, s5, s6, s7
    SHA256_ROUND 1, s7, s0, s1, s2, s3, s4, s5, s6
    SHA256_ROUND 2, s6, s7, s0, s1, s2, s3, s4, s5
    SHA256_ROUND 3, s5, s6, s7, s0, s1, s2, s3, s4
    SHA256_ROUND 4, s4, s5, s6, s7, s0, s1, s2, s3
    SHA256_ROUND 5, s3, s4, s5, s6, s7, s0, s1, s2
    SHA256_ROUND 6, s2, s3, s4, s5, s6, s7, s0, s1
    SHA256_ROUND 7, s1, s2, s3, s4, s5, s6, s7, s0
    SHA256_ROUND 8, s0, s1, s2, s3, s4, s5, s6, s7
    SHA256_ROUND 9, s7, s0, s1, s2, s3, s4, s5, s6
    SHA256_ROUND 10, s6, s7, s0, s1, s2, s3, s4, s5
    SHA256_ROUND 11, s5, s6, s7, s0, s1, s2, s3, s4
    SHA256_ROUND 12, s4, s5, s6, s7, s0, s1, s2, s3
    SHA256_ROUND 13, s3, s4, s5, s6, s7, s0, s1, s2
    SHA256_ROUND 14, s2, s3, s4, s5, s6, s7, s0, s1
    SHA256_ROUND 15, s1, s2, s3, s4, s5, s6, s7, s0
    addi s8, s8, 64
    addi t0, sp, .Lsha256_saved
    beq s8, t0, .Lsha256_add
    .irp index, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    SHA256_SCHEDULE \index
    .endr
    jal zero, .Lsha256_rounds
.Lsha256_add:
    SHA256_ADD 0, s0
    SHA256_ADD 4, s1
    SHA256_ADD 8, s2
    SHA256_ADD 12, s3
    SHA256_ADD 16, s4
    SHA256_ADD 20, s5
    SHA256_ADD 24, s6
    SHA256_ADD 28, s7
    addi a2, a2, -1
    jal zero, .Lsha256_block
.Lsha256_done:
    lw s0, .Lsha256_saved + 0(sp)
    lw s1, .Lsha256_saved + 4(sp)
    lw s2, .Lsha256_saved + 8(sp)
    lw s3, .Lsha256_saved + 12(sp)
    lw s4, .Lsha256_saved + 16(sp)
    lw s5, .Lsha256_saved + 20(sp)
    lw s6, .Lsha256_saved + 24(sp)
    lw s7, .Lsha256_saved + 28(sp)
    lw s8, .Lsha256_saved + 32(sp)
    /* Nothing is left behind. */
    addi t0, sp, .Lsha256_frame
.Lsha256_clear:
    sw zero, 0(sp)
    sw zero, 4(sp)
    sw zero, 8(sp)
    sw zero, 12(sp)
    sw zero, 16(sp)
    sw zero, 20(sp)
    sw zero, 24(sp)
    sw zero, 28(sp)
    addi sp, sp, 32
    bne sp, t0, .Lsha256_clear
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t5, zero, 0
    addi t6, zero, 0
    addi a1, zero, 0
    jalr zero, 0(ra)
    .size surety_sha256_blocks, . - surety_sha256_blocks
    .option pop
