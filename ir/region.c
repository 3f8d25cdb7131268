/* region.c - what one turn of the loops around a node reads and writes. All
 * of it follows from the axis that each loop goes along in the node's first
 * result, through the node's axis relations. */
#include "region.h"

#include <string.h>

#include "ops/attention.h"
#include "ops/qproduct.h"
#include "ops/reduce.h"
#include "relation.h"

Region *region_new(Graph *g, Region *parent, const char *name,
                   int64_t extent, int64_t tile)
{
    Region *r = NEW(g->arena, Region);

    r->parent = parent;
    r->name = arena_strdup(g->arena, name);
    r->extent = extent;
    r->tile = tile;
    r->depth = parent ? parent->depth + 1 : 0;
    return r;
}

int region_depth(const Region *r)
{
    return r ? r->depth + 1 : 0;
}

Region *region_at(Region *r, int depth)
{
    while (r && r->depth > depth)
        r = r->parent;
    return r;
}

bool region_within(const Region *r, const Region *outer)
{
    for (; r != outer && r; r = r->parent)
        ;
    return r == outer;
}

Region *region_common(Region *a, Region *b)
{
    while (a && !region_within(b, a))
        a = a->parent;
    return a;
}

Region *region_below(const Node *n, const Region *outer)
{
    Region *r = n->region;

    while (r && r->parent != outer)
        r = r->parent;
    return n->region == outer ? NULL : r;
}

bool graph_has_regions(const Graph *g)
{
    for EACH_NODE(n, g)
        if (n->region)
            return true;
    return false;
}

/* Accumulators */

static int first_result(const Node *n)
{
    int o = 0;

    while (o + 1 < n->nout && !n->out[o])
        o++;
    return o;
}

bool axis_accumulates(const Node *n, int axis)
{
    bool mask[MAX_RANK] = { false };
    const Value *y = node_out(n, 0);
    const Type *x;

    switch (n->op) {
    case OP_ReduceSum: case OP_ReduceMax: case OP_ReduceMin:
    case OP_QReduceSum:
        break;
    default: return false;
    }
    if (!y || axis < 0)
        return false;
    x = &n->in[0]->type;
    if (axis >= x->rank || y->type.rank != x->rank)
        return false;
    if (n->op != OP_QReduceSum &&
        ((node_in(n, 1) && !value_is_const(n->in[1])) ||
         !reduce_mask(n, mask)))
        return false;
    return x->dim[axis] != y->type.dim[axis];
}

bool loop_accumulates(const Node *n, int depth)
{
    return axis_accumulates(n, n->walk[depth]);
}

bool node_accumulates(const Node *n)
{
    for (int d = 0; d < region_depth(n->region); d++)
        if (loop_accumulates(n, d))
            return true;
    return false;
}

int64_t axis_indices(const Node *n, int axis)
{
    return axis_accumulates(n, axis)
               ? n->in[0]->type.dim[axis]
               : n->out[first_result(n)]->type.dim[axis];
}

Relation axis_relation(const Node *n, int in, int axis)
{
    if (!axis_accumulates(n, axis))
        return node_relation(n, 0, in, axis);
    return (Relation){ .kind = in ? REL_NONE : REL_POINT, .axis = axis,
                       .out_unit = 1, .in_unit = 1 };
}

/* What is accumulated in a loop is read behind it, and nothing is added
 * twice: every loop further in takes another part. */
static bool accumulators_fit(const Node *n)
{
    int depth = region_depth(n->region), outer = depth;

    for (int d = depth - 1; d >= 0; d--)
        if (loop_accumulates(n, d))
            outer = d;
    for (int d = outer; d < depth; d++)
        if (n->walk[d] < 0)
            return false;
    for (int i = 0; outer < depth && i < n->out[0]->nuse; i++)
        if (region_depth(region_common(n->out[0]->use[i]->region,
                                       n->region)) > outer)
            return false;
    return true;
}

/* Which part */

/* The part of slot that belongs to `unit` indices of axis `axis` of the
 * first result; false when it is no part of its own. */
static bool slot_cut(const Node *n, int slot, int axis, int64_t unit,
                      Cut *w)
{
    int out = first_result(n);
    const Type *y = &n->out[out]->type;
    Relation r;

    *w = (Cut){ -1, 0, 0, 0 };
    if (axis_accumulates(n, axis)) {
        if (slot == 0)
            *w = (Cut){ axis, unit, 0, 0 };
        return true;
    }
    if (slot < 0) {
        const Type *t = &n->out[~slot]->type;
        *w = (Cut){ axis, unit, 0, 0 };
        return t->rank > axis && t->dim[axis] == y->dim[axis];
    }
    r = relation_block(node_relation(n, out, slot, axis));
    if (r.kind == REL_WINDOW)
        return false;
    if (r.kind != REL_POINT)
        return true;
    if (unit % r.out_unit)
        return false;
    *w = (Cut){ r.axis, unit / r.out_unit * r.in_unit, 0, 0 };
    return true;
}

/* Two loops may go along one axis, but not where one of them slides. */
static bool slides_alone(const Node *n, const Cut *walk)
{
    int depth = region_depth(n->region);

    for (int d = 0; d < depth; d++)
        for (int k = 0; loop_slides(n, d) && k < depth; k++)
            if (k != d && walk[d].axis >= 0 && walk[k].axis == walk[d].axis)
                return false;
    return true;
}

bool node_cuts(const Node *n, int slot, Cut *walk)
{
    const Value *v = node_slot(n, slot);
    const Value *first = n->out[first_result(n)];
    int64_t dim[MAX_RANK], left[MAX_RANK];
    int depth = region_depth(n->region);

    if (!v || !first)
        return false;
    for (int a = 0; a < first->type.rank; a++)
        dim[a] = axis_indices(n, a);
    memcpy(left, v->type.dim, sizeof left);
    for (int d = 0; d < depth; d++) {
        const Region *r = region_at(n->region, d);
        int a = n->walk[d];
        Cut *w = &walk[d];
        *w = (Cut){ -1, 0, 0, 0 };
        if (a < 0)
            continue;
        if (r->slides) {
            if (a >= first->type.rank || !slide_cut(n, slot, d, w))
                return false;
            continue;
        }
        if (a >= first->type.rank || dim[a] % r->extent ||
            !slot_cut(n, slot, a, dim[a] / r->extent, w))
            return false;
        dim[a] = dim[a] / r->extent * r->tile;
        if (w->axis < 0)
            continue;
        if (left[w->axis] != w->unit * r->extent)
            return false;
        w->to = left[w->axis] = w->unit * r->tile;
    }
    return slides_alone(n, walk);
}

static bool walks_axis(const Node *n, int axis)
{
    for (int d = 0; d < region_depth(n->region); d++)
        if (n->walk[d] == axis)
            return true;
    return false;
}

/* Does a channel's result depend on no other channel? The shift of the
 * requantization is the whole tensor's, where it is not 0. */
static bool same_by_channel(const Node *n)
{
    Arena *arena = arena_child(n->graph->arena);
    QMatMul q;
    bool same = qmatmul_fits(n, &q, arena) && q.rq.shift == 0 &&
                q.groups == 1;

    arena_free(arena);
    return same;
}

/* Ops whose attributes or operands tell of the whole tensor, or whose
 * results depend on where along the axis they are. */
static bool op_tiles(const Node *n)
{
    int rank = n->out[first_result(n)]->type.rank;
    Attn a;

    switch (n->op) {
    case OP_Attention: case OP_QAttention:
        return attn_read(n, &a) && !node_out(n, 1) && !node_out(n, 2) &&
               !node_out(n, 3) &&
               !(walks_axis(n, rank - 2) &&
                 (a.causal || a.left >= 0 || a.right >= 0));
    case OP_QMatMul:
        return !walks_axis(n, rank - 1) || same_by_channel(n);
    case OP_QConv:
        return !walks_axis(n, rank - 1);
    case OP_GroupNormalization: return !walks_axis(n, 1);
    case OP_Conv: case OP_QLinearConv: case OP_ConvInteger:
        return !walks_axis(n, 1) || ATTRS(conv, n)->group == 1;
    case OP_QuantizeLinear: case OP_DequantizeLinear:
        return ATTRS(quantize, n)->block_size == 0;
    case OP_Expand: case OP_Tile: case OP_Shape: case OP_Size:
    case OP_RoiAlign: case OP_MaxUnpool: case OP_Col2Im:
        return false;
    default: return !op_has(n->op, T_RANDOM);
    }
}

bool axis_tiles(const Node *n, int axis)
{
    Region r = { .name = "tile", .extent = 2, .tile = 1 };
    Node w = *n;

    w.region = &r;
    w.walk[0] = (signed char)axis;
    return op_tiles(&w);
}

static bool cuts_bytes(const Node *n, int slot, const Cut *walk)
{
    if (dtype_bits(node_slot(n, slot)->type.dt) >= 8)
        return true;
    for (int d = 0; d < region_depth(n->region); d++)
        if (walk[d].axis >= 0)
            return false;
    return true;
}

/* Does every loop that goes along the result go along an operand? Else a
 * part of the result is no result of this op (a norm's along its own axis). */
static bool follows_operands(const Node *n)
{
    Cut walk[REGION_DEPTH];
    bool found[REGION_DEPTH] = { false };

    for (int i = 0; i < n->nin; i++)
        for (int d = 0; n->in[i] && node_cuts(n, i, walk) &&
                        d < region_depth(n->region); d++)
            found[d] = found[d] || walk[d].axis >= 0;
    for (int d = 0; d < region_depth(n->region); d++)
        if (n->walk[d] >= 0 && !found[d] &&
            region_at(n->region, d)->extent > 1)
            return false;
    return true;
}

/* The first slot that cannot be cut; n->nin: none; -n->nout - 1: the op. */
static int uncut_slot(const Node *n)
{
    Cut walk[REGION_DEPTH];

    if (!n->out[first_result(n)] || !op_tiles(n) || !accumulators_fit(n))
        return -n->nout - 1;
    for (int slot = -n->nout; slot < n->nin; slot++)
        if (node_slot(n, slot) &&
            (!node_cuts(n, slot, walk) || !cuts_bytes(n, slot, walk)))
            return slot;
    return follows_operands(n) ? n->nin : -n->nout - 1;
}

bool node_can_tile(const Node *n)
{
    if (!n->region)
        return true;
    for (int l = 0; n->narrow && l < n->graph->nlevel - 1; l++) {
        Node w = *n->narrow[l];
        w.region = n->region;
        memcpy(w.walk, n->walk, sizeof w.walk);
        if (uncut_slot(&w) != w.nin)
            return false;
    }
    return uncut_slot(n) == n->nin;
}

bool node_tiles(const Node *n)
{
    int slot = n->region ? uncut_slot(n) : n->nin;

    if (slot == n->nin)
        return true;
    if (!accumulators_fit(n))
        return node_error(n, "is accumulated in a loop that reads it, or "
                          "that has one in it which computes it again");
    if (slot < -n->nout)
        return node_error(n, "cannot be cut into tiles");
    return node_error(n, "cannot be cut into tiles: %s %d",
                      slot < 0 ? "result" : "operand",
                      slot < 0 ? ~slot : slot);
}

/* Invariants */

static bool broken(Graph *g, const char *what, const char *name)
{
    return diag_error(g->diag, "%s: '%s'", what, name);
}

static bool check_region(Graph *g, const Node *n)
{
    for (const Region *r = n->region; r; r = r->parent) {
        int inside = 0;
        if (r->depth >= REGION_DEPTH ||
            r->depth != region_depth(r->parent) || r->tile < 1 ||
            r->tile > r->extent)
            return broken(g, "region of wrong depth or tile", r->name);
        if (n->index != r->first)
            continue;
        for (const Node *m = n; m && m->index <= r->last; m = m->next)
            inside += region_within(m->region, r);
        if (inside != r->last - r->first + 1)
            return broken(g, "region with foreign nodes in it", r->name);
    }
    return true;
}

/* Inside a region, readers take the part that was made in the same turn;
 * the first operand of which n takes another, or NULL. */
static const Value *torn_operand(const Node *n)
{
    Cut made[REGION_DEPTH], read[REGION_DEPTH];

    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i];
        const Region *c;
        if (!v || !v->def)
            continue;
        c = region_common(v->def->region, n->region);
        if (!c)
            continue;
        node_cuts(v->def, ~v->def_index, made);
        node_cuts(n, i, read);
        for (int d = 0; d <= c->depth; d++)
            if (made[d].axis != read[d].axis || made[d].unit != read[d].unit)
                return v;
    }
    return NULL;
}

static bool check_parts(Graph *g, const Node *n)
{
    const Value *v = torn_operand(n);

    return !v || broken(g, "read in a region in other parts than made",
                        v->name);
}

bool regions_fit(Graph *g)
{
    Node *bad;

    graph_number(g);
    if (regions_slide(g, &bad))
        return false;
    for EACH_NODE(n, g)
        if (n->region && (!node_can_tile(n) || torn_operand(n)))
            return false;
    return true;
}

/* What node->slide and the loops of C count in. */
static bool check_slides(Graph *g)
{
    Node *bad = NULL;
    const char *why = regions_slide(g, &bad);

    return !why || node_error(bad, "cannot go along its loop: %s", why);
}

bool regions_verify(Graph *g)
{
    if (!graph_has_regions(g))
        return bands_verify(g);
    graph_number(g);
    for EACH_NODE(n, g)
        if (n->region && (!check_region(g, n) || !node_tiles(n)))
            return false;
    if (!check_slides(g))
        return false;
    for EACH_NODE(n, g)
        if (n->region && !check_parts(g, n))
            return false;
    return bands_verify(g);
}
