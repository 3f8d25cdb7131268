/* stream_loops.c - loops over a stretch of steps that follow each other: one
 * over the rows of the last one's result, and inside it loops over columns,
 * each around some of the steps.
 *
 * What the loop over rows holds are line buffers, and nothing is made twice.
 * What is made and read in a loop over columns exists as a few pixels; its
 * rows are made anew in each turn of the loop over rows.
 */
#include "stream.h"

#include "../ir/relation.h"

/* The axis of n's result that its readers in r go along in that loop; -1:
 * there are none; -2: they do not agree. */
static int readers_axis(const Node *n, const Region *r)
{
    const Value *y = n->out[0];
    int axis = -1;

    for (int i = 0; i < y->nuse; i++) {
        const Node *u = y->use[i];
        for (int k = 0; region_within(u->region, r) && k < u->nin; k++) {
            Relation rel;
            if (u->in[k] != y)
                continue;
            rel = axis_relation(u, k, u->walk[r->depth]);
            if ((rel.kind != REL_POINT && rel.kind != REL_WINDOW) ||
                (axis >= 0 && axis != rel.axis))
                return -2;
            axis = rel.axis;
        }
    }
    return axis;
}

/* n goes along `last_axis` where nobody in the loop says otherwise. */
static bool enter(Node *n, Region *r, int last_axis)
{
    int axis = readers_axis(n, r);

    if (axis == -1)
        axis = last_axis;
    if (axis < 0 || axis >= n->out[0]->type.rank)
        return false;
    n->walk[r->depth] = (signed char)axis;
    return true;
}

static int64_t extent_of(const Node *n, int axis)
{
    const Value *y = n->nout ? n->out[0] : NULL;

    return y && axis >= 0 && axis < y->type.rank ? axis_indices(n, axis) : 0;
}

static bool lay_span(Graph *g, Node *const *step, Region *outer,
                     const Span *s)
{
    int64_t extent = extent_of(step[s->last], s->axis);
    Region *r;

    if (extent < 2)
        return false;
    r = region_new(g, outer, "columns", extent, s->tile);
    for (int i = s->last; i >= s->first; i--)
        step[i]->region = r;
    for (int i = s->last; i >= s->first; i--)
        if (!enter(step[i], r, s->axis))
            return false;
    return true;
}

static bool may_enter(const Node *n)
{
    return !n->region && n->nout > 0 && n->out[0] && !n->narrow &&
           !node_is_commit(n);
}

static bool lay(Graph *g, Node *const *step, int n, const Loops *l)
{
    int64_t extent = extent_of(step[n - 1], l->axis);
    Region *outer;

    if (extent < 2)
        return false;
    outer = region_new(g, NULL, "rows", extent, l->tile);
    for (int i = n - 1; i >= 0; i--) {
        step[i]->region = outer;
        if (!enter(step[i], outer, l->axis))
            return false;
    }
    for (int i = 0; i < l->n; i++)
        if (!lay_span(g, step, outer, &l->span[i]))
            return false;
    return regions_fit(g) && outer->slides && stream_small(g);
}

bool loops_lay(Graph *g, Node *const *step, int n, const Loops *l)
{
    for (int i = 0; i < n; i++)
        if (!may_enter(step[i]))
            return false;
    if (lay(g, step, n, l))
        return true;
    loops_take(step, n);
    return false;
}

void loops_take(Node *const *step, int n)
{
    for (int i = 0; i < n; i++)
        step[i]->region = NULL;
}
