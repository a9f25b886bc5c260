/* int32_t surety_dot_i8(const int8_t *a, const int8_t *b, size_t length)

   The sum of the products, modulo 2^32. The steps depend on the length only. No stack; the registers it uses are zero
   at the return. The same bytes wherever it is linked: engines know it by the hash of its words. */
    .section .text.surety_dot_i8, "ax", @progbits
    .option push
    .option norelax
    .option norvc
    .option arch, +m
    .p2align 2
    .globl surety_dot_i8
    .type surety_dot_i8, @function
surety_dot_i8:
    addi a3, zero, 0
    srli t0, a2, 3
    beq t0, zero, .Ldot_rest
.Ldot_block:
    .irp offset, 0, 1, 2, 3, 4, 5, 6, 7
    lb t1, \offset(a0)
    lb t2, \offset(a1)
    mul t1, t1, t2
    add a3, a3, t1
    .endr
    addi a0, a0, 8
    addi a1, a1, 8
    addi t0, t0, -1
    bne t0, zero, .Ldot_block
.Ldot_rest:
    andi a2, a2, 7
    beq a2, zero, .Ldot_done
.Ldot_one:
    lb t1, 0(a0)
    lb t2, 0(a1)
    mul t1, t1, t2
    add a3, a3, t1
    addi a0, a0, 1
    addi a1, a1, 1
    addi a2, a2, -1
    bne a2, zero, .Ldot_one
.Ldot_done:
    addi a0, a3, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi a1, zero, 0
    addi a3, zero, 0
    jalr zero, 0(ra)
    .size surety_dot_i8, . - surety_dot_i8
    .option pop
