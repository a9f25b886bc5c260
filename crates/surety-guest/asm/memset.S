/* void *memset(void *to, int byte, size_t length)

   As C has it. The steps depend on the length and on `to` modulo 4. No stack; the registers it uses are zero at the
   return. The same bytes wherever it is linked: engines know it by the hash of its words. */
    .section .text.memset, "ax", @progbits
    .option push
    .option norelax
    .option norvc
    .option arch, +m
    .p2align 2
    .globl memset
    .type memset, @function
memset:
    addi a3, a0, 0
    sltiu t0, a2, 8
    bne t0, zero, .Lmemset_rest
    andi a1, a1, 255
    slli t0, a1, 8
    or a1, a1, t0
    slli t0, a1, 16
    or a1, a1, t0
.Lmemset_head:
    andi t0, a3, 3
    beq t0, zero, .Lmemset_aligned
    sb a1, 0(a3)
    addi a3, a3, 1
    addi a2, a2, -1
    jal zero, .Lmemset_head
.Lmemset_aligned:
    srli t1, a2, 5
    beq t1, zero, .Lmemset_words
.Lmemset_block:
    .irp offset, 0, 4, 8, 12, 16, 20, 24, 28
    sw a1, \offset(a3)
    .endr
    addi a3, a3, 32
    addi t1, t1, -1
    bne t1, zero, .Lmemset_block
.Lmemset_words:
    andi a2, a2, 31
    srli t1, a2, 2
    beq t1, zero, .Lmemset_bytes
.Lmemset_word:
    sw a1, 0(a3)
    addi a3, a3, 4
    addi t1, t1, -1
    bne t1, zero, .Lmemset_word
.Lmemset_bytes:
    andi a2, a2, 3
.Lmemset_rest:
    beq a2, zero, .Lmemset_done
.Lmemset_byte:
    sb a1, 0(a3)
    addi a3, a3, 1
    addi a2, a2, -1
    bne a2, zero, .Lmemset_byte
.Lmemset_done:
    addi t0, zero, 0
    addi t1, zero, 0
    addi a1, zero, 0
    addi a3, zero, 0
    jalr zero, 0(ra)
    .size memset, . - memset
    .option pop
