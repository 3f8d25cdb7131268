/* canon.c - one way to write a thing: no-ops go, chains of views become one
 * Reshape, transposes merge, and they sink below elementwise ops, where the
 * next transpose cancels them.
 */
#include "edit.h"

#include <string.h>

typedef bool Rule(Graph *g, Node *n);

static bool all_are(const Value *v, int64_t x)
{
    int64_t list[2 * MAX_RANK];
    int n;

    if (!v)
        return true;
    if (!value_ints(v, 2 * MAX_RANK, list, &n))
        return false;
    for (int i = 0; i < n; i++)
        if (list[i] != x)
            return false;
    return true;
}

static bool is_noop(const Node *n)
{
    const Value *x = n->in[0], *y = node_out(n, 0);
    double s;

    if (!x || !y || !type_equal(&x->type, &y->type))
        return false;
    switch (n->op) {
    case OP_Identity: case OP_Reshape: case OP_Flatten: case OP_Squeeze:
    case OP_Unsqueeze: case OP_Cast: case OP_BitCast: case OP_Expand:
    case OP_Tile:
        return true;
    case OP_Slice:
        return all_are(node_in(n, 4), 1);
    case OP_Pad:
        return all_are(n->in[1], 0);
    case OP_Concat:
        return n->nin == 1;
    case OP_Split:
        return n->nout == 1;
    case OP_Clip:
        return !node_in(n, 1) && !node_in(n, 2);
    case OP_Mul: case OP_Div:
        return const_splat(n->in[1], &s) && s == 1.0;
    default:
        return false;
    }
}

static bool drop_noop(Graph *g, Node *n)
{
    return is_noop(n) && bypass(g, n, n->in[0]);
}

static bool is_reshape(const Node *n)
{
    return n && op_has(n->op, T_VIEW) && n->op != OP_BitCast;
}

static Node *reshape_to(Graph *g, Node *at, Value *x, Type t)
{
    Value *in[2] = { x, graph_const_ints(g, "shape", t.rank, t.dim) };
    Node *n = insert_op(g, at, OP_Reshape, at->name, 2, in, t);

    ATTRS(reshape, n)->allowzero = 1;
    return n;
}

static bool merge_views(Graph *g, Node *n)
{
    Node *first = is_reshape(n) ? n->in[0]->def : NULL, *r;

    if (!is_reshape(first))
        return false;
    r = reshape_to(g, n, first->in[0], n->out[0]->type);
    take_result(g, r, n);
    return true;
}

static void perm_of(const Node *n, int64_t *perm)
{
    const Ints *p = &ATTRS(transpose, n)->perm;
    int rank = n->in[0]->type.rank;

    for (int i = 0; i < rank; i++)
        perm[i] = p->n ? p->v[i] : rank - 1 - i;
}

static void set_perm(Graph *g, Node *n, const int64_t *perm, int rank)
{
    Ints *p = &ATTRS(transpose, n)->perm;

    p->n = rank;
    p->v = arena_memdup(g->arena, perm, (size_t)rank * sizeof *perm);
}

static Node *transpose_to(Graph *g, Node *at, Value *x, const int64_t *perm)
{
    Type t = x->type;
    Node *n;

    for (int i = 0; i < t.rank; i++)
        t.dim[i] = x->type.dim[perm[i]];
    n = insert_op(g, at, OP_Transpose, at->name, 1, &x, t);
    set_perm(g, n, perm, t.rank);
    return n;
}

/* Only dims of extent 1 move: the bytes stay in order. */
static bool keeps_order(const Node *n)
{
    const Type *t = &n->in[0]->type;
    int64_t perm[MAX_RANK], last = -1;

    perm_of(n, perm);
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[perm[i]] == 1)
            continue;
        if (perm[i] < last)
            return false;
        last = perm[i];
    }
    return true;
}

static bool transpose_is_view(Graph *g, Node *n)
{
    if (n->op != OP_Transpose || !keeps_order(n))
        return false;
    if (type_equal(&n->in[0]->type, &n->out[0]->type) &&
        bypass(g, n, n->in[0]))
        return true;
    take_result(g, reshape_to(g, n, n->in[0], n->out[0]->type), n);
    return true;
}

static bool merge_transposes(Graph *g, Node *n)
{
    Node *first = n->op == OP_Transpose ? maker(n->in[0], OP_Transpose) : NULL;
    int64_t a[MAX_RANK], b[MAX_RANK], c[MAX_RANK];

    if (!first)
        return false;
    perm_of(first, a);
    perm_of(n, b);
    for (int i = 0; i < n->in[0]->type.rank; i++)
        c[i] = a[b[i]];
    take_result(g, transpose_to(g, n, first->in[0], c), n);
    return true;
}

/* A constant operand as it must be before the transpose: rank-padded and
 * permuted back. Splats stay as they are. */
static Value *permuted_const(Graph *g, Value *c, const int64_t *perm,
                             int rank)
{
    Type t = c->type;
    Type full = { t.dt, rank, { 0 } }, out = full;
    int64_t stride[MAX_RANK], n = type_elems(&t);
    char *p = arena_alloc(g->arena, (size_t)type_bytes(&t));

    if (n == 1)
        return c;
    for (int i = 0; i < rank; i++)
        full.dim[i] = i < rank - t.rank ? 1 : t.dim[i - (rank - t.rank)];
    for (int i = 0; i < rank; i++)
        out.dim[perm[i]] = full.dim[i];
    type_strides(&out, stride);
    for (int64_t k = 0; k < n; k++) {
        int64_t rest = k, at = 0;
        int size = dtype_bytes(t.dt);
        for (int i = rank - 1; i >= 0; i--) {
            at += rest % full.dim[i] * stride[perm[i]];
            rest /= full.dim[i];
        }
        memcpy(p + at * size, (const char *)c->data + k * size, (size_t)size);
    }
    return graph_const(g, c->name, out, p);
}

/* Every operand of the elementwise n is the same transpose of something
 * that nobody else reads, or a constant; at least one is a transpose. */
static bool sinks_through(const Node *n, int64_t *perm)
{
    const Node *first = NULL;

    for (int i = 0; i < n->nin; i++) {
        const Node *t = maker(n->in[i], OP_Transpose);
        int64_t p[MAX_RANK];
        if (!n->in[i] || value_is_const(n->in[i])) {
            if (n->in[i] && dtype_bits(n->in[i]->type.dt) < 8)
                return false;
            continue;
        }
        if (!t || !only_use(n->in[i]) ||
            !type_same_shape(&n->in[i]->type, &n->out[0]->type))
            return false;
        perm_of(t, p);
        if (first && memcmp(p, perm, (size_t)t->in[0]->type.rank * 8))
            return false;
        memcpy(perm, p, sizeof p);
        first = t;
    }
    return first != NULL;
}

static bool sink_transpose(Graph *g, Node *n)
{
    int64_t perm[MAX_RANK];
    int rank = node_out(n, 0) ? n->out[0]->type.rank : 0;
    Value *y, *inner;
    Type t;
    Node *tr;

    if (!op_has(n->op, T_MAP) || n->op == OP_QuantizeLinear ||
        n->op == OP_DequantizeLinear || n->op == OP_PRelu ||
        n->op == OP_QLookup || !sinks_through(n, perm))
        return false;
    y = n->out[0];
    t = y->type;
    for (int i = 0; i < rank; i++)
        t.dim[perm[i]] = y->type.dim[i];
    for (int i = 0; i < n->nin; i++) {
        Node *from = maker(n->in[i], OP_Transpose);
        if (from)
            node_set_input(n, i, from->in[0]);
        else if (n->in[i])
            node_set_input(n, i, permuted_const(g, n->in[i], perm, rank));
    }
    inner = graph_value(g, y->name, t);
    node_set_output(n, 0, inner);
    tr = node_new(g, OP_Transpose, n->name, 1, &inner, 1);
    set_perm(g, tr, perm, rank);
    graph_insert(g, n->next, tr);
    node_set_output(tr, 0, y);
    return true;
}

static Rule *const rules[] = {
    drop_noop, merge_views, merge_transposes, transpose_is_view,
    sink_transpose,
};

static bool sweep(Graph *g)
{
    bool any = false;

    for EACH_NODE_SAFE(n, g)
        for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
            if (rules[i](g, n)) {
                any = true;
                break;
            }
    return any;
}

bool pass_canon(Graph *g, const PassOptions *opt, bool *changed)
{
    bool skip;

    for (int i = 0; i < 100 && sweep(g); i++) {
        *changed = true;
        if (!pass_dce(g, opt, &skip))
            return false;
    }
    return true;
}
