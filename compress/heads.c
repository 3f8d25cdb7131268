/* heads.c - the first h heads of attention layers.
 *
 * A layer is found from its end: a product by a constant whose input is heads
 * side by side, made by an attention. From there the axis of heads is
 * followed backwards, through reshapes (where heads become a digit of an
 * axis's index), transposes, products of batches and softmax, up to the
 * products by constants that make queries, keys and values: those lose the
 * columns of the other heads, the last product its rows.
 */
#include "heads.h"

#include <string.h>

/* An axis of outer * heads * unit indices, of which the middle digit is the
 * head. */
typedef struct HeadAxis {
    int axis;
    int64_t outer, unit;
} HeadAxis;

/* A constant operand to be cut; or (list) numbers, of which the one at
 * `axis`, or all of them (axis -1), become what `is` says. */
typedef struct HeadCut {
    Node *n;
    int in;
    HeadAxis at;
    bool list;
} HeadCut;

typedef struct Heads {
    Arena *arena;
    Graph *g;
    Node *end;                  /* the product back to the stream */
    int64_t heads;
    HeadAxis **seen;            /* by value id */
    int nnode, capnode, ncut, capcut;
    Node **node;
    HeadCut *cut;
    bool attends;               /* there is a softmax on the way */
} Heads;

static bool same_axis(const HeadAxis *a, const HeadAxis *b)
{
    return a->axis == b->axis && a->outer == b->outer && a->unit == b->unit;
}

static void add_cut(Heads *h, Node *n, int in, HeadAxis at, bool list)
{
    HeadCut c = { n, in, at, list };

    PUSH(h->arena, h->cut, h->ncut, h->capcut, c);
}

static bool visit(Heads *h, Value *v, HeadAxis at);

/* Operand i of an elementwise n, whose result is cut at `at`. */
static bool visit_broadcast(Heads *h, Node *n, int i, HeadAxis at)
{
    Value *v = n->in[i];
    HeadAxis own = at;

    own.axis -= n->out[0]->type.rank - v->type.rank;
    if (own.axis < 0 || v->type.dim[own.axis] == 1)
        return true;
    if (value_is_const(v)) {
        add_cut(h, n, i, own, false);
        return true;
    }
    return visit(h, v, own);
}

static bool visit_map(Heads *h, Node *n, HeadAxis at)
{
    bool scaled = n->op == OP_QuantizeLinear || n->op == OP_DequantizeLinear;

    for (int i = 0; i < n->nin; i++)
        if (scaled && i > 0 && n->in[i] && type_elems(&n->in[i]->type) > 1)
            return false;
        else if (n->in[i] && !visit_broadcast(h, n, i, at))
            return false;
    return true;
}

/* The digit of heads in the input of a reshape. */
static bool visit_view(Heads *h, Node *n, HeadAxis at)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    int64_t stride = type_span(y, at.axis + 1, y->rank) * at.unit;

    if (n->op == OP_Reshape) {
        if (!value_is_const(n->in[1]))
            return false;
        add_cut(h, n, 1, at, true);
    }
    for (int a = 0; a < x->rank; a++) {
        int64_t inner = type_span(x, a + 1, x->rank);
        int64_t all = inner * x->dim[a];
        if (stride % inner || all % (stride * h->heads))
            continue;
        return visit(h, n->in[0], (HeadAxis){ a, all / (stride * h->heads),
                                              stride / inner });
    }
    return false;
}

static bool visit_transpose(Heads *h, Node *n, HeadAxis at)
{
    const Ints *p = &ATTRS(transpose, n)->perm;
    int rank = n->out[0]->type.rank;

    at.axis = p->n ? (int)p->v[at.axis] : rank - 1 - at.axis;
    return visit(h, n->in[0], at);
}

/* A product of heads by heads: they count its batches. */
static bool visit_batches(Heads *h, Node *n, HeadAxis at)
{
    if (at.axis >= n->out[0]->type.rank - 2)
        return false;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !visit_broadcast(h, n, i, at))
            return false;
    return true;
}

static bool axis_is(int64_t axis, const Value *v, int is)
{
    return (axis < 0 ? axis + v->type.rank : axis) == is;
}

static bool visit_softmax(Heads *h, Node *n, HeadAxis at)
{
    h->attends = true;
    return !axis_is(ATTRS(axisneg1, n)->axis, n->out[0], at.axis) &&
           visit(h, n->in[0], at);
}

/* [batch, head, token, size] or, heads in rows, [batch, token, all] */
static bool visit_attention(Heads *h, Node *n, HeadAxis at)
{
    const Attr_attention *a = ATTRS(attention, n);
    bool rows = n->out[0]->type.rank == 3;

    if (at.axis != (rows ? 2 : 1) || (rows && a->q_num_heads != h->heads) ||
        (rows && a->kv_num_heads != h->heads))
        return false;
    for (int i = 1; i < n->nout; i++)
        if (n->out[i])
            return false;
    for (int i = 3; i < n->nin; i++)
        if (n->in[i] && (i > 3 || n->in[i]->type.rank > 2))
            return false;
    h->attends = true;
    for (int i = 0; i < 3; i++) {
        HeadAxis own = at;
        int64_t all = n->in[i]->type.dim[at.axis];
        if (all % h->heads)
            return false;
        own.unit = all / h->heads;
        if (!visit(h, n->in[i], own))
            return false;
    }
    return true;
}

/* Parts of an axis: of another one, or each part has all heads. */
static bool visit_split(Heads *h, Node *n, HeadAxis at)
{
    int64_t size = n->out[0]->type.dim[at.axis];

    if (!axis_is(ATTRS(split, n)->axis, n->in[0], at.axis))
        return visit(h, n->in[0], at);
    for (int i = 0; i < n->nout; i++)
        if (!n->out[i] || n->out[i]->type.dim[at.axis] != size)
            return false;
    if (at.outer != 1)
        return false;
    if (node_in(n, 1)) {
        if (!value_is_const(n->in[1]))
            return false;
        add_cut(h, n, 1, (HeadAxis){ -1, 1, at.unit }, true);
    }
    at.outer = n->nout;
    return visit(h, n->in[0], at);
}

/* One index of another axis is taken. */
static bool visit_gather(Heads *h, Node *n, HeadAxis at)
{
    int64_t axis = ATTRS(axis0, n)->axis;

    if (!value_is_const(n->in[1]) || n->in[1]->type.rank > 0)
        return false;
    axis += axis < 0 ? n->in[0]->type.rank : 0;
    at.axis += at.axis >= axis;
    return visit(h, n->in[0], at);
}

/* A slice along other axes. */
static bool visit_slice(Heads *h, Node *n, HeadAxis at)
{
    return n->in[0]->type.dim[at.axis] == n->out[0]->type.dim[at.axis] &&
           visit(h, n->in[0], at);
}

/* The constant operand of a product: codes behind a DequantizeLinear too. */
static bool cut_matrix(Heads *h, Node *n, int in, HeadAxis at)
{
    Node *dq = n->in[in]->data ? NULL : n->in[in]->def;
    const Attr_quantize *a;

    if (!dq) {
        add_cut(h, n, in, at, false);
        return true;
    }
    a = ATTRS(quantize, dq);
    if (n->in[in]->nuse != 1 || a->block_size)
        return false;
    PUSH(h->arena, h->node, h->nnode, h->capnode, dq);
    add_cut(h, dq, 0, at, false);
    for (int k = 1; k < dq->nin; k++)
        if (dq->in[k] && dq->in[k]->type.rank == 1 &&
            axis_is(a->axis, dq->in[0], at.axis))
            add_cut(h, dq, k, (HeadAxis){ 0, at.outer, at.unit }, false);
    return true;
}

static bool visit_product(Heads *h, Node *n, const ProductAxes *p,
                          HeadAxis at)
{
    int64_t all = n->in[p->operand]->type.dim[p->out];

    if (at.axis != n->out[0]->type.rank - 1 || n->op == OP_QLinearMatMul ||
        n->op == OP_QMatMul)
        return false;
    if (!cut_matrix(h, n, p->operand, (HeadAxis){ p->out, at.outer,
                                                  at.unit }))
        return false;
    for (int i = 2; i < n->nin; i++) {
        const Value *b = n->in[i];
        if (!b || !b->type.rank || b->type.dim[b->type.rank - 1] != all)
            continue;
        if (!value_is_const(b))
            return false;
        add_cut(h, n, i, (HeadAxis){ b->type.rank - 1, at.outer, at.unit },
                false);
    }
    return true;
}

static bool visit_node(Heads *h, Node *n, HeadAxis at)
{
    ProductAxes p;

    if (product_axes(n, &p))
        return visit_product(h, n, &p, at);
    switch (n->op) {
    case OP_Transpose: return visit_transpose(h, n, at);
    case OP_MatMul: case OP_FusedMatMul: return visit_batches(h, n, at);
    case OP_Softmax: return visit_softmax(h, n, at);
    case OP_Attention: return visit_attention(h, n, at);
    case OP_Split: return visit_split(h, n, at);
    case OP_Gather: return visit_gather(h, n, at);
    case OP_Slice: return visit_slice(h, n, at);
    default: break;
    }
    if (op_has(n->op, T_VIEW))
        return visit_view(h, n, at);
    return op_has(n->op, T_MAP) && visit_map(h, n, at);
}

/* v has heads along an axis: follow it to where they are made. */
static bool visit(Heads *h, Value *v, HeadAxis at)
{
    Node *n = v->def;

    if (!n || v->is_output ||
        v->type.dim[at.axis] != at.outer * h->heads * at.unit)
        return false;
    if (h->seen[v->id])
        return same_axis(h->seen[v->id], &at);
    h->seen[v->id] = arena_memdup(h->arena, &at, sizeof at);
    for (int i = 0; i < h->nnode; i++)
        if (h->node[i] == n)    /* by another of its results */
            return n->op == OP_Split;
    if (!visit_node(h, n, at))
        return false;
    PUSH(h->arena, h->node, h->nnode, h->capnode, n);
    return true;
}

/* Nobody else reads what is cut, and all results of a node are. */
static bool is_private(const Heads *h)
{
    for (int i = 0; i < h->nnode; i++)
        for (int k = 0; k < h->node[i]->nout; k++) {
            const Value *v = h->node[i]->out[k];
            if (v && h->node[i]->op == OP_Split && !h->seen[v->id])
                return false;
            for (int u = 0; v && u < v->nuse; u++) {
                bool inside = v->use[u] == h->end;
                for (int m = 0; m < h->nnode && !inside; m++)
                    inside = h->node[m] == v->use[u];
                if (!inside)
                    return false;
            }
        }
    return true;
}

/* How many heads lie side by side in v; 0: none that can be told. */
static int64_t heads_in(const Value *v)
{
    while (v->def) {
        const Node *n = v->def;
        const Type *x = &n->in[0]->type;
        int64_t all = v->type.dim[v->type.rank - 1];
        if (n->op == OP_Attention)
            return v->type.rank == 3 ? ATTRS(attention, n)->q_num_heads : 0;
        if (n->op == OP_Reshape && x->rank > 1 &&
            x->dim[x->rank - 1] < all &&
            x->dim[x->rank - 1] * x->dim[x->rank - 2] == all)
            return x->dim[x->rank - 2];
        if (!op_has(n->op, T_MAP | T_VIEW))
            return 0;
        v = n->in[0];
    }
    return 0;
}

static bool find(Graph *g, Node *end, Arena *arena, Heads *h)
{
    Value *x = end->in[0];
    ProductAxes p;
    HeadAxis at;

    if (!product_axes(end, &p) || end->op == OP_QLinearMatMul ||
        end->op == OP_QMatMul || x->type.rank < 2)
        return false;
    *h = (Heads){ .arena = arena, .g = g, .end = end, .heads = heads_in(x) };
    if (h->heads < 1 || x->type.dim[x->type.rank - 1] % h->heads)
        return false;
    h->seen = NEW_ARRAY(arena, HeadAxis *, g->nvalue + 1);
    at = (HeadAxis){ x->type.rank - 1, 1,
                     x->type.dim[x->type.rank - 1] / h->heads };
    if (!visit(h, x, at) || !h->attends || !is_private(h))
        return false;
    at.axis = p.in;
    return cut_matrix(h, end, p.operand, at);
}

/* Cutting */

/* The first `keep` heads along an axis of a constant. */
static Value *first_heads(const Heads *h, const Value *v, HeadAxis at,
                          int64_t keep)
{
    Value seen = *v;
    Value *c;

    seen.type.rank = 4;         /* before, heads, their indices, behind */
    seen.type.dim[0] = type_span(&v->type, 0, at.axis) * at.outer;
    seen.type.dim[1] = h->heads;
    seen.type.dim[2] = at.unit;
    seen.type.dim[3] = type_span(&v->type, at.axis + 1, v->type.rank);
    c = constant_prefix(h->g, &seen, 1, keep);
    c->type = v->type;
    c->type.dim[at.axis] = at.outer * keep * at.unit;
    return c;
}

/* The numbers of a shape, or of the sizes of parts. */
static Value *other_numbers(const Heads *h, const Value *v, HeadAxis at,
                            int64_t keep)
{
    int64_t n = type_elems(&v->type), is = at.outer * keep * at.unit;
    void *data = arena_memdup(h->g->arena, v->data,
                              (size_t)type_bytes(&v->type));

    for (int64_t i = 0; i < n; i++)
        if ((at.axis < 0 || i == at.axis) &&
            elem_get_int(v->type.dt, data, i) > 0)
            elem_set_int(v->type.dt, data, i, is);
    return graph_const(h->g, v->name, v->type, data);
}

static bool is_inside(const Heads *h, const Node *n)
{
    for (int i = 0; i < h->nnode; i++)
        if (h->node[i] == n)
            return true;
    return n == h->end;
}

static bool keep_first(Heads *h, int64_t keep)
{
    for (int i = 0; i < h->ncut; i++) {
        const HeadCut *c = &h->cut[i];
        const Value *v = c->n->in[c->in];
        node_set_input(c->n, c->in,
                       c->list ? other_numbers(h, v, c->at, keep)
                               : first_heads(h, v, c->at, keep));
    }
    for EACH_NODE(n, h->g) {
        if (!is_inside(h, n))
            continue;
        if (n->op == OP_Attention && n->out[0]->type.rank == 3) {
            ATTRS(attention, n)->q_num_heads = keep;
            ATTRS(attention, n)->kv_num_heads = keep;
        }
        if (!node_infer(h->g, n))
            return false;
    }
    return true;
}

static bool check_heads(const Heads *h, int layer, int64_t keep)
{
    if (keep <= h->heads)
        return true;
    return node_error(h->end, "--elastic asks for %lld heads in attention "
                      "layer %d, which has %lld", (long long)keep, layer,
                      (long long)h->heads);
}

bool heads_slice(Graph *g, int n, const int64_t *keep)
{
    Arena *arena = arena_child(g->arena);
    Heads *list = NULL;
    int count = 0, cap = 0;
    bool ok = true;

    for EACH_NODE(node, g) {
        Heads h;
        if (find(g, node, arena, &h))
            PUSH(arena, list, count, cap, h);
    }
    if (!count)
        ok = diag_error(g->diag, "--elastic heads: this model has no "
                        "attention whose heads can be told apart");
    else if (n != 1 && n != count)
        ok = diag_error(g->diag, "--elastic heads: the list has %d entries, "
                        "the model has %d attention layers", n, count);
    for (int i = 0; ok && i < count; i++)
        ok = check_heads(&list[i], i, keep[n == 1 ? 0 : i]);
    for (int i = 0; ok && i < count; i++)
        ok = keep[n == 1 ? 0 : i] == list[i].heads ||
             keep_first(&list[i], keep[n == 1 ? 0 : i]);
    arena_free(arena);
    return ok;
}
