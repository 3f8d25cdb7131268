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
 * machine: most of a second for a small graph that resists, hundredths for a
 * large one. */
static long effort(int nstep)
{
    return nstep <= 120 ? 6000000
         : nstep <= 400 ? 2000000
         : nstep <= 1600 ? 160000 : 250l * nstep;
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

/* Half of --plan-time; without it no clock is ever read. */
static double half_time(const PassOptions *opt)
{
    struct timespec t;

    if (opt->plan_time <= 0)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec +
           opt->plan_time / 2;
}

/* The search from below was too long: what if the level is given? From there
 * an order is found more easily, and if none is, the bound rises all the
 * same. */
static void search_between(Walk *w, OrderSearch *o)
{
    enum { TRIES = 8 };
    int64_t low = o->bound;

    for (int i = 0; i < TRIES && o->bound < o->peak && low < o->peak; i++) {
        OrderSearch t = *o;
        t.bound = low + (o->peak - low) / 2 / PLAN_ALIGN * PLAN_ALIGN;
        low = t.bound;
        t.work = effort(w->s->nstep) / TRIES;
        t.deadline = 0;
        t.improved = false;
        order_search(w, &t);
        if (t.bound > low)
            o->bound = t.bound;
        o->peak = t.peak;
        if (t.improved)
            low = o->bound;
    }
}

/* The best order known and a bound of all orders; the model's own peak. */
static OrderSearch find_order(Walk *w, const PassOptions *opt, int64_t bound,
                              int64_t *model)
{
    int n = w->s->nstep;
    OrderSearch o = { .bound = bound, .work = effort(n),
                      .deadline = half_time(opt) };

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
    if (o.bound < o.peak && o.deadline == 0 && n <= 400)
        search_between(w, &o);
    return o;
}

int64_t order_prove(const Storage *s, int64_t bound, int64_t peak,
                    const PassOptions *opt)
{
    OrderSearch o = { .bound = bound, .peak = peak, .work = effort(s->nstep),
                      .deadline = half_time(opt) };
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

/* Orders of the same peak differ in how well their buffers can be packed:
 * the best of a few is taken, the model's among the first. */
typedef struct Choice {
    const Storage *s;
    const PassOptions *opt;
    int *best;
    int64_t arena;              /* of the best */
} Choice;

static void consider(Choice *c, const int *order)
{
    int64_t arena;

    apply(c->s, order);
    arena = plan_arena(c->s->g, c->opt);
    apply(c->s, NULL);          /* the walk knows steps by their index */
    if (arena >= c->arena)
        return;
    c->arena = arena;
    for (int i = 0; i < c->s->nstep; i++)
        c->best[i] = order ? order[i] : i;
}

static void choose(Walk *w, Choice *c, const OrderSearch *found,
                   int64_t model, int64_t state)
{
    int n = c->s->nstep, variants = n <= 400 ? 16 : n <= 1600 ? 1 : 0;
    OrderSearch o = *found;

    if (found->peak < model)
        consider(c, found->order);
    if (c->arena > model + state || c->s->g->overlap)
        consider(c, NULL);
    o.order = NEW_ARRAY(c->s->g->scratch, int, n + 1);
    for (int i = 1; i <= variants && c->arena > found->peak + state; i++) {
        o.peak = found->peak + 1;
        o.bound = found->peak;
        o.variant = i;
        o.improved = false;
        o.deadline = 0;
        o.work = effort(n) / (variants + 1);
        order_search(w, &o);
        if (o.improved)
            consider(c, o.order);
    }
}

static bool is_model_order(const int *order, int n)
{
    for (int i = 0; i < n; i++)
        if (order[i] != i)
            return false;
    return true;
}

bool pass_schedule(Graph *g, const PassOptions *opt, bool *changed)
{
    Storage *s = storage_new(g, opt);
    int64_t state = state_bytes(g, opt), model;
    Choice c = { .s = s, .opt = opt, .arena = INT64_MAX };
    OrderSearch o;
    Walk w;

    if (opt->no_reuse || g->placed)     /* placements are for this order */
        return true;
    walk_init(&w, s);
    o = find_order(&w, opt, order_bound(s, &w.deps).bytes, &model);
    g->model_order_bound = model + state;
    g->order_bound = o.bound + state;
    c.best = NEW_ARRAY(g->scratch, int, s->nstep + 1);
    choose(&w, &c, &o, model, state);
    apply(s, c.best);
    *changed = !is_model_order(c.best, s->nstep);
    return true;
}
