/* overlap.c - see overlap.h. */
#include "overlap.h"

#include "../ir/relation.h"

enum { MAX_UNITS = 1 << 20 };

/* What units read of one operand: of each of its axes, by the index of each
 * axis of the result. */
typedef struct Reads {
    const Type *x, *y;
    int outer;                  /* axes of the result that count units */
    int64_t units, stride[MAX_RANK];
    int axis[MAX_RANK];         /* of x; -1: the result's axis says nothing */
    int64_t *lo[MAX_RANK], *hi[MAX_RANK];       /* by index */
} Reads;

static bool reads_init(const Node *n, int k, int unit_axes, Reads *r)
{
    Arena *a = n->graph->scratch;

    r->x = &n->in[k]->type;
    r->y = &n->out[0]->type;
    r->outer = r->y->rank - unit_axes;
    r->units = type_span(r->y, 0, r->outer);
    if (r->outer < 0 || r->units < 1 || r->units > MAX_UNITS)
        return false;
    type_strides(r->x, r->stride);
    for (int d = 0; d < r->outer; d++) {
        Relation rel = node_relation(n, 0, k, d);
        r->axis[d] = rel.kind == REL_POINT || rel.kind == REL_WINDOW
                         ? rel.axis : -1;
        if (r->axis[d] < 0)
            continue;
        r->lo[d] = NEW_ARRAY(a, int64_t, r->y->dim[d]);
        r->hi[d] = NEW_ARRAY(a, int64_t, r->y->dim[d]);
        for (int64_t i = 0; i < r->y->dim[d]; i++)
            relation_range(&rel, r->x->dim[rel.axis], i, i + 1, &r->lo[d][i],
                           &r->hi[d][i]);
    }
    return true;
}

/* Elements of the operand that unit u reads: within [*from, *to). */
static void unit_span(const Reads *r, int64_t u, int64_t *from, int64_t *to)
{
    int64_t lo[MAX_RANK], hi[MAX_RANK];

    for (int a = 0; a < r->x->rank; a++) {
        lo[a] = 0;
        hi[a] = r->x->dim[a];
    }
    for (int d = r->outer - 1; d >= 0; d--) {
        int64_t i = u % r->y->dim[d];
        int a = r->axis[d];
        u /= r->y->dim[d];
        if (a < 0)
            continue;
        lo[a] = r->lo[d][i] > lo[a] ? r->lo[d][i] : lo[a];
        hi[a] = r->hi[d][i] < hi[a] ? r->hi[d][i] : hi[a];
    }
    *from = *to = 0;
    for (int a = 0; a < r->x->rank; a++) {
        if (lo[a] >= hi[a]) {   /* padding only */
            *from = INT64_MAX;
            *to = -1;
            return;
        }
        *from += lo[a] * r->stride[a];
        *to += (hi[a] - 1) * r->stride[a];
    }
    ++*to;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void enumerate(const Reads *r, int64_t *forward, int64_t *backward)
{
    int64_t size = dtype_bytes(r->x->dt), from, to, low = INT64_MAX;
    int64_t high = -1;
    int64_t unit = type_span(r->y, r->outer, r->y->rank) *
                   dtype_bytes(r->y->dt);

    for (int64_t u = r->units - 1; u >= 0; u--) {
        if (low != INT64_MAX)
            *forward = larger(*forward, (u + 1) * unit - low * size);
        unit_span(r, u, &from, &to);
        low = from < low ? from : low;
    }
    for (int64_t u = 0; u < r->units; u++) {
        if (high >= 0)
            *backward = larger(*backward, high * size - u * unit);
        unit_span(r, u, &from, &to);
        high = to > high ? to : high;
    }
}

static bool node_shifts(const Node *n, int k, int64_t *forward,
                        int64_t *backward)
{
    int unit_axes = node_unit_axes(n);
    Reads r;

    if (unit_axes < 0 || n->region || n->nout != 1 || !n->out[0] ||
        dtype_bits(n->in[k]->type.dt) < 8 ||
        dtype_bits(n->out[0]->type.dt) < 8 ||
        type_elems(&n->in[k]->type) == 0 ||
        !reads_init(n, k, unit_axes, &r))
        return false;
    *forward = *backward = -(type_bytes(r.x) + type_bytes(r.y));
    enumerate(&r, forward, backward);
    return true;
}

/* Safe at every width that the step may have. */
bool overlap_shifts(const Node *n, int k, int64_t *forward,
                    int64_t *backward)
{
    if (!node_shifts(n, k, forward, backward))
        return false;
    for (int l = 0; n->narrow && l < n->graph->nlevel - 1; l++) {
        int64_t f, b;
        if (!node_shifts(n->narrow[l], k, &f, &b))
            return false;
        *forward = larger(*forward, f);
        *backward = larger(*backward, b);
    }
    return true;
}

static int64_t rounded(int64_t bytes)
{
    return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

/* What an operand and a result take together at least, all rounded, when the
 * one begins f behind the other's beginning or that one b behind it. */
static int64_t least_bytes(int64_t in, int64_t out, int64_t f, int64_t b)
{
    int64_t ahead, behind;

    f = f < out ? f : out;      /* further apart is never needed: DSA_NEVER */
    b = b < in ? b : in;
    ahead = larger(f > 0 ? rounded(f) + in : in, out);
    behind = larger(b > 0 ? rounded(b) + out : out, in);

    ahead = ahead < behind ? ahead : behind;
    return ahead < in + out ? ahead : in + out;
}

static int64_t rounded_bytes(const Value *v)
{
    return rounded(type_bytes(&v->type));
}

/* Bytes that the result may have in common with the store of operand k, of
 * which the operand may be a part. */
static int64_t most_common(const Storage *s, const Node *n, int k)
{
    const Value *x = n->in[k], *y = n->out[0];
    int64_t in = s->store[s->of[x->id]].bytes, out = rounded_bytes(y), f, b;
    int64_t shift = s->delta[y->id] - s->delta[x->id];

    if (!overlap_shifts(n, k, &f, &b))
        return 0;
    return in + out - least_bytes(in, out, f + shift, b - shift);
}

static void step_overlaps(Storage *s, Step *step)
{
    const Node *n = step->node;

    step->nlie = 0;
    if (step->nmake != 1 || n->nout != 1 || node_unit_axes(n) < 0)
        return;
    step->lie = NEW_ARRAY(s->g->scratch, Lie, n->nin);
    for (int k = 0; k < n->nin; k++) {
        int x = n->in[k] ? s->of[n->in[k]->id] : -1;
        if (x >= 0 && !s->store[x].state)
            step->lie[step->nlie++] = (Lie){ x, most_common(s, n, k) };
    }
}

void storage_overlaps(Storage *s)
{
    for (int i = 0; i < s->nstep; i++)
        step_overlaps(s, &s->step[i]);
}

/* The operands of n that lie in b: all of them must be safe. Adds to the
 * list unless the kernel promises nothing. */
static void add_pair(OverlapPairs *list, Node *n, Buffer *b)
{
    OverlapPair p = { n, n->out[0]->buf, b, INT64_MIN, INT64_MIN, n->index,
                      n->index };

    for (int k = 0; k < n->nin; k++) {
        int64_t f, back, shift;
        if (!n->in[k] || n->in[k]->buf != b)
            continue;
        if (!overlap_shifts(n, k, &f, &back))
            return;
        shift = n->out[0]->delta - n->in[k]->delta;
        p.forward = larger(p.forward, f + shift);
        p.backward = larger(p.backward, back - shift);
    }
    PUSH(n->graph->scratch, list->pair, list->n, list->cap, p);
}

static bool begins_here(const Node *n)
{
    return n->nout == 1 && n->out[0] && n->out[0]->buf &&
           n->out[0]->buf->first == n->index && !n->out[0]->buf->is_state &&
           !n->region;
}

/* Several operands that die at once must all be walked the same way: only
 * forward, then. */
static void settle_direction(OverlapPairs *list, int first)
{
    for (int i = first; i < list->n && list->n - first > 1; i++)
        list->pair[i].backward = larger(list->pair[i].backward,
                                        list->pair[i].in->bytes);
}

static void node_pairs(Node *n, OverlapPairs *list)
{
    if (!begins_here(n) || node_unit_axes(n) < 0)
        return;
    for (int k = 0; k < n->nin; k++) {
        Buffer *b = n->in[k] ? n->in[k]->buf : NULL;
        bool again = false;
        for (int i = 0; i < k; i++)
            again |= n->in[i] && n->in[i]->buf == b;
        if (b && !again && b->last == n->index && !b->is_state &&
            b != n->out[0]->buf)
            add_pair(list, n, b);
    }
}

void overlap_find(Graph *g, OverlapPairs *list)
{
    for EACH_NODE(n, g) {
        int first = list->n;
        node_pairs(n, list);
        settle_direction(list, first);
    }
    overlap_regions(g, list);
}

int64_t overlap_common(const OverlapPair *p)
{
    int64_t in = rounded(p->in->bytes), out = rounded(p->out->bytes);

    return in + out - least_bytes(in, out, p->forward, p->backward);
}

Saving *overlap_savings(Graph *g)
{
    Saving *list = NEW_ARRAY(g->scratch, Saving, g->plan->nbuf + 1);
    OverlapPairs pairs = { 0, 0, NULL };

    overlap_find(g, &pairs);
    for (int i = 0; i < pairs.n; i++) {
        const OverlapPair *p = &pairs.pair[i];
        Saving *s = &list[p->out->id];
        int64_t out = rounded(p->out->bytes);
        s->bytes += overlap_common(p);
        if (s->bytes > out)     /* operands are apart from each other */
            s->bytes = out;
        s->first = p->first;
        s->last = p->last;
    }
    return list;
}

void overlap_walks(Graph *g, const OverlapPairs *list)
{
    for EACH_NODE(n, g)
        n->backward = false;
    for (int i = 0; i < list->n; i++) {
        const OverlapPair *p = &list->pair[i];
        int64_t in = p->in->offset, out = p->out->offset;
        if (p->node && p->in->pool == p->out->pool &&
            in < out + p->out->bytes && out < in + p->in->bytes &&
            in < out + p->forward)
            p->node->backward = true;
    }
}

bool pass_overlap(Graph *g, const PassOptions *opt, bool *changed)
{
    (void)opt;
    for EACH_NODE(n, g)
        if (node_unit_axes(n) >= 0 && !g->overlap)
            *changed = g->overlap = true;
    return true;
}
