/* order_lazy.c - steps that may as well wait until they are needed.
 *
 * A step that frees nothing, whatever has run before it, only adds to what is
 * live: any order stays as good when the step moves behind, right before the
 * first one that needs it. It frees nothing when all that it reads is read
 * again by a step that needs it, or leaves the model. A search need not try
 * to run such steps but for somebody's sake: it runs a step together with
 * those that it lacks.
 */
#include "order_reach.h"

/* Everything that k makes stays, and nothing more is live while it runs. */
static bool only_adds(const Storage *s, const Deps *d, int k)
{
    const Step *step = &s->step[k];

    if (step->scratch || d->first[k] == d->first[k + 1])
        return false;
    for (int i = 0; i < step->nmake; i++) {
        const Store *y = &s->store[step->make[i]];
        if (!y->nreader && !y->lasting)
            return false;
    }
    return true;
}

/* Steps v of the block behind which somebody reads x. */
static uint64_t read_behind(const Reach *r, int x)
{
    const Store *t = &r->s->store[x];
    uint64_t v = t->lasting ? ~0ull : 0;

    for (int i = 0; i < t->nreader; i++)
        v |= r->from[t->reader[i]] & ~reach_bit(r, t->reader[i]);
    return v;
}

/* Long chains of such steps would make a search recurse too deeply. */
static void cut_chains(const Deps *d, bool *lazy, Arena *a)
{
    enum { LONGEST = 64 };
    int *depth = NEW_ARRAY(a, int, d->n + 1);

    for (int p = 0; p < d->n; p++) {
        int k = d->topo[p];
        for (int i = d->pfirst[k]; i < d->pfirst[k + 1]; i++)
            if (depth[d->pred[i]] > depth[k])
                depth[k] = depth[d->pred[i]];
        if (lazy[k] && depth[k] == LONGEST)
            lazy[k] = false;
        depth[k] = lazy[k] ? depth[k] + 1 : 0;
    }
}

void order_lazy(const Storage *s, const Deps *d, bool *lazy, Arena *a)
{
    Reach r = reach_new(s, d, a);
    uint64_t *behind = NEW_ARRAY(a, uint64_t, s->nstore + 1);

    for (int first = 0; first < d->n; first += 64) {
        reach_block(&r, first);
        for (int x = 0; x < s->nstore; x++)
            behind[x] = read_behind(&r, x);
        for (int k = first; k < first + 64 && k < d->n; k++) {
            lazy[k] = only_adds(s, d, k);
            for (int i = 0; i < s->step[k].nread && lazy[k]; i++)
                lazy[k] = behind[s->step[k].read[i]] & reach_bit(&r, k);
        }
    }
    cut_chains(d, lazy, a);
}
