/* void surety_montgomery_256(uint32_t out[8], const uint32_t a[8], const uint32_t b[8], const uint32_t m[8])

   The Montgomery product modulo an odd m, R being 2^256: t = (a b + q m) / R, q the number below R that makes the
   division exact; then t - m if that is not negative; of which the low 256 bits are stored. That is a b / R modulo m, below m, if a
   or b is below m. Numbers are eight words, the lowest first, aligned to 4 bytes. `out` may be a or b.

   The steps are always the same: no branch depends on data. Uses 40 of 48 bytes of stack, zero at the return, as are the
   registers it uses and need not keep. The same bytes wherever it is linked: engines know it by the hash of its words. */
    .section .text.surety_montgomery_256, "ax", @progbits
    .option push
    .option norelax
    .option norvc
    .option arch, +m
    .p2align 2
    .globl surety_montgomery_256
    .type surety_montgomery_256, @function
/* into = from + `by` * the word at offset(base) + the carry t0; the new carry is in t0. */
.macro MONTGOMERY_ADD into, from, by, base, offset
    lw t3, \offset(\base)
    mul t1, \by, t3
    mulhu t2, \by, t3
    add t1, t1, t0
    sltu t3, t1, t0
    add t2, t2, t3
    add \into, \from, t1
    sltu t3, \into, t1
    add t0, t2, t3
.endm

/* The borrow t0 of `of` - the word t3 - t0; the difference in t1. */
.macro MONTGOMERY_SUBTRACT of
    sub t1, \of, t3
    sltu t2, \of, t3
    sltu t4, t1, t0
    sub t1, t1, t0
    or t0, t2, t4
.endm

surety_montgomery_256:
    addi sp, sp, -48
    sw s0, 0(sp)
    sw s1, 4(sp)
    sw s2, 8(sp)
    sw s3, 12(sp)
    sw s4, 16(sp)
    sw s5, 20(sp)
    sw s6, 24(sp)
    sw s7, 28(sp)
    sw s8, 32(sp)
    sw s9, 36(sp)
    /* t6 = -1 / m modulo 2^32: m itself is right in 3 bits, and each turn doubles them. */
    lw t3, 0(a3)
    addi t6, t3, 0
    addi t2, zero, 2
    .rept 4
    mul t1, t3, t6
    sub t1, t2, t1
    mul t6, t6, t1
    .endr
    sub t6, zero, t6
    /* s0 to s8 are the sum, s9 is what overflows it. */
    addi s0, zero, 0
    addi s1, zero, 0
    addi s2, zero, 0
    addi s3, zero, 0
    addi s4, zero, 0
    addi s5, zero, 0
    addi s6, zero, 0
    addi s7, zero, 0
    addi s8, zero, 0
    addi a5, a1, 32
.Lmontgomery_word:
    lw t5, 0(a1)
    addi a1, a1, 4
    addi t0, zero, 0
    MONTGOMERY_ADD s0, s0, t5, a2, 0
    MONTGOMERY_ADD s1, s1, t5, a2, 4
    MONTGOMERY_ADD s2, s2, t5, a2, 8
    MONTGOMERY_ADD s3, s3, t5, a2, 12
    MONTGOMERY_ADD s4, s4, t5, a2, 16
    MONTGOMERY_ADD s5, s5, t5, a2, 20
    MONTGOMERY_ADD s6, s6, t5, a2, 24
    MONTGOMERY_ADD s7, s7, t5, a2, 28
    add s8, s8, t0
    sltu s9, s8, t0
    /* q, and then the lowest word of the sum is zero and is dropped. */
    mul t5, s0, t6
    addi t0, zero, 0
    MONTGOMERY_ADD s0, s0, t5, a3, 0
    MONTGOMERY_ADD s0, s1, t5, a3, 4
    MONTGOMERY_ADD s1, s2, t5, a3, 8
    MONTGOMERY_ADD s2, s3, t5, a3, 12
    MONTGOMERY_ADD s3, s4, t5, a3, 16
    MONTGOMERY_ADD s4, s5, t5, a3, 20
    MONTGOMERY_ADD s5, s6, t5, a3, 24
    MONTGOMERY_ADD s6, s7, t5, a3, 28
    add s7, s8, t0
    sltu t0, s7, t0
    add s8, s9, t0
    bne a1, a5, .Lmontgomery_word
    /* Is it less than m? */
    addi t0, zero, 0
    lw t3, 0(a3)
    MONTGOMERY_SUBTRACT s0
    lw t3, 4(a3)
    MONTGOMERY_SUBTRACT s1
    lw t3, 8(a3)
    MONTGOMERY_SUBTRACT s2
    lw t3, 12(a3)
    MONTGOMERY_SUBTRACT s3
    lw t3, 16(a3)
    MONTGOMERY_SUBTRACT s4
    lw t3, 20(a3)
    MONTGOMERY_SUBTRACT s5
    lw t3, 24(a3)
    MONTGOMERY_SUBTRACT s6
    lw t3, 28(a3)
    MONTGOMERY_SUBTRACT s7
    /* If not, m is subtracted: t6 is all ones then, else zero. */
    sltu t6, s8, t0
    addi t6, t6, -1
    addi t0, zero, 0
    lw t3, 0(a3)
    and t3, t3, t6
    MONTGOMERY_SUBTRACT s0
    sw t1, 0(a0)
    lw t3, 4(a3)
    and t3, t3, t6
    MONTGOMERY_SUBTRACT s1
    sw t1, 4(a0)
    lw t3, 8(a3)
    and t3, t3, t6
    MONTGOMERY_SUBTRACT s2
    sw t1, 8(a0)
    lw t3, 12(a3)
    and t3, t3, t6
    MONTGOMERY_SUBTRACT s3
    sw t1, 12(a0)
    lw t3, 16(a3)
    and t3, t3, t6
    MONTGOMERY_SUBTRACT s4
    sw t1, 16(a0)
    lw t3, 20(a3)
    and t3, t3, t6
    MONTGOMERY_SUBTRACT s5
    sw t1, 20(a0)
    lw t3, 24(a3)
    and t3, t3, t6
    MONTGOMERY_SUBTRACT s6
    sw t1, 24(a0)
    lw t3, 28(a3)
    and t3, t3, t6
    MONTGOMERY_SUBTRACT s7
    sw t1, 28(a0)
    lw s0, 0(sp)
    lw s1, 4(sp)
    lw s2, 8(sp)
    lw s3, 12(sp)
    lw s4, 16(sp)
    lw s5, 20(sp)
    lw s6, 24(sp)
    lw s7, 28(sp)
    lw s8, 32(sp)
    lw s9, 36(sp)
    sw zero, 0(sp)
    sw zero, 4(sp)
    sw zero, 8(sp)
    sw zero, 12(sp)
    sw zero, 16(sp)
    sw zero, 20(sp)
    sw zero, 24(sp)
    sw zero, 28(sp)
    sw zero, 32(sp)
    sw zero, 36(sp)
    addi sp, sp, 48
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t4, zero, 0
    addi t5, zero, 0
    addi t6, zero, 0
    addi a1, zero, 0
    addi a5, zero, 0
    jalr zero, 0(ra)
    .size surety_montgomery_256, . - surety_montgomery_256
    .option pop
