/* pool.c - MaxPool (22), AveragePool (22), LpPool (22), their global forms
 * and MaxUnpool (22): infer and evaluate. A window's elements inside the
 * image are gathered, then reduced in double. Padding is never an element:
 * AveragePool with count_include_pad counts it in the divisor, up to the
 * declared pads (the part of a last window beyond them does not count). */
#include <math.h>
#include <string.h>

#include "../hooks.h"
#include "window.h"

static bool check_type(const Node *n)
{
    DType dt = n->in[0]->type.dt;
    bool byte = dt == DT_I8 || dt == DT_U8;

    if (dtype_is_float(dt) || (n->op == OP_MaxPool && byte))
        return true;
    return node_error(n, "does not take %s", dtype_name(dt));
}

bool infer_pool(Graph *g, Node *n)
{
    ConvShape s;

    (void)g;
    if (!check_type(n) || !pool_shape(n, &s))
        return false;
    if (n->op == OP_LpPool && ATTRS(pool, n)->p < 1)
        return node_error(n, "p is %lld", (long long)ATTRS(pool, n)->p);
    n->out[0]->type = conv_type(&s, n->in[0]->type.dt);
    if (node_out(n, 1)) {
        n->out[1]->type = n->out[0]->type;
        n->out[1]->type.dt = DT_I64;
    }
    return true;
}

bool infer_globalpool(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    Type *y = &n->out[0]->type;

    (void)g;
    if (!check_type(n))
        return false;
    if (x->rank < 2)
        return node_error(n, "input has rank %d, needs batch and channels",
                          x->rank);
    if (!type_span(x, 2, x->rank))
        return node_error(n, "images of no elements");
    if (n->op == OP_GlobalLpPool && ATTRS(globallppool, n)->p < 1)
        return node_error(n, "p is %lld",
                          (long long)ATTRS(globallppool, n)->p);
    *y = *x;
    for (int i = 2; i < x->rank; i++)
        y->dim[i] = 1;
    return true;
}

typedef struct Taps {
    int64_t n;                  /* elements inside the image */
    int64_t padded;             /* and in the declared padding */
    double *value;
    int64_t *at;                /* index in the image */
} Taps;

/* the taps [*lo, *hi) of axis i that lie inside the image, for output o */
static void tap_span(const Window *w, int i, int64_t o, int64_t *lo,
                     int64_t *hi, int64_t *padded)
{
    int64_t d = w->dilation[i], at = o * w->stride[i] - w->pad[i];
    int64_t end = w->in[i] - at, wide = end + w->pad_end[i];

    *lo = at < 0 ? (-at + d - 1) / d : 0;
    *hi = end > 0 ? (end + d - 1) / d : 0;
    *hi = *hi < w->kernel[i] ? *hi : w->kernel[i];
    *lo = *lo < *hi ? *lo : *hi;
    wide = wide > 0 ? (wide + d - 1) / d : 0;
    *padded = wide < w->kernel[i] ? wide : w->kernel[i];
}

static void gather_taps(const Window *w, int64_t o, const double *x, Taps *t)
{
    int64_t lo[MAX_RANK], hi[MAX_RANK], at[MAX_RANK], j[MAX_RANK], padded;
    int i;

    t->n = 0;
    t->padded = 1;
    for (i = w->rank - 1; i >= 0; i--) {
        int64_t oi = o % w->out[i];
        o /= w->out[i];
        tap_span(w, i, oi, &lo[i], &hi[i], &padded);
        t->padded *= padded;
        at[i] = oi * w->stride[i] - w->pad[i];
        j[i] = lo[i];
    }
    for (i = 0; i < w->rank; i++)
        if (lo[i] >= hi[i])
            return;
    do {
        int64_t from = 0;
        for (i = 0; i < w->rank; i++)
            from = from * w->in[i] + at[i] + j[i] * w->dilation[i];
        t->at[t->n] = from;
        t->value[t->n++] = x[from];
        for (i = w->rank - 1; i >= 0 && ++j[i] == hi[i]; i--)
            j[i] = lo[i];
    } while (i >= 0);
}

/* the first of the greatest; NaN is greater than every number */
static int64_t largest(const Taps *t)
{
    int64_t best = 0;

    for (int64_t i = 1; i < t->n && !isnan(t->value[best]); i++)
        if (t->value[i] > t->value[best] || isnan(t->value[i]))
            best = i;
    return best;
}

static double sum(const Taps *t)
{
    double s = 0;

    for (int64_t i = 0; i < t->n; i++)
        s += t->value[i];
    return s;
}

static double norm(const Taps *t, int64_t p)
{
    double s = 0;

    for (int64_t i = 0; i < t->n; i++) {
        double x = fabs(t->value[i]);
        s += p == 1 ? x : p == 2 ? x * x : pow(x, (double)p);
    }
    return p == 1 ? s : p == 2 ? sqrt(s) : pow(s, 1 / (double)p);
}

static double lowest(DType dt)
{
    return dt == DT_U8 ? 0 : dt == DT_I8 ? -128 : -(double)INFINITY;
}

static double *load_doubles(const Tensor *t, Arena *scratch)
{
    int64_t count = type_elems(&t->type);
    double *x = NEW_ARRAY(scratch, double, count);

    for (int64_t i = 0; i < count; i++)
        x[i] = elem_get(t->type.dt, t->data, i);
    return x;
}

/* index that ONNX wants for element `at` of image number `image` */
static int64_t index_of(const Window *w, int64_t image, int64_t at,
                        bool column_major)
{
    int64_t size = 1, up = 1, index = 0;

    for (int i = 0; i < w->rank; i++)
        size *= w->in[i];
    if (!column_major)
        return image * size + at;
    for (int i = 0, down = w->rank; i < down; i++) {
        int64_t inner = 1;
        for (int k = i + 1; k < w->rank; k++)
            inner *= w->in[k];
        index += at / inner % w->in[i] * up;
        up *= w->in[i];
    }
    return image * size + index;
}

typedef struct Pool {
    const Node *n;
    ConvShape s;
    int64_t in, out;            /* elements per image */
    double *x;
    Taps taps;
} Pool;

static bool pool_start(Pool *p, const Node *n, const Tensor *x, Arena *a)
{
    p->n = n;
    if (!pool_shape(n, &p->s))
        return false;
    p->in = p->out = 1;
    for (int i = 0; i < p->s.win.rank; i++) {
        p->in *= p->s.win.in[i];
        p->out *= p->s.win.out[i];
    }
    p->x = load_doubles(x, a);
    p->taps.value = NEW_ARRAY(a, double, p->in);
    p->taps.at = NEW_ARRAY(a, int64_t, p->in);
    return true;
}

bool eval_maxpool(const Node *n, const Tensor *const *in, Tensor *const *out,
                  Arena *scratch, Diag *diag)
{
    bool column_major = ATTRS(pool, n)->storage_order != 0;
    Tensor *index = n->nout > 1 ? out[1] : NULL;
    DType dt = in[0]->type.dt;
    Pool p;

    (void)diag;
    if (!pool_start(&p, n, in[0], scratch))
        return false;
    for (int64_t i = 0; i < p.s.batch * p.s.group * p.out; i++) {
        int64_t image = i / p.out, best;
        gather_taps(&p.s.win, i % p.out, p.x + image * p.in, &p.taps);
        best = largest(&p.taps);
        if (out[0])
            elem_set(dt, out[0]->data, i,
                     p.taps.n ? p.taps.value[best] : lowest(dt));
        if (index)
            elem_set_int(DT_I64, index->data, i, p.taps.n ?
                         index_of(&p.s.win, image, p.taps.at[best],
                                  column_major) : -1);
    }
    return true;
}

bool eval_averagepool(const Node *n, const Tensor *const *in,
                      Tensor *const *out, Arena *scratch, Diag *diag)
{
    bool include = ATTRS(pool, n)->count_include_pad != 0;
    Pool p;

    (void)diag;
    if (!pool_start(&p, n, in[0], scratch))
        return false;
    for (int64_t i = 0; i < p.s.batch * p.s.group * p.out; i++) {
        int64_t count;
        gather_taps(&p.s.win, i % p.out, p.x + i / p.out * p.in, &p.taps);
        count = include ? p.taps.padded : p.taps.n;
        elem_set(out[0]->type.dt, out[0]->data, i,
                 sum(&p.taps) / (double)(count ? count : 1));
    }
    return true;
}

bool eval_lppool(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    Pool p;

    (void)diag;
    if (!pool_start(&p, n, in[0], scratch))
        return false;
    for (int64_t i = 0; i < p.s.batch * p.s.group * p.out; i++) {
        gather_taps(&p.s.win, i % p.out, p.x + i / p.out * p.in, &p.taps);
        elem_set(out[0]->type.dt, out[0]->data, i,
                 norm(&p.taps, ATTRS(pool, n)->p));
    }
    return true;
}

/* the taps of image i: all of it */
static Taps image_taps(const Tensor *x, double *all, int64_t i)
{
    int64_t size = type_span(&x->type, 2, x->type.rank);
    Taps t = { size, size, all + i * size, NULL };

    return t;
}

bool eval_globalmaxpool(const Node *n, const Tensor *const *in,
                        Tensor *const *out, Arena *scratch, Diag *diag)
{
    double *x = load_doubles(in[0], scratch);

    (void)n;
    (void)diag;
    for (int64_t i = 0; i < type_elems(&out[0]->type); i++) {
        Taps t = image_taps(in[0], x, i);
        elem_set(out[0]->type.dt, out[0]->data, i, t.value[largest(&t)]);
    }
    return true;
}

bool eval_globalaveragepool(const Node *n, const Tensor *const *in,
                            Tensor *const *out, Arena *scratch, Diag *diag)
{
    double *x = load_doubles(in[0], scratch);

    (void)n;
    (void)diag;
    for (int64_t i = 0; i < type_elems(&out[0]->type); i++) {
        Taps t = image_taps(in[0], x, i);
        elem_set(out[0]->type.dt, out[0]->data, i, sum(&t) / (double)t.n);
    }
    return true;
}

bool eval_globallppool(const Node *n, const Tensor *const *in,
                       Tensor *const *out, Arena *scratch, Diag *diag)
{
    double *x = load_doubles(in[0], scratch);

    (void)diag;
    for (int64_t i = 0; i < type_elems(&out[0]->type); i++) {
        Taps t = image_taps(in[0], x, i);
        elem_set(out[0]->type.dt, out[0]->data, i,
                 norm(&t, ATTRS(globallppool, n)->p));
    }
    return true;
}

/* the size that kernel, strides and pads imply; indices count in it */
static bool unpool_type(const Node *n, Type *t)
{
    const Attr_maxunpool *a = ATTRS(maxunpool, n);
    const Type *x = &n->in[0]->type;
    int rank = x->rank - 2;

    if (rank < 1)
        return node_error(n, "input has rank %d, needs batch, channels and "
                          "at least one spatial axis", x->rank);
    if (a->kernel_shape.n != rank || (a->strides.n && a->strides.n != rank) ||
        (a->pads.n && a->pads.n != 2 * rank))
        return node_error(n, "kernel_shape, strides or pads are not for %d "
                          "spatial axes", rank);
    *t = *x;
    for (int i = 0; i < rank; i++) {
        int64_t k = a->kernel_shape.v[i];
        int64_t s = a->strides.n ? a->strides.v[i] : 1;
        int64_t p = a->pads.n ? a->pads.v[i] : 0;
        int64_t q = a->pads.n ? a->pads.v[rank + i] : 0;
        int64_t big = 1 << 24;
        if (k < 1 || k > big || s < 1 || s > big || p < 0 || p > big ||
            q < 0 || q > big || x->dim[2 + i] < 1 ||
            x->dim[2 + i] > ((int64_t)1 << 32))
            return node_error(n, "kernel %lld, stride %lld, pads %lld and "
                              "%lld on %lld elements", (long long)k,
                              (long long)s, (long long)p, (long long)q,
                              (long long)x->dim[2 + i]);
        t->dim[2 + i] = (x->dim[2 + i] - 1) * s + k - p - q;
        if (t->dim[2 + i] < 1)
            return node_error(n, "pads leave nothing of spatial axis %d", i);
    }
    return true;
}

bool infer_maxunpool(Graph *g, Node *n)
{
    const Value *shape = node_in(n, 2);
    int64_t want[MAX_RANK];
    Type *t = &n->out[0]->type, own;
    int rank;

    (void)g;
    if (!check_type(n) || !unpool_type(n, &own))
        return false;
    if (!type_same_shape(&n->in[1]->type, &n->in[0]->type) ||
        n->in[1]->type.dt != DT_I64)
        return node_error(n, "the indices are not int64 of the input's "
                          "shape");
    if (shape && !value_is_const(shape)) {
        if (!infer_declared(n, shape))
            return false;
    } else if (shape) {
        if (!value_ints(shape, MAX_RANK, want, &rank))
            return node_error(n, "output_shape is not a vector of integers");
        *t = type_make(own.dt, rank, want);
    } else {
        *t = own;
    }
    if (t->rank != own.rank || t->dt != own.dt)
        return node_error(n, "output has rank %d, the input has %d", t->rank,
                          own.rank);
    for (int i = 0; i < own.rank; i++)
        if (t->dim[i] < own.dim[i])
            return node_error(n, "output_shape %lld is smaller than the "
                              "%lld elements of axis %d",
                              (long long)t->dim[i], (long long)own.dim[i],
                              i);
    return true;
}

bool eval_maxunpool(const Node *n, const Tensor *const *in,
                    Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Type *to = &out[0]->type;
    int64_t count = type_elems(&in[0]->type), total, stride[MAX_RANK];
    Type own;

    (void)scratch;
    (void)diag;
    if (!unpool_type(n, &own))
        return false;
    total = type_elems(&own);
    type_strides(to, stride);
    for (int64_t i = 0; i < count; i++) {
        int64_t k = elem_get_int(DT_I64, in[1]->data, i), at = 0;
        if (k < 0 || k >= total)
            return node_error(n, "index %lld is outside 0..%lld",
                              (long long)k, (long long)total - 1);
        for (int d = own.rank - 1; d >= 0; d--) {
            at += k % own.dim[d] * stride[d];
            k /= own.dim[d];
        }
        elem_set(to->dt, out[0]->data, at,
                 elem_get(in[0]->type.dt, in[0]->data, i));
    }
    return true;
}
