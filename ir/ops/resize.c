/* resize.c - Resize (ONNX 19) as separable tables of taps, after the ONNX
 * reference implementation: coordinates and coefficients in double. */
#include "resize.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "../hooks.h"
#include "real.h"

const Value *resize_operand(const Node *n, int i)
{
    const Value *v = node_in(n, i);

    return v && type_elems(&v->type) ? v : NULL;
}

static bool mode_is(const Node *n, const char *mode)
{
    return !strcmp(ATTRS(resize, n)->mode, mode);
}

static bool coords_are(const Node *n, const char *mode)
{
    return !strcmp(ATTRS(resize, n)->coordinate_transformation_mode, mode);
}

/* ---- reading --------------------------------------------------------------- */

static bool one_of(const Node *n, const char *what, const char *s,
                   const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(s, names[i]))
            return true;
    return node_error(n, "%s '%s' is unknown", what, s);
}

static bool check_modes(const Node *n)
{
    static const char *const mode[] = { "nearest", "linear", "cubic", NULL };
    static const char *const nearest[] = { "round_prefer_floor",
        "round_prefer_ceil", "floor", "ceil", NULL };
    static const char *const coords[] = { "half_pixel", "align_corners",
        "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric",
        "tf_crop_and_resize", NULL };
    static const char *const policy[] = { "stretch", "not_larger",
        "not_smaller", NULL };
    const Attr_resize *a = ATTRS(resize, n);

    if (mode_is(n, "nearest") && a->antialias)
        return node_error(n, "antialias does not go with mode nearest");
    return one_of(n, "mode", a->mode, mode) &&
           one_of(n, "nearest_mode", a->nearest_mode, nearest) &&
           one_of(n, "coordinate_transformation_mode",
                  a->coordinate_transformation_mode, coords) &&
           one_of(n, "keep_aspect_ratio_policy",
                  a->keep_aspect_ratio_policy, policy);
}

int resize_axes(const Node *n, int *axes)
{
    const Ints *a = &ATTRS(resize, n)->axes;
    int rank = n->in[0]->type.rank;

    for (int i = 0; i < (a->n ? a->n : rank); i++)
        if (!a->n)
            axes[i] = i;
        else if (!node_axis(n, a->v[i], rank, &axes[i]))
            return -1;
    return a->n ? a->n : rank;
}

static bool check_axes(const Node *n, int *axes, int *count)
{
    bool seen[MAX_RANK] = { false };

    if (ATTRS(resize, n)->axes.n > MAX_RANK)
        return node_error(n, "has %d axes", ATTRS(resize, n)->axes.n);
    *count = resize_axes(n, axes);
    for (int i = 0; i < *count; i++) {
        if (seen[axes[i]])
            return node_error(n, "axis %d stands twice in axes", axes[i]);
        seen[axes[i]] = true;
    }
    return *count >= 0;
}

static bool check_operand(const Node *n, int i, int64_t want)
{
    const Value *v = resize_operand(n, i);
    bool ok;

    if (!v)
        return true;
    ok = i == RESIZE_SIZES ? v->type.dt == DT_I64
         : i == RESIZE_ROI ? dtype_is_float(v->type.dt)
                           : v->type.dt == DT_F32;
    if (!ok)
        return node_error(n, "operand '%s' is %s", v->name,
                          dtype_name(v->type.dt));
    if (v->type.rank != 1 || v->type.dim[0] != want)
        return node_error(n, "operand '%s' has %lld values, needs %lld",
                          v->name, (long long)type_elems(&v->type),
                          (long long)want);
    return true;
}

static bool check_node(const Node *n, int *axes, int *count)
{
    const Value *scales = resize_operand(n, RESIZE_SCALES);
    const Value *sizes = resize_operand(n, RESIZE_SIZES);

    if (!check_modes(n) || !check_axes(n, axes, count))
        return false;
    if (!scales == !sizes)
        return node_error(n, scales ? "has both scales and sizes"
                                    : "has neither scales nor sizes");
    if (coords_are(n, "tf_crop_and_resize") &&
        !resize_operand(n, RESIZE_ROI))
        return node_error(n, "tf_crop_and_resize needs roi");
    return check_operand(n, RESIZE_ROI, 2 * *count) &&
           check_operand(n, RESIZE_SCALES, *count) &&
           check_operand(n, RESIZE_SIZES, *count);
}

/* The scale that keep_aspect_ratio_policy takes for every axis. */
static double common_scale(const Node *n, const int64_t *sizes,
                           const int *axes, int count)
{
    const Type *x = &n->in[0]->type;
    bool least = !strcmp(ATTRS(resize, n)->keep_aspect_ratio_policy,
                         "not_larger");
    double scale = 0;

    for (int i = 0; i < count; i++) {
        double s = (double)sizes[i] / (double)x->dim[axes[i]];
        if (i == 0 || (least ? s < scale : s > scale))
            scale = s;
    }
    return scale;
}

static bool set_axis(const Node *n, ResizeAxis *a, double out)
{
    if (!(a->scale > 0) || isinf(a->scale) || !(out >= 0) || out > INT_MAX)
        return node_error(n, "scale %g of %lld on axis %d makes no size",
                          a->scale, (long long)a->in, a->axis);
    a->out = (int64_t)out;
    return true;
}

/* scale and size of one axis from whichever operand is known */
static bool axis_size(const Node *n, const void *const *operand, int i,
                      const int *axes, int count, const Type *y,
                      ResizeAxis *a)
{
    const int64_t *sizes = operand[RESIZE_SIZES];
    const float *scales = operand[RESIZE_SCALES];
    bool stretch = !strcmp(ATTRS(resize, n)->keep_aspect_ratio_policy,
                           "stretch");

    if (a->in == 0 || a->in > INT_MAX)
        return node_error(n, "cannot resize axis %d of %lld elements",
                          a->axis, (long long)a->in);
    if (scales) {
        a->scale = (double)scales[i];
        return set_axis(n, a, floor((double)((float)a->in * scales[i])));
    }
    if (sizes && stretch) {
        a->scale = (double)sizes[i] / (double)a->in;
        return sizes[i] == 0 ? (a->out = 0, true)
                             : set_axis(n, a, (double)sizes[i]);
    }
    if (sizes) {
        a->scale = common_scale(n, sizes, axes, count);
        return set_axis(n, a, floor(a->scale * (double)a->in + 0.5));
    }
    /* known at run time only: the declared size and what follows from it */
    a->out = y->dim[a->axis];
    a->scale = (double)a->out / (double)a->in;
    return true;
}

static void axis_roi(const Node *n, const void *data, int i, int count,
                     ResizeAxis *a)
{
    a->roi0 = 0;
    a->roi1 = 1;
    if (data && coords_are(n, "tf_crop_and_resize")) {
        DType dt = n->in[RESIZE_ROI]->type.dt;
        a->roi0 = elem_get(dt, data, i);
        a->roi1 = elem_get(dt, data, count + i);
    }
}

bool resize_read(const Node *n, const void *const *operand, Resize *r,
                 Type *y)
{
    const Type *x = &n->in[0]->type;
    int axes[MAX_RANK], count = 0, place[MAX_RANK];
    Type shape = *x;

    if (!check_node(n, axes, &count))
        return false;
    r->n = 0;
    r->nearest = mode_is(n, "nearest");
    for (int i = 0; i < x->rank; i++)
        place[i] = -1;
    for (int i = 0; i < count; i++)
        place[axes[i]] = i;
    for (int d = 0; d < x->rank; d++) {
        ResizeAxis a = { d, x->dim[d], 0, 0, 0, 1 };
        if (place[d] < 0)
            continue;
        if (!axis_size(n, operand, place[d], axes, count, y, &a))
            return false;
        axis_roi(n, operand[RESIZE_ROI], place[d], count, &a);
        shape.dim[d] = a.out;
        if (a.in == a.out && fabs(a.scale - 1) <= 1e-9 &&
            fabs(a.roi0) <= 1e-9 && fabs(a.roi1 - 1) <= 1e-9)
            continue;
        r->axis[r->n++] = a;
    }
    *y = shape;
    return true;
}

/* ---- tables ---------------------------------------------------------------- */

/* Where output j lies on the input axis. */
static double source(const Node *n, const ResizeAxis *a, int64_t j)
{
    double x = (double)j, in = (double)a->in, width = a->scale * in;

    if (coords_are(n, "align_corners"))
        return width == 1 ? 0 : x * (in - 1) / (width - 1);
    if (coords_are(n, "asymmetric"))
        return x / a->scale;
    if (coords_are(n, "tf_crop_and_resize")) {
        double span = (a->roi1 - a->roi0) * (in - 1);
        double at = width == 1 ? span / 2
                               : x * (a->roi1 - a->roi0) * (in - 1) /
                                 (width - 1);
        return at + a->roi0 * (in - 1);
    }
    if (coords_are(n, "pytorch_half_pixel") && width == 1)
        return -0.5;
    if (coords_are(n, "half_pixel_symmetric")) {
        double offset = in / 2 * (1 - (double)a->out / width);
        return offset + (x + 0.5) / a->scale - 0.5;
    }
    return (x + 0.5) / a->scale - 0.5;
}

int64_t resize_taps(const Node *n, double scale)
{
    double support = mode_is(n, "cubic") ? 2 : 1;

    if (mode_is(n, "nearest"))
        return 1;
    if (!ATTRS(resize, n)->antialias || scale >= 1)
        return 2 * (int64_t)support;
    return 2 - 2 * (int64_t)(floor(-support / scale) + 1);
}

static int64_t pick_nearest(const Node *n, double x)
{
    const char *mode = ATTRS(resize, n)->nearest_mode;
    double low = floor(x), ratio = x - low;
    bool up;

    /* a whole number but for the rounding of its computation */
    if (fabs(x - rint(x)) < 1e-12 * (1 + fabs(x)))
        return (int64_t)rint(x);
    up = !strcmp(mode, "ceil") ||
         (!strcmp(mode, "round_prefer_floor") && ratio > 0.5) ||
         (!strcmp(mode, "round_prefer_ceil") && ratio >= 0.5);
    return (int64_t)low + up;
}

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x <= 1)
        return (a + 2) * x * x * x - (a + 3) * x * x + 1;
    if (x < 2)
        return a * x * x * x - 5 * a * x * x + 8 * a * x - 4 * a;
    return 0;
}

/* Coefficients of taps start, start+1, ... around a point `ratio` (0, 1]
 * right of tap 0. */
static void fill_coefs(const Node *n, double scale, double ratio,
                       int64_t taps, double *coef)
{
    const Attr_resize *at = ATTRS(resize, n);
    bool antialias = at->antialias && scale < 1;
    double squeeze = antialias ? scale : 1, sum = 0;

    for (int64_t k = 0; k < taps; k++) {
        double d = ((double)(k + 1 - taps / 2) - ratio) * squeeze;
        coef[k] = mode_is(n, "cubic") ? cubic(d, (double)at->cubic_coeff_a)
                                      : fmax(0, 1 - fabs(d));
        sum += coef[k];
    }
    for (int64_t k = 0; at->antialias && k < taps; k++)
        coef[k] /= sum;
}

static void drop_outside(int64_t first, int64_t taps, int64_t in,
                         double *coef)
{
    double sum = 0;

    for (int64_t k = 0; k < taps; k++) {
        if (first + k < 0 || first + k >= in)
            coef[k] = 0;
        sum += coef[k];
    }
    for (int64_t k = 0; sum != 0 && k < taps; k++)
        coef[k] /= sum;
}

static int32_t clamp_index(int64_t i, int64_t in)
{
    return (int32_t)(i < 0 ? 0 : i >= in ? in - 1 : i);
}

static void fill_entry(const Node *n, const ResizeAxis *a, int64_t j,
                       ResizeTable *t)
{
    double x = source(n, a, j), low, ratio;
    int32_t *index = t->index + j * t->taps;
    int64_t first;

    if (t->outside)
        t->outside[j] = !(x >= 0 && x <= (double)(a->in - 1));
    /* far outside everything is the edge; keeps the integers small */
    x = fmin(fmax(x, -16.0 - (double)t->taps),
             (double)a->in + 16 + (double)t->taps);
    if (!t->coef) {
        index[0] = clamp_index(pick_nearest(n, x), a->in);
        return;
    }
    low = floor(x);
    ratio = x == low ? 1 : x - low;
    first = (int64_t)low - (x == low) + 1 - t->taps / 2;
    fill_coefs(n, a->scale, ratio, t->taps, t->coef + j * t->taps);
    if (ATTRS(resize, n)->exclude_outside)
        drop_outside(first, t->taps, a->in, t->coef + j * t->taps);
    for (int64_t k = 0; k < t->taps; k++)
        index[k] = clamp_index(first + k, a->in);
}

bool resize_table(const Node *n, const ResizeAxis *a, Arena *arena,
                  ResizeTable *t)
{
    int64_t taps = resize_taps(n, a->scale);

    *t = (ResizeTable){ .taps = taps };
    if (taps > a->in * 4 + 64 || taps * a->out > ((int64_t)1 << 28))
        return node_error(n, "%lld taps for %lld outputs on axis %d are too "
                          "many", (long long)taps, (long long)a->out,
                          a->axis);
    t->index = NEW_ARRAY(arena, int32_t, taps * a->out);
    if (!mode_is(n, "nearest"))
        t->coef = NEW_ARRAY(arena, double, taps * a->out);
    if (coords_are(n, "tf_crop_and_resize"))
        t->outside = NEW_ARRAY(arena, uint8_t, a->out);
    for (int64_t j = 0; j < a->out; j++)
        fill_entry(n, a, j, t);
    return true;
}

/* ---- hooks ----------------------------------------------------------------- */

bool infer_resize(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    const void *operand[4] = { NULL };
    const Value *unknown = NULL;
    Type *y = &n->out[0]->type, shape = *y;
    Resize r;

    (void)g;
    for (int i = RESIZE_ROI; i <= RESIZE_SIZES; i++) {
        const Value *v = resize_operand(n, i);
        operand[i] = v ? v->data : NULL;
        if (v && !v->data && i != RESIZE_ROI)
            unknown = v;
    }
    if (dtype_bits(x->dt) < 8)
        return node_error(n, "cannot resize %s", dtype_name(x->dt));
    if (unknown && !infer_declared(n, unknown))
        return false;
    if (unknown && y->rank != x->rank)
        return node_error(n, "output of rank %d declared for input of rank "
                          "%d", y->rank, x->rank);
    if (!resize_read(n, operand, &r, &shape))
        return false;
    *y = shape;
    y->dt = x->dt;
    return true;
}

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
    bool copy = r->nearest && !coords_are(n, "tf_crop_and_resize");
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
