/* Linked lists: one in random order, followed and reversed; and one sorted by merging. Indices stand for pointers. */
#include "bench.h"

enum { NODES = 1 << 15, WALKS = SIZE(2600, 20), SORTS = SIZE(40, 1), NIL = 0xffffffff };
struct node {
    uint32_t next, value;
};
static struct node nodes[NODES];
static uint32_t order[NODES];

static uint32_t merge(uint32_t a, uint32_t b) {
    uint32_t head = NIL, *last = &head;
    while (a != NIL && b != NIL) {
        uint32_t *least = nodes[a].value <= nodes[b].value ? &a : &b, node = *least;
        *last = node;
        last = &nodes[node].next;
        *least = *last;
    }
    *last = a != NIL ? a : b;
    return head;
}

static uint32_t sort(uint32_t list) {
    uint32_t parts[32], count = 0;
    for (int i = 0; i < 32; i++) parts[i] = NIL;
    while (list != NIL) {
        uint32_t one = list, i = 0;
        list = nodes[list].next;
        nodes[one].next = NIL;
        for (; parts[i] != NIL; i++) one = merge(parts[i], one), parts[i] = NIL;
        parts[i] = one;
        if (i >= count) count = i + 1;
    }
    for (uint32_t i = 0; i < count; i++)
        if (parts[i] != NIL) list = list == NIL ? parts[i] : merge(parts[i], list);
    return list;
}

static uint32_t shuffle(uint32_t *state) {
    for (uint32_t i = 0; i < NODES; i++) order[i] = i;
    for (uint32_t i = NODES - 1; i > 0; i--) {
        uint32_t j = next_random(state) % (i + 1), t = order[i];
        order[i] = order[j], order[j] = t;
    }
    for (uint32_t i = 0; i < NODES; i++)
        nodes[order[i]] = (struct node){i + 1 < NODES ? order[i + 1] : NIL, next_random(state)};
    return order[0];
}

uint32_t run(void) {
    uint32_t state = 51, sum = 0, head = shuffle(&state);
    for (int walk = 0; walk < WALKS; walk++) {
        if (walk % 4 == 3) {
            uint32_t reversed = NIL;
            while (head != NIL) {
                uint32_t next = nodes[head].next;
                nodes[head].next = reversed;
                reversed = head;
                head = next;
            }
            head = reversed;
        }
        for (uint32_t at = head; at != NIL; at = nodes[at].next) sum = (sum ^ nodes[at].value) + (sum >> 5);
    }
    for (int round = 0; round < SORTS; round++) {
        head = sort(shuffle(&state));
        for (uint32_t at = head, i = 0; at != NIL; at = nodes[at].next, i++) sum = mix_in(sum, nodes[at].value + i);
    }
    return sum;
}
