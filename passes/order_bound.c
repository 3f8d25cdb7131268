/* order_bound.c - bytes that are live at some step in every order.
 *
 * A store is live at step v in every order when its first byte is made before
 * v (or by v) and a reader, or the end of the run, comes after v (or is v).
 * Reachability is counted for 64 steps v at a time, a word per step: time
 * (steps + operands) * steps / 64, memory linear.
 */
#include "order_reach.h"

uint64_t reach_bit(const Reach *r, int k)
{
    return k >= r->first && k < r->first + 64 ? 1ull << (k - r->first) : 0;
}

static void spread(Reach *r)
{
    const Storage *s = r->s;
    const Deps *d = r->d;

    for (int t = d->n - 1; t >= 0; t--) {
        int k = d->topo[t];
        r->to[k] = reach_bit(r, k);
        for (int i = d->first[k]; i < d->first[k + 1]; i++)
            r->to[k] |= r->to[d->succ[i]];
    }
    for (int x = 0; x < s->nstore; x++)
        r->needed[x] = s->store[x].lasting ? ~0ull : 0;
    for (int t = 0; t < d->n; t++) {
        int k = d->topo[t];
        r->from[k] = reach_bit(r, k);
        for (int i = d->pfirst[k]; i < d->pfirst[k + 1]; i++)
            r->from[k] |= r->from[d->pred[i]];
        for (int i = 0; i < s->step[k].nread; i++)
            r->needed[s->step[k].read[i]] |= r->from[k];
    }
}

uint64_t reach_live(const Reach *r, int x)
{
    const Store *t = &r->s->store[x];
    const Node *def = t->root->def;

    if (r->hosted[x])
        return 0;
    if (!def)
        return r->needed[x];
    return r->to[def->index] & (r->needed[x] | reach_bit(r, def->index));
}

/* All other readers of x may run before v. */
static bool may_die(const Reach *r, int x, int v)
{
    const Store *t = &r->s->store[x];

    if (t->lasting || r->hosted[x])
        return false;
    for (int i = 0; i < t->nreader; i++)
        if (t->reader[i] != v && r->from[t->reader[i]] & reach_bit(r, v))
            return false;
    return true;
}

/* Operands are apart from each other: no more than the result is saved. */
static int64_t lies_save(const Reach *r, int v)
{
    const Step *step = &r->s->step[v];
    int64_t sum = 0;

    for (int i = 0; i < step->nlie; i++)
        if (may_die(r, step->lie[i].store, v))
            sum += step->lie[i].saves;
    return step->nlie && sum > r->s->store[step->make[0]].bytes
               ? r->s->store[step->make[0]].bytes : sum;
}

int64_t reach_saves(const Reach *r, int v)
{
    const Step *step = &r->s->step[v];
    int64_t lies = lies_save(r, v);

    if (lies)
        return lies;

    for (int i = 0; i < step->nover; i++)
        if (!r->hosted[step->make[0]] && may_die(r, step->over[i], v))
            return r->s->store[step->make[0]].bytes;
    return 0;
}

/* Results that may come to lie in a state's place cost nothing there. */
static bool *find_hosted(const Storage *s, Arena *a)
{
    bool *hosted = NEW_ARRAY(a, bool, s->nstore + 1);

    for (int x = 0; x < s->nstore; x++)
        hosted[x] = s->store[x].state != NULL;
    for (int k = 0; k < s->nstep; k++)
        for (int i = 0; i < s->step[k].nover; i++)
            if (hosted[s->step[k].over[i]])
                hosted[s->step[k].make[0]] = true;
    return hosted;
}

Reach reach_new(const Storage *s, const Deps *d, Arena *a)
{
    return (Reach){
        .s = s, .d = d,
        .to = NEW_ARRAY(a, uint64_t, d->n + 1),
        .from = NEW_ARRAY(a, uint64_t, d->n + 1),
        .needed = NEW_ARRAY(a, uint64_t, s->nstore + 1),
        .hosted = find_hosted(s, a),
    };
}

void reach_block(Reach *r, int first)
{
    r->first = first;
    spread(r);
    for (int i = 0; i < 64; i++)
        r->live[i] = first + i < r->d->n
                   ? r->s->step[first + i].scratch -
                         reach_saves(r, first + i) : 0;
    for (int x = 0; x < r->s->nstore; x++)
        for (uint64_t m = reach_live(r, x); m; m &= m - 1)
            r->live[__builtin_ctzll(m)] += r->s->store[x].bytes;
}

static void raise(OrderBound *b, int64_t bytes, int step)
{
    if (bytes > b->bytes)
        *b = (OrderBound){ bytes, step };
}

OrderBound order_bound(const Storage *s, const Deps *d)
{
    OrderBound b = { -1, -1 };
    Reach r = reach_new(s, d, s->g->scratch);
    int64_t begin = 0, end = 0;

    for (int x = 0; x < s->nstore; x++) {
        const Store *t = &s->store[x];
        if (!t->root->def && !t->state)
            begin += t->bytes;
        if (t->lasting && !r.hosted[x])
            end += t->bytes;
    }
    raise(&b, begin, -1);
    for (int first = 0; first < d->n; first += 64) {
        reach_block(&r, first);
        for (int i = 0; i < 64 && first + i < d->n; i++)
            raise(&b, r.live[i], first + i);
    }
    raise(&b, end, d->n);
    return b;
}

int order_live(const Storage *s, const Deps *d, int step, int *list)
{
    Reach r = reach_new(s, d, s->g->scratch);
    bool inside = step >= 0 && step < d->n;
    int n = 0, saved = -1;

    reach_block(&r, inside ? step / 64 * 64 : 0);
    if (inside && reach_saves(&r, step))
        saved = s->step[step].make[0];
    for (int x = 0; x < s->nstore; x++) {
        const Store *t = &s->store[x];
        bool live = step < 0 ? !t->root->def && !t->state
                  : !inside ? t->lasting && !r.hosted[x]
                  : (reach_live(&r, x) & reach_bit(&r, step)) != 0;
        if (live && x != saved)
            list[n++] = x;
    }
    return n;
}
