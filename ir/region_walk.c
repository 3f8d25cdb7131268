/* region_walk.c - every call of every turn of loops, in the order of C. */
#include "region.h"

typedef struct Walk {
    RegionCall *f;
    void *user;
    LoopTurn turn;
} Walk;

/* One node in one turn: index for index of the loops from d on that slide. */
static bool calls(Walk *w, const Node *n, int d)
{
    const Slide *s;
    int64_t dim, from, to;

    while (d < region_depth(n->region) && !loop_slides(n, d))
        d++;
    if (d == region_depth(n->region))
        return w->f(w->user, n, &w->turn);
    s = &n->slide[d];
    dim = axis_indices(n, n->walk[d]);
    to = w->turn.pos[d] * s->unit + s->to;
    from = to - s->made;
    for (int64_t i = from < 0 ? 0 : from; i < (to < dim ? to : dim); i++) {
        w->turn.index[d] = i;
        if (!calls(w, n, d + 1))
            return false;
    }
    w->turn.index[d] = 0;
    return true;
}

static bool turns(Walk *w, Node **n, Region *r);

static bool body(Walk *w, Node **n, Region *r)
{
    while (*n && region_within((*n)->region, r))
        if ((*n)->region != r) {
            if (!turns(w, n, region_below(*n, r)))
                return false;
        } else {
            if (!calls(w, *n, 0))
                return false;
            *n = (*n)->next;
        }
    return true;
}

static bool turns(Walk *w, Node **n, Region *r)
{
    Node *first = *n;

    for (int64_t at = r->begin; at < r->extent; at += r->tile) {
        w->turn.pos[r->depth] = at;
        w->turn.count[r->depth] = r->extent - at < r->tile ? r->extent - at
                                                           : r->tile;
        *n = first;
        if (!body(w, n, r))
            return false;
    }
    return true;
}

bool region_walk(Node *first, RegionCall *f, void *user)
{
    Walk w = { .f = f, .user = user };
    Node *n = first;

    return turns(&w, &n, region_at(first->region, 0));
}

void turn_call(const LoopTurn *t, const Node *n, int64_t *count, int64_t *pos)
{
    for (int d = 0; d < region_depth(n->region); d++) {
        bool slides = loop_slides(n, d);
        count[d] = slides ? 1 : t->count[d];
        pos[d] = slides ? t->index[d] : t->pos[d];
    }
}
