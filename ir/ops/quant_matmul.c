/* quant_matmul.c - QLinearMatMul (ONNX 21), MatMulInteger (10). Sums are
 * int32, modulo 2^32; the result is scaled by one float, (x_scale * w_scale)
 * / y_scale, as ONNX Runtime does. Zero points and scales may be one per
 * tensor, per row of the first operand or column of the second. */
#include "../hooks.h"
#include "quant.h"

QuantRoles quant_roles(Op op)
{
    switch (op) {
    case OP_QLinearConv:
        return (QuantRoles){ 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    case OP_QLinearMatMul:
        return (QuantRoles){ 0, 1, 2, 3, 4, 5, 6, 7, -1 };
    default:                    /* ConvInteger, MatMulInteger */
        return (QuantRoles){ 0, -1, 2, 1, -1, 3, -1, -1, -1 };
    }
}

/* Strides of t's axes before `axes` along the batch; 0 where it repeats. */
static void batch_walk(const QuantMatMul *q, const Type *t, int axes,
                       int64_t *out)
{
    int64_t stride[MAX_RANK];
    int lead = t->rank - axes;

    type_strides(t, stride);
    for (int i = 0; i < q->rank; i++) {
        int k = i - (q->rank - lead);
        out[i] = k >= 0 && t->dim[k] != 1 ? stride[k] : 0;
    }
}

/* A scale or zero point of operand `of`: one element, one per row or column,
 * or of the operand's shape with 1 on the axis `one` (counted from the end).
 */
static bool param_walk(const Node *n, const QuantMatMul *q, int index,
                       const Type *of, int one, QuantWalk *walk)
{
    const Value *v = index < 0 ? NULL : node_in(n, index);
    int other = 3 - one;        /* 1 is the last axis, 2 the one before */
    int64_t want = other <= of->rank ? of->dim[of->rank - other] : 1;
    const Type *t;

    *walk = (QuantWalk){ { 0 }, 0 };
    if (!v || type_elems(&v->type) == 1)
        return true;
    t = &v->type;
    walk->step = 1;
    if (t->rank == 1 && t->dim[0] == want)
        return true;
    if (t->rank != of->rank || t->rank < 2)
        return node_error(n, "operand '%s' of rank %d fits neither a row, a "
                          "column nor the whole matrix", v->name, t->rank);
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] != (i == t->rank - one ? 1 : of->dim[i]))
            return node_error(n, "operand '%s' has %lld on axis %d, the "
                              "matrix %lld", v->name, (long long)t->dim[i],
                              i, (long long)of->dim[i]);
    batch_walk(q, t, 2, walk->batch);
    return true;
}

static bool matmul_shape(const Node *n, const Type *a, const Type *b,
                         QuantMatMul *q, Type *y)
{
    Type ba = *a, bb = *b, batch;
    int ra = a->rank, rb = b->rank;

    if (ra < 1 || rb < 1)
        return node_error(n, "cannot multiply a scalar");
    q->m = ra > 1 ? a->dim[ra - 2] : 1;
    q->k = a->dim[ra - 1];
    q->n = rb > 1 ? b->dim[rb - 1] : 1;
    if (b->dim[rb > 1 ? rb - 2 : 0] != q->k)
        return node_error(n, "inner sizes %lld and %lld differ",
                          (long long)q->k,
                          (long long)b->dim[rb > 1 ? rb - 2 : 0]);
    ba.rank = ra > 2 ? ra - 2 : 0;
    bb.rank = rb > 2 ? rb - 2 : 0;
    if (!type_broadcast(&ba, &bb, &batch))
        return node_error(n, "batch axes do not broadcast");
    q->rank = batch.rank;
    for (int i = 0; i < q->rank; i++)
        q->dim[i] = batch.dim[i];
    batch_walk(q, a, ra > 1 ? 2 : 1, q->x.batch);
    batch_walk(q, b, rb > 1 ? 2 : 1, q->w.batch);
    *y = batch;
    if (ra > 1)
        y->dim[y->rank++] = q->m;
    if (rb > 1)
        y->dim[y->rank++] = q->n;
    return true;
}

bool quant_matmul(const Node *n, QuantMatMul *q, Type *y)
{
    QuantRoles r = quant_roles(n->op);
    const Type *a = &n->in[r.x]->type, *b = &n->in[r.w]->type;
    Type out;

    *q = (QuantMatMul){ 0 };
    if (!matmul_shape(n, a, b, q, &out) ||
        !param_walk(n, q, r.xs, a, 1, &q->xs) ||
        !param_walk(n, q, r.xz, a, 1, &q->xz) ||
        !param_walk(n, q, r.ws, b, 2, &q->ws) ||
        !param_walk(n, q, r.wz, b, 2, &q->wz) ||
        !param_walk(n, q, r.ys, &out, 1, &q->ys) ||
        !param_walk(n, q, r.yz, &out, 1, &q->yz))
        return false;
    if (y) {
        out.dt = y->dt;
        *y = out;
    }
    return true;
}

bool quant_check_types(const Node *n)
{
    QuantRoles r = quant_roles(n->op);
    int zero[3][2] = { { r.xz, r.x }, { r.wz, r.w }, { r.yz, r.yz } };
    int scale[3] = { r.xs, r.ws, r.ys };

    for (int i = 0; i < 3; i++) {
        const Value *z = zero[i][0] < 0 ? NULL : node_in(n, zero[i][0]);
        const Value *of = zero[i][1] < 0 ? NULL : node_in(n, zero[i][1]);
        if (of && of->type.dt != DT_I8 && of->type.dt != DT_U8)
            return node_error(n, "operand '%s' is %s, must be int8 or uint8",
                              of->name, dtype_name(of->type.dt));
        if (z && z->type.dt != of->type.dt)
            return node_error(n, "zero point '%s' is %s, must be %s", z->name,
                              dtype_name(z->type.dt),
                              dtype_name(of->type.dt));
        if (scale[i] >= 0 && !quant_check_scale(n, n->in[scale[i]]))
            return false;
    }
    return true;
}

static bool infer_product(Node *n, DType dt)
{
    QuantMatMul q;
    Type y = type_scalar(dt);

    if (!quant_check_types(n) || !quant_matmul(n, &q, &y))
        return false;
    n->out[0]->type = y;
    return true;
}

bool infer_qlinearmatmul(Graph *g, Node *n)
{
    (void)g;
    return infer_product(n, n->in[7]->type.dt);
}

bool infer_matmulinteger(Graph *g, Node *n)
{
    (void)g;
    return infer_product(n, DT_I32);
}

static int64_t zero_at(const Node *n, const Tensor *const *in, int index,
                       int64_t i)
{
    if (index < 0 || index >= n->nin || !in[index])
        return 0;
    return elem_get_int(in[index]->type.dt, in[index]->data, i);
}

static float scale_at(const Tensor *const *in, int index, int64_t i)
{
    return (float)elem_get(in[index]->type.dt, in[index]->data, i);
}

typedef struct Product {
    const Node *n;
    const Tensor *const *in;
    const QuantMatMul *q;
    QuantRoles r;
    uint32_t *acc;              /* one row */
    int64_t pos[MAX_RANK];      /* in the batch */
} Product;

static int64_t at(const Product *p, const QuantWalk *w)
{
    int64_t i = 0;

    for (int k = 0; k < p->q->rank; k++)
        i += p->pos[k] * w->batch[k];
    return i;
}

static void product_row(Product *p, int64_t m)
{
    const QuantMatMul *q = p->q;
    const Tensor *x = p->in[p->r.x], *w = p->in[p->r.w];
    int64_t xz = zero_at(p->n, p->in, p->r.xz,
                         at(p, &q->xz) + m * q->xz.step);
    int64_t wz = at(p, &q->wz);

    for (int64_t j = 0; j < q->n; j++)
        p->acc[j] = 0;
    for (int64_t k = 0; k < q->k; k++) {
        int64_t a = elem_get_int(x->type.dt, x->data,
                                 at(p, &q->x) + m * q->k + k) - xz;
        for (int64_t j = 0; j < q->n; j++) {
            int64_t b = elem_get_int(w->type.dt, w->data,
                                     at(p, &q->w) + k * q->n + j);
            b -= zero_at(p->n, p->in, p->r.wz, wz + j * q->wz.step);
            p->acc[j] += (uint32_t)(a * b);
        }
    }
}

static void scale_row(Product *p, int64_t m, Tensor *out, int64_t base)
{
    const QuantMatMul *q = p->q;
    float xs = scale_at(p->in, p->r.xs, at(p, &q->xs) + m * q->xs.step);
    float ys = scale_at(p->in, p->r.ys, at(p, &q->ys) + m * q->ys.step);
    int64_t yz = zero_at(p->n, p->in, p->r.yz,
                         at(p, &q->yz) + m * q->yz.step);
    int64_t ws = at(p, &q->ws);

    for (int64_t j = 0; j < q->n; j++) {
        float s = xs * scale_at(p->in, p->r.ws, ws + j * q->ws.step) / ys;
        elem_set_int(out->type.dt, out->data, base + j,
                     quant_round((float)(int32_t)p->acc[j] * s, yz,
                                 out->type.dt));
    }
}

static bool batch_next(const QuantMatMul *q, int64_t *pos)
{
    for (int i = q->rank - 1; i >= 0; i--) {
        if (++pos[i] < q->dim[i])
            return true;
        pos[i] = 0;
    }
    return false;
}

static bool eval_product(const Node *n, const Tensor *const *in, Tensor *out,
                         Arena *scratch)
{
    QuantMatMul q;
    Product p = { n, in, &q, quant_roles(n->op), NULL, { 0 } };
    int64_t base = 0;

    if (!quant_matmul(n, &q, NULL))
        return false;
    if (type_elems(&out->type) == 0)
        return true;
    p.acc = NEW_ARRAY(scratch, uint32_t, q.n);
    do {
        for (int64_t m = 0; m < q.m; m++, base += q.n) {
            product_row(&p, m);
            if (p.r.ys >= 0)
                scale_row(&p, m, out, base);
            else
                for (int64_t j = 0; j < q.n; j++)
                    ((uint32_t *)out->data)[base + j] = p.acc[j];
        }
    } while (batch_next(&q, p.pos));
    return true;
}

bool eval_qlinearmatmul(const Node *n, const Tensor *const *in,
                        Tensor *const *out, Arena *scratch, Diag *diag)
{
    (void)diag;
    return eval_product(n, in, out[0], scratch);
}

bool eval_matmulinteger(const Node *n, const Tensor *const *in,
                        Tensor *const *out, Arena *scratch, Diag *diag)
{
    (void)diag;
    return eval_product(n, in, out[0], scratch);
}
