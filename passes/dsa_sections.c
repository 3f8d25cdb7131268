/* dsa_sections.c - what the exact search asks about the sections of a node:
 * whether one of them cannot hold its unplaced buffers any more, and where
 * it is best to branch. */
#include "dsa_search.h"

#include <string.h>

/* Range minimum the cheap way round: spread(v over [lo, hi)) touches two
 * cells of the level of its length; settle pushes the levels down once. */
static void spread_begin(Search *s, int lo, int hi)
{
    for (int l = 0; l <= s->log2[hi - lo]; l++)
        memset(&s->level[l][lo], 0x3f,
               (size_t)(hi - lo) * sizeof(int32_t));
}

static inline void spread(Search *s, int lo, int hi, int32_t v)
{
    int l = s->log2[hi - lo];
    int32_t *a = &s->level[l][lo], *b = &s->level[l][hi - (1 << l)];

    *a = v < *a ? v : *a;
    *b = v < *b ? v : *b;
}

static void settle(Search *s, int lo, int hi)
{
    for (int l = s->log2[hi - lo]; l > 0; l--) {
        int half = 1 << (l - 1);
        const int32_t *from = s->level[l];
        int32_t *a = s->level[l - 1], *b = a + half;
        for (int k = lo; k <= hi - 2 * half; k++)
            a[k] = from[k] < a[k] ? from[k] : a[k];
        for (int k = lo; k <= hi - 2 * half; k++)
            b[k] = from[k] < b[k] ? from[k] : b[k];
    }
}

static void count_ways(Search *s, const Item *it, int n, int32_t x, int lo,
                       int hi)
{
    int32_t open = 0;

    for (int k = lo; k <= hi; k++)
        s->ways[k] = 0;
    spread_begin(s, lo, hi);
    for (int i = 0; i < n; i++) {
        if (it[i].min == x && !it[i].held) {
            s->ways[it[i].lo]++;
            s->ways[it[i].hi]--;
        } else {
            spread(s, it[i].lo, it[i].hi, it[i].min);
        }
    }
    settle(s, lo, hi);
    for (int k = lo; k < hi; k++) {
        open += s->ways[k];
        s->ways[k] = open;
    }
}

/* For any m, the items of a section with a min of m or more need the room
 * above m (the one-machine bound of scheduling, after Carlier 1982). The
 * lowest m of a section has been looked at already. */
static Overload find_overload(Search *s, const Item *it, int n, int32_t x,
                              int lo, int hi)
{
    for (int k = lo; k < hi; k++)
        s->load[k] = 0;
    for (int i = n - 1; i >= 0 && it[i].min > x; i--) {
        const Item *p = &it[i];
        int32_t room = s->cap - p->min, most = 0;
        for (int k = p->lo; k < p->hi; k++) {
            s->load[k] += p->size;
            most = s->load[k] > most ? s->load[k] : most;
        }
        if (most <= room)
            continue;
        for (int k = p->lo; k < p->hi; k++)
            if (s->load[k] == most)
                return (Overload){ k, p->min };
    }
    return (Overload){ -1, 0 };
}

Overload look_at_sections(Search *s, const Item *it, int n, int32_t x,
                          int lo, int hi)
{
    count_ways(s, it, n, x, lo, hi);
    for (int k = lo; k < hi; k++) {
        int32_t floor = s->ways[k] ? x : s->next[k];
        if (s->total[k] && floor + s->total[k] > s->cap)
            return (Overload){ k, floor };
    }
    return find_overload(s, it, n, x, lo, hi);
}

/* The section with the fewest ways on; leaving it empty at x is one of them
 * unless its sizes forbid. Sections that overflowed often come first, as in
 * constraint solvers (Boussemart et al., ECAI'04: dom/wdeg). */
int choose_section(const Search *s, int lo, int hi, int32_t x)
{
    int best = -1;
    int64_t least = INT64_MAX;

    for (int k = lo; k < hi; k++) {
        int32_t gap;
        int64_t key;
        if (!s->ways[k])
            continue;
        gap = s->next[k] < FAR ? s->next[k] : x + 1;
        key = s->ways[k] + (gap + s->total[k] <= s->cap);
        key = key * key * FAR / s->weight[k];
        if (key < least) {
            least = key;
            best = k;
        }
    }
    return best;
}

int32_t tightness(Search *s, const Item *it, int n, int lo, int hi)
{
    int32_t t = 0;

    spread_begin(s, lo, hi);
    for (int i = 0; i < n; i++)
        spread(s, it[i].lo, it[i].hi, it[i].min);
    settle(s, lo, hi);
    for (int k = lo; k < hi; k++)
        if (s->next[k] < FAR && s->next[k] + s->total[k] > t)
            t = s->next[k] + s->total[k];
    return t;
}
