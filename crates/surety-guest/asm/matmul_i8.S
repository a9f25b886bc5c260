/* void surety_matmul_i8(int32_t *out, const int8_t *a, const int8_t *b, size_t m, size_t n, size_t k)

   out = a times the transpose of b, modulo 2^32: a has m rows of k numbers, b has n rows of k, out has m rows of n; each
   row behind the other, without gaps. `out` is aligned to 4 bytes and overlaps nothing.

   The steps depend on m, n and k only. Uses 20 of 32 bytes of stack, zero at the return, as are the registers it uses and
   need not keep. The same bytes wherever it is linked: engines know it by the hash of its words. */
    .section .text.surety_matmul_i8, "ax", @progbits
    .option push
    .option norelax
    .option norvc
    .option arch, +m
    .p2align 2
    .globl surety_matmul_i8
    .type surety_matmul_i8, @function
/* One number of a row of a (t2) with those of four rows of b (t3 to t6); the sums are s0 to s3. */
.macro MATMUL_FOUR offset
    lb a6, \offset(t2)
    lb a7, \offset(t3)
    mul a7, a7, a6
    add s0, s0, a7
    lb a7, \offset(t4)
    mul a7, a7, a6
    add s1, s1, a7
    lb a7, \offset(t5)
    mul a7, a7, a6
    add s2, s2, a7
    lb a7, \offset(t6)
    mul a7, a7, a6
    add s3, s3, a7
.endm

.macro MATMUL_ADVANCE by
    .irp cursor, t2, t3, t4, t5, t6
    addi \cursor, \cursor, \by
    .endr
.endm

surety_matmul_i8:
    addi sp, sp, -32
    sw s0, 0(sp)
    sw s1, 4(sp)
    sw s2, 8(sp)
    sw s3, 12(sp)
    sw s4, 16(sp)
.Lmatmul_row:
    beq a3, zero, .Lmatmul_done
    addi t0, a4, 0
    addi t3, a2, 0
.Lmatmul_columns:
    sltiu a6, t0, 4
    bne a6, zero, .Lmatmul_column
    add t4, t3, a5
    add t5, t4, a5
    add t6, t5, a5
    addi t2, a1, 0
    addi s0, zero, 0
    addi s1, zero, 0
    addi s2, zero, 0
    addi s3, zero, 0
    srli s4, a5, 2
    beq s4, zero, .Lmatmul_four_rest
.Lmatmul_four_block:
    MATMUL_FOUR 0
    MATMUL_FOUR 1
    MATMUL_FOUR 2
    MATMUL_FOUR 3
    MATMUL_ADVANCE 4
    addi s4, s4, -1
    bne s4, zero, .Lmatmul_four_block
.Lmatmul_four_rest:
    andi s4, a5, 3
    beq s4, zero, .Lmatmul_four_store
.Lmatmul_four_one:
    MATMUL_FOUR 0
    MATMUL_ADVANCE 1
    addi s4, s4, -1
    bne s4, zero, .Lmatmul_four_one
.Lmatmul_four_store:
    sw s0, 0(a0)
    sw s1, 4(a0)
    sw s2, 8(a0)
    sw s3, 12(a0)
    addi a0, a0, 16
    addi t0, t0, -4
    /* The fourth row's end is the next one's beginning. */
    addi t3, t6, 0
    jal zero, .Lmatmul_columns
.Lmatmul_column:
    beq t0, zero, .Lmatmul_row_end
    addi t2, a1, 0
    addi s0, zero, 0
    addi s4, a5, 0
    beq s4, zero, .Lmatmul_store
.Lmatmul_one:
    lb a6, 0(t2)
    lb a7, 0(t3)
    mul a7, a7, a6
    add s0, s0, a7
    addi t2, t2, 1
    addi t3, t3, 1
    addi s4, s4, -1
    bne s4, zero, .Lmatmul_one
.Lmatmul_store:
    sw s0, 0(a0)
    addi a0, a0, 4
    addi t0, t0, -1
    jal zero, .Lmatmul_column
.Lmatmul_row_end:
    add a1, a1, a5
    addi a3, a3, -1
    jal zero, .Lmatmul_row
.Lmatmul_done:
    lw s0, 0(sp)
    lw s1, 4(sp)
    lw s2, 8(sp)
    lw s3, 12(sp)
    lw s4, 16(sp)
    sw zero, 0(sp)
    sw zero, 4(sp)
    sw zero, 8(sp)
    sw zero, 12(sp)
    sw zero, 16(sp)
    addi sp, sp, 32
    addi t0, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t4, zero, 0
    addi t5, zero, 0
    addi t6, zero, 0
    addi a0, zero, 0
    addi a1, zero, 0
    addi a2, zero, 0
    addi a4, zero, 0
    addi a5, zero, 0
    addi a6, zero, 0
    addi a7, zero, 0
    jalr zero, 0(ra)
    .size surety_matmul_i8, . - surety_matmul_i8
    .option pop
