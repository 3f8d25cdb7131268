/* dsa_greedy.c - a plan at once: buffers in some order, each into the lowest
 * (or the tightest) gap that the ones already placed leave. The portfolio
 * below is cheap and its members fail on different graphs; local improvement
 * then moves the buffers that make the plan high to the front of the order.
 */
#include "dsa_int.h"

#include <stdlib.h>
#include <string.h>

enum { MANY = 4000 };           /* blocks: one member of the portfolio */

/* Offsets a block must not take: open interval (from, to). */
typedef struct Ban {
    int64_t from, to;
} Ban;

typedef struct List {           /* placed blocks, by offset */
    int *block;
    int n;
} List;

/* Besides the list of all placed blocks there is one for each span of
 * sections: a short-lived block only looks at the list of its span. */
typedef struct Greedy {
    Dsa *d;
    int64_t *offset;            /* per block, in units */
    List all;
    List *span;
    int nspan, span_len;        /* 0 spans for few sections */
    Ban *ban;
    const int *order;
} Greedy;

typedef enum Key {
    K_SIZE, K_AREA, K_WIDTH, K_LOAD, K_START, K_END
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
    case K_SIZE:   r.key = b->size; break;
    case K_AREA:   r.key = b->size * width; break;
    case K_WIDTH:  r.key = width; break;
    case K_LOAD:   r.key = load[i]; break;
    case K_START:  r.key = -b->lo; r.tie = b->size; break;
    case K_END:    r.key = b->hi; r.tie = b->size; break;
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

static const List *list_for(const Greedy *g, const Block *b)
{
    int k = g->nspan ? b->lo / g->span_len : 0;

    if (!g->nspan || (b->hi - 1) / g->span_len != k)
        return &g->all;
    return &g->span[k];
}

/* Forbidden offsets of block i, by their lower ends. Without declared pairs
 * the placed list, which is by offset, yields them in order. */
static int collect_bans(Greedy *g, int i)
{
    Dsa *d = g->d;
    const Block *b = &d->b[i];
    const List *list = list_for(g, b);
    int n = 0;

    for (int k = 0; k < list->n; k++) {
        int j = list->block[k];
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

static void insert(List *l, const int64_t *offset, int i)
{
    int lo = 0, hi = l->n;

    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (offset[l->block[mid]] <= offset[i])
            lo = mid + 1;
        else
            hi = mid;
    }
    memmove(l->block + lo + 1, l->block + lo,
            (size_t)(l->n - lo) * sizeof *l->block);
    l->block[lo] = i;
    l->n++;
}

static void place(Greedy *g, int i, int64_t at)
{
    const Block *b = &g->d->b[i];

    g->offset[i] = at;
    insert(&g->all, g->offset, i);
    if (g->nspan)
        for (int k = b->lo / g->span_len; k <= (b->hi - 1) / g->span_len; k++)
            insert(&g->span[k], g->offset, i);
}

static void lift_all(Greedy *g)
{
    g->all.n = 0;
    for (int k = 0; k < g->nspan; k++)
        g->span[k].n = 0;
}

/* Places order[from..]. False when a block has no place (fixed clash). */
static bool decode(Greedy *g, int from, bool tight)
{
    for (int k = from; k < g->d->n; k++) {
        int i = g->order[k];
        int64_t at = find_gap(g, i, collect_bans(g, i), tight);
        if (at < 0)
            return false;
        place(g, i, at);
    }
    return true;
}

static void make_spans(Greedy *g)
{
    Dsa *d = g->d;

    g->nspan = d->nsec / 64 < 64 ? d->nsec / 64 : 64;
    if (g->nspan < 4) {
        g->nspan = 0;
        return;
    }
    g->span_len = d->nsec / g->nspan + 1;
    g->span = NEW_ARRAY(d->arena, List, g->nspan);
    for (int i = 0; i < d->n; i++)
        for (int k = d->b[i].lo / g->span_len;
             k <= (d->b[i].hi - 1) / g->span_len; k++)
            g->span[k].n++;
    for (int k = 0; k < g->nspan; k++)
        g->span[k].block = NEW_ARRAY(d->arena, int, g->span[k].n + 1);
}

static void greedy_init(Greedy *g, Dsa *d)
{
    *g = (Greedy){ .d = d };
    g->offset = NEW_ARRAY(d->arena, int64_t, d->n + 1);
    g->all.block = NEW_ARRAY(d->arena, int, d->n + 1);
    g->ban = NEW_ARRAY(d->arena, Ban, d->n + 1);
    make_spans(g);
    lift_all(g);
}

/* The members that were best on some real graph come first. */
void dsa_greedy(Dsa *d)
{
    static const struct { Key key; bool tight; } member[] = {
        { K_SIZE, false }, { K_WIDTH, true }, { K_AREA, false },
        { K_SIZE, true }, { K_WIDTH, false }, { K_AREA, true },
        { K_LOAD, true }, { K_START, true }, { K_START, false },
        { K_END, false }, { K_LOAD, false },
    };
    Ranked *r = NEW_ARRAY(d->arena, Ranked, d->n + 1);
    int *order = NEW_ARRAY(d->arena, int, d->n + 1);
    int64_t *load = block_loads(d);
    size_t n = d->n > MANY ? 1 : sizeof member / sizeof *member;
    Greedy g;

    greedy_init(&g, d);
    g.order = order;
    for (size_t k = 0; k < n && d->height > d->goal; k++) {
        if (k > 0 && dsa_out_of_time(d))
            break;
        make_order(d, member[k].key, load, r, order);
        lift_all(&g);
        if (decode(&g, 0, member[k].tight))
            dsa_offer(d, g.offset);
    }
}

/* The blocks with core[i] >= 0 stay there, the others follow by size. */
void dsa_complete(Dsa *d, const int64_t *core)
{
    Ranked *r = NEW_ARRAY(d->arena, Ranked, d->n + 1);
    int *order = NEW_ARRAY(d->arena, int, d->n + 1);
    int from = 0;
    Greedy g;

    greedy_init(&g, d);
    g.order = order;
    for (int i = 0; i < d->n; i++) {
        r[i] = rank_of(d, i, K_SIZE, NULL);
        if (core[i] >= 0)
            r[i].key = INT64_MAX;
        from += core[i] >= 0;
    }
    qsort(r, (size_t)d->n, sizeof *r, ranked_cmp);
    for (int i = 0; i < d->n; i++)
        order[i] = r[i].block;
    for (int i = 0; i < from; i++)
        place(&g, order[i], core[order[i]]);
    if (decode(&g, from, false))
        dsa_offer(d, g.offset);
}

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
        lift_all(&g);
        if (!decode(&g, 0, next_random(&seed) & 1) ||
            (now = plan_height(d, g.offset)) > h) {
            memcpy(order, keep, (size_t)d->n * sizeof *keep);
            continue;
        }
        h = now;
        if (dsa_offer(d, g.offset) && d->height <= d->goal)
            return;
    }
}
