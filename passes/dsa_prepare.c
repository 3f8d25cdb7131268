/* dsa_prepare.c - turns a problem into sections of time and units of memory,
 * and finds the bound that no plan can be below. */
#include "dsa_int.h"

#include <assert.h>
#include <stdlib.h>

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
    if (b->align > 1)
        d->mixed = true;
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

int64_t dsa_prepare(Dsa *d, const DsaProblem *p, int64_t *when)
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

    return dsa_prepare(&d, p, when);
}
