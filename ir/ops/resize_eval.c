/* resize_eval.c - Resize in the interpreter: one axis after the other, in
 * double; nearest copies elements. */
#include <math.h>
#include <string.h>

#include "../hooks.h"
#include "real.h"
#include "resize.h"

/* x [outer, in, inner] -> y [outer, out, inner] */
static void resize_axis(const ResizeAxis *a, const ResizeTable *t,
                        double fill, int64_t outer, int64_t inner,
                        const double *x, double *y)
{
    for (int64_t o = 0; o < outer; o++, x += a->in * inner)
        for (int64_t j = 0; j < a->out; j++, y += inner)
            for (int64_t i = 0; i < inner; i++) {
                double sum = 0;
                for (int64_t k = 0; k < t->taps; k++) {
                    double v = x[t->index[j * t->taps + k] * inner + i];
                    sum += t->coef ? v * t->coef[j * t->taps + k] : v;
                }
                y[i] = t->outside && t->outside[j] ? fill : sum;
            }
}

/* nearest and saturated, as ONNX's reference does for integers */
static void store(Tensor *y, const double *v)
{
    int64_t n = type_elems(&y->type);
    DType dt = y->type.dt;
    double hi = ldexp(1, dtype_bits(dt) - (dtype_kind(dt) == DK_INT));
    double lo = dtype_kind(dt) == DK_INT ? -hi : 0;

    if (!dtype_is_int(dt)) {
        real_store(y, v);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        double r = rint(v[i]);
        if (!(r > lo))
            elem_set(dt, y->data, i, lo);
        else if (r >= hi)       /* 2^64 - 1 and 2^63 - 1 are not doubles */
            elem_set_int(dt, y->data, i, dtype_kind(dt) == DK_UINT
                         ? -1 : (int64_t)((uint64_t)hi - 1));
        else
            elem_set(dt, y->data, i, r);
    }
}

/* nearest without extrapolation copies elements: exact for any type */
static void copy_axis(const ResizeAxis *a, const ResizeTable *t,
                      int64_t outer, int64_t bytes, const char *x, char *y)
{
    for (int64_t o = 0; o < outer; o++, x += a->in * bytes)
        for (int64_t j = 0; j < a->out; j++, y += bytes)
            memcpy(y, x + t->index[j] * bytes, (size_t)bytes);
}

static bool eval_axes(const Node *n, const Resize *r, const Tensor *x,
                      Tensor *y, Arena *s)
{
    bool copy = r->nearest && resize_coords(n) != COORDS_TF_CROP;
    void *from = copy ? x->data : (void *)real_load(x, s);
    Type t = x->type;
    int64_t size = copy ? dtype_bytes(t.dt) : (int64_t)sizeof(double);

    for (int i = 0; i < r->n; i++) {
        const ResizeAxis *a = &r->axis[i];
        int64_t outer = type_span(&t, 0, a->axis);
        int64_t inner = type_span(&t, a->axis + 1, t.rank);
        ResizeTable table;
        void *to;

        t.dim[a->axis] = a->out;
        to = arena_alloc(s, (size_t)(type_elems(&t) * size));
        if (!resize_table(n, a, s, &table))
            return false;
        if (copy)
            copy_axis(a, &table, outer, inner * size, from, to);
        else
            resize_axis(a, &table,
                        (double)ATTRS(resize, n)->extrapolation_value, outer,
                        inner, from, to);
        from = to;
    }
    if (copy)
        memcpy(y->data, from, (size_t)type_bytes(&y->type));
    else
        store(y, from);
    return true;
}

bool eval_resize(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    const void *operand[4] = { NULL };
    Type y = out[0]->type;
    Resize r;

    (void)diag;
    for (int i = RESIZE_ROI; i <= RESIZE_SIZES; i++)
        if (resize_operand(n, i))
            operand[i] = in[i]->data;
    if (!resize_read(n, operand, &r, &y))
        return false;
    if (!type_same_shape(&y, &out[0]->type))
        return node_error(n, "run-time operands give another shape than the "
                          "declared one");
    return eval_axes(n, &r, in[0], out[0], scratch);
}
