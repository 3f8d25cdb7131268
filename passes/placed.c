/* placed.c - placements that a text states, @at(...) and @scratch(...), are
 * kept: the allocator plans around them what has none. What cannot be, two
 * values in one byte at one time above all, is the text's mistake. */
#include "placed.h"

#include "dsa.h"

#include <stdlib.h>

/* Far more than any arena, and no sum of two overflows. */
static const int64_t FARTHEST = (int64_t)1 << 40;

int64_t value_placed(const Graph *g, const Value *v)
{
    return g->placed && v && v->buf ? v->buf->offset + v->delta : -1;
}

int64_t scratch_placed(const Node *n)
{
    return n->graph->placed && n->scratch_buf ? n->scratch_buf->offset : -1;
}

static bool say(Graph *g, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool say(Graph *g, const char *fmt, ...)
{
    Buf text;
    va_list ap;

    buf_init(&text, g->scratch);
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    diag_error(g->diag, "placement: %s", text.s);
    diag_hint(g->diag, "without @at and @scratch all is planned anew");
    return false;
}

static bool check_scratch(const Node *n)
{
    int64_t at = scratch_placed(n);

    if (at < 0 || !n->scratch)
        return true;
    if (n->scratch > n->scratch_buf->bytes)
        return say(n->graph, "node '%s' (%s) needs %lld bytes of scratch, "
                   "@scratch gives %lld", n->name, op_name(n->op),
                   (long long)n->scratch, (long long)n->scratch_buf->bytes);
    if (at % PLAN_ALIGN || at > FARTHEST)
        return say(n->graph, "scratch of node '%s' at byte %lld, must be a "
                   "multiple of %d up to 2^40", n->name, (long long)at,
                   PLAN_ALIGN);
    return true;
}

/* All members of a store are bytes of its root. */
bool placed_values(Graph *g, const Storage *s)
{
    for (int i = 0; g->placed && i < g->nvalue; i++) {
        const Value *v = g->value[i];
        int64_t at = value_placed(g, v), root;
        if (s->of[i] < 0 || at < 0)
            continue;
        root = s->store[s->of[i]].at;
        if (at != root + s->delta[i])
            return say(g, "'%s' at byte %lld is a view of '%s', which begins "
                       "at byte %lld", v->name, (long long)at,
                       s->store[s->of[i]].root->name, (long long)root);
        if (root % PLAN_ALIGN || root < 0 || root > FARTHEST)
            return say(g, "'%s' at byte %lld, must be a multiple of %d up to "
                       "2^40", v->name, (long long)at, PLAN_ALIGN);
    }
    for EACH_NODE(n, g)
        if (g->placed && !check_scratch(n))
            return false;
    return true;
}

Placed *placed_take(Graph *g)
{
    Placed *p = NEW(g->scratch, Placed);
    int nnode = 0, t = 0;

    for EACH_NODE(n, g)
        nnode++;
    p->value = NEW_ARRAY(g->scratch, int64_t, g->nvalue + 1);
    p->scratch = NEW_ARRAY(g->scratch, Buffer *, nnode + 1);
    for (int i = 0; i < g->nvalue; i++)
        p->value[i] = value_placed(g, g->value[i]);
    for EACH_NODE(n, g)
        p->scratch[t++] = g->placed ? n->scratch_buf : NULL;
    return p;
}

static bool give_value(Graph *g, Value *v, int64_t at)
{
    int64_t root = at - v->delta;

    if (root % PLAN_ALIGN || root < 0 || root > FARTHEST)
        return say(g, "'%s' at byte %lld, must be a multiple of %d up to "
                   "2^40", v->name, (long long)at, PLAN_ALIGN);
    if (v->buf->offset >= 0 && v->buf->offset != root)
        return say(g, "'%s' at byte %lld shares the bytes of '%s', which "
                   "begin at byte %lld", v->name, (long long)at,
                   v->buf->name, (long long)v->buf->offset);
    v->buf->offset = root;
    return true;
}

bool placed_give(Graph *g, const Placed *p)
{
    int t = 0;

    for (int i = 0; i < g->nvalue; i++)
        if (p->value[i] >= 0 && g->value[i]->buf &&
            !give_value(g, g->value[i], p->value[i]))
            return false;
    for EACH_NODE(n, g) {
        Buffer *now = n->scratch_buf, *was = p->scratch[t++];
        if (!now || !was)
            continue;
        n->scratch_buf = was;
        if (!check_scratch(n))
            return false;
        n->scratch_buf = now;
        now->offset = was->offset;
    }
    return true;
}

void placed_states(Plan *p)
{
    for (int i = 0; i < p->nbuf; i++) {
        const Buffer *b = p->buf[i];
        int64_t end = b->offset + b->bytes;
        if (b->is_state && b->offset >= 0 && end > p->state_bytes)
            p->state_bytes = (end + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
    }
}

static int by_start(const void *a, const void *b)
{
    const Buffer *x = *(Buffer *const *)a, *y = *(Buffer *const *)b;

    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static bool check_region(Graph *g, const Buffer *b)
{
    const Plan *p = g->plan;

    if (b->offset < p->reserve)
        return say(g, "'%s' at byte %lld: the first %lld bytes are reserved",
                   b->name, (long long)b->offset, (long long)p->reserve);
    if (!b->is_state && b->offset < p->state_bytes)
        return say(g, "'%s' at byte %lld lies in the state region of %lld "
                   "bytes", b->name, (long long)b->offset,
                   (long long)p->state_bytes);
    return true;
}

/* A result may lie over an operand that dies with it, where its kernel says
 * so. */
static bool may_overlap(const OverlapPairs *pairs, const Buffer *a,
                        const Buffer *b)
{
    for (int i = 0; i < pairs->n; i++) {
        const OverlapPair *p = &pairs->pair[i];
        if (((p->out == a && p->in == b) || (p->out == b && p->in == a)) &&
            (p->in->offset >= p->out->offset + p->forward ||
             (p->backward != DSA_NEVER &&
              p->out->offset >= p->in->offset + p->backward)))
            return true;
    }
    return false;
}

static bool check_pair(Graph *g, const Buffer *a, const Buffer *b,
                       const OverlapPairs *pairs)
{
    int64_t from = a->offset > b->offset ? a->offset : b->offset;

    if (from >= a->offset + a->bytes || from >= b->offset + b->bytes ||
        may_overlap(pairs, a, b))
        return true;
    return say(g, "'%s' at bytes %lld to %lld and '%s' at bytes %lld to %lld "
               "both hold byte %lld in step %d", a->name,
               (long long)a->offset, (long long)(a->offset + a->bytes - 1),
               b->name, (long long)b->offset,
               (long long)(b->offset + b->bytes - 1), (long long)from,
               a->first < 0 && b->first < 0 ? 0
               : a->first > b->first ? a->first : b->first);
}

bool placed_buffers(Graph *g, const OverlapPairs *pairs, bool no_reuse)
{
    Plan *p = g->plan;
    Buffer **list = NEW_ARRAY(g->scratch, Buffer *, p->nbuf + 1);
    int n = 0;

    if (!g->placed)
        return true;
    for (int i = 0; i < p->nbuf; i++)
        if (p->buf[i]->offset >= 0) {
            if (!check_region(g, p->buf[i]))
                return false;
            list[n++] = p->buf[i];
        }
    qsort(list, (size_t)n, sizeof *list, by_start);
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++) {
            if (!no_reuse && list[k]->first > list[i]->last)
                break;
            if (!check_pair(g, list[i], list[k], pairs))
                return false;
        }
    return true;
}
