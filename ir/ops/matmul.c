/* matmul.c - MatMul (13), Gemm (13), FusedMatMul (ours), Det (22). */
#include "../hooks.h"
#include "matmul.h"

#include <math.h>
#include <string.h>

#include "act.h"
#include "dense.h"

/* rows, columns and their strides of the last two axes of an operand; a
 * vector is a row on the left and a column on the right */
static void matrix_of(const Type *t, bool trans, bool left, int64_t *rows,
                      int64_t *cols, int64_t *row, int64_t *col)
{
    if (t->rank == 1) {
        *rows = left ? 1 : t->dim[0];
        *cols = left ? t->dim[0] : 1;
        *row = left ? t->dim[0] : 1;
        *col = 1;
        return;
    }
    *rows = t->dim[t->rank - 2];
    *cols = t->dim[t->rank - 1];
    *row = *cols;
    *col = 1;
    if (trans) {
        int64_t r = *rows;
        *rows = *cols;
        *cols = r;
        *col = *row;
        *row = 1;
    }
}

/* batch strides of an operand whose batch broadcasts to s->batch */
static void batch_strides(const Type *t, const MatShape *s, int64_t *out)
{
    int own = t->rank > 2 ? t->rank - 2 : 0;
    int64_t stride[MAX_RANK];

    type_strides(t, stride);
    for (int i = 0; i < s->rank; i++) {
        int k = i - (s->rank - own);
        out[i] = k < 0 || t->dim[k] == 1 ? 0 : stride[k];
    }
}

static Type batch_of(const Type *t)
{
    Type b = *t;

    b.rank = t->rank > 2 ? t->rank - 2 : 0;
    return b;
}

bool matmul_types(const Node *n, const Type *a, const Type *b, bool trans_a,
                  bool trans_b, MatShape *s, Type *out)
{
    Type ab = batch_of(a), bb = batch_of(b), batch;
    int64_t depth;

    memset(s, 0, sizeof *s);
    if (a->rank < 1 || b->rank < 1)
        return node_error(n, "operand of rank 0");
    matrix_of(a, trans_a, true, &s->m, &s->depth, &s->a_row, &s->a_col);
    matrix_of(b, trans_b, false, &depth, &s->n, &s->b_row, &s->b_col);
    if (s->depth != depth)
        return node_error(n, "%lld columns of the left operand against %lld "
                          "rows of the right one", (long long)s->depth,
                          (long long)depth);
    if (!type_broadcast(&ab, &bb, &batch))
        return node_error(n, "the leading axes of the operands do not "
                          "broadcast");
    s->rank = batch.rank;
    memcpy(s->batch, batch.dim, (size_t)s->rank * sizeof s->batch[0]);
    batch_strides(a, s, s->a_batch);
    batch_strides(b, s, s->b_batch);
    *out = type_make(a->dt, s->rank, s->batch);
    if (a->rank > 1)
        out->dim[out->rank++] = s->m;
    if (b->rank > 1)
        out->dim[out->rank++] = s->n;
    return true;
}

static bool fits(const Type *a, const Type *b)
{
    bool ok = dtype_is_float(a->dt) || a->dt == DT_I32 || a->dt == DT_I64 ||
              a->dt == DT_U32 || a->dt == DT_U64;

    return ok && a->dt == b->dt;
}

bool matmul_shape(const Node *n, MatShape *s, Type *out)
{
    const Type *a = &n->in[0]->type, *b = &n->in[1]->type;
    bool ta = false, tb = false;

    if (n->op == OP_FusedMatMul) {
        ta = ATTRS(fusedmatmul, n)->transA != 0;
        tb = ATTRS(fusedmatmul, n)->transB != 0;
    } else if (n->op == OP_Gemm) {
        ta = ATTRS(gemm, n)->transA != 0;
        tb = ATTRS(gemm, n)->transB != 0;
        if (a->rank != 2 || b->rank != 2)
            return node_error(n, "operands of rank %d and %d, needs 2",
                              a->rank, b->rank);
    }
    if (!fits(a, b))
        return node_error(n, "does not multiply %s by %s", dtype_name(a->dt),
                          dtype_name(b->dt));
    return matmul_types(n, a, b, ta, tb, s, out);
}

int64_t matmul_batches(const MatShape *s)
{
    int64_t count = 1;

    for (int i = 0; i < s->rank; i++)
        count *= s->batch[i];
    return count;
}

void matmul_offsets(const MatShape *s, int64_t i, int64_t *a, int64_t *b)
{
    *a = *b = 0;
    for (int k = s->rank - 1; k >= 0; k--) {
        *a += i % s->batch[k] * s->a_batch[k];
        *b += i % s->batch[k] * s->b_batch[k];
        i /= s->batch[k];
    }
}

bool matmul_bias(const Node *n, const MatShape *s, const Type *out,
                 const Type *bias, BiasShape *b)
{
    int64_t stride[MAX_RANK], full[MAX_RANK] = { 0 };
    int at = out->rank;

    if (bias->dt != out->dt)
        return node_error(n, "addend is %s, the product is %s",
                          dtype_name(bias->dt), dtype_name(out->dt));
    if (bias->rank > out->rank)
        return node_error(n, "addend has rank %d, the product has %d",
                          bias->rank, out->rank);
    type_strides(bias, stride);
    for (int i = 0; i < bias->rank; i++) {
        int k = out->rank - bias->rank + i;
        if (bias->dim[i] != 1 && bias->dim[i] != out->dim[k])
            return node_error(n, "addend has %lld elements on axis %d, the "
                              "product has %lld", (long long)bias->dim[i], k,
                              (long long)out->dim[k]);
        full[k] = bias->dim[i] == 1 ? 0 : stride[i];
    }
    memset(b, 0, sizeof *b);
    if (n->in[1]->type.rank > 1)
        b->col = full[--at];
    if (n->in[0]->type.rank > 1)
        b->row = full[--at];
    memcpy(b->batch, full, (size_t)s->rank * sizeof full[0]);
    return true;
}

bool infer_matmul(Graph *g, Node *n)
{
    MatShape s;

    (void)g;
    return matmul_shape(n, &s, &n->out[0]->type);
}

static bool infer_fused(Node *n, const char *act, float alpha, float beta)
{
    const Value *bias = node_in(n, 2);
    Type *out = &n->out[0]->type;
    MatShape s;
    BiasShape b;
    Act a;

    if (!matmul_shape(n, &s, out) || !act_get(n, act, alpha, beta, &a))
        return false;
    if (a.op != OP_NONE && !dtype_is_float(out->dt))
        return node_error(n, "act '%s' on %s", act, dtype_name(out->dt));
    return !bias || matmul_bias(n, &s, out, &bias->type, &b);
}

/* integers take whole factors only */
static bool check_factor(const Node *n, const char *what, float x)
{
    if (dtype_is_float(n->in[0]->type.dt) ||
        (fabsf(x) < 0x1p24f && x == truncf(x)))
        return true;
    return node_error(n, "%s is %g for a product of %s", what, (double)x,
                      dtype_name(n->in[0]->type.dt));
}

bool infer_fusedmatmul(Graph *g, Node *n)
{
    const Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);

    (void)g;
    return check_factor(n, "alpha", a->alpha) &&
           infer_fused(n, a->act, a->act_alpha, a->act_beta);
}

bool infer_gemm(Graph *g, Node *n)
{
    const Attr_gemm *a = ATTRS(gemm, n);

    (void)g;
    return check_factor(n, "alpha", a->alpha) &&
           check_factor(n, "beta", a->beta) &&
           infer_fused(n, a->act, a->act_alpha, a->act_beta);
}

static void copy_elem(char *to, const void *from, int64_t i, int64_t size)
{
    if (size == 4)
        memcpy(to, (const char *)from + i * 4, 4);
    else
        memcpy(to, (const char *)from + i * 8, 8);
}

/* rows of op(b) made contiguous where they are not */
static const void *rows_of_b(const MatShape *s, Class cls, const void *b,
                             int64_t *row, Arena *scratch)
{
    int64_t size = dense_size(cls);
    char *copy;

    *row = s->b_row;
    if (s->b_col == 1 || s->n == 1)
        return b;
    copy = arena_array(scratch, (size_t)(s->depth * s->n), (size_t)size);
    *row = s->n;
    for (int64_t j = 0; j < s->n; j++)
        for (int64_t k = 0; k < s->depth; k++)
            copy_elem(copy + (k * s->n + j) * size, b,
                      k * s->b_row + j * s->b_col, size);
    return copy;
}

/* y = op(a) op(b) for all batches; y has been zeroed */
static void multiply(const MatShape *s, Class cls, const void *a,
                     const void *b, void *y, Arena *scratch)
{
    int64_t size = dense_size(cls), count = matmul_batches(s);
    int64_t last = -1, oa, ob;
    const void *rows = NULL;
    Product p = { s->m, s->n, s->depth, s->a_row, s->a_col, 0, s->n };

    for (int64_t i = 0; i < count; i++) {
        matmul_offsets(s, i, &oa, &ob);
        if (ob != last)
            rows = rows_of_b(s, cls, (const char *)b + ob * size, &p.b_row,
                             scratch);
        last = ob;
        dense_product(cls, &p, (const char *)a + oa * size, rows,
                      (char *)y + i * s->m * s->n * size);
    }
}

/* y = alpha * y + beta * bias */
static void add_one(Class cls, void *y, int64_t i, double alpha,
                    const void *bias, int64_t k, double beta)
{
    if (cls == CLASS_F32) {
        float *p = (float *)y + i;
        float c = bias ? ((const float *)bias)[k] : 0;
        *p = (float)alpha * *p + (bias ? (float)beta * c : 0);
    } else if (cls == CLASS_F64) {
        double *p = (double *)y + i;
        double c = bias ? ((const double *)bias)[k] : 0;
        *p = alpha * *p + (bias ? beta * c : 0);
    } else {
        uint64_t *p = (uint64_t *)y + i;
        uint64_t c = bias ? ((const uint64_t *)bias)[k] : 0;
        *p = (uint64_t)(int64_t)alpha * *p + (uint64_t)(int64_t)beta * c;
    }
}

static void add_bias(const MatShape *s, Class cls, void *y, double alpha,
                     const void *bias, const BiasShape *b, double beta)
{
    int64_t count = matmul_batches(s), at = 0;

    for (int64_t i = 0; i < count; i++) {
        int64_t from = 0, rest = i;
        for (int k = s->rank - 1; k >= 0; k--) {
            from += rest % s->batch[k] * b->batch[k];
            rest /= s->batch[k];
        }
        for (int64_t r = 0; r < s->m; r++)
            for (int64_t c = 0; c < s->n; c++)
                add_one(cls, y, at++, alpha, bias,
                        from + r * b->row + c * b->col, beta);
    }
}

static bool eval_product(const Node *n, const Tensor *const *in,
                         Tensor *const *out, Arena *scratch, double alpha,
                         double beta, const Act *act)
{
    const Tensor *bias = n->nin > 2 ? in[2] : NULL;
    Class cls = dense_class(out[0]->type.dt);
    BiasShape b = { 0, 0, { 0 } };
    void *y = dense_room(out[0], scratch);
    MatShape s;
    Type t;

    if (!matmul_shape(n, &s, &t) ||
        (bias && !matmul_bias(n, &s, &t, &bias->type, &b)))
        return false;
    if (!type_elems(&t))
        return true;
    multiply(&s, cls, dense_load(in[0], scratch), dense_load(in[1], scratch),
             y, scratch);
    if (bias || alpha != 1)
        add_bias(&s, cls, y, alpha, bias ? dense_load(bias, scratch) : NULL,
                 &b, beta);
    if (!act_eval(n, act, cls == CLASS_F64 ? DT_F64 : DT_F32, y,
                  type_elems(&t), scratch))
        return false;
    dense_store(out[0], y);
    return true;
}

bool eval_matmul(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    Act none = { OP_NONE, 0, 0 };

    (void)diag;
    return eval_product(n, in, out, scratch, 1, 1, &none);
}

bool eval_fusedmatmul(const Node *n, const Tensor *const *in,
                      Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);
    Act act;

    (void)diag;
    return act_get(n, a->act, a->act_alpha, a->act_beta, &act) &&
           eval_product(n, in, out, scratch, (double)a->alpha, 1, &act);
}

bool eval_gemm(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    const Attr_gemm *a = ATTRS(gemm, n);
    Act act;

    (void)diag;
    return act_get(n, a->act, a->act_alpha, a->act_beta, &act) &&
           eval_product(n, in, out, scratch, (double)a->alpha,
                        (double)a->beta, &act);
}

bool infer_det(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;

    (void)g;
    if (!dtype_is_float(x->dt))
        return node_error(n, "does not take %s", dtype_name(x->dt));
    if (x->rank < 2 || x->dim[x->rank - 1] != x->dim[x->rank - 2])
        return node_error(n, "the last two axes are not a square matrix");
    n->out[0]->type = type_make(x->dt, x->rank - 2, x->dim);
    return true;
}

/* Gaussian elimination with row pivots in double; a is destroyed */
static double det(double *a, int64_t n)
{
    double d = 1;

    for (int64_t c = 0; c < n; c++) {
        int64_t p = c;
        for (int64_t r = c + 1; r < n; r++)
            if (fabs(a[r * n + c]) > fabs(a[p * n + c]))
                p = r;
        if (a[p * n + c] == 0)
            return 0;
        for (int64_t k = c; p != c && k < n; k++) {
            double t = a[p * n + k];
            a[p * n + k] = a[c * n + k];
            a[c * n + k] = t;
        }
        d *= p != c ? -a[c * n + c] : a[c * n + c];
        for (int64_t r = c + 1; r < n; r++) {
            double f = a[r * n + c] / a[c * n + c];
            for (int64_t k = c; k < n; k++)
                a[r * n + k] -= f * a[c * n + k];
        }
    }
    return d;
}

bool eval_det(const Node *n, const Tensor *const *in, Tensor *const *out,
              Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type;
    int64_t size = x->dim[x->rank - 1], count = type_elems(&out[0]->type);
    double *m = NEW_ARRAY(scratch, double, size * size);

    (void)n;
    (void)diag;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < size * size; k++)
            m[k] = elem_get(x->dt, in[0]->data, i * size * size + k);
        elem_set(out[0]->type.dt, out[0]->data, i, det(m, size));
    }
    return true;
}
