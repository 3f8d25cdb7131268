/* stream_parts.c - a part of a value on its own: the columns of some heads
 * are the product with those columns of the weights. Axis relations say
 * which part of each operand belongs to it; constants are cut, what makes
 * the other operands is made in parts as well. */
#include "stream.h"

#include <string.h>

/* n as if in a loop over `extent` along an axis, one part per turn. */
typedef struct Trial {
    Region region, *was;
    signed char walk[REGION_DEPTH];
} Trial;

static void trial_begin(Trial *t, Node *n, int axis, int64_t extent,
                        int64_t tile)
{
    t->region = (Region){ .name = "part", .extent = extent, .tile = tile };
    t->was = n->region;
    memcpy(t->walk, n->walk, sizeof t->walk);
    n->region = &t->region;
    n->walk[0] = (signed char)axis;
}

static void trial_end(const Trial *t, Node *n)
{
    n->region = t->was;
    memcpy(n->walk, t->walk, sizeof t->walk);
}

static bool first_is(const Node *n, const Value *v)
{
    return n && n->nout && n->out[0] == v;
}

bool node_rows(Node *n, int axis)
{
    Trial t;
    bool ok;

    if (!n || n->region || !n->out[0] || axis >= n->out[0]->type.rank)
        return false;
    trial_begin(&t, n, axis, n->out[0]->type.dim[axis], 1);
    ok = node_can_tile(n);
    trial_end(&t, n);
    return ok;
}

static bool value_possible(const Value *v, int axis, int64_t extent)
{
    return first_is(v->def, v) && !v->def->region && only_use(v) &&
           parts_possible(v->def, axis, extent);
}

bool parts_possible(Node *n, int axis, int64_t extent)
{
    Cut cut[REGION_DEPTH];
    Trial t;
    bool ok;

    trial_begin(&t, n, axis, extent, 1);
    ok = node_can_tile(n);
    trial_end(&t, n);
    for (int i = 0; ok && i < n->nin; i++) {
        if (!n->in[i] || value_is_const(n->in[i]))
            continue;
        trial_begin(&t, n, axis, extent, 1);
        node_cuts(n, i, cut);
        trial_end(&t, n);
        if (cut[0].axis >= 0)
            ok = value_possible(n->in[i], cut[0].axis, extent);
    }
    return ok;
}

void parts_init(Parts *p, Graph *g, Node *at, int64_t extent, int64_t from,
                int64_t count)
{
    *p = (Parts){ g, at, extent, from, count, NULL, g->nvalue };
    p->made = NEW_ARRAY(g->scratch, Value *, g->nvalue + 1);
}

/* A Reshape's operand says the shape of the result, which is the part's. */
static bool is_shape(const Node *n, int i)
{
    return n->op == OP_Reshape && i == 1;
}

/* Operand i of the part: t is the node of the part, as node_tile made it. */
static Value *part_operand(Parts *p, const Node *n, const Node *t, int i,
                           int axis)
{
    Value *v = n->in[i];

    if (is_shape(n, i))
        return graph_const_ints(p->g, v->name, t->out[0]->type.rank,
                                t->out[0]->type.dim);
    if (!v || axis < 0)
        return v;
    if (value_is_const(v))
        return graph_const(p->g, v->name, t->in[i]->type, t->in[i]->data);
    return parts_make(p, v, axis);
}

Value *parts_make(Parts *p, Value *v, int axis)
{
    Node *n = v->def, *part;
    Cut (*cut)[REGION_DEPTH] = arena_array(p->g->scratch,
                                           (size_t)n->nin + 1, sizeof *cut);
    int64_t pos[REGION_DEPTH] = { p->from }, count[REGION_DEPTH];
    Value **in = NEW_ARRAY(p->g->scratch, Value *, n->nin + 1);
    const Node *t;
    Trial trial;

    if (v->id < p->nmade && p->made[v->id])
        return p->made[v->id];
    count[0] = p->count;
    trial_begin(&trial, n, axis, p->extent, p->count);
    t = node_tile(n, count, pos, p->g->arena);
    for (int i = 0; i < n->nin; i++)
        if (n->in[i])
            node_cuts(n, i, cut[i]);
    trial_end(&trial, n);
    for (int i = 0; i < n->nin; i++)
        in[i] = part_operand(p, n, t, i, n->in[i] ? cut[i][0].axis : -1);
    part = node_new(p->g, n->op, n->name, n->nin, in, 1);
    part->attr = t->attr == n->attr
                     ? arena_memdup(p->g->arena, n->attr,
                                    (size_t)op_info(n->op)->attr_bytes)
                     : t->attr;
    part->island = n->island;
    part->out[0]->quant = v->quant;
    part->out[0]->type = t->out[0]->type;
    graph_insert(p->g, p->at, part);
    if (v->id < p->nmade)
        p->made[v->id] = part->out[0];
    return part->out[0];
}
