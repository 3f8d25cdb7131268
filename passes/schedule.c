/* schedule.c - the order of steps with the smallest peak.
 *
 * The model's order stays unless a better one is found: by beam search, then
 * by an exact search that goes on until it is proved that there is none, or
 * its effort is spent. What is known then about all orders goes into the
 * report's certificate.
 */
#include "order.h"

#include <limits.h>

#include <time.h>

/* Effort in steps tried (Walk.work), so that the result is the same on every
 * machine: a second or so for a small graph, a few hundredths for a large
 * one. */
static long effort(int nstep)
{
    return nstep <= 120 ? 8000000 : nstep <= 400 ? 2000000 : 300000;
}

static void keep_better(int *best, int64_t *peak, const int *order,
                        int64_t found, int n)
{
    if (found < 0 || found >= *peak)
        return;
    *peak = found;
    for (int i = 0; i < n; i++)
        best[i] = order[i];
}

/* Greedy first; wider as far as the effort goes. */
static void try_beams(Walk *w, int64_t bound, int *best, int64_t *peak)
{
    int n = w->s->nstep;
    int *order = NEW_ARRAY(w->s->g->scratch, int, n + 1);
    long all = effort(n), used = w->work;

    keep_better(best, peak, order, order_beam(w, 1, bound, all, order), n);
    used = w->work - used;
    for (int width = 4; width <= 32 && *peak > bound; width *= 2)
        if (used * width < all / 2)
            keep_better(best, peak, order,
                        order_beam(w, width, bound, all, order), n);
}

/* Never read twice: where the time limit is no option, no clock is read. */
static double deadline(const PassOptions *opt)
{
    struct timespec t;

    if (opt->plan_time <= 0)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec + opt->plan_time;
}

/* The best order known and a bound of all orders; the model's own peak. */
static OrderSearch find_order(Walk *w, const PassOptions *opt, int64_t bound,
                              int64_t *model)
{
    int n = w->s->nstep;
    OrderSearch o = { .bound = bound, .work = effort(n),
                      .deadline = deadline(opt) };

    o.order = NEW_ARRAY(w->s->g->scratch, int, n + 1);
    for (int i = 0; i < n; i++)
        o.order[i] = i;
    *model = o.peak = live_peak(w->s, o.order);
    if (o.peak <= bound)
        return o;
    try_beams(w, bound, o.order, &o.peak);
    if (o.deadline > 0)
        o.work = LONG_MAX / 2;
    order_search(w, &o);
    return o;
}

int64_t order_prove(const Storage *s, int64_t bound, int64_t peak,
                    const PassOptions *opt)
{
    OrderSearch o = { .bound = bound, .peak = peak, .work = effort(s->nstep),
                      .deadline = deadline(opt) };
    Walk w;

    o.order = NEW_ARRAY(s->g->scratch, int, s->nstep + 1);
    walk_init(&w, s);
    if (o.deadline > 0)
        o.work = LONG_MAX / 2;
    order_search(&w, &o);
    return o.bound;
}

static void apply(const Storage *s, const int *order)
{
    for (int i = 0; i < s->nstep; i++)
        node_move(order ? s->step[order[i]].node : s->step[i].node, NULL);
    graph_number(s->g);
}

/* The better peak must not be lost to gaps between buffers. */
static bool pays(const Storage *s, const int *order, int64_t model,
                 const PassOptions *opt)
{
    int64_t arena;

    apply(s, order);
    arena = plan_arena(s->g, opt);
    if (arena < model)
        return true;
    apply(s, NULL);
    if (arena < plan_arena(s->g, opt)) {
        apply(s, order);
        return true;
    }
    return false;
}

bool pass_schedule(Graph *g, const PassOptions *opt, bool *changed)
{
    Storage *s = storage_new(g, opt);
    int64_t state = state_bytes(g, opt), model;
    OrderSearch o;
    Walk w;

    if (opt->no_reuse || g->placed)     /* placements are for this order */
        return true;
    walk_init(&w, s);
    o = find_order(&w, opt, order_bound(s, &w.deps).bytes, &model);
    g->model_order_bound = model + state;
    g->order_bound = o.bound + state;
    if (o.peak < model && pays(s, o.order, model + state, opt))
        *changed = true;
    return true;
}
