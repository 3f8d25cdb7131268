/* stream_windows.c - which steps become loops with windows: line buffers, and
 * patches where less memory is wanted.
 *
 * A stretch of steps that is one loop needs memory of its own kind: what its
 * first steps read and its last ones leave is whole, whatever is done before
 * and behind. So the steps are a path of stretches and single steps, the peak
 * is the largest on the path, and for a given peak the path with least work
 * is found step by step (as msf-CNN, arXiv 2505.11483, does for chains). The
 * least peak whose work is allowed is found by halving.
 */
#include "stream.h"

#include "storage.h"

enum { NEAR = 64, TRIES = 12 };

/* Products made again, then steps in loops. */
typedef struct Cost {
    int64_t macs;
    int steps;
} Cost;

static const Cost no_way = { INT64_MAX, 0 };

typedef struct Path {
    Model m;
    int base, n;                /* steps before base have their loop */
    int64_t fixed;              /* most bytes live in them */
    int64_t macs;               /* without loops */
    Node **step;
    int64_t *live;              /* by step, as it is alone */
    int64_t *border;            /* bytes live before each step, and at last */
    int *slides;                /* steps before it with windows */
    Stretch **stretch;          /* by first step and length */
    Cost *cost;                 /* of the best path to each step */
    int *from;
    const Loops **by;           /* NULL: by the step alone */
} Path;

static bool is_less(Cost a, Cost b)
{
    return a.macs < b.macs || (a.macs == b.macs && a.steps < b.steps);
}

static void find_borders(Path *p)
{
    const Model *m = &p->m;

    p->border = NEW_ARRAY(m->g->scratch, int64_t, m->n + 2);
    for (int t = 0; t <= m->n; t++)
        p->border[t] = reserved_bytes(m->g, m->opt);
    for (int k = 0; k < m->s->nstore; k++)
        for (int t = m->first[k] + 1; t <= m->n && t <= m->last[k]; t++)
            p->border[t] += m->s->store[k].bytes;
}

/* Loops of steps [first, last] with at most that peak, or NULL. */
static const Loops *loops_between(Path *p, int first, int last, int64_t peak,
                                  int64_t work)
{
    Stretch **at = &p->stretch[first * REACH + last - first];

    if (p->slides[first] == p->slides[last + 1] ||
        p->border[first] > peak || p->border[last + 1] > peak)
        return NULL;
    if (!*at)
        *at = stretch_new(&p->m, first, last);
    return stretch_loops(*at, peak, work - p->cost[first].macs);
}

/* The path */

static void arrive(Path *p, int last, int64_t peak, int64_t work)
{
    Cost *best = &p->cost[last + 1];

    *best = no_way;
    if (p->live[last] <= peak) {
        *best = p->cost[last];
        p->from[last + 1] = last;
        p->by[last + 1] = NULL;
    }
    for (int first = last - 1; first >= p->base && last - first < REACH;
         first--) {
        Cost c = p->cost[first];
        const Loops *l;
        c.steps += last - first + 1;
        if (c.macs == INT64_MAX || !is_less(c, *best))
            continue;
        l = loops_between(p, first, last, peak, work);
        if (!l)
            continue;
        c.macs += l->macs > 0 ? l->macs : 0;
        if (is_less(c, *best)) {
            *best = c;
            p->from[last + 1] = first;
            p->by[last + 1] = l;
        }
    }
}

/* Products that a path with at most that peak makes again. */
static int64_t find_path(Path *p, int64_t peak, int64_t work)
{
    if (p->fixed > peak)
        return INT64_MAX;
    p->cost[p->base] = (Cost){ 0, 0 };
    for (int t = p->base; t < p->n; t++)
        arrive(p, t, peak, work);
    return p->cost[p->n].macs;
}

/* The path with at most that peak as loops of the graph; its arena, or
 * INT64_MAX: there is none. */
static int64_t lay_path(Path *p, int64_t peak, int64_t work)
{
    if (find_path(p, peak, work) > work)
        return INT64_MAX;
    loops_take(p->step + p->base, p->n - p->base);
    for (int t = p->n; t > p->base; t = p->from[t])
        if (p->by[t])
            loops_lay(p->m.g, p->step + p->from[t], t - p->from[t],
                      p->by[t]);
    graph_number(p->m.g);
    if (graph_work(p->m.g) - p->macs > work) {
        loops_take(p->step + p->base, p->n - p->base);
        graph_number(p->m.g);
        return INT64_MAX;
    }
    return plan_about(p->m.g, p->m.opt);
}

static bool has_loops(const Path *p)
{
    for (int t = p->base; t < p->n; t++)
        if (p->step[t]->region)
            return true;
    return false;
}

/* False: there are no windows, or loops already, but for those that the first
 * steps are in. */
static bool path_init(Path *p, Graph *g, const PassOptions *opt)
{
    graph_number(g);
    for EACH_NODE(n, g)
        p->n++;
    p->step = NEW_ARRAY(g->scratch, Node *, p->n + 1);
    p->slides = NEW_ARRAY(g->scratch, int, p->n + 1);
    for EACH_NODE(n, g) {
        bool slides = false;
        for (int a = 0; n->nout && n->out[0] && a < n->out[0]->type.rank; a++)
            slides = slides || axis_slides(n, a);
        p->step[n->index] = n;
        p->slides[n->index + 1] = p->slides[n->index] + slides;
    }
    while (p->base < p->n && p->step[p->base]->region)
        p->base++;
    if (p->slides[p->n] == p->slides[p->base] || has_loops(p))
        return false;
    p->live = NEW_ARRAY(g->scratch, int64_t, p->n + 1);
    plan_steps_live(g, opt, p->live);
    for (int t = 0; t < p->base; t++)
        p->fixed = p->live[t] > p->fixed ? p->live[t] : p->fixed;
    model_init(&p->m, g, opt);
    p->macs = graph_work(g);
    find_borders(p);
    p->stretch = NEW_ARRAY(g->scratch, Stretch *, p->n * REACH);
    p->cost = NEW_ARRAY(g->scratch, Cost, p->n + 1);
    p->from = NEW_ARRAY(g->scratch, int, p->n + 1);
    p->by = NEW_ARRAY(g->scratch, const Loops *, p->n + 1);
    return true;
}

/* The least peak that a path with allowed work has; at least `least`. */
static int64_t halve(Path *p, int64_t least, int64_t most, int64_t work)
{
    while (most - least > NEAR && most - least > most / 256) {
        int64_t peak = least + (most - least) / 2;
        if (find_path(p, peak, work) <= work)
            most = peak;
        else
            least = peak;
    }
    return most;
}

/* Below `goal`: what the model leaves out may be missing. */
static bool meet(Path *p, int64_t goal, int64_t work)
{
    int64_t peak = goal;

    for (int i = 0; i < TRIES; i++) {
        int64_t arena = lay_path(p, peak, work);
        if (arena <= goal)
            return true;
        if (arena == INT64_MAX)
            return false;
        peak -= arena - goal;
    }
    return false;
}

/* The least arena of paths with a peak of `peak` and a little more: places
 * do not always fit as well as the bytes that are live. */
static void reach(Path *p, int64_t peak, int64_t work)
{
    int64_t best = peak, least = INT64_MAX;

    for (int i = 0; i < TRIES && peak < least; i++, peak += peak / 64) {
        int64_t arena = lay_path(p, peak, work);
        if (arena < least) {
            least = arena;
            best = peak;
        }
    }
    lay_path(p, best, work);
}

bool stream_windows(Graph *g, const PassOptions *opt, int64_t goal,
                    int64_t work)
{
    Path p = { .n = 0 };
    int64_t most = plan_about(g, opt), least;

    if (!path_init(&p, g, opt))
        return false;
    if (goal && meet(&p, goal, work))
        return true;
    least = p.border[p.base] > p.border[p.n] ? p.border[p.base]
                                             : p.border[p.n];
    least = p.fixed > least ? p.fixed - 1 : least;
    reach(&p, halve(&p, least, most, work), work);
    return has_loops(&p);
}
