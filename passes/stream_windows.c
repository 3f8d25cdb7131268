/* stream_windows.c - stretches of convolutions row by row: line buffers.
 *
 * Steps that follow each other become a loop over the rows of the last one's
 * result where relations allow it. Of the stretches around the step with
 * most bytes live the one is taken that makes the arena smallest, again and
 * again, until it is no larger than the goal; nothing is computed twice.
 */
#include "stream.h"

#include "../ir/relation.h"
#include "storage.h"

enum { REACH = 14 };            /* steps before and behind the peak */

/* The axis of n's result that its readers in the stretch go along; -1: there
 * are none; -2: they do not agree. */
static int readers_axis(const Node *n, const Region *r)
{
    const Value *y = n->out[0];
    int axis = -1;

    for (int i = 0; i < y->nuse; i++) {
        const Node *u = y->use[i];
        for (int k = 0; u->region == r && k < u->nin; k++) {
            Relation rel;
            if (u->in[k] != y)
                continue;
            rel = node_relation(u, 0, k, u->walk[0]);
            if ((rel.kind != REL_POINT && rel.kind != REL_WINDOW) ||
                (axis >= 0 && axis != rel.axis))
                return -2;
            axis = rel.axis;
        }
    }
    return axis;
}

static bool enter(Node *n, Region *r, int last_axis)
{
    int axis;

    if (n->region || n->nout < 1 || !n->out[0] || node_is_commit(n))
        return false;
    axis = readers_axis(n, r);
    if (axis == -1)
        axis = last_axis;
    if (axis < 0 || axis >= n->out[0]->type.rank)
        return false;
    n->region = r;
    n->walk[0] = (signed char)axis;
    return true;
}

static void leave(Node *last, Region *r)
{
    for (Node *n = last; n && n->region == r; n = n->prev)
        n->region = NULL;
}

/* Steps [first, last] as a loop over `axis` of the last one; NULL: they
 * cannot be, and nothing has changed. */
static Region *form(Graph *g, Node *first, Node *last, int axis)
{
    int64_t extent = last->out[0] && axis < last->out[0]->type.rank
                         ? last->out[0]->type.dim[axis] : 0;
    Node *bad = NULL;
    bool ok = true;
    Region *r;

    if (extent < 2)
        return NULL;
    r = region_new(g, NULL, "rows", extent, 1);
    for (Node *n = last; ok; n = n->prev) {
        ok = enter(n, r, axis);
        if (n == first)
            break;
    }
    if (ok) {
        graph_number(g);
        ok = r->slides && !regions_slide(g, &bad);
    }
    for (Node *n = first; ok && n != last->next; n = n->next)
        ok = node_can_tile(n);
    if (ok && stream_small(g))
        return r;
    leave(last, r);
    return NULL;
}

typedef struct Best {
    int64_t arena, peak;
    Node *first, *last;
    int axis;
} Best;

static void try_stretch(Graph *g, const PassOptions *opt, Node *first,
                        Node *last, Best *best)
{
    int rank = last->out[0] ? last->out[0]->type.rank : 0;

    for (int axis = 0; axis < rank; axis++) {
        Region *r = form(g, first, last, axis);
        int64_t peak, arena = INT64_MAX;
        int step;
        if (!r)
            continue;
        peak = plan_peak(g, opt, &step);
        if (peak < best->arena)
            arena = plan_arena(g, opt);
        if (arena < best->arena ||
            (arena == best->arena && peak < best->peak))
            *best = (Best){ arena, peak, first, last, axis };
        leave(last, r);
    }
}

static Node *step_at(Graph *g, int index)
{
    Node *n = g->first;

    while (n && n->index < index)
        n = n->next;
    return n;
}

/* True when a stretch around the peak has become a loop. */
static bool best_stretch(Graph *g, const PassOptions *opt, int64_t goal)
{
    Best best = { 0, 0, NULL, NULL, 0 };
    Node *peak, *first;
    int step, before = 0;

    graph_number(g);
    best.arena = plan_arena(g, opt);
    best.peak = plan_peak(g, opt, &step);
    if (best.arena <= goal)
        return false;
    peak = step_at(g, step < 0 ? 0 : step);
    for (first = peak; first && !first->region && before <= REACH;
         first = first->prev, before++) {
        int behind = 0;
        for (Node *last = peak; last && !last->region && behind <= REACH;
             last = last->next, behind++)
            if (last != first)
                try_stretch(g, opt, first, last, &best);
    }
    if (!best.first || !form(g, best.first, best.last, best.axis))
        return false;
    graph_number(g);
    return true;
}

bool stream_windows(Graph *g, const PassOptions *opt, int64_t goal)
{
    bool some = false;

    while (best_stretch(g, opt, goal))
        some = true;
    graph_number(g);
    return some;
}
