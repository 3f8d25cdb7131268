/* owners.c - whose bytes lie where: a sorted list of ranges. */
#include "owners.h"

#include <string.h>

/* The first range that ends behind a byte. */
static int find(const Owners *w, int64_t at)
{
    int low = 0, high = w->n;

    while (low < high) {
        int mid = (low + high) / 2;
        if (w->list[mid].to <= at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Ranges [i, i + old) become the `n` ones of `by`. */
static void splice(Owners *w, int i, int old, const Owned *by, int n)
{
    int rest = w->n - i - old;

    for (int k = old; k < n; k++)
        PUSH(w->arena, w->list, w->n, w->cap, by[k]);
    memmove(w->list + i + n, w->list + i + old,
            (size_t)rest * sizeof *w->list);
    memcpy(w->list + i, by, (size_t)n * sizeof *by);
    w->n = i + n + rest;
}

static bool follows(const Owned *a, const Owned *b)
{
    return a->to == b->from && a->owner == b->owner && a->base == b->base;
}

/* [from, to) becomes o's, or nobody's where o is NULL. */
static void replace(Owners *w, int64_t from, int64_t to, const Owned *o)
{
    int i = find(w, from), end = i, n = 0;
    Owned by[3];

    if (from >= to)
        return;
    while (end < w->n && w->list[end].from < to)
        end++;
    if (i < end && w->list[i].from < from) {
        by[n] = w->list[i];
        by[n++].to = from;
    } else if (o && i > 0 && follows(&w->list[i - 1], o)) {
        by[n++] = w->list[--i];
    }
    if (o && n && follows(&by[n - 1], o))
        by[n - 1].to = to;
    else if (o)
        by[n++] = *o;
    if (i < end && w->list[end - 1].to > to) {
        Owned rest = w->list[end - 1];
        rest.from = to;
        if (o && follows(&by[n - 1], &rest))
            by[n - 1].to = rest.to;
        else
            by[n++] = rest;
    } else if (o && end < w->n && follows(&by[n - 1], &w->list[end])) {
        by[n - 1].to = w->list[end++].to;
    }
    splice(w, i, end - i, by, n);
}

void owners_take(Owners *w, Owned o)
{
    replace(w, o.from, o.to, &o);
}

void owners_drop(Owners *w, int64_t from, int64_t to)
{
    replace(w, from, to, NULL);
}

const Owned *owners_at(const Owners *w, int64_t at)
{
    int i = find(w, at);

    return i < w->n && w->list[i].from <= at ? &w->list[i] : NULL;
}

void owners_move_down(Owners *w, int64_t from, int64_t to, int64_t by)
{
    int n = 0;

    for (int i = find(w, from); i < w->n && w->list[i].from < to; i++) {
        Owned o = w->list[i];
        o.from = (o.from > from ? o.from : from) - by;
        o.to = (o.to < to ? o.to : to) - by;
        o.base -= by;
        PUSH(w->arena, w->moved, n, w->room, o);
    }
    owners_drop(w, from - by, to);
    for (int i = 0; i < n; i++)
        owners_take(w, w->moved[i]);
}
