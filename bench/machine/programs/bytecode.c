/* An interpreter of a small stack machine, with a switch: it runs programs that count primes and take Collatz steps. */
#include "bench.h"

enum { PUSH, LOAD, STORE, ADD, SUB, MUL, MOD, SHR, AND, LESS, EQUAL, JUMP, JUMP_ZERO, DUP, DROP, HALT };
enum { LIMIT = SIZE(50000, 800) };

/* Variables. */
enum { CANDIDATE, DIVISOR, RESULT, X };

struct machine {
    int32_t variables[8];
    int32_t stack[32];
};

static int32_t interpret(struct machine *m, const int32_t *code) {
    int32_t *sp = m->stack;
    const int32_t *pc = code;
    for (;;) {
        switch (*pc++) {
        case PUSH: *sp++ = *pc++; break;
        case LOAD: *sp++ = m->variables[*pc++]; break;
        case STORE: m->variables[*pc++] = *--sp; break;
        case ADD: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] + (uint32_t)sp[0]); break;
        case SUB: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] - (uint32_t)sp[0]); break;
        case MUL: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] * (uint32_t)sp[0]); break;
        case MOD: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] % (uint32_t)sp[0]); break;
        case SHR: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] >> (sp[0] & 31)); break;
        case AND: sp--, sp[-1] &= sp[0]; break;
        case LESS: sp--, sp[-1] = sp[-1] < sp[0]; break;
        case EQUAL: sp--, sp[-1] = sp[-1] == sp[0]; break;
        case JUMP: pc = code + *pc; break;
        case JUMP_ZERO: pc = *--sp == 0 ? code + *pc : pc + 1; break;
        case DUP: sp[0] = sp[-1], sp++; break;
        case DROP: sp--; break;
        case HALT: return m->variables[RESULT];
        default: return -1;
        }
    }
}

static int32_t code[256], labels[8];
static int32_t *end = code;

static void emit(int32_t op) { *end++ = op; }
static void emit2(int32_t op, int32_t operand) { emit(op), emit(operand); }
static void label(int32_t name) { labels[name] = (int32_t)(end - code); }

/* Jumps hold names of labels until all labels are known. */
static void resolve(void) {
    for (int32_t *p = code; p < end; p++) {
        if (*p == JUMP || *p == JUMP_ZERO) p[1] = labels[p[1]];
        if (*p == PUSH || *p == LOAD || *p == STORE || *p == JUMP || *p == JUMP_ZERO) p++;
    }
}

enum { OUTER, INNER, PRIME, COLLATZ, HALVE, STEP, DONE, END };

static void assemble(void) {
    emit2(PUSH, 2), emit2(STORE, CANDIDATE);
    label(OUTER);
    emit2(LOAD, CANDIDATE), emit2(PUSH, LIMIT), emit(LESS), emit2(JUMP_ZERO, END);
    emit2(PUSH, 2), emit2(STORE, DIVISOR);
    label(INNER);
    emit2(LOAD, DIVISOR), emit(DUP), emit(MUL), emit2(LOAD, CANDIDATE), emit2(PUSH, 1), emit(ADD), emit(LESS);
    emit2(JUMP_ZERO, PRIME);
    emit2(LOAD, CANDIDATE), emit2(LOAD, DIVISOR), emit(MOD), emit2(JUMP_ZERO, COLLATZ);
    emit2(LOAD, DIVISOR), emit2(PUSH, 1), emit(ADD), emit2(STORE, DIVISOR), emit2(JUMP, INNER);
    label(PRIME);
    emit2(LOAD, RESULT), emit2(PUSH, 1000), emit(ADD), emit2(STORE, RESULT);
    label(COLLATZ);
    emit2(LOAD, CANDIDATE), emit2(STORE, X);
    label(STEP);
    emit2(LOAD, X), emit2(PUSH, 1), emit(EQUAL), emit2(PUSH, 0), emit(EQUAL), emit2(JUMP_ZERO, DONE);
    emit2(LOAD, RESULT), emit2(PUSH, 1), emit(ADD), emit2(STORE, RESULT);
    emit2(LOAD, X), emit(DUP), emit2(PUSH, 1), emit(AND), emit2(JUMP_ZERO, HALVE);
    emit2(PUSH, 3), emit(MUL), emit2(PUSH, 1), emit(ADD), emit2(STORE, X), emit2(JUMP, STEP);
    label(HALVE);
    emit2(PUSH, 1), emit(SHR), emit2(STORE, X), emit2(JUMP, STEP);
    label(DONE);
    emit2(LOAD, CANDIDATE), emit2(PUSH, 1), emit(ADD), emit2(STORE, CANDIDATE), emit2(JUMP, OUTER);
    label(END);
    emit(HALT);
    resolve();
}

uint32_t run(void) {
    static struct machine machine;
    assemble();
    return (uint32_t)interpret(&machine, code);
}
