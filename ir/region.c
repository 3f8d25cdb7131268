/* region.c - what one turn of the loops around a node reads and writes. All
 * of it follows from the axis that each loop goes along in the node's first
 * result, through the node's axis relations. */
#include "region.h"

#include <string.h>

#include "move.h"
#include "ops/attention.h"
#include "ops/qproduct.h"
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

/* Which part */

static int first_result(const Node *n)
{
    int o = 0;

    while (o + 1 < n->nout && !n->out[o])
        o++;
    return o;
}

/* The part of slot that belongs to `unit` indices of axis `axis` of the
 * first result; false when it is no part of its own. */
static bool slot_cut(const Node *n, int slot, int axis, int64_t unit,
                      Cut *w)
{
    int out = first_result(n);
    const Type *y = &n->out[out]->type;
    Relation r;

    *w = (Cut){ -1, 0 };
    if (slot < 0) {
        const Type *t = &n->out[~slot]->type;
        *w = (Cut){ axis, unit };
        return t->rank > axis && t->dim[axis] == y->dim[axis];
    }
    r = relation_block(node_relation(n, out, slot, axis));
    if (r.kind == REL_WINDOW)
        return false;
    if (r.kind != REL_POINT)
        return true;
    if (unit % r.out_unit)
        return false;
    *w = (Cut){ r.axis, unit / r.out_unit * r.in_unit };
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
    memcpy(dim, first->type.dim, sizeof dim);
    memcpy(left, v->type.dim, sizeof left);
    for (int d = 0; d < depth; d++) {
        const Region *r = region_at(n->region, d);
        int a = n->walk[d];
        Cut *w = &walk[d];
        *w = (Cut){ -1, 0 };
        if (a < 0)
            continue;
        if (a >= first->type.rank || dim[a] % r->extent ||
            !slot_cut(n, slot, a, dim[a] / r->extent, w))
            return false;
        dim[a] = dim[a] / r->extent * r->tile;
        if (w->axis < 0)
            continue;
        if (left[w->axis] != w->unit * r->extent)
            return false;
        left[w->axis] = w->unit * r->tile;
    }
    return true;
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
    bool same = qmatmul_get(n, &q, arena) && q.rq.shift == 0 &&
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

    if (!n->out[first_result(n)] || !op_tiles(n))
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
    if (slot < -n->nout)
        return node_error(n, "cannot be cut into tiles");
    return node_error(n, "cannot be cut into tiles: %s %d",
                      slot < 0 ? "result" : "operand",
                      slot < 0 ? ~slot : slot);
}

/* Types */

static Type cut_type(const Node *n, int slot, const int64_t *count, int depth)
{
    Type t = node_slot(n, slot)->type;
    Cut walk[REGION_DEPTH];

    if (!n->region || !node_cuts(n, slot, walk))
        return t;
    for (int d = 0; d < depth; d++)
        if (walk[d].axis >= 0 && count[d] > 0)
            t.dim[walk[d].axis] = walk[d].unit * count[d];
    return t;
}

Type node_tile_type(const Node *n, int slot, const int64_t *count)
{
    return cut_type(n, slot, count, region_depth(n->region));
}

Type value_stored_type(const Value *v, const Region *store)
{
    int64_t count[REGION_DEPTH] = { 0 };

    if (!store || !v->def)
        return v->type;
    for (int d = 0; d <= store->depth; d++)
        count[d] = region_at(v->def->region, d)->tile;
    return cut_type(v->def, ~v->def_index, count, region_depth(store));
}

Region *value_natural_store(const Value *v)
{
    Region *r = v->def ? v->def->region : NULL;

    if (!r || v->is_input || v->is_output)
        return NULL;
    for (int i = 0; i < v->nuse; i++)
        r = region_common(r, v->use[i]->region);
    return r;
}

void node_slot_steps(const Node *n, int slot, int64_t *step)
{
    const Value *v = node_slot(n, slot);
    int64_t stride[MAX_RANK];
    Cut walk[REGION_DEPTH];
    Type t;

    memset(step, 0, REGION_DEPTH * sizeof *step);
    if (!n->region || !node_cuts(n, slot, walk))
        return;
    t = value_stored_type(v, v->store);
    type_strides(&t, stride);
    for (int d = region_depth(v->store); d <= n->region->depth; d++)
        if (walk[d].axis >= 0)
            step[d] = walk[d].unit * stride[walk[d].axis];
}

bool node_slot_dense(const Node *n, int slot, const int64_t *count)
{
    const Value *v = node_slot(n, slot);
    Type tile = node_tile_type(n, slot, count);
    Type t = value_stored_type(v, v->store);
    int i = 0;

    while (i < t.rank && tile.dim[i] == 1)
        i++;
    for (i++; i < t.rank; i++)
        if (tile.dim[i] != t.dim[i])
            return false;
    return true;
}

/* Tiles of data */

/* Elements from the beginning of the whole tensor to the tile at pos. */
static int64_t tile_start(const Node *n, int slot, const int64_t *pos)
{
    int64_t stride[MAX_RANK], at = 0;
    Cut walk[REGION_DEPTH];

    type_strides(&node_slot(n, slot)->type, stride);
    if (!n->region || !node_cuts(n, slot, walk))
        return 0;
    for (int d = 0; d <= n->region->depth; d++)
        if (walk[d].axis >= 0)
            at += pos[d] * walk[d].unit * stride[walk[d].axis];
    return at;
}

void node_tile_copy(const Node *n, int slot, const int64_t *count,
                    const int64_t *pos, void *whole, void *tile, bool out)
{
    const Type *t = &node_slot(n, slot)->type;
    Type part = node_tile_type(n, slot, count);
    int64_t stride[MAX_RANK], at[MAX_RANK] = { 0 };
    int64_t size = dtype_bytes(t->dt), run, rows;
    char *w = (char *)whole + tile_start(n, slot, pos) * size, *p = tile;
    int inner = t->rank;

    if (dtype_bits(t->dt) < 8) {        /* never cut */
        memcpy(out ? whole : tile, out ? tile : whole, (size_t)type_bytes(t));
        return;
    }
    while (inner > 0 && part.dim[inner - 1] == t->dim[inner - 1])
        inner--;                /* dims from here on are whole */
    inner -= inner > 0;
    run = type_span(&part, inner, t->rank) * size;
    rows = type_span(&part, 0, inner);
    type_strides(t, stride);
    for (int64_t r = 0; r < rows; r++, p += run) {
        char *q = w;
        for (int i = 0; i < inner; i++)
            q += at[i] * stride[i] * size;
        memcpy(out ? q : p, out ? p : q, (size_t)run);
        for (int i = inner - 1; i >= 0 && ++at[i] == part.dim[i]; i--)
            at[i] = 0;
    }
}

bool node_cuts_constant(const Node *n, int depth)
{
    Cut walk[REGION_DEPTH];

    for (int i = 0; i < n->nin; i++)
        if (value_is_const(n->in[i]) && node_cuts(n, i, walk) &&
            walk[depth].axis >= 0)
            return true;
    return false;
}

/* The node of one turn */

static const void *cut_constant(const Node *n, int slot,
                                const int64_t *count, const int64_t *pos,
                                Arena *arena)
{
    const Value *v = node_slot(n, slot);
    Type part = node_tile_type(n, slot, count);
    void *p;

    if (dtype_bits(v->type.dt) < 8)
        return v->data;
    if (node_slot_dense(n, slot, count))
        return (const char *)v->data + tile_start(n, slot, pos) *
                                           dtype_bytes(v->type.dt);
    p = arena_alloc(arena, (size_t)type_bytes(&part) + 16);
    node_tile_copy(n, slot, count, pos, (void *)(uintptr_t)v->data, p,
                   false);
    return p;
}

static Value *cut_value(const Node *n, int slot, const int64_t *count,
                        const int64_t *pos, Arena *arena)
{
    const Value *v = node_slot(n, slot);
    Value *t;

    if (!v)
        return NULL;
    t = NEW(arena, Value);
    *t = *v;
    t->type = node_tile_type(n, slot, count);
    if (v->data)
        t->data = cut_constant(n, slot, count, pos, arena);
    return t;
}

/* Heads are counted in attributes where they are columns. */
static void cut_attrs(const Node *n, Node *t, Arena *arena)
{
    const OpInfo *op = op_info(n->op);
    int64_t heads, kv_heads;
    Attn a;

    if ((n->op != OP_Attention && n->op != OP_QAttention) ||
        n->in[ATTN_Q]->type.rank != 3 || !attn_read(n, &a))
        return;
    t->attr = arena_memdup(arena, n->attr, (size_t)op->attr_bytes);
    heads = t->in[ATTN_Q]->type.dim[2] / a.dk;
    kv_heads = t->in[ATTN_K]->type.dim[2] / a.dk;
    if (n->op == OP_Attention) {
        ATTRS(attention, t)->q_num_heads = heads;
        ATTRS(attention, t)->kv_num_heads = kv_heads;
    } else {
        ATTRS(qattention, t)->q_num_heads = heads;
        ATTRS(qattention, t)->kv_num_heads = kv_heads;
    }
}

const Node *node_tile(const Node *n, const int64_t *count,
                      const int64_t *pos, Arena *arena)
{
    Node *t;

    if (!n->region)
        return n;
    t = NEW(arena, Node);
    *t = *n;
    t->in = NEW_ARRAY(arena, Value *, n->nin + 1);
    t->out = NEW_ARRAY(arena, Value *, n->nout + 1);
    for (int i = 0; i < n->nin; i++)
        t->in[i] = cut_value(n, i, count, pos, arena);
    for (int i = 0; i < n->nout; i++)
        t->out[i] = cut_value(n, ~i, count, pos, arena);
    cut_attrs(n, t, arena);
    return t;
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

/* Inside a region, readers take the part that was made in the same turn. */
static bool check_parts(Graph *g, const Node *n)
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
                return broken(g, "read in a region in other parts than made",
                              v->name);
    }
    return true;
}

bool regions_verify(Graph *g)
{
    if (!graph_has_regions(g))
        return true;
    graph_number(g);
    for EACH_NODE(n, g)
        if (n->region && (!check_region(g, n) || !node_tiles(n) ||
                          !check_parts(g, n)))
            return false;
    return true;
}
