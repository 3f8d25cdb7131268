/* region_slide.c - loops along which windows are read: line buffers.
 *
 * Positions are counted in what leaves the region. Which indices of another
 * node's result a turn makes follows from its readers, the last one first: a
 * window of 3 with stride 2 over position p asks for 2p - 1 to 2p + 1, so its
 * operand is made up to there, two indices per turn. Nothing is made twice
 * in the loop that a value is stored in: what was made before and is still
 * read is kept, in a window that moves on with the turns. In loops outside
 * of that one the whole window is made in each turn.
 *
 * Indices outside the tensor are never made nor read: a node at a border is
 * computed as a node with a smaller operand and explicit pads.
 */
#include "region.h"

#include "ops/qproduct.h"
#include "relation.h"

bool loop_slides(const Node *n, int depth)
{
    const Region *r = region_at(n->region, depth);

    return r && r->slides && n->walk[depth] >= 0;
}

bool node_slides(const Node *n)
{
    for (int d = 0; d < region_depth(n->region); d++)
        if (loop_slides(n, d))
            return true;
    return false;
}

int64_t value_carried(const Value *v, int *axis, int64_t *fresh)
{
    const Region *r = v->store;
    const Slide *s;

    if (!r || !v->def || !loop_slides(v->def, r->depth))
        return 0;
    s = &v->def->slide[r->depth];
    *axis = v->def->walk[r->depth];
    *fresh = s->unit * r->tile;
    return s->kept - *fresh;
}

/* Windows */

bool node_window(const Node *n, Window *w, int *spatial)
{
    ConvShape s;

    *spatial = 2;
    switch (n->op) {
    case OP_Conv: case OP_ConvInteger:
        if (!conv_shape(n, &n->in[0]->type, &n->in[1]->type, &s))
            return false;
        break;
    case OP_QLinearConv:
        if (!conv_shape(n, &n->in[0]->type, &n->in[3]->type, &s))
            return false;
        break;
    case OP_MaxPool: case OP_AveragePool: case OP_LpPool:
        if (!pool_shape(n, &s))
            return false;
        break;
    case OP_QConv: {
        QConv c;
        if (!qconv_shape(n, &c))
            return false;
        *spatial = 1;
        s = c.s;
        break;
    }
    case OP_QMaxPool: {
        const Attr_qmaxpool *a = ATTRS(qmaxpool, n);
        WindowAttrs wa = { "NOTSET", &a->dilations, &a->pads, &a->strides,
                           a->ceil_mode != 0 };
        *spatial = 1;
        if (!qpool_shape(n, &wa, &a->kernel_shape, &s))
            return false;
        break;
    }
    case OP_QAveragePool: {
        QPool p;
        *spatial = 1;
        if (!qpool_get(n, &p, n->graph->scratch))
            return false;
        s = p.s;
        break;
    }
    default: return false;
    }
    *w = s.win;
    return true;
}

static bool has_window(Op op)
{
    switch (op) {
    case OP_Conv: case OP_ConvInteger: case OP_QLinearConv: case OP_QConv:
    case OP_MaxPool: case OP_AveragePool: case OP_LpPool: case OP_QMaxPool:
    case OP_QAveragePool:
        return true;
    default: return false;
    }
}

/* Elements beside the image count in a mean: then it must be told how many
 * are padding, and codes have a multiplier per count. */
static bool counts_padding(const Node *n, const Window *w, int i)
{
    bool over = (w->out[i] - 1) * w->stride[i] +
                    (w->kernel[i] - 1) * w->dilation[i] + 1 >
                w->in[i] + w->pad[i];

    if (n->op == OP_QAveragePool)
        return w->pad[i] > 0 || over;
    return n->op == OP_AveragePool && ATTRS(pool, n)->count_include_pad &&
           over && ATTRS(pool, n)->ceil_mode;
}

/* Does every result along axis i see some of the image? */
static bool sees_image(const Window *w, int i)
{
    return w->pad[i] < (w->kernel[i] - 1) * w->dilation[i] + 1 &&
           (w->out[i] - 1) * w->stride[i] - w->pad[i] < w->in[i];
}

/* The relation of the walked axis to a slot, as far as it can slide. */
static bool slot_relation(const Node *n, int slot, int d, Relation *r)
{
    int axis = n->walk[d], spatial;
    Window w;

    if (slot < 0 && loop_accumulates(n, d)) {
        *r = (Relation){ .kind = REL_ALL };
        return true;
    }
    if (slot < 0) {
        *r = (Relation){ .kind = REL_POINT, .axis = axis, .out_unit = 1,
                         .in_unit = 1 };
        return ~slot == 0 && axis < n->out[0]->type.rank;
    }
    *r = axis_relation(n, slot, axis);
    if (r->kind == REL_POINT)
        return r->out_unit == 1;
    if (r->kind != REL_WINDOW)
        return true;
    if (!has_window(n->op) || !node_window(n, &w, &spatial))
        return false;
    return !counts_padding(n, &w, axis - spatial) &&
           sees_image(&w, axis - spatial);
}

bool slide_cut(const Node *n, int slot, int depth, Cut *w)
{
    const Slide *s = &n->slide[depth];
    int64_t from = s->to - s->made;
    Relation r;

    *w = (Cut){ -1, 0, 0, 0 };
    if (!slot_relation(n, slot, depth, &r))
        return false;
    if (r.kind == REL_POINT)
        *w = (Cut){ r.axis, s->unit * r.in_unit, from * r.in_unit,
                    s->to * r.in_unit };
    else if (r.kind == REL_WINDOW)
        *w = (Cut){ r.axis, s->unit * r.stride, from * r.stride - r.pad,
                    (s->to - 1) * r.stride - r.pad +
                        (r.size - 1) * r.dilation + 1 };
    return w->axis < 0 || !value_is_const(node_slot(n, slot));
}

Reach node_reach(const Node *n, int slot, int depth, int64_t i)
{
    Reach e = { -1, 0, 0, 0, 0 };
    int64_t dim;
    Relation r;

    if (!slot_relation(n, slot, depth, &r) ||
        (r.kind != REL_POINT && r.kind != REL_WINDOW))
        return e;
    dim = node_slot(n, slot)->type.dim[r.axis];
    e.axis = r.axis;
    e.from = i * r.in_unit;
    e.to = e.from + r.in_unit;
    if (r.kind == REL_WINDOW) {
        e.from = i * r.stride - r.pad;
        e.to = e.from + (r.size - 1) * r.dilation + 1;
        e.before = e.from < 0 ? -e.from : 0;
        e.after = e.to > dim ? e.to - dim : 0;
    }
    e.from += e.before;
    e.to = e.to - e.after < dim ? e.to - e.after : dim;
    return e;
}

/* Indices below it are made at some time. */
static int64_t made_end(const Node *n, int depth)
{
    const Region *r = region_at(n->region, depth);
    const Slide *s = &n->slide[depth];
    int64_t dim = axis_indices(n, n->walk[depth]);
    int64_t end = (r->extent - 1) / r->tile * r->tile * s->unit + s->to;

    return end < dim ? end : dim;
}

static bool same_borders(const Node *n, int depth, int64_t i)
{
    for (int slot = 0; slot < n->nin; slot++) {
        Reach a, b;
        if (!n->in[slot])
            continue;
        a = node_reach(n, slot, depth, i - 1);
        b = node_reach(n, slot, depth, i);
        if (a.before != b.before || a.after != b.after ||
            a.to - a.from != b.to - b.from)
            return false;
    }
    return true;
}

int64_t *node_runs(const Node *n, int depth, Arena *arena, int *count)
{
    int64_t end = made_end(n, depth), *first;
    int most = 0;

    *count = 0;
    for (int64_t i = 0; i < end; i++)
        most += i == 0 || !same_borders(n, depth, i);
    first = NEW_ARRAY(arena, int64_t, most + 1);
    for (int64_t i = 0; i < end; i++)
        if (i == 0 || !same_borders(n, depth, i))
            first[(*count)++] = i;
    first[most] = end;
    return first;
}

/* What readers ask for */

typedef struct Asked {
    int64_t unit, from, to;     /* unit 0: nothing yet */
} Asked;

/* NULL, or why not */
static const char *ask(Asked *a, const Node *u, int slot, int depth, int axis)
{
    Cut c;

    if (!slide_cut(u, slot, depth, &c))
        return "a reader cannot take it so";
    if (u->walk[depth] < 0 || c.axis < 0)
        return "a reader in the loop needs all of it";
    if (c.axis != axis)
        return "a reader in the loop goes along another axis";
    if (a->unit && a->unit != c.unit)
        return "readers in the loop go along it at different speeds";
    if (!a->unit || c.from < a->from)
        a->from = c.from;
    if (!a->unit || c.to > a->to)
        a->to = c.to;
    a->unit = c.unit;
    return NULL;
}

static const char *ask_readers(Asked *a, const Node *n, const Region *r)
{
    const Value *y = n->out[0];
    const char *why = NULL;

    for (int i = 0; i < y->nuse && !why; i++) {
        const Node *u = y->use[i];
        if (!region_within(u->region, r))
            continue;
        for (int k = 0; k < u->nin && !why; k++)
            if (u->in[k] == y)
                why = ask(a, u, k, r->depth, n->walk[r->depth]);
    }
    return why;
}

static int64_t round_up(int64_t i, int64_t unit)
{
    return (i + unit - 1) / unit * unit;
}

/* All bands but the last are whole. What only moves them takes them as they
 * come: rows that are kept are kept there. */
static bool takes_bands(const Node *n, int depth)
{
    Relation r;

    if (n->op == OP_Receive)
        return true;
    if (!op_has(n->op, T_MOVE | T_VIEW) || n->nin < 1 || !n->in[0] ||
        !n->in[0]->def || n->in[0]->def->op != OP_Receive)
        return false;
    r = node_relation(n, 0, 0, n->walk[depth]);
    return r.kind == REL_POINT && r.out_unit == 1 && r.in_unit == 1;
}

static const char *slide_node(Node *n, Region *r)
{
    int d = r->depth;
    const Region *store;
    Slide *s = &n->slide[d];
    Asked a = { 0, 0, 0 };
    const char *why;
    int64_t dim;

    *s = (Slide){ 1, r->tile, r->tile, r->tile };
    if (n->nout < 1 || !n->out[0] || n->walk[d] >= n->out[0]->type.rank)
        return "it has no such axis";
    if (n->narrow)
        return "it has several widths";
    dim = axis_indices(n, n->walk[d]);
    why = ask_readers(&a, n, r);
    if (why)
        return why;
    store = value_natural_store(n->out[0]);
    if (!a.unit || !region_within(store, r)) {
        int64_t unit = a.unit ? a.unit : dim / r->extent;
        if (!a.unit && dim % r->extent)
            return "its axis is no multiple of the region's extent";
        if (!a.unit || a.to < unit * r->tile)
            a.to = unit * r->tile;
        a.from = a.unit && a.from < 0 ? a.from : 0;
        a.unit = unit;
    }
    if (takes_bands(n, d))
        a.to = round_up(a.to, a.unit * r->tile);
    *s = (Slide){ a.unit, a.to, a.unit * r->tile, a.unit * r->tile };
    if (region_depth(store) > d + 1)
        s->made = s->kept = a.to - a.from;
    else if (store == r && a.to - a.from > s->kept)
        s->kept = a.to - a.from;
    if (!region_within(store, r) && made_end(n, d) < dim)
        return "the region ends before all of it is made";
    return NULL;
}

/* Region r and its nodes, the last one first; *bad: the first that cannot. */
static const char *slide_region(Graph *g, Region *r, Node **bad)
{
    const char *why = NULL;

    r->begin = 0;
    for (Node *n = g->last; n; n = n->prev) {
        const char *no;
        int64_t early;
        if (!region_within(n->region, r) || n->walk[r->depth] < 0)
            continue;
        no = slide_node(n, r);
        if (no) {
            why = no;
            *bad = n;
        }
        early = n->slide[r->depth].to - n->slide[r->depth].made;
        if (early > 0) {
            early = round_up(round_up(early, n->slide[r->depth].unit) /
                             n->slide[r->depth].unit, r->tile);
            if (-early < r->begin)
                r->begin = -early;
        }
    }
    return why;
}

/* A window without overlap and pad is a block: no reason to slide, but where
 * the last block is cut off. */
bool axis_slides(const Node *n, int axis)
{
    Relation r;

    if (!has_window(n->op) || axis < 0 || !n->out[0] ||
        axis >= n->out[0]->type.rank || !n->in[0])
        return false;
    r = node_relation(n, 0, 0, axis);
    return r.kind == REL_WINDOW &&
           (relation_block(r).kind == REL_WINDOW ||
            n->in[0]->type.dim[r.axis] !=
                n->out[0]->type.dim[axis] * r.stride);
}

static void mark_regions(Graph *g)
{
    for EACH_NODE(n, g)
        for (Region *r = n->region; r; r = r->parent)
            if (n->index == r->first)
                r->slides = false;
    for EACH_NODE(n, g)
        for (Region *r = n->region; r; r = r->parent)
            if (axis_slides(n, n->walk[r->depth]))
                r->slides = true;
}

const char *regions_slide(Graph *g, Node **bad)
{
    const char *why = NULL, *no;

    mark_regions(g);
    for EACH_NODE(n, g)
        for (Region *r = n->region; r; r = r->parent)
            if (r->slides && n->index == r->first) {
                no = slide_region(g, r, bad);
                why = no ? no : why;
            }
    return why;
}
