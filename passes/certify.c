/* certify.c - the plan's certificate: per class of plans a lower bound of the
 * arena, and what is live at the step that shows it. A reader can add it up
 * again without knowing how plans are made.
 */
#include "../ir/region.h"
#include "order.h"
#include "overlap.h"

#include <stdlib.h>

static int by_bytes(const void *a, const void *b)
{
    const Held *x = a, *y = b;

    return x->bytes != y->bytes ? x->bytes < y->bytes ? 1 : -1 : 0;
}

/* Equal sizes keep their order: qsort need not. */
static void sort_held(Held *h, int n)
{
    if (n > 64) {
        qsort(h, (size_t)n, sizeof *h, by_bytes);
        return;
    }
    for (int i = 1; i < n; i++)
        for (int j = i; j && h[j - 1].bytes < h[j].bytes; j--) {
            Held t = h[j];
            h[j] = h[j - 1];
            h[j - 1] = t;
        }
}

static int64_t rounded(int64_t bytes)
{
    return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static const char *scratch_name(Graph *g, const char *node)
{
    return arena_printf(g->arena, "scratch of %s", node);
}

static Bound *row(Plan *p, BoundClass is, const char *name, int64_t plan,
                  Held *held, int n)
{
    Bound *b = &p->bounds[p->nbound++];

    if (p->state_bytes)
        held[n++] = (Held){ "state", p->state_bytes };
    sort_held(held, n);
    *b = (Bound){ .is = is, .name = name, .plan = plan, .held = held,
                  .nheld = n };
    for (int i = 0; i < n; i++)
        b->bound += held[i].bytes;
    return b;
}

/* Without states, which have a line of their own. */
static bool is_held(const Buffer *b, int step)
{
    return !b->is_state && b->first <= step && step <= b->last;
}

static Held hold(Graph *g, const Buffer *b)
{
    return (Held){ b->is_scratch ? scratch_name(g, b->name) : b->name,
                   rounded(b->bytes) };
}

static void this_order(Graph *g, int64_t proved)
{
    Plan *p = g->plan;
    Held *held = NEW_ARRAY(g->arena, Held, p->nbuf + 1);
    Bound *b;
    int n = 0;

    for (int i = 0; i < p->nbuf; i++)
        if (is_held(p->buf[i], p->peak_step))
            held[n++] = hold(g, p->buf[i]);
    b = row(p, BOUND_ORDER, graph_has_regions(g)
                                ? "these loops, no overlap"
                                : "this order, no overlap",
            p->apart_bytes, held, n);
    b->step = p->peak_step;
    b->proof = "live at once";
    p->peak_bytes = b->bound;
    if (proved > b->bound) {
        b->bound = proved;
        b->proof = "no offsets are lower: searched";
    }
}

/* Most bytes live at one step when results lie over operands as far as they
 * may; the result is held with what it needs beside them. */
static void order_overlap(Graph *g)
{
    Plan *p = g->plan;
    Held *held = NEW_ARRAY(g->arena, Held, p->nbuf + 1);
    int64_t *change = NEW_ARRAY(g->scratch, int64_t, p->nsteps + 3);
    Saving *saved = overlap_savings(g);
    int64_t live = 0, most = -1;
    int step = -1, n = 0;
    Bound *b;

    for (int i = 0; i < p->nbuf; i++) {
        if (p->buf[i]->is_state)
            continue;
        change[p->buf[i]->first + 1] += rounded(p->buf[i]->bytes);
        change[p->buf[i]->last + 2] -= rounded(p->buf[i]->bytes);
        if (saved[i].bytes) {
            change[saved[i].first + 1] -= saved[i].bytes;
            change[saved[i].last + 2] += saved[i].bytes;
        }
    }
    for (int t = -1; t <= p->nsteps; t++) {
        live += change[t + 1];
        if (live > most) {
            most = live;
            step = t;
        }
    }
    for (int i = 0; i < p->nbuf; i++) {
        Held h = hold(g, p->buf[i]);
        if (!is_held(p->buf[i], step))
            continue;
        if (saved[i].bytes && saved[i].first <= step &&
            step <= saved[i].last) {
            h.bytes -= saved[i].bytes;
            h.name = arena_printf(g->arena, "%s beside them", h.name);
        }
        if (h.bytes > 0)
            held[n++] = h;
    }
    b = row(p, BOUND_ORDER_OVERLAP, "these loops, overlap", p->arena_bytes,
            held, n);
    b->step = step;
    b->proof = "live at once";
}

static void any_order(const Storage *s, const PassOptions *opt)
{
    Graph *g = s->g;
    Plan *p = g->plan;
    int *list = NEW_ARRAY(g->scratch, int, s->nstore + 1), n, k = 0;
    OrderBound bound;
    Held *held;
    Deps deps;
    Bound *b;

    deps_init(&deps, s, NULL, 0, g->scratch);
    bound = order_bound(s, &deps);
    n = order_live(s, &deps, bound.step, list);
    held = NEW_ARRAY(g->arena, Held, n + 2);
    for (int i = 0; i < n; i++)
        held[k++] = (Held){ s->store[list[i]].root->name,
                            s->store[list[i]].bytes };
    if (bound.step >= 0 && bound.step < s->nstep &&
        s->step[bound.step].scratch)
        held[k++] = (Held){
            scratch_name(g, s->step[bound.step].node->name),
            s->step[bound.step].scratch };
    b = row(p, BOUND_ANY, "any order, no overlap", p->apart_bytes, held, k);
    b->step = bound.step;
    b->proof = "live in every order";
    if (!g->order_bound && b->bound < b->plan)
        g->order_bound = order_prove(s, b->bound - p->state_bytes,
                                     b->plan - p->state_bytes, opt) +
                         p->state_bytes;
    if (g->order_bound > b->bound) {
        b->bound = g->order_bound;
        b->proof = "no order is lower: searched";
    }
}

/* The same, where results may lie over operands: `own` is what a step's
 * result needs beside them. */
static void any_overlap(Storage *s)
{
    Graph *g = s->g;
    int *list = NEW_ARRAY(g->scratch, int, s->nstore + 1), n, k = 0;
    Deps deps;
    OrderBound bound;
    int64_t sum = g->plan->state_bytes;
    Held *held;
    Bound *b;

    deps_init(&deps, s, NULL, 0, g->scratch);
    storage_overlaps(s);
    bound = order_bound(s, &deps);
    n = order_live(s, &deps, bound.step, list);
    held = NEW_ARRAY(g->arena, Held, n + 3);
    for (int i = 0; i < n; i++) {
        held[k++] = (Held){ s->store[list[i]].root->name,
                            s->store[list[i]].bytes };
        sum += held[k - 1].bytes;
    }
    if (bound.step >= 0 && bound.step < s->nstep &&
        s->step[bound.step].scratch) {
        held[k++] = (Held){
            scratch_name(g, s->step[bound.step].node->name),
            s->step[bound.step].scratch };
        sum += held[k - 1].bytes;
    }
    if (bound.bytes + g->plan->state_bytes > sum)
        held[k++] = (Held){
            arena_printf(g->arena, "%s beside them",
                         s->step[bound.step].node->out[0]->name),
            bound.bytes + g->plan->state_bytes - sum };
    b = row(g->plan, BOUND_ANY_OVERLAP, "any order, overlap",
            g->plan->arena_bytes, held, k);
    b->step = bound.step;
    b->proof = "live in every order";
}

/* Nothing is claimed of other orders or other loops where there are loops. */
void plan_certify(Graph *g, Storage *s, int64_t proved,
                  const PassOptions *opt)
{
    bool overlap = g->overlap && !opt->no_reuse;

    this_order(g, proved);
    if (s)
        any_order(s, opt);
    if (overlap && s)
        any_overlap(s);
    if (overlap && !s)
        order_overlap(g);
    g->plan->lower_bound = plan_own_bound(g->plan)->bound;
    g->plan->peak_step = plan_peak_step(g, -1, g->scratch);
}

bool bound_gap_exceeds(const Bound *b, double percent)
{
    return (double)(b->plan - b->bound) * 100 > percent * (double)b->bound;
}
