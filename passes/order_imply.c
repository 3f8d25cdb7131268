/* order_imply.c - what a limit of live bytes says about the order.
 *
 * Let L(v) bytes be live at step v in every order. A store x that is not
 * among them and has more than cap - L(v) bytes cannot be live at v:
 * - is it made before v in every order, all of its readers come before v;
 * - has it a reader behind v (or leaves the model), it is made after v.
 * These new edges are live bytes for more stores in every order, and so on
 * until nothing is new, a cycle arises or some L(v) is above the cap.
 *
 * A conclusion from L(v) and x holds for every cap below L(v) + bytes(x); the
 * least of these is where a search has to begin anew.
 */
#include "order_reach.h"

typedef struct Imply {
    Reach r;
    int64_t cap, *until;
    Edge *edge;
    int nedge, capedge;
    Arena *a;
} Imply;

/* The steps v of the block, among `mask`, at which x does not fit. */
static uint64_t too_big(const Imply *m, uint64_t mask, int64_t bytes)
{
    uint64_t out = 0;

    for (; mask; mask &= mask - 1) {
        int i = __builtin_ctzll(mask);
        int64_t need = m->r.live[i] + bytes;
        if (need <= m->cap)
            continue;
        out |= 1ull << i;
        if (need < *m->until)
            *m->until = need;
    }
    return out;
}

static uint64_t block_mask(const Reach *r)
{
    int left = r->d->n - r->first;

    return left >= 64 ? ~0ull : (1ull << left) - 1;
}

static void add_edge(Imply *m, int from, int to)
{
    PUSH(m->a, m->edge, m->nedge, m->capedge, ((Edge){ from, to }));
}

/* What x, whose place is no state's, implies for the steps of the block. */
static void imply_store(Imply *m, int x)
{
    const Reach *r = &m->r;
    const Store *t = &r->s->store[x];
    int maker = t->root->def ? t->root->def->index : -1;
    uint64_t made = maker < 0 ? ~0ull : r->to[maker];
    uint64_t all = block_mask(r);

    if (maker >= 0) {
        uint64_t v = all & r->needed[x] & ~made & ~r->from[maker];
        for (v = too_big(m, v, t->bytes); v; v &= v - 1)
            add_edge(m, r->first + __builtin_ctzll(v), maker);
    }
    made &= all & ~r->needed[x];
    for (int i = 0; made && i < t->nreader; i++) {
        uint64_t v = too_big(m, made & ~r->to[t->reader[i]], t->bytes);
        for (; v; v &= v - 1)
            add_edge(m, t->reader[i], r->first + __builtin_ctzll(v));
    }
}

/* False when too much is live at a step whatever the order. */
static bool imply_block(Imply *m, int first)
{
    int64_t most = 0;

    reach_block(&m->r, first);
    for (int i = 0; i < 64 && first + i < m->r.d->n; i++)
        if (m->r.live[i] > most)
            most = m->r.live[i];
    if (most > m->cap) {
        if (most < *m->until)
            *m->until = most;
        return false;
    }
    for (int x = 0; x < m->r.s->nstore; x++)
        if (!m->r.hosted[x] && most + m->r.s->store[x].bytes > m->cap)
            imply_store(m, x);
    return true;
}

/* Drops edges that follow from others, in the block of their second step. */
static void thin_block(Imply *m, int first, bool *keep)
{
    const Deps *d = m->r.d;

    reach_block(&m->r, first);
    for (int i = 0; i < m->nedge; i++) {
        Edge e = m->edge[i];
        uint64_t bit = reach_bit(&m->r, e.to);
        int same = 0;
        for (int k = d->first[e.from]; bit && k < d->first[e.from + 1]; k++)
            if (d->succ[k] == e.to)
                same++;
            else if (m->r.to[d->succ[k]] & bit)
                keep[i] = false;
        for (int k = 0; same > 1 && keep[i] && k < i; k++)
            if (m->edge[k].from == e.from && m->edge[k].to == e.to)
                keep[i] = false;
    }
}

static void thin(Imply *m)
{
    bool *keep = NEW_ARRAY(m->a, bool, m->nedge + 1);
    int n = 0;

    for (int i = 0; i < m->nedge; i++)
        keep[i] = true;
    for (int first = 0; first < m->r.d->n; first += 64)
        thin_block(m, first, keep);
    for (int i = 0; i < m->nedge; i++)
        if (keep[i])
            m->edge[n++] = m->edge[i];
    m->nedge = n;
}

bool order_imply(const Storage *s, Deps *d, int64_t cap, int64_t *until,
                 const Edge *edge, int n, long *work, Arena *a)
{
    Imply m = { .cap = cap, .until = until, .a = a };

    for (int i = 0; i < n; i++)
        add_edge(&m, edge[i].from, edge[i].to);
    if (!deps_init(d, s, m.edge, m.nedge, a))
        return false;
    m.r = reach_new(s, d, a);
    for (;;) {
        int before = m.nedge;
        for (int first = 0; first < d->n; first += 64) {
            *work += d->n / 16;
            if (!imply_block(&m, first))
                return false;
        }
        if (before == m.nedge)
            return true;
        if (!deps_init(d, s, m.edge, m.nedge, a))
            return false;
        thin(&m);
        deps_init(d, s, m.edge, m.nedge, a);
    }
}
