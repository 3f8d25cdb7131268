/* live.c - what of a planned graph is live at which step. */
#include "region.h"

/* Seen from the loop where v is stored, a loop inside it is one step. */
static int begin_of(const Node *n, const Region *store)
{
    const Region *r = region_below(n, store);

    return r ? r->first : n->index;
}

static int end_of(const Node *n, const Region *store)
{
    const Region *r = region_below(n, store);

    return r ? r->last : n->index;
}

/* What a turn leaves to the next one is there in all of the loop. */
static bool is_carried(const Value *v)
{
    int64_t fresh;
    int axis;

    return value_carried(v, &axis, &fresh) > 0;
}

int value_first_step(const Value *v)
{
    if (is_carried(v))
        return v->store->first;
    return v->def ? begin_of(v->def, v->store) : -1;
}

int value_last_step(const Value *v)
{
    int last = v->def ? end_of(v->def, v->store) : -1;

    if (is_carried(v))
        return v->store->last;
    for (int i = 0; i < v->nuse; i++) {
        int at = end_of(v->use[i], v->store);
        if (at > last)
            last = at;
    }
    return last;
}

int64_t value_stored_bytes(const Value *v)
{
    Type t = value_stored_type(v, v->store);

    return type_bytes(&t);
}

bool value_lies_over(const Value *y, int k)
{
    const Node *n = y->def;
    const Buffer *b = y->buf, *x = n->in[k] ? n->in[k]->buf : NULL;

    if (n->region || !b || b->is_scratch || b->first != n->index || !x ||
        x == b || x->last != n->index || x->pool != b->pool)
        return false;
    for (int i = 0; i < k; i++)
        if (n->in[i] && n->in[i]->buf == x)
            return false;
    return x->offset < b->offset + b->bytes &&
           b->offset < x->offset + x->bytes;
}

bool region_lies_over(const Region *r, const Buffer *out, const Buffer *in)
{
    return out->first == r->first && out->last > r->last &&
           in->first < r->first && in->last == r->last &&
           out->pool == in->pool && !out->is_scratch && !in->is_scratch &&
           in->offset < out->offset + out->bytes &&
           out->offset < in->offset + in->bytes;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t common_bytes(const Buffer *a, const Buffer *b)
{
    return least(a->offset + a->bytes, b->offset + b->bytes) -
           (a->offset > b->offset ? a->offset : b->offset);
}

/* Bytes that the first result shares with operands that die. */
static int64_t shared_bytes(const Node *n, int pool)
{
    int64_t sum = 0;

    for (int o = 0; o < n->nout; o++)
        for (int k = 0; n->out[o] && k < n->nin; k++)
            if (value_lies_over(n->out[o], k) &&
                (pool < 0 || n->out[o]->buf->pool == pool))
                sum += common_bytes(n->out[o]->buf, n->in[k]->buf);
    return sum;
}

/* Bytes that what the loops r write shares with what dies with them. */
static int64_t loop_bytes(const Plan *p, const Region *r, int pool)
{
    int64_t sum = 0;

    for (int i = 0; i < p->nbuf; i++) {
        const Buffer *out = p->buf[i];
        if (out->first != r->first || (pool >= 0 && out->pool != pool))
            continue;
        for (int k = 0; k < p->nbuf; k++)
            if (region_lies_over(r, out, p->buf[k]))
                sum += common_bytes(out, p->buf[k]);
    }
    return sum;
}

int64_t *plan_live(const Graph *g, int pool, Arena *arena)
{
    const Plan *p = g->plan;
    int64_t *live = NEW_ARRAY(arena, int64_t, p->nsteps + 3);

    for (int i = 0; i < p->nbuf; i++) {
        const Buffer *b = p->buf[i];
        if (pool >= 0 && b->pool != pool)
            continue;
        live[b->first + 1] += b->bytes;
        live[b->last + 2] -= b->bytes;
    }
    for (int t = 0; t < p->nsteps + 2; t++)
        live[t + 1] += live[t];
    for EACH_NODE(n, g)
        live[n->index + 1] -= shared_bytes(n, pool);
    for EACH_NODE(n, g) {
        const Region *r = region_at(n->region, 0);
        int64_t bytes = r && r->first == n->index ? loop_bytes(p, r, pool)
                                                  : 0;
        for (int t = n->index; bytes && t <= r->last; t++)
            live[t + 1] -= bytes;
    }
    return live;
}

int plan_peak_step(const Graph *g, int pool, Arena *arena)
{
    const int64_t *live = plan_live(g, pool, arena);
    int peak = 0;

    for (int t = 1; t < g->plan->nsteps + 2; t++)
        if (live[t] > live[peak])
            peak = t;
    return peak - 1;
}

const Bound *plan_bound(const Plan *p, BoundClass is)
{
    for (int i = 0; i < p->nbound; i++)
        if (p->bounds[i].is == is)
            return &p->bounds[i];
    return NULL;
}

const Bound *plan_own_bound(const Plan *p)
{
    const Bound *b = plan_bound(p, BOUND_ORDER_OVERLAP);

    if (!b)
        b = plan_bound(p, BOUND_ANY_OVERLAP);
    return b && b->plan < p->bounds[0].plan ? b
           : p->nbound ? &p->bounds[0] : NULL;
}
