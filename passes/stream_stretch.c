/* stream_stretch.c - the loops for one stretch of steps that do the least
 * work at a given peak.
 *
 * From line buffers alone on, what the loop over rows holds is attacked: the
 * steps from a value's maker to its last reader go into one loop over
 * columns. Of the values the one is taken that saves most bytes per product
 * that is then made again, until the peak is low enough; then what was not
 * needed is taken back. All that was ever measured is remembered.
 */
#include "stream.h"

enum { PATIENCE = 4 };          /* values that may lower nothing */

static const Type *last_type(const Stretch *s)
{
    return &s->m->step[s->first + s->n - 1].n->out[0]->type;
}

static bool dominated(const Stretch *s, const Loops *l)
{
    for (int i = 0; i < s->nfound; i++)
        if (s->found[i].peak <= l->peak && s->found[i].macs <= l->macs)
            return true;
    return false;
}

/* A loop over columns calls kernels pixel by pixel, which takes several times
 * as long: it must have been asked for. */
bool stream_rows_only(const PassOptions *opt)
{
    return opt->rows_only || (opt->optimize != OPTIMIZE_RAM && !opt->budget &&
                              !opt->max_macs);
}

static bool measure(Stretch *s, Loops *l)
{
    if (!stretch_measure(s, l) || (l->pixels && stream_rows_only(s->m->opt)))
        return false;
    if (!dominated(s, l))
        PUSH(s->m->g->scratch, s->found, s->nfound, s->capfound, *l);
    return true;
}

/* l with steps [first, last], and all of the loops that they meet, in one
 * loop over columns; false: l has that. */
static bool join(const Loops *l, int first, int last, int axis, Loops *to)
{
    *to = *l;
    to->n = 0;
    for (int i = 0; i < l->n; i++) {
        const Span *s = &l->span[i];
        if (s->last < first || s->first > last) {
            to->span[to->n++] = *s;
            continue;
        }
        if (s->first <= first && s->last >= last)
            return false;
        first = s->first < first ? s->first : first;
        last = s->last > last ? s->last : last;
    }
    if (to->n == MAX_SPANS)
        return false;
    to->span[to->n++] = (Span){ first, last, axis, 1 };
    return true;
}

/* Does it save more bytes per product than b, from `l` on? */
static bool is_better(const Loops *l, const Loops *a, const Loops *b)
{
    double pa = (double)(l->peak - a->peak), pb = (double)(l->peak - b->peak);
    double ma = (double)(a->macs - l->macs), mb = (double)(b->macs - l->macs);

    if (pa <= 0 || pb <= 0)
        return pa > pb || (pa == pb && a->held < b->held);
    ma = ma < 1 ? 1 : ma;
    mb = mb < 1 ? 1 : mb;
    return pa * mb > pb * ma;
}

/* One more value becomes a few pixels, the best one even where that lowers
 * nothing; false when none can. */
static bool hide(Stretch *s, Loops *l)
{
    Loops best = *l, next;
    bool some = false;

    for (int t = 0; t < s->n; t++) {
        int last = s->reader[t];
        if (last <= t || last >= s->n)
            continue;
        for (int axis = 0; axis < last_type(s)->rank; axis++) {
            if (axis == l->axis || !join(l, t, last, axis, &next) ||
                !measure(s, &next))
                continue;
            if (!some || is_better(l, &next, &best))
                best = next;
            some = true;
        }
    }
    *l = best;
    return some;
}

/* Steps that need not be in a loop over columns leave it, from either end. */
static void trim(Stretch *s, Loops *l, int64_t peak)
{
    for (int i = 0; i < l->n; i++)
        for (int end = 0; end < 2; end++) {
            Loops next = *l;
            for (;;) {
                Span *p = &next.span[i];
                if (p->last - p->first < 2)
                    break;
                *(end ? &p->last : &p->first) += end ? -1 : 1;
                if (!measure(s, &next) || next.peak > peak ||
                    next.macs > l->macs)
                    break;
                *l = next;
            }
        }
}

/* More rows per turn: fewer of them are made again. */
static void widen(Stretch *s, const Loops *l)
{
    int64_t rows = s->m->step[s->first + s->n - 1].dim[l->axis];
    Loops next = *l;

    while (next.macs > 0 && next.tile * 2 <= rows) {
        next.tile *= 2;
        if (!measure(s, &next))
            return;
    }
}

static const Loops *least_work(const Stretch *s, int64_t peak)
{
    const Loops *best = NULL;

    for (int i = 0; i < s->nfound; i++)
        if (s->found[i].peak <= peak &&
            (!best || s->found[i].macs < best->macs))
            best = &s->found[i];
    return best;
}

/* Line buffers alone, along the axis with which they are smallest. */
static void begin(Stretch *s)
{
    int rank = s->ended ? 0 : last_type(s)->rank;
    bool some = false;

    for (int axis = 0; axis < rank; axis++) {
        Loops l = { .axis = axis, .tile = 1 };
        if (!measure(s, &l) || (some && l.peak >= s->at.peak))
            continue;
        s->at = l;
        some = true;
    }
    s->begun = true;
    s->least = s->at.peak;
    s->ended = !some || stream_rows_only(s->m->opt);
}

/* One value after the other, until the peak is low enough with so few
 * products: a deeper loop with more rows per turn may take fewer. */
static const Loops *explore(Stretch *s, int64_t peak, int64_t most)
{
    const Loops *found = least_work(s, peak);

    while (!s->ended && (!found || found->macs > most)) {
        s->ended = !hide(s, &s->at) || s->vain == PATIENCE;
        widen(s, &s->at);
        s->vain = s->at.peak < s->least ? 0 : s->vain + 1;
        s->least = s->at.peak < s->least ? s->at.peak : s->least;
        found = least_work(s, peak);
    }
    return found;
}

const Loops *stretch_loops(Stretch *s, int64_t peak, int64_t most)
{
    const Loops *found;
    Loops l;

    if (!s->begun)
        begin(s);
    found = explore(s, peak, most);
    if (!found || found->macs <= 0)
        return found;
    l = *found;
    trim(s, &l, peak);
    widen(s, &l);
    return least_work(s, peak);
}
