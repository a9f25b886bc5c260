/* void *memcpy(void *to, const void *from, size_t length)

   As C has it. The steps depend on the length and on both addresses modulo 4. No stack; the registers it uses are zero
   at the return. The same bytes wherever it is linked: engines know it by the hash of its words. */
    .section .text.memcpy, "ax", @progbits
    .option push
    .option norelax
    .option norvc
    .option arch, +m
    .p2align 2
    .globl memcpy
    .type memcpy, @function
memcpy:
    addi a3, a0, 0
    sltiu t0, a2, 16
    bne t0, zero, .Lmemcpy_short
.Lmemcpy_head:
    andi t0, a3, 3
    beq t0, zero, .Lmemcpy_aligned
    lbu t1, 0(a1)
    sb t1, 0(a3)
    addi a1, a1, 1
    addi a3, a3, 1
    addi a2, a2, -1
    jal zero, .Lmemcpy_head
.Lmemcpy_short:
    /* Words only where nothing has to be aligned. */
    or t0, a0, a1
    andi t0, t0, 3
    bne t0, zero, .Lmemcpy_rest
    jal zero, .Lmemcpy_words
.Lmemcpy_aligned:
    andi t0, a1, 3
    bne t0, zero, .Lmemcpy_shifted
    srli t2, a2, 5
    beq t2, zero, .Lmemcpy_words
.Lmemcpy_block:
    lw t0, 0(a1)
    lw t1, 4(a1)
    lw t3, 8(a1)
    lw t4, 12(a1)
    lw t5, 16(a1)
    lw t6, 20(a1)
    lw a4, 24(a1)
    lw a5, 28(a1)
    sw t0, 0(a3)
    sw t1, 4(a3)
    sw t3, 8(a3)
    sw t4, 12(a3)
    sw t5, 16(a3)
    sw t6, 20(a3)
    sw a4, 24(a3)
    sw a5, 28(a3)
    addi a1, a1, 32
    addi a3, a3, 32
    addi t2, t2, -1
    bne t2, zero, .Lmemcpy_block
    addi t3, zero, 0
    addi t4, zero, 0
    addi t5, zero, 0
    addi t6, zero, 0
    addi a4, zero, 0
    addi a5, zero, 0
    andi a2, a2, 31
.Lmemcpy_words:
    srli t2, a2, 2
    beq t2, zero, .Lmemcpy_bytes
.Lmemcpy_word:
    lw t1, 0(a1)
    sw t1, 0(a3)
    addi a1, a1, 4
    addi a3, a3, 4
    addi t2, t2, -1
    bne t2, zero, .Lmemcpy_word
.Lmemcpy_bytes:
    andi a2, a2, 3
.Lmemcpy_rest:
    beq a2, zero, .Lmemcpy_done
.Lmemcpy_byte:
    lbu t1, 0(a1)
    sb t1, 0(a3)
    addi a1, a1, 1
    addi a3, a3, 1
    addi a2, a2, -1
    bne a2, zero, .Lmemcpy_byte
.Lmemcpy_done:
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi a1, zero, 0
    addi a3, zero, 0
    jal zero, .Lmemcpy_return

/* Words of `from` lie across two aligned ones: t1 is the lower one, t5 the upper one, then the other way round. t2 and
   t3 are the shifts to the right and to the left, t4 counts, t0 is `from` modulo 4. */
.macro MEMCPY_PAIR lower, upper, offset
    lw \upper, \offset + 4(a1)
    srl t6, \lower, t2
    sll a4, \upper, t3
    or t6, t6, a4
    sw t6, \offset(a3)
.endm

.Lmemcpy_shifted:
    slli t2, t0, 3
    sub t3, zero, t2
    sub a1, a1, t0
    lw t1, 0(a1)
    srli t4, a2, 4
    beq t4, zero, .Lmemcpy_pairs
.Lmemcpy_quad:
    MEMCPY_PAIR t1, t5, 0
    MEMCPY_PAIR t5, t1, 4
    MEMCPY_PAIR t1, t5, 8
    MEMCPY_PAIR t5, t1, 12
    addi a1, a1, 16
    addi a3, a3, 16
    addi t4, t4, -1
    bne t4, zero, .Lmemcpy_quad
.Lmemcpy_pairs:
    andi a2, a2, 15
    srli t4, a2, 2
    beq t4, zero, .Lmemcpy_unshift
.Lmemcpy_pair:
    MEMCPY_PAIR t1, t5, 0
    addi t1, t5, 0
    addi a1, a1, 4
    addi a3, a3, 4
    addi t4, t4, -1
    bne t4, zero, .Lmemcpy_pair
.Lmemcpy_unshift:
    add a1, a1, t0
    addi t3, zero, 0
    addi t5, zero, 0
    addi t6, zero, 0
    addi a4, zero, 0
    andi a2, a2, 3
    /* As above; a routine ends with its only return. */
    bne a2, zero, .Lmemcpy_byte
    jal zero, .Lmemcpy_done
.Lmemcpy_return:
    jalr zero, 0(ra)
    .size memcpy, . - memcpy
    .option pop
