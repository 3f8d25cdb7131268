/* order_beam.c - beam search for a good order.
 *
 * Sets of steps that have run, best first by (peak so far, bytes live now),
 * a few per number of steps. Each is settled first: what can run at no cost
 * runs at once, so a layer also receives sets from further back.
 */
#include "order.h"

typedef struct Entry {
    int64_t peak, now;
    uint64_t key[2];
    int visit, step;
} Entry;

typedef struct Beam {
    Walk *w;
    int width;
    Entry *entry;               /* layer d: entry[d * width ...] */
    int *count;                 /* by layer */
} Beam;

static bool is_better(const Entry *a, const Entry *b)
{
    if (a->peak != b->peak)
        return a->peak < b->peak;
    if (a->now != b->now)
        return a->now < b->now;
    return a->visit < b->visit;
}

/* Keeps e if it is among the best of its layer; equal sets count once. */
static void offer(Beam *b, int layer, Entry e)
{
    Entry *list = b->entry + (size_t)layer * (size_t)b->width;
    int *n = &b->count[layer], i;

    for (i = 0; i < *n; i++)
        if (list[i].key[0] == e.key[0] && list[i].key[1] == e.key[1]) {
            if (!is_better(&e, &list[i]))
                return;
            for (--*n; i < *n; i++)
                list[i] = list[i + 1];
            break;
        }
    if (*n == b->width && !is_better(&e, &list[*n - 1]))
        return;
    *n += *n < b->width;
    for (i = *n - 1; i > 0 && is_better(&e, &list[i - 1]); i--)
        list[i] = list[i - 1];
    list[i] = e;
}

/* The set that w stands on, settled, goes to its layer. */
static void arrive(Beam *b, int64_t peak, int64_t bound)
{
    Walk *w = b->w;

    walk_settle(w, peak > bound ? peak : bound);
    offer(b, w->done, (Entry){ peak, w->live.now, { w->key[0], w->key[1] },
                               w->at, 0 });
}

/* The best few steps from where w stands: those that lead on to a layer
 * that would take them. */
static void expand(Beam *b, const Entry *e, int64_t bound)
{
    enum { MOST = 16 };
    Entry best[MOST];
    Beam few = { b->w, b->width < MOST ? b->width : MOST, best, NULL };
    int n = 0;

    few.count = &n;
    walk_to(b->w, e->visit);
    for (int i = 0; i < b->w->nready; i++) {
        int k = b->w->ready[i];
        int64_t after, peak = walk_peek(b->w, k, &after);
        if (peak < e->peak)
            peak = e->peak;
        offer(&few, 0, (Entry){ peak, after, { (uint64_t)k, 0 }, k, k });
    }
    for (int i = 0; i < n; i++) {
        walk_to(b->w, e->visit);
        walk_add(b->w, best[i].step);
        arrive(b, best[i].peak, bound);
    }
}

int64_t order_beam(Walk *w, int width, int64_t bound, long work, int *order)
{
    Arena *a = w->s->g->scratch;
    int n = w->s->nstep;
    Beam b = { w, width, NEW_ARRAY(a, Entry, ((size_t)n + 1) *
                                             (size_t)width),
               NEW_ARRAY(a, int, n + 1) };
    long stop = w->work + work;

    walk_to(w, 0);
    arrive(&b, w->live.before, bound);
    for (int d = 0; d < n; d++)
        for (int i = 0; i < b.count[d]; i++) {
            if (w->work > stop)
                return -1;
            expand(&b, &b.entry[(size_t)d * (size_t)width + (size_t)i],
                   bound);
        }
    walk_order(w, b.entry[(size_t)n * (size_t)width].visit, order);
    return b.entry[(size_t)n * (size_t)width].peak;
}
