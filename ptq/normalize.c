/* normalize.c - rewrites in front of the fusions: half precision becomes
 * float, Softmax works on the last axis, and the transpose of a product is
 * the product of the transposes, so that attention is seen for what it is.
 */
#include "ptq_int.h"

static bool is_half(const Value *v)
{
    return v && (v->type.dt == DT_F16 || v->type.dt == DT_BF16);
}

static Node *cast(Graph *g, Node *at, Value *x, DType to)
{
    Type t = x->type;
    Node *n;

    t.dt = to;
    n = insert_op(g, at, OP_Cast, x->name, 1, &x, t);
    ATTRS(cast, n)->to = to;
    return n;
}

/* The model keeps the types of its inputs and outputs. */
static void cast_boundary(Graph *g)
{
    for (int i = 0; i < g->nin; i++) {
        Value *v = g->in[i];
        Node *n;
        if (!is_half(v))
            continue;
        n = cast(g, g->first, v, DT_F32);
        value_replace(g, v, n->out[0]);
        node_set_input(n, 0, v);
    }
    for (int i = 0; i < g->nout; i++) {
        Value *v = g->out[i];
        Node *def = v->def, *n;
        Value *wide;
        if (!is_half(v) || !def)
            continue;
        wide = graph_value(g, v->name, v->type);
        node_set_output(def, v->def_index, wide);
        while (v->nuse)
            for (int k = 0; k < v->use[0]->nin; k++)
                if (v->use[0]->in[k] == v) {
                    node_set_input(v->use[0], k, wide);
                    break;
                }
        n = cast(g, NULL, wide, v->type.dt);
        node_set_output(n, 0, v);
    }
}

static bool has_half(const Graph *g)
{
    for (int i = 0; i < g->nvalue; i++)
        if (is_half(g->value[i]))
            return true;
    return false;
}

/* Everything between is float; Casts to half between floats become no-ops. */
static bool widen(Graph *g)
{
    if (!has_half(g) || g->state)
        return true;
    cast_boundary(g);
    for EACH_NODE(n, g)
        if (n->op == OP_Cast && !n->out[0]->is_output &&
            is_half(n->out[0]))
            ATTRS(cast, n)->to = DT_F32;
    for (int i = 0; i < g->nvalue; i++) {
        Value *v = g->value[i];
        if (!is_half(v) || v->is_input || v->is_output)
            continue;
        if (v->data)
            v->data = const_floats(g, v);
        v->type.dt = DT_F32;
    }
    for EACH_NODE(n, g)
        if (!node_infer(g, n))
            return false;
    return true;
}

static Node *swap_axes(Graph *g, Node *at, Value *x, int a, int b)
{
    int rank = x->type.rank;
    Ints perm = { rank, NEW_ARRAY(g->arena, int64_t, rank) };
    Type t = x->type;
    Node *n;

    for (int i = 0; i < rank; i++)
        perm.v[i] = i == a ? b : i == b ? a : i;
    t.dim[a] = x->type.dim[b];
    t.dim[b] = x->type.dim[a];
    n = insert_op(g, at, OP_Transpose, x->name, 1, &x, t);
    ATTRS(transpose, n)->perm = perm;
    return n;
}

/* Softmax along another axis, between two transposes */
static void last_axis(Graph *g, Node *n)
{
    int64_t axis = ATTRS(axisneg1, n)->axis;
    Value *x = n->in[0], *y = n->out[0];
    int last = x->type.rank - 1;
    Node *back;

    axis += axis < 0 ? x->type.rank : 0;
    if (axis == last || !is_float_value(x) || x->data)
        return;
    node_set_input(n, 0, swap_axes(g, n, x, (int)axis, last)->out[0]);
    ATTRS(axisneg1, n)->axis = -1;
    node_set_output(n, 0, graph_value(g, y->name, n->in[0]->type));
    back = swap_axes(g, n->next, n->out[0], (int)axis, last);
    node_set_output(back, 0, y);
}

static bool swaps_last(const Node *t)
{
    const Ints *p = &ATTRS(transpose, t)->perm;
    int rank = t->in[0]->type.rank;

    if (rank < 2 || p->n != rank)
        return false;
    for (int i = 0; i < rank - 2; i++)
        if (p->v[i] != i)
            return false;
    return p->v[rank - 1] == rank - 2;
}

/* (op(A) op(B))^T = op(B)^T op(A)^T */
static void transposed_product(Graph *g, Node *t)
{
    Node *m = t->op == OP_Transpose ? maker(t->in[0], OP_FusedMatMul) : NULL;
    const Attr_fusedmatmul *a;
    Value *in[2];
    Node *n;

    if (!m || !swaps_last(t) || !only_use(m->out[0]) || node_in(m, 2) ||
        *ATTRS(fusedmatmul, m)->act || m->in[0]->type.rank < 2 ||
        m->in[1]->type.rank < 2 || m->in[0]->data || m->in[1]->data)
        return;
    a = ATTRS(fusedmatmul, m);
    in[0] = m->in[1];
    in[1] = m->in[0];
    n = insert_op(g, t, OP_FusedMatMul, m->name, 2, in, t->out[0]->type);
    ATTRS(fusedmatmul, n)->alpha = a->alpha;
    ATTRS(fusedmatmul, n)->transA = !a->transB;
    ATTRS(fusedmatmul, n)->transB = !a->transA;
    take_result(g, n, t);
    graph_remove(g, m);
}

bool normalize_model(Graph *g)
{
    if (!widen(g))
        return false;
    for EACH_NODE_SAFE(n, g)
        if (n->op == OP_Softmax)
            last_axis(g, n);
    return true;
}

void normalize_products(Graph *g)
{
    for EACH_NODE_SAFE(n, g)
        transposed_product(g, n);
}
