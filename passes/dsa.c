/* dsa.c - the driver of static allocation: cuts time into sections, finds
 * the unit of memory and the lower bound, asks the greedy portfolio for a
 * plan, then climbs a ladder of capacities with the exact search.
 *
 * The ladder has the bound itself as its first rung: on real instances the
 * bound is often reachable, and a search for a tight capacity prunes best
 * (SuperMalloc, github.com/fpedd/omnimalloc, found the same). Limits double
 * from round to round, over several preorders, as in MiniMalloc (Moffitt,
 * ASPLOS'23).
 */
#include "dsa_int.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

enum {
    DEFAULT_NODES = 1000000,
    RUNGS = 4,                  /* of the ladder of capacities */
    ORDERS = 3,                 /* preorders the searches know */
    FIRST_LIMIT = 1000,         /* nodes of the first tries */
    PLAIN_TRIES = 100,          /* of local improvement */
    PAIR_TRIES = 3000,
    LARGE = 3000                /* blocks: no exact search from here on */
};

/* ---- normalise ---------------------------------------------------------- */

static int64_t gcd64(int64_t a, int64_t b)
{
    a = a < 0 ? -a : a;
    while (b) {
        int64_t t = a % b;
        a = b < 0 ? -b : b;
        b = t < 0 ? -t : t;
    }
    return a;
}

typedef struct Event {
    int64_t time;
    int block;
    int start;                  /* 0: an end; ends sort before starts */
} Event;

static int event_cmp(const void *pa, const void *pb)
{
    const Event *a = pa, *b = pb;

    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    if (a->start != b->start)
        return a->start - b->start;
    return a->block - b->block;
}

/* Only maximal live sets matter, so a new section begins where an end is
 * followed by a start. `when`, if given, gets a time inside each section. */
static void cut_sections(Dsa *d, const DsaProblem *p, int64_t *when)
{
    Event *e = NEW_ARRAY(d->arena, Event, 2 * d->n + 1);
    bool open = false;

    for (int i = 0; i < d->n; i++) {
        const DsaBuf *b = &p->buf[d->b[i].id];
        e[2 * i] = (Event){ b->lower, i, 1 };
        e[2 * i + 1] = (Event){ b->upper, i, 0 };
    }
    qsort(e, (size_t)d->n * 2, sizeof *e, event_cmp);
    d->nsec = 0;
    for (int i = 0; i < 2 * d->n; i++) {
        Block *b = &d->b[e[i].block];
        if (e[i].start) {
            b->lo = d->nsec;
            when[d->nsec] = e[i].time;
            open = true;
        } else {
            d->nsec += open;
            b->hi = d->nsec;
            open = false;
        }
    }
}

/* Bytes that offsets are always multiples of: first the gcd of the
 * alignments (sizes round up to it at no loss), then the gcd of all that
 * offsets of a pushed-down plan are made of. */
static int64_t find_unit(const DsaProblem *p, int64_t *align_gcd)
{
    int64_t a = 0, g = 0, before;

    for (int i = 0; i < p->nbuf; i++)
        a = gcd64(a, p->buf[i].align > 1 ? p->buf[i].align : 1);
    a = a ? a : 1;
    for (int i = 0; i < p->nbuf; i++) {
        g = gcd64(g, round_up(p->buf[i].size, a));
        if (p->buf[i].fixed_offset > 0)
            g = gcd64(g, p->buf[i].fixed_offset);
    }
    for (int i = 0; i < p->noverlap; i++) {
        const DsaOverlap *o = &p->overlap[i];
        if (o->a_first != DSA_NEVER)
            g = gcd64(g, round_up(o->a_first, a));
        if (o->b_first != DSA_NEVER)
            g = gcd64(g, round_up(o->b_first, a));
    }
    do {
        before = g;
        for (int i = 0; i < p->nbuf; i++)
            if (p->buf[i].align > 1 && g % p->buf[i].align)
                g = gcd64(g, p->buf[i].align);
    } while (g != before);
    *align_gcd = a;
    return g ? g : a;
}

static void add_block(Dsa *d, const DsaProblem *p, int i, int64_t align_gcd)
{
    const DsaBuf *s = &p->buf[i];
    Block *b = &d->b[d->n++];

    assert(s->lower < s->upper && s->size >= 0);
    b->id = i;
    b->bytes = s->size;
    b->size = round_up(s->size, align_gcd) / d->unit;
    b->align = s->align > d->unit ? s->align / d->unit : 1;
    b->fixed = s->fixed_offset >= 0 ? s->fixed_offset / d->unit : -1;
    b->first_pair = -1;
    if (b->fixed >= 0)
        d->plain = false;
}

static Pair *find_pair(const Dsa *d, int a, int b)
{
    for (int i = d->b[a].first_pair; i >= 0; i = d->pair[i].next)
        if (d->pair[i].other == b)
            return &d->pair[i];
    return NULL;
}

static void put_pair(Dsa *d, int a, int b, int64_t a_first, int64_t b_first)
{
    Pair *q = find_pair(d, a, b);

    if (!q) {
        q = &d->pair[d->npair];
        q->other = b;
        q->next = d->b[a].first_pair;
        d->b[a].first_pair = d->npair++;
    }
    q->below = a_first;
    q->above = b_first;
}

static void add_pairs(Dsa *d, const DsaProblem *p, int64_t align_gcd)
{
    int *where = NEW_ARRAY(d->arena, int, p->nbuf + 1);

    for (int i = 0; i < p->nbuf; i++)
        where[i] = -1;
    for (int i = 0; i < d->n; i++)
        where[d->b[i].id] = i;
    d->pair = NEW_ARRAY(d->arena, Pair, 2 * p->noverlap + 1);
    for (int i = 0; i < p->noverlap; i++) {
        const DsaOverlap *o = &p->overlap[i];
        int a = where[o->a], b = where[o->b];
        int64_t ab = o->a_first, ba = o->b_first;
        assert(o->a != o->b);
        if (a < 0 || b < 0 || !block_meets(&d->b[a], &d->b[b]))
            continue;
        if (ab != DSA_NEVER)
            ab = round_up(ab, align_gcd) / d->unit;
        if (ba != DSA_NEVER)
            ba = round_up(ba, align_gcd) / d->unit;
        put_pair(d, a, b, ab, ba);
        put_pair(d, b, a, ba, ab);
        d->plain = false;
    }
}

bool dsa_pair(const Dsa *d, int a, int b, int64_t *a_first, int64_t *b_first)
{
    const Pair *q = find_pair(d, a, b);

    if (!block_meets(&d->b[a], &d->b[b]))
        return false;
    *a_first = q ? q->below : d->b[a].size;
    *b_first = q ? q->above : d->b[b].size;
    return *a_first == DSA_NEVER || *b_first == DSA_NEVER ||
           *a_first + *b_first > 0;
}

/* ---- lower bound -------------------------------------------------------- */

/* Most units that a pair (x below y or y below x) can have in common. */
static int64_t common(const Block *x, const Block *y, const Pair *q)
{
    int64_t wide = x->size > y->size ? x->size - y->size : 0;
    int64_t narrow = x->size < y->size ? x->size - y->size : 0;
    int64_t least = x->size < y->size ? x->size : y->size;
    int64_t up = -1, down = -1;

    if (q->below != DSA_NEVER)   /* y at x + d, d >= below */
        up = q->below <= wide ? least : x->size - q->below;
    if (q->above != DSA_NEVER)   /* d <= -above */
        down = -q->above >= narrow ? least : y->size - q->above;
    up = up > down ? up : down;
    return up > 0 ? up : 0;
}

/* What block i may save in section s: its bytes inside buffers that remain
 * once i, being the youngest, has been taken out; at most all of it. */
static int64_t saving(const Dsa *d, int i, int s)
{
    const Block *b = &d->b[i];
    int64_t sum = 0;

    for (int k = b->first_pair; k >= 0; k = d->pair[k].next) {
        const Block *o = &d->b[d->pair[k].other];
        bool older = o->lo != b->lo ? o->lo < b->lo : o->id < b->id;
        if (older && o->lo <= s && s < o->hi)
            sum += common(b, o, &d->pair[k]);
    }
    return sum < b->size ? sum : b->size;
}

/* Bytes: the load of the fullest section; the topmost buffer of a section
 * need not be rounded up to units. */
static int64_t load_bound(const Dsa *d, int *at)
{
    int64_t *load = NEW_ARRAY(d->arena, int64_t, d->nsec + 1);
    int64_t *slack = NEW_ARRAY(d->arena, int64_t, d->nsec + 1);
    int64_t most = 0;

    for (int i = 0; i < d->n; i++) {
        const Block *b = &d->b[i];
        int64_t rest = b->size * d->unit - b->bytes;
        for (int s = b->lo; s < b->hi; s++) {
            load[s] += b->size;
            if (b->first_pair >= 0)
                load[s] -= saving(d, i, s);
            if (rest > slack[s])
                slack[s] = rest;
        }
        if (b->fixed >= 0 && b->fixed * d->unit + b->bytes > most)
            most = b->fixed * d->unit + b->bytes;
    }
    *at = 0;
    for (int s = 0; s < d->nsec; s++)
        if (load[s] * d->unit - slack[s] > most) {
            most = load[s] * d->unit - slack[s];
            *at = s;
        }
    return most;
}

static int64_t prepare(Dsa *d, const DsaProblem *p, int64_t *when)
{
    int64_t align_gcd, *times;
    int at;

    d->unit = find_unit(p, &align_gcd);
    d->plain = true;
    d->b = NEW_ARRAY(d->arena, Block, p->nbuf + 1);
    for (int i = 0; i < p->nbuf; i++)
        if (p->buf[i].size > 0)
            add_block(d, p, i, align_gcd);
    times = NEW_ARRAY(d->arena, int64_t, d->n + 1);
    cut_sections(d, p, times);
    add_pairs(d, p, align_gcd);
    d->bound = load_bound(d, &at);
    if (when)
        *when = times[at];
    return d->bound;
}

int64_t dsa_lower_bound(const DsaProblem *p, Arena *scratch, int64_t *when)
{
    Dsa d = { .arena = scratch };

    return prepare(&d, p, when);
}

/* ---- the best plan so far ----------------------------------------------- */

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

/* ---- the ladder --------------------------------------------------------- */

/* One try; learns from the answer. */
static Verdict try_cap(Dsa *d, int64_t cap, int order, long limit)
{
    Verdict v;

    if (limit > d->max_nodes - d->nodes)
        limit = d->max_nodes - d->nodes;
    if (limit <= 0 || dsa_out_of_time(d))
        return V_LIMIT;
    v = d->plain ? dsa_search(d, cap, order, limit)
                 : dsa_search_pairs(d, cap, order, limit);
    if (v == V_NO && cap >= d->bound)
        d->bound = next_height(d, cap);
    return v;
}

static bool spent(Dsa *d)
{
    return d->nodes >= d->max_nodes || dsa_out_of_time(d);
}

/* Nodes for try t: short and slowly growing, since the time to a plan has a
 * heavy tail (restarts, as in Gomes et al., AAAI'98) while the search keeps
 * what it learnt about the sections. */
static long try_limit(const Dsa *d, int t)
{
    long limit = FIRST_LIMIT;

    for (int i = 0; i < t / ORDERS && limit < d->max_nodes; i++)
        limit += limit / 8;
    return limit;
}

static void search_capacity(Dsa *d)
{
    for (int t = 0; !spent(d); t++)
        if (try_cap(d, d->goal, t % ORDERS, try_limit(d, t)) != V_LIMIT)
            return;
}

/* Rung r of RUNGS between the bound and the best plan. The lower ones are
 * often easier: they prune more. */
static int64_t rung(const Dsa *d, int r)
{
    int64_t cap = d->bound + (d->height - d->bound) / RUNGS * r;

    return cap < d->height ? cap : d->height - 1;
}

static void search_minimum(Dsa *d)
{
    for (int t = 0; !spent(d) && d->height > d->bound; t++)
        try_cap(d, rung(d, t % RUNGS), t / RUNGS % ORDERS,
                try_limit(d, t / RUNGS));
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

/* ---- the call ----------------------------------------------------------- */

static void start(Dsa *d, const DsaOptions *opt)
{
    d->max_nodes = opt->max_nodes ? opt->max_nodes : DEFAULT_NODES;
    if (opt->max_seconds > 0)
        d->deadline = now() + opt->max_seconds;
    d->best = NEW_ARRAY(d->arena, int64_t, d->n + 1);
    d->height = d->n ? INT64_MAX : 0;
    d->goal = opt->capacity > d->bound ? opt->capacity : d->bound;
}

static void run(Dsa *d, const DsaOptions *opt)
{
    dsa_greedy(d);
    if (d->height <= d->goal || (opt->capacity && opt->capacity < d->bound))
        return;
    if (d->plain && d->n > LARGE) {
        dsa_large(d);
        return;
    }
    if (d->max_nodes > 0)
        dsa_improve(d, d->plain ? PLAIN_TRIES : PAIR_TRIES);
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
    result->max_live = prepare(&d, p, &when);
    result->bound_time = when;
    start(&d, opt);
    run(&d, opt);
    finish(&d, p, opt, result);
    return result->status;
}
