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
    Arena *arena;
} Replay;

/* First byte of a slot's tile in its buffer, and the one behind its last. */
static void tile_span(const Node *n, int slot, const LoopTurn *turn,
                      int64_t *from, int64_t *to)
{
    const Value *v = node_slot(n, slot);
    Type t = value_stored_type(v, v->store);
    int64_t count[REGION_DEPTH], pos[REGION_DEPTH], stride[MAX_RANK];
    int64_t size = dtype_bytes(t.dt);
    Place p;
    Type tile;

    turn_call(turn, n, count, pos);
    tile = node_tile_type(n, slot, count, pos);
    node_slot_place(n, slot, pos, &p);
    type_strides(&t, stride);
    *from = v->delta + p.base * size;
    for (int d = 0; d < region_depth(n->region); d++)
        *from += (turn->pos[d] * p.turn[d] + turn->index[d] * p.index[d]) *
                 size;
    *to = *from + size;
    for (int i = 0; i < t.rank; i++)
        *to += (tile.dim[i] - 1) * stride[i] * size;
}

/* False: there are too many. */
static bool record(void *user, const Node *n, const LoopTurn *turn)
{
    Replay *r = user;
    Event e = { INT64_MAX, -1 };
    int64_t from, to;

    for (int slot = -n->nout; slot < n->nin; slot++) {
        const Value *v = node_slot(n, slot);
        if (!v || (v->buf != r->in && v->buf != r->out))
            continue;
        tile_span(n, slot, turn, &from, &to);
        if (v->buf == r->in && from < e.read)
            e.read = from;      /* what lies there is not to be lost */
        if (v->buf == r->out && to > e.written)
            e.written = to;
    }
    if (e.read != INT64_MAX || e.written >= 0)
        PUSH(r->arena, r->event, r->n, r->cap, e);
    return r->n < MAX_EVENTS;
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

static void region_pairs(Graph *g, Node *first, Region *region,
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
            if (!region_walk(first, record, &r))
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
