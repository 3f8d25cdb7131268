/* prepare.c - brings a float graph into the form that is quantized: fused as
 * the integer kernels want it, without ops that have a twin with an integer
 * form. GELU and its like stay nodes of their own: a table of codes.
 */
#include "ptq_int.h"

#include <string.h>

static Value *map_const(Graph *g, const Value *v, bool invert)
{
    int64_t n = type_elems(&v->type);
    float *p = const_floats(g, v);

    for (int64_t i = 0; i < n; i++)
        p[i] = invert ? 1 / p[i] : -p[i];
    return graph_const(g, v->name, v->type, p);
}

static void become(Graph *g, Node *n, Op op, Value *a, Value *b)
{
    Value *in[2] = { a, b };
    Node *m = insert_op(g, n, op, n->name, 2, in, n->out[0]->type);

    take_result(g, m, n);
}

/* x - c and x - y as sums, x / c as a product */
static bool plain_arithmetic(Graph *g, Node *n)
{
    Value *b = node_in(n, 1), *neg;

    if ((n->op != OP_Sub && n->op != OP_Div) || !is_float_value(n->out[0]) ||
        type_elems(&n->out[0]->type) == 0)
        return false;
    if (value_is_const(b)) {
        become(g, n, n->op == OP_Sub ? OP_Add : OP_Mul, n->in[0],
               map_const(g, b, n->op == OP_Div));
        return true;
    }
    if (n->op == OP_Div)
        return false;
    neg = insert_op(g, n, OP_Neg, n->name, 1, &b, b->type)->out[0];
    become(g, n, OP_Add, n->in[0], neg);
    return true;
}

/* alpha goes into constant weights */
static void fold_alpha(Graph *g, Node *n)
{
    Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);
    const Value *w = n->in[1];
    int64_t count = type_elems(&w->type);
    float *p;

    if (a->alpha == 1)
        return;
    p = const_floats(g, w);
    for (int64_t i = 0; i < count; i++)
        p[i] *= a->alpha;
    node_set_input(n, 1, graph_const(g, w->name, w->type, p));
    a->alpha = 1;
}

/* op(A) by a Transpose of its own, which moves codes */
static void untranspose(Graph *g, Node *n)
{
    Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);
    Value *x = n->in[0];
    int rank = x->type.rank;
    Type t = x->type;
    Ints perm = { rank, NEW_ARRAY(g->arena, int64_t, rank) };
    Node *m;

    if (!a->transA || rank < 2)
        return;
    for (int i = 0; i < rank; i++)
        perm.v[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    t.dim[rank - 2] = x->type.dim[rank - 1];
    t.dim[rank - 1] = x->type.dim[rank - 2];
    m = insert_op(g, n, OP_Transpose, n->name, 1, &x, t);
    ATTRS(transpose, m)->perm = perm;
    node_set_input(n, 0, m->out[0]);
    a->transA = 0;
}

static int64_t product_rows(const Node *n)
{
    const Type *w = &n->in[1]->type;

    if (n->op == OP_Conv)
        return w->dim[0];
    return w->dim[ATTRS(fusedmatmul, n)->transB ? 0 : 1];
}

/* [1,N], [1,1,N] and single elements become [N]. */
static void row_bias(Graph *g, Node *n)
{
    int64_t rows = product_rows(n), count;
    const Value *b = node_in(n, 2);
    float *p;

    if (!value_is_const(b) || b->type.rank == 1 || !is_float_value(b))
        return;
    count = type_elems(&b->type);
    if (count != 1 && (count != rows ||
                       b->type.dim[b->type.rank - 1] != rows))
        return;
    p = NEW_ARRAY(g->arena, float, rows);
    for (int64_t i = 0; i < rows; i++)
        p[i] = ((const float *)b->data)[count == 1 ? 0 : i];
    node_set_input(n, 2, graph_const(g, b->name, type_vector(DT_F32, rows),
                                     p));
}

/* Every product gets a bias: there is always something to correct. */
static Node *give_bias(Graph *g, Node *n)
{
    Value *in[3] = { n->in[0], n->in[1], node_in(n, 2) };
    int64_t rows = product_rows(n);
    Node *m;

    if (in[2])
        return n;
    in[2] = graph_const(g, arena_printf(g->arena, "%s_bias", n->name),
                        type_vector(DT_F32, rows),
                        NEW_ARRAY(g->arena, float, rows));
    m = insert_op(g, n, n->op, n->name, 3, in, n->out[0]->type);
    memcpy(m->attr, n->attr, (size_t)op_info(n->op)->attr_bytes);
    take_result(g, m, n);
    return m;
}

/* Two results of one product would be corrected twice. */
static void own_constants(Graph *g, Node *n)
{
    for (int i = 1; i < 3; i++) {
        Value *v = n->in[i];
        if (v->nuse > 1)
            node_set_input(n, i, graph_const(g, v->name, v->type, v->data));
    }
}

static void prepare_products(Graph *g)
{
    for EACH_NODE_SAFE(n, g) {
        if (n->op != OP_Conv && n->op != OP_FusedMatMul)
            continue;
        if (!value_is_const(n->in[1]) || !is_float_value(n->in[1]) ||
            !is_float_value(n->in[0]) || n->in[1]->type.rank < 2)
            continue;
        if (n->op == OP_FusedMatMul && (n->in[1]->type.rank != 2 ||
                                        *ATTRS(fusedmatmul, n)->act))
            continue;
        if (n->op == OP_FusedMatMul) {
            fold_alpha(g, n);
            untranspose(g, n);
        }
        row_bias(g, n);
        if (is_product(n))
            own_constants(g, give_bias(g, n));
    }
}

/* Runs a list of passes that ends in NULL. */
static bool run_passes(Graph *g, PassFn *const *pass)
{
    static const PassOptions none = { .bisect = -1 };
    bool changed = false;

    for (; *pass; pass++) {
        if (!(*pass)(g, &none, &changed))
            return false;
        graph_tidy(g);
        arena_reset(g->scratch);
    }
    return true;
}

bool ptq_prepare(Graph *g, bool keep_factors)
{
    static PassFn *const before[] = {
        pass_dce, pass_fold, pass_cse, pass_canon, pass_fuse_norm,
        pass_fuse_gelu, pass_fuse_matmul, NULL
    };
    static PassFn *const after[] = {
        pass_fuse_attention, pass_fold_affine, pass_canon, NULL
    };
    static PassFn *const products[] = {
        pass_canon, pass_fuse_matmul, NULL
    };
    static PassFn *const chains[] = { pass_fold_products, NULL };

    graph_tidy(g);
    if (!normalize_model(g))
        return false;
    graph_tidy(g);
    if (!run_passes(g, before))
        return false;
    normalize_products(g);
    graph_tidy(g);
    if (!run_passes(g, products) ||
        (!keep_factors && !run_passes(g, chains)) || !run_passes(g, after))
        return false;
    for EACH_NODE_SAFE(n, g)
        if (!plain_arithmetic(g, n) && n->op == OP_ConvTranspose)
            deconv_as_conv(g, n);
    prepare_products(g);
    graph_tidy(g);
    return true;
}
