/* void surety_keccak_f(uint32_t state[50])

   Keccak-f[1600] in place. Lane x + 5y is at byte 8 (x + 5y), little-endian; the state is aligned to 4 bytes.

   The steps are always the same: no branch depends on data. Uses 448 bytes of stack, zero at the return, as are the
   registers it uses and need not keep. One branch-free leaf in RV32IM, the same bytes wherever it is linked: engines
   know it by the hash of its words, so a change here is a change of intrinsics/table.rs too.

   A round goes from one copy of the state to the other (a0 and sp), two rounds a turn of the loop. The lanes 1, 2, 8,
   12, 17 and 20 are kept complemented (as in the Keccak team's own code), which saves most of the NOTs of chi. */
    .section .text.surety_keccak_f, "ax", @progbits
    .option push
    .option norelax
    .option norvc
    .option arch, +m
    .p2align 2
    .globl surety_keccak_f
    .type surety_keccak_f, @function

/* Stack: the second copy of the state, the round constants (low word, high word), then what must be kept. */
    .set .Lkeccak_constants, 200
    .set .Lkeccak_saved, 392
    .set .Lkeccak_frame, 448

/* The parity of a column. */
.macro KECCAK_PARITY base, offset, low, high
    lw \low, \offset(\base)
    lw \high, \offset+4(\base)
    .irp row, 40, 80, 120, 160
    lw a4, \offset+\row(\base)
    lw a5, \offset+\row+4(\base)
    xor \low, \low, a4
    xor \high, \high, a5
    .endr
.endm

/* What theta adds to a column: the parity on its left, and that on its right rotated by 1. */
.macro KECCAK_THETA low, high, left_low, left_high, right_low, right_high
    slli \low, \right_low, 1
    srli a4, \right_high, 31
    or \low, \low, a4
    xor \low, \low, \left_low
    slli \high, \right_high, 1
    srli a4, \right_low, 31
    or \high, \high, a4
    xor \high, \high, \left_high
.endm

/* Theta, rho and pi for one lane: loads it, adds, rotates left by `turn` (never 32). */
.macro KECCAK_LANE low, high, base, offset, add_low, add_high, turn
    lw a4, \offset(\base)
    lw a5, \offset+4(\base)
    .if \turn == 0
    xor \low, a4, \add_low
    xor \high, a5, \add_high
    .else
    xor a4, a4, \add_low
    xor a5, a5, \add_high
    .if \turn < 32
    slli \low, a4, \turn
    srli a6, a5, 32-\turn
    or \low, \low, a6
    slli \high, a5, \turn
    srli a6, a4, 32-\turn
    or \high, \high, a6
    .else
    slli \low, a5, \turn-32
    srli a6, a4, 64-\turn
    or \low, \low, a6
    slli \high, a4, \turn-32
    srli a6, a5, 64-\turn
    or \high, \high, a6
    .endif
    .endif
.endm

/* Chi for one lane: stores x ^ (y op z), op being `and` or `or`. */
.macro KECCAK_CHI base, offset, op, x_low, x_high, y_low, y_high, z_low, z_high
    \op a4, \y_low, \z_low
    \op a5, \y_high, \z_high
    xor a4, a4, \x_low
    xor a5, a5, \x_high
    sw a4, \offset(\base)
    sw a5, \offset+4(\base)
.endm

/* The same with the complement of y. */
.macro KECCAK_CHI_NOT base, offset, op, x_low, x_high, y_low, y_high, z_low, z_high
    not a4, \y_low
    not a5, \y_high
    \op a4, a4, \z_low
    \op a5, a5, \z_high
    xor a4, a4, \x_low
    xor a5, a5, \x_high
    sw a4, \offset(\base)
    sw a5, \offset+4(\base)
.endm

.macro KECCAK_NOT low, high
    not \low, \low
    not \high, \high
.endm

.macro KECCAK_ROUND from, to
    KECCAK_PARITY \from, 0, t0, t1
    KECCAK_PARITY \from, 8, t2, t3
    KECCAK_PARITY \from, 16, t4, t5
    KECCAK_PARITY \from, 24, t6, a1
    KECCAK_PARITY \from, 32, a2, a3
    KECCAK_THETA s0, s1, a2, a3, t2, t3
    KECCAK_THETA s2, s3, t0, t1, t4, t5
    KECCAK_THETA s4, s5, t2, t3, t6, a1
    KECCAK_THETA s6, s7, t4, t5, a2, a3
    KECCAK_THETA s8, s9, t6, a1, t0, t1
    /* row 0 */
    KECCAK_LANE t0, t1, \from, 0, s0, s1, 0
    KECCAK_LANE t2, t3, \from, 48, s2, s3, 44
    KECCAK_LANE t4, t5, \from, 96, s4, s5, 43
    KECCAK_LANE t6, a1, \from, 144, s6, s7, 21
    KECCAK_LANE a2, a3, \from, 192, s8, s9, 14
    KECCAK_CHI \to, 0, or, t0, t1, t2, t3, t4, t5
    KECCAK_CHI_NOT \to, 8, or, t2, t3, t4, t5, t6, a1
    KECCAK_CHI \to, 16, and, t4, t5, t6, a1, a2, a3
    KECCAK_CHI \to, 24, or, t6, a1, a2, a3, t0, t1
    KECCAK_CHI \to, 32, and, a2, a3, t0, t1, t2, t3
    /* row 1 */
    KECCAK_LANE t0, t1, \from, 24, s6, s7, 28
    KECCAK_LANE t2, t3, \from, 72, s8, s9, 20
    KECCAK_LANE t4, t5, \from, 80, s0, s1, 3
    KECCAK_LANE t6, a1, \from, 128, s2, s3, 45
    KECCAK_LANE a2, a3, \from, 176, s4, s5, 61
    KECCAK_CHI \to, 40, or, t0, t1, t2, t3, t4, t5
    KECCAK_CHI \to, 48, and, t2, t3, t4, t5, t6, a1
    KECCAK_CHI_NOT \to, 56, or, t4, t5, a2, a3, t6, a1
    KECCAK_CHI \to, 64, or, t6, a1, a2, a3, t0, t1
    KECCAK_CHI \to, 72, and, a2, a3, t0, t1, t2, t3
    /* row 2 */
    KECCAK_LANE t0, t1, \from, 8, s2, s3, 1
    KECCAK_LANE t2, t3, \from, 56, s4, s5, 6
    KECCAK_LANE t4, t5, \from, 104, s6, s7, 25
    KECCAK_LANE t6, a1, \from, 152, s8, s9, 8
    KECCAK_LANE a2, a3, \from, 160, s0, s1, 18
    KECCAK_CHI \to, 80, or, t0, t1, t2, t3, t4, t5
    KECCAK_CHI \to, 88, and, t2, t3, t4, t5, t6, a1
    KECCAK_NOT t6, a1
    KECCAK_CHI \to, 96, and, t4, t5, t6, a1, a2, a3
    KECCAK_CHI \to, 104, or, t6, a1, a2, a3, t0, t1
    KECCAK_CHI \to, 112, and, a2, a3, t0, t1, t2, t3
    /* row 3 */
    KECCAK_LANE t0, t1, \from, 32, s8, s9, 27
    KECCAK_LANE t2, t3, \from, 40, s0, s1, 36
    KECCAK_LANE t4, t5, \from, 88, s2, s3, 10
    KECCAK_LANE t6, a1, \from, 136, s4, s5, 15
    KECCAK_LANE a2, a3, \from, 184, s6, s7, 56
    KECCAK_CHI \to, 120, and, t0, t1, t2, t3, t4, t5
    KECCAK_CHI \to, 128, or, t2, t3, t4, t5, t6, a1
    KECCAK_NOT t6, a1
    KECCAK_CHI \to, 136, or, t4, t5, t6, a1, a2, a3
    KECCAK_CHI \to, 144, and, t6, a1, a2, a3, t0, t1
    KECCAK_CHI \to, 152, or, a2, a3, t0, t1, t2, t3
    /* row 4 */
    KECCAK_LANE t0, t1, \from, 16, s4, s5, 62
    KECCAK_LANE t2, t3, \from, 64, s6, s7, 55
    KECCAK_LANE t4, t5, \from, 112, s8, s9, 39
    KECCAK_LANE t6, a1, \from, 120, s0, s1, 41
    KECCAK_LANE a2, a3, \from, 168, s2, s3, 2
    KECCAK_CHI \to, 192, and, a2, a3, t0, t1, t2, t3
    KECCAK_CHI \to, 176, and, t4, t5, t6, a1, a2, a3
    KECCAK_CHI \to, 184, or, t6, a1, a2, a3, t0, t1
    KECCAK_NOT t2, t3
    KECCAK_CHI \to, 160, and, t0, t1, t2, t3, t4, t5
    KECCAK_CHI \to, 168, or, t2, t3, t4, t5, t6, a1
    /* iota */
    lw a4, 0(\to)
    lw a5, 0(s11)
    xor a4, a4, a5
    sw a4, 0(\to)
    lw a4, 4(\to)
    lw a5, 4(s11)
    xor a4, a4, a5
    sw a4, 4(\to)
    addi s11, s11, 8
.endm

/* Complements the six lanes. */
.macro KECCAK_COMPLEMENT
    .irp offset, 8, 16, 64, 96, 136, 160
    lw a4, \offset(a0)
    lw a5, \offset+4(a0)
    not a4, a4
    not a5, a5
    sw a4, \offset(a0)
    sw a5, \offset+4(a0)
    .endr
.endm

/* Stores a round constant; t1 is 2^31. The low words above 2^31 are given without it, and then `top` is 1. */
.macro KECCAK_CONSTANT round, low, top, high
    .if \low < 2048
    addi t0, zero, \low
    .else
    lui t0, (\low + 0x800) >> 12
    addi t0, t0, (\low & 0xfff) - ((\low & 0x800) << 1)
    .endif
    .if \top
    or t0, t0, t1
    .endif
    sw t0, .Lkeccak_constants + 8 * \round(sp)
    .if \high
    sw t1, .Lkeccak_constants + 8 * \round + 4(sp)
    .else
    sw zero, .Lkeccak_constants + 8 * \round + 4(sp)
    .endif
.endm

surety_keccak_f:
    addi sp, sp, -.Lkeccak_frame
    sw s0, .Lkeccak_saved + 0(sp)
    sw s1, .Lkeccak_saved + 4(sp)
    sw s2, .Lkeccak_saved + 8(sp)
    sw s3, .Lkeccak_saved + 12(sp)
    sw s4, .Lkeccak_saved + 16(sp)
    sw s5, .Lkeccak_saved + 20(sp)
    sw s6, .Lkeccak_saved + 24(sp)
    sw s7, .Lkeccak_saved + 28(sp)
    sw s8, .Lkeccak_saved + 32(sp)
    sw s9, .Lkeccak_saved + 36(sp)
    sw s10, .Lkeccak_saved + 40(sp)
    sw s11, .Lkeccak_saved + 44(sp)
    lui t1, 0x80000
    KECCAK_CONSTANT 0, 0x0001, 0, 0
    KECCAK_CONSTANT 1, 0x8082, 0, 0
    KECCAK_CONSTANT 2, 0x808a, 0, 1
    KECCAK_CONSTANT 3, 0x8000, 1, 1
    KECCAK_CONSTANT 4, 0x808b, 0, 0
    KECCAK_CONSTANT 5, 0x0001, 1, 0
    KECCAK_CONSTANT 6, 0x8081, 1, 1
    KECCAK_CONSTANT 7, 0x8009, 0, 1
    KECCAK_CONSTANT 8, 0x008a, 0, 0
    KECCAK_CONSTANT 9, 0x0088, 0, 0
    KECCAK_CONSTANT 10, 0x8009, 1, 0
    KECCAK_CONSTANT 11, 0x000a, 1, 0
    KECCAK_CONSTANT 12, 0x808b, 1, 0
    KECCAK_CONSTANT 13, 0x008b, 0, 1
    KECCAK_CONSTANT 14, 0x8089, 0, 1
    KECCAK_CONSTANT 15, 0x8003, 0, 1
    KECCAK_CONSTANT 16, 0x8002, 0, 1
    KECCAK_CONSTANT 17, 0x0080, 0, 1
    KECCAK_CONSTANT 18, 0x800a, 0, 0
    KECCAK_CONSTANT 19, 0x000a, 1, 1
    KECCAK_CONSTANT 20, 0x8081, 1, 1
    KECCAK_CONSTANT 21, 0x8080, 0, 1
    KECCAK_CONSTANT 22, 0x0001, 1, 0
    KECCAK_CONSTANT 23, 0x8008, 1, 1
    KECCAK_COMPLEMENT
    addi s11, sp, .Lkeccak_constants
.Lkeccak_rounds:
    KECCAK_ROUND a0, sp
    KECCAK_ROUND sp, a0
    addi a4, sp, .Lkeccak_saved
    /* Too far for a branch. */
    beq s11, a4, .Lkeccak_done
    jal zero, .Lkeccak_rounds
.Lkeccak_done:
    KECCAK_COMPLEMENT
    lw s0, .Lkeccak_saved + 0(sp)
    lw s1, .Lkeccak_saved + 4(sp)
    lw s2, .Lkeccak_saved + 8(sp)
    lw s3, .Lkeccak_saved + 12(sp)
    lw s4, .Lkeccak_saved + 16(sp)
    lw s5, .Lkeccak_saved + 20(sp)
    lw s6, .Lkeccak_saved + 24(sp)
    lw s7, .Lkeccak_saved + 28(sp)
    lw s8, .Lkeccak_saved + 32(sp)
    lw s9, .Lkeccak_saved + 36(sp)
    lw s10, .Lkeccak_saved + 40(sp)
    lw s11, .Lkeccak_saved + 44(sp)
    /* Nothing is left behind. */
    addi t0, sp, .Lkeccak_frame
.Lkeccak_clear:
    sw zero, 0(sp)
    sw zero, 4(sp)
    sw zero, 8(sp)
    sw zero, 12(sp)
    sw zero, 16(sp)
    sw zero, 20(sp)
    sw zero, 24(sp)
    sw zero, 28(sp)
    addi sp, sp, 32
    bne sp, t0, .Lkeccak_clear
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t4, zero, 0
    addi t5, zero, 0
    addi t6, zero, 0
    addi a1, zero, 0
    addi a2, zero, 0
    addi a3, zero, 0
    addi a4, zero, 0
    addi a5, zero, 0
    addi a6, zero, 0
    jalr zero, 0(ra)
    .size surety_keccak_f, . - surety_keccak_f
    .option pop
