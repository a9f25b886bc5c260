/* 32-bit floating point on integers: what compilers call for `float` where there is no unit for it.

   IEEE 754, rounding to nearest, ties to even, subnormals and all. A NaN is always 0x7fc00000, as RISC-V's unit makes it.
   Numbers are given and returned as their bits, in a0 and a1. Few branches, so that the steps depend on nothing but
   whether an operand is special (infinite, not a number, and so on). No stack; the registers used are zero at the
   return. The same bytes wherever they are linked: engines know each routine by the hash of its words. */
    .option push
    .option norelax
    .option norvc
    .option arch, +m

/* The exponent, 1 for subnormal numbers; the significand, its leading bit at 31. */
.macro FLOAT_UNPACK exponent, significand, from, t
    slli \exponent, \from, 1
    srli \exponent, \exponent, 24
    slli \significand, \from, 9
    srli \significand, \significand, 1
    sltiu \t, \exponent, 1
    add \exponent, \exponent, \t
    xori \t, \t, 1
    slli \t, \t, 31
    or \significand, \significand, \t
.endm

/* Shifts x to the left until its highest bit is set, by `by`; 31 where x is zero. */
.macro FLOAT_NORMALISE x, by, t
    srli \t, \x, 16
    sltiu \t, \t, 1
    slli \by, \t, 4
    sll \x, \x, \by
    srli \t, \x, 24
    sltiu \t, \t, 1
    slli \t, \t, 3
    sll \x, \x, \t
    add \by, \by, \t
    srli \t, \x, 28
    sltiu \t, \t, 1
    slli \t, \t, 2
    sll \x, \x, \t
    add \by, \by, \t
    srli \t, \x, 30
    sltiu \t, \t, 1
    slli \t, \t, 1
    sll \x, \x, \t
    add \by, \by, \t
    srli \t, \x, 31
    xori \t, \t, 1
    sll \x, \x, \t
    add \by, \by, \t
.endm

/* into = the lower of `from` (signed) and `most`. */
.macro FLOAT_AT_MOST into, from, most, t
    addi \into, \from, -\most
    srai \t, \into, 31
    and \into, \into, \t
    addi \into, \into, \most
.endm

/* x = from shifted to the right by `by`, below 32; what falls out sets the lowest bit. */
.macro FLOAT_JAM x, from, by, t
    srl \x, \from, \by
    sll \t, \x, \by
    xor \t, \t, \from
    sltu \t, zero, \t
    or \x, \x, \t
.endm

/* a0 = x / 2^31 times 2^(exponent - 126), rounded, with the sign. x is zero or has its highest bit set, its lowest bit says
   that there is more below. Changes all that it is given. */
.macro FLOAT_ROUND x, exponent, sign, t, u, v
    /* Below the normal numbers: shift to the right, and exponent 0. */
    sub \t, zero, \exponent
    srai \u, \t, 31
    not \u, \u
    and \t, \t, \u
    add \exponent, \exponent, \t
    FLOAT_AT_MOST \u, \t, 31, \v
    FLOAT_JAM \t, \x, \u, \v
    /* 24 bits of 32, the tie to the even one. */
    srli \v, \t, 8
    andi \t, \t, 255
    andi \u, \v, 1
    addi \t, \t, 127
    add \t, \t, \u
    srli \t, \t, 8
    add \v, \v, \t
    /* The leading bit counts as 1 in the exponent; zero has neither. */
    FLOAT_AT_MOST \u, \exponent, 254, \t
    slli \u, \u, 23
    sltu \t, zero, \x
    sub \t, zero, \t
    and \u, \u, \t
    add \v, \v, \u
    /* Not above infinity. */
    lui \t, 0x7f800
    sub \v, \v, \t
    srai \u, \v, 31
    and \v, \v, \u
    add \v, \v, \t
    or a0, \v, \sign
.endm

/* a0 = NaN if `when` is 1, `otherwise` if it is 0. */
.macro FLOAT_NAN_IF when, otherwise, t
    sub \when, zero, \when
    lui \t, 0x7fc00
    and \t, \t, \when
    not \when, \when
    and a0, \otherwise, \when
    or a0, a0, \t
.endm

/* a0 + a1. */
.macro FLOAT_ADD name
    /* The larger one to a0. */
    slli t0, a0, 1
    slli t1, a1, 1
    sltu t0, t0, t1
    sub t0, zero, t0
    xor t1, a0, a1
    and t1, t1, t0
    xor a0, a0, t1
    xor a1, a1, t1
    FLOAT_UNPACK a2, a3, a0, t0
    FLOAT_UNPACK a4, a5, a1, t0
    addi t0, zero, 255
    beq a2, t0, .L\name\()_special
    /* A bit for the carry; seven are left to round by. */
    srli a3, a3, 1
    srli a5, a5, 1
    sub t1, a2, a4
    FLOAT_AT_MOST t0, t1, 31, t2
    FLOAT_JAM t2, a5, t0, t3
    xor t3, a0, a1
    srai t3, t3, 31
    xor t2, t2, t3
    sub t2, t2, t3
    add t2, t2, a3
    /* The sign of the larger one; of a zero sum, minus only where both have it. */
    sltiu t0, t2, 1
    addi t0, t0, -1
    or t0, t0, a1
    and t6, t0, a0
    srli t6, t6, 31
    slli t6, t6, 31
    FLOAT_NORMALISE t2, t3, t0
    sub a2, a2, t3
    FLOAT_ROUND t2, a2, t6, t0, t1, t3
    jal zero, .L\name\()_done
.L\name\()_special:
    /* NaN if one is, or infinities of both signs meet; else the infinity. */
    lui t0, 0xff000
    slli t1, a0, 1
    sltu t1, t0, t1
    slli t2, a1, 1
    xor t2, t2, t0
    sltiu t2, t2, 1
    xor t3, a0, a1
    srli t3, t3, 31
    and t2, t2, t3
    or t1, t1, t2
    FLOAT_NAN_IF t1, a0, t0
.L\name\()_done:
.endm

/* float __addsf3(float a, float b): a + b. */
    .section .text.__addsf3, "ax", @progbits
    .p2align 2
    .globl __addsf3
    .type __addsf3, @function
__addsf3:
    FLOAT_ADD addsf3
    addi a1, zero, 0
    addi a2, zero, 0
    addi a3, zero, 0
    addi a4, zero, 0
    addi a5, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t6, zero, 0
    jalr zero, 0(ra)
    .size __addsf3, . - __addsf3

/* float __subsf3(float a, float b): a - b. */
    .section .text.__subsf3, "ax", @progbits
    .p2align 2
    .globl __subsf3
    .type __subsf3, @function
__subsf3:
    lui t0, 0x80000
    xor a1, a1, t0
    FLOAT_ADD subsf3
    addi a1, zero, 0
    addi a2, zero, 0
    addi a3, zero, 0
    addi a4, zero, 0
    addi a5, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t6, zero, 0
    jalr zero, 0(ra)
    .size __subsf3, . - __subsf3

/* float __mulsf3(float a, float b): a b. */
    .section .text.__mulsf3, "ax", @progbits
    .p2align 2
    .globl __mulsf3
    .type __mulsf3, @function
__mulsf3:
    xor t6, a0, a1
    srli t6, t6, 31
    slli t6, t6, 31
    FLOAT_UNPACK a2, a3, a0, t0
    FLOAT_UNPACK a4, a5, a1, t0
    sltiu t0, a2, 255
    sltiu t1, a4, 255
    and t0, t0, t1
    beq t0, zero, .Lmulsf3_special
    mulhu t1, a3, a5
    mul t2, a3, a5
    add a2, a2, a4
    FLOAT_NORMALISE t1, t3, t0
    not t0, t3
    srli a4, t2, 1
    srl a4, a4, t0
    or t1, t1, a4
    sll t2, t2, t3
    sltu t2, zero, t2
    or t1, t1, t2
    sub a2, a2, t3
    addi a2, a2, -127
    FLOAT_ROUND t1, a2, t6, t0, t2, t3
    jal zero, .Lmulsf3_done
.Lmulsf3_special:
    /* NaN if one is, or infinity meets zero; else infinity. */
    lui t0, 0xff000
    slli t1, a0, 1
    slli t2, a1, 1
    sltu t3, t0, t1
    sltu t0, t0, t2
    or t3, t3, t0
    sltiu t1, t1, 1
    sltiu t2, t2, 1
    or t3, t3, t1
    or t3, t3, t2
    lui t0, 0x7f800
    or t6, t6, t0
    FLOAT_NAN_IF t3, t6, t0
.Lmulsf3_done:
    addi a1, zero, 0
    addi a2, zero, 0
    addi a3, zero, 0
    addi a4, zero, 0
    addi a5, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t6, zero, 0
    jalr zero, 0(ra)
    .size __mulsf3, . - __mulsf3

.macro FLOAT_DIGIT bits
    slli a3, a3, \bits
    divu t0, a3, a5
    remu a3, a3, a5
    slli t1, t1, \bits
    or t1, t1, t0
.endm

/* float __divsf3(float a, float b): a / b. */
    .section .text.__divsf3, "ax", @progbits
    .p2align 2
    .globl __divsf3
    .type __divsf3, @function
__divsf3:
    xor t6, a0, a1
    srli t6, t6, 31
    slli t6, t6, 31
    FLOAT_UNPACK a2, a3, a0, t0
    FLOAT_UNPACK a4, a5, a1, t0
    sltiu t0, a2, 255
    sltiu t1, a4, 255
    and t0, t0, t1
    slli t1, a1, 1
    sltu t1, zero, t1
    and t0, t0, t1
    beq t0, zero, .Ldivsf3_special
    FLOAT_NORMALISE a3, t3, t0
    sub a2, a2, t3
    FLOAT_NORMALISE a5, t3, t0
    add a2, a2, t3
    sub a2, a2, a4
    srli a3, a3, 8
    srli a5, a5, 8
    /* One bit, which is zero where a's significand is the lower one, then 31 more. */
    sltu t2, a3, a5
    addi t0, t2, -1
    and t0, t0, a5
    sub a3, a3, t0
    xori t1, t2, 1
    FLOAT_DIGIT 8
    FLOAT_DIGIT 8
    FLOAT_DIGIT 8
    FLOAT_DIGIT 7
    sll t1, t1, t2
    sltu t0, zero, a3
    or t1, t1, t0
    sub a2, a2, t2
    addi a2, a2, 126
    FLOAT_ROUND t1, a2, t6, t0, t2, t3
    jal zero, .Ldivsf3_done
.Ldivsf3_special:
    /* NaN if one is, or both are zero or infinite; infinity if a is or b is zero; else zero. */
    lui t0, 0xff000
    slli t1, a0, 1
    slli t2, a1, 1
    sltu t3, t0, t1
    sltu a2, t0, t2
    or t3, t3, a2
    xor a2, t1, t2
    sltiu a2, a2, 1
    or t3, t3, a2
    xor t1, t1, t0
    sltiu t1, t1, 1
    sltiu t2, t2, 1
    or t1, t1, t2
    sub t1, zero, t1
    lui t0, 0x7f800
    and t0, t0, t1
    or t6, t6, t0
    FLOAT_NAN_IF t3, t6, t0
.Ldivsf3_done:
    addi a1, zero, 0
    addi a2, zero, 0
    addi a3, zero, 0
    addi a4, zero, 0
    addi a5, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t6, zero, 0
    jalr zero, 0(ra)
    .size __divsf3, . - __divsf3

/* float surety_sqrt_f32(float a): the square root. */
    .section .text.surety_sqrt_f32, "ax", @progbits
    .p2align 2
    .globl surety_sqrt_f32
    .type surety_sqrt_f32, @function
surety_sqrt_f32:
    /* All but the positive, finite numbers. */
    addi t0, a0, -1
    lui t1, 0x7f800
    addi t1, t1, -1
    sltu t0, t0, t1
    beq t0, zero, .Lsqrt_special
    FLOAT_UNPACK a2, a3, a0, t0
    FLOAT_NORMALISE a3, t3, t0
    sub a2, a2, t3
    /* An even power of two, and a number from 1 to 4, whose two highest bits are before the point. */
    andi t0, a2, 1
    srl a3, a3, t0
    addi a2, a2, -127
    srai a2, a2, 1
    addi a2, a2, 126
    /* 26 bits of the root in t1, one a turn; the remainder in t2. */
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 26
.Lsqrt_bit:
    slli t2, t2, 2
    srli t0, a3, 30
    or t2, t2, t0
    slli a3, a3, 2
    slli t0, t1, 2
    ori t0, t0, 1
    sltu t6, t2, t0
    addi a1, t6, -1
    and t0, t0, a1
    sub t2, t2, t0
    slli t1, t1, 1
    xori t6, t6, 1
    or t1, t1, t6
    addi t3, t3, -1
    bne t3, zero, .Lsqrt_bit
    slli t1, t1, 6
    sltu t0, zero, t2
    or t1, t1, t0
    addi t6, zero, 0
    FLOAT_ROUND t1, a2, t6, t0, t2, t3
    jal zero, .Lsqrt_done
.Lsqrt_special:
    /* Zeros and infinity are their own roots; nothing else here has one. */
    slli t1, a0, 1
    sltu t1, zero, t1
    lui t0, 0x7f800
    xor t2, a0, t0
    sltu t2, zero, t2
    and t1, t1, t2
    FLOAT_NAN_IF t1, a0, t0
.Lsqrt_done:
    addi a1, zero, 0
    addi a2, zero, 0
    addi a3, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t6, zero, 0
    jalr zero, 0(ra)
    .size surety_sqrt_f32, . - surety_sqrt_f32

/* t0 = 1 if a0 or a1 is NaN, else 0. */
.macro FLOAT_UNORDERED
    lui t0, 0xff000
    slli t1, a0, 1
    slli t2, a1, 1
    sltu t1, t0, t1
    sltu t0, t0, t2
    or t0, t0, t1
.endm

/* into = from as an integer of the same order; both zeros are 0. */
.macro FLOAT_ORDER into, from, t
    srai \t, \from, 31
    slli \into, \from, 1
    srli \into, \into, 1
    xor \into, \into, \t
    sub \into, \into, \t
.endm

/* a0 = -1, 0 or 1: less, equal, greater; 0 where t0 is 1. */
.macro FLOAT_COMPARE
    FLOAT_ORDER a0, a0, t1
    FLOAT_ORDER a1, a1, t1
    slt t1, a0, a1
    slt t2, a1, a0
    sub a0, t2, t1
    addi t1, t0, -1
    and a0, a0, t1
.endm

/* int __lesf2(float a, float b), and its other names: -1, 0 or 1 as a is less than b, equal, or greater; 1 if one is NaN. */
    .section .text.__lesf2, "ax", @progbits
    .p2align 2
    .globl __lesf2
    .type __lesf2, @function
    .globl __ltsf2
    .type __ltsf2, @function
    .globl __eqsf2
    .type __eqsf2, @function
    .globl __nesf2
    .type __nesf2, @function
    .globl __cmpsf2
    .type __cmpsf2, @function
__cmpsf2:
__nesf2:
__eqsf2:
__ltsf2:
__lesf2:
    FLOAT_UNORDERED
    FLOAT_COMPARE
    or a0, a0, t0
    addi a1, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    jalr zero, 0(ra)
    .size __lesf2, . - __lesf2

/* int __gesf2(float a, float b), and its other name: the same, but -1 if one is NaN. */
    .section .text.__gesf2, "ax", @progbits
    .p2align 2
    .globl __gesf2
    .type __gesf2, @function
    .globl __gtsf2
    .type __gtsf2, @function
__gtsf2:
__gesf2:
    FLOAT_UNORDERED
    FLOAT_COMPARE
    sub a0, a0, t0
    addi a1, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    jalr zero, 0(ra)
    .size __gesf2, . - __gesf2

/* int __unordsf2(float a, float b): 1 if one is NaN, else 0. */
    .section .text.__unordsf2, "ax", @progbits
    .p2align 2
    .globl __unordsf2
    .type __unordsf2, @function
__unordsf2:
    FLOAT_UNORDERED
    addi a0, t0, 0
    addi a1, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    jalr zero, 0(ra)
    .size __unordsf2, . - __unordsf2

/* float __floatsisf(int a). */
    .section .text.__floatsisf, "ax", @progbits
    .p2align 2
    .globl __floatsisf
    .type __floatsisf, @function
__floatsisf:
    srai t3, a0, 31
    xor t1, a0, t3
    sub t1, t1, t3
    slli t6, t3, 31
    FLOAT_NORMALISE t1, t2, t0
    addi a1, zero, 157
    sub a1, a1, t2
    FLOAT_ROUND t1, a1, t6, t0, t2, t3
    addi a1, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t6, zero, 0
    jalr zero, 0(ra)
    .size __floatsisf, . - __floatsisf

/* float __floatunsisf(unsigned a). */
    .section .text.__floatunsisf, "ax", @progbits
    .p2align 2
    .globl __floatunsisf
    .type __floatunsisf, @function
__floatunsisf:
    FLOAT_NORMALISE a0, t2, t0
    addi a1, zero, 157
    sub a1, a1, t2
    addi t1, a0, 0
    addi t6, zero, 0
    FLOAT_ROUND t1, a1, t6, t0, t2, t3
    addi a1, zero, 0
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t6, zero, 0
    jalr zero, 0(ra)
    .size __floatunsisf, . - __floatunsisf

/* t1 = the size of a0 without its fraction, below 2^32; t2 = its exponent; t3 = all ones if it is below zero and a
   number, else 0; t4 = 1 if it is none. */
.macro FLOAT_TRUNCATE
    slli t0, a0, 1
    srli t2, t0, 24
    lui t1, 0xff000
    sltu t4, t1, t0
    addi t1, t4, -1
    srai t3, a0, 31
    and t3, t3, t1
    slli t1, a0, 8
    lui t0, 0x80000
    or t1, t1, t0
    addi t0, zero, 158
    sub t0, t0, t2
    srl t1, t1, t0
    sltiu t0, t2, 127
    addi t0, t0, -1
    and t1, t1, t0
.endm

/* int __fixsfsi(float a): towards zero; the nearest there is where a is too large, 2^31 - 1 for NaN, as RISC-V's FCVT. */
    .section .text.__fixsfsi, "ax", @progbits
    .p2align 2
    .globl __fixsfsi
    .type __fixsfsi, @function
__fixsfsi:
    FLOAT_TRUNCATE
    xor t1, t1, t3
    sub t1, t1, t3
    /* 2^31 - 1 or -2^31, where it is too large. */
    lui t0, 0x80000
    addi t0, t0, -1
    xor t3, t3, t0
    sltiu t0, t2, 158
    addi t0, t0, -1
    and t3, t3, t0
    not t0, t0
    and t1, t1, t0
    or a0, t1, t3
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t4, zero, 0
    jalr zero, 0(ra)
    .size __fixsfsi, . - __fixsfsi

/* unsigned __fixunssfsi(float a): towards zero; the nearest there is where a is too large or below zero, 2^32 - 1 for NaN, as
   RISC-V's FCVT. */
    .section .text.__fixunssfsi, "ax", @progbits
    .p2align 2
    .globl __fixunssfsi
    .type __fixunssfsi, @function
__fixunssfsi:
    FLOAT_TRUNCATE
    sltiu t0, t2, 159
    addi t0, t0, -1
    or t1, t1, t0
    not t3, t3
    and a0, t1, t3
    addi t0, zero, 0
    addi t1, zero, 0
    addi t2, zero, 0
    addi t3, zero, 0
    addi t4, zero, 0
    jalr zero, 0(ra)
    .size __fixunssfsi, . - __fixunssfsi
    .option pop
