/* order_bound.c - bytes that are live at some step in every order.
 *
 * A store is live at step v in every order when its first byte is made before
 * v (or by v) and a reader, or the end of the run, comes after v (or is v).
 * Reachability is counted for 64 steps v at a time, a word per step: time
 * (steps + operands) * steps / 64, memory linear.
 */
#include "order.h"

typedef struct Reach {
    const Storage *s;
    const Deps *d;
    uint64_t *to;               /* by step: bits of v that need it, or are it */
    uint64_t *from;             /* by step: bits of v that it needs, or is */
    uint64_t *needed;           /* by store: bits of v before its last use */
    bool *hosted;               /* by store: may lie in a state's place */
    int first;                  /* v of bit 0 */
} Reach;

static uint64_t own_bit(const Reach *r, int k)
{
    return k >= r->first && k < r->first + 64 ? 1ull << (k - r->first) : 0;
}

static void spread(Reach *r)
{
    const Storage *s = r->s;
    const Deps *d = r->d;

    for (int k = d->n - 1; k >= 0; k--) {
        r->to[k] = own_bit(r, k);
        for (int i = d->first[k]; i < d->first[k + 1]; i++)
            r->to[k] |= r->to[d->succ[i]];
    }
    for (int x = 0; x < s->nstore; x++)
        r->needed[x] = s->store[x].lasting ? ~0ull : 0;
    for (int k = 0; k < d->n; k++) {
        r->from[k] = own_bit(r, k);
        for (int i = d->pfirst[k]; i < d->pfirst[k + 1]; i++)
            r->from[k] |= r->from[d->pred[i]];
        for (int i = 0; i < s->step[k].nread; i++)
            r->needed[s->step[k].read[i]] |= r->from[k];
    }
}

/* Steps of the block at which store x is live in every order. */
static uint64_t always_live(const Reach *r, int x)
{
    const Store *t = &r->s->store[x];
    const Node *def = t->root->def;

    if (r->hosted[x])
        return 0;
    if (!def)
        return r->needed[x];
    return r->to[def->index] & (r->needed[x] | own_bit(r, def->index));
}

/* What in-place writing can save at v: an operand whose other readers can
 * all run before v. */
static int64_t may_save(const Reach *r, int v)
{
    const Storage *s = r->s;
    const Step *step = &s->step[v];

    for (int i = 0; i < step->nover; i++) {
        const Store *x = &s->store[step->over[i]];
        bool dies = !x->lasting && !r->hosted[step->over[i]];
        for (int u = 0; dies && u < x->root->nuse; u++)
            dies = dies && !(r->from[x->root->use[u]->index] &
                             own_bit(r, v) &&
                             x->root->use[u]->index != v);
        if (dies && !r->hosted[step->make[0]])
            return s->store[step->make[0]].bytes;
    }
    return 0;
}

/* Results that may come to lie in a state's place cost nothing there. */
static bool *find_hosted(const Storage *s)
{
    bool *hosted = NEW_ARRAY(s->g->scratch, bool, s->nstore + 1);

    for (int x = 0; x < s->nstore; x++)
        hosted[x] = s->store[x].state != NULL;
    for (int k = 0; k < s->nstep; k++)
        for (int i = 0; i < s->step[k].nover; i++)
            if (hosted[s->step[k].over[i]])
                hosted[s->step[k].make[0]] = true;
    return hosted;
}

static Reach reach_new(const Storage *s, const Deps *d)
{
    Arena *a = s->g->scratch;
    size_t n = (size_t)d->n + 1;

    return (Reach){ s, d, NEW_ARRAY(a, uint64_t, n),
                    NEW_ARRAY(a, uint64_t, n),
                    NEW_ARRAY(a, uint64_t, s->nstore + 1),
                    find_hosted(s), 0 };
}

static void raise(OrderBound *b, int64_t bytes, int step)
{
    if (bytes > b->bytes)
        *b = (OrderBound){ bytes, step };
}

static void block_bound(Reach *r, OrderBound *b)
{
    int64_t live[64] = { 0 };

    spread(r);
    for (int x = 0; x < r->s->nstore; x++)
        for (uint64_t m = always_live(r, x); m; m &= m - 1)
            live[__builtin_ctzll(m)] += r->s->store[x].bytes;
    for (int i = 0; i < 64 && r->first + i < r->d->n; i++)
        raise(b, live[i] + r->s->step[r->first + i].scratch -
              may_save(r, r->first + i), r->first + i);
}

OrderBound order_bound(const Storage *s, const Deps *d)
{
    OrderBound b = { -1, -1 };
    Reach r = reach_new(s, d);
    int64_t begin = 0, end = 0;

    for (int x = 0; x < s->nstore; x++) {
        const Store *t = &s->store[x];
        if (!t->root->def && !t->state)
            begin += t->bytes;
        if (t->lasting && !r.hosted[x])
            end += t->bytes;
    }
    raise(&b, begin, -1);
    for (r.first = 0; r.first < d->n; r.first += 64)
        block_bound(&r, &b);
    raise(&b, end, d->n);
    return b;
}

int order_live(const Storage *s, const Deps *d, int step, int *list)
{
    Reach r = reach_new(s, d);
    int n = 0, saved = -1;

    r.first = step < 0 || step >= d->n ? 0 : step / 64 * 64;
    spread(&r);
    if (step >= 0 && step < d->n && may_save(&r, step))
        saved = s->step[step].make[0];
    for (int x = 0; x < s->nstore; x++) {
        const Store *t = &s->store[x];
        bool live = step < 0 ? !t->root->def && !t->state
                  : step >= d->n ? t->lasting && !r.hosted[x]
                  : (always_live(&r, x) & own_bit(&r, step)) != 0;
        if (live && x != saved)
            list[n++] = x;
    }
    return n;
}
