/* stream_rows.c - chains of nodes that share an axis become a region.
 *
 * From a seed, what makes the operands row by row is pulled into the loop:
 * moved when nobody else reads it, computed once more when that is no work
 * to speak of and its operand is kept anyway (LayerNorm of the residual).
 * Readers join as long as they go along the same axis, up to a result that
 * can lie where an operand was: keeping that costs nothing.
 */
#include "stream.h"

#include <string.h>

void rows_init(Rows *r, Graph *g, Region *region, Node *at)
{
    *r = (Rows){ g, region, at, NULL, g->nvalue };
    r->made = NEW_ARRAY(g->scratch, Value *, g->nvalue + 1);
}

static bool is_first(const Value *v)
{
    return v->def && v->def->nout && v->def->out[0] == v;
}

/* Other results than the first are wanted. */
static bool has_more(const Node *n)
{
    for (int i = 1; i < n->nout; i++)
        if (n->out[i])
            return true;
    return false;
}

/* The only operand of n that is no constant; NULL: none, or several. */
static Value *source(const Node *n)
{
    Value *x = NULL;

    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !value_is_const(n->in[i])) {
            if (x)
                return NULL;
            x = n->in[i];
        }
    return x;
}

/* No products, from one operand that others read too: it is kept, so v need
 * not be. */
static bool is_recomputed(const Value *v)
{
    const Value *x = source(v->def);

    return x && node_macs(v->def) == 0 && !has_more(v->def) &&
           type_bytes(&x->type) <= type_bytes(&v->type) * 2 &&
           (x->nuse > 1 || x->is_output) && !op_has(v->def->op, T_RANDOM);
}

/* n becomes the last of the region. */
static void place(Rows *r, Node *n)
{
    if (r->at == n)
        r->at = n->next;
    else
        node_move(n, r->at);
}

static Node *copy_node(Rows *r, const Node *n)
{
    Node *c = node_new(r->g, n->op, n->name, n->nin, n->in, 1);

    c->attr = arena_memdup(r->g->arena, n->attr,
                           (size_t)op_info(n->op)->attr_bytes);
    c->island = n->island;
    c->narrow = n->narrow;
    c->layer = n->layer;
    c->out[0]->type = n->out[0]->type;
    c->out[0]->quant = n->out[0]->quant;
    graph_insert(r->g, r->at, c);
    return c;
}

static Value *pull(Rows *r, Value *v, const Cut *cut);

/* Operands of n, which is in the region, that are made row by row. */
static void pull_operands(Rows *r, Node *n)
{
    Cut cut[REGION_DEPTH];

    for (int i = 0; i < n->nin; i++) {
        Value *v = n->in[i];
        if (!v || value_is_const(v) || !node_cuts(n, i, cut) ||
            cut[r->region->depth].axis < 0)
            continue;
        node_set_input(n, i, pull(r, v, cut));
    }
}

static void enter(Rows *r, Node *n, const Cut *cut)
{
    n->region = r->region;
    for (int d = 0; d <= r->region->depth; d++)
        n->walk[d] = (signed char)cut[d].axis;
}

/* Can n be in the region, along the axes of `cut` of its result? */
static bool may_enter(Rows *r, Node *n, const Cut *cut)
{
    Region *was = n->region;
    signed char walk[REGION_DEPTH];
    Cut own[REGION_DEPTH];
    bool ok;

    memcpy(walk, n->walk, sizeof walk);
    enter(r, n, cut);
    ok = node_can_tile(n) && node_cuts(n, ~0, own);
    for (int d = 0; ok && d <= r->region->depth; d++)
        ok = own[d].axis == cut[d].axis && own[d].unit == cut[d].unit;
    n->region = was;
    memcpy(n->walk, walk, sizeof walk);
    return ok;
}

/* What a node of the region shall read for v: v itself, made inside or kept
 * whole, or a copy of it that is made inside. */
static Value *pull(Rows *r, Value *v, const Cut *cut)
{
    Node *n = v->def;

    if (!is_first(v) || n->region)
        return v;
    if (v->id < r->nmade && r->made[v->id])
        return r->made[v->id];
    if (!may_enter(r, n, cut))
        return v;
    if (!only_use(v) || has_more(n)) {
        if (!is_recomputed(v))
            return v;
        n = copy_node(r, n);
    }
    enter(r, n, cut);
    pull_operands(r, n);
    place(r, n);
    if (v->id < r->nmade)
        r->made[v->id] = n->out[0];
    return n->out[0];
}

bool rows_take(Rows *r, Node *n, int axis)
{
    n->region = r->region;
    n->walk[r->region->depth] = (signed char)axis;
    if (!node_can_tile(n)) {
        n->region = NULL;
        return false;
    }
    pull_operands(r, n);
    place(r, n);
    return true;
}

/* The axis of u's result that goes along with `cut` of operand v, or -1. */
static int join_axis(Rows *r, Node *u, const Value *v, const Cut *cut)
{
    int depth = r->region->depth, found = -1;
    Cut own[REGION_DEPTH];

    if (u->region || !u->nout || !u->out[0] || has_more(u))
        return -1;
    u->region = r->region;
    for (int a = 0; a < u->out[0]->type.rank && found < 0; a++) {
        bool ok;
        for (int d = 0; d < depth; d++)
            u->walk[d] = -1;
        u->walk[depth] = (signed char)a;
        ok = node_can_tile(u);
        for (int i = 0; ok && i < u->nin; i++)
            if (u->in[i] == v)
                ok = node_cuts(u, i, own) &&
                     own[depth].axis == cut[depth].axis &&
                     own[depth].unit == cut[depth].unit;
        found = ok ? a : -1;
    }
    u->region = NULL;
    return found;
}

/* Everything that u reads besides is there before the region begins. */
static bool is_ready(const Rows *r, const Node *u, const Value *v, int first)
{
    for (int i = 0; i < u->nin; i++) {
        const Node *d = u->in[i] && u->in[i] != v ? u->in[i]->def : NULL;
        if (d && d->index >= first && d->region != r->region)
            return false;
    }
    return true;
}

/* May u's result take the place of an operand that is kept whole? */
static bool is_free(const Rows *r, const Node *u)
{
    if (!op_has(u->op, T_MAP))
        return false;
    for (int i = 0; i < u->nin; i++) {
        const Value *x = u->in[i];
        bool dies = x && !value_is_const(x) && !x->is_output && x->def &&
                    x->def->region != r->region &&
                    type_equal(&x->type, &u->out[0]->type);
        for (int k = 0; dies && k < x->nuse; k++)
            dies = x->use[k]->index <= u->index;
        if (dies)
            return true;
    }
    return false;
}

void rows_grow(Rows *r, Node *n)
{
    int depth = r->region->depth, axis;
    Cut cut[REGION_DEPTH];

    for (;;) {
        Value *v = n->out[0];
        Node *u = only_use(v) ? v->use[0] : NULL;
        if (!u || depth || !node_cuts(n, ~0, cut) || cut[depth].axis < 0)
            return;
        graph_number(r->g);
        axis = join_axis(r, u, v, cut);
        if (axis < 0 || !is_ready(r, u, v, r->region->first))
            return;
        if (!rows_take(r, u, axis))
            return;
        graph_number(r->g);
        if (is_free(r, u))
            return;
        n = u;
    }
}

/* Bytes of n's operands of which a turn reads a part only. */
static int64_t parted_bytes(Node *n, Region *region, int axis)
{
    Region *was = n->region;
    signed char walk = n->walk[0];
    Cut cut[REGION_DEPTH];
    int64_t bytes = 0;

    n->region = region;
    n->walk[0] = (signed char)axis;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !value_is_const(n->in[i]) &&
            node_cuts(n, i, cut) && cut[0].axis >= 0)
            bytes += type_bytes(&n->in[i]->type);
    n->region = was;
    n->walk[0] = walk;
    return bytes;
}

/* Can v's maker n and its reader u go along axis a of v in so many turns? */
static bool share_axis(Graph *g, Value *v, int a, int64_t extent,
                       int64_t *bytes)
{
    Region trial = { .name = "", .extent = extent, .tile = 1 };
    Rows r = { g, &trial, NULL, NULL, 0 };
    int64_t unit = v->type.dim[a] / extent;
    Cut cut[REGION_DEPTH] = { { a, unit, 0, unit } };

    if (extent < 2 || v->type.dim[a] % extent ||
        !may_enter(&r, v->def, cut) || join_axis(&r, v->use[0], v, cut) < 0)
        return false;
    *bytes = parted_bytes(v->def, &trial, a);
    return true;
}

/* The most turns along axis a: one for each index, or, where the reader
 * takes blocks of them, one for each of its own. 0: it cannot be. */
static int64_t most_turns(Graph *g, Value *v, int a, int64_t *bytes)
{
    const Type *y = node_out(v->use[0], 0) ? &v->use[0]->out[0]->type : NULL;
    int64_t most = 0, dim = v->type.dim[a];

    if (share_axis(g, v, a, dim, bytes))
        return dim;
    for (int i = 0; y && i < y->rank; i++)
        if (y->dim[i] > most && y->dim[i] < dim &&
            share_axis(g, v, a, y->dim[i], bytes))
            most = y->dim[i];
    return most;
}

/* The axis along which both v's maker and its reader go by points; of
 * several, one that takes the maker's operands apart, too: they may end with
 * the loop, part by part, and constants are read in one piece. */
static int common_axis(Graph *g, Value *v, int64_t *extent)
{
    int64_t most = -1;
    int found = -1;

    for (int a = 0; a < v->type.rank; a++) {
        int64_t bytes = 0, turns = most_turns(g, v, a, &bytes);
        if (!turns || bytes <= most)
            continue;
        most = bytes;
        *extent = turns;
        found = a;
    }
    return found;
}

bool stream_value(Graph *g, Value *v)
{
    Node *n = v->def;
    Region *region;
    int64_t extent;
    int axis;
    Rows r;

    if (!is_first(v) || n->region || has_more(n) || !only_use(v) ||
        v->use[0]->region)
        return false;
    axis = common_axis(g, v, &extent);
    if (axis < 0)
        return false;
    region = region_new(g, NULL, "rows", extent, 1);
    rows_init(&r, g, region, n->next);
    if (!rows_take(&r, n, axis))
        return false;
    rows_grow(&r, n);
    return true;
}
