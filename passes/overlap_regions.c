/* overlap_regions.c - how far what a region writes may lie over what dies
 * with the region: token overwriting, patch embedding over the image.
 *
 * All turns of the loops are walked. What is written must end before the
 * lowest byte that is read later, or in the same step: kernels of tiles
 * promise nothing about their order. */
#include "../ir/region.h"
#include "dsa.h"
#include "overlap.h"

enum { MAX_EVENTS = 1 << 18 };

/* One step of one turn: the lowest byte it reads (or writes) of `in`, and
 * the end of what it writes (or reads) of `out`, from the buffers' first. */
typedef struct Event {
    int64_t read, written;      /* INT64_MAX, -1: none */
} Event;

typedef struct Replay {
    const Buffer *in, *out;
    Event *event;
    int n, cap;
    int64_t count[REGION_DEPTH], turn[REGION_DEPTH];
    int64_t index[REGION_DEPTH];        /* that is made, where loops slide */
    Arena *arena;
} Replay;

/* First byte of a slot's tile in its buffer, and the one behind its last. */
static void tile_span(const Replay *r, const Node *n, int slot,
                      int64_t *from, int64_t *to)
{
    const Value *v = node_slot(n, slot);
    Type t = value_stored_type(v, v->store);
    int64_t count[REGION_DEPTH], pos[REGION_DEPTH], stride[MAX_RANK];
    int64_t size = dtype_bytes(t.dt);
    Place p;
    Type tile;

    for (int d = 0; d < region_depth(n->region); d++) {
        count[d] = loop_slides(n, d) ? 1 : r->count[d];
        pos[d] = loop_slides(n, d) ? r->index[d] : r->turn[d];
    }
    tile = node_tile_type(n, slot, count, pos);
    node_slot_place(n, slot, pos, &p);
    type_strides(&t, stride);
    *from = v->delta + p.base * size;
    for (int d = 0; d < region_depth(n->region); d++)
        *from += (r->turn[d] * p.turn[d] + r->index[d] * p.index[d]) * size;
    *to = *from + size;
    for (int i = 0; i < t.rank; i++)
        *to += (tile.dim[i] - 1) * stride[i] * size;
}

static void record(Replay *r, const Node *n)
{
    Event e = { INT64_MAX, -1 };
    int64_t from, to;

    for (int slot = -n->nout; slot < n->nin; slot++) {
        const Value *v = node_slot(n, slot);
        if (!v || (v->buf != r->in && v->buf != r->out))
            continue;
        tile_span(r, n, slot, &from, &to);
        if (v->buf == r->in && from < e.read)
            e.read = from;      /* what lies there is not to be lost */
        if (v->buf == r->out && to > e.written)
            e.written = to;
    }
    if (e.read != INT64_MAX || e.written >= 0)
        PUSH(r->arena, r->event, r->n, r->cap, e);
}

/* Every call of n in one turn: where loops slide, index for index. */
static void record_calls(Replay *r, const Node *n, int d)
{
    const Slide *s;
    int64_t dim, from, to;

    while (d < region_depth(n->region) && !loop_slides(n, d))
        d++;
    if (d == region_depth(n->region)) {
        record(r, n);
        return;
    }
    s = &n->slide[d];
    dim = axis_indices(n, n->walk[d]);
    to = r->turn[d] * s->unit + s->to;
    from = to - s->made;
    for (int64_t i = from < 0 ? 0 : from;
         i < (to < dim ? to : dim) && r->n < MAX_EVENTS; i++) {
        r->index[d] = i;
        record_calls(r, n, d + 1);
    }
    r->index[d] = 0;
}

static const Node *walk(Replay *r, const Node *n, Region *region);

static const Node *walk_body(Replay *r, const Node *n, Region *region)
{
    while (n && region_within(n->region, region) && r->n < MAX_EVENTS)
        if (n->region == region) {
            record_calls(r, n, 0);
            n = n->next;
        } else {
            n = walk(r, n, region_below(n, region));
        }
    return n;
}

static const Node *walk(Replay *r, const Node *first, Region *region)
{
    const Node *n = first;
    int d = region->depth;

    for (int64_t at = region->begin; at < region->extent && r->n < MAX_EVENTS;
         at += region->tile) {
        int64_t left = region->extent - at;
        r->turn[d] = at;
        r->count[d] = left < region->tile ? left : region->tile;
        n = walk_body(r, first, region);
    }
    return n;
}

/* max (end written so far - lowest byte read from that step on) */
static int64_t forward_shift(const Replay *r)
{
    int64_t low = INT64_MAX, shift = -(r->in->bytes + r->out->bytes);

    for (int i = r->n - 1; i >= 0; i--) {
        const Event *e = &r->event[i];
        if (e->read < low)
            low = e->read;
        if (e->written >= 0 && low != INT64_MAX && e->written - low > shift)
            shift = e->written - low;
    }
    return shift;
}

static bool only_here(const Buffer *b, const Graph *g, const Region *r)
{
    for (int i = 0; i < g->nvalue; i++)
        if (g->value[i]->buf == b && g->value[i]->store)
            return false;
    return !b->is_state && !b->is_scratch && b->bytes > 0 && r->first >= 0;
}

static void region_pairs(Graph *g, const Node *first, Region *region,
                         OverlapPairs *list)
{
    const Plan *p = g->plan;

    for (int i = 0; i < p->nbuf; i++) {
        Buffer *in = p->buf[i];
        if (in->last != region->last || in->first >= region->first ||
            !only_here(in, g, region))
            continue;
        for (int k = 0; k < p->nbuf; k++) {
            Buffer *out = p->buf[k];
            Replay r = { .in = in, .out = out, .arena = g->scratch };
            OverlapPair pair = { NULL, out, in, 0, DSA_NEVER, region->first,
                                 region->last };
            if (out->first != region->first || out->last <= region->last ||
                !only_here(out, g, region))
                continue;
            walk(&r, first, region);
            if (r.n >= MAX_EVENTS)
                continue;
            pair.forward = forward_shift(&r);
            PUSH(g->scratch, list->pair, list->n, list->cap, pair);
        }
    }
}

void overlap_regions(Graph *g, OverlapPairs *list)
{
    const Region *done = NULL;

    for EACH_NODE(n, g) {
        Region *r = region_at(n->region, 0);
        if (!r || r == done)
            continue;
        done = r;
        region_pairs(g, n, r, list);
    }
}
