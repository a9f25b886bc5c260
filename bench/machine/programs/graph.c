/* Shortest paths in a random graph: Dijkstra with a binary heap, and breadth-first search. */
#include "bench.h"

enum { NODES = 20000, DEGREE = 8, ROUNDS = SIZE(50, 1), FAR = 0x7fffffff };
static uint32_t target[NODES][DEGREE], weight[NODES][DEGREE];
static uint32_t distance[NODES], hops[NODES], queue[NODES];
struct item {
    uint32_t distance, node;
};
static struct item heap[NODES * DEGREE + 1];
static uint32_t count;

static void push(uint32_t d, uint32_t node) {
    uint32_t at = count++;
    while (at > 0 && heap[(at - 1) / 2].distance > d) heap[at] = heap[(at - 1) / 2], at = (at - 1) / 2;
    heap[at] = (struct item){d, node};
}

static struct item pop(void) {
    struct item top = heap[0], last = heap[--count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count) break;
        if (child + 1 < count && heap[child + 1].distance < heap[child].distance) child++;
        if (last.distance <= heap[child].distance) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static uint32_t dijkstra(uint32_t from) {
    for (int i = 0; i < NODES; i++) distance[i] = FAR;
    distance[from] = 0;
    push(0, from);
    uint32_t sum = 0;
    while (count > 0) {
        struct item item = pop();
        if (item.distance != distance[item.node]) continue;
        sum += item.distance;
        for (int i = 0; i < DEGREE; i++) {
            uint32_t to = target[item.node][i], d = item.distance + weight[item.node][i];
            if (d < distance[to]) distance[to] = d, push(d, to);
        }
    }
    return sum;
}

static uint32_t breadth_first(uint32_t from) {
    for (int i = 0; i < NODES; i++) hops[i] = FAR;
    uint32_t head = 0, tail = 0, sum = 0;
    hops[from] = 0;
    queue[tail++] = from;
    while (head < tail) {
        uint32_t node = queue[head++];
        sum += hops[node];
        for (int i = 0; i < DEGREE; i++) {
            uint32_t to = target[node][i];
            if (hops[to] == FAR) hops[to] = hops[node] + 1, queue[tail++] = to;
        }
    }
    return sum;
}

uint32_t run(void) {
    uint32_t state = 23, sum = 0;
    for (uint32_t i = 0; i < NODES; i++)
        for (int j = 0; j < DEGREE; j++) {
            target[i][j] = j == 0 ? (i + 1) % NODES : next_random(&state) % NODES;
            weight[i][j] = next_random(&state) % 1000 + 1;
        }
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t from = next_random(&state) % NODES;
        sum = mix_in(sum, dijkstra(from));
        sum = mix_in(sum, breadth_first(from));
    }
    return sum;
}
