/* dsa_large.c - 3,000 buffers and more, where the exact search of the whole
 * costs too much. What decides the height is the crowded part of time: its
 * blocks, the core, are a small instance of their own, which the exact
 * search packs to the bound or near it; the others then go around them,
 * larger first. How much of time counts as crowded is tried from narrow to
 * wide.
 */
#include "dsa_int.h"

enum { CORE_MAX = 2500, CORE_NODES = 5000 };

/* Blocks that live through a section with at least `least` units. */
static int pick_core(const Dsa *d, const int64_t *load, int64_t least,
                     int *core, int *before)
{
    int n = 0;

    before[0] = 0;
    for (int s = 0; s < d->nsec; s++)
        before[s + 1] = before[s] + (load[s] >= least);
    for (int i = 0; i < d->n; i++)
        if (before[d->b[i].hi] > before[d->b[i].lo])
            core[n++] = i;
    return n;
}

/* Offsets of the core, in units of d. Returns its height in bytes. */
static int64_t solve_core(Dsa *d, const DsaProblem *p, const int *core, int n,
                       int64_t *offset)
{
    DsaProblem sub = { NEW_ARRAY(d->arena, DsaBuf, n + 1), n, NULL, 0 };
    DsaOptions opt = { .max_nodes = CORE_NODES };
    DsaResult r;

    if (d->goal > d->bound)
        opt.capacity = d->goal;
    opt.max_seconds = dsa_time_left(d);
    for (int i = 0; i < n; i++)
        sub.buf[i] = p->buf[d->b[core[i]].id];
    dsa_solve(&sub, &opt, d->arena, &r);
    d->nodes += r.nodes;
    for (int i = 0; i < d->n; i++)
        offset[i] = -1;
    for (int i = 0; i < n; i++)
        offset[core[i]] = sub.buf[i].offset / d->unit;
    return r.height;
}

void dsa_large(Dsa *d, const DsaProblem *p)
{
    static const int percent[] = { 97, 94, 90, 85, 80, 70 };
    int64_t *load = NEW_ARRAY(d->arena, int64_t, d->nsec + 1);
    int64_t *offset = NEW_ARRAY(d->arena, int64_t, d->n + 1);
    int *core = NEW_ARRAY(d->arena, int, d->n + 1);
    int *before = NEW_ARRAY(d->arena, int, d->nsec + 1);
    int64_t height;
    int done = 0;

    for (int i = 0; i < d->n; i++)
        for (int s = d->b[i].lo; s < d->b[i].hi; s++)
            load[s] += d->b[i].size;
    for (int k = 0; k < 6 && d->height > d->goal; k++) {
        int64_t least = d->bound / d->unit / 100 * percent[k];
        int n = pick_core(d, load, least, core, before);
        if (n > CORE_MAX || dsa_out_of_time(d))
            return;
        if (n == done)
            continue;
        done = n;
        height = solve_core(d, p, core, n, offset);
        dsa_complete(d, offset);
        if (d->height <= height)        /* a wider core is no lower */
            return;
    }
}
