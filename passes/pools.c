/* pools.c - several memories: often-used bytes go to the fast ones.
 *
 * A buffer's worth is how often each of its bytes is read or written in a run
 * (ir/cost.c counts operand reads as the arithmetic needs them). Pools are
 * filled in the user's order, fastest first, with the worthiest buffers that
 * fit beside those already there; the allocator then has to place them, and
 * the least worthy of those that stand out of the pool are put off to the
 * next one. When the last pool overflows, a buffer of the overflowing step
 * moves to the front of the queue, so that it gets faster memory than it
 * deserves, and all is done anew: fitting comes before speed. Where kernels
 * allow it, all of this is tried with results over dying operands of the same
 * pool too, and kept if less is left for the last pool.
 */
#include "pools.h"

#include <stdlib.h>
#include <string.h>

#include "dsa.h"
#include "overlap.h"

enum { INPUT_TIME = -1, POOL_NODES = 20000, MAX_RETRIES = 100 };

typedef struct Item {
    Buffer *buf;                /* NULL: the whole state region */
    int64_t bytes;
    double worth;               /* accesses per byte */
    int first, last;
    int urgent;                 /* retry at which it was moved up; 0: never */
    int pool;
    int64_t offset;
} Item;

typedef struct Pools {
    Graph *g;
    Plan *p;
    const PassOptions *opt;
    int n;
    Item *item;                 /* in the order in which they choose */
    int64_t *live;              /* by time: bytes in the pool being filled */
    Item **in;                  /* scratch: those in one pool */
    OverlapPairs over;          /* none: nothing is declared */
    int *where;                 /* by buffer id: its item */
} Pools;

static int64_t align_up(int64_t n)
{
    return (n + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static double bytes_of(const Value *v, int64_t elems)
{
    int64_t n = type_elems(&v->type);

    return n ? (double)elems * ((double)type_bytes(&v->type) / (double)n) : 0;
}

/* Bytes that go in and out of each buffer in one run. */
static double *traffic(const Graph *g)
{
    double *t = NEW_ARRAY(g->scratch, double, g->plan->nbuf + 1);

    for (int i = 0; i < g->nin; i++)
        if (g->in[i]->buf)
            t[g->in[i]->buf->id] += (double)type_bytes(&g->in[i]->type);
    for EACH_NODE(n, g) {
        for (int i = 0; i < n->nin; i++)
            if (n->in[i] && n->in[i]->buf)
                t[n->in[i]->buf->id] += bytes_of(n->in[i], node_reads(n, i));
        for (int i = 0; i < n->nout; i++)
            if (n->out[i] && n->out[i]->buf && !op_has(n->op, T_VIEW))
                t[n->out[i]->buf->id] += (double)
                    type_bytes(&n->out[i]->type);
        if (n->scratch_buf)     /* written and read at least once */
            t[n->scratch_buf->id] += 2 * (double)n->scratch;
    }
    return t;
}

static int by_worth(const void *x, const void *y)
{
    const Item *a = x, *b = y;

    if (a->urgent != b->urgent)
        return a->urgent < b->urgent ? 1 : -1;
    if (a->worth < b->worth || a->worth > b->worth)
        return a->worth < b->worth ? 1 : -1;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return (a->buf ? a->buf->id : -1) - (b->buf ? b->buf->id : -1);
}

static void make_items(Pools *s)
{
    const Plan *p = s->p;
    double *t = traffic(s->g), state = 0;

    s->item = NEW_ARRAY(s->g->scratch, Item, p->nbuf + 1);
    for (int i = 0; i < p->nbuf; i++) {
        Buffer *b = p->buf[i];
        if (b->is_state) {
            state += t[i];
            continue;
        }
        s->item[s->n++] = (Item){
            .buf = b, .bytes = align_up(b->bytes), .first = b->first,
            .last = b->last, .worth = t[i] / (double)b->bytes,
        };
    }
    if (p->state_bytes)
        s->item[s->n++] = (Item){
            .bytes = p->state_bytes, .first = INPUT_TIME, .last = p->nsteps,
            .worth = state / (double)p->state_bytes,
        };
    for (int i = 0; i < s->n && s->opt->no_reuse; i++) {
        s->item[i].first = INPUT_TIME;
        s->item[i].last = p->nsteps;
    }
}

/* What x and a buffer of the same pool have in common at the steps at which
 * one begins over the other, at most. */
static void add_common(const Pools *s, const Item *x, int k, int sign)
{
    for (int i = 0; x->buf && i < s->over.n; i++) {
        const OverlapPair *p = &s->over.pair[i];
        const Buffer *o = p->in == x->buf ? p->out
                        : p->out == x->buf ? p->in : NULL;
        if (!o || s->item[s->where[o->id]].pool != k)
            continue;
        for (int t = p->first; t <= p->last; t++)
            s->live[t - INPUT_TIME] += sign * overlap_common(p);
    }
}

static bool has_room(const Pools *s, const Item *x, int k, int64_t limit)
{
    bool room = true;

    add_common(s, x, k, -1);
    for (int t = x->first; t <= x->last; t++)
        room = room && s->live[t - INPUT_TIME] + x->bytes <= limit;
    add_common(s, x, k, 1);
    return room;
}

static void add_live(Pools *s, const Item *x, int64_t bytes)
{
    for (int t = x->first; t <= x->last; t++)
        s->live[t - INPUT_TIME] += bytes;
}

/* Apart is always allowed. */
static int64_t at_most(int64_t shift, int64_t size)
{
    return shift < size ? shift : size;
}

/* What the allocator may lay over what among the n items of s->in. */
static void declare(const Pools *s, DsaProblem *d)
{
    DsaOverlap *o = NEW_ARRAY(s->g->scratch, DsaOverlap, s->over.n + 1);
    int *at = NEW_ARRAY(s->g->scratch, int, s->p->nbuf + 1);

    for (int i = 0; i < d->nbuf; i++)
        at[s->in[i]->buf->id] = i + 1;
    for (int i = 0; i < s->over.n; i++) {
        const OverlapPair *p = &s->over.pair[i];
        int out = at[p->out->id] - 1, in = at[p->in->id] - 1;
        if (out >= 0 && in >= 0)
            o[d->noverlap++] = (DsaOverlap){
                out, in, at_most(p->forward, d->buf[out].size),
                at_most(p->backward, d->buf[in].size),
            };
    }
    d->overlap = o;
}

/* Offsets of the items of pool k; returns its height. State comes first. */
static int64_t place(Pools *s, int k, int *count)
{
    DsaOptions options = { .max_nodes = POOL_NODES };
    DsaProblem d = { NEW_ARRAY(s->g->scratch, DsaBuf, s->n + 1), 0, NULL, 0 };
    DsaResult result;
    int64_t base = 0;

    for (int i = 0; i < s->n; i++) {
        Item *x = &s->item[i];
        if (x->pool != k)
            continue;
        if (!x->buf) {
            base = x->bytes;
            x->offset = 0;
            continue;
        }
        s->in[d.nbuf] = x;
        d.buf[d.nbuf++] = (DsaBuf){ x->first, x->last + 1, x->bytes,
                                    PLAN_ALIGN, -1, 0 };
    }
    declare(s, &d);
    dsa_solve(&d, &options, s->g->scratch, &result);
    for (int i = 0; i < d.nbuf; i++)
        s->in[i]->offset = d.buf[i].offset + base;
    *count = d.nbuf;
    return d.nbuf ? result.height + base : base;
}

/* Of those that stand out of the limit the one that chose last leaves. */
static bool put_off(Pools *s, int n, int64_t limit)
{
    Item *last = NULL;

    for (int i = 0; i < n; i++)
        if (s->in[i]->offset + s->in[i]->bytes > limit &&
            (!last || s->in[i] > last))
            last = s->in[i];
    if (last)
        last->pool = -1;
    return last != NULL;
}

static void fill_pool(Pools *s, int k, int64_t limit)
{
    int n;

    for (int t = INPUT_TIME; t <= s->p->nsteps; t++)
        s->live[t - INPUT_TIME] = 0;
    for (int i = 0; i < s->n; i++) {
        Item *x = &s->item[i];
        if (x->pool >= 0 || !has_room(s, x, k, limit))
            continue;
        add_common(s, x, k, -1);
        x->pool = k;
        add_live(s, x, x->bytes);
    }
    while (place(s, k, &n) > limit && put_off(s, n, limit))
        ;
}

static void fill_all(Pools *s)
{
    Plan *p = s->p;
    int n;

    for (int i = 0; i < s->n; i++) {
        s->item[i].pool = -1;
        if (s->item[i].buf)
            s->where[s->item[i].buf->id] = i;
    }
    for (int k = 0; k + 1 < p->npool; k++) {
        fill_pool(s, k, p->pool[k].limit);
        p->pool[k].bytes = align_up(place(s, k, &n));
    }
    for (int i = 0; i < s->n; i++)
        if (s->item[i].pool < 0)
            s->item[i].pool = p->npool - 1;
    p->pool[p->npool - 1].bytes = align_up(place(s, p->npool - 1, &n));
}

static bool fits(const Plan *p)
{
    const MemPool *last = &p->pool[p->npool - 1];

    return last->bytes <= last->limit;
}

/* The step at which the last pool holds most. */
static int fullest(Pools *s)
{
    int most = INPUT_TIME;

    for (int t = INPUT_TIME; t <= s->p->nsteps; t++)
        s->live[t - INPUT_TIME] = 0;
    for (int i = 0; i < s->n; i++)
        if (s->item[i].pool == s->p->npool - 1)
            add_live(s, &s->item[i], s->item[i].bytes);
    for (int t = INPUT_TIME; t <= s->p->nsteps; t++)
        if (s->live[t - INPUT_TIME] > s->live[most - INPUT_TIME])
            most = t;
    return most;
}

static bool fits_faster(const Plan *p, int64_t bytes)
{
    for (int k = 0; k + 1 < p->npool; k++)
        if (bytes <= p->pool[k].limit)
            return true;
    return false;
}

/* What should leave the last pool: the smallest that is enough, or else the
 * largest; it chooses first from now on. */
static bool move_up(Pools *s, int retry)
{
    const Plan *p = s->p;
    const MemPool *pool = &p->pool[p->npool - 1];
    int64_t over = pool->bytes - pool->limit;
    int t = fullest(s);
    Item *best = NULL;

    for (int i = 0; i < s->n; i++) {
        Item *x = &s->item[i];
        if (x->pool != p->npool - 1 || x->urgent || x->first > t ||
            x->last < t || !fits_faster(p, x->bytes))
            continue;
        if (!best || (best->bytes < over ? x->bytes > best->bytes
                      : x->bytes >= over && x->bytes < best->bytes))
            best = x;
    }
    if (!best)
        return false;
    best->urgent = retry;
    qsort(s->item, (size_t)s->n, sizeof *s->item, by_worth);
    return true;
}

/* The best try so far: places into the buffers, sizes into `best`. */
static void keep(Pools *s, MemPool *best)
{
    Plan *p = s->p;

    for (int i = 0; i < s->n; i++)
        if (s->item[i].buf) {
            s->item[i].buf->pool = s->item[i].pool;
            s->item[i].buf->offset = s->item[i].offset;
        } else {
            p->state_pool = s->item[i].pool;
        }
    for (int i = 0; i < p->nbuf; i++)
        if (p->buf[i]->is_state)
            p->buf[i]->pool = p->state_pool;
    memcpy(best, p->pool, (size_t)p->npool * sizeof *best);
}

static void add_up(Plan *p)
{
    p->arena_bytes = 0;
    for (int k = 0; k < p->npool; k++) {
        if (p->pool[k].bytes < PLAN_ALIGN)      /* C has no empty arrays */
            p->pool[k].bytes = PLAN_ALIGN;
        p->pool[k].base = p->arena_bytes;
        p->arena_bytes += p->pool[k].bytes;
    }
}

/* Tries until all fits; returns the bytes that the last pool needs. */
static int64_t fill(Pools *s, MemPool *best)
{
    Plan *p = s->p;
    int64_t least = INT64_MAX;

    for (int i = 0; i < s->n; i++)
        s->item[i].urgent = 0;
    if (s->n)
        qsort(s->item, (size_t)s->n, sizeof *s->item, by_worth);
    for (int retry = 1; retry <= MAX_RETRIES; retry++) {
        fill_all(s);
        if (p->pool[p->npool - 1].bytes < least) {
            least = p->pool[p->npool - 1].bytes;
            keep(s, best);
        }
        if (fits(p) || !move_up(s, retry))
            break;
    }
    return least;
}

void pools_lay_out(Graph *g, const PassOptions *opt)
{
    Plan *p = g->plan;
    Pools s = { .g = g, .p = p, .opt = opt };
    MemPool *best = NEW_ARRAY(g->arena, MemPool, opt->npool);
    OverlapPairs pairs = { 0, 0, NULL };
    int64_t apart;

    p->npool = opt->npool;
    p->pool = NEW_ARRAY(g->arena, MemPool, opt->npool);
    memcpy(p->pool, opt->pool, (size_t)p->npool * sizeof *p->pool);
    make_items(&s);
    s.live = NEW_ARRAY(g->scratch, int64_t, p->nsteps + 3);
    s.in = NEW_ARRAY(g->scratch, Item *, s.n + 1);
    s.where = NEW_ARRAY(g->scratch, int, p->nbuf + 1);
    apart = fill(&s, best);
    p->pool = best;
    add_up(p);
    p->apart_bytes = p->arena_bytes;
    if (g->overlap && !opt->no_reuse)
        overlap_find(g, &pairs);
    if (pairs.n) {
        MemPool *other = NEW_ARRAY(g->arena, MemPool, opt->npool);
        p->pool = NEW_ARRAY(g->arena, MemPool, opt->npool);
        memcpy(p->pool, opt->pool, (size_t)p->npool * sizeof *p->pool);
        s.over = pairs;
        if (fill(&s, other) < apart) {
            best = other;
        } else {
            s.over.n = 0;
            fill(&s, best);
        }
        p->pool = best;
        add_up(p);
    }
    overlap_walks(g, &pairs);
}
