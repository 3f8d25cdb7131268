/* dsa_greedy.c - a plan at once: buffers in some order, each into the lowest
 * (or the tightest) gap that the ones already placed leave. The portfolio
 * below is cheap and its members fail on different graphs; local improvement
 * then moves the buffers that make the plan high to the front of the order.
 */
#include "dsa_int.h"

#include <stdlib.h>
#include <string.h>

/* Offsets a block must not take: open interval (from, to). */
typedef struct Ban {
    int64_t from, to;
} Ban;

typedef struct Greedy {
    Dsa *d;
    int64_t *offset;            /* per block, -1: not placed yet */
    int *placed;                /* blocks by offset */
    int nplaced;
    Ban *ban;
    const int *order;
} Greedy;

typedef enum Key {
    K_SIZE, K_AREA, K_WIDTH, K_LOAD, K_START, K_END, K_SIZE_WIDTH, NKEYS
} Key;

typedef struct Ranked {
    int64_t key, tie;
    int block;
} Ranked;

static int ranked_cmp(const void *pa, const void *pb)
{
    const Ranked *a = pa, *b = pb;

    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    if (a->tie != b->tie)
        return a->tie > b->tie ? -1 : 1;
    return a->block - b->block;
}

/* Largest section load that each block lives through. */
static int64_t *block_loads(Dsa *d)
{
    int64_t *load = NEW_ARRAY(d->arena, int64_t, d->nsec + 1);
    int64_t *most = NEW_ARRAY(d->arena, int64_t, d->n + 1);

    for (int i = 0; i < d->n; i++)
        for (int s = d->b[i].lo; s < d->b[i].hi; s++)
            load[s] += d->b[i].size;
    for (int i = 0; i < d->n; i++)
        for (int s = d->b[i].lo; s < d->b[i].hi; s++)
            if (load[s] > most[i])
                most[i] = load[s];
    return most;
}

static Ranked rank_of(const Dsa *d, int i, Key k, const int64_t *load)
{
    const Block *b = &d->b[i];
    int64_t width = b->hi - b->lo;
    Ranked r = { 0, b->size * width, i };

    switch (k) {
    case K_SIZE:       r.key = b->size; break;
    case K_AREA:       r.key = b->size * width; break;
    case K_WIDTH:      r.key = width; break;
    case K_LOAD:       r.key = load[i]; break;
    case K_START:      r.key = -b->lo; r.tie = b->size; break;
    case K_END:        r.key = b->hi; r.tie = b->size; break;
    case K_SIZE_WIDTH: r.key = b->size; r.tie = width; break;
    case NKEYS:        break;
    }
    return r;
}

/* Fixed blocks go first whatever the key: the others fit around them. */
static void make_order(const Dsa *d, Key k, const int64_t *load, Ranked *r,
                       int *order)
{
    int n = 0;

    for (int i = 0; i < d->n; i++)
        r[i] = rank_of(d, i, k, load);
    qsort(r, (size_t)d->n, sizeof *r, ranked_cmp);
    for (int fixed = 1; fixed >= 0; fixed--)
        for (int i = 0; i < d->n; i++)
            if ((d->b[r[i].block].fixed >= 0) == fixed)
                order[n++] = r[i].block;
}

static int ban_cmp(const void *pa, const void *pb)
{
    const Ban *a = pa, *b = pb;

    return a->from < b->from ? -1 : a->from > b->from;
}

/* Forbidden offsets of block i, by their lower ends. Without declared pairs
 * the placed list, which is by offset, yields them in order. */
static int collect_bans(Greedy *g, int i)
{
    Dsa *d = g->d;
    const Block *b = &d->b[i];
    int n = 0;

    for (int k = 0; k < g->nplaced; k++) {
        int j = g->placed[k];
        const Block *o = &d->b[j];
        int64_t up = b->size, down = o->size;
        if (!block_meets(b, o))
            continue;
        if (b->first_pair >= 0 && !dsa_pair(d, i, j, &up, &down))
            continue;
        g->ban[n++] = (Ban){
            up == DSA_NEVER ? INT64_MIN : g->offset[j] - up,
            down == DSA_NEVER ? INT64_MAX : g->offset[j] + down };
    }
    if (b->first_pair >= 0)
        qsort(g->ban, (size_t)n, sizeof *g->ban, ban_cmp);
    return n;
}

/* The lowest offset, or that of the tightest gap; -1 if there is none. */
static int64_t find_gap(const Greedy *g, int i, int nban, bool tight)
{
    const Block *b = &g->d->b[i];
    int64_t at = b->fixed > 0 ? b->fixed : 0;
    int64_t best = -1, least = INT64_MAX;

    for (int k = 0; k < nban; k++) {
        int64_t to = g->ban[k].to;
        if (g->ban[k].from >= at) {
            if (!tight || b->fixed >= 0)
                return at;
            if (g->ban[k].from - at < least) {
                least = g->ban[k].from - at;
                best = at;
            }
        }
        if (to <= at)
            continue;
        if (to == INT64_MAX || b->fixed >= 0)
            return best;
        at = round_up(to, b->align);
    }
    return best >= 0 ? best : at;
}

static void insert_placed(Greedy *g, int i)
{
    int k = g->nplaced++;

    while (k > 0 && g->offset[g->placed[k - 1]] > g->offset[i]) {
        g->placed[k] = g->placed[k - 1];
        k--;
    }
    g->placed[k] = i;
}

/* Decode g->order. False when a block has no place (fixed ones clash). */
static bool decode(Greedy *g, bool tight)
{
    g->nplaced = 0;
    for (int k = 0; k < g->d->n; k++) {
        int i = g->order[k];
        int nban = collect_bans(g, i);
        g->offset[i] = find_gap(g, i, nban, tight);
        if (g->offset[i] < 0)
            return false;
        insert_placed(g, i);
    }
    return true;
}

static void greedy_init(Greedy *g, Dsa *d)
{
    g->d = d;
    g->offset = NEW_ARRAY(d->arena, int64_t, d->n + 1);
    g->placed = NEW_ARRAY(d->arena, int, d->n + 1);
    g->ban = NEW_ARRAY(d->arena, Ban, d->n + 1);
}

void dsa_greedy(Dsa *d)
{
    Ranked *r = NEW_ARRAY(d->arena, Ranked, d->n + 1);
    int *order = NEW_ARRAY(d->arena, int, d->n + 1);
    int64_t *load = block_loads(d);
    Greedy g;

    greedy_init(&g, d);
    g.order = order;
    for (Key k = 0; k < NKEYS && d->height > d->goal; k++) {
        make_order(d, k, load, r, order);
        for (int tight = 0; tight < 2 && d->height > d->goal; tight++)
            if (decode(&g, tight))
                dsa_offer(d, g.offset);
        if (d->n > 4000 || dsa_out_of_time(d))
            break;
    }
}

/* ---- local improvement -------------------------------------------------- */

/* xorshift: the same sequence on every machine */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void order_by_offset(const Dsa *d, const int64_t *offset, Ranked *r,
                            int *order)
{
    int n = 0;

    for (int i = 0; i < d->n; i++)
        r[i] = (Ranked){ -offset[i], d->b[i].size, i };
    qsort(r, (size_t)d->n, sizeof *r, ranked_cmp);
    for (int fixed = 1; fixed >= 0; fixed--)
        for (int i = 0; i < d->n; i++)
            if ((d->b[r[i].block].fixed >= 0) == fixed)
                order[n++] = r[i].block;
}

static int64_t plan_height(const Dsa *d, const int64_t *offset)
{
    int64_t h = 0;

    for (int i = 0; i < d->n; i++)
        if (offset[i] * d->unit + d->b[i].bytes > h)
            h = offset[i] * d->unit + d->b[i].bytes;
    return h;
}

/* Position in the order of a block that reaches the top, or of a random
 * one that meets it, one time in two. */
static int pick(const Dsa *d, const Greedy *g, const int *order, int64_t h,
                uint32_t *seed)
{
    int top = 0, k, tries = 8;

    for (k = 0; k < d->n; k++)
        if (g->offset[order[k]] * d->unit + d->b[order[k]].bytes == h)
            top = k;
    if (next_random(seed) & 1)
        return top;
    while (tries--) {
        k = (int)(next_random(seed) % (uint32_t)d->n);
        if (block_meets(&d->b[order[k]], &d->b[order[top]]))
            return k;
    }
    return top;
}

static void move_front(int *order, int from, int to)
{
    int b = order[from];

    memmove(order + to + 1, order + to, (size_t)(from - to) * sizeof *order);
    order[to] = b;
}

/* Iterated: pull a block towards the front, decode, keep what is no worse. */
void dsa_improve(Dsa *d, long tries)
{
    int *order = NEW_ARRAY(d->arena, int, d->n + 1);
    int *keep = NEW_ARRAY(d->arena, int, d->n + 1);
    Ranked *r = NEW_ARRAY(d->arena, Ranked, d->n + 1);
    int64_t h = d->height, cost = d->n > 64 ? d->n / 64 : 1;
    uint32_t seed = 0x9e3779b9u;
    Greedy g;

    if (d->height == INT64_MAX || d->n < 2)
        return;
    greedy_init(&g, d);
    g.order = order;
    order_by_offset(d, d->best, r, order);
    memcpy(g.offset, d->best, (size_t)d->n * sizeof *g.offset);
    for (tries /= cost; tries > 0 && !dsa_out_of_time(d); tries--) {
        int from = pick(d, &g, order, h, &seed);
        int64_t now;
        d->nodes += cost;
        memcpy(keep, order, (size_t)d->n * sizeof *keep);
        if (from == 0)
            from = d->n - 1;
        move_front(order, from, (int)(next_random(&seed) % (uint32_t)from));
        if (!decode(&g, next_random(&seed) & 1) ||
            (now = plan_height(d, g.offset)) > h) {
            memcpy(order, keep, (size_t)d->n * sizeof *keep);
            continue;
        }
        h = now;
        if (dsa_offer(d, g.offset) && d->height <= d->goal)
            return;
    }
}
