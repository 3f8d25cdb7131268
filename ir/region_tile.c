/* region_tile.c - tiles: their types, where they lie in what is stored, and
 * the node that one turn computes. */
#include "region.h"

#include <string.h>

#include "ops/attention.h"
#include "ops/window.h"

/* Types */

Type node_tile_type(const Node *n, int slot, const int64_t *count,
                    const int64_t *pos)
{
    Type t = node_slot(n, slot)->type;
    Cut walk[REGION_DEPTH];

    if (!n->region || !node_cuts(n, slot, walk))
        return t;
    for (int d = 0; d < region_depth(n->region); d++) {
        if (walk[d].axis < 0 || count[d] <= 0)
            continue;
        if (loop_slides(n, d)) {
            Reach e = node_reach(n, slot, d, pos[d]);
            t.dim[e.axis] = e.to - e.from;
        } else {
            t.dim[walk[d].axis] = walk[d].unit * count[d];
        }
    }
    return t;
}

Type value_stored_type(const Value *v, const Region *store)
{
    Type t = v->type;
    Cut walk[REGION_DEPTH];
    const Node *n = v->def;

    if (!store || !n || !node_cuts(n, ~v->def_index, walk))
        return t;
    for (int d = 0; d <= store->depth; d++)
        if (walk[d].axis < 0)
            continue;
        else if (loop_slides(n, d))
            t.dim[walk[d].axis] = d == store->depth ? n->slide[d].kept
                                                    : n->slide[d].made;
        else
            t.dim[walk[d].axis] = walk[d].unit *
                                  region_at(n->region, d)->tile;
    return t;
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

/* A loop that slides: the tile follows the index that is made, and what is
 * stored begins with what the turn needs. */
static void slide_place(const Node *n, int slot, int d, int64_t index,
                        int64_t stride, Place *p)
{
    const Value *v = node_slot(n, slot);
    Reach at = node_reach(n, slot, d, index), next = at;
    const Slide *s;

    if (d < region_depth(v->store)) {
        s = &v->def->slide[d];
        p->turn[d] = -s->unit * stride;
        p->base -= (s->to - (d == v->store->depth ? s->kept : s->made)) *
                   stride;
    }
    next = node_reach(n, slot, d, index + 1);
    p->index[d] = (next.from - next.before - at.from + at.before) * stride;
    p->base += at.from * stride - index * p->index[d];
}

void node_slot_place(const Node *n, int slot, const int64_t *pos, Place *p)
{
    const Value *v = node_slot(n, slot);
    int64_t stride[MAX_RANK];
    Cut walk[REGION_DEPTH];
    Type t;

    memset(p, 0, sizeof *p);
    if (!n->region || !node_cuts(n, slot, walk))
        return;
    t = value_stored_type(v, v->store);
    type_strides(&t, stride);
    for (int d = 0; d <= n->region->depth; d++)
        if (walk[d].axis < 0)
            continue;
        else if (loop_slides(n, d))
            slide_place(n, slot, d, pos[d], stride[walk[d].axis], p);
        else if (d >= region_depth(v->store))
            p->turn[d] = walk[d].unit * stride[walk[d].axis];
}

bool node_same_place(const Node *n, int a, int b)
{
    int64_t pos[REGION_DEPTH] = { 0 };
    int64_t sa = dtype_bytes(node_slot(n, a)->type.dt);
    int64_t sb = dtype_bytes(node_slot(n, b)->type.dt);
    Place p, q;

    node_slot_place(n, a, pos, &p);
    node_slot_place(n, b, pos, &q);
    for (int d = 0; d < region_depth(n->region); d++)
        if (p.turn[d] * sa != q.turn[d] * sb ||
            p.index[d] * sa != q.index[d] * sb)
            return false;
    return p.base * sa == q.base * sb;
}

bool node_may_overwrite(const Node *n, int k)
{
    const Type *y = &n->out[0]->type;

    return type_equal(&n->in[k]->type, y) && dtype_bits(y->dt) >= 8;
}

bool node_turn_count(const Node *n, int which, int64_t *count)
{
    for (int d = 0; d < region_depth(n->region); d++) {
        const Region *r = region_at(n->region, d);
        int64_t rest = r->extent % r->tile;
        count[d] = r->tile;
        if (!rest)
            continue;
        if (which & 1)
            count[d] = rest;
        which >>= 1;
    }
    return which == 0;
}

bool node_slot_dense(const Node *n, int slot, const int64_t *count,
                     const int64_t *pos)
{
    const Value *v = node_slot(n, slot);
    Type tile = node_tile_type(n, slot, count, pos);
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
            at += (loop_slides(n, d) ? node_reach(n, slot, d, pos[d]).from
                                     : pos[d] * walk[d].unit) *
                  stride[walk[d].axis];
    return at;
}

void node_tile_copy(const Node *n, int slot, const int64_t *count,
                    const int64_t *pos, void *whole, void *tile, bool out)
{
    const Type *t = &node_slot(n, slot)->type;
    Type part = node_tile_type(n, slot, count, pos);
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
    Type part = node_tile_type(n, slot, count, pos);
    void *p;

    if (dtype_bits(v->type.dt) < 8)
        return v->data;
    if (node_slot_dense(n, slot, count, pos))
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
    t->type = node_tile_type(n, slot, count, pos);
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

/* The attributes `pads` and auto_pad of an op with a window. */
static Ints *pads_of(Node *t)
{
    switch (t->op) {
    case OP_Conv: case OP_ConvInteger: case OP_QLinearConv:
        ATTRS(conv, t)->auto_pad = "NOTSET";
        return &ATTRS(conv, t)->pads;
    case OP_MaxPool: case OP_AveragePool: case OP_LpPool:
        ATTRS(pool, t)->auto_pad = "NOTSET";
        return &ATTRS(pool, t)->pads;
    case OP_QConv: return &ATTRS(qconv, t)->pads;
    case OP_QMaxPool: return &ATTRS(qmaxpool, t)->pads;
    case OP_QAveragePool: return &ATTRS(qpool, t)->pads;
    default: return NULL;
    }
}

/* At a border a window's padding is what is not in the tile. */
static void cut_pads(const Node *n, Node *t, const int64_t *pos, Arena *arena)
{
    int spatial;
    Ints *pads;
    Window w;

    if (!node_slides(n) || !node_window(n, &w, &spatial))
        return;
    t->attr = arena_memdup(arena, t->attr,
                           (size_t)op_info(n->op)->attr_bytes);
    pads = pads_of(t);
    pads->n = 2 * w.rank;
    pads->v = NEW_ARRAY(arena, int64_t, 2 * w.rank);
    for (int i = 0; i < w.rank; i++) {
        pads->v[i] = w.pad[i];
        pads->v[w.rank + i] = w.pad_end[i];
    }
    for (int d = 0; d < region_depth(n->region); d++)
        if (loop_slides(n, d) && n->walk[d] >= spatial &&
            n->walk[d] < spatial + w.rank) {
            Reach e = node_reach(n, 0, d, pos[d]);
            pads->v[n->walk[d] - spatial] = e.before;
            pads->v[n->walk[d] - spatial + w.rank] = e.after;
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
    cut_pads(n, t, pos, arena);
    return t;
}

