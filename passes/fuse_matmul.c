/* fuse_matmul.c - matrix products take in what stands around them: a
 * transposed operand, a scalar factor, a bias. MatMul and Gemm become
 * FusedMatMul, whose kernels have room for all of it.
 */
#include "edit.h"

#include <string.h>

/* Only the last two dims swap. */
static bool swaps_last(const Node *t)
{
    const Ints *p = &ATTRS(transpose, t)->perm;
    int rank = t->in[0]->type.rank;

    if (rank < 2 || (!p->n && rank != 2))
        return false;
    for (int i = 0; i < p->n; i++)
        if (p->v[i] != (i < rank - 2 ? i : i == rank - 2 ? rank - 1
                                                         : rank - 2))
            return false;
    return true;
}

static Node *fused(Graph *g, Node *old, Value *a, Value *b, Value *bias)
{
    Value *in[3] = { a, b, bias };
    Node *n = insert_op(g, old, OP_FusedMatMul, old->name, bias ? 3 : 2, in,
                        old->out[0]->type);

    take_result(g, n, old);
    return n;
}

static bool from_matmul(Graph *g, Node *n)
{
    if (n->op != OP_MatMul || !dtype_is_float(n->out[0]->type.dt) ||
        n->in[0]->type.rank < 2 || n->in[1]->type.rank < 2)
        return false;
    fused(g, n, n->in[0], n->in[1], NULL);
    return true;
}

/* The bias must be one value per column; beta is multiplied in. */
static bool gemm_bias(Graph *g, const Node *n, Value **bias)
{
    const Value *c = node_in(n, 2);
    int64_t cols = n->out[0]->type.dim[1], elems;
    float beta = ATTRS(gemm, n)->beta, *p;

    *bias = NULL;
    if (!c || beta == 0)
        return true;
    elems = type_elems(&c->type);
    if (!value_is_const(c) || c->type.dt != DT_F32 ||
        (elems != 1 && (elems != cols || c->type.rank < 1 ||
                        c->type.dim[c->type.rank - 1] != cols)))
        return false;
    p = NEW_ARRAY(g->arena, float, cols);
    for (int64_t i = 0; i < cols; i++)
        p[i] = beta * ((const float *)c->data)[elems == 1 ? 0 : i];
    *bias = graph_const(g, c->name, type_vector(DT_F32, cols), p);
    return true;
}

static bool from_gemm(Graph *g, Node *n)
{
    const Attr_gemm *a = ATTRS(gemm, n);
    Attr_gemm copy;
    Value *bias;
    Node *f;

    if (n->op != OP_Gemm || n->out[0]->type.dt != DT_F32 || *a->act ||
        !gemm_bias(g, n, &bias))
        return false;
    copy = *a;
    f = fused(g, n, n->in[0], n->in[1], bias);
    ATTRS(fusedmatmul, f)->alpha = copy.alpha;
    ATTRS(fusedmatmul, f)->transA = copy.transA;
    ATTRS(fusedmatmul, f)->transB = copy.transB;
    return true;
}

/* A transpose whose last two dims, swapped back, leave rows contiguous: the
 * swap moves into the product, a cheaper transpose stays. */
static bool peel_transpose(Graph *g, Node *n)
{
    Node *t = maker(n->in[1], OP_Transpose), *left;
    int rank = n->in[1]->type.rank;
    Ints p, *q;
    Type type;

    if (!t || rank < 3 || !(p = ATTRS(transpose, t)->perm).n ||
        p.v[rank - 2] != rank - 1 || !only_use(t->out[0]))
        return false;
    type = n->in[1]->type;
    type.dim[rank - 1] = n->in[1]->type.dim[rank - 2];
    type.dim[rank - 2] = n->in[1]->type.dim[rank - 1];
    left = insert_op(g, n, OP_Transpose, t->name, 1, &t->in[0], type);
    q = &ATTRS(transpose, left)->perm;
    q->n = rank;
    q->v = arena_memdup(g->arena, p.v, (size_t)rank * sizeof *p.v);
    q->v[rank - 1] = p.v[rank - 2];
    q->v[rank - 2] = p.v[rank - 1];
    ATTRS(fusedmatmul, n)->transB = !ATTRS(fusedmatmul, n)->transB;
    node_set_input(n, 1, left->out[0]);
    return true;
}

static bool take_transposes(Node *n)
{
    bool any = false;

    for (int i = 0; i < 2; i++) {
        Node *t = maker(n->in[i], OP_Transpose);
        int64_t *flag = i ? &ATTRS(fusedmatmul, n)->transB
                          : &ATTRS(fusedmatmul, n)->transA;
        if (!t || !swaps_last(t))
            continue;
        *flag = !*flag;
        node_set_input(n, i, t->in[0]);
        any = true;
    }
    return any;
}

/* alpha * A B: a scalar factor of an operand, or of the result. */
static bool take_factor(Node *n)
{
    for (int i = 0; i < 2; i++) {
        Node *m = n->in[i]->def;
        Value *x;
        double s;
        if (!m || !only_use(n->in[i]) || n->out[0]->type.dt != DT_F32)
            continue;
        if (m->op == OP_Mul && splat_operand(m, &s, &x))
            ;
        else if (m->op == OP_Div && const_splat(m->in[1], &s) && s != 0)
            x = m->in[0], s = 1 / s;
        else
            continue;
        if (!type_equal(&x->type, &n->in[i]->type))
            continue;
        ATTRS(fusedmatmul, n)->alpha *= (float)s;
        node_set_input(n, i, x);
        return true;
    }
    return false;
}

static bool scale_result(Graph *g, Node *n)
{
    Node *m = only_use(n->out[0]) ? n->out[0]->use[0] : NULL;
    Value *x;
    double s;

    if (!m || *ATTRS(fusedmatmul, n)->act || node_in(n, 2) ||
        n->out[0]->type.dt != DT_F32)
        return false;
    if (m->op == OP_Mul && splat_operand(m, &s, &x))
        ;
    else if (m->op == OP_Div && m->in[0] == n->out[0] &&
             const_splat(m->in[1], &s) && s != 0)
        s = 1 / s;
    else
        return false;
    if (!bypass(g, m, n->out[0]))
        return false;
    ATTRS(fusedmatmul, n)->alpha *= (float)s;
    return true;
}

/* x W + b with b one value per column. */
static bool take_bias(Graph *g, Node *n)
{
    Node *add = only_reader(n->out[0], OP_Add);
    const Type *y = &n->out[0]->type;
    Value *c, **in;

    if (!add || node_in(n, 2) || *ATTRS(fusedmatmul, n)->act)
        return false;
    c = add->in[0] == n->out[0] ? add->in[1] : add->in[0];
    if (!value_is_const(c) || c->type.dt != y->dt || y->rank < 1 ||
        type_elems(&c->type) != y->dim[y->rank - 1] || c->type.rank < 1 ||
        c->type.dim[c->type.rank - 1] != y->dim[y->rank - 1])
        return false;
    if (!bypass(g, add, n->out[0]))
        return false;
    in = NEW_ARRAY(g->arena, Value *, 3);
    memcpy(in, n->in, 2 * sizeof *in);
    n->in = in;
    n->nin = 3;
    node_set_input(n, 2, graph_const(g, c->name,
                                     type_vector(y->dt, y->dim[y->rank - 1]),
                                     c->data));
    return true;
}

bool pass_fuse_matmul(Graph *g, const PassOptions *opt, bool *changed)
{
    for EACH_NODE_SAFE(n, g)
        if (from_matmul(g, n) || from_gemm(g, n))
            *changed = true;
    for EACH_NODE(n, g)
        if (n->op == OP_FusedMatMul) {
            while (take_transposes(n) || peel_transpose(g, n) ||
                   take_factor(n) || scale_result(g, n) || take_bias(g, n))
                *changed = true;
        }
    return pass_dce(g, opt, changed);
}
