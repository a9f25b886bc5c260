/* int memcmp(const void *a, const void *b, size_t length), and bcmp, which is the same

   As C has it; the result is the difference of the first bytes that differ. The steps depend on where that is, on the
   length, and on both addresses modulo 4. No stack; the registers it uses are zero at the return. The same bytes
   wherever it is linked: engines know it by the hash of its words. */
    .section .text.memcmp, "ax", @progbits
    .option push
    .option norelax
    .option norvc
    .option arch, +m
    .p2align 2
    .globl memcmp
    .type memcmp, @function
    .globl bcmp
    .type bcmp, @function
bcmp:
memcmp:
    sltiu t0, a2, 8
    bne t0, zero, .Lmemcmp_rest
    xor t0, a0, a1
    andi t0, t0, 3
    bne t0, zero, .Lmemcmp_rest
.Lmemcmp_head:
    andi t0, a0, 3
    beq t0, zero, .Lmemcmp_words
    lbu t0, 0(a0)
    lbu t1, 0(a1)
    bne t0, t1, .Lmemcmp_different
    addi a0, a0, 1
    addi a1, a1, 1
    addi a2, a2, -1
    jal zero, .Lmemcmp_head
.Lmemcmp_words:
    srli t2, a2, 2
.Lmemcmp_word:
    lw t0, 0(a0)
    lw t1, 0(a1)
    bne t0, t1, .Lmemcmp_within
    addi a0, a0, 4
    addi a1, a1, 4
    addi t2, t2, -1
    bne t2, zero, .Lmemcmp_word
    andi a2, a2, 3
.Lmemcmp_rest:
    beq a2, zero, .Lmemcmp_equal
.Lmemcmp_byte:
    lbu t0, 0(a0)
    lbu t1, 0(a1)
    bne t0, t1, .Lmemcmp_different
    addi a0, a0, 1
    addi a1, a1, 1
    addi a2, a2, -1
    bne a2, zero, .Lmemcmp_byte
.Lmemcmp_equal:
    addi t0, zero, 0
    addi t1, zero, 0
    jal zero, .Lmemcmp_different
.Lmemcmp_within:
    /* Which of the four bytes it is. */
    addi a2, zero, 4
    jal zero, .Lmemcmp_byte
.Lmemcmp_different:
    sub a0, t0, t1
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi a1, zero, 0
    addi a2, zero, 0
    jalr zero, 0(ra)
    .size memcmp, . - memcmp
    .option pop
