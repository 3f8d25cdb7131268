/* dsa.c - the driver of static allocation: asks the greedy portfolio for a
 * plan, then climbs a ladder of capacities with the exact search.
 *
 * The ladder has the bound itself as its first rung: on real instances the
 * bound is often reachable, and a search for a tight capacity prunes best
 * (SuperMalloc, github.com/fpedd/omnimalloc, found the same). Tries are
 * short and go round several preorders, as in MiniMalloc (Moffitt,
 * ASPLOS'23).
 */
#include "dsa_int.h"

#include <time.h>

enum {
    DEFAULT_NODES = 1000000,
    RUNGS = 4,                  /* of the ladder of capacities */
    ORDERS = 3,                 /* preorders the searches know */
    FIRST_LIMIT = 1000,         /* nodes of the first tries */
    LONG_TRY = 7,               /* one try in so many is long */
    PAIR_TRIES = 400,           /* of local improvement */
    LARGE = 3000                /* blocks: no exact search from here on */
};

/* The best plan so far */

bool dsa_offer(Dsa *d, const int64_t *offset)
{
    int64_t height = 0;

    for (int i = 0; i < d->n; i++) {
        int64_t top = offset[i] * d->unit + d->b[i].bytes;
        if (top > height)
            height = top;
    }
    if (height >= d->height)
        return false;
    d->height = height;
    for (int i = 0; i < d->n; i++)
        d->best[i] = offset[i];
    return true;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool dsa_out_of_time(Dsa *d)
{
    if (!d->stopped && d->deadline > 0 && now() >= d->deadline)
        d->stopped = true;
    return d->stopped;
}

double dsa_time_left(const Dsa *d)
{
    double left = d->deadline > 0 ? d->deadline - now() : 0;

    return d->deadline > 0 && left < 1e-3 ? 1e-3 : left;
}

/* The lowest height above `cap` that a plan can have. */
static int64_t next_height(const Dsa *d, int64_t cap)
{
    int64_t least = INT64_MAX;

    for (int i = 0; i < d->n; i++) {
        int64_t h = d->b[i].bytes;
        if (h <= cap)
            h += ((cap - h) / d->unit + 1) * d->unit;
        if (h < least)
            least = h;
    }
    return least;
}

/* One try; learns from the answer. */
static Verdict try_cap(Dsa *d, int64_t cap, int order, long limit)
{
    Verdict v;

    if (limit > d->max_nodes - d->nodes)
        limit = d->max_nodes - d->nodes;
    if (limit <= 0 || dsa_out_of_time(d))
        return V_LIMIT;
    v = d->plain && order < ORDERS ? dsa_search(d, cap, order, limit)
                                   : dsa_search_pairs(d, cap, order, limit);
    if (v == V_NO && cap >= d->bound)
        d->bound = next_height(d, cap);
    return v;
}

/* Mixed alignments leave holes that only the search by pairs sees. */
static int orders(const Dsa *d)
{
    return d->plain && d->mixed ? ORDERS + 1 : ORDERS;
}

static bool spent(Dsa *d)
{
    return d->nodes >= d->max_nodes || dsa_out_of_time(d);
}

/* Nodes for try t: short and slowly growing, since the time to a plan has a
 * heavy tail (restarts, as in Gomes et al., AAAI'98) while the search keeps
 * what it learnt about the sections. A proof needs one long try, so now and
 * then there is one of half of all that has been spent. */
static long try_limit(const Dsa *d, int t)
{
    long limit = FIRST_LIMIT;

    for (int i = 0; i < t / ORDERS && limit < d->max_nodes; i++)
        limit += limit / 8;
    return t % LONG_TRY == LONG_TRY - 1 && d->nodes / 2 > limit ?
           d->nodes / 2 : limit;
}

static void search_capacity(Dsa *d)
{
    for (int t = 0; !spent(d); t++)
        if (try_cap(d, d->goal, t % orders(d), try_limit(d, t)) != V_LIMIT)
            return;
}

/* Rung r of RUNGS between the bound and the best plan. The lower ones are
 * often easier: they prune more. */
static int64_t rung(const Dsa *d, int r)
{
    int64_t gap = d->height - d->bound;

    return d->bound + gap / RUNGS * r + gap % RUNGS * r / RUNGS;
}

static void search_minimum(Dsa *d)
{
    for (int t = 0; !spent(d) && d->height > d->bound; t++) {
        int r = t % RUNGS;
        int round = t / RUNGS;
        /* long tries only at the bound, where a proof raises it */
        if (r > 0 && round % LONG_TRY == LONG_TRY - 1)
            round--;
        try_cap(d, rung(d, r), t / RUNGS % orders(d), try_limit(d, round));
    }
}

/* Bytes within which a plan exists if any does: a path that visits every
 * block once, by its longest step. */
static int64_t ceiling(const Dsa *d)
{
    int64_t sum = 0, fixed = 0;

    for (int i = 0; i < d->n; i++) {
        const Block *b = &d->b[i];
        int64_t step = b->size;
        for (int k = b->first_pair; k >= 0; k = d->pair[k].next)
            if (d->pair[k].below != DSA_NEVER && d->pair[k].below > step)
                step = d->pair[k].below;
        sum += step + b->align;
        if (b->fixed > fixed)
            fixed = b->fixed;
    }
    return (sum + fixed) * d->unit;
}

/* Fixed offsets and forbidden orders can leave the greedy without a plan:
 * any plan will do then. */
static void search_any(Dsa *d)
{
    for (long limit = FIRST_LIMIT; !spent(d); limit *= 2)
        for (int o = 0; o < ORDERS; o++) {
            Verdict v = try_cap(d, ceiling(d), o, limit);
            if (v == V_NO)
                d->bound = INT64_MAX;
            if (v != V_LIMIT)
                return;
        }
}

static void start(Dsa *d, const DsaOptions *opt)
{
    d->max_nodes = opt->max_nodes ? opt->max_nodes : DEFAULT_NODES;
    if (opt->max_seconds > 0)
        d->deadline = now() + opt->max_seconds;
    d->best = NEW_ARRAY(d->arena, int64_t, d->n + 1);
    d->height = d->n ? INT64_MAX : 0;
    d->goal = opt->capacity > d->bound ? opt->capacity : d->bound;
}

static void run(Dsa *d, const DsaProblem *p, const DsaOptions *opt)
{
    dsa_greedy(d);
    if (d->height <= d->goal || (opt->capacity && opt->capacity < d->bound))
        return;
    if (d->n > LARGE) {
        if (d->plain)
            dsa_large(d, p);
        else
            dsa_improve(d, d->max_nodes / 16);
        return;
    }
    if (!d->plain && d->max_nodes > 0)
        dsa_improve(d, PAIR_TRIES);
    if (d->height <= d->goal)
        return;
    if (opt->capacity) {
        search_capacity(d);
        return;
    }
    if (d->height == INT64_MAX)
        search_any(d);
    if (d->height != INT64_MAX)
        search_minimum(d);
}

static void finish(const Dsa *d, DsaProblem *p, const DsaOptions *opt,
                   DsaResult *r)
{
    for (int i = 0; i < p->nbuf; i++)   /* empty buffers are anywhere */
        p->buf[i].offset = p->buf[i].fixed_offset > 0 ?
                           p->buf[i].fixed_offset : 0;
    if (d->height != INT64_MAX)
        for (int i = 0; i < d->n; i++)
            p->buf[d->b[i].id].offset = d->best[i] * d->unit;
    r->height = d->height == INT64_MAX ? -1 : d->height;
    r->lower_bound = d->bound;
    r->nodes = d->nodes;
    r->proved = d->height <= d->bound;
    r->status = DSA_SOLVED;
    if (d->height > (opt->capacity ? opt->capacity : INT64_MAX - 1)) {
        r->status = DSA_UNDECIDED;
        if (d->bound > (opt->capacity ? opt->capacity : INT64_MAX - 1))
            r->status = DSA_INFEASIBLE;
        r->proved = r->status == DSA_INFEASIBLE;
    }
}

DsaStatus dsa_solve(DsaProblem *p, const DsaOptions *opt, Arena *scratch,
                    DsaResult *result)
{
    Dsa d = { .arena = scratch };
    int64_t when = 0;

    *result = (DsaResult){ 0 };
    result->max_live = dsa_prepare(&d, p, &when);
    result->bound_time = when;
    start(&d, opt);
    run(&d, p, opt);
    finish(&d, p, opt, result);
    return result->status;
}
